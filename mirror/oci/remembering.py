"""A source that remembers the small blobs that were read from it.

A signature is read to be verified and then copied: through one of these it is asked for once. What is given to begin
with, as by a record, is asked for never.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mirror.oci.blob import Body
from mirror.oci.content import Descriptor, Digest
from mirror.oci.memory import BytesBody
from mirror.oci.through import Through

SIZE_MAX = 128 * 1024  # bytes of one blob


@dataclass(frozen=True, slots=True)
class Remembering(Through):
    """*source*, and the blobs that are known of it; a Source."""

    known: Mapping[Digest, bytes] = field(default_factory=dict)
    """Held to their digests by who gives them, and by who reads them."""
    _read: dict[Digest, bytes] = field(default_factory=dict, init=False)

    async def has_blob(self, blob: Descriptor) -> bool:
        """See Source."""
        return blob.digest in self.known or blob.digest in self._read or await self.source.has_blob(blob)

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> Body:
        """See Source."""
        data = self.known.get(blob.digest) or self._read.get(blob.digest)
        if data is not None:
            return BytesBody(memoryview(data)[offset:])
        body = await self.source.open_blob(blob, offset=offset)
        return _Watched(body, blob.digest, self._read) if blob.size <= SIZE_MAX and not offset else body


class _Watched:
    """*body*, whose bytes are kept in *read* once they have been read to the end and are those of *digest*."""

    def __init__(self, body: Body, digest: Digest, read: dict[Digest, bytes]) -> None:
        self._body, self._digest, self._read = body, digest, read
        self._seen = bytearray()

    def readinto(self, buffer: memoryview) -> int:
        count = self._body.readinto(buffer)
        if len(self._seen) <= SIZE_MAX:  # whatever was promised
            self._seen += buffer[:count]
        if not count and Digest.of(bytes(self._seen), self._digest.algorithm) == self._digest:
            self._read[self._digest] = bytes(self._seen)
        return count

    def close(self) -> None:
        self._body.close()

    def abort(self) -> None:
        self._body.abort()
