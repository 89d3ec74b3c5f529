"""Upgrade paths: the documented hops, over the releases that Linkerd has published."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import UnknownRelease, UsageError
from mirror.linkerd.path import World, channels, path
from mirror.linkerd.release import ProjectVersion, Release
from mirror.linkerd.versions import COPY
from tests.linkerd.charts import DATA


@functools.cache
def world() -> World:
    """202 releases of 2021 to 2026, with the days of their commits, and linkerd.io's versions."""
    days = json.loads((DATA / "published.json").read_text())
    published = {Release.parse(name): datetime.fromisoformat(day).replace(tzinfo=UTC) for name, day in days.items()}
    return World(published, COPY)


def without(*names: str) -> World:
    gone = set(names)
    return World({each: day for each, day in world().published.items() if str(each) not in gone}, COPY)


def found(start: str, end: str, known: World | None = None) -> list[str]:
    """The releases of the path, its ends included."""
    hops = path(Release.parse(start), Release.parse(end), known or world())
    assert all(hop.after == following.before for hop, following in pairwise(hops))
    return [str(hops[0].before), *(str(hop.after) for hop in hops)]


STABLE = ["stable-2.11.5", "stable-2.12.6", "stable-2.13.7", "stable-2.14.10"]
EDGE = ["edge-24.2.4", "edge-24.8.2", "edge-24.11.8", "edge-25.4.4", "edge-25.10.7", "edge-26.6.3"]


@pytest.mark.parametrize(
    ("start", "end", "between"),
    [
        pytest.param("stable-2.10.2", "edge-26.8.3", [*STABLE, *EDGE[:-1]], id="from a monolith to today"),
        pytest.param("stable-2.14.10", "edge-24.2.4", [], id="the bridge"),
        pytest.param("stable-2.14.3", "edge-24.2.4", STABLE[3:], id="the bridge, from the newest of its major"),
        pytest.param("stable-2.14.3", "edge-24.8.2", [STABLE[3], EDGE[0]], id="over the bridge"),
        pytest.param("stable-2.14.10", "edge-24.4.1", [], id="the bridge ends anywhere in 2.15"),
        pytest.param("stable-2.13.1", "edge-24.8.1", STABLE[3:], id="to the bridge by majors"),
        pytest.param("stable-2.11.1", "stable-2.14.10", STABLE[1:3], id="by major, to the newest minor of each"),
        pytest.param("stable-2.11.1", "stable-2.12.3", [], id="to an older minor, if it is asked for"),
        pytest.param("stable-2.11.0", "stable-2.11.5", [], id="within a major"),
        pytest.param("stable-2.12.0-rc2", "stable-2.12.6", [], id="from a candidate"),
        pytest.param("edge-24.11.8", "edge-26.8.3", EDGE[3:5], id="by the versions' own edges"),
        pytest.param("edge-25.10.7", "edge-26.6.3", [], id="to the next version"),
        pytest.param("edge-26.6.3", "edge-26.8.3", [], id="within a version"),
        pytest.param("edge-25.10.7", "edge-26.8.3", [], id="into the next version"),
        pytest.param("edge-25.10.6", "edge-26.6.3", EDGE[4:5], id="2.18's last edge is not of 2.19"),
        pytest.param("edge-24.8.2", "edge-26.6.3", EDGE[2:5], id="2.16 to 2.20"),
        pytest.param("edge-23.11.1", "edge-24.4.1", [], id="what was on the way to 2.15"),
        pytest.param("edge-23.11.1", "edge-24.8.2", EDGE[:1], id="passes 2.15, which it had not finished"),
        pytest.param("edge-23.1.1", "stable-2.13.7", [], id="from edge to the stable that it became"),
        pytest.param("edge-23.1.1", "edge-24.2.4", STABLE[2:], id="from an old edge by what it became"),
        pytest.param("edge-23.1.1", "edge-23.2.1", [], id="on the way to one stable"),
        pytest.param("stable-2.12.6", "edge-23.1.1", [], id="from stable to what came after it"),
        pytest.param("stable-2.11.5", "edge-23.1.1", STABLE[1:2], id="2.12 is not skipped so"),
    ],
)
def test_the_documented_hops(start: str, end: str, between: list[str]) -> None:
    """Each major is passed, by the newest of stable and the own edge release of later versions."""
    assert [start, *between, end] == found(start, end)


def test_a_hop_has_the_version_that_it_leads_to() -> None:
    """An edge release's is the one that it is part of."""
    hops = path(Release.parse("stable-2.13.7"), Release.parse("edge-26.8.3"), world())

    assert [14, 15, 16, 17, 18, 19, 20] == [hop.version.minor for hop in hops]


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        ("edge-26.8.3", "edge-26.8.3", "nothing to upgrade"),
        ("edge-26.8.3", "edge-26.6.3", r"edge-26.6.3 \(Linkerd 2.20\) is older than edge-26.8.3 \(Linkerd 2.20\)"),
        ("stable-2.14.10", "stable-2.13.7", "tell of upgrades to later releases alone"),
        (
            "edge-24.2.4",
            "stable-2.14.10",
            r"stable-2.14.10 \(Linkerd 2.14\) is older than edge-24.2.4 \(Linkerd 2.15\)",
        ),
        ("edge-23.11.1", "stable-2.14.10", r"older than edge-23.11.1 \(on the way from Linkerd 2.14 to 2.15\)"),
        ("stable-2.13.7", "edge-23.1.1", r"edge-23.1.1 \(on the way from Linkerd 2.12 to 2.13\) is older"),
    ],
)
def test_no_way_back(start: str, end: str, why: str) -> None:
    """A downgrade is not supported, and the sentence says by what it is one."""
    with pytest.raises(UsageError, match=why) as failure:
        found(start, end)

    assert 2 == failure.value.exit_code


@pytest.mark.parametrize(("start", "end"), [("enterprise-2.19.4", "edge-26.8.3"), ("stable-2.14.10", "preview-1.2.3")])
def test_other_channels(start: str, end: str) -> None:
    """Their publishers document their own upgrades."""
    with pytest.raises(UsageError, match="documents theirs"):
        channels(Release.parse(start), Release.parse(end), COPY)


@pytest.mark.parametrize(
    ("start", "end", "needed"),
    [
        ("edge-24.11.8", "edge-26.8.3", ("edge",)),
        ("stable-2.11.1", "stable-2.14.10", ("stable",)),
        ("stable-2.11.1", "edge-26.8.3", ("stable", "edge")),
        ("edge-23.1.1", "edge-26.8.3", ("edge", "stable")),
    ],
)
def test_the_channels_that_are_read(start: str, end: str, needed: tuple[str, ...]) -> None:
    """Stable is needed for an old edge release too: it says which major was next."""
    assert needed == channels(Release.parse(start), Release.parse(end), COPY)


def test_what_is_excluded_is_not_passed() -> None:
    """The next newest minor is, and the next edge release of the version."""
    known = without("stable-2.12.6", "edge-25.4.4")

    assert "stable-2.12.5" == found("stable-2.11.5", "stable-2.13.7", known)[1]
    assert "edge-25.5.1" == found("edge-24.11.8", "edge-25.10.7", known)[1]


def test_a_major_without_releases() -> None:
    """It is not skipped: there is no path."""
    gone = [str(each) for each in world().published if str(each).startswith("stable-2.12.")]
    with pytest.raises(UnknownRelease, match=r"the path goes by 2\.12, of which there is no release"):
        found("stable-2.11.5", "stable-2.13.7", without(*gone))


def test_an_old_edge_release_of_no_day() -> None:
    """Nothing says on the way to which major it was."""
    known = World({**world().published, Release.parse("edge-23.1.1"): None}, COPY)
    with pytest.raises(UsageError, match=r"does not say when edge-23\.1\.1 was published"):
        found("edge-23.1.1", "edge-24.2.4", known)


_RELEASES = sorted(world().published, key=lambda each: (world().standing(each), each))


@given(st.sampled_from(_RELEASES), st.sampled_from(_RELEASES))
def test_every_path_is_supported(first: Release, second: Release) -> None:
    """Its hops go up, by one version of the project at most, and no fewer hops would do."""
    start, end = sorted([first, second], key=_RELEASES.index)
    if start == end:
        return
    hops = path(start, end, world())
    standings = [world().standing(each) for each in [start, *(hop.after for hop in hops)]]

    assert (start, end) == (hops[0].before, hops[-1].after)
    assert standings == sorted(standings)
    steps = [(before.finished, after.made) for before, after in pairwise(standings)]
    assert all(made.minor <= finished.minor + 1 for finished, made in steps)
    # in as many hops as there are versions to gain, and one more where 2.14 is left from an older minor
    gained = max(1, standings[-1].made.minor - standings[0].finished.minor)
    is_older = start.channel == "stable" and standings[0].made == ProjectVersion(2, 14) and start.numbers[2] < 10
    assert gained + (is_older and standings[-1].finished > standings[0].made) == len(hops)


@given(st.sampled_from(_RELEASES), st.sampled_from(_RELEASES))
def test_of_two_releases_one_is_later(first: Release, second: Release) -> None:
    """There is a path one way, and none back."""
    start, end = sorted([first, second], key=_RELEASES.index)
    with pytest.raises(UsageError):
        path(end, start, world())
