"""Work side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator

import pytest

from mirror.errors import WorldError
from mirror.tasks import gather_some


async def test_no_more_than_asked_for_are_begun() -> None:
    """What is not begun does not exist yet; the results are in order."""
    made, under_way, most = 0, 0, 0

    async def one(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        assert made - number <= 3
        await asyncio.sleep(0.001 * (number % 3))
        under_way -= 1
        return number

    def work() -> Iterator[Coroutine[None, None, int]]:
        nonlocal made
        for number in range(20):
            made += 1
            yield one(number)

    assert list(range(20)) == await gather_some(work(), at_once=3)
    assert 3 == most


async def test_the_first_failure_is_raised_alone() -> None:
    """And nothing more is begun."""
    begun = list[int]()

    async def one(number: int) -> None:
        begun.append(number)
        await asyncio.sleep(0.001)
        raise WorldError(f"number {number}")

    with pytest.raises(WorldError, match="number 0"):
        await gather_some((one(number) for number in range(20)), at_once=2)

    assert [0, 1] == begun
