"""A sync from a chart repository and a registry into a docker-registry or a layout: what is done, asked and told."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from mirror.errors import WorldError
from mirror.oci.content import Digest
from mirror.oci.layout import Layout
from mirror.settings import Settings
from mirror.shard import Shard
from tests.content import Image, artifact, attestation_of, attested, blob, image, index
from tests.runs import asked, only, outcomes, plan, reasons, sync
from tests.servers.distribution import Distribution
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, Response, answer, becomes, corrupt, redirect
from tests.servers.upstream import (
    BASE,
    CHARTS,
    NEXT,
    RELEASE,
    THIRD_PARTY,
    Upstream,
    references,
    two_platforms,
    upstream_server,
)

CONTROLLER, PROXY, WEB, _ = references()
NAMES = ("controller", "proxy", "web", "prometheus")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream with one release."""
    with upstream_server() as running:
        running.publish()
        yield running


@pytest.fixture
def overrides(tmp_path: Path) -> Path:
    return tmp_path / "overrides"


@pytest.fixture
def settings(upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path) -> Settings:
    """From *upstream* into docker-registry."""
    return into(upstream, open_distribution, path, overrides)


def into(
    upstream: Upstream, registry: Distribution | FakeRegistry, path: str, overrides: Path, **more: Any
) -> Settings:
    """From *upstream* into the registry, below *path*."""
    destination = {"kind": "registry", "registry": registry.host, "prefix": path}
    tables: dict[str, Any] = {"destinations": {"test": destination}, "overrides": {"directory": str(overrides)}}
    return upstream.settings(**tables | more)


def into_layout(
    upstream: Upstream, directory: Path, overrides: Path, *, pull: str = "x.io/l5d", **more: Any
) -> Settings:
    """From *upstream* into the layout in *directory*."""
    destination = {"kind": "layout", "directory": str(directory), "pull_registry": pull}
    tables: dict[str, Any] = {"destinations": {"test": destination}, "overrides": {"directory": str(overrides)}}
    return upstream.settings(**tables | more)


def tag(registry: Distribution, path: str, name: str) -> str:
    """The digest that a tag of the registry names; empty if there is none."""
    answered = httpx.head(
        f"{registry.url}/v2/{path}/{name.partition(':')[0]}/manifests/{name.partition(':')[2]}",
        headers={"Accept": "*/*, application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"},
        trust_env=False,
    )
    return answered.headers["docker-content-digest"] if answered.status_code == 200 else ""


def fetch(url: str, accept: str) -> httpx.Response:
    """What is there."""
    return httpx.get(url, headers={"Accept": accept}, trust_env=False)


def remove(url: str) -> None:
    """It is there no more."""
    httpx.delete(url, trust_env=False).raise_for_status()


def retag(registry: Distribution, path: str, name: str, what: Image) -> None:
    """Somebody else pushes *what* over a tag of the registry."""
    with httpx.Client(base_url=f"{registry.url}/v2/{path}/{name.partition(':')[0]}", trust_env=False) as client:
        for part in what.graph():
            for digest, data in part.blobs.items():
                location = client.post("blobs/uploads/").headers["location"]
                client.put(f"{location}&digest={digest}", content=data).raise_for_status()
            version = name.partition(":")[2] if part is what else str(part.digest)
            headers = {"Content-Type": part.manifest.media_type}
            client.put(f"manifests/{version}", content=part.manifest.raw, headers=headers).raise_for_status()


def record_of(registry: Distribution, path: str, release: str = RELEASE) -> dict[str, Any]:
    """The layer of a record: everything that is kept of a release."""
    with httpx.Client(base_url=f"{registry.url}/v2/{path}/mirror-record", trust_env=False) as client:
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        manifest = client.get(f"manifests/{release}", headers=accept).json()
        document: dict[str, Any] = client.get(f"blobs/{manifest['layers'][0]['digest']}").json()
        return document


def recorded(document: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """What a record says of one image."""
    [entry] = [entry for entry in document["images"] if entry["reference"] == reference]
    return dict(entry)


def fields(*, all_are: str, **other: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, all_are) | other


def told(logs: Sequence[Mapping[str, Any]], event: str) -> list[dict[str, Any]]:
    """What was logged as *event*."""
    return [
        {key: value for key, value in each.items() if key not in ("event", "log_level")}
        for each in logs
        if each["event"] == event
    ]


class TestCold:
    async def test_everything_is_copied(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """Every tag names upstream's digest; the outcome is `synced`, and the exit code 0."""
        report = await sync(settings)

        assert 0 == report.exit_code
        assert "synced" == only(report).outcome
        assert fields(all_are="copied") == outcomes(only(report))
        assert [str(upstream.images[reference].digest) for reference in references()] == [
            tag(open_distribution, path, str(image.place)) for image in only(report).images
        ]

    async def test_each_blob_is_read_once(self, settings: Settings, upstream: Upstream) -> None:
        """Also the layer that all eight images share: elsewhere it is mounted."""
        await sync(settings)

        read = [seen.path for seen in upstream.registry.asked("GET .*/blobs/.*")]
        digests = [path.rpartition("/")[2] for path in read]
        assert sorted(set(digests)) == sorted(digests)
        assert str(Digest.of(BASE)) in digests

    async def test_nothing_is_read_by_tag_after_planning(self, settings: Settings, upstream: Upstream) -> None:
        """A tag that moves in the middle cannot get in; only digest tags, made of a digest, are read."""
        await sync(settings)

        by_tag = {seen.path.rpartition("/")[2] for seen in upstream.registry.asked("GET .*/manifests/[^:]*")}
        assert set() == {name for name in by_tag if not re.fullmatch(r"sha256-[0-9a-f]{64}\.(sig|att|sbom)", name)}

    async def test_values_are_written(self, settings: Settings, overrides: Path) -> None:
        """A file for each chart, below the destination and the release; all images by digest."""
        report = only(await sync(settings))

        files = [str(overrides / "test" / RELEASE / f"{chart}.yaml") for chart in CHARTS]
        assert files == list(report.overrides)
        assert sorted(files) == sorted(str(file) for file in overrides.rglob("*") if file.is_file())
        text = (overrides / "test" / RELEASE / "linkerd-viz.yaml").read_text()
        named = {image.reference: str(image.digest) for image in report.images}
        assert [True, True, True] == [named[each] in text for each in (CONTROLLER, WEB, THIRD_PARTY)]
        assert named[PROXY] not in text

    async def test_the_sizes_are_what_was_sent(self, settings: Settings, upstream: Upstream) -> None:
        """Each blob counts once, for the image that brought it."""
        report = only(await sync(settings))

        blobs = {
            digest: len(data)
            for image in upstream.images.values()
            for part in image.graph()
            for digest, data in part.blobs.items()
        }
        assert sum(blobs.values()) == sum(image.size for image in report.images)

    async def test_a_layout(self, upstream: Upstream, layout_directory: Path, overrides: Path) -> None:
        """The same into a directory."""
        report = only(await sync(into_layout(upstream, layout_directory, overrides)))

        assert fields(all_are="copied") == outcomes(report)
        layout = Layout(layout_directory)
        for reference, what in upstream.images.items():
            name, _, version = reference.rpartition("/")[2].partition(":")
            assert what.digest == await layout.repository(name).head(version)


class TestInStep:
    async def test_what_it_costs(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """Two HEADs an image, one a chart, one GET of the record; no chart repository is asked, nothing is written."""
        await sync(settings)
        before = len(asked(open_distribution, path))
        upstream.forget_requests()
        report = only(await sync(settings))

        assert "in_step" == report.outcome
        assert fields(all_are="kept") == outcomes(report)
        heads = [f"{name}/manifests/{RELEASE}" for name in ("controller", "proxy", "web")] + [
            "prometheus/manifests/v2.55.1"
        ]
        charts = [f"charts/{chart}/manifests/2026.8.1" for chart in CHARTS]
        expected = [f"HEAD /v2/{path}/{head}" for head in (*heads, *charts)]
        expected.append(f"GET /v2/{path}/mirror-record/manifests/{RELEASE}")
        assert sorted(expected) == sorted(asked(open_distribution, path)[before:])
        source = [f"HEAD /v2/linkerd/{head}" for head in heads[:3]] + ["HEAD /v2/prom/prometheus/manifests/v2.55.1"]
        assert sorted(source) == sorted(map(str, upstream.registry.requests))
        assert [] == upstream.charts.requests

    async def test_files_that_were_removed_come_back(self, settings: Settings, overrides: Path) -> None:
        """Byte for byte, from the record alone."""
        report = only(await sync(settings))
        before = {file: Path(file).read_bytes() for file in report.overrides}
        for file in report.overrides:
            Path(file).unlink()
        await sync(settings)

        assert before == {file: Path(file).read_bytes() for file in report.overrides}

    async def test_files_that_are_right_are_left_alone(self, settings: Settings) -> None:
        """They keep their times."""
        report = only(await sync(settings))
        before = [(stat.st_ino, stat.st_mtime_ns) for stat in (Path(file).stat() for file in report.overrides)]
        await sync(settings)

        assert before == [(stat.st_ino, stat.st_mtime_ns) for stat in (Path(f).stat() for f in report.overrides)]

    async def test_refresh_reads_the_charts_again(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """And finds the same: nothing is copied, the record is not written."""
        await sync(settings)
        before = len(asked(open_distribution, path))
        upstream.forget_requests()
        report = only(await sync(settings, refresh=True))

        assert "in_step" == report.outcome
        assert ["index.yaml", *(f"{chart}-2026.8.1.tgz" for chart in CHARTS)] == sorted(
            (seen.path.rpartition("/")[2] for seen in upstream.charts.requests),
            key=lambda name: (name != "index.yaml", name),
        )
        assert [] == [line for line in asked(open_distribution, path)[before:] if line.startswith(("PUT", "POST"))]

    async def test_refresh_that_cannot_read_the_charts_has_failed(self, settings: Settings, upstream: Upstream) -> None:
        """It was asked for, so what the record says is no answer."""
        await sync(settings)
        upstream.charts.files.clear()
        report = await sync(settings, refresh=True)

        assert 1 == report.exit_code
        assert "404" in only(report).problem


class TestUpgrade:
    async def test_only_what_is_new_is_sent(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """The shared layer and the third party's image are there already."""
        await sync(settings)
        upstream.publish(NEXT)
        upstream.forget_requests()
        report = only(await sync(settings, NEXT))

        assert fields(all_are="copied", prometheus="adopted") == outcomes(report)
        read = {seen.path.rpartition("/")[2] for seen in upstream.registry.asked("GET .*/blobs/.*")}
        assert str(Digest.of(BASE)) not in read
        new = {
            str(digest)
            for reference in references(NEXT)[:3]
            for part in upstream.images[reference].graph()
            for digest, data in part.blobs.items()
            if data != BASE
        }
        old = {
            str(digest)
            for reference in references()
            for part in upstream.images[reference].graph()
            for digest in part.blobs
        }
        assert new - old == read

    async def test_two_releases_at_once(self, settings: Settings, upstream: Upstream) -> None:
        """What they share is copied by the first and found by the second."""
        upstream.publish(NEXT)
        report = await sync(settings, "edge:2")

        by_release = {release.release: outcomes(release) for release in report.releases}
        assert {"copied", "adopted"} == {by_release[name]["prometheus"] for name in (RELEASE, NEXT)}
        assert 0 == report.exit_code
        again = await sync(settings, "edge:2")
        assert ["in_step", "in_step"] == [release.outcome for release in again.releases]

    async def test_releases_go_side_by_side(self, settings: Settings, upstream: Upstream) -> None:
        """None waits for the images of another; they are reported in the order in which they were asked for."""
        upstream.publish(NEXT)
        meeting = threading.Barrier(2)

        def met(response: Response) -> Response:
            meeting.wait(20)
            return response

        for release in (RELEASE, NEXT):
            layer = Digest.of(f"linkerd/web {release} linux/amd64".encode())
            upstream.registry.faults.append(Fault(f"GET .*/blobs/{layer}", becomes(met)))
        report = await sync(settings, NEXT, RELEASE)

        assert [(NEXT, "synced"), (RELEASE, "synced")] == [(one.release, one.outcome) for one in report.releases]
        assert [1, 1] == [fault.matched for fault in upstream.registry.faults]
        assert not meeting.broken

    async def test_releases_that_meet_at_one_tag_are_refused(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """By both names, whichever is first: none silently takes the other's place."""
        other = {"prometheus": {"image": {"registry": "docker.io/bitnami", "name": "prometheus", "tag": "v2.55.1"}}}
        upstream.put("bitnami/prometheus:v2.55.1", two_platforms("another prometheus"))
        upstream.publish(NEXT, viz_values=other)
        report = await sync(settings, RELEASE, NEXT)

        assert 3 == report.exit_code
        assert ["refused", "refused"] == [outcomes(release)["prometheus"] for release in report.releases]
        for release in report.releases:
            assert "bitnami/prometheus:v2.55.1" in reasons(release)["prometheus"]
            assert THIRD_PARTY in reasons(release)["prometheus"]
        assert "" == tag(open_distribution, path, "prometheus:v2.55.1")

    async def test_releases_of_two_shards_that_meet_at_one_tag(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """Neither shard sees the other's: who comes later finds the tag taken, and refuses."""
        other = {"prometheus": {"image": {"registry": "docker.io/bitnami", "name": "prometheus", "tag": "v2.55.1"}}}
        upstream.put("bitnami/prometheus:v2.55.1", two_platforms("another prometheus"))
        upstream.publish(NEXT, viz_values=other)
        shares = {index: Shard(index, 8) for index in range(8)}
        shard_of = {
            release: next(shard for shard in shares.values() if shard.takes(release, "test"))
            for release in (RELEASE, NEXT)
        }
        first = only(await sync(settings, RELEASE, NEXT, shard=shard_of[RELEASE]))
        second = only(await sync(settings, RELEASE, NEXT, shard=shard_of[NEXT]))

        assert shard_of[RELEASE] != shard_of[NEXT]
        assert [(RELEASE, "copied"), (NEXT, "refused")] == [
            (report.release, outcomes(report)["prometheus"]) for report in (first, second)
        ]
        assert "the tag was taken before we came" in reasons(second)["prometheus"]
        assert str(upstream.images[THIRD_PARTY].digest) == tag(open_distribution, path, "prometheus:v2.55.1")


class TestAdopt:
    async def test_what_is_there_is_walked_and_recorded(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """Nothing is sent; the next run is in step."""
        retag(open_distribution, path, f"web:{RELEASE}", upstream.images[WEB])
        report = only(await sync(settings))

        assert fields(all_are="copied", web="adopted") == outcomes(report)
        assert [] == upstream.registry.asked("GET /v2/linkerd/web/blobs/.*")
        asks = asked(open_distribution, path)
        for part in upstream.images[WEB].graph():
            assert part is upstream.images[WEB] or f"GET /v2/{path}/web/manifests/{part.digest}" in asks
            assert [] == [digest for digest in part.blobs if f"HEAD /v2/{path}/web/blobs/{digest}" not in asks]
        assert fields(all_are="kept") == outcomes(only(await sync(settings)))

    async def test_what_is_incomplete_is_made_whole(
        self, upstream: Upstream, fake: FakeRegistry, path: str, overrides: Path
    ) -> None:
        """A tag whose layer is gone is no reason to believe it."""
        what = upstream.images[WEB]
        fake.add(f"{path}/web", what, RELEASE)
        stored = fake.repositories[f"{path}/web"]
        lost, child = next(iter(what.children[0].blobs)), what.children[1].digest
        del stored.blobs[lost]
        del stored.manifests[child]
        report = only(await sync(into(upstream, fake, path, overrides)))

        assert "copied" == outcomes(report)["web"]
        assert lost in stored.blobs
        assert child in stored.manifests


class TestRefused:
    async def test_a_released_tag_that_moved(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """Exit code 3, the remedy in the sentence, the mirror as it was, no values for the charts that use it."""
        await sync(settings)
        old, new = upstream.images[WEB].digest, two_platforms("moved")
        files = {file: file.read_bytes() for file in overrides.rglob("*.yaml")}
        upstream.put(WEB, new)
        report = await sync(settings)

        assert 3 == report.exit_code
        assert "refused" == only(report).outcome
        assert fields(all_are="kept", web="refused") == outcomes(only(report))
        assert f"--accept {WEB}@{new.digest}" in reasons(only(report))["web"]
        assert f"--accept {WEB}@{old}" in reasons(only(report))["web"]
        assert str(old) == tag(open_distribution, path, f"web:{RELEASE}")
        assert [f"{chart}.yaml" for chart in CHARTS[:2]] == [Path(file).name for file in only(report).overrides]
        assert any("linkerd-viz" in note for note in only(report).notes)
        assert files == {file: file.read_bytes() for file in overrides.rglob("*.yaml")}

    async def test_accepting_it_settles_it(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """The tag is brought there, both digests are recorded, and the next run is in step."""
        await sync(settings)
        old, new = upstream.images[WEB].digest, two_platforms("moved")
        upstream.put(WEB, new)
        report = await sync(settings, accept=[f"{WEB}@{new.digest}"])

        assert 0 == report.exit_code
        assert "copied" == outcomes(only(report))["web"]
        assert str(new.digest) == tag(open_distribution, path, f"web:{RELEASE}")
        entry = recorded(record_of(open_distribution, path), WEB)
        assert (str(new.digest), str(old)) == (entry["digest"], entry["accepted"]["replaced"])
        assert "2026-08-02T12:00:00+00:00" == entry["accepted"]["at"]
        assert "in_step" == only(await sync(settings)).outcome

    async def test_it_stays_known_that_it_was_accepted(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """Also when the image has to be copied again."""
        await sync(settings)
        old, new = upstream.images[WEB].digest, two_platforms("moved")
        upstream.put(WEB, new)
        await sync(settings, accept=[f"{WEB}@{new.digest}"])
        url = f"{open_distribution.url}/v2/{path}/web/manifests/{new.digest}"
        remove(url)
        report = only(await sync(settings))

        assert "copied" == outcomes(report)["web"]
        assert str(old) == recorded(record_of(open_distribution, path), WEB)["accepted"]["replaced"]

    async def test_by_the_configuration(
        self, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """`[policy.accept]` does the same."""
        new = two_platforms("moved")
        await sync(into(upstream, open_distribution, path, overrides))
        upstream.put(WEB, new)
        accept = {"accept": {WEB: str(new.digest)}}
        report = await sync(into(upstream, open_distribution, path, overrides, policy=accept))

        assert 0 == report.exit_code
        assert str(new.digest) == tag(open_distribution, path, f"web:{RELEASE}")

    async def test_followed_if_asked_to(
        self, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """With a word of what it was."""
        new = two_platforms("moved")
        await sync(into(upstream, open_distribution, path, overrides))
        upstream.put(WEB, new)
        report = await sync(into(upstream, open_distribution, path, overrides, policy={"moved_tags": "follow"}))

        assert 0 == report.exit_code
        assert "copied" == outcomes(only(report))["web"]
        assert "moved" in reasons(only(report))["web"]

    async def test_a_third_party_moves_at_will(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """The mirror stays where it was, says so, and is in step."""
        await sync(settings)
        old = upstream.images[THIRD_PARTY].digest
        upstream.put(THIRD_PARTY, two_platforms("moved"))
        report = await sync(settings)

        assert 0 == report.exit_code
        assert "in_step" == only(report).outcome
        assert "stays at" in reasons(only(report))["prometheus"]
        assert str(old) == tag(open_distribution, path, "prometheus:v2.55.1")

    async def test_the_destination_changed_under_us(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """It is not repaired behind anybody's back; accepting what was recorded repairs it."""
        await sync(settings)
        foreign = two_platforms("somebody else's")
        retag(open_distribution, path, f"web:{RELEASE}", foreign)
        refused = await sync(settings)
        still = tag(open_distribution, path, f"web:{RELEASE}")
        wanted = upstream.images[WEB].digest
        accepted = await sync(settings, accept=[f"{WEB}@{wanted}"])

        assert 3 == refused.exit_code
        assert "changed under us" in reasons(only(refused))["web"]
        assert f"; to settle it: --accept {WEB}@{wanted}" in reasons(only(refused))["web"]
        assert str(foreign.digest) == still
        assert 0 == accepted.exit_code
        assert str(wanted) == tag(open_distribution, path, f"web:{RELEASE}")
        entry = recorded(record_of(open_distribution, path), WEB)
        assert str(foreign.digest) == entry["accepted"]["replaced"]

    async def test_the_tag_was_taken_before_we_came(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """Refused, and what was there is still there; the other images are copied and recorded."""
        foreign = two_platforms("somebody else's")
        retag(open_distribution, path, f"web:{RELEASE}", foreign)
        report = await sync(settings)

        assert 3 == report.exit_code
        assert fields(all_are="copied", web="refused") == outcomes(only(report))
        assert "taken before we came" in reasons(only(report))["web"]
        assert str(foreign.digest) == tag(open_distribution, path, f"web:{RELEASE}")
        assert [WEB, "linkerd-viz"] == record_of(open_distribution, path)["missing"][0]

    async def test_names_that_clash(self, settings: Settings, upstream: Upstream) -> None:
        """Both are refused, by name; the rest goes on."""
        other = {"prometheus": {"image": {"registry": "docker.io/prom", "name": "web", "tag": RELEASE}}}
        upstream.put(f"prom/web:{RELEASE}", two_platforms("another web"))
        upstream.publish(viz_values=other)
        report = await sync(settings)

        assert 3 == report.exit_code
        refused = {image.reference: image.reason for image in only(report).images if image.outcome == "refused"}
        assert {WEB, f"docker.io/prom/web:{RELEASE}"} == set(refused)
        assert all(reference in reason for reference in refused for reason in refused.values())

    async def test_upstream_lacks_what_the_release_names(self, settings: Settings, upstream: Upstream) -> None:
        """A human must look: nothing is known of it."""
        upstream.remove(WEB)
        report = await sync(settings)

        assert 3 == report.exit_code
        assert "the source does not have it" in reasons(only(report))["web"]


class TestUpstreamAway:
    async def test_gone_with_a_record(self, settings: Settings, upstream: Upstream) -> None:
        """The mirror is what it is for: kept, with a warning, exit code 0."""
        await sync(settings)
        upstream.remove(WEB)
        report = await sync(settings)

        assert 0 == report.exit_code
        assert "in_step" == only(report).outcome
        assert {"web": "upstream no longer has it"} == reasons(only(report))

    @pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
    async def test_not_answering_with_a_record(self, upstream: Upstream, tmp_path: Path, status: int) -> None:
        """Kept, not compared, and that is exit code 1."""
        settings = into_layout(upstream, tmp_path / "layout", tmp_path / "overrides")
        await sync(settings)
        away = answer(status, Retry_After="0")
        upstream.registry.faults.append(Fault("(HEAD|GET) /v2/linkerd/web/manifests/.*", away, times=ALWAYS))
        report = await sync(settings)

        assert 1 == report.exit_code
        assert fields(all_are="kept") == outcomes(only(report))
        assert "not compared with upstream" in reasons(only(report))["web"]

    async def test_not_answering_without_a_record(self, upstream: Upstream, tmp_path: Path) -> None:
        """That image has failed, the others are there."""
        settings = into_layout(upstream, tmp_path / "layout", tmp_path / "overrides")
        upstream.registry.faults.append(Fault("(HEAD|GET) /v2/linkerd/web/manifests/.*", answer(403), times=ALWAYS))
        report = await sync(settings)

        assert 1 == report.exit_code
        assert fields(all_are="copied", web="failed") == outcomes(only(report))

    async def test_gone_and_lost(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """Nobody has it any more: failed; and the record still knows what it was."""
        await sync(settings)
        digest = upstream.images[WEB].digest
        remove(f"{open_distribution.url}/v2/{path}/web/manifests/{digest}")
        upstream.remove(WEB)
        report = await sync(settings)

        assert 1 == report.exit_code
        assert "failed" == outcomes(only(report))["web"]
        assert str(digest) == recorded(record_of(open_distribution, path), WEB)["digest"]


class TestOneFails:
    async def test_the_others_do_not(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """No tag for it, no values for its chart, exit code 1; what values there were are left alone."""
        old = overrides / "test" / RELEASE / "linkerd-viz.yaml"
        old.parent.mkdir(parents=True)
        old.write_text("# of an earlier run\n")
        layer = next(digest for digest, data in upstream.images[WEB].children[0].blobs.items() if b"web" in data)
        upstream.registry.faults.append(Fault(f"GET .*/blobs/{layer}", becomes(corrupt), times=ALWAYS))
        report = await sync(settings)

        assert 1 == report.exit_code
        assert ("linkerd-viz",) == only(report).withheld
        assert "failed" == only(report).outcome
        assert fields(all_are="copied", web="failed") == outcomes(only(report))
        assert str(layer) in reasons(only(report))["web"]
        assert "ghcr.io/linkerd/web" in reasons(only(report))["web"]
        assert "" == tag(open_distribution, path, f"web:{RELEASE}")
        assert ["linkerd-control-plane.yaml", "linkerd-crds.yaml"] == [Path(f).name for f in only(report).overrides]
        assert "# of an earlier run\n" == old.read_text()

    async def test_a_redirect_to_what_is_no_host(self, settings: Settings, upstream: Upstream) -> None:
        """Of one blob: its image has failed, and says who sent us where."""
        layer = next(digest for digest, data in upstream.images[WEB].children[0].blobs.items() if b"web" in data)
        away = redirect("https://cdn..example.com/x")
        upstream.registry.faults.append(Fault(f"GET .*/blobs/{layer}", away, times=ALWAYS))
        report = await sync(settings)

        assert 1 == report.exit_code
        assert fields(all_are="copied", web="failed") == outcomes(only(report))
        assert "gave a redirect to what is not an address of a server" in reasons(only(report))["web"]

    async def test_the_next_run_completes_it(self, settings: Settings, upstream: Upstream) -> None:
        """Only that image is copied, and its chart's values appear."""
        layer = next(digest for digest, data in upstream.images[WEB].children[0].blobs.items() if b"web" in data)
        upstream.registry.faults.append(Fault(f"GET .*/blobs/{layer}", becomes(corrupt)))
        await sync(settings)
        report = await sync(settings)

        assert 0 == report.exit_code
        assert fields(all_are="kept", web="copied") == outcomes(only(report))
        assert [f"{chart}.yaml" for chart in CHARTS] == [Path(file).name for file in only(report).overrides]

    async def test_what_was_recorded_is_not_forgotten(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """An image that is lost, and cannot be copied again now, may not come back with another digest."""
        await sync(settings)
        digest, moved = upstream.images[WEB].digest, two_platforms("moved")
        remove(f"{open_distribution.url}/v2/{path}/web/manifests/{digest}")
        upstream.registry.faults.append(Fault(f"GET /v2/linkerd/web/manifests/{digest}", answer(403), times=ALWAYS))
        failed = await sync(settings)
        upstream.put(WEB, moved)
        report = await sync(settings)

        assert 1 == failed.exit_code
        assert 3 == report.exit_code
        assert "moved upstream" in reasons(only(report))["web"]

    async def test_all_fail(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """Nothing is recorded, and no values are written but those of a chart without images."""
        upstream.registry.faults.append(Fault("GET /v2/.*/manifests/.*", answer(403), times=ALWAYS))
        report = await sync(settings)

        assert 1 == report.exit_code
        assert fields(all_are="failed") == outcomes(only(report))
        assert [] == [line for line in asked(open_distribution, path) if line.startswith("PUT")]

    async def test_values_that_cannot_be_written(self, settings: Settings, overrides: Path) -> None:
        """One sentence; the images are there and recorded, so the next run only writes the values."""
        overrides.write_text("a file where a directory belongs")
        with capture_logs() as logs:
            report = await sync(settings)
        overrides.unlink()
        again = await sync(settings)

        assert 1 == report.exit_code
        assert fields(all_are="copied") == outcomes(only(report))
        assert str(overrides) in only(report).problem
        assert "cannot be written" in only(report).problem
        assert [{"destination": "test", "release": RELEASE, "reason": only(report).problem}] == told(
            logs, "sync.release_failed"
        )
        assert (0, "in_step") == (again.exit_code, only(again).outcome)
        assert [f"{chart}.yaml" for chart in CHARTS] == [Path(file).name for file in only(again).overrides]


class TestPlatformFilter:
    @pytest.fixture
    def filtered(self, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path) -> Settings:
        """Of web's two platforms, each with BuildKit's attestation, one is wanted."""
        children = [image(BASE, each.encode(), platform=each) for each in ("linux/amd64", "linux/arm64")]
        attestations = [attested(child) for child in children]
        marks = [{}, {}, *map(attestation_of, children)]
        platforms = ["linux/amd64", "linux/arm64", "unknown/unknown", "unknown/unknown"]
        upstream.put(WEB, index(*children, *attestations, platforms=platforms, annotations=marks))
        return into(upstream, open_distribution, path, overrides, platforms=["linux/amd64"])

    async def test_the_index_is_rewritten(
        self, filtered: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """It lists the platform and its attestation; the record has upstream's digest and its bytes."""
        report = only(await sync(filtered))

        what = upstream.images[WEB]
        web = next(image for image in report.images if image.reference == WEB)
        assert what.digest != web.digest
        url = f"{open_distribution.url}/v2/{path}/web/manifests/{RELEASE}"
        stored = fetch(url, what.manifest.media_type)
        assert web.digest == Digest.of(stored.content)
        listed = [entry["digest"] for entry in stored.json()["manifests"]]
        assert [str(what.children[0].digest), str(what.children[2].digest)] == listed
        entry = recorded(record_of(open_distribution, path), WEB)
        assert (str(what.digest), str(web.digest)) == (entry["upstream"], entry["digest"])
        assert what.manifest.raw.decode() == entry["evidence"]["upstreamIndex"]
        assert [str(what.children[2].digest)] == entry["evidence"]["unsignedStatements"]

    async def test_in_step_costs_what_it_does_without(
        self, filtered: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """Two HEADs an image, one a chart: the record knows what upstream's digest becomes."""
        await sync(filtered)
        before = len(asked(open_distribution, path))
        upstream.forget_requests()
        report = only(await sync(filtered))

        assert "in_step" == report.outcome
        assert {"HEAD"} == {seen.method for seen in upstream.registry.requests}
        assert 4 == len(upstream.registry.requests)
        assert 8 == len(asked(open_distribution, path)) - before
        assert [] == upstream.charts.requests

    async def test_what_is_adopted_keeps_upstreams_index_too(
        self, filtered: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """As when two releases share an image."""
        upstream.publish(NEXT)
        await sync(filtered, RELEASE, NEXT)

        entry = recorded(record_of(open_distribution, path, NEXT), THIRD_PARTY)
        assert upstream.images[THIRD_PARTY].manifest.raw.decode() == entry["evidence"]["upstreamIndex"]

    async def test_another_filter_plans_anew(
        self, filtered: Settings, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """Each image gives way to what the filter yields now, and the next run is in step."""
        await sync(filtered)
        everything = into(upstream, open_distribution, path, overrides)
        report = only(await sync(everything))

        assert fields(all_are="copied") == outcomes(report)
        assert str(upstream.images[WEB].digest) == tag(open_distribution, path, f"web:{RELEASE}")
        assert "in_step" == only(await sync(everything)).outcome

    async def test_an_image_that_could_not_follow_follows_later(
        self, filtered: Settings, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """What was kept because upstream was away is not in step with the filter of today."""
        await sync(filtered)
        before = tag(open_distribution, path, f"web:{RELEASE}")
        other = into(upstream, open_distribution, path, overrides, platforms=["linux/arm64"])
        upstream.registry.faults.append(Fault("(HEAD|GET) /v2/linkerd/web/manifests/.*", answer(403), times=2))
        kept = only(await sync(other))
        report = only(await sync(other))

        assert fields(all_are="copied", web="kept") == outcomes(kept)
        assert fields(all_are="kept", web="copied") == outcomes(report)
        assert before != tag(open_distribution, path, f"web:{RELEASE}")
        assert "in_step" == only(await sync(other)).outcome

    async def test_a_platform_that_no_image_has(self, upstream: Upstream, tmp_path: Path) -> None:
        """Each image fails by name, with what there is."""
        settings = into_layout(upstream, tmp_path / "layout", tmp_path / "o", platforms=["linux/s390x"])
        report = await sync(settings)

        assert 1 == report.exit_code
        assert fields(all_are="failed") == outcomes(only(report))
        web = reasons(only(report))["web"]
        assert f"ghcr.io/linkerd/web:{RELEASE}" in web or WEB in web
        assert "none of the platforms linux/s390x is in the index, which has linux/amd64, linux/arm64" in web
        assert "cannot be asked" not in web

    async def test_images_that_differ_in_platforms(
        self, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """Each has those of the filter that upstream has of it; what it lacks is told, in every run."""
        three = ("linux/amd64", "linux/arm64", "linux/arm/v7")
        whole = index(*(image(BASE, each.encode(), platform=each) for each in three), platforms=three)
        upstream.put(PROXY, whole)
        wide = ["linux/amd64", "linux/arm/v7"]
        settings = into(upstream, open_distribution, path, overrides, platforms=wide)
        reports = [only(await sync(settings)), only(await sync(settings))]
        planned = await plan(settings)
        kept = recorded(record_of(open_distribution, path), PROXY)["evidence"]["platforms"]
        narrow = only(await sync(into(upstream, open_distribution, path, overrides, platforms=["linux/amd64"])))

        told = f"upstream has no linux/arm/v7 of {CONTROLLER}, {WEB}, {THIRD_PARTY}"
        assert ["synced", "in_step"] == [report.outcome for report in reports]
        assert [[told], [told]] == [[note for note in report.notes if "upstream" in note] for report in reports]
        assert [told] == [note.partition(": ")[2] for note in planned.notes]
        assert ["linux/amd64", "linux/arm/v7"] == kept
        assert [] == [note for note in narrow.notes if "upstream" in note]


class TestMovements:
    async def test_an_index_that_went_back(self, settings: Settings, upstream: Upstream) -> None:
        """The channel's newest is older than what is recorded: said, and nothing else changes."""
        older = upstream.charts.files["index.yaml"]
        upstream.publish(NEXT)
        await sync(settings, "edge")
        upstream.charts.files["index.yaml"] = older
        report = await sync(settings, "edge")
        planned = await plan(settings, "edge")

        [note] = [note for note in only(report).notes if "went back" in note]
        assert f"its newest release is {RELEASE}, and {NEXT} is recorded" in note
        assert [note] == [told.partition(": ")[2] for told in planned.notes]
        assert (0, RELEASE) == (report.exit_code, only(report).release)

    async def test_a_chart_that_moved(self, settings: Settings, upstream: Upstream) -> None:
        """Where the mirror holds no charts, it is said until a refresh has recorded what it is now."""
        alone = settings.model_copy(
            update={"destinations": {"test": settings.destinations["test"].model_copy(update={"charts": False})}}
        )
        await sync(alone)
        upstream.publish(viz_values={"more": 1})
        kept = await sync(alone, "edge")
        taken = await sync(alone, "edge", refresh=True)
        after = await sync(alone, "edge")

        for report in (kept, taken):
            assert ["the chart linkerd-viz 2026.8.1"] == [
                note.partition(" of ")[0] for note in only(report).notes if "moved" in note
            ]
        assert [0, 0, 0] == [kept.exit_code, taken.exit_code, after.exit_code]
        assert () == only(after).notes

    async def test_an_exact_release_in_step_asks_for_no_index(self, settings: Settings, upstream: Upstream) -> None:
        """What costs a request is not looked at."""
        await sync(settings)
        upstream.publish(viz_values={"more": 1})
        upstream.forget_requests()
        report = await sync(settings)

        assert () == only(report).notes
        assert [] == upstream.charts.requests


class TestDestinations:
    async def test_one_is_down(
        self, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """The other is brought in step; the exit code says that one is not."""
        destinations = {
            "up": {"kind": "registry", "registry": open_distribution.host, "prefix": path},
            "down": {"kind": "registry", "registry": "127.0.0.1:1", "prefix": path},
        }
        settings = upstream.settings(destinations=destinations, overrides={"directory": str(overrides)})
        report = await sync(settings)

        assert 1 == report.exit_code
        by_name = {release.destination: release for release in report.releases}
        assert "synced" == by_name["up"].outcome
        assert "failed" == by_name["down"].outcome
        assert "127.0.0.1:1" in by_name["down"].problem

    async def test_two_from_one_plan(
        self, upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path
    ) -> None:
        """Upstream is asked once for each image; both have all; each has its values."""
        destinations = {
            "registry": {"kind": "registry", "registry": open_distribution.host, "prefix": path},
            "disk": {"kind": "layout", "directory": str(tmp_path / "layout"), "pull_registry": "x.io/l5d"},
        }
        settings = upstream.settings(destinations=destinations, overrides={"directory": str(tmp_path / "overrides")})
        report = await sync(settings)

        assert 0 == report.exit_code
        assert [fields(all_are="copied")] * 2 == [outcomes(release) for release in report.releases]
        assert 4 == len(upstream.registry.asked("HEAD .*/manifests/.*"))
        folders = {
            file.relative_to(tmp_path / "overrides").parts[0] for file in (tmp_path / "overrides").rglob("*.yaml")
        }
        assert {"registry", "disk"} == folders

    async def test_a_layout_that_nobody_pulls_from(self, upstream: Upstream, tmp_path: Path) -> None:
        """No values, and the report says why."""
        report = only(await sync(into_layout(upstream, tmp_path / "layout", tmp_path / "overrides", pull="")))

        assert "synced" == report.outcome
        assert () == report.overrides
        assert any("pull_registry" in note for note in report.notes)
        assert not (tmp_path / "overrides").exists()

    async def test_paths_of_upstream(
        self, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """Host and path below the prefix; changing to them copies anew and leaves what was there."""
        flat = into(upstream, open_distribution, path, overrides)
        destination = {"kind": "registry", "registry": open_distribution.host, "prefix": path, "paths": "upstream"}
        await sync(flat)
        report = only(
            await sync(into(upstream, open_distribution, path, overrides, destinations={"test": destination}))
        )

        assert fields(all_are="copied") == outcomes(report)
        digest = str(upstream.images[WEB].digest)
        assert digest == tag(open_distribution, path, f"cr.l5d.io/linkerd/web:{RELEASE}")
        assert digest == tag(open_distribution, path, f"web:{RELEASE}")
        text = (overrides / "test" / RELEASE / "linkerd-viz.yaml").read_text()
        assert f"{path}/cr.l5d.io/linkerd" in text
        flat_again = only(await sync(flat))
        assert "in_step" == flat_again.outcome
        assert "cr.l5d.io" not in "".join(
            line for line in Path(flat_again.overrides[-1]).read_text().splitlines() if not line.startswith("#")
        )


class TestReferrers:
    @pytest.fixture
    def signed(self, upstream: Upstream) -> Image:
        """What refers to web: a signature by its tag, as cosign has them."""
        web = upstream.images[WEB]
        signature = artifact("application/vnd.dev.cosign.artifact.sig.v1+json", b"signature of web")
        upstream.registry.add("linkerd/web", signature, web.digest.fallback_tag(".sig"))
        return signature

    async def test_they_travel(
        self, settings: Settings, upstream: Upstream, signed: Image, open_distribution: Distribution, path: str
    ) -> None:
        """By the tag that they had, and the record names them."""
        await sync(settings)

        where = upstream.images[WEB].digest.fallback_tag(".sig")
        assert str(signed.digest) == tag(open_distribution, path, f"web:{where}")
        entry = recorded(record_of(open_distribution, path), WEB)
        assert [str(signed.digest)] == entry["evidence"]["referrers"]

    async def test_off(
        self, upstream: Upstream, signed: Image, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """Nobody asks for them."""
        await sync(into(upstream, open_distribution, path, overrides, policy={"referrers": "off"}))

        assert [] == upstream.registry.asked(r".*(/referrers/|sha256-).*")

    @pytest.mark.parametrize(("policy", "outcome", "code"), [("best-effort", "copied", 0), ("require", "failed", 1)])
    async def test_one_that_cannot_be_read(
        self, upstream: Upstream, signed: Image, tmp_path: Path, policy: str, outcome: str, code: int
    ) -> None:
        """A word in the report, or a failure, as the policy says; with a failure there is no tag."""
        where = upstream.images[WEB].digest.fallback_tag(".sig")
        upstream.registry.faults.append(Fault(f"GET .*/manifests/{where}", answer(403), times=ALWAYS))
        settings = into_layout(upstream, tmp_path / "layout", tmp_path / "o", policy={"referrers": policy})
        report = await sync(settings)

        assert code == report.exit_code
        assert fields(all_are="copied", web=outcome) == outcomes(only(report))
        assert "403" in reasons(only(report))["web"] or "denied" in reasons(only(report))["web"].lower()
        named = await Layout(tmp_path / "layout").repository("web").head(RELEASE)
        assert (outcome == "copied") == (named is not None)

    async def test_one_that_could_not_be_read_comes_later(
        self, settings: Settings, upstream: Upstream, signed: Image, open_distribution: Distribution, path: str
    ) -> None:
        """By the next run, though the image is in step; after that nothing is asked for it."""
        where = upstream.images[WEB].digest.fallback_tag(".sig")
        upstream.registry.faults.append(Fault(f"GET .*/manifests/{where}", answer(403)))
        await sync(settings)
        report = await sync(settings)

        assert fields(all_are="kept", web="adopted") == outcomes(only(report))
        assert str(signed.digest) == tag(open_distribution, path, f"web:{where}")
        assert "in_step" == only(await sync(settings)).outcome

    async def test_another_policy_plans_anew(
        self, upstream: Upstream, signed: Image, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """The charts are read again, and the record is for the new wishes."""
        await sync(into(upstream, open_distribution, path, overrides))
        upstream.forget_requests()
        changed = into(upstream, open_distribution, path, overrides, policy={"referrers": "require"})
        await sync(changed)
        asked_for_charts = len(upstream.charts.requests)
        upstream.forget_requests()
        await sync(changed)

        assert 4 == asked_for_charts
        assert [] == upstream.charts.requests


class TestCharts:
    async def test_a_host_that_only_a_chart_names(self, upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
        """It is never contacted, and the sentence says what would allow it."""
        other = {"prometheus": {"image": {"registry": f"{fake.host}/prom", "name": "prometheus", "tag": "v2.55.1"}}}
        upstream.publish(viz_values=other)
        fake.add("prom/prometheus", two_platforms("prometheus"), "v2.55.1")
        report = await sync(into_layout(upstream, tmp_path / "layout", tmp_path / "o"))

        assert 1 == report.exit_code
        assert fields(all_are="copied", prometheus="failed") == outcomes(only(report))
        assert f'[registries."{fake.host}"]' in reasons(only(report))["prometheus"]
        assert [] == fake.requests

    async def test_a_form_that_cannot_be_read(self, settings: Settings, upstream: Upstream) -> None:
        """Chart, file and line; never a release without its images. Another release goes on."""
        upstream.publish(NEXT, viz_templates={"templates/odd.yaml": "a: b\nimage: {{ randAlpha 5 }}/x:1\n"})
        report = await sync(settings, NEXT, RELEASE)

        assert 1 == report.exit_code
        by_release = {release.release: release for release in report.releases}
        assert "failed" == by_release[NEXT].outcome
        assert re.search(r"linkerd-viz 2026\.8\.2.*templates/odd\.yaml.*line 2", by_release[NEXT].problem)
        assert () == by_release[NEXT].overrides
        assert "synced" == by_release[RELEASE].outcome

    async def test_an_archive_that_is_not_the_indexs(self, settings: Settings, upstream: Upstream) -> None:
        """The release fails; nothing is copied."""
        upstream.charts.files["linkerd-viz-2026.8.1.tgz"] = upstream.charts.files["linkerd-crds-2026.8.1.tgz"]
        report = await sync(settings)

        assert 1 == report.exit_code
        assert "linkerd-viz-2026.8.1.tgz" in only(report).problem
        assert [] == upstream.registry.requests

    async def test_fewer_charts_then_all(
        self, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """An image that was kept is in the values of the chart that came to use it."""
        few = into(upstream, open_distribution, path, overrides, charts=["linkerd-control-plane"])
        first = only(await sync(few))
        everything = only(await sync(into(upstream, open_distribution, path, overrides)))

        assert {"controller": "copied", "proxy": "copied"} == outcomes(first)
        assert {"controller": "kept", "proxy": "kept", "web": "copied", "prometheus": "copied"} == outcomes(everything)
        text = (overrides / "test" / RELEASE / "linkerd-viz.yaml").read_text()
        assert str(upstream.images[CONTROLLER].digest) in text


class TestSelectors:
    async def test_a_channel_that_cannot_be_read(self, upstream: Upstream, tmp_path: Path) -> None:
        """It fails, with its name and its URL; what else is asked for is brought in step, and no channel is moved."""
        away = "http://127.0.0.1:9/stable"
        channels = {"edge": {"chart_repository": upstream.charts.url}, "stable": {"chart_repository": away}}
        settings = into_layout(
            upstream, tmp_path / "layout", tmp_path / "overrides", releases=["stable", "edge"], channels=channels
        )
        with capture_logs() as logs:
            report = await sync(settings)
        planned = await plan(settings)

        edge, stable = report.releases
        assert (1, "failed", {"edge": RELEASE}, {"stable"}) == (
            report.exit_code, report.outcome, report.newest, report.unread
        )  # fmt: skip
        assert (RELEASE, "synced") == (edge.release, edge.outcome)
        assert ("stable", "failed", True) == (
            stable.release, stable.outcome, stable.problem.startswith(f"the channel stable cannot be read at {away}")
        )  # fmt: skip
        assert [{"destination": "test", "release": "stable", "reason": stable.problem}] == told(
            logs, "sync.release_failed"
        )
        assert (1, 7) == (planned.exit_code, len(planned.images))
        assert [f"stable at oci:{tmp_path / 'layout'}: {stable.problem}"] == list(planned.problems)

    @pytest.mark.parametrize("misspelt", ["edge-99.1.1", "egde-26.8.1"])
    async def test_a_release_that_there_is_not(self, settings: Settings, misspelt: str) -> None:
        """It ends with 2, as the input is wrong; what else is asked for is brought in step."""
        planned = await plan(settings, "edge", misspelt)
        report = await sync(settings, "edge", misspelt)

        good, wrong = report.releases
        assert (2, 2, {"edge": RELEASE}) == (planned.exit_code, report.exit_code, report.newest)
        assert (RELEASE, "synced", misspelt, "failed") == (good.release, good.outcome, wrong.release, wrong.outcome)
        assert "there is no channel" in wrong.problem or f"no {misspelt}: the nearest" in wrong.problem

    async def test_what_is_recorded_needs_no_channel(self, settings: Settings, upstream: Upstream) -> None:
        """A release that is named is looked after; that it is the newest of the channel is not known."""
        await sync(settings)
        upstream.charts.files.clear()
        report = await sync(settings, "edge", RELEASE)

        assert {RELEASE: "in_step", "edge": "failed"} == {each.release: each.outcome for each in report.releases}
        assert {} == report.newest

    async def test_nothing_can_be_read(self, settings: Settings, upstream: Upstream) -> None:
        """There is nothing to report of."""
        upstream.charts.files.clear()
        with pytest.raises(WorldError, match=r"the channel edge cannot be read at .*404"):
            await sync(settings, "edge", "edge:2")


class TestPlan:
    async def test_it_writes_nothing(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str, overrides: Path
    ) -> None:
        """And counts what images share once."""
        report = await plan(settings)

        blobs = {
            digest: len(data)
            for what in upstream.images.values()
            for part in what.graph()
            for digest, data in part.blobs.items()
        }
        actions = report.document()["actions"]
        charts = sum(action["bytes"] for action in actions if action["kind"] == "chart")
        assert 4 == report.exit_code
        assert {"copy"} == {action["action"] for action in actions}
        assert sum(blobs.values()) + charts == report.size
        assert all(image.size > len(BASE) for image in report.images if image.kind == "image")
        assert {"GET", "HEAD"} == {line.partition(" ")[0] for line in asked(open_distribution, path)}
        assert not overrides.exists()

    async def test_in_step(self, settings: Settings) -> None:
        """Exit code 0, no bytes."""
        await sync(settings)
        report = await plan(settings)

        assert (0, 0) == (report.exit_code, report.size)
        assert {"keep"} == {action["action"] for action in report.document()["actions"]}

    async def test_an_upgrade(self, settings: Settings, upstream: Upstream) -> None:
        """Only what is new counts, and what is there is adopted."""
        await sync(settings)
        upstream.publish(NEXT)
        report = await plan(settings, NEXT)

        actions = {image.reference: type(image.action).__name__ for image in report.images}
        charts = [f"charts/{chart}:2026.8.2" for chart in CHARTS]
        assert {**dict.fromkeys([*references(NEXT)[:3], *charts], "Copy"), THIRD_PARTY: "Adopt"} == actions
        assert 4 == report.exit_code

    async def test_a_refusal(self, settings: Settings, upstream: Upstream) -> None:
        """Exit code 3, before anything is done."""
        await sync(settings)
        upstream.put(WEB, two_platforms("moved"))
        report = await plan(settings)

        assert 3 == report.exit_code
        assert ["refuse"] == [a["action"] for a in report.document()["actions"] if a["reference"] == WEB]

    async def test_a_release_that_cannot_be_planned(self, settings: Settings, upstream: Upstream) -> None:
        """A sentence, and exit code 1."""
        upstream.charts.files.clear()
        report = await plan(settings)

        assert 1 == report.exit_code
        [problem] = report.problems
        assert RELEASE in problem
        assert "404" in problem


class TestProof:
    async def test_a_failed_proof_fails_again(self, upstream: Upstream, tmp_path: Path) -> None:
        """A second run does not take what could not be proven for in step, and does not write its values."""
        helm = tmp_path / "helm"
        helm.write_text("#!/bin/sh\necho 'Error: no such template' >&2\nexit 1\n")
        helm.chmod(0o755)
        settings = into_layout(upstream, tmp_path / "layout", tmp_path / "overrides")
        with capture_logs() as logs:
            first = await sync(settings, helm=str(helm))
        second = await sync(settings, helm=str(helm))

        assert [1, 1] == [first.exit_code, second.exit_code]
        assert ["failed", "failed"] == [only(first).proof, only(second).proof]
        assert [] == list((tmp_path / "overrides").rglob("*.yaml"))
        [line] = told(logs, "sync.proof_failed")
        assert ("test", RELEASE) == (line["destination"], line["release"])
        assert "linkerd-viz: " in line["reason"]
        assert "no such template" in line["reason"]

    async def test_without_helm_it_says_so(self, settings: Settings) -> None:
        """Values are written; they are not proven."""
        report = only(await sync(settings))

        assert "not proven" == report.proof
        assert 3 == len(report.overrides)


class TestRecordInTheWay:
    async def test_something_else_at_its_tag(
        self, settings: Settings, open_distribution: Distribution, path: str, upstream: Upstream
    ) -> None:
        """The release fails, with what to do; nothing is overwritten."""
        foreign = image(b"no record")
        retag(open_distribution, path, f"mirror-record:{RELEASE}", foreign)
        report = await sync(settings)

        assert 1 == report.exit_code
        assert "remove that tag" in only(report).problem
        assert f"{path}/mirror-record:{RELEASE}" in only(report).problem
        assert str(foreign.digest) == tag(open_distribution, path, f"mirror-record:{RELEASE}")

    async def test_evidence_stays_when_another_image_changes(
        self, settings: Settings, upstream: Upstream, open_distribution: Distribution, path: str
    ) -> None:
        """What was seen of an image that is kept is not lost."""
        await sync(settings)
        before = record_of(open_distribution, path)
        moved = two_platforms("moved")
        upstream.put(WEB, moved)
        await sync(settings, accept=[f"{WEB}@{moved.digest}"])
        after = record_of(open_distribution, path)

        for reference in (CONTROLLER, PROXY, THIRD_PARTY):
            assert recorded(before, reference)["evidence"] == recorded(after, reference)["evidence"]
        assert recorded(before, WEB)["digest"] != recorded(after, WEB)["digest"]
        assert json.dumps(after).count('"evidence"') == 4


async def test_an_upload_that_is_given_up_as_it_begins(tmp_path: Path) -> None:
    """As when another blob of the image has failed: no file is left, and none is open."""
    layout = Layout(tmp_path / "layout")
    started = asyncio.create_task(layout.repository("web").start_upload(blob(b"data")))
    for _ in range(3):
        await asyncio.sleep(0)
    started.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started

    assert [] == [path.name for path in (tmp_path / "layout").rglob(".mirror-*")]
