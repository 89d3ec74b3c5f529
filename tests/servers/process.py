"""A server process: started, waited for, ended by its id."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_READY_S = 30.0
_POLL_S = 0.02


@contextmanager
def running(command: Sequence[str], *, log: Path, ready: str, environ: Mapping[str, str]) -> Iterator[re.Match[str]]:
    """Runs *command* with its output in *log*; yields the first match of *ready* there."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=dict(environ))
    try:
        yield _wait(process, log, re.compile(ready))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()


def _wait(process: subprocess.Popen[bytes], log: Path, ready: re.Pattern[str]) -> re.Match[str]:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        if found := ready.search(text):
            return found
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}:\n{text[-4000:]}")
        time.sleep(_POLL_S)
    raise RuntimeError(
        f"{process.args!r} was not ready in {_READY_S:.0f} s:\n{log.read_text(errors='replace')[-4000:]}"
    )
