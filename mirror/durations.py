"""Durations as Go spells them: `6h`, `1h30m`, `880.092µs`.

Configuration is written so, and registries say so how long to wait. Signs are not read: nothing here goes back in time.
Spec: time.ParseDuration and time.Duration.String of Go 1.24.
"""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(f"(?:{_PART.pattern})+")


def go_duration(text: str) -> float | None:
    """Seconds in a Go duration (`1m2s`, `880.092µs`), infinite if there are too many; None if *text* is not one."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def parse_duration(text: str) -> timedelta:
    """The duration that *text* spells as Go does; raises ValueError."""
    seconds = go_duration(text)
    if seconds is None:
        raise ValueError('expected a duration such as "6h", "90m" or "1h30m"')
    try:
        return timedelta(seconds=seconds)
    except OverflowError as exc:
        raise ValueError("the duration is too long") from exc


def format_duration(duration: timedelta) -> str:
    """*duration* as Go spells it, to the second, zero units left out."""
    seconds = round(duration.total_seconds())
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
