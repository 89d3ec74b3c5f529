"""How the run under way goes: told by worker threads, read by the page and by /livez."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mirror.sync import Move


@dataclass(frozen=True, slots=True)
class Moving:
    """An image on its way: *done* of *size* bytes; what is there already is done without being sent."""

    reference: str
    size: int
    done: int


@dataclass(slots=True)
class RunProgress:
    """The images of one run that are on their way (mirror.sync.Progress); any thread may tell, or ask."""

    clock: Callable[[], float] = time.monotonic
    _moving: dict[Move, Moving] = field(default_factory=dict, init=False)
    _finished: int = field(default=0, init=False)
    _touched_at: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._touched_at = self.clock()

    @property
    def moving(self) -> tuple[Moving, ...]:
        """The images on their way, as they began; one that is on its way to several destinations is told once."""
        summed = dict[str, Moving]()
        with self._lock:
            for each in self._moving.values():
                before = summed.get(each.reference, Moving(each.reference, 0, 0))
                summed[each.reference] = Moving(each.reference, before.size + each.size, before.done + each.done)
        return tuple(summed.values())

    @property
    def finished(self) -> int:
        """How many images are done with, whatever became of them."""
        return self._finished

    @property
    def idle_s(self) -> float:
        """Seconds since anything moved."""
        return self.clock() - self._touched_at

    def touch(self) -> None:
        """Something moved: a request was answered."""
        self._touched_at = self.clock()

    def image_started(self, move: Move, size: int) -> None:
        """*size* bytes are to move."""
        self.touch()
        with self._lock:
            self._moving[move] = Moving(move.reference, size, 0)

    def advanced(self, move: Move, count: int) -> None:
        """*count* bytes moved; fewer than none where a blob begins anew."""
        self.touch()
        with self._lock:
            before = self._moving.get(move)
            if before is not None:
                self._moving[move] = replace(before, done=before.done + count)

    def image_finished(self, move: Move, outcome: str) -> None:  # noqa: ARG002 - the report says it
        """*move* is done with."""
        self.touch()
        with self._lock:
            self._finished += 1
            self._moving.pop(move, None)
