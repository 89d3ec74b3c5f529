"""A lock that processes share: a file, held by flock, so that whoever is gone holds it no more."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

WAIT_S = 60.0
_POLL_S = 0.01


@contextmanager
def locked(path: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Nobody else holds *path*, which is made, while this lasts; blocks.

    Raises TimeoutError where somebody else has held it for *wait_s*, and another OSError where it cannot be opened.
    """
    with path.open("ab") as file:
        deadline = time.monotonic() + wait_s
        # By polling: a thread that blocks in flock could not be interrupted.
        while not try_lock(file):
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has held it for {wait_s:g} seconds")
            time.sleep(_POLL_S)
        yield


def try_lock(file: BinaryIO) -> bool:
    """*file* is locked until it is closed; False where somebody else holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
