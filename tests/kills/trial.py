"""One case: something is done to a run, what is left is looked at, and a plain run completes it.

    SIGKILL     the process ends at once
    SIGTERM     it ends in words within GRACE_S, whether or not the request under way is ever answered
    full disk   a layout's file system is full; then it is not
    restart     the destination stops, and is back within seconds
    outage      the source stops, and is back after OUTAGE_S

When it is done is the case's own: at a request, by count, out of the whole range of a run.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Literal

from mirror.report import SyncReport
from tests import program
from tests.disks import small_disk
from tests.e2e.whole import broken_layout
from tests.faults import oracle
from tests.faults.bed import HOSTS, Bed, open_bed
from tests.kills.gate import Gate, gate_before
from tests.runs import only
from tests.servers.distribution import Distribution, docker_registry
from tests.servers.upstream import RELEASE

GRACE_S = 5.0
OUTAGE_S = 30.0
_RESTART_S = (0.1, 4.0)
_BOUND_S = 120.0
_DISK = (100_000, 1_700_000)  # the release has 1.3 MB

Kind = Literal["SIGKILL", "SIGTERM", "full disk", "restart", "outage"]


@dataclass(frozen=True, slots=True)
class Case:
    """The *number*-th of its kind; all that it does follows from both."""

    kind: Kind
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"

    @property
    def prefix(self) -> str:
        """Where it copies to."""
        return str(self).lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case; *ending* is how the process ended."""

    ending: str
    breaches: tuple[str, ...]
    seconds: float = 0.0


@dataclass(slots=True)
class Service:
    """docker-registry that can be stopped, and started again at the same address with the same content."""

    directory: Path
    _running: ExitStack = field(default_factory=ExitStack)
    _host: str = "127.0.0.1:0"

    def start(self) -> Distribution:
        """It runs."""
        found = self._running.enter_context(docker_registry(self.directory, address=self._host))
        self._host = found.host
        return found

    def stop(self) -> None:
        """It does not."""
        self._running.close()

    def __enter__(self) -> Distribution:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    code: int
    words: str
    after_s: float
    """Since what was done to it, or since it began."""

    @property
    def is_defect(self) -> bool:
        return "Traceback" in self.words or "defect of mirror" in self.words


@dataclass(slots=True)
class Trials:
    """Tries case after case on *bed*."""

    bed: Bed
    source: Service
    destination: Service
    total: int = 0
    """The requests of a run to which nothing is done."""
    storage: oracle.Storage = field(init=False)

    def __post_init__(self) -> None:
        self.storage = oracle.Storage(self.bed.destination)
        gate = Gate()
        ended = self._run("undisturbed", gate)
        if ended.code:
            raise RuntimeError(f"a run to which nothing is done ends with {ended.code}:\n{ended.words}")
        self.total = gate.count
        self.bed.forget("undisturbed")

    def attempt(self, case: Case) -> Outcome:
        """Does *case*, and judges what is left."""
        begin = time.monotonic()
        try:
            ending, breaches = self._full_disk(case) if case.kind == "full disk" else self._at_a_request(case)
        finally:
            self.bed.forget(case.prefix)
        return Outcome(ending, tuple(breaches), time.monotonic() - begin)

    def _at_a_request(self, case: Case) -> tuple[str, list[str]]:
        random = Random(str(case))
        gate = Gate(at=random.randint(1, self.total), holds=random.random() < 0.5)
        outage = threading.Thread()
        match case.kind:
            case "SIGKILL":
                gate.act = gate.kill
            case "SIGTERM":
                gate.act = gate.terminate
            case "restart":
                outage = _outage(gate, self.destination, random.uniform(*_RESTART_S))
            case "outage":
                outage = _outage(gate, self.source, OUTAGE_S)
        ended = self._run(case.prefix, gate)
        if outage.ident:
            outage.join()
        breaches = [f"{case.kind} at {gate.at} of {self.total}: {breach}" for breach in _ended_well(case.kind, ended)]
        breaches += oracle.whole(self.storage, case.prefix)
        is_done = ended.code == 0 and "referrers could not be read" not in ended.words
        breaches += oracle.completed(
            self.storage, case.prefix, self.bed.truth, lambda: self._plain(case.prefix), is_done=is_done
        )
        return f"exit code {ended.code}", breaches

    def _run(self, prefix: str, gate: Gate) -> Ended:
        """How the program ends that copies to *prefix* through *gate*."""
        with (
            tempfile.TemporaryDirectory() as directory,
            gate_before(self.bed.source.host, gate) as source,
            gate_before(self.bed.destination.host, gate) as destination,
        ):
            return _waited_for(gate, Path(directory), self.bed.document(prefix, source, destination))

    def _plain(self, prefix: str) -> SyncReport:
        return self.bed.sync(self.bed.document(prefix, self.bed.source.host, self.bed.destination.host))

    def _full_disk(self, case: Case) -> tuple[str, list[str]]:
        size = Random(str(case)).randint(*_DISK)
        with tempfile.TemporaryDirectory() as home, small_disk(Path(home) / "disk", size) as grow:
            layout = Path(home) / "disk" / "layout"
            document = self.bed.document("", self.bed.source.host, "") | {
                "destinations": {"test": {"kind": "layout", "directory": str(layout)}}
            }
            ended = _waited_for(Gate(), Path(home), document)
            is_full = "No space left on device" in ended.words
            breaches = [] if ended.code == 0 or (ended.code == 1 and is_full) else [f"{ended.code}: {ended.words}"]
            breaches += broken_layout(layout)
            grow()
            reports = [self.bed.sync(document) for _ in range(2)]
            if [0, "in_step"] != [reports[0].exit_code, only(reports[1]).outcome]:
                breaches.append(f"plain runs do not complete it: {'; '.join(map(oracle.reasons, reports))}")
            breaches += broken_layout(layout)
        return f"exit code {ended.code}", [f"a disk of {size} bytes: {breach}" for breach in breaches]


def _waited_for(gate: Gate, directory: Path, document: dict[str, Any]) -> Ended:
    begin = time.monotonic()
    with program.start(directory, document, "sync", RELEASE, "-o", "json") as process:
        gate.process = process
        gate.started.set()
        try:
            said, words = process.communicate(timeout=_BOUND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, words = process.communicate()
            words += f"\nit hangs: killed after {_BOUND_S:.0f} s"
        ended_at = time.monotonic()
        gate.ended.set()
    return Ended(process.returncode, f"{words}\n{said}", ended_at - (gate.acted_at or begin))


def _ended_well(kind: Kind, ended: Ended) -> Iterator[str]:
    """A sentence for each way in which a process must not end, after what was done to it."""
    said = "\n".join(ended.words.strip().splitlines()[-12:])
    if ended.is_defect or "it hangs" in ended.words:
        yield f"exit code {ended.code}: {said}"
    match kind:
        case "SIGTERM":
            if ended.code not in (0, 130, 143):
                yield f"it ends with {ended.code}, not 143 or 130"
            elif ended.code and "terminated" not in ended.words and "interrupted" not in ended.words:
                yield f"it ends with {ended.code}, and does not say so: {said}"
            if ended.after_s > GRACE_S:
                yield f"it takes {ended.after_s:.1f} s to end"
        case "SIGKILL":
            if ended.code not in (0, -9):
                yield f"it ends with {ended.code}: {said}"
        case _:
            if ended.code not in (0, 1):
                yield f"it ends with {ended.code}: {said}"
            if ended.code == 1 and not any(host in ended.words for host in (*HOSTS, "127.0.0.1:")):
                yield f"it fails, and names no host: {said}"


def _outage(gate: Gate, service: Service, down_s: float) -> threading.Thread:
    """When *gate* acts, *service* stops; the thread, which runs from then on, starts it again after *down_s*."""

    def back() -> None:
        time.sleep(down_s)
        service.start()

    thread = threading.Thread(target=back)

    def act() -> bool:
        service.stop()
        thread.start()
        return False

    gate.act = act
    return thread


@contextmanager
def bench() -> Iterator[Callable[[Case], Outcome]]:
    """A bed, on which case after case is tried."""
    services = list[Service]()

    def registry(directory: Path) -> Service:
        services.append(Service(directory))
        return services[-1]

    with tempfile.TemporaryDirectory() as directory, open_bed(Path(directory), registry=registry) as bed:
        source, destination = services
        yield Trials(bed, source, destination).attempt
