"""What a ledger comes to: one word, one sentence, what is wrong and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mirror.oci.content import Digest
from mirror.plan import Refuse, with_remedy
from mirror.report import VerifiedImage, VerifiedRelease
from mirror.service.ledger import Ledger, Verified
from mirror.service.releases import release_status
from mirror.service.status import Status, status
from tests.service.ledgers import (
    DAY,
    HOUR,
    MINUTE,
    MOVED,
    NOW,
    STATES,
    damaged,
    destination_down,
    digest,
    entry,
    failing,
    in_step,
    ledger,
    many,
    references,
    refused,
    run,
    run_failed,
    upstream_down,
    verified,
)

NEXT = "; next run in 48 min (14:17 UTC)"
SENTENCES = {
    "empty": "Starting: the first run is about to begin, and nothing is known until it ends",
    "first_run": "Starting: the first run is under way, and nothing is known until it ends",
    "in_step": f"In step: 2 destinations hold 3 releases, every digest proven 12 min ago{NEXT}",
    "running": "In step: 2 destinations hold 3 releases, every digest proven 12 min ago; a sync is under way",
    "failing": f"Not in step since 09:02 UTC: edge-26.11.3 could not be brought in step at production{NEXT}",
    "refused": f"Refused since 09:02 UTC: 2 images of edge-26.11.3 at production await your decision{NEXT}",
    "upstream_down": "Unknown since 09:02 UTC: upstream could not be asked; 2 destinations still hold 2 releases as "
    f"recorded{NEXT}",
    "destination_down": f"Not in step since 09:02 UTC: 2 releases could not be brought in step at staging{NEXT}",
    "configuration_refused": f"In step: 2 destinations hold 3 releases, every digest proven 12 min ago{NEXT}",
    "damaged": "Not in step since 11:29 UTC: the deep verification found damage in edge-26.11.3 at production" + NEXT,
    "run_failed": f"Unknown since 13:22 UTC: the last run could not be done{NEXT}",
    "overdue": "Unknown since 10:29 UTC: no run has ended for long, though one was due; a deep verification is "
    "under way",
    "nothing_asked": f"Unknown since 23 Nov 12:29 UTC: no release is asked for, so that nothing is mirrored{NEXT}",
    "many": f"Not in step since 09:02 UTC: 2 releases could not be brought in step at 2 destinations{NEXT}",
}


def of(made: Ledger) -> Status:
    return status(made, NOW)


@pytest.mark.parametrize("name", STATES)
def test_the_sentence(name: str) -> None:
    """Is the mirror in step, since when, what is next: of every state."""
    assert SENTENCES[name] == of(STATES[name]()).sentence


def test_the_worst_is_the_word() -> None:
    """A refusal outweighs a failure, and that what is not known."""
    wrong = {references("edge-26.11.3")[0]: {"outcome": "failed", "reason": "no"}}
    made = refused()
    made.entries["staging", "edge-26.11.3"] = entry("edge-26.11.3", "staging", wrong)
    made.entries["staging", "edge-26.10.4"] = upstream_down().entries["staging", "edge-26.10.4"]

    told = of(made)
    assert "refused" == told.state
    assert ["refused", "refused", "failed", "not_compared"] == [each.kind for each in told.problems]


def test_unknown_is_never_in_step() -> None:
    """An image that was not compared makes its release unknown, and the release the whole."""
    told = of(upstream_down())

    assert {"unknown"} == {image.state for release in told.releases for image in release.images}
    assert {"unknown"} == {release.state for release in told.releases}


def test_a_refusal_says_what_each_choice_means() -> None:
    """The commands are those of the reason, each with what it comes to; the reason is left without them."""
    problem = of(refused()).problems[0]
    now, then = digest("now"), digest(MOVED)

    assert f"a released tag moved upstream, from {then} to {now}" == problem.words
    assert [
        ("To take what upstream has now:", f"mirror sync edge-26.11.3 --to production --accept {MOVED}@{now}"),
        ("To keep what was recorded:", f"mirror sync edge-26.11.3 --to production --accept {MOVED}@{then}"),
    ] == [(each.words, each.command) for each in problem.choices]


def test_a_signature_refusal_has_the_entry_that_would_trust_it() -> None:
    """As TOML, apart from the words and the command."""
    problem = of(refused()).problems[1]

    assert 'the signature does not hold: it is signed by "https://github.com/fork/x@edge"' == problem.words
    assert ["To let this digest in all the same:"] == [each.words for each in problem.choices]
    assert problem.stanza.startswith('[[policy.identities]]\nimages   = "ghcr.io/linkerd/web"')


@pytest.mark.parametrize(
    ("refusal", "meanings"),
    [
        (
            Refuse(f"it names {digest('a')}, upstream has {digest('b')}", (digest("b"), digest("a")), "taken"),
            ["To take what upstream has now:", "To keep what the mirror's tag names:"],
        ),
        (Refuse("changed under us", (digest(MOVED),), "changed"), ["To have back what was recorded:"]),
        (Refuse("the source does not have it", cause="lacking"), []),
        (Refuse("two meet", cause="clash"), []),
    ],
    ids=lambda value: value.cause if isinstance(value, Refuse) else "",
)
def test_every_cause_has_a_remedy(refusal: Refuse, meanings: list[str]) -> None:
    """Whatever is refused, there is something to do, and each command says what it comes to."""
    change = {"outcome": "refused", "digest": None, "reason": with_remedy(MOVED, refusal), "cause": refusal.cause}

    (problem,) = of(ledger(entry("edge-26.11.3", changes={MOVED: change}))).problems
    assert meanings == [each.words for each in problem.choices]
    assert refusal.reason == problem.words
    assert problem.remedy


def test_a_refused_release() -> None:
    """One that is refused as a whole is a problem without an image."""
    wrong = entry("edge-26.11.3", images=(), problem="not signed by your key: remove that tag", is_refused=True)

    told = of(ledger(wrong))
    assert "edge-26.11.3 at production awaits your decision" == told.what
    assert [("refused", ())] == [(each.kind, each.references) for each in told.problems]


def test_a_release_that_there_is_not() -> None:
    """What to do is in the configuration: no registry is at fault, and no run will mend it."""
    wrong = entry("edge-99.1.1", images=(), charts=(), problem="the chart repository has no …", is_mistaken=True)

    (problem,) = of(ledger(wrong)).problems
    assert problem.remedy.startswith("Put `releases` of the configuration right")


def test_what_is_wrong_in_the_same_way_is_one_problem() -> None:
    """A destination that is down is told once, whatever it was asked for; so is upstream."""
    (down,) = of(destination_down()).problems
    (silent,) = of(upstream_down()).problems

    assert (("staging",), 17, 2) == (down.destinations, len(down.references), len(down.releases))
    assert (("production", "staging"), 17, 2) == (silent.destinations, len(silent.references), len(silent.releases))


def test_what_is_wrong_otherwise_is_another_problem() -> None:
    """Two reasons at one destination are two."""
    first, second, *_ = references("edge-26.11.3")
    wrong = {
        first: {"outcome": "failed", "reason": "the disk is full"},
        second: {"outcome": "failed", "reason": "it is too large"},
    }

    assert ["the disk is full", "it is too large"] == [
        each.words for each in of(ledger(entry("edge-26.11.3", changes=wrong))).problems
    ]


def test_values_that_are_not_proven_wrong() -> None:
    """A proof that failed is a failure, with what Helm says; one that was not tried is none."""
    wrong = entry("edge-26.11.3", proof="failed", proof_problems=("linkerd-viz: x is not in the mirror",))

    (problem,) = of(ledger(wrong)).problems
    assert "linkerd-viz: x is not in the mirror" in problem.words
    assert () == of(ledger(entry("edge-26.11.3", proof="not proven"))).problems


def test_damage_goes_with_the_digest() -> None:
    """What was found damaged is so until the mirror holds another digest in its place."""
    made = damaged()
    assert "not_in_step" == of(made).releases[0].state
    assert NOW - 2 * HOUR == of(made).releases[0].since

    key = ("production", "edge-26.11.3")
    made.entries[key] = entry(key[1], key[0], {MOVED: {"digest": digest("another")}})
    assert "in_step" == of(made).state


def test_damage_in_what_is_no_longer_asked_for() -> None:
    """It is told all the same."""
    made = damaged()
    del made.entries["production", "edge-26.11.3"]

    assert ["damaged"] == [each.kind for each in of(made).problems]


def test_a_verification_that_could_not_be_done() -> None:
    """It is told, also of a whole destination; the digests stay proven."""
    made = in_step()
    report = replace(verified(made.entries["staging", "edge-26.11.3"].report, problem="refused"), release="")
    made.verified = {("staging", ""): Verified(report, NOW - HOUR)}

    told = of(made)
    assert "in_step" == told.state
    assert ["not_verified"] == [each.kind for each in told.problems]
    assert told.deep is not None
    assert (0, 0, 1) == (told.deep.images, told.deep.damaged, told.deep.unknown)


def test_a_run_that_failed_after_all_else() -> None:
    """Images were brought in step, and something after them was not done: that is no reason not to know."""
    made = ledger(entry("edge-26.11.3"), runs=(run(12, MINUTE, "failed", problem="the ConfigMap is not ours"),))

    assert "not_in_step" == of(made).state


def test_an_interrupted_run_says_nothing() -> None:
    """The one before it counts."""
    for before, state in ((in_step(), "in_step"), (run_failed(), "unknown")):
        before.runs.appendleft(run(15, MINUTE, "interrupted", images={}))

        assert state == of(before).state


def test_a_run_that_is_due_may_begin() -> None:
    """A while after it was due nothing is wrong yet; long after, the proof counts no more."""
    made = in_step()
    made.next_sync = NOW - 59 * MINUTE
    assert "In step: 2 destinations hold 3 releases, every digest proven 12 min ago; the next run is due" == (
        of(made).sentence
    )

    made.next_sync = NOW - 61 * MINUTE
    assert "unknown" == of(made).state


def test_the_oldest_proof_is_told() -> None:
    """`every digest proven` is as old as the one that waits longest; nothing, where one never was."""
    made = in_step()
    key = ("staging", "edge-26.10.4")
    made.entries[key] = replace(made.entries[key], in_step_at=NOW - 3 * HOUR)
    assert NOW - 3 * HOUR == of(made).proven_at

    made.entries[key] = replace(made.entries[key], in_step_at=None)
    assert of(made).proven_at is None


def test_in_step_since_the_last_that_was_not() -> None:
    """All of it is in step for as long as what came last."""
    made = in_step()
    key = ("staging", "edge-26.10.4")
    made.entries[key] = replace(made.entries[key], since=NOW - DAY)

    assert NOW - DAY == of(made).since


def test_the_order_of_releases() -> None:
    """What is wrong first, then the newest: by number, and not by letter."""
    told = [(each.state, each.release, each.destination) for each in of(many()).releases]

    assert ["not_in_step"] * 3 + ["in_step"] == [state for state, _, _ in told[:4]]
    assert ("in_step", "edge-26.4.5", "production") == told[3]
    assert told.index(("in_step", "edge-25.12.1", "staging")) < told.index(("in_step", "edge-25.9.5", "staging"))


def test_a_channel_is_its_newest() -> None:
    """By the channel's name the newest release is found, and no other."""
    found = release_status(in_step(), "production", "edge")

    assert found is not None
    assert ("edge-26.11.3", ("edge",)) == (found.release, found.channels)
    assert release_status(in_step(), "production", "stable") is None


def test_what_the_record_says_of_an_image() -> None:
    """Digest, platforms, size and verdict are the record's where the run has none of its own."""
    image = next(each for each in of(failing()).releases[0].images if each.state == "not_in_step")

    assert digest("cr.l5d.io/linkerd/proxy:edge-26.11.3") == image.digest
    assert ("linux/amd64", "linux/arm/v7", "linux/arm64") == image.platforms
    assert image.size
    assert image.verdict is not None


def test_a_size_that_is_not_known() -> None:
    """A sum without one of its parts is none."""
    made = entry("edge-26.11.3")

    assert of(ledger(replace(made, held={}))).releases[0].size is None
    assert of(ledger(made)).releases[0].size == 9 * 48_300_000


def test_a_filtered_image_tells_both_digests() -> None:
    """With a platform filter upstream's digest is another one than the mirror's."""
    made = entry("edge-26.11.3")
    held = dict(made.held)
    upstream = Digest.of(b"upstream's index")
    held[MOVED] = replace(held[MOVED], digests=replace(held[MOVED].digests, upstream=upstream))

    images = {each.reference: each for each in of(ledger(replace(made, held=held))).releases[0].images}
    assert upstream == images[MOVED].upstream_digest
    assert [None] * 8 == [each.upstream_digest for name, each in images.items() if name != MOVED]


class TestCharts:
    """A chart that is not as it should be makes the whole not so, as an image does."""

    def test_refused(self) -> None:
        """It is told with its ways out, and what each comes to."""
        recorded, moved = digest("recorded"), digest("moved")
        reason = with_remedy(
            "charts/linkerd-viz:2026.11.3",
            Refuse(f"a released tag moved upstream, from {recorded} to {moved}", (moved, recorded), "moved"),
        )
        wrong = {"linkerd-viz": {"outcome": "refused", "digest": None, "reason": reason, "cause": "moved"}}
        told = of(ledger(entry("edge-26.11.3", changes=wrong), runs=(run(12, 12 * MINUTE, "refused"),)))

        assert "refused" == told.state
        assert "1 chart of edge-26.11.3 at production awaits your decision" == told.what
        [problem] = told.problems
        accept = "mirror sync edge-26.11.3 --to production --accept"
        assert ("charts/linkerd-viz:2026.11.3",) == problem.references
        assert [
            ("To take what upstream has now:", f"{accept} charts/linkerd-viz:2026.11.3@{moved}"),
            ("To keep what was recorded:", f"{accept} charts/linkerd-viz:2026.11.3@{recorded}"),
        ] == [(each.words, each.command) for each in problem.choices]

    def test_failed(self) -> None:
        """Its reason is told."""
        wrong = {"linkerd-viz": {"outcome": "failed", "digest": None, "reason": "helm.example.com cannot be reached"}}
        told = of(ledger(entry("edge-26.11.3", changes=wrong), runs=(run(12, 12 * MINUTE, "failed"),)))

        assert "not_in_step" == told.state
        assert "not_in_step" == told.releases[0].state
        assert ["helm.example.com cannot be reached"] == [problem.words for problem in told.problems]

    def test_damaged(self) -> None:
        """What the deep verification found is told, with the chart's place."""
        made = ledger(entry("edge-26.11.3"))
        [chart] = made.entries["production", "edge-26.11.3"].report.charts
        assert chart.digest is not None
        broken = VerifiedImage(chart.reference, chart.target, chart.digest, ("a blob is gone",))
        report = VerifiedRelease("production", "edge-26.11.3", charts=(broken,))
        made.verified = {("production", "edge-26.11.3"): Verified(report, NOW - HOUR)}
        told = of(made)

        assert "not_in_step" == told.state
        assert "not_in_step" == told.releases[0].state
        assert [f"{chart.target}: a blob is gone"] == [problem.words for problem in told.problems]
        assert ["a blob is gone"] == told.releases[0].document()["charts"][0]["damage"]


def test_a_run_that_could_do_nothing() -> None:
    """What it could not look at is not in step, release by release and image by image."""
    made = in_step()
    made.unproven()
    release = of(made).releases[0]

    assert {"unknown"} == {each.state for each in (release, *release.parts)}
    assert release.entry.wrong_since == release.since


def test_a_destination_that_cannot_be_asked() -> None:
    """Its images stay, not known to be in step; the reason is told."""
    made = ledger(entry("edge-26.11.3", images=(), charts=(), problem="harbor.example.com: connection refused"))
    (release,) = of(made).releases

    assert ("not_in_step", 9, {"unknown"}) == (
        release.state, release.summary()["image_count"], {image.state for image in release.images}
    )  # fmt: skip
    assert "harbor.example.com: connection refused" == release.summary()["reason"]


def test_the_signature_of_what_is_refused() -> None:
    """That of what was recorded says nothing of what is there."""
    release = next(each for each in of(refused()).releases if each.state == "refused")

    assert [None, None] == [image.verdict for image in release.images if image.outcome == "refused"]
    assert {"signed": 6, "third party": 1} == dict(release.signatures)
