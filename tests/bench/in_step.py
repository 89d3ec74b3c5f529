"""What a run takes that finds everything in step: as a command, and in a service that has already started.

python -m tests.bench.in_step CONFIG RELEASE       syncs twice in one process; prints the seconds of the second
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mirror import logs, settings
from mirror.app import App
from mirror.cli.progress import QuietProgress
from tests.bench.tools import MIRROR


@dataclass(frozen=True, slots=True)
class InStep:
    """Seconds: of the whole command, of it after the first request was sent, of the second run of a service."""

    command_s: float
    after_first_request_s: float
    service_s: float


def measured(work: Path, release: str, environ: Mapping[str, str]) -> InStep:
    """Runs both over the configuration in *work*, whose destination holds *release*."""
    config = work / "mirror.toml"
    options = ["--config", str(config), "--log-level", "debug", "--log-format", "json"]
    begin = time.time()
    command = _done([*MIRROR, *options, "sync", release, "--to", "bench"], environ)
    end = time.time()
    service = _done([sys.executable, "-m", "tests.bench.in_step", str(config), release], environ)
    return InStep(round(end - begin, 3), round(end - _first_request(command.stderr), 3), float(service.stdout))


def _done(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done


def _first_request(log: str) -> float:
    """When the first request was sent: each is told of when it is answered, with the seconds that took."""
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return min(
        datetime.fromisoformat(event["timestamp"]).timestamp() - event["seconds"]
        for event in events
        if event["event"].startswith("http.") and "seconds" in event
    )


async def _second_run(config: Path, release: str) -> float:
    async with App(settings.load(config, {}).settings, os.environ) as app:
        for _ in range(2):
            begin = time.perf_counter()
            report = await app.syncer(QuietProgress(), "bench").sync(app.selectors([release]))
            seconds = time.perf_counter() - begin
    if report.exit_code:
        raise SystemExit(f"{release} is not in step: {report.document()}")
    return seconds


def main() -> None:
    """The command line."""
    logs.configure("json", "info")
    print(f"{asyncio.run(_second_run(Path(sys.argv[1]), sys.argv[2])):.3f}")


if __name__ == "__main__":
    main()
