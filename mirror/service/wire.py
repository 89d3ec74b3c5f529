"""The counters of the wire: what registries and chart repositories were asked, and how that went.

No label is without bound: hosts are those of the configuration, and HOSTS_LEARNED that these sent us on to; any more
are `other`. Nothing here is secret: no path, no query, no user.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, Summary
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mirror.http.meter import Ageing, RetryReason
from mirror.service import families

HOSTS_LEARNED = 16
OTHER = "other"

_LATENCIES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_CODES = ("2xx", "3xx", "4xx", "5xx", "none")


@dataclass(frozen=True, slots=True)
class _End:
    at: datetime
    told_at: datetime


class Wire(Collector):
    """What was told of the wire (mirror.http.meter.Meter), from the start of the process on.

    *touch* is called whenever anything moves.
    """

    def __init__(self, registry: CollectorRegistry, touch: Callable[[], None]) -> None:
        self._touch = touch
        self._lock = threading.Lock()
        self._expected: frozenset[str] = frozenset()
        self._learned: set[str] = set()
        self._ends: dict[tuple[str, Ageing], _End] = {}
        self._requests = families.REQUESTS.made(Counter, registry)
        self._latencies = families.LATENCY.made(Histogram, registry, buckets=_LATENCIES_S)
        self._retries = families.RETRIES.made(Counter, registry)
        self._held_back = families.HELD_BACK.made(Summary, registry)
        self._received = families.RECEIVED.made(Counter, registry)
        self._sent = families.SENT.made(Counter, registry)
        # by what is told: hundreds of times in half a second, and finding a series takes longer than counting it
        self._of_answers: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._of_bodies: dict[tuple[str, bool], Counter] = {}
        registry.register(self)

    def expect(self, hosts: Set[str]) -> None:
        """Each of *hosts* has its series; those that were expected before and are not now have none."""
        gone, self._expected = self._expected - hosts, frozenset(hosts)
        with self._lock:
            for host, what in [each for each in self._ends if each[0] in gone]:
                del self._ends[host, what]
        for host in gone:
            for family in (
                self._requests, self._latencies, self._retries, self._held_back, self._received, self._sent,
            ):  # fmt: skip
                family.remove_by_labels({"host": host})
        self._of_answers.clear()
        self._of_bodies.clear()
        for host in hosts:
            for method, code in product(("HEAD", "GET"), _CODES):
                self._requests.labels(host, method, code)
            for reason in get_args(RetryReason):
                self._retries.labels(host, reason)
            for family in (self._held_back, self._received, self._sent):
                family.labels(host)

    def forget_before(self, moment: datetime) -> None:
        """What was not seen since *moment* has no end any more: nobody shows it now."""
        with self._lock:
            self._ends = {key: end for key, end in self._ends.items() if end.told_at >= moment}

    def answered(self, host: str, method: str, status: int, seconds: float) -> None:
        """See Meter."""
        self._touch()
        key = (host, method, status // 100)
        series = self._of_answers.get(key)
        if series is None:
            name = self._label(host)
            series = (
                self._requests.labels(name, method, f"{key[2]}xx"),
                self._latencies.labels(name, method),
            )
            if name != OTHER:
                self._of_answers[key] = series
        series[0].inc()
        series[1].observe(seconds)

    def unanswered(self, host: str, method: str) -> None:
        """See Meter."""
        self._requests.labels(self._label(host), method, "none").inc()

    def received(self, host: str, size: int) -> None:
        """See Meter."""
        self._touch()
        self._moved(self._received, host, size)

    def sent(self, host: str, size: int) -> None:
        """See Meter."""
        self._touch()
        self._moved(self._sent, host, size)

    def retried(self, host: str, reason: RetryReason, seconds: float) -> None:
        """See Meter."""
        self._retries.labels(self._label(host), reason).inc()
        if reason == "rate_limited":
            self.held_back(host, seconds)

    def held_back(self, host: str, seconds: float) -> None:
        """See Meter."""
        self._held_back.labels(self._label(host)).observe(seconds)

    def ends(self, host: str, what: Ageing, at: datetime) -> None:
        """See Meter."""
        host = self._label(host)
        with self._lock:
            self._ends[host, what] = _End(at, datetime.now(UTC))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See Collector."""
        with self._lock:
            ends = dict(self._ends)
        certificates, credentials = families.CERTIFICATE.gauge(), families.CREDENTIAL.gauge()
        for (host, what), end in ends.items():
            if what == "certificate":
                certificates.add_metric((host,), end.at.timestamp())
            else:
                credentials.add_metric((host, what), end.at.timestamp())
        yield certificates
        yield credentials

    def _moved(self, family: Counter, host: str, size: int) -> None:
        key = (host, family is self._sent)
        series = self._of_bodies.get(key)
        if series is None:
            name = self._label(host)
            series = family.labels(name)
            if name != OTHER:
                self._of_bodies[key] = series
        series.inc(size)

    def _label(self, host: str) -> str:
        if host in self._expected or host in self._learned:
            return host
        with self._lock:
            if len(self._learned) < HOSTS_LEARNED:
                self._learned.add(host)
                return host
        return OTHER
