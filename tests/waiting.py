"""Waiting for a condition, and not for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_S = 0.02


def wait_for(condition: Callable[[], T], *, timeout_s: float = 30.0, said: Callable[[], str] = str) -> T:
    """What *condition* gives once that is true; fails after *timeout_s* with what is *said* then."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {said()}"
        time.sleep(_POLL_S)
    return found


async def until(condition: Callable[[], T], *, timeout_s: float = 20.0) -> T:
    """As wait_for, the event loop running meanwhile."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        await asyncio.sleep(_POLL_S)
    return found
