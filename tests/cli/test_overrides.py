"""`mirror overrides`: values from the record alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Desk
from tests.servers.fake import FakeRegistry
from tests.servers.tools import require
from tests.servers.upstream import CHARTS, RELEASE, references, two_platforms

CONTROLLER, PROXY, WEB, PROMETHEUS = references()


@pytest.fixture
def synced(desk: Desk, fake: FakeRegistry) -> Desk:
    """A mirror that is in step; then upstream is gone."""
    destination = {"kind": "registry", "registry": fake.host, "prefix": "l5d", "pull_registry": "pull.example.com/l5d"}
    desk.configure(destinations={"production": destination})
    assert 0 == desk.run("sync", RELEASE).code
    desk.configure(
        destinations={"production": destination},
        channels={"edge": {"chart_repository": "http://127.0.0.1:1/edge"}},
        registries={host: {"endpoint": "http://127.0.0.1:1"} for host in ("ghcr.io", "docker.io")},
    )
    return desk


def test_from_the_record_alone(synced: Desk) -> None:
    """The bytes that sync wrote."""
    said = synced.run("overrides", RELEASE, "-o", "json")

    assert 0 == said.code
    written = {file.stem: file.read_text() for file in (synced.directory / "overrides").rglob("*.yaml")}
    assert set(CHARTS) == set(written)
    assert written == said.document["charts"]


def test_to_stdout(synced: Desk) -> None:
    """YAML, a document a chart; one chart alone is what Helm takes."""
    everything = synced.run("overrides", RELEASE)
    one = synced.run("overrides", RELEASE, "--chart", "linkerd-viz")

    assert 3 == len(list(yaml.safe_load_all(everything.out)))
    digest = synced.upstream.images[WEB].digest
    web = yaml.safe_load(one.out)["web"]["image"]
    assert {"registry": "pull.example.com/l5d", "name": "web", "tag": f"{RELEASE}@{digest}"} == web


@pytest.mark.parametrize(("pin", "is_pinned"), [("tag", False), ("digest", True)])
def test_pin(synced: Desk, pin: str, *, is_pinned: bool) -> None:
    """Digests, or tags alone."""
    said = synced.run("overrides", RELEASE, "--pin", pin, "--chart", "linkerd-viz")

    values = yaml.safe_load(said.out)
    assert is_pinned == ("@sha256:" in values["web"]["image"]["tag"])
    assert is_pinned == ("@sha256:" in values["prometheus"]["image"]["tag"])


def test_into_a_directory(synced: Desk) -> None:
    """DIR/CHART.yaml; a second run changes neither bytes nor times."""
    first = synced.run("overrides", RELEASE, "-d", "values")
    files = [Path("values") / f"{chart}.yaml" for chart in CHARTS]
    before = [(file.read_bytes(), file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    second = synced.run("overrides", RELEASE, "-d", "values")

    assert (0, 0) == (first.code, second.code)
    assert list(map(str, files)) == first.out.splitlines()
    assert before == [(file.read_bytes(), file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    assert sorted(files) == sorted(Path("values").iterdir())


def test_a_tag_that_changed(synced: Desk, fake: FakeRegistry) -> None:
    """Refused: a record is a claim, and the mirror's tags say otherwise."""
    other = two_platforms("somebody else's")
    fake.add("l5d/web", other, RELEASE)
    said = synced.run("overrides", RELEASE, "-d", "values")

    assert 3 == said.code
    [sentence] = said.sentences
    assert f"{fake.host}/l5d/web:{RELEASE} names {other.digest}" in sentence
    assert "mirror sync" in sentence
    assert not Path("values").exists()


def test_a_channel(synced: Desk) -> None:
    """Its newest that is recorded; where there is none, that is said."""
    by_name, by_channel = (synced.run("overrides", asked, "-o", "json").document for asked in (RELEASE, "edge"))
    none, wrong = synced.run("overrides", "stable"), synced.run("overrides", "edge-26")

    assert by_name == by_channel
    assert RELEASE == by_channel["release"]
    assert (2, 2) == (none.code, wrong.code)
    assert none.sentences[0].startswith("nothing of stable is recorded at ")
    assert wrong.sentences[0].startswith("'edge-26' is not a release")


def test_no_record(desk: Desk, fake: FakeRegistry) -> None:
    """Exit code 2, and what to do."""
    said = desk.run("overrides", RELEASE, "--to", f"{fake.host}/l5d")

    assert 2 == said.code
    assert [f"{fake.host}/l5d has no record of {RELEASE}: run `mirror sync {RELEASE}` first"] == said.sentences


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--chart", "linkerd-vizz"], "linkerd-vizz"),
        (["--to", "oci:out"], "pull_registry"),
        (["--to", "nonsense"], "'nonsense'"),
        (["--prove"], "Helm"),
        (["--prove", "--format", "images"], "--format helm alone"),
        (["--format", "containerd"], 'give the destination production paths = "upstream"'),
    ],
)
def test_wrong_input(synced: Desk, arguments: list[str], word: str) -> None:
    """Exit code 2, one sentence; JSON says the same."""
    said = synced.run("overrides", RELEASE, *arguments)
    as_json = synced.run("overrides", RELEASE, *arguments, "-o", "json")

    assert (2, 2) == (said.code, as_json.code)
    [sentence] = said.sentences
    assert word in sentence
    assert [sentence] == as_json.document["error"]["messages"]


def test_several_destinations(synced: Desk, fake: FakeRegistry) -> None:
    """One has to be chosen."""
    destination = {"kind": "registry", "registry": fake.host, "prefix": "l5d"}
    synced.configure(destinations={"one": destination, "two": destination})
    said = synced.run("overrides", RELEASE)

    assert 2 == said.code
    assert "one, two" in said.sentences[0]


def test_a_chart_whose_image_is_missing(desk: Desk, fake: FakeRegistry) -> None:
    """It has no values, and that is said."""
    desk.upstream.remove(WEB)
    desk.run("sync", RELEASE, "--to", f"{fake.host}/l5d")
    said = desk.run("overrides", RELEASE, "--to", f"{fake.host}/l5d")
    named = desk.run("overrides", RELEASE, "--to", f"{fake.host}/l5d", "--chart", "linkerd-viz")

    assert 2 == len(list(yaml.safe_load_all(said.out)))
    assert "linkerd-viz" in said.err
    assert WEB in said.err
    assert 0 != said.code
    assert 0 != named.code


def test_a_directory_that_is_a_file(synced: Desk) -> None:
    """Exit code 2, the path named."""
    Path("values").write_text("")
    said = synced.run("overrides", RELEASE, "-d", "values")

    assert 2 == said.code
    assert "'values' is a file" in said.err


def test_proven(desk: Desk, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Helm on PATH; the charts are read again for it."""
    monkeypatch.undo()
    helm = require("helm")
    monkeypatch.chdir(desk.directory)
    monkeypatch.setenv("PATH", str(Path(helm).parent))
    assert 0 == desk.run("sync", RELEASE, "--to", f"{fake.host}/l5d").code
    said = desk.run("overrides", RELEASE, "--to", f"{fake.host}/l5d", "--prove", "-o", "json")

    assert 0 == said.code
    assert ("proven", []) == (said.document["proof"], said.document["proof_problems"])


def test_prometheus_is_there(synced: Desk) -> None:
    """Third parties are pointed at the mirror too."""
    values = yaml.safe_load(synced.run("overrides", RELEASE, "--chart", "linkerd-viz").out)

    assert "pull.example.com/l5d" == values["prometheus"]["image"]["registry"]
    assert str(synced.upstream.images[PROMETHEUS].digest) in values["prometheus"]["image"]["tag"]


def test_formats(synced: Desk) -> None:
    """Each has its file, of the charts that are asked for; JSON has the texts, and the images as data."""
    digest = synced.upstream.images[CONTROLLER].digest
    chart = ("--chart", "linkerd-control-plane")
    written = synced.run("overrides", RELEASE, "--format", "images", "-d", "lists", *chart)
    said = synced.run("overrides", RELEASE, "--format", "kustomize", "-o", "json", *chart)

    assert ["lists/images.txt"] == written.out.splitlines()
    names = Path("lists/images.txt").read_text().splitlines()
    assert [f"pull.example.com/l5d/controller:{RELEASE}@{digest}"] == names[:1]
    assert 2 == len(names)
    assert [CONTROLLER, PROXY] == [each["reference"] for each in said.document["images"]]
    component = yaml.safe_load(said.document["texts"]["kustomization.yaml"])
    assert ["cr.l5d.io/linkerd/controller", "cr.l5d.io/linkerd/proxy"] == [each["name"] for each in component["images"]]


def test_containerd(desk: Desk, fake: FakeRegistry) -> None:
    """A hosts.toml for each registry that the release names, by the scheme that the registry has."""
    destination = {"kind": "registry", "registry": fake.host, "prefix": "l5d", "paths": "upstream"}
    desk.configure(destinations={"production": destination})
    assert 0 == desk.run("sync", RELEASE).code
    written = desk.run("overrides", RELEASE, "--format", "containerd", "-d", "certs.d")
    shown = desk.run("overrides", RELEASE, "--format", "containerd")

    assert ["certs.d/cr.l5d.io/hosts.toml", "certs.d/docker.io/hosts.toml"] == written.out.splitlines()
    assert f'[host."http://{fake.host}/v2/l5d/docker.io"]' in Path("certs.d/docker.io/hosts.toml").read_text()
    assert "# cr.l5d.io/hosts.toml" in shown.out.splitlines()


def test_how_a_chart_is_installed(synced: Desk) -> None:
    """From the mirror, by the name that the cluster pulls by; in the head of its values, and in JSON."""
    command = (
        "helm upgrade --install linkerd-viz oci://pull.example.com/l5d/charts/linkerd-viz --version 2026.8.1 "
        "-f linkerd-viz.yaml"
    )
    text = synced.run("overrides", RELEASE, "--chart", "linkerd-viz")
    document = synced.run("overrides", RELEASE, "-o", "json").document

    assert f"# install:   {command}" in text.out
    assert set(CHARTS) == set(document["install"])
    assert command == document["install"]["linkerd-viz"]


def test_proven_without_the_chart_repository(desk: Desk, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the charts that the mirror holds, which a note says."""
    monkeypatch.undo()
    helm = require("helm")
    monkeypatch.chdir(desk.directory)
    monkeypatch.setenv("PATH", str(Path(helm).parent))
    assert 0 == desk.run("sync", RELEASE, "--to", f"{fake.host}/l5d").code
    desk.upstream.charts.files.clear()
    said = desk.run("overrides", RELEASE, "--to", f"{fake.host}/l5d", "--prove", "-o", "json")

    assert (0, "proven") == (said.code, said.document["proof"])
    [note] = [note for note in said.document["notes"] if "the charts are those" in note]
    assert f"{fake.host}/l5d holds" in note


def test_a_chart_that_is_another_now(synced: Desk, fake: FakeRegistry) -> None:
    """The mirror is not what was recorded, and no values are given."""
    charts = fake.repositories["l5d/charts/linkerd-viz"]
    charts.tags["2026.8.1"] = fake.repositories["l5d/web"].tags[RELEASE]
    said = synced.run("overrides", RELEASE)

    assert 3 == said.code
    assert "charts/linkerd-viz:2026.8.1 names" in said.sentences[0]
