"""One seed: a run with its faults, judged; then plain runs, which must end in step, with all of the release there.

run with faults ──► told, kept, whole? ──► plain run ──► exit code 0? ──► in step, complete, whole?
"""

from __future__ import annotations

import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mirror.errors import MirrorError
from mirror.report import SyncReport
from tests.e2e.whole import look_at
from tests.faults import oracle
from tests.faults.bed import HOSTS, REFERENCES, Bed, last, name_of, open_bed
from tests.faults.gateway import Way, open_ways
from tests.faults.plan import Course, Plan
from tests.runs import only


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed."""

    seed: int
    ending: str
    """Of the run with faults: in step, in step but for a signature, failed, refused."""
    met: Counter[str]
    breaches: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(slots=True)
class Trial:
    """One seed on *bed*, over *ways*; *storage* is the destination's."""

    bed: Bed
    ways: tuple[Way, Way]
    storage: oracle.Storage
    seed: int
    breaches: list[str] = field(default_factory=list)

    def verdict(self) -> Verdict:
        """Runs all of it."""
        begin, prefix = time.monotonic(), f"seed-{self.seed}"
        plan = Plan.of(self.seed, self.bed.blobs)
        course = Course(plan, self.bed.large)
        try:
            report = self._run(prefix, course)
            ending = self._judge(prefix, report, course) if report else "failed"
            self._complete(prefix, course, is_done=ending == "in step")
        finally:
            self.bed.forget(prefix)
        seconds = time.monotonic() - begin
        return Verdict(self.seed, ending, course.met, tuple(self.breaches), seconds)

    def _run(self, prefix: str, course: Course | None, *, accept: Sequence[str] = ()) -> SyncReport | None:
        """One run; None if it ended with an error, which is a breach unless it is one of ours that says where."""
        for way in self.ways:
            way.begin(course, prefix)
        before = _threads()
        try:
            return self.bed.sync(self.bed.document(prefix, *(way.host for way in self.ways)), accept=accept)
        except TimeoutError:
            self.breaches.append("the run hangs")
        except MirrorError as exc:
            if not any(host in str(exc) for host in self._hosts):
                self.breaches.append(f"the run ends with an error that names no host: {exc}")
        except Exception as exc:  # noqa: BLE001  whatever it is, it is a defect
            self.breaches.append(f"unexpected {type(exc).__name__}: {exc}\n{traceback.format_exc()}")
        finally:
            if left := _threads() - before:
                self.breaches.append(f"threads work on after the run: {sorted(left)}")
        return None

    @property
    def _hosts(self) -> tuple[str, ...]:
        return (*HOSTS, *(way.host for way in self.ways))

    def _judge(self, prefix: str, report: SyncReport, course: Course) -> str:
        release = only(report)
        truth = self.bed.truth
        for name in course.stale:
            truth[last(name)].add(self.bed.older[name])
        stale = [*truth] if course.met["HEAD of an older image"] else []
        self.breaches += oracle.told(report, images=len(REFERENCES), hosts=self._hosts, stale=stale)
        self.breaches += oracle.kept(self.bed.destination.url, prefix, release.images, truth)
        self.breaches += oracle.whole(self.storage, prefix)
        if any(image.reason for image in release.images) and not report.exit_code:
            return "in step but for a signature"
        return {"in_step": "in step", "synced": "in step"}.get(release.outcome, release.outcome)

    def _complete(self, prefix: str, course: Course, *, is_done: bool) -> None:
        """A plain run brings all in step; it accepts the true digest of what an older one was seen of."""
        accept = [f"{ref}@{self.bed.images[name_of(ref)].digest}" for ref in REFERENCES if name_of(ref) in course.stale]
        truth = self.bed.truth
        for name in course.stale:
            if not name.startswith("linkerd/"):  # a third party's tag stays where it was first seen
                truth[last(name)].add(self.bed.older[name])
        self.breaches += oracle.completed(
            self.storage,
            prefix,
            truth,
            lambda: self._run(prefix, None, accept=accept),
            is_done=is_done and not accept,
        )
        if not self.breaches and not self._has_signature(prefix):
            self.breaches.append("a plain run leaves it without its signature")

    def _has_signature(self, prefix: str) -> bool:
        with look_at(self.bed.destination.url) as client:
            return bool(oracle.digest_at(client, f"{prefix}/{last(name_of(REFERENCES[0]))}", self.bed.signature))


@contextmanager
def bench() -> Iterator[Callable[[int], Verdict]]:
    """A bed, on which seed after seed is tried."""
    with tempfile.TemporaryDirectory() as directory, open_bed(Path(directory)) as bed, open_ways(bed) as ways:
        storage = oracle.Storage(bed.destination)
        yield lambda seed: Trial(bed, ways, storage, seed).verdict()


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if "process_request_thread" not in thread.name}


def command(seed: int) -> str:
    """What tries *seed* again."""
    return f"python -m tests.faults --start {seed} --seeds 1"
