"""Charts in mirrors: how they get there, what is refused, what a cluster without upstream makes of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror.app import App
from mirror.errors import UsageError, WorldError
from mirror.http.proxies import Proxies
from mirror.library import charts_of
from mirror.linkerd.artifact import archive_of, artifact
from mirror.linkerd.release import Release
from mirror.oci.content import Digest
from mirror.oci.manifest import Manifest
from mirror.record import ANNOTATION
from mirror.report import ChartReport, ReleaseReport
from mirror.settings import Settings
from tests.content import Image
from tests.linkerd import charts
from tests.runs import only, plan, sync, verify
from tests.servers.distribution import Distribution
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, answer
from tests.servers.tools import require
from tests.servers.upstream import CHARTS, NEXT, RELEASE, Upstream, references, upstream_server

VERSION = "2026.8.1"
VIZ = f"charts/linkerd-viz:{VERSION}"
WEB = references()[2]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream with one release."""
    with upstream_server() as running:
        running.publish()
        yield running


def into(upstream: Upstream, fake: FakeRegistry, tmp_path: Path, **more: Any) -> Settings:
    """From *upstream* into the fake; *more* are tables, `destination` keys of the one destination."""
    destination = {"kind": "registry", "registry": fake.host, "prefix": "l5d", **more.pop("destination", {})}
    return upstream.settings(
        destinations={"test": destination}, overrides={"directory": str(tmp_path / "overrides")}, **more
    )


@pytest.fixture
def settings(upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> Settings:
    return into(upstream, fake, tmp_path)


def brought(release: ReleaseReport) -> dict[str, str]:
    """The outcome of each chart."""
    return {chart.name: chart.outcome for chart in release.charts}


def viz(release: ReleaseReport) -> ChartReport:
    [found] = [chart for chart in release.charts if chart.name == "linkerd-viz"]
    return found


def record_of(fake: FakeRegistry) -> Any:
    stored = fake.repositories["l5d/mirror-record"]
    _, raw = stored.manifests[stored.tags[RELEASE]]
    return json.loads(json.loads(raw)["annotations"][ANNOTATION])


def another(version: str = VERSION) -> Image:
    """A chart of the same name and version, with other values."""
    made = artifact(charts.chart("linkerd-viz", version, {"another": 1}))
    return Image(made.manifest, made.blobs)


def corrupt(fake: FakeRegistry, chart: Any) -> None:
    """The archive of *chart*, as it is recorded, has other bytes of the same size."""
    blobs, archive = fake.repositories[f"l5d/charts/{chart['name']}"].blobs, Digest.parse(chart["artifact"]["archive"])
    blobs[archive] = b"x" * len(blobs[archive])


def all_are(outcome: str) -> dict[str, str]:
    return dict.fromkeys(CHARTS, outcome)


class TestBrought:
    async def test_each_chart_has_a_place(self, settings: Settings, fake: FakeRegistry, upstream: Upstream) -> None:
        """The archive byte for byte, the digests in the record, and a second run that writes nothing."""
        first = await sync(settings)
        writes = len([seen for seen in fake.requests if seen.method not in ("GET", "HEAD")])
        second = await sync(settings)

        assert all_are("copied") == brought(only(first))
        assert all_are("kept") == brought(only(second))
        assert "in_step" == only(second).outcome
        assert writes == len([seen for seen in fake.requests if seen.method not in ("GET", "HEAD")])
        for chart in record_of(fake)["charts"]:
            held = chart["artifact"]
            assert [f"charts/{chart['name']}", VERSION] == held["target"]
            assert f"sha256:{chart['sha256']}" == held["archive"]
            repository = fake.repositories[f"l5d/charts/{chart['name']}"]
            assert held["digest"] == str(repository.tags[VERSION])
            assert (
                upstream.charts.files[f"{chart['name']}-{VERSION}.tgz"]
                == repository.blobs[Digest.parse(held["archive"])]
            )

    async def test_they_come_after_their_images(self, settings: Settings, fake: FakeRegistry) -> None:
        """Who follows a chart's versions must not get one whose images are not there."""
        await sync(settings)

        puts = [seen.path for seen in fake.requests if seen.method == "PUT" and "/manifests/" in seen.path]
        tags = [path.removeprefix("/v2/l5d/") for path in puts if "sha256:" not in path]
        images = [place for place, tag in enumerate(tags) if not tag.startswith(("charts/", "mirror-record"))]
        placed = [place for place, tag in enumerate(tags) if tag.startswith("charts/")]
        assert max(images) < min(placed)

    async def test_a_chart_waits_for_its_images(
        self, settings: Settings, fake: FakeRegistry, upstream: Upstream
    ) -> None:
        """It is not brought where one is missing, and comes once that is there; the other charts do not wait."""
        upstream.remove(WEB)
        without = only(await sync(settings))
        has_viz = "l5d/charts/linkerd-viz" in fake.repositories
        upstream.put(WEB, upstream.images[WEB])
        whole = only(await sync(settings))

        assert all_are("copied") | {"linkerd-viz": "failed"} == brought(without)
        assert WEB in viz(without).reason
        assert not has_viz
        assert all_are("kept") | {"linkerd-viz": "copied"} == brought(whole)

    async def test_a_mirror_from_before(
        self, settings: Settings, upstream: Upstream, fake: FakeRegistry, tmp_path: Path
    ) -> None:
        """One without charts is not in step: they are brought, and nothing else is."""
        await sync(into(upstream, fake, tmp_path, destination={"charts": False}))
        assert all("artifact" not in chart for chart in record_of(fake)["charts"])
        planned = await plan(settings)
        report = only(await sync(settings))

        assert 4 == planned.exit_code
        assert {"kept"} == {image.outcome for image in report.images}
        assert (all_are("copied"), "synced") == (brought(report), report.outcome)
        assert all("artifact" in chart for chart in record_of(fake)["charts"])

    async def test_a_mirror_from_before_without_its_chart_repository(
        self, settings: Settings, upstream: Upstream, fake: FakeRegistry, tmp_path: Path
    ) -> None:
        """Its images stay in step; the charts say why they did not come."""
        await sync(into(upstream, fake, tmp_path, destination={"charts": False}))
        upstream.charts.files.clear()
        report = only(await sync(settings))

        assert {"kept"} == {image.outcome for image in report.images}
        assert (all_are("failed"), "failed") == (brought(report), report.outcome)
        assert "index.yaml" in viz(report).reason

    async def test_a_destination_without_charts(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """None go there, and values name none."""
        report = only(await sync(into(upstream, fake, tmp_path, destination={"charts": False})))

        assert () == report.charts
        assert [] == [name for name in fake.repositories if "charts" in name]
        assert all("oci://" not in Path(file).read_text() for file in report.overrides)

    async def test_a_registry_that_takes_no_charts(self, settings: Settings, fake: FakeRegistry) -> None:
        """The images are there; each chart says how to leave charts out."""
        fake.faults.append(Fault("PUT /v2/l5d/charts/.*/manifests/.*", answer(415), times=ALWAYS))
        report = only(await sync(settings))

        assert {"copied"} == {image.outcome for image in report.images}
        assert (all_are("failed"), 1) == (brought(report), report.exit_code)
        assert "charts = false in [destinations.test]" in viz(report).reason

    async def test_a_provenance_comes_too(self, settings: Settings, fake: FakeRegistry, upstream: Upstream) -> None:
        """One of this archive; one of another is left where it is."""
        archive = upstream.charts.files[f"linkerd-viz-{VERSION}.tgz"]
        signed = f"files:\n  linkerd-viz-{VERSION}.tgz: {Digest.of(archive)}\n".encode()
        upstream.charts.files[f"linkerd-viz-{VERSION}.tgz.prov"] = signed
        upstream.charts.files[f"linkerd-crds-{VERSION}.tgz.prov"] = signed
        await sync(settings)

        assert signed == fake.repositories["l5d/charts/linkerd-viz"].blobs[Digest.of(signed)]
        assert 2 == len(fake.repositories["l5d/charts/linkerd-crds"].blobs)

    async def test_two_releases(self, settings: Settings, upstream: Upstream) -> None:
        """Each has its version of each chart."""
        upstream.publish(NEXT)
        report = await sync(settings, "edge:2")

        assert [all_are("copied"), all_are("copied")] == [brought(release) for release in report.releases]
        assert {VERSION, "2026.8.2"} == {chart.version for release in report.releases for chart in release.charts}


class TestNothingIsOverwritten:
    async def test_an_archive_that_moved(self, settings: Settings, upstream: Upstream, fake: FakeRegistry) -> None:
        """Refused, whichever way it is seen; the mirror and the record keep what they have until it is accepted."""
        await sync(settings)
        before, recorded = fake.repositories["l5d/charts/linkerd-viz"].tags[VERSION], record_of(fake)["charts"]
        upstream.publish(viz_values={"more": 1})
        by_index, by_refresh = await sync(settings, "edge"), await sync(settings, refresh=True)
        still_recorded = record_of(fake)["charts"]
        kept = fake.repositories["l5d/charts/linkerd-viz"].tags[VERSION]
        archive = Digest.of(upstream.charts.files[f"linkerd-viz-{VERSION}.tgz"])
        accepted = await sync(settings, accept=[f"{VIZ}@{archive}"])
        after = await sync(settings, "edge")

        for report in (by_index, by_refresh):
            assert (3, "refused", "moved") == (report.exit_code, viz(only(report)).outcome, viz(only(report)).cause)
            assert f"--accept {VIZ}@{archive}" in viz(only(report)).reason
            assert not [note for note in only(report).notes if "moved" in note]
        assert before == kept
        assert recorded == still_recorded
        assert (0, "copied") == (accepted.exit_code, viz(only(accepted)).outcome)
        assert (0, "in_step") == (after.exit_code, only(after).outcome)
        [entry] = [chart for chart in record_of(fake)["charts"] if chart["name"] == "linkerd-viz"]
        assert str(archive) == entry["artifact"]["archive"]
        assert str(before) == entry["artifact"]["accepted"]["replaced"]

    async def test_a_tag_that_was_taken(self, settings: Settings, fake: FakeRegistry) -> None:
        """Another chart at its place: refused, and left alone."""
        other = another()
        fake.add("l5d/charts/linkerd-viz", other, VERSION)
        report = await sync(settings)

        assert (3, "refused", "taken") == (report.exit_code, viz(only(report)).outcome, viz(only(report)).cause)
        assert other.digest == fake.repositories["l5d/charts/linkerd-viz"].tags[VERSION]
        assert not [file for file in only(report).overrides if "viz" in file]

    async def test_what_helm_has_pushed_already(
        self, settings: Settings, upstream: Upstream, fake: FakeRegistry
    ) -> None:
        """The same archive in other wrapping is the same chart: adopted as it is."""
        made = artifact(charts.chart("linkerd-crds", VERSION, {}, {}, app_version=""))
        view = json.loads(made.manifest.raw)
        view["annotations"]["org.opencontainers.image.created"] = "2026-01-01T00:00:00Z"
        wrapped = Manifest.parse(json.dumps(view).encode(), where="here")
        fake.add("l5d/charts/linkerd-crds", Image(wrapped, made.blobs), VERSION)
        report = only(await sync(settings))

        assert "adopted" == brought(report)["linkerd-crds"]
        assert wrapped.digest == fake.repositories["l5d/charts/linkerd-crds"].tags[VERSION]
        assert Digest.of(upstream.charts.files[f"linkerd-crds-{VERSION}.tgz"]) == archive_of(wrapped)

    async def test_a_tag_that_was_changed(self, settings: Settings, fake: FakeRegistry) -> None:
        """Under us: refused by sync, told by verify."""
        await sync(settings)
        other = another()
        fake.add("l5d/charts/linkerd-viz", other, VERSION)
        report, verified = await sync(settings), await verify(settings)

        assert ("refused", "changed") == (viz(only(report)).outcome, viz(only(report)).cause)
        [release] = verified.releases
        assert 4 == verified.exit_code
        assert [VIZ] == [chart.reference for chart in release.charts if chart.problems]

    async def test_a_tag_that_is_lost_comes_back(self, settings: Settings, fake: FakeRegistry) -> None:
        """Its archive is read again for that, and no image."""
        await sync(settings)
        del fake.repositories["l5d/charts/linkerd-viz"].tags[VERSION]
        report = only(await sync(settings))

        assert all_are("kept") | {"linkerd-viz": "copied"} == brought(report)

    async def test_two_charts_for_one_place(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """Of two channels: both are refused, before one is written over the other."""
        with upstream_server() as other:
            other.publish("test-26.8.1", viz_values={"another": 1})
            for reference in references("test-26.8.1")[:3]:
                upstream.put(reference, other.images[reference])
            channels = {"test": {"chart_repository": other.charts.url}}
            report = await sync(into(upstream, fake, tmp_path, channels=channels), RELEASE, "test-26.8.1")

        assert {("refused", "clash")} == {(viz(one).outcome, viz(one).cause) for one in report.releases}
        assert "l5d/charts/linkerd-viz" not in fake.repositories


class TestVerified:
    async def test_a_record_of_another_archive(self, settings: Settings, fake: FakeRegistry) -> None:
        """Whoever can push to the mirror can write its record: what is there is held to the archive it names."""
        await sync(settings)
        stored = fake.repositories["l5d/mirror-record"]
        media_type, raw = stored.manifests[stored.tags[RELEASE]]
        archive = next(chart["artifact"]["archive"] for chart in record_of(fake)["charts"] if "viz" in chart["name"])
        forged = raw.replace(archive.encode(), str(Digest.of(b"another")).encode())
        stored.tags[RELEASE] = Digest.of(forged)
        stored.manifests[Digest.of(forged)] = (media_type, forged)
        [release] = (await verify(settings)).releases

        [problem] = [problem for chart in release.charts for problem in chart.problems]
        assert "does not hold the archive" in problem

    async def test_every_byte(self, settings: Settings, fake: FakeRegistry) -> None:
        """A blob that is another now is found by reading it."""
        await sync(settings)
        whole = await verify(settings, deep=True)
        corrupt(fake, next(chart for chart in record_of(fake)["charts"] if chart["name"] == "linkerd-viz"))
        broken = await verify(settings, deep=True)

        assert (0, 4) == (whole.exit_code, broken.exit_code)
        assert 3 == len(whole.document()["releases"][0]["charts"])
        outcomes = {chart["reference"]: chart["outcome"] for chart in broken.document()["releases"][0]["charts"]}
        assert "not_in_step" == outcomes[VIZ]


class TestAirGap:
    async def charts(self, settings: Settings, release: str = RELEASE) -> tuple[set[str], str]:
        async with App(settings, {}, Proxies()) as app:
            found, note = await charts_of(Release.parse(release), app.catalogue(), app.mirrors())
            return {chart.sha256 for chart in found}, note

    async def test_charts_come_from_the_mirror(self, settings: Settings, upstream: Upstream) -> None:
        """Where the chart repository does not answer; the note says so."""
        await sync(settings)
        there = await self.charts(settings)
        upstream.charts.files.clear()
        here = await self.charts(settings)

        assert there[0] == here[0]
        assert ("", True) == (there[1], "the charts are those that" in here[1])

    async def test_a_release_that_is_not_there(self, settings: Settings, upstream: Upstream) -> None:
        """The chart repository's failure is told; an unknown release is one, whatever is recorded."""
        await sync(settings)
        with pytest.raises(UsageError):
            await self.charts(settings, "edge-26.8.9")
        upstream.charts.files.clear()
        with pytest.raises(WorldError, match=r"index\.yaml"):
            await self.charts(settings, "edge-26.8.9")

    async def test_wrong_bytes_in_the_mirror(self, settings: Settings, upstream: Upstream, fake: FakeRegistry) -> None:
        """Are not taken for a chart."""
        await sync(settings)
        upstream.charts.files.clear()
        for chart in record_of(fake)["charts"]:
            corrupt(fake, chart)
        with pytest.raises(WorldError, match=r"index\.yaml"):
            await self.charts(settings)


class TestHelm:
    async def test_it_installs_nothing_from_upstream(
        self, upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path
    ) -> None:
        """Every chart is pulled from a real registry, and rendered with its values has images of the mirror alone."""
        helm, place = require("helm"), f"{open_distribution.host}/{path}"
        destination = {"kind": "registry", "registry": open_distribution.host, "prefix": path}
        directory = tmp_path / "overrides"
        settings = upstream.settings(destinations={"test": destination}, overrides={"directory": str(directory)})
        report = only(await sync(settings, helm=helm))
        sources = dict(upstream.charts.files)
        upstream.charts.files.clear()

        assert "proven" == report.proof
        for chart in report.charts:
            values = directory / "test" / RELEASE / f"{chart.name}.yaml"
            source = f"oci://{place}/charts/{chart.name}"
            assert (
                f"helm upgrade --install {chart.name} {source} --plain-http --version {VERSION}" in values.read_text()
            )
            run(helm, tmp_path, "pull", source, "--version", VERSION, "-d", str(tmp_path))
            assert sources[f"{chart.name}-{VERSION}.tgz"] == (tmp_path / f"{chart.name}-{VERSION}.tgz").read_bytes()
            text = run(helm, tmp_path, "template", "x", source, "--version", VERSION, "-f", str(values))
            images = [line.partition("image: ")[2].strip('"') for line in text.splitlines() if "image: " in line]
            assert [] == [image for image in images if not image.startswith(f"{place}/")]
            assert bool(images) == (chart.name != "linkerd-crds")


def run(helm: str, home: Path, *arguments: str) -> str:
    command = [helm, *arguments, "--plain-http"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": str(home)}, timeout=60)
    assert 0 == done.returncode, done.stderr
    return done.stdout
