"""`mirror export` and `mirror import`: files and pipes, what they say, and how they end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Desk
from tests.disks import small_disk
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, answer, becomes, corrupt
from tests.servers.upstream import NEXT, RELEASE, references, two_platforms

_, _, WEB, _ = references()


@pytest.fixture
def exported(desk: Desk) -> Path:
    """A file that has the release, as the program wrote it."""
    said = desk.run("export", RELEASE, "linkerd.tar")
    assert 0 == said.code, said.err
    return desk.directory / "linkerd.tar"


def test_a_file(desk: Desk, fake: FakeRegistry) -> None:
    """It says where images come from and how large it is; its counterpart what was brought."""
    out = desk.run("export", RELEASE, "linkerd.tar", "--to", f"{fake.host}/l5d")
    there = desk.run("import", "linkerd.tar", "--to", f"{fake.host}/inside")

    size = (desk.directory / "linkerd.tar").stat().st_size
    assert (0, 0) == (out.code, there.code)
    assert f"{RELEASE} from upstream: 4 images" in out.out
    assert f"linkerd.tar: {size / 1000:.0f} kB" in out.out
    assert "brought in step: 4 copied" in there.out
    assert "values for 3 charts in overrides/" in there.out
    assert not [each for each in desk.directory.iterdir() if each.name.startswith(".mirror-")]


def test_as_json(desk: Desk, fake: FakeRegistry) -> None:
    """One document each."""
    out = desk.run("export", RELEASE, "linkerd.tar", "-o", "json").document
    planned = desk.run("import", "linkerd.tar", "--to", f"{fake.host}/inside", "--plan", "-o", "json").document
    there = desk.run("import", "linkerd.tar", "--to", f"{fake.host}/inside", "-o", "json").document

    [release] = out["releases"]
    assert ("exported", "upstream", 4) == (release["outcome"], release["from"], len(release["images"]))
    assert (desk.directory / "linkerd.tar").stat().st_size == out["bytes"]
    assert ["copy"] * 7 == [each["action"] for each in planned["actions"]]
    assert ["synced"] == [each["outcome"] for each in there["releases"]]


def test_a_plan_writes_nothing(desk: Desk, exported: Path, fake: FakeRegistry) -> None:
    """It ends with 4, as there is something to do."""
    said = desk.run("import", str(exported), "--to", f"{fake.host}/inside", "--plan")

    assert 4 == said.code
    assert "7 to copy, 0 in step" in said.out
    assert {} == fake.repositories


def test_a_tag_that_is_taken(desk: Desk, exported: Path, fake: FakeRegistry) -> None:
    """Exit code 3; why, and that nothing was written."""
    fake.add("inside/web", two_platforms("somebody else's"), RELEASE)
    said = desk.run("import", str(exported), "--to", f"{fake.host}/inside")

    assert 3 == said.code
    assert "the tag was taken before we came" in said.out
    assert f"; to settle it: --accept {WEB}@sha256:" in "".join(said.out.split("\n"))
    assert said.out.endswith("nothing was written\n")
    assert ["inside/web"] == list(fake.repositories)


def test_an_acceptance_of_what_is_not_there(desk: Desk, exported: Path, fake: FakeRegistry) -> None:
    """Exit code 2, and nothing is written, on either side."""
    digest = desk.upstream.images[WEB].digest
    held = desk.run("import", str(exported), "--to", f"{fake.host}/inside", "--accept", f"{WEB}@{digest}")
    desk.upstream.publish(NEXT)
    next_one = f"{WEB.replace(RELEASE, NEXT)}@{digest}"
    there = desk.run("import", str(exported), "--to", f"{fake.host}/another", "--accept", next_one)
    here = desk.run("export", RELEASE, "new.tar", "--to", f"{fake.host}/inside", "--accept", next_one)
    both = desk.run("export", RELEASE, NEXT, "both.tar", "--to", f"{fake.host}/inside", "--accept", next_one)

    assert (0, 2, 2, 0) == (held.code, there.code, here.code, both.code)
    for said in (there, here):
        assert [f"--accept {WEB.replace(RELEASE, NEXT)}: no release that is asked for has it; did you mean {WEB}?"] == (
            said.sentences
        )
    assert not [path for path in fake.repositories if path.startswith("another/")]
    assert not (desk.directory / "new.tar").exists()


def test_through_pipes(desk: Desk, exported: Path, fake: FakeRegistry) -> None:
    """Out by stdout, nothing but the archive on it; in by stdin if that is a file, for it is read twice."""
    there = f"{fake.host}/inside"
    with desk.start("export", RELEASE, "-") as process:
        assert process.stdout is not None
        out = process.stdout.buffer.read()  # type: ignore[attr-defined]
    with exported.open("rb") as file:
        from_file = desk.fed(file, "import", "-", "--to", there, "--plan")
    piped = desk.fed(subprocess.PIPE, "import", "-", "--to", there)

    assert 0 == process.returncode
    assert (len(exported.read_bytes()), b"oci-layout") == (len(out), out[:10])
    assert 4 == from_file.code
    assert 2 == piped.code
    assert "stdin is a pipe" in piped.err
    assert "save it to a file first" in piped.err


def test_what_leads_nowhere(desk: Desk, exported: Path) -> None:
    """A file that is not there, and RECORD that is none: exit code 2, in one sentence."""
    missing = desk.run("import", "nowhere.tar")
    (desk.directory / "held.json").write_text("{}")
    record = desk.run("export", RELEASE, "other.tar", "--since", "held.json")
    as_json = desk.run("export", RELEASE, "-", "-o", "json")

    assert (2, 2, 2) == (missing.code, record.code, as_json.code)
    assert "nowhere.tar" in missing.err
    [sentence] = record.sentences
    assert "held.json does not say what the other side holds" in sentence
    assert not (desk.directory / "other.tar").exists()


@pytest.mark.parametrize("last", [NEXT, "edge", "edge:2", "2.19"])
def test_a_file_that_was_forgotten(desk: Desk, last: str) -> None:
    """Exit code 2: the last release is not taken for the name of the file."""
    said = desk.run("export", RELEASE, last)

    assert (2, "") == (said.code, said.out)
    assert f"the last argument is the file, and {last} names a release: give FILE.tar" in said.err
    assert not (desk.directory / last).exists()


@pytest.mark.parametrize("file", [f"{RELEASE}.tar", f"{RELEASE}-rc1.tar", "./edge"])
def test_a_file_that_is_called_like_a_release(desk: Desk, file: str) -> None:
    """It may be, as long as it does not look like one."""
    assert 0 == desk.run("export", RELEASE, file).code
    assert (desk.directory / file).is_file()


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Fault("GET .*/web/blobs/.*", becomes(corrupt), times=ALWAYS), "is corrupt"),
        (Fault("GET .*/web/blobs/.*", answer(404), times=ALWAYS), "404"),
    ],
    ids=["wrong bytes", "gone"],
)
def test_a_source_that_fails_on_the_way(desk: Desk, fault: Fault, word: str) -> None:
    """No file has the name, and none is left over; one that was there stays."""
    (desk.directory / "linkerd.tar").write_text("an earlier one")
    desk.upstream.registry.faults.append(fault)
    said = desk.run("export", RELEASE, "linkerd.tar")

    assert 1 == said.code
    [sentence] = said.sentences
    assert word in sentence
    assert "an earlier one" == (desk.directory / "linkerd.tar").read_text()
    assert not [each for each in desk.directory.iterdir() if each.name.startswith(".mirror-")]


def test_a_release_that_is_not_whole(desk: Desk) -> None:
    """Exit code 3, the image is named, and there is no file."""
    desk.upstream.remove(WEB)
    said = desk.run("export", RELEASE, "linkerd.tar")

    assert 3 == said.code
    assert f"refused {WEB}: the release names this image, and the source does not have it" in said.out
    assert said.out.endswith("nothing was written to linkerd.tar\n")
    assert not (desk.directory / "linkerd.tar").exists()


@pytest.mark.parametrize(
    ("file", "words"),
    [("nowhere/linkerd.tar", "nowhere/linkerd.tar cannot be written: there is no directory nowhere"),
     ("folder", "File 'folder' is a directory")],
)  # fmt: skip
def test_a_file_that_cannot_be(desk: Desk, file: str, words: str) -> None:
    """Exit code 2, before anything is asked of anybody."""
    (desk.directory / "folder").mkdir()
    said = desk.run("export", RELEASE, file)

    assert (2, "") == (said.code, said.out)
    assert words in said.err
    assert [] == desk.upstream.registry.requests + desk.upstream.charts.requests


def test_a_file_that_cannot_be_written(desk: Desk) -> None:
    """By the name that was typed."""
    said = desk.run("export", RELEASE, "/dev/full")

    assert (1, ["/dev/full: No space left on device"]) == (said.code, said.sentences)


def test_a_disk_that_is_full(desk: Desk) -> None:
    """Likewise; nothing is left of what was begun."""
    with small_disk(desk.directory / "small", 100_000):
        said = desk.run("export", RELEASE, "small/linkerd.tar")
        left = list((desk.directory / "small").iterdir())

    assert (1, ["small/linkerd.tar: No space left on device"]) == (said.code, said.sentences)
    assert [] == left


def test_what_is_no_archive(desk: Desk, fake: FakeRegistry) -> None:
    """Exit code 1; nothing is asked of the mirror."""
    (desk.directory / "linkerd.tar").write_bytes(b"PK\3\4" * 300)
    said = desk.run("import", "linkerd.tar", "--to", f"{fake.host}/inside")

    assert 1 == said.code
    assert ["linkerd.tar is not an archive that mirror export wrote: it does not begin as tar"] == said.sentences
    assert [] == fake.requests


def test_since(desk: Desk, exported: Path, fake: FakeRegistry) -> None:
    """What `mirror verify -o json` has said there, from a file."""
    there = f"{fake.host}/inside"
    assert 0 == desk.run("import", str(exported), "--to", there).code
    (desk.directory / "held.json").write_text(desk.run("verify", "--to", there, "-o", "json").out)
    desk.upstream.publish(NEXT)
    out = desk.run("export", NEXT, "next.tar", "--since", "held.json")
    again = desk.run("import", "next.tar", "--to", there)

    assert (0, 0) == (out.code, again.code)
    assert "left out that the other side holds" in out.out
    assert 0 == desk.run("verify", "--deep", "--to", there).code
