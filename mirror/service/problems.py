"""What is wrong, once for all that it is wrong with, and what to do about it. Pure.

    kind            state         what it says
    ─────────────── ───────────── ────────────────────────────────────────────────────────────────────────────
    refused         refused       a human must decide
    failed          not_in_step   an image, a release or a part of a run failed
    damaged         not_in_step   the deep verification found bytes, or a tag, that are not what was recorded
    run_failed      unknown       the last sync could not be done at all
    not_compared    unknown       upstream could not be asked; the mirror holds what was recorded
    overdue         unknown       no run has ended for long, though one was due
    not_verified    in_step       the deep verification could not be done
    configuration   in_step       a new configuration was refused, and the old one holds

The last two leave the whole in step: its digests were proven by the last run. They are told all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Literal, TypeAlias

from mirror.amounts import clock
from mirror.report import ChartReport, ImageReport, VerifiedImage, VerifiedRelease
from mirror.service.bell import Work
from mirror.service.ledger import Entry, Ledger
from mirror.service.releases import ORDER, ChartStatus, ImageStatus, ReleaseStatus, State, told_moment

OVERDUE = timedelta(hours=1)
"""So long after a run was due, what the last one said counts no more."""

Kind: TypeAlias = Literal[
    "refused", "failed", "damaged", "run_failed", "not_compared", "overdue", "not_verified", "configuration"
]
WORK: Mapping[Work, str] = {"sync": "a sync", "deep_verify": "a deep verification"}
_STATES: Mapping[Kind, State] = {
    "refused": "refused",
    "failed": "not_in_step",
    "damaged": "not_in_step",
    "run_failed": "unknown",
    "not_compared": "unknown",
    "overdue": "unknown",
    "not_verified": "in_step",  # of its digests, which the last run has proven; the page says it all the same
    "configuration": "in_step",  # by the configuration that holds
}
_ACCEPTABLE = re.compile(r"--accept (\S+@sha(?:256|512):[0-9a-f]+)")
_SETTLING = re.compile(r"; to [^;:]*: --accept ")
_STANZA = "[[policy.identities]]"
_AGAIN = "the next run looks again, and SIGHUP to the service begins one at once"


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to settle a refusal."""

    words: str
    command: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, once for all that it is wrong with, and what to do about it."""

    kind: Kind
    words: str
    remedy: str
    destinations: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    """The images, as charts write them, and charts, as `charts/NAME:VERSION`."""
    choices: tuple[Choice, ...] = ()
    """Each of which settles it."""
    stanza: str = ""
    """What settles it in the configuration."""
    since: datetime | None = None

    @property
    def state(self) -> State:
        """What this alone makes of the whole."""
        return _STATES[self.kind]

    def document(self) -> dict[str, Any]:
        """As in /api/v1/status."""
        return {
            "kind": self.kind,
            "reason": self.words,
            "remedy": self.remedy,
            "destinations": list(self.destinations),
            "releases": list(self.releases),
            "references": list(self.references),
            "choices": [{"reason": each.words, "command": each.command} for each in self.choices],
            "configuration": self.stanza,
            "since": told_moment(self.since),
        }


def problems(ledger: Ledger, releases: Sequence[ReleaseStatus], now: datetime) -> tuple[Problem, ...]:
    """All that is wrong at *now*, the worst first."""
    return tuple(sorted(_found(ledger, releases, now), key=lambda problem: ORDER.index(problem.state)))


def _found(ledger: Ledger, releases: Sequence[ReleaseStatus], now: datetime) -> Iterator[Problem]:
    for release in releases:
        yield from _refusals(release)
    failures = [problem for release in releases for problem in _failures(release)]
    yield from _merged(failures)
    yield from _damages(ledger)
    yield from _of_runs(ledger, now)
    if ledger.configuration.problem:
        loaded = ledger.configuration.loaded_at
        yield Problem(
            "configuration",
            ledger.configuration.problem,
            "Put it right, and have it read again (SIGHUP, or a new roll-out); until then what was loaded "
            f"{'at ' + clock(loaded, now) if loaded else 'before'} holds.",
        )


def _refusals(release: ReleaseStatus) -> Iterator[Problem]:
    report = release.entry.report
    common = {"destinations": (release.destination,), "releases": (release.release,)}
    since = release.entry.since
    if report.is_refused:
        remedy = "Nothing is written until somebody has decided: do what the sentence says, then the next run goes on."
        yield Problem("refused", report.problem, remedy, **common, since=since)  # type: ignore[arg-type]
    for part in release.parts:
        if part.outcome == "refused":
            yield replace(
                _refusal(release, part),
                destinations=(release.destination,),
                releases=(release.release,),
                references=(part.reference,),
                since=since,
            )


def _refusal(release: ReleaseStatus, part: ImageStatus | ChartStatus) -> Problem:
    """What is to be decided of *part*: the ways out that its reason names, taken apart, as commands."""
    command = f"mirror sync {release.release} --to {release.destination} --accept"
    words, _, stanza = part.report.reason.partition(_STANZA)
    accepted = tuple(dict.fromkeys(_ACCEPTABLE.findall(words)))
    return Problem(
        "refused",
        _SETTLING.split(words)[0],
        _remedy(part.report, is_acceptable=bool(accepted)),
        choices=tuple(Choice(_meaning(each, part), f"{command} {each}") for each in accepted),
        stanza=_STANZA + stanza if stanza else "",
    )


def _meaning(accepted: str, part: ImageStatus | ChartStatus) -> str:
    """What accepting *accepted*, REFERENCE@DIGEST, comes to."""
    digest = accepted.rpartition("@")[2]
    reason = part.report.reason
    match part.report.cause:
        case "signature":
            return "To let this digest in all the same:"
        case "changed":
            return "To have back what was recorded:"
        case "moved" if f"from {digest} to" in reason:
            return "To keep what was recorded:"
        case "taken" if f"upstream has {digest}" not in reason:
            return "To keep what the mirror's tag names:"
        case _:
            return "To take what upstream has now:"


def _remedy(part: ImageReport | ChartReport, *, is_acceptable: bool) -> str:
    keep = f"What `[policy.accept]` names for it is accepted by every run. Once it is settled, {_AGAIN}."
    match part.cause:
        case "lacking":
            return "Wait until upstream has it, or leave out the release (`exclude`) or its chart (`charts`)."
        case "clash":
            return 'Give the destination `paths = "upstream"`, or leave one of the two out.'
        case "changed":
            return f"Find out who wrote to the mirror. Then accept what was recorded, to have it back. {keep}"
        case "moved":
            return f"Find out why upstream moved a released tag. Then accept one of the digests. {keep}"
        case "signature" if not is_acceptable:
            return f"Do what the sentence says; {_AGAIN}."
        case "signature":
            return f"Find out who signed it, or why nobody did. Only if you know better, accept the digest. {keep}"
        case _ if is_acceptable:
            return f"Decide which digest is right, and accept it. {keep}"
        case _:
            return f"Decide what is right, and put the configuration or the mirror right; {_AGAIN}."


def _failures(release: ReleaseStatus) -> Iterator[Problem]:
    """What failed of *release*: itself, its proof, its images and charts."""
    report, entry = release.entry.report, release.entry
    blank = Problem("failed", "", "", (release.destination,), (release.release,), since=entry.since)
    doctor = "`mirror doctor` says what is wrong with a registry or a credential. The service tries again by itself."
    if report.problem and not report.is_refused:
        mistaken = "Put `releases` of the configuration right: all else in it is looked after meanwhile."
        yield replace(blank, words=report.problem, remedy=mistaken if report.is_mistaken else doctor)
    if report.proof == "failed":
        yield replace(
            blank,
            words=f"its values are not as they should be: {'; '.join(report.proof_problems) or 'unproven'}",
            remedy="No values were written for those charts: the images are mirrored; do not upgrade by it yet.",
        )
    for image in report.images:
        if image.outcome == "failed":
            yield replace(blank, words=image.reason, remedy=doctor, references=(image.reference,))
        elif not image.is_compared:
            yield replace(
                blank,
                kind="not_compared",
                words=image.reason,
                remedy="Pods go on starting from the mirror. If it lasts: `mirror doctor` says what is wrong upstream.",
                references=(image.reference,),
            )
    for chart in report.charts:
        if chart.outcome == "failed":
            yield replace(blank, words=chart.reason, remedy=doctor, references=(chart.reference,))


def _merged(problems: Iterable[Problem]) -> Iterator[Problem]:
    """One of all that are wrong in the same way: a registry that is down is one problem, and so is upstream."""
    together: dict[tuple[object, ...], list[Problem]] = {}
    for problem in problems:
        key: tuple[object, ...] = ("not_compared",)
        if problem.kind != "not_compared":
            key = (problem.kind, problem.destinations, re.sub(r"\S*[/@]\S*", "…", problem.words))
        together.setdefault(key, []).append(problem)
    for several in together.values():
        yield replace(
            several[0],
            destinations=_distinct(name for one in several for name in one.destinations),
            releases=_distinct(name for one in several for name in one.releases),
            references=_distinct(name for one in several for name in one.references),
            since=min((one.since for one in several if one.since), default=None),
        )


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _damages(ledger: Ledger) -> Iterator[Problem]:
    for (destination, release), verified in ledger.verified.items():
        report = verified.report
        blank = Problem("damaged", "", "", (destination,), (release,) if release else (), since=verified.at)
        if report.problem:
            remedy = "What it found before is not known to hold. `mirror verify --deep` does the same by hand."
            yield replace(blank, kind="not_verified", words=f"not deeply verified: {report.problem}", remedy=remedy)
        for image in _still_damaged(report, ledger.entries.get((destination, release))):
            yield replace(
                blank,
                words=f"{image.target}: {'; '.join(image.problems)}",
                remedy="Delete what is damaged from the registry, the tag too: the next run copies it anew, and what "
                "it copied is deeply verified again. Pods may not start from it until then.",
                references=(image.reference,),
                since=verified.damaged_since(image.reference),
            )


def _still_damaged(report: VerifiedRelease, entry: Entry | None) -> Iterator[VerifiedImage]:
    """What was found damaged, and has not been brought to another digest since."""
    now = {part.reference: part.digest for part in entry.report.parts} if entry else {}
    for part in report.parts:
        if part.problems and now.get(part.reference) in (None, part.digest):
            yield part


def _of_runs(ledger: Ledger, now: datetime) -> Iterator[Problem]:
    """The newest sync, if it could not be done; and one that should have been done long ago."""
    syncs = [run for run in ledger.runs if run.work == "sync" and run.outcome != "interrupted"]
    failed = list(takewhile(lambda run: bool(run.problem), syncs))
    if failed:
        run = failed[0]
        kind: Kind = "refused" if run.outcome == "refused" else "failed" if run.images else "run_failed"
        remedy = "The service tries again by itself; `mirror doctor` says what is wrong."
        yield Problem(kind, run.problem, remedy, since=failed[-1].began_at)
    due = ledger.next_sync
    if due is not None and now - due > OVERDUE and ledger.is_ready:
        current = ledger.current
        busy = f": {WORK[current.work]} has been under way since {clock(current.began_at, now)}" if current else ""
        yield Problem(
            "overdue",
            f"no run has ended since one was due at {clock(due, now)}{busy}",
            "If nothing moves, /livez fails after `schedule.stuck_after`, and the service is restarted; else wait.",
            since=due,
        )
