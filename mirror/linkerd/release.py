"""Releases: their names, their order, and what an operator may ask for.

A release is named by channel and version, as its images are tagged: `edge-26.8.3`, `stable-2.14.10`,
`enterprise-2.19.4`.
A *selector* is an exact release, a channel for its newest (`edge`), `edge:3` for its newest three, or a version of
the project (`2.19`), which is one edge release (mirror/linkerd/versions.py).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering

from mirror.errors import UsageError

CHANNEL = r"[a-z][a-z0-9]{0,31}"
"""What a channel may be called: as its releases begin, and so without a dash."""
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_RELEASE = re.compile(
    rf"({CHANNEL})-({_NUMBER}\.{_NUMBER}\.{_NUMBER})(?:-([0-9A-Za-z][0-9A-Za-z.-]{{0,40}}))?", re.ASCII
)
_SELECTOR = re.compile(rf"({CHANNEL})(?::([1-9][0-9]{{0,3}}))?", re.ASCII)
_PROJECT_VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})", re.ASCII)
_NEAREST = 3


@total_ordering
@dataclass(frozen=True, slots=True)
class Release:
    """A release of Linkerd; ordered by version within a channel, channels by their names."""

    channel: str
    version: str
    """Without the channel: `26.8.3`."""

    def __post_init__(self) -> None:
        _check(str(self))

    @classmethod
    def parse(cls, text: str) -> Release:
        """The release that *text* names; raises UsageError."""
        _check(text)
        channel, _, version = text.partition("-")
        return cls(channel, version)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The three numbers of the version."""
        return tuple(int(number) for number in self.version.partition("-")[0].split("."))

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Release):
            return NotImplemented
        return self._key < other._key

    @property
    def _key(self) -> tuple[object, ...]:
        suffix = self.version.partition("-")[2]
        # `rc1` comes before the release; a bare number is a later build of it (enterprise-2.15.1-1).
        rank = 0 if suffix and not suffix.isdigit() else 1
        parts = [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", suffix)]
        return (self.channel, self.numbers, rank, parts, self.version)

    def __str__(self) -> str:
        return f"{self.channel}-{self.version}"


def _check(name: str) -> None:
    if not _RELEASE.fullmatch(name):
        raise UsageError(f"{name[:100]!r} is not a release: expected CHANNEL-X.Y.Z, as edge-26.8.3")


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest *count* releases of a channel."""

    channel: str
    count: int = 1

    def __str__(self) -> str:
        return self.channel if self.count == 1 else f"{self.channel}:{self.count}"


@dataclass(frozen=True, slots=True, order=True)
class ProjectVersion:
    """A version of the project."""

    major: int
    minor: int

    @property
    def channel(self) -> str:
        """That of the release that it is."""
        return "edge"

    @classmethod
    def parse(cls, text: str) -> ProjectVersion:
        """The version that *text* names; raises UsageError."""
        match = _PROJECT_VERSION.fullmatch(text)
        if match is None:
            raise UsageError(f"{text[:100]!r} is not a version of the project: expected one as 2.19")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


Selector = Release | Newest | ProjectVersion


def parse_selector(text: str, *, channels: Iterable[str] = ("edge", "stable")) -> Selector:
    """What *text* asks for: a release, the newest of one of *channels*, or a version; raises UsageError."""
    if _PROJECT_VERSION.fullmatch(text):
        return ProjectVersion.parse(text)
    if _RELEASE.fullmatch(text):
        return Release.parse(text)
    known = sorted(channels)
    newest = _SELECTOR.fullmatch(text)
    if newest and newest[1] in known:
        return Newest(newest[1], int(newest[2] or 1))
    if newest:
        raise UsageError(f"{newest[1]!r} is not a channel: there is {' and '.join(known)}")
    raise UsageError(
        f"{text[:100]!r} is not a release: expected one as edge-26.8.3, a channel as edge, "
        "edge:3 for its newest three, or a version of the project as 2.19"
    )


def select(newest: Newest, known: Iterable[Release]) -> tuple[Release, ...]:
    """Those of *known* that *newest* asks for, newest first."""
    return tuple(sorted({each for each in known if each.channel == newest.channel}, reverse=True)[: newest.count])


def nearest(name: str, known: Iterable[Release]) -> tuple[Release, ...]:
    """Those of *known* whose names are most like *name*, the likeliest first; for "unknown release, nearest are …"."""
    names = {str(each): each for each in known}
    return tuple(names[match] for match in difflib.get_close_matches(name[:100], names, n=_NEAREST, cutoff=0.5))
