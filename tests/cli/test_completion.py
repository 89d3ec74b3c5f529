"""Completion: the scripts of three shells, and the values that come of the configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import PROJECT

CONFIGURATION = """
releases = ["edge:2", "2.19"]
[destinations.production]
kind = "registry"
registry = "registry.example.com"
[destinations.spare]
kind = "registry"
registry = "spare.example.com"
"""


def completed(directory: Path, *words: str) -> list[str]:
    """What bash would offer for the last of *words*."""
    code = "import sys; from mirror.cli.main import main; main(sys.argv[1:])"
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "_MIRROR_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("mirror", *words)),
        "COMP_CWORD": str(len(words)),
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("sync", "--to", ""), ["production", "spare", "oci:"]),
        (("verify", "--to", "sp"), ["spare"]),
        (("sync", ""), ["edge:2", "2.19", "edge", "stable"]),
        (("plan", "s"), ["stable"]),
        (("plan", "--from", "s"), ["stable"]),
        (("overrides", "2"), ["2.19"]),
        (("images", "2"), ["2.19"]),
        (("path", "2"), ["2.19"]),
        (("path", "2.19", "s"), ["stable"]),
        (("diff", "2"), ["2.19"]),
        (("diff", "2.19", "s"), ["stable"]),
        (("doctor", "2"), ["2.19"]),
        (("export", "2"), ["2.19"]),
        (("rewrite", "--for", "2"), ["2.19"]),
        (("sync", "-o", ""), ["table", "json"]),
        (("completion", "z"), ["zsh"]),
        (("--config", "other.toml", "sync", "--to", ""), ["oci:"]),
    ],
    ids=" ".join,
)
def test_values(tmp_path: Path, words: tuple[str, ...], offered: list[str]) -> None:
    """Destinations, releases and channels are those of the configuration that holds."""
    (tmp_path / "mirror.toml").write_text(CONFIGURATION)
    (tmp_path / "other.toml").write_text("")

    assert offered == completed(tmp_path, *words)


def test_an_invalid_configuration(tmp_path: Path) -> None:
    """Completes what does not come of it, and says nothing."""
    (tmp_path / "mirror.toml").write_text("releases = 3")

    assert ["oci:"] == completed(tmp_path, "sync", "--to", "")
    assert ["table", "json"] == completed(tmp_path, "sync", "-o", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script(shell: str, tmp_path: Path) -> None:
    """Is one that the shell itself can read, where there is that shell."""
    command = [sys.executable, "-m", "mirror", "completion", shell]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)}
    script = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True).stdout

    assert f"_MIRROR_COMPLETE={shell}_complete" in script
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script, text=True, check=True)
