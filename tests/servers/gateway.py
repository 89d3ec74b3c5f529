"""A gateway stands before a registry: each request and each answer passes through a method that a test writes.

    client ──► respond() ──► forward() ──► the registry behind
           ◄── send()    ◄──

Clients see nothing of the registry's own address: it makes its upload locations of the Host that they sent.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping

from tests.servers.loopback import Handler, Response

_TIMEOUT_S = 30.0
_OF_THE_CONNECTION = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})


class Gateway(Handler):
    """Passes requests on, over one connection for each of the client's."""

    behind = ""
    """`HOST:PORT` of the registry."""
    _upstream: http.client.HTTPConnection | None = None

    def forward(
        self,
        body: bytes = b"",
        *,
        method: str = "",
        target: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """What the registry answers: to the client's request, or to another *method*, *target*, *headers*."""
        method = method or self.command
        connection = self._upstream = self._upstream or http.client.HTTPConnection(self.behind, timeout=_TIMEOUT_S)
        try:
            connection.request(method, target or self.path, body, dict(self.headers if headers is None else headers))
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        length = answer.getheader("Content-Length")
        return Response(
            answer.status,
            {name: value for name, value in answer.getheaders() if name.lower() not in _OF_THE_CONNECTION},
            data,
            int(length) if method == "HEAD" and length else None,
        )

    def finish(self) -> None:
        if self._upstream:
            self._upstream.close()
        super().finish()
