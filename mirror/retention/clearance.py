"""A clearance: what is to be deleted of a release whose record is gone, kept where the record was until that is done.

    PREFIX/mirror-record:prune-RELEASE ─► OCI image manifest, whose config and layer are one blob:
        {"schema": 1, "release": RELEASE, "parts": {PATH: {"tags": {TAG: DIGEST}, "manifests": [DIGEST, …]}}}

A registry lists no manifest without a tag, so that a run which was ended could not be gone on with: what the release
had, nobody would know any more. It is a claim as the record is: it says what may be looked at, never what is not
needed; and it is signed where records are (trust/seal.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mirror import record as records
from mirror.errors import ManifestError, NotFound, Refused, UsageError
from mirror.linkerd.release import Release
from mirror.oci.content import Descriptor, Digest
from mirror.oci.copy import read_small
from mirror.oci.manifest import OCI_MANIFEST, Manifest
from mirror.oci.reference import Reference, Repository
from mirror.oci.storage import Destination
from mirror.retention.clearing import Part
from mirror.trust.seal import Seal

SCHEMA = 1
MEDIA_TYPE = "application/vnd.linkerd-mirror.clearance.v1+json"
_PREFIX = "prune-"
_SIZE_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Clearance:
    """What a release had, by the path below the prefix."""

    release: Release
    parts: Mapping[str, Part]

    @property
    def tag(self) -> str:
        """Where it is kept."""
        return f"{_PREFIX}{self.release}"

    def __or__(self, other: Clearance) -> Clearance:
        paths = {**self.parts, **other.parts}
        return Clearance(
            self.release, {path: self.parts.get(path, Part()) | other.parts.get(path, Part()) for path in paths}
        )


async def write(place: Destination, clearance: Clearance, seal: Seal) -> None:
    """*place*, the repository of records, holds *clearance* at its tag."""
    document = {
        "schema": SCHEMA,
        "release": str(clearance.release),
        "parts": {
            path: {
                "tags": {tag: str(digest) for tag, digest in sorted(part.tags.items())},
                "manifests": sorted(map(str, part.manifests)),
            }
            for path, part in sorted(clearance.parts.items())
        },
    }
    data = json.dumps(document, separators=(",", ":")).encode()
    blob = Descriptor(MEDIA_TYPE, Digest.of(data), len(data))
    await records.store(place, blob, data)
    described = {"mediaType": MEDIA_TYPE, "digest": str(blob.digest), "size": blob.size}
    signature = await seal.signature(data)
    view: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described,
        "layers": [described],
        "annotations": {
            "org.opencontainers.image.title": f"what mirror prune deletes of Linkerd {clearance.release}",
            **({records.SIGNATURE: signature} if signature else {}),
        },
    }
    raw = json.dumps(view, separators=(",", ":")).encode()
    manifest = Manifest.parse(raw, OCI_MANIFEST, where=f"{place.name}:{clearance.tag}")
    await place.put_manifest(manifest, tag=clearance.tag)


async def kept(place: Destination, seal: Seal) -> tuple[Clearance, ...]:
    """Those that runs which were ended have left in *place*."""
    found = [await _read(place, tag, seal) for tag in await place.tags() if _is_ours(tag)]
    return tuple(each for each in found if each is not None)


def _is_ours(tag: str) -> bool:
    try:
        return tag.startswith(_PREFIX) and bool(Release.parse(tag.removeprefix(_PREFIX)))
    except UsageError:
        return False


async def _read(place: Destination, tag: str, seal: Seal) -> Clearance | None:
    where = f"{place.name}:{tag}"
    try:
        manifest = await place.manifest(tag)
    except NotFound:
        return None  # another run has done it
    if manifest.config is None or manifest.config.media_type != MEDIA_TYPE:
        raise ManifestError(f"{where} is none of mirror's: something else was pushed there; remove that tag")
    data = await read_small(place, manifest.config, bound=_SIZE_MAX)
    if problem := await seal.problem(data, manifest.annotations.get(records.SIGNATURE, "")):
        raise Refused(f"{where}: {problem}: if it is yours, remove that tag")
    with records.parsing(where, remedy="remove that tag"):
        document = json.loads(data)
        if document["schema"] != SCHEMA or f"{_PREFIX}{document['release']}" != tag:
            raise ValueError("it is of another release, or of a newer mirror")
        return Clearance(
            Release.parse(document["release"]),
            {_path(path): _parsed(part) for path, part in document["parts"].items()},
        )


def _path(text: str) -> str:
    Repository("localhost", text)  # it becomes a URL: raises BadReference
    return text


def _parsed(part: Mapping[str, Any]) -> Part:
    tags = {
        Reference(Repository("localhost", "x"), tag).tag: Digest.parse(digest) for tag, digest in part["tags"].items()
    }
    return Part(tags, frozenset(map(Digest.parse, part["manifests"])))
