"""Sizes, durations and moments for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mirror.amounts import clock, human_seconds, human_size, relative

NOW = datetime(2026, 11, 26, 14, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (31_400_000, "31.4 MB"),
        (5_000_000_000, "5.0 GB"),
        (7_200_000_000_000, "7.2 TB"),
    ],
)
def test_human_size(size: int, text: str) -> None:
    """Three digits at most, powers of 1000."""
    assert text == human_size(size)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (7500, "2 h 5 min")],
)
def test_human_seconds(seconds: float, text: str) -> None:
    """The two largest units."""
    assert text == human_seconds(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (-59, "just now"),
        (59, "in a moment"),
        (-12 * 60, "12 min ago"),
        (48 * 60 + 59, "in 48 min"),
        (-7199, "119 min ago"),
        (-7200, "2 h ago"),
        (3 * 86400, "in 3 days"),
    ],
)
def test_relative(seconds: int, text: str) -> None:
    """Past and future, whole units only, none of them rounded up."""
    assert text == relative(NOW + timedelta(seconds=seconds), NOW)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOW, "14:17 UTC"),
        (NOW.astimezone(datetime.fromisoformat("2026-01-01T00:00+05:30").tzinfo), "14:17 UTC"),
        (NOW - timedelta(days=2), "24 Nov 14:17 UTC"),
        (NOW - timedelta(days=400), "22 Oct 2025 14:17 UTC"),
    ],
)
def test_clock(moment: datetime, text: str) -> None:
    """UTC whatever the zone, with the day where it is not today's, and the year where it is long ago."""
    assert text == clock(moment, NOW)
