"""`mirror path`, and `--from` of sync and plan: the releases of an upgrade, told and mirrored."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.conftest import Desk
from tests.content import image, index
from tests.servers.upstream import Upstream, references, upstream_server

# what runs, what is passed, another that need not be, and the newest
RUNS, PASSED, BESIDE, NEWEST = "edge-26.1.1", "edge-26.2.1", "edge-26.3.1", "edge-26.4.1"
RELEASES = (RUNS, PASSED, BESIDE, NEWEST)
VERSIONS = "".join(
    f'- version: "{version}"\n  edge: {release}\n  releaseDate: "August 1, 2026"\n'
    for version, release in (("2.20", BESIDE), ("2.19", PASSED), ("2.18", RUNS))
)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Four releases of three versions; the proxy of the second one on lacks a platform."""
    with upstream_server() as running:
        running.charts.files["versions.yaml"] = VERSIONS.encode()
        running.put(f"cr.l5d.io/linkerd/proxy:{PASSED}", index(image(b"proxy"), platforms=("linux/amd64",)))
        for release in RELEASES:
            running.publish(release)
        yield running


def recorded(desk: Desk) -> set[str]:
    """The releases that ./out says it holds."""
    answer = desk.run("releases", "edge", "--all", "--to", "oci:out", "-o", "json").document
    return {each["release"] for channel in answer["channels"] for each in channel["releases"] if each["mirrored"]}


def test_lines(desk: Desk) -> None:
    """One for each hop, with its version, and what changes there, indented."""
    said = desk.run("path", RUNS, NEWEST)

    assert 0 == said.code
    assert [
        f"{RUNS} → {PASSED}, Linkerd 2.19",
        "  Linkerd 2.19 supports Kubernetes 1.22 to 1.35, and 2.18 1.22 to 1.32: be on 1.22 to 1.32 for this hop",
        "  proxy: no longer for linux/arm64",
        f"{PASSED} → {NEWEST}, Linkerd 2.20",
        "  Linkerd 2.20 supports Kubernetes 1.31 to 1.35, and 2.19 1.22 to 1.35: be on 1.31 to 1.35 for this hop",
        "  proxy: now for linux/arm64 too",
    ] == said.out.splitlines()


def test_what_is_told_of_several_is_told_once(desk: Desk) -> None:
    """The images are named in one line."""
    desk.upstream.put(f"cr.l5d.io/linkerd/web:{PASSED}", index(image(b"web"), platforms=("linux/amd64",)))
    said = desk.run("path", RUNS, PASSED)

    assert "  proxy, web: no longer for linux/arm64" in said.out.splitlines()


def test_json(desk: Desk) -> None:
    """The contract's keys."""
    document = desk.run("path", RUNS, "2.19", "-o", "json").document

    assert (1, []) == (document["schema"], document["notes"])
    [hop] = document["hops"]
    assert (RUNS, PASSED, "2.19") == (hop["from"], hop["to"], hop["version"])
    proxy = {"kind": "platforms_dropped", "image": "cr.l5d.io/linkerd/proxy", "told": "no longer for linux/arm64"}
    assert [proxy] == [change for change in hop["changes"] if "image" in change]


def test_ends_that_are_asked_for(desk: Desk) -> None:
    """A version of the project and a channel are one release each."""
    assert desk.run("path", "2.18", "edge").out == desk.run("path", RUNS, NEWEST).out


def test_registries_out_of_reach(desk: Desk) -> None:
    """The platforms are left out, which is said once for each; exit code 0, and the rest is told."""
    down = {host: {"endpoint": "http://127.0.0.1:1"} for host in ("ghcr.io", "docker.io")}
    desk.configure(registries=down)
    said = desk.run("path", RUNS, NEWEST)

    assert 0 == said.code
    assert "platforms" not in "".join(said.out.splitlines()[:-1])
    assert said.out.splitlines()[-1].startswith("the platforms of 9 of 9 images at cr.l5d.io are left out: 127.0.0.1:1")
    assert f"{PASSED} → {NEWEST}, Linkerd 2.20" in said.out


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (NEWEST, RUNS, "no supported path back"),
        (RUNS, RUNS, "nothing to upgrade"),
        (RUNS, "edge-26.4.2", "the chart repository has no edge-26.4.2"),
        ("edge-26.1.2", NEWEST, "the chart repository has no edge-26.1.2"),
        (NEWEST, "edge-26.1.2", "the chart repository has no edge-26.1.2"),
        ("enterprise-2.19.4", NEWEST, "whoever publishes enterprise documents theirs"),
        ("edge:2", NEWEST, "edge:2 asks for 2 releases: name one"),
        ("2.99", NEWEST, "has no version 2.99"),
        ("x", NEWEST, "'x' is not"),
    ],
)
def test_wrong_input(desk: Desk, start: str, end: str, why: str) -> None:
    """Exit code 2, one sentence."""
    said = desk.run("path", start, end)

    assert (2, "") == (said.code, said.out)
    [sentence] = said.sentences
    assert why in sentence


def test_what_is_excluded_is_not_passed(desk: Desk) -> None:
    """Of a version without another release there is none to pass, and so no path."""
    desk.configure(exclude=[PASSED])
    said = desk.run("path", RUNS, NEWEST)

    assert 2 == said.code
    assert "the path goes by 2.19, of which there is no release that may be taken" in said.sentences[0]


def test_charts_out_of_reach(desk: Desk) -> None:
    """Exit code 1, the host named: nothing can be said."""
    desk.configure(channels={"edge": {"chart_repository": "http://127.0.0.1:1/edge"}})
    said = desk.run("path", RUNS, NEWEST)

    assert 1 == said.code
    assert "127.0.0.1:1" in said.sentences[-1]


class TestFrom:
    def test_every_release_of_the_path_is_mirrored(self, desk: Desk) -> None:
        """And no other: that which runs, those that are passed, and the one that is named."""
        said = desk.run("sync", NEWEST, "--from", RUNS, "--to", "oci:out")

        assert 0 == said.code
        first = f"path: {RUNS} → {PASSED} → {NEWEST}; keep {RUNS} mirrored until no pod runs its proxy any more"
        assert first == said.out.splitlines()[0]
        assert {RUNS, PASSED, NEWEST} == recorded(desk)
        asked = {seen.path for seen in desk.upstream.registry.requests if "/manifests/edge-" in seen.path}
        of_them = {
            reference.removeprefix("cr.l5d.io/") for name in (RUNS, PASSED, NEWEST) for reference in references(name)
        }
        assert {
            f"/v2/{name}/manifests/{tag}"
            for name, _, tag in (reference.partition(":") for reference in of_them)
            if tag.startswith("edge-")
        } == asked

    def test_what_runs_stays(self, desk: Desk) -> None:
        """A later sync of what is newer deletes nothing, and the mirror still verifies."""
        desk.run("sync", RUNS, "--to", "oci:out")
        desk.run("sync", NEWEST, "--from", RUNS, "--to", "oci:out")
        desk.run("sync", NEWEST, "--to", "oci:out")

        assert {RUNS, PASSED, NEWEST} == recorded(desk)
        assert 0 == desk.run("verify", RUNS, "--to", "oci:out").code

    def test_json(self, desk: Desk) -> None:
        """The paths are beside the report; the indexes of charts are read once."""
        document = desk.run("sync", NEWEST, "--from", "2.18", "--to", "oci:out", "-o", "json").document

        assert [[RUNS, PASSED, NEWEST]] == document["paths"]
        assert [RUNS, PASSED, NEWEST] == [each["release"] for each in document["releases"]]
        assert 1 == [seen.path for seen in desk.upstream.charts.requests].count("/charts/index.yaml")

    def test_to_several(self, desk: Desk) -> None:
        """A path to each; what both pass is mirrored once, and to what runs itself there is none."""
        said = desk.run("plan", RUNS, BESIDE, NEWEST, "--from", RUNS, "--to", "oci:out", "-o", "json")

        assert [[RUNS, PASSED, BESIDE], [RUNS, PASSED, NEWEST]] == said.document["paths"]
        planned = [action["release"] for action in said.document["actions"]]
        assert dict.fromkeys(RELEASES, 4 + 3) == {each: planned.count(each) for each in planned}

    def test_to_what_is_configured(self, desk: Desk) -> None:
        """Without a release, the configuration's are where the path leads."""
        desk.configure(releases=["edge"])
        said = desk.run("plan", "--from", RUNS, "--to", "oci:out")

        assert 4 == said.code
        assert said.out.startswith(f"path: {RUNS} → {PASSED} → {NEWEST}; ")
        assert not (desk.directory / "out").exists()

    def test_without_it(self, desk: Desk) -> None:
        """There is no path."""
        assert [] == desk.run("plan", NEWEST, "--to", "oci:out", "-o", "json").document["paths"]

    @pytest.mark.parametrize("command", ["sync", "plan"])
    @pytest.mark.parametrize(
        ("start", "why"),
        [(NEWEST, "no supported path back"), ("edge-26.1.2", "has no edge-26.1.2"), ("edge:3", "name one")],
    )
    def test_no_way(self, desk: Desk, command: str, start: str, why: str) -> None:
        """Exit code 2, one sentence, and nothing is written."""
        said = desk.run(command, PASSED, "--from", start, "--to", "oci:out")

        assert 2 == said.code
        [sentence] = said.sentences
        assert why in sentence
        assert not (desk.directory / "out").exists()
