"""A base for the image, made by debootstrap: Debian with Python and certificates, in place of the official image."""

from __future__ import annotations

import fcntl
import platform
import subprocess
from pathlib import Path

from tests.servers.tools import require

SUITE = "trixie"
"""That of the official image which the Dockerfile names, so that the Python is the same one."""
_INCLUDED = "ca-certificates,python3,python3-venv"
_LEFT_OUT = (  # what Debian's slim images leave out, and devices, which a runtime makes
    *("dev", "proc", "sys", "var/cache/apt", "var/lib/apt/lists", "var/log"),
    *("usr/share/doc", "usr/share/locale", "usr/share/man"),
)
_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "tests"


def debian(scratch: Path) -> Path:
    """An archive of the file system, made once in *scratch* and kept; needs root and the network."""
    archive = _CACHE / f"debian-{SUITE}-{platform.machine()}.tar"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with archive.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            _make(scratch / "debian", archive)
    return archive


def _make(root: Path, archive: Path) -> None:
    # Without a mirror's address: debootstrap's own, or the one that $MIRROR or the machine's proxy says.
    command = [require("debootstrap"), "--variant=minbase", f"--include={_INCLUDED}", SUITE, str(root)]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert 0 == made.returncode, f"{made.stdout[-2000:]}{made.stderr[-2000:]}"
    partial = archive.with_suffix(".partial")
    left_out = [f"--exclude=./{path}/*" for path in _LEFT_OUT]
    subprocess.run(
        ["tar", "--create", "--numeric-owner", *left_out, f"--file={partial}", f"--directory={root}", "."], check=True
    )
    partial.rename(archive)
    subprocess.run(["rm", "--recursive", "--one-file-system", str(root)], check=True)
