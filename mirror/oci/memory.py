"""A source in memory: content that was made here, or was read before it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mirror.errors import NotFound
from mirror.http.gate import Gate
from mirror.oci.blob import Body
from mirror.oci.content import Descriptor, Digest
from mirror.oci.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Memory:
    """One manifest and its blobs, called *name*; a Source."""

    name: str
    root: Manifest
    blobs: Mapping[Digest, bytes]
    gate: Gate = field(default_factory=Gate)

    async def head(self, version: str | Digest) -> Digest | None:
        """See Source; there are no tags."""
        return self.root.digest if version == self.root.digest else None

    async def manifest(self, version: str | Digest) -> Manifest:
        """See Source."""
        if version != self.root.digest:
            raise NotFound(f"{self.name}@{version}: not found", status=404, where=self.name, asked="GET")
        return self.root

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:  # noqa: ARG002 - nothing refers to anything
        """See Source."""
        return ()

    async def has_blob(self, blob: Descriptor) -> bool:
        """See Source."""
        return blob.digest in self.blobs

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> Body:
        """See Source."""
        if blob.digest not in self.blobs:
            raise NotFound(f"{self.name}@{blob.digest}: not found", status=404, where=self.name, asked="GET")
        return BytesBody(memoryview(self.blobs[blob.digest])[offset:])


class BytesBody:
    """A body whose bytes are here already."""

    def __init__(self, data: memoryview) -> None:
        self._rest = data

    def readinto(self, buffer: memoryview) -> int:
        """See Body."""
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def close(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing blocks."""
