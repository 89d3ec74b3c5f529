"""One scenario, inside of the bed: tools take turns, so that those which are compared ran next to each other.

    python -m tests.bench.scenario JOB       a Job as JSON; __main__.py calls it

A run of a tool starts from an empty destination and goes through three phases:

    cold      the first release, nothing there yet
    in step   the same again
    upgrade   the next release, which shares more than half of its bytes with the first

After each, the tags and all that they list are compared by digest with what upstream has; the registry itself refuses a
manifest whose blobs it lacks.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from mirror.oci.manifest import ACCEPT
from tests.bench import in_step
from tests.bench.machine import AccessLog, run, wait_for_quiet
from tests.bench.release import PREFIX, Inventory
from tests.bench.tools import OURS, Bed, Tool, chosen, environment, write_configuration

PHASES = {"cold": "edge-26.1.1", "in step": "edge-26.1.1", "upgrade": "edge-26.1.2"}
_READY_S = 10.0
_SKOPEO_CACHE = Path("/var/lib/containers/cache")


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be measured: *session* is when it was asked for, *results* where a line a measurement is added."""

    scenario: str
    runs: int
    tools: list[str]
    patience_s: float
    session: str
    directory: str
    results: str


@dataclass(slots=True)
class Destination:
    """The registry at the near end, empty whenever it is started."""

    bed: Bed
    directory: Path
    client: httpx.Client
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """What it says."""
        return self.directory / "run/destination.log"

    def start_empty(self) -> None:
        """It is up, and holds nothing."""
        self.stop()
        storage = self.directory / "storage/destination"
        shutil.rmtree(storage, ignore_errors=True)
        storage.mkdir()
        with self.log.open("wb") as log:
            command = ["docker-registry", "serve", self.directory / "run/destination.yml"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        (self.directory / "run/destination.pid").write_text(str(self._process.pid))  # for bed.sh, should we be killed
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            try:
                self.client.get("/v2/")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        raise SystemExit(f"the destination registry did not come up: see {self.log}")

    def stop(self) -> None:
        """It has ended."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None
            (self.directory / "run/destination.pid").unlink()

    def differences(self, inventory: Inventory, *, prefix: str = PREFIX) -> list[str]:
        """What a faithful copy would have below *prefix*, and this does not."""
        found = []
        for name, root in inventory.repositories.items():
            wanted = {inventory.tag: root} | {child: child for child in inventory.children[name]}
            for version, digest in wanted.items():
                answer = self.client.head(f"/v2/{prefix}/{name}/manifests/{version}", headers={"Accept": ACCEPT})
                if answer.headers.get("docker-content-digest") != digest:
                    found.append(f"{name}:{version} is answered with {answer.status_code}")
        return found


@dataclass(slots=True)
class Scenario:
    """The runs of one job."""

    job: Job
    bed: Bed
    destination: Destination

    @property
    def directory(self) -> Path:
        """The bed's."""
        return Path(self.job.directory)

    @property
    def work(self) -> Path:
        """A tool's home."""
        return self.directory / "work"

    def run_all(self) -> None:
        """Every run of every tool has a line in the results for each phase."""
        for at in range(self.job.runs):
            for tool in chosen(self.job.tools):
                self._run(tool, at)

    def _run(self, tool: Tool, at: int) -> None:
        self.destination.start_empty()
        shutil.rmtree(self.work, ignore_errors=True)
        for file in _SKOPEO_CACHE.iterdir():
            file.unlink()
        for phase, tag in PHASES.items():
            inventory = Inventory.load(self.directory / f"{tag}.json")
            write_configuration(self.work, self.bed, inventory)
            wait_for_quiet(self.job.patience_s)
            self._record(tool, at, phase, self._measured(tool, inventory))
            if tool is OURS and phase == "in step":
                environ = environment(self.work, self.bed, tool)
                self._record(tool, at, "in step, looked into", asdict(in_step.measured(self.work, tag, environ)))

    def _measured(self, tool: Tool, inventory: Inventory) -> dict[str, Any]:
        logs = [AccessLog(self.directory / "run/source.log"), AccessLog(self.destination.log)]
        output = self.directory / "run/tool.log"
        usage = run(
            ["bash", "-c", tool.line(self.bed, self.work, inventory.tag)],
            output=output,
            environ=environment(self.work, self.bed, tool),
            servers=[int(path.read_text()) for path in (self.directory / "run").glob("*.pid")],
        )
        requests = {end: log.requests() for end, log in zip(("source", "destination"), logs, strict=True)}
        differences = self.destination.differences(inventory)
        if usage.exit or differences:
            print(f"{tool.name} ended with {usage.exit}; {differences[:3]}\n{output.read_text()[-800:]}", flush=True)
        return asdict(usage) | {"requests": requests, "differences": len(differences)}

    def _record(self, tool: Tool, at: int, phase: str, row: dict[str, Any]) -> None:
        job = self.job
        known = {"session": job.session, "scenario": job.scenario, "tool": tool.name, "run": at, "phase": phase}
        with Path(job.results).open("a") as file:
            file.write(json.dumps(known | row) + "\n")
        told = {name: value for name, value in row.items() if name != "requests"}
        print(f"{job.scenario:20} {at} {tool.name:14} {phase:8} {told}", flush=True)


def main() -> None:
    """The command line; the mount namespace that `ip netns exec` has made is ours alone."""
    job = Job(**json.loads(sys.argv[1]))
    directory = Path(job.directory)
    bed = Bed(**json.loads((directory / "bed.json").read_text()))
    # Run as root, skopeo remembers blobs in one fixed folder: it is given one that nobody else sees.
    private = directory / "storage/skopeo-cache"
    private.mkdir(exist_ok=True)
    _SKOPEO_CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", private, _SKOPEO_CACHE], check=True)
    verify = ssl.create_default_context(cafile=bed.ca) if bed.ca else False
    url = f"{bed.scheme}://{bed.destination}"
    with httpx.Client(base_url=url, verify=verify, trust_env=False, timeout=20) as client:
        destination = Destination(bed, directory, client)
        try:
            Scenario(job, bed, destination).run_all()
        finally:
            destination.stop()


if __name__ == "__main__":
    main()
