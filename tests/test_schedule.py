"""When work is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.base import BaseTrigger
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.schedule import Every, Timetable, WallClock, aligned, cron, every
from tests.waiting import until

SUNDAY = datetime(2026, 8, 2, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def moments(trigger: BaseTrigger, after: datetime) -> Iterator[datetime]:
    """When *trigger* is due after *after*, each looked at when the one before has come."""
    previous, now = None, after
    while True:
        previous = trigger.get_next_fire_time(previous, now)
        now = previous.astimezone(UTC)
        yield now


@st.composite
def weekday_parts(draw: st.DrawFn) -> tuple[str, set[int]]:
    """A part of a weekday field, and the days that crontab(5) says it stands for: 0 is Sunday, and so is 7."""
    first = draw(st.integers(0, 7))
    last = draw(st.integers(first, 7))
    step = draw(st.integers(1, 7))
    form = draw(st.sampled_from(["*", "*/n", "a", "a-b", "a-b/n", "name"]))
    names = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "Sun"]
    match form:
        case "*":
            return "*", set(range(7))
        case "*/n":
            return f"*/{step}", {day for day in range(7) if day % step == 0}
        case "a":
            return str(first), {first % 7}
        case "name":
            return names[first], {first % 7}
        case "a-b":
            return f"{first}-{last}", {day % 7 for day in range(8) if first <= day <= last}
        case _:
            text = f"{first}-{last}/{step}"
            return text, {day % 7 for day in range(8) if first <= day <= last and (day - first) % step == 0}


@given(st.lists(weekday_parts(), min_size=1, max_size=3))
@settings(max_examples=150)
def test_weekdays(parts: list[tuple[str, set[int]]]) -> None:
    """They are those of crontab(5), and not APScheduler's, whose week begins on Monday."""
    expected = set.union(*(days for _, days in parts))
    trigger = cron(f"30 4 * * {','.join(text for text, _ in parts)}", "UTC")
    due = list(islice(moments(trigger, SUNDAY), len(expected) * 2))

    assert expected == {moment.isoweekday() % 7 for moment in due}
    assert {(4, 30)} == {(moment.hour, moment.minute) for moment in due}
    assert due[-1] - SUNDAY < 14 * DAY


@given(st.text("0123456789*/,-sunmotewdhfriа٣ ", max_size=12))
@settings(max_examples=300)
def test_any_weekday_field(field: str) -> None:
    """It is read, or refused in words."""
    try:
        trigger = cron(f"0 0 * * {field}", "UTC")
    except ValueError as exc:
        words = str(exc)
    else:
        words = str(trigger.get_next_fire_time(None, SUNDAY))

    assert words not in ("", "None")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("17 3 * *", "expected five fields"),
        ("17 3 1 * 1", "give only one of them"),
        ("17 3 * * 8", "'8' is no weekday"),
        ("17 3 * * fri-mon", "the first comes after the last"),
        ("61 3 * * *", "higher than the maximum"),
        ("*/0 3 * * *", "higher than 0"),
        ("0 0 30 2 *", "never comes"),
        ("@daily", "expected five fields"),
    ],
)
def test_no_cron(text: str, words: str) -> None:
    """What is wrong is said."""
    with pytest.raises(ValueError, match=words):
        cron(text, "UTC")


def test_the_hour_that_is_skipped() -> None:
    """On 29 March 2026 Berlin goes from 2:00 to 3:00: what is due between comes once, when it would have."""
    due = list(islice(moments(cron("30 2 * * *", "Europe/Berlin"), datetime(2026, 3, 28, 12, tzinfo=UTC)), 2))

    assert [datetime(2026, 3, 29, 1, 30, tzinfo=UTC), datetime(2026, 3, 30, 0, 30, tzinfo=UTC)] == due


def test_the_hour_that_is_repeated() -> None:
    """On 25 October 2026 Berlin has 2:00 to 3:00 twice; the day after is as any other."""
    due = list(islice(moments(cron("30 2 * * *", "Europe/Berlin"), datetime(2026, 10, 24, 12, tzinfo=UTC)), 3))

    assert [(25, 0, 30), (25, 1, 30), (26, 1, 30)] == [(each.day, each.hour, each.minute) for each in due]


@given(st.integers(0, 23), st.integers(0, 59))
@settings(max_examples=60)
def test_a_day_in_berlin(hour: int, minute: int) -> None:
    """Whatever the time of day, no day of the year goes without."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    due = moments(cron(f"{minute} {hour} * * *", "Europe/Berlin"), begin)
    days = {moment.astimezone(BERLIN).date() for moment in islice(due, 367)}

    assert 365 <= len(days)


@given(st.integers(1, 100_000), st.integers(0, 100_000), st.integers(0, 10_000_000))
@settings(max_examples=200)
def test_an_interval(interval_s: int, jitter_s: int, gone_s: int) -> None:
    """Jitter makes a moment later, by a tenth of the interval at most, and none that follows."""
    interval, start = timedelta(seconds=interval_s), SUNDAY + timedelta(seconds=gone_s)
    trigger = Every(SUNDAY, interval, timedelta(seconds=jitter_s))
    due = list(islice(moments(trigger, start), 5))
    lateness = [(moment - SUNDAY) % interval for moment in due]

    assert all(late <= min(interval / 10, timedelta(seconds=jitter_s)) for late in lateness)
    assert [1] * 4 == [(later - SUNDAY) // interval - (sooner - SUNDAY) // interval for sooner, later in pairwise(due)]
    assert start < due[0] <= start + 1.1 * interval


def test_what_was_missed_is_missed() -> None:
    """After a long run the next moment is the next of the grid, and not all that have gone by."""
    trigger = Every(SUNDAY, HOUR)

    assert SUNDAY + 6 * HOUR == trigger.get_next_fire_time(SUNDAY + HOUR, SUNDAY + 5 * HOUR + MINUTE)


def test_aligned() -> None:
    """Two that are made at different times have the same moments; an interval that is not begins when it is made."""
    before = datetime.now(UTC)
    first, second = (aligned(7 * DAY).get_next_fire_time(None, SUNDAY + n * DAY) for n in (1, 2))
    free = every(HOUR).get_next_fire_time(None, datetime.now(UTC))

    assert first == second
    assert before + HOUR <= free <= datetime.now(UTC) + HOUR


async def test_a_timetable_calls() -> None:
    """Again and again, and once what is wanted once; what is dropped it does not call."""
    timetable, rung = Timetable(), list[str]()
    timetable.set("often", Every(datetime.now(UTC), timedelta(seconds=0.05)), lambda: rung.append("often"))
    timetable.once("once", timedelta(seconds=0.05), lambda: rung.append("once"))
    timetable.once("dropped", timedelta(seconds=0.05), lambda: rung.append("dropped"))
    timetable.drop("dropped")
    timetable.drop("never there")
    timetable.start()
    try:
        await until(lambda: rung.count("often") > 3)
    finally:
        timetable.stop()

    assert (1, 0) == (rung.count("once"), rung.count("dropped"))
    assert timetable.next("once", "dropped") is None


async def test_what_is_next() -> None:
    """The first of those that are asked for, in UTC, before it has started and after."""
    timetable = Timetable()
    timetable.set("sync", cron("30 2 * * *", "Europe/Berlin"), lambda: None)
    timetable.start()
    timetable.once("retry", MINUTE, lambda: None)
    try:
        both, alone = timetable.next("sync", "retry"), timetable.next("sync")
    finally:
        timetable.stop()

    assert both is not None
    assert alone is not None
    assert both <= datetime.now(UTC) + MINUTE
    assert (UTC, 30) == (alone.tzinfo, alone.minute)


class Clock:
    """A wall clock that is set by *ahead* seconds."""

    ahead = 0.0

    def wall(self) -> float:
        return datetime.now(UTC).timestamp() + self.ahead


@pytest.mark.parametrize(("by_s", "moved_s"), [(3600, 3600), (-86400, -86400), (5, 0), (-5, 0), (0, 0)])
def test_a_clock_that_is_set(by_s: float, moved_s: float) -> None:
    """It is noticed once, and not where it is only kept right."""
    wall, steady = [1000.0], [50.0]
    clock = WallClock(lambda: wall[0], lambda: steady[0])
    wall[0] += 30 + by_s
    steady[0] += 30

    assert timedelta(seconds=moved_s) == clock.moved()
    assert timedelta() == clock.moved()


async def test_a_clock_that_is_set_back() -> None:
    """What waits for a time waits no longer for it, and who shows what is next is told."""
    clock, told = Clock(), list[datetime | None]()
    timetable = Timetable(WallClock(clock.wall), look_every_s=0.02)
    timetable.set("sync", every(HOUR), lambda: None)
    timetable.set("deep_verify", cron("* * * * *", "UTC"), lambda: None)
    # at once: APScheduler, whose clock was not set, finds a day ago to be due
    timetable.start(lambda: told.extend(map(timetable.next, ("sync", "deep_verify"))))
    try:
        before = timetable.next("sync")
        clock.ahead = -86400
        sync, deep_verify, *_ = await until(lambda: told)
    finally:
        timetable.stop()

    assert before is not None
    assert sync is not None
    assert deep_verify is not None
    assert timedelta(seconds=1) > abs(before - sync - DAY)
    assert deep_verify <= datetime.now(UTC) + MINUTE


async def test_a_clock_that_is_set_forward() -> None:
    """APScheduler, which sleeps for as long as it took an hour to be away, looks again at what is due."""
    timetable = Timetable()
    timetable.start()
    try:
        timetable.once("retry", HOUR, lambda: None)
        await until(lambda: timetable._scheduler._timeout)
        asleep = timetable._scheduler._timeout
        timetable.clock_moved(HOUR)
        await until(lambda: timetable._scheduler._timeout not in (None, asleep))
    finally:
        timetable.stop()

    assert asleep.cancelled()


async def test_what_a_clock_that_is_set_back_would_delay() -> None:
    """It is called when it would have been: here at once."""
    timetable, rung = Timetable(), list[str]()
    timetable.start()
    try:
        timetable.once("retry", HOUR, lambda: rung.append("retry"))
        timetable.clock_moved(-HOUR)
        await until(lambda: rung)
    finally:
        timetable.stop()

    assert ["retry"] == rung
