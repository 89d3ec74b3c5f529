"""A pack: what is to go into an archive, as a Destination that takes no blob before it is written.

    Copier ──► manifests, tags, what is made here ──► Pack ──► write ──► tar
                                                       ▲
    Noting: who serves a manifest has its blobs ───────┘  each is read from there when its turn comes

So the engine decides, verifies and records as for any destination, and each blob goes from its source into the archive
once, through one buffer, hashed on its way: nothing of it is kept in memory or on a disk. What an archive looks like,
and why the index comes first, is in archive.py: all of it is known before the first blob is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO

from mirror.errors import ArchiveError, NotFound, RegistryError, Unreachable
from mirror.http.gate import Gate
from mirror.oci import tar
from mirror.oci.archive import MARKER, index_of, path_of
from mirror.oci.blob import Body, Upload
from mirror.oci.content import Descriptor, Digest
from mirror.oci.manifest import Manifest
from mirror.oci.memory import BytesBody
from mirror.oci.storage import Source
from mirror.oci.through import Through
from mirror.oci.transfer import OnBytes, Transfer

MADE_MAX = 16 * 1024 * 1024  # bytes of one blob that is made here: the layer of a record


@dataclass(slots=True)
class Pack:
    """What is to go into the archive called *where*."""

    where: str
    gate: Gate = field(default_factory=Gate)
    manifests: dict[Digest, Manifest] = field(default_factory=dict, init=False)
    tags: dict[str, Descriptor] = field(default_factory=dict, init=False)
    """By NAME:TAG."""
    made: dict[Digest, bytes] = field(default_factory=dict, init=False)
    needed: dict[Digest, set[str]] = field(default_factory=lambda: defaultdict(set), init=False)
    """By blob, the names of the repositories whose manifests name it."""
    _sources: dict[Digest, tuple[Descriptor, Source]] = field(default_factory=dict, init=False)

    def repository(self, name: str) -> PackRepository:
        """What is to be called `NAME:…`."""
        return PackRepository(self, name)

    def noting(self, source: Source) -> Source:
        """*source*; the blobs of every manifest that it serves are had from there."""
        return _Noting(source, self)

    def note(self, manifest: Manifest, source: Source) -> None:
        """The blobs of *manifest* are at *source*."""
        for blob in manifest.blobs:
            self._sources.setdefault(blob.digest, (blob, source))

    def knows(self, digest: Digest) -> bool:
        """Whether the blob *digest* was made here, or it is known where it is."""
        return digest in self.made or digest in self._sources

    def size(self, left_out: Collection[Digest] = ()) -> int:
        """Bytes of the archive, those blobs *left_out*."""
        files = [("oci-layout", len(MARKER)), ("index.json", len(index_of(self.tags)))]
        files += [(path_of(digest), manifest.size) for digest, manifest in self.manifests.items()]
        files += [(path_of(blob.digest), blob.size) for blob in self._blobs(left_out)]
        return sum(len(tar.header(name, size)) + size + len(tar.padding(size)) for name, size in files) + len(tar.END)

    def weight(self, digests: Iterable[Digest]) -> int:
        """Bytes of the blobs *digests*."""
        return sum(self._descriptor(digest).size for digest in digests)

    async def write(self, file: BinaryIO, *, left_out: Collection[Digest] = (), on_bytes: OnBytes) -> None:
        """*file* has the archive, without the blobs *left_out*; *on_bytes* is told, in a worker thread, how far it is.

        Raises what sources raise, and ArchiveError where *file* cannot be written.
        """
        out = _Out(file, self.where, on_bytes)
        threads = ThreadPoolExecutor(1, thread_name_prefix="archive")
        try:
            small = [("oci-layout", MARKER), ("index.json", index_of(self.tags))]
            small += sorted((path_of(digest), manifest.raw) for digest, manifest in self.manifests.items())
            for name, data in small:
                await asyncio.to_thread(out.put, name, data)
            for blob in self._blobs(left_out):
                if blob.digest in self.made:
                    await asyncio.to_thread(out.put, path_of(blob.digest), self.made[blob.digest])
                else:
                    await self._bring(out, blob, threads)
            await asyncio.to_thread(out.end)
        finally:
            threads.shutdown(wait=True)

    def _blobs(self, left_out: Collection[Digest]) -> list[Descriptor]:
        """Those that are written, in their order."""
        wanted = sorted(self.needed.keys() - self.manifests.keys() - set(left_out), key=path_of)
        return [self._descriptor(digest) for digest in wanted]

    def _descriptor(self, digest: Digest) -> Descriptor:
        if digest in self.made:
            return Descriptor("", digest, len(self.made[digest]))
        return self._sources[digest][0]

    async def _bring(self, out: _Out, blob: Descriptor, threads: ThreadPoolExecutor) -> None:
        transfer = Transfer(self._sources[blob.digest][1], self.repository(""), blob, threads, lambda _count: None)

        async def begin() -> Upload:
            await asyncio.to_thread(out.begin, path_of(blob.digest), blob.size)
            return out

        while True:
            try:
                return await transfer.attempt(begin)
            except (Unreachable, RegistryError) as exc:
                wait_s = await transfer.after(exc)
            await asyncio.sleep(wait_s)


class PackRepository:
    """The tags `NAME:…` of a pack, and the content that all names share; a Destination."""

    def __init__(self, pack: Pack, name: str) -> None:
        self._pack, self._name = pack, name

    @property
    def name(self) -> str:
        """See Source."""
        return f"{self._pack.where}:{self._name}" if self._name else self._pack.where

    @property
    def path(self) -> str:
        """See Destination."""
        return self._name

    @property
    def gate(self) -> Gate:
        """See Source."""
        return self._pack.gate

    async def head(self, version: str | Digest) -> Digest | None:
        """See Source."""
        if isinstance(version, Digest):
            return version if version in self._pack.manifests else None
        tagged = self._pack.tags.get(f"{self._name}:{version}")
        return tagged.digest if tagged else None

    async def manifest(self, version: str | Digest) -> Manifest:
        """See Source."""
        digest = await self.head(version)
        if digest is None:
            raise NotFound(f"{self.name}: there is no {version} in what is packed", status=404)
        return self._pack.manifests[digest]

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """See Source; by the fallback tag, as in a layout."""
        tag = subject.fallback_tag()
        return () if await self.head(tag) is None else (await self.manifest(tag)).children

    async def has_blob(self, blob: Descriptor) -> bool:
        """See Source."""
        return self._pack.knows(blob.digest)

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> Body:
        """See Source; only what was made here is here."""
        data = self._pack.made.get(blob.digest)
        if data is None:
            raise NotFound(f"{self.name}: {blob.digest} is not here before it is written", status=404)
        return BytesBody(memoryview(data)[offset:])

    async def start_upload(self, blob: Descriptor, *, mount_from: str = "") -> Upload | None:  # noqa: ARG002
        """See Destination; None for what is known to be somewhere: it is read from there when it is written."""
        return None if self._pack.knows(blob.digest) else _Made(self._pack, blob)

    async def resumed_upload(self, blob: Descriptor, broken: Upload) -> None:
        """None: what could not be written to a file is not there."""

    async def put_manifest(self, manifest: Manifest, *, tag: str = "") -> bool:
        """See Destination; links nothing to its subject."""
        self._pack.manifests[manifest.digest] = manifest
        for blob in manifest.blobs:
            self._pack.needed[blob.digest].add(self._name)
        if tag:
            described = Descriptor(manifest.media_type, manifest.digest, manifest.size)
            self._pack.tags[f"{self._name}:{tag}"] = described
        return False

    async def tags(self) -> tuple[str, ...]:
        """See Destination."""
        split = (name.rpartition(":") for name in self._pack.tags)
        return tuple(sorted(tag for name, _, tag in split if name == self._name))


@dataclass(frozen=True, slots=True)
class _Noting(Through):
    """*source*, whose manifests' blobs the *pack* takes note of; a Source."""

    pack: Pack

    async def manifest(self, version: str | Digest) -> Manifest:
        manifest = await self.source.manifest(version)
        self.pack.note(manifest, self.source)
        return manifest


class _Made:
    """A small blob that is made here, kept in memory."""

    session = ""

    def __init__(self, pack: Pack, blob: Descriptor) -> None:
        if blob.size > MADE_MAX:
            raise ArchiveError(f"{pack.where}: {blob.digest} of {blob.size} bytes is larger than {MADE_MAX}, refused")
        self._pack, self._blob, self._data = pack, blob, bytearray()

    def write(self, data: memoryview) -> None:
        self._data += data

    def finish(self) -> None:
        self._pack.made[self._blob.digest] = bytes(self._data)

    def abort(self) -> None:
        self._data.clear()


class _Out:
    """The archive being written: one file of it after the other, each an Upload while its turn is."""

    session = ""

    def __init__(self, file: BinaryIO, where: str, on_bytes: Callable[[int], None]) -> None:
        self._file, self._where, self._on_bytes = file, where, on_bytes
        self._size = 0

    def put(self, name: str, data: bytes) -> None:
        self.begin(name, len(data))
        self.write(memoryview(data))
        self.finish()

    def begin(self, name: str, size: int) -> None:
        self._size = size
        self.write(memoryview(tar.header(name, size)))

    def write(self, data: memoryview) -> None:
        try:
            while data:
                count = self._file.write(data) or 0
                self._on_bytes(count)
                data = data[count:]
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise ArchiveError(f"{self._where} cannot be written: {exc.strerror or exc}") from exc

    def finish(self) -> None:
        self.write(memoryview(tar.padding(self._size)))

    def end(self) -> None:
        self.write(memoryview(tar.END))

    def abort(self) -> None:
        """What was written is not an archive: who gave us the file knows."""


def lacking(needed: Mapping[Digest, Collection[str]], held: Mapping[str, Collection[Digest]]) -> frozenset[Digest]:
    """The blobs that every repository which needs them is known to hold: those may be left out."""
    return frozenset(digest for digest, names in needed.items() if all(digest in held.get(name, ()) for name in names))
