"""A source whose small blobs are read once: what was verified is copied from memory, byte for byte as it was seen."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirror.http.gate import Gate
from mirror.oci.blob import Body
from mirror.oci.content import Descriptor, Digest
from mirror.oci.manifest import Manifest
from mirror.oci.storage import Source

SMALL = 128 * 1024  # bytes; a signature has some ten thousand


@dataclass(frozen=True, slots=True)
class Remembered:
    """*source*, blobs of at most SMALL bytes remembered once they were read to their end."""

    source: Source
    _blobs: dict[Digest, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """See Source."""
        return self.source.name

    @property
    def gate(self) -> Gate:
        """See Source."""
        return self.source.gate

    async def head(self, version: str | Digest) -> Digest | None:
        """See Source."""
        return await self.source.head(version)

    async def manifest(self, version: str | Digest) -> Manifest:
        """See Source."""
        return await self.source.manifest(version)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """See Source."""
        return await self.source.referrers(subject)

    async def has_blob(self, blob: Descriptor) -> bool:
        """See Source."""
        return await self.source.has_blob(blob)

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> Body:
        """See Source."""
        if (kept := self._blobs.get(blob.digest)) is not None:
            return _Kept(memoryview(kept)[offset:])
        body = await self.source.open_blob(blob, offset=offset)
        if offset or blob.size > SMALL:
            return body
        return _Keeping(body, blob, self._blobs)


class _Kept:
    """A body in memory."""

    def __init__(self, data: memoryview) -> None:
        self._left = data

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing blocks."""


class _Keeping:
    """*body*, whose bytes are put into *kept* once all of *blob* came; whoever reads them holds them to its digest."""

    def __init__(self, body: Body, blob: Descriptor, kept: dict[Digest, bytes]) -> None:
        self._body, self._blob, self._kept = body, blob, kept
        self._data = bytearray()

    def readinto(self, buffer: memoryview) -> int:
        count = self._body.readinto(buffer)
        if len(self._data) <= self._blob.size:
            self._data += buffer[:count]
        if not count and len(self._data) == self._blob.size:
            self._kept[self._blob.digest] = bytes(self._data)
        return count

    def close(self) -> None:
        self._body.close()

    def abort(self) -> None:
        self._body.abort()
