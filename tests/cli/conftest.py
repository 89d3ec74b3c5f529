"""A desk: a directory with a configuration, and the program run in it as an operator would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from mirror.cli.main import run
from tests.servers.upstream import Upstream, upstream_server, write_toml

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Said:
    """How a run ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def sentences(self) -> list[str]:
        """What is told of errors on stderr, logs left out."""
        return [line.removeprefix("mirror: ") for line in self.err.splitlines() if line.startswith("mirror: ")]


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an operator works."""

    directory: Path
    upstream: Upstream
    capsys: pytest.CaptureFixture[str]

    def configure(self, **tables: Any) -> None:
        """mirror.toml puts the upstream in the place of the real one, with *tables* beside or merged."""
        write_toml(self.directory / "mirror.toml", self.upstream.document(**tables))

    def run(self, *arguments: str) -> Said:
        """Runs the program in this process; no traceback is ever shown."""
        self.capsys.readouterr()
        code = run(list(arguments))
        captured = self.capsys.readouterr()
        assert "Traceback" not in captured.err
        return Said(code, captured.out, captured.err)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Starts the program in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "mirror", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(PROJECT)} | environ,
        )

    def fed(self, stdin: IO[bytes] | int, *arguments: str) -> Said:
        """Runs the program in a process of its own, with that as stdin; a pipe has nothing in it."""
        with subprocess.Popen(
            [sys.executable, "-m", "mirror", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
        ) as process:
            out, err = process.communicate(timeout=60)
        return Said(process.returncode, out, err)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream with one release."""
    with upstream_server() as running:
        running.publish()
        yield running


@pytest.fixture
def desk(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    """A directory with a configuration of *upstream*; no Helm, no proxy, nothing of the machine's."""
    for variable in [name for name in os.environ if name.startswith("MIRROR_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    made = Desk(tmp_path, upstream, capsys)
    made.configure()
    return made
