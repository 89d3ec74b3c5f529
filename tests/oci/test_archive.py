"""An archive: packed from any source, read by us and by other tools, and refused wherever a byte of it is another."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.errors import ArchiveError, ContentError, NotFound, Unreachable
from mirror.oci.archive import MARKER, Archive, index_of, path_of
from mirror.oci.blob import Body
from mirror.oci.content import Descriptor, Digest
from mirror.oci.copy import Copier, read_graph
from mirror.oci.layout import Layout
from mirror.oci.pack import Pack, lacking
from mirror.oci.storage import Source
from mirror.oci.tar import END, Member, header, members, padding
from tests.content import Image, artifact, download, image, index, multi_platform, push
from tests.servers.tools import require

Check = Callable[[bytes], Awaitable[Archive]]


async def packed(source: Source, *tags: str, name: str = "proxy") -> Pack:
    """The images of *tags* at *source*, to be called so."""
    pack = Pack("a.tar")
    noting, copier = pack.noting(source), Copier()
    try:
        for tag in tags:
            graph = await read_graph(noting, await noting.manifest(tag))
            await copier.copy(noting, pack.repository(name), graph)
            await copier.place(noting, pack.repository(name), graph.root, tag=tag)
    finally:
        copier.close()
    return pack


async def written(pack: Pack, left_out: Sequence[Digest] = ()) -> bytes:
    """The archive of *pack*."""
    out = io.BytesIO()
    await pack.write(out, left_out=left_out, on_bytes=lambda _count: None)
    return out.getvalue()


@contextmanager
def opened(path: Path, raw: bytes) -> Iterator[Archive]:
    """The archive *raw*, in the file *path*."""
    path.write_bytes(raw)
    with path.open("rb") as file:
        yield Archive(file, path.name)


@pytest.fixture
def checked(tmp_path: Path) -> Iterator[Check]:
    """Makes an archive of bytes, once all of it has been checked."""
    with ExitStack() as open_files:

        async def check(raw: bytes) -> Archive:
            archive = open_files.enter_context(opened(tmp_path / "a.tar", raw))
            await archive.check(lambda _count: None)
            return archive

        yield check


@pytest.fixture
def whole() -> Image:
    """An image of two platforms."""
    return multi_platform("whole")


@pytest.fixture
async def archive(whole: Image, tmp_path: Path) -> bytes:
    """An archive of it."""
    source = Layout(tmp_path / "source").repository("proxy")
    await push(source, whole, tag="v1")
    return await written(await packed(source, "v1"))


async def test_what_is_packed_is_read(archive: bytes, whole: Image, checked: Check) -> None:
    """Tags, manifests and blobs, the bytes that they were."""
    read = (await checked(archive)).repository("proxy")

    assert whole.digest == await read.head("v1")
    graph = await read_graph(read, await read.manifest("v1"))
    assert [each.manifest.raw for each in whole.graph()][-1] == graph.root.raw
    have = {blob.digest: await download(read, blob) for blob in graph.blobs}
    assert {digest: data for each in whole.graph() for digest, data in each.blobs.items()} == have


async def test_no_blob_is_read_before_it_is_written(whole: Image, tmp_path: Path) -> None:
    """Then each once; none is kept in memory."""
    source = Layout(tmp_path / "source").repository("proxy")
    await push(source, whole, tag="v1")
    counting = _Breaking(source, breaks=False)
    pack = await packed(counting, "v1")  # type: ignore[arg-type]
    before = len(counting.opened)
    await written(pack)

    assert (0, len(pack.needed)) == (before, len(counting.opened))
    assert {} == pack.made


async def test_the_same_bytes_each_time(archive: bytes, whole: Image, tmp_path: Path) -> None:
    """Whatever the source, and in whatever order it answers; the size is known before."""
    other = Layout(tmp_path / "other").repository("elsewhere")
    await push(other, whole, tag="v1")
    pack = await packed(other, "v1")

    assert archive == await written(pack)
    assert len(archive) == pack.size()


async def test_the_index_comes_first(archive: bytes) -> None:
    """Then manifests, then all other blobs; nothing twice."""
    names = [each.name for each in _members(archive)]

    assert ["oci-layout", "index.json"] == names[:2]
    assert len(names) == len(set(names))
    sizes = [each.size for each in _members(archive)][2:]
    assert 3 == sum(size > 300 for size in sizes[:3])


async def test_a_digest_of_another_algorithm(tmp_path: Path, checked: Check) -> None:
    """Its name does not fit into a plain header of tar."""
    source, what = Layout(tmp_path / "source").repository("proxy"), image(b"long", algorithm="sha512")
    await push(source, what, tag="v1")
    read = await checked(await written(await packed(source, "v1")))

    assert what.digest == await read.repository("proxy").head("v1")


async def test_referrers_are_read_as_in_a_layout(tmp_path: Path, checked: Check) -> None:
    """By the fallback tag."""
    source, subject = Layout(tmp_path / "source").repository("proxy"), image(b"signed")
    signature = artifact("application/vnd.dev.sigstore.bundle.v0.3+json", subject=subject)
    await push(source, subject, tag="v1")
    await push(source, index(signature), tag=subject.digest.fallback_tag())
    pack = await packed(source, "v1", subject.digest.fallback_tag())
    read = (await checked(await written(pack))).repository("proxy")

    assert [signature.digest] == [each.digest for each in await read.referrers(subject.digest)]
    assert () == await read.referrers(signature.digest)


def test_skopeo_reads_it(archive: bytes, whole: Image, tmp_path: Path) -> None:
    """From the tar itself, and from the directory that tar makes of it."""
    skopeo, tar, directory = require("skopeo"), require("tar"), tmp_path / "unpacked"
    file = tmp_path / "a.tar"
    file.write_bytes(archive)
    directory.mkdir()
    subprocess.run([tar, "-xf", file, "-C", directory], check=True, timeout=60)
    policy = "--insecure-policy"
    subprocess.run(
        [skopeo, policy, "copy", "--all", f"oci:{directory}:proxy:v1", f"dir:{tmp_path / 'copy'}"], check=True
    )
    raw = subprocess.run([skopeo, "inspect", "--raw", f"oci-archive:{file}:proxy:v1"], capture_output=True, check=True)

    assert whole.manifest.raw == raw.stdout
    assert whole.manifest.raw == (tmp_path / "copy" / "manifest.json").read_bytes()


class TestAltered:
    @settings(max_examples=150)
    @given(data=st.data())
    def test_any_byte(self, archive: bytes, tmp_path: Path, data: st.DataObject) -> None:
        """One sentence, that names the file; nothing else is raised. What names should be the record says."""
        altered, name = bytearray(archive), archive.index(b"proxy:v1")
        at = data.draw(st.integers(0, len(archive) - 1).filter(lambda at: not name <= at < name + len("proxy:v1")))
        altered[at] ^= data.draw(st.integers(1, 255))

        _is_refused(tmp_path / "a.tar", bytes(altered))

    @settings(max_examples=50)
    @given(data=st.data())
    def test_cut_off_anywhere(self, archive: bytes, tmp_path: Path, data: st.DataObject) -> None:
        """It says so."""
        told = _is_refused(tmp_path / "a.tar", archive[: data.draw(st.integers(0, len(archive) - 1))])

        assert "a.tar is cut off" in told

    @settings(max_examples=50)
    @given(raw=st.binary(max_size=300))
    def test_any_index(self, archive: bytes, tmp_path: Path, raw: bytes) -> None:
        """Whatever it is, another index than the one that was written is refused."""
        _is_refused(tmp_path / "a.tar", _replaced(archive, "index.json", raw))

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda raw: json.dumps(json.loads(raw)).encode(), "its index.json was altered"),
            (lambda raw: raw.replace(b'archive":"1"', b'archive":"2"'), "a newer mirror wrote it (schema '2')"),
            (lambda raw: raw.replace(b"proxy:v1", b"proxy"), "there is no proxy in the archive"),
            (lambda raw: b"[" * 100_000, "not one that mirror export writes"),
            (lambda raw: b"{}", "not one that mirror export writes"),
            (lambda raw: index_of({}), "nothing in it names blobs/sha256/"),
            (lambda raw: raw.replace(b'image.index.v1+json","digest', b'image.manifest.v1+json","digest'), "promises"),
        ],
        ids=["rewritten", "newer", "another name", "deep", "empty", "of nothing", "another type"],
    )
    async def test_an_index(self, archive: bytes, tmp_path: Path, make: Callable[[bytes], bytes], reason: str) -> None:
        """Why it is refused."""
        altered = _replaced(archive, "index.json", make(_content(archive, "index.json")))

        assert reason in await _refused(tmp_path / "a.tar", altered)

    async def test_a_manifest_that_is_gone(self, archive: bytes, whole: Image, tmp_path: Path) -> None:
        """The image that needs it is named."""
        child = path_of(whole.children[0].digest)
        told = await _refused(tmp_path / "a.tar", _without(archive, child))

        assert f"the index lists {whole.children[0].digest}" in told

    async def test_a_file_that_nothing_names(self, archive: bytes, tmp_path: Path) -> None:
        """A stowaway is refused by its name."""
        name = path_of(Digest.of(b"stowaway"))
        told = await _refused(tmp_path / "a.tar", _made([*_files(archive), (name, b"stowaway")]))

        assert f"nothing in it names {name}" in told

    async def test_a_file_that_is_there_twice(self, archive: bytes, tmp_path: Path) -> None:
        """Which of the two another tool would take nobody knows."""
        first = _files(archive)[3]
        told = await _refused(tmp_path / "a.tar", _made([*_files(archive), first]))

        assert f"{first[0]} is in it twice" in told

    @pytest.mark.parametrize("name", ["oci-layout", "index.json"])
    async def test_what_every_layout_has(self, archive: bytes, tmp_path: Path, name: str) -> None:
        """Without it, it is no archive."""
        assert f"it has no {name}" in await _refused(tmp_path / "a.tar", _without(archive, name))

    async def test_a_layout_of_another_version(self, archive: bytes, tmp_path: Path) -> None:
        """It is not what was written."""
        other = MARKER.replace(b"1.0.0", b"2.0.0")

        assert "its oci-layout is not" in await _refused(tmp_path / "a.tar", _replaced(archive, "oci-layout", other))

    async def test_a_blob_that_another_byte_is_in(self, archive: bytes, whole: Image, tmp_path: Path) -> None:
        """Its digest is named, and what is really there."""
        digest = next(iter(whole.children[0].blobs))
        told = await _refused(
            tmp_path / "a.tar", _replaced(archive, path_of(digest), b"x" * len(whole.children[0].blobs[digest]))
        )

        assert f"the bytes of blob {digest} have the digest sha256:" in told
        assert "corrupt" in told


async def test_a_pipe_is_refused() -> None:
    """It is checked as a whole first, so it must be a file."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb"), pytest.raises(ArchiveError, match="is a pipe"):
        Archive(file, "stdin")


async def test_a_blob_that_is_left_out(whole: Image, tmp_path: Path, checked: Check) -> None:
    """The archive is sound without it; who asks for it is told."""
    source = Layout(tmp_path / "source").repository("proxy")
    await push(source, whole, tag="v1")
    pack = await packed(source, "v1")
    [absent, *_] = sorted(pack.needed)
    read = await checked(await written(pack, [absent]))

    assert not read.holds(absent)
    with pytest.raises(NotFound, match=f"there is no blob {absent} in the archive"):
        await read.repository("proxy").open_blob(Descriptor("", absent, 1))


def test_what_may_be_left_out() -> None:
    """What each repository that needs it is known to hold."""
    one, two, three = (Digest.of(text) for text in (b"1", b"2", b"3"))
    needed = {one: {"proxy"}, two: {"proxy", "web"}, three: {"web"}}

    assert {one} == lacking(needed, {"proxy": {one, two}})
    assert {one, two} == lacking(needed, {"proxy": {one, two}, "web": {two}})


class _Breaking:
    """A source whose bodies break off after some bytes, once each, or are of other bytes."""

    def __init__(self, source: Source, *, corrupt: bool = False, breaks: bool = True) -> None:
        self.source, self.corrupt, self.breaks, self.opened = source, corrupt, breaks, list[int]()

    def __getattr__(self, name: str) -> object:
        return getattr(self.source, name)

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> Body:
        self.opened.append(offset)
        return _BreakingBody(
            await self.source.open_blob(blob, offset=offset), self.corrupt, is_first=self.breaks and not offset
        )


class _BreakingBody:
    def __init__(self, body: Body, corrupt: bool, *, is_first: bool) -> None:
        self.body, self.corrupt, self.left = body, corrupt, 2 if is_first else 1000

    def readinto(self, buffer: memoryview) -> int:
        self.left -= 1
        if not self.left:
            raise Unreachable("the connection was reset")
        count = self.body.readinto(buffer[:5_000_000])
        if self.corrupt and count:
            buffer[0] ^= 1
        return count

    def close(self) -> None:
        self.body.close()

    def abort(self) -> None:
        self.body.abort()


async def test_a_download_that_breaks_off_goes_on(tmp_path: Path, checked: Check) -> None:
    """In the same file of the archive, from the byte that it reached."""
    source, what = Layout(tmp_path / "source").repository("proxy"), image(b"some bytes, " * 750_000)
    await push(source, what, tag="v1")
    breaking = _Breaking(source)
    raw = await written(await packed(breaking, "v1"))  # type: ignore[arg-type]

    assert what.digest == await (await checked(raw)).repository("proxy").head("v1")
    assert any(breaking.opened)


async def test_wrong_bytes_of_a_source(whole: Image, tmp_path: Path) -> None:
    """No archive comes of it."""
    source = Layout(tmp_path / "source").repository("proxy")
    await push(source, whole, tag="v1")

    with pytest.raises(ContentError, match="is corrupt"):
        await written(await packed(_Breaking(source, corrupt=True), "v1"))  # type: ignore[arg-type]


def _is_refused(path: Path, raw: bytes) -> str:
    return asyncio.run(_refused(path, raw))


async def _refused(path: Path, raw: bytes) -> str:
    with pytest.raises(ArchiveError) as refused, opened(path, raw) as archive:
        await archive.check(lambda _count: None)
    assert path.name in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def _members(raw: bytes) -> list[Member]:
    return list(members(lambda offset, size: raw[offset : offset + size], len(raw), where="a.tar"))


def _files(raw: bytes) -> list[tuple[str, bytes]]:
    found = members(lambda offset, size: raw[offset : offset + size], len(raw), where="a.tar")
    return [(each.name, raw[each.offset : each.offset + each.size]) for each in found]


def _made(files: Sequence[tuple[str, bytes]]) -> bytes:
    return b"".join(header(name, len(data)) + data + padding(len(data)) for name, data in files) + END


def _content(raw: bytes, name: str) -> bytes:
    return dict(_files(raw))[name]


def _replaced(raw: bytes, name: str, data: bytes) -> bytes:
    return _made([(each, data if each == name else content) for each, content in _files(raw)])


def _without(raw: bytes, name: str) -> bytes:
    return _made([each for each in _files(raw) if each[0] != name])
