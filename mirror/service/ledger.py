"""The ledger: what the service knows. The loop writes it, in the event loop; page, API and metrics read it.

    runs        the last of them, newest first, the one under way apart
    entries     each release at each destination that is asked for now, with the report of its last run
    verified    what the last deep verification found, of every release that is recorded
    configuration, next_sync, next_deep_verify

It is as large as what is asked for: of what is asked for no longer, the next run leaves nothing. A release that is
recorded and asked for no longer stays in *verified*, which a deep verification makes anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from mirror.record import RecordedImage
from mirror.report import (
    ChartReport,
    ImageReport,
    ReleaseOutcome,
    ReleaseReport,
    SyncReport,
    VerifiedRelease,
    VerifyReport,
)
from mirror.service.bell import Why, Work
from mirror.service.progress import RunProgress

RUNS_KEPT = 20

Word: TypeAlias = Literal["refused", "not_in_step", "unknown", "in_step"]
RunOutcome: TypeAlias = Literal["in_step", "synced", "not_in_step", "refused", "failed", "interrupted"]
Key: TypeAlias = tuple[str, str]
"""Destination and release."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, or, without *ended_at*, the one under way."""

    number: int
    work: Work
    why: Why
    began_at: datetime
    ended_at: datetime | None = None
    outcome: RunOutcome | None = None
    images: Mapping[str, int] = field(default_factory=dict)
    """How many there were of each outcome; of a verification, `in_step` and `not_in_step`."""
    size: int = 0
    """Bytes that were sent."""
    problem: str = ""
    """Why nothing could be done at all, or what could not be done after all else was."""
    reason: str = ""
    """Why it did not go well, in a line: *problem*, or the first of what its report says."""

    @property
    def seconds(self) -> float:
        """How long it took; 0 of one under way."""
        return (self.ended_at - self.began_at).total_seconds() if self.ended_at else 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One release at one destination."""

    report: ReleaseReport
    """Of the last run that tried."""
    tried_at: datetime
    since: datetime
    """Since when every run has said the same *word*."""
    in_step_at: datetime | None = None
    """When it was last proven to be in step."""
    wrong_since: datetime | None = None
    """Since when no run has proven it; None if the last one did."""
    is_stale: bool = False
    """A later run could not look at it."""
    images: tuple[ImageReport, ...] = ()
    """Of the last run that could say anything of them; those of *report*, or where that has none, an earlier one's."""
    charts: tuple[ChartReport, ...] = ()
    """Likewise."""
    held: Mapping[str, RecordedImage] = field(default_factory=dict)
    """By reference, what the record says with its evidence: platforms, sizes."""
    recorded_at: datetime | None = None
    """When the mirror first held just these images."""

    @property
    def is_seen(self) -> bool:
        """Whether *images* and *charts* are what the last run found."""
        return not self.is_stale and self.images is self.report.images

    @property
    def outcome(self) -> ReleaseOutcome:
        """What the last run says of it; one that could not look at it has failed, or found out nothing better."""
        return "failed" if self.is_stale and self.report.exit_code == 0 else self.report.outcome

    @property
    def word(self) -> Word:
        """That in a word; unknown where upstream, or all, was not asked."""
        match self.report.outcome:
            case "refused":
                return "refused"
            case "failed":
                return "unknown" if self.report.is_only_not_compared else "not_in_step"
            case "in_step" | "synced":
                return "unknown" if self.is_stale else "in_step"

    def stale(self, at: datetime) -> Entry:
        """This after a run that could not look at it."""
        after = replace(self, wrong_since=self.wrong_since or at, is_stale=True)
        return replace(after, since=self.since if after.word == self.word else at)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a deep verification found of one release at one destination, and when."""

    report: VerifiedRelease
    at: datetime
    since: Mapping[str, datetime] = field(default_factory=dict)
    """Since when each verification has found this wrong, by the reference of what is damaged."""

    def damaged_since(self, reference: str) -> datetime:
        """Since when each verification has found *reference* damaged."""
        return self.since.get(reference, self.at)


@dataclass(frozen=True, slots=True)
class ConfigurationState:
    """The configuration that holds, and why the one that was to replace it does not."""

    path: str = ""
    """The file; empty for none."""
    digest: str = ""
    """Of what holds, sources aside; 12 hexadecimal digits."""
    loaded_at: datetime | None = None
    problem: str = ""
    """Why the last reload was refused; empty if it was not."""
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Ledger:
    """All that is known, from the start of the process on."""

    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    configuration: ConfigurationState = ConfigurationState()
    current: Run | None = None
    progress: RunProgress = field(default_factory=RunProgress)
    """Of the run under way."""
    runs: deque[Run] = field(default_factory=lambda: deque(maxlen=RUNS_KEPT))
    """Those that ended, newest first."""
    entries: dict[Key, Entry] = field(default_factory=dict)
    verified: dict[Key, Verified] = field(default_factory=dict)
    next_sync: datetime | None = None
    next_deep_verify: datetime | None = None
    newest: Mapping[str, str] = field(default_factory=dict)
    """By channel, the newest release that is asked for."""
    destinations: frozenset[str] = frozenset()
    """The names of all that there are."""
    stuck_after: timedelta = timedelta.max
    """For how long nothing may move in a run."""
    is_ready: bool = False
    """Whether a sync has ended, whatever its outcome: what is told is known, and not only not yet looked at."""
    _count: int = 0

    @property
    def stuck_s(self) -> float:
        """Seconds for which nothing has moved in the run under way, if that is longer than it may be; else 0.

        That something failed is movement, too: an upstream that is away makes no run stuck.
        """
        idle_s = self.progress.idle_s if self.current else 0.0
        return idle_s if idle_s > self.stuck_after.total_seconds() else 0.0

    def begin(self, work: Work, why: Why, at: datetime) -> Run:
        """A run is under way."""
        self._count += 1
        self.progress = RunProgress()
        self.current = Run(self._count, work, why, at)
        return self.current

    def end(self, run: Run) -> None:
        """*run*, which has ended, is the newest of those that have."""
        assert run.ended_at is not None, run  # noqa: S101 - whoever calls has set it
        self.current = None
        self.runs.appendleft(run)
        self.is_ready = self.is_ready or (run.work == "sync" and run.outcome != "interrupted")

    def keep(self, destinations: Collection[str]) -> None:
        """Nothing is known of others than *destinations*, which were taken out of the configuration."""
        self.destinations = frozenset(destinations)
        self.entries = {key: entry for key, entry in self.entries.items() if key[0] in destinations}
        self.verified = {key: verified for key, verified in self.verified.items() if key[0] in destinations}

    def unproven(self) -> None:
        """A sync could do nothing at all: no release was proven to be in step."""
        now = datetime.now(UTC)
        self.entries = {key: entry.stale(now) for key, entry in self.entries.items()}

    def synced(self, report: SyncReport, held: Mapping[Key, tuple[datetime, Sequence[RecordedImage]]]) -> None:
        """The releases are those of *report*; *held* is what was read of records that are new to us.

        Of a channel that could not be read they stay what they were, unproven, as its newest does.
        """
        now = datetime.now(UTC)
        before = {
            key: entry.stale(now)
            for key, entry in self.entries.items()
            if key[1].partition("-")[0] in report.unread and "-" in key[1]
        }
        now_known = {(each.destination, each.release): self._entry(each, now, held) for each in report.releases}
        self.entries = before | now_known
        self.newest = {
            **{channel: newest for channel, newest in self.newest.items() if channel in report.unread},
            **report.newest,
        }

    def _entry(
        self, report: ReleaseReport, now: datetime, held: Mapping[Key, tuple[datetime, Sequence[RecordedImage]]]
    ) -> Entry:
        key = (report.destination, report.release)
        before = self.entries.get(key)
        entry = replace(before or Entry(report, now, now), report=report, tried_at=now, is_stale=False)
        if report.exit_code == 0:
            entry = replace(entry, in_step_at=now, wrong_since=None)
        else:
            entry = replace(entry, wrong_since=entry.wrong_since or now)
        if before and before.word != entry.word:
            entry = replace(entry, since=now)
        if report.images:
            entry = replace(entry, images=report.images, charts=report.charts)
        if key in held:
            recorded_at, images = held[key]
            entry = replace(entry, recorded_at=recorded_at, held={image.image.reference: image for image in images})
        return entry

    def deeply_verified(self, report: VerifyReport) -> None:
        """What every byte says is what *report* says."""
        now = datetime.now(UTC)
        self.verified = {
            (each.destination, each.release): Verified(each, now, self._damaged_since(each, now))
            for each in report.releases
        }

    def _damaged_since(self, report: VerifiedRelease, now: datetime) -> Mapping[str, datetime]:
        """Since when what *report* finds damaged is known to be, the same digest of it."""
        before = self.verified.get((report.destination, report.release))
        known = {part.reference: part.digest for part in before.report.parts if part.problems} if before else {}
        return {
            part.reference: before.damaged_since(part.reference)
            if before and known.get(part.reference) == part.digest
            else now
            for part in report.parts
            if part.problems
        }
