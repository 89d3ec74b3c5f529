"""Charts in a mirror: what is to become of each at a destination, and how it gets there.

A chart is decided on as an image is (plan.py). Upstream's digest is that of its archive, as the chart index has it; the
mirrored one is that of the manifest that holds the archive (linkerd/artifact.py). Which bytes are around an archive
counts for nothing: what Helm pushed there is the same chart.

A chart that is recorded, and is where it was recorded, needs its archive no more: that costs one HEAD.
A chart is brought after its images, and not before they are all there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import structlog

from mirror.destinations.mirror import Mirror
from mirror.errors import (
    BadReference,
    ChartError,
    ManifestError,
    MirrorError,
    NotFound,
    RegistryError,
    TagTaken,
    UsageError,
)
from mirror.linkerd.artifact import Artifact, archive_of, artifact, version_tag
from mirror.linkerd.parts import Chart, ChartFacts
from mirror.oci.content import Digest
from mirror.oci.copy import Copier, Graph
from mirror.oci.memory import Memory
from mirror.oci.reference import Reference, Repository
from mirror.oci.storage import Destination
from mirror.oci.verify import walk
from mirror.plan import (
    Action,
    Adopt,
    Copy,
    Fail,
    Found,
    Gone,
    Keep,
    Mirrored,
    Recorded,
    Refuse,
    Target,
    Unknown,
    Upstream,
    chart_target,
    decide,
    with_remedy,
)
from mirror.record import RecordedChart
from mirror.report import ChartReport

_UNTAKEN = frozenset({400, 405, 415})
"""How a registry answers a manifest of a kind that it does not take."""

log = structlog.get_logger()

ReadChart = Callable[[str], Awaitable[tuple[Chart, bytes]]]
"""Reads the chart of a name, with its provenance if there is one."""


@dataclass(frozen=True, slots=True)
class ChartPlan:
    """One chart of one release at one mirror."""

    facts: ChartFacts
    target: Target
    action: Action
    recorded: RecordedChart | None
    artifact: Artifact | None = None
    """What would be stored; None where the archive did not have to be read."""

    @property
    def reference(self) -> str:
        """What reports and `--accept` call it: `charts/linkerd-viz:2026.8.3`."""
        return str(self.target)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator wants of charts that moved."""

    moved_tags: Literal["refuse", "follow"]
    accept: Mapping[Reference, Digest]


async def plan_chart(
    mirror: Mirror,
    facts: ChartFacts,
    recorded: RecordedChart | None,
    *,
    listed: str,
    read: ReadChart,
    rules: Rules,
) -> ChartPlan:
    """What is to become of the chart of *facts*; *listed* is its archive's sha256 by the index, if that was read."""
    target = chart_target(facts.name, version_tag(facts.version))
    try:
        Reference(Repository("localhost", target.path), target.tag)
    except BadReference as exc:
        why = f"{facts.name} {facts.version} is no name that a registry takes: {exc}"
        return ChartPlan(facts, target, Fail(why), None)
    if recorded is not None and recorded.target != target:
        recorded = None
    destination = mirror.repository(target.path)
    mirrored = await _seen_at(destination, target.tag)
    accepted = rules.accept.get(Reference.parse(str(target)))
    if recorded is not None and _is_in_step(recorded, mirrored, listed, accepted):
        return ChartPlan(facts, target, Keep(recorded.digests.mirrored), recorded)
    upstream, made = await _read(facts, destination, mirrored, read)
    if recorded is None and made is not None and made.archive.hex != facts.sha256:
        return ChartPlan(facts, target, _other_archive(facts, made.archive), None)
    action = decide(
        recorded=recorded.digests if recorded else None,
        upstream=upstream,
        mirrored=mirrored,
        moved_tags=rules.moved_tags,
        accepted=accepted,
    )
    return ChartPlan(facts, target, action, recorded, made)


def refused_clashes(plans: Sequence[ChartPlan]) -> Mapping[str, str]:
    """Why charts of *plans*, all of one mirror, cannot be brought, by reference: two archives would go to one place."""
    archives = dict[str, set[Digest]]()
    for plan in plans:
        if plan.artifact is not None:
            archives.setdefault(plan.reference, set()).add(plan.artifact.archive)
    return {
        reference: f"{reference} is two charts with different archives, in different chart repositories: leave one out"
        for reference, several in archives.items()
        if len(several) > 1
    }


def _is_in_step(recorded: RecordedChart, mirrored: Mirrored, listed: str, accepted: Digest | None) -> bool:
    upstream = recorded.digests.upstream
    return mirrored == recorded.digests.mirrored and listed in ("", upstream.hex) and accepted in (None, upstream)


async def _seen_at(destination: Destination, tag: str) -> Mirrored:
    try:
        return await destination.head(tag) or Gone()
    except UsageError:
        raise
    except MirrorError as exc:
        return Unknown(str(exc))


async def _read(
    facts: ChartFacts, destination: Destination, mirrored: Mirrored, read: ReadChart
) -> tuple[Upstream, Artifact | None]:
    """What upstream has of the chart of *facts*, and what would be stored of it."""
    try:
        made = artifact(*await read(facts.name))
        if isinstance(mirrored, Digest) and await _archive_at(destination, mirrored) == made.archive:
            return Found(made.archive, mirrored), made
    except UsageError:
        raise
    except MirrorError as exc:
        return Unknown(str(exc)), None
    return Found(made.archive, made.manifest.digest), made


async def _archive_at(destination: Destination, digest: Digest) -> Digest | None:
    try:
        return archive_of(await destination.manifest(digest))
    except (NotFound, ManifestError):
        return None


def _other_archive(facts: ChartFacts, archive: Digest) -> Refuse:
    return Refuse(
        f"the chart moved: its archive was sha256:{facts.sha256} when the release was recorded, and is {archive} "
        "today; once you know why, `mirror sync --refresh` takes what it is now"
    )


@dataclass(frozen=True, slots=True)
class Courier:
    """Brings the charts of one release into one mirror."""

    copier: Copier
    mirror: Mirror
    release: str
    now: Callable[[], datetime]

    async def bring(self, chart: ChartPlan, lacking: Sequence[str]) -> tuple[ChartReport, RecordedChart | None]:
        """What became of *chart*, and what the record is to say of it; *lacking* are images that it waits for."""
        facts, place = chart.facts, self.mirror.target(chart.target)
        report = ChartReport(facts.name, facts.version, chart.reference, place, "kept")
        held = chart.recorded
        try:
            report, held = await self._carry_out(chart, lacking, report)
        except TagTaken as exc:
            report = replace(report, outcome="refused", reason=str(exc), cause="taken")
        except MirrorError as exc:
            report = replace(report, outcome="failed", reason=self._told(exc))
        self._log(report)
        return report, held

    async def _carry_out(
        self, chart: ChartPlan, lacking: Sequence[str], report: ChartReport
    ) -> tuple[ChartReport, RecordedChart | None]:
        action, destination = chart.action, self.mirror.repository(chart.target.path)
        match action:
            case Keep(digest, warning, is_compared):
                report = replace(report, outcome="kept" if is_compared else "failed", digest=digest, reason=warning)
                return report, chart.recorded
            case Refuse(cause=cause):
                reason = with_remedy(chart.reference, action)
                return replace(report, outcome="refused", reason=reason, cause=cause), chart.recorded
            case Fail(reason):
                return replace(report, outcome="failed", reason=reason), chart.recorded
            case Adopt() | Copy() if lacking:
                # who follows the versions of a chart must not get one whose images are not there
                reason = f"it is not brought before its images: {', '.join(lacking)}"
                return replace(report, outcome="failed", reason=reason), chart.recorded
            case Adopt(digest=digest) if _is_whole(await walk(destination, digest)):
                return replace(report, outcome="adopted", digest=digest), self._recorded(chart, action, digest)
            case Adopt() | Copy():
                return await self._copy(chart, action, report)

    async def _copy(
        self, chart: ChartPlan, action: Adopt | Copy, report: ChartReport
    ) -> tuple[ChartReport, RecordedChart]:
        made, destination = chart.artifact, self.mirror.repository(chart.target.path)
        if made is None or made.archive != action.upstream:
            raise ChartError(f"the chart repository does not have {action.upstream}, which was accepted")
        sent = 0

        def count(chunk: int) -> None:
            nonlocal sent
            sent += chunk

        source, root = Memory(chart.facts.name, made.manifest, made.blobs), made.manifest
        await self.mirror.prepare(chart.target.path)
        await self.copier.copy(source, destination, Graph(root, ()), on_bytes=count)
        await self.copier.place(source, destination, root, tag=chart.target.tag)
        warning = action.warning if isinstance(action, Copy) else ""
        report = replace(report, outcome="copied", digest=root.digest, size=max(sent, 0), reason=warning)
        return report, self._recorded(chart, action, root.digest)

    def _recorded(self, chart: ChartPlan, action: Adopt | Copy, mirrored: Digest) -> RecordedChart:
        digests = Recorded(action.upstream, mirrored)
        recorded = RecordedChart(chart.facts.name, chart.target, digests)
        if action.replaced:
            now = self.now().isoformat(timespec="seconds")
            return replace(recorded, is_accepted=True, accepted_at=now, replaced=str(action.replaced))
        return chart.recorded if chart.recorded and chart.recorded.digests == digests else recorded

    def _told(self, failure: MirrorError) -> str:
        """*failure* in words, with what to do where the registry takes no charts."""
        if not (isinstance(failure, RegistryError) and failure.status in _UNTAKEN):
            return str(failure)
        return f"{failure}: if this registry takes no charts, say charts = false in [destinations.{self.mirror.name}]"

    def _log(self, report: ChartReport) -> None:
        """One canonical line for each chart that is not simply in step."""
        if report.outcome == "kept" and not report.reason:
            return
        told = {"failed": log.error, "refused": log.error, "kept": log.warning}.get(report.outcome, log.info)
        told(
            f"sync.chart_{report.outcome}",
            destination=self.mirror.name,
            release=self.release,
            reference=report.reference,
            target=report.target,
            digest=str(report.digest or ""),
            bytes=report.size,
            reason=report.reason,
        )


def _is_whole(walked: tuple[Graph | None, tuple[str, ...]]) -> bool:
    graph, problems = walked
    return graph is not None and not problems
