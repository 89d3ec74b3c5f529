"""The general client, httpx: for chart repositories, and whatever else is asked little and is no registry."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from mirror.errors import ContentError, Unreachable
from mirror.http.answer import (
    CONNECT_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    USER_AGENT,
    Answer,
    NoConnectionInTime,
    lowered,
    refused_by_proxy,
    tls_context,
    unreachable,
)
from mirror.http.meter import UNMETERED, Meter
from mirror.http.proxies import Proxies, Proxy
from mirror.loading import without

with without("rich"):  # which httpx loads for a command line of its own, where it finds it
    import httpx


@dataclass(slots=True)
class GeneralClient:
    """Connections by httpx, *max_connections* at most; a Wire (transport.py)."""

    ca_file: str = ""
    max_connections: int = 16
    proxies: Proxies = field(default_factory=Proxies.from_environment)
    idle_timeout_s: float = IDLE_TIMEOUT_S
    meter: Meter = UNMETERED
    _pools: dict[tuple[Proxy | None, bool], httpx.AsyncHTTPTransport] = field(default_factory=dict, init=False)

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, bound: int
    ) -> Answer:
        """See Wire."""
        host, proxy = urlsplit(url).netloc, self.proxies.for_url(url)
        try:
            response = await self._answered(host, self._request(method, url, headers, body), proxy)
            try:
                received = await self._bounded(response, bound, host, where=f"{method} {urlsplit(url).path}")
            finally:
                await response.aclose()
        except httpx.ConnectTimeout as exc:
            raise unreachable(host, NoConnectionInTime(), proxy=proxy) from exc
        except httpx.TimeoutException as exc:
            raise unreachable(host, TimeoutError(), proxy=proxy) from exc
        except httpx.HTTPError as exc:
            raise unreachable(host, exc, proxy=proxy) from exc
        except httpx.InvalidURL as exc:
            raise Unreachable(f"{host} cannot be reached: {exc}", is_temporary=False) from exc
        if response.status_code == 407:
            raise refused_by_proxy(host, 407)
        fields = lowered((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw)
        return Answer(response.status_code, fields, received, url)

    def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> httpx.Request:
        idle = self.idle_timeout_s
        return httpx.Request(
            method,
            url,
            headers=httpx.Headers({"User-Agent": USER_AGENT, **headers}, encoding="latin-1"),  # as they are read
            content=body,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT_S, "read": idle, "write": idle, "pool": None}},
        )

    async def _answered(self, host: str, request: httpx.Request, proxy: Proxy | None) -> httpx.Response:
        begin = time.monotonic()
        try:
            response = await self._pool(proxy, is_secure=request.url.scheme == "https").handle_async_request(request)
        except httpx.HTTPError:
            self.meter.unanswered(host, request.method)
            raise
        if sent := len(request.content):
            self.meter.sent(host, sent)
        self.meter.answered(host, request.method, response.status_code, time.monotonic() - begin)
        if ends := _certificate_ends(response):
            self.meter.ends(host, "certificate", ends)
        return response

    async def _bounded(self, response: httpx.Response, bound: int, host: str, *, where: str) -> bytes:
        chunks, size = [], 0
        async for chunk in response.aiter_raw():
            self.meter.received(host, len(chunk))
            size += len(chunk)
            if size > bound:
                raise ContentError(f"{host}: {where}: the answer is larger than {bound} bytes, which is refused")
            chunks.append(chunk)
        return b"".join(chunks)

    async def aclose(self) -> None:
        """Closes every connection."""
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()

    def _pool(self, proxy: Proxy | None, *, is_secure: bool) -> httpx.AsyncHTTPTransport:
        if (proxy, is_secure) not in self._pools:
            # authorities take long to load: a context for http has none, and would trust nobody
            context = tls_context(self.ca_file) if is_secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._pools[proxy, is_secure] = httpx.AsyncHTTPTransport(
                verify=context,
                trust_env=False,
                limits=httpx.Limits(
                    max_connections=self.max_connections,
                    max_keepalive_connections=self.max_connections,
                    keepalive_expiry=20,
                ),
                proxy=httpx.Proxy(proxy.url, auth=(proxy.username, proxy.password) if proxy.username else None)
                if proxy
                else None,
            )
        return self._pools[proxy, is_secure]


def _certificate_ends(response: httpx.Response) -> datetime | None:
    """When the certificate that came with *response* ends (httpcore, network stream extra information)."""
    stream = response.extensions.get("network_stream")
    secured = stream.get_extra_info("ssl_object") if stream else None
    shown = secured.getpeercert() if secured else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC) if shown else None
