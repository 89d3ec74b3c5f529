"""Movements: where a chart repository no longer says what is recorded of it.

A release is published once. An index whose newest release is older than one that was recorded went back, or an old copy
of it is served (linkerd/linkerd2#10926); a chart archive with another digest under its old version was replaced.
Neither says what is right, so both are said. A chart that a mirror holds is refused beside, as a tag that moved
(charts.py); one that it does not hold is not decided on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mirror.errors import UnknownRelease
from mirror.linkerd.parts import ChartFacts
from mirror.linkerd.release import Release

if TYPE_CHECKING:
    from mirror.linkerd.chart import ChartIndex


def went_back(index: ChartIndex, channel: str, recorded: Iterable[Release]) -> str:
    """What is to be said if the newest of *recorded* is newer than all that *index* has of *channel*; else nothing."""
    newest = max((each for each in recorded if each.channel == channel), default=None)
    listed = max((each for each in index.releases() if each.channel == channel), default=None)
    if newest is None or (listed is not None and newest <= listed):
        return ""
    return (
        f"the chart index of the channel {channel} went back: its newest release is {listed or 'none'}, and {newest} "
        "is recorded; somebody serves an old copy of it, or took releases back"
    )


def listed_archives(index: ChartIndex | None, release: Release) -> Mapping[tuple[str, str], str]:
    """The sha256 of each chart of *release* by name and version, as *index* has them if it was read."""
    try:
        entries = index.charts_of(release) if index else ()
    except UnknownRelease:
        return {}
    return {(entry.name, entry.version): entry.sha256 for entry in entries}


def moved(index: ChartIndex, release: Release, recorded: Sequence[ChartFacts]) -> tuple[str, ...]:
    """What is to be said of each chart of *release* whose archive is not the one that is *recorded*."""
    try:
        listed = {entry.name: entry for entry in index.charts_of(release)}
    except UnknownRelease:
        return (f"the chart index no longer has {release}, which is recorded",)
    return tuple(
        f"the chart {chart.name} {chart.version} of {release} moved: its archive was sha256:{chart.sha256} when it was "
        f"recorded, and the chart index says sha256:{entry.sha256} today; once you know why, `mirror sync --refresh "
        f"{release}` takes what it is now"
        if entry.version == chart.version
        else f"{release} had {chart.name} {chart.version} when it was recorded, and the chart index has {entry} today"
        for chart in recorded
        if (entry := listed.get(chart.name)) is not None and entry.sha256 != chart.sha256
    )
