"""The catalogue: what releases there are, by channel, and the charts of each that are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from mirror.errors import UnknownRelease, UsageError
from mirror.linkerd.chart import Chart, ChartIndex, ChartRepository
from mirror.linkerd.release import Newest, Release, Selector, select


@dataclass(slots=True)
class ChartCatalogue:
    """Channels and their chart repositories; each index is read once."""

    repositories: Mapping[str, ChartRepository]
    charts_wanted: Literal["all"] | tuple[str, ...] = "all"
    exclude: Collection[str] = ()
    min_age: timedelta = timedelta()
    _indexes: dict[str, asyncio.Task[ChartIndex]] = field(default_factory=dict, init=False)

    async def select(self, selectors: Sequence[Selector]) -> tuple[Release, ...]:
        """The releases that *selectors* ask for, each once, in that order; an exact one is taken at its word."""
        chosen = dict[Release, None]()
        for selector in selectors:
            match selector:
                case Release():
                    chosen[selector] = None
                case Newest():
                    chosen |= dict.fromkeys(await self._newest(selector))
        return tuple(chosen)

    async def _newest(self, newest: Newest) -> tuple[Release, ...]:
        index = await self._index(newest.channel)
        latest = datetime.now(UTC) - self.min_age
        known = [
            release
            for release in index.releases()
            if str(release) not in self.exclude and ((created := index.created(release)) is None or created <= latest)
        ]
        found = select(newest, known)
        if not found:
            url = self.repositories[newest.channel].url
            raise UnknownRelease(f"{url} has no release of the channel {newest.channel} that may be taken")
        return found

    async def charts(self, release: Release) -> tuple[Chart, ...]:
        """Linkerd's own charts of *release*, those that are wanted; raises UnknownRelease with the nearest ones."""
        index = await self._index(release.channel)
        entries = index.charts_of(release)
        if self.charts_wanted != "all":
            names = ", ".join(entry.name for entry in entries)
            entries = tuple(entry for entry in entries if entry.name in self.charts_wanted)
            if not entries:
                raise UsageError(f"{release} has none of the charts {', '.join(self.charts_wanted)}: it has {names}")
        return await self.repositories[release.channel].charts(entries)

    async def _index(self, channel: str) -> ChartIndex:
        if channel not in self.repositories:
            known = " and ".join(sorted(self.repositories))
            raise UsageError(f"there is no channel {channel!r}: there is {known}; [channels.{channel}] would add it")
        if channel not in self._indexes:
            self._indexes[channel] = asyncio.create_task(self.repositories[channel].index())
        return await self._indexes[channel]
