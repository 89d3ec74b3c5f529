"""What Harbor means by its answers (goharbor/harbor, src/server)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from mirror.errors import ImmutableTag, RegistryError
from mirror.http.answer import Answer
from mirror.oci.dialect import Dialect
from mirror.oci.manifest import Manifest


class HarborDialect(Dialect):
    """A project that is missing is a 404 as elsewhere; 412 PRECONDITION is a tag that may not be changed."""

    asks_before_put: ClassVar[bool] = True  # a tag that a rule holds is refused even to the same manifest

    def meant(self, answer: Answer, *, sent: str) -> Answer:
        """See Dialect; a project that is missing is a 401 without a challenge (middleware/v2auth, check)."""
        if answer.status == 401 and sent and not answer.headers.get("www-authenticate"):
            return replace(answer, status=404)
        return answer

    def explained(self, refused: RegistryError, *, manifest: Manifest | None = None) -> RegistryError:  # noqa: ARG002
        """See Dialect."""
        if refused.status == 412 and "PRECONDITION" in refused.codes:
            return ImmutableTag(str(refused), status=412, codes=refused.codes, words=refused.words)
        return refused
