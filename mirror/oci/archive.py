"""An archive: an OCI image layout (image-spec v1.1 image-layout.md) in one tar file, read as a Source.

    oci-layout
    index.json            what is in it, before all the rest: a descriptor a tag, its name NAME:TAG as in layout.py
    blobs/ALG/HEX …       manifests, the records among them
    blobs/ALG/HEX …       all other blobs, by digest

skopeo, crane and oras read it too. It may lack blobs, and nothing else, where the other side was known to hold them.

Rules it keeps:

- It is read where it lies, in any order, so it is a file and no pipe: nothing is unpacked, nothing spools to a disk.
- `Archive` is made when every header and the index are as they were written. `check` then holds every byte to its
  digest, and every file to being named by something. Whoever reads a blob later holds it to its digest again.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from mirror.errors import ArchiveError, BadReference, ContentError, ManifestError, MirrorError, NotFound, UsageError
from mirror.http.gate import Gate
from mirror.oci import tar
from mirror.oci.blob import Body
from mirror.oci.content import Descriptor, Digest, verified
from mirror.oci.copy import Graph, read_blob, read_graph
from mirror.oci.layout import INDEX_SIZE_MAX, REF_NAME
from mirror.oci.manifest import OCI_INDEX, SIZE_MAX, Manifest
from mirror.tasks import gather, gather_some

SCHEMA = "1"
SCHEMA_ANNOTATION = "dev.linkerd-mirror.archive"
MARKER = b'{"imageLayoutVersion":"1.0.0"}'
MEMBERS_MAX = 200_000
_READERS = 4  # hashing is what takes the time, and it is a core each


class Archive:
    """The archive in *file*, which whoever opened it closes; *where* is what errors call it.

    Raises ArchiveError for what is not an archive of mirror's, or is cut off or altered where no digest would tell;
    UsageError for what is no file.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        self.where = where
        self.gate = Gate()
        self._file, self._descriptor = file, file.fileno()
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(
                f"{where} is a pipe, or a device: an archive is checked as a whole before any of it is written, so "
                "save it to a file first"
            )
        self.size = status.st_size
        self._members = self._listed()
        self.names = self._read_index()

    def repository(self, name: str) -> ArchiveRepository:
        """What is called `NAME:…`."""
        return ArchiveRepository(self, name)

    def holds(self, digest: Digest) -> bool:
        """Whether the content *digest* is in it."""
        return path_of(digest) in self._members

    def content(self, digest: Digest) -> tar.Member | None:
        """Where the content *digest* is."""
        return self._members.get(path_of(digest))

    def read(self, offset: int, size: int) -> bytes:
        """The *size* bytes from *offset* on, fewer where it ends."""
        try:
            return os.pread(self._descriptor, size, offset)
        except OSError as exc:
            raise self._unreadable(exc) from exc

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fills the front of *buffer* from *offset* on; the number of bytes."""
        try:
            return os.preadv(self._descriptor, [buffer], offset)
        except OSError as exc:
            raise self._unreadable(exc) from exc

    async def graphs(self) -> Mapping[str, Graph]:
        """By its name, everything that is below each tag; raises ArchiveError for what is not whole."""

        async def below(name: str) -> Graph:
            path, _, tag = name.rpartition(":")
            try:
                place = self.repository(path)
                return await read_graph(place, await place.manifest(tag))
            except (ManifestError, ContentError, NotFound) as exc:
                raise ArchiveError(f"{exc}; copy the file again, or export it again") from exc

        graphs = await gather(*map(below, self.names))
        return dict(zip(self.names, graphs, strict=True))

    async def check(self, on_bytes: Callable[[int], None]) -> None:
        """Every byte is what its digest promises, and belongs to what the index names; raises ArchiveError.

        *on_bytes* is told, of each blob that was read, how many there were.
        """
        blobs, manifests = dict[Digest, Descriptor](), set[Digest]()
        for graph in (await self.graphs()).values():
            blobs |= {blob.digest: blob for blob in graph.blobs}
            manifests |= {graph.root.digest, *(manifest.digest for manifest in graph.below)}
        known = {path_of(digest) for digest in (*blobs, *manifests)} | {"oci-layout", "index.json"}
        if strange := next((name for name in self._members if name not in known), None):
            raise ArchiveError(f"{self.where}: nothing in it names {strange}: it was altered; copy the file again")
        threads = ThreadPoolExecutor(_READERS, thread_name_prefix="archive")
        reading = self.repository("")

        async def held(blob: Descriptor) -> None:
            try:
                await read_blob(reading, blob, threads)
            except MirrorError as exc:
                raise ArchiveError(f"{exc}; copy the file again") from exc
            on_bytes(blob.size)

        try:
            await gather_some(
                (held(blob) for digest, blob in sorted(blobs.items()) if self.holds(digest)), at_once=_READERS
            )
        finally:
            threads.shutdown(wait=True)

    def _listed(self) -> Mapping[str, tar.Member]:
        found = dict[str, tar.Member]()
        for member in tar.members(self.read, self.size, where=self.where):
            if member.name in found:
                raise ArchiveError(f"{self.where}: {member.name} is in it twice: it was altered; copy the file again")
            if len(found) == MEMBERS_MAX:
                raise ArchiveError(f"{self.where}: more than {MEMBERS_MAX} files are in it, which is refused")
            found[member.name] = member
        return found

    def _read_index(self) -> Mapping[str, Descriptor]:
        """The tags, by name, once the layout's version and the index are byte for byte what would be written."""
        if self._small("oci-layout", len(MARKER)) != MARKER:
            raise ArchiveError(f"{self.where}: its oci-layout is not as mirror export writes it")
        raw = self._small("index.json", INDEX_SIZE_MAX)
        try:
            document = json.loads(raw)
            schema = document["annotations"][SCHEMA_ANNOTATION]
            entries = {entry["annotations"][REF_NAME]: _descriptor(entry) for entry in document["manifests"]}
        except (ValueError, KeyError, TypeError, AttributeError, BadReference, ManifestError, RecursionError) as exc:
            raise ArchiveError(
                f"{self.where}: its index.json is not one that mirror export writes: another tool made it, or it was "
                "altered"
            ) from exc
        if schema != SCHEMA:
            raise ArchiveError(
                f"{self.where}: a newer mirror wrote it (schema {str(schema)[:40]!r}): import it with that"
            )
        if index_of(entries) != raw:
            raise ArchiveError(f"{self.where}: its index.json was altered; copy the file again")
        return entries

    def _small(self, name: str, bound: int) -> bytes:
        member = self._members.get(name)
        if member is None or member.size > bound:
            raise ArchiveError(f"{self.where}: it has no {name} of a sane size: mirror export did not write it")
        return self.read(member.offset, member.size)

    def _unreadable(self, exc: OSError) -> ArchiveError:
        return ArchiveError(f"{self.where} cannot be read: {exc.strerror or exc}")


class ArchiveRepository:
    """The tags `NAME:…` of an archive, and the content that all names share; a Source."""

    def __init__(self, archive: Archive, name: str) -> None:
        self._archive, self._name = archive, name

    @property
    def name(self) -> str:
        """See Source."""
        return f"{self._archive.where}:{self._name}" if self._name else self._archive.where

    @property
    def gate(self) -> Gate:
        """See Source."""
        return self._archive.gate

    async def head(self, version: str | Digest) -> Digest | None:
        """See Source."""
        if isinstance(version, Digest):
            return version if self._archive.holds(version) else None
        entry = self._archive.names.get(f"{self._name}:{version}")
        return entry.digest if entry else None

    async def manifest(self, version: str | Digest) -> Manifest:
        """See Source."""
        entry = None if isinstance(version, Digest) else self._archive.names.get(f"{self._name}:{version}")
        digest = version if isinstance(version, Digest) else entry.digest if entry else None
        member = self._archive.content(digest) if digest else None
        if digest is None or member is None:
            raise NotFound(f"{self.name}: there is no {digest or version} in the archive", status=404)
        where = f"{self.name}@{digest}"
        if member.size > SIZE_MAX:
            raise ManifestError(f"{where}: the manifest is larger than {SIZE_MAX} bytes")
        raw = verified(await asyncio.to_thread(self._archive.read, member.offset, member.size), digest, where=where)
        manifest = Manifest.parse(raw, entry.media_type if entry else "", where=where, algorithm=digest.algorithm)
        if entry and (entry.media_type, entry.size) != (manifest.media_type, manifest.size):
            raise ManifestError(f"{where}: the index promises another manifest of it")
        return manifest

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """See Source; by the fallback tag, as in a layout."""
        tag = subject.fallback_tag()
        return () if await self.head(tag) is None else (await self.manifest(tag)).children

    async def has_blob(self, blob: Descriptor) -> bool:
        """See Source."""
        member = self._archive.content(blob.digest)
        return member is not None and member.size == blob.size

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> Body:
        """See Source."""
        member = self._archive.content(blob.digest)
        if member is None:
            raise NotFound(f"{self.name}: there is no blob {blob.digest} in the archive", status=404)
        return _Content(self._archive, member, offset)


class _Content:
    """A blob read from where it lies."""

    def __init__(self, archive: Archive, member: tar.Member, offset: int) -> None:
        self._archive = archive
        self._position, self._end = member.offset + offset, member.offset + member.size

    def readinto(self, buffer: memoryview) -> int:
        count = self._archive.read_into(buffer[: max(0, self._end - self._position)], self._position)
        self._position += count
        return count

    def close(self) -> None:
        """Nothing is open but the archive."""

    def abort(self) -> None:
        """Afterwards the body is at its end: a read of a file does not block for long."""
        self._end = 0


def index_of(tags: Mapping[str, Descriptor]) -> bytes:
    """The bytes of the index.json of an archive that has *tags*, by name."""
    entries = [
        {
            "mediaType": tagged.media_type,
            "digest": str(tagged.digest),
            "size": tagged.size,
            "annotations": {REF_NAME: name},
        }
        for name, tagged in sorted(tags.items())
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": entries,
        "annotations": {SCHEMA_ANNOTATION: SCHEMA},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def path_of(digest: Digest) -> str:
    """What the file that holds *digest* is called."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _descriptor(entry: Mapping[str, Any]) -> Descriptor:
    media_type, size = entry["mediaType"], entry["size"]
    if not isinstance(media_type, str) or not isinstance(size, int):
        raise TypeError("a descriptor's mediaType is a string and its size a number")
    return Descriptor(media_type, Digest.parse(entry["digest"]), size)
