"""Across an air gap: releases go into one file, and out of it into a mirror that never needs upstream.

    the mirror that holds them ─► Cargo ─┐                              ┌─► checked as a whole ─► plan ─► refused, or
    upstream ────────────────────────────┴─► Pack ─► FILE ═══► Archive ─┴─► Cargo ─► sync: copy, record, values

Both ways are the engine's own: a `Cargo` is the catalogue and the source of what a place holds by its records, so that
a `Surveyor` plans from it and a `Syncer` brings it, as from upstream. A record is a claim here too: digests are read
back, graphs are walked, and signatures are judged by the local policy, on both sides.

What the other side holds is told by its own `mirror verify -o json`; blobs that are there already are left out, and an
import looks before it writes that the mirror holds them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import structlog

from mirror import record as records
from mirror.destinations.mirror import Mirror
from mirror.errors import ArchiveError, BadReference, ManifestError, MirrorError, Refused, UsageError
from mirror.inventory import Surveyor, Wanted
from mirror.library import charts_at, provenance_at
from mirror.linkerd.parts import Chart, Parts
from mirror.linkerd.release import Release, Selector
from mirror.oci.archive import Archive
from mirror.oci.content import Descriptor, Digest, Platform
from mirror.oci.copy import Graph, read_graph
from mirror.oci.manifest import Manifest, restricted
from mirror.oci.pack import Pack
from mirror.oci.reference import Reference, Repository
from mirror.oci.referrers import COSIGN_SUFFIXES
from mirror.oci.remembering import Remembering
from mirror.oci.storage import Source
from mirror.oci.through import Through
from mirror.plan import RECORD_NAME, check_accepted, targets
from mirror.record import Kept, Record, RecordedChart, RecordedImage
from mirror.report import ExportReport, PlanReport, SyncReport
from mirror.signatures import Signatures
from mirror.sync import Move, Progress, Syncer
from mirror.tasks import gather
from mirror.trust.seal import Seal

if TYPE_CHECKING:
    from mirror.linkerd.chart import ChartIndex
    from mirror.linkerd.path import Hop

UPSTREAM = "upstream"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Cargo:
    """Releases as *place* holds them, by their records: a Catalogue, and the source of their images."""

    place: str
    open: Callable[[str], Source]
    """The repository that a record calls so."""
    releases: Mapping[Release, Record]
    kept: Mapping[str, Kept]
    """By reference, what the records keep because a registry does not take it."""

    @classmethod
    async def of(cls, place: str, open_path: Callable[[str], Source], releases: Iterable[Release], seal: Seal) -> Self:
        """Those of *releases* that *place* holds as a whole; the others are not in it."""
        found, kept = dict[Release, Record](), dict[str, Kept]()
        recorded = open_path(RECORD_NAME)
        for release in releases:
            record = await records.read(recorded, str(release), seal)
            if record is not None and not record.missing:
                found[release] = record
                kept |= await records.kept(recorded, record)
        return cls(place, open_path, found, kept)

    @property
    def images(self) -> tuple[RecordedImage, ...]:
        """Of all releases."""
        return tuple(image for record in self.releases.values() for image in record.images)

    @property
    def artifacts(self) -> tuple[RecordedChart, ...]:
        """The charts of all releases that are held."""
        return tuple(chart for record in self.releases.values() for chart in record.artifacts)

    async def select(self, selectors: Sequence[Selector]) -> tuple[Release, ...]:
        """See Catalogue; all of it, whatever is asked for."""
        del selectors
        return tuple(self.releases)

    @property
    def has_charts(self) -> bool:
        """Whether the charts of every release are held too."""
        return all(record.artifact(chart.name) for record in self.releases.values() for chart in record.charts)

    async def parts(self, release: Release) -> Parts:
        """See Catalogue; as recorded, with the charts themselves where they are held."""
        record = self.releases[release]
        charts = await self.charts(release) if self.has_charts else ()
        return Parts(record.charts, tuple(image.image for image in record.images), charts)

    async def charts(self, release: Release) -> tuple[Chart, ...]:
        """See Catalogue; where they are held."""
        return await charts_at(self.open, self.releases[release])

    async def provenance(self, release: Release, chart: str) -> bytes:
        """See Catalogue; where charts are held."""
        return await provenance_at(self.open, self.releases[release], chart)

    async def paths(self, start: Selector, selectors: Sequence[Selector]) -> tuple[tuple[Hop, ...], ...]:
        """See Catalogue; none."""
        del start, selectors
        return ()

    def indexes(self) -> Mapping[str, ChartIndex]:
        """See Catalogue; none."""
        return {}

    def source(self, repository: Repository) -> Source:
        """Where the images of *repository*, as charts name it, are held: as they were upstream."""
        here = [image for image in self.images if Reference.parse(image.image.reference).repository == repository]
        held = self.open(here[0].target.path)
        kept = [self.kept.get(image.image.reference, Kept()) for image in here]
        indexes, signatures = list[Manifest](), [one.manifest for each in kept for one in each.signatures]
        for image, each in zip(here, kept, strict=True):
            upstream = image.digests.upstream
            if each.upstream_index and Digest.of(each.upstream_index, upstream.algorithm) == upstream:
                indexes.append(Manifest.parse(each.upstream_index, where=held.name, algorithm=upstream.algorithm))
        return _AsUpstream(
            Remembering(
                held, {digest: data for each in kept for one in each.signatures for digest, data in one.blobs.items()}
            ),
            {image.digests.mirrored: image.digests.upstream for image in here},
            {manifest.digest: manifest for manifest in (*indexes, *signatures)},
        )

    async def problems(self) -> tuple[str, ...]:
        """A sentence for each tag that does not name what was recorded."""

        async def problem(held: RecordedImage | RecordedChart) -> str:
            named, recorded = await self.open(held.target.path).head(held.target.tag), held.digests.mirrored
            return "" if named == recorded else f"{held.target} names {named or 'nothing'}, {recorded} was recorded"

        held = [*map(problem, self.images), *map(problem, self.artifacts)]
        return tuple(filter(None, await gather(*held)))

    async def platforms(self, wanted: tuple[Platform, ...]) -> tuple[Platform, ...]:
        """The platform filter that makes of upstream's indexes what is held: *wanted*, if that does."""
        filtered = [image for image in self.images if image.digests.upstream != image.digests.mirrored]
        if not filtered:
            return wanted
        whole = [await self._upstream(image) for image in self.images]
        if wanted and all(
            _yields(index, wanted, image.digests.mirrored) for index, image in zip(whole, self.images, strict=True)
        ):
            return wanted
        parts = await gather(*(self.open(each.target.path).manifest(each.digests.mirrored) for each in self.images))
        held = {child.platform for part in parts for child in part.children if child.platform}
        return tuple(sorted((each for each in held if each.os != "unknown"), key=str))

    async def _upstream(self, image: RecordedImage) -> Manifest:
        return await self.source(Reference.parse(image.image.reference).repository).manifest(image.digests.upstream)


def _yields(index: Manifest, platforms: tuple[Platform, ...], mirrored: Digest) -> bool:
    try:
        return restricted(index, platforms, where="a record").digest == mirrored
    except ManifestError:
        return False


@dataclass(frozen=True, slots=True)
class _AsUpstream(Through):
    """What *source* holds of one repository, with what its records keep, as it was upstream; a Source."""

    upstream: Mapping[Digest, Digest]
    """By the digest that is held, the one that it was made of."""
    known: Mapping[Digest, Manifest]
    """Indexes of which a part is held, and signatures that a registry did not take."""

    async def head(self, version: str | Digest) -> Digest | None:
        if isinstance(version, Digest) and version in self.known:
            return version
        found = await self.source.head(version)
        return found if found is None or isinstance(version, Digest) else self.upstream.get(found, found)

    async def manifest(self, version: str | Digest) -> Manifest:
        known = self.known.get(version) if isinstance(version, Digest) else None
        return known or await self.source.manifest(version)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        kept = {each.digest: each.descriptor for each in self.known.values() if each.subject == subject}
        listed = {each.digest: each for each in await self.source.referrers(subject)}
        return tuple((kept | listed).values())


@dataclass(slots=True)
class Exporter:
    """Packs releases: from the one mirror of *surveyor* where that holds them, else as a sync would bring them."""

    surveyor: Surveyor
    progress: Progress
    """Of the looking; what is written tells its own."""

    async def pack(self, selectors: Sequence[Selector], pack: Pack) -> ExportReport:
        """*pack* has every release that *selectors* ask for, or the report says why not."""
        [near] = self.surveyor.mirrors
        releases = await self.surveyor.catalogue.select(selectors)
        cargo = await Cargo.of(near.place, near.repository, releases, near.seal)
        if problems := await cargo.problems():
            raise Refused(f"{near.place} is not what was recorded: {'; '.join(problems)}; run mirror sync")
        archive = Mirror(
            "archive",
            pack.where,
            ":",
            "",
            near.paths,
            "",
            pack.repository,
            seal=near.seal,
            holds_charts=near.holds_charts,
            stores_once=True,
        )
        wanted = replace(self.surveyor.wanted, overrides_directory=None)
        held = replace(wanted, platforms=await cargo.platforms(wanted.platforms))
        as_held = replace(archive, holds_charts=cargo.has_charts)
        absent = [release for release in releases if release not in cargo.releases]
        done = list[SyncReport]()
        for several, catalogue, source, place, wishes in (
            (list(cargo.releases), cargo, cargo.source, as_held, held),
            (absent, self.surveyor.catalogue, self.surveyor.source, archive, wanted),
        ):
            if several:
                surveyor = Surveyor(catalogue, _noting(pack, source), [place], wishes, self.surveyor.signatures)
                done.append(await Syncer(surveyor, None, self.progress).sync(several))
        reports = tuple(report for each in done for report in each.releases)
        if not any(report.problem for report in reports):
            check_accepted(self.surveyor.accepting, (part.reference for report in reports for part in report.parts))
        return ExportReport(
            pack.where,
            {str(release): near.place if release in cargo.releases else UPSTREAM for release in releases},
            reports,
        )

    async def held_there(self, pack: Pack, images: Collection[tuple[Reference, Digest]]) -> Mapping[str, set[Digest]]:
        """By the name of a repository in *pack*, the blobs of *images*, which the other side holds.

        What can be read neither here nor upstream counts as not held: then more is sent.
        """
        [near] = self.surveyor.mirrors
        places = targets([reference for reference, _ in images], paths=near.paths)
        needed = {name for names in pack.needed.values() for name in names}
        held = {name: set[Digest]() for name in needed}

        async def add(reference: Reference, digest: Digest) -> None:
            path = places[reference].path
            for source in (near.repository(path), self.surveyor.source(reference.repository)):
                try:
                    graph = await read_graph(source, await source.manifest(digest))
                except MirrorError as exc:
                    log.debug("export.not_compared", where=source.name, digest=str(digest), reason=str(exc))
                else:
                    held[path] |= {blob.digest for blob in graph.blobs}
                    return

        await gather(*(add(each, digest) for each, digest in images if places[each].path in needed))
        return held


def _noting(pack: Pack, source: Callable[[Repository], Source]) -> Callable[[Repository], Source]:
    return lambda repository: pack.noting(source(repository))


def held_images(text: str, *, where: str) -> tuple[tuple[Reference, Digest], ...]:
    """The images that `mirror verify -o json` has found as they were recorded, at one destination.

    Raises UsageError, naming *where* the text is from, for anything else.
    """
    try:
        document = json.loads(text)
        entries = [(each["destination"], image) for each in document["releases"] for image in each["images"]]
        images = [
            (Reference.parse(image["reference"]), Digest.parse(image["digest"]))
            for _, image in entries
            if image["outcome"] == "in_step"
        ]
    except (ValueError, KeyError, TypeError, AttributeError, BadReference, RecursionError) as exc:
        raise UsageError(
            f"{where} does not say what the other side holds: --since takes what `mirror verify --to DEST -o json` "
            "prints there"
        ) from exc
    if len(names := {name for name, _ in entries}) > 1:
        raise UsageError(f"{where} tells of several destinations ({', '.join(sorted(names))}): verify one, with --to")
    return tuple(dict.fromkeys(images))


@dataclass(slots=True)
class Importer:
    """Brings what is in *archive* into *mirror*, once all of it is sound; upstream is not asked."""

    archive: Archive
    mirror: Mirror
    wanted: Wanted
    signatures: Signatures
    helm: str | None
    progress: Progress
    accepting: Collection[Reference] = ()
    """See Surveyor."""

    async def plan(self) -> tuple[Surveyor, PlanReport]:
        """The archive is checked, and it is known what is to be done with each image. Writes nothing.

        Raises ArchiveError for an archive that is cut off, altered, or not enough for what the mirror holds.
        """
        name = self.archive.where
        move = Move(name)
        self.progress.image_started(move, self.archive.size)
        await self.archive.check(lambda count: self.progress.advanced(move, count))
        self.progress.image_finished(move, "checked")
        graphs = await self.archive.graphs()
        cargo = await Cargo.of(name, self.archive.repository, _releases(self.archive), self.mirror.seal)
        if problems := await cargo.problems():
            raise ArchiveError(f"{name}: it is not what its record says: {'; '.join(problems)}")
        if strange := sorted(self.archive.names.keys() - _accounted(cargo)):
            raise ArchiveError(f"{name}: {strange[0]} in it belongs to no image of its releases: it was altered")
        await self._complete(cargo, graphs)
        wanted = replace(self.wanted, platforms=await cargo.platforms(self.wanted.platforms))
        mirror = replace(self.mirror, holds_charts=self.mirror.holds_charts and cargo.has_charts)
        surveyor = Surveyor(cargo, cargo.source, [mirror], wanted, self.signatures, accepting=self.accepting)
        return surveyor, await surveyor.estimate(await surveyor.plan(tuple(cargo.releases)))

    async def bring(self) -> SyncReport | PlanReport:
        """The mirror is in step with the archive; the plan, and nothing was written, where any of it is refused."""
        surveyor, planned = await self.plan()
        if planned.exit_code in (1, 3):
            return planned
        return await Syncer(surveyor, self.helm, self.progress).sync(await surveyor.catalogue.select(()))

    async def _complete(self, cargo: Cargo, graphs: Mapping[str, Graph]) -> None:
        """Raises ArchiveError unless the mirror holds, where they are needed, all blobs that the archive lacks."""
        places = targets([Reference.parse(image.image.reference) for image in cargo.images], paths=self.mirror.paths)
        paths = {RECORD_NAME: RECORD_NAME} | {chart.target.path: chart.target.path for chart in cargo.artifacts}
        paths |= {image.target.path: places[Reference.parse(image.image.reference)].path for image in cargo.images}
        lacking = {
            (paths[name.rpartition(":")[0]], blob)
            for name, graph in graphs.items()
            for blob in graph.blobs
            if not self.archive.holds(blob.digest)
        }

        async def problem(path: str, blob: Descriptor) -> str:
            repository = self.mirror.repository(path)
            return "" if await repository.has_blob(blob) else f"{repository.name} does not hold {blob.digest}"

        if problems := [told for told in await gather(*(problem(*each) for each in lacking)) if told]:
            raise ArchiveError(
                f"{self.archive.where} was exported --since what another mirror held: {len(problems)} blobs are in "
                f"neither, {min(problems)}; export it without --since, or since what this one holds"
            )


def _releases(archive: Archive) -> tuple[Release, ...]:
    """Those that *archive* has a record of; raises ArchiveError where it has none."""
    prefix = f"{RECORD_NAME}:"
    try:
        found = tuple(Release.parse(name.removeprefix(prefix)) for name in archive.names if name.startswith(prefix))
    except UsageError as exc:
        raise ArchiveError(f"{archive.where}: {exc}: it was altered") from exc
    if not found:
        raise ArchiveError(f"{archive.where} has no record of a release: mirror export did not write it")
    return found


def _accounted(cargo: Cargo) -> set[str]:
    """The names that an archive of *cargo* has: records, charts, images, and what refers to those."""
    names = {f"{RECORD_NAME}:{release}" for release in cargo.releases}
    names |= {str(image.target) for image in cargo.images} | {str(chart.target) for chart in cargo.artifacts}
    return names | {
        f"{image.target.path}:{image.digests.upstream.fallback_tag(suffix)}"
        for image in cargo.images
        for suffix in ("", *COSIGN_SUFFIXES)
    }
