"""An image layout on disk, which deletes by itself (mirror/oci/layout.py)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mirror.oci.content import Digest
from mirror.oci.layout import Layout


@dataclass(frozen=True, slots=True)
class LayoutDeleter:
    """The names of one layout."""

    layout: Layout

    @property
    def frees_later(self) -> str:
        """See Deleter; bytes are free at once."""
        return ""

    @property
    def untags(self) -> bool:
        """See Deleter."""
        return True

    async def untag(self, path: str, tags: Sequence[str]) -> None:
        """See Deleter."""
        await self.layout.untag({f"{path}:{tag}" for tag in tags})

    async def delete(self, path: str, waves: Sequence[Sequence[Digest]], stays: Collection[Digest]) -> None:
        """See Deleter; what another name of the layout needs stays, blobs that nothing names go too."""
        await self.layout.delete(path, [digest for wave in waves for digest in wave], stays)
