"""Progress: nothing is drawn before an image moves."""

from __future__ import annotations

import pytest

from mirror.cli.progress import Progress, QuietProgress
from mirror.sync import Move

PROXY = Move("ghcr.io/linkerd/proxy:edge-26.1.1")


def test_nothing_is_drawn_for_what_stays(capsys: pytest.CaptureFixture[str]) -> None:
    """Images of a release in step are finished without having been started."""
    with Progress() as progress:
        progress.image_finished(PROXY, "kept")

    assert ("", "") == capsys.readouterr()


def test_a_display_opens_with_the_first_image(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, and it is closed at the end: a line of each image is left."""
    with Progress() as progress:
        progress.image_started(PROXY, 3_000_000)
        progress.advanced(PROXY, 3_000_000)
        progress.image_finished(PROXY, "copied")

    out, err = capsys.readouterr()
    assert "" == out
    assert f"  copied  {PROXY.reference}  3.0 MB" in err


def test_what_was_not_started_is_ignored() -> None:
    """A late call of a thread does no harm; the silent one takes every call."""
    for progress in (Progress(), QuietProgress()):
        with progress:
            progress.advanced(PROXY, 1)
            progress.image_finished(PROXY, "failed")
            progress.image_started(PROXY, 0)
