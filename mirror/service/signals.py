"""Signals: SIGHUP asks for the configuration to be read again, SIGTERM and SIGINT for the end.

    the first       *end* is called in the event loop; GRACE_S later the process ends, whatever still blocks
    a second one    the process ends at once

The handlers are the interpreter's and not the event loop's: they hold too where something has blocked the loop, or has
left it, as a thread that is waited for at the very end. A process that ends so loses nothing that it would have kept:
no tag is written before all below it is there, and the next start goes on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

GRACE_S = 4.0  # less than the 5 s that are promised; Kubernetes gives 30, systemd 90
_AT_ONCE = 130


@dataclass(slots=True)
class Signals:
    """What is done when a signal comes; *end* and *reload* are called in the event loop."""

    end: Callable[[], object]
    reload: Callable[[], object]
    ended_by: signal.Signals | None = field(default=None, init=False)
    _running: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop, init=False)

    def heed(self) -> None:
        """From now on signals are heeded, until the process ends; to be called in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._reload)

    @property
    def exit_code(self) -> int:
        """Of a process that was asked to end: 0 by SIGTERM, as a service is; 130 by Ctrl-C."""
        return _AT_ONCE if self.ended_by == signal.SIGINT else 0

    def _end(self, number: int, _frame: FrameType | None) -> None:
        if self.ended_by is not None:
            _end_now(_AT_ONCE, f"ended at once, by a second {signal.Signals(number).name}")
        self.ended_by = signal.Signals(number)
        end_anyway(self.exit_code)
        self._call(self.end)

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        if self.ended_by is None:
            self._call(self.reload)

    def _call(self, what: Callable[[], object]) -> None:
        if not self._running.is_closed():
            self._running.call_soon_threadsafe(what)


def end_anyway(exit_code: int, because: str = "") -> None:
    """The process ends with *exit_code* within GRACE_S, whatever blocks by then; *because* is told in that case."""
    words = f"what was under way did not end within {GRACE_S:g} s, and was left{f'; {because}' if because else ''}"
    # an alarm, not a thread: it comes in the middle of whatever blocks the main thread, be it the interpreter's end
    signal.signal(signal.SIGALRM, lambda *_: _end_now(exit_code, words))
    signal.setitimer(signal.ITIMER_REAL, GRACE_S)


def _end_now(exit_code: int, words: str) -> NoReturn:
    os.write(
        sys.__stderr__.fileno() if sys.__stderr__ else 2, f"mirror: {words}\n".encode()
    )  # a log may be half written
    os._exit(exit_code)
