"""Blob bodies: blocking sockets, read and written in worker threads.

httpx spends 2.5 times the CPU of this on a byte, hash included (docs/adr/0002), so what is large goes here: the same
TLS settings, proxies, redirect rules and errors as transport.py, and HTTP/1.1.

    Streams.body(url)          a GET that is sent at the first read
    Streams.upload(url, size)  a PUT that is sent at the first write, answered at finish

Neither is ever sent twice from here: a blob that broke off is begun anew by who copies it (oci/copy.py).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import select
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mirror.errors import MirrorError, Unreachable
from mirror.http.proxies import Proxies, Proxy
from mirror.http.transport import (
    CONNECT_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    REDIRECTS_MAX,
    USER_AGENT,
    Answer,
    checked_target,
    lowered,
    origin,
    refused_by_proxy,
    tls_context,
    unreachable,
)

_IDLE_MAX_S = 15.0  # an idle connection older than this is not used again
_REFUSAL_MAX = 64 * 1024  # bytes read of an error's body

Refusal = Callable[[Answer], MirrorError]
"""Makes the exception for an answer that is not the one wanted."""


class _Connection:
    """One HTTP/1.1 connection; `abort` may come from another thread."""

    def __init__(self, url: str, proxy: Proxy | None, ca_file: str, idle_timeout_s: float) -> None:
        self._idle_timeout_s = idle_timeout_s
        scheme, host, port = origin(url)
        self.key = (scheme, host, port)
        self.freed_at = 0.0
        self._sock: socket.socket | None = None  # http.client lets go of it as soon as an answer says "close"
        self._absolute = scheme == "http" and proxy is not None  # RFC 9112 §3.2.2: absolute-form to a proxy
        self._proxy = proxy
        at = (proxy.host, proxy.port) if proxy else (host, port)
        if scheme == "https":
            context = tls_context(ca_file)
            self.http: http.client.HTTPConnection = http.client.HTTPSConnection(
                *at, timeout=CONNECT_TIMEOUT_S, context=context
            )
            if proxy:
                self.http.set_tunnel(host, port, headers=_proxy_authorization(proxy))
        else:
            self.http = http.client.HTTPConnection(*at, timeout=CONNECT_TIMEOUT_S)

    def connect(self) -> None:
        if self.http.sock is None:
            self.http.connect()
        self.http.sock.settimeout(self._idle_timeout_s)
        self._sock = self.http.sock

    def begin(self, method: str, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        target = url if self._absolute else parts.path + (f"?{parts.query}" if parts.query else "")
        self.http.putrequest(method, target, skip_accept_encoding=True)
        for name, value in {"User-Agent": USER_AGENT, **headers}.items():
            self.http.putheader(name, value)
        if self._absolute and self._proxy:
            for name, value in _proxy_authorization(self._proxy).items():
                self.http.putheader(name, value)
        self.http.endheaders()

    @property
    def is_stale(self) -> bool:
        """Closed by the other side, or idle for too long."""
        if self.http.sock is None or time.monotonic() - self.freed_at > _IDLE_MAX_S:
            return True
        return bool(select.select([self.http.sock], [], [], 0)[0])  # readable while idle: the end, or an alert

    def abort(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that blocks on it; it closes


def _proxy_authorization(proxy: Proxy) -> dict[str, str]:
    if not proxy.username:
        return {}
    token = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {token}"}


@dataclass(slots=True)
class Streams:
    """Blob bodies from and to one registry; finished connections are kept for the next blob."""

    ca_file: str = ""
    proxies: Proxies = field(default_factory=Proxies.from_environment)
    idle_timeout_s: float = IDLE_TIMEOUT_S
    _idle: dict[tuple[str, str, int], deque[_Connection]] = field(
        default_factory=lambda: defaultdict(deque), init=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def body(self, url: str, *, headers: Mapping[str, str], refusal: Refusal) -> HttpBody:
        """The body of a GET of *url*, redirects followed; *refusal* makes the error for an answer that is not 200."""
        return HttpBody(self, url, headers, refusal)

    def upload(self, url: str, size: int, *, headers: Mapping[str, str], refusal: Refusal) -> HttpUpload:
        """A PUT of *size* bytes to *url*; *refusal* makes the error for an answer that is not 201 or 204."""
        return HttpUpload(self, url, size, headers, refusal)

    def close(self) -> None:
        """Closes the idle connections."""
        with self._lock:
            for waiting in self._idle.values():
                for connection in waiting:
                    connection.http.close()
            self._idle.clear()

    def take(self, url: str) -> _Connection:
        """A connection to where *url* is, an idle one if there is."""
        with self._lock:
            waiting = self._idle[origin(url)]
            while waiting:
                connection = waiting.pop()
                if not connection.is_stale:
                    return connection
                connection.http.close()
        return _Connection(url, self.proxies.for_url(url), self.ca_file, self.idle_timeout_s)

    def give_back(self, connection: _Connection) -> None:
        """Keeps *connection*, whose last answer was read to its end."""
        connection.freed_at = time.monotonic()
        with self._lock:
            self._idle[connection.key].append(connection)


class _Exchange:
    """What a body and an upload share: the connection in use, and its end."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._connection: _Connection | None = None
        self._owner = 0  # the thread that reads or writes
        self._is_aborted = False

    def _open(self, method: str, url: str, headers: Mapping[str, str]) -> _Connection:
        self._owner = threading.get_ident()
        self._connection = connection = self._streams.take(url)
        for step in (connection.connect, lambda: connection.begin(method, url, headers)):
            if self._is_aborted:  # there was nothing to wake while there was no connection
                raise _given_up(url)
            step()
        return connection

    def _unreachable(self, url: str, exc: Exception) -> Unreachable:
        if self._is_aborted:
            return _given_up(url)
        return unreachable(urlsplit(url).netloc, exc, proxy=self._streams.proxies.for_url(url))

    def _drop(self) -> None:
        if self._connection:
            self._connection.http.close()
            self._connection = None

    def _keep(self, response: http.client.HTTPResponse) -> None:
        is_whole = response.isclosed() and not response.length and not self._is_aborted
        if self._connection and is_whole and not response.will_close:
            self._streams.give_back(self._connection)
            self._connection = None
        else:
            self._drop()

    def abort(self) -> None:
        """Ends the exchange. From another thread what blocks on it fails at once, and its own thread closes it."""
        self._is_aborted = True
        if self._owner == threading.get_ident():
            self._drop()
        elif connection := self._connection:
            connection.abort()


def _given_up(url: str) -> Unreachable:
    return Unreachable(f"{urlsplit(url).netloc}: given up", is_temporary=False)


def _refused(refusal: Refusal, answer: Answer) -> MirrorError:
    return refused_by_proxy(urlsplit(answer.url).netloc, 407) if answer.status == 407 else refusal(answer)


def _answer(response: http.client.HTTPResponse, url: str) -> Answer:
    return Answer(response.status, lowered(response.getheaders()), response.read(_REFUSAL_MAX), url)


class HttpBody(_Exchange):
    """A blob's bytes (oci/blob.py, Body)."""

    def __init__(self, streams: Streams, url: str, headers: Mapping[str, str], refusal: Refusal) -> None:
        super().__init__(streams)
        self._url, self._headers, self._refusal = url, headers, refusal
        self._at = url  # after redirects
        self._response: http.client.HTTPResponse | None = None

    def readinto(self, buffer: memoryview) -> int:
        """See Body; raises Unreachable if the connection ends before the body does."""
        try:
            if self._response is None:
                self._response = self._get()
            count = self._response.readinto(buffer)
        except (OSError, http.client.HTTPException) as exc:
            raise self._unreachable(self._at, exc) from exc
        if count == 0 and (missing := self._response.length):
            ended = http.client.HTTPException(f"the connection ended {missing} bytes before the end of the blob")
            raise self._unreachable(self._at, ended)
        return count

    def _get(self) -> http.client.HTTPResponse:
        headers = self._headers
        for _ in range(REDIRECTS_MAX + 1):
            response = self._open("GET", self._at, headers).http.getresponse()
            location = response.headers.get("location")
            if response.status == 200:
                return response
            if response.status not in (301, 302, 303, 307, 308) or not location:
                raise _refused(self._refusal, _answer(response, self._at))
            response.read(_REFUSAL_MAX)
            self._keep(response)
            self._at = checked_target(self._at, location, what="a redirect")
            if origin(self._at) != origin(self._url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        raise Unreachable(f"{urlsplit(self._url).netloc}: more than {REDIRECTS_MAX} redirects", is_temporary=False)

    def close(self) -> None:
        """Keeps the connection if the body was read to its end, else drops it."""
        if self._response is not None:
            self._keep(self._response)
            self._response.close()
        else:
            self._drop()


class HttpUpload(_Exchange):
    """A blob being written by one PUT (oci/blob.py, Upload): a body that breaks off before its length makes no blob."""

    def __init__(self, streams: Streams, url: str, size: int, headers: Mapping[str, str], refusal: Refusal) -> None:
        super().__init__(streams)
        self._url, self._refusal = url, refusal
        self._headers = {**headers, "Content-Length": str(size), "Content-Type": "application/octet-stream"}

    def write(self, data: memoryview) -> None:
        """See Upload; raises what the registry answered if it answers before all is sent."""
        try:
            connection = self._connection or self._open("PUT", self._url, self._headers)
            connection.http.send(data)
        except (OSError, http.client.HTTPException) as exc:
            raise self._early_answer(exc) or self._unreachable(self._url, exc) from exc

    def finish(self) -> None:
        """See Upload; raises what the registry answered if it did not take the blob."""
        try:
            connection = self._connection or self._open("PUT", self._url, self._headers)
            response = connection.http.getresponse()
            answer = _answer(response, self._url)
        except (OSError, http.client.HTTPException) as exc:
            raise self._unreachable(self._url, exc) from exc
        self._keep(response)
        if answer.status not in (201, 204):
            raise _refused(self._refusal, answer)

    def _early_answer(self, exc: Exception) -> MirrorError | None:
        """The refusal of a registry that answered, and hung up, before all was sent."""
        if self._connection is None or self._is_aborted or isinstance(exc, TimeoutError):
            return None
        try:
            return _refused(self._refusal, _answer(self._connection.http.getresponse(), self._url))
        except (OSError, http.client.HTTPException):
            return None
