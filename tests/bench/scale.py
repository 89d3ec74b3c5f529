"""A mirror of many small releases: what planning it and a sync that finds it in step cost, by the number of releases.

    python -m tests.bench.scale [--count 1000] [--steps 4] [--write]

docker-registry is at both ends, on loopback; a release has eleven images, each tagged with it.
All releases are copied once, then an eighth, a quarter, half and all of them are planned and synced again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench import charts
from tests.bench.machine import AccessLog, Usage, facts, run
from tests.bench.page import RESULTS, machine_line, replace_part, table
from tests.bench.release import PREFIX, small, store
from tests.bench.tools import MIRROR, version_of
from tests.servers.distribution import Distribution, docker_registry
from tests.servers.process import running
from tests.servers.upstream import write_toml

MEMORY_MAX = 150_000_000  # bytes, of planning and of a sync in step


@dataclass(frozen=True, slots=True)
class Measured:
    """One command over *releases* releases, and the requests to source and destination."""

    command: str
    releases: int
    usage: Usage
    source: int
    destination: int

    @property
    def pace(self) -> float:
        """Releases a second."""
        return self.releases / self.usage.wall_s

    def row(self, first: Measured) -> list[str]:
        """Of a table; *first* is the same command over the fewest releases, which a linear cost is held to."""
        linear = first.usage.wall_s * self.releases / first.releases
        return [
            self.command,
            f"{self.releases:,}",
            f"{self.usage.wall_s:.2f}",
            f"{self.usage.cpu_s:.2f}",
            f"{self.usage.peak / 1e6:.0f}",
            f"{self.source:,}",
            f"{self.destination:,}",
            f"{self.pace:.1f}",
            f"{self.usage.wall_s / linear:.2f}",
        ]


HEADER = (
    "command",
    "releases",
    "wall s",
    "CPU s",
    "peak MB",
    "requests source",
    "requests destination",
    "releases a second",
    "× linear",
)


@dataclass(frozen=True, slots=True)
class Bed:
    """Two registries and a chart repository, and a configuration that knows them."""

    source: Distribution
    destination: Distribution
    work: Path

    def measure(self, command: str, releases: int) -> Measured:
        """`mirror COMMAND` over the newest *releases*; ends the process if it fails."""
        logs = AccessLog(self.source.log), AccessLog(self.destination.log)
        output = self.work / f"{command}-{releases}.log"
        usage = run(
            [*MIRROR, "--config", "mirror.toml", command, f"edge:{releases}", "--to", "scale"],
            output=output,
            environ={"PATH": os.environ["PATH"], "HOME": str(self.work)},
            cwd=self.work,
        )
        if usage.exit:
            raise SystemExit(f"mirror {command} ended with {usage.exit}: {output.read_text()[-2000:]}")
        return Measured(command, releases, usage, *(log.requests().total() for log in logs))


@contextlib.contextmanager
def bed(work: Path, count: int) -> Iterator[Bed]:
    """A bed whose upstream has *count* releases, whose destination has none."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    tags = [f"edge-26.1.{number}" for number in range(1, count + 1)]
    charts.build(work / "charts", tags)
    serve = [sys.executable, "-m", "tests.bench.charts", "serve", str(work / "charts"), "--listen", "127.0.0.1:0"]
    with (
        docker_registry(work / "source") as source,
        docker_registry(work / "destination") as destination,
        running(serve, log=work / "charts.log", ready=r"listening on (\S+)", environ=os.environ) as at,
    ):
        for tag in tags:
            store(source.root, tag, small)
        document = {
            "channels": {"edge": {"chart_repository": f"http://{at.group(1)}"}},
            "registries": {"ghcr.io": {"endpoint": source.url}},
            "destinations": {"scale": {"kind": "registry", "registry": destination.host, "prefix": PREFIX}},
            "policy": {"signatures": "off", "referrers": "off"},
        }
        write_toml(work / "mirror.toml", document)
        yield Bed(source, destination, work)


def measured(count: int, steps: int) -> Iterator[Measured]:
    """The first sync of all, then plan and sync by the number of releases, each told of as it is done."""
    begin = time.monotonic()
    with bed(RESULTS / "scale", count) as made:
        print(f"{count} releases are upstream after {time.monotonic() - begin:.0f} s", flush=True)
        cold = made.measure("sync", count)
        print(f"copied: {' | '.join(cold.row(cold))}", flush=True)
        for command in ("plan", "sync"):
            for step in reversed(range(steps)):
                one = made.measure(command, max(1, count >> step))
                print(" | ".join(one.row(one)), flush=True)
                yield one


_PROGRAMS = {"docker-registry": ("docker-registry",), "mirror": MIRROR}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="how many releases")
    parser.add_argument("--steps", type=int, default=4, help="how often the number is halved, and measured")
    parser.add_argument("--write", action="store_true", help="the table goes to docs/performance.md")
    arguments = parser.parse_args()
    found = list(measured(arguments.count, arguments.steps))
    firsts = {one.command: one for one in reversed(found)}
    text = table(HEADER, [one.row(firsts[one.command]) for one in found])
    print(text)
    if arguments.write:
        versions = {name: version_of([*command, "--version"]) for name, command in _PROGRAMS.items()}
        replace_part("scale", f"{machine_line(facts(), versions)}\n\n{text}")
    shutil.rmtree(RESULTS / "scale")
    if any(one.usage.peak > MEMORY_MAX for one in found):
        raise SystemExit(f"more than {MEMORY_MAX / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
