"""What the end-to-end tests share: an upstream, and the program as a process."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import program
from tests.servers.upstream import Upstream, upstream_server

Start = Callable[..., "subprocess.Popen[str]"]


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
