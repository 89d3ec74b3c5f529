"""Our own client, pointed at a server of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from mirror.http.connections import Connections
from mirror.http.gate import Gate
from mirror.http.meter import UNMETERED, Meter
from mirror.http.proxies import Proxies
from mirror.http.transport import Transport
from mirror.oci.auth import Authenticator, Credential, Credentials
from mirror.oci.dialect import Dialect
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
    url: str,
    *,
    host: str = "",
    username: str = "",
    password: str = "",
    credentials: Credentials | None = None,
    dialect: Dialect | None = None,
    ca_file: str = "",
    proxies: Proxies | None = None,
    meter: Meter = UNMETERED,
) -> AsyncIterator[Registry]:
    """The registry at *url*, called *host* if given; without *proxies* none is used, whatever the environment says."""
    host = host or urlsplit(url).netloc
    given = credentials or (Given(host, username, password) if username else None)
    proxies = proxies or Proxies()
    connections = Connections(ca_file, proxies, meter=meter)
    transport = Transport(connections, Gate(host=urlsplit(url).netloc, meter=meter))
    registry = Registry(
        host=host,
        endpoint=url,
        transport=transport,
        connections=connections,
        auth=Authenticator(host, transport, given),
        dialect=dialect or Dialect(),
    )
    try:
        yield registry
    finally:
        await registry.aclose()
