"""What is done to the service, and when. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal[
    "faults begin", "faults end", "release", "tag taken", "tag put right", "reload", "reload refused",
    "source restarted", "destination restarted",
]  # fmt: skip

FAULTS_EVERY_S = 12.0
FAULTS_FOR_S = 9.0
CALM_S = 45.0
"""At the end nothing is done any more."""
_EVERY_S: dict[Kind, float] = {"release": 23.0, "tag taken": 90.0, "reload": 47.0, "reload refused": 71.0}
_RIGHT_AFTER_S = 14.0
_RESTARTS = 3


@dataclass(frozen=True, slots=True, order=True)
class Trouble:
    """Something that is done *at_s* after the start; *number* counts those of its kind."""

    at_s: float
    kind: Kind
    number: int


def troubles(seconds: float, seed: int) -> list[Trouble]:
    """All that is done in so many *seconds*, in order."""
    return sorted(_troubles(seconds - CALM_S, Random(seed)))


def _troubles(until_s: float, random: Random) -> Iterator[Trouble]:
    for number in range(int((until_s - FAULTS_FOR_S) // FAULTS_EVERY_S) + 1):
        yield Trouble(number * FAULTS_EVERY_S, "faults begin", number)
        yield Trouble(number * FAULTS_EVERY_S + FAULTS_FOR_S, "faults end", number)
    for kind, every_s in _EVERY_S.items():
        for number in range(1, int((until_s - _RIGHT_AFTER_S) // every_s) + 1):
            at_s = min(number * every_s + random.uniform(0, every_s / 4), until_s - _RIGHT_AFTER_S)
            yield Trouble(at_s, kind, number)
            if kind == "tag taken":
                yield Trouble(at_s + _RIGHT_AFTER_S, "tag put right", number)
    for number in range(1, _RESTARTS + 1):
        for kind in ("source restarted", "destination restarted"):
            yield Trouble(until_s * (number - random.uniform(0.2, 0.8)) / _RESTARTS, kind, number)
