"""A meter that keeps what it is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from mirror.http.meter import Ageing, RetryReason


@dataclass(slots=True)
class Told:
    """What was told, in the order it came; see mirror.http.meter.Meter."""

    answers: list[tuple[str, str, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    came: Counter[str] = field(default_factory=Counter)
    went: Counter[str] = field(default_factory=Counter)
    retries: list[tuple[str, RetryReason, float]] = field(default_factory=list)
    waits: list[tuple[str, float]] = field(default_factory=list)
    good_until: list[tuple[str, Ageing, datetime]] = field(default_factory=list)

    def answered(self, host: str, method: str, status: int, seconds: float) -> None:
        self.answers.append((host, method, status))
        self.seconds.append(seconds)

    def unanswered(self, host: str, method: str) -> None:
        self.failures.append((host, method))

    def received(self, host: str, size: int) -> None:
        self.came[host] += size

    def sent(self, host: str, size: int) -> None:
        self.went[host] += size

    def retried(self, host: str, reason: RetryReason, seconds: float) -> None:
        self.retries.append((host, reason, seconds))

    def held_back(self, host: str, seconds: float) -> None:
        self.waits.append((host, seconds))

    def ends(self, host: str, what: Ageing, at: datetime) -> None:
        self.good_until.append((host, what, at))
