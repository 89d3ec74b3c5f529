"""The bed: two registries, a release at one of them, and runs of the program between them, whatever is on the way.

The release has three images, which share a layer: one of two platforms and with a signature, one with a layer of LARGE
bytes, one that is a third party's.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from structlog.testing import capture_logs

from mirror.report import SyncReport
from mirror.settings import Settings
from tests import runs
from tests.content import Image, artifact, image, push
from tests.faults.haste import SPEED, HastyLoop
from tests.servers.client import open_registry
from tests.servers.distribution import Distribution, docker_registry
from tests.servers.upstream import BASE, RELEASE, Upstream, references, two_platforms, upstream_server

LARGE = 1_200_000
BOUND_S = 60.0  # a run takes less than a second
_SIGNED, _, _HEAVY, _PLAIN = references()
REFERENCES = (_SIGNED, _HEAVY, _PLAIN)
CHART = "linkerd-viz"  # which has these
HOSTS = ("ghcr.io", "docker.io")  # which they are at


RunRegistry = Callable[[Path], AbstractContextManager[Distribution]]


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
    signature: str
    """The tag that the signed image's signature has."""
    older: Mapping[str, str]
    """The digest of an older image that the source has too, by repository."""

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

    @property
    def truth(self) -> dict[str, set[str]]:
        """The digest that each image has at the mirror, by the last segment of its repository."""
        return {last(name): {str(what.digest)} for name, what in self.images.items()}

    def document(self, prefix: str, source: str, destination: str) -> dict[str, Any]:
        """The configuration of runs from *source* to *prefix* at *destination*, each as `HOST:PORT`."""
        return self.upstream.document(
            charts=[CHART],
            registries={host: {"endpoint": f"http://{source}"} for host in HOSTS},
            destinations={"test": {"kind": "registry", "registry": destination, "prefix": prefix}},
            overrides={"directory": str(self.directory / "overrides" / prefix)},
        )

    def sync(self, document: Mapping[str, Any], *, accept: Sequence[str] = ()) -> SyncReport:
        """One run in this process, in haste; raises TimeoutError for one that hangs."""
        with capture_logs(), asyncio.Runner(loop_factory=HastyLoop) as runner:
            work = runs.sync(Settings.model_validate(document), RELEASE, accept=accept)
            return runner.run(asyncio.wait_for(work, BOUND_S * SPEED))

    def forget(self, prefix: str) -> None:
        """The destination has no repositories below *prefix* any more."""
        shutil.rmtree(repositories(self.destination) / prefix, ignore_errors=True)


def last(name: str) -> str:
    """The last segment of a repository's name."""
    return name.rpartition("/")[2]


def repositories(registry: Distribution) -> Path:
    """Where *registry* keeps what it knows of each repository."""
    return registry.root / "docker" / "registry" / "v2" / "repositories"


@contextmanager
def open_bed(directory: Path, *, registry: RunRegistry = docker_registry) -> Iterator[Bed]:
    """A bed with its files in *directory*; *registry* runs one."""
    with ExitStack() as stack:
        upstream = stack.enter_context(upstream_server())
        heavy = Random(1).randbytes(LARGE)
        upstream.images[_HEAVY] = image(BASE, heavy)
        upstream.images[_PLAIN] = image(BASE, b"plain")
        upstream.publish()
        source = stack.enter_context(registry(directory / "source"))
        destination = stack.enter_context(registry(directory / "destination"))
        signature = upstream.images[_SIGNED].digest.fallback_tag(".sig")
        older = {name_of(reference): two_platforms(f"older {reference}") for reference in REFERENCES}
        with capture_logs():
            asyncio.run(_fill(source, upstream, older, signature))
        digests = {name: str(what.digest) for name, what in older.items()}
        yield Bed(directory, upstream, source, destination, signature, digests)


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
