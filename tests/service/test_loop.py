"""The loop at work, over a real upstream and a layout on disk."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from mirror.app import App
from mirror.report import VerifyReport
from mirror.service.loop import retry_wait
from mirror.service.status import status
from mirror.settings import Settings
from tests.content import image
from tests.runs import sync
from tests.servers.fake import ALWAYS, Fault, Manners, answer, becomes, stalled
from tests.servers.upstream import NEXT, RELEASE, references
from tests.service.conftest import Seat
from tests.waiting import until

SOON = {"retry_after_failure": "1s"}
MANIFESTS = "(GET|HEAD) /v2/.*/manifests/.*"


def gone(times: int = ALWAYS) -> Fault:
    """The registry refuses all that is asked of it, as one does whose credential is wrong."""
    return Fault(MANIFESTS, answer(403), times=times)


async def test_the_first_run(seat: Seat) -> None:
    """It comes with the start; what it did is in the ledger and with who is told, once in the log."""
    with capture_logs() as logs:
        async with seat.working() as loop:
            run = await seat.runs(1)
            ledger = loop.ledger

    entry = ledger.entries["test", RELEASE]
    assert (1, "sync", "start", "synced") == (run.number, run.work, run.why, run.outcome)
    assert {"copied": 4} == run.images
    assert run.size > 0
    assert [run] == list(ledger.runs)
    assert ledger.is_ready
    assert entry.wrong_since is None
    assert set(references()) == set(entry.held)
    assert ["linux/amd64", "linux/arm64"] == sorted(entry.held[references()[0]].evidence.platforms)  # type: ignore[union-attr]
    [line] = [each for each in logs if each["event"] == "service.run_ended"]
    assert ("synced", [RELEASE], 4, run.size, "info") == (
        line["outcome"], line["releases"], line["copied"], line["bytes"], line["log_level"]
    )  # fmt: skip
    assert not [each for each in logs if each["event"] == "sync.finished"]


async def test_a_run_in_step(seat: Seat) -> None:
    """It reads no evidence again."""
    async with seat.working() as loop:
        await seat.runs(1)
        held = loop.ledger.entries["test", RELEASE].held
        loop.bell.ring("sync", "schedule")
        run = await seat.runs(2)

    assert (2, "in_step", {"kept": 4}, 0) == (run.number, run.outcome, run.images, run.size)
    assert held is loop.ledger.entries["test", RELEASE].held


async def test_runs_do_not_overlap(seat: Seat) -> None:
    """Those that are due while one is under way are one, after it."""
    layer = next(iter(seat.upstream.images[references()[2]].children[0].blobs))
    seat.upstream.registry.faults.append(Fault(f"GET .*/blobs/{layer}", becomes(stalled(after=100)), times=ALWAYS))
    async with seat.working(schedule={"every": "1s"}) as loop:
        await until(lambda: seat.upstream.registry.asked(f"GET .*/blobs/{layer}"))
        await until(lambda: loop.bell._wanted)
        for _ in range(5):
            loop.bell.ring("sync", "schedule")
        under_way, wanted = loop.ledger.current, dict(loop.bell._wanted)

    assert under_way is not None
    assert (1, {"sync": "schedule"}) == (under_way.number, wanted)
    assert 1 == seat.most_apps


async def test_an_interval_that_is_shorter_than_a_run(seat: Seat) -> None:
    """One run after the other, and never two."""
    async with seat.working(schedule={"every": "1s", "deep_verify": "1s"}):
        await seat.runs(6)

    assert {"sync", "deep_verify"} == {work for work, _, _ in seat.outcomes}
    assert 1 == seat.most_apps


async def test_a_failure_is_tried_again(seat: Seat) -> None:
    """Soon, until it goes well; then no more, until the next regular one."""
    seat.upstream.registry.faults.append(gone())
    async with seat.working(schedule=SOON) as loop:
        await seat.runs(1)
        due, now = loop.ledger.next_sync, datetime.now(UTC)
        seat.upstream.registry.faults.clear()
        await seat.runs(2)
        after = loop.ledger.next_sync

    assert [("sync", "start", "failed"), ("sync", "retry", "synced")] == seat.outcomes
    assert due is not None
    assert due - now < timedelta(seconds=2)
    assert after is not None
    assert after - now > timedelta(hours=99)


async def test_a_failure_that_is_over(seat: Seat) -> None:
    """A run that goes well before the retry is due takes its place."""
    seat.upstream.registry.faults.append(gone())
    async with seat.working(schedule={"retry_after_failure": "1h"}) as loop:
        await seat.runs(1)
        before = loop.timetable.next("retry")
        seat.upstream.registry.faults.clear()
        loop.reload()
        await seat.runs(2)
        after = loop.timetable.next("retry")

    assert before is not None
    assert after is None


def test_how_long_is_waited() -> None:
    """Twice as long each time; a service that was down for a year can still count."""
    minutes = [retry_wait(timedelta(minutes=5), failures) / timedelta(minutes=1) for failures in (1, 2, 3, 4)]

    assert [5, 10, 20, 40] == minutes
    assert retry_wait(timedelta(days=365), 1_000_000) < timedelta.max


@pytest.mark.parametrize("schedule", [{"retry_after_failure": "0s"}, {"retry_after_failure": "200h"}])
async def test_no_retry(seat: Seat, schedule: dict[str, str]) -> None:
    """Where none is wanted, or the regular run is sooner."""
    seat.upstream.registry.faults.append(gone())
    async with seat.working(schedule=schedule) as loop:
        await seat.runs(1)
        names = loop.timetable.next("retry")

    assert [("sync", "start", "failed")] == seat.outcomes
    assert names is None


async def test_a_refusal_is_not_tried_again(seat: Seat) -> None:
    """Only a human can settle it; what failed beside it is tried again."""
    moved = references()[0]
    async with seat.working(schedule=SOON) as loop:
        await seat.runs(1)
        seat.upstream.put(moved, image(b"another"))
        loop.bell.ring("sync", "schedule")
        await seat.runs(2)
        alone = loop.timetable.next("retry")
        seat.upstream.registry.faults.append(
            Fault(f"(HEAD|GET) .*/linkerd/web/manifests/{RELEASE}", answer(403), times=ALWAYS)
        )
        loop.bell.ring("sync", "schedule")
        run = await seat.runs(3)
        beside = loop.timetable.next("retry")

    assert ["synced", "refused", "refused"] == [outcome for _, _, outcome in seat.outcomes]
    assert {"refused": 1, "kept": 3} == run.images
    assert alone is None
    assert beside is not None


async def test_a_refusal_that_is_settled_elsewhere(seat: Seat) -> None:
    """The page says that SIGHUP has it looked at at once, and so it is."""
    async with seat.working() as loop:
        await seat.runs(1)
        moved = image(b"another")
        seat.upstream.put(references()[0], moved)
        loop.bell.ring("sync", "schedule")
        await seat.runs(2)
        [refusal] = status(loop.ledger, datetime.now(UTC)).problems
        await sync(loop.configuration.settings, accept=[f"{references()[0]}@{moved.digest}"])
        loop.reload()
        run = await seat.runs(3)

    assert "SIGHUP to the service begins one at once" in refusal.remedy
    assert ("reload", "in_step") == (run.why, run.outcome)
    assert () == status(loop.ledger, datetime.now(UTC)).problems


async def test_a_password_that_is_gone(seat: Seat) -> None:
    """The run fails and says which; nothing is proven by it, and the next one that finds it goes well."""
    password = seat.directory / "password"
    password.write_text("hunter2")
    seat.upstream.registry.manners = Manners(auth="basic", username="me", password="hunter2")
    entry = {"endpoint": seat.upstream.registry.url, "username": "me", "password_file": str(password)}
    async with seat.working(registries={"ghcr.io": entry, "docker.io": entry}, schedule=SOON) as loop:
        await seat.runs(1)
        password.rename(seat.directory / "elsewhere")
        loop.bell.ring("sync", "schedule")
        failed = await seat.runs(2)
        is_in_step = loop.ledger.entries["test", RELEASE].wrong_since is None
        (seat.directory / "elsewhere").rename(password)
        again = await seat.runs(3)

    assert ("failed", "retry", "in_step") == (failed.outcome, again.why, again.outcome)
    assert str(password) in failed.problem
    assert not is_in_step
    assert loop.ledger.entries["test", RELEASE].wrong_since is None


async def test_a_channel_that_cannot_be_read(seat: Seat) -> None:
    """Its release stays, not known to be in step; those that are named go on, after a restart too."""
    seat.upstream.publish(NEXT)
    async with seat.working(releases=["edge", RELEASE]) as loop:
        await seat.runs(1)
        seat.upstream.charts.files.clear()
        loop.bell.ring("sync", "schedule")
        run = await seat.runs(2)
        ledger = loop.ledger
    async with seat.working(releases=["edge", RELEASE]) as loop:
        await seat.runs(3)
        restarted = loop.ledger

    assert "failed" == run.outcome
    assert run.reason.startswith("edge at test: the channel edge cannot be read at http://")
    assert {RELEASE: True, NEXT: False, "edge": False} == {
        key[1]: each.wrong_since is None for key, each in ledger.entries.items()
    }
    assert {"edge": NEXT} == ledger.newest
    assert {RELEASE: True, "edge": False} == {
        key[1]: each.wrong_since is None for key, each in restarted.entries.items()
    }
    assert {"test"} == restarted.destinations


async def test_a_run_that_fails_at_its_end(seat: Seat) -> None:
    """Why is in the log and with the run, where it stays when later ones go well."""
    (seat.directory / "values").write_text("a file where a directory belongs")
    layout = {"kind": "layout", "directory": str(seat.directory / "mirror"), "pull_registry": "x.io/l5d"}
    with capture_logs() as logs:
        async with seat.working(
            destinations={"test": layout}, overrides={"directory": str(seat.directory / "values")}
        ) as loop:
            run = await seat.runs(1)
            (seat.directory / "values").unlink()
            loop.bell.ring("sync", "schedule")
            good = await seat.runs(2)

    assert ("failed", "in_step", "") == (run.outcome, good.outcome, good.reason)
    assert run.reason.startswith(f"{RELEASE} at test: {seat.directory / 'values'}")
    assert "cannot be written" in run.reason
    assert [run, good] == list(loop.ledger.runs)[::-1]
    assert [run.reason, ""] == [each["reason"] for each in logs if each["event"] == "service.run_ended"]
    assert "" == run.problem


async def test_many_things_that_are_wrong(seat: Seat) -> None:
    """The run tells the worst of them, and how many more there are."""
    seat.upstream.remove(references()[2])
    seat.upstream.registry.faults.append(Fault("(HEAD|GET) .*/prometheus/manifests/.*", answer(403), times=ALWAYS))
    async with seat.working():
        run = await seat.runs(1)

    assert "refused" == run.outcome
    words = "the release names this image, and the source does not have it"
    assert f"{RELEASE} at test: {references()[2]}: {words}; and 2 more" == run.reason


async def test_a_defect(seat: Seat) -> None:
    """It ends the run and not the loop; what it tells has no secrets."""
    with capture_logs() as logs:
        async with seat.working() as loop:
            await seat.runs(1)
            seat.breaks.append(ZeroDivisionError("https://me:hunter2@ghcr.io/"))
            loop.bell.ring("sync", "schedule")
            run = await seat.runs(2)
            loop.bell.ring("sync", "schedule")
            await seat.runs(3)

    assert "unexpected ZeroDivisionError: https://***@ghcr.io/" == run.problem
    assert ["synced", "failed", "in_step"] == [outcome for _, _, outcome in seat.outcomes]
    assert 1 == len([each for each in logs if each["event"] == "service.run_broke"])


async def test_interrupted(seat: Seat) -> None:
    """A run that is stopped in the middle of a blob says so, to everybody, and nothing has a tag."""
    layer = next(iter(seat.upstream.images[references()[2]].children[0].blobs))
    seat.upstream.registry.faults.append(Fault(f"GET .*/blobs/{layer}", becomes(stalled(after=100)), times=ALWAYS))
    with capture_logs() as logs:
        async with seat.working() as loop:
            await until(lambda: seat.upstream.registry.asked(f"GET .*/blobs/{layer}"))

    assert [("sync", "start", "interrupted")] == seat.outcomes
    assert ["interrupted"] == [run.outcome for run in loop.ledger.runs]
    assert ["interrupted"] == [each["outcome"] for each in logs if each["event"] == "service.run_ended"]
    assert loop.ledger.current is None
    assert not loop.ledger.is_ready
    assert not [each for each in threading.enumerate() if each.name.startswith(("http", "blob"))]


class TestDeepVerification:
    async def test_all_is_well(self, seat: Seat) -> None:
        """Each image is told of as it was looked at; nothing is to be done again."""
        async with seat.working() as loop:
            await seat.runs(1)
            loop.bell.ring("deep_verify", "schedule")
            run = await seat.runs(2)
            finished = loop.ledger.progress.finished
            loop.bell.ring("sync", "schedule")
            await seat.runs(3)
            wanted = dict(loop.bell._wanted)

        assert ("in_step", {"in_step": 4}, 4) == (run.outcome, run.images, finished)
        assert ("", "in_step") == (run.reason, loop.ledger.verified["test", RELEASE].report.outcome)
        assert isinstance(seat.ended[1][1], VerifyReport)
        assert {} == wanted

    async def test_what_is_wrong(self, seat: Seat) -> None:
        """It is logged, image by image; done again once a sync has brought something, and only once."""
        with capture_logs() as logs:
            async with seat.working(releases=["edge:2"]) as loop:
                await seat.runs(1)
                layer = next(iter(seat.upstream.images[references()[2]].children[0].blobs))
                blob = next((seat.directory / "mirror").rglob(str(layer).removeprefix("sha256:")))
                blob.write_bytes(blob.read_bytes()[:-1] + b"!")
                loop.bell.ring("deep_verify", "schedule")
                await seat.runs(2)
                loop.bell.ring("sync", "schedule")
                await seat.runs(3)  # in step, as far as it looks: to read every byte again would find the same
                seat.upstream.publish(NEXT)
                loop.bell.ring("sync", "schedule")
                await seat.runs(5)
                seat.upstream.publish("edge-26.8.3")
                loop.bell.ring("sync", "schedule")
                await seat.runs(6)
                wanted = dict(loop.bell._wanted)

        assert seat.ended[1][0].reason.startswith(f"{RELEASE} at test: ")
        assert str(layer) in seat.ended[1][0].reason
        assert [
            ("sync", "start", "synced"),
            ("deep_verify", "schedule", "not_in_step"),
            ("sync", "schedule", "in_step"),
            ("sync", "schedule", "synced"),
            ("deep_verify", "retry", "not_in_step"),
            ("sync", "schedule", "synced"),
        ] == seat.outcomes
        assert {} == wanted
        told = [each for each in logs if each["event"] == "verify.image_not_in_step"]
        assert str(layer) in told[0]["reason"]
        assert {("test", RELEASE)} == {(each["destination"], each["release"]) for each in told}

    async def test_nothing_is_known(self, seat: Seat) -> None:
        """It is done again after a sync that goes well."""
        seat.upstream.registry.faults.append(gone())
        with capture_logs() as logs:
            async with seat.working() as loop:
                await seat.runs(1)
                loop.bell.ring("deep_verify", "schedule")
                await seat.runs(2)
                seat.upstream.registry.faults.clear()
                loop.bell.ring("sync", "schedule")
                await seat.runs(4)

        assert [
            ("sync", "start", "failed"),
            ("deep_verify", "schedule", "failed"),
            ("sync", "schedule", "synced"),
            ("deep_verify", "retry", "in_step"),
        ] == seat.outcomes
        assert 1 == len([each for each in logs if each["event"] == "verify.release_failed"])


class TestReload:
    async def test_another_destination(self, seat: Seat) -> None:
        """It is brought in step at once; of the one that is gone nothing is known any more."""
        async with seat.working() as loop:
            await seat.runs(1)
            loop.bell.ring("deep_verify", "schedule")
            await seat.runs(2)
            other = {"kind": "layout", "directory": str(seat.directory / "other")}
            seat.configure(destinations={"other": other}, schedule={"every": "50h"})
            loop.reload()
            await seat.runs(3)
            due = loop.ledger.next_sync

        assert ("sync", "reload", "synced") == seat.outcomes[2]
        assert ([("other", RELEASE)], []) == (list(loop.ledger.entries), list(loop.ledger.verified))
        assert due is not None
        assert due < datetime.now(UTC) + timedelta(hours=51)

    async def test_what_was_mended(self, seat: Seat) -> None:
        """What a deep verification has found wrong is looked at again, and what was right is not."""
        async with seat.working() as loop:
            await seat.runs(1)
            layer = next(iter(seat.upstream.images[references()[2]].children[0].blobs))
            blob = next((seat.directory / "mirror").rglob(str(layer).removeprefix("sha256:")))
            right = blob.read_bytes()
            blob.write_bytes(right[:-1] + b"!")
            loop.bell.ring("deep_verify", "schedule")
            await seat.runs(2)
            blob.write_bytes(right)
            loop.reload()
            await seat.runs(4)
            loop.reload()
            await seat.runs(5)
            wanted = dict(loop.bell._wanted)

        assert [
            ("deep_verify", "schedule", "not_in_step"),
            ("sync", "reload", "in_step"),
            ("deep_verify", "reload", "in_step"),
            ("sync", "reload", "in_step"),
        ] == seat.outcomes[1:]
        assert {} == wanted

    async def test_in_the_middle_of_a_verification(self, seat: Seat) -> None:
        """It goes on to its end by the old configuration; then there is a run by the new one."""
        async with seat.working() as loop:
            await seat.runs(1)
            loop.bell.ring("deep_verify", "schedule")
            seat.configure(releases=[NEXT])
            seat.upstream.publish(NEXT)
            while loop.ledger.current is None:  # noqa: ASYNC110 - it is over in a few turns
                await asyncio.sleep(0)
            loop.reload()
            await seat.runs(3)

        assert [("deep_verify", "schedule", "in_step"), ("sync", "reload", "synced")] == seat.outcomes[1:]
        assert [("test", NEXT)] == list(loop.ledger.entries)
        assert [("test", RELEASE)] == list(loop.ledger.verified)

    async def test_an_invalid_one(self, seat: Seat) -> None:
        """Nothing follows."""
        async with seat.working() as loop:
            await seat.runs(1)
            (seat.directory / "mirror.toml").write_text("releases = 3\n")
            due = loop.ledger.next_sync
            loop.reload()

        assert {} == loop.bell._wanted
        assert due == loop.ledger.next_sync
        assert "releases" in loop.ledger.configuration.problem


async def test_without_a_destination(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default one is kept in step, and what it holds is known."""
    monkeypatch.chdir(seat.directory)
    async with seat.working(destinations={}) as loop:
        await seat.runs(1)

    [entry] = loop.ledger.entries.values()
    assert set(references()) == set(entry.held)


class Cycle:
    """What refers to itself, as an error does whose traceback has it."""

    itself: object = None


async def test_what_a_run_leaves_in_cycles(seat: Seat) -> None:
    """It is gone when the run has ended: the next that would look for it may be hours away."""
    left = list[weakref.ref[Cycle]]()

    def open_app(settings: Settings) -> App:
        cycle = Cycle()
        cycle.itself = cycle
        left.append(weakref.ref(cycle))
        return opened(settings)

    async with seat.working() as loop:
        await seat.runs(1)
        opened, loop.open_app = loop.open_app, open_app
        gc.disable()
        loop.bell.ring("sync", "schedule")
        await seat.runs(2)
        gc.enable()

    assert [None] == [each() for each in left]


async def test_two_hundred_runs(seat: Seat) -> None:
    """They leave nothing behind: no task, no thread, no objects that grow with their number."""
    counted = []
    async with seat.working() as loop:
        for count in (100, 200):
            for number in range(count - 99, count + 1):
                loop.bell.ring("deep_verify" if number % 10 == 0 else "sync", "schedule")
                await seat.runs(number)
            seat.ended[:-1] = [(run, None) for run, _ in seat.ended[:-1]]
            gc.collect()
            counted.append((len(asyncio.all_tasks()), threading.active_count(), len(gc.get_objects())))

    first, second = counted
    assert first[:2] == second[:2]
    assert second[2] - first[2] < 100 * 20  # of which a hundred runs are kept here
