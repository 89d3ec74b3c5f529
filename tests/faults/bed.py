"""The bed: two registries, a release at one of them, and runs of the program between them.

The release has three images, which share a layer: one of two platforms and with a signature, one with a layer of LARGE
bytes, one that is a third party's.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from structlog.testing import capture_logs

from mirror.report import SyncReport
from mirror.settings import Settings
from tests import runs
from tests.content import Image, artifact, image, push
from tests.faults.gateway import Way, faulty_gateway
from tests.faults.haste import SPEED, HastyLoop
from tests.faults.plan import Course
from tests.servers.client import open_registry
from tests.servers.distribution import Distribution, docker_registry
from tests.servers.upstream import BASE, RELEASE, Upstream, references, two_platforms, upstream_server

LARGE = 1_200_000
BOUND_S = 60.0  # a run takes less than a second
_SIGNED, _, _HEAVY, _PLAIN = references()
REFERENCES = (_SIGNED, _HEAVY, _PLAIN)
CHART = "linkerd-viz"  # which has these


def name_of(reference: str) -> str:
    """The repository of *reference*, below its registry."""
    return reference.removeprefix("cr.l5d.io/").partition(":")[0]


@dataclass(slots=True)
class Bed:
    """What runs go through; one at a time."""

    directory: Path
    upstream: Upstream
    source: Distribution
    destination: Distribution
    ways: tuple[Way, Way]
    """From the source, and to the destination."""
    signature: str
    """The tag that the signed image's signature has."""

    @property
    def images(self) -> dict[str, Image]:
        """By repository."""
        return {name_of(reference): self.upstream.images[reference] for reference in REFERENCES}

    @property
    def blobs(self) -> list[str]:
        """Digests of all blobs of the release."""
        return sorted({str(digest) for what in self.images.values() for part in what.graph() for digest in part.blobs})

    @property
    def large(self) -> str:
        """The digest of the large layer."""
        parts = self.images[name_of(_HEAVY)].graph()
        return next(str(digest) for part in parts for digest, data in part.blobs.items() if len(data) == LARGE)

    def settings(self, prefix: str) -> Settings:
        """From the source to *prefix* at the destination, each through its gateway."""
        source, destination = self.ways
        return self.upstream.settings(
            charts=[CHART],
            registries={host: {"endpoint": f"http://{source.host}"} for host in ("ghcr.io", "docker.io")},
            destinations={"test": {"kind": "registry", "registry": destination.host, "prefix": prefix}},
            overrides={"directory": str(self.directory / "overrides" / prefix)},
        )

    def sync(self, prefix: str, course: Course | None = None, *, accept: Sequence[str] = ()) -> SyncReport:
        """One run, with the faults of *course*; raises TimeoutError for one that hangs."""
        for way in self.ways:
            way.begin(course, prefix)
        with capture_logs(), asyncio.Runner(loop_factory=HastyLoop) as runner:
            work = runs.sync(self.settings(prefix), RELEASE, accept=accept)
            return runner.run(asyncio.wait_for(work, BOUND_S * SPEED))

    def forget(self, prefix: str) -> None:
        """The destination has no repositories below *prefix* any more."""
        shutil.rmtree(repositories(self.destination) / prefix, ignore_errors=True)


def repositories(registry: Distribution) -> Path:
    """Where *registry* keeps what it knows of each repository."""
    return registry.root / "docker" / "registry" / "v2" / "repositories"


@contextmanager
def open_bed(directory: Path) -> Iterator[Bed]:
    """A bed with its files in *directory*."""
    with ExitStack() as stack:
        upstream = stack.enter_context(upstream_server())
        heavy = Random(1).randbytes(LARGE)
        upstream.images[_HEAVY] = image(BASE, heavy)
        upstream.images[_PLAIN] = image(BASE, b"plain")
        upstream.publish()
        source = stack.enter_context(docker_registry(directory / "source"))
        destination = stack.enter_context(docker_registry(directory / "destination"))
        older = {name_of(reference): two_platforms(f"older {reference}") for reference in REFERENCES}
        signed = upstream.images[_SIGNED]
        signature = signed.digest.fallback_tag(".sig")
        asyncio.run(_fill(source, upstream, older, signature))
        lock = threading.Lock()
        digests = {name: str(what.digest) for name, what in older.items()}
        ways = (Way("source", source.host, digests), Way("destination", destination.host, digests))
        for way in ways:
            stack.enter_context(faulty_gateway(way, lock))
        yield Bed(directory, upstream, source, destination, ways, signature)


async def _fill(source: Distribution, upstream: Upstream, older: dict[str, Image], signature: str) -> None:
    async with open_registry(source.url) as registry:
        for reference in REFERENCES:
            repository = registry.repository(name_of(reference))
            await push(repository, older[name_of(reference)])
            await push(repository, upstream.images[reference], tag=reference.rpartition(":")[2])
        await push(
            registry.repository(name_of(_SIGNED)),
            artifact("application/vnd.dev.cosign.artifact.sig.v1+json", b"signed"),
            tag=signature,
        )
