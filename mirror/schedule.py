"""When work is due: APScheduler's triggers, and the timetable that rings a bell.

The scheduler never does work: what it calls only rings (mirror/service/loop.py does the work, one piece at a time), so
that runs never overlap and APScheduler's own shutdown has nothing to wait for or to cancel.

Cron is the five fields of crontab(5), in which 0 and 7 are Sunday; APScheduler's own numbers begin on Monday.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = r"[0-7]|sun|mon|tue|wed|thu|fri|sat"
_WEEKDAYS = re.compile(rf"(?P<first>\*|{_DAY})(?:-(?P<last>{_DAY}))?(?:/(?P<step>\d))?")
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_GAPS_MAX = 3000  # of every minute that is two days, of every day it is years


def cron(text: str, timezone: str, jitter: timedelta = timedelta()) -> CronTrigger:
    """The trigger that *text*, five fields of cron, stands for; raises ValueError, in words."""
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected five fields (minute hour day month weekday), as 17 3 * * *, and not {len(fields)}")
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise ValueError("a day of the month and a weekday: cron would take either, so give only one of them")
    return CronTrigger(
        minute=minute,
        hour=hour,
        day=day,
        month=month,
        day_of_week=weekday if weekday == "*" else ",".join(dict.fromkeys(map(_DAYS.__getitem__, _weekdays(weekday)))),
        timezone=ZoneInfo(timezone),
        jitter=_seconds(jitter),
    )


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


def _seconds(span: timedelta) -> int | None:
    return int(span.total_seconds()) or None


def every(interval: timedelta, jitter: timedelta = timedelta(), *, is_aligned: bool = False) -> IntervalTrigger:
    """A trigger for each *interval* from now on; *aligned*: at the same moments whenever it is made."""
    return IntervalTrigger(
        seconds=max(1, int(interval.total_seconds())),
        start_date=_EPOCH if is_aligned else datetime.now(UTC) + interval,
        timezone=UTC,
        jitter=_seconds(jitter),
    )


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

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        )

    def start(self) -> None:
        """Begins to call, in the event loop that runs."""
        self._scheduler.start()

    def stop(self) -> None:
        """Calls nothing any more."""
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
        return min(due, default=None)


def _called(ring: Callable[[], None]) -> Callable[[], object]:
    async def call() -> None:  # in the event loop: a plain function would be called in a thread
        ring()

    return call
