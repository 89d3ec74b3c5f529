"""An HTTP proxy: CONNECT and absolute-form requests, recorded; with Basic credentials if it wants them."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.servers.loopback import Handler, Seen, serving

_CHUNK = 64 * 1024
_DIAL_S = 10.0
_HOP_BY_HOP = frozenset({"proxy-authorization", "proxy-connection", "connection", "keep-alive"})


@dataclass(slots=True)
class Proxy:
    """A running proxy; *routes* says where a `HOST:PORT` really is, for hosts that do not exist."""

    url: str = ""
    username: str = ""
    password: str = ""
    requests: list[Seen] = field(default_factory=list)
    routes: dict[str, str] = field(default_factory=dict)

    @property
    def authority(self) -> str:
        """The `HOST:PORT` of the proxy."""
        return urlsplit(self.url).netloc


@contextmanager
def http_proxy(*, username: str = "", password: str = "") -> Iterator[Proxy]:
    """Runs a proxy; with a *username* it answers 407 to whoever does not give it."""
    proxy = Proxy(username=username, password=password)

    class ProxyHandler(_ProxyHandler):
        settings = proxy

    with serving(ProxyHandler) as address:
        proxy.url = f"http://{address}"
        yield proxy


class _ProxyHandler(Handler):
    settings: Proxy

    def respond(self) -> None:
        self.close_connection = True
        if self._is_admitted():
            (self._tunnel if self.command == "CONNECT" else self._forward)()

    def _tunnel(self) -> None:
        with contextlib.ExitStack() as stack:
            try:
                target = stack.enter_context(self._dial(self.path))
            except OSError:
                self.send_error(502)
                return
            self.send_response_only(200, "Connection established")
            self.end_headers()
            _relay(self.connection, target)

    def _forward(self) -> None:
        parts = urlsplit(self.path)
        authority = parts.netloc if parts.port else f"{parts.netloc}:80"
        kept = [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP]
        line = f"{self.command} {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1"
        with contextlib.ExitStack() as stack:
            try:
                target = stack.enter_context(self._dial(authority))
            except OSError:
                self.send_error(502)
                return
            target.sendall("\r\n".join([line, *kept, "Connection: close", "", ""]).encode("latin-1"))
            left = int(self.headers.get("Content-Length") or 0)
            while left and (chunk := self.rfile.read(min(_CHUNK, left))):
                target.sendall(chunk)
                left -= len(chunk)
            while chunk := target.recv(_CHUNK):
                self.wfile.write(chunk)

    def _is_admitted(self) -> bool:
        settings = self.settings
        settings.requests.append(self.seen())
        wanted = base64.b64encode(f"{settings.username}:{settings.password}".encode()).decode()
        if not settings.username or self.headers.get("Proxy-Authorization") == f"Basic {wanted}":
            return True
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()
        return False

    def _dial(self, authority: str) -> socket.socket:
        host, _, port = self.settings.routes.get(authority, authority).rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout=_DIAL_S)


def _relay(left: socket.socket, right: socket.socket) -> None:
    """Passes bytes both ways until both sides, or one with an error, have ended."""
    towards = {left: right, right: left}
    while towards:
        ready, _, _ = select.select(list(towards), [], [])
        for side in ready:
            try:
                data = side.recv(_CHUNK)
                towards[side].sendall(data)
            except OSError:
                return
            if not data:
                with contextlib.suppress(OSError):
                    towards[side].shutdown(socket.SHUT_WR)
                del towards[side]
