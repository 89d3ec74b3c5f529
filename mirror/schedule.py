"""When work is due: APScheduler's triggers, and the timetable that rings a bell.

The scheduler never does work: what it calls only rings (mirror/service/loop.py does the work, one piece at a time), so
that runs never overlap and APScheduler's own shutdown has nothing to wait for or to cancel.

Cron is the five fields of crontab(5), in which 0 and 7 are Sunday; APScheduler's own numbers begin on Monday.
What is due in an hour that the clock skips comes when that hour would have; in an hour that it repeats, both times.

APScheduler goes by the wall clock, which may be set. Timetable.clock_moved puts right what that would delay.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = r"[0-7]|sun|mon|tue|wed|thu|fri|sat"
_WEEKDAYS = re.compile(rf"(?P<first>\*|{_DAY})(?:-(?P<last>{_DAY}))?(?:/(?P<step>\d))?")
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_SET = timedelta(seconds=20)
_JITTER_MAX = 10  # a jitter of 5 minutes is not meant for what is due every minute
_GAPS_MAX = 3000  # of every minute that is two days, of every day it is years

log = structlog.get_logger()


def cron(text: str, timezone: str, jitter: timedelta = timedelta()) -> CronTrigger:
    """The trigger that *text*, five fields of cron, stands for; raises ValueError, in words."""
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected five fields (minute hour day month weekday), as 17 3 * * *, and not {len(fields)}")
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise ValueError("a day of the month and a weekday: cron would take either, so give only one of them")
    trigger = CronTrigger(
        minute=minute,
        hour=hour,
        day=day,
        month=month,
        day_of_week=weekday if weekday == "*" else ",".join(dict.fromkeys(map(_DAYS.__getitem__, _weekdays(weekday)))),
        timezone=ZoneInfo(timezone),
        jitter=int(jitter.total_seconds()) or None,
    )
    if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise ValueError(f"{text!r} never comes: no month that it names has such a day")
    return trigger


def _weekdays(field: str) -> list[int]:
    """The weekdays of a crontab's *field*, 0 and 7 for Sunday."""
    days = list[int]()
    for part in field.lower().split(","):
        matched = _WEEKDAYS.fullmatch(part)
        if matched is None:
            raise ValueError(f"{field!r} is no weekday: 0 to 7, both ends Sunday, or sun to sat, as 1-5 or mon,thu")
        first, last, step = matched["first"], matched["last"], int(matched["step"] or 1)
        begin = 0 if first == "*" else _weekday(first)
        end = 6 if first == "*" else _weekday(last) if last else 6 if matched["step"] else begin
        if end < begin or not step:
            raise ValueError(f"{field!r} is no range of weekdays: the first comes after the last")
        days += range(begin, end + 1, step)
    return days


def _weekday(text: str) -> int:
    return int(text) if text.isdigit() else _DAYS.index(text)


@dataclass(frozen=True, slots=True)
class Every(BaseTrigger):  # type: ignore[misc]  # it comes without types
    """Each *interval* after *start*, and by chance up to *jitter*, but no more than a tenth of it, later.

    What was late does not make what follows later, as APScheduler's own interval does: the next moments stay the same.
    """

    start: datetime
    interval: timedelta
    jitter: timedelta = timedelta()

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """The first moment after *now* and after *previous*, which was one of ours."""
        after = max(previous or now, now, self.start)
        lateness = min(self.jitter, self.interval / _JITTER_MAX) * random.random()  # noqa: S311 - it is no secret
        return self.start + ((after - self.start) // self.interval + 1) * self.interval + lateness


def every(interval: timedelta, jitter: timedelta = timedelta()) -> Every:
    """A trigger for each *interval* from now on."""
    return Every(datetime.now(UTC), interval, jitter)


def aligned(interval: timedelta, jitter: timedelta = timedelta()) -> Every:
    """A trigger for each *interval*, at the same moments whenever it is made."""
    return Every(_EPOCH, interval, jitter)


@dataclass(slots=True)
class WallClock:
    """The clock that can be set, beside one that cannot; a machine that slept looks like one whose clock was set."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    _difference: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.moved()

    def moved(self) -> timedelta:
        """By how much it was set since this was last asked; nothing where it is only kept right, as by NTP."""
        before, self._difference = self._difference, self.wall() - self.steady()
        by = timedelta(seconds=self._difference - before)
        return by if abs(by) >= _SET else timedelta()


def longest_gap(trigger: CronTrigger, since: datetime) -> timedelta:
    """The longest time between two of its moments in the year after *since*, or among the first _GAPS_MAX."""
    longest = timedelta()
    moment = trigger.get_next_fire_time(None, since)
    for _ in range(_GAPS_MAX):
        following = moment and trigger.get_next_fire_time(moment, moment)
        if moment is None or following is None or following - since > timedelta(days=366):
            break
        longest, moment = max(longest, following - moment), following
    return longest


class Timetable:
    """Calls what is due; a moment that was missed, however many times, is one call."""

    def __init__(self, clock: WallClock | None = None, look_every_s: float = 30.0) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        )
        self._clock = clock or WallClock()
        self._look_every_s = look_every_s
        self._look: asyncio.TimerHandle | None = None

    def start(self, on_change: Callable[[], None] = lambda: None) -> None:
        """Begins to call, in the event loop that runs; *on_change* when the clock was set, and so what is due."""
        self._scheduler.start()
        self._look_later(on_change)

    def _look_later(self, on_change: Callable[[], None]) -> None:
        def look() -> None:
            if by := self._clock.moved():
                log.warning("schedule.clock_moved", seconds=round(by.total_seconds()))
                self.clock_moved(by)
                on_change()
            self._look_later(on_change)

        self._look = asyncio.get_running_loop().call_later(self._look_every_s, look)

    def stop(self) -> None:
        """Calls nothing any more."""
        if self._look:
            self._look.cancel()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def set(self, name: str, trigger: BaseTrigger, ring: Callable[[], None]) -> None:
        """*ring* is called by *trigger*, in place of what was called *name*."""
        self._scheduler.add_job(_called(ring), trigger, id=name, replace_existing=True)

    def once(self, name: str, wait: timedelta, ring: Callable[[], None]) -> None:
        """*ring* is called once after *wait*."""
        at = datetime.now(UTC) + wait
        self._scheduler.add_job(_called(ring), "date", run_date=at, id=name, replace_existing=True)

    def drop(self, name: str) -> None:
        """What was called *name* is not called any more."""
        if self._scheduler.get_job(name):
            self._scheduler.remove_job(name)

    def next(self, *names: str) -> datetime | None:
        """When the first of *names* is due; None for never."""
        jobs = [self._scheduler.get_job(name) for name in names]
        due = [job.next_run_time for job in jobs if job is not None and getattr(job, "next_run_time", None)]
        return min((each.astimezone(UTC) for each in due), default=None)

    def clock_moved(self, by: timedelta) -> None:
        """The clock was set, forward or, *by* less than nothing, back: nothing waits longer for that.

        What is due by now is called; what waits for a time and not for an hour of the day waits as long as before.
        """
        for job in self._scheduler.get_jobs():
            if isinstance(job.trigger, CronTrigger):
                job.modify(
                    next_run_time=min(job.next_run_time, job.trigger.get_next_fire_time(None, datetime.now(UTC)))
                )
            elif by < timedelta():
                job.modify(next_run_time=job.next_run_time + by)
        if self._scheduler.running:
            self._scheduler.wakeup()


def _called(ring: Callable[[], None]) -> Callable[[], object]:
    async def call() -> None:  # in the event loop: a plain function would be called in a thread
        ring()

    return call
