"""How ECR deletes: BatchDeleteImage, by tag for a tag alone, else by digest; a hundred a call (API_BatchDeleteImage).

With its last tag ECR deletes the image itself, so that a tag goes alone only where there is another. What an index
lists is refused (ImageReferencedByManifestList), so that the index goes a call before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from mirror.destinations.ecr.api import EcrApi
from mirror.oci.content import Digest

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class EcrDeleter:
    """The repositories of one registry of ECR."""

    api: EcrApi

    @property
    def frees_later(self) -> str:
        """See Deleter; nothing has to."""
        return ""

    @property
    def untags(self) -> bool:
        """See Deleter."""
        return True

    async def untag(self, path: str, tags: Sequence[str]) -> None:
        """See Deleter."""
        await self._delete(path, ({"imageTag": tag} for tag in tags))

    async def delete(
        self,
        path: str,
        waves: Sequence[Sequence[Digest]],
        stays: Collection[Digest],  # noqa: ARG002
    ) -> None:
        """See Deleter."""
        for wave in waves:
            await self._delete(path, ({"imageDigest": str(digest)} for digest in wave))

    async def _delete(self, path: str, ids: Iterable[dict[str, str]]) -> None:
        left = iter(ids)
        while some := list(islice(left, _AT_ONCE)):
            await self.api.delete_images(path, some)
