"""A blob on its way: read, hashed and written in a worker thread, through one reused buffer.

    Body ──readinto──► buffer ──► hash, byte count ──► Upload.write … Upload.finish

The rule it keeps: wherever the bytes came from, the last of them are written, and the upload finished, only when the
size and the hash are what the descriptor promises. So wrong content never becomes a blob, whatever the other side
checks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from mirror.errors import ContentError, RegistryError, Unreachable
from mirror.oci.content import Descriptor, Digest

BUFFER_SIZE = 256 * 1024
_CHECKPOINT = 4 * 1024 * 1024  # bytes between two saved states of the hash, which are some hundred bytes each

_of_thread = threading.local()


class Body(Protocol):
    """A blob's bytes. All calls block; `abort` may come from another thread and ends a call that blocks."""

    def readinto(self, buffer: memoryview) -> int:
        """Fills the front of *buffer*; the number of bytes, 0 at the end."""
        ...

    def close(self) -> None: ...
    def abort(self) -> None: ...


class Upload(Protocol):
    """A blob being written; it exists at the destination only once `finish` has returned."""

    @property
    def session(self) -> str:
        """Where the registry may be asked what became of it; empty where there is none to ask."""
        ...

    def write(self, data: memoryview) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None:
        """Gives the upload up, whatever its state; may come from another thread. Nothing of it remains visible."""
        ...


class Reading:
    """A blob being read and held to its promise; where a body breaks off, another one goes on from `received`.

    *on_chunk* gets each chunk as it comes, the last one only once all is verified. *where* is what errors name.
    """

    def __init__(self, promise: Descriptor, *, where: str, on_chunk: Callable[[memoryview], None]) -> None:
        self.received = 0
        self._promise, self._where, self._on_chunk = promise, where, on_chunk
        self._hasher = promise.digest.hasher()
        self._checkpoints = [(0, self._hasher.copy())]
        self._held = memoryview(b"")

    def rewind(self, offset: int) -> int:
        """The next body is to begin where the hash was last saved before *offset*: there."""
        self._checkpoints = [saved for saved in self._checkpoints if saved[0] <= offset]
        self.received, hasher = self._checkpoints[-1]
        self._hasher = hasher.copy()
        self._held = memoryview(b"")
        return self.received

    def go_on(self, body: Body) -> None:
        """Reads *body*, which begins at `received`, to its end; raises ContentError if all is not as promised."""
        try:
            self._read(body)
        except BaseException:
            self._held = memoryview(bytes(self._held))  # the buffer is the thread's, which reads something else now
            raise
        self._verify()
        if self._held:
            self._on_chunk(self._held)

    def _read(self, body: Body) -> None:
        buffers, turn, size = _buffers(), 0, self._promise.size
        while count := body.readinto(buffers[turn]):
            chunk = buffers[turn][:count]
            self._hasher.update(chunk)
            self.received += count
            if self.received - self._checkpoints[-1][0] >= _CHECKPOINT:
                self._checkpoints.append((self.received, self._hasher.copy()))
            if self.received > size:
                raise ContentError(
                    f"{self._where}: blob {self._promise.digest} is longer than the {size} bytes promised"
                )
            held, self._held = self._held, chunk
            turn = 1 - turn
            if held:
                self._on_chunk(held)

    def _verify(self) -> None:
        promise = self._promise
        if self.received != promise.size:
            raise ContentError(
                f"{self._where}: blob {promise.digest} has {self.received} bytes, {promise.size} were promised"
            )
        actual = Digest(promise.digest.algorithm, self._hasher.hexdigest())
        if actual != promise.digest:
            raise ContentError(
                f"{self._where}: the bytes of blob {promise.digest} have the digest {actual}: the content is corrupt"
            )


def _buffers() -> tuple[memoryview, memoryview]:
    """A pair that this thread reuses for every blob."""
    if not hasattr(_of_thread, "buffers"):
        _of_thread.buffers = (memoryview(bytearray(BUFFER_SIZE)), memoryview(bytearray(BUFFER_SIZE)))
    pair: tuple[memoryview, memoryview] = _of_thread.buffers
    return pair


class Relay:
    """A blob on its way into *upload*.

    What broke off while reading can go on; what broke off while writing only in an upload that went on, by `resume`.
    *on_bytes* is told of each chunk written, and of all of them, negative, when they were given up.
    """

    def __init__(self, promise: Descriptor, upload: Upload, *, where: str, on_bytes: Callable[[int], None]) -> None:
        self.upload = upload
        self.can_go_on = True
        self.sent = 0
        self._to_pass = 0
        self._reading = Reading(promise, where=where, on_chunk=self._write)
        self._on_bytes = on_bytes

    @property
    def received(self) -> int:
        """Where the next body is to begin."""
        return self._reading.received

    def go_on(self, body: Body) -> None:
        """Afterwards the upload is finished with exactly the promised bytes; blocks."""
        try:
            self._reading.go_on(body)
            self._written(self.upload.finish)
        except (Unreachable, RegistryError):
            raise
        except BaseException:
            self.can_go_on = False
            raise

    def resume(self, upload: Upload, offset: int) -> None:
        """*upload* has the first *offset* bytes: what comes before them is hashed again, and not sent again."""
        self._to_pass = offset - self._reading.rewind(offset)
        self._on_bytes(offset - self.sent)
        self.upload, self.sent, self.can_go_on = upload, offset, True

    def give_up(self) -> None:
        """Nothing of it remains at the destination."""
        self.can_go_on = False
        self.upload.abort()
        self._on_bytes(-self.sent)
        self.sent = 0

    def _write(self, chunk: memoryview) -> None:
        passed = min(self._to_pass, len(chunk))
        self._to_pass -= passed
        if rest := chunk[passed:]:
            self._written(lambda: self.upload.write(rest))
            self.sent += len(rest)
            self._on_bytes(len(rest))

    def _written(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException:
            self.can_go_on = False
            raise
