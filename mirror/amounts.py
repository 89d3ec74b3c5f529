"""Amounts for people: bytes, seconds, moments. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def human_size(size: int) -> str:
    """*size* in bytes, for people: `512 B`, `3.4 MB`; powers of 1000."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.95 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def human_seconds(seconds: float) -> str:
    """*seconds*, for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole // 60 % 60} min"


def relative(moment: datetime, now: datetime) -> str:
    """How far *moment* is from *now*: `just now`, `12 min ago`, `in 3 days`; the page's mirror.js says the same."""
    seconds = abs((now - moment).total_seconds())
    is_past = moment <= now
    if seconds < _MINUTE:
        return "just now" if is_past else "in a moment"
    amount = _distance(seconds)
    return f"{amount} ago" if is_past else f"in {amount}"


def _distance(seconds: float) -> str:
    if seconds < 2 * _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR:.0f} h"
    return f"{seconds // _DAY:.0f} days"


def clock(moment: datetime, now: datetime) -> str:
    """*moment* as a clock in UTC shows it, with its day where that is another than *now*'s: `24 Nov 14:17 UTC`."""
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    if moment.date() == now.date():
        day = ""
    elif abs(now - moment) < timedelta(days=180):
        day = f"{moment.day} {moment:%b} "
    else:
        day = f"{moment.day} {moment:%b} {moment.year} "
    return f"{day}{moment:%H:%M} UTC"
