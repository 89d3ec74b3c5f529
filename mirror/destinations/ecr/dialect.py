"""What ECR means by its answers."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from mirror.errors import ImmutableTag, RegistryError
from mirror.http.answer import Answer
from mirror.oci.dialect import Dialect
from mirror.oci.manifest import Manifest

_MIB = 1024 * 1024


class EcrDialect(Dialect):
    """An expired token is a 401 as elsewhere; TAG_INVALID is a tag that may not be changed."""

    asks_before_put: ClassVar[bool] = True  # PutImage has the one quota that a mirror meets
    chunk_sizes: ClassVar[tuple[int, ...]] = (10 * _MIB, 5 * _MIB)  # the most and the least that a part may have

    def meant(self, answer: Answer, *, sent: str) -> Answer:
        """See Dialect; "denied: Your authorization token has expired. Reauthenticate and try again." is a 403."""
        if answer.status == 403 and sent and b"authorization token has expired" in answer.body.lower():
            return replace(answer, status=401)
        return answer

    def explained(self, refused: RegistryError, *, manifest: Manifest | None = None) -> RegistryError:  # noqa: ARG002
        """See Dialect."""
        if "TAG_INVALID" in refused.codes and "immutable" in refused.words:
            return ImmutableTag(str(refused), status=refused.status, codes=refused.codes, words=refused.words)
        return refused
