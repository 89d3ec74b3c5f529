"""An HTTP server in this process, on a free loopback port, that leaves nothing open when it ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived; header names are in lower case, *target* is the path with its query."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


class Handler(BaseHTTPRequestHandler):
    """Keeps connections, logs nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def respond(self) -> None:
        """Answers one request, whatever its method."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.respond
        raise AttributeError(name)

    def end_headers(self) -> None:
        if self.close_connection:
            self.send_header("Connection", "close")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the base class's name
        pass

    def seen(self) -> Seen:
        return Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})


class Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can end them."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, handler: Callable[..., Handler], context: ssl.SSLContext | None) -> None:
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._context = context
        super().__init__(("127.0.0.1", 0), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self._context is None:
            super().finish_request(request, client_address)
            return
        try:
            secured = self._context.wrap_socket(request, server_side=True)  # detaches request
        except OSError:  # the client does not trust us, or left
            return
        with self._guard:
            self._open.add(secured)
        try:
            super().finish_request(secured, client_address)
        finally:
            self.shutdown_request(secured)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no event."""

    def hang_up(self) -> None:
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(handler: Callable[..., Handler], *, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves by *handler*; yields `HOST:PORT`."""
    server = Server(handler, context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()
