"""Across an air gap: from a mirror or from upstream into one file, and out of it where there is no upstream."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from mirror import record as records
from mirror.app import App
from mirror.demo.release import RELEASE as DEMO
from mirror.demo.upstream import HOSTS
from mirror.demo.upstream import Upstream as DemoUpstream
from mirror.errors import ArchiveError, MirrorError, Refused, UsageError
from mirror.http.proxies import Proxies
from mirror.oci.content import Digest
from mirror.oci.tar import END, header, padding
from mirror.plan import Refuse
from mirror.report import PlanReport, SyncReport
from mirror.settings import Settings
from tests.content import artifact, attestation_of, attested, image, index
from tests.runs import NOW, bring, export, only, outcomes, plan, reasons, sync, verify
from tests.servers.distribution import Distribution
from tests.servers.fake import FakeRegistry, Fault, answer
from tests.servers.tools import require
from tests.servers.upstream import (
    BASE,
    CHARTS,
    NEXT,
    RELEASE,
    Upstream,
    references,
    two_platforms,
    upstream_server,
)
from tests.test_sync import fields, into, retag, tag

CONTROLLER, PROXY, WEB, PROMETHEUS = references()
NOWHERE: dict[str, Any] = {
    "channels": {"edge": {"chart_repository": "http://127.0.0.1:1/edge"}},
    "registries": {host: {"endpoint": "http://127.0.0.1:1"} for host in HOSTS},
}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream with one release."""
    with upstream_server() as running:
        running.publish()
        yield running


@pytest.fixture
def near(upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path) -> Settings:
    """From *upstream* into a docker-registry."""
    return into(upstream, open_distribution, f"{path}/near", tmp_path / "near")


@pytest.fixture
def far(upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path) -> Settings:
    """Into a docker-registry, and there is no upstream."""
    return into(upstream, open_distribution, f"{path}/far", tmp_path / "far", **NOWHERE)


@pytest.fixture
def beyond(upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> Settings:
    """Into a registry that tells what it is asked, and there is no upstream."""
    return into(upstream, fake, "l5d", tmp_path / "beyond", **NOWHERE)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file that is carried across."""
    return tmp_path / "linkerd.tar"


def synced(report: SyncReport | PlanReport) -> SyncReport:
    """It was brought, not refused."""
    assert isinstance(report, SyncReport), report
    return report


def refused(report: SyncReport | PlanReport) -> dict[str, str]:
    """Why each image was refused; nothing was brought."""
    assert isinstance(report, PlanReport), report
    return {each.reference: each.reason for each in report.images if isinstance(each.action, Refuse)}


def written(fake: FakeRegistry) -> list[str]:
    """What asked the registry to change."""
    return [f"{seen.method} {seen.path}" for seen in fake.requests if seen.method not in ("GET", "HEAD")]


class TestThere:
    async def test_from_a_mirror_into_another(
        self, near: Settings, far: Settings, upstream: Upstream, open_distribution: Distribution, path: str, file: Path
    ) -> None:
        """The same digests; values for the other mirror; every byte of it verifies; upstream is not asked again."""
        await sync(near)
        upstream.forget_requests()
        report = await export(near, file, RELEASE)
        brought = synced(await bring(far, file))

        assert 0 == report.exit_code
        assert {RELEASE: f"{open_distribution.host}/{path}/near"} == report.origins
        assert fields(all_are="copied") == outcomes(only(brought))
        for reference in references():
            name = f"{reference.rpartition('/')[2]}"
            assert str(upstream.images[reference].digest) == tag(open_distribution, f"{path}/far", name)
        assert set(CHARTS) == set(only(brought).values)
        assert f"{open_distribution.host}/{path}/far/controller" in only(brought).values["linkerd-control-plane"]
        assert 0 == (await verify(far, deep=True)).exit_code
        assert [] == upstream.registry.requests

    async def test_from_upstream(
        self, near: Settings, far: Settings, upstream: Upstream, open_distribution: Distribution, path: str, file: Path
    ) -> None:
        """What no mirror holds is packed as a sync would bring it; nothing is written to the mirror."""
        report = await export(near, file, RELEASE)
        brought = synced(await bring(far, file))

        assert {RELEASE: "upstream"} == report.origins
        assert "" == tag(open_distribution, f"{path}/near", f"web:{RELEASE}")
        assert fields(all_are="copied") == outcomes(only(brought))
        blobs = [seen.path for seen in upstream.registry.asked("GET .*/blobs/.*")]
        assert sorted(set(blobs)) == sorted(blobs)

    async def test_again(self, near: Settings, beyond: Settings, fake: FakeRegistry, file: Path) -> None:
        """In step; nothing is written."""
        await export(near, file, RELEASE)
        await bring(beyond, file)
        fake.requests.clear()
        again = synced(await bring(beyond, file))

        assert "in_step" == only(again).outcome
        assert [] == written(fake)

    async def test_what_is_known_there(self, near: Settings, far: Settings, file: Path) -> None:
        """Without upstream a plan is made by the record: all is kept, and it is told that nothing was compared."""
        await export(near, file, RELEASE)
        await bring(far, file)
        report = await plan(far, RELEASE)

        assert 1 == report.exit_code
        of_images = [each for each in report.images if each.kind == "image"]
        assert all("not compared with upstream" in each.reason for each in of_images)
        assert () == report.problems

    async def test_a_proof_of_something_else(self, near: Settings, beyond: Settings, file: Path) -> None:
        """What was proven of other wishes is not proven of what comes in without charts."""
        await export(near, file, RELEASE)
        await bring(beyond, file)
        async with App(beyond, {}, Proxies()) as app:
            mirror = app.mirror()
            record = await records.read(mirror.records, RELEASE)
            assert record is not None
            other = replace(record, asked="something else", proof="proven")
            await records.write(mirror.records, other, verified_at=NOW)
        report = only(synced(await bring(beyond, file)))

        assert ("in_step", "not proven") == (report.outcome, report.proof)

    async def test_two_releases(self, near: Settings, far: Settings, upstream: Upstream, file: Path) -> None:
        """One from the mirror, one from upstream; what they share is there once, and refused nowhere."""
        await sync(near)
        upstream.publish(NEXT)
        report = await export(near, file, RELEASE, NEXT)
        brought = synced(await bring(far, file))

        assert "upstream" == report.origins[NEXT] != report.origins[RELEASE]
        assert 0 == brought.exit_code
        assert [RELEASE, NEXT] == [each.release for each in brought.releases]
        assert 0 == (await verify(far)).exit_code

    async def test_other_paths(
        self, upstream: Upstream, far: Settings, open_distribution: Distribution, path: str, tmp_path: Path, file: Path
    ) -> None:
        """Each side has its own."""
        near = into(upstream, open_distribution, f"{path}/near", tmp_path / "near")
        destination = near.destinations["test"].model_copy(update={"paths": "upstream"})
        near = near.model_copy(update={"destinations": {"test": destination}})
        await sync(near)
        await export(near, file, RELEASE)
        await bring(far, file)

        assert tag(open_distribution, f"{path}/near/cr.l5d.io/linkerd", f"web:{RELEASE}")
        assert str(upstream.images[WEB].digest) == tag(open_distribution, f"{path}/far", f"web:{RELEASE}")

    async def test_what_refers_to_an_image(
        self, near: Settings, far: Settings, upstream: Upstream, open_distribution: Distribution, path: str, file: Path
    ) -> None:
        """Comes along, by tag and by subject."""
        subject = upstream.images[WEB]
        upstream.registry.add("linkerd/web", image(b"signature"), subject.digest.fallback_tag(".sig"))
        upstream.registry.add("linkerd/web", artifact("application/spdx+json", subject=subject))
        await sync(near)
        await export(near, file, RELEASE)
        await bring(far, file)

        for suffix in ("", ".sig"):
            assert tag(open_distribution, f"{path}/far", f"web:{subject.digest.fallback_tag(suffix)}")

    async def test_what_a_mirror_lost(
        self, near: Settings, upstream: Upstream, open_distribution: Distribution, path: str, file: Path
    ) -> None:
        """A tag that names something else than was recorded is refused, by name; nothing is packed."""
        await sync(near)
        retag(open_distribution, f"{path}/near", f"web:{RELEASE}", two_platforms("somebody else's"))

        with pytest.raises(Refused, match=f"web:{RELEASE} names sha256:.* was recorded; run mirror sync"):
            await export(near, file, RELEASE)

    async def test_what_upstream_lacks(self, near: Settings, upstream: Upstream, file: Path) -> None:
        """A release that is not whole is not packed; the image is named."""
        upstream.remove(WEB)
        report = await export(near, file, RELEASE)

        assert 3 == report.exit_code
        [release] = report.releases
        assert ["web"] == list(reasons(release))
        assert not file.exists()

    async def test_a_mirror_that_is_not_whole(self, near: Settings, upstream: Upstream, file: Path) -> None:
        """Does not hold the release: upstream does by now."""
        web = upstream.images[WEB]
        upstream.remove(WEB)
        await sync(near)
        upstream.put(WEB, web)

        assert {RELEASE: "upstream"} == (await export(near, file, RELEASE)).origins


class TestCharts:
    async def test_they_come_along(
        self, near: Settings, far: Settings, upstream: Upstream, open_distribution: Distribution, path: str, file: Path
    ) -> None:
        """The same artifacts; so Helm proves the values there."""
        await sync(near)
        await export(near, file, RELEASE)
        brought = only(synced(await bring(far, file, helm=require("helm"))))

        assert ("proven", ()) == (brought.proof, brought.proof_problems)
        for chart in CHARTS:
            places = [tag(open_distribution, f"{path}/{side}/charts", f"{chart}:2026.8.1") for side in ("near", "far")]
            assert places[0] == places[1] != ""
        assert 0 == (await verify(far, deep=True)).exit_code

    async def test_a_mirror_without_charts(
        self, upstream: Upstream, far: Settings, open_distribution: Distribution, path: str, tmp_path: Path, file: Path
    ) -> None:
        """What it holds is brought; values are written, and not proven."""
        destination = {
            "kind": "registry",
            "registry": open_distribution.host,
            "prefix": f"{path}/near",
            "charts": False,
        }
        near = upstream.settings(destinations={"test": destination}, overrides={"directory": ""})
        await sync(near)
        await export(near, file, RELEASE)
        brought = only(synced(await bring(far, file, helm=require("helm"))))

        assert ("synced", "not proven", ()) == (brought.outcome, brought.proof, brought.charts)
        assert set(CHARTS) == set(brought.values)

    async def test_there_none_are_wanted(
        self, near: Settings, upstream: Upstream, open_distribution: Distribution, path: str, file: Path
    ) -> None:
        """Then none are brought; values are proven by those in the file."""
        await export(near, file, RELEASE)
        destination = {"kind": "registry", "registry": open_distribution.host, "prefix": f"{path}/far", "charts": False}
        far = upstream.settings(destinations={"test": destination}, overrides={"directory": ""}, **NOWHERE)
        brought = only(synced(await bring(far, file, helm=require("helm"))))

        assert ("synced", "proven", ()) == (brought.outcome, brought.proof, brought.charts)

    async def test_a_chart_of_another_archive(
        self, near: Settings, open_distribution: Distribution, path: str, file: Path
    ) -> None:
        """A tag that was moved in the mirror is refused, as one of an image is."""
        await sync(near)
        retag(open_distribution, f"{path}/near/charts", "linkerd-viz:2026.8.1", two_platforms("somebody else's"))

        with pytest.raises(Refused, match=r"charts/linkerd-viz:2026\.8\.1 names sha256:"):
            await export(near, file, RELEASE)


class TestPlatforms:
    @pytest.fixture
    def filtered(self, upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path) -> Settings:
        """A mirror of one platform, of an image with attestations among others."""
        platforms = ("linux/amd64", "linux/arm64")
        children = [image(BASE, each.encode(), platform=each) for each in platforms]
        marks = [{}, {}, *map(attestation_of, children)]
        upstream.put(WEB, index(*children, *map(attested, children), platforms=platforms, annotations=marks))
        return into(upstream, open_distribution, f"{path}/near", tmp_path / "near", platforms=["linux/amd64"])

    async def test_a_part_stays_what_it_is(
        self, filtered: Settings, far: Settings, open_distribution: Distribution, path: str, file: Path
    ) -> None:
        """The same part, whatever is wanted there; its record keeps upstream's index."""
        await sync(filtered)
        await export(filtered, file, RELEASE)
        brought = synced(await bring(far, file))

        assert 0 == brought.exit_code
        name = f"web:{RELEASE}"
        assert tag(open_distribution, f"{path}/near", name) == tag(open_distribution, f"{path}/far", name) != ""
        assert 0 == (await verify(far, deep=True)).exit_code

    async def test_the_same_wish_there(
        self,
        upstream: Upstream,
        open_distribution: Distribution,
        path: str,
        tmp_path: Path,
        file: Path,
    ) -> None:
        """Then the record is one of that wish, platforms that no image has included: a plan needs no chart."""
        wish = ["linux/amd64", "linux/s390x"]
        near = into(upstream, open_distribution, f"{path}/near", tmp_path / "near", platforms=wish)
        await sync(near)
        await export(near, file, RELEASE)
        far = into(upstream, open_distribution, f"{path}/far", tmp_path / "far", **NOWHERE, platforms=wish)
        await bring(far, file)

        assert () == (await plan(far, RELEASE)).problems

    async def test_a_narrower_wish_there(
        self, near: Settings, upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path, file: Path
    ) -> None:
        """Of an archive that has all platforms the mirror takes those that it wants."""
        await export(near, file, RELEASE)
        far = into(upstream, open_distribution, f"{path}/far", tmp_path / "far", **NOWHERE, platforms=["linux/arm64"])
        brought = synced(await bring(far, file))

        assert 0 == brought.exit_code
        assert str(upstream.images[WEB].digest) != tag(open_distribution, f"{path}/far", f"web:{RELEASE}") != ""


class TestSince:
    @pytest.fixture
    async def held(self, near: Settings, beyond: Settings, upstream: Upstream, file: Path) -> str:
        """What the other side says that it holds, one release; here there is another by now."""
        await export(near, file, RELEASE)
        await bring(beyond, file)
        upstream.publish(NEXT)
        return json.dumps((await verify(beyond)).document())

    async def test_what_is_there_is_left_out(
        self, near: Settings, beyond: Settings, held: str, file: Path, upstream: Upstream
    ) -> None:
        """The layer that all images have, and all of prometheus; what is new is brought, and all of it verifies."""
        whole = (await export(near, file, RELEASE)).size
        report = await export(near, file, NEXT, since=held)
        brought = synced(await bring(beyond, file))

        names = _names(file)
        assert f"blobs/sha256/{Digest.of(BASE).hex}" not in names
        assert not [blob for blob in _blobs(upstream, PROMETHEUS) if f"blobs/sha256/{blob.hex}" in names]
        assert all(f"blobs/sha256/{blob.hex}" in names for blob in _own_blobs(upstream, NEXT))
        assert report.size < whole
        assert report.left_out >= len(BASE)
        assert fields(all_are="copied", prometheus="adopted") == outcomes(only(brought))
        assert 0 == (await verify(beyond, deep=True)).exit_code

    async def test_what_the_mirror_does_not_hold_after_all(
        self, near: Settings, far: Settings, held: str, file: Path
    ) -> None:
        """Another mirror is told, before anything is written, what is in neither."""
        await export(near, file, NEXT, since=held)

        with pytest.raises(ArchiveError, match=r"exported --since what another mirror held: .* does not hold sha256:"):
            await bring(far, file)
        assert 1 == (await verify(far)).exit_code  # nothing is recorded

    async def test_what_was_found_wrong_there(self, near: Settings, held: str, file: Path) -> None:
        """Counts as not held."""
        document = json.loads(held)
        for each in document["releases"][0]["images"]:
            each["outcome"] = "not_in_step"

        assert 0 == (await export(near, file, NEXT, since=json.dumps(document))).left_out

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "does not say what the other side holds"),
            ("[]", "does not say what the other side holds"),
            ('{"schema": 1, "releases": [{"destination": "a", "images": [{}]}]}', "does not say"),
            (
                '{"schema": 1, "releases": [{"destination": "a", "images": [{"reference": "A", "digest": "b"}]}]}',
                "does",
            ),
        ],
    )
    async def test_what_says_nothing(self, near: Settings, file: Path, text: str, reason: str) -> None:
        """The operator is told what is wanted."""
        with pytest.raises(UsageError, match=reason):
            await export(near, file, RELEASE, since=text or " ")

    async def test_of_several_places(self, near: Settings, held: str, file: Path) -> None:
        """It cannot be known which of them the file goes to."""
        document = json.loads(held)
        document["releases"].append({**document["releases"][0], "destination": "other"})

        with pytest.raises(UsageError, match="tells of several destinations"):
            await export(near, file, RELEASE, since=json.dumps(document))


def _blobs(upstream: Upstream, reference: str) -> set[Digest]:
    return {digest for each in upstream.images[reference].graph() for digest in each.blobs}


def _own_blobs(upstream: Upstream, release: str) -> set[Digest]:
    return {
        digest
        for reference in references(release)
        if reference != PROMETHEUS
        for digest in _blobs(upstream, reference)
        if digest != Digest.of(BASE)
    }


class TestRefused:
    async def test_a_tag_that_is_taken(self, near: Settings, beyond: Settings, fake: FakeRegistry, file: Path) -> None:
        """Nothing at all is written; accepting one digest settles it."""
        await export(near, file, RELEASE)
        other = two_platforms("somebody else's")
        fake.add("l5d/web", other, RELEASE)
        report = await bring(beyond, file)

        assert 3 == report.exit_code
        assert f"names {other.digest}" in refused(report)[WEB]
        assert [] == written(fake)
        assert ["l5d/web"] == list(fake.repositories)

    async def test_it_is_settled(
        self, near: Settings, beyond: Settings, upstream: Upstream, fake: FakeRegistry, file: Path
    ) -> None:
        """By accepting what the archive has."""
        await export(near, file, RELEASE)
        fake.add("l5d/web", two_platforms("somebody else's"), RELEASE)
        report = synced(await bring(beyond, file, accept=[f"{WEB}@{upstream.images[WEB].digest}"]))

        assert 0 == report.exit_code
        assert fields(all_are="copied") == outcomes(only(report))

    async def test_a_destination_that_does_not_answer(
        self, near: Settings, beyond: Settings, fake: FakeRegistry, file: Path
    ) -> None:
        """Exit code 1, and nothing is written."""
        await export(near, file, RELEASE)
        fake.faults.append(Fault(f"HEAD .*/web/manifests/{RELEASE}", answer(403)))
        report = await bring(beyond, file)

        assert isinstance(report, PlanReport)
        assert 1 == report.exit_code
        assert [] == written(fake)

    async def test_what_was_interrupted_goes_on(
        self, near: Settings, beyond: Settings, fake: FakeRegistry, file: Path
    ) -> None:
        """By running it again: the rest is brought."""
        await export(near, file, RELEASE)
        fault = Fault(f"PUT .*/web/manifests/{RELEASE}", answer(403))
        fake.faults.append(fault)
        first = await bring(beyond, file)
        second = synced(await bring(beyond, file))

        assert (1, 0) == (first.exit_code, second.exit_code)
        assert fields(all_are="kept", web="copied") == outcomes(only(second))


class TestSigned:
    @pytest.fixture
    def demo(self) -> Iterator[DemoUpstream]:
        """A release that is signed with a key."""
        with DemoUpstream() as running:
            yield running

    def settings(self, demo: DemoUpstream, tmp_path: Path, place: str, **policy: Any) -> Settings:
        """A layout as the mirror; with *policy* in the place of the one that knows the key."""
        key = tmp_path / "cosign.pub"
        key.write_bytes(demo.release.public_key)
        known = {"identities": [{"images": "ghcr.io/linkerd/*", "key": str(key)}]}
        destination = {"kind": "layout", "directory": str(tmp_path / place), "pull_registry": "x.io/l5d"}
        tables: dict[str, Any] = {"policy": policy or known, "overrides": {"directory": ""}}
        return Settings.model_validate({**demo.configuration, **tables, "destinations": {"test": destination}})

    async def test_who_signed_is_asked_again(self, demo: DemoUpstream, tmp_path: Path, file: Path) -> None:
        """By what came along; the record there says so."""
        await export(self.settings(demo, tmp_path, "near"), file, DEMO)
        brought = synced(await bring(self.settings(demo, tmp_path, "far"), file))

        states = {each.verdict.state for each in only(brought).images if each.verdict}
        assert 0 == brought.exit_code
        assert {"signed", "third party"} == states

    async def test_by_nobody_who_is_known_there(self, demo: DemoUpstream, tmp_path: Path, file: Path) -> None:
        """The local policy decides, whatever the record says: all is refused, and nothing is written."""
        await export(self.settings(demo, tmp_path, "near"), file, DEMO)
        other = tmp_path / "other.pub"
        with DemoUpstream() as another:
            other.write_bytes(another.release.public_key)
        strict = {"identities": [{"images": "ghcr.io/linkerd/*", "key": str(other)}]}
        report = await bring(self.settings(demo, tmp_path, "far", **strict), file)

        assert 3 == report.exit_code
        assert 8 == len(refused(report))
        assert not (tmp_path / "far").exists()

    async def test_unsigned_there_and_let_in_here(self, demo: DemoUpstream, tmp_path: Path, file: Path) -> None:
        """An export that asks nobody is of no use where somebody asks."""
        for repository in demo.release.repositories.values():
            for name in [name for name in repository.tags if name.endswith(".sig")]:
                del repository.tags[name]
        await export(self.settings(demo, tmp_path, "near", signatures="off"), file, DEMO)
        report = await bring(self.settings(demo, tmp_path, "far"), file)

        assert 3 == report.exit_code
        assert not (tmp_path / "far").exists()


class TestAltered:
    @pytest.fixture
    async def archive(self, near: Settings, file: Path) -> bytes:
        await export(near, file, RELEASE)
        return file.read_bytes()

    @tries(max_examples=40)
    @given(data=st.data())
    def test_any_byte_of_the_index(
        self, archive: bytes, beyond: Settings, fake: FakeRegistry, file: Path, data: st.DataObject
    ) -> None:
        """Names included: one sentence, and nothing is written."""
        with tarfile.open(fileobj=io.BytesIO(archive)) as read:
            found = read.getmember("index.json")
        altered = bytearray(archive)
        at = data.draw(st.integers(found.offset_data, found.offset_data + found.size - 1))
        altered[at] ^= data.draw(st.integers(1, 255))
        file.write_bytes(altered)
        with pytest.raises(MirrorError) as told:
            asyncio.run(bring(beyond, file))

        assert file.name in str(told.value)
        assert "\n" not in str(told.value)
        assert {} == fake.repositories
        assert [] == written(fake)

    async def test_a_signature_of_nothing(
        self, near: Settings, beyond: Settings, upstream: Upstream, fake: FakeRegistry, file: Path
    ) -> None:
        """What a tag refers to must be in the archive: else a signature could be taken away unseen."""
        subject = upstream.images[WEB].digest
        upstream.registry.add("linkerd/web", image(b"signature"), subject.fallback_tag(".sig"))
        await export(near, file, RELEASE)
        raw = _member(file.read_bytes(), "index.json")
        other = subject.fallback_tag(".sig").replace(
            subject.hex[-1] + ".sig", ("0" if subject.hex[-1] != "0" else "1") + ".sig"
        )
        file.write_bytes(
            _swapped(
                file.read_bytes(), "index.json", raw.replace(subject.fallback_tag(".sig").encode(), other.encode())
            )
        )

        with pytest.raises(ArchiveError, match=f"web:{other} in it belongs to no image of its releases"):
            await bring(beyond, file)
        assert [] == written(fake)

    async def test_a_blob_that_is_gone(
        self, near: Settings, beyond: Settings, fake: FakeRegistry, file: Path, archive: bytes
    ) -> None:
        """What lacks it is named; nothing is written."""
        digest = Digest.of(BASE)
        file.write_bytes(_dropped(archive, f"blobs/sha256/{digest.hex}"))

        with pytest.raises(ArchiveError, match=f"does not hold {digest}"):
            await bring(beyond, file)
        assert [] == written(fake)

    async def test_the_index_of_another(
        self, near: Settings, beyond: Settings, upstream: Upstream, fake: FakeRegistry, file: Path, archive: bytes
    ) -> None:
        """It names what is not there."""
        upstream.publish(NEXT)
        await export(near, file, NEXT)
        file.write_bytes(_swapped(archive, "index.json", _member(file.read_bytes(), "index.json")))

        with pytest.raises(ArchiveError):
            await bring(beyond, file)
        assert [] == written(fake)

    async def test_without_a_record(self, beyond: Settings, fake: FakeRegistry, file: Path, archive: bytes) -> None:
        """It is not an archive of releases."""
        raw = _member(archive, "index.json")
        document = json.loads(raw)
        records = [each for each in document["manifests"] if "mirror-record" in str(each["annotations"])]
        document["manifests"] = [each for each in document["manifests"] if each not in records]
        kept = _swapped(archive, "index.json", json.dumps(document, separators=(",", ":")).encode())
        for each in records:
            named = each["digest"].partition(":")[2]
            layer = json.loads(_member(archive, f"blobs/sha256/{named}"))["layers"][0]["digest"].partition(":")[2]
            kept = _dropped(_dropped(kept, f"blobs/sha256/{named}"), f"blobs/sha256/{layer}")
        file.write_bytes(kept)

        with pytest.raises(ArchiveError, match="has no record of a release"):
            await bring(beyond, file)
        assert [] == written(fake)


def _names(file: Path) -> list[str]:
    with tarfile.open(file) as read:
        return read.getnames()


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as read:
        found = read.extractfile(name)
        assert found is not None
        return found.read()


def _dropped(archive: bytes, name: str) -> bytes:
    return _repacked(archive, {name: None})


def _swapped(archive: bytes, name: str, data: bytes) -> bytes:
    return _repacked(archive, {name: data})


def _repacked(archive: bytes, changes: dict[str, bytes | None]) -> bytes:
    made = b""
    with tarfile.open(fileobj=io.BytesIO(archive)) as read:
        for each in read.getnames():
            data = changes[each] if each in changes else _member(archive, each)
            if data is not None:
                made += header(each, len(data)) + data + padding(len(data))
    return made + END
