"""Which releases stay, and which may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mirror.linkerd.release import Release
from mirror.retention.policy import Fate, Held, Policy, fates, kept

NOW = datetime(2026, 8, 31, tzinfo=UTC)
E1, E2, E3, S1, S2 = (
    Release.parse(name) for name in ("edge-26.8.1", "edge-26.8.2", "edge-26.8.10", "stable-2.13.7", "stable-2.14.10")
)
AGES = {E1: 30, E2: 20, E3: 10, S1: 100, S2: 50}  # days


def going(policy: Policy, **wanted: str) -> set[Release]:
    held = [Held(release, NOW - timedelta(days=days)) for release, days in AGES.items()]
    found = fates(held, policy, {Release.parse(name): why for name, why in wanted.items()}, now=NOW)
    assert [E3, E2, E1, S2, S1] == [fate.release for fate in found]
    assert all(fate.reasons for fate in found)
    return {fate.release for fate in found if fate.goes}


@pytest.mark.parametrize(
    ("policy", "goes"),
    [
        (Policy(), set()),
        (Policy({"edge": 1}), {E1, E2}),
        (Policy({"edge": 2, "stable": 1}), {E1, S1}),
        (Policy({"edge": 9}), set()),
        (Policy(keep_for=timedelta(days=20)), {E1, S1, S2}),
        (Policy({"stable": 1}, timedelta(days=20)), {E1, S1}),
        (Policy({"edge": 1}, timedelta(days=25)), {E1, S1, S2}),
    ],
    ids=["no rule", "newest", "of each channel", "more than there are", "age", "newest or age", "either keeps"],
)
def test_rules(policy: Policy, goes: set[Release]) -> None:
    """A release goes where its channel has a rule, and none keeps it."""
    assert goes == going(policy)


def test_what_is_wanted_stays() -> None:
    """Whatever the rules say, and the reason is told first."""
    held = [Held(release, NOW) for release in AGES]
    found = {fate.release: fate for fate in fates(held, Policy({"edge": 1}), {E1: "it runs", E3: "asked for"}, now=NOW)}

    assert Fate(E1, goes=False, reasons=("it runs",)) == found[E1]
    assert Fate(E2, goes=True, reasons=("not the newest of edge",)) == found[E2]
    assert ("asked for", "the newest of edge") == found[E3].reasons


def test_what_stays_after_all() -> None:
    """One that would go has the new reason alone."""
    before = (Fate(E1, goes=True, reasons=("old",)), Fate(E2, goes=False, reasons=("new",)))

    assert (
        Fate(E1, goes=False, reasons=("it runs",)),
        Fate(E2, goes=False, reasons=("new", "it runs")),
    ) == kept(before, dict.fromkeys((E1, E2), "it runs"))
