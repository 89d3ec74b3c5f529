"""Copies that share blobs: none waits for ever, and what is taken away under them is brought again."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from mirror.report import ReleaseReport
from tests import runs
from tests.content import Image, image
from tests.faults import oracle
from tests.faults.bed import BOUND_S, HOSTS, REFERENCES, Bed, repositories
from tests.faults.haste import SPEED, HastyLoop
from tests.faults.oracle import Storage
from tests.runs import only, outcomes
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, answer
from tests.servers.gateway import Gateway
from tests.servers.loopback import Response, Seen, serving
from tests.servers.upstream import RELEASE, Upstream, references, upstream_server

# Images that hold and await each other's blobs


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Its images share all layers, each in an order of its own."""
    with upstream_server() as running:
        layers = [b"layer %02d " % number * 10_000 for number in range(24)]
        for turn, reference in enumerate(references()):
            running.images[reference] = image(*layers[6 * turn :], *layers[: 6 * turn])
        running.publish()
        yield running


def sync(upstream: Upstream, fake: FakeRegistry, connections: int) -> ReleaseReport:
    """A run over as many *connections* to each registry."""
    known = {host: {"endpoint": upstream.registry.url, "max_connections": connections} for host in HOSTS}
    settings = upstream.settings(
        registries=known | {fake.host: {"endpoint": fake.url, "max_connections": connections}},
        destinations={"test": {"kind": "registry", "registry": fake.host}},
    )
    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        return only(runner.run(asyncio.wait_for(runs.sync(settings, RELEASE), BOUND_S * SPEED)))


def layers_of(what: Image) -> list[str]:
    """The digests of its layers, in its order."""
    return [str(blob.digest) for blob in what.manifest.blobs[1:]]


@pytest.mark.parametrize("connections", [1, 2, 16])
def test_all_share_all(upstream: Upstream, fake: FakeRegistry, connections: int) -> None:
    """However few connections there are, each blob is read once, and all images come."""
    report = sync(upstream, fake, connections)

    reads = Counter(seen.path.rpartition("/")[2] for seen in upstream.registry.asked("GET .*/blobs/.*"))
    assert {"copied"} == set(outcomes(report).values())
    assert {1} == set(reads.values())
    assert {} == fake.uploads


@pytest.mark.parametrize("connections", [1, 16])
def test_each_fails_with_what_the_others_await(upstream: Upstream, fake: FakeRegistry, connections: int) -> None:
    """Each image's first layer cannot be read from its own repository: nobody waits for ever, and later all come."""
    for reference, what in upstream.images.items():
        name = reference.removeprefix("cr.l5d.io/").partition(":")[0]
        upstream.registry.faults.append(Fault(f"GET /v2/{name}/blobs/{layers_of(what)[0]}", answer(500), times=ALWAYS))
    report = sync(upstream, fake, connections)
    upstream.registry.faults.clear()

    failed = [image for image in report.images if image.outcome == "failed"]
    assert failed
    assert all(any(host in image.reason for host in HOSTS) for image in failed)
    assert 0 == sync(upstream, fake, connections).exit_code
    assert "in_step" == sync(upstream, fake, connections).outcome


@pytest.mark.parametrize("connections", [1, 16])
def test_mounts_that_are_uploads(upstream: Upstream, fake: FakeRegistry, connections: int) -> None:
    """202 instead of 201, each time: they go on as uploads; one session is left, of the question whether it mounts."""
    fake.manners.mounts = False
    report = sync(upstream, fake, connections)

    assert {"copied"} == set(outcomes(report).values())
    assert 1 == len(fake.uploads)


# What is taken away under us, at a real registry


@dataclass(slots=True)
class Meddler:
    """Stands before the destination; of the requests that *pattern* matches it meets *times*, after *skip*."""

    pattern: str
    before: Callable[[Gateway], None] = lambda _gateway: None
    after: Callable[[Gateway], None] = lambda _gateway: None
    skip: int = 0
    times: int = 1
    met: list[Seen] = field(default_factory=list)
    host: str = ""

    def meets(self, seen: Seen) -> bool:
        """Whether it meddles with this request."""
        if not re.fullmatch(self.pattern, str(seen)):
            return False
        self.met.append(seen)
        return self.skip < len(self.met) <= self.skip + self.times


@contextmanager
def meddling(meddler: Meddler, bed: Bed) -> Iterator[Meddler]:
    """Serves *meddler*."""

    class MeddlingHandler(Gateway):
        behind = bed.destination.host

        def respond(self) -> None:
            is_met, body = meddler.meets(self.seen()), self.read_body()
            if body is None:
                self.close_connection = True
                return
            if is_met:
                meddler.before(self)
            answered: Response = self.forward(body)
            if is_met:
                meddler.after(self)
            self.send(answered)

    with serving(MeddlingHandler) as meddler.host:
        yield meddler


def collect(gateway: Gateway) -> None:
    """The blob that was uploaded is gone: nothing refers to it yet."""
    path, _, digest = gateway.path.partition("digest=")
    name = path.partition("/uploads/")[0]
    assert 202 == gateway.forward(method="DELETE", target=f"{name}/{digest.replace('%3A', ':')}", headers={}).status


def lose(gateway: Gateway) -> None:
    """The upload's session is gone."""
    assert 204 == gateway.forward(method="DELETE", headers={}).status


@pytest.fixture
def run(bed: Bed, storage: Storage, path: str) -> Iterator[Callable[[Meddler], ReleaseReport]]:
    """Runs with a meddler; whatever comes of it is true, whole, and completed by a plain run."""
    prefix = path.replace("/", "-")

    def met(meddler: Meddler) -> ReleaseReport:
        with meddling(meddler, bed):
            report = bed.sync(bed.document(prefix, bed.source.host, meddler.host))
        assert len(meddler.met) > meddler.skip
        hosts = (*HOSTS, meddler.host)
        plain = bed.document(prefix, bed.source.host, bed.destination.host)
        assert [] == oracle.told(report, images=len(REFERENCES), hosts=hosts)
        assert [] == oracle.whole(storage, prefix)
        assert [] == oracle.completed(storage, prefix, bed.truth, lambda: bed.sync(plain), is_done=not report.exit_code)
        return only(report)

    yield met
    bed.forget(prefix)


@pytest.mark.parametrize("times", [1, ALWAYS], ids=["one blob", "every blob, until it is sent again"])
@pytest.mark.parametrize("name", ["controller", "web", "prometheus"])
def test_a_garbage_collector(name: str, times: int, run: Callable[[Meddler], ReleaseReport]) -> None:
    """That eats blobs between upload and manifest: they are sent again."""
    once = set[str]()

    def collect_once(gateway: Gateway) -> None:
        if gateway.path.partition("digest=")[2] not in once:
            once.add(gateway.path.partition("digest=")[2])
            collect(gateway)

    report = run(Meddler(f"PUT .*/{name}/blobs/uploads/.*", after=collect_once, times=times))

    assert {"copied"} == set(outcomes(report).values())


@pytest.mark.parametrize("name", ["controller", "web", "prometheus"])
def test_an_upload_session_lost(name: str, run: Callable[[Meddler], ReleaseReport]) -> None:
    """Is begun anew."""
    report = run(Meddler(f"(PUT|PATCH) .*/{name}/blobs/uploads/.*", before=lose))

    assert {"copied"} == set(outcomes(report).values())


@pytest.mark.parametrize(
    ("pattern", "skip"),
    [
        ("PUT .*/controller/blobs/uploads/.*", 0),
        ("PUT .*/controller/blobs/uploads/.*", 1),
        ("PUT .*/controller/manifests/sha256:.*", 0),
        ("PUT .*/controller/manifests/sha256:.*", 1),
        ("GET .*/controller/manifests/sha256:.*", 0),
        (f"PUT .*/controller/manifests/{RELEASE}", 0),
    ],
    ids=["a blob", "two blobs", "a child", "two children", "a child was read back", "the tag"],
)
def test_a_repository_deleted(
    pattern: str, skip: int, bed: Bed, path: str, run: Callable[[Meddler], ReleaseReport]
) -> None:
    """After some of it was there: the run ends in step or says what failed, and a plain run completes it."""
    where = repositories(bed.destination) / path.replace("/", "-") / "controller"

    def delete(_gateway: Gateway) -> None:
        shutil.rmtree(where, ignore_errors=True)

    run(Meddler(pattern, after=delete, skip=skip))
