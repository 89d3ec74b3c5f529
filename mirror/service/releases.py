"""Each release at each destination, and its images: what report, record and deep verification say, as one. Pure.

    state         what it says of an image or a release
    ───────────── ─────────────────────────────────────────────────────────────────────────
    refused       it is refused: a human must decide
    not_in_step   it failed, or the deep verification found damage
    unknown       upstream was not asked: the mirror holds what was recorded; or the last run could not look at it
    in_step       the mirror holds what upstream has

The first that applies is the word. What is not known is never in step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from mirror.oci.content import Digest
from mirror.record import RecordedImage
from mirror.report import ChartReport, ImageOutcome, ImageReport, Proof, VerifiedImage
from mirror.service.ledger import Entry, Key, Ledger, Verified
from mirror.trust.verdict import Verdict

State: TypeAlias = Literal["starting", "refused", "not_in_step", "unknown", "in_step"]
"""`starting` is for the whole alone: no run has ended."""
ORDER: tuple[State, ...] = ("starting", "refused", "not_in_step", "unknown", "in_step")
"""The worst first."""
_NO_PLATFORM = "unknown/unknown"
"""https://docs.docker.com/build/metadata/attestations/attestation-storage/"""


@dataclass(frozen=True, slots=True)
class ImageStatus:
    """One image of one release at one destination."""

    report: ImageReport
    recorded: RecordedImage | None
    verified: VerifiedImage | None
    """By the last deep verification."""
    is_current: bool = True
    """The last run looked at it; else *report* is an earlier one's."""

    @property
    def reference(self) -> str:
        """As charts write it."""
        return self.report.reference

    @property
    def state(self) -> State:
        """What is known of it alone."""
        if self.report.outcome == "refused":
            return "refused"
        if self.report.outcome == "failed" or self.damage:
            return "not_in_step"
        return "in_step" if self.report.is_compared and self.is_current else "unknown"

    @property
    def outcome(self) -> ImageOutcome:
        """What the last run did with it."""
        return self.report.outcome

    @property
    def digest(self) -> Digest | None:
        """What the mirror holds of it, by the last run or by the record."""
        return self.report.digest or (self.recorded.digests.mirrored if self.recorded else None)

    @property
    def upstream_digest(self) -> Digest | None:
        """Upstream's digest where a platform filter makes the mirror's another one."""
        if self.recorded is None or self.recorded.digests.upstream == self.digest:
            return None
        return self.recorded.digests.upstream

    @property
    def platforms(self) -> tuple[str, ...]:
        """By the record, without what BuildKit's attestations are listed under."""
        evidence = self.recorded.evidence if self.recorded else None
        return tuple(each for each in evidence.platforms if each != _NO_PLATFORM) if evidence else ()

    @property
    def size(self) -> int | None:
        """Bytes of all its blobs; None where the record does not say."""
        return self.recorded.evidence.size if self.recorded and self.recorded.evidence else None

    @property
    def verdict(self) -> Verdict | None:
        """On its signature; None where nobody looked, or what is there is not what was recorded."""
        recorded = self.recorded.verdict if self.recorded and self.outcome != "refused" else None
        return self.report.verdict or recorded

    @property
    def damage(self) -> tuple[str, ...]:
        """What the deep verification found wrong with it, while the mirror is to hold what it looked at."""
        return self.verified.problems if self.verified and self.verified.digest == self.digest else ()

    def document(self) -> dict[str, Any]:
        """As in /api/v1/releases."""
        verdict = self.verdict
        return {
            "reference": self.reference,
            "target": self.report.target,
            "state": self.state,
            "outcome": self.outcome,
            "digest": str(self.digest) if self.digest else None,
            "upstream_digest": str(self.upstream_digest) if self.upstream_digest else None,
            "platforms": list(self.platforms),
            "bytes": self.size,
            "signature": {
                "state": verdict.state,
                "words": verdict.words,
                "identity": verdict.identity,
                "issuer": verdict.issuer,
                "key": verdict.key,
            }
            if verdict
            else None,
            "reason": self.report.reason,
            "cause": self.report.cause,
            "accepted_at": (self.recorded.accepted_at if self.recorded else "") or None,
            "replaced": (self.recorded.replaced if self.recorded else "") or None,
            "damage": list(self.damage),
        }


@dataclass(frozen=True, slots=True)
class ChartStatus:
    """One chart of one release at one destination."""

    report: ChartReport
    verified: VerifiedImage | None
    """By the last deep verification."""
    is_current: bool = True
    """As for an image."""

    @property
    def reference(self) -> str:
        """`charts/NAME:VERSION`."""
        return self.report.reference

    @property
    def state(self) -> State:
        """What is known of it alone."""
        if self.outcome == "refused":
            return "refused"
        if self.outcome == "failed" or self.damage:
            return "not_in_step"
        return "in_step" if self.is_current else "unknown"

    @property
    def outcome(self) -> ImageOutcome:
        """What the last run did with it."""
        return self.report.outcome

    @property
    def damage(self) -> tuple[str, ...]:
        """What the deep verification found wrong with it, while the mirror is to hold what it looked at."""
        digest = self.report.digest
        return self.verified.problems if self.verified and digest in (None, self.verified.digest) else ()

    def document(self) -> dict[str, Any]:
        """As in /api/v1/releases."""
        return {
            "reference": self.reference,
            "target": self.report.target,
            "state": self.state,
            "outcome": self.outcome,
            "digest": str(self.report.digest) if self.report.digest else None,
            "reason": self.report.reason,
            "cause": self.report.cause,
            "damage": list(self.damage),
        }


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """One release at one destination."""

    entry: Entry
    verified: Verified | None
    channels: tuple[str, ...]
    """Those whose newest it is."""
    images: tuple[ImageStatus, ...]
    """What is known of each."""
    charts: tuple[ChartStatus, ...] = ()
    """None where the destination holds no charts."""

    @property
    def parts(self) -> tuple[ImageStatus | ChartStatus, ...]:
        """Images, then charts."""
        return (*self.images, *self.charts)

    @property
    def destination(self) -> str:
        return self.entry.report.destination

    @property
    def release(self) -> str:
        return self.entry.report.release

    @property
    def state(self) -> State:
        """The worst that is known of it."""
        return worst([self.entry.word, *(part.state for part in self.parts)])

    @property
    def since(self) -> datetime:
        """Since when every run has said so."""
        if self.state == self.entry.word or self.verified is None:
            return self.entry.since
        damaged = (self.verified.damaged_since(part.reference) for part in self.parts if part.damage)
        return min(damaged, default=self.entry.since)

    @property
    def proof(self) -> Proof:
        """Of its values."""
        return self.entry.report.proof

    @property
    def platforms(self) -> tuple[str, ...]:
        """Those that any image has."""
        return tuple(sorted({platform for image in self.images for platform in image.platforms}))

    @property
    def size(self) -> int | None:
        """Bytes of all its images, a blob that two of them share twice; None where it is not known of one."""
        sizes = [image.size for image in self.images]
        return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None

    @property
    def signatures(self) -> Mapping[str, int]:
        """How many images are what, most first."""
        return dict(Counter(image.verdict.state for image in self.images if image.verdict).most_common())

    @property
    def values(self) -> Mapping[str, str]:
        """The Helm values, by chart."""
        return self.entry.report.values

    def summary(self) -> dict[str, Any]:
        """As in /api/v1/status."""
        report = self.entry.report
        return {
            "destination": self.destination,
            "release": self.release,
            "channels": list(self.channels),
            "state": self.state,
            "since": told_moment(self.since),
            "tried_at": told_moment(self.entry.tried_at),
            "in_step_at": told_moment(self.entry.in_step_at),
            "recorded_at": told_moment(self.entry.recorded_at),
            "proof": self.proof,
            "proof_recorded": report.is_proof_recorded,
            "image_count": len(self.images),
            "platforms": list(self.platforms),
            "bytes": self.size,
            "signatures": dict(self.signatures),
            "deep_verification": {
                "outcome": self.verified.report.outcome,
                "at": told_moment(self.verified.at),
            }
            if self.verified
            else None,
            "reason": report.problem,
        }

    def document(self) -> dict[str, Any]:
        """As in /api/v1/releases."""
        report = self.entry.report
        return {
            **self.summary(),
            "images": [image.document() for image in self.images],
            "charts": [chart.document() for chart in self.charts],
            "values": sorted(self.values),
            "proof_problems": list(report.proof_problems),
            "notes": list(report.notes),
        }


def release_status(ledger: Ledger, destination: str, release: str) -> ReleaseStatus | None:
    """What is known of *release*, or of a channel's newest, at *destination*; None if it is not asked for there."""
    key = (destination, ledger.newest.get(release, release))
    return at_key(key, ledger) if key in ledger.entries else None


def at_key(key: Key, ledger: Ledger) -> ReleaseStatus:
    """What is known of the release at the destination that *key* names, which is in the ledger."""
    entry, verified = ledger.entries[key], ledger.verified.get(key)
    found = {part.reference: part for part in verified.report.parts} if verified else {}
    return ReleaseStatus(
        entry,
        verified,
        channels=tuple(sorted(channel for channel, newest in ledger.newest.items() if newest == key[1])),
        images=tuple(
            ImageStatus(
                image,
                entry.held.get(image.reference),
                found.get(image.reference),
                is_current=entry.is_seen,
            )
            for image in entry.images
        ),
        charts=tuple(
            ChartStatus(chart, found.get(chart.reference), is_current=entry.is_seen) for chart in entry.charts
        ),
    )


def worst(states: Iterable[State]) -> State:
    """The first of *states* in their order; in step where there is none."""
    return min(states, key=ORDER.index, default="in_step")


def told_moment(at: datetime | None) -> str | None:
    """*at* as JSON has it: UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else None
