"""What the service knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mirror.oci.content import Digest
from mirror.plan import Target
from mirror.report import (
    ImageOutcome,
    ImageReport,
    ReleaseReport,
    SyncReport,
    VerifiedImage,
    VerifiedRelease,
    VerifyReport,
)
from mirror.service.bell import Work
from mirror.service.ledger import RUNS_KEPT, Ledger, RunOutcome
from mirror.service.progress import Moving, RunProgress
from mirror.sync import Move

NOW = datetime(2026, 8, 2, tzinfo=UTC)
A, B = Digest.of(b"a"), Digest.of(b"b")
KEY = ("production", "edge-26.8.1")


def report(outcome: ImageOutcome, *, destination: str = "production", release: str = "edge-26.8.1") -> SyncReport:
    """Of one image that came to *outcome*."""
    image = ImageReport("cr.l5d.io/linkerd/proxy:x", "r/proxy:x", Target("proxy", "x"), outcome)
    return SyncReport((ReleaseReport(destination, release, (image,)),), 1.0)


def ended(ledger: Ledger, work: Work, outcome: RunOutcome) -> None:
    """A run of *work* came to *outcome*."""
    ledger.end(replace(ledger.begin(work, "schedule", NOW), ended_at=NOW, outcome=outcome))


def test_in_step_and_not() -> None:
    """Since when it is, and since when it is not, are those of the first of several runs."""
    ledger = Ledger()
    seen = []
    for outcome in ("copied", "kept", "failed", "refused", "kept"):
        ledger.synced(report(outcome), {})  # type: ignore[arg-type]  # a tuple of literals
        seen.append(ledger.entries[KEY])

    assert [True, True, False, False, True] == [entry.wrong_since is None for entry in seen]
    assert seen[0].since == seen[1].since != seen[4].since
    assert seen[2].wrong_since == seen[2].since != seen[3].since
    assert seen[2].wrong_since == seen[3].wrong_since is not None
    assert seen[1].in_step_at == seen[3].in_step_at != seen[4].in_step_at
    assert seen[4].wrong_since is None


def test_since_when_it_is_so() -> None:
    """Since the first of the runs, one after another, that have said the same; how long it is unproven goes on."""
    ledger = Ledger()
    seen = []
    for outcome in ("failed", "failed", "refused", "refused"):
        ledger.synced(report(outcome), {})  # type: ignore[arg-type]  # a tuple of literals
        seen.append(ledger.entries[KEY])

    assert ["not_in_step", "not_in_step", "refused", "refused"] == [entry.word for entry in seen]
    assert seen[0].since == seen[1].since < seen[2].since == seen[3].since
    assert {seen[0].since} == {entry.wrong_since for entry in seen}


def test_since_when_it_is_damaged() -> None:
    """Since the first deep verification that found so, of the digest that is still there."""
    ledger = Ledger()
    moments = []
    for damaged in (A, A, B):
        part = VerifiedImage("web", "r/web:x", damaged, ("the bytes are others",))
        ledger.deeply_verified(VerifyReport((VerifiedRelease(*KEY, (part,)),), True))
        moments.append((ledger.verified[KEY].at, ledger.verified[KEY].damaged_since("web")))

    assert moments[0][0] == moments[0][1] == moments[1][1] < moments[1][0]
    assert moments[2][0] == moments[2][1]


def test_what_is_known_of_images_stays() -> None:
    """A run that could say nothing of them leaves what the one before it said; the reason is its own."""
    ledger = Ledger()
    ledger.synced(report("kept"), {})
    images = ledger.entries[KEY].images
    ledger.synced(SyncReport((ReleaseReport(*KEY, problem="connection refused"),), 1.0), {})
    entry = ledger.entries[KEY]

    assert (images, False, "connection refused", "not_in_step") == (
        entry.images, entry.is_seen, entry.report.problem, entry.word
    )  # fmt: skip
    assert 1 == len(images)


def test_a_sync_that_could_do_nothing() -> None:
    """It proves nothing: what was in step is not known to be, and when it last was is."""
    ledger = Ledger()
    ledger.synced(report("kept"), {})
    before = ledger.entries[KEY]
    ledger.unproven()
    once = ledger.entries[KEY]
    ledger.unproven()
    entry = ledger.entries[KEY]

    assert (False, "unknown", entry.wrong_since) == (entry.wrong_since is None, entry.word, entry.since)
    assert (before.in_step_at, before.tried_at, before.report) == (entry.in_step_at, entry.tried_at, entry.report)
    assert once.wrong_since == entry.wrong_since


def test_what_is_asked_for_no_longer() -> None:
    """A release leaves with the next sync, what was verified of it stays; a destination leaves altogether."""
    ledger = Ledger()
    ledger.synced(report("kept"), {})
    ledger.deeply_verified(
        VerifyReport((VerifiedRelease("production", "edge-26.8.1"), VerifiedRelease("old", "edge-26.8.1")), True)
    )
    ledger.synced(report("kept", release="edge-26.8.2"), {})
    ledger.keep({"production"})

    assert [("production", "edge-26.8.2")] == list(ledger.entries)
    assert [KEY] == list(ledger.verified)
    ledger.keep({"other"})
    assert ({}, {}) == (ledger.entries, ledger.verified)


def test_runs() -> None:
    """They are numbered without a gap, the newest first, and no more of them kept than RUNS_KEPT."""
    ledger = Ledger()
    for _ in range(RUNS_KEPT + 5):
        ended(ledger, "sync", "in_step")

    assert list(range(RUNS_KEPT + 5, 5, -1)) == [run.number for run in ledger.runs]
    assert ledger.current is None


@pytest.mark.parametrize(
    ("work", "outcome", "is_ready"),
    [
        ("sync", "synced", True),
        ("sync", "failed", True),
        ("sync", "refused", True),
        ("sync", "interrupted", False),
        ("deep_verify", "in_step", False),
    ],
)
def test_ready(work: Work, outcome: RunOutcome, is_ready: bool) -> None:
    """Once a sync has ended, whatever came of it, and from then on."""
    ledger = Ledger()
    ended(ledger, work, outcome)
    assert is_ready == ledger.is_ready
    for _ in range(RUNS_KEPT + 1):
        ended(ledger, "deep_verify", "failed")

    assert is_ready == ledger.is_ready


def test_stuck() -> None:
    """A run is, in which nothing moved for longer than it may; without a run nothing is."""
    now = [0.0]
    ledger = Ledger(stuck_after=timedelta(minutes=30))
    run = ledger.begin("sync", "start", NOW)
    ledger.progress = RunProgress(lambda: now[0])
    now[0] = 1801
    stuck_s = ledger.stuck_s
    ledger.progress.image_finished(Move("cr.l5d.io/linkerd/proxy:x"), "failed")
    just_moved_s = ledger.stuck_s
    now[0] += 1800
    at_the_bound_s = ledger.stuck_s
    now[0] += 100_000
    ledger.end(replace(run, ended_at=NOW, outcome="failed"))

    assert (1801.0, 0.0, 0.0) == (stuck_s, just_moved_s, at_the_bound_s)
    assert 0 == ledger.stuck_s


def test_progress() -> None:
    """Bytes count for the image that is on its way; one that begins anew takes its own back."""
    progress, move = RunProgress(), Move("proxy")
    progress.image_started(move, 100)
    progress.advanced(move, 60)
    progress.advanced(move, -60)
    progress.advanced(move, 30)
    progress.advanced(Move("never started"), 5)
    moving = progress.moving
    progress.image_finished(move, "copied")

    assert (Moving("proxy", 100, 30),) == moving
    assert ((), 1) == (progress.moving, progress.finished)


def test_progress_to_two_destinations() -> None:
    """An image is on its way until it is at both, and told once; that it was at a third already ends nothing."""
    progress, here, there = RunProgress(), Move("proxy"), Move("proxy")
    progress.image_started(here, 100)
    progress.image_started(there, 100)
    progress.advanced(here, 100)
    progress.advanced(there, 30)
    both = progress.moving
    progress.image_finished(Move("proxy"), "kept")
    progress.image_finished(here, "copied")

    assert (Moving("proxy", 200, 130),) == both
    assert (Moving("proxy", 100, 30),) == progress.moving
    assert 2 == progress.finished
