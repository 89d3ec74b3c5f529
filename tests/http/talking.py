"""A server that says what it was told to, and knows no HTTP."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.certificates import Certificates

_PATIENCE_S = 5.0


@contextmanager
def talking(
    head: bytes,
    forever: bytes = b"",
    *,
    every_s: float = 0.0,
    reads: bool = True,
    certificates: Certificates | None = None,
    gate: threading.Event | None = None,
) -> Iterator[str]:
    """Runs a server that reads once and sends *head*, then *forever* again and again.

    That comes *every_s*, or as fast as it goes; without *reads* it does nothing.
    Yields its URL: https with *certificates*, whose handshake waits for *gate*.
    """
    ending = threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificates else None
    if context and certificates:
        context.load_cert_chain(certificates.certificate, certificates.key)

    def talk(client: socket.socket) -> None:
        if not reads:
            ending.wait()
            return
        client.recv(65536)
        client.sendall(head)
        while forever and not ending.is_set():
            client.sendall(forever)
            ending.wait(every_s)

    def serve() -> None:
        while not ending.is_set():
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                client.settimeout(_PATIENCE_S)
                # else what it says may wait for the client to acknowledge TLS's own, and be lost when it hangs up
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if gate:
                    gate.wait(_PATIENCE_S)
                with context.wrap_socket(client, server_side=True) if context else client as secured:
                    talk(secured)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"{'https' if certificates else 'http'}://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            ending.set()
            thread.join()
