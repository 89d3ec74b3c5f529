"""An application behind a real server, in a thread, on a free loopback port."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from mirror.service.connection import Connection
from mirror.service.serve import server_of


@contextmanager
def served(app: ASGIApp, connection: type[Connection] = Connection) -> Iterator[str]:
    """Serves *app* inside of a `with`; its URL, which ends with a slash."""
    server = server_of(app, connection)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])), name="served")
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()
