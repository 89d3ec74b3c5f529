"""The upgrade path: the releases to pass on the way from one that runs to one that is wanted. Pure.

Linkerd's documents (linkerd.io, tasks/upgrade, of 2.11 to 2.17 and of today) allow these hops and no others:

    from             to                     hops
    ──────────────── ────────────────────── ──────────────────────────────────────────────────────────────────────
    stable-2.x.y     stable-2.x.z           one, whatever lies between
    stable-2.x.y     stable-2.w, w > x      the newest minor of each major between, then it
    stable-2.x.y     edge of 2.15 or later  by the newest stable-2.14, the last major that stable has, then as below
    edge of 2.k      edge of 2.k, or 2.k+1  one, if it is the later: "a control plane … ahead of the data plane by up to
                                            a full version"
    edge of 2.k      edge of 2.m, m > k+1   the own edge release of each version between, then it
    anything         older, or the same     none: the documents tell of upgrades alone

An edge release is part of the greatest version whose own release it is, or comes after (mirror/linkerd/versions.py).
Before the first of those, 2.15, edge releases hold what main had (linkerd.io, releases) on the way to the next stable
major: edge-23.1.1 was cut on the way from 2.12 to 2.13. It has not all of 2.13 yet, and is no longer 2.12; so it is
reached as 2.13 is, and left as 2.12 is: on the way beyond 2.13, 2.13 itself is passed.
Which major was next, the days say on which releases were published.

A *hop* is one upgrade; a version is *passed* by the release that stands for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from mirror.errors import UnknownRelease, UsageError
from mirror.linkerd.release import ProjectVersion, Release
from mirror.linkerd.versions import CHANNEL as EDGE
from mirror.linkerd.versions import Versions

STABLE = "stable"
_DOCUMENTS = "https://linkerd.io/2-edge/tasks/upgrade/"


@dataclass(frozen=True, slots=True)
class Hop:
    """One upgrade, from *before* to *after*, which is of *version*."""

    before: Release
    after: Release
    version: ProjectVersion


@dataclass(frozen=True, slots=True, order=True)
class Standing:
    """Where a release stands among the versions of the project: it has *finished* one, and is of, or makes, *made*."""

    finished: ProjectVersion
    made: ProjectVersion


@dataclass(frozen=True)  # no slots: what is derived from the releases is kept
class World:
    """The releases that there are, when each was published where that is known, and the versions of the project."""

    published: Mapping[Release, datetime | None]
    versions: Versions

    def standing(self, release: Release) -> Standing:
        """Where *release* stands; raises UsageError for an edge release of which nothing says on the way to what."""
        version = self.versions.of(release)
        if version is not None:
            return Standing(version, version)
        made = self._next_stable(release) or self.first_of_edge
        return Standing(_before(made), made)

    def _next_stable(self, release: Release) -> ProjectVersion | None:
        """The first stable major that was published after the edge release *release*."""
        day = self.published.get(release)
        if day is None:
            raise UsageError(
                f"the chart index does not say when {release} was published, so that nothing says on the way to which "
                f"version it was: it is older than {self.versions.releases[self.first_of_edge]}, with which "
                f"{self.versions.source} begins"
            )
        return min((version for version, began in self._began.items() if began > day), default=None)

    @cached_property
    def first_of_edge(self) -> ProjectVersion:
        """The first version that is an edge release."""
        return min(self.versions.releases)

    @cached_property
    def _began(self) -> Mapping[ProjectVersion, datetime]:
        """The day of the first release of each stable major."""
        began = dict[ProjectVersion, datetime]()
        for release, day in self.published.items():
            if release.channel == STABLE and day is not None:
                version = ProjectVersion(*release.numbers[:2])
                began[version] = min(day, began.get(version, day))
        return began

    @cached_property
    def _own(self) -> Mapping[ProjectVersion, Release]:
        """The release that each version is passed by: of stable the newest, of edge the first."""
        own = dict[ProjectVersion, Release]()
        for release in sorted(self.published):
            version = self.versions.of(release)
            if release.channel == STABLE and version is not None and version < self.first_of_edge:
                own[version] = release
            elif release.channel == EDGE and version is not None:
                own.setdefault(version, release)
        return own

    def own(self, version: ProjectVersion) -> Release:
        """The release that *version* is passed by; raises UnknownRelease."""
        if version not in self._own:
            raise UnknownRelease(
                f"the path goes by {version}, of which there is no release that may be taken: the chart repositories "
                "have none, or `exclude` names them"
            )
        return self._own[version]


def channels(start: Release, end: Release, versions: Versions) -> tuple[str, ...]:
    """The channels whose releases must be known to find the path; raises UsageError for those of others."""
    for release in (start, end):
        if release.channel not in (EDGE, STABLE):
            raise UsageError(
                f"there is no path from or to {release} here: Linkerd documents the upgrades of {EDGE} and {STABLE}, "
                f"and whoever publishes {release.channel} documents theirs"
            )
    is_of_old = any(versions.of(release) is None for release in (start, end))
    return tuple(dict.fromkeys([start.channel, end.channel, *([STABLE] if is_of_old else [])]))


def path(start: Release, end: Release, world: World) -> tuple[Hop, ...]:
    """The hops from *start* to *end*; raises UsageError where there is no supported path, and says why."""
    if start == end:
        raise UsageError(f"{start} is both where the path begins and where it ends: there is nothing to upgrade")
    begin, goal = world.standing(start), world.standing(end)
    if (goal, end) < (begin, start):
        raise UsageError(
            f"{end} ({_told(goal)}) is older than {start} ({_told(begin)}): Linkerd's documents ({_DOCUMENTS}) tell of "
            "upgrades to later releases alone, so that there is no supported path back"
        )
    if begin.finished.major != goal.made.major:
        raise UsageError(f"from {start} to {end} is from one Linkerd to another, of which no document tells")
    last = _before(world.first_of_edge)  # stable ended with it: it is left for the edge from its newest
    leaves_stable = start.channel == STABLE and begin.finished == last < goal.finished
    first = begin.finished.minor + (0 if leaves_stable else 1)
    passed = [world.own(ProjectVersion(goal.made.major, minor)) for minor in range(first, goal.made.minor)]
    releases = dict.fromkeys([start, *passed, end])
    return tuple(Hop(before, after, world.standing(after).made) for before, after in pairwise(releases))


def _before(version: ProjectVersion) -> ProjectVersion:
    return ProjectVersion(version.major, version.minor - 1)


def _told(standing: Standing) -> str:
    if standing.finished == standing.made:
        return f"Linkerd {standing.made}"
    return f"on the way from Linkerd {standing.finished} to {standing.made}"
