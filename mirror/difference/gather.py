"""Gathers the sides that are compared: a release as upstream has it, or as a mirror has recorded it.

    charts ─► images ─► indexes and manifests upstream ─┐
                                                        ├─► found.py
    record ─► manifests in the mirror ──────────────────┘

An image that cannot be read is told, and the rest is compared. Writes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from mirror import record as records
from mirror.destinations.mirror import Mirror
from mirror.difference.found import Difference, Shape, Side, difference
from mirror.errors import MirrorError, UsageError
from mirror.linkerd.catalogue import ChartCatalogue
from mirror.linkerd.images import release_images
from mirror.linkerd.movements import moved
from mirror.linkerd.release import Release
from mirror.oci.content import Digest
from mirror.oci.copy import read_graph
from mirror.oci.reference import Reference, Repository
from mirror.oci.storage import Source
from mirror.record import Record, RecordedImage
from mirror.tasks import gather_some

_AT_ONCE = 16

OpenSource = Callable[[Repository], Source]
"""A repository where it really is."""


async def of_upstream(catalogue: ChartCatalogue, source: OpenSource, releases: Sequence[Release]) -> Difference:
    """What differs between two releases as upstream has them, images and values."""
    sides, notes = list[Side](), list[str]()
    for release in releases:
        charts = await catalogue.charts(release)
        images = await asyncio.to_thread(release_images, charts)
        shapes, problems = await _upstream(source, [image.reference for image in images])
        sides.append(Side(str(release), _by_repository(shapes), {chart.name: chart.values for chart in charts}))
        notes += problems
    return difference(*sides, notes=notes)


async def of_mirror(mirror: Mirror, releases: Sequence[Release]) -> Difference:
    """What differs between two releases as *mirror* has recorded them: images alone, and no upstream is needed."""
    sides, notes = list[Side](), ["values are not compared: a mirror's record has none"]
    for release in releases:
        record = await _record(mirror, release)
        shapes, problems = await _mirrored(mirror, record)
        sides.append(Side(f"{release} at {mirror.name}", _by_repository(shapes)))
        notes += problems
    return difference(*sides, notes=notes)


async def of_both(catalogue: ChartCatalogue, source: OpenSource, mirror: Mirror, release: Release) -> Difference:
    """What differs between upstream and *mirror* for one release: images at their tags, and the charts' archives."""
    record = await _record(mirror, release)
    named = [image.image.reference for image in record.images] + [missing.reference for missing in record.missing]
    shapes, problems = await _upstream(source, named)
    held, more = await _at_tags(mirror, record)
    charts = moved(await catalogue.index(release.channel), release, record.charts)
    return difference(
        Side(f"{release} upstream", {shape.reference: shape for shape in shapes}),
        Side(f"{release} at {mirror.name}", {shape.reference: shape for shape in held}),
        charts=charts,
        notes=[*problems, *more],
    )


async def _record(mirror: Mirror, release: Release) -> Record:
    record = await records.read(mirror.records, str(release), mirror.seal)
    if record is None:
        raise UsageError(f"{mirror.place} has no record of {release}: run `mirror sync {release}` first")
    return record


async def _upstream(source: OpenSource, references: Sequence[str]) -> tuple[list[Shape], list[str]]:
    """The images that charts call *references*, and a sentence for each that cannot be read."""
    problems = list[str]()

    async def look(reference: str) -> Shape:
        parsed = Reference.parse(reference)
        try:
            return await _shape(source(parsed.repository), parsed.version, reference)
        except MirrorError as exc:
            problems.append(str(exc))
            return Shape(reference, None)

    return await gather_some(map(look, references), at_once=_AT_ONCE), problems


async def _mirrored(mirror: Mirror, record: Record) -> tuple[list[Shape], list[str]]:
    """The images of *record*, by the digests that are recorded."""
    return await _held(mirror, record, lambda image: image.digests.mirrored)


async def _at_tags(mirror: Mirror, record: Record) -> tuple[list[Shape], list[str]]:
    """The images of *record*, as their tags name them now."""
    return await _held(mirror, record, lambda image: image.target.tag)


async def _held(
    mirror: Mirror, record: Record, version: Callable[[RecordedImage], str | Digest]
) -> tuple[list[Shape], list[str]]:
    problems = list[str]()

    async def look(image: RecordedImage) -> Shape:
        name = image.image.reference
        try:
            shape = await _shape(mirror.repository(image.target.path), version(image), name)
        except MirrorError as exc:
            problems.append(str(exc))
            return Shape(name, None)
        is_recorded = shape.digest == image.digests.mirrored
        return replace(shape, made_of=image.digests.upstream if is_recorded else None)

    return await gather_some(map(look, record.images), at_once=_AT_ONCE), problems


async def _shape(source: Source, version: str | Digest, reference: str) -> Shape:
    graph = await read_graph(source, await source.manifest(version))
    named = (child.platform for child in graph.root.children)
    platforms = sorted({str(platform) for platform in named if platform and platform.os != "unknown"})
    return Shape(
        reference, graph.root.digest, platforms=tuple(platforms), blobs={blob.digest: blob.size for blob in graph.blobs}
    )


def _by_repository(shapes: Sequence[Shape]) -> dict[str, Shape]:
    """*shapes* by their repository; by the whole reference where a release has several of it."""
    repositories = Counter(str(Reference.parse(shape.reference).repository) for shape in shapes)
    return {
        name if repositories[name] == 1 else shape.reference: shape
        for shape in shapes
        for name in [str(Reference.parse(shape.reference).repository)]
    }
