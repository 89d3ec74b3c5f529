"""Sizes and durations for people; what may reach a terminal."""

from __future__ import annotations

import pytest

from mirror.cli.output import human_seconds, human_size, printable


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


def test_printable() -> None:
    """Control characters are spelt out; letters of any script and line ends stay."""
    assert "a\\x1b[2Jb\\r\\x9b é漢\n" == printable("a\x1b[2Jb\r\x9b é漢\n")
