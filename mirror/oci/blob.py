"""A blob on its way: read, hashed and written in a worker thread, through one reused buffer.

    Body ──readinto──► buffer ──► hash, byte count ──► Upload.write … Upload.finish

The rule it keeps: the last bytes are written, and the upload finished, only when the size and the hash are what the
descriptor promises. So wrong content never becomes a blob, whatever the other side checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mirror.errors import ContentError
from mirror.oci.content import Descriptor, Digest

BUFFER_SIZE = 256 * 1024


class Body(Protocol):
    """A blob's bytes. All calls block; `abort` may come from another thread and ends a call that blocks."""

    def readinto(self, buffer: memoryview) -> int:
        """Fills the front of *buffer*; the number of bytes, 0 at the end."""
        ...

    def close(self) -> None: ...
    def abort(self) -> None: ...


class Upload(Protocol):
    """A blob being written; it exists at the destination only once `finish` has returned."""

    def write(self, data: memoryview) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None:
        """Gives the upload up, whatever its state; may come from another thread. Nothing of it remains visible."""
        ...


def hashed(body: Body, promise: Descriptor, *, where: str, on_chunk: Callable[[memoryview], None]) -> None:
    """Reads *body* to its end; *on_chunk* gets each chunk as it comes, the last one only once all is verified.

    Raises ContentError naming *where* the bytes came from if size or digest are not as promised.
    """
    hasher = promise.digest.hasher()
    buffers = (memoryview(bytearray(BUFFER_SIZE)), memoryview(bytearray(BUFFER_SIZE)))
    size, turn, held = 0, 0, memoryview(b"")
    while count := body.readinto(buffers[turn]):
        size += count
        if size > promise.size:
            raise ContentError(f"{where}: blob {promise.digest} is longer than the {promise.size} bytes promised")
        if held:
            on_chunk(held)
        held = buffers[turn][:count]
        hasher.update(held)
        turn = 1 - turn
    if size != promise.size:
        raise ContentError(f"{where}: blob {promise.digest} has {size} bytes, {promise.size} were promised")
    actual = Digest(promise.digest.algorithm, hasher.hexdigest())
    if actual != promise.digest:
        raise ContentError(
            f"{where}: the bytes of blob {promise.digest} have the digest {actual}: the content is corrupt"
        )
    if held:
        on_chunk(held)


def relay(body: Body, upload: Upload, promise: Descriptor, *, where: str, on_bytes: Callable[[int], None]) -> None:
    """Afterwards *upload* is finished with exactly the promised bytes; *on_bytes* is told of each chunk written."""

    def write(chunk: memoryview) -> None:
        upload.write(chunk)
        on_bytes(len(chunk))

    try:
        hashed(body, promise, where=where, on_chunk=write)
        upload.finish()
    except BaseException:
        upload.abort()
        raise
    finally:
        body.close()
