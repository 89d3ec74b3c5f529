"""Durations: read and written as Go does."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.durations import format_duration, go_duration, parse_duration

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 999), st.sampled_from(sorted(UNITS))), min_size=1))
def test_the_parts_add_up(parts: list[tuple[int, int, str]]) -> None:
    """Numbers with and without a fraction, in any unit, any number of times, in any order."""
    text = "".join(f"{whole}.{thousandths:03}{unit}" for whole, thousandths, unit in parts)
    expected = sum((whole + thousandths / 1e3) * UNITS[unit] for whole, thousandths, unit in parts)

    assert pytest.approx(expected) == go_duration(text)
    assert pytest.approx(expected, abs=1e-6) == parse_duration(text).total_seconds()


@given(st.text() | st.text(alphabet="0123456789.hmsµun-+ ٣", max_size=12))
@example("1" * 400 + "h")
@example("1.1.1s")
@example(".s")
@example("٣s")
@example("1s\n")
def test_both_read_the_same(text: str) -> None:
    """Any text is a duration for both or for neither, but for one that is too long to be a value."""
    seconds = go_duration(text)
    try:
        duration = parse_duration(text)
    except ValueError:
        assert seconds is None or seconds > timedelta.max.total_seconds() - 1
        return

    assert seconds is not None
    assert pytest.approx(seconds, abs=1e-6) == duration.total_seconds()
    assert re.fullmatch(r"[0-9.hmsµμun]+", text)


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=365_000)))
def test_what_is_written_is_read_back(duration: timedelta) -> None:
    """To the second."""
    assert timedelta(seconds=round(duration.total_seconds())) == parse_duration(format_duration(duration))
