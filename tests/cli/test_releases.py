"""`mirror releases`: what exists, by channel, and where it is mirrored."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Desk
from tests.servers.upstream import NEXT, RELEASE, references, two_platforms

OTHERS = ("edge-26.8.9", "edge-26.8.10")
FILE = f"""\
- version: "2.20"
  edge: {NEXT}
  releaseDate: August 1, 2026
"""


@pytest.fixture(autouse=True)
def _one_channel(desk: Desk) -> None:
    """Four edge releases; the stable channel is as empty as it is upstream in the test."""
    for release in (NEXT, *OTHERS):
        desk.upstream.publish(release)
    desk.upstream.charts.files["versions.yaml"] = FILE.encode()
    desk.upstream.charts.files["stable/index.yaml"] = b"apiVersion: v1\nentries:\n  none: []\n"
    desk.configure(channels={"edge": {"chart_repository": desk.upstream.charts.url}, "stable": _stable(desk)})


def _stable(desk: Desk) -> dict[str, str]:
    return {"chart_repository": f"{desk.upstream.charts.url}/stable"}


def test_a_table(desk: Desk) -> None:
    """Newest first by version, with the day, the project's version and the charts; no registry is asked."""
    said = desk.run("releases")

    title, heading, *rows, stable = said.out.splitlines()
    assert (0, "edge: 4 releases", "stable: no releases") == (said.code, title, stable)
    assert ["RELEASE", "CREATED", "VERSION", "CHARTS", "MIRRORED"] == heading.split()
    assert ["edge-26.8.10", "edge-26.8.9", NEXT, RELEASE] == [row.split()[0] for row in rows]
    assert ["edge-26.8.10", "2026-08-01", "2.20", "3", "charts", "2026.8.10"] == rows[0].split()
    assert [RELEASE, "2026-08-01", "3", "charts", "2026.8.1"] == rows[-1].split()
    assert [] == desk.upstream.registry.requests


def test_json(desk: Desk) -> None:
    """Every key, and where each release is mirrored."""
    desk.run("sync", RELEASE, "--to", "oci:out")
    said = desk.run("releases", "edge", "--to", "oci:out", "-o", "json")

    assert 0 == said.code
    [channel] = said.document["channels"]
    assert {"schema", "versions", "channels", "destinations"} == said.document.keys()
    assert f"{desk.upstream.charts.url}/versions.yaml" == said.document["versions"]
    assert [{"destination": "oci-out", "place": "oci:out", "error": None}] == said.document["destinations"]
    assert ("edge", f"{desk.upstream.charts.url}/", 4, None) == (
        channel["channel"],
        channel["chart_repository"],
        channel["listed"],
        channel["error"],
    )
    assert {
        "release": RELEASE,
        "created": "2026-08-01T12:00:00+00:00",
        "version": None,
        "charts": dict.fromkeys(("linkerd-crds", "linkerd-control-plane", "linkerd-viz"), "2026.8.1"),
        "mirrored": ["oci-out"],
        "mirrored_in_part": [],
        "is_listed": True,
    } == channel["releases"][-1]
    assert [[], [], [], ["oci-out"]] == [each["mirrored"] for each in channel["releases"]]


def test_the_newest_and_what_is_mirrored(desk: Desk) -> None:
    """As many as are asked for, and those that an operator has."""
    desk.run("sync", RELEASE, "--to", "oci:out")
    few = desk.run("releases", "edge", "-n", "1", "--to", "oci:out")
    everything = desk.run("releases", "edge", "-n", "1", "--all", "--to", "oci:out")

    assert "edge: 2 of 4 releases" == few.out.splitlines()[0]
    assert ["edge-26.8.10", RELEASE] == [line.split()[0] for line in few.out.splitlines()[2:]]
    assert 6 == len(everything.out.splitlines())


def test_in_part(desk: Desk) -> None:
    """What an image never entered of is yet to be mirrored; a record that is none says nothing of the others."""
    desk.upstream.remove(references()[0])
    desk.run("sync", RELEASE, "--to", f"{desk.upstream.registry.host}/l5d")
    desk.upstream.registry.add("l5d/mirror-record", two_platforms("no record"), NEXT)
    asked = ["releases", "edge", "--to", f"{desk.upstream.registry.host}/l5d"]
    said, as_json = desk.run(*asked), desk.run(*asked, "-o", "json").document

    assert 0 == said.code
    name = as_json["destinations"][0]["destination"]
    [row] = [line for line in said.out.splitlines() if line.startswith(f"{RELEASE} ")]
    assert row.endswith(f" {name} (in part)")
    places = [(each["mirrored"], each["mirrored_in_part"]) for each in as_json["channels"][0]["releases"]]
    assert [([], [])] * 3 + [([], [name])] == places
    assert f"mirror-record:{NEXT} is not a record of mirror's" in as_json["destinations"][0]["error"]


def test_what_is_mirrored_and_no_longer_listed(desk: Desk) -> None:
    """It is there, and said to be gone."""
    desk.run("sync", OTHERS[1], "--to", "oci:out")
    desk.upstream.charts.files["index.yaml"] = b"apiVersion: v1\nentries:\n  none: []\n"
    said = desk.run("releases", "edge", "--to", "oci:out")

    assert [OTHERS[1], "not", "in", "the", "chart", "index", "oci-out"] == said.out.splitlines()[-1].split()


def test_a_destination_that_does_not_answer(desk: Desk) -> None:
    """It is named; what is known is told."""
    said = desk.run("releases", "edge", "--to", "127.0.0.1:1/l5d", "-o", "json")
    table = desk.run("releases", "edge", "--to", "127.0.0.1:1/l5d")

    [destination] = said.document["destinations"]
    assert (0, 0) == (said.code, table.code)
    assert "127.0.0.1:1" in destination["error"]
    assert 4 == len(said.document["channels"][0]["releases"])
    assert any(line.startswith("127.0.0.1-1-l5d: ") for line in table.err.splitlines())


def test_a_channel_that_does_not_answer(desk: Desk) -> None:
    """The others are told of, and the exit code is 1."""
    del desk.upstream.charts.files["stable/index.yaml"]
    said = desk.run("releases")

    assert 1 == said.code
    assert "edge: 4 releases" == said.out.splitlines()[0]
    assert any(line.startswith("stable: ") and "404" in line for line in said.err.splitlines())


def test_a_channel_that_there_is_not(desk: Desk) -> None:
    """Those that there are."""
    said = desk.run("releases", "nightly")

    assert (2, ["'nightly' is not a channel: there is edge and stable"]) == (said.code, said.sentences)


@pytest.fixture
def viz(desk: Desk) -> dict[str, Any]:
    """The tables of a channel of one chart, which has versions of its own."""
    return {"chart_repository": desk.upstream.charts.url, "charts": ["linkerd-viz"]}


def test_a_channel_of_its_own_charts(desk: Desk, viz: dict[str, Any]) -> None:
    """Their version is no version of the project."""
    desk.configure(channels={"viz": viz})
    said = desk.run("releases", "viz", "-n", "1")
    [release] = desk.run("releases", "viz", "-n", "1", "-o", "json").document["channels"][0]["releases"]

    assert ["viz-2026.8.10", "2026-08-01", "1", "chart", "2026.8.10"] == said.out.splitlines()[-1].split()
    assert ("viz-2026.8.10", None) == (release["release"], release["version"])


def test_a_channel_that_its_repository_does_not_have(desk: Desk) -> None:
    """Without charts of its own it is of Linkerd's: which channels those are of is told."""
    desk.configure(channels={"smi": {"chart_repository": desk.upstream.charts.url}})
    listed, newest = desk.run("releases", "smi"), desk.run("images", "smi")

    assert (0, "smi: no releases\n", 2) == (listed.code, listed.out, newest.code)
    [sentence] = newest.sentences
    assert "no release of the channel smi that may be taken: Linkerd's charts there are of edge" in sentence


@pytest.mark.parametrize(
    ("names", "absent", "near"),
    [(["linkerd-vis"], "linkerd-vis", "linkerd-viz"), (["linkerd-viz", "smi"], "smi", "linkerd-control-plane and")],
)
def test_a_chart_that_there_is_not(desk: Desk, viz: dict[str, Any], names: list[str], absent: str, near: str) -> None:
    """It is named, with what its repository has, whatever asks for the channel."""
    desk.configure(channels={"viz": viz | {"charts": names}})
    listed = desk.run("releases", "viz")
    newest, exact = desk.run("images", "viz"), desk.run("images", "viz-1.1.1")

    assert (1, 2, 2) == (listed.code, newest.code, exact.code)
    told = f"has no chart {absent}, which [channels.viz] names: it has {near}"
    for said in (listed, newest, exact):
        assert told in said.err
