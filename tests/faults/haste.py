"""An event loop whose seconds are short: what sleeps, and what ends by a deadline, does so SPEED times sooner."""

from __future__ import annotations

import asyncio
import selectors

SPEED = 20.0


class _Selector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout and timeout / SPEED)


class HastyLoop(asyncio.SelectorEventLoop):
    """For `asyncio.Runner(loop_factory=HastyLoop)`; blocking calls in threads take as long as ever."""

    def __init__(self) -> None:
        super().__init__(_Selector())

    def time(self) -> float:
        return super().time() * SPEED
