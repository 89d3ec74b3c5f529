"""Releases and selectors: what is read, what is refused, and in what order releases are."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import UsageError
from mirror.linkerd.release import Newest, ProjectVersion, Release, Selector, nearest, parse_selector, select

NUMBERS = st.integers(0, 40)
RELEASES = st.builds(
    lambda channel, numbers, suffix: Release(channel, ".".join(map(str, numbers)) + suffix),
    st.sampled_from(["edge", "stable", "enterprise"]),
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    st.sampled_from(["", "-rc1", "-rc2", "-rc10", "-1", "-2"]),
)


def parsed(*names: str) -> list[Release]:
    return [Release.parse(name) for name in names]


@pytest.mark.parametrize("name", ["edge-26.8.3", "stable-2.14.10", "enterprise-2.19.4", "stable-2.12.0-rc2"])
def test_a_release_is_spelt_as_it_was_read(name: str) -> None:
    """Reading and writing are inverse."""
    assert name == str(Release.parse(name))


@pytest.mark.parametrize(
    "name",
    ["", "edge", "26.8.3", "edge-26.8", "edge-26.08.3", "Edge-26.8.3", "edge-26.8.3\n", "edge-２6.8.3", "edge-1.2.3/x"],
)
def test_what_is_no_release_is_refused(name: str) -> None:
    """The operator is told what a release looks like."""
    with pytest.raises(UsageError, match="is not a release"):
        Release.parse(name)


def test_releases_are_ordered_by_their_numbers() -> None:
    """Ten comes after nine, a candidate before its release, a later build after it."""
    ordered = parsed(
        "stable-2.9.1", "stable-2.12.0-rc2", "stable-2.12.0-rc10", "stable-2.12.0", "stable-2.12.0-1", "stable-2.14.10"
    )

    assert ordered == sorted(random.Random(1).sample(ordered, len(ordered)))


@given(RELEASES, RELEASES, RELEASES)
def test_the_order_is_total(first: Release, second: Release, third: Release) -> None:
    """Of two different releases one is the lesser, and order is transitive."""
    assert (first == second) + (first < second) + (second < first) == 1
    assert not (first < second < third) or first < third


@given(RELEASES)
def test_every_release_is_read_back(release: Release) -> None:
    """A name says all of a release."""
    assert release == Release.parse(str(release)) == parse_selector(str(release))


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("edge-26.8.3", Release("edge", "26.8.3")),
        ("edge", Newest("edge")),
        ("stable", Newest("stable")),
        ("edge:3", Newest("edge", 3)),
        ("2.19", ProjectVersion(2, 19)),
    ],
)
def test_a_selector_is_a_release_a_channel_or_a_version(text: str, selector: Selector) -> None:
    """The five forms."""
    assert selector == parse_selector(text)
    assert text == str(selector)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2.019", "is not a release"),
        ("2.19.4", "is not a release"),
        ("nightly", "'nightly' is not a channel: there is edge and stable"),
        ("nightly:2", "'nightly' is not a channel"),
        ("edge:0", "is not a release"),
        ("edge:", "is not a release"),
        ("edge-26", "is not a release"),
        ("", "is not a release"),
    ],
)
def test_anything_else_is_a_mistake_that_is_named(text: str, why: str) -> None:
    """One sentence each."""
    with pytest.raises(UsageError, match=why):
        parse_selector(text)


def test_channels_can_be_added() -> None:
    """The configuration may have more than edge and stable."""
    assert Newest("enterprise", 2) == parse_selector("enterprise:2", channels=("enterprise",))


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Read, or refused as the operator's mistake."""
    with contextlib.suppress(UsageError):
        parse_selector(text)


def test_a_channel_is_its_newest_releases() -> None:
    """Newest first, other channels left out, each release once."""
    known = parsed("edge-26.8.1", "edge-26.8.10", "stable-2.14.10", "edge-26.8.2", "edge-26.8.2")

    assert parsed("edge-26.8.10", "edge-26.8.2") == list(select(Newest("edge", 2), known))
    assert parsed("stable-2.14.10") == list(select(Newest("stable", 5), known))
    assert [] == list(select(Newest("enterprise"), known))


def test_the_nearest_releases_are_those_spelt_alike() -> None:
    """For the sentence about an unknown one."""
    known = parsed("edge-26.8.3", "edge-24.1.1", "stable-2.14.10")

    assert Release("edge", "26.8.3") == nearest("edge-26.8.33", known)[0]
    assert () == nearest("zzz", known)
