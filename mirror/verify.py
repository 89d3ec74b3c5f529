"""Holds what mirrors have recorded to its promises again; never needs upstream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mirror import record as records
from mirror.destinations.mirror import Mirror
from mirror.errors import MirrorError, Refused
from mirror.linkerd.artifact import archive_of
from mirror.linkerd.release import Newest, Release
from mirror.oci.verify import walk
from mirror.record import Kept, Record, RecordedChart, RecordedImage
from mirror.report import VerifiedImage, VerifiedRelease, VerifyReport
from mirror.signatures import Signatures
from mirror.tasks import gather, gather_some

_RELEASES_AT_ONCE = 4  # where it is round trips that are waited for; a deep verification of one reads all it can


async def verify(
    mirrors: Sequence[Mirror],
    releases: Sequence[Release | Newest],
    signatures: Signatures,
    *,
    deep: bool = False,
    on_image: Callable[[VerifiedImage], None] = lambda _image: None,
) -> VerifyReport:
    """Holds what *mirrors* have recorded to its promises again; every recorded release where none is asked for.

    A mirror that has no record has failed, and is no wrong input: it may have been emptied, which this is to tell.
    *on_image* is told of each image when it has been looked at.
    """

    async def of(mirror: Mirror) -> list[VerifiedRelease]:
        try:
            asked = await records.asked_for(mirror.records, releases) or await records.recorded(mirror.records)
        except MirrorError as exc:
            return [VerifiedRelease(mirror.name, "", problem=str(exc))]
        if not asked:  # no proof of anything: a mistyped prefix is empty too
            reason = f"nothing is recorded at {mirror.place}: run mirror sync first"
            return [VerifiedRelease(mirror.name, "", problem=reason)]
        looked = (_verify_release(mirror, str(each), signatures, deep=deep, on_image=on_image) for each in asked)
        return await gather_some(looked, at_once=1 if deep else _RELEASES_AT_ONCE)

    found = await gather(*(of(mirror) for mirror in mirrors))
    return VerifyReport(tuple(one for several in found for one in several), deep)


async def _verify_release(
    mirror: Mirror, release: str, signatures: Signatures, *, deep: bool, on_image: Callable[[VerifiedImage], None]
) -> VerifiedRelease:
    async def verified(image: RecordedImage, kept: Kept) -> VerifiedImage:
        found = await _verify_image(mirror, image, signatures, kept, deep=deep)
        on_image(found)
        return found

    try:
        record = await records.read(mirror.records, release, mirror.seal)
        if record is None:
            reason = f"{mirror.place} has no record of {release}: it was never synced there"
            return VerifiedRelease(mirror.name, release, problem=reason)
        kept = await records.kept(mirror.records, record)
        images = await gather(*(verified(image, kept.get(image.image.reference, Kept())) for image in record.images))
        charts = await gather(*(_verify_chart(mirror, chart, deep=deep) for chart in record.artifacts))
    except MirrorError as exc:
        return VerifiedRelease(mirror.name, release, problem=str(exc))
    missing = tuple(missing.reference for missing in record.missing)
    return VerifiedRelease(mirror.name, release, tuple(images), missing, charts=tuple(charts))


async def _verify_image(
    mirror: Mirror, recorded: RecordedImage, signatures: Signatures, kept: Kept, *, deep: bool
) -> VerifiedImage:
    destination = mirror.repository(recorded.target.path)
    digest = recorded.digests.mirrored
    named = await destination.head(recorded.target.tag)
    problems = list[str]()
    if named != digest:
        problems.append(f"{mirror.target(recorded.target)} names {named or 'nothing'}, {digest} was recorded")
    problems += (await walk(destination, digest, deep=deep))[1]
    verdict, unsigned = await signatures.held(recorded, destination, kept)
    problems += [unsigned] if unsigned else []
    return VerifiedImage(recorded.image.reference, mirror.target(recorded.target), digest, tuple(problems), verdict)


async def _verify_chart(mirror: Mirror, recorded: RecordedChart, *, deep: bool) -> VerifiedImage:
    destination, place = mirror.repository(recorded.target.path), mirror.target(recorded.target)
    digest, archive = recorded.digests.mirrored, recorded.digests.upstream
    named = await destination.head(recorded.target.tag)
    problems = list[str]()
    if named != digest:
        problems.append(f"{place} names {named or 'nothing'}, {digest} was recorded")
    graph, broken = await walk(destination, digest, deep=deep)
    problems += broken
    if graph is not None and not recorded.is_accepted and archive_of(graph.root) != archive:
        problems.append(f"{place} does not hold the archive {archive}, which was recorded")
    return VerifiedImage(str(recorded.target), place, digest, tuple(problems))


async def check(mirror: Mirror, record: Record, signatures: Signatures) -> None:
    """Raises Refused unless the mirror is what *record* says, tags and signatures: a record is a claim, never trust."""
    kept = await records.kept(mirror.records, record)

    async def checked(image: RecordedImage) -> str:
        destination, place = mirror.repository(image.target.path), mirror.target(image.target)
        digest = await destination.head(image.target.tag)
        if digest != image.digests.mirrored:
            return f"{place} names {digest or 'nothing'}, {image.digests.mirrored} was recorded"
        _, problem = await signatures.held(image, destination, kept.get(image.image.reference, Kept()))
        return problem and f"{place}: {problem}"

    async def checked_chart(chart: RecordedChart) -> str:
        digest = await mirror.repository(chart.target.path).head(chart.target.tag)
        recorded = chart.digests.mirrored
        wrong = f"{mirror.target(chart.target)} names {digest or 'nothing'}, {recorded} was recorded"
        return "" if digest == recorded else wrong

    found = await gather(*map(checked, record.images), *map(checked_chart, record.artifacts))
    if problems := [problem for problem in found if problem]:
        raise Refused(f"the mirror is not what was recorded: {'; '.join(problems)}; run mirror sync {record.release}")
