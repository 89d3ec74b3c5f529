"""Runs with faults by seeds; `make faults` tries more of them."""

from __future__ import annotations

import pytest

from tests.faults.bed import Bed
from tests.faults.gateway import Way
from tests.faults.oracle import Storage
from tests.faults.plan import KINDS
from tests.faults.trial import Trial, command

SEEDS = 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind(kind: str, bed: Bed, ways: tuple[Way, Way], storage: Storage) -> None:
    """Alone, it is really met; the run ends in step or says what failed, and a plain one completes it."""
    seed = list(KINDS).index(kind)
    verdict = Trial(bed, ways, storage, seed).verdict()

    assert {kind} <= verdict.met.keys()
    assert () == verdict.breaches, command(seed)


@pytest.mark.parametrize("seed", range(len(KINDS), SEEDS))
def test_several_kinds(seed: int, bed: Bed, ways: tuple[Way, Way], storage: Storage) -> None:
    """Together; likewise."""
    verdict = Trial(bed, ways, storage, seed).verdict()

    assert () == verdict.breaches, command(seed)
