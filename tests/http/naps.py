"""A sleep that takes no time."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Naps:
    """Called instead of asyncio.sleep; *taken* is what was asked of it, in seconds."""

    taken: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
