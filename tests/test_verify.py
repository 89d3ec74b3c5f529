"""Verification: what the mirror holds is what was recorded, and upstream is not needed to say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.oci.content import Digest
from mirror.settings import Settings
from tests.runs import sync, verify
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, answer
from tests.servers.upstream import BASE, NEXT, RELEASE, THIRD_PARTY, Upstream, references, upstream_server

CONTROLLER, PROXY, WEB, _ = references()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with upstream_server() as running:
        running.publish()
        yield running


@pytest.fixture
def settings(upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> Settings:
    """Into the fake, so that what it holds can be harmed."""
    destinations = {"test": {"kind": "registry", "registry": fake.host, "prefix": "l5d"}}
    return upstream.settings(destinations=destinations, overrides={"directory": str(tmp_path / "overrides")})


class TestVerify:
    @pytest.mark.parametrize("deep", [False, True])
    async def test_in_step_with_no_upstream(self, settings: Settings, upstream: Upstream, *, deep: bool) -> None:
        """Every recorded release, and not one request to upstream."""
        upstream.publish(NEXT)
        await sync(settings, RELEASE, NEXT)
        upstream.forget_requests()
        report = await verify(settings, deep=deep)

        assert 0 == report.exit_code
        assert [RELEASE, NEXT] == [release.release for release in report.releases]
        assert [4, 4] == [len(release.images) for release in report.releases]
        assert [] == upstream.registry.requests + upstream.charts.requests

    async def test_a_flipped_byte(self, settings: Settings, upstream: Upstream, fake: FakeRegistry) -> None:
        """Only reading every byte finds it; image and blob are named."""
        await sync(settings)
        blobs = fake.repositories["l5d/web"].blobs
        layer = next(digest for digest, data in blobs.items() if data.startswith(b"linkerd/web"))
        blobs[layer] = b"L" + blobs[layer][1:]
        shallow, deep = await verify(settings), await verify(settings, deep=True)

        assert (0, 4) == (shallow.exit_code, deep.exit_code)
        problems = {image.reference: image.problems for image in deep.releases[0].images if image.problems}
        assert [WEB] == list(problems)
        assert str(layer) in problems[WEB][0]

    async def test_a_missing_tag(self, settings: Settings, fake: FakeRegistry) -> None:
        """It names nothing, and what was recorded is told."""
        await sync(settings)
        digest = fake.repositories["l5d/web"].tags.pop(RELEASE)
        report = await verify(settings)

        assert 4 == report.exit_code
        problems = [image.problems for image in report.releases[0].images if image.problems]
        assert [(f"{fake.host}/l5d/web:{RELEASE} names nothing, {digest} was recorded",)] == problems

    async def test_a_tag_that_names_something_else(self, settings: Settings, fake: FakeRegistry) -> None:
        """Both digests are told."""
        await sync(settings)
        other = fake.repositories["l5d/proxy"].tags[RELEASE]
        digest = fake.repositories["l5d/web"].tags[RELEASE]
        fake.repositories["l5d/web"].tags[RELEASE] = other
        fake.repositories["l5d/web"].manifests[other] = fake.repositories["l5d/proxy"].manifests[other]
        report = await verify(settings)

        [problem] = [problem for image in report.releases[0].images for problem in image.problems]
        assert f"names {other}, {digest} was recorded" in problem

    async def test_a_missing_blob_and_a_missing_manifest(self, settings: Settings, fake: FakeRegistry) -> None:
        """Each is a problem of each image that needs it."""
        await sync(settings)
        del fake.repositories["l5d/web"].blobs[Digest.of(BASE)]
        stored = fake.repositories["l5d/proxy"]
        child = next(digest for digest in stored.manifests if digest != stored.tags[RELEASE])
        del stored.manifests[child]
        report = await verify(settings)

        problems = {image.reference: " ".join(image.problems) for image in report.releases[0].images if image.problems}
        assert {PROXY, WEB} == set(problems)
        assert str(Digest.of(BASE)) in problems[WEB]
        assert str(child) in problems[PROXY]

    async def test_what_was_never_brought_in(self, settings: Settings, upstream: Upstream) -> None:
        """A release that is not whole is not in step."""
        upstream.remove(WEB)
        await sync(settings)
        report = await verify(settings)

        assert 4 == report.exit_code
        assert (WEB,) == report.releases[0].missing

    async def test_a_release_that_was_not_recorded(self, settings: Settings) -> None:
        """Nothing is known of it."""
        await sync(settings)
        report = await verify(settings, NEXT)

        assert 1 == report.exit_code
        assert f"no record of {NEXT}" in report.releases[0].problem

    async def test_nothing_recorded_at_all(self, settings: Settings) -> None:
        """That nothing was found is no proof: a mistyped prefix does not pass."""
        report = await verify(settings)

        assert 1 == report.exit_code
        assert "nothing is recorded" in report.releases[0].problem

    async def test_a_destination_that_does_not_answer(self, settings: Settings, fake: FakeRegistry) -> None:
        """Not known is not `not in step`."""
        await sync(settings)
        fake.faults.append(Fault(".*", answer(403), times=ALWAYS))
        report = await verify(settings)

        assert 1 == report.exit_code

    async def test_a_third_party_is_held_too(self, settings: Settings, fake: FakeRegistry) -> None:
        """Every image of the record is."""
        await sync(settings)
        fake.repositories["l5d/prometheus"].tags.clear()
        report = await verify(settings)

        assert [THIRD_PARTY] == [image.reference for image in report.releases[0].images if image.problems]
