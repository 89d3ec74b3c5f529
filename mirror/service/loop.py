"""The one loop that works: hears the bell, runs, enters what came of it into the ledger, sets the next alarm.

    what came of it           what follows
    ───────────────────────── ──────────────────────────────────────────────────────────────────────────────
    in step, synced           the next regular one
    refused                   the next regular one: only a human can do something about it
    failed, all or in part    one more after schedule.retry_after_failure, then after twice as long, and so on
                              until the regular one is sooner
    a deep verification that  once more after the next sync that brings something, or, where it failed and
    is not in step, or failed nothing is known, after the next one that goes well; and when somebody who has
                              mended it has the configuration read again

A sync that can do nothing at all, as without a password's file, has failed: it may be there the next time.
An App lives as long as a run: what it holds open, connections and credentials, is not kept for months.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from mirror import record as records
from mirror.app import App
from mirror.destinations.mirror import Mirror
from mirror.errors import MirrorError
from mirror.logs import redact
from mirror.record import RecordedImage
from mirror.report import ReleaseReport, SyncReport, VerifyReport
from mirror.schedule import Timetable, aligned, cron, every
from mirror.service.bell import Bell, Why, Work
from mirror.service.configuration import Configuration
from mirror.service.ledger import Entry, Ledger, Run, RunOutcome
from mirror.settings import Settings
from mirror.sync import Move
from mirror.verify import verify

_DOUBLINGS = 10  # a thousand times the first

log = structlog.get_logger()

Report = SyncReport | VerifyReport


class Observer(Protocol):
    """Who is told of each run that ended; *report* is None where nothing could be done at all."""

    def run_ended(self, run: Run, report: Report | None) -> None: ...


@dataclass(slots=True)
class Loop:
    """Does what the bell asks for, one piece of work at a time."""

    configuration: Configuration
    ledger: Ledger
    open_app: Callable[[Settings], App]
    observers: Sequence[Observer] = ()
    bell: Bell = field(default_factory=Bell)
    timetable: Timetable = field(default_factory=Timetable)
    _failures: int = field(default=0, init=False)
    """Syncs that failed, one after the other."""
    _owed: RunOutcome | None = field(default=None, init=False)
    """What came of the deep verification that is to be done once more."""

    async def run(self) -> None:
        """Works until it is cancelled; then nothing is half done that the next start would not finish."""
        self.timetable.start(self._tell_times)
        self.set_alarms()
        self.bell.ring("sync", "start")
        try:
            while True:
                await self._do(*await self.bell.heard())
                gc.collect()  # else what a run leaves in cycles, with TLS and errors, stays for many more
        finally:
            self.timetable.stop()

    def reload(self) -> None:
        """The configuration is read again; where it is valid, a run by it follows."""
        if self.configuration.reload():
            self.set_alarms()
            self.bell.ring("sync", "reload")
            if any(each.report.outcome != "in_step" for each in self.ledger.verified.values()):
                self.bell.ring("deep_verify", "reload")

    def set_alarms(self) -> None:
        """The timetable is that of the settings."""
        schedule = self.configuration.settings.schedule
        trigger = (
            cron(schedule.cron, schedule.timezone, schedule.jitter)
            if schedule.cron
            else every(schedule.every, schedule.jitter)
        )
        self.timetable.set("sync", trigger, lambda: self._ring("sync", "schedule"))
        if schedule.deep_verify:
            # at the same moments whenever the process was started: one that is restarted weekly gets there too
            trigger = aligned(schedule.deep_verify, schedule.jitter)
            self.timetable.set("deep_verify", trigger, lambda: self._ring("deep_verify", "schedule"))
        else:
            self.timetable.drop("deep_verify")
        self._tell_times()

    def _ring(self, work: Work, why: Why) -> None:
        self.bell.ring(work, why)
        self._tell_times()  # what is rung is not what is next

    async def _do(self, work: Work, why: Why) -> None:
        """One run, told of to everybody; raises nothing but a cancellation, and what a defect outside of it raises."""
        run = self.ledger.begin(work, why, datetime.now(UTC))
        report: Report | None = None
        with structlog.contextvars.bound_contextvars(run=run.number):
            log.info("service.run_started", work=work, why=why)
            outcome: RunOutcome = "interrupted"
            problem = ""
            try:
                report = await (self._sync() if work == "sync" else self._deep_verify())
                outcome = _outcome(report)
            except MirrorError as exc:
                outcome, problem = ("refused" if exc.exit_code == 3 else "failed"), redact(str(exc))
            except Exception as exc:  # the top of a run: the next one may go well
                outcome, problem = "failed", redact(f"unexpected {type(exc).__name__}: {exc}")
                log.exception("service.run_broke")
            finally:
                self._ended(replace(run, outcome=outcome, problem=problem), report)

    def _ended(self, run: Run, report: Report | None) -> None:
        run = replace(run, ended_at=datetime.now(UTC), images=_counts(report), size=_size(report))
        run = replace(run, reason=run.problem or (redact(report.reason) if report else ""))
        self.ledger.end(run)
        if run.work == "sync" and report is None and run.outcome != "interrupted":
            self.ledger.unproven()
        self._set_retry(run, report)
        self._tell_times()
        tell = {"failed": log.error, "refused": log.error, "not_in_step": log.error}.get(run.outcome or "", log.info)
        tell(
            "service.run_ended",
            work=run.work,
            why=run.why,
            outcome=run.outcome,
            releases=sorted({release.release for release in report.releases}) if report else [],
            **run.images,
            bytes=run.size,
            seconds=round(run.seconds, 3),
            reason=run.reason,
            next=self.ledger.next_sync.isoformat(timespec="seconds") if self.ledger.next_sync else "",
        )
        for observer in self.observers:
            observer.run_ended(run, report)

    def _set_retry(self, run: Run, report: Report | None) -> None:
        if run.outcome == "interrupted":
            return
        if run.work == "deep_verify":
            is_to_be_repeated = run.why != "retry" and run.outcome != "in_step"
            self._owed = run.outcome if is_to_be_repeated else None
            return
        if self._owed and (run.outcome == "synced" or (run.outcome == "in_step" and self._owed == "failed")):
            self.bell.ring("deep_verify", "retry")
        if _is_worth_another_try(run, report):
            self._failures += 1
            wait = retry_wait(self.configuration.settings.schedule.retry_after_failure, self._failures)
            due = self.timetable.next("sync")
            if wait and (due is None or due - datetime.now(UTC) > wait):
                self.timetable.once("retry", wait, lambda: self._ring("sync", "retry"))
                return
        else:
            self._failures = 0
        self.timetable.drop("retry")

    def _tell_times(self) -> None:
        self.ledger.next_sync = self.timetable.next("sync", "retry")
        self.ledger.next_deep_verify = self.timetable.next("deep_verify")

    async def _sync(self) -> SyncReport:
        async with self.open_app(self.configuration.settings) as app:
            syncer = app.syncer(self.ledger.progress)
            mirrors = {mirror.name: mirror for mirror in syncer.surveyor.mirrors}
            self.ledger.keep(mirrors.keys())
            report = await syncer.sync(app.selectors(()))
            if (publisher := app.publisher()) is not None:
                report = await publisher.publish(report, report.newest)
            held = {
                (each.destination, each.release): read
                for each in report.releases
                if _is_news(each, self.ledger.entries.get((each.destination, each.release)))
                and (read := await _held(mirrors[each.destination], each.release)) is not None
            }
        self.ledger.synced(report, held)
        return report

    async def _deep_verify(self) -> VerifyReport:
        progress = self.ledger.progress
        async with self.open_app(self.configuration.settings) as app:
            report = await verify(
                app.mirrors(),
                (),
                app.signatures(),
                deep=True,
                on_image=lambda image: progress.image_finished(Move(image.reference), "kept"),
            )
        self.ledger.deeply_verified(report)
        _tell_problems(report)
        return report


def _tell_problems(report: VerifyReport) -> None:
    """One line for each image or chart that is not in step, and for each release of which nothing is known."""
    for release in report.releases:
        at = {"destination": release.destination, "release": release.release}
        if release.problem:
            log.error("verify.release_failed", **at, reason=release.problem)
        kinds = {"verify.image_not_in_step": release.images, "verify.chart_not_in_step": release.charts}
        for event, several in kinds.items():
            for part in several:
                if part.problems:
                    log.error(event, **at, target=part.target, reason="; ".join(part.problems))


def retry_wait(first: timedelta, failures: int) -> timedelta:
    """How long is waited after so many *failures*, one after the other: *first*, then twice as long each time."""
    return first * (1 << min(failures - 1, _DOUBLINGS))


async def _held(mirror: Mirror, release: str) -> tuple[datetime, Sequence[RecordedImage]] | None:
    """What *mirror*'s record of *release* says, with its evidence; None where there is none that can be read."""
    try:
        record = await records.read(mirror.records, release, mirror.seal)
        return (record.recorded_at, await records.with_evidence(mirror.records, record)) if record else None
    except MirrorError as exc:
        log.warning("service.evidence_unread", destination=mirror.name, release=release, reason=str(exc))
        return None


def _is_worth_another_try(run: Run, report: Report | None) -> bool:
    """Whether something failed, be it beside what is refused."""
    if not isinstance(report, SyncReport):
        return run.outcome == "failed"
    return any(release.has_failures for release in report.releases)


def _is_news(report: ReleaseReport, entry: Entry | None) -> bool:
    """Whether the mirror may hold other digests of a release than *entry* knows."""
    digests = {image.reference: image.digest for image in report.images if image.digest}
    held = {reference: image.digests.mirrored for reference, image in entry.held.items()} if entry else {}
    return bool(digests) and digests != held


def _outcome(report: Report) -> RunOutcome:
    if isinstance(report, SyncReport):
        return report.outcome
    outcomes = {release.outcome for release in report.releases}
    return "failed" if "failed" in outcomes else "not_in_step" if "not_in_step" in outcomes else "in_step"


def _counts(report: Report | None) -> Mapping[str, int]:
    if report is None:
        return {}
    if isinstance(report, SyncReport):
        return Counter(image.outcome for release in report.releases for image in release.images)
    found = (image for release in report.releases for image in release.images)
    return Counter("not_in_step" if image.problems else "in_step" for image in found)


def _size(report: Report | None) -> int:
    return report.size if isinstance(report, SyncReport) else 0
