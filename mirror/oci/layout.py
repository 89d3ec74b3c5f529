"""The OCI image layout on disk as Source and Destination (image-spec v1.1 image-layout.md).

    DIRECTORY/
      oci-layout          {"imageLayoutVersion": "1.0.0"}
      index.json          one descriptor a tag, its name NAME:TAG in org.opencontainers.image.ref.name
      index.json.lock     held while index.json is replaced
      blobs/ALG/HEX       every blob and manifest, shared by all names
      blobs/.mirror-*     what is being written

Rules it keeps:

- A blob appears by rename, complete and synced. index.json is replaced by rename, under the lock, after the
  directories of the blobs that it names are synced. So a killed process leaves at most temporary files.
- A temporary file is locked (flock) for as long as its writer lives, so whoever opens the layout for writing removes
  exactly those that are nobody's.
- What others wrote into index.json (entries without our names, unknown keys) is kept as it is.
- Every OSError leaves as a LayoutError of one sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mirror.errors import BadReference, ContentError, LayoutError, ManifestError, NotFound, RegistryError
from mirror.http.gate import Gate
from mirror.lock import locked, try_lock
from mirror.oci.blob import Body, Upload
from mirror.oci.content import Descriptor, Digest, verified
from mirror.oci.manifest import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST, SIZE_MAX, Manifest

REF_NAME = "org.opencontainers.image.ref.name"
INDEX_SIZE_MAX = 64 * 1024 * 1024
_MARKER = "oci-layout"
_MARKER_SIZE_MAX = 4096
_VERSION = "1.0.0"
_INDEX = "index.json"
_TEMPORARY = ".mirror-"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_IN_THE_WAY = frozenset({errno.ENOTDIR, errno.EEXIST, errno.EISDIR})
_NO_DIRECTORY_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP})


class Layout:
    """The layout at *directory*, created by the first write.

    Until then it reads as empty; one that *must_exist*, as a source must, raises LayoutError instead.
    """

    def __init__(self, directory: Path, *, must_exist: bool = False) -> None:
        self.directory = directory
        self._must_exist = must_exist
        self._writing = asyncio.Lock()  # our own writers queue here, not in threads that wait for the file lock
        self._preparing = threading.Lock()
        self._is_prepared = False
        self.gate = Gate()
        self._read: tuple[tuple[int, ...], Mapping[str, Any]] | None = None

    def repository(self, name: str) -> LayoutRepository:
        """The part of the layout whose tags are called `NAME:TAG`."""
        return LayoutRepository(self, name)

    def entries(self) -> Mapping[str, Any]:
        """The entries of index.json that have a reference name, by that name."""
        path = self.directory / _INDEX
        with _mapped("read", path):
            try:
                status = path.stat()
            except FileNotFoundError:
                self.exists()
                return {}
            version = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
            cached = self._read
            if cached and cached[0] == version:
                return cached[1]
            # A newer index than *version* names may be read here; then the next call reads it once more.
            entries: dict[str, Any] = {}
            for entry in self._index()["manifests"]:
                if name := _ref_name(entry):
                    entries.setdefault(name, entry)
            self._read = version, entries
            return entries

    def blob(self, digest: Digest) -> Path:
        """Where the content *digest* is, if it is there."""
        return self.directory / "blobs" / digest.algorithm / digest.hex

    def holds(self, digest: Digest, size: int) -> bool:
        """Whether the content *digest* is there, with *size* bytes."""
        path = self.blob(digest)
        with _mapped("read", path):
            try:
                return path.stat().st_size == size
            except FileNotFoundError:
                self.exists()
                return False

    def start(self, digest: Digest) -> _Temporary:
        """A temporary file that is to become the content *digest*."""
        self._prepare()
        target = self.blob(digest)
        with _mapped("write to", target.parent):
            target.parent.mkdir(exist_ok=True)
            return _Temporary(self.directory / "blobs")

    def put(self, digest: Digest, data: bytes) -> None:
        """Stores *data*, whose digest is *digest*; what lies there and differs is replaced."""
        target = self.blob(digest)
        with _mapped("read", target), contextlib.suppress(FileNotFoundError):
            if target.stat().st_size == len(data) and target.read_bytes() == data:
                return
        temporary = self.start(digest)
        with _mapped("write", target):
            temporary.fill(memoryview(data), target)

    async def tag(self, name: str, manifest: Manifest) -> None:
        """Afterwards index.json names *manifest* as *name* (`NAME:TAG`), durably."""
        async with self._writing:
            await asyncio.to_thread(self._tag, name, manifest)

    def _tag(self, name: str, manifest: Manifest) -> None:
        new = {
            "mediaType": manifest.media_type,
            "digest": str(manifest.digest),
            "size": manifest.size,
            "annotations": {REF_NAME: name},
        }
        self._prepare()
        path = self.directory / _INDEX
        with self._locked(), _mapped("write", path):
            index = self._index()
            old = index["manifests"]
            at = next((at for at, entry in enumerate(old) if _ref_name(entry) == name), len(old))
            others = [entry for entry in old[at + 1 :] if _ref_name(entry) != name]
            index["manifests"] = [*old[:at], new, *others]
            if index["manifests"] == old:
                return
            self._replace_index(index)

    async def untag(self, names: Collection[str]) -> None:
        """Afterwards index.json has no entry that is called one of *names*, durably; what they named stays."""
        async with self._writing:
            await asyncio.to_thread(self._remove, lambda entry: _ref_name(entry) in names, (), ())

    async def delete(self, name: str, digests: Collection[Digest], stays: Collection[Digest] = ()) -> None:
        """The manifests *digests* are called `NAME:…` no longer; those that nothing names any more are gone.

        With them go their blobs that no other manifest of the layout names, nor one that *stays* without a name.
        Raises LayoutError or ContentError, and has deleted nothing, where it cannot be known what is still named.
        """
        gone = set(map(str, digests))

        def goes(entry: Any) -> bool:
            return _ref_name(entry).rpartition(":")[0] == name and entry.get("digest") in gone

        async with self._writing:
            await asyncio.to_thread(self._remove, goes, digests, stays)

    def _remove(self, goes: Callable[[Any], bool], digests: Collection[Digest], stays: Collection[Digest]) -> None:
        path = self.directory / _INDEX
        if not self.exists():
            return
        with self._locked():
            index = self._index()
            kept = [entry for entry in index["manifests"] if not goes(entry)]
            named = self._named(kept, stays)
            if kept != index["manifests"]:
                with _mapped("write", path):
                    self._replace_index({**index, "manifests": kept})
            for digest in digests:
                if digest not in named:
                    self._unlink(digest, named)

    def _unlink(self, digest: Digest, named: Collection[Digest]) -> None:
        """The manifest *digest* is gone, after those of its blobs that are not *named*: a run that is ended goes on."""
        path = self.blob(digest)
        with _mapped("delete", path):
            with contextlib.suppress(ManifestError, ContentError, NotFound):
                for blob in self.repository("").read(digest).blobs:
                    if blob.digest not in named:
                        self.blob(blob.digest).unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def _named(self, entries: Iterable[Any], stays: Iterable[Digest]) -> set[Digest]:
        """Everything that *entries* of index.json, and what *stays*, need: manifests, what those list, their blobs."""
        found, left = set[Digest](), [_described(entry, self.directory / _INDEX) for entry in entries]
        left += [Descriptor(OCI_MANIFEST, digest, 0) for digest in stays]
        while left:
            descriptor = left.pop()
            if descriptor.digest in found:
                continue
            found.add(descriptor.digest)
            if descriptor.media_type not in INDEXES | MANIFESTS:
                continue  # image-layout.md: an entry may be of any media type
            try:
                manifest = self.repository("").read(descriptor.digest)
            except NotFound:
                continue  # it is incomplete already, and what it needs is not to be known
            left += manifest.children
            found |= {blob.digest for blob in manifest.blobs}
        return found

    def _replace_index(self, index: dict[str, Any]) -> None:
        path = self.directory / _INDEX
        raw = json.dumps(index).encode()  # no indent: it is ten times slower, once a tag
        if len(raw) > INDEX_SIZE_MAX:
            raise LayoutError(f"{path} would grow beyond {INDEX_SIZE_MAX} bytes: use another directory, or prune")
        blobs = self.directory / "blobs"
        for directory in (*(child for child in blobs.iterdir() if child.is_dir()), blobs):
            _sync_directory(directory)
        _Temporary(self.directory).fill(memoryview(raw), path)
        _sync_directory(self.directory)

    def _index(self) -> dict[str, Any]:
        """The document of index.json, whose `manifests` is a list."""
        path = self.directory / _INDEX
        if not self.exists():
            return _empty_index()
        try:
            with path.open("rb") as file:
                raw = file.read(INDEX_SIZE_MAX + 1)
        except FileNotFoundError:  # a run was killed while it made the layout
            return _empty_index()
        if len(raw) > INDEX_SIZE_MAX:
            raise LayoutError(f"{path} is larger than {INDEX_SIZE_MAX} bytes, which is refused")
        try:
            index = json.loads(raw)
        except (ValueError, RecursionError) as exc:
            raise LayoutError(
                f"{path} is corrupt: it is not JSON; restore it, or move the directory away and sync again"
            ) from exc
        if not isinstance(index, dict) or not isinstance(index.setdefault("manifests", []), list):
            raise LayoutError(
                f"{path} is corrupt: it is not an image index; restore it, or move the directory away and sync again"
            )
        return index

    def exists(self) -> bool:
        """Whether the directory is a layout, False where it may become one; raises LayoutError where it must not."""
        path = self.directory / _MARKER
        try:
            with path.open("rb") as file:
                raw = file.read(_MARKER_SIZE_MAX)
        except FileNotFoundError:
            if (self.directory / _INDEX).exists():
                raise LayoutError(
                    f"{self.directory} is not an OCI image layout: it has an {_INDEX}, but no {_MARKER} file"
                ) from None
            if self._must_exist:
                raise LayoutError(
                    f"{self.directory} is not an OCI image layout: there is no {_MARKER} file; check the path"
                ) from None
            return False
        try:
            version = json.loads(raw)["imageLayoutVersion"]
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            raise LayoutError(f"{path} is corrupt: it does not say the version of the layout") from exc
        if version != _VERSION:
            raise LayoutError(f"{path} says version {str(version)[:40]!r}; only {_VERSION} is known")
        return True

    def _prepare(self) -> None:
        """Makes the layout if there is none, and removes what killed runs left, once."""
        with self._preparing:
            if self._is_prepared:
                return
            with _mapped("create the layout", self.directory):
                self.exists()  # before anything is made in a directory that is not ours
                (self.directory / "blobs").mkdir(parents=True, exist_ok=True)
            with self._locked(), _mapped("create the layout", self.directory):
                if not self.exists():
                    marker = json.dumps({"imageLayoutVersion": _VERSION}).encode()
                    _Temporary(self.directory).fill(memoryview(marker), self.directory / _MARKER)
                if not (self.directory / _INDEX).exists():
                    self._replace_index(_empty_index())
                _sweep(self.directory)
                _sweep(self.directory / "blobs")
            self._is_prepared = True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.directory / f"{_INDEX}.lock"
        with contextlib.ExitStack() as stack:
            with _mapped("lock", path):
                stack.enter_context(locked(path))
            yield


class LayoutRepository:
    """The tags `NAME:…` of a layout, and the blobs that all names share."""

    def __init__(self, layout: Layout, name: str) -> None:
        self._layout = layout
        self._name = name

    @property
    def name(self) -> str:
        return f"oci:{self._layout.directory}:{self._name}"

    @property
    def directory(self) -> Path:
        """Where the layout is."""
        return self._layout.directory

    @property
    def gate(self) -> Gate:
        return self._layout.gate

    @property
    def path(self) -> str:
        """See Destination: every name shares the layout's blobs."""
        return self._name

    async def head(self, version: str | Digest) -> Digest | None:
        """The digest of the manifest at a tag or digest; None where there is none, or its bytes are gone."""
        return await asyncio.to_thread(self._head, version)

    async def manifest(self, version: str | Digest) -> Manifest:
        return await asyncio.to_thread(self.read, version)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        tag = subject.fallback_tag()
        if await self.head(tag) is None:
            return ()
        return (await self.manifest(tag)).children

    async def has_blob(self, blob: Descriptor) -> bool:
        return await asyncio.to_thread(self._layout.holds, blob.digest, blob.size)

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> Body:
        return await asyncio.to_thread(self._open_blob, blob.digest, offset)

    async def start_upload(self, blob: Descriptor, *, mount_from: str = "") -> Upload | None:
        if mount_from and await self.has_blob(blob):
            return None
        opening = asyncio.create_task(asyncio.to_thread(self._layout.start, blob.digest))
        try:
            temporary = await asyncio.shield(opening)
        except asyncio.CancelledError:  # another blob of the image has failed: the file is there all the same
            (await opening).discard()
            raise
        return _FileUpload(temporary, blob, self._layout.blob(blob.digest))

    async def resumed_upload(self, blob: Descriptor, broken: Upload) -> None:
        """None: what could not be written to a file is not there."""

    async def put_manifest(self, manifest: Manifest, *, tag: str = "") -> bool:
        """Stores *manifest*; False, for a layout links nothing to its subject.

        Raises RegistryError with the code of a registry's refusal where the manifest names content that is not here.
        """
        await asyncio.to_thread(self._put_manifest, manifest)
        if tag:
            await self._layout.tag(f"{self._name}:{tag}", manifest)
        return False

    async def tags(self) -> tuple[str, ...]:
        names = await asyncio.to_thread(self._layout.entries)
        return tuple(sorted(tag for name, _, tag in (name.rpartition(":") for name in names) if name == self._name))

    def _head(self, version: str | Digest) -> Digest | None:
        if isinstance(version, Digest):
            path = self._layout.blob(version)
            with _mapped("read", path):
                if path.is_file():
                    return version
                self._layout.exists()
                return None
        entry = self._entry(version)
        return entry.digest if entry and self._layout.holds(entry.digest, entry.size) else None

    def read(self, version: str | Digest) -> Manifest:
        """As `manifest`; blocks."""
        where = f"{self.name}@{version}" if isinstance(version, Digest) else f"{self.name}:{version}"
        entry = None if isinstance(version, Digest) else self._entry(version)
        digest = version if isinstance(version, Digest) else entry.digest if entry else None
        if digest is None:
            raise NotFound(f"{where}: there is no such tag in the layout", status=404)
        path = self._layout.blob(digest)
        with _mapped("read", path):
            try:
                with path.open("rb") as file:
                    raw = file.read(SIZE_MAX + 1)
            except FileNotFoundError as exc:
                self._layout.exists()
                raise NotFound(f"{where}: there is no manifest {digest} in the layout", status=404) from exc
        if len(raw) > SIZE_MAX:
            raise ManifestError(f"{where}: the manifest is larger than {SIZE_MAX} bytes")
        verified(raw, digest, where=where)
        return Manifest.parse(raw, entry.media_type if entry else "", where=where, algorithm=digest.algorithm)

    def _entry(self, tag: str) -> Descriptor | None:
        name = f"{self._name}:{tag}"
        entry = self._layout.entries().get(name)
        if entry is None:
            return None
        return _described(entry, self._layout.directory / _INDEX)

    def _open_blob(self, digest: Digest, offset: int) -> Body:
        path = self._layout.blob(digest)
        with _mapped("read", path):
            try:
                return _FileBody(path, offset)
            except FileNotFoundError as exc:
                self._layout.exists()
                raise NotFound(f"{self.name}: there is no blob {digest} in the layout", status=404) from exc

    def _put_manifest(self, manifest: Manifest) -> None:
        for part in (*manifest.blobs, *manifest.children):
            if not self._layout.holds(part.digest, part.size):
                raise RegistryError(
                    f"{self.name}: manifest {manifest.digest} names {part.digest}, which is not in the layout",
                    codes=("MANIFEST_BLOB_UNKNOWN",),
                )
        self._layout.put(manifest.digest, manifest.raw)


class _Temporary:
    """A file being written: locked while we live, so that nobody takes it for a leftover."""

    def __init__(self, directory: Path) -> None:
        while True:
            self.path = directory / f"{_TEMPORARY}{secrets.token_hex(8)}"
            self.file: BinaryIO = self.path.open("xb", buffering=0)
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX)
                if os.fstat(self.file.fileno()).st_nlink:
                    return
            except BaseException:
                self.discard()
                raise
            self.file.close()  # another run took it for a leftover in the moment before it was locked

    def write(self, data: memoryview) -> None:
        while data:
            data = data[self.file.write(data) :]

    def publish(self, target: Path) -> None:
        """Afterwards the bytes are on the disk and called *target*."""
        os.fsync(self.file.fileno())
        self.path.replace(target)
        self.file.close()

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.file.close()

    def fill(self, data: memoryview, target: Path) -> None:
        try:
            self.write(data)
            self.publish(target)
        except BaseException:
            self.discard()
            raise


class _FileUpload:
    """A blob on its way into a temporary file. The lock keeps `abort` from closing the file under a write."""

    session = ""

    def __init__(self, temporary: _Temporary, blob: Descriptor, target: Path) -> None:
        self._temporary: _Temporary | None = temporary
        self._blob = blob
        self._target = target
        self._written = 0
        self._lock = threading.Lock()

    def write(self, data: memoryview) -> None:
        with self._lock, _mapped("write", self._target):
            self._open().write(data)
            self._written += len(data)

    def finish(self) -> None:
        with self._lock, _mapped("write", self._target):
            temporary = self._open()
            if self._written != self._blob.size:
                raise ContentError(
                    f"{self._target}: {self._written} bytes were written, {self._blob.size} were promised"
                )
            temporary.publish(self._target)
            self._temporary = None

    def abort(self) -> None:
        with self._lock, _mapped("remove", self._target):
            temporary, self._temporary = self._temporary, None
            if temporary:
                temporary.discard()

    def _open(self) -> _Temporary:
        if self._temporary is None:
            raise LayoutError(f"writing {self._target} was given up")
        return self._temporary


class _FileBody:
    """A blob read from its file. The lock keeps `abort` from closing the file under a read."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._file.seek(offset)
        self._lock = threading.Lock()

    def readinto(self, buffer: memoryview) -> int:
        with self._lock, _mapped("read", self._path):
            if self._file.closed:
                raise LayoutError(f"reading {self._path} was given up")
            return self._file.readinto(buffer)

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def abort(self) -> None:
        self.close()


def _sweep(directory: Path) -> None:
    """Removes the temporary files of processes that are gone."""
    for path in directory.glob(f"{_TEMPORARY}*"):
        # PermissionError: another user's, who removes it
        with contextlib.suppress(FileNotFoundError, PermissionError), path.open("r+b") as file:
            if try_lock(file):
                path.unlink()


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in _NO_DIRECTORY_SYNC:  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


def _described(entry: Any, index: Path) -> Descriptor:
    """The descriptor that *entry* of the file *index* is."""
    try:
        return Descriptor(str(entry.get("mediaType") or ""), Digest.parse(entry["digest"]), int(entry["size"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, BadReference, ManifestError) as exc:
        name = _ref_name(entry)
        raise LayoutError(f"{index} is corrupt: the entry {name!r} is not a descriptor ({exc})") from exc


def _ref_name(entry: Any) -> str:
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else ""


def _empty_index() -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


@contextlib.contextmanager
def _mapped(verb: str, path: Path) -> Iterator[None]:
    """Whatever the operating system refuses inside leaves as a LayoutError: cannot *verb* *path*, why, what to do."""
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or str(exc)
        if exc.errno in _FULL:
            reason = f"the disk is full ({reason}); free some space and run again"
        elif exc.errno in _FORBIDDEN:
            reason = f"no permission ({reason}); check who owns the directory and how it is mounted"
        elif exc.errno in _IN_THE_WAY:
            reason = f"a file is where a directory should be, or the reverse ({reason}); use another path"
        raise LayoutError(f"cannot {verb} {path}: {reason}") from exc
