"""A Sigstore, and a registry with an image that may be signed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from mirror.http.gate import Gate
from mirror.oci.blob import Body
from mirror.oci.content import Descriptor, Digest
from mirror.oci.manifest import Manifest
from mirror.oci.reference import Reference
from mirror.oci.referrers import gathered
from mirror.oci.registry import Registry
from mirror.trust.judge import Trust, judge
from mirror.trust.policy import Identity
from mirror.trust.root import RootOfTrust
from mirror.trust.trusted_root import TrustedRoot, parse
from mirror.trust.verdict import Verdict
from tests.content import Image, multi_platform
from tests.servers.client import open_registry
from tests.servers.fake import FakeRegistry
from tests.servers.sigstore import Sigstore, SimpleSigning, bundle_image, sig_image

NAME = "linkerd/proxy"
TAG = "edge-26.8.3"
IDENTITY = f"https://github.com/linkerd/linkerd2/.github/workflows/release.yml@refs/tags/{TAG}"
REFERENCE = Reference.parse(f"ghcr.io/{NAME}:{TAG}")
IMAGE = multi_platform("an image that is signed")


@dataclass(slots=True)
class Given:
    """A trusted root that a test gives; *loads* counts how often it was asked for."""

    document: dict[str, Any]
    loads: int = 0

    async def load(self) -> TrustedRoot:
        self.loads += 1
        return parse(json.dumps(self.document).encode(), where="the test's trusted root")


@dataclass(slots=True)
class Bench:
    """An image in a registry, the Sigstore that signs, and what is trusted; a test changes what it likes."""

    sigstore: Sigstore
    registry: FakeRegistry
    client: Registry
    root: Given
    image: Image = IMAGE
    identities: tuple[Identity, ...] = ()
    third_party: tuple[str, ...] = ()

    @property
    def digest(self) -> Digest:
        return self.image.digest

    def put_simple(self, *layers: SimpleSigning) -> Image:
        """The image has *layers* at its `.sig` tag."""
        return self.put_tagged(sig_image(*layers))

    def put_tagged(self, image: Image) -> Image:
        self.registry.add(NAME, image, self.digest.fallback_tag(".sig"))
        return image

    def put_bundle(self, bundle: dict[str, Any] | bytes, *, subject: Manifest | None = None) -> Image:
        """*bundle* refers to the image, or *subject*."""
        made = bundle_image(bundle, subject or self.image.manifest)
        self.registry.add(NAME, made)
        return made

    async def verdict(self, reference: Reference = REFERENCE, *, root: RootOfTrust | None = None) -> Verdict:
        """What is judged of the image, with all that refers to it."""
        source = self.client.repository(NAME)
        referrers = await gathered(source, self.digest)
        trust = Trust(root or self.root, self.identities, self.third_party)
        return await judge(reference, self.digest, referrers, source, trust)


@dataclass(slots=True)
class _Held:
    data: memoryview

    def readinto(self, buffer: memoryview) -> int:
        size = min(len(buffer), len(self.data))
        buffer[:size], self.data = self.data[:size], self.data[size:]
        return size

    def close(self) -> None: ...
    def abort(self) -> None: ...


@dataclass(slots=True)
class Shelf:
    """A source that has blobs and nothing else, without a server."""

    blobs: Mapping[Digest, bytes]
    name: str = "a shelf"
    gate: Gate = field(default_factory=Gate)

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> Body:
        return _Held(memoryview(self.blobs[blob.digest])[offset:])

    async def head(self, version: str | Digest) -> Digest | None:
        raise NotImplementedError

    async def manifest(self, version: str | Digest) -> Manifest:
        raise NotImplementedError

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        raise NotImplementedError

    async def has_blob(self, blob: Descriptor) -> bool:
        raise NotImplementedError


@pytest.fixture(scope="session")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture(scope="session")
def foreign() -> Sigstore:
    """Another one, which nobody trusts."""
    return Sigstore()


@pytest.fixture
async def bench(fake: FakeRegistry, sigstore: Sigstore) -> AsyncIterator[Bench]:
    fake.add(NAME, IMAGE, TAG)
    async with open_registry(fake.url) as client:
        yield Bench(sigstore, fake, client, Given(sigstore.trusted_root()))
