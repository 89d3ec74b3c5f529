"""A lock that processes share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mirror.lock import locked


def test_it_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """A sentence says for how long it was; it is free again afterwards."""
    path = tmp_path / "lock"
    with locked(path), pytest.raises(TimeoutError, match=r"^another process has held it for 0\.05 seconds$"):
        locked(path, wait_s=0.05).__enter__()

    locked(path, wait_s=0).__enter__()


def test_a_process_that_is_killed(tmp_path: Path) -> None:
    """Holds it no more."""
    path = tmp_path / "lock"
    hold = "from mirror.lock import locked; import pathlib, sys, time\n"
    hold += "with locked(pathlib.Path(sys.argv[1])): print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", hold, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(TimeoutError), locked(path, wait_s=0):
            pass
        holder.kill()

    locked(path, wait_s=0).__enter__()
