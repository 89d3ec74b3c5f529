"""One process, and several that share the work by `--shard`: what a cold copy takes, in the bed of bed.sh.

    python -m tests.bench.shards [--runs 2] [--rtt 40 --rtt 200] [--shards 8] [--write]

    small    16 releases of 11 small images to one destination: each waits for the link, nobody for a processor
    full     two releases in Linkerd's size to two destinations: 2.2 GB to send; processors are what is short

Both over TLS. A run starts from an empty destination, and every tag and child manifest is compared with upstream's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from mirror.shard import Shard
from tests.bench import charts
from tests.bench.machine import AccessLog, Usage, facts, run, wait_for_quiet
from tests.bench.page import RESULTS, machine_line, replace_part, table
from tests.bench.release import PREFIX, Inventory, small, store
from tests.bench.scenario import Destination
from tests.bench.tools import MIRROR, Bed, version_of
from tests.servers.upstream import write_toml

_BED = Path(__file__).with_name("bed.sh")
_FULL = ("edge-26.1.1", "edge-26.1.2")
_SMALL = tuple(f"edge-26.2.{number}" for number in range(1, 17))
_NAMES: Mapping[str, tuple[str, ...]] = {"small": ("first",), "full": ("first", "second")}
_QUIET_S = 5.0
_PROGRAMS = {"docker-registry": ("docker-registry",), "mirror": MIRROR}
HEADER = (
    "source away",
    "work",
    "processes",
    "runs",
    "wall s (range)",
    "CPU s",
    "peak MB",
    "requests source",
    "requests destination",
)


@dataclass(frozen=True, slots=True)
class Job:
    """What is measured inside of the bed, *results* where for each measurement a line is added."""

    rtt: int
    """Milliseconds to the source."""
    runs: int
    shards: int
    directory: str
    results: str


@dataclass(frozen=True, slots=True)
class Work:
    """Releases that are brought to destinations."""

    name: str
    releases: tuple[str, ...]

    @property
    def destinations(self) -> tuple[str, ...]:
        """Their names; each is a prefix of the one registry."""
        return _NAMES[self.name]

    def shares(self, count: int) -> list[int]:
        """How many pairs of release and destination each of *count* shards has."""
        pairs = [(release, name) for release in self.releases for name in self.destinations]
        return [sum(Shard(at, count).takes(*pair) for pair in pairs) for at in range(count)]


WORKS = (Work("small", _SMALL), Work("full", _FULL))


def _measured(job: Job, bed: Bed, destination: Destination) -> Iterator[dict[str, Any]]:
    directory = Path(job.directory)
    inventories = {tag: store(directory / "storage/source", tag, small) for tag in _SMALL}
    inventories |= {tag: Inventory.load(directory / f"{tag}.json") for tag in _FULL}
    charts.build(directory / "charts", [*_FULL, *_SMALL])
    for at in range(job.runs):
        for work in WORKS:
            for processes in (1, job.shards):
                usage, source, there = _run(directory, bed, destination, work, processes)
                differences = [
                    found
                    for name in work.destinations
                    for tag in work.releases
                    for found in destination.differences(inventories[tag], prefix=f"{PREFIX}/{name}")
                ]
                if usage.exit or differences:
                    raise SystemExit(f"{work.name} by {processes}: ended with {usage.exit}; {differences[:3]}")
                row = {
                    "rtt": job.rtt,
                    "run": at,
                    "work": work.name,
                    "processes": processes,
                    "source": source,
                    "destination": there,
                }
                yield row | asdict(usage)


def _run(directory: Path, bed: Bed, destination: Destination, work: Work, processes: int) -> tuple[Usage, int, int]:
    home = directory / "work"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    write_toml(home / "mirror.toml", _configuration(bed, work))
    destination.start_empty()
    wait_for_quiet(_QUIET_S)
    logs = AccessLog(directory / "run/source.log"), AccessLog(destination.log)
    sync = f"{MIRROR[0]} --config mirror.toml sync --shard @/{processes} -o json"
    usage = run(
        ["bash", "-c", f"seq 0 {processes - 1} | xargs -P{processes} -I@ {sync}"],
        output=directory / "run/tool.log",
        environ={"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8"},
        cwd=home,
        servers=[int(path.read_text()) for path in (directory / "run").glob("*.pid")],
    )
    source, there = (log.requests().total() for log in logs)
    return usage, source, there


def _configuration(bed: Bed, work: Work) -> dict[str, Any]:
    def registry(host: str) -> dict[str, str]:
        return {"endpoint": f"{bed.scheme}://{host}", "ca_file": bed.ca}

    return {
        "releases": list(work.releases),
        "channels": {"edge": {"chart_repository": bed.charts}},
        "registries": {"ghcr.io": registry(bed.source), bed.destination: registry(bed.destination)},
        "destinations": {
            name: {"kind": "registry", "registry": bed.destination, "prefix": f"{PREFIX}/{name}"}
            for name in work.destinations
        },
        "policy": {"signatures": "off", "referrers": "off"},
    }


def _inside(job: Job) -> None:
    bed = Bed(**json.loads((Path(job.directory) / "bed.json").read_text()))
    context = ssl.create_default_context(cafile=bed.ca)
    url = f"{bed.scheme}://{bed.destination}"
    with httpx.Client(base_url=url, verify=context, trust_env=False, timeout=20) as client:
        destination = Destination(bed, Path(job.directory), client)
        try:
            with Path(job.results).open("a", buffering=1) as results:
                for row in _measured(job, bed, destination):
                    results.write(json.dumps(row) + "\n")
                    print(row, flush=True)
        finally:
            destination.stop()


def _text(rows: Sequence[dict[str, Any]], shards: int) -> str:
    by_kind: dict[tuple[int, str, int], list[dict[str, Any]]] = {}
    for row in rows:
        by_kind.setdefault((row["rtt"], row["work"], row["processes"]), []).append(row)
    lines = [[f"{rtt} ms", work, str(processes), *_cells(of)] for (rtt, work, processes), of in by_kind.items()]
    shares = "; ".join(f"{work.name}: {', '.join(map(str, sorted(work.shares(shards))))}" for work in WORKS)
    foreign = [row["foreign_cores"] for row in rows]
    versions = {name: version_of([*command, "--version"]) for name, command in _PROGRAMS.items()}
    return (
        f"{machine_line(facts(), versions)}\n\n{table(HEADER, lines)}\n\n"
        f"Pairs of release and destination in each of the {shards} shards: {shares}.\n"
        f"Meanwhile others used {min(foreign):.1f} to {max(foreign):.1f} cores of the machine."
    )


def _cells(rows: Sequence[dict[str, Any]]) -> list[str]:
    walls = [row["wall_s"] for row in rows]
    return [
        str(len(rows)),
        f"{median(walls):.2f} ({min(walls):.2f}–{max(walls):.2f})",
        f"{median(row['cpu_s'] for row in rows):.2f}",
        f"{median(row['peak'] for row in rows) / 1e6:.0f}",
        *(f"{median(row[end] for row in rows):,.0f}" for end in ("source", "destination")),
    ]


def _outside(arguments: argparse.Namespace) -> None:
    directory, results = str(RESULTS / "shards-bed"), RESULTS / "shards.jsonl"
    environ = {"BENCH_NS": "mirror-bench-s", **os.environ, "BENCH_DIR": directory, "BENCH_PYTHON": sys.executable}
    results.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the bed is taken down
    try:
        for rtt in arguments.rtt or (40, 200):
            job = Job(rtt, arguments.runs, arguments.shards, directory, str(results))
            subprocess.run([_BED, "up", "--rtt", str(rtt), "--tls"], env=environ, check=True)
            inside = [sys.executable, "-m", "tests.bench.shards", "--inside", json.dumps(asdict(job))]
            subprocess.run([_BED, "exec", *inside], env=environ, check=True)
    finally:
        subprocess.run([_BED, "down"], env=environ, check=False)
    text = _text([json.loads(line) for line in results.read_text().splitlines()], arguments.shards)
    print(text)
    if arguments.write:
        replace_part("shards", text)


def main() -> None:
    """The command line; needs what tests.bench needs, and root."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--rtt", type=int, action="append", help="milliseconds to the source (default: 40, then 200)")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="the table goes to docs/performance.md")
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        _inside(Job(**json.loads(arguments.inside)))
    else:
        _outside(arguments)


if __name__ == "__main__":
    main()
