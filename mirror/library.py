"""Charts read from a mirror, where the chart repository does not answer: an air gap, or a bad day of its host.

They are held to the archives that the record names, and the record is a claim: whoever proves values by them is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mirror import record as records
from mirror.destinations.mirror import Mirror
from mirror.errors import ChartError, MirrorError, UsageError
from mirror.linkerd.artifact import archive_of
from mirror.linkerd.parts import Chart, ChartFacts
from mirror.linkerd.release import Release
from mirror.oci.copy import read_small
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
        return tuple(await gather(*(_pulled(mirror, record, chart) for chart in record.charts)))
    except UsageError:
        raise
    except MirrorError:  # what is to be said of it is what the chart repository answered
        return ()


async def _pulled(mirror: Mirror, record: Record, facts: ChartFacts) -> Chart:
    """The chart of *facts* from *mirror*, held to the archive that is recorded."""
    from mirror.linkerd.chart import ARCHIVE_SIZE_MAX, read_archive  # late, with all that reads YAML

    held = record.artifact(facts.name)
    assert held is not None, facts  # noqa: S101 - whoever asks has looked
    place = mirror.repository(held.target.path)
    manifest = await place.manifest(held.digests.mirrored)
    archive = archive_of(manifest)
    layer = next((blob for blob in manifest.blobs if blob.digest == archive), None)
    where = mirror.target(held.target)
    if layer is None:
        raise ChartError(f"{where} is not a chart")
    data = await read_small(place, layer, bound=ARCHIVE_SIZE_MAX)
    return read_archive(data, name=facts.name, version=facts.version, sha256=facts.sha256, where=where)
