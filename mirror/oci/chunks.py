"""A blob in chunks, where what is on the way to a registry refuses a large body.

    PUT of the whole ──413──► PATCH, PATCH, … PUT of nothing ──413──► in smaller ones … ──413──► refused, in words

An ingress or a proxy answers 413 to a body that is larger than it allows (nginx: client_max_body_size, 1 MiB if nobody
has set it; goharbor/harbor-helm#859, goharbor/harbor#22353). What is learned of it holds for the registry.
Distribution-spec v1.1 #pushing-a-blob-in-chunks.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal, Protocol

from mirror.http.answer import checked_target
from mirror.http.stream import HttpUpload


@dataclass(slots=True)
class ChunkSize:
    """How many bytes of a blob one request may carry, as one registry's refusals have shown; for all threads.

    *sizes* are those to be tried, each once a larger one was refused.
    """

    sizes: tuple[int, ...]
    _most: int | None = field(default=None, init=False)
    _least: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def of(self, size: int) -> int:
        """How many of *size* bytes go into the next request."""
        with self._lock:
            return size if self._most is None else min(size, max(self._most, self._least))

    def ask_for_least(self, stated: str) -> None:
        """The registry takes no chunk, but the last, of fewer bytes than *stated* (OCI-Chunk-Min-Length)."""
        if stated.isascii() and stated.isdigit():
            with self._lock:
                self._least = max(self._least, int(stated[:18]))

    def refused(self, size: int) -> bool:
        """Whether there are smaller requests to be tried than one of *size* bytes, which was too large: then they are.

        No size is tried again once it was refused, so this is true a few times at most.
        """
        with self._lock:
            smaller = [each for each in self.sizes if max(each, self._least) < size]
            if smaller:
                self._most = min(max(smaller), self._most or size)
            return bool(smaller)


class Request(Protocol):
    """Makes what carries *size* bytes of a blob, from *first* on, to *session*; a PUT completes the blob."""

    def __call__(self, method: Literal["PUT", "PATCH"], session: str, *, first: int, size: int) -> HttpUpload: ...


class ChunkedUpload:
    """A blob of *size* bytes being written, from *offset* on, by PATCHes of *chunk_size* bytes; an Upload (blob.py).

    Bytes go out as they come, and none of them completes the blob: that does a PUT of nothing, at the end.
    """

    def __init__(self, session: str, request: Request, *, size: int, offset: int, chunk_size: int) -> None:
        self.session = session
        """Where the next request goes: the answer to each PATCH names it anew."""
        self._make, self._size, self._offset, self._chunk_size = request, size, offset, chunk_size
        self._request: HttpUpload | None = None
        self._left = 0  # bytes of the chunk under way that are still to come
        self._is_aborted = False
        self._lock = threading.Lock()

    def write(self, data: memoryview) -> None:
        """See Upload; waits for the answer to each chunk that *data* completes."""
        while data:
            request = self._request or self._begin_chunk()
            part = data[: self._left]
            request.write(part)
            self._left -= len(part)
            self._offset += len(part)
            data = data[len(part) :]
            if not self._left:
                self._end_chunk(request)

    def finish(self) -> None:
        """See Upload."""
        self._begin("PUT", 0).finish()

    def abort(self) -> None:
        """See Upload."""
        with self._lock:
            self._is_aborted = True
            if self._request:
                self._request.abort()

    def _begin_chunk(self) -> HttpUpload:
        self._left = min(self._chunk_size, self._size - self._offset)
        assert self._left  # noqa: S101 - no more bytes come than were promised (Reading)
        return self._begin("PATCH", self._left)

    def _end_chunk(self, request: HttpUpload) -> None:
        answer = request.taken()
        if location := answer.headers.get("location"):
            self.session = checked_target(answer.url, location, what="an upload location")
        self._request = None

    def _begin(self, method: Literal["PUT", "PATCH"], size: int) -> HttpUpload:
        with self._lock:  # what was given up between two requests is given up
            self._request = self._make(method, self.session, first=self._offset, size=size)
            if self._is_aborted:
                self._request.abort()
            return self._request
