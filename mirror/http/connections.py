"""Connections to one registry, over blocking sockets in worker threads; each is kept for the next request.

Every request of the distribution API goes here, small or large: httpx spends five times the CPU of this on a small one
and 2.5 times on a blob's byte (docs/adr/0002). The same TLS settings, proxies, redirect rules and errors hold for both.

    Connections.exchange(…)    a small request, its answer whole
    Exchange                   one request on one connection; stream.py reads and writes blob bodies with it
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import select
import socket
import ssl
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

from mirror.errors import ContentError, Unreachable
from mirror.http.answer import (
    CONNECT_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    USER_AGENT,
    Answer,
    NoConnectionInTime,
    lowered,
    origin,
    refused_by_proxy,
    tls_context,
    unreachable,
)
from mirror.http.meter import UNMETERED, Meter
from mirror.http.proxies import Proxies, Proxy
from mirror.tasks import in_thread

_IDLE_MAX_S = 15.0  # an idle connection older than this is not used again
_THREADS_MAX = 256  # more than max_connections may be; threads are made when they are needed

T = TypeVar("T")


class Connection:
    """One HTTP/1.1 connection; `abort` may come from another thread."""

    def __init__(self, url: str, proxy: Proxy | None, ca_file: str, idle_timeout_s: float) -> None:
        self._idle_timeout_s = idle_timeout_s
        scheme, host, port = origin(url)
        self.key = (scheme, host, port)
        self.name = urlsplit(url).netloc
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

    @property
    def is_open(self) -> bool:
        return self.http.sock is not None

    def connect(self) -> None:
        """The connection is open, and waits for no answer longer than the idle deadline."""
        if not self.is_open:
            try:
                self.http.connect()
            except TimeoutError as exc:
                raise NoConnectionInTime(str(exc)) from exc
        self.http.sock.settimeout(self._idle_timeout_s)
        self._sock = self.http.sock

    @property
    def certificate_ends(self) -> datetime | None:
        """When the certificate that was shown ends; None where there is none."""
        sock = self.http.sock
        shown = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC) if shown else None

    def begin(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> None:
        """The head of a request is sent, and *body* with it."""
        parts = urlsplit(url)
        target = url if self._absolute else parts.path + (f"?{parts.query}" if parts.query else "")
        self.http.putrequest(method, target, skip_accept_encoding=True)
        for name, value in {"User-Agent": USER_AGENT, **headers}.items():
            self.http.putheader(name, value)
        if self._absolute and self._proxy:
            for name, value in _proxy_authorization(self._proxy).items():
                self.http.putheader(name, value)
        if body is not None:
            self.http.putheader("Content-Length", str(len(body)))
        self.http.endheaders(body)

    @property
    def is_stale(self) -> bool:
        """Closed by the other side, or idle for too long."""
        if self.http.sock is None or time.monotonic() - self.freed_at > _IDLE_MAX_S:
            return True
        return _is_readable(self.http.sock)  # while idle: the end, or an alert

    def early_answer(self) -> http.client.HTTPResponse | None:
        """The answer that came although the request's body was not sent to its end; None where none did."""
        if not _is_readable(self.http.sock):
            return None
        response = http.client.HTTPResponse(self.http.sock, method="PUT")
        try:
            if self._is_no_more_than_a_ticket(response):
                response.close()
                return None
            response.begin()
        except BaseException:
            response.close()
            raise
        return response

    def _is_no_more_than_a_ticket(self, response: http.client.HTTPResponse) -> bool:
        """Whether what came is of TLS itself: a session ticket, after its handshake (RFC 8446 §4.6.1)."""
        self.http.sock.settimeout(0)
        try:
            response.fp.peek(1)
        except ssl.SSLWantReadError:
            return True
        finally:
            self.http.sock.settimeout(self._idle_timeout_s)
        return False

    def abort(self) -> None:
        """What blocks on it fails; its own thread closes it."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


def _is_readable(sock: socket.socket) -> bool:
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    return bool(waiting.poll(0))


def _proxy_authorization(proxy: Proxy) -> dict[str, str]:
    if not proxy.username:
        return {}
    token = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {token}"}


@dataclass(slots=True)
class Connections:
    """Connections to one registry and to where it sends us; a Wire (transport.py). Finished ones are kept."""

    ca_file: str = ""
    proxies: Proxies = field(default_factory=Proxies.from_environment)
    idle_timeout_s: float = IDLE_TIMEOUT_S
    meter: Meter = UNMETERED
    _idle: dict[tuple[str, str, int], deque[Connection]] = field(default_factory=lambda: defaultdict(deque), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix="http"), init=False
    )

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, bound: int
    ) -> Answer:
        """See Wire."""
        call = _Call(self, method, url, headers, body, bound)
        return await in_thread(self._threads, call.run, call)

    async def certificate_ends(self, url: str) -> datetime | None:
        """When the certificate that *url*'s host shows ends; None for plain http. Raises as an exchange does."""
        seeing = _Seeing(self, url)
        return await in_thread(self._threads, seeing.run, seeing)

    async def aclose(self) -> None:
        """Ends the worker threads and closes the idle connections."""
        self._threads.shutdown(wait=True)
        self.close()

    def close(self) -> None:
        """Closes the idle connections."""
        with self._lock:
            for waiting in self._idle.values():
                for connection in waiting:
                    connection.http.close()
            self._idle.clear()

    def take(self, url: str, *, is_fresh: bool = False) -> Connection:
        """A connection to where *url* is, an idle one if there is and a *fresh* one is not asked for."""
        with self._lock:
            waiting = self._idle[origin(url)]
            while waiting and not is_fresh:
                connection = waiting.pop()
                if not connection.is_stale:
                    return connection
                connection.http.close()
        return Connection(url, self.proxies.for_url(url), self.ca_file, self.idle_timeout_s)

    def give_back(self, connection: Connection) -> None:
        """Keeps *connection*, whose last answer was read to its end."""
        connection.freed_at = time.monotonic()
        with self._lock:
            self._idle[connection.key].append(connection)


class Exchange:
    """One request and its answer: the connection in use, and its end.

    Whatever fails, both are closed by then: an answer that says "close" owns its socket, and not its connection does.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._connection: Connection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._host = ""  # that was asked last
        self._awaits = ""  # the method of what was asked, until its answer is there
        self._is_aborted = False
        self._is_blocking = False
        self._lock = threading.Lock()

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, *, has_body: bool = False
    ) -> http.client.HTTPResponse | None:
        """The request is sent; its answer's head, unless a body is still to follow (*has_body*).

        A kept connection may be closed by the other side in the moment that it is used; then nothing was done with
        the request, and it is sent again on another one (RFC 9112 §9.3.1).
        """
        begin = time.monotonic()
        for is_fresh in (False, True):
            self._connection = connection = self._connections.take(url, is_fresh=is_fresh)
            self._host, self._awaits = connection.name, method
            is_kept = connection.is_open
            try:
                self._step(url, connection.connect)
                if not is_kept:
                    self._tell_certificate(connection)
                self._step(url, lambda: connection.begin(method, url, headers, body))  # noqa: B023 - called at once
                if body:
                    self._connections.meter.sent(connection.name, len(body))
                return None if has_body else self._told(connection.http.getresponse(), since=begin)
            except (ConnectionError, http.client.BadStatusLine):
                self._drop()
                if is_fresh or not is_kept or self._is_aborted:
                    raise
        raise AssertionError(url)

    def _step(self, url: str, step: Callable[[], None]) -> None:
        if self._is_aborted:  # there was nothing to wake while there was no connection
            raise _given_up(url)
        step()

    def _tell_certificate(self, connection: Connection) -> None:
        if ends := connection.certificate_ends:
            self._connections.meter.ends(connection.name, "certificate", ends)

    def _told(self, response: http.client.HTTPResponse, *, since: float) -> http.client.HTTPResponse:
        """*response*, whose head has come, told of; it is the exchange's to close."""
        self._response = response
        self._connections.meter.answered(self._host, self._awaits, response.status, time.monotonic() - since)
        self._awaits = ""
        return response

    def _blocking(self, work: Callable[[], T], *, url: Callable[[], str]) -> T:
        """*work*'s result; what the sockets raise leaves as one sentence of ours."""
        with self._lock:
            self._is_blocking = True
        is_well = False
        try:
            result = work()
        except (OSError, http.client.HTTPException, UnicodeError) as exc:  # the last of a name, before it is looked up
            if self._awaits and not self._is_aborted:
                self._connections.meter.unanswered(self._host, self._awaits)
            raise self._unreachable(url(), exc) from exc
        else:
            is_well = True
            return result
        finally:
            with self._lock:
                self._is_blocking = False
                if self._is_aborted or not is_well:
                    self._drop()

    def _unreachable(self, url: str, exc: Exception) -> Unreachable:
        if self._is_aborted:
            return _given_up(url)
        return unreachable(urlsplit(url).netloc, exc, proxy=self._connections.proxies.for_url(url))

    def _drop(self) -> None:
        if self._response:
            self._response.close()
            self._response = None
        if self._connection:
            self._connection.http.close()
            self._connection = None

    def _keep(self) -> None:
        """The exchange has ended: the connection is kept, if the answer was read to its end and did not say "close"."""
        response = self._response
        is_whole = response and response.isclosed() and not response.length and not response.will_close
        if self._connection and is_whole and not self._is_aborted:
            self._connections.give_back(self._connection)
            self._connection = self._response = None
        else:
            self._drop()

    def abort(self) -> None:
        """Ends the exchange. What blocks on it in another thread fails at once, and that thread closes it."""
        with self._lock:
            self._is_aborted = True
            connection = self._connection
            if not self._is_blocking:
                self._drop()
            elif connection:
                connection.abort()


class _Call(Exchange):
    """A small request, its answer read whole and bounded."""

    def __init__(
        self,
        connections: Connections,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        bound: int,
    ) -> None:
        super().__init__(connections)
        self._method, self._url, self._headers, self._body, self._bound = method, url, headers, body, bound

    def run(self) -> Answer:
        """The answer; raises Unreachable, and ContentError for a body that is larger than its bound."""
        return self._blocking(self._answer, url=lambda: self._url)

    def _answer(self) -> Answer:
        response = self._send(self._method, self._url, self._headers, self._body)
        assert response is not None  # noqa: S101 - no body is to follow
        received = response.read(self._bound + 1)
        self._connections.meter.received(self._host, len(received))
        self._check(response, len(received))
        self._keep()
        return Answer(response.status, lowered(response.getheaders()), received, self._url)

    def _check(self, response: http.client.HTTPResponse, size: int) -> None:
        at = urlsplit(self._url)
        if size > self._bound:
            raise ContentError(
                f"{at.netloc}: {self._method} {at.path}: the answer is larger than {self._bound} bytes, "
                "which is refused"
            )
        if response.length:  # http.client says nothing of it
            raise http.client.HTTPException(f"the connection ended {response.length} bytes before the answer did")
        if response.status == 407:
            raise refused_by_proxy(at.netloc, 407)


class _Seeing(Exchange):
    """A connection, for the certificate that comes with it."""

    def __init__(self, connections: Connections, url: str) -> None:
        super().__init__(connections)
        self._url = url

    def run(self) -> datetime | None:
        """When the certificate ends; None where there is none."""
        return self._blocking(self._ends, url=lambda: self._url)

    def _ends(self) -> datetime | None:
        self._connection = connection = self._connections.take(self._url)
        self._step(self._url, connection.connect)
        ends = connection.certificate_ends
        self._connections.give_back(connection)
        self._connection = None
        return ends


def _given_up(url: str) -> Unreachable:
    return Unreachable(f"{urlsplit(url).netloc}: given up", is_temporary=False)
