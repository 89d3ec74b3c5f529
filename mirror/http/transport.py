"""Small requests: a `Transport` is one registry or chart repository, over one of two wires.

    Transport.send ──► gate ──► wire ──► redirect? again ──► temporary? wait, again ──► Answer

Afterwards there is either an `Answer`, its body read whole and bounded, or an exception of errors.py.

    connections.Connections    blocking sockets in threads: registries, which are asked a thousand things a run
    general.GeneralClient      httpx: chart repositories and whatever else is no registry

Rules it keeps:
- an answer that comes byte by byte ends at EXCHANGE_TIMEOUT_S, though no wait for a byte was too long;
- no cookies (Harbor answers 403 to a request that carries one), nothing read from the environment but proxies;
- Authorization never goes to another host than the one it is for;
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
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from mirror.errors import TEMPORARY_STATUSES, TOO_MUCH, Unreachable
from mirror.http.answer import (
    EXCHANGE_TIMEOUT_S,
    REDIRECTS,
    REDIRECTS_MAX,
    Answer,
    checked_target,
    origin,
    unreachable,
)
from mirror.http.gate import WAIT_MAX_S, Gate, too_long
from mirror.http.meter import retry_reason

ATTEMPTS = 5
CONNECT_PATIENCE_S = 15.0
WAIT_MIN_S = 0.25

log = structlog.get_logger()


class Wire(Protocol):
    """Sends one request once."""

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, bound: int
    ) -> Answer:
        """The answer to a request, whatever it is, a redirect too; its body whole.

        Raises Unreachable where there is none, and ContentError for a body of more than *bound* bytes.
        """
        ...

    async def aclose(self) -> None:
        """Closes every connection."""
        ...


@dataclass(slots=True)
class Transport:
    """What one host is asked over *wire*, as much at once as *gate* lets in."""

    wire: Wire
    gate: Gate = field(default_factory=Gate)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    timeout_s: float = EXCHANGE_TIMEOUT_S

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection."""
        await self.wire.aclose()

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
                wait, status = wait_before(attempt), None
                if not exc.is_temporary or attempt >= ATTEMPTS or _elapsed(begin) + wait > CONNECT_PATIENCE_S:
                    raise
                log.debug("http.retried", method=method, host=urlsplit(url).netloc, attempt=attempt, reason=str(exc))
            else:
                if answer.status not in TEMPORARY_STATUSES or attempt >= ATTEMPTS:
                    return answer
                asked = answer.wait_s()
                if asked is not None and asked > WAIT_MAX_S:
                    told = f"{urlsplit(url).netloc} answers {answer.status} and asks us to wait {asked:.0f} s"
                    raise too_long(told, asked, status=answer.status)
                wait, status = wait_before(attempt, asked), answer.status
                log.debug(
                    "http.retried", method=method, host=urlsplit(url).netloc, attempt=attempt, status=answer.status
                )
            attempt += 1
            self.gate.meter.retried(urlsplit(url).netloc, retry_reason(status), wait)
            await self.sleep(wait)

    async def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, bound: int, *, follow: bool
    ) -> Answer:
        at, sent = url, dict(headers)
        for _ in range(REDIRECTS_MAX + 1):
            answer = await self._once(method, at, sent, body, bound)
            location = answer.headers.get("location")
            if not follow or method not in ("GET", "HEAD") or answer.status not in REDIRECTS or not location:
                return answer
            at = checked_target(at, location, what="a redirect")
            if origin(at) != origin(url):
                sent = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        raise Unreachable(f"{urlsplit(url).netloc}: more than {REDIRECTS_MAX} redirects", is_temporary=False)

    async def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes, bound: int) -> Answer:
        content = body if body or method in ("POST", "PUT", "PATCH") else None
        async with self.gate:
            begin = time.monotonic()
            try:
                async with asyncio.timeout(self.timeout_s):
                    answer = await self.wire.exchange(method, url, headers, content, bound=bound)
            except TimeoutError as exc:
                raise unreachable(urlsplit(url).netloc, exc) from exc
            seconds = time.monotonic() - begin
            if answer.status in TOO_MUCH:
                self.gate.refused(answer.wait_s())
            else:
                self.gate.went_well(seconds)
        log.debug(
            "http.answered",
            method=method,
            host=urlsplit(url).netloc,
            path=urlsplit(url).path,
            status=answer.status,
            seconds=round(seconds, 3),
        )
        return answer


def wait_before(attempt: int, asked_s: float | None = None) -> float:
    """Seconds between the try number *attempt* and the next: what was *asked* for, else the back-off; jittered."""
    wait_s = min(8.0, WAIT_MIN_S * 2.0 ** (attempt - 1)) if asked_s is None else max(WAIT_MIN_S, asked_s)
    return wait_s * random.uniform(1, 1.25)  # noqa: S311 - no secret depends on it


def _elapsed(begin: float) -> float:
    return time.monotonic() - begin
