"""The display of progress on stderr: one line an image that moves, one for the whole.

Many worker threads call `advanced` for every chunk, so it only adds to a count; the display reads the counts when it
draws, eight times a second. An image that is done leaves a line above the display.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from mirror.amounts import human_size
from mirror.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from mirror.sync import Move

_REFRESHES_PER_SECOND = 8


@dataclass(slots=True)
class _Moving:
    task: TaskID
    size: int
    count: int = 0


class Display:
    """A display that lives inside of a `with`; all calls are thread-safe, and ignore what was not started."""

    def __init__(self, console: Console | None = None) -> None:
        self._lock = threading.Lock()
        self._images: dict[Move, _Moving] = {}
        self._done = 0  # bytes of images that are finished
        self._size = 0
        self._finished = 0
        self._bars = _Bars(self, console or Console(file=sys.stderr))
        self._total = self._bars.add_task("total", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def image_started(self, move: Move, size: int) -> None:
        """*move* begins: *size* bytes at most, fewer if the destination has some."""
        task = self._bars.add_task(printable(_short(move.reference)), total=size or None)
        with self._lock:
            self._images[move] = _Moving(task, size)
            self._size += size

    def advanced(self, move: Move, count: int) -> None:
        """*count* more bytes of *move* are done."""
        with self._lock:
            if moving := self._images.get(move):
                moving.count += count

    def image_finished(self, move: Move, outcome: str) -> None:
        """*move* is done, with *outcome* as the report has it."""
        with self._lock:
            moving = self._images.pop(move, None)
            if moving is None:
                return
            self._finished += 1
            self._done += moving.count
            self._size += moving.count - moving.size  # what was there already is no longer awaited
        self._bars.remove_task(moving.task)
        style = "red" if outcome in ("failed", "refused") else "green"
        line = Text.assemble((f"{outcome:>8}", style), f"  {printable(move.reference)}  {human_size(moving.count)}")
        self._bars.console.print(line, soft_wrap=True)

    def counted(self) -> Iterable[tuple[TaskID, int, int]]:
        """Each task with the bytes that are done and awaited, the total last."""
        with self._lock:
            tasks = [(moving.task, moving.count, moving.size) for moving in self._images.values()]
            done = self._done + sum(count for _, count, _ in tasks)
            return [*tasks, (self._total, done, self._size)]

    def summary(self) -> str:
        """What the total's line is called."""
        with self._lock:
            return f"{self._finished} of {self._finished + len(self._images)} images"


class _Bars(RichProgress):
    """Takes the counts over whenever it draws."""

    def __init__(self, counts: Display, console: Console) -> None:
        self._counts: Display | None = None  # the base class draws once before it is complete
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )
        self._counts = counts

    def get_renderables(self) -> Iterable[RenderableType]:
        """The base class calls this each time it draws."""
        if self._counts is not None and self.task_ids:
            for task, done, size in self._counts.counted():
                if task in self.task_ids:
                    self.update(task, completed=done, total=max(size, done) or None)
            self.update(self.task_ids[0], description=self._counts.summary(), visible=len(self.task_ids) > 1)
        yield from super().get_renderables()


def _short(reference: str) -> str:
    """The last two segments of a path: enough to tell images apart, short enough for a line."""
    return "/".join(reference.split("/")[-2:])
