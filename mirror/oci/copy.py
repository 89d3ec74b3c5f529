"""Copies a graph of content from one repository to another.

    blobs ──► child manifests, by digest ──► read back ──► the root with its tag ──► one HEAD of the tag

A `Copier` is one run's work on one destination. What it knows of the destination, it has proven itself in this run.

Rules it keeps (DESIGN.md, Promises):
- children before parents, the tag last; before the tag, every manifest below the root is read back and compared;
- each unique blob is read from the source once: where another repository of the destination holds it, it is mounted;
- whether a blob is there is asked by mounting it from its own repository, where the registry is seen to mount: if it is
  not, the upload is open already;
- a copy waits only for a blob's upload in flight, never for another image's manifest, and holds no slot while waiting;
- a manifest refused for missing content has its content asked for again, and is sent again, once;
- what broke off goes on or is begun anew (transfer.py); wrong bytes are never tried again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Generic, TypeVar

import structlog

from mirror.errors import ContentError, ManifestError, MirrorError, NotFound, RegistryError, Unreachable
from mirror.http.answer import EXCHANGE_TIMEOUT_S, unreachable
from mirror.oci.blob import Reading, Upload
from mirror.oci.content import Descriptor, Digest
from mirror.oci.manifest import Manifest
from mirror.oci.storage import Destination, Source
from mirror.oci.transfer import OnBytes, Transfer
from mirror.tasks import gather, gather_some, in_thread

BLOBS_AT_ONCE = 32  # each is held to its source's and its destination's gates beside
DEPTH_MAX = 4
MANIFESTS_MAX = 2000
MANIFESTS_SIZE_MAX = 16 * 1024 * 1024  # bytes of all manifests of an image: Linkerd's have some ten thousand
MANIFESTS_AT_ONCE = 16
_MISSING_CONTENT = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "MANIFEST_INVALID"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Graph:
    """A root manifest and everything below it, as the source has it."""

    root: Manifest
    below: tuple[Manifest, ...]
    """Children before parents, each digest once, the root left out."""

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob, each digest once."""
        return tuple({blob.digest: blob for manifest in (*self.below, self.root) for blob in manifest.blobs}.values())

    @property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.size for blob in self.blobs)


@dataclass(slots=True)
class Bounded:
    """Reads manifests that a server lists, and keeps count of their bytes, whatever it has promised of them."""

    source: Source
    where: str
    _left: int = field(default=MANIFESTS_SIZE_MAX, init=False)

    async def manifest(self, version: str | Digest) -> Manifest:
        """See Source; raises ManifestError for the one with which all are larger than MANIFESTS_SIZE_MAX."""
        manifest = await self.source.manifest(version)
        self._left -= manifest.size
        if self._left < 0:
            raise ManifestError(
                f"{self.where}: its manifests are larger than {MANIFESTS_SIZE_MAX} bytes together, which is refused"
            )
        return manifest


async def read_graph(source: Source, root: Manifest) -> Graph:
    """Reads every manifest below *root* once, by digest; raises ContentError for a child that the source lacks.

    Raises ManifestError where there are more, or larger ones, than an image can have.
    """
    found, level, depth = {root.digest: root}, [root], 0
    bounded = Bounded(source, f"{source.name}@{root.digest}")
    while promises := [(parent, child) for parent in level for child in parent.children]:
        depth += 1
        wanted = {child.digest: (parent, child) for parent, child in promises if child.digest not in found}
        if wanted and depth > DEPTH_MAX:
            raise ManifestError(f"{source.name}@{root.digest}: indexes nest more than {DEPTH_MAX} deep")
        if len(found) + len(wanted) > MANIFESTS_MAX:
            raise ManifestError(f"{source.name}@{root.digest}: more than {MANIFESTS_MAX} manifests are below it")
        children = (_child(bounded, parent, child) for parent, child in wanted.values())
        level = await gather_some(children, at_once=MANIFESTS_AT_ONCE)
        found |= {manifest.digest: manifest for manifest in level}
        for _, child in promises:
            if (size := found[child.digest].size) != child.size:
                raise ContentError(
                    f"{source.name}@{child.digest}: the manifest has {size} bytes, {child.size} were promised"
                )
    order = TopologicalSorter({digest: [child.digest for child in m.children] for digest, m in found.items()})
    return Graph(root, tuple(found[digest] for digest in order.static_order() if digest != root.digest))


async def _child(bounded: Bounded, parent: Manifest, promise: Descriptor) -> Manifest:
    try:
        return await bounded.manifest(promise.digest)
    except NotFound as exc:
        raise ContentError(
            f"{bounded.source.name}@{parent.digest}: the index lists {promise.digest} "
            f"({promise.platform or 'no platform'}), which is not there: the image is incomplete"
        ) from exc


K = TypeVar("K")


class Once(Generic[K]):
    """Work that is done once for each key: whoever asks later waits for it, and it ends when nobody waits any more.

    Work that failed or was given up is done anew by the next who asks.
    """

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._waiting: Counter[asyncio.Task[None]] = Counter()

    def forget(self, key: K) -> None:
        """The next who asks for *key* does the work again."""
        self._tasks.pop(key, None)

    async def wait_for(self, key: K, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """*work* for *key* has been done; raises what it raised."""
        task = self._tasks.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._tasks[key] = asyncio.create_task(work())
            task.add_done_callback(_noted)
        self._waiting[task] += 1
        try:
            await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                if not task.done():
                    if self._tasks.get(key) is task:  # who asks from now on must not get work that is ending
                        self.forget(key)
                    task.cancel()
                    await asyncio.wait([task])


def _noted(task: asyncio.Task[None]) -> None:
    """What *task* failed with is not logged where nobody waits for it any more; whoever waits is told."""
    if not task.cancelled():
        task.exception()


@dataclass(slots=True)
class Copier:
    """One run's copies into one destination."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(BLOBS_AT_ONCE, thread_name_prefix="blob"), init=False
    )
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(BLOBS_AT_ONCE), init=False)
    _brought: Once[tuple[str, Digest]] = field(default_factory=Once, init=False)
    _holders: dict[Digest, Destination] = field(default_factory=dict, init=False)
    _in_flight: dict[Digest, asyncio.Event] = field(default_factory=dict, init=False)
    _learning: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _mounts: bool | None = field(default=None, init=False)
    """Whether a blob that a repository holds is mounted from there into itself; None until it was seen."""
    _mounts_across: bool = field(default=True, init=False)
    """Whether blobs are mounted from one repository into another, as far as was seen."""

    def close(self) -> None:
        """Ends the worker threads; what they did is over by then."""
        self._threads.shutdown(wait=True)

    async def copy(
        self, source: Source, destination: Destination, graph: Graph, *, on_bytes: OnBytes = lambda _count: None
    ) -> None:
        """*destination* holds everything below *graph*'s root, read back; nothing names the root yet.

        *on_bytes* is told, in worker threads, of the bytes that went through; those of an attempt that broke off are
        taken back. Raises what source or destination raise.
        """
        blobs = sorted(graph.blobs, key=lambda blob: -blob.size)
        if blobs and self._mounts is None:
            await self._learn_to_mount(source, destination, blobs[-1], on_bytes)
        await gather(
            *(self._ensure(source, destination, blob, on_bytes) for blob in blobs),
            *(self._store(source, destination, each, on_bytes) for each in graph.below if not each.is_index),
        )
        for index in graph.below:
            if index.is_index:
                await self._store(source, destination, index, on_bytes)

    async def _store(self, source: Source, destination: Destination, manifest: Manifest, on_bytes: OnBytes) -> None:
        """*destination* holds *manifest*, read back, after its blobs."""
        for blob in manifest.blobs:  # each is under way already: there is nothing to be gained by a task for each
            await self._ensure(source, destination, blob, on_bytes)
        await self._put(source, destination, manifest, "")
        stored = await destination.manifest(manifest.digest)
        if stored.raw != manifest.raw:
            raise ContentError(f"{destination.name}@{manifest.digest}: other bytes are read back than were stored")

    async def place(self, source: Source, destination: Destination, root: Manifest, *, tag: str = "") -> bool:
        """*destination* holds *root*, whose graph was copied, and *tag*, if given, is seen to name it.

        The answer is put_manifest's.
        """
        is_linked = await self._put(source, destination, root, tag)
        if tag and (seen := await destination.head(tag)) != root.digest:
            raise ContentError(
                f"{destination.name}:{tag} names {seen or 'nothing'} after {root.digest} was stored there"
            )
        return is_linked

    async def _put(self, source: Source, destination: Destination, manifest: Manifest, tag: str) -> bool:
        try:
            return await destination.put_manifest(manifest, tag=tag)
        except RegistryError as exc:
            if exc.status not in (400, 404) or not _MISSING_CONTENT & set(exc.codes):
                raise
            # a registry's garbage collector, a repository deleted under us, or mounts that are said and not done
            self._mounts = self._mounts_across = False
            log.warning("copy.content_missing", where=destination.name, digest=str(manifest.digest), reason=str(exc))
        for blob in manifest.blobs:
            if not await destination.has_blob(blob):
                self._brought.forget((destination.name, blob.digest))
                self._holders.pop(blob.digest, None)
                await self._ensure(source, destination, blob, lambda _count: None)
        for child in manifest.children:
            if await destination.head(child.digest) is None:
                await self._put(source, destination, await source.manifest(child.digest), "")
        return await destination.put_manifest(manifest, tag=tag)

    async def _ensure(self, source: Source, destination: Destination, blob: Descriptor, on_bytes: OnBytes) -> None:
        """*destination* holds *blob*; asked for twice, the work is done once."""
        await self._brought.wait_for(
            (destination.name, blob.digest), lambda: self._bring(source, destination, blob, on_bytes)
        )

    async def _learn_to_mount(
        self, source: Source, destination: Destination, blob: Descriptor, on_bytes: OnBytes
    ) -> None:
        """Whether the registry mounts is known, by *blob*, which *destination* holds; one asks, the others wait."""
        async with self._learning:
            if self._mounts is not None:
                return
            try:
                await self._ensure(source, destination, blob, on_bytes)
                if self._mounts is None:
                    again = await destination.start_upload(blob, mount_from=destination.path)
                    self._mounts = again is None if self._mounts is None else self._mounts
                    if again is not None:
                        again.abort()
            except MirrorError:
                self._mounts = False  # the others need not find out one by one
                raise

    async def _bring(self, source: Source, destination: Destination, blob: Descriptor, on_bytes: OnBytes) -> None:
        while in_flight := self._in_flight.get(blob.digest):  # one looks and uploads, the others mount what it brought
            await in_flight.wait()
        flight = None if blob.digest in self._holders else asyncio.Event()
        if flight:
            self._in_flight[blob.digest] = flight
        try:
            await self._bring_now(source, destination, blob, on_bytes)
            self._holders.setdefault(blob.digest, destination)
        finally:
            if flight:
                if self._in_flight.get(blob.digest) is flight:
                    del self._in_flight[blob.digest]
                flight.set()

    async def _bring_now(self, source: Source, destination: Destination, blob: Descriptor, on_bytes: OnBytes) -> None:
        transfer = Transfer(source, destination, blob, self._threads, on_bytes)
        try:
            while True:
                try:
                    async with self._slots:
                        return await transfer.attempt(lambda: self._asked(destination, blob))
                except (Unreachable, RegistryError) as exc:
                    wait_s = await transfer.after(exc)
                await self.sleep(wait_s)
        except BaseException:
            transfer.give_up()
            raise

    async def _asked(self, destination: Destination, blob: Descriptor) -> Upload | None:
        """An upload for *blob*; None where *destination* holds it, or has mounted it now."""
        holder = self._holders.get(blob.digest)
        if self._mounts is False:
            if await destination.has_blob(blob):
                return None
            # asking costs nothing: ECR mounts what a manifest names already (aws/containers-roadmap#2860)
            return await destination.start_upload(blob, mount_from=holder.path if holder else "")
        if holder is not None and self._mounts_across:
            upload = await destination.start_upload(blob, mount_from=holder.path)
            self._mounts_across = self._mounts_across and upload is None
        else:
            upload = await destination.start_upload(blob, mount_from=destination.path)
            if upload is None and self._mounts is None:  # a refused manifest may have shown meanwhile that it lies
                self._mounts = True
        return upload


async def read_blob(source: Source, blob: Descriptor, threads: ThreadPoolExecutor) -> None:
    """Reads *blob* to its end and holds it to its promise; raises ContentError, NotFound, Unreachable."""
    await _read(source, blob, threads, lambda _chunk: None)


async def read_small(source: Source, blob: Descriptor, *, bound: int, timeout_s: float = EXCHANGE_TIMEOUT_S) -> bytes:
    """The bytes of *blob*, verified, as a small request's answer is; *timeout_s* does not count the wait for a place.

    Raises ContentError for one that is larger than *bound* or not as promised.
    """
    if blob.size > bound:
        raise ContentError(f"{source.name}: blob {blob.digest} of {blob.size} bytes is larger than {bound}, refused")
    data = bytearray()
    with ThreadPoolExecutor(1, thread_name_prefix="small") as threads:
        try:
            await _read(source, blob, threads, data.extend, timeout_s=timeout_s)
        except TimeoutError as exc:
            raise unreachable(f"{source.name}@{blob.digest}", exc) from exc
    return bytes(data)


async def _read(
    source: Source,
    blob: Descriptor,
    threads: ThreadPoolExecutor,
    on_chunk: Callable[[memoryview], None],
    timeout_s: float | None = None,
) -> None:
    with closing(await source.open_blob(blob)) as body:
        reading = Reading(blob, where=source.name, on_chunk=on_chunk)
        async with source.gate, asyncio.timeout(timeout_s):
            await in_thread(threads, lambda: reading.go_on(body), body)
