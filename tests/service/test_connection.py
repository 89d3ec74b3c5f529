"""Who holds a connection and does nothing with it: told by a real server, over real sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from mirror.service.connection import Connection
from tests.service.answering import served
from tests.waiting import wait_for

LARGE = b"x" * 16_000_000  # more than the kernel takes for a client that reads nothing
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"


class Hasty(Connection):
    """One that waits less."""

    patience_s = 0.5


async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": LARGE})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with served(large, Hasty) as url:
        parsed = httpx.URL(url)
        yield parsed.host, parsed.port or 0


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has given it up."""
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True
    except (BlockingIOError, TimeoutError):
        return False


@pytest.mark.parametrize("begun", [b"", REQUEST], ids=["nothing", "half a head"])
def test_silent(begun: bytes, address: tuple[str, int]) -> None:
    """It is closed, whatever has come of a request."""
    with socket.create_connection(address) as connection:
        connection.sendall(begun)
        connection.settimeout(0.02)

        wait_for(lambda: is_closed(connection), timeout_s=5)


def test_byte_by_byte(address: tuple[str, int]) -> None:
    """That bytes come does not help: a request is to come."""
    with socket.create_connection(address) as connection:
        connection.sendall(REQUEST + b"X: ")
        connection.settimeout(0.02)

        def is_closed_meanwhile() -> bool:
            try:
                connection.sendall(b"x")
            except OSError:
                return True
            return is_closed(connection)

        wait_for(is_closed_meanwhile, timeout_s=5)


def test_an_answer_that_nobody_takes(address: tuple[str, int]) -> None:
    """What was not taken is let go."""
    with socket.create_connection(address) as connection:
        connection.sendall(REQUEST + b"\r\n")
        wait_for(lambda: not _is_open(address, connection.getsockname()), timeout_s=5)
        received = sum(map(len, _pieces(connection)))

    assert received < len(LARGE)


def test_an_answer_that_is_taken_slowly(address: tuple[str, int]) -> None:
    """It goes on to its end, however long that is."""
    with socket.create_connection(address) as connection:
        connection.sendall(REQUEST + b"Connection: close\r\n\r\n")
        received = sum(map(len, _pieces(connection, pause_s=0.1)))

    assert received > len(LARGE)


def _pieces(connection: socket.socket, pause_s: float = 0) -> Iterator[bytes]:
    """What comes until the server closes, by the megabyte, each after a pause in which nothing is read."""
    connection.settimeout(5)
    while piece := connection.recv(1 << 20):
        yield piece
        time.sleep(pause_s)


def _is_open(server: tuple[str, int], client: tuple[str, int]) -> bool:
    """Whether the server's end of the connection is (proc(5), /proc/net/tcp, ESTABLISHED)."""
    ends = f":{server[1]:04X}", f":{client[1]:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(line[1].endswith(ends[0]) and line[2].endswith(ends[1]) and line[3] == "01" for line in lines)
