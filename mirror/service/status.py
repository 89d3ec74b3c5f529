"""The status: what the ledger comes to at one moment. One word, one sentence, what is wrong and what to do. Pure.

The word is that of the worst problem (problems.py); before the first run has ended it is `starting`, and where no
release is asked for `unknown`. Since when: since the first of the runs that have said so, one after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mirror.amounts import clock, relative
from mirror.errors import UsageError
from mirror.linkerd.release import Release
from mirror.service.ledger import ConfigurationState, Ledger, Run, Verified
from mirror.service.problems import WORK, Problem, problems
from mirror.service.releases import ORDER, ReleaseStatus, State, at_key, told_moment, worst

SCHEMA = 1
WORDS: Mapping[State, str] = {
    "starting": "Starting",
    "refused": "Refused",
    "not_in_step": "Not in step",
    "unknown": "Unknown",
    "in_step": "In step",
}


@dataclass(frozen=True, slots=True)
class DeepVerification:
    """What the last deep verification found."""

    at: datetime
    images: int
    damaged: int
    unknown: int
    """Releases, or whole destinations, of which nothing could be known."""

    def document(self) -> dict[str, Any]:
        """As in /api/v1/status."""
        return {"at": told_moment(self.at), "images": self.images, "damaged": self.damaged, "unknown": self.unknown}


@dataclass(frozen=True, slots=True)
class Status:
    """All that page and API tell."""

    now: datetime
    started_at: datetime
    state: State
    what: str
    """What holds, without any time in it."""
    since: datetime
    proven_at: datetime | None
    """When the release that waits longest for it was last proven in step; None where not all ever were."""
    problems: tuple[Problem, ...]
    """The worst first."""
    releases: tuple[ReleaseStatus, ...]
    """What is not in step first, then the newest."""
    current: Run | None
    runs: tuple[Run, ...]
    next_sync: datetime | None
    next_deep_verify: datetime | None
    deep: DeepVerification | None
    configuration: ConfigurationState

    @property
    def word(self) -> str:
        """The state, for people."""
        return WORDS[self.state]

    @property
    def sentence(self) -> str:
        """The first line: is the mirror in step, since when, what is next."""
        word = (
            self.word if self.state in ("in_step", "starting") else f"{self.word} since {clock(self.since, self.now)}"
        )
        proven = ""
        if self.state == "in_step" and self.proven_at:
            proven = f", every digest proven {relative(self.proven_at, self.now)}"
        return "; ".join(filter(None, (f"{word}: {self.what}{proven}", self.next_words)))

    @property
    def next_words(self) -> str:
        """What is next; nothing beside the first run."""
        if self.state == "starting":
            return ""
        if self.current is not None:
            return f"{WORK[self.current.work]} is under way"
        if self.next_sync is None:
            return "no further run is planned"
        if self.next_sync <= self.now:
            return "the next run is due"
        return f"next run {relative(self.next_sync, self.now)} ({clock(self.next_sync, self.now)})"

    def document(self) -> dict[str, Any]:
        """/api/v1/status."""
        return {
            "schema": SCHEMA,
            "state": self.state,
            "sentence": self.sentence,
            "since": told_moment(self.since),
            "proven_at": told_moment(self.proven_at),
            "now": told_moment(self.now),
            "started_at": told_moment(self.started_at),
            "next_sync": told_moment(self.next_sync),
            "next_deep_verify": told_moment(self.next_deep_verify),
            "problems": [problem.document() for problem in self.problems],
            "current": _run(self.current) if self.current else None,
            "releases": [release.summary() for release in self.releases],
            "runs": [_run(run) for run in self.runs],
            "deep_verification": self.deep.document() if self.deep else None,
            "configuration": {
                "path": self.configuration.path,
                "digest": self.configuration.digest,
                "loaded_at": told_moment(self.configuration.loaded_at),
                "problem": self.configuration.problem,
                "warnings": list(self.configuration.warnings),
            },
        }

    def releases_document(self) -> dict[str, Any]:
        """/api/v1/releases."""
        return {"schema": SCHEMA, "releases": [release.document() for release in self.releases]}


def status(ledger: Ledger, now: datetime) -> Status:
    """What *ledger* comes to at *now*."""
    releases = sorted((at_key(key, ledger) for key in ledger.entries), key=_order)
    found = problems(ledger, releases, now)
    state = worst(problem.state for problem in found)
    if not ledger.is_ready:
        state = "starting"
    elif not releases and state == "in_step":
        state = "unknown"
    proven = [release.entry.in_step_at for release in releases]
    return Status(
        now=now,
        started_at=ledger.started_at,
        state=state,
        what=_what(state, ledger, releases, found),
        since=_since(state, ledger, releases, found),
        proven_at=min((at for at in proven if at), default=None) if None not in proven else None,
        problems=found,
        releases=tuple(releases),
        current=ledger.current,
        runs=tuple(ledger.runs),
        next_sync=ledger.next_sync,
        next_deep_verify=ledger.next_deep_verify,
        deep=_deep(ledger.verified.values()),
        configuration=ledger.configuration,
    )


def _order(release: ReleaseStatus) -> tuple[object, ...]:
    """The worst first, then the newest of each channel, then by destination."""
    try:
        parsed = Release.parse(release.release)
        age = (parsed.channel, *(-number for number in parsed.numbers), parsed.version)
    except UsageError:
        age = (release.release,)
    return (ORDER.index(release.state), *age, release.destination)


def _what(state: State, ledger: Ledger, releases: Sequence[ReleaseStatus], found: Sequence[Problem]) -> str:
    if state == "starting":
        begun = "the first run is under way" if ledger.current else "the first run is about to begin"
        return f"{begun}, and nothing is known until it ends"
    if not releases and not found:
        return "no release is asked for, so that nothing is mirrored"
    if state == "in_step":
        names, places = _counted({each.release for each in releases}), {each.destination for each in releases}
        return f"{_places(places)} {'holds' if len(places) == 1 else 'hold'} {names}"
    mine = [problem for problem in found if problem.state == state]
    kinds = {problem.kind for problem in mine}
    names = _counted({name for problem in mine for name in problem.releases if name})
    at = _places({name for problem in mine for name in problem.destinations})
    match state:
        case "refused":
            references = {reference for problem in mine for reference in problem.references}
            charts = sum(reference.startswith("charts/") for reference in references)
            counts = {"image": len(references) - charts, "chart": charts}
            parts = " and ".join(_number(count, noun) for noun, count in counts.items() if count)
            verb = "await" if len(references) > 1 else "awaits"
            return f"{parts}{' of ' if parts else ''}{names} at {at} {verb} your decision"
        case "not_in_step" if kinds == {"damaged"}:
            return f"the deep verification found damage in {names} at {at}"
        case "not_in_step":
            return f"{names} could not be brought in step at {at}"
        case _ if "not_compared" in kinds:
            held = {name for problem in mine for name in problem.destinations}
            return (
                f"upstream could not be asked; {at} still {'holds' if len(held) == 1 else 'hold'} {names} as recorded"
            )
        case _ if "overdue" in kinds:
            return "no run has ended for long, though one was due"
        case _:
            return "the last run could not be done"


def _counted(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else f"{len(names)} releases" if names else "what is asked for"


def _places(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else f"{len(names)} destinations" if names else "every destination"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _since(state: State, ledger: Ledger, releases: Sequence[ReleaseStatus], found: Sequence[Problem]) -> datetime:
    if state == "in_step":
        return max((each.entry.since for each in releases), default=ledger.started_at)
    return min((each.since for each in found if each.state == state and each.since), default=ledger.started_at)


def _deep(verified: Iterable[Verified]) -> DeepVerification | None:
    found = list(verified)
    if not found:
        return None
    images = [image for one in found for image in one.report.images]
    return DeepVerification(
        at=max(one.at for one in found),
        images=len(images),
        damaged=sum(bool(image.problems) for image in images),
        unknown=sum(one.report.outcome == "failed" for one in found),
    )


def _run(run: Run) -> dict[str, Any]:
    return {
        "number": run.number,
        "work": run.work,
        "why": run.why,
        "began_at": told_moment(run.began_at),
        "ended_at": told_moment(run.ended_at),
        "seconds": round(run.seconds, 3),
        "outcome": run.outcome,
        "images": dict(run.images),
        "bytes": run.size,
        "reason": run.reason,
    }
