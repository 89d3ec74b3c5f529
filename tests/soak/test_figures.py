"""What must hold of a long time: a program that cannot see a leak would find none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.soak.figures import Memory, Sample, leaks, unaccounted
from tests.soak.troubles import CALM_S, troubles


def samples(rss: Callable[[int], float]) -> list[Sample]:
    """Of half an hour, one every ten seconds."""
    return [Sample(number * 10.0, int(rss(number)), 0, 20, 4, 9) for number in range(180)]


FLAT = samples(lambda number: 90_000 + 400 * (number % 7))


@pytest.mark.parametrize(
    ("rss", "count"),
    [
        (lambda number: 90_000 + 400 * (number % 7), 0),
        (lambda number: 70_000 + 20_000 * (1 - 0.9**number), 0),  # it warms up
        (lambda number: 90_000 - 50 * number, 0),
        (lambda number: 90_000 + 60 * number, 1),
        (lambda number: 90_000 + 8_000 * (number // 60), 1),
    ],
    ids=["flat", "warming up", "shrinking", "growing", "by steps"],
)
def test_memory(rss: Callable[[int], float], count: int) -> None:
    """What grows is seen, and what only varies is not."""
    assert count == len(list(leaks(samples(rss), FLAT[0], FLAT[0])))


def test_a_line() -> None:
    """Its slope is by the minute."""
    memory = Memory.of(samples(lambda number: 1000 + 10 * number))

    assert 60 == pytest.approx(memory.slope)
    assert (1220, 1670, 2570, 2790) == (
        memory.first_quarter, memory.second_quarter, memory.last_quarter, memory.peak
    )  # fmt: skip


@pytest.mark.parametrize("what", ["files", "sockets", "threads"])
def test_handles(what: str) -> None:
    """What is not given back is seen."""
    left = {"files": 20, "sockets": 4, "threads": 9} | {what: 30}
    [leak] = leaks(FLAT, FLAT[0], Sample(1800, 0, 0, **left))

    assert leak.startswith(f"30 {what} are open")


@pytest.mark.parametrize(
    ("begun", "ended", "counted", "shown", "count"),
    [
        ([1, 2, 3], [1, 2, 3], 3, [3, 2], 0),
        ([1, 3], [1, 3], 2, [3, 1], 1),
        ([1, 2, 3], [1, 2], 2, [2, 1], 1),
        ([1, 2, 3], [1, 2, 3], 2, [3, 2], 1),
        ([1, 2, 3], [1, 2, 3], None, None, 2),
        ([1, 2, 3], [1, 2, 3], 3, [3], 1),
    ],
)
def test_runs(begun: list[int], ended: list[int], counted: int | None, shown: list[int] | None, count: int) -> None:
    """Each is in the log, in the metrics and, as far as it keeps them, in the API."""
    assert count == len(list(unaccounted(begun, ended, len(ended), counted, shown, 2)))


def test_troubles() -> None:
    """There is some of each kind, what is begun is ended, and at the end there is calm."""
    found = troubles(600, 1)
    kinds = [each.kind for each in found]

    assert 9 == len(set(kinds))
    assert kinds.count("faults begin") == kinds.count("faults end")
    assert kinds.count("tag taken") == kinds.count("tag put right") > 0
    assert (3, 3) == (kinds.count("source restarted"), kinds.count("destination restarted"))
    assert found[-1].at_s <= 600 - CALM_S
    assert found == sorted(found) == troubles(600, 1)


def test_a_run_that_ends_after_it_was_asked() -> None:
    """What metrics and API did not know then is no breach; that they knew too little then is one."""
    assert [] == list(unaccounted([1, 2, 3], [1, 2, 3], 2, 2, [2, 1], 2))
    assert 2 == len(list(unaccounted([1, 2, 3], [1, 2, 3], 3, 2, [2, 1], 2)))
