"""How a registry departs from the distribution specification: what it means by an answer, and what a refusal is about.

    answer ──meant()──► the answer that the specification has for it ──► refusal ──explained()──► the sentence

A registry that keeps to the specification needs neither: `Dialect` changes nothing. ECR's and Harbor's are in
destinations/. Nothing here sends anything.
"""

from __future__ import annotations

from typing import ClassVar

from mirror.errors import RegistryError
from mirror.http.answer import Answer
from mirror.oci.manifest import Manifest


class Dialect:
    """The specification's own."""

    asks_before_put: ClassVar[bool] = False
    """A manifest is asked for by HEAD before it is stored: storing one that is there is refused, or dear."""
    reads_without_credential: ClassVar[bool] = True
    """Where a credential is refused, reading may go on without one."""
    forgets_uploads: ClassVar[bool] = False
    """An upload that is given up leaves no repository behind where there was none."""
    chunk_sizes: ClassVar[tuple[int, ...]] = (64 * 1024 * 1024, 8 * 1024 * 1024, 1024 * 1024)
    """Bytes of a blob in one request, each tried once the one before was too large (413) for what is on the way."""

    def meant(self, answer: Answer, *, sent: str) -> Answer:  # noqa: ARG002
        """*answer*, to a request with the Authorization header *sent*, as the specification would have it."""
        return answer

    def explained(self, refused: RegistryError, *, manifest: Manifest | None = None) -> RegistryError:  # noqa: ARG002
        """*refused*, or what it really is, in words that say what to do; *manifest* is what was to be stored.

        A tag that may not be changed is an ImmutableTag.
        """
        return refused
