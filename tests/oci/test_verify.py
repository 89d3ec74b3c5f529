"""What a destination holds is held to its promises again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mirror.errors import Unreachable
from mirror.oci.registry import RegistryRepository
from mirror.oci.verify import walk
from tests.content import blob, image, index, multi_platform, push
from tests.http.naps import Naps
from tests.servers.client import open_registry
from tests.servers.distribution import Distribution
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, becomes, bytes_are, corrupt, cut, truncated

_NAME = "linkerd/proxy"
_IMAGE = multi_platform()
_LAYER = _IMAGE.children[0].manifest.blobs[1]


@pytest.fixture
async def held(fake: FakeRegistry) -> AsyncIterator[RegistryRepository]:
    """A repository that has an image of two platforms."""
    fake.add(_NAME, _IMAGE, "v1")
    async with open_registry(fake.url) as registry:
        registry.transport.sleep = Naps()
        yield registry.repository(_NAME)


@pytest.mark.parametrize("deep", [False, True])
async def test_what_is_whole(fake: FakeRegistry, held: RegistryRepository, deep: bool) -> None:
    """Has no problem; bytes are read only if asked to."""
    graph, problems = await walk(held, _IMAGE.digest, deep=deep)

    assert graph
    assert (_IMAGE.manifest, ()) == (graph.root, problems)
    assert (5 if deep else 0) == len(fake.asked("GET .*/blobs/.*"))
    assert (0 if deep else 5) == len(fake.asked("HEAD .*/blobs/.*"))


@pytest.mark.parametrize("deep", [False, True])
async def test_a_missing_blob(fake: FakeRegistry, held: RegistryRepository, deep: bool) -> None:
    """Is named, with where."""
    del fake.repositories[_NAME].blobs[_LAYER.digest]

    graph, (problem,) = await walk(held, _IMAGE.digest, deep=deep)

    assert graph
    assert problem.startswith(f"{held.name}@{_LAYER.digest}: ")


async def test_a_blob_of_another_size(fake: FakeRegistry, held: RegistryRepository) -> None:
    """Is found without reading it."""
    fake.faults.append(Fault(f"HEAD .*/blobs/{_LAYER.digest}", becomes(bytes_are(b"short"))))

    _, problems = await walk(held, _IMAGE.digest)

    assert (f"{held.name}@{_LAYER.digest}: the blob is missing or has another size",) == problems


@pytest.mark.parametrize("change", [corrupt, truncated, bytes_are(b"")])
async def test_deep_reads_every_byte(fake: FakeRegistry, held: RegistryRepository, change: object) -> None:
    """And names each blob whose bytes are others."""
    fake.faults.append(Fault("GET .*/blobs/.*", becomes(change), times=ALWAYS))  # type: ignore[arg-type]

    graph, problems = await walk(held, _IMAGE.digest, deep=True)

    assert graph
    assert {True} == {any(str(one.digest) in problem for problem in problems) for one in graph.blobs}
    assert ((), True) == ((await walk(held, _IMAGE.digest))[1], len(problems) == len(graph.blobs))


async def test_a_changed_manifest(fake: FakeRegistry, held: RegistryRepository) -> None:
    """Leaves no graph to speak of."""
    child = _IMAGE.children[1].manifest
    fake.repositories[_NAME].manifests[child.digest] = (child.media_type, child.raw + b" ")

    graph, (problem,) = await walk(held, _IMAGE.digest)

    assert graph is None
    assert f"the bytes of {child.digest} have the digest" in problem


@pytest.mark.parametrize("at", [0, 1], ids=["root", "child"])
async def test_a_missing_manifest(fake: FakeRegistry, held: RegistryRepository, at: int) -> None:
    """Is named; a child as what the index lists."""
    lost = (_IMAGE, _IMAGE.children[1])[at].digest
    del fake.repositories[_NAME].manifests[lost]

    graph, (problem,) = await walk(held, _IMAGE.digest)

    assert graph is None
    assert str(lost) in problem
    assert held.name in problem
    assert "upstream" not in problem


async def test_what_cannot_be_asked(fake: FakeRegistry, held: RegistryRepository) -> None:
    """Is not known: that is an exception, not a problem of the content."""
    fake.faults.append(Fault("GET .*/blobs/.*", becomes(cut(after=1)), times=ALWAYS))

    with pytest.raises(Unreachable):
        await walk(held, _IMAGE.digest, deep=True)


async def test_many_blobs(fake: FakeRegistry) -> None:
    """More than are read at once."""
    what = index(*(image(b"layer %d" % number, b"more %d" % number) for number in range(30)))
    fake.add(_NAME, what, "v1")
    async with open_registry(fake.url) as registry:
        graph, problems = await walk(registry.repository(_NAME), what.digest, deep=True)

    assert graph
    assert () == problems
    assert len(graph.blobs) == len(fake.asked("GET .*/blobs/.*"))


async def test_a_flipped_bit_on_disk(open_distribution: Distribution, path: str) -> None:
    """In docker-registry's own files: only reading finds it."""
    data = path.encode() * 1000
    what, promise = image(data), blob(data)
    async with open_registry(open_distribution.url) as registry:
        repository = registry.repository(path)
        await push(repository, what, tag="v1")
        (stored,) = open_distribution.root.rglob(f"blobs/sha256/*/{promise.digest.hex}/data")
        content = stored.read_bytes()
        stored.write_bytes(bytes([content[0] ^ 1]) + content[1:])

        assert () == (await walk(repository, what.digest))[1]
        _, (problem,) = await walk(repository, what.digest, deep=True)

    assert f"the bytes of blob {promise.digest} have the digest" in problem
