"""An HTTP server in this process, on a free loopback port, that leaves nothing open when it ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_CHUNK = 64 * 1024


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


@dataclass(frozen=True, slots=True)
class Response:
    """An answer before it is sent; *body* is left out for HEAD, its length is not."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    """The Content-Length that is claimed, if not the body's."""
    cut_after: int | None = None
    """The connection is reset after so many bytes of the body."""
    stall_after: int | None = None
    """Nothing more is sent after so many bytes, until the client leaves or the server ends."""

    def having(self, **headers: str) -> Response:
        """This with *headers*, underscores read as dashes; an empty value takes one away."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in map(str.lower, names)}
        return replace(self, headers={**kept, **{name: value for name, value in names.items() if value}})


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

    def read_body(self) -> bytes | None:
        """The request's body; None if the client left in the middle of it."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunked_body()
        length = int(self.headers.get("Content-Length") or 0)
        if "100-continue" in self.headers.get("Expect", ""):
            self.send_response_only(100)
            self.end_headers()
        body = bytearray()
        while len(body) < length and (chunk := self.rfile.read(min(_CHUNK, length - len(body)))):
            body += chunk
        return bytes(body) if len(body) == length else None

    def _chunked_body(self) -> bytes | None:
        body = bytearray()
        while size := int(self.rfile.readline().partition(b";")[0] or b"0", 16):
            chunk = self.rfile.read(size)
            if len(chunk) != size:
                return None
            body += chunk
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def send(self, response: Response) -> None:
        """Sends *response* as it says, breaking off where it does."""
        length = len(response.body) if response.length is None else response.length
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        stops = [stop for stop in (response.cut_after, response.stall_after) if stop is not None]
        sent = response.body[: stops[0]] if stops else response.body
        self.wfile.write(sent)
        if response.stall_after is not None:
            self.wait()
        if response.cut_after is not None:
            self.reset()
        elif length != len(response.body) or stops:
            self.close_connection = True

    def wait(self) -> None:
        """How long an answer stalls."""

    def reset(self) -> None:
        """The connection is reset once this request is left."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


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
