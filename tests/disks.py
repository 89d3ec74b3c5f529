"""A file system that is soon full."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.tools import absent


@contextmanager
def small_disk(where: Path, size: int) -> Iterator[Callable[[], None]]:
    """A file system of *size* bytes at *where*, which is made; call what is given to make it large. Only for root."""
    where.mkdir()
    if _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)):
        absent("only root may mount a small file system")
    try:
        yield lambda: _grow(where)
    finally:
        subprocess.run(["/bin/umount", str(where)], check=True)


def _grow(where: Path) -> None:
    assert not _mount("-o", "remount,size=64m", str(where))


def _mount(*arguments: str) -> int:
    return subprocess.run(["/bin/mount", *arguments], check=False).returncode
