"""How much may be under way to one host at once, learned from its answers.

    enter ──► is it open? ──► is it our turn (requests_per_second)? ──► is there room (window)? ──► … ──► leave
                 └──────────────── closed meanwhile: again ─────────────────────────┘

The window starts at *limit* and is never above it. It is halved when the host says "too much" (429, 503) or answers
ever more slowly, once a second at most, and grows by one for each window's worth of requests that went well: additive
increase, multiplicative decrease. While a host has asked us to wait, it is closed: nobody enters, nor waits in another
gate for it. A refusal is told before the one that was refused leaves, so that whoever waits in line knows of it.

Used by one event loop; `refused` may come from another thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType

from mirror.errors import RegistryError
from mirror.http.meter import UNMETERED, Meter

WAIT_MAX_S = 60.0
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
        """Returns when there is room for one more, who came first first; raises as `opened` does."""
        await self.opened()
        while not await self.enter():
            await self.opened()

    @property
    def is_closed(self) -> bool:
        """Whether the host has asked us to wait, and not so long ago."""
        return self._closed_until > self.now()

    async def opened(self) -> None:
        """The host does not ask us to wait, or no longer; raises RegistryError where that would take too long."""
        while (closed_s := self._closed_until - self.now()) > 0:
            if closed_s > WAIT_MAX_S:
                raise too_long(f"{self.host} has asked us to wait {closed_s:.0f} s more", closed_s, status=429)
            self.meter.held_back(self.host, closed_s)
            await self.sleep(closed_s)

    async def enter(self) -> bool:
        """Whether we are inside, when it was our turn and there was room: not where the host was closed meanwhile."""
        await self._turn()
        await self._room()
        if self.is_closed:
            self.leave()
            return False
        return True

    async def _room(self) -> None:
        if self._inside < self.window and not self._waiting:
            self._inside += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was ours already
                self.leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.leave()

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
        if self.per_second:
            # a bucket of one: evenly spaced, so that no second ever sees more
            at = max(self.now(), self._next_turn)
            self._next_turn = at + 1 / self.per_second
            if (wait_s := at - self.now()) > 0:
                await self.sleep(wait_s)

    def leave(self) -> None:
        """Another may enter."""
        self._inside -= 1
        while self._waiting and self._inside < self.window:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._inside += 1


@asynccontextmanager
async def through(*gates: Gate) -> AsyncIterator[None]:
    """Inside of all *gates*, entered in their order while all are open; raises as `Gate.opened` does."""
    while True:
        for gate in gates:
            await gate.opened()
        async with AsyncExitStack() as inside:
            for gate in gates:
                if not await gate.enter():
                    break
                inside.callback(gate.leave)
            else:
                if not any(gate.is_closed for gate in gates):
                    yield
                    return


def too_long(told: str, wait_s: float, *, status: int) -> RegistryError:
    """The error for a wait that a host asks for, as is *told*, and that is not waited for."""
    return RegistryError(f"{told}, which is too long: try again then", status=status, wait_s=wait_s)
