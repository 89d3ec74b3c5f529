"""Whose clock is ahead, from what an answer says of when it was made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.doctor.registries import clock_ahead
from mirror.http.answer import Answer

SENT = datetime(2026, 8, 2, 12, 0, 0, 500_000, tzinfo=UTC)
CAME = SENT + timedelta(seconds=2)


def ahead(**headers: str) -> float | None:
    found = clock_ahead(Answer(200, headers, b"", ""), SENT, CAME)
    return None if found is None else found.total_seconds()


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Sun, 02 Aug 2026 12:00:00 GMT", 0),
        ("Sun, 02 Aug 2026 12:00:02 GMT", 0),
        ("Sun, 02 Aug 2026 12:00:03 GMT", 0.5),
        ("Sun, 02 Aug 2026 11:59:59 GMT", -0.5),
        ("Sun, 02 Aug 2026 13:00:02 GMT", 3599.5),
        ("Sun, 02 Aug 2026 14:00:01 +0200", 0),
        ("Sun, 02 Aug 2026 12:00:00 -0000", 0),
    ],
)
def test_dates(date: str, expected: float) -> None:
    """What lies between asking and being answered, to the second of a Date, agrees."""
    assert expected == ahead(date=date)


def test_an_answer_from_a_cache() -> None:
    """Was made as long ago as it says."""
    assert 0 == ahead(date="Sun, 02 Aug 2026 11:00:01 GMT", age="3600")


@pytest.mark.parametrize("headers", [{}, {"date": "noon"}, {"date": "Sun, 02 Aug 2026 12:00:00 GMT", "age": "old"}])
def test_no_date(headers: dict[str, str]) -> None:
    """Nothing is known of the clock."""
    assert ahead(**headers) is None


@given(st.text(), st.text())
def test_any_headers(date: str, age: str) -> None:
    """Say something or nothing."""
    ahead(date=date, age=age)
