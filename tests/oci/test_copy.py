"""A graph on its way: what is read, what is written, in which order, and what is left when it ends early."""

from __future__ import annotations

import asyncio
import gc
import re
import resource
import time
from collections import Counter
from urllib.parse import unquote

import pytest

from mirror.errors import ContentError, ManifestError, MirrorError, RegistryError, Unreachable
from mirror.oci.content import Descriptor, Digest
from mirror.oci.copy import (
    DEPTH_MAX,
    MANIFESTS_AT_ONCE,
    MANIFESTS_SIZE_MAX,
    Copier,
    Once,
    read_blob,
    read_graph,
    read_small,
)
from mirror.oci.registry import Registry
from tests.content import Image, blob, image, index, multi_platform, push, relay
from tests.http.talking import talking
from tests.oci.copying import NAME, copy
from tests.servers.client import open_registry
from tests.servers.distribution import Distribution
from tests.servers.fake import (
    ALWAYS,
    FakeRegistry,
    Fault,
    Harm,
    Response,
    answer,
    becomes,
    corrupt,
    refusal,
    stalled,
)
from tests.servers.loopback import Seen

# What goes where


async def test_from_one_registry_to_another(open_distribution: Distribution, copier: Copier, path: str) -> None:
    """The bytes are the same: indexes, manifests, blobs."""
    what = index(multi_platform(path), image(path.encode()), platforms=["", "linux/arm/v7"][:0])
    async with open_registry(open_distribution.url) as registry:
        source, destination = registry.repository(f"{path}/from"), registry.repository(f"{path}/to")
        await push(source, what, tag="v1")
        await copy(copier, source, destination)

        graph = await read_graph(destination, await destination.manifest("v1"))
        assert what.manifest == graph.root
        assert {part.digest for part in what.graph()} == {one.digest for one in (*graph.below, graph.root)}
        await asyncio.gather(*(read_blob(destination, one, copier._threads) for one in graph.blobs))


async def test_the_order(upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier) -> None:  # fmt: skip # noqa: E501
    """Each manifest after its blobs and children, each read back, then the root with its tag, then one look at it."""
    inner = multi_platform()
    what = index(inner, image(b"third"))
    upstream.add(NAME, what, "v1")
    await copy(copier, source.repository(NAME), destination.repository(NAME))

    asked = [str(seen) for seen in fake.requests]
    below = [part for part in what.graph() if part is not what]
    puts = {one.digest: _place(asked, f"PUT .*/manifests/{one.digest}") for one in below}
    for one in below:
        assert _place(asked, f"GET .*/manifests/{one.digest}") > puts[one.digest]
        for part in one.blobs:
            assert puts[one.digest] > max(at for at, seen in enumerate(asked) if _names(seen, part))
        for child in one.children:
            assert puts[one.digest] > puts[child.digest]
    assert [f"PUT /v2/{NAME}/manifests/v1", f"HEAD /v2/{NAME}/manifests/v1"] == asked[-2:]
    assert 2 * len(below) + 2 == len([seen for seen in asked if "/manifests/" in seen])


def _place(asked: list[str], pattern: str) -> int:
    """Where the only request that *pattern* matches is."""
    [place] = [at for at, seen in enumerate(asked) if re.fullmatch(pattern, seen)]
    return place


def _names(request: str, digest: Digest) -> bool:
    return "/blobs/" in request and digest.hex in request


async def test_each_blob_is_read_once(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Images that share blobs, started together: other repositories mount what one has."""
    shared = [b"shared %d " % number * 1000 for number in range(3)]
    names = [f"linkerd/{number}" for number in range(6)]
    for name in names:
        upstream.add(name, image(*shared, name.encode()), "v1")
    await asyncio.gather(*(copy(copier, source.repository(n), destination.repository(n)) for n in names))

    reads = Counter(seen.path.rpartition("/")[2] for seen in upstream.asked("GET .*/blobs/.*"))
    unique = {digest for name in names for digest in upstream.repositories[name].blobs}
    assert dict.fromkeys(map(str, unique), 1) == dict(reads)
    across = [seen for seen in fake.asked("POST .*mount=.*") if not _is_from_itself(seen)]
    assert 3 * 5 == len(across)
    for name in names:
        assert upstream.repositories[name].blobs == fake.repositories[name].blobs


def _is_from_itself(seen: Seen) -> bool:
    """Whether a mount is asked for from the repository that it is for."""
    return seen.path.removesuffix("/blobs/uploads/").removeprefix("/v2/") == unquote(seen.target.rpartition("from=")[2])


async def test_only_what_is_missing_is_sent(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """A blob that is there is mounted from where it is: asking is one request, and nothing else is done."""
    what = image(b"old", b"new")
    upstream.add(NAME, what, "v1")
    fake.add(NAME, image(b"old"))
    await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert str(blob(b"old").digest) not in " ".join(map(str, upstream.asked("GET .*/blobs/.*")))
    assert [] == fake.asked("HEAD .*/blobs/.*")
    assert 3 + 1 >= len(fake.asked("POST .*"))  # the registry is once asked whether it mounts
    assert {} == fake.uploads


async def test_a_registry_that_does_not_mount(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Is asked by HEAD: what is there is not sent again, here or in another repository."""
    fake.manners.mounts = False
    for name in ("linkerd/a", "linkerd/b"):
        upstream.add(name, image(b"an old layer", name.encode() * 100), "v1")
        fake.add(name, image(b"an old layer"))
        await copy(copier, source.repository(name), destination.repository(name))

    sent = [seen.target for seen in fake.asked("PUT .*/blobs/.*") if blob(b"an old layer").digest.hex in seen.target]
    assert 1 >= len(sent)  # with it, it was found out
    assert {"linkerd/a", "linkerd/b"} == {name for name, has in fake.repositories.items() if "v1" in has.tags}


async def test_a_registry_that_mounts_what_a_manifest_names(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """As ECR does: what an image has brought is mounted by the next, and what is there is not sent again."""
    fake.manners.mounts_only_named = True
    for name in ("linkerd/a", "linkerd/b"):
        upstream.add(name, image(b"shared", b"an old layer", name.encode() * 100), "v1")
        fake.add(name, image(b"an old layer"))
        await copy(copier, source.repository(name), destination.repository(name))

    reads = Counter(seen.path.rpartition("/")[2] for seen in upstream.asked("GET .*/blobs/.*"))
    assert 1 == reads[str(blob(b"shared").digest)]
    assert 0 == reads[str(blob(b"an old layer").digest)]
    assert upstream.repositories["linkerd/b"].blobs.items() <= fake.repositories["linkerd/b"].blobs.items()


async def test_a_mount_that_is_said_and_not_done(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Shows when a manifest is refused: then the registry is asked otherwise, and the blobs are sent."""
    upstream.add(NAME, multi_platform(), "v1")
    fake.faults.append(Fault("POST .*mount=.*", answer(201), times=ALWAYS))
    await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert {"v1"} == set(fake.repositories[NAME].tags)
    assert upstream.repositories[NAME].blobs == fake.repositories[NAME].blobs


@pytest.mark.parametrize("is_held_elsewhere", [False, True])
async def test_a_registry_that_lied_is_not_believed_again(
    fake: FakeRegistry, destination: Registry, copier: Copier, *, is_held_elsewhere: bool
) -> None:
    """A manifest was refused while another blob's mount was under way: that this is said to be done proves nothing."""
    fake.faults.append(Fault("POST .*mount=.*", answer(201), times=ALWAYS))
    there, what = destination.repository(NAME), image(b"a layer").manifest.blobs[0]
    if is_held_elsewhere:
        copier._holders[what.digest] = destination.repository("linkerd/elsewhere")
    asking = asyncio.create_task(copier._asked(there, what))
    await asyncio.sleep(0)
    copier._mounts = copier._mounts_across = False  # as `_put` does

    assert await asking is None
    assert (False, False) == (copier._mounts, copier._mounts_across)


async def test_a_mount_that_is_an_upload(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Goes on in the session that was opened; no second one is."""
    fake.manners.mounts = False
    for name in ("linkerd/a", "linkerd/b"):
        upstream.add(name, image(b"shared"), "v1")
        await copy(copier, source.repository(name), destination.repository(name))

    assert 4 == len(fake.asked("PUT .*/blobs/.*"))
    assert 5 == len(fake.asked("POST .*"))
    assert 1 == len(fake.uploads)  # of the question whether it mounts


# What breaks


async def test_a_registry_that_stores_other_bytes(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Is found out by reading back; nothing is tagged."""
    upstream.add(NAME, multi_platform(), "v1")
    fake.faults.append(Fault("GET .*/manifests/.*", becomes(corrupt)))

    with pytest.raises(ContentError, match=f"{fake.host}/{NAME}@.*: the content is corrupt"):
        await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert {} == fake.repositories[NAME].tags


async def test_a_tag_that_names_something_else(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Afterwards, is an error that says what it names."""
    upstream.add(NAME, image(b"ours"), "v1")
    fake.faults.append(Fault("HEAD .*/manifests/v1", answer(404)))

    with pytest.raises(ContentError, match=f"{fake.host}/{NAME}:v1 names nothing after {image(b'ours').digest}"):
        await copy(copier, source.repository(NAME), destination.repository(NAME))


@pytest.mark.parametrize("code", ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"])
@pytest.mark.parametrize("status", [400, 404])
async def test_content_that_went_missing(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier,
    code: str, status: int,
) -> None:  # fmt: skip
    """A manifest refused for it has its blobs and children looked for and brought, and is sent once more."""
    what = multi_platform()
    upstream.add(NAME, what, "v1")
    (lost, *_) = what.children
    fake.faults += [
        Fault("PUT .*/manifests/v1", refusal(status, code)),
        Fault(f"PUT .*/manifests/{lost.digest}", refusal(status, code)),
        Fault(f"HEAD .*/manifests/{lost.digest}", answer(404)),
        Fault(f"HEAD .*/blobs/{lost.manifest.blobs[0].digest}", answer(404), times=2),
    ]
    await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert 2 == len(fake.asked("PUT .*/manifests/v1"))
    assert 3 == len(fake.asked(f"PUT .*/manifests/{lost.digest}"))
    assert 2 == len(upstream.asked(f"GET .*/blobs/{lost.manifest.blobs[0].digest}"))


async def test_a_refusal_that_stays(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Is told after the second time; one for another reason after the first."""
    upstream.add(NAME, image(b"a"), "v1")
    for code, times in (("MANIFEST_BLOB_UNKNOWN", 2), ("TAG_INVALID", 1)):
        fake.requests.clear()
        fake.faults[:] = [Fault("PUT .*/manifests/v1", refusal(400, code), times=ALWAYS)]
        with pytest.raises(RegistryError, match=code):
            await copy(copier, source.repository(NAME), destination.repository(NAME))

        assert times == len(fake.asked("PUT .*/manifests/v1"))


async def test_one_image_does_not_disturb_another(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """That shares its blobs, in the same repository or another: they come however the failing one ends."""
    shared, bad = b"shared" * 100_000, b"bad" * 100_000
    upstream.add(NAME, image(shared, bad), "bad")
    upstream.add(NAME, image(shared), "good")
    upstream.add("linkerd/other", image(shared), "v1")
    upstream.faults.append(Fault(f"GET .*/blobs/{blob(bad).digest}", becomes(corrupt), times=ALWAYS))

    results = await asyncio.gather(
        copy(copier, source.repository(NAME), destination.repository(NAME), "bad"),
        copy(copier, source.repository(NAME), destination.repository(NAME), "good"),
        copy(copier, source.repository("linkerd/other"), destination.repository("linkerd/other")),
        return_exceptions=True,
    )

    assert [ContentError, type(None), type(None)] == [type(result) for result in results]
    assert {"good"} == set(fake.repositories[NAME].tags)


@pytest.mark.parametrize("where", ["source", "destination"])
async def test_cancelling(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier, where: str
) -> None:
    """Ends at once, in the middle of a blob: no thread works on, nothing is tagged, and it can be begun again."""
    upstream.add(NAME, image(bytes(3_000_000)), "v1")
    pattern = f"GET .*/blobs/{blob(bytes(3_000_000)).digest}"
    if where == "source":
        upstream.faults.append(Fault(pattern, becomes(stalled(after=1_000_000))))
    else:
        stalling = Harm(instead=Response(201, body=b"xx", stall_after=1))
        fake.faults.append(Fault(f"PUT .*/blobs/.*{blob(bytes(3_000_000)).digest}", stalling, times=2))
    copying = asyncio.create_task(copy(copier, source.repository(NAME), destination.repository(NAME)))
    await _until_asked(upstream, pattern)
    await asyncio.sleep(0.1)
    begin = time.monotonic()
    copying.cancel()

    with pytest.raises(asyncio.CancelledError):
        await copying
    assert time.monotonic() - begin < 20  # a stalled read ends after 30 s
    assert 0 == copier._threads._work_queue.qsize()
    assert [] == fake.asked("PUT .*/manifests/.*")
    await copy(copier, source.repository(NAME), destination.repository(NAME))
    assert {"v1"} == set(fake.repositories[NAME].tags)


async def _until_asked(registry: FakeRegistry, pattern: str) -> None:
    while not registry.asked(pattern):  # noqa: ASYNC110 - the fake is asked in another thread
        await asyncio.sleep(0.01)


# Graphs


async def test_a_nested_index(upstream: FakeRegistry, source: Registry) -> None:
    """Each manifest once, children before parents, however they are shared."""
    leaf = image(b"leaf")
    middle = index(leaf, image(b"other"))
    what = index(middle, leaf, index(middle))
    upstream.add(NAME, what, "v1")
    repository = source.repository(NAME)
    graph = await read_graph(repository, await repository.manifest("v1"))

    order = [manifest.digest for manifest in (*graph.below, graph.root)]
    assert len(set(order)) == len(order) == 5
    for manifest in (*graph.below, graph.root):
        for child in manifest.children:
            assert order.index(child.digest) < order.index(manifest.digest)
    assert 1 == len(upstream.asked(f"GET .*/manifests/{leaf.digest}"))


async def test_indexes_too_deep(upstream: FakeRegistry, source: Registry) -> None:
    """Are refused by name."""
    what: Image = image(b"leaf")
    for _ in range(DEPTH_MAX + 1):
        what = index(what)
    upstream.add(NAME, what, "deep")
    upstream.add(NAME, what.children[0], "deep-enough")
    repository = source.repository(NAME)

    with pytest.raises(ManifestError, match=f"{upstream.host}/{NAME}@.*: indexes nest more than {DEPTH_MAX} deep"):
        await read_graph(repository, await repository.manifest("deep"))
    assert DEPTH_MAX == len((await read_graph(repository, await repository.manifest("deep-enough"))).below)


async def test_a_graph_that_fans_out(upstream: FakeRegistry, source: Registry) -> None:
    """Few manifests that name each other many times are read once each."""
    layer: list[Image] = [image(b"leaf %d" % number) for number in range(12)]
    for level in range(3):
        layer = [index(*layer, annotations=[{"at": f"{level} {number}"}]) for number in range(12)]
    upstream.add(NAME, index(*layer), "v1")
    repository = source.repository(NAME)
    graph = await read_graph(repository, await repository.manifest("v1"))

    assert 4 * 12 == len(graph.below)
    assert 4 * 12 + 1 == len(upstream.requests)


@pytest.mark.parametrize("is_promised", [True, False], ids=["as promised", "promised to be small"])
async def test_manifests_too_large_together(upstream: FakeRegistry, source: Registry, is_promised: bool) -> None:
    """A small index of many large manifests is refused before they fill the memory: by name, in one sentence."""
    children = [image(b"", annotations={"at": f"{at:01000000}"}) for at in range(48)]
    what = index(*children)
    upstream.add(NAME, what, "v1")
    root = what.manifest
    if not is_promised:
        root = type(root).parse(re.sub(rb'"size":\d+', b'"size":500', root.raw), where="here")

    with pytest.raises(ManifestError) as refused:
        await read_graph(source.repository(NAME), root)
    assert (
        f"{upstream.host}/{NAME}@{root.digest}: its manifests are larger than {MANIFESTS_SIZE_MAX} bytes together, "
        "which is refused" == str(refused.value)
    )
    assert len(upstream.requests) <= MANIFESTS_SIZE_MAX // 1_000_000 + MANIFESTS_AT_ONCE + 1


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "wrong size"])
async def test_a_child_that_is_not_what_was_promised(upstream: FakeRegistry, source: Registry, missing: bool) -> None:
    """Is named, with its platform where it is missing."""
    what = multi_platform()
    upstream.add(NAME, what, "v1")
    child = what.children[1].digest
    root = what.manifest
    if missing:
        del upstream.repositories[NAME].manifests[child]
    else:
        view = root.raw.replace(b'"size":%d' % root.children[1].size, b'"size":%d' % (root.children[1].size + 1))
        root = type(root).parse(view, where="here")
    expected = f"lists {child} .linux/arm64." if missing else "the manifest has 553 bytes, 554 were promised"

    with pytest.raises(ContentError, match=expected):
        await read_graph(source.repository(NAME), root)


# Once


async def test_once_is_once() -> None:
    """However many ask."""
    done, once = list[str](), Once[str]()

    async def work() -> None:
        await asyncio.sleep(0)
        done.append("x")

    await asyncio.gather(*(once.wait_for("a", work) for _ in range(10)), once.wait_for("b", work))
    await once.wait_for("a", work)

    assert ["x", "x"] == done


async def test_once_that_failed_is_done_anew() -> None:
    """All who waited are told; the next begins again."""
    once, tries = Once[str](), list[int]()

    async def work() -> None:
        tries.append(1)
        await asyncio.sleep(0)
        if len(tries) == 1:
            raise MirrorError("no")

    failed = await asyncio.gather(*(once.wait_for("a", work) for _ in range(3)), return_exceptions=True)
    await once.wait_for("a", work)

    assert [MirrorError] * 3 == [type(one) for one in failed]
    assert 2 == len(tries)


async def test_once_goes_on_while_somebody_waits() -> None:
    """One of two who leaves does not end it; the last who leaves does."""
    once, events = Once[str](), list[str]()
    release = asyncio.Event()

    async def work() -> None:
        try:
            await release.wait()
            events.append("done")
        except asyncio.CancelledError:
            events.append("ended")
            raise

    one, two = (asyncio.create_task(once.wait_for("a", work)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    release.set()
    await two
    assert ["done"] == events

    release.clear()
    last = asyncio.create_task(once.wait_for("b", work))
    await asyncio.sleep(0.01)
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)
    assert ["done", "ended"] == events


async def test_who_asks_while_it_is_given_up_is_not_given_up() -> None:
    """Work that is ending because nobody waits any more is no work for who comes then: it is done anew."""
    once, started = Once[str](), list[int]()
    ending = asyncio.Event()

    async def work() -> None:
        started.append(1)
        if len(started) > 1:
            return
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0.05)  # as a thread that is being ended

    first = asyncio.create_task(once.wait_for("a", work))
    await asyncio.sleep(0.01)
    first.cancel()
    await ending.wait()
    await once.wait_for("a", work)

    assert 2 == len(started)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_once_that_fails_while_it_is_given_up() -> None:
    """Nobody waits to be told, and the log has nothing of it either."""
    once, said = Once[str](), list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: said.append(context))

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise MirrorError("the upload could not be cancelled")

    waiting = asyncio.create_task(once.wait_for("a", work))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    del waiting
    gc.collect()
    await asyncio.sleep(0)

    assert [] == said


async def test_what_was_forgotten_is_counted_apart() -> None:
    """Who waits for the new work is no reason to go on with the old, nor the other way round."""
    once, ended = Once[str](), list[str]()

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    old = asyncio.create_task(once.wait_for("a", lambda: work("old")))
    await asyncio.sleep(0.01)
    once.forget("a")
    new = asyncio.create_task(once.wait_for("a", lambda: work("new")))
    await asyncio.sleep(0.01)
    new.cancel()
    await asyncio.gather(new, return_exceptions=True)
    assert ["new"] == ended
    old.cancel()
    await asyncio.gather(old, return_exceptions=True)
    assert ["new", "old"] == ended


# Small things


async def test_small_blobs(upstream: FakeRegistry, source: Registry) -> None:
    """Are read whole, verified, and bounded before a byte is asked for."""
    upstream.add(NAME, image(b"content"), "v1")
    repository = source.repository(NAME)

    assert b"content" == await read_small(repository, blob(b"content"), bound=7)
    asked = len(upstream.requests)
    with pytest.raises(ContentError, match="larger than 6, refused"):
        await read_small(repository, blob(b"content"), bound=6)
    assert asked == len(upstream.requests)


async def test_a_small_blob_that_never_ends() -> None:
    """Is given up, though some of it comes all the time."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n"
    with talking(head, b"x", every_s=0.05) as url:
        async with open_registry(url) as registry:
            with pytest.raises(Unreachable, match=f"{NAME}@sha256:.* cannot be reached: no answer in time"):
                await read_small(registry.repository(NAME), blob(bytes(4_000_000)), bound=4_000_000, timeout_s=0.3)


async def test_a_small_blob_that_stalls_can_be_given_up(upstream: FakeRegistry, source: Registry) -> None:
    """At once: no thread is left to wait for its deadline."""
    upstream.add(NAME, image(b"content"), "v1")
    upstream.faults.append(Fault("GET .*", becomes(stalled(after=0))))
    reading = asyncio.create_task(read_small(source.repository(NAME), blob(b"content"), bound=10))
    await _until_asked(upstream, ".*")
    reading.cancel()
    begin = time.monotonic()

    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.to_thread(lambda: None)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - begin < 20  # a stalled read ends after 30 s


class _Zeros:
    """So many bytes of nothing."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), self.left)
        buffer[:count] = bytes(count)
        self.left -= count
        return count

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class _Nowhere:
    session = ""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: memoryview) -> None:
        self.size += len(data)

    def finish(self) -> None:
        pass

    def abort(self) -> None:
        pass


def test_memory() -> None:
    """Does not grow with the blob."""
    size, hasher = 300_000_000, Digest.of(b"").hasher()
    for _ in range(300):
        hasher.update(bytes(1_000_000))
    upload, before = _Nowhere(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    promise = Descriptor("application/octet-stream", Digest("sha256", hasher.hexdigest()), size)
    relay(_Zeros(size), upload, promise, where="here", on_bytes=lambda _: None)

    assert size == upload.size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # KiB
    assert re.fullmatch("[0-9a-f]{64}", promise.digest.hex)
