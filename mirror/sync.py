"""Brings mirrors in step: plan, execute, record, write values, prove. Returns a SyncReport; prints nothing.

    ReleasePlan ─► for each image: copy the graph ─► read back ─► referrers ─► tag
                                                                              │
       record ◄── proof ◄── values ◄── charts, of which all images are there ◄─┘

What it keeps of DESIGN.md's promises: after planning nothing is read by tag (4); one failed image does not fail the
others, and no values are written for a chart that uses it (6).
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from mirror import record as records
from mirror.charts import ChartPlan, Courier
from mirror.errors import HelmError, MirrorError, Refused, TagTaken, UsageError, WorldError
from mirror.inventory import ImagePlan, ReleasePlan, Surveyor
from mirror.linkerd.parts import ChartFacts
from mirror.linkerd.release import Selector
from mirror.oci.content import Digest
from mirror.oci.copy import Copier, Graph, read_graph
from mirror.oci.manifest import Manifest, attestation_subject, restricted
from mirror.oci.reference import Reference
from mirror.oci.referrers import Referrers, Travelled, referrers_of, travel
from mirror.oci.remembering import Remembering
from mirror.oci.storage import Destination, Source
from mirror.oci.verify import walk
from mirror.plan import RECORD_NAME, Adopt, Cause, Copy, Fail, Keep, Recorded, Refuse, Target, with_remedy
from mirror.record import Evidence, Missing, Record, RecordedImage
from mirror.report import ImageOutcome, ImageReport, Proof, ReleaseReport, SyncReport
from mirror.tasks import gather, gather_some
from mirror.trust.verdict import Verdict
from mirror.values import Clerk, render_slots

_RELEASES_AT_ONCE = 4  # while one waits for its last blob, its proof or a far registry, the others go on

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Move:
    """An image, or an archive, on its way to one place: at the same moment *reference* may be on its way to another."""

    reference: str
    sent: int = field(default=0, init=False)
    """Bytes."""


class Progress(Protocol):
    """Who is told how the copies go; `advanced` comes from worker threads."""

    def image_started(self, move: Move, size: int) -> None: ...
    def advanced(self, move: Move, count: int) -> None: ...
    def image_finished(self, move: Move, outcome: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one image, and what the record is to say of it."""

    outcome: ImageOutcome
    recorded: RecordedImage | None
    digest: Digest | None = None
    reason: str = ""
    verdict: Verdict | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Paper:
    """What was written for one release, and how it was proven."""

    proof: Proof = "not proven"
    is_recorded: bool = False
    problems: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failure: str = ""
    """Why values could not be written."""


@dataclass(slots=True)
class Syncer:
    """One run over what *surveyor* sees."""

    surveyor: Surveyor
    helm: str | None
    """The Helm that proves values; None where there is none."""
    progress: Progress
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _placed: dict[tuple[str, Target], Digest] = field(default_factory=dict, init=False)
    _turns: defaultdict[tuple[str, str, Digest], asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock), init=False
    )
    """By destination, path and digest: what several releases have is brought by one, and seen by the others."""
    _renders: asyncio.Semaphore = field(default_factory=render_slots, init=False)

    async def sync(self, selectors: Sequence[Selector], *, refresh: bool = False) -> SyncReport:
        """Every release at every mirror is in step, or the report says why not."""
        begin = time.monotonic()
        plans = await self.surveyor.plan(selectors, refresh=refresh)
        by_mirror = [[plan for plan in plans if plan.mirror is mirror] for mirror in self.surveyor.mirrors]
        reports = await gather(*(self._bring_in_step(several) for several in by_mirror if several))
        done = tuple(one for several in reports for one in several)
        return SyncReport(done, time.monotonic() - begin, self.surveyor.newest, self.surveyor.shard)

    async def _bring_in_step(self, plans: Sequence[ReleasePlan]) -> list[ReleaseReport]:
        copier = Copier()
        try:
            return await gather_some((self._execute(copier, plan) for plan in plans), at_once=_RELEASES_AT_ONCE)
        finally:
            copier.close()

    async def _execute(self, copier: Copier, plan: ReleasePlan) -> ReleaseReport:
        destination, release = plan.mirror.name, str(plan.release)
        if plan.problem:
            log.error("sync.release_failed", destination=destination, release=release, reason=plan.problem)
            return ReleaseReport(
                destination, release, notes=plan.notes, problem=plan.problem, is_refused=plan.is_refused
            )
        done = await gather(*(self._image(copier, plan, image) for image in plan.images))
        reports = tuple(report for report, _ in done)
        held = tuple(recorded for _, recorded in done if recorded is not None)
        missing = tuple(
            Missing(image.image.reference, image.image.charts)
            for image in plan.images
            if image.image.reference not in {one.image.reference for one in held}
        )
        courier = Courier(copier, plan.mirror, release, self.now)
        charts = await gather(
            *(courier.bring(chart, _lacking(chart, missing, is_empty=not held)) for chart in plan.artifacts)
        )
        refused = {report.name for report, _ in charts if report.outcome == "refused"}
        record = Record(
            release=release,
            asked=_asked(plan, reports),
            recorded_at=self.now(),
            charts=_facts(plan, refused),
            images=held,
            proof="not proven",
            missing=missing,
            artifacts=tuple(brought for _, brought in charts if brought is not None),
        )
        record = records.dated(record, plan.before)
        paper = await self._paper(plan, record, reports, refused)
        record = replace(record, proof=paper.proof)
        unkept = await self._keep_record(plan, record) if held else ""
        return ReleaseReport(
            destination,
            release,
            images=reports,
            charts=tuple(report for report, _ in charts),
            proof=paper.proof,
            is_proof_recorded=paper.is_recorded,
            proof_problems=paper.problems,
            overrides=paper.files,
            values=paper.values,
            recorded_at=record.recorded_at,
            notes=(*plan.notes, *paper.notes),
            problem="; ".join(filter(None, (paper.failure, unkept))),
        )

    async def _image(
        self, copier: Copier, plan: ReleasePlan, image: ImagePlan
    ) -> tuple[ImageReport, RecordedImage | None]:
        begin = time.monotonic()
        move = Move(image.image.reference)
        try:
            result = await self._carry_out(copier, plan, image, move)
        except Refused as exc:
            cause: Cause = "taken" if isinstance(exc, TagTaken) else "signature"
            result = _Result("refused", image.recorded, reason=str(exc), cause=cause)
        except MirrorError as exc:
            result = _Result("failed", image.recorded, reason=str(exc))
        report = ImageReport(
            reference=move.reference,
            target=plan.mirror.target(image.target),
            place=image.target,
            outcome=result.outcome,
            digest=result.digest,
            size=max(move.sent, 0),
            seconds=time.monotonic() - begin,
            reason=result.reason,
            cause=result.cause,
            is_compared=not isinstance(image.action, Keep) or image.action.is_compared,
            verdict=result.verdict,
        )
        _tell(plan, report)
        self.progress.image_finished(move, result.outcome)
        return report, result.recorded

    @property
    def _brings_referrers(self) -> bool:
        return self.surveyor.wanted.referrers != "off"

    async def _carry_out(self, copier: Copier, plan: ReleasePlan, image: ImagePlan, move: Move) -> _Result:
        action = image.action
        match action:
            case Keep(digest, warning):
                verdict = await self.surveyor.kept_verdict(plan, image)
                # the charts, and where images go, may be others than when it was recorded
                recorded = image.recorded and self._accepted(
                    replace(image.recorded, image=image.image, target=image.target, lacks=image.lacks, verdict=verdict)
                )
                return _Result("kept", recorded, digest, warning, verdict)
            case Refuse():
                reason = with_remedy(image.image.reference, action)
                return _Result("refused", image.recorded, reason=reason, cause=action.cause)
            case Fail(reason):
                return _Result("failed", image.recorded, reason=reason)
            case Adopt() | Copy():
                return await self._take_turn(copier, plan, image, move, action)

    async def _take_turn(
        self,
        copier: Copier,
        plan: ReleasePlan,
        image: ImagePlan,
        move: Move,
        action: Adopt | Copy,
    ) -> _Result:
        """*action* is done; no other release of this run does anything to the same content meanwhile."""
        async with self._turns[plan.mirror.name, image.target.path, action.digest]:
            if isinstance(action, Copy):
                if self._placed.get((plan.mirror.name, image.target)) != action.digest:
                    return await self._copy(copier, plan, image, move, action)
                action = Adopt(action.upstream, action.digest, replaced=action.replaced)
            return await self._adopt(copier, plan, image, move, action)

    async def _adopt(
        self,
        copier: Copier,
        plan: ReleasePlan,
        image: ImagePlan,
        move: Move,
        action: Adopt,
    ) -> _Result:
        """What is there is whole; where it is not, it is copied."""
        graph, problems = await walk(plan.mirror.repository(image.target.path), action.digest)
        if graph is None or problems:
            log.warning("sync.found_incomplete", target=plan.mirror.target(image.target), problems=problems)
            return await self._copy(copier, plan, image, move, action)
        source, destination = self._places(plan, image)
        found = await self._referrers(source, action.upstream)
        verdict = await self._admitted(image, action.upstream, found, source)
        travelled = await self._bring(copier, source, destination, found)
        index = graph.root
        if action.upstream != action.digest:
            index = await source.manifest(action.upstream)
        recorded = self._recorded(image, action, graph, travelled, index, verdict)
        reason = "; ".join([*_told(verdict), *travelled.problems])
        return _Result("adopted", recorded, action.digest, reason, verdict)

    async def _copy(
        self,
        copier: Copier,
        plan: ReleasePlan,
        image: ImagePlan,
        move: Move,
        action: Adopt | Copy,
    ) -> _Result:
        source, destination = self._places(plan, image)
        found = await self._referrers(source, action.upstream)
        verdict = await self._admitted(image, action.upstream, found, source)
        index = await source.manifest(action.upstream)
        graph = await read_graph(source, restricted(index, self.surveyor.wanted.platforms, where=source.name))
        await plan.mirror.prepare(image.target.path)
        self.progress.image_started(move, graph.size)

        def count(sent: int) -> None:
            move.sent += sent
            self.progress.advanced(move, sent)

        await copier.copy(source, destination, graph, on_bytes=count)
        travelled = await self._bring(copier, source, destination, found, root=graph.root)
        await copier.place(source, destination, graph.root, tag=image.target.tag)
        self._placed[plan.mirror.name, image.target] = graph.root.digest
        reasons = [action.warning] if isinstance(action, Copy) and action.warning else []
        recorded = self._recorded(image, action, graph, travelled, index, verdict)
        reason = "; ".join([*reasons, *_told(verdict), *travelled.problems])
        return _Result("copied", recorded, graph.root.digest, reason, verdict)

    def _places(self, plan: ReleasePlan, image: ImagePlan) -> tuple[Source, Destination]:
        """Where *image* comes from, evidence that was verified copied as it was seen, and where it goes."""
        return Remembering(self.surveyor.source(image.source)), plan.mirror.repository(image.target.path)

    async def _admitted(
        self, image: ImagePlan, upstream: Digest, found: Referrers | MirrorError, source: Source
    ) -> Verdict | None:
        """The verdict on what may enter, None where nobody asks; raises Refused for what may not."""
        reference = Reference.parse(image.image.reference)
        return await self.surveyor.signatures.admitted(reference, upstream, found, source)

    async def _referrers(self, source: Source, upstream: Digest) -> Referrers | MirrorError:
        """What refers to *upstream*, or why that cannot be known; nothing is asked where nobody wants to know."""
        wanted = self.surveyor.wanted
        if wanted.referrers == "off":
            return Referrers(upstream, (), ())
        found = await referrers_of(source, upstream)
        if isinstance(found, MirrorError) and wanted.referrers == "require":
            raise found
        return found

    async def _bring(
        self,
        copier: Copier,
        source: Source,
        destination: Destination,
        found: Referrers | MirrorError,
        *,
        root: Manifest | None = None,
    ) -> Travelled:
        """What was *found* is at the mirror, after *root*, which is stored by its digest first if given."""
        if not self._brings_referrers:
            return Travelled(())
        if isinstance(found, MirrorError):
            return Travelled((), (f"its referrers could not be read: {found}",), is_worth_another_try=True)
        if root is not None and (found.tagged or found.listed):
            await copier.place(source, destination, root)
        travelled = await travel(copier, source, destination, found)
        if travelled.problems and self.surveyor.wanted.referrers == "require":
            raise WorldError(f"{source.name}: not all that refers to it could be copied: {travelled.problems[0]}")
        return travelled

    def _recorded(
        self,
        image: ImagePlan,
        action: Adopt | Copy,
        graph: Graph,
        travelled: Travelled,
        index: Manifest,
        verdict: Verdict | None,
    ) -> RecordedImage:
        """What the record is to say of *image*; *index* is upstream's root, which a platform filter changes."""
        platforms = sorted({str(child.platform) for child in graph.root.children if child.platform})
        digests = Recorded(action.upstream, graph.root.digest)
        recorded = RecordedImage(image.image, image.target, digests)
        if action.replaced:
            now = self.now().isoformat(timespec="seconds")
            recorded = replace(recorded, is_accepted=True, accepted_at=now, replaced=str(action.replaced))
        elif image.recorded and image.recorded.digests == digests:
            recorded = replace(image.recorded, image=image.image, target=image.target)
        return replace(
            self._accepted(replace(recorded, verdict=verdict)),
            lacks=image.lacks,
            awaits_referrers=travelled.is_worth_another_try,
            keeps_signature=any(one.blobs for one in travelled.untaken),
            evidence=Evidence(
                media_type=graph.root.media_type,
                size=graph.size,
                platforms=tuple(platforms),
                referrers=tuple(map(str, travelled.digests)),
                upstream_index=index.raw.decode() if index.digest != graph.root.digest else "",
                statements=tuple(
                    str(child.digest) for child in graph.root.children if attestation_subject(child) is not None
                ),
                untaken=travelled.untaken,
            ),
        )

    def _accepted(self, recorded: RecordedImage) -> RecordedImage:
        """*recorded*, which says so if it is there only because an operator accepted its digest."""
        verdict, policy = recorded.verdict, self.surveyor.signatures.policy
        if verdict is None or recorded.is_accepted or verdict.satisfies(policy):
            return recorded
        return replace(recorded, is_accepted=True, accepted_at=self.now().isoformat(timespec="seconds"))

    async def _keep_record(self, plan: ReleasePlan, record: Record) -> str:
        if not records.is_changed(record, plan.before):
            return ""
        try:
            await plan.mirror.prepare(RECORD_NAME)
            await records.write(plan.mirror.records, record, verified_at=self.now(), seal=plan.mirror.seal)
        except UsageError:  # a key that it cannot be signed with
            raise
        except MirrorError as exc:
            return f"the record could not be written: {exc}"
        return ""

    async def _paper(
        self, plan: ReleasePlan, record: Record, reports: Sequence[ImageReport], refused: Collection[str]
    ) -> Paper:
        bad = {report.reference for report in reports if report.outcome in ("failed", "refused")}
        images = [image.image for image in plan.images]
        spoilt = {chart for image in images if image.reference in bad for chart in image.charts}
        clerk = Clerk(plan.mirror, record, self.surveyor.wanted)
        notes = [
            f"no values were written for {chart}: an image that it uses is not in the mirror"
            for chart in sorted(spoilt)
        ]
        notes += [f"no values were written for {chart}: the chart itself is refused" for chart in sorted(refused)]
        if not plan.mirror.pull_registry:
            return Paper(notes=("no values were written: a layout needs a pull_registry, the name clusters pull by",))
        texts, failures = dict[str, str](), list[str]()
        for facts in plan.charts:
            if facts.name not in spoilt and facts.name not in refused:
                try:
                    texts[facts.name] = clerk.values(facts)
                except MirrorError as exc:
                    failures.append(str(exc))
        proof, problems = await self._prove(plan, clerk, texts)
        broken = {chart for chart, found in problems.items() if found}
        notes += [f"no values were written for {chart}: they could not be proven" for chart in sorted(broken)]
        sound = {chart: text for chart, text in texts.items() if chart not in broken}
        files = tuple[str, ...]()
        try:
            files = await asyncio.to_thread(clerk.write, sound)
        except MirrorError as exc:
            failures.append(str(exc))
        return Paper(
            proof=proof,
            is_recorded=not plan.archives and proof == "proven",
            problems=tuple(f"{chart}: {problem}" for chart, found in problems.items() for problem in found),
            files=files,
            values=sound,
            notes=(*notes, *clerk.notes),
            failure="; ".join(failures),
        )

    async def _prove(
        self, plan: ReleasePlan, clerk: Clerk, texts: Mapping[str, str]
    ) -> tuple[Proof, Mapping[str, tuple[str, ...]]]:
        if not plan.archives:
            before = plan.before
            is_the_same = before is not None and before.asked == plan.asked and not before.missing
            return ("proven" if before and is_the_same and before.proof == "proven" else "not proven"), {}
        try:
            return await clerk.prove(self.helm, plan.archives, texts, slots=self._renders)
        except HelmError as exc:  # it does not run at all
            return "failed", dict.fromkeys(texts, (str(exc),))


def _asked(plan: ReleasePlan, reports: Sequence[ImageReport]) -> str:
    """What *plan* asked for; nothing, so that the next run plans anew, if an image is still as was asked before."""
    if plan.before is None or plan.before.asked == plan.asked:
        return plan.asked
    is_settled = all(report.outcome in ("copied", "adopted") or not report.reason for report in reports)
    return plan.asked if is_settled else ""


def _facts(plan: ReleasePlan, refused: Collection[str]) -> tuple[ChartFacts, ...]:
    """What the record is to say of the charts of *plan*: what it said, of those that are refused."""
    before = {facts.name: facts for facts in plan.before.charts} if plan.before else {}
    return tuple(before.get(facts.name, facts) if facts.name in refused else facts for facts in plan.charts)


def _lacking(chart: ChartPlan, missing: Sequence[Missing], *, is_empty: bool) -> Sequence[str]:
    """Those of the *missing* images that *chart* waits for: its own, or all where the mirror has none at all."""
    return [one.reference for one in missing if is_empty or chart.facts.name in one.charts]


def _told(verdict: Verdict | None) -> tuple[str, ...]:
    """What an operator should know of *verdict*: all but what is signed, or was never to be."""
    return (verdict.words,) if verdict and not verdict.satisfies("require") else ()


def _tell(plan: ReleasePlan, report: ImageReport) -> None:
    """One canonical line for each image that is not simply in step."""
    if report.outcome == "kept" and not report.reason:
        return
    told = {"failed": log.error, "refused": log.error, "kept": log.warning}.get(report.outcome, log.info)
    told(
        f"sync.image_{report.outcome}",
        release=str(plan.release),
        reference=report.reference,
        target=report.target,
        digest=str(report.digest or ""),
        bytes=report.size,
        seconds=round(report.seconds, 3),
        reason=report.reason,
    )
