"""Versions of the project: which edge release `2.19` is.

Since February 2024 the project publishes edge releases alone, and names some of them as its versions. Which, linkerd.io
says in data/versions.yaml (https://github.com/linkerd/website), of which this reads, entry by entry:

    version: "2.19"    edge: "edge-25.10.7"    releaseDate: "October 31, 2025"

The tags `version-2.x` of linkerd/linkerd2 are not the same: version-2.20 is one commit after its edge release.
An edge release is part of the greatest version whose own release it is, or comes after (linkerd.io, tasks/upgrade).
`COPY` is what the file said on a day, for when it cannot be read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import structlog

from mirror.errors import ChartError, MirrorError, UnknownRelease, UsageError
from mirror.linkerd.chart import plain_yaml
from mirror.linkerd.parts import Fetcher
from mirror.linkerd.release import ProjectVersion, Release

CHANNEL = "edge"
FILE_SIZE_MAX = 256 * 1024  # it is of some hundred bytes for each version
ENTRIES_MAX = 500
PATIENCE_S = 15.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of the project, as one source tells them."""

    releases: dict[ProjectVersion, Release]
    """The edge release that each version is."""
    released: dict[ProjectVersion, date]
    """The day that the project gave each."""
    source: str
    """In words, for the sentence about a version that it does not have."""

    def release(self, version: ProjectVersion) -> Release:
        """The release that *version* is; raises UnknownRelease."""
        if version in self.releases:
            return self.releases[version]
        first, last = min(self.releases), max(self.releases)
        hint = "; versions before that are of the channel stable, as stable-2.14.10" if version < first else ""
        raise UnknownRelease(f"{self.source} has no version {version}: it has {first} to {last}{hint}")

    def of(self, release: Release) -> ProjectVersion | None:
        """The version that *release* is part of; None for an edge release before the first of them."""
        if release.channel != CHANNEL:
            return ProjectVersion(*release.numbers[:2])
        return max((version for version, own in self.releases.items() if own <= release), default=None)


COPIED = date(2026, 8, 20)
COPY = Versions(
    releases={
        ProjectVersion(2, 20): Release(CHANNEL, "26.6.3"),
        ProjectVersion(2, 19): Release(CHANNEL, "25.10.7"),
        ProjectVersion(2, 18): Release(CHANNEL, "25.4.4"),
        ProjectVersion(2, 17): Release(CHANNEL, "24.11.8"),
        ProjectVersion(2, 16): Release(CHANNEL, "24.8.2"),
        ProjectVersion(2, 15): Release(CHANNEL, "24.2.4"),
    },
    released={
        ProjectVersion(2, 20): date(2026, 6, 23),
        ProjectVersion(2, 19): date(2025, 10, 31),
        ProjectVersion(2, 18): date(2025, 4, 23),
        ProjectVersion(2, 17): date(2024, 12, 5),
        ProjectVersion(2, 16): date(2024, 8, 13),
        ProjectVersion(2, 15): date(2024, 2, 21),
    },
    source=f"mirror's copy of {COPIED} of linkerd.io's versions",
)


def parse(data: bytes, *, where: str) -> Versions:
    """The versions that the file *data* tells of; raises ChartError, in one sentence, where it is not such a file."""
    try:
        entries = plain_yaml(data.decode())
    except ValueError as exc:
        raise ChartError(f"{where} is not YAML: {exc}") from exc
    if not isinstance(entries, list) or not 0 < len(entries) <= ENTRIES_MAX:
        raise ChartError(f"{where} is not a list of the project's versions")
    told = dict(_entry(entry, where) for entry in entries)
    releases = {version: release for version, (release, _) in told.items()}
    if len(told) < len(entries) or sorted(releases) != sorted(releases, key=releases.__getitem__):
        raise ChartError(f"{where} has a version twice, or a later version with an earlier release")
    return Versions(releases, {version: day for version, (_, day) in told.items()}, where)


def _entry(entry: Any, where: str) -> tuple[ProjectVersion, tuple[Release, date]]:
    try:
        release = Release.parse(entry["edge"])
        day = datetime.strptime(entry["releaseDate"], "%B %d, %Y").replace(tzinfo=UTC).date()
        version = ProjectVersion.parse(entry["version"])
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as exc:
        raise ChartError(f"{where} has an entry that is not a version, its edge release and a date: {exc}") from exc
    if release.channel != CHANNEL:
        raise ChartError(f"{where} says that {version} is {release}, which is not an edge release")
    return version, (release, day)


@dataclass(frozen=True, slots=True)
class VersionsFile:
    """The file at *url*, read through *fetcher*."""

    url: str
    fetcher: Fetcher
    patience_s: float = PATIENCE_S

    async def read(self) -> Versions:
        """What the file says; where it cannot be read, what it said when it was copied, with a warning."""
        try:
            async with asyncio.timeout(self.patience_s):
                fetched = await self.fetcher.fetch(self.url, bound=FILE_SIZE_MAX)
            return parse(fetched.body or b"", where=self.url)
        except TimeoutError:
            reason = f"{self.url} did not answer within {self.patience_s:g} s"
        except MirrorError as exc:
            reason = str(exc)
        log.warning("versions.copy_used", reason=reason, used=COPY.source)
        return COPY
