"""Small requests: one `Transport` a registry or chart repository, over httpx.

Afterwards there is either an `Answer`, its body read whole and bounded, or an exception of errors.py.
Nothing above sees httpx.

Rules it keeps:
- no cookies (Harbor answers 403 to a request that carries one), nothing read from the environment but proxies;
- Authorization never goes to another host than the one it is for, https never becomes http, and a redirect to
  loopback or link-local is followed only from there (distribution-spec v1.1, #redirects);
- what is temporary is tried again, by this table, and nothing else is:

    seen                                    waits before the next try
    ─────────────────────────────────────── ────────────────────────────────────────────────────────────
    429                                     Retry-After, else the wait in GHCR's message, else the back-off
    408, 500, 502, 503, 504                 Retry-After, else the back-off
    no connection, reset, idle too long     the back-off, for CONNECT_PATIENCE_S at most

  The back-off is 0.25 s, doubled each time, at most 8 s, with a quarter of jitter; ATTEMPTS tries at most.
"""

from __future__ import annotations

import asyncio
import email.utils
import os
import random
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from urllib.parse import SplitResult, urljoin, urlsplit

import certifi
import httpx
import structlog

from mirror.durations import go_duration
from mirror.errors import TEMPORARY_STATUSES, ContentError, RegistryError, SettingsError, Unreachable
from mirror.http.proxies import Proxies, Proxy, is_local

ATTEMPTS = 5
CONNECT_PATIENCE_S = 15.0
WAIT_MAX_S = 60.0
WAIT_MIN_S = 0.25
REDIRECTS_MAX = 5
CONNECT_TIMEOUT_S = 5.0
IDLE_TIMEOUT_S = 30.0
USER_AGENT = "linkerd-mirror"

_RETRY_AFTER_MESSAGE = re.compile(r"retry-after:\s*((?:[0-9]+(?:\.[0-9]*)?(?:ns|us|µs|μs|ms|s|m|h))+)", re.IGNORECASE)
_PROXY_REFUSED = re.compile(r"(?:Tunnel connection failed: )?([1-5][0-9][0-9]) ")  # http.client's words, and httpx's
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
_ON_THE_WIRE = re.compile(r"[!-~]*")
# fields that are lists, so that several of them are one (RFC 9110 §5.3); Gitea sends two challenges so
_LISTS = frozenset({"www-authenticate", "link", "warning"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """One response, whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    """Where it came from, after redirects."""


@lru_cache(maxsize=32)
def tls_context(ca_file: str) -> ssl.SSLContext:
    """What certificates are held to: certifi's, or SSL_CERT_FILE's and SSL_CERT_DIR's, and *ca_file*'s beside them."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise SettingsError(f"ca_file {ca_file!r} cannot be read as PEM certificates: {exc}") from exc
    return context


def requested_wait(headers: Mapping[str, str], body: bytes, *, now: datetime) -> float | None:
    """Seconds that a 429 or 503 asks us to wait: Retry-After (RFC 9110 §10.2.3), or GHCR's message in the body.

    GHCR writes `retry-after: 880.092µs, allowed: 44000/minute` into the error's message
    (falcosecurity/plugins#1069), and no header.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    if value:
        try:
            return max(0.0, (email.utils.parsedate_to_datetime(value).astimezone(UTC) - now).total_seconds())
        except (ValueError, OverflowError):
            pass
    text = body[:4096].decode(errors="replace").replace("\\u00b5", "µ").replace("\\u03bc", "μ")
    found = _RETRY_AFTER_MESSAGE.search(text)
    return go_duration(found.group(1)) if found else None


def lowered(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header *fields* by their names in lower case; a list in several fields is whole, of others the last counts."""
    headers: dict[str, str] = {}
    for field_name, value in fields:
        name = field_name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in _LISTS and name in headers else value
    return headers


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of *url*: what a credential is for."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def checked_target(url: str, target: str, *, what: str) -> str:
    """*target*, absolute, where *url*'s server sends us (*what* it calls it: a redirect, an upload location).

    A server behind TLS that calls itself http at its own name is taken at https. Raises Unreachable for
    what could lead a request astray: another scheme, plain http, our own loopback and link-local, no address at all.
    """
    here, there = urlsplit(url), parsed_target(url, target)
    if there is None:
        raise Unreachable(f"{here.netloc} gave {what} to what is not an address of a server", is_temporary=False)
    if here.scheme == "https" and there.scheme == "http" and here.hostname == there.hostname:
        there = there._replace(scheme="https", netloc=there.netloc.removesuffix(":80"))
    if there.scheme not in ("http", "https") or (here.scheme == "https" and there.scheme == "http"):
        raise Unreachable(
            f"{here.netloc} gave {what} to {there.scheme}://{there.netloc}, which is refused: not https",
            is_temporary=False,
        )
    if is_local(there.hostname or "") and not is_local(here.hostname or ""):
        raise Unreachable(
            f"{here.netloc} gave {what} to {there.netloc}, an address of this machine, which is refused",
            is_temporary=False,
        )
    return there.geturl()


def parsed_target(url: str, target: str) -> SplitResult | None:
    """*target* as *url*'s server means it; None where it names no host, or is no URL as it goes on a wire."""
    try:
        there = urlsplit(urljoin(url, target))
        is_address = there.hostname and there.port != 0 and "@" not in there.netloc
    except ValueError:  # a port out of range, a bracket without its pair
        return None
    return there if is_address and _ON_THE_WIRE.fullmatch(target) else None


@dataclass(slots=True)
class Transport:
    """Connections to one registry, kept and bounded by *max_connections*; its redirects' targets included."""

    ca_file: str = ""
    max_connections: int = 16
    proxies: Proxies = field(default_factory=Proxies.from_environment)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    idle_timeout_s: float = IDLE_TIMEOUT_S
    _pools: dict[Proxy | None, httpx.AsyncHTTPTransport] = field(default_factory=dict, init=False)

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection."""
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        bound: int = 4 * 1024 * 1024,
        follow: bool = True,
    ) -> Answer:
        """The answer to a request that may be sent more than once, temporary faults overcome.

        *bound* is the most bytes read of a body; more is a ContentError. *follow* takes redirects of GET and HEAD.
        """
        begin = time.monotonic()
        attempt = 1
        while True:
            try:
                answer = await self._follow(method, url, headers, body, bound, follow=follow)
            except Unreachable as exc:
                wait = _back_off(attempt)
                if not exc.is_temporary or attempt >= ATTEMPTS or _elapsed(begin) + wait > CONNECT_PATIENCE_S:
                    raise
                log.debug("http.retried", method=method, host=urlsplit(url).netloc, attempt=attempt, reason=str(exc))
            else:
                if answer.status not in TEMPORARY_STATUSES or attempt >= ATTEMPTS:
                    return answer
                asked = requested_wait(answer.headers, answer.body, now=datetime.now(UTC))
                if asked is not None and asked > WAIT_MAX_S:
                    raise RegistryError(
                        f"{urlsplit(url).netloc} answers {answer.status} and asks us to wait {asked:.0f} s, "
                        "which is too long: try again then",
                        status=answer.status,
                    )
                wait = max(WAIT_MIN_S, asked) * random.uniform(1, 1.25) if asked is not None else _back_off(attempt)  # noqa: S311
                log.debug(
                    "http.retried", method=method, host=urlsplit(url).netloc, attempt=attempt, status=answer.status
                )
            attempt += 1
            await self.sleep(wait)

    async def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, bound: int, *, follow: bool
    ) -> Answer:
        at, sent = url, dict(headers)
        for _ in range(REDIRECTS_MAX + 1):
            answer = await self._once(method, at, sent, body, bound)
            location = answer.headers.get("location")
            if (
                not follow
                or method not in ("GET", "HEAD")
                or answer.status not in (301, 302, 303, 307, 308)
                or not location
            ):
                return answer
            at = checked_target(at, location, what="a redirect")
            if origin(at) != origin(url):
                sent = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        raise Unreachable(f"{urlsplit(url).netloc}: more than {REDIRECTS_MAX} redirects", is_temporary=False)

    async def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes, bound: int) -> Answer:
        idle = self.idle_timeout_s
        request = httpx.Request(
            method,
            url,
            headers={"User-Agent": USER_AGENT, **headers},
            content=body if body or method in ("POST", "PUT", "PATCH") else None,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT_S, "read": idle, "write": idle, "pool": None}},
        )
        host, proxy = urlsplit(url).netloc, self.proxies.for_url(url)
        begin = time.monotonic()
        try:
            response = await self._pool(proxy).handle_async_request(request)
            try:
                received = await _bounded(response, bound, where=f"{host}: {method} {urlsplit(url).path}")
            finally:
                await response.aclose()
        except httpx.HTTPError as exc:
            raise unreachable(host, exc, proxy=proxy) from exc
        if response.status_code == 407:
            raise refused_by_proxy(host, 407)
        fields = lowered((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw)
        log.debug(
            "http.answered",
            method=method,
            host=host,
            path=urlsplit(url).path,
            status=response.status_code,
            seconds=round(time.monotonic() - begin, 3),
        )
        return Answer(response.status_code, fields, received, url)

    def _pool(self, proxy: Proxy | None) -> httpx.AsyncHTTPTransport:
        if proxy not in self._pools:
            self._pools[proxy] = httpx.AsyncHTTPTransport(
                verify=tls_context(self.ca_file),
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
        return self._pools[proxy]


async def _bounded(response: httpx.Response, bound: int, *, where: str) -> bytes:
    chunks, size = [], 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > bound:
            raise ContentError(f"{where}: the answer is larger than {bound} bytes, which is refused")
        chunks.append(chunk)
    return b"".join(chunks)


def unreachable(host: str, exc: Exception, *, proxy: Proxy | None = None) -> Unreachable:
    """The one sentence for a connection that failed, from what httpx, socket or ssl raised."""
    causes = list(_causes(exc))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Unreachable(
                f"{host}: its certificate is not trusted ({cause.verify_message}): "
                "if its authority is your own, name it by ca_file in the configuration",
                is_temporary=False,
            )
    numbers = (c.errno for c in causes if isinstance(c, OSError) and not isinstance(c, ssl.SSLError | socket.gaierror))
    text = next((os.strerror(number).lower() for number in numbers if number), str(exc))
    if refused := _PROXY_REFUSED.match(str(exc)):
        return refused_by_proxy(host, int(refused[1]))
    if isinstance(exc, TimeoutError | httpx.TimeoutException):
        text = "no connection in time" if isinstance(exc, httpx.ConnectTimeout) else "no answer in time"
    elif any(isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS for cause in causes):
        text = 'it does not speak TLS: if it is meant to be plain, give its endpoint as "http://…"'
    elif any(isinstance(cause, socket.gaierror) for cause in causes):
        text = "its name cannot be resolved: check the name, and the network"
    through = f" through the proxy {proxy.url}" if proxy else ""
    return Unreachable(f"{host} cannot be reached{through}: {text or type(exc).__name__}")


def refused_by_proxy(host: str, status: int) -> Unreachable:
    """The one sentence for a proxy that does not let us through to *host*."""
    remedy = ": give it a user name and a password, as in HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
    return Unreachable(
        f"{host} cannot be reached: the proxy answered {status}{remedy if status == 407 else ''}",
        is_temporary=status in TEMPORARY_STATUSES,
    )


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        within = exc.exceptions[0] if isinstance(exc, BaseExceptionGroup) else None  # one for each address tried
        exc = within or exc.__cause__ or exc.__context__


def _back_off(attempt: int) -> float:
    return min(8.0, WAIT_MIN_S * 2.0 ** (attempt - 1)) * _jitter()


def _jitter() -> float:
    return random.uniform(1, 1.25)  # noqa: S311 - no secret depends on it


def _elapsed(begin: float) -> float:
    return time.monotonic() - begin
