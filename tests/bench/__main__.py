"""Measures the tools that are here in scenarios, and writes docs/performance.md.

    python -m tests.bench [SCENARIO...] [--runs N] [--tools A,B] [--patience SECONDS] [--only-write]

A scenario is a network and a transport:

    loop              loopback: what a tool itself costs      plain       http
    rtt40             a source 40 ms away                     tls         https, HTTP/2 offered
    rtt40-200mbit     … over 200 Mbit/s                       tls-http1   https, HTTP/2 not offered

The destination is always near. Any rttN and Nmbit works.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import report
from tests.bench.machine import facts
from tests.bench.page import RESULTS, replace_part
from tests.bench.scenario import Job
from tests.bench.tools import Tool, chosen, version_of

_BED = Path(__file__).with_name("bed.sh")
_RESULTS = RESULTS / "results.jsonl"
_SCENARIOS = ("loop-plain", "rtt40-plain", "rtt40-tls", "rtt40-tls-http1", "rtt40-200mbit-plain")
_SCENARIO = re.compile(r"(?:loop|rtt(?P<rtt>\d+)(?:-(?P<rate>\d+)mbit)?)-(?P<transport>plain|tls|tls-http1)")
_TRANSPORTS = {"plain": [], "tls": ["--tls"], "tls-http1": ["--tls", "--http1"]}
_NEEDS = ("ip", "cc", "openssl", "docker-registry")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=_SCENARIOS, metavar="SCENARIO")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tools", default="", help="names, separated by commas (default: all that are here)")
    parser.add_argument("--patience", type=float, default=15, help="seconds to wait for a quiet machine, each time")
    parser.add_argument("--only-write", action="store_true", help="measure nothing, write what was measured")
    arguments = parser.parse_args()
    if not arguments.only_write:
        bin_directory = os.environ.get("BENCH_BIN") or str(RESULTS / "bin")
        os.environ["PATH"] = f"{bin_directory}{os.pathsep}{os.environ['PATH']}"
        _measure(arguments)
    text = report.markdown(_RESULTS)
    print(text)
    replace_part("bench", text)


def _measure(arguments: argparse.Namespace) -> None:
    beds = {scenario: _bed_options(scenario) for scenario in arguments.scenarios}
    _require()
    tools = chosen([name for name in arguments.tools.split(",") if name])
    session = datetime.now(UTC).isoformat(timespec="seconds")
    _record_machine(session, tools)
    directory = str(RESULTS / "bed")
    environ = {"BENCH_NS": "mirror-bench-p", **os.environ, "BENCH_DIR": directory, "BENCH_PYTHON": sys.executable}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the bed is taken down
    try:
        for scenario, options in beds.items():
            _call(environ, "up", *options)
            job = Job(
                scenario=scenario,
                runs=arguments.runs,
                tools=[tool.name for tool in tools],
                patience_s=arguments.patience,
                session=session,
                directory=directory,
                results=str(_RESULTS),
            )
            _call(environ, "exec", sys.executable, "-m", "tests.bench.scenario", json.dumps(asdict(job)))
    finally:
        _call(environ, "down")


def _bed_options(scenario: str) -> list[str]:
    """What `bed.sh up` is told."""
    match = _SCENARIO.fullmatch(scenario)
    if not match:
        raise SystemExit(f"no such scenario: {scenario}; for instance {', '.join(_SCENARIOS)}")
    return ["--rtt", match["rtt"] or "0", "--rate", match["rate"] or "0", *_TRANSPORTS[match["transport"]]]


def _require() -> None:
    """Ends the process, and says what to do, where the bed cannot be built."""
    missing = [program for program in _NEEDS if not shutil.which(program)]
    if missing:
        raise SystemExit(f"there is no {' and no '.join(missing)} on PATH; `make bench-tools` installs what is needed")
    if os.geteuid():
        raise SystemExit("network namespaces are made by root alone: sudo make bench")


def _record_machine(session: str, tools: Sequence[Tool]) -> None:
    versions = {tool.program.rpartition("/")[2]: tool.told_version() for tool in tools}
    versions["docker-registry"] = version_of(["docker-registry", "--version"])
    _RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with _RESULTS.open("a") as file:
        file.write(json.dumps({"session": session, "machine": facts(), "versions": versions}) + "\n")


def _call(environ: Mapping[str, str], *command: str) -> None:
    """Runs bed.sh, which says itself what went wrong; if it fails, so do we."""
    status = subprocess.run([_BED, *command], env=environ, check=False).returncode
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
