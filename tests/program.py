"""The program as a process, in a directory of its own; nothing of the machine's configuration is seen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.servers.upstream import write_toml

PROJECT = Path(__file__).parents[1]


def start(directory: Path, document: Mapping[str, Any], *arguments: str, prepare: str = "") -> subprocess.Popen[str]:
    """Starts the program in *directory* with *document* as its configuration; *prepare* is run before it."""
    write_toml(directory / "mirror.toml", document)
    code = f"import sys\nfrom mirror.cli.main import main\n{prepare}\nmain(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "PYTHONPATH": str(PROJECT)},
    )
