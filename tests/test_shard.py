"""Shares of the work: each pair is in exactly one, whoever asks, wherever."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import UsageError
from mirror.shard import Shard

_COUNTS = st.integers(1, 200)
_NAMES = st.text(max_size=40)


@given(release=_NAMES, destination=_NAMES, count=_COUNTS)
def test_each_pair_is_in_exactly_one(release: str, destination: str, count: int) -> None:
    """Whatever it is called, and however many there are."""
    takers = [shard for shard in (Shard(index, count) for index in range(count)) if shard.takes(release, destination)]

    assert 1 == len(takers)


@pytest.mark.parametrize(
    ("release", "destination", "index"),
    [
        ("edge-26.8.1", "production", 0),
        ("edge-26.8.1", "staging", 0),
        ("edge-26.8.2", "production", 5),
        ("edge-26.8.3", "production", 2),
        ("stable-2.14.10", "production", 7),
        ("stable-2.14.10", "registry.example.com-linkerd", 3),
    ],
)
def test_where_it_is(release: str, destination: str, index: int) -> None:
    """The same in every process, on every machine, in every version: pods of two versions leave nothing out."""
    assert [index] == [at for at in range(8) if Shard(at, 8).takes(release, destination)]


def test_the_whole() -> None:
    """Without a word, one share is all."""
    assert Shard(0, 1) == Shard()
    assert Shard().takes("edge-26.8.1", "production")


def test_as_even_as_chance() -> None:
    """No share of a real mirror's work is forgotten, or most of it."""
    pairs = [(f"edge-26.{month}.{number}", name) for month in range(1, 13) for number in (1, 2, 3) for name in "abcd"]
    sizes = [sum(Shard(index, 8).takes(*pair) for pair in pairs) for index in range(8)]

    assert len(pairs) == sum(sizes)
    assert all(len(pairs) / 16 < size < len(pairs) / 4 for size in sizes), sizes


@given(count=_COUNTS, data=st.data())
def test_what_is_written_is_read(count: int, data: st.DataObject) -> None:
    """By `--shard`, in JSON and in the log."""
    shard = Shard(data.draw(st.integers(0, count - 1)), count)

    assert shard == Shard.parse(str(shard))


@given(st.text(alphabet="0123456789/-+ _.x٣\n", max_size=12) | st.text(max_size=12))
def test_anything_else(text: str) -> None:
    """Is a share, or the operator's mistake."""
    with suppress(UsageError):
        shard = Shard.parse(text)

        assert 0 <= shard.index < shard.count


@pytest.mark.parametrize(
    "text", ["", "1", "8/8", "0/0", "1/0", "-1/8", "0/8 ", "0/8\n", "0//8", "٣/8", "0x0/8", "0/1e3"]
)
def test_mistakes(text: str) -> None:
    """Counting from 1 is the one that is made most: then the last of them ends so."""
    with pytest.raises(UsageError, match=r"^--shard .* expected I/N with I from 0 to N-1, as 0/8 to 7/8$"):
        Shard.parse(text)
