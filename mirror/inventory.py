"""Gathers the three inventories, what is recorded, upstream and mirrored, and makes the plan. Writes nothing.

    selectors ─► Catalogue: releases, charts ─► images
                                                  │ HEAD upstream (once for all mirrors)   HEAD mirror   record
                                                  ▼                       ▼                    ▼           ▼
                                       a ReleasePlan for each mirror and release ◄──── plan.decide ◄───────┘

A release in step costs two HEADs an image, one HEAD a chart, and one GET of its record (DESIGN.md, promise 8): where
every mirror has a whole record of it, made for the same wishes, the images come from there and no chart is read. With a
platform filter, and signatures that are looked at, the record's layer is read too: it has the indexes that were signed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import structlog

from mirror import record as records
from mirror.charts import ChartPlan, ReadChart, Rules, plan_chart, refused_clashes
from mirror.destinations.mirror import Mirror
from mirror.errors import ChartError, ManifestError, MirrorError, Refused, UnknownRelease, UsageError, WorldError
from mirror.linkerd.movements import listed_archives, moved, went_back
from mirror.linkerd.parts import Chart, ChartFacts, Image, Parts
from mirror.linkerd.release import Newest, Release, Selector
from mirror.oci.content import Digest, Platform
from mirror.oci.copy import Graph, read_graph
from mirror.oci.manifest import Manifest, restricted
from mirror.oci.reference import Reference, Repository
from mirror.oci.referrers import referrers_of
from mirror.oci.storage import Source
from mirror.plan import (
    RECORD_NAME,
    Action,
    Adopt,
    Copy,
    Fail,
    Found,
    Gone,
    Keep,
    Mirrored,
    Refuse,
    Target,
    Unfit,
    Unknown,
    Upstream,
    check_accepted,
    clashes,
    decide,
    targets,
)
from mirror.record import Kept, Record, RecordedImage
from mirror.report import PlannedImage, PlanReport
from mirror.shard import Shard
from mirror.signatures import Signatures
from mirror.tasks import gather, gather_some
from mirror.trust.verdict import Verdict

if TYPE_CHECKING:
    from mirror.linkerd.chart import ChartIndex
    from mirror.linkerd.path import Hop

_RELEASES_AT_ONCE = 16  # each asks for a dozen images; more in flight would be memory, and no faster

log = structlog.get_logger()


class Catalogue(Protocol):
    """Where releases and their charts come from."""

    async def select(self, selectors: Sequence[Selector]) -> tuple[Release, ...]:
        """The releases that *selectors* ask for, each once; an exact one is taken at its word."""
        ...

    async def parts(self, release: Release) -> Parts:
        """The charts of *release* that are asked for, and its images; raises UnknownRelease with the nearest ones."""
        ...

    async def charts(self, release: Release) -> tuple[Chart, ...]:
        """The charts of *release* alone; raises likewise."""
        ...

    async def provenance(self, release: Release, chart: str) -> bytes:
        """The provenance file of one chart of *release*; empty where there is none."""
        ...

    async def paths(self, start: Selector, selectors: Sequence[Selector]) -> tuple[tuple[Hop, ...], ...]:
        """The upgrade path from the one release that *start* asks for to each that *selectors* ask for, but itself."""
        ...

    def indexes(self) -> Mapping[str, ChartIndex]:
        """The chart indexes that have been read, by channel; asks nobody."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator wants of every mirror: the part of the settings that a run reads."""

    charts: Literal["all"] | tuple[str, ...] = "all"
    platforms: tuple[Platform, ...] = ()
    """Empty: all."""
    moved_tags: Literal["refuse", "follow"] = "refuse"
    referrers: Literal["require", "best-effort", "off"] = "best-effort"
    accept: Mapping[Reference, Digest] = field(default_factory=dict)
    pin: Literal["digest", "tag"] = "digest"
    pull_secrets: tuple[str, ...] = ()
    overrides_directory: Path | None = Path("overrides")
    """None: no files are written."""
    extra_values: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def fingerprint(self, mirror: Mirror, signatures: str) -> str:
        """A hash of what decides the content of *mirror*'s record: another one means planning anew."""
        asked = [
            self.charts,
            [str(platform) for platform in self.platforms],
            [signatures, self.referrers],
            [mirror.paths, mirror.pull_registry],
            [self.pin, self.pull_secrets],
            {chart: [_file_hash(path) for path in paths] for chart, paths in sorted(self.extra_values.items())},
        ]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as exc:
        raise UsageError(f"overrides.values: {path} cannot be read: {exc.strerror}") from exc


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """One image of one release at one mirror."""

    image: Image
    source: Repository
    target: Target
    action: Action
    recorded: RecordedImage | None
    lacks: tuple[str, ...] = ()
    """The platforms of the filter that upstream does not have of it."""


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """One release at one mirror; *problem* is why it could not be planned."""

    mirror: Mirror
    release: Release
    asked: str = ""
    before: Record | None = None
    charts: tuple[ChartFacts, ...] = ()
    archives: tuple[Chart, ...] = ()
    """Empty where the images come from the record: then nothing is rendered again."""
    images: tuple[ImagePlan, ...] = ()
    artifacts: tuple[ChartPlan, ...] = ()
    """The charts that go into the mirror."""
    problem: str = ""
    is_refused: bool = False
    """The problem is one that a human must decide: somebody else's record."""
    is_mistaken: bool = False
    """The problem is that there is no such release."""
    movements: tuple[str, ...] = ()
    """What its chart repository says otherwise than when it was recorded."""

    @property
    def references(self) -> tuple[str, ...]:
        """Its images and charts, as `--accept` calls them."""
        return (*(image.image.reference for image in self.images), *(chart.reference for chart in self.artifacts))

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know of it: movements, and platforms that images lack."""
        by_platforms: dict[tuple[str, ...], list[str]] = {}
        for image in self.images:
            if image.lacks:
                by_platforms.setdefault(image.lacks, []).append(image.image.reference)
        lacking = (
            f"upstream has no {' and no '.join(platforms)} of {', '.join(references)}"
            for platforms, references in by_platforms.items()
        )
        return (*self.movements, *lacking)


@dataclass(slots=True)
class Surveyor:
    """Sees what is where, for one run; what it has seen upstream it does not ask for again."""

    catalogue: Catalogue
    source: Callable[[Repository], Source]
    """The repository where it really is, aliases applied; raises for a host that only a chart names."""
    mirrors: Sequence[Mirror]
    wanted: Wanted
    signatures: Signatures
    shard: Shard = field(default_factory=Shard)
    accepting: Collection[Reference] = ()
    """What the command line accepts: where nothing of a plan is it, that is told."""
    newest: dict[str, str] = field(default_factory=dict, init=False)
    """By channel, the newest release of the last plan's selection, whoever's share it is."""
    lost: dict[Selector, MirrorError] = field(default_factory=dict, init=False)
    """What the last plan was asked for and cannot tell which releases it is, and why."""
    _upstream: dict[str, asyncio.Task[Digest | Gone | Unknown]] = field(default_factory=dict, init=False)

    async def plan(self, selectors: Sequence[Selector], *, refresh: bool = False) -> tuple[ReleasePlan, ...]:
        """A plan for every release at every mirror, of those in the shard. Writes nothing.

        Of several selectors those that cannot be read are *lost*, and a release that there is not is a plan with that
        problem: the others go on. What is asked for alone, or with nothing that can be read, raises.
        Raises UsageError where no release has what is accepted, if that is known: of all shards, and all releases.

        Of other shards nothing is read: no record, no tag, no chart of a release that none of ours has. A clash is seen
        between the releases of one shard at a mirror. Two shards whose releases bring two digests to one tag see it by
        that tag: who plans later finds it taken, and refuses; of two that copied at once, the next run finds the tag
        changed under one of them, and refuses.
        """
        selected = await self._selected(selectors)
        is_alone = len(selected) + len(self.lost) == 1
        releases = [release for release in selected if self._share(release)]
        channels = list(dict.fromkeys(each.channel for each in selectors if isinstance(each, Newest)))
        ours = [each for each in self.mirrors if any(self.shard.takes(str(release), each.name) for release in releases)]
        told = await gather(*(self._went_back(mirror, channels) for mirror in ours))
        backs = {mirror.name: back for mirror, back in zip(ours, told, strict=True)}
        several = await gather_some(
            (self._plan_release(release, refresh=refresh, is_alone=is_alone) for release in releases),
            at_once=_RELEASES_AT_ONCE,
        )
        plans = [_telling(plan, backs[plan.mirror.name]) for of_release in several for plan in of_release]
        unread = {selector.channel for selector in self.lost}
        there = set(selected) - {plan.release for plan in plans if plan.is_mistaken}
        self.newest = {each.channel: str(each) for each in sorted(there) if each.channel not in unread}
        if releases == list(selected) and not self.lost and not any(plan.problem for plan in plans):
            check_accepted(self.accepting, (reference for plan in plans for reference in plan.references))
        refused = {
            mirror.name: self._clashes([plan for plan in plans if plan.mirror is mirror]) for mirror in self.mirrors
        }
        return tuple(_refusing(plan, refused[plan.mirror.name]) for plan in plans)

    async def _selected(self, selectors: Sequence[Selector]) -> tuple[Release, ...]:
        """What *selectors* ask for, each once, but for those that are *lost*; raises where all are."""
        chosen = dict[Release, None]()
        self.lost.clear()
        for selector in selectors:
            try:
                chosen |= dict.fromkeys(await self.catalogue.select([selector]))
            except MirrorError as exc:
                self.lost[selector] = exc
        if self.lost and not chosen:
            raise next(iter(self.lost.values()))
        return tuple(chosen)

    def lost_at(self, mirror: Mirror) -> Mapping[str, MirrorError]:
        """What is *lost*, where it is ours to tell of it at *mirror*."""
        return {str(each): exc for each, exc in self.lost.items() if self.shard.takes(str(each), mirror.name)}

    def _share(self, release: Release) -> list[Mirror]:
        """The mirrors where *release* is ours to look after."""
        return [mirror for mirror in self.mirrors if self.shard.takes(str(release), mirror.name)]

    async def _went_back(self, mirror: Mirror, channels: Sequence[str]) -> dict[str, str]:
        """By channel, what is to be said of its chart index, beside what *mirror* has recorded."""
        try:
            recorded = await records.recorded(mirror.records) if channels else ()
        except MirrorError:
            return {}  # planning says so, by release
        indexes = self.catalogue.indexes()
        backs = {channel: went_back(indexes[channel], channel, recorded) for channel in channels if channel in indexes}
        for channel, told in backs.items():
            if told:
                log.warning("charts.index_went_back", destination=mirror.name, channel=channel, reason=told)
        return {channel: told for channel, told in backs.items() if told}

    def _moved(self, plan: ReleasePlan, found: Record | MirrorError | None) -> tuple[str, ...]:
        """What is to be said of the charts of *plan*, if its chart index has been read."""
        index = self.catalogue.indexes().get(plan.release.channel)
        if index is None or not isinstance(found, Record):
            return ()
        refused = {chart.facts.name for chart in plan.artifacts if isinstance(chart.action, Refuse)}
        told = moved(index, plan.release, [facts for facts in found.charts if facts.name not in refused])
        for each in told:
            log.warning("charts.moved", destination=plan.mirror.name, release=str(plan.release), reason=each)
        return told

    def _clashes(self, plans: Sequence[ReleasePlan]) -> Mapping[str, str]:
        """Why parts of *plans*, all of one mirror, cannot go where they would, by reference: others go there."""
        places = {Reference.parse(image.image.reference): image.target for plan in plans for image in plan.images}
        seen = {reference: self._upstream[str(reference)].result() for reference in places}
        digests = {reference: digest for reference, digest in seen.items() if isinstance(digest, Digest)}
        charts = refused_clashes([chart for plan in plans for chart in plan.artifacts])
        return {**charts, **{str(reference): why for reference, why in clashes(places, digests).items()}}

    async def _plan_release(self, release: Release, *, refresh: bool, is_alone: bool) -> list[ReleasePlan]:
        mirrors = self._share(release)
        before = await gather(*(self._read_record(mirror, release) for mirror in mirrors))
        parts, problem, is_mistaken = None, "", False
        if refresh or not all(map(self._is_current, mirrors, before)):
            try:
                parts = await self.catalogue.parts(release)
            except UnknownRelease as exc:
                if is_alone:
                    raise
                problem, is_mistaken = str(exc), True
            except UsageError:
                raise
            except MirrorError as exc:
                problem = str(exc)

        async def planned(mirror: Mirror, found: Record | MirrorError | None) -> ReleasePlan:
            if isinstance(found, MirrorError):
                return ReleasePlan(mirror, release, problem=str(found), is_refused=isinstance(found, Refused))
            if parts:
                plan = ReleasePlan(mirror, release, "", found, parts.facts, parts.archives)
                return await self._plan_parts(plan, parts.images, self._reader(release, parts.archives))
            if found is not None and self._is_current(mirror, found) and not refresh:
                held = tuple(recorded.image for recorded in found.images)
                plan = ReleasePlan(mirror, release, "", found, found.charts)
                return await self._plan_parts(plan, held, self._reader(release))
            return ReleasePlan(mirror, release, problem=problem, is_mistaken=is_mistaken)

        plans = await gather(*map(planned, mirrors, before))
        return [replace(plan, movements=self._moved(plan, found)) for plan, found in zip(plans, before, strict=True)]

    async def _read_record(self, mirror: Mirror, release: Release) -> Record | MirrorError | None:
        try:
            return await records.read(mirror.records, str(release), mirror.seal)
        except UsageError:
            raise
        except MirrorError as exc:
            return exc

    def _is_current(self, mirror: Mirror, found: Record | MirrorError | None) -> bool:
        """Whether charts need not be read for *mirror*: its record is whole, or it cannot be planned at all."""
        if found is None or isinstance(found, MirrorError):
            return found is not None
        is_whole = not found.missing and found.proof != "failed"
        return is_whole and found.asked == self.wanted.fingerprint(mirror, self.signatures.asked)

    def _reader(self, release: Release, archives: Sequence[Chart] = ()) -> ReadChart:
        """What reads a chart of *release*, from *archives* if it is there; all that are missing are read once."""
        reading: asyncio.Task[tuple[Chart, ...]] | None = None

        async def read(name: str) -> tuple[Chart, bytes]:
            nonlocal reading
            known = archives
            if not known:
                reading = reading or asyncio.create_task(self.catalogue.charts(release))
                known = await reading
            chart = next((each for each in known if each.name == name), None)
            if chart is None:
                raise ChartError(f"the chart repository no longer has {name} for {release}")
            return chart, await self.catalogue.provenance(release, name)

        return read

    async def _plan_parts(self, plan: ReleasePlan, images: Sequence[Image], read: ReadChart) -> ReleasePlan:
        """*plan* with an action for each of *images*, and for each chart if the mirror holds charts."""
        async with asyncio.TaskGroup() as group:
            of_images = group.create_task(self._plan_images(plan, images))
            of_charts = group.create_task(self._plan_charts(plan, read))
        return replace(of_images.result(), artifacts=of_charts.result())

    async def _plan_charts(self, plan: ReleasePlan, read: ReadChart) -> tuple[ChartPlan, ...]:
        if not plan.mirror.holds_charts:
            return ()
        listed = listed_archives(self.catalogue.indexes().get(plan.release.channel), plan.release)
        rules = Rules(self.wanted.moved_tags, self.wanted.accept)
        planned = (
            plan_chart(
                plan.mirror,
                facts,
                plan.before.artifact(facts.name) if plan.before else None,
                listed=listed.get((facts.name, facts.version), ""),
                read=read,
                rules=rules,
            )
            for facts in plan.charts
        )
        return tuple(await gather(*planned))

    async def _plan_images(self, plan: ReleasePlan, images: Sequence[Image]) -> ReleasePlan:
        """*plan* with an action for each of *images*."""
        asked = self.wanted.fingerprint(plan.mirror, self.signatures.asked)
        references = {image.reference: Reference.parse(image.reference) for image in images}
        places = targets(references.values(), paths=plan.mirror.paths)
        kept = await self._kept(plan)

        async def planned(image: Image) -> ImagePlan:
            reference = references[image.reference]
            recorded = plan.before.image(image.reference) if plan.before else None
            is_known = plan.before is not None and plan.before.asked == asked
            known = recorded if recorded and is_known and self._is_proven(recorded, kept) else None
            async with asyncio.TaskGroup() as group:
                there = group.create_task(self._seen_upstream(reference, known))
                here = group.create_task(self._seen_at(plan.mirror, places[reference]))
            action = decide(
                recorded=recorded.digests if recorded else None,
                upstream=there.result(),
                mirrored=here.result(),
                moved_tags=self.wanted.moved_tags,
                is_first_party=image.is_first_party,
                accepted=self.wanted.accept.get(reference),
            )
            if isinstance(action, Keep) and not action.warning and recorded and self._is_unsettled(recorded):
                action = Adopt(recorded.digests.upstream, action.digest)
            seen = there.result()
            lacks = seen.lacks if isinstance(seen, Found) else recorded.lacks if recorded else ()
            return ImagePlan(image, reference.repository, places[reference], action, recorded, lacks)

        return replace(plan, asked=asked, images=tuple(await gather(*map(planned, images))))

    def _is_unsettled(self, recorded: RecordedImage) -> bool:
        """Whether an image that is in step awaits referrers, or a verdict that the policy of today asks for."""
        awaits = recorded.awaits_referrers and self.wanted.referrers != "off"
        return awaits or not self.signatures.is_settled(recorded)

    async def kept_verdict(self, plan: ReleasePlan, image: ImagePlan) -> Verdict | None:
        """The verdict on *image*, which is kept: the recorded one, if it is what the policy of today asks for.

        Else by the mirror's own evidence, for upstream no longer has it, or cannot be asked; raises Refused where that
        is not enough, WorldError where upstream could have more.
        """
        recorded, action = image.recorded, image.action
        if recorded is None or plan.before is None or self.signatures.is_settled(recorded):
            return recorded.verdict if recorded else None
        kept = await records.kept(plan.mirror.records, plan.before)
        try:
            return await self.signatures.stays(
                recorded, plan.mirror.repository(image.target.path), kept.get(recorded.image.reference, Kept())
            )
        except Refused as exc:
            if isinstance(action, Keep) and not action.is_compared:
                raise WorldError(f"{action.warning}; {exc}") from exc
            raise

    async def _kept(self, plan: ReleasePlan) -> Mapping[str, Kept]:
        """What the record keeps of upstream's indexes; asked for where a filter's yield must be proven by it."""
        if plan.before is None or not self.wanted.platforms or self.signatures.policy == "off":
            return {}
        try:
            return await records.kept(plan.mirror.records, plan.before)
        except MirrorError:
            return {}  # upstream is read instead

    def _is_proven(self, recorded: RecordedImage, kept: Mapping[str, Kept]) -> bool:
        """Whether the platform filter makes of upstream's index what *recorded* says: a record is taken at no word.

        What is recorded of unsigned images is, as all of their record.
        """
        digests, platforms = recorded.digests, self.wanted.platforms
        if not platforms or self.signatures.policy == "off" or digests.upstream == digests.mirrored:
            return True
        raw = kept.get(recorded.image.reference, Kept()).upstream_index
        if Digest.of(raw, digests.upstream.algorithm) != digests.upstream:
            return False
        try:
            index = Manifest.parse(raw, where="a record", algorithm=digests.upstream.algorithm)
            return restricted(index, platforms, where="a record").digest == digests.mirrored
        except ManifestError:
            return False

    async def _seen_upstream(self, reference: Reference, known: RecordedImage | None) -> Upstream:
        key = str(reference)
        if key not in self._upstream:
            self._upstream[key] = asyncio.create_task(self._ask_upstream(reference))
        match await self._upstream[key]:
            case Digest() as digest:
                return await self._found(reference, digest, known)
            case absent:
                return absent

    async def _ask_upstream(self, reference: Reference) -> Digest | Gone | Unknown:
        try:
            return await self.source(reference.repository).head(reference.version) or Gone()
        except UsageError:  # a password_file that cannot be read
            raise
        except MirrorError as exc:
            return Unknown(str(exc))

    async def _found(self, reference: Reference, digest: Digest, known: RecordedImage | None) -> Upstream:
        platforms = self.wanted.platforms
        if not platforms:
            return Found(digest, digest)
        if known is not None and known.digests.upstream == digest:  # recorded under the same filter: no need to read it
            return Found(digest, known.digests.mirrored, known.lacks)
        try:
            source = self.source(reference.repository)
            index = await source.manifest(digest)
            yields = restricted(index, platforms, where=str(reference)).digest
            return Found(digest, yields, _lacking(index, platforms))
        except ManifestError as exc:
            return Unfit(str(exc))
        except MirrorError as exc:
            return Unknown(str(exc))

    async def _seen_at(self, mirror: Mirror, target: Target) -> Mirrored:
        try:
            return await mirror.repository(target.path).head(target.tag) or Gone()
        except MirrorError as exc:
            return Unknown(str(exc))

    async def _foreseen(self, plan: ReleasePlan, image: ImagePlan) -> ImagePlan:
        """*image* as a sync would find it once it looks at its signature."""
        if self.signatures.policy == "off":
            return image
        try:
            match image.action:
                case Keep():
                    await self.kept_verdict(plan, image)
                case Adopt(upstream) | Copy(upstream):
                    source = self.source(image.source)
                    found = await referrers_of(source, upstream)
                    await self.signatures.admitted(Reference.parse(image.image.reference), upstream, found, source)
        except Refused as exc:
            return replace(image, action=Refuse(str(exc), cause="signature"))
        except MirrorError as exc:
            return replace(image, action=Fail(str(exc)))
        return image

    async def estimate(self, plans: Sequence[ReleasePlan]) -> PlanReport:
        """*plans* as a report, with the bytes that a sync would send: what no repository it writes to holds."""
        plans = await gather(*map(self._foreseen_all, plans))
        sizes = await gather(*(self._missing_blobs(plan, image) for plan in plans for image in plan.images))
        shared = dict[tuple[str, Digest], int]()
        stored = dict[tuple[str, str, Digest], int]()
        rows = list[PlannedImage]()
        for (plan, image), missing in zip(((p, i) for p in plans for i in p.images), sizes, strict=True):
            shared |= {(plan.mirror.name, digest): size for digest, size in missing.items()}
            path = "" if plan.mirror.stores_once else image.target.path
            stored |= {(plan.mirror.name, path, digest): size for digest, size in missing.items()}
            rows.append(
                PlannedImage(
                    destination=plan.mirror.name,
                    release=str(plan.release),
                    reference=image.image.reference,
                    target=plan.mirror.target(image.target),
                    action=image.action,
                    size=sum(missing.values()),
                )
            )
        for plan, chart in ((p, c) for p in plans for c in p.artifacts):
            blobs = _to_send(chart)
            shared |= {(plan.mirror.name, digest): size for digest, size in blobs.items()}
            path = "" if plan.mirror.stores_once else chart.target.path
            stored |= {(plan.mirror.name, path, digest): size for digest, size in blobs.items()}
            rows.append(
                PlannedImage(
                    destination=plan.mirror.name,
                    release=str(plan.release),
                    reference=chart.reference,
                    target=plan.mirror.target(chart.target),
                    action=chart.action,
                    size=sum(blobs.values()),
                    kind="chart",
                )
            )
        storage = {mirror.name: 0 for mirror in self.mirrors}
        for (name, _, _), size in stored.items():
            storage[name] += size
        lost = [(mirror, asked, exc) for mirror in self.mirrors for asked, exc in self.lost_at(mirror).items()]
        problems = [f"{plan.release} at {plan.mirror.place}: {plan.problem}" for plan in plans if plan.problem]
        problems += [f"{asked} at {mirror.place}: {exc}" for mirror, asked, exc in lost]
        notes = [f"{plan.release} at {plan.mirror.place}: {note}" for plan in plans for note in plan.notes]
        for told, problem in await gather(
            *(self._told(mirror, plans, storage[mirror.name]) for mirror in self.mirrors)
        ):
            notes += told
            problems += problem
        is_refused = any(plan.is_refused for plan in plans)
        is_mistaken = any(plan.is_mistaken for plan in plans) or any(isinstance(exc, UsageError) for *_, exc in lost)
        sent = sum(shared.values())
        return PlanReport(
            tuple(rows), tuple(problems), sent, tuple(notes), storage, is_refused, is_mistaken, self.shard
        )

    async def _told(
        self, mirror: Mirror, plans: Sequence[ReleasePlan], size: int
    ) -> tuple[Sequence[str], Sequence[str]]:
        """Notes and problems of what the provider of *mirror* says, before *size* bytes more are stored there."""
        here = [plan for plan in plans if plan.mirror is mirror]
        places = [part.target for plan in here for part in plan.images]
        places += [chart.target for plan in here for chart in plan.artifacts]
        paths = {mirror.path(place.path) for place in places}
        if not paths:
            return (), ()
        try:
            told = await mirror.provider.survey({*paths, mirror.path(RECORD_NAME)}, size)
        except MirrorError as exc:
            return (), [f"{mirror.place}: {exc}"]
        return [f"{mirror.place}: {note}" for note in told], ()

    async def _foreseen_all(self, plan: ReleasePlan) -> ReleasePlan:
        return replace(plan, images=tuple(await gather(*(self._foreseen(plan, each) for each in plan.images))))

    async def _missing_blobs(self, plan: ReleasePlan, image: ImagePlan) -> Mapping[Digest, int]:
        if not isinstance(image.action, Copy):
            return {}
        try:
            graph = await self.graph(image.source, image.action.upstream)
            destination = plan.mirror.repository(image.target.path)
            held = await gather(*(destination.has_blob(blob) for blob in graph.blobs))
        except MirrorError as exc:
            log.warning("plan.size_unknown", reference=image.image.reference, reason=str(exc))
            return {}
        return {blob.digest: blob.size for blob, is_held in zip(graph.blobs, held, strict=True) if not is_held}

    async def graph(self, repository: Repository, upstream: Digest) -> Graph:
        """What a copy of *upstream* would hold: the platforms that are wanted."""
        source = self.source(repository)
        root = restricted(await source.manifest(upstream), self.wanted.platforms, where=source.name)
        return await read_graph(source, root)


def _to_send(chart: ChartPlan) -> Mapping[Digest, int]:
    """The sizes of what a copy of *chart* would send; all of it, since its repository is its own."""
    if chart.artifact is None or not isinstance(chart.action, Copy):
        return {}
    return {digest: len(data) for digest, data in chart.artifact.blobs.items()}


def _refusing(plan: ReleasePlan, refused: Mapping[str, str]) -> ReleasePlan:
    """*plan* with those of its images and charts refused that *refused* has a reason for."""
    reasons = [refused.get(str(Reference.parse(image.image.reference))) for image in plan.images]
    return replace(
        plan,
        images=tuple(
            replace(image, action=Refuse(why, cause="clash")) if why else image
            for image, why in zip(plan.images, reasons, strict=True)
        ),
        artifacts=tuple(
            replace(chart, action=Refuse(why, cause="clash")) if (why := refused.get(chart.reference)) else chart
            for chart in plan.artifacts
        ),
    )


def _telling(plan: ReleasePlan, backs: Mapping[str, str]) -> ReleasePlan:
    """*plan* with what *backs* has to say of its channel."""
    told = backs.get(plan.release.channel)
    return replace(plan, movements=(told, *plan.movements)) if told else plan


def _lacking(index: Manifest, platforms: Sequence[Platform]) -> tuple[str, ...]:
    """Those of *platforms* of which *index* has no image; what is no index does not say what it is for."""
    present = [child.platform for child in index.children if child.platform]
    return tuple(str(each) for each in platforms if index.is_index and not any(map(each.covers, present)))
