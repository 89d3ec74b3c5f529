"""How much is let in, and what it is learned from."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from mirror.http.gate import Gate, through


@dataclass(slots=True)
class Clock:
    """Stands still but for who sleeps by it."""

    at: float = 1000.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _gate(clock: Clock, limit: int = 16, per_second: float = 0.0) -> Gate:
    return Gate(limit, per_second, clock.sleep, clock.now)


async def test_no_more_than_the_limit(clock: Clock) -> None:
    """Are inside at once; all come in, in their order."""
    gate, inside, most, order = _gate(clock, 3), 0, 0, list[int]()

    async def pass_through(number: int) -> None:
        nonlocal inside, most
        async with gate:
            order.append(number)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*map(pass_through, range(20)))

    assert 3 == most
    assert list(range(20)) == order


async def test_too_much_halves_it_and_success_lets_it_grow(clock: Clock) -> None:
    """Once a second at most; by one for each window's worth that went well, up to the limit."""
    gate = _gate(clock)
    for _ in range(10):
        gate.refused(None)
    assert 8 == gate.window
    clock.at += 1
    gate.refused(None)
    assert 4 == gate.window

    for _ in range(5):
        gate.went_well(0.01)
    assert 5 == gate.window
    for _ in range(1000):
        gate.went_well(0.01)
    assert 16 == gate.window


async def test_one_is_always_let_in(clock: Clock) -> None:
    """However often it was too much."""
    gate = _gate(clock)
    for _ in range(10):
        gate.refused(None)
        clock.at += 1

    assert 1 == gate.window


async def test_nobody_enters_while_the_host_wants_to_be_left(clock: Clock) -> None:
    """Also who came after the refusal."""
    gate = _gate(clock)
    gate.refused(30)
    async with gate:
        assert clock.at == pytest.approx(1030)


async def test_nobody_enters_who_waits_in_line(clock: Clock) -> None:
    """When one who is inside is refused: not before the host wants it, and then in their order."""
    gate, entered = _gate(clock, 2), list[tuple[int, float]]()

    async def pass_through(number: int) -> None:
        async with gate:
            entered.append((number, clock.at))
            await asyncio.sleep(0)
            if clock.at < 1030:
                gate.refused(1030 - clock.at)

    await asyncio.gather(*map(pass_through, range(10)))

    assert [(0, 1000), (1, 1000)] == entered[:2]
    assert [(number, 1030) for number in range(2, 10)] == sorted(entered[2:])


async def test_a_host_that_wants_to_be_left_for_too_long(clock: Clock) -> None:
    """Is not waited for, be it in line: the operator is told how long it would be."""
    gate = Gate(1, 0.0, clock.sleep, clock.now, "ghcr.io")

    async def pass_through() -> None:
        async with gate:
            gate.refused(3600)

    first, second = await asyncio.gather(pass_through(), pass_through(), return_exceptions=True)

    assert first is None
    assert "ghcr.io has asked us to wait 3600 s more, which is too long: try again then" == str(second)
    assert 1000 == clock.at


async def test_nobody_waits_in_one_for_another(clock: Clock) -> None:
    """While the other's host wants to be left, the place is free for those who need no other."""
    source, destination, order = _gate(clock, 1), _gate(clock, 1), list[str]()

    async def bring() -> None:
        async with through(source, destination):
            order.append(f"brought at {clock.at:.0f}")

    async with destination:
        bringing = asyncio.create_task(bring())
        await asyncio.sleep(0)  # it is in the source's, and waits in line
        destination.sleep = asyncio.Event().wait  # type: ignore[assignment]
        destination.refused(30)
    await asyncio.sleep(0)
    async with source:
        order.append(f"asked at {clock.at:.0f}")
    bringing.cancel()
    destination.sleep = clock.sleep
    await bring()

    assert ["asked at 1000", "brought at 1030"] == order


async def test_who_is_in_one_notices_that_it_closed(clock: Clock) -> None:
    """While there was no room in the other."""
    source, destination, entered = _gate(clock), _gate(clock, 1), list[float]()

    async def bring() -> None:
        async with through(source, destination):
            entered.append(clock.at)

    async with destination:
        bringing = asyncio.create_task(bring())
        await asyncio.sleep(0)
        source.refused(30)
    await bringing

    assert [1030] == entered


async def test_a_host_that_answers_ever_more_slowly(clock: Clock) -> None:
    """Is asked less; one that always took its time is not, nor one that is quick all the same."""
    slowing, slow, quick = _gate(clock), _gate(clock), _gate(clock)
    for number in range(100):
        slowing.went_well(0.02 if number < 50 else 5.0)
        slow.went_well(3.0)
        quick.went_well(0.001 if number < 50 else 0.5)
        clock.at += 0.1

    assert 8 > slowing.window
    assert [16, 16] == [slow.window, quick.window]


async def test_turns_are_evenly_spaced(clock: Clock) -> None:
    """No second sees more than asked for; time that nobody used is not made up for."""
    gate, entered = _gate(clock, per_second=8), list[float]()
    for _ in range(3):
        async with gate:
            entered.append(clock.at)
    clock.at += 60
    for _ in range(3):
        async with gate:
            entered.append(clock.at)

    assert [0, 0.125, 0.25, 60.25, 60.375, 60.5] == pytest.approx([at - 1000 for at in entered])


async def test_turns_of_many_at_once() -> None:
    """Each gets one of its own."""
    gate = Gate(limit=100, per_second=100)
    begin, entered = asyncio.get_running_loop().time(), list[float]()

    async def pass_through() -> None:
        async with gate:
            entered.append(asyncio.get_running_loop().time() - begin)

    await asyncio.gather(*(pass_through() for _ in range(20)))

    assert all(at >= number / 100 - 0.005 for number, at in enumerate(sorted(entered)))


async def test_who_gives_up_takes_no_place(clock: Clock) -> None:
    """Neither while waiting nor in the moment of being let in."""
    gate = _gate(clock, 1)
    may_leave = asyncio.Event()

    async def stay() -> None:
        async with gate:
            await may_leave.wait()

    first = asyncio.create_task(stay())
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(stay()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    may_leave.set()
    await first
    waiting[1].cancel()  # it has just been let in
    await asyncio.gather(*waiting, return_exceptions=True)

    async with gate:
        assert waiting[2].done()
        assert not waiting[2].cancelled()
