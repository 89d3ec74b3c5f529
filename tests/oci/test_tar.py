"""Tar in the one form that an archive has: what is written is read back, and everything else is refused by name."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import ArchiveError
from mirror.oci.content import Digest
from mirror.oci.tar import END, Member, header, members, padding

_BLOB = f"blobs/{Digest.of(b'one').algorithm}/{Digest.of(b'one').hex}"
_LONG = f"blobs/sha512/{Digest.of(b'one', 'sha512').hex}"
_NAMES = ["oci-layout", "index.json", _BLOB, _LONG]


def packed(*files: tuple[str, bytes], end: bytes = END) -> bytes:
    """An archive of *files*, as it is written."""
    return b"".join(header(name, len(data)) + data + padding(len(data)) for name, data in files) + end


def listed(raw: bytes) -> list[Member]:
    """What is in it."""
    return list(members(lambda offset, size: raw[offset : offset + size], len(raw), where="a.tar"))


def told(raw: bytes) -> str:
    """Why it is refused."""
    with pytest.raises(ArchiveError) as refused:
        listed(raw)
    return str(refused.value)


files = st.lists(st.tuples(st.sampled_from(_NAMES), st.binary(max_size=1100)), max_size=4)


@given(files)
def test_what_is_written_is_read(several: list[tuple[str, bytes]]) -> None:
    """Each file where its content is; a name that is too long for a plain header too."""
    raw = packed(*several)

    assert several == [(each.name, raw[each.offset : each.offset + each.size]) for each in listed(raw)]


@given(files)
def test_others_read_it(several: list[tuple[str, bytes]]) -> None:
    """It is tar."""
    with tarfile.open(fileobj=io.BytesIO(packed(*several)), mode="r:") as read:
        contents = [(each.name, (read.extractfile(each) or io.BytesIO()).read()) for each in read]

    assert several == contents


@given(st.data())
def test_no_byte_that_has_no_digest_changes_unseen(data: st.DataObject) -> None:
    """Of a header, of what extends it, of padding, of the end: each is refused, in one sentence."""
    raw = bytearray(packed(("oci-layout", b"x" * 30), (_LONG, b"y" * 600)))
    content = {at for each in listed(bytes(raw)) for at in range(each.offset, each.offset + each.size)}
    at = data.draw(st.sampled_from(sorted(set(range(len(raw))) - content)))
    raw[at] ^= data.draw(st.integers(1, 255))

    assert told(bytes(raw)).startswith("a.tar")


_WHOLE = packed(("oci-layout", b"x" * 30), (_BLOB, b"y" * 600))


@given(st.integers(0, len(_WHOLE) - 1))
def test_cut_off(size: int) -> None:
    """Anywhere: it is refused, and says so."""
    assert "a.tar is cut off" in told(_WHOLE[:size])


@given(st.binary(max_size=4096))
def test_anything_else(raw: bytes) -> None:
    """What is no archive is refused; nothing else is raised."""
    assert told(raw).startswith("a.tar")


def _member(kind: bytes, name: str = _BLOB, link: str = "", size: int = 0) -> bytes:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made.tobuf(tarfile.GNU_FORMAT)


def _tampered(name: str) -> bytes:
    made = tarfile.TarInfo(_BLOB)
    made.pax_headers = {"path": name}
    return made.tobuf(tarfile.PAX_FORMAT) + END


WRONG: dict[str, tuple[Callable[[], bytes], str]] = {
    "a path that leaves": (lambda: _member(tarfile.REGTYPE, "../../etc/cron.d/x") + END, "'../../etc/cron.d/x' is no"),
    "an absolute path": (lambda: _member(tarfile.REGTYPE, "/etc/passwd") + END, "'/etc/passwd' is no name"),
    "a path with a dot": (lambda: _member(tarfile.REGTYPE, "./index.json") + END, "'./index.json' is no name"),
    "another name": (lambda: _member(tarfile.REGTYPE, "manifest.json") + END, "'manifest.json' is no name"),
    "another digest": (lambda: _member(tarfile.REGTYPE, "blobs/md5/aa") + END, "'blobs/md5/aa' is no name"),
    "a name in an extended header": (lambda: _tampered("../../etc/passwd"), "'../../etc/passwd' is no name"),
    "a hard link": (lambda: _member(tarfile.LNKTYPE, link="/etc/shadow") + END, "is a hard link"),
    "a symbolic link": (lambda: _member(tarfile.SYMTYPE, link="/etc/shadow") + END, "is a symbolic link"),
    "a device": (lambda: _member(tarfile.BLKTYPE) + END, "is a device"),
    "another device": (lambda: _member(tarfile.CHRTYPE) + END, "is a device"),
    "a pipe": (lambda: _member(tarfile.FIFOTYPE) + END, "is a pipe"),
    "a directory": (lambda: _member(tarfile.DIRTYPE, "blobs") + END, "'blobs' is a directory"),
    "a sparse file": (lambda: _member(tarfile.GNUTYPE_SPARSE) + END, "is a sparse file"),
    "a long name of GNU's": (lambda: _member(tarfile.GNUTYPE_LONGNAME, size=1 << 40) + END, "is of the type b'L'"),
    "a header for all": (lambda: _member(tarfile.XGLTYPE, size=512) + bytes(512) + END, "is of the type b'g'"),
    "a huge size": (lambda: _member(tarfile.REGTYPE, size=1 << 60) + END, "not as mirror export writes it"),
    "a size of its own": (lambda: header(_BLOB, 1 << 30) + END, "is cut off: blobs/sha256/"),
    "a large extended header": (lambda: _member(tarfile.XHDTYPE, size=1 << 40) + END, "is extended by 1099511627776"),
    "a negative size": (lambda: _negative() + END, "not as mirror export writes it"),
    "an owner": (lambda: _owned() + END, "was altered, or packed"),
    "bytes after the end": (lambda: packed() + b"more", "there are bytes after its end, at byte 1024"),
    "no end": (lambda: packed(("oci-layout", b"x"), end=b""), "is cut off: it ends after 1024 bytes without an end"),
    "half an end": (lambda: packed(("oci-layout", b"x"), end=bytes(512)), "is cut off"),
    "nothing": (lambda: b"", "is cut off"),
    "another file": (lambda: b"PK\3\4" * 200, "it does not begin as tar"),
}


def _negative() -> bytes:
    made = bytearray(_member(tarfile.REGTYPE))
    made[124:136] = b"\xff" * 12  # base 256, as GNU has it
    made[148:156] = b" " * 8
    made[148:156] = f"{sum(made):06o}\0 ".encode()
    return bytes(made)


def _owned() -> bytes:
    made = tarfile.TarInfo(_BLOB)
    made.uid, made.uname = 1000, "somebody"
    return made.tobuf(tarfile.PAX_FORMAT)


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_refused(wrong: str) -> None:
    """By what is wrong with it; no size that it claims is read or kept."""
    make, reason = WRONG[wrong]

    assert reason in told(make())
