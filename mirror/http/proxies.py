"""Which proxy a connection goes through: one answer for every connection we make, httpx's and the blob path's."""

from __future__ import annotations

import ipaddress
import socket
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from mirror.errors import SettingsError


def is_local(host: str) -> bool:
    """Whether *host* is this machine or a link-local address, by its name or address alone (nothing is resolved)."""
    host = host.strip("[]").partition("%")[0].lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))  # 127.1, 2130706433, 0x7f.1: resolvers take them
        except (OSError, ValueError):
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_link_local or address.is_unspecified


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; *username* and *password* are empty where it wants none."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """Without the credential."""
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Proxies:
    """HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as the standard library reads them; loopback never uses one.

    Loopback is left out as Go does (net/http, ProxyFromEnvironment), so that a registry beside us is reached.
    """

    by_scheme: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_environment(cls) -> Proxies:
        """What the environment says now."""
        return cls(urllib.request.getproxies_environment())

    def for_url(self, url: str) -> Proxy | None:
        """The proxy that *url* is reached through, if any."""
        parts = urlsplit(url)
        proxy = self.by_scheme.get(parts.scheme) or self.by_scheme.get("all")
        if not proxy or not parts.hostname or is_local(parts.hostname):
            return None
        if urllib.request.proxy_bypass_environment(parts.netloc.rpartition("@")[2], dict(self.by_scheme)):  # type: ignore[attr-defined]
            return None
        return _parsed(proxy)


def _parsed(url: str) -> Proxy:
    try:
        at = urlsplit(url if "://" in url else f"http://{url}")
        if at.scheme == "http" and at.hostname:
            return Proxy(at.hostname, at.port or 80, unquote(at.username or ""), unquote(at.password or ""))
    except ValueError:
        pass
    raise SettingsError(
        "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY in the environment is not the address of an HTTP proxy: "
        "expected http://HOST:PORT or http://USER:PASSWORD@HOST:PORT"
    )
