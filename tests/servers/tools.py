"""Programs that tests start: found on PATH, or built."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

_PROJECT = Path(__file__).resolve().parents[2]
_CACHE = _PROJECT / ".cache" / "tests"


def require(tool: str) -> str:
    """The path of *tool*; without it the test is skipped, or fails where `CI` is set."""
    path = shutil.which(tool)
    if path is None:
        absent(f"{tool} is not on PATH")
    return path


def absent(reason: str) -> NoReturn:
    """Skips the test for *reason*, or fails it where `CI` is set."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI needs it")
    pytest.skip(reason)


def built(name: str) -> Path:
    """The Go program in tests/tools/*name*, built once for what its sources are now."""
    go = require("go")
    folder = _PROJECT / "tests" / "tools" / name
    sources = hashlib.sha256(b"\0".join((folder / file).read_bytes() for file in ("main.go", "go.mod", "go.sum")))
    program = _CACHE / f"{name}-{sources.hexdigest()[:16]}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            command = [go, "build", "-trimpath", "-o", str(program), "."]
            made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
            if made.returncode:
                absent(f"go could not build tests/tools/{name}: {made.stderr[-1000:]}")
    return program
