"""What ECR takes by its API alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from botocore.stub import Stubber

from mirror.destinations.ecr.api import EcrApi
from mirror.destinations.ecr.dialect import EcrDialect
from mirror.destinations.ecr.registry import EcrRepository, says_its_type
from mirror.errors import ContentError, ManifestRefused, RegistryError, TagTaken
from mirror.http.gate import Gate
from mirror.oci.copy import Copier, read_graph
from mirror.oci.manifest import Manifest
from mirror.oci.registry import Registry
from tests.content import Image, image, index
from tests.oci.copying import copy
from tests.servers.client import open_registry
from tests.servers.ecr import Ecr, Tokens
from tests.servers.fake import FakeRegistry

PATH = "linkerd/proxy"


def untyped(made: Image) -> Image:
    """*made*, its manifest without a mediaType."""
    view = {key: value for key, value in json.loads(made.manifest.raw).items() if key != "mediaType"}
    raw = json.dumps(view).encode()
    return Image(
        Manifest.parse(raw, made.manifest.media_type, where="the test"), blobs=made.blobs, children=made.children
    )


IMAGE = untyped(image(b"a layer"))
OTHER = untyped(image(b"another"))
INDEX = untyped(index(image(b"one"), untyped(image(b"two")), platforms=("linux/amd64", "linux/arm64")))


@asynccontextmanager
async def opened(ecr: Ecr) -> AsyncIterator[Registry]:
    async with open_registry(ecr.url, host=ecr.host, credentials=Tokens(ecr), dialect=EcrDialect()) as registry:
        yield registry


@pytest.fixture
async def source(fake: FakeRegistry) -> AsyncIterator[Registry]:
    fake.add("up", IMAGE, "image")
    fake.add("up", INDEX, "index")
    fake.add("up", OTHER)
    async with open_registry(fake.url) as registry:
        yield registry


@pytest.fixture
async def repository(ecr: Ecr, api: EcrApi) -> AsyncIterator[EcrRepository]:
    ecr.create(PATH, imageTagMutability="IMMUTABLE")
    async with opened(ecr) as registry:
        yield EcrRepository(registry, PATH, api)


@pytest.fixture
def copier() -> Iterator[Copier]:
    made = Copier()
    yield made
    made.close()


@pytest.mark.parametrize(("made", "expected"), [(image(b"x"), True), (IMAGE, False), (INDEX, False)])
def test_which_say_their_type(made: Image, expected: bool) -> None:
    """A header is not the bytes."""
    assert expected is says_its_type(made.manifest)


@pytest.mark.parametrize(("tag", "digest", "puts"), [("image", IMAGE.digest, 1), ("index", INDEX.digest, 2)])
async def test_they_are_copied(
    ecr: Ecr, source: Registry, repository: EcrRepository, copier: Copier, tag: str, digest: object, puts: int
) -> None:
    """Byte for byte, with their type beside; again, nothing is stored."""
    await copy(copier, source.repository("up"), repository, tag)
    await copy(copier, source.repository("up"), repository, tag)

    assert digest == await repository.head(tag)
    assert puts == ecr.actions.count("PutImage")


async def test_a_tag_that_is_taken(source: Registry, repository: EcrRepository, copier: Copier) -> None:
    """The operator is told what it names."""
    await copy(copier, source.repository("up"), repository, "image")
    graph = await read_graph(source.repository("up"), OTHER.manifest)
    await copier.copy(source.repository("up"), repository, graph)

    with pytest.raises(TagTaken, match=rf":image: the tag names {IMAGE.digest}.*{OTHER.digest}"):
        await copier.place(source.repository("up"), repository, OTHER.manifest, tag="image")


async def test_a_lost_answer(ecr: Ecr, source: Registry, repository: EcrRepository, copier: Copier) -> None:
    """What was stored all the same is no error: botocore sends a request again whose answer did not come."""
    await copy(copier, source.repository("up"), repository, "image")

    await repository._put_image(IMAGE.manifest, "image")
    await repository._put_image(IMAGE.manifest, "")

    assert ["PutImage"] * 3 == [action for action in ecr.actions if action == "PutImage"]


@pytest.mark.parametrize("made", [IMAGE, INDEX], ids=["image", "index"])
async def test_what_is_missing_is_brought(
    source: Registry, repository: EcrRepository, copier: Copier, made: Image
) -> None:
    """Layers and listed images that ECR misses are sent, whatever was known of them."""
    await copier.place(source.repository("up"), repository, made.manifest, tag="v1")

    assert made.digest == await repository.head("v1")


@pytest.mark.parametrize(
    ("code", "status", "codes"),
    [
        ("LayersNotFoundException", 400, ("MANIFEST_BLOB_UNKNOWN",)),
        ("LayerInaccessibleException", 400, ("MANIFEST_BLOB_UNKNOWN",)),
        ("ReferencedImagesNotFoundException", 400, ("MANIFEST_BLOB_UNKNOWN",)),
        ("KmsException", 400, ("KmsException",)),
    ],
)
async def test_what_is_missing(repository: EcrRepository, code: str, status: int, codes: tuple[str, ...]) -> None:
    """In the specification's codes, by which whoever copies brings it."""
    client = await asyncio.to_thread(lambda: repository.api.aws.client("ecr"))
    with Stubber(client) as stubbed:
        stubbed.add_client_error("put_image", code, "sha256:…")
        with pytest.raises(RegistryError, match=code) as caught:
            await repository.put_manifest(IMAGE.manifest, tag="v1")

    assert (status, codes, "sha256:…") == (caught.value.status, caught.value.codes, caught.value.words)


async def test_what_is_not_taken(repository: EcrRepository) -> None:
    """Named as over HTTP: an image fails by it, a referrer is told of."""
    client = await asyncio.to_thread(lambda: repository.api.aws.client("ecr"))
    with Stubber(client) as stubbed:
        words = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
        stubbed.add_client_error("put_image", "InvalidParameterException", words)
        with pytest.raises(ManifestRefused, match="Invalid JSON syntax") as caught:
            await repository.put_manifest(IMAGE.manifest)

    assert (405, ("UNSUPPORTED",)) == (caught.value.status, caught.value.codes)


async def test_another_digest(repository: EcrRepository) -> None:
    """Never sent again."""
    client = await asyncio.to_thread(lambda: repository.api.aws.client("ecr"))
    with Stubber(client) as stubbed:
        stubbed.add_client_error("put_image", "ImageDigestDoesNotMatchException", "no")
        with pytest.raises(ContentError, match="another digest"):
            await repository.put_manifest(IMAGE.manifest)


async def test_the_rate_is_one(ecr: Ecr, repository: EcrRepository) -> None:
    """PutImage by the API passes the gate that manifests over HTTP pass."""
    entered = list[float]()

    async def slept(seconds: float) -> None:
        entered.append(seconds)

    repository.registry.manifest_puts = Gate(per_second=8, sleep=slept, now=lambda: 0.0)
    with Stubber(await asyncio.to_thread(lambda: repository.api.aws.client("ecr"))) as stubbed:
        for _ in range(2):
            stubbed.add_response("put_image", {})
            await repository.put_manifest(IMAGE.manifest)

    assert [0.125] == entered
