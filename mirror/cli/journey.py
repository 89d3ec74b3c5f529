"""The releases on the way, for the commands that take `--from`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirror.cli import output

if TYPE_CHECKING:
    from mirror.app import App
    from mirror.inventory import Catalogue
    from mirror.linkerd.release import Selector


@dataclass(frozen=True, slots=True)
class Journey:
    """What is asked for, with the releases that are passed on the way to it."""

    selectors: tuple[Selector, ...]
    paths: tuple[tuple[str, ...], ...] = ()
    """The releases of each upgrade path, its ends included."""

    def document(self) -> dict[str, object]:
        """As JSON has it, beside a report."""
        return {"paths": [list(path) for path in self.paths]}

    def print(self) -> None:
        """Prints a line for each path, for people."""
        for path in self.paths:
            output.print_line(f"path: {' → '.join(path)}; keep {path[0]} mirrored until no pod runs its proxy any more")


async def journey(app: App, catalogue: Catalogue, start: str, releases: Sequence[str]) -> Journey:
    """To *releases*, or those of the configuration, from the one that *start* asks for, if it asks for one.

    Raises UsageError where there is no upgrade path to one of them.
    """
    goals = app.selectors(releases)
    if not start:
        return Journey(tuple(goals))
    (begin,) = app.selectors([start])
    paths = await catalogue.paths(begin, goals)
    passed = (hop.after for path in paths for hop in path)
    return Journey(
        (begin, *passed, *goals),
        tuple((str(path[0].before), *(str(hop.after) for hop in path)) for path in paths),
    )
