"""Charts read from a mirror, where the chart repository does not answer: an air gap, or a bad day of its host.

They are held to the archives that the record names, and the record is a claim: whoever proves values by them is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from mirror import record as records
from mirror.destinations.mirror import Mirror
from mirror.errors import ChartError, MirrorError, UsageError
from mirror.linkerd.artifact import PROVENANCE_TYPE, archive_of
from mirror.linkerd.parts import Chart, ChartFacts
from mirror.linkerd.release import Release
from mirror.oci.copy import read_small
from mirror.oci.manifest import Manifest
from mirror.oci.storage import Source
from mirror.record import Record
from mirror.tasks import gather


class Library(Protocol):
    """Where the charts of a release come from."""

    async def charts(self, release: Release) -> tuple[Chart, ...]: ...


async def charts_of(release: Release, library: Library, mirrors: Sequence[Mirror]) -> tuple[tuple[Chart, ...], str]:
    """The charts of *release*; where its chart repository does not answer, those of the first mirror that holds them.

    Then the text says so. Raises what the chart repository's failure was where no mirror has them all.
    """
    try:
        return await library.charts(release), ""
    except UsageError:
        raise
    except MirrorError as exc:
        for mirror in mirrors:
            if charts := await _held(mirror, release):
                note = f"the charts are those that {mirror.place} holds, as its record has them: {exc}"
                return charts, note
        raise


async def _held(mirror: Mirror, release: Release) -> tuple[Chart, ...]:
    """The charts of *release* that *mirror* holds; none where it does not hold them all."""
    try:
        record = await records.read(mirror.records, str(release), mirror.seal)
        if record is None or not all(record.artifact(chart.name) for chart in record.charts):
            return ()
        return await charts_at(mirror.repository, record)
    except UsageError:
        raise
    except MirrorError:  # what is to be said of it is what the chart repository answered
        return ()


async def charts_at(open_path: Callable[[str], Source], record: Record) -> tuple[Chart, ...]:
    """The charts of *record*, which are all held as it says, each held to the archive that is recorded."""

    async def pulled(facts: ChartFacts) -> Chart:
        from mirror.linkerd.chart import ARCHIVE_SIZE_MAX, read_archive  # late, with all that reads YAML

        place, manifest = await _artifact(open_path, record, facts.name)
        archive = archive_of(manifest)
        layer = next((blob for blob in manifest.blobs if blob.digest == archive), None)
        if layer is None:
            raise ChartError(f"{place.name}@{manifest.digest} is not a chart")
        data = await read_small(place, layer, bound=ARCHIVE_SIZE_MAX)
        return read_archive(data, name=facts.name, version=facts.version, sha256=facts.sha256, where=place.name)

    return tuple(await gather(*map(pulled, record.charts)))


async def provenance_at(open_path: Callable[[str], Source], record: Record, chart: str) -> bytes:
    """The provenance file that lies beside *chart* of *record*; empty where there is none."""
    from mirror.linkerd.chart import PROVENANCE_SIZE_MAX  # late, likewise

    place, manifest = await _artifact(open_path, record, chart)
    layer = next((blob for blob in manifest.blobs if blob.media_type == PROVENANCE_TYPE), None)
    return await read_small(place, layer, bound=PROVENANCE_SIZE_MAX) if layer else b""


async def _artifact(open_path: Callable[[str], Source], record: Record, chart: str) -> tuple[Source, Manifest]:
    held = record.artifact(chart)
    assert held is not None, chart  # noqa: S101 - whoever asks has looked
    place = open_path(held.target.path)
    return place, await place.manifest(held.digests.mirrored)
