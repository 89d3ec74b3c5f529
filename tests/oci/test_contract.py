"""What every Source and Destination keeps, whatever it is: the layout, the fake, and real registries."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mirror.destinations.ecr.dialect import EcrDialect
from mirror.destinations.harbor.dialect import HarborDialect
from mirror.errors import ContentError, MirrorError, NotFound, RegistryError
from mirror.oci.auth import Credentials
from mirror.oci.content import Descriptor, Digest
from mirror.oci.dialect import Dialect
from mirror.oci.layout import Layout
from mirror.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST
from mirror.oci.storage import Destination
from tests.content import (
    Image,
    artifact,
    blob,
    download,
    image,
    index,
    multi_platform,
    push,
    relay,
    upload,
)
from tests.servers import distribution
from tests.servers.client import open_registry
from tests.servers.fake import Manners, fake_registry

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere to keep images: its repositories, and what it can do."""

    repository: Callable[[str], Destination]
    links_subjects: bool = False
    manifests_by_sha512: bool = True
    mounts: bool = True


class Small(Dialect):
    """A blob goes in chunks as soon as it is no small one."""

    chunk_sizes = (30_000,)


@dataclass(frozen=True, slots=True)
class Server:
    """How a registry of the tests is reached."""

    url: str
    username: str = ""
    password: str = ""
    ca_file: str = ""
    host: str = ""
    credentials: Credentials | None = None
    dialect: Dialect = field(default_factory=Small)


_FAKES = {
    "fake": Manners(),
    "fake-404": Manners(referrers="absent", links_subject=False, upload_location="relative", mounts=False),
    "fake-ghcr": Manners(
        referrers="page", links_subject=False, upload_location="query", page_size=7, cookie="sid=1; Path=/"
    ),
    "fake-taciturn": Manners(names_digest=False, page_links="absolute", page_size=1),
    "fake-basic": Manners(auth="basic", username="pusher", password="push-password"),
    "fake-bearer": Manners(auth="bearer", username="pusher", password="push-password"),
}
_PLACES = ("layout", *_FAKES, "distribution", "htpasswd", "token", "tls", "in chunks", "olareg", "ecr", "harbor")


@pytest.fixture(params=_PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Each implementation in turn."""
    distribution_traits = {"manifests_by_sha512": False}
    async with AsyncExitStack() as stack:
        match request.param:
            case "layout":
                yield Place(Layout(tmp_path / "layout").repository)
                return
            case str(name) if name in _FAKES:
                manners = _FAKES[name]
                fake = stack.enter_context(fake_registry(manners=manners))
                server = Server(fake.url, manners.username, manners.password)
                traits = {"links_subjects": manners.links_subject, "mounts": manners.mounts}
            case "olareg":
                server = Server(f"http://{request.getfixturevalue('referrers_host')}")
                traits = {"links_subjects": True}
            case "ecr":
                from tests.servers.ecr import Tokens  # late: moto takes a while to load

                ecr = request.getfixturevalue("shared_ecr")
                server = Server(ecr.url, host=ecr.host, credentials=Tokens(ecr), dialect=EcrDialect())
                traits = distribution_traits | {"links_subjects": True, "mounts": False}
            case "distribution":
                server, traits = Server(request.getfixturevalue("open_distribution").url), distribution_traits
            case "htpasswd":
                url = request.getfixturevalue("htpasswd_distribution").url
                server, traits = Server(url, distribution.USERNAME, distribution.PASSWORD), distribution_traits
            case "token":
                tokens, url = request.getfixturevalue("tokens"), request.getfixturevalue("token_distribution").url
                server, traits = Server(url, tokens.username, tokens.password), distribution_traits
            case "harbor":
                running = request.getfixturevalue("harbor_server")
                running.add_project("test")
                robot = running.add_robot("test+mirror")
                server = Server(running.url, running.username(robot), robot.secret, dialect=HarborDialect())
                traits = distribution_traits | {"links_subjects": True}
            case "in chunks":
                server, traits = Server(request.getfixturevalue("open_distribution").url), distribution_traits
            case _:
                authority = request.getfixturevalue("certificates").authority
                server = Server(request.getfixturevalue("tls_distribution").url, ca_file=str(authority))
                traits = distribution_traits
        registry = await stack.enter_async_context(
            open_registry(
                server.url,
                host=server.host,
                username=server.username,
                password=server.password,
                credentials=server.credentials,
                dialect=server.dialect,
                ca_file=server.ca_file,
            )
        )
        if request.param == "in chunks":
            assert registry.chunk_size.refused(_MEGABYTE)
        yield Place(registry.repository, **traits)


@pytest.fixture
def repository(place: Place, path: str) -> Destination:
    """An empty repository at the place."""
    return place.repository(path)


class Bytes:
    """A body in memory."""

    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._left), 100_000)
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


async def test_nothing_is_there_at_first(repository: Destination) -> None:
    """Absence is an answer where it is asked for, NotFound where content is."""
    digest = Digest.of(b"absent")

    assert await repository.head("v1") is None
    assert await repository.head(digest) is None
    assert () == await repository.tags()
    assert () == await repository.referrers(digest)
    assert not await repository.has_blob(blob(b"absent"))
    for version in ("v1", digest):
        with pytest.raises(NotFound):
            await repository.manifest(version)
    with pytest.raises(NotFound):
        await download(repository, blob(b"absent"))


@pytest.mark.parametrize(
    "data",
    [b"", b"1", bytes(range(256)) * 12 * 1024],
    ids=["empty", "one byte", "3 MB"],
)
async def test_a_blob_comes_back_as_it_went(repository: Destination, data: bytes) -> None:
    """Whatever its size."""
    promise = await upload(repository, data)

    assert await repository.has_blob(promise)
    assert data == await download(repository, promise)


async def test_a_blob_may_be_named_by_sha512(repository: Destination) -> None:
    """It is a registered algorithm (image-spec v1.1 descriptor.md)."""
    promise = await upload(repository, b"content", algorithm="sha512")

    assert "sha512" == promise.digest.algorithm
    assert await repository.has_blob(promise)
    assert b"content" == await download(repository, promise)


async def test_a_manifest_may_be_named_by_sha512(place: Place, repository: Destination) -> None:
    """And names its blobs by it; docker-registry 2.8, which takes only blobs so, says that it does not."""
    what = image(b"a layer", algorithm="sha512")
    if not place.manifests_by_sha512:
        with pytest.raises(RegistryError, match="400"):
            await push(repository, what)
        return

    await push(repository, what)

    assert what.manifest == await repository.manifest(what.digest)
    assert what.digest == await repository.head(what.digest)


async def test_a_blob_of_another_size_is_not_the_blob(repository: Destination) -> None:
    """A promise is a digest and a size."""
    promise = await upload(repository, b"content")

    assert not await repository.has_blob(Descriptor(promise.media_type, promise.digest, promise.size + 1))


@pytest.mark.parametrize(
    ("promised", "sent"),
    [(b"one thing", b"eno thing"), (b"one thing", b"one thin"), (b"one thing", b"one thing!"), (b"one thing", b"")],
    ids=["other bytes", "too few", "too many", "none"],
)
async def test_wrong_bytes_are_never_stored(repository: Destination, promised: bytes, sent: bytes) -> None:
    """Neither under the promised name nor under their own."""
    promise = blob(promised)
    started = await repository.start_upload(promise)
    assert started

    with pytest.raises(ContentError, match=str(promise.digest)):
        await asyncio.to_thread(relay, Bytes(sent), started, promise, where="here", on_bytes=lambda _: None)

    assert not await repository.has_blob(promise)
    assert not sent or not await repository.has_blob(blob(sent))


async def test_an_upload_given_up_leaves_nothing(repository: Destination) -> None:
    """The blob is not there, and can be uploaded afterwards."""
    data = bytes(_MEGABYTE)
    started = await repository.start_upload(blob(data))
    assert started

    def write_and_give_up() -> None:
        started.write(memoryview(data)[:300_000])
        started.abort()
        started.abort()

    await asyncio.to_thread(write_and_give_up)

    assert not await repository.has_blob(blob(data))
    assert data == await download(repository, await upload(repository, data))


async def test_an_upload_given_up_from_outside_ends(repository: Destination) -> None:
    """Another thread may end a copy in its middle; nothing of it remains."""
    promise = blob(bytes(_MEGABYTE))
    started = await repository.start_upload(promise)
    assert started
    first_chunk, given_up = threading.Event(), threading.Event()

    class Halting(Bytes):
        def readinto(self, buffer: memoryview) -> int:
            if first_chunk.is_set():
                given_up.wait(30)
            return super().readinto(buffer)

    copying = asyncio.create_task(
        asyncio.to_thread(
            relay, Halting(bytes(_MEGABYTE)), started, promise, where="here", on_bytes=lambda _: first_chunk.set()
        )
    )
    await asyncio.to_thread(first_chunk.wait, 30)
    started.abort()
    given_up.set()

    with pytest.raises(MirrorError):
        await copying
    assert not await repository.has_blob(promise)


async def test_an_upload_that_was_never_used_can_be_given_up(repository: Destination) -> None:
    """Before its first byte."""
    started = await repository.start_upload(blob(b"content"))
    assert started
    await asyncio.to_thread(started.abort)

    assert not await repository.has_blob(blob(b"content"))


async def test_twenty_uploads_at_once(repository: Destination) -> None:
    """Each blob is itself."""
    contents = [str(number).encode() * 50_000 for number in range(20)]

    promises = await asyncio.gather(*(upload(repository, data) for data in contents))

    assert contents == await asyncio.gather(*(download(repository, promise) for promise in promises))


async def test_one_blob_by_several_uploads_at_once(repository: Destination) -> None:
    """Who comes second does no harm."""
    data = b"the same" * 50_000

    promise, *_ = await asyncio.gather(*(upload(repository, data) for _ in range(5)))

    assert data == await download(repository, promise)


async def test_a_body_may_be_given_up(repository: Destination) -> None:
    """Before its end; the next is read whole."""
    data = bytes(_MEGABYTE)
    promise = await upload(repository, data)
    body = await repository.open_blob(promise)
    await asyncio.to_thread(body.readinto, memoryview(bytearray(1000)))
    body.abort()
    body.close()

    assert data == await download(repository, promise)


@pytest.mark.parametrize("layout", ["compact", "indented", "odd"])
async def test_manifests_keep_their_bytes(repository: Destination, layout: str) -> None:
    """Whitespace and all, by tag and by digest."""
    what = image(b"a layer", layout=layout)

    await push(repository, what, tag="v1")

    assert what.manifest == await repository.manifest("v1")
    assert what.manifest == await repository.manifest(what.digest)
    assert what.digest == await repository.head("v1")
    assert what.digest == await repository.head(what.digest)


async def test_a_manifest_by_digest_has_no_tag(repository: Destination) -> None:
    """It is there all the same."""
    what = image(b"a layer")

    await push(repository, what)

    assert what.manifest == await repository.manifest(what.digest)
    assert () == await repository.tags()


async def test_a_tag_moves(repository: Destination) -> None:
    """What it named before stays by digest."""
    old, new = image(b"old"), image(b"new")
    await push(repository, old, tag="v1")
    await push(repository, new, tag="v1")

    assert new.digest == await repository.head("v1")
    assert old.manifest == await repository.manifest(old.digest)
    assert ("v1",) == await repository.tags()


async def test_the_same_push_twice(repository: Destination) -> None:
    """Changes nothing."""
    what = multi_platform()
    await push(repository, what, tag="v1")
    await push(repository, what, tag="v1")

    assert what.manifest == await repository.manifest("v1")


async def test_one_manifest_by_two_tags(repository: Destination) -> None:
    """Both name it."""
    what = image(b"a layer")
    await push(repository, what, tag="v1")
    await push(repository, what, tag="latest")

    assert ("latest", "v1") == await repository.tags()
    assert what.digest == await repository.head("v1") == await repository.head("latest")


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
async def test_both_families_of_indexes(repository: Destination, docker: bool) -> None:
    """OCI and Docker: the media type that went is the one that comes back."""
    what = multi_platform(docker=docker)

    await push(repository, what, tag="v1")

    got = await repository.manifest("v1")
    children = [await repository.manifest(child.digest) for child in got.children]
    assert what.manifest == got
    assert [child.manifest for child in what.children] == children
    if docker:
        assert (DOCKER_LIST, DOCKER_MANIFEST) == (got.media_type, children[0].media_type)


async def test_a_parent_waits_for_its_children(repository: Destination) -> None:
    """A manifest that names what is not there is refused, with the code that says so."""
    for what in (image(b"never uploaded"), index(image(b"never pushed"))):
        with pytest.raises(RegistryError) as caught:
            await repository.put_manifest(what.manifest, tag="v1")

        assert {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"} & set(caught.value.codes)
    assert await repository.head("v1") is None


async def test_every_tag_is_listed(repository: Destination) -> None:
    """More than a page of them, sorted."""
    what = image(b"a layer")
    await push(repository, what)
    names = [f"v{number}" for number in range(130)]
    for name in names:
        await repository.put_manifest(what.manifest, tag=name)

    assert tuple(sorted(names)) == await repository.tags()


async def test_repositories_are_apart(place: Place) -> None:
    """A tag belongs to one of them, also where one name begins as another."""
    name = f"test/{uuid.uuid4().hex}"
    one, other = place.repository(name), place.repository(f"{name}-2")
    what = image(b"a layer")

    await push(one, what, tag="v1")

    assert await other.head("v1") is None
    assert () == await other.tags()


async def test_a_blob_is_mounted_or_uploaded(place: Place) -> None:
    """Either way it is there afterwards."""
    name = f"test/{uuid.uuid4().hex}"
    one, other = place.repository(name), place.repository(f"{name}-2")
    data = b"a shared layer" * 10_000
    promise = await upload(one, data)

    started = await other.start_upload(promise, mount_from=name)
    if started:
        await asyncio.to_thread(relay, Bytes(data), started, promise, where="here", on_bytes=lambda _: None)

    assert place.mounts == (started is None)
    assert data == await download(other, promise)


async def test_a_mount_of_what_is_not_there_is_an_upload(place: Place, repository: Destination) -> None:
    """The other repository does not have it, or does not exist."""
    data = b"only here"
    started = await repository.start_upload(blob(data), mount_from=f"test/{uuid.uuid4().hex}")
    assert started
    await asyncio.to_thread(relay, Bytes(data), started, blob(data), where="here", on_bytes=lambda _: None)

    assert data == await download(repository, blob(data))


async def test_what_refers_is_found(place: Place, repository: Destination) -> None:
    """By the registry's own list, or by the fallback tag that the client keeps; never by both."""
    subject = multi_platform()
    signature = artifact("application/vnd.example.signature", b"signed", subject=subject, annotations={"by": "us"})
    await push(repository, subject, tag="v1")

    linked = await push(repository, signature)
    if not linked:
        await push(repository, _fallback(signature), tag=subject.digest.fallback_tag())

    (found,) = await repository.referrers(subject.digest)
    assert place.links_subjects == linked
    assert (signature.digest, signature.manifest.size) == (found.digest, found.size)
    assert () == await repository.referrers(signature.digest)


async def test_many_referrers_are_all_found(place: Place, repository: Destination) -> None:
    """More than a page of them."""
    subject = image(b"a layer")
    referrers = [artifact("application/vnd.example.note", str(n).encode(), subject=subject) for n in range(12)]
    await push(repository, subject, tag="v1")
    for referrer in referrers:
        await push(repository, referrer)
    if not place.links_subjects:
        await push(repository, index(*referrers), tag=subject.digest.fallback_tag())

    found = await repository.referrers(subject.digest)
    assert {referrer.digest for referrer in referrers} == {descriptor.digest for descriptor in found}


def _fallback(referrer: Image) -> Image:
    """The index of the fallback tag (distribution-spec v1.1 #referrers-tag-schema)."""
    return index(referrer, annotations=[{"by": "us"}])
