"""What a run did: values that become the exit code, the JSON document and the log line. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mirror.oci.content import Digest
from mirror.plan import Action, Adopt, Cause, Copy, Fail, Keep, Refuse, Target, with_remedy
from mirror.shard import Shard
from mirror.trust.verdict import Verdict

SCHEMA = 1

ImageOutcome = Literal["kept", "adopted", "copied", "refused", "failed"]
ReleaseOutcome = Literal["in_step", "synced", "failed", "refused"]
Proof = Literal["proven", "not proven", "failed"]
Kind = Literal["image", "chart"]


def worst(codes: Iterable[int]) -> int:
    """The exit code where several apply: 2, then 3, then 1, then 4 (DESIGN.md, Commands)."""
    seen = set(codes)
    return next((code for code in (2, 3, 1, 4) if code in seen), 0)


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """What is to be done with one image, or one chart, of one release at one destination."""

    destination: str
    release: str
    reference: str
    target: str
    action: Action
    size: int = 0
    """Bytes that would be sent."""
    kind: Kind = "image"

    @property
    def reason(self) -> str:
        """Why, in words, and what would settle it; empty where there is nothing to say."""
        match self.action:
            case Refuse() as refused:
                return with_remedy(self.reference, refused)
            case Fail(reason):
                return reason
            case Keep(warning=warning) | Copy(warning=warning):
                return warning
            case Adopt():
                return "it is in the mirror already, and not recorded"

    @property
    def digest(self) -> Digest | None:
        """The digest at the destination, where it is known."""
        match self.action:
            case Keep(digest) | Adopt(_, digest) | Copy(_, digest):
                return digest
            case Refuse() | Fail():
                return None

    @property
    def exit_code(self) -> int:
        """What this alone would end `plan` with."""
        match self.action:
            case Keep(is_compared=True):
                return 0
            case Keep() | Fail():
                return 1
            case Refuse():
                return 3
            case Adopt() | Copy():
                return 4


@dataclass(frozen=True, slots=True)
class PlanReport:
    """The whole plan; *size* counts bytes that several images share once for each destination."""

    images: tuple[PlannedImage, ...]
    """And charts."""
    problems: tuple[str, ...]
    """A sentence for each release that could not be planned."""
    size: int
    notes: tuple[str, ...] = ()
    """What an operator should know: a chart that moved, platforms that upstream lacks."""
    storage: Mapping[str, int] = field(default_factory=dict)
    """By destination, the bytes that it would store more: a blob once for each repository, unless it is mounted."""
    is_refused: bool = False
    """One of the problems is for a human to decide."""
    is_mistaken: bool = False
    """One of the problems is that there is no such release, or another mistake of the operator."""
    shard: Shard = field(default_factory=Shard)
    """The share of the work that this is."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether all that was asked for is other shards'."""
        return self.shard.count > 1 and not (self.images or self.problems)

    @property
    def exit_code(self) -> int:
        """0 in step, 4 not, 3 refused, 1 failed, 2 where one of several releases is not there."""
        problems = (2 if self.is_mistaken else 3 if self.is_refused else 1 for _ in self.problems)
        return worst([*(image.exit_code for image in self.images), *problems])

    def document(self) -> dict[str, Any]:
        """`mirror plan -o json`."""
        return {
            "schema": SCHEMA,
            "shard": str(self.shard),
            "actions": [
                {
                    "destination": image.destination,
                    "release": image.release,
                    "kind": image.kind,
                    "reference": image.reference,
                    "target": image.target,
                    "action": type(image.action).__name__.lower(),
                    "digest": str(image.digest) if image.digest else None,
                    "bytes": image.size,
                    "reason": image.reason,
                }
                for image in self.images
            ],
            "bytes": self.size,
            "storage": dict(self.storage),
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What became of one image."""

    reference: str
    target: str
    place: Target
    outcome: ImageOutcome
    digest: Digest | None = None
    size: int = 0
    """Bytes that were sent."""
    seconds: float = 0.0
    reason: str = ""
    cause: Cause | None = None
    """Why it is refused; None where it is not."""
    is_compared: bool = True
    verdict: Verdict | None = None
    """On its signature; None where signatures are off, or it was not looked at."""

    def document(self) -> dict[str, Any]:
        """As in `mirror sync -o json`."""
        return {
            "reference": self.reference,
            "target": self.target,
            "outcome": self.outcome,
            "digest": str(self.digest) if self.digest else None,
            "bytes": self.size,
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
            "cause": self.cause,
            "signature": self.verdict.document() if self.verdict else None,
        }


@dataclass(frozen=True, slots=True)
class ChartReport:
    """What became of one chart."""

    name: str
    version: str
    reference: str
    """What `--accept` calls it."""
    target: str
    outcome: ImageOutcome
    digest: Digest | None = None
    """Of the manifest at the destination."""
    size: int = 0
    """Bytes that were sent."""
    reason: str = ""
    cause: Cause | None = None
    """As for an image."""

    def document(self) -> dict[str, Any]:
        """As in `mirror sync -o json`."""
        return {
            "name": self.name,
            "version": self.version,
            "reference": self.reference,
            "target": self.target,
            "outcome": self.outcome,
            "digest": str(self.digest) if self.digest else None,
            "bytes": self.size,
            "reason": self.reason,
            "cause": self.cause,
        }


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """What became of one release at one destination."""

    destination: str
    release: str
    images: tuple[ImageReport, ...] = ()
    charts: tuple[ChartReport, ...] = ()
    """None where the destination holds no charts."""
    proof: Proof = "not proven"
    is_proof_recorded: bool = False
    """The proof is an earlier run's: what is in step is not rendered again."""
    proof_problems: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    """The files that hold the values."""
    values: Mapping[str, str] = field(default_factory=dict)
    """The values themselves, by chart: of those that are whole, and not found wrong by the proof."""
    withheld: tuple[str, ...] = ()
    """The charts of which values are wanted, and none were made, or are whole."""
    recorded_at: datetime | None = None
    """When the mirror first held just these images; None where nothing is known."""
    notes: tuple[str, ...] = ()
    """What an operator should know: charts left without overrides, images that values cannot reach, ..."""
    problem: str = ""
    """Why nothing could be done at all, or what could not be done after all else was."""
    is_refused: bool = False
    """That is for a human to decide."""
    is_mistaken: bool = False
    """That is a mistake of the operator: there is no such release."""

    @property
    def parts(self) -> tuple[ImageReport | ChartReport, ...]:
        """All that the mirror is to hold of it: images, then charts."""
        return (*self.images, *self.charts)

    @property
    def outcome(self) -> ReleaseOutcome:
        """The worst that happened."""
        outcomes = {part.outcome for part in self.parts}
        if self.is_refused or "refused" in outcomes:
            return "refused"
        if self.has_failures:
            return "failed"
        return "in_step" if outcomes <= {"kept"} else "synced"

    @property
    def is_only_not_compared(self) -> bool:
        """Nothing failed but that upstream was not asked: what is recorded is held."""
        is_failed = self.proof == "failed" or any(part.outcome == "failed" for part in self.parts)
        return self.outcome == "failed" and not self.problem and not is_failed

    @property
    def has_failures(self) -> bool:
        """Something failed that another try may bring, be it beside what is refused."""
        is_wrong = self.proof == "failed" or (bool(self.problem) and not self.is_refused)
        is_chart_missing = any(chart.outcome == "failed" for chart in self.charts)
        return is_wrong or is_chart_missing or any(_is_failed(image) for image in self.images)

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why it is not in step, a sentence each: what is refused, what could not be done as a whole, and the rest."""
        failed = [f"{image.reference}: {image.reason}" for image in self.images if _is_failed(image)]
        failed += [f"{chart.reference}: {chart.reason}" for chart in self.charts if chart.outcome == "failed"]
        refused = [f"{part.reference}: {part.reason}" for part in self.parts if part.outcome == "refused"]
        unproven = self.proof_problems if self.proof == "failed" else ()
        return tuple(filter(None, (*refused, self.problem, *unproven, *failed)))

    @property
    def exit_code(self) -> int:
        """3 for a refusal, 1 for a failure, else 0; a refusal outweighs. 2 where there is no such release."""
        if self.is_mistaken:
            return 2
        return {"refused": 3, "failed": 1}.get(self.outcome, 0)

    def document(self) -> dict[str, Any]:
        """As in `mirror sync -o json`."""
        return {
            "destination": self.destination,
            "release": self.release,
            "outcome": self.outcome,
            "images": [image.document() for image in self.images],
            "charts": [chart.document() for chart in self.charts],
            "proof": self.proof,
            "proof_recorded": self.is_proof_recorded,
            "proof_problems": list(self.proof_problems),
            "overrides": list(self.overrides),
            "notes": list(self.notes),
            "reason": self.problem,
        }


def _is_failed(image: ImageReport) -> bool:
    return image.outcome == "failed" or not image.is_compared


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a whole run did."""

    releases: tuple[ReleaseReport, ...]
    seconds: float
    newest: Mapping[str, str] = field(default_factory=dict)
    """By channel, the newest release that was asked for, in this shard or in another."""
    unread: frozenset[str] = frozenset()
    """The channels of which it is not known what is asked for."""
    shard: Shard = field(default_factory=Shard)
    """The share of the work that this was."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether all that was asked for is other shards'."""
        return self.shard.count > 1 and not self.releases

    @property
    def outcome(self) -> ReleaseOutcome:
        """The worst that happened."""
        return _overall(self.releases)

    @property
    def reason(self) -> str:
        """Why it is not in step, in a line: the first of what is worst, and how much more there is."""
        worst_first = sorted(self.releases, key=lambda each: _ORDER.index(each.outcome))
        return _in_a_line([(each.release, each.destination, each.complaints) for each in worst_first])

    @property
    def size(self) -> int:
        """Bytes that were sent."""
        return sum(part.size for release in self.releases for part in release.parts)

    @property
    def exit_code(self) -> int:
        """The worst of the releases'."""
        return worst(release.exit_code for release in self.releases)

    def document(self) -> dict[str, Any]:
        """`mirror sync -o json`."""
        return {
            "schema": SCHEMA,
            "shard": str(self.shard),
            "releases": [release.document() for release in self.releases],
        }

    def log_line(self) -> dict[str, Any]:
        """The keys of the run's one canonical log line."""
        images = [image for release in self.releases for image in release.images]
        charts = sum(len(release.charts) for release in self.releases)
        return {
            "outcome": self.outcome,
            "shard": str(self.shard),
            "releases": sorted({release.release for release in self.releases}),
            **{kind: sum(image.outcome == kind for image in images) for kind in _OUTCOMES},
            "charts": charts,
            "bytes": self.size,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
        }


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What went into an archive; nothing did where a release could not be brought."""

    archive: str
    origins: Mapping[str, str]
    """By release, where its images come from: the place of a mirror, or upstream."""
    releases: tuple[ReleaseReport, ...]
    size: int = 0
    """Bytes of the archive."""
    left_out: int = 0
    """Bytes of blobs that the other side holds."""

    @property
    def exit_code(self) -> int:
        """The worst of the releases'."""
        return worst(release.exit_code for release in self.releases)

    def document(self) -> dict[str, Any]:
        """`mirror export -o json`."""
        return {
            "schema": SCHEMA,
            "archive": self.archive,
            "bytes": self.size,
            "left_out": self.left_out,
            "releases": [
                {
                    "release": release.release,
                    "from": self.origins[release.release],
                    "outcome": "exported" if not self.exit_code else release.outcome,
                    "reason": release.problem,
                    "images": [
                        {
                            "reference": image.reference,
                            "digest": str(image.digest) if image.digest else None,
                            "outcome": image.outcome,
                            "reason": image.reason,
                            "signature": image.verdict.document() if image.verdict else None,
                        }
                        for image in release.images
                    ],
                }
                for release in self.releases
            ],
        }


_OUTCOMES: tuple[ImageOutcome, ...] = ("kept", "adopted", "copied", "refused", "failed")
_ORDER: tuple[ReleaseOutcome, ...] = ("refused", "failed", "synced", "in_step")


def _overall(releases: Sequence[ReleaseReport]) -> ReleaseOutcome:
    outcomes = {release.outcome for release in releases}
    return next((outcome for outcome in _ORDER if outcome in outcomes), "in_step")


def _in_a_line(complaints: Iterable[tuple[str, str, Sequence[str]]]) -> str:
    """The first of *complaints*, by release and destination, and how many more there are; empty where there is none."""
    told = [
        f"{release} at {place}: {each}" if release else f"{place}: {each}"
        for release, place, several in complaints
        for each in several
    ]
    if not told:
        return ""
    first, more = told[0].splitlines()[0], f"; and {len(told) - 1} more" if len(told) > 1 else ""
    return f"{first}{more}"


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """What was found of one recorded image, or chart; no *problems* means that every promise holds."""

    reference: str
    target: str
    digest: Digest
    problems: tuple[str, ...] = ()
    verdict: Verdict | None = None
    """On its signature, by what the mirror holds; None where signatures are off."""


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """What was found of one recorded release; *problem* is why nothing is known."""

    destination: str
    release: str
    images: tuple[VerifiedImage, ...] = ()
    missing: tuple[str, ...] = ()
    problem: str = ""
    charts: tuple[VerifiedImage, ...] = ()

    @property
    def outcome(self) -> Literal["in_step", "not_in_step", "failed"]:
        """In step, not, or not known."""
        if self.problem:
            return "failed"
        return "not_in_step" if self.missing or any(part.problems for part in self.parts) else "in_step"

    @property
    def parts(self) -> tuple[VerifiedImage, ...]:
        """Images, then charts."""
        return (*self.images, *self.charts)

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as it was recorded, or why that is not known, a sentence each."""
        lacking = (f"{reference} was never brought into the mirror" for reference in self.missing)
        return tuple(filter(None, (self.problem, *(each for part in self.parts for each in part.problems), *lacking)))


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `mirror verify` found; *is_deep* if every byte was read."""

    releases: tuple[VerifiedRelease, ...]
    is_deep: bool

    @property
    def exit_code(self) -> int:
        """0 in step, 4 not, 1 not known."""
        return worst({"in_step": 0, "not_in_step": 4, "failed": 1}[release.outcome] for release in self.releases)

    @property
    def reason(self) -> str:
        """What is wrong, in a line: the first of it, and how much more there is."""
        return _in_a_line([(each.release, each.destination, each.complaints) for each in self.releases])

    def document(self) -> dict[str, Any]:
        """`mirror verify -o json`."""
        return {
            "schema": SCHEMA,
            "deep": self.is_deep,
            "releases": [
                {
                    "destination": release.destination,
                    "release": release.release,
                    "outcome": release.outcome,
                    "reason": release.problem,
                    "missing": list(release.missing),
                    "images": [
                        {
                            "reference": image.reference,
                            "target": image.target,
                            "digest": str(image.digest),
                            "outcome": "not_in_step" if image.problems else "in_step",
                            "problems": list(image.problems),
                            "signature": image.verdict.document() if image.verdict else None,
                        }
                        for image in release.images
                    ],
                    "charts": [
                        {
                            "reference": chart.reference,
                            "target": chart.target,
                            "digest": str(chart.digest),
                            "outcome": "not_in_step" if chart.problems else "in_step",
                            "problems": list(chart.problems),
                        }
                        for chart in release.charts
                    ],
                }
                for release in self.releases
            ],
        }
