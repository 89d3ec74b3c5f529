"""An nginx before a registry, that takes no large body, as in goharbor/harbor-helm#859.

It answers as soon as it has read the head of a request whose Content-Length is larger than client_max_body_size: with
413, a page of its own, and the end of the connection (ngx_http_core_module.c, ngx_http_core_find_config_phase). It then
reads on what the client still sends (lingering_close), or does not.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers.certificates import Certificates
from tests.servers.gateway import Gateway
from tests.servers.loopback import Response, Seen, serving

_PAGE = (
    b"<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n"
    b"<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx/1.24.0</center>\r\n"
    b"</body>\r\n</html>\r\n"
)


@dataclass(slots=True)
class Ingress:
    """What came."""

    body_max: int
    lingers: bool
    url: str = ""
    passed: list[Seen] = field(default_factory=list)
    refused: list[Seen] = field(default_factory=list)
    wasted: int = 0
    """Bytes that came of bodies that were refused, as far as they were read."""


@contextmanager
def ingress(
    behind: str, *, body_max: int, lingers: bool = True, certificates: Certificates | None = None
) -> Iterator[Ingress]:
    """Runs before the registry at *behind* (`HOST:PORT`); https with *certificates*."""
    front = Ingress(body_max, lingers)

    class IngressHandler(_IngressHandler):
        pass

    IngressHandler.behind, IngressHandler.front = behind, front
    context = None
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
    with serving(IngressHandler, context=context) as host:
        front.url = f"{'https' if certificates else 'http'}://{host}"
        yield front


class _IngressHandler(Gateway):
    front: Ingress

    def respond(self) -> None:
        if int(self.headers.get("Content-Length") or 0) > self.front.body_max:
            self._refuse()
        elif (body := self.read_body()) is None:  # the client left in the middle
            self.close_connection = True
        else:
            self.front.passed.append(self.seen())
            self.send(self.forward(body))

    def version_string(self) -> str:
        return "nginx/1.24.0"

    def _refuse(self) -> None:
        self.front.refused.append(self.seen())
        self.close_connection = True
        self.send(Response(413, {"Content-Type": "text/html"}, _PAGE))
        if self.front.lingers:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)
                while data := self.rfile.read1(65536):
                    self.front.wasted += len(data)
