"""What /metrics answers.

    http.meter ─► answered, received, … ─► Wire ──────┐
    loop.Observer ─► run_ended ─► Metrics ────────────┼─► registry ─► exposition
    the ledger, read at each scrape ─► Standing ──────┘

What can happen has a series of 0 before it does, so that its first time is an increase; of what is not asked for any
more there is no series.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import product
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from mirror.plan import Cause
from mirror.report import ImageOutcome, SyncReport, VerifyReport
from mirror.service import families
from mirror.service.bell import Why, Work
from mirror.service.configuration import Configuration
from mirror.service.gauges import Standing
from mirror.service.ledger import Ledger, Run, RunOutcome
from mirror.service.wire import Wire

_DURATIONS_S = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_GOOD: frozenset[RunOutcome] = frozenset({"in_step", "synced"})
_OUTCOMES: dict[Work, tuple[RunOutcome, ...]] = {
    "sync": ("in_step", "synced", "refused", "failed", "interrupted"),
    "deep_verify": ("in_step", "not_in_step", "refused", "failed", "interrupted"),
}
_WHYS: dict[Work, tuple[Why, ...]] = {
    "sync": ("start", "schedule", "retry", "reload"),
    "deep_verify": ("schedule", "retry", "reload"),
}
_DEEP_IMAGES = ("in_step", "not_in_step", "missing")


class Metrics:
    """What runs did, from the start of the process on (mirror.service.loop.Observer); *wire* is the meter of Apps."""

    def __init__(self, ledger: Ledger, configuration: Configuration) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self.wire = Wire(registry, lambda: ledger.progress.touch())  # noqa: PLW0108 - each run has a progress of its own
        self._runs = families.RUNS.made(Counter, registry)
        self._durations = families.RUN_DURATION.made(Histogram, registry, buckets=_DURATIONS_S)
        self._attempts = families.RUN_ATTEMPT.made(Gauge, registry)
        self._successes = families.RUN_SUCCESS.made(Gauge, registry)
        self._failures = families.RUN_FAILURES.made(Gauge, registry)
        self._images = families.IMAGE_OUTCOMES.made(Counter, registry)
        self._refusals = families.IMAGE_REFUSALS.made(Counter, registry)
        self._copied = families.COPIED.made(Counter, registry)
        self._deep_images = families.DEEP_IMAGES.made(Counter, registry)
        self._destinations: frozenset[str] = frozenset()
        registry.register(Standing(ledger, configuration))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        for work, outcomes in _OUTCOMES.items():
            self._failures.labels(work)
            for why, outcome in product(_WHYS[work], outcomes):
                self._runs.labels(work, why, outcome)
            for outcome in outcomes:
                self._durations.labels(work, outcome)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Body and content type for whoever takes *accept*: OpenMetrics, or Prometheus's text."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def expect(self, destinations: Set[str], hosts: Set[str]) -> None:
        """There are series of these, and of no destination or host that was expected before."""
        for gone in self._destinations - destinations:
            for family in (self._images, self._refusals, self._copied, self._deep_images):
                family.remove_by_labels({"destination": gone})
        self._destinations = frozenset(destinations)
        for destination in destinations:
            self._copied.labels(destination)
            for family, values in (
                (self._images, get_args(ImageOutcome)),
                (self._refusals, get_args(Cause)),
                (self._deep_images, _DEEP_IMAGES),
            ):
                for value in values:
                    family.labels(destination, value)
        self.wire.expect(hosts)

    def run_ended(self, run: Run, report: SyncReport | VerifyReport | None) -> None:
        """See Observer."""
        assert run.ended_at is not None  # noqa: S101 - it has ended
        assert run.outcome is not None  # noqa: S101 - likewise
        self._runs.labels(run.work, run.why, run.outcome).inc()
        self._durations.labels(run.work, run.outcome).observe(run.seconds)
        self._attempts.labels(run.work).set(run.ended_at.timestamp())
        if run.outcome in _GOOD:
            self._successes.labels(run.work).set(run.ended_at.timestamp())
        if run.outcome == "failed":
            self._failures.labels(run.work).inc()
        elif run.outcome != "interrupted":
            self._failures.labels(run.work).set(0)
        match report:
            case SyncReport():
                self._synced(report)
            case VerifyReport():
                self._deeply_verified(report)
            case None:
                pass
        if run.work == "sync" and run.outcome in _GOOD:
            self.wire.forget_before(run.began_at)

    def _synced(self, report: SyncReport) -> None:
        for release in report.releases:
            for image in release.images:
                self._images.labels(release.destination, image.outcome).inc()
            for part in release.parts:
                self._copied.labels(release.destination).inc(part.size)
                if part.cause:
                    self._refusals.labels(release.destination, part.cause).inc()

    def _deeply_verified(self, report: VerifyReport) -> None:
        for release in report.releases:
            for image in release.images:
                found = "not_in_step" if image.problems else "in_step"
                self._deep_images.labels(release.destination, found).inc()
            self._deep_images.labels(release.destination, "missing").inc(len(release.missing))
