"""The display: counts from many threads, drawn now and then."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from mirror.cli.display import Display
from mirror.sync import Move

PROXY, WEB = Move("ghcr.io/linkerd/proxy:edge-26.1.1"), Move("ghcr.io/linkerd/web:edge-26.1.1")


def test_counts_from_many_threads() -> None:
    """Nothing is lost, and each finished image leaves one line."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    with Display(console) as progress:
        for move in (PROXY, WEB):
            progress.image_started(move, 50_000_000)
        with ThreadPoolExecutor(8) as pool:
            for _ in range(1000):
                pool.submit(progress.advanced, PROXY, 31_400)
        (_, proxy, _), (_, web, _), (_, done, size) = progress.counted()
        progress.image_finished(PROXY, "copied")
        progress.image_finished(WEB, "failed")
        (_, left, awaited), *more = progress.counted()

    assert (31_400_000, 0, 31_400_000, 100_000_000) == (proxy, web, done, size)
    assert (31_400_000, 31_400_000, []) == (left, awaited, more)
    assert f"  copied  {PROXY.reference}  31.4 MB" in out.getvalue()
    assert f"  failed  {WEB.reference}  0 B" in out.getvalue()


def test_the_display_names_each_image_and_the_total() -> None:
    """One line an image with bytes and rate, one for the whole."""
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=True, width=120, color_system=None)) as progress:
        progress.image_started(PROXY, 2_000_000)
        progress.image_started(WEB, 0)
        progress.advanced(PROXY, 500_000)

    assert "linkerd/proxy:edge-26.1.1" in out.getvalue()
    assert "0.5/2.0 MB" in out.getvalue()
    assert "0 of 2 images" in out.getvalue()


def test_an_image_on_its_way_to_two_destinations() -> None:
    """A line for each, and each is counted; that a third has it already ends neither."""
    here, there = Move(PROXY.reference), Move(PROXY.reference)
    with Display(Console(file=io.StringIO(), force_terminal=True, width=120)) as display:
        for move in (here, there):
            display.image_started(move, 1_000)
        display.advanced(here, 1_000)
        display.advanced(there, 300)
        display.image_finished(Move(PROXY.reference), "kept")
        both = [(done, size) for _, done, size in display.counted()]
        display.image_finished(here, "copied")
        one = [(done, size) for _, done, size in display.counted()]
        summary = display.summary()
        display.image_finished(there, "copied")
        none = [(done, size) for _, done, size in display.counted()]
        bars = [task.description for task in display._bars.tasks]

    assert [(1_000, 1_000), (300, 1_000), (1_300, 2_000)] == both
    assert [(300, 1_000), (1_300, 2_000)] == one
    assert "1 of 2 images" == summary
    assert [(1_300, 1_300)] == none
    assert 1 == len(bars)


@pytest.mark.parametrize(
    ("colour", "outcome"),
    [("32", each) for each in ("copied", "adopted", "exported", "checked")] + [("31", "failed"), ("31", "refused")],
)
def test_only_what_went_wrong_is_red(colour: str, outcome: str) -> None:
    """Images, and archives that were written or checked."""
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=True, width=120, color_system="standard")) as display:
        display.image_started(PROXY, 0)
        display.image_finished(PROXY, outcome)

    assert f"\x1b[{colour}m{outcome:>8}\x1b[0m" in out.getvalue()


def test_what_was_not_started_is_ignored() -> None:
    """A late call of a thread does no harm."""
    with Display(Console(file=io.StringIO())) as display:
        display.advanced(PROXY, 1)
        display.image_finished(PROXY, "failed")

    assert [0] == [done for _, done, _ in display.counted()]
