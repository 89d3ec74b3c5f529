"""`mirror serve` as a process, and what its /metrics says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.program import PROJECT
from tests.servers.upstream import write_toml

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of /metrics."""

    text: str
    series: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def parsed(cls, text: str) -> Scrape:
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        return cls(text, {(one.name, frozenset(one.labels.items())): one.value for one in samples})

    def of(self, name: str, **labels: str) -> dict[frozenset[tuple[str, str]], float]:
        """The series of *name* that have *labels*, by their other labels."""
        wanted = set(labels.items())
        return {told - wanted: value for (own, told), value in self.series.items() if own == name and wanted <= told}

    def value(self, name: str, **labels: str) -> float | None:
        """Of the one series of *name* with just *labels*; None where there is none."""
        return self.series.get((name, frozenset(labels.items())))

    def sum(self, name: str, **labels: str) -> float:
        """Of all series of *name* that have *labels*."""
        return sum(self.of(name, **labels).values())


@dataclass(frozen=True, slots=True)
class Served:
    """A running service: *directory* has its configuration and its log."""

    url: str
    directory: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str, accept: str = "") -> tuple[str, str]:
        """Body and content type."""
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers={"Accept": accept})) as answer:
            return answer.read().decode(), answer.headers["content-type"]

    def scrape(self) -> Scrape:
        return Scrape.parsed(self.get("/metrics")[0])

    def until(self, is_so: Callable[[Scrape], object]) -> Scrape:
        """The first scrape of which *is_so*."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_so(scrape := self.scrape()):
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not so within {PATIENCE_S:.0f} s:\n{scrape.text}\n{self.log.read_text()[-3000:]}"
                )
            time.sleep(0.05)
        return scrape

    def reload(self, document: Mapping[str, Any]) -> None:
        """*document* is its configuration now; a run by it follows."""
        write_toml(self.directory / "mirror.toml", document)
        self.process.send_signal(signal.SIGHUP)

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def events(self, name: str) -> list[dict[str, Any]]:
        """What was logged as *name*."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]


@contextmanager
def served(directory: Path, document: Mapping[str, Any]) -> Iterator[Served]:
    """Runs the service in *directory*, with *document* as its configuration, until the end of the context."""
    write_toml(directory / "mirror.toml", document)
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONPATH": str(PROJECT)}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mirror", "serve"], cwd=directory, env=environ, stdout=log, stderr=log
        )
    try:
        yield Served(_url(process, directory / "log"), directory, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r'"listen": "(127\.0\.0\.1:\d+)"', log.read_text()):
            return f"http://{found[1]}"
        time.sleep(0.05)
    raise AssertionError(f"the service did not start:\n{log.read_text()}")
