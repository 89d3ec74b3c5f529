"""Our own client, pointed at a server of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from mirror.http.connections import Connections
from mirror.http.proxies import Proxies
from mirror.http.transport import Transport
from mirror.oci.auth import Authenticator, Credential
from mirror.oci.registry import Registry


@dataclass(frozen=True, slots=True)
class Given:
    """The credential that a test gives, for one host."""

    host: str
    username: str
    password: str

    def credential(self, host: str) -> Credential | None:
        return Credential(self.username, self.password) if host == self.host else None


@asynccontextmanager
async def open_registry(
    url: str, *, username: str = "", password: str = "", ca_file: str = "", proxies: Proxies | None = None
) -> AsyncIterator[Registry]:
    """The registry at *url*; without *proxies* none is used, whatever the environment says."""
    host = urlsplit(url).netloc
    proxies = proxies or Proxies()
    connections = Connections(ca_file, proxies)
    transport = Transport(connections)
    registry = Registry(
        host=host,
        endpoint=url,
        transport=transport,
        connections=connections,
        auth=Authenticator(host, transport, Given(host, username, password) if username else None),
    )
    try:
        yield registry
    finally:
        await registry.aclose()
