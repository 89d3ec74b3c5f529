"""A sleep that takes no time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from mirror.http.transport import Transport


@dataclass(slots=True)
class Naps:
    """Called instead of asyncio.sleep; *taken* is what was asked of it, in seconds."""

    taken: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)

    def now(self) -> float:
        """The monotonic clock, as if each nap had been taken."""
        return time.monotonic() + sum(self.taken)

    def instead(self, transport: Transport) -> None:
        """*transport* naps from now on."""
        transport.sleep = transport.gate.sleep = self
        transport.gate.now = self.now
