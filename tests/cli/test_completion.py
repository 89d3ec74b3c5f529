"""Completion: the scripts of three shells, and the values that come of the configuration."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

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
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@dataclass(frozen=True, slots=True)
class Bash:
    """A bash at a terminal."""

    PROMPT: ClassVar[str] = "here> "
    terminal: int

    def run(self, line: str) -> str:
        """What it says until it is ready again, *line* as it is typed included."""
        os.write(self.terminal, f"{line}\n".encode())
        return self.answer()

    def answer(self) -> str:
        """What it says until it is ready."""
        said = ""
        while not said.endswith(self.PROMPT):
            assert select.select([self.terminal], [], [], 20)[0], said
            said += os.read(self.terminal, 4096).decode()
        return said


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
        (("sync", "--to", "oci:s"), ["oci:spare/"]),
        (("sync", "--to", "oci:spare/"), ["oci:spare/inner/"]),
        (("sync", "--to", "oci:nowhere/"), []),
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
    (tmp_path / "spare" / "inner").mkdir(parents=True)

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


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Bash]:
    """An interactive bash that has read the script, in a directory with something to complete."""
    (tmp_path / "mirror.toml").write_text(CONFIGURATION)
    (tmp_path / "image" / "inner").mkdir(parents=True)
    (tmp_path / "a.tar").write_text("")
    program = tmp_path / "bin" / "mirror"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = completion ] || [ "$_MIRROR_COMPLETE" ] || {{ printf "<%s>" "$@"; exit; }}\n'
        f'exec {sys.executable} -m mirror "$@"\n'
    )
    program.chmod(0o755)
    environ = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
        "PS1": Bash.PROMPT,
        "TERM": "dumb",
        "INPUTRC": "/dev/null",
        "HISTFILE": "",
    }
    master, slave = pty.openpty()
    command = ["bash", "--norc", "--noprofile", "-i"]
    with subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path, env=environ, start_new_session=True
    ) as process:
        os.close(slave)
        shell = Bash(master)
        shell.answer()
        shell.run("source <(mirror completion bash)")
        yield shell
        process.kill()
    os.close(master)


@pytest.mark.parametrize(
    ("typed", "ran"),
    [
        ("sync edge:", "<sync><edge:2>"),
        ("sync 2.", "<sync><2.19>"),
        ("sync --to sp", "<sync><--to><spare>"),
        ("sync --to=sp", "<sync><--to=spare>"),
        ("sync --to o", "<sync><--to><oci:>"),
        ("sync --to oci:im", "<sync><--to><oci:image/>"),
        ("sync --to=oci:im", "<sync><--to=oci:image/>"),
        ("sync --to oci:image/", "<sync><--to><oci:image/inner/>"),
        ("export edge:2 a.t", "<export><edge:2><a.tar>"),
        ("import a.t", "<import><a.tar>"),
    ],
)
def test_in_bash(bash: Bash, typed: str, ran: str) -> None:
    """What a word is completed to where it is typed: bash cuts words at colons."""
    assert ran in bash.run(f"mirror {typed}\t")
