"""A registry with the referrers API: olareg (github.com/olareg/olareg), in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import running
from tests.servers.tools import built


@contextmanager
def olareg(directory: Path) -> Iterator[str]:
    """Runs olareg with its log in *directory*, which is made; yields `HOST:PORT`."""
    program = built("go")
    directory.mkdir(parents=True)
    environ = {"PATH": os.environ["PATH"]}
    with running([str(program)], log=directory / "log", ready=r"(?m)^(127\.0\.0\.1:\d+)$", environ=environ) as at:
        yield at.group(1)
