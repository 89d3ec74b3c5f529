"""Tar as an archive of ours has it: plain files one after the other, each in one form only (POSIX.1-2024 pax, ustar).

    header ─► content ─► zeros up to 512 bytes ─► … ─► two blocks of zeros, nothing after them

What is read is held to what would be written: a header of another form, a link, a device, a name that is not an image
layout's, bytes where zeros should be are refused by name. So no byte of an archive can change unseen: those of headers
and padding are held here, those of content to their digests (archive.py).
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mirror.errors import ArchiveError

BLOCK = 512
END = bytes(2 * BLOCK)
_EXTENDED_MAX = 1024  # bytes of what follows an extended header: a path and a size
_NAME = re.compile(r"oci-layout|index\.json|blobs/(sha256/[0-9a-f]{64}|sha512/[0-9a-f]{128})")
_RECORD = re.compile(rb"\d+ (path|size)=([^\n]*)\n")
_KINDS = {
    tarfile.DIRTYPE: "a directory",
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}

Read = Callable[[int, int], bytes]
"""The bytes from an offset on, as many as are asked for, fewer at the end only."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive: its content begins at *offset*."""

    name: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Where the padding ends, and the next header begins."""
        return self.offset + self.size + -self.size % BLOCK


def header(name: str, size: int) -> bytes:
    """What comes before the content of the file *name*: the same bytes each time; no owner, no date."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.PAX_FORMAT)


def padding(size: int) -> bytes:
    """What comes after *size* bytes of content."""
    return bytes(-size % BLOCK)


def members(read: Read, size: int, *, where: str) -> Iterator[Member]:
    """The files of an archive of *size* bytes, in their order; content is not looked at.

    Raises ArchiveError, which names *where* it is and what is wrong, for what `header` and `padding` do not make.
    """
    position = 0
    while (block := read(position, BLOCK)).strip(b"\0"):
        member = _member(read, position, block, where=where)
        if member.end > size:
            raise ArchiveError(
                f"{where} is cut off: {member.name} has {member.size} bytes, and {max(0, size - member.offset)} are "
                "left; copy the file again"
            )
        if read(member.offset + member.size, member.end - member.offset - member.size).strip(b"\0"):
            raise ArchiveError(f"{where}: after {member.name} there are bytes that nobody wrote; copy the file again")
        yield member
        position = member.end
    if size - position < len(END):
        raise ArchiveError(f"{where} is cut off: it ends after {position} bytes without an end; copy the file again")
    if size > position + len(END):
        raise ArchiveError(
            f"{where}: there are bytes after its end, at byte {position + len(END)}; copy the file again"
        )
    if read(position, len(END)) != END:
        raise ArchiveError(f"{where}: its end, at byte {position}, is damaged; copy the file again")


def _member(read: Read, position: int, block: bytes, *, where: str) -> Member:
    first = _parsed(block, position, where)
    extended = b""
    if first.type == tarfile.XHDTYPE:
        if not 0 <= first.size <= _EXTENDED_MAX:
            raise ArchiveError(f"{where}: the header at byte {position} is extended by {first.size} bytes, refused")
        extended = block + read(position + BLOCK, first.size + -first.size % BLOCK)
        block = read(position + len(extended), BLOCK)
        first = _parsed(block, position + len(extended), where)
    records = dict(_RECORD.findall(extended[BLOCK:]))
    name = records[b"path"].decode(errors="replace") if b"path" in records else first.name
    size = _number(records[b"size"]) if b"size" in records else first.size
    if first.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = _KINDS.get(first.type, f"of the type {first.type!r}")
        raise ArchiveError(f"{where}: {name[:140]!r} is {kind}: an archive of mirror's holds nothing but plain files")
    if not _NAME.fullmatch(name):
        raise ArchiveError(f"{where}: {name[:140]!r} is no name of a file in an image layout: mirror export wrote none")
    if size < 0 or header(name, size) != extended + block:
        raise ArchiveError(
            f"{where}: the header of {name} is not as mirror export writes it: it was altered, or packed"
        )
    return Member(name, position + len(extended) + BLOCK, size)


def _parsed(block: bytes, position: int, where: str) -> tarfile.TarInfo:
    if len(block) < BLOCK:
        raise ArchiveError(f"{where} is cut off: it ends after {position + len(block)} bytes; copy the file again")
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError as exc:
        if not position:
            raise ArchiveError(f"{where} is not an archive that mirror export wrote: it does not begin as tar") from exc
        raise ArchiveError(
            f"{where}: what should be a header, at byte {position}, is none; copy the file again"
        ) from exc


def _number(text: bytes) -> int:
    return int(text) if re.fullmatch(rb"[0-9]{1,18}", text) else -1
