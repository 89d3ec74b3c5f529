"""The bed, the service on it, and the hours: all is done to it, what it has is sampled, and what it tells is judged."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from structlog.testing import capture_logs

from mirror.service.ledger import RUNS_KEPT
from tests.content import Image, image, push
from tests.e2e.whole import broken
from tests.faults.bed import BASE, LARGE, REFERENCES, Bed, last, name_of, open_bed
from tests.faults.gateway import Way, open_ways
from tests.faults.plan import KINDS, Course, Plan
from tests.kills.trial import Service as Registry
from tests.served import Ended, Served, served
from tests.servers.client import open_registry
from tests.servers.upstream import RELEASE, two_platforms
from tests.soak.figures import Memory, Sample, leaks, unaccounted
from tests.soak.troubles import Trouble, troubles
from tests.waiting import wait_for

_PREFIX = "soak"
_SAMPLE_EVERY_S = 10.0
_DOWN_S = (2.5, 20.0)  # short enough to be waited for, and not
_RATE = 0.15
_REST_S = 120.0
_END_S = 5.0
# It would be recorded, and then be refused until a human accepts what upstream really has: for tests.faults to judge.
_FOR_GOOD = "HEAD of an older image"
_LINE = re.compile(r"^mirror_runs_total(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured, and which promises were broken."""

    seconds: float
    samples: tuple[Sample, ...]
    before: Sample
    after: Sample
    runs: Counter[str]
    """By what was done and how it ended."""
    copied: int
    """Images."""
    sent: int
    """Bytes."""
    done: Counter[str]
    met: Counter[str]
    """Faults, by kind."""
    breaches: tuple[str, ...]

    @property
    def memory(self) -> Memory:
        """How it went."""
        return Memory.of(self.samples)


@dataclass(slots=True)
class Soak:
    """A service on *bed* for so many *seconds*."""

    bed: Bed
    ways: tuple[Way, Way]
    registries: dict[str, Registry]
    seconds: float
    every: str
    seed: int
    tell: Callable[[str], None]
    breaches: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    _releases: int = 1
    _taken: tuple[str, Image] | None = None
    _course: Course | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The configuration."""
        schedule = {"every": self.every, "jitter": "0s", "retry_after_failure": "2s", "deep_verify": "33s"}
        document = self.bed.document(_PREFIX, *(way.host for way in self.ways))
        return document | {"releases": ["edge:2"], "schedule": schedule}

    def run(self, directory: Path) -> Outcome:
        """All of it."""
        with served(directory, self.document) as service:
            for number in (1, 2, 3):
                service.wait("service.run_ended", count=number)
            begin = time.monotonic()
            before = self._go_through(service, begin)
            after = self._come_to_rest(service)
            told, counted, shown = _told(service)
            ended = service.end()
            events = service.events
        self._judge(events, ended, told, counted, shown)
        self.breaches += leaks(self.samples, before, after)
        self.breaches += broken(self.bed.destination.url, _PREFIX)
        runs = [each for each in events if each["event"] == "service.run_ended"]
        return Outcome(
            seconds=time.monotonic() - begin,
            samples=tuple(self.samples),
            before=before,
            after=after,
            runs=Counter(f"{each['work']} {each['outcome']}" for each in runs),
            copied=sum(each.get("copied", 0) for each in runs),
            sent=sum(each["bytes"] for each in runs),
            done=self.done,
            met=self.met,
            breaches=tuple(self.breaches),
        )

    def _go_through(self, service: Served, begin: float) -> Sample:
        """Everything is done in its time; what the process had at rest after a quarter of that."""
        waiting, next_sample, before = troubles(self.seconds, self.seed), 0.0, None
        while (at_s := time.monotonic() - begin) < self.seconds:
            if service.process.poll() is not None:
                raise RuntimeError(f"the service has ended with {service.process.returncode}: {service.said()}")
            while waiting and waiting[0].at_s <= at_s:
                self._do(waiting.pop(0), service)
            if at_s >= next_sample:
                self._sample(service, at_s)
                next_sample += _SAMPLE_EVERY_S
            if before is None and at_s > self.seconds / 4 and _is_at_rest(service):
                before = sampled(service.process.pid, at_s)
            time.sleep(0.2)
        assert before is not None, "it was never at rest"
        return before

    def _sample(self, service: Served, at_s: float) -> None:
        self.samples.append(sampled(service.process.pid, at_s))
        for path in ("/livez", "/readyz", "/metrics", "/"):
            status, words = service.get(path)
            if status not in (200, 404):
                self.breaches.append(f"{path} answers {status} after {at_s:.0f} s: {words.strip()}")
        if len(self.samples) % 6 == 1:
            now, ended = self.samples[-1], service.named("service.run_ended")
            self.tell(
                f"{at_s:6.0f} s  {now.rss:7} KiB  {now.files:3} files  {now.threads:3} threads  {len(ended)} runs"
            )

    def _come_to_rest(self, service: Served) -> Sample:
        """What the process has when nothing was done to it for a while, all being in step."""
        since = len(service.named("service.run_ended"))

        def is_in_step() -> bool:
            ended = service.named("service.run_ended")[since:]
            is_verified = any(each["work"] == "deep_verify" and each["outcome"] == "in_step" for each in ended)
            return is_verified and any(each["outcome"] == "in_step" for each in ended if each["work"] == "sync")

        wait_for(is_in_step, timeout_s=_REST_S, said=service.said)
        wait_for(lambda: _is_at_rest(service))
        return sampled(service.process.pid, self.seconds)

    def _judge(
        self, events: list[dict[str, Any]], ended: Ended, told: int, counted: int | None, shown: list[int] | None
    ) -> None:
        numbers = {name: [each["run"] for each in events if each["event"] == name] for name in _OF_A_RUN}
        self.breaches += unaccounted(*(numbers[name] for name in _OF_A_RUN), told, counted, shown, RUNS_KEPT)
        for event in ("service.run_broke", "log.passed_on", "schedule.clock_moved"):
            if found := [each for each in events if each["event"] == event]:
                self.breaches.append(f"{len(found)} times {event}: {json.dumps(found[0])}")
        for event, kind in (("loaded", "reload"), ("refused", "reload refused")):
            seen = sum(each["event"] == f"service.configuration_{event}" for each in events)
            wanted = self.done[kind] + (self.done["reload refused"] if kind == "reload" else 0)
            if seen != wanted:
                self.breaches.append(f"{wanted} times {kind}, {seen} times in the log")
        if (ended.code, ended.told) != (0, "") or ended.seconds > _END_S:
            self.breaches.append(f"it ends with {ended.code} after {ended.seconds:.1f} s: {ended.told}")
        outcomes = {each["outcome"] for each in events if each["event"] == "service.run_ended"}
        if not {"in_step", "synced", "failed", "refused"} <= outcomes:
            self.breaches.append(f"too little has happened to it: its runs were {sorted(outcomes)}")

    def _do(self, trouble: Trouble, service: Served) -> None:
        self.done[trouble.kind] += 1
        match trouble.kind:
            case "faults begin":
                self._begin(Course(_plan(self.seed + trouble.number, self.bed.blobs), self.bed.large))
            case "faults end":
                self._begin(None)
            case "release":
                self._publish()
            case "tag taken":
                self._take()
            case "tag put right":
                self._put_right()
            case "reload":
                service.configure(self.document)
            case "reload refused":
                count = len(service.named("service.configuration_refused"))
                service.configure(self.document | {"schedule": {"every": "soon"}})
                service.wait("service.configuration_refused", count=count + 1)
                count = len(service.named("service.configuration_loaded"))
                service.configure(self.document)
                service.wait("service.configuration_loaded", count=count + 1)
            case "source restarted" | "destination restarted":
                registry = self.registries[trouble.kind.partition(" ")[0]]
                registry.stop()
                time.sleep(_DOWN_S[trouble.number % 2])
                registry.start()

    def _begin(self, course: Course | None) -> None:
        if self._course:
            self.met += self._course.met
        self._course = course
        for way in self.ways:
            way.begin(course, _PREFIX)

    def _publish(self) -> None:
        """There is one release more: its images, then its charts."""
        self._releases += 1
        release = f"{RELEASE.rpartition('.')[0]}.{self._releases}"
        upstream, heavy = self.bed.upstream, Random(self._releases).randbytes(LARGE)
        made = {reference: two_platforms(f"{name_of(reference)} {release}") for reference in self._references(release)}
        made[self._references(release)[1]] = image(BASE, heavy)
        for reference, what in made.items():
            self._push(self.bed.source.url, name_of(reference), what, release)
        upstream.images |= made
        upstream.publish(release)

    @staticmethod
    def _references(release: str) -> list[str]:
        return [reference.replace(RELEASE, release) for reference in REFERENCES if RELEASE in reference]

    def _take(self) -> None:
        """A tag of the release before the newest is somebody else's."""
        release = f"{RELEASE.rpartition('.')[0]}.{max(1, self._releases - 1)}"
        reference = self._references(release)[1]
        self._taken = (release, self.bed.upstream.images[reference])
        self._push(self.bed.destination.url, self._web, two_platforms("somebody else's"), release)

    def _put_right(self) -> None:
        assert self._taken is not None
        release, what = self._taken
        self._push(self.bed.destination.url, self._web, what, release)

    @property
    def _web(self) -> str:
        return f"{_PREFIX}/{last(name_of(REFERENCES[1]))}"

    @staticmethod
    def _push(url: str, name: str, what: Image, tag: str) -> None:
        async def pushed() -> None:
            async with open_registry(url) as registry:
                await push(registry.repository(name), what, tag=tag)

        with capture_logs():
            asyncio.run(pushed())


_OF_A_RUN = ("service.run_started", "service.run_ended")


def _plan(seed: int, blobs: list[str]) -> Plan:
    """That of *seed*, but for what no later run puts right."""
    plan = Plan.of(len(KINDS) + seed, blobs)
    lead = "503" if plan.lead == _FOR_GOOD else plan.lead
    others = tuple(kind for kind in plan.others if kind != _FOR_GOOD)
    return replace(plan, lead=lead, others=others, rate=max(plan.rate, _RATE))


def _is_at_rest(service: Served) -> bool:
    return len(service.named(_OF_A_RUN[0])) == len(service.named(_OF_A_RUN[1]))


def sampled(pid: int, at_s: float) -> Sample:
    """What the process has now (proc(5))."""
    process = Path(f"/proc/{pid}")
    memory = (process / "smaps_rollup").read_text()
    files = list[str]()
    for file in (process / "fd").iterdir():
        try:
            files.append(str(file.readlink()))
        except FileNotFoundError:  # it was closed meanwhile
            continue
    return Sample(
        at_s=at_s,
        rss=_kib(memory, "Rss"),
        pss=_kib(memory, "Pss"),
        files=len(files),
        sockets=sum(each.startswith("socket:") for each in files),
        threads=len(list((process / "task").iterdir())),
    )


def _kib(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


def _told(service: Served) -> tuple[int, int | None, list[int] | None]:
    """How many runs the log has that ended, and what _counted and _shown are at the same moment."""
    while True:
        before = len(service.named("service.run_ended"))
        counted, shown = _counted(service), _shown(service)
        if before == len(service.named("service.run_ended")):
            return before, counted, shown


def _counted(service: Served) -> int | None:
    """How many runs the metrics know."""
    status, text = service.get("/metrics")
    return int(sum(map(float, _LINE.findall(text)))) if status == 200 else None


def _shown(service: Served) -> list[int] | None:
    """The numbers of the runs that the API shows."""
    status, text = service.get("/api/v1/status")
    return [run["number"] for run in json.loads(text)["runs"]] if status == 200 else None


@contextmanager
def soaking(seconds: float, every: str, seed: int, tell: Callable[[str], None]) -> Iterator[Callable[[], Outcome]]:
    """A bed, and what soaks on it."""
    registries = list[Registry]()

    def registry(directory: Path) -> Registry:
        registries.append(Registry(directory))
        return registries[-1]

    with (
        tempfile.TemporaryDirectory() as directory,
        open_bed(Path(directory), registry=registry) as bed,
        open_ways(bed) as ways,
    ):
        both = dict(zip(("source", "destination"), registries, strict=True))
        soak = Soak(bed, ways, both, seconds, every, seed, tell)
        yield lambda: soak.run(Path(directory) / "service")
