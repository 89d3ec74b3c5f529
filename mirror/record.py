"""The record: what was verified, kept in the destination itself.

    PREFIX/mirror-record:RELEASE ─► OCI image manifest
        annotation dev.linkerd-mirror.record   what planning and overrides need, so that one GET suffices
        config     CONFIG_TYPE                 its type: no artifactType, subject or descriptor data (ECR refuses some)
        layer      LAYER_TYPE                  the same with the evidence: platforms, sizes, referrers, times

Config and layer are one blob, which is sent once.

A record is a claim, never trust: whoever can push to the mirror can write it. It may make us refuse, never accept.
With a key of the operator's own it is signed (trust/seal.py), and refused where it is not.
It is written only when its content, times excluded, has changed.
"""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from mirror.errors import BadReference, ManifestError, MirrorError, NotFound, Refused, UsageError
from mirror.linkerd.parts import ChartFacts, Control, Image
from mirror.linkerd.release import Newest, Release, select
from mirror.oci.blob import Upload
from mirror.oci.content import SIZE_END, Descriptor, Digest
from mirror.oci.copy import read_small
from mirror.oci.manifest import OCI_MANIFEST, Manifest, nests_deep
from mirror.oci.reference import Reference, Repository
from mirror.oci.referrers import Untaken
from mirror.oci.storage import Destination, Source
from mirror.plan import Recorded, Target
from mirror.trust.seal import Seal
from mirror.trust.verdict import Verdict

SCHEMA = 1
ANNOTATION = "dev.linkerd-mirror.record"
SIGNATURE = "dev.linkerd-mirror.record.signature"
CONFIG_TYPE = "application/vnd.linkerd-mirror.record.config.v1+json"
LAYER_TYPE = "application/vnd.linkerd-mirror.record.v1+json"
UNSEALED = Seal()
_REMEDY = "a newer mirror wrote it, or it is damaged; remove that tag to have the release recorded anew"
_LAYER_MAX = 16 * 1024 * 1024

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of one image when it was copied or adopted."""

    media_type: str
    size: int
    """Bytes of all its blobs."""
    platforms: tuple[str, ...]
    referrers: tuple[str, ...]
    """Digests of the signatures and other referrers that came with it."""
    upstream_index: str = ""
    """With a platform filter, the bytes of upstream's index, which the mirror does not hold."""
    statements: tuple[str, ...] = ()
    """Digests of BuildKit's attestations in its index: what the build says of itself, signed by nobody."""
    untaken: tuple[Untaken, ...] = ()
    """What refers to it and the registry does not take; signatures with their bytes."""


@dataclass(frozen=True, slots=True)
class RecordedImage:
    """One image that the mirror holds."""

    image: Image
    target: Target
    digests: Recorded
    is_accepted: bool = False
    """An operator settled a refusal by accepting this digest; *replaced* is the one that was turned down."""
    accepted_at: str = ""
    replaced: str = ""
    lacks: tuple[str, ...] = ()
    """The platforms of the filter that upstream does not have of it."""
    awaits_referrers: bool = False
    """Some of what refers to it upstream could not be brought, and may be another time."""
    keeps_signature: bool = False
    """Its evidence keeps a signature that the registry does not take."""
    verdict: Verdict | None = None
    """On its signature; None where signatures were off."""
    evidence: Evidence | None = None
    """Only in the layer."""


@dataclass(frozen=True, slots=True)
class RecordedChart:
    """One chart that the mirror holds as an OCI artifact."""

    name: str
    target: Target
    digests: Recorded
    """Of its archive, as the chart index has it, and of the manifest that holds it here."""
    is_accepted: bool = False
    """As for an image."""
    accepted_at: str = ""
    replaced: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """An image of the release that the mirror does not hold: it failed or was refused."""

    reference: str
    charts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """What a destination holds of one release."""

    release: str
    asked: str
    """A hash of what was asked for: charts, platforms, policy, pull name. Another one means planning anew."""
    recorded_at: datetime
    """When these digests were first recorded."""
    charts: tuple[ChartFacts, ...]
    images: tuple[RecordedImage, ...]
    proof: str
    missing: tuple[Missing, ...] = ()
    artifacts: tuple[RecordedChart, ...] = ()
    """Those of the charts that the mirror holds; none in what was recorded before it held any."""

    def artifact(self, chart: str) -> RecordedChart | None:
        """What the mirror holds of *chart*."""
        return next((held for held in self.artifacts if held.name == chart), None)

    def digests(self, reference: str) -> Recorded | None:
        """What is recorded of the image that a chart calls *reference*."""
        return next((image.digests for image in self.images if image.image.reference == reference), None)

    def image(self, reference: str) -> RecordedImage | None:
        """The recorded image that a chart calls *reference*."""
        return next((image for image in self.images if image.image.reference == reference), None)


def dated(record: Record, before: Record | None) -> Record:
    """*record* with the time of *before* where its digests are still the same."""
    if before is None or _digests(before) != _digests(record):
        return record
    return replace(record, recorded_at=before.recorded_at)


def _digests(record: Record) -> set[tuple[str, Recorded]]:
    return {(image.image.reference, image.digests) for image in record.images}


def is_changed(record: Record, before: Record | None) -> bool:
    """Whether anything but times differs."""
    return before is None or _summary(replace(record, recorded_at=before.recorded_at)) != _summary(before)


async def read(records: Source, release: str, seal: Seal = UNSEALED) -> Record | None:
    """The record of *release*, from its annotation alone; None if there is none.

    Raises ManifestError for something that is not a record of ours, Refused for one that is not signed as *seal* wants
    it, beside what *records* raises.
    """
    try:
        manifest = await records.manifest(release)
    except NotFound:
        return None
    where = f"{records.name}:{release}"
    text = manifest.annotations.get(ANNOTATION)
    if text is None or manifest.config is None or manifest.config.media_type != CONFIG_TYPE:
        raise ManifestError(f"{where} is not a record of mirror's: something else was pushed there; remove that tag")
    if problem := await seal.problem(_sealed(text, manifest.config.digest), manifest.annotations.get(SIGNATURE, "")):
        raise Refused(f"{where}: {problem}: if it is yours, remove that tag to have the release recorded anew")
    with parsing(f"{where}: the record", remedy=_REMEDY):
        record = _parsed(json.loads(text))
    if record.release != release:
        raise ManifestError(f"{where} is not the record of {release}, it is of {record.release}; remove that tag")
    return record


@contextmanager
def parsing(what: str, *, remedy: str) -> Iterator[None]:
    """What others may have written is parsed inside: whatever shows that it is not ours leaves as a ManifestError."""
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        BadReference,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as exc:
        raise ManifestError(f"{what} cannot be read ({exc!r}): {remedy}") from exc


async def recorded(records: Destination) -> tuple[Release, ...]:
    """The releases that have a record, by its tag alone."""
    releases = list[Release]()
    for tag in await records.tags():
        with suppress(UsageError):  # the tag of a referrer, or not ours
            releases.append(Release.parse(tag))
    return tuple(releases)


async def asked_for(records: Destination, selectors: Sequence[Release | Newest]) -> tuple[Release, ...]:
    """The releases that *selectors* ask for: of a channel the newest that are recorded; an exact one at its word.

    Raises UsageError where nothing of a channel is recorded.
    """
    known = await recorded(records) if any(isinstance(selector, Newest) for selector in selectors) else ()
    found = dict[Release, None]()
    for selector in selectors:
        releases = select(selector, known) if isinstance(selector, Newest) else (selector,)
        if not releases:
            raise UsageError(f"nothing of {selector} is recorded at {records.name}: run mirror sync {selector} first")
        found |= dict.fromkeys(releases)
    return tuple(found)


def _sealed(text: str, layer: Digest) -> bytes:
    """What is signed of a record: all that its manifest says of the release."""
    return f"{text}\n{layer}".encode()


async def write(records: Destination, record: Record, *, verified_at: datetime, seal: Seal = UNSEALED) -> None:
    """*records* holds *record* at the tag of its release; evidence that this run did not gather is carried over."""
    layer = _json(_document(record, await _kept_evidence(records, record), verified_at=verified_at))
    blob = Descriptor(LAYER_TYPE, Digest.of(layer), len(layer))
    await store(records, blob, layer)
    described = {"digest": str(blob.digest), "size": blob.size}
    text = _json(_summary(record)).decode()
    signature = await seal.signature(_sealed(text, blob.digest))
    raw = _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": CONFIG_TYPE, **described},
            "layers": [{"mediaType": LAYER_TYPE, **described}],
            "annotations": {
                ANNOTATION: text,
                **({SIGNATURE: signature} if signature else {}),
                "org.opencontainers.image.title": f"mirror's record of Linkerd {record.release}",
            },
        }
    )
    manifest = Manifest.parse(raw, OCI_MANIFEST, where=f"{records.name}:{record.release}")
    await records.put_manifest(manifest, tag=record.release)


async def with_evidence(records: Source, record: Record) -> tuple[RecordedImage, ...]:
    """The images of *record* with the evidence that its layer has of them, what only `kept` gives left out."""
    document = await _layer(records, record.release)
    with parsing(f"{records.name}:{record.release}: its evidence", remedy=_REMEDY):
        entries = {entry["reference"]: entry.get("evidence") for entry in _entries(document)}
        return tuple(
            replace(image, evidence=_parsed_evidence(found)) if (found := entries.get(image.image.reference)) else image
            for image in record.images
        )


def _parsed_evidence(evidence: Mapping[str, Any]) -> Evidence:
    return Evidence(
        media_type=_text(evidence["mediaType"]),
        size=_size(evidence["size"]),
        platforms=tuple(map(_text, evidence["platforms"])),
        referrers=tuple(map(_text, evidence["referrers"])),
        statements=tuple(map(_text, evidence.get("unsignedStatements", ()))),
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """What the layer of a record keeps of an image because the registry has no place for it; yet to be verified."""

    signatures: tuple[Untaken, ...] = ()
    """Those that the registry does not take."""
    upstream_index: bytes = b""
    """Of which a platform filter made what the mirror has."""


async def kept(records: Source, record: Record) -> Mapping[str, Kept]:
    """By reference, what the layer of *record* keeps of those of its images that need it."""
    if not any(image.keeps_signature or image.digests.upstream != image.digests.mirrored for image in record.images):
        return {}
    document = await _layer(records, record.release)
    with parsing(f"{records.name}:{record.release}: what is kept there", remedy=_REMEDY):
        entries = _entries(document)
        return {entry["reference"]: _parsed_kept(entry["evidence"]) for entry in entries if "evidence" in entry}


def _parsed_kept(evidence: Mapping[str, Any]) -> Kept:
    signatures = tuple(_parsed_untaken(one) for one in evidence.get("untaken", ()) if one["blobs"])
    return Kept(signatures, _text(evidence.get("upstreamIndex", "")).encode())


def _parsed_untaken(entry: Mapping[str, Any]) -> Untaken:
    blobs = {Digest.parse(_text(digest)): b64decode(_text(data)) for digest, data in entry["blobs"].items()}
    return Untaken(Manifest.parse(_text(entry["manifest"]).encode(), where="a record"), _text(entry["reason"]), blobs)


async def _layer(records: Source, release: str) -> bytes:
    """The layer of the record of *release*; raises ManifestError where it has none."""
    manifest = await records.manifest(release)
    layer = next((blob for blob in manifest.blobs if blob.media_type == LAYER_TYPE), None)
    if layer is None:
        raise ManifestError(f"{records.name}:{release}: the record has no evidence: {_REMEDY}")
    return await read_small(records, layer, bound=_LAYER_MAX)


def _entries(layer: bytes) -> list[dict[str, Any]]:
    """What *layer* says of each image; to be parsed."""
    entries: list[dict[str, Any]] = json.loads(layer)["images"]
    if nests_deep(entries):  # evidence that is carried over is written again
        raise ValueError("it nests too deep")
    return entries


async def _kept_evidence(records: Destination, record: Record) -> Mapping[str, Any]:
    """By reference, what the layer of the record before says of images that were only kept."""
    if all(image.evidence for image in record.images):
        return {}
    where = f"{records.name}:{record.release}"
    try:
        document = await _layer(records, record.release)
        with parsing(f"{where}: its evidence", remedy=_REMEDY):
            entries = _entries(document)
            return {entry["reference"]: entry["evidence"] for entry in entries if "evidence" in entry}
    except MirrorError as exc:
        log.warning("record.evidence_lost", where=where, reason=str(exc))
        return {}


async def store(records: Destination, blob: Descriptor, data: bytes) -> None:
    """*records* holds *data*, which *blob* promises."""
    upload = await records.start_upload(blob, mount_from=records.path)
    if upload is not None:  # it is not there, or nobody can say: it is small
        await _written(upload, data)


async def _written(upload: Upload, data: bytes) -> None:
    def write_all() -> None:
        try:
            upload.write(memoryview(data))
            upload.finish()
        except BaseException:
            upload.abort()
            raise

    await asyncio.to_thread(write_all)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()


def _summary(record: Record) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "release": record.release,
        "asked": record.asked,
        "recordedAt": _time(record.recorded_at),
        "proof": record.proof,
        "missing": [[missing.reference, *missing.charts] for missing in record.missing],
        "charts": [_chart(chart, record.artifact(chart.name)) for chart in record.charts],
        "images": [_image(image) for image in record.images],
    }


def _chart(chart: ChartFacts, held: RecordedChart | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": chart.name,
        "version": chart.version,
        "appVersion": chart.app_version,
        "sha256": chart.sha256,
        "hasPullSecrets": chart.has_pull_secrets,
    }
    if held is not None:
        document["artifact"] = {
            "target": [held.target.path, held.target.tag],
            "archive": str(held.digests.upstream),
            "digest": str(held.digests.mirrored),
            **({"accepted": {"at": held.accepted_at, "replaced": held.replaced}} if held.is_accepted else {}),
        }
    return document


def _image(image: RecordedImage) -> dict[str, Any]:
    document: dict[str, Any] = {
        "reference": image.image.reference,
        "target": [image.target.path, image.target.tag],
        "upstream": str(image.digests.upstream),
        "digest": str(image.digests.mirrored),
        "charts": list(image.image.charts),
        "values": [[c.chart, c.registry, c.name, c.tag, c.unpinnable] for c in image.image.controls],
        "hardcoded": image.image.is_hardcoded,
        "firstParty": image.image.is_first_party,
        "optional": image.image.is_optional,
        "notes": list(image.image.notes),
    }
    if image.lacks:
        document["lacks"] = list(image.lacks)
    if image.awaits_referrers:
        document["awaitsReferrers"] = True
    if image.keeps_signature:
        document["keepsSignature"] = True
    if image.verdict is not None:
        document["signature"] = image.verdict.document()
    if image.is_accepted:
        document["accepted"] = {"at": image.accepted_at, "replaced": image.replaced}
    return document


def _document(record: Record, kept: Mapping[str, Any], *, verified_at: datetime) -> dict[str, Any]:
    document = _summary(record) | {"lastVerifiedAt": _time(verified_at)}
    for entry, image in zip(document["images"], record.images, strict=True):
        if image.evidence is not None:
            entry["evidence"] = _evidence(image.evidence)
        elif image.image.reference in kept:
            entry["evidence"] = kept[image.image.reference]
    return document


def _evidence(evidence: Evidence) -> dict[str, Any]:
    document: dict[str, Any] = {
        "mediaType": evidence.media_type,
        "size": evidence.size,
        "platforms": list(evidence.platforms),
        "referrers": list(evidence.referrers),
    }
    if evidence.upstream_index:
        document["upstreamIndex"] = evidence.upstream_index
    if evidence.statements:
        document["unsignedStatements"] = list(evidence.statements)
    if evidence.untaken:
        document["untaken"] = [
            {
                "digest": str(untaken.manifest.digest),
                "artifactType": untaken.manifest.artifact_type,
                "reason": untaken.reason,
                "manifest": untaken.manifest.raw.decode() if untaken.blobs else "",
                "blobs": {str(digest): b64encode(data).decode() for digest, data in untaken.blobs.items()},
            }
            for untaken in evidence.untaken
        ]
    return document


def _parsed(document: Mapping[str, Any]) -> Record:
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']} is not {SCHEMA}")
    return Record(
        release=_text(document["release"]),
        asked=_text(document["asked"]),
        recorded_at=datetime.fromisoformat(document["recordedAt"]).astimezone(UTC),
        proof=_text(document["proof"]),
        missing=tuple(
            Missing(_text(reference), tuple(map(_text, charts))) for reference, *charts in document["missing"]
        ),
        charts=tuple(
            ChartFacts(
                name=_chart_name(chart["name"]),
                version=_text(chart["version"]),
                app_version=_text(chart["appVersion"]),
                sha256=_text(chart["sha256"]),
                has_pull_secrets=bool(chart["hasPullSecrets"]),
            )
            for chart in document["charts"]
        ),
        images=tuple(map(_parsed_image, document["images"])),
        artifacts=tuple(_parsed_artifact(chart) for chart in document["charts"] if chart.get("artifact")),
    )


def _parsed_artifact(chart: Mapping[str, Any]) -> RecordedChart:
    held = chart["artifact"]
    accepted = held.get("accepted") or {}
    return RecordedChart(
        name=_chart_name(chart["name"]),
        target=_parsed_target(held["target"]),
        digests=Recorded(Digest.parse(_text(held["archive"])), Digest.parse(_text(held["digest"]))),
        is_accepted=bool(accepted),
        accepted_at=_text(accepted.get("at", "")),
        replaced=_text(accepted.get("replaced", "")),
    )


def _parsed_target(entry: Sequence[Any]) -> Target:
    path, tag = map(_text, entry)
    Reference(Repository("localhost", path), tag)  # it becomes a URL: raises BadReference
    return Target(path, tag)


def _parsed_image(entry: Mapping[str, Any]) -> RecordedImage:
    Reference.parse(_text(entry["reference"]))
    accepted = entry.get("accepted") or {}
    return RecordedImage(
        image=Image(
            reference=_text(entry["reference"]),
            charts=tuple(map(_text, entry["charts"])),
            controls=tuple(map(_parsed_control, entry["values"])),
            is_hardcoded=bool(entry["hardcoded"]),
            is_first_party=bool(entry["firstParty"]),
            is_optional=bool(entry["optional"]),
            notes=tuple(map(_text, entry["notes"])),
        ),
        target=_parsed_target(entry["target"]),
        digests=Recorded(Digest.parse(_text(entry["upstream"])), Digest.parse(_text(entry["digest"]))),
        is_accepted=bool(accepted),
        accepted_at=_text(accepted.get("at", "")),
        replaced=_text(accepted.get("replaced", "")),
        lacks=tuple(map(_text, entry.get("lacks", ()))),
        awaits_referrers=bool(entry.get("awaitsReferrers")),
        keeps_signature=bool(entry.get("keepsSignature")),
        verdict=Verdict.parse(entry["signature"]) if entry.get("signature") else None,
    )


def _parsed_control(entry: Sequence[Any]) -> Control:
    chart, registry, name, tag, unpinnable = entry
    registry, name, tag = (None if part is None else _text(part) for part in (registry, name, tag))
    return Control(_text(chart), registry, name, tag, _text(unpinnable))


def _chart_name(value: object) -> str:
    """Values are written to CHART.yaml: a name that would leave the folder is none."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name := _text(value)):
        raise ValueError(f"{name[:100]!r} is not the name of a chart")
    return name


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    value.encode()  # it is told of: raises UnicodeEncodeError for half of a UTF-16 pair
    return value


def _size(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < SIZE_END:
        raise ValueError(f"{str(value)[:30]} is not a size")
    return value


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
