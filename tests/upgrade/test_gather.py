"""Gathering for the hops of an upgrade: what registries are asked, and what is said where they do not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from mirror.app import App
from mirror.errors import MirrorError, Unreachable
from mirror.http.proxies import Proxies
from mirror.linkerd.release import Release
from mirror.oci.content import Digest
from mirror.oci.manifest import Manifest
from mirror.upgrade.gather import Upgrade, upgrade
from tests.content import attestation_of, attested, image, index
from tests.servers.fake import ALWAYS, Fault, answer
from tests.servers.upstream import NEXT, RELEASE, Upstream, upstream_server

PROXY = "cr.l5d.io/linkerd/proxy"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Two releases; the later one's proxy is for one platform alone, and attested."""
    with upstream_server() as running:
        running.publish()
        proxy = image(b"proxy")
        marks, platforms = [{}, attestation_of(proxy)], ("linux/amd64", "unknown/unknown")
        running.put(f"{PROXY}:{NEXT}", index(proxy, attested(proxy), platforms=platforms, annotations=marks))
        running.publish(NEXT)
        running.forget_requests()
        yield running


async def upgraded(upstream: Upstream, source: object = None, **patience: float) -> Upgrade:
    async with App(upstream.settings(), {}, Proxies()) as app:
        catalogue = app.catalogue()
        hops = await catalogue.path(Release.parse(RELEASE), Release.parse(NEXT))
        return await upgrade(catalogue, source or app.source, hops, **patience)  # type: ignore[arg-type]


async def test_platforms_are_read_of_what_differs(upstream: Upstream) -> None:
    """One manifest for each image of each release; of what is the same in both, none."""
    found = await upgraded(upstream)

    assert () == found.notes
    [(_, changes)] = found.hops
    assert [("platforms_dropped", PROXY, "no longer for linux/arm64")] == [
        (change.kind, change.image, change.told) for change in changes
    ]
    asked = [seen.path for seen in upstream.registry.requests if "/manifests/" in seen.path]
    assert sorted(
        f"/v2/linkerd/{name}/manifests/{release}"
        for name in ("controller", "proxy", "web")
        for release in (RELEASE, NEXT)
    ) == sorted(asked)


async def test_each_chart_is_read_once(upstream: Upstream) -> None:
    """An index, and an archive for each chart of each release; where versions come from is asked too."""
    await upgraded(upstream)

    assert 1 + 2 * 3 + 1 == len(upstream.charts.requests)


async def test_an_image_that_is_not_there(upstream: Upstream) -> None:
    """It is left out, and the others are compared."""
    upstream.remove(f"cr.l5d.io/linkerd/controller:{RELEASE}")
    found = await upgraded(upstream)

    [note] = found.notes
    assert note.startswith("the platforms of 1 of 6 images at cr.l5d.io are left out: ")
    assert RELEASE in note
    assert "404" in note
    [(_, changes)] = found.hops
    assert ["platforms_dropped"] == [change.kind for change in changes]


async def test_a_registry_that_refuses(upstream: Upstream) -> None:
    """It is said once, whatever it is asked."""
    upstream.registry.faults.append(Fault(r"GET /v2/.*", answer(403, b"{}"), times=ALWAYS))
    found = await upgraded(upstream)

    [note] = found.notes
    assert note.startswith("the platforms of 6 of 6 images at cr.l5d.io are left out: ")
    assert "403" in note
    assert ((found.hops[0][0], ()),) == found.hops


class Silent:
    """A source that never answers, or fails with *failure*."""

    def __init__(self, failure: MirrorError | None = None) -> None:
        self.asked = 0
        self._failure = failure

    async def manifest(self, version: str | Digest) -> Manifest:
        self.asked += 1
        if self._failure is None:
            await asyncio.Event().wait()
        raise self._failure or AssertionError(version)


async def test_a_registry_that_hangs(upstream: Upstream) -> None:
    """It is waited for once, and within bounds: after the first image no other is asked for."""
    silent = Silent()
    found = await upgraded(upstream, lambda repository: silent, patience_s=0.05)

    assert ("the platforms of 6 of 6 images at cr.l5d.io are left out: it did not answer within 0.05 s",) == found.notes
    assert 1 == silent.asked


async def test_a_registry_out_of_reach(upstream: Upstream) -> None:
    """It is tried once, and not for every image."""
    down = Silent(Unreachable("cr.l5d.io cannot be reached"))
    found = await upgraded(upstream, lambda repository: down)

    told = "the platforms of 6 of 6 images at cr.l5d.io are left out: cr.l5d.io cannot be reached"
    assert (told,) == found.notes
    assert 1 == down.asked
