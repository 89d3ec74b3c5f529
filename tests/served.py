"""`mirror serve` as a process, in a directory of its own: its log, what it answers, its end."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.program import PROJECT
from tests.servers.upstream import write_toml
from tests.waiting import wait_for

_END_S = 20.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended."""

    code: int
    seconds: float
    """After the signal."""
    told: str
    """What it wrote that is no line of its log."""


@dataclass(slots=True)
class Served:
    """A running service."""

    process: subprocess.Popen[bytes]
    directory: Path
    log: Path
    _read: int = 0
    _events: list[dict[str, Any]] | None = None

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of its log so far; each is read once."""
        if self._events is None:
            self._events = []
        with self.log.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        self._events += [json.loads(line) for line in whole.decode().splitlines() if line.startswith("{")]
        return self._events

    def named(self, event: str, **having: Any) -> list[dict[str, Any]]:
        """The events of that name which have these keys."""
        return [each for each in self.events if each["event"] == event and having.items() <= each.items()]

    def wait(self, event: str, *, count: int = 1, timeout_s: float = 30.0, **having: Any) -> dict[str, Any]:
        """The *count*-th such event, once it is there."""

        def found() -> dict[str, Any] | None:
            seen = self.named(event, **having)
            if len(seen) < count and self.process.poll() is not None:
                raise AssertionError(f"it has ended with {self.process.returncode}: {self.said()}")
            return seen[count - 1] if len(seen) >= count else None

        return wait_for(found, timeout_s=timeout_s, said=self.said)  # type: ignore[return-value]  # it is not None then

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-4000:]

    @property
    def listen(self) -> str:
        """`HOST:PORT`."""
        return str(self.wait("service.started")["listen"])

    def get(self, path: str) -> tuple[int, str]:
        """The status and the body of the answer to a GET."""
        connection = http.client.HTTPConnection(self.listen, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def configure(self, document: Mapping[str, Any]) -> None:
        """Its file holds *document*, all at once; it is told so."""
        write_toml(self.directory / "new.toml", document).replace(self.directory / "mirror.toml")
        self.process.send_signal(signal.SIGHUP)

    def end(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        """Asks it to end."""
        self.process.send_signal(number)
        return self.ended(time.monotonic())

    def ended(self, since: float) -> Ended:
        """How it ended, waited for."""
        code = self.process.wait(_END_S)
        lines = self.log.read_text().splitlines()
        told = "\n".join(line for line in lines if not line.startswith("{"))
        return Ended(code, time.monotonic() - since, told)


@contextmanager
def served(directory: Path, document: Mapping[str, Any], *, prepare: str = "", path: str = "") -> Iterator[Served]:
    """Runs the service with *document*, at a port of its own; *prepare* is run before it, *path* is its PATH."""
    directory.mkdir(parents=True, exist_ok=True)
    write_toml(directory / "mirror.toml", {"server": {"listen": "127.0.0.1:0"}, **document})
    log = directory / "log"
    code = f"import sys\nfrom mirror.cli.main import main\n{prepare}\nmain(['serve'])"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            env={"PATH": path or "/nowhere", "HOME": str(directory), "PYTHONPATH": str(PROJECT)},
        )
    try:
        yield Served(process, directory, log)
    finally:
        process.kill()
        process.wait()
