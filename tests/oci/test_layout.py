"""The layout on disk: read by other tools, whole after a kill, shared by processes, clear when the disk says no."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror.errors import ContentError, LayoutError, ManifestError, NotFound
from mirror.oci.content import Digest
from mirror.oci.layout import INDEX_SIZE_MAX, REF_NAME, Layout
from mirror.oci.manifest import SIZE_MAX
from tests.content import Image, artifact, blob, download, image, index, multi_platform, push, upload
from tests.servers.distribution import Distribution
from tests.servers.tools import require

_PROJECT = Path(__file__).resolve().parents[2]

_WRITER = """
import asyncio, resource, sys
from pathlib import Path
from mirror.errors import LayoutError
from mirror.oci.layout import Layout
from tests.content import image, push

async def main(directory, name, count, size_limit):
    repository = Layout(Path(directory)).repository(name)
    if size_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, size_limit))
    for number in range(count):
        try:
            await push(repository, image(f"{name} {number} ".encode() * 5000), tag=f"v{number}")
        except LayoutError as exc:
            sys.exit(str(exc))
        print(number, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


def _start_writer(directory: Path, name: str, count: int, *, size_limit: int = 0) -> subprocess.Popen[str]:
    """A process that pushes *count* images, and prints the number of each when it is there."""
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(directory), name, str(count), str(size_limit)],
        cwd=_PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def _leftovers(directory: Path) -> list[Path]:
    return list(directory.rglob(".mirror-*"))


def _index(directory: Path) -> Any:
    return json.loads((directory / "index.json").read_bytes())


def _blobs(directory: Path) -> dict[Digest, bytes]:
    return {Digest(path.parent.name, path.name): path.read_bytes() for path in directory.glob("blobs/*/*")}


def _directory_with(directory: Path, **files: bytes) -> None:
    """A directory with these files: *marker* is oci-layout, *index* index.json."""
    directory.mkdir()
    for name, content in files.items():
        (directory / {"marker": "oci-layout", "index": "index.json"}[name]).write_bytes(content)


async def _hold_to_promises(directory: Path) -> int:
    """Reads all that index.json names, by name and digest; how many tags there are."""
    layout = Layout(directory, must_exist=True)
    names = list(layout.entries())
    for digest, data in _blobs(directory).items():
        assert digest == Digest.of(data, digest.algorithm)
    for name in names:
        repository = layout.repository(name.rpartition(":")[0])
        manifest = await repository.manifest(name.rpartition(":")[2])
        for part in (*manifest.blobs, *manifest.children):
            assert await repository.has_blob(part)
    return len(names)


@pytest.fixture
def layout(layout_directory: Path) -> Layout:
    """A layout that nobody has written to."""
    return Layout(layout_directory)


# Other tools


@pytest.mark.parametrize("name", ["proxy", "ghcr.io/linkerd/proxy"])
async def test_skopeo_reads_what_we_wrote(layout: Layout, tmp_path: Path, name: str) -> None:
    """The manifest's bytes, and every platform with its blobs."""
    skopeo, what = require("skopeo"), multi_platform()
    await push(layout.repository(name), multi_platform("another"), tag="v0")
    await push(layout.repository(name), what, tag="v1")
    at = f"oci:{layout.directory}:{name}:v1"

    raw = _run(skopeo, "inspect", "--raw", at)
    _run(skopeo, "--insecure-policy", "copy", "--all", at, f"dir:{tmp_path / 'copy'}")

    assert what.manifest.raw == raw
    assert what.manifest.raw == (tmp_path / "copy" / "manifest.json").read_bytes()
    for part in what.graph():
        for digest, data in part.blobs.items():
            assert data == (tmp_path / "copy" / digest.hex).read_bytes()


async def test_we_read_what_skopeo_wrote(layout: Layout, tmp_path: Path) -> None:
    """And write beside it."""
    skopeo = require("skopeo")
    platforms = ("linux/amd64", "linux/arm64")
    what = index(*(image(gzip.compress(p.encode(), mtime=0), platform=p) for p in platforms), platforms=platforms)
    await push(layout.repository("proxy"), what, tag="v1")
    theirs = tmp_path / "theirs"
    source, target = f"oci:{layout.directory}:proxy:v1", f"oci:{theirs}:controller:v2"
    _run(skopeo, "--insecure-policy", "copy", "--all", "--preserve-digests", source, target)

    repository = Layout(theirs, must_exist=True).repository("controller")
    await push(repository, image(b"another"), tag="v3")

    assert what.manifest == await repository.manifest("v2")
    assert ("v2", "v3") == await repository.tags()
    assert what.manifest.raw == _run(skopeo, "inspect", "--raw", target)


async def test_crane_reads_what_we_wrote(layout: Layout, open_distribution: Distribution, path: str) -> None:
    """The whole layout, pushed as one index, arrives."""
    crane, what = require("crane"), multi_platform()
    await push(layout.repository("proxy"), what, tag="v1")
    await push(layout.repository("controller"), image(b"a layer"), tag="v1")
    at = f"{open_distribution.host}/{path}"

    _run(crane, "push", "--insecure", "--index", layout.directory, f"{at}:all")

    assert what.manifest.raw == _run(crane, "manifest", "--insecure", f"{at}@{what.digest}")


async def test_the_files_are_those_of_the_specification(layout: Layout) -> None:
    """image-spec v1.1 image-layout.md: oci-layout, index.json with our names, blobs by digest."""
    what = image(b"a layer")
    await push(layout.repository("proxy"), what, tag="v1")

    (entry,) = _index(layout.directory)["manifests"]
    assert {"imageLayoutVersion": "1.0.0"} == json.loads((layout.directory / "oci-layout").read_bytes())
    assert {
        "mediaType": what.manifest.media_type,
        "digest": str(what.digest),
        "size": what.manifest.size,
        "annotations": {REF_NAME: "proxy:v1"},
    } == entry
    assert what.manifest.raw == (layout.directory / "blobs" / "sha256" / what.digest.hex).read_bytes()


async def test_what_others_wrote_stays(layout: Layout) -> None:
    """Entries without our names, unknown keys, half of a UTF-16 pair, and the order."""
    repository = layout.repository("proxy")
    await push(repository, image(b"old"), tag="v1")
    before = _index(layout.directory)
    before["annotations"] = {"by": "somebody"}
    theirs = {"mediaType": "x/y", "digest": "blake3:00", "size": 1.5, "annotations": {"a": "é\ud83d"}, "more": [None]}
    named = {**theirs, "annotations": {REF_NAME: "plain"}}
    before["manifests"] = [theirs, *before["manifests"], named, "odd"]
    (layout.directory / "index.json").write_text(json.dumps(before))

    await push(repository, image(b"new"), tag="v1")
    await push(repository, image(b"new"), tag="v2")

    after = _index(layout.directory)
    new, v2 = after["manifests"][1], after["manifests"][4]
    assert {"by": "somebody"} == after["annotations"]
    assert [theirs, new, named, "odd", v2] == after["manifests"]
    assert str(image(b"new").digest) == new["digest"]
    assert ("v1", "v2") == await repository.tags()


async def test_what_another_process_writes_is_seen(layout: Layout) -> None:
    """Nothing read before is trusted after index.json changed."""
    repository, other = layout.repository("proxy"), Layout(layout.directory).repository("proxy")
    await push(repository, image(b"one"), tag="v1")
    first = await repository.head("v1")
    await push(other, image(b"two"), tag="v1")

    assert image(b"one").digest == first
    assert image(b"two").digest == await repository.head("v1")


async def test_nothing_is_written_where_nothing_changed(layout: Layout) -> None:
    """The same push again leaves index.json alone."""
    await push(layout.repository("proxy"), image(b"a layer"), tag="v1")
    before = (layout.directory / "index.json").stat()
    await push(layout.repository("proxy"), image(b"a layer"), tag="v1")

    assert before == (layout.directory / "index.json").stat()


async def test_blobs_are_shared_by_names(layout: Layout) -> None:
    """What one name has need not be sent for another."""
    promise = await upload(layout.repository("proxy"), b"content")

    assert await layout.repository("controller").has_blob(promise)
    assert await layout.repository("controller").start_upload(promise, mount_from="proxy") is None


# Kills, and others at work


async def test_a_kill_leaves_the_layout_right(layout_directory: Path) -> None:
    """At any moment: every tag is complete, every blob is itself, and the next run removes what is left."""
    for moment in range(8):
        with _start_writer(layout_directory, "proxy", 1000) as writer:
            assert writer.stdout
            for _ in range(1 + 3 * moment):
                assert writer.stdout.readline()
            writer.kill()

        assert await _hold_to_promises(layout_directory) >= 1 + 3 * moment

    await push(Layout(layout_directory).repository("proxy"), image(b"afterwards"), tag="last")
    assert [] == _leftovers(layout_directory)


async def test_leftovers_go_and_live_files_stay(layout: Layout, layout_directory: Path) -> None:
    """A temporary file is removed only if nobody holds it."""
    live = await layout.repository("proxy").start_upload(blob(b"live"))
    assert live
    (being_written,) = _leftovers(layout_directory)
    dead = [layout_directory / ".mirror-dead", layout_directory / "blobs" / ".mirror-dead"]
    for path in dead:
        path.write_bytes(b"half")

    await upload(Layout(layout_directory).repository("proxy"), b"another run")
    left = _leftovers(layout_directory)
    await asyncio.to_thread(live.write, memoryview(b"live"))
    await asyncio.to_thread(live.finish)

    assert [being_written] == left
    assert b"live" == await download(layout.repository("proxy"), blob(b"live"))
    assert [] == _leftovers(layout_directory)


async def test_processes_write_at_once(layout_directory: Path) -> None:
    """No tag of any of them is lost."""
    writers = [_start_writer(layout_directory, name, 25) for name in ("proxy", "controller", "policy")]
    for writer in writers:
        _, errors = await asyncio.to_thread(writer.communicate)
        assert (0, "") == (writer.returncode, errors)

    assert 75 == await _hold_to_promises(layout_directory)
    assert 25 == len(await Layout(layout_directory).repository("policy").tags())


async def test_tags_are_written_at_once(layout: Layout) -> None:
    """By one process, none is lost."""
    repository, what = layout.repository("proxy"), image(b"a layer")
    await push(repository, what)

    await asyncio.gather(*(repository.put_manifest(what.manifest, tag=f"v{number}") for number in range(40)))

    assert 40 == len(await repository.tags())


async def test_a_lock_is_waited_for(layout: Layout) -> None:
    """Somebody else's lock delays us, and is respected."""
    repository, what = layout.repository("proxy"), image(b"a layer")
    await push(repository, what, tag="v1")
    with (layout.directory / "index.json.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tagging = asyncio.create_task(repository.put_manifest(what.manifest, tag="v2"))
        await asyncio.wait([tagging], timeout=0.2)
        waited = not tagging.done()
        fcntl.flock(lock, fcntl.LOCK_UN)
    await tagging

    assert waited
    assert ("v1", "v2") == await repository.tags()


# What the disk may hold, and refuse


async def test_a_destination_that_is_not_there_reads_as_empty(layout: Layout) -> None:
    """And reading does not create it."""
    assert await layout.repository("proxy").head("v1") is None
    assert not layout.directory.exists()


async def test_a_source_must_exist(layout_directory: Path) -> None:
    """Whatever is asked of it, and it is not made by asking."""
    repository = Layout(layout_directory, must_exist=True).repository("proxy")

    answers = await asyncio.gather(
        repository.head("v1"),
        repository.head(Digest.of(b"")),
        repository.manifest("v1"),
        repository.manifest(Digest.of(b"")),
        repository.tags(),
        repository.has_blob(blob(b"")),
        repository.open_blob(blob(b"")),
        repository.referrers(Digest.of(b"")),
        repository.start_upload(blob(b"")),
        return_exceptions=True,
    )
    for answer in answers:
        assert isinstance(answer, LayoutError)
        assert "is not an OCI image layout" in str(answer)
    assert [] == list(layout_directory.parent.iterdir())


@pytest.mark.parametrize("below", ["", "/below"])
async def test_a_path_that_is_a_file(tmp_path: Path, below: str) -> None:
    """Is named, for reading and for writing, and left alone."""
    file = tmp_path / "file"
    file.write_text("mine")
    directory = Path(f"{file}{below}")
    repository = Layout(directory).repository("proxy")

    with pytest.raises(LayoutError, match=f"cannot read {directory}.* a file is where"):
        await repository.head("v1")
    with pytest.raises(LayoutError, match=f"cannot create the layout {directory}: a file is where"):
        await upload(repository, b"content")
    assert "mine" == file.read_text()


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a directory that nobody may write to")
async def test_no_permission() -> None:
    """One sentence: what, where, why."""
    with pytest.raises(LayoutError, match="cannot create the layout /sys/kernel/mirror: no permission"):
        await upload(Layout(Path("/sys/kernel/mirror")).repository("proxy"), b"content")


async def test_a_full_disk(layout: Layout) -> None:
    """One sentence, what was there stays, and nothing half-written does."""
    before = image(b"before")
    await push(layout.repository("proxy"), before, tag="v1")
    blobs = _blobs(layout.directory)

    # a limit on the size of files stands in for the disk: the same call fails in the same place
    with _start_writer(layout.directory, "proxy", 1, size_limit=20_000) as writer:
        _, errors = writer.communicate()

    assert 1 == writer.returncode
    assert "the disk is full" in errors
    assert 1 == len(errors.strip().splitlines())
    assert [] == _leftovers(layout.directory)
    assert len(_blobs(layout.directory)) - len(blobs) <= 1  # the image's configuration, which fitted
    assert before.digest == await layout.repository("proxy").head("v1")


async def test_a_disk_too_full_for_the_index(layout: Layout) -> None:
    """The index that was there stays."""
    for number in range(200):
        await push(layout.repository("a-name"), image(b"same"), tag=f"long-enough-{number}")
    before = (layout.directory / "index.json").read_bytes()

    with _start_writer(layout.directory, "x", 1, size_limit=len(before) - 1) as writer:
        _, errors = writer.communicate()

    assert "index.json: the disk is full" in errors
    assert before == (layout.directory / "index.json").read_bytes()
    assert [] == _leftovers(layout.directory)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"manifests": {}}', b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "cut", "a list", "no list", "not UTF-8", "too deep"],
)
async def test_a_corrupt_index(layout: Layout, content: bytes) -> None:
    """Is named, for reading and for writing, and never overwritten."""
    repository = layout.repository("proxy")
    await push(repository, image(b"a layer"), tag="v1")
    (layout.directory / "index.json").write_bytes(content)

    with pytest.raises(LayoutError, match=r"index\.json is corrupt"):
        await repository.head("v1")
    with pytest.raises(LayoutError, match=r"index\.json is corrupt"):
        await push(repository, image(b"a layer"), tag="v2")
    assert content == (layout.directory / "index.json").read_bytes()


@pytest.mark.parametrize(
    "change",
    [{"digest": "sha256:0"}, {"digest": None}, {"size": "big"}, {"size": -1}, {"size": None}, {"size": float("inf")}],
    ids=str,
)
async def test_a_corrupt_entry(layout: Layout, change: dict[str, object]) -> None:
    """Is an error for its tag, and none for another."""
    repository, what = layout.repository("proxy"), image(b"a layer")
    await push(repository, what, tag="v1")
    await push(repository, what, tag="v2")
    document = _index(layout.directory)
    document["manifests"][0].update(change)
    (layout.directory / "index.json").write_text(json.dumps(document))

    with pytest.raises(LayoutError, match="'proxy:v1' is not a descriptor"):
        await repository.head("v1")
    assert what.digest == await repository.head("v2")


async def test_an_index_beyond_the_bound(layout: Layout) -> None:
    """Is not read."""
    await push(layout.repository("proxy"), image(b"a layer"), tag="v1")
    with (layout.directory / "index.json").open("r+b") as file:
        file.truncate(INDEX_SIZE_MAX + 1)

    with pytest.raises(LayoutError, match="larger than"):
        await layout.repository("proxy").head("v1")


@pytest.mark.parametrize("marker", [b"", b"{}", b"[]", b'{"imageLayoutVersion": "2.0.0"}'], ids=str)
async def test_another_version_of_the_layout(layout_directory: Path, marker: bytes) -> None:
    """Is refused."""
    _directory_with(layout_directory, marker=marker, index=b'{"manifests": []}')

    with pytest.raises(LayoutError, match="oci-layout"):
        await Layout(layout_directory).repository("proxy").head("v1")


async def test_a_directory_with_an_index_of_something_else(layout_directory: Path) -> None:
    """Is not taken for ours."""
    _directory_with(layout_directory, index=b'{"a": "web page"}')

    for asked in (
        Layout(layout_directory).repository("proxy").head("v1"),
        upload(Layout(layout_directory).repository("proxy"), b"content"),
    ):
        with pytest.raises(LayoutError, match="is not an OCI image layout"):
            await asked
    assert [layout_directory / "index.json"] == list(layout_directory.iterdir())
    assert '{"a": "web page"}' == (layout_directory / "index.json").read_text()


async def test_a_creation_that_was_killed_is_completed(layout_directory: Path) -> None:
    """Between its files."""
    _directory_with(layout_directory, marker=b'{"imageLayoutVersion": "1.0.0"}')
    repository = Layout(layout_directory).repository("proxy")
    before = await repository.tags()

    await push(repository, image(b"a layer"), tag="v1")

    assert () == before
    assert ("v1",) == await repository.tags()


# Bytes that rotted


@pytest.fixture
async def rotten(layout: Layout) -> Image:
    """An image in the layout, as proxy:v1."""
    what = image(b"a layer")
    await push(layout.repository("proxy"), what, tag="v1")
    return what


async def test_a_manifest_that_rotted(layout: Layout, rotten: Image) -> None:
    """Is never believed; a push heals it."""
    repository, file = layout.repository("proxy"), layout.blob(rotten.digest)
    file.write_bytes(file.read_bytes().replace(b"schemaVersion", b"SchemaVersion"))
    for version in ("v1", rotten.digest):
        with pytest.raises(ContentError, match="corrupt"):
            await repository.manifest(version)

    await push(repository, rotten, tag="v1")

    assert rotten.manifest == await repository.manifest("v1")


async def test_a_manifest_that_was_deleted(layout: Layout, rotten: Image) -> None:
    """A tag that names nothing is no tag."""
    repository = layout.repository("proxy")
    layout.blob(rotten.digest).unlink()

    assert await repository.head("v1") is None
    with pytest.raises(NotFound):
        await repository.manifest("v1")


async def test_a_manifest_that_is_too_large(layout: Layout, rotten: Image) -> None:
    """Is not read to its end."""
    with layout.blob(rotten.digest).open("r+b") as file:
        file.truncate(SIZE_MAX + 1)

    with pytest.raises(ManifestError, match="larger than"):
        await layout.repository("proxy").manifest(rotten.digest)


async def test_a_blob_that_was_cut(layout: Layout, rotten: Image) -> None:
    """Is not there, until it is uploaded again."""
    repository, layer = layout.repository("proxy"), rotten.manifest.blobs[1]
    layout.blob(layer.digest).write_bytes(b"a lay")
    before = await repository.has_blob(layer)

    await upload(repository, b"a layer")

    assert not before
    assert await repository.has_blob(layer)


async def test_what_refers_to_an_image_of_another_name_is_not_listed(layout: Layout) -> None:
    """The fallback tag belongs to a name, as any tag."""
    subject = image(b"a layer")
    signature = artifact("application/vnd.example.signature", subject=subject)
    for repository in (layout.repository("proxy"), layout.repository("controller")):
        await push(repository, subject, tag="v1")
    await push(layout.repository("proxy"), signature, tag=subject.digest.fallback_tag())

    assert () == await layout.repository("controller").referrers(subject.digest)


@pytest.fixture(autouse=True)
def _no_leftovers(layout_directory: Path) -> Iterator[None]:
    """Whatever a test did, no temporary file is left by those that ended well."""
    yield
    for path in _leftovers(layout_directory) if layout_directory.is_dir() else ():
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # at worst a killed process's, never one of ours


async def test_what_is_deleted(layout: Layout, layout_directory: Path) -> None:
    """Its entries, its manifests, and the blobs that nothing else names; what another name needs stays."""
    shared, old, new = b"shared" * 10, image(b"shared" * 10, b"old"), image(b"shared" * 10, b"new")
    listed = index(old, new)
    await push(layout.repository("a"), old, tag="v1")
    await push(layout.repository("a"), old, tag="v2")
    await push(layout.repository("b"), new, tag="v1")
    await layout.delete("a", [old.digest])

    assert () == await layout.repository("a").tags()
    assert not any(layout.blob(digest).exists() for digest in (old.digest, Digest.of(b"old")))
    assert all(layout.blob(digest).exists() for digest in (new.digest, Digest.of(shared), Digest.of(b"new")))
    await push(layout.repository("a"), listed, tag="v1")
    await layout.delete("b", [new.digest, old.digest])
    assert () == await layout.repository("b").tags()
    assert all(layout.blob(part.digest).exists() for part in listed.graph())


async def test_what_stays_without_a_name(layout: Layout) -> None:
    """It keeps its blobs, those too that what is deleted has."""
    kept, old = image(b"shared", b"kept"), image(b"shared", b"old")
    await push(layout.repository("a"), kept)
    await push(layout.repository("a"), old, tag="v1")
    await layout.delete("a", [old.digest], [kept.digest])

    assert all(layout.blob(Digest.of(data)).exists() for data in (b"shared", b"kept"))
    assert not layout.blob(Digest.of(b"old")).exists()


async def test_a_tag_that_is_deleted(layout: Layout) -> None:
    """Its manifest stays; entries of others, and unknown keys, too."""
    await push(layout.repository("a"), image(b"a"), tag="v1")
    path = layout.directory / "index.json"
    document = json.loads(path.read_bytes())
    document["x"], document["manifests"] = 1, [*document["manifests"], {**document["manifests"][0], "annotations": {}}]
    path.write_text(json.dumps(document))
    await layout.untag({"a:v1"})
    await layout.delete("a", [image(b"a").digest])

    assert 1 == len(json.loads(path.read_bytes())["manifests"])
    assert 1 == json.loads(path.read_bytes())["x"]
    assert layout.blob(image(b"a").digest).exists()
    assert layout.blob(Digest.of(b"a")).exists()


async def test_nothing_is_deleted_where_it_is_not_known_what_is_needed(layout: Layout) -> None:
    """A manifest that rotted may name any blob."""
    await push(layout.repository("a"), image(b"a"), tag="v1")
    await push(layout.repository("b"), image(b"b"), tag="v1")
    layout.blob(image(b"b").digest).write_bytes(b"rotten")
    with pytest.raises(ContentError):
        await layout.delete("a", [image(b"a").digest])

    assert ("v1",) == await layout.repository("a").tags()
    assert layout.blob(Digest.of(b"a")).exists()
