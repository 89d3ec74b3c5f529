"""Reports: exit codes and their precedence, and the documents that scripts rely on."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from mirror.oci.content import Digest
from mirror.plan import Action, Adopt, Copy, Fail, Keep, Refuse, Target
from mirror.report import (
    ImageOutcome,
    ImageReport,
    PlannedImage,
    PlanReport,
    Proof,
    ReleaseReport,
    SyncReport,
    VerifiedImage,
    VerifiedRelease,
    VerifyReport,
    worst,
)
from mirror.shard import Shard

A = Digest.of(b"A")
REFERENCE = "cr.l5d.io/linkerd/proxy:edge-26.8.1"
TARGET = "registry.example.com/l5d/proxy:edge-26.8.1"


def planned(action: Action, size: int = 0) -> PlannedImage:
    return PlannedImage("test", "edge-26.8.1", REFERENCE, TARGET, action, size)


def image(outcome: ImageOutcome = "kept", *, is_compared: bool = True, **more: Any) -> ImageReport:
    place = Target("proxy", "edge-26.8.1")
    return ImageReport(REFERENCE, TARGET, place, outcome, is_compared=is_compared, **more)


def release(*images: ImageReport, proof: Proof = "not proven", problem: str = "") -> ReleaseReport:
    return ReleaseReport("test", "edge-26.8.1", images, proof=proof, problem=problem)


class TestExitCodes:
    def test_precedence(self) -> None:
        """2, then 3, then 1, then 4; nothing is 0."""
        order = (2, 3, 1, 4, 0)
        for one, two in product(order, repeat=2):
            assert min(one, two, key=order.index) == worst([one, two])
        assert 0 == worst([])

    @pytest.mark.parametrize(
        ("action", "code"),
        [
            (Keep(A), 0),
            (Keep(A, warning="gone"), 0),
            (Keep(A, is_compared=False), 1),
            (Adopt(A, A), 4),
            (Copy(A, A), 4),
            (Refuse("no"), 3),
            (Fail("no"), 1),
        ],
    )
    def test_of_a_plan(self, action: Action, code: int) -> None:
        """In step, something to do, refused, failed."""
        assert code == PlanReport((planned(Keep(A)), planned(action)), (), 0).exit_code

    def test_of_a_release_that_could_not_be_planned(self) -> None:
        """It outweighs what is to be done, and not what is refused."""
        assert 1 == PlanReport((planned(Copy(A, A)),), ("no route",), 0).exit_code
        assert 3 == PlanReport((planned(Refuse("no")),), ("no route",), 0).exit_code

    @pytest.mark.parametrize(
        ("report", "outcome", "code"),
        [
            (release(image(), image()), "in_step", 0),
            (release(), "in_step", 0),
            (release(image(), image("copied")), "synced", 0),
            (release(image(), image("adopted")), "synced", 0),
            (release(image(is_compared=False)), "failed", 1),
            (release(image("failed"), image("copied")), "failed", 1),
            (release(image("copied"), proof="failed"), "failed", 1),
            (release(image("copied"), proof="proven"), "synced", 0),
            (release(problem="no route"), "failed", 1),
            (release(image(), problem="the record could not be written"), "failed", 1),
            (release(image("refused"), image("failed")), "refused", 3),
        ],
    )
    def test_of_a_sync(self, report: ReleaseReport, outcome: str, code: int) -> None:
        """The worst that happened to any image."""
        assert (outcome, code) == (report.outcome, report.exit_code)

    def test_of_a_sync_of_several(self) -> None:
        """The worst of the releases."""
        fine, failed, refused = release(image()), release(image("failed")), release(image("refused"))

        assert 0 == SyncReport((fine,), 1.0).exit_code
        assert 1 == SyncReport((fine, failed), 1.0).exit_code
        assert 3 == SyncReport((failed, refused, fine), 1.0).exit_code

    @pytest.mark.parametrize(
        ("found", "code"),
        [
            (VerifiedRelease("t", "r", (VerifiedImage(REFERENCE, TARGET, A),)), 0),
            (VerifiedRelease("t", "r", (VerifiedImage(REFERENCE, TARGET, A, ("wrong",)),)), 4),
            (VerifiedRelease("t", "r", (), (REFERENCE,)), 4),
            (VerifiedRelease("t", "r", problem="no route"), 1),
        ],
    )
    def test_of_a_verification(self, found: VerifiedRelease, code: int) -> None:
        """In step, not in step, not known."""
        assert code == VerifyReport((found,), is_deep=False).exit_code


class TestDocuments:
    def test_a_plan(self) -> None:
        """By key, as the contract has them."""
        actions: list[Action] = [Keep(A), Adopt(A, A), Copy(A, A, warning="moved"), Refuse("no"), Fail("no route")]
        images = tuple(planned(action, 7) for action in actions)
        document = PlanReport(images, ("a problem",), 28, storage={"test": 35}).document()

        assert 1 == document["schema"]
        assert (28, {"test": 35}) == (document["bytes"], document["storage"])
        assert ["keep", "adopt", "copy", "refuse", "fail"] == [entry["action"] for entry in document["actions"]]
        assert [str(A), str(A), str(A), None, None] == [entry["digest"] for entry in document["actions"]]
        assert {
            "destination": "test",
            "release": "edge-26.8.1",
            "reference": REFERENCE,
            "target": TARGET,
            "action": "copy",
            "digest": str(A),
            "bytes": 7,
            "reason": "moved",
        }.items() <= document["actions"][2].items()
        assert json.loads(json.dumps(document)) == document

    def test_a_sync(self) -> None:
        """By key, as the contract has them."""
        copied = image("copied", digest=A, size=5, seconds=1.23456, reason="moved")
        report = ReleaseReport(
            "test", "edge-26.8.1", (copied, image("failed")), proof="proven", overrides=("o/x.yaml",)
        )
        document = SyncReport((report,), 2.0).document()

        assert 1 == document["schema"]
        [entry] = document["releases"]
        assert {
            "destination": "test",
            "release": "edge-26.8.1",
            "outcome": "failed",
            "proof": "proven",
            "overrides": ["o/x.yaml"],
        }.items() <= entry.items()
        assert {
            "reference": REFERENCE,
            "target": TARGET,
            "outcome": "copied",
            "digest": str(A),
            "bytes": 5,
            "seconds": 1.235,
            "reason": "moved",
        }.items() <= entry["images"][0].items()
        assert entry["images"][1]["digest"] is None
        assert json.loads(json.dumps(document)) == document

    def test_a_shard(self) -> None:
        """Says which it is, in documents and in the log; with nothing to do it is in step, and knows why."""
        idle, planned_idle = SyncReport((), 0.1, shard=Shard(3, 8)), PlanReport((), (), 0, shard=Shard(3, 8))

        assert ["3/8"] * 3 == [idle.document()["shard"], idle.log_line()["shard"], planned_idle.document()["shard"]]
        assert [("in_step", 0, True), (0, True)] == [
            (idle.outcome, idle.exit_code, idle.is_elsewhere),
            (planned_idle.exit_code, planned_idle.is_elsewhere),
        ]
        assert not SyncReport((release(image()),), 0.1, shard=Shard(3, 8)).is_elsewhere
        assert not SyncReport((), 0.1).is_elsewhere

    def test_a_verification(self) -> None:
        """By key."""
        found = VerifiedRelease("test", "edge-26.8.1", (VerifiedImage(REFERENCE, TARGET, A, ("wrong",)),), ("x",))
        document = VerifyReport((found,), is_deep=True).document()

        assert (1, True) == (document["schema"], document["deep"])
        [entry] = document["releases"]
        assert ("not_in_step", ["x"]) == (entry["outcome"], entry["missing"])
        assert ["wrong"] == entry["images"][0]["problems"]

    def test_the_log_line(self) -> None:
        """One line has it all: counts by outcome, bytes, seconds, exit code."""
        one = release(image(), image("copied", size=5), image("failed"))
        line = SyncReport((one, release(image("copied", size=2))), 2.0004).log_line()

        assert {
            "outcome": "failed",
            "shard": "0/1",
            "releases": ["edge-26.8.1"],
            "kept": 1,
            "adopted": 0,
            "copied": 2,
            "refused": 0,
            "failed": 1,
            "charts": 0,
            "bytes": 7,
            "seconds": 2.0,
            "exit_code": 1,
        } == line
