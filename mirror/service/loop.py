"""The one loop that works: hears the bell, runs, enters what came of it into the ledger, sets the next alarm.

    outcome of a sync    what follows
    ──────────────────── ───────────────────────────────────────────────────────────────
    in step, synced      the next regular one; the deep verification again, if its last found something wrong
    refused              the next regular one: only a human can do something about it
    failed               one more after schedule.retry_after_failure, unless the regular one is sooner

An App lives as long as a run: what it holds open, connections and credentials, is not kept for months.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from mirror import record as records
from mirror.app import App
from mirror.errors import MirrorError
from mirror.record import RecordedImage
from mirror.report import ReleaseReport, SyncReport, VerifyReport
from mirror.schedule import Timetable, cron, every
from mirror.service.bell import Bell, Why, Work
from mirror.service.configuration import Configuration
from mirror.service.ledger import Entry, Ledger, Run, RunOutcome
from mirror.settings import Settings
from mirror.verify import verify

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

    async def run(self) -> None:
        """Works until it is cancelled; then nothing is half done that the next start would not finish."""
        self.timetable.start()
        self.set_alarms()
        self.bell.ring("sync", "start")
        try:
            while True:
                await self._do(*await self.bell.heard())
        finally:
            self.timetable.stop()

    def reload(self) -> None:
        """The configuration is read again; where it is valid, a run by it follows."""
        if self.configuration.reload():
            self.set_alarms()
            self.bell.ring("sync", "reload")

    def set_alarms(self) -> None:
        """The timetable is that of the settings."""
        schedule = self.configuration.settings.schedule
        if schedule.cron:
            trigger = cron(schedule.cron, schedule.timezone, schedule.jitter)
            self.timetable.set("sync", trigger, lambda: self.bell.ring("sync", "schedule"))
        else:
            trigger = every(schedule.every, schedule.jitter)
            self.timetable.set("sync", trigger, lambda: self.bell.ring("sync", "schedule"))
        if schedule.deep_verify:
            # at the same moments whenever the process was started: one that is restarted weekly gets there too
            trigger = every(schedule.deep_verify, schedule.jitter, is_aligned=True)
            self.timetable.set("deep_verify", trigger, lambda: self.bell.ring("deep_verify", "schedule"))
        else:
            self.timetable.drop("deep_verify")
        self._tell_times()

    async def _do(self, work: Work, why: Why) -> None:
        """One run, told of to everybody; raises nothing but a cancellation."""
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
                outcome, problem = ("refused" if exc.exit_code == 3 else "failed"), str(exc)
            except Exception as exc:  # the top of a run: the next one may go well
                outcome, problem = "failed", f"unexpected {type(exc).__name__}: {exc}"
                log.exception("service.run_broke")
            finally:
                self._ended(replace(run, outcome=outcome, problem=problem), report)

    def _ended(self, run: Run, report: Report | None) -> None:
        run = replace(run, ended_at=datetime.now(UTC), images=_counts(report), size=_size(report))
        self.ledger.end(run)
        self._set_retry(run)
        self._tell_times()
        tell = {"failed": log.error, "refused": log.error, "not_in_step": log.error}.get(run.outcome or "", log.info)
        tell(
            "service.run_ended",
            work=run.work,
            why=run.why,
            outcome=run.outcome,
            **run.images,
            bytes=run.size,
            seconds=round(run.seconds, 3),
            reason=run.problem,
            next=self.ledger.next_sync.isoformat(timespec="seconds") if self.ledger.next_sync else "",
        )
        for observer in self.observers:
            observer.run_ended(run, report)

    def _set_retry(self, run: Run) -> None:
        wait = self.configuration.settings.schedule.retry_after_failure
        if run.work == "sync" and run.outcome == "failed" and wait:
            due = self.timetable.next("sync")
            if due is None or due - datetime.now(UTC) > wait:
                self.timetable.once("retry", wait, lambda: self.bell.ring("sync", "retry"))
        elif run.work == "sync":
            self.timetable.drop("retry")
            is_wrong = any(each.report.outcome != "in_step" for each in self.ledger.verified.values())
            if is_wrong and run.outcome in ("in_step", "synced"):
                self.bell.ring("deep_verify", "retry")

    def _tell_times(self) -> None:
        self.ledger.next_sync = self.timetable.next("sync", "retry")
        self.ledger.next_deep_verify = self.timetable.next("deep_verify")

    async def _sync(self) -> SyncReport:
        async with self.open_app(self.configuration.settings) as app:
            report = await app.syncer(self.ledger.progress).sync(app.selectors(()))
            if (publisher := app.publisher()) is not None:
                report = await publisher.publish(report, report.newest)
            held = {
                (each.destination, each.release): read
                for each in report.releases
                if _is_news(each, self.ledger.entries.get((each.destination, each.release)))
                and (read := await self._held(app, each)) is not None
            }
        self.ledger.synced(report, held)
        return report

    async def _held(self, app: App, report: ReleaseReport) -> tuple[datetime, Sequence[RecordedImage]] | None:
        """What the record of a release says, with its evidence; None where it cannot be read, as of one that failed."""
        mirror = app.mirror(report.destination)
        try:
            record = await records.read(mirror.records, report.release, mirror.seal)
            return (record.recorded_at, await records.with_evidence(mirror.records, record)) if record else None
        except MirrorError as exc:
            log.warning("service.evidence_unread", release=report.release, reason=str(exc))
            return None

    async def _deep_verify(self) -> VerifyReport:
        async with self.open_app(self.configuration.settings) as app:
            report = await verify(app.mirrors(), (), app.signatures(), deep=True)
        self.ledger.deeply_verified(report)
        return report


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
    if not isinstance(report, SyncReport):
        return 0
    return sum(image.size for release in report.releases for image in release.images)
