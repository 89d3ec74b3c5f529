"""Movements: a chart index that went back, and charts that were replaced, are said; nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mirror.linkerd.chart import ChartIndex
from mirror.linkerd.movements import moved, went_back
from mirror.linkerd.release import Release
from tests.linkerd.charts import charts_of, repository

RELEASES = ("edge-25.10.7", "edge-26.8.3")
INDEX = ChartIndex.parse(repository(*RELEASES)["index.yaml"])
NEWEST = Release.parse("edge-26.8.3")
FACTS = tuple(chart.facts for chart in charts_of("edge-26.8.3"))


@pytest.mark.parametrize(
    "recorded",
    [
        pytest.param([], id="nothing-recorded"),
        pytest.param(["edge-26.8.3", "edge-25.10.7"], id="the-newest-recorded"),
        pytest.param(["edge-25.10.7"], id="an-earlier-one-recorded"),
        pytest.param(["stable-2.14.10"], id="another-channel"),
    ],
)
def test_an_index_that_went_on_is_not_spoken_of(recorded: list[str]) -> None:
    """Its newest is as new as what is recorded."""
    assert "" == went_back(INDEX, "edge", map(Release.parse, recorded))


def test_an_index_that_went_back_is() -> None:
    """Both releases are named."""
    told = went_back(INDEX, "edge", map(Release.parse, ["edge-26.8.10", "edge-26.8.3"]))

    assert "went back: its newest release is edge-26.8.3, and edge-26.8.10 is recorded" in told
    assert "its newest release is none" in went_back(ChartIndex({}), "edge", [NEWEST])


def test_charts_that_stayed_are_not_spoken_of() -> None:
    """Nor is one that was not asked for when the release was recorded."""
    assert () == moved(INDEX, NEWEST, FACTS)
    assert () == moved(INDEX, NEWEST, FACTS[:2])


def test_a_chart_that_was_replaced_is() -> None:
    """With both digests, and how to go on."""
    viz = next(facts for facts in FACTS if facts.name == "linkerd-viz")
    recorded = [replace(facts, sha256="0" * 64) if facts is viz else facts for facts in FACTS]

    [told] = moved(INDEX, NEWEST, recorded)

    assert told.startswith("the chart linkerd-viz 2026.8.3 of edge-26.8.3 moved: its archive was sha256:0000")
    assert f"says sha256:{viz.sha256} today" in told
    assert "mirror sync --refresh edge-26.8.3" in told


def test_a_release_with_another_version_of_a_chart() -> None:
    """The index was put together anew."""
    recorded = [replace(FACTS[0], version="2026.8.2", sha256="0" * 64)]

    [told] = moved(INDEX, NEWEST, recorded)

    name = FACTS[0].name
    assert (
        f"edge-26.8.3 had {name} 2026.8.2 when it was recorded, and the chart index has {name} 2026.8.3 today" == told
    )


def test_a_release_that_was_taken_back() -> None:
    """It is recorded, and the index does not list it."""
    gone = Release.parse("edge-26.8.9")

    assert ("the chart index no longer has edge-26.8.9, which is recorded",) == moved(INDEX, gone, FACTS)
