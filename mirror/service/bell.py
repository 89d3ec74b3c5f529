"""The bell: who wants work rings, and the loop hears; a wish that was not heard yet is not rung twice.

What was rung first is done first: a sync that takes longer than its interval leaves room for the verification.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Work: TypeAlias = Literal["sync", "deep_verify"]
Why: TypeAlias = Literal["start", "schedule", "retry", "reload"]


@dataclass(slots=True)
class Bell:
    """What is wanted and not begun, in the order in which it was rung."""

    _wanted: dict[Work, Why] = field(default_factory=dict, init=False)
    _rung: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def ring(self, work: Work, why: Why) -> None:
        """*work* is wanted; the first reason stays."""
        self._wanted.setdefault(work, why)
        self._rung.set()

    async def heard(self) -> tuple[Work, Why]:
        """What is to be done next, and why; waits until something is. Not wanted any more afterwards."""
        await self._rung.wait()
        work = next(iter(self._wanted))
        why = self._wanted.pop(work)
        if not self._wanted:
            self._rung.clear()
        return work, why
