"""How much may be under way to one host at once, learned from its answers.

    enter ──► is it our turn (requests_per_second)? ──► is there room (window)? ──► … ──► leave

The window starts at *limit* and is never above it. It is halved when the host says "too much" (429, 503) or answers
ever more slowly, once a second at most, and grows by one for each window's worth of requests that went well: additive
increase, multiplicative decrease. While a host has asked us to wait, nobody enters.

Used by one event loop; `refused` may come from another thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType

from mirror.http.meter import UNMETERED, Meter

_CALM_S = 1.0  # answers to what was sent before the window was halved say nothing about the new one
_SLOW_S = 1.0  # a host that answers within this is not slow, whatever it did before
_SLOWER = 8.0  # times its quickest
_SMOOTHING = 0.1


@dataclass(slots=True)
class Gate:
    """What *host* is asked at once: *limit* requests, and *per_second* of them if that is not 0."""

    limit: int = 16
    per_second: float = 0.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], float] = time.monotonic
    host: str = ""
    meter: Meter = UNMETERED
    _window: float = field(init=False)
    _inside: int = field(default=0, init=False)
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque, init=False)
    _next_turn: float = field(default=0.0, init=False)
    _closed_until: float = field(default=0.0, init=False)
    _halved_at: float = field(default=-_CALM_S, init=False)
    _quickest_s: float = field(default=float("inf"), init=False)
    _usual_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._window = float(self.limit)

    @property
    def window(self) -> int:
        """How many may be inside now."""
        return int(self._window)

    async def __aenter__(self) -> None:
        """Returns when there is room for one more, who came first first."""
        await self._turn()
        if self._inside < self.window and not self._waiting:
            self._inside += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was ours already
                self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._leave()

    def went_well(self, seconds: float) -> None:
        """An answer came in *seconds*."""
        self._quickest_s = min(self._quickest_s, seconds)
        self._usual_s += _SMOOTHING * (seconds - self._usual_s)
        if self._usual_s > max(_SLOW_S, _SLOWER * self._quickest_s):
            self._halve()
        else:
            self._window = min(float(self.limit), self._window + 1 / self._window)

    def refused(self, wait_s: float | None) -> None:
        """The host had too much, and asks us to wait *wait_s*, if it says."""
        self._halve()
        self._closed_until = max(self._closed_until, self.now() + (wait_s or 0.0))

    def _halve(self) -> None:
        if self.now() - self._halved_at >= _CALM_S:
            self._halved_at = self.now()
            self._window = max(1.0, self._window / 2)

    async def _turn(self) -> None:
        if (closed_s := self._closed_until - self.now()) > 0:
            self.meter.held_back(self.host, closed_s)
            await self.sleep(closed_s)
        if self.per_second:
            # a bucket of one: evenly spaced, so that no second ever sees more
            at = max(self.now(), self._next_turn)
            self._next_turn = at + 1 / self.per_second
            if (wait_s := at - self.now()) > 0:
                await self.sleep(wait_s)

    def _leave(self) -> None:
        self._inside -= 1
        while self._waiting and self._inside < self.window:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._inside += 1
