"""What is true at the moment of a scrape, read from the ledger: of what is gone there is no series any more."""

from __future__ import annotations

import asyncio
import platform
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from typing import TypeAlias, get_args

from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mirror.plan import Cause
from mirror.report import ImageReport, ReleaseOutcome, ReleaseReport
from mirror.schedule import cron, longest_gap
from mirror.service import families
from mirror.service.bell import Work
from mirror.service.configuration import Configuration
from mirror.service.families import Family
from mirror.service.ledger import Entry, Key, Ledger, Verified

DRIFT: frozenset[Cause] = frozenset({"moved", "changed", "taken"})
DEEP_OUTCOMES = ("in_step", "not_in_step", "failed")

Series: TypeAlias = tuple[tuple[str, ...], float]
"""The values of a family's labels, and the series's own."""


@dataclass(frozen=True, slots=True, eq=False)
class Standing(Collector):
    """The gauges of *ledger* and *configuration*."""

    ledger: Ledger
    configuration: Configuration

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See Collector."""
        for family, series in self._series.items():
            gauge = family.gauge()
            for labels, value in series:
                gauge.add_metric(labels, value)
            yield gauge

    @property
    def _series(self) -> dict[Family, Iterable[Series]]:
        return {
            families.BUILD: self._build(),
            families.CONFIGURATION: self._configuration_info(),
            families.CONFIGURATION_LOADED: self._configuration_loaded(),
            families.CONFIGURATION_GOOD: self._configuration_good(),
            families.RUN_STARTED: self._started(),
            families.RUN_PROGRESS: self._progress(),
            families.RUN_NEXT: self._next(),
            families.RUN_INTERVAL: self._interval(),
            families.IMAGES_DESIRED: self._desired(),
            families.IMAGES_IN_STEP: self._in_step(),
            families.IMAGES_VERIFIED: self._verified(),
            families.IMAGES_REFUSED: self._refused(),
            families.IMAGES_DRIFTED: self._drifted(),
            families.RELEASE_PROVEN: self._proven(),
            families.RELEASE_WRONG: self._wrong(),
            families.RELEASE_ATTEMPT: self._attempt(),
            families.RELEASE_OUTCOME: self._outcome(),
            families.NEWEST: self._newest(),
            families.DEEP_OUTCOME: self._deep_outcome(),
            families.DEEP_AT: self._deep_at(),
            families.TASKS: self._tasks(),
            families.THREADS: self._threads(),
        }

    @property
    def _destinations(self) -> dict[str, list[ReleaseReport]]:
        """The releases of each, as the last run that tried them found them."""
        found: dict[str, list[ReleaseReport]] = {name: [] for name in self.configuration.settings.destinations}
        for (destination, _), entry in self.ledger.entries.items():
            found.setdefault(destination, []).append(entry.report)
        return found

    @property
    def _causes(self) -> dict[str, Counter[Cause | None]]:
        """By destination, how many images and charts are refused for what."""
        return {
            destination: Counter(part.cause for report in reports for part in report.parts)
            for destination, reports in self._destinations.items()
        }

    def _build(self) -> Iterable[Series]:
        return [((version("linkerd-mirror"), platform.python_version()), 1)]

    def _configuration_info(self) -> Iterable[Series]:
        return [((self.ledger.configuration.digest,), 1)]

    def _configuration_loaded(self) -> Iterable[Series]:
        return _at((), self.ledger.configuration.loaded_at)

    def _configuration_good(self) -> Iterable[Series]:
        return [((), not self.ledger.configuration.problem)]

    def _started(self) -> Iterable[Series]:
        run = self.ledger.current
        return _at((run.work,), run.began_at) if run else []

    def _progress(self) -> Iterable[Series]:
        run = self.ledger.current
        return [((run.work,), time.time() - self.ledger.progress.idle_s)] if run else []

    def _next(self) -> Iterable[Series]:
        yield from _at(("sync",), self.ledger.next_sync)
        yield from _at(("deep_verify",), self.ledger.next_deep_verify)

    def _interval(self) -> Iterable[Series]:
        schedule = self.configuration.settings.schedule
        every_s = _longest_gap_s(schedule.cron, schedule.timezone) if schedule.cron else schedule.every.total_seconds()
        intervals: dict[Work, float] = {"sync": every_s, "deep_verify": schedule.deep_verify.total_seconds()}
        for work, seconds in intervals.items():
            if seconds:
                yield (work,), seconds + schedule.jitter.total_seconds()

    def _desired(self) -> Iterable[Series]:
        return self._counted(lambda entry: entry.images)

    def _in_step(self) -> Iterable[Series]:
        def in_step(entry: Entry) -> list[ImageReport]:
            seen = entry.images if entry.is_seen else ()
            return [image for image in seen if image.outcome not in ("refused", "failed") and image.is_compared]

        return self._counted(in_step)

    def _verified(self) -> Iterable[Series]:
        return self._counted(
            lambda entry: [each for each in entry.images if each.verdict and each.verdict.satisfies("require")]
        )

    def _drifted(self) -> Iterable[Series]:
        return [((destination,), sum(causes[each] for each in DRIFT)) for destination, causes in self._causes.items()]

    def _counted(self, wanted: Callable[[Entry], Sequence[ImageReport]]) -> Iterable[Series]:
        """How many are *wanted* at each destination of which any image is known."""
        for destination in self._destinations:
            entries = [entry for (place, _), entry in self.ledger.entries.items() if place == destination]
            if any(entry.images for entry in entries):
                yield (destination,), sum(len(wanted(entry)) for entry in entries)

    def _refused(self) -> Iterable[Series]:
        for destination, causes in self._causes.items():
            for cause in get_args(Cause):
                yield (destination, cause), causes[cause]

    def _proven(self) -> Iterable[Series]:
        return self._of_releases(lambda entry: entry.in_step_at)

    def _wrong(self) -> Iterable[Series]:
        return self._of_releases(lambda entry: entry.wrong_since)

    def _attempt(self) -> Iterable[Series]:
        return self._of_releases(lambda entry: entry.tried_at)

    def _of_releases(self, moment: Callable[[Entry], datetime | None]) -> Iterable[Series]:
        for key, entry in self.ledger.entries.items():
            yield from _at(key, moment(entry))

    def _outcome(self) -> Iterable[Series]:
        for key, entry in self.ledger.entries.items():
            for outcome in get_args(ReleaseOutcome):
                yield (*key, outcome), outcome == entry.outcome

    def _newest(self) -> Iterable[Series]:
        return [(each, 1) for each in self.ledger.newest.items()]

    def _deep_outcome(self) -> Iterable[Series]:
        for key, verified in self._verifications():
            for outcome in DEEP_OUTCOMES:
                yield (*key, outcome), outcome == verified.report.outcome

    def _deep_at(self) -> Iterable[Series]:
        for key, verified in self._verifications():
            yield from _at(key, verified.at)

    def _verifications(self) -> Iterable[tuple[Key, Verified]]:
        """Those at destinations that there still are; the next deep verification may be a week away."""
        destinations = self._destinations
        return ((key, verified) for key, verified in self.ledger.verified.items() if key[0] in destinations)

    def _tasks(self) -> Iterable[Series]:
        return [((), len(asyncio.all_tasks()))]

    def _threads(self) -> Iterable[Series]:
        return [((), threading.active_count())]


def _at(labels: tuple[str, ...], moment: datetime | None) -> Iterable[Series]:
    return [(labels, moment.timestamp())] if moment else []


@lru_cache(maxsize=1)
def _longest_gap_s(text: str, timezone: str) -> float:
    return longest_gap(cron(text, timezone), datetime.now(UTC)).total_seconds()
