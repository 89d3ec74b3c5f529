"""Progress on stderr, from the first image that moves on.

A run in step moves none, so what draws is loaded when the first one starts.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from mirror.cli.display import Display
    from mirror.sync import Move


class Progress:
    """Opens a display when the first image starts, and closes it at the end of a `with`."""

    def __init__(self) -> None:
        self._display: Display | None = None
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(kind, exc, trace)

    def image_started(self, move: Move, size: int) -> None:
        """See Display.image_started."""
        if self._display is None:
            from mirror.cli.display import Display

            self._display = self._closing.enter_context(Display())
        self._display.image_started(move, size)

    def advanced(self, move: Move, count: int) -> None:
        """See Display.advanced."""
        if self._display is not None:
            self._display.advanced(move, count)

    def image_finished(self, move: Move, outcome: str) -> None:
        """See Display.image_finished."""
        if self._display is not None:
            self._display.image_finished(move, outcome)


class QuietProgress:
    """Shows nothing: where there is no terminal, the log has a line for each image."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def image_started(self, move: Move, size: int) -> None: ...
    def advanced(self, move: Move, count: int) -> None: ...
    def image_finished(self, move: Move, outcome: str) -> None: ...
