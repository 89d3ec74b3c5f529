"""`mirror images`: from the charts alone."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Desk
from tests.servers.upstream import NEXT, RELEASE, THIRD_PARTY, references

CONTROLLER, PROXY, WEB, _ = references()


def test_json(desk: Desk) -> None:
    """The contract's keys; no registry is asked."""
    said = desk.run("images", RELEASE, "-o", "json")

    assert 0 == said.code
    assert (1, RELEASE) == (said.document["schema"], said.document["release"])
    images = {image["reference"]: image for image in said.document["images"]}
    assert references() == sorted(images)
    keys = {"reference", "charts", "values", "hardcoded", "first_party", "optional"}
    assert all(keys <= image.keys() for image in images.values())
    assert ["linkerd-control-plane", "linkerd-viz"] == images[CONTROLLER]["charts"]
    assert (True, False) == (images[WEB]["first_party"], images[THIRD_PARTY]["first_party"])
    paths = [{key: value[key] for key in ("chart", "registry", "name", "tag")} for value in images[WEB]["values"]]
    of_web = {"registry": "web.image.registry", "name": "web.image.name", "tag": "web.image.tag"}
    assert [{"chart": "linkerd-viz", **of_web}] == paths
    assert [] == desk.upstream.registry.requests


def test_a_table(desk: Desk) -> None:
    """Each image with its charts and values."""
    said = desk.run("images", "edge")

    assert 0 == said.code
    assert f"Linkerd {RELEASE}: 4 images" in said.out
    assert "linkerd-viz: web.image.registry web.image.name web.image.tag" in said.out
    assert "third party" in said.out


def test_a_version_of_the_project(desk: Desk) -> None:
    """It is the edge release that the file says."""
    entry = f"- version: '2.20'\n  edge: {RELEASE}\n  releaseDate: August 1, 2026\n"
    desk.upstream.charts.files["versions.yaml"] = entry.encode()
    said = desk.run("images", "2.20", "-o", "json")

    assert (0, RELEASE) == (said.code, said.document["release"])
    assert "versions.copy_used" not in said.err


def test_a_version_when_the_file_cannot_be_read(desk: Desk) -> None:
    """The copy that mirror has is used, and named."""
    said = desk.run("images", "2.19")

    assert 2 == said.code
    assert "copy of 2026-08-20 of linkerd.io's versions" in said.err
    assert ["the chart repository has no edge-25.10.7"] == [told.partition(":")[0] for told in said.sentences]


@pytest.mark.parametrize(
    ("release", "word"),
    [("edge-26.8.11", RELEASE), ("edge:2", "name one"), ("x", "'x' is not"), ("1.0", "has no version 1.0")],
)
def test_wrong_input(desk: Desk, release: str, word: str) -> None:
    """Exit code 2, one sentence."""
    desk.upstream.publish(NEXT)
    said = desk.run("images", release)

    assert 2 == said.code
    [sentence] = said.sentences
    assert word in sentence


def test_a_form_that_cannot_be_read(desk: Desk) -> None:
    """Exit code 1: chart, file and line."""
    desk.upstream.publish(NEXT, viz_templates={"templates/odd.yaml": "a: b\nimage: {{ randAlpha 5 }}/x:1\n"})
    said = desk.run("images", NEXT, "-o", "json")

    assert 1 == said.code
    [message] = said.document["error"]["messages"]
    assert "linkerd-viz" in message
    assert "templates/odd.yaml, line 2" in message


def test_out_of_reach(desk: Desk) -> None:
    """Exit code 1, the host named."""
    desk.configure(channels={"edge": {"chart_repository": "http://127.0.0.1:1/edge"}})
    said = desk.run("images", RELEASE)

    assert 1 == said.code
    [sentence] = said.sentences
    assert "127.0.0.1:1" in sentence


def test_without_the_chart_repository(desk: Desk) -> None:
    """The images of a release that a destination holds, with a note."""
    desk.run("sync", RELEASE, "--to", "oci:out")
    there = desk.run("images", RELEASE, "-o", "json").document
    desk.upstream.charts.files.clear()
    here = desk.run("images", RELEASE, "--to", "oci:out", "-o", "json")
    nowhere = desk.run("images", RELEASE, "--to", "oci:other")

    assert (0, there["images"], []) == (here.code, here.document["images"], there["notes"])
    assert "the charts are those that oci:out holds" in here.document["notes"][0]
    assert "the charts are those that oci:out holds" in here.err
    assert 1 == nowhere.code
