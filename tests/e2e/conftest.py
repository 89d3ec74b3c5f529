"""What the end-to-end tests share: an upstream, and the program as a process."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import program
from tests.servers.upstream import Upstream, upstream_server

Start = Callable[..., "subprocess.Popen[str]"]
PEAK = """
import atexit, re
from pathlib import Path
peak = lambda: print(re.search(r"VmHWM:.*", Path("/proc/self/status").read_text())[0], file=sys.stderr)
atexit.register(peak)
"""
"""What `Start` is given as *prepare* for `peak_of`."""


def peak_of(err: str) -> int:
    """The most memory that the program had resident, in bytes, by what it said on stderr."""
    found = re.search(r"VmHWM:\s*(\d+) kB", err)
    assert found is not None, err
    return int(found[1]) * 1024


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream with one release."""
    with upstream_server() as running:
        running.publish()
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts the program in a directory of its own, with a configuration; nothing of the machine's is seen."""
    return partial(program.start, tmp_path)
