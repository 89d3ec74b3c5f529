"""The catalogue: what releases there are, by channel, and the charts of each that are asked for.

What reads charts takes long to load, so it is opened only when it is asked for: an exact release that is in step needs
none of it.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from mirror.errors import UnknownRelease, UsageError, WorldError
from mirror.linkerd.parts import Parts
from mirror.linkerd.release import Newest, ProjectVersion, Release, Selector, select

if TYPE_CHECKING:
    from mirror.linkerd.chart import ChartEntry, ChartIndex, ChartRepository
    from mirror.linkerd.parts import Chart
    from mirror.linkerd.path import Hop
    from mirror.linkerd.versions import Versions, VersionsFile

_NAMED = 3  # charts, where none is called like the one that is not there


@dataclass(frozen=True, slots=True)
class Listed:
    """A release as its chart repository lists it."""

    release: Release
    created: datetime | None
    version: ProjectVersion | None
    """The version of the project that it is part of; None where its charts have versions of their own."""
    charts: tuple[ChartEntry, ...]


@dataclass(slots=True)
class ChartCatalogue:
    """Channels and their chart repositories, each opened once; each index is read once."""

    channels: Collection[str]
    open_repository: Callable[[str], ChartRepository]
    """The chart repository of a channel."""
    open_versions: Callable[[], VersionsFile]
    charts_wanted: Literal["all"] | tuple[str, ...] = "all"
    exclude: Collection[str] = ()
    min_age: timedelta = timedelta()
    _repositories: dict[str, ChartRepository] = field(default_factory=dict, init=False)
    _indexes: dict[str, asyncio.Task[ChartIndex]] = field(default_factory=dict, init=False)
    _versions: asyncio.Task[Versions] | None = field(default=None, init=False)

    async def select(self, selectors: Sequence[Selector]) -> tuple[Release, ...]:
        """The releases that *selectors* ask for, each once, in that order; an exact one is taken at its word."""
        chosen = dict[Release, None]()
        for selector in selectors:
            match selector:
                case Release():
                    chosen[selector] = None
                case Newest():
                    chosen |= dict.fromkeys(await self._newest(selector))
                case ProjectVersion():
                    chosen[(await self.versions()).release(selector)] = None
        return tuple(chosen)

    async def _newest(self, newest: Newest) -> tuple[Release, ...]:
        try:
            index = await self.index(newest.channel)
        except WorldError as exc:
            url = self.repository(newest.channel).url
            raise WorldError(f"the channel {newest.channel} cannot be read at {url}: {exc}") from exc
        latest = datetime.now(UTC) - self.min_age
        known = [
            release
            for release in index.releases()
            if str(release) not in self.exclude and ((created := index.created(release)) is None or created <= latest)
        ]
        found = select(newest, known)
        if not found:
            url, others = self.repository(newest.channel).url, sorted({each.channel for each in index.releases()})
            hint = (
                ""
                if newest.channel in others or not others
                else f": Linkerd's charts there are of {' and '.join(others)}"
            )
            raise UnknownRelease(f"{url} has no release of the channel {newest.channel} that may be taken{hint}")
        return found

    async def charts(self, release: Release) -> tuple[Chart, ...]:
        """The charts of *release*, of Linkerd's own those that are wanted; raises UnknownRelease with the nearest."""
        index = await self.index(release.channel)
        entries = index.charts_of(release)
        if self.charts_wanted != "all" and not index.lineup.charts:
            names = ", ".join(entry.name for entry in entries)
            entries = tuple(entry for entry in entries if entry.name in self.charts_wanted)
            if not entries:
                raise UsageError(f"{release} has none of the charts {', '.join(self.charts_wanted)}: it has {names}")
        return await self.repository(release.channel).charts(entries)

    async def parts(self, release: Release) -> Parts:
        """What *release* consists of, by its charts; raises as `charts` does."""
        from mirror.linkerd.images import release_images  # late: it reads templates

        charts = await self.charts(release)
        return Parts(tuple(chart.facts for chart in charts), release_images(charts), charts)

    async def provenance(self, release: Release, chart: str) -> bytes:
        """The provenance of one chart of *release*; empty where there is none."""
        index = await self.index(release.channel)
        entry = next((entry for entry in index.charts_of(release) if entry.name == chart), None)
        return await self.repository(release.channel).provenance(entry) if entry else b""

    async def one(self, selector: Selector) -> Release:
        """The one release that *selector* asks for; raises UsageError if it asks for several."""
        found = await self.select([selector])
        if len(found) != 1:
            raise UsageError(f"{selector} asks for {len(found)} releases: name one")
        return found[0]

    async def path(self, start: Release, end: Release) -> tuple[Hop, ...]:
        """The upgrade path from *start* to *end*, by the releases that are listed and not excluded.

        Raises UsageError where there is none, and UnknownRelease with the nearest ones.
        """
        from mirror.linkerd.path import World, channels, path  # late: it reads YAML

        versions = await self.versions()
        indexes = [await self.index(channel) for channel in channels(start, end, versions)]
        for release in (start, end):
            (await self.index(release.channel)).charts_of(release)
        published = {
            release: index.created(release)
            for index in indexes
            for release in index.releases()
            if release in (start, end) or str(release) not in self.exclude
        }
        return path(start, end, World(published, versions))

    async def paths(self, start: Selector, selectors: Sequence[Selector]) -> tuple[tuple[Hop, ...], ...]:
        """The upgrade path from the one release that *start* asks for to each that *selectors* ask for, but itself."""
        begin = await self.one(start)
        return tuple([await self.path(begin, end) for end in await self.select(selectors) if end != begin])

    async def listed(self, channel: str) -> tuple[Listed, ...]:
        """Every release of *channel*, newest first."""
        index, versions = await self.index(channel), await self.versions()
        return tuple(
            Listed(
                release,
                index.created(release),
                None if index.lineup.charts else versions.of(release),
                index.charts_of(release),
            )
            for release in index.releases()
            if release.channel == channel
        )

    def indexes(self) -> Mapping[str, ChartIndex]:
        """The indexes that have been read, by channel; asks nobody."""
        return {
            channel: task.result()
            for channel, task in self._indexes.items()
            if task.done() and not task.cancelled() and task.exception() is None
        }

    async def versions(self) -> Versions:
        """The project's versions, read once."""
        if self._versions is None:
            self._versions = asyncio.create_task(self.open_versions().read())
        return await self._versions

    def repository(self, channel: str) -> ChartRepository:
        """The chart repository of *channel*; raises UnknownRelease if there is no such channel."""
        if channel not in self.channels:
            known = " and ".join(sorted(self.channels))
            raise UnknownRelease(
                f"there is no channel {channel!r}: there is {known}; [channels.{channel}] would add it"
            )
        if channel not in self._repositories:
            self._repositories[channel] = self.open_repository(channel)
        return self._repositories[channel]

    async def index(self, channel: str) -> ChartIndex:
        """The chart index of *channel*, read once; raises UsageError where it lacks a chart that the channel names."""
        if channel not in self._indexes:
            self._indexes[channel] = asyncio.create_task(self._read(channel))
        return await self._indexes[channel]

    async def _read(self, channel: str) -> ChartIndex:
        repository = self.repository(channel)
        index = await repository.index()
        if absent := next((name for name in index.lineup.charts if name not in index.entries), None):
            near = difflib.get_close_matches(absent, index.entries) or sorted(index.entries)[:_NAMED]
            raise UsageError(
                f"{repository.url} has no chart {absent}, which [channels.{channel}] names"
                + (f": it has {' and '.join(near)}" if near else "")
            )
        return index
