"""Blob bodies on the wire: read and written in worker threads (oci/blob.py, Body and Upload).

    HttpBody     a GET that is sent at the first read, from an offset on
    HttpUpload   a PUT, or a PATCH, that is sent at the first write, answered at finish

Neither is ever sent twice from here: how a blob that broke off goes on is decided by who copies it (oci/transfer.py).
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import urlsplit

import structlog

from mirror.errors import MirrorError, Unreachable
from mirror.http.answer import (
    REDIRECTS,
    REDIRECTS_MAX,
    Answer,
    checked_target,
    lowered,
    origin,
    refused_by_proxy,
)
from mirror.http.connections import Connection, Connections, Exchange

_REFUSAL_MAX = 64 * 1024  # bytes read of an error's body
# distribution-spec v1.1 has 201 and 202; of a PATCH the others are taken too (ggcr, pkg/v1/remote/write.go)
_TAKEN = {"PUT": frozenset({201, 204}), "PATCH": frozenset({201, 202, 204})}
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d+/(?:\d+|\*)")

Refusal = Callable[[Answer], MirrorError]
"""Makes the exception for an answer that is not the one wanted."""

log = structlog.get_logger()


def _refused(refusal: Refusal, answer: Answer) -> MirrorError:
    return refused_by_proxy(urlsplit(answer.url).netloc, 407) if answer.status == 407 else refusal(answer)


def _answer(response: http.client.HTTPResponse, url: str) -> Answer:
    return Answer(response.status, lowered(response.getheaders()), response.read(_REFUSAL_MAX), url)


class HttpBody(Exchange):
    """The body of a GET of *url* from its byte *offset* on, redirects followed.

    *refusal* makes the error for an answer that is neither 200 nor the range that was asked for.
    A server that ignores the range, or answers with another, is asked for the whole, of which the front is skipped.
    """

    def __init__(
        self, connections: Connections, url: str, *, headers: Mapping[str, str], refusal: Refusal, offset: int = 0
    ) -> None:
        super().__init__(connections)
        self._url, self._headers, self._refusal = url, headers, refusal
        self._offset = offset
        self._to_skip = 0
        self._at = url  # after redirects

    def readinto(self, buffer: memoryview) -> int:
        """See Body; raises Unreachable if the connection ends before the body does."""
        return self._blocking(lambda: self._read(buffer), url=lambda: self._at)

    def close(self) -> None:
        """Keeps the connection if the body was read to its end, else drops it."""
        self._keep()

    def _read(self, buffer: memoryview) -> int:
        response = self._response or self._get()
        while self._to_skip:
            skipped = self._received(response, buffer[: min(len(buffer), self._to_skip)])
            if not skipped:
                return 0
            self._to_skip -= skipped
        return self._received(response, buffer)

    def _received(self, response: http.client.HTTPResponse, buffer: memoryview) -> int:
        count = response.readinto(buffer)
        self._connections.meter.received(self._host, count)
        if count == 0 and response.length:
            raise http.client.HTTPException(f"the connection ended {response.length} bytes before the end of the blob")
        return count

    def _get(self) -> http.client.HTTPResponse:
        headers = dict(self._headers)
        if self._offset:
            headers["Range"] = f"bytes={self._offset}-"
        for _ in range(REDIRECTS_MAX + 1 + ("Range" in headers)):  # one more, should the range be given up
            response = self._send("GET", self._at, headers)
            assert response is not None  # noqa: S101 - a GET has no body to follow
            location = response.headers.get("location")
            if response.status == 200:
                self._to_skip = self._offset
                return response
            if "Range" in headers and response.status in (206, 416):
                if response.status == 206 and self._is_the_range(response):
                    return response
                log.debug("http.range_refused", host=urlsplit(self._at).netloc, status=response.status)
                self._drop()
                del headers["Range"]
                continue
            if response.status not in REDIRECTS or not location:
                raise _refused(self._refusal, _answer(response, self._at))
            response.read(_REFUSAL_MAX)
            self._keep()
            self._at = checked_target(self._at, location, what="a redirect")
            if origin(self._at) != origin(self._url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        raise Unreachable(f"{urlsplit(self._url).netloc}: more than {REDIRECTS_MAX} redirects", is_temporary=False)

    def _is_the_range(self, response: http.client.HTTPResponse) -> bool:
        stated = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
        return stated is not None and int(stated[1]) == self._offset


class HttpUpload(Exchange):
    """A blob being written by one PUT to *url*, *size* bytes: a body that breaks off before them makes no blob.

    A PATCH, as *method*, carries so many bytes of one (oci/chunks.py).
    *session* is where the registry says what it has of it.
    *refusal* makes the error for an answer that does not say that all was taken.
    """

    def __init__(
        self,
        connections: Connections,
        url: str,
        size: int,
        *,
        headers: Mapping[str, str],
        refusal: Refusal,
        session: str = "",
        method: Literal["PUT", "PATCH"] = "PUT",
    ) -> None:
        super().__init__(connections)
        self.session = session
        self._method, self._url, self._refusal = method, url, refusal
        self._headers = {**headers, "Content-Length": str(size), "Content-Type": "application/octet-stream"}

    def write(self, data: memoryview) -> None:
        """See Upload; raises what the registry answered if it answers before all is sent."""
        self._blocking(lambda: self._write(data), url=lambda: self._url)

    def finish(self) -> None:
        """See Upload; raises what the registry answered if it did not take the blob."""
        self.taken()

    def taken(self) -> Answer:
        """The answer that says that all was taken; raises what else the registry answered."""
        return self._blocking(self._answered, url=lambda: self._url)

    def _write(self, data: memoryview) -> None:
        connection = self._begun()
        try:
            if early := connection.early_answer():
                raise self._refused(self._told(early, since=time.monotonic()))
            connection.http.send(data)
            self._connections.meter.sent(self._host, len(data))
        except (OSError, http.client.HTTPException) as exc:
            if refused := self._refused_before(exc):
                raise refused from exc
            raise

    def _answered(self) -> Answer:
        response = self._head(self._begun())
        answer = _answer(response, self._url)
        self._keep()
        if answer.status not in _TAKEN[self._method]:
            raise _refused(self._refusal, answer)
        return answer

    def _head(self, connection: Connection) -> http.client.HTTPResponse:
        since = time.monotonic()
        return self._told(connection.http.getresponse(), since=since)

    def _begun(self) -> Connection:
        if self._is_aborted or self._connection is None:
            self._send(self._method, self._url, self._headers, has_body=True)
        assert self._connection is not None  # noqa: S101 - it has just begun
        return self._connection

    def _refused(self, response: http.client.HTTPResponse) -> MirrorError:
        return _refused(self._refusal, _answer(response, self._url))

    def _refused_before(self, exc: Exception) -> MirrorError | None:
        """The refusal of a registry that answered, and hung up, before all was sent, which *exc* says."""
        if self._connection is None or self._is_aborted or isinstance(exc, TimeoutError):
            return None
        try:
            return self._refused(self._head(self._connection))
        except (OSError, http.client.HTTPException):
            return None
