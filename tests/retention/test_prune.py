"""Pruning: what retention does not keep is gone, what stays is whole, wherever it is kept and whenever a run ends."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror import record as records
from mirror.app import App
from mirror.cluster.running import inventory
from mirror.destinations.mirror import Mirror
from mirror.destinations.provider import Deleter
from mirror.http.proxies import Proxies
from mirror.linkerd.release import Release
from mirror.oci.content import Digest
from mirror.oci.verify import walk
from mirror.retention.policy import Policy
from mirror.retention.prune import Pruned, Pruner
from mirror.retention.prune import prune as prune_mirrors
from mirror.settings import Settings
from tests.content import artifact, image, push
from tests.mirrors import PATHS, Sample, digests, pushed, samples
from tests.runs import NOW, prune, sync, verify
from tests.servers.distribution import Distribution, docker_registry
from tests.servers.gateway import Gateway
from tests.servers.loopback import Response, serving
from tests.servers.upstream import CHARTS, Upstream, upstream_server

OLD, MIDDLE, NEW = "edge-26.8.1", "edge-26.8.2", "edge-26.8.3"
NAMES = ("controller", "proxy", "web")
KEEP_ONE: dict[str, Any] = {"keep": {"edge": 1}}

Into = Callable[..., Settings]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Three releases; the newest is what the configuration asks for, the controller is signed in each."""
    with upstream_server() as running:
        for release in (OLD, MIDDLE, NEW):
            running.publish(release)
            controller = running.images[f"cr.l5d.io/linkerd/controller:{release}"]
            signature = image(b"signature of " + release.encode())
            running.registry.add("linkerd/controller", signature, controller.digest.fallback_tag(".sig"))
            running.registry.add("linkerd/controller", artifact("application/spdx+json", subject=controller))
        yield running


@pytest.fixture(params=["layout", "registry"])
def into(
    request: pytest.FixtureRequest, upstream: Upstream, open_distribution: Distribution, tmp_path: Path, path: str
) -> Into:
    """Settings for a mirror on disk, or in docker-registry, with what is given of retention."""
    if request.param == "layout":
        destination: dict[str, Any] = {"kind": "layout", "directory": str(tmp_path / "mirror")}
    else:
        destination = {"kind": "registry", "registry": open_distribution.host, "prefix": path}

    def settings(**retention: Any) -> Settings:
        return upstream.settings(
            releases=[NEW],
            destinations={"test": destination},
            overrides={"directory": str(tmp_path / "overrides")},
            retention=retention or KEEP_ONE,
        )

    return settings


def only(pruned: Any) -> Pruned:
    [one] = pruned.destinations
    assert isinstance(one, Pruned)
    return one


def fates(pruned: Pruned) -> dict[str, bool]:
    """Whether each release goes."""
    return {str(fate.release): fate.goes for fate in pruned.fates}


async def asked(settings: Settings, what: Callable[[Mirror], Any]) -> Any:
    """What *what* finds at the mirror."""
    async with App(settings, {}, Proxies()) as app:
        return await what(app.mirror())


async def tags(settings: Settings) -> dict[str, set[str]]:
    """The tags of each repository of the mirror."""

    async def look(mirror: Mirror) -> dict[str, set[str]]:
        names = (*NAMES, "prometheus", "charts/linkerd-viz", "mirror-record")
        return {name: set(await mirror.repository(name).tags()) for name in names}

    found: dict[str, set[str]] = await asked(settings, look)
    return found


async def has(settings: Settings, name: str, digest: Digest) -> bool:
    async def look(mirror: Mirror) -> bool:
        return await mirror.repository(name).head(digest) is not None

    return bool(await asked(settings, look))


async def everything(settings: Settings, upstream: Upstream) -> None:
    """The mirror has all three releases."""
    assert 0 == (await sync(settings, OLD, MIDDLE, NEW)).exit_code
    upstream.forget_requests()


async def test_nothing_is_deleted_before_it_is_confirmed(into: Into, upstream: Upstream) -> None:
    """The plan says what would go and why, and writes nothing."""
    await everything(into(), upstream)
    before = await tags(into())
    report = await prune(into())

    assert (0, False) == (report.exit_code, report.is_done)
    assert {OLD: True, MIDDLE: True, NEW: False} == fates(only(report))
    assert ("the configuration asks for it", "the newest of edge") == only(report).fates[0].reasons
    assert ("not the newest of edge",) == only(report).fates[1].reasons
    going = {f"{name}:{release}" for name in (*NAMES, "mirror-record") for release in (OLD, MIDDLE)}
    going |= {f"charts/{chart}:{release.replace('edge-', '20')}" for chart in CHARTS for release in (OLD, MIDDLE)}
    assert going == {tag for tag in only(report).tags if "sha256-" not in tag}
    assert 0 < only(report).size
    assert before == await tags(into())


async def test_what_is_not_kept_is_gone(into: Into, upstream: Upstream) -> None:
    """Records, tags, manifests, platforms and signatures; what stays verifies to the last byte."""
    await everything(into(), upstream)
    old = upstream.images[f"cr.l5d.io/linkerd/controller:{OLD}"]
    planned = await prune(into())
    report = await prune(into(), yes=True)
    again = await prune(into(), yes=True)

    assert (0, True) == (report.exit_code, report.is_done)
    assert {NEW} == (await tags(into()))["mirror-record"]
    assert {name: {NEW} for name in ("proxy", "web")} == {
        name: found for name, found in (await tags(into())).items() if name in ("proxy", "web")
    }
    assert {"v2.55.1"} == (await tags(into()))["prometheus"]
    assert {NEW.replace("edge-", "20")} == (await tags(into()))["charts/linkerd-viz"]
    for part in old.graph():
        assert not await has(into(), "controller", part.digest)
    assert not [tag for tag in (await tags(into()))["controller"] if tag.startswith(old.digest.fallback_tag())]
    assert set(only(planned).manifests) == set(only(report).manifests)
    assert only(planned).size == only(report).size
    verified = await verify(into(), deep=True)
    assert (0, [NEW]) == (verified.exit_code, [each.release for each in verified.releases])
    assert ((), ()) == (only(again).tags, only(again).manifests)


async def test_signatures_of_what_stays_stay(into: Into, upstream: Upstream) -> None:
    """By tag, and by what refers to it."""
    await everything(into(), upstream)
    new = upstream.images[f"cr.l5d.io/linkerd/controller:{NEW}"]
    await prune(into(), yes=True)

    async def look(mirror: Mirror) -> tuple[bool, int]:
        repository = mirror.repository("controller")
        signature = await repository.head(new.digest.fallback_tag(".sig"))
        return signature is not None, len(await repository.referrers(new.digest))

    assert (True, 1) == await asked(into(), look)


async def test_a_foreign_tag_keeps_what_it_names(into: Into, upstream: Upstream) -> None:
    """The image of a release that goes stays where somebody else has tagged it, with its signature."""
    await everything(into(), upstream)
    old = upstream.images[f"cr.l5d.io/linkerd/controller:{OLD}"]
    child = old.children[0]

    async def tag(mirror: Mirror) -> None:
        await mirror.repository("controller").put_manifest(old.manifest, tag="ours")
        web = upstream.images[f"cr.l5d.io/linkerd/web:{OLD}"].children[0]
        await mirror.repository("web").put_manifest(web.manifest, tag="arm")

    async def untag(mirror: Mirror) -> None:
        await push(mirror.repository("controller"), image(b"something else"), tag="ours")

    await asked(into(), tag)
    report = await prune(into(), yes=True)

    assert 0 == report.exit_code
    assert {"ours", NEW} <= (await tags(into()))["controller"]
    assert {"arm", NEW} == (await tags(into()))["web"]
    assert old.digest.fallback_tag(".sig") in (await tags(into()))["controller"]
    assert await has(into(), "controller", child.digest)
    is_stuck = OLD in (await tags(into()))["controller"]
    assert is_stuck == bool([note for note in only(report).notes if f"controller:{OLD} stays" in note])
    assert {NEW} | ({f"prune-{OLD}"} if is_stuck else set()) == (await tags(into()))["mirror-record"]
    if is_stuck:  # until it can go
        await asked(into(), untag)
        assert {f"controller:{OLD}"} <= set(only(await prune(into(), yes=True)).tags)


async def test_a_tag_that_was_moved_is_not_ours(into: Into, upstream: Upstream) -> None:
    """What a release had at a tag goes, what somebody has put there since stays."""
    await everything(into(), upstream)
    old, other = upstream.images[f"cr.l5d.io/linkerd/web:{OLD}"], image(b"of somebody else")

    async def move(mirror: Mirror) -> None:
        await push(mirror.repository("web"), other, tag=OLD)

    await asked(into(), move)
    await prune(into(), yes=True)

    assert {OLD, NEW} == (await tags(into()))["web"]
    assert await has(into(), "web", other.digest)
    assert not await has(into(), "web", old.digest)


async def test_what_others_have_recorded_meanwhile_stays(
    into: Into, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that is recorded again after the plan is whole afterwards."""
    await everything(into(), upstream)
    settings = into()
    async with App(settings, {}, Proxies()) as app:
        [pruner] = await app.pruners((), "")
        plan = await pruner.plan()
        await replace(pruner, deleter=Interrupting(pruner.deleter, lambda: sync(settings, OLD))).execute(plan)

    verified = await verify(into(), deep=True)
    assert (0, [OLD, NEW]) == (verified.exit_code, sorted(each.release for each in verified.releases))


class Interrupting:
    """A deleter that does something once, after the first deletion."""

    def __init__(self, deleter: Any, then: Callable[[], Any]) -> None:
        self._deleter, self._then, self._is_done = deleter, then, False
        self.untags, self.frees_later = deleter.untags, deleter.frees_later

    async def untag(self, path: str, tags: Any) -> None:
        await self._deleter.untag(path, tags)

    async def delete(self, path: str, waves: Any, stays: Any) -> None:
        await self._deleter.delete(path, waves, stays)
        if not self._is_done:
            self._is_done = True
            await self._then()


@pytest.mark.parametrize("into", ["layout"], indirect=True)
async def test_what_another_name_of_a_layout_needs(into: Into, upstream: Upstream) -> None:
    """It is stored once, and stays; nobody says that it went."""
    proxy = upstream.images[f"cr.l5d.io/linkerd/proxy:{OLD}"]
    upstream.put(f"cr.l5d.io/linkerd/web:{NEW}", proxy)
    await everything(into(), upstream)
    report = await prune(into(), yes=True)

    assert {NEW} == (await tags(into()))["proxy"]
    assert not [told for told in only(report).manifests if told.endswith(str(proxy.digest))]
    assert 0 == (await verify(into(), NEW, deep=True)).exit_code


async def test_a_registry_that_deletes_nothing(upstream: Upstream, tmp_path: Path) -> None:
    """The setting is told, and all is as it was."""
    with docker_registry(tmp_path / "registry", deletes=False) as running:
        settings = upstream.settings(
            releases=[NEW],
            destinations={"test": {"kind": "registry", "registry": running.host, "prefix": "l5d"}},
            overrides={"directory": str(tmp_path / "overrides")},
            retention=KEEP_ONE,
        )
        await everything(settings, upstream)
        report = await prune(settings, yes=True)
        verified = await verify(settings)

    assert 1 == report.exit_code
    assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in only(report).problems[0]
    assert (0, [OLD, MIDDLE, NEW]) == (verified.exit_code, [each.release for each in verified.releases])


async def test_a_registry_that_deletes_some(
    upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path
) -> None:
    """What went is told, half of a repository as it may be, and nothing else; the next run tells the rest."""
    deleted = list[str]()

    class Refusing(Gateway):
        behind = open_distribution.host

        def respond(self) -> None:
            if self.command == "DELETE" and "/proxy/" in self.path:
                deleted.append(self.path)
                if len(deleted) > 1:
                    return self.send(Response(403, body=b'{"errors": [{"code": "DENIED", "message": "not now"}]}'))
            return self.send(self.forward(self.read_body() or b""))

    def settings(host: str) -> Settings:
        return upstream.settings(
            releases=[NEW],
            destinations={"test": {"kind": "registry", "registry": host, "prefix": path}},
            overrides={"directory": str(tmp_path / "overrides")},
            retention=KEEP_ONE,
        )

    there = settings(open_distribution.host)
    await everything(there, upstream)
    planned = only(await prune(there))
    with serving(Refusing) as host:
        report = await prune(settings(host), yes=True)
        told = only(report)
    rest = only(await prune(there, yes=True))

    assert 1 == report.exit_code
    [problem] = told.problems
    assert f"{path}/proxy@" in problem
    assert (2, {MIDDLE, OLD}) == (len(told.unfinished), set(map(str, told.unfinished)))
    went = [manifest for manifest in told.manifests if manifest.startswith("proxy@")]
    assert [deleted[0].rpartition("/")[2]] == [manifest.partition("@")[2] for manifest in went]
    assert set(planned.manifests) == {*told.manifests, *rest.manifests}
    assert set() == {*told.manifests} & {*rest.manifests}
    assert set(planned.tags) == {*told.tags, *rest.tags}
    assert set() == {*told.tags} & {*rest.tags}
    assert 0 < told.size < planned.size
    assert () == rest.unfinished == rest.problems


async def test_what_cannot_be_read_is_not_guessed_at(into: Into, upstream: Upstream) -> None:
    """A record that is damaged may need anything: nothing is deleted."""
    await everything(into(), upstream)

    async def damage(mirror: Mirror) -> None:
        await push(mirror.records, image(b"no record"), tag=MIDDLE)

    await asked(into(), damage)
    before = await tags(into())
    report = await prune(into(), yes=True)

    assert 1 == report.exit_code
    assert f"mirror-record:{MIDDLE} is not a record of mirror's" in only(report).problems[0]
    assert before == await tags(into())


@pytest.mark.parametrize("into", ["layout"], indirect=True)
class TestRules:
    async def test_without_any(self, into: Into, upstream: Upstream) -> None:
        """Nothing goes."""
        await everything(into(), upstream)
        report = await prune(into(keep={"stable": 1}), yes=True)

        assert {OLD: False, MIDDLE: False, NEW: False} == fates(only(report))
        assert ("the channel edge has no rule",) == only(report).fates[-1].reasons

    async def test_for_a_time(self, into: Into, upstream: Upstream) -> None:
        """What was recorded no longer ago stays."""
        settings = into(keep_for="720h")
        await sync(settings, OLD, now=NOW)
        await sync(settings, MIDDLE, NEW, now=NOW + timedelta(hours=1))
        report = await prune(settings, now=NOW + timedelta(hours=720, minutes=30))

        assert {OLD: True, MIDDLE: False, NEW: False} == fates(only(report))

    async def test_what_is_named(self, into: Into, upstream: Upstream) -> None:
        """It stays, with the reason."""
        await everything(into(), upstream)
        report = await prune(into(keep={"edge": 1}, always=[OLD]), yes=True)

        assert {OLD: False, MIDDLE: True, NEW: False} == fates(only(report))
        assert 0 == (await verify(into(), OLD, NEW, deep=True)).exit_code

    async def test_what_lies_on_a_path(self, into: Into, upstream: Upstream) -> None:
        """From where the path begins, by the versions between, to what is asked for."""
        versions = "".join(
            f'- version: "{version}"\n  edge: {release}\n  releaseDate: "August 1, 2026"\n'
            for version, release in (("2.20", NEW), ("2.19", MIDDLE), ("2.18", OLD))
        )
        upstream.charts.files["versions.yaml"] = versions.encode()
        await everything(into(), upstream)
        report = await prune(into(keep={"edge": 1}, keep_paths_from=[OLD]))

        assert {OLD: False, MIDDLE: False, NEW: False} == fates(only(report))
        assert f"on the upgrade path from {OLD} to {NEW}" in only(report).fates[1].reasons

    @pytest.mark.parametrize("by", ["tag", "digest", "platform"])
    async def test_what_runs(self, into: Into, upstream: Upstream, by: str) -> None:
        """By upstream's name and tag, by its digest, or by that of a platform of it; of a third party one is enough."""
        await everything(into(), upstream)
        old = upstream.images[f"cr.l5d.io/linkerd/proxy:{OLD}"]
        named = {
            "tag": f"ghcr.io/linkerd/proxy:{OLD}",
            "digest": f"ghcr.io/linkerd/proxy@{old.digest}",
            "platform": f"ghcr.io/linkerd/proxy@{old.children[0].digest}",
        }
        running = inventory(f"{named[by]}\nprom/prometheus:v2.55.1\n", source="x").images
        report = await prune(into(), yes=True, running=running)

        assert {OLD: False, MIDDLE: True, NEW: False} == fates(only(report))
        assert 0 == (await verify(into(), OLD, NEW, deep=True)).exit_code


class Ending:
    """A deleter whose process is ended before its deletion number *after*."""

    def __init__(self, deleter: Deleter, after: int) -> None:
        self._deleter, self._left = deleter, after
        self.untags, self.frees_later = deleter.untags, deleter.frees_later

    async def untag(self, path: str, tags: Sequence[str]) -> None:
        for tag in tags:
            self._count()
            await self._deleter.untag(path, [tag])

    async def delete(self, path: str, waves: Sequence[Sequence[Digest]], stays: Collection[Digest]) -> None:
        for digest in (digest for wave in waves for digest in wave):
            self._count()
            await self._deleter.delete(path, [[digest]], stays)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Ended


class Ended(BaseException):
    """As by SIGKILL: nobody catches it."""


@contextmanager
def fresh(kind: str, host: str) -> Iterator[Settings]:
    """Settings for a mirror that nobody else uses."""
    with tempfile.TemporaryDirectory() as directory:
        destination: dict[str, Any] = {"kind": "layout", "directory": directory + "/mirror"}
        if kind == "registry":
            destination = {"kind": "registry", "registry": host, "prefix": f"test/{uuid.uuid4().hex}"}
        yield Settings.model_validate({"destinations": {"test": destination}, "policy": {"signatures": "off"}})


async def survives(settings: Settings, sample: Sample, after: int) -> None:
    """Whatever stays of *sample* is whole after a run that ends before deletion number *after*, and after another."""
    async with App(settings, {}, Proxies()) as app:
        mirror = app.mirror()
        places = {path: mirror.repository(path) for path in PATHS}
        await pushed(sample, places)
        for release in sample.releases:
            await records.write(mirror.records, sample.record(release), verified_at=NOW)
        stays = set(sorted(sample.releases)[-sample.kept :]) | sample.always
        always = {Release.parse(release): "named" for release in sample.always}
        assert mirror.deleter is not None
        policy = Policy({"edge": sample.kept})
        pruner = Pruner(mirror, mirror.deleter, policy, always, (), lambda repository: repository)
        before = {path: {tag: await places[path].head(tag) for tag in await places[path].tags()} for path in PATHS}
        for deleter in (Ending(mirror.deleter, after), mirror.deleter):
            with suppress(Ended):
                report = await prune_mirrors([replace(pruner, deleter=deleter)], is_confirmed=True)
                assert 0 == report.exit_code
            assert stays & sample.releases.keys() <= set(await mirror.records.tags())
            for path, place in places.items():
                tags = {tag: await place.head(tag) for tag in await place.tags()}
                assert tags.items() <= before[path].items()
                assert {"ours"} & before[path].keys() <= tags.keys()
                kept = {
                    each.what.digest for name in stays for each in sample.releases.get(name, ()) if each.path == path
                }
                roots = kept | {digest for digest in tags.values() if digest}
                for digest in roots:
                    assert () == (await walk(place, digest, deep=True))[1]
                for each in sample.referrers:
                    if not each.tag and each.path == path and each.what.manifest.subject in kept:
                        assert await place.head(each.what.digest)
                    of_kept = each.path == path and any(
                        each.tag.startswith(digest.fallback_tag()) for digest in kept if each.tag
                    )
                    assert not of_kept or each.tag in tags
        still = [each.what for name in stays for each in sample.releases.get(name, ())]
        still += [each.what for each in (*sample.foreign, *sample.referrers)]
        needed = set[Digest]().union(*map(digests, still))
        for path, place in places.items():
            gone = [each for name in sample.releases.keys() - stays for each in sample.releases[name]]
            for root in {each.what.digest for each in gone if each.path == path} - needed:
                assert sample.referrers or await place.head(root) is None
        assert {*stays} & sample.releases.keys() == {
            tag for tag in await mirror.records.tags() if not tag.startswith("prune-")
        }


class TestProperty:
    @given(samples(by_subject=False), st.integers(0, 12))
    @hypothesis.settings(max_examples=30)
    def test_in_a_layout(self, sample: Sample, after: int) -> None:
        """For any mirror, policy and moment of the end."""
        with fresh("layout", "") as settings:
            asyncio.run(survives(settings, sample, after))

    @given(samples(), st.integers(0, 12))
    @hypothesis.settings(max_examples=20)
    def test_with_the_referrers_api(self, referrers_host: str, sample: Sample, after: int) -> None:
        """For any mirror, policy and moment of the end, where the registry lists what refers to an image."""
        with fresh("registry", referrers_host) as settings:
            asyncio.run(survives(settings, sample, after))

    @given(samples(by_subject=False), st.integers(0, 12))
    @hypothesis.settings(max_examples=8)
    def test_in_docker_registry(self, open_distribution: Distribution, sample: Sample, after: int) -> None:
        """For any mirror, policy and moment of the end."""
        with fresh("registry", open_distribution.host) as settings:
            asyncio.run(survives(settings, sample, after))
