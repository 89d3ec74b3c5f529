"""Samples of a process, and what must hold of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression

SLOPE_MAX = 64.0
"""KiB a minute: 90 MiB a day, which a container would bear for a week. What a day shows, half an hour cannot."""
QUARTERS_MAX = 1.05
HANDLES_MAX = 2
"""Files and threads more than at first: a connection of whoever asks, a worker that is about to end."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process has, *at_s* after its start; sizes in KiB."""

    at_s: float
    rss: int
    pss: int
    files: int
    sockets: int
    threads: int


@dataclass(frozen=True, slots=True)
class Memory:
    """How memory went; KiB, and KiB a minute."""

    first_quarter: float
    second_quarter: float
    last_quarter: float
    slope: float
    """Of the line through the second half."""
    peak: int

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Memory:
        """That of *samples*, of which there are at least eight."""
        quarter = len(samples) // 4
        half = samples[len(samples) // 2 :]
        return cls(
            first_quarter=fmean(each.rss for each in samples[:quarter]),
            second_quarter=fmean(each.rss for each in samples[quarter : 2 * quarter]),
            last_quarter=fmean(each.rss for each in samples[-quarter:]),
            slope=linear_regression([each.at_s / 60 for each in half], [float(each.rss) for each in half]).slope,
            peak=max(each.rss for each in samples),
        )


def leaks(samples: Sequence[Sample], before: Sample, after: Sample) -> Iterator[str]:
    """A sentence for each thing that grows: memory by *samples*, handles from *before* to *after*, both at rest."""
    memory = Memory.of(samples)
    if memory.slope > SLOPE_MAX and memory.last_quarter > memory.second_quarter * QUARTERS_MAX:
        yield (
            f"memory grows by {memory.slope:.0f} KiB a minute, from {memory.second_quarter:.0f} KiB in the second "
            f"quarter to {memory.last_quarter:.0f} in the last"
        )
    for what in ("files", "sockets", "threads"):
        first, last = getattr(before, what), getattr(after, what)
        if last > first + HANDLES_MAX:
            yield f"{last} {what} are open at the end, {first} were after the first run"


def unaccounted(
    begun: Sequence[int], ended: Sequence[int], told: int, counted: int | None, shown: Sequence[int] | None, kept: int
) -> Iterator[str]:
    """A sentence for each way in which runs are not told of alike.

    *begun* and *ended* are their numbers by the log. When *told* of them had ended, *counted* is how many the metrics
    knew, and *shown* were those of the API, newest first, which keeps *kept* of them; None for what could not be read.
    """
    if list(begun) != list(range(1, len(begun) + 1)):
        yield f"the runs of the log are not numbered without a gap: {list(begun)}"
    if list(begun) != list(ended):
        yield f"of {len(begun)} runs that began, {len(ended)} have ended, not each of them once and in order"
    if counted != told:
        yield f"mirror_runs_total is {counted}, the log has {told} runs"
    last = list(ended[:told])[: -kept - 1 : -1]
    if shown is None or list(shown) != last:
        yield f"/api/v1/status shows the runs {shown}, the last of the log are {last}"
