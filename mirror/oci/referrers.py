"""What refers to an image travels with it: signatures, attestations, bills of material.

Four ways to refer to a digest are in use, and all are looked at:

    tag  sha256-HEX.sig, .att, .sbom     cosign 2 (sigstore/cosign, specs/SIGNATURE_SPEC.md)
    tag  sha256-HEX                      the referrers API's fallback (distribution-spec v1.1 #referrers-tag-schema)
    the referrers API                    manifests with a `subject`

Subjects come first (Harbor links a signature only to what is already there). Where the destination did not link a
manifest to its subject, the fallback tag is ours to maintain (distribution-spec v1.1
#pushing-manifests-with-subject): listed there, nobody's entries lost. What the destination does not take at all leaves
the image good, and is told; a signature is kept, bytes and all, for the record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from mirror.errors import ManifestError, MirrorError, NotFound, Refused, RegistryError
from mirror.oci.content import Descriptor, Digest
from mirror.oci.copy import MANIFESTS_AT_ONCE, Bounded, Copier, read_graph, read_small
from mirror.oci.manifest import OCI_INDEX, Manifest
from mirror.oci.storage import Destination, Source
from mirror.tasks import gather, gather_some

log = structlog.get_logger()

COSIGN_SUFFIXES = (".sig", ".att", ".sbom")
SIGNATURES = ("application/vnd.dev.sigstore.bundle", "application/vnd.dev.cosign.")
"""What the artifact type of a signature, or the media type of its layer, begins with."""
_TRAVEL_AT_ONCE = 4  # each may have a graph of its own
_KEPT_MAX = 128 * 1024  # bytes: a Sigstore bundle has some ten thousand
_CONTENT_WAS_LOST = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})


@dataclass(frozen=True, slots=True)
class Referrers:
    """What refers to one digest at a source."""

    subject: Digest
    tagged: tuple[tuple[str, Manifest], ...]
    """By digest tag, the fallback tag included."""
    listed: tuple[Manifest, ...]
    """Named by the referrers API or by the fallback tag's index."""
    gone: tuple[str, ...] = ()
    """A sentence for each that is named there, and is not there."""


@dataclass(frozen=True, slots=True)
class Untaken:
    """A referrer that the destination does not take, whatever is tried (aws/containers-roadmap#2783)."""

    manifest: Manifest
    reason: str
    blobs: Mapping[Digest, bytes] = field(default_factory=dict, hash=False)
    """Of a signature, so that it can be verified without upstream; of others none."""

    @property
    def is_signature(self) -> bool:
        """Whether it is what an image is verified by."""
        kinds = (self.manifest.artifact_type, *(blob.media_type for blob in self.manifest.blobs))
        return any(kind.startswith(SIGNATURES) for kind in kinds)


@dataclass(frozen=True, slots=True)
class Travelled:
    """What became of an image's referrers."""

    digests: tuple[Digest, ...]
    """Of those that are at the destination."""
    problems: tuple[str, ...] = ()
    """A sentence for each that is not."""
    is_worth_another_try: bool = False
    """Whether a later run may bring what this one could not."""
    untaken: tuple[Untaken, ...] = ()


async def gathered(source: Source, subject: Digest) -> Referrers:
    """Everything that refers to *subject* at *source*; raises ManifestError where that is too much."""
    bounded = Bounded(source, f"{source.name}@{subject} (referrers)")

    async def at_tag(tag: str) -> Manifest | None:
        try:
            return await bounded.manifest(tag)
        except NotFound:
            return None

    tags = [subject.fallback_tag(suffix) for suffix in COSIGN_SUFFIXES]
    listed = {descriptor.digest for descriptor in await source.referrers(subject)}
    if listed:  # where nothing is listed there is no fallback tag to keep
        tags.append(subject.fallback_tag())
    found = await gather(*(at_tag(tag) for tag in tags))
    tagged = tuple((tag, manifest) for tag, manifest in zip(tags, found, strict=True) if manifest is not None)
    if fallback := dict(tagged).get(subject.fallback_tag()):
        listed |= {child.digest for child in fallback.children}

    async def by_digest(digest: Digest) -> Manifest | str:
        try:
            return await bounded.manifest(digest)
        except NotFound as exc:
            return f"{digest}: {exc}"

    manifests = await gather_some(map(by_digest, sorted(listed)), at_once=MANIFESTS_AT_ONCE)
    return Referrers(
        subject,
        tagged,
        tuple(manifest for manifest in manifests if isinstance(manifest, Manifest)),
        tuple(gone for gone in manifests if isinstance(gone, str)),
    )


async def referrers_of(source: Source, subject: Digest) -> Referrers | MirrorError:
    """Everything that refers to *subject* at *source*, or why that cannot be known."""
    try:
        return await gathered(source, subject)
    except MirrorError as exc:
        return exc


async def travel(copier: Copier, source: Source, destination: Destination, referrers: Referrers) -> Travelled:
    """Brings *referrers* to *destination*, each on its own: one that fails is a problem, not an exception."""
    digests, problems, unlinked = list[Digest](), list(referrers.gone), list[Manifest]()
    failures, untaken = list[MirrorError](), list[Untaken]()
    fallback_tag = referrers.subject.fallback_tag()

    async def bring(manifest: Manifest, tag: str) -> bool:
        if tag and await destination.head(tag) == manifest.digest:
            return True
        await copier.copy(source, destination, await read_graph(source, manifest))
        return await copier.place(source, destination, manifest, tag=tag)

    async def attempt(manifest: Manifest, tag: str) -> None:
        try:
            is_linked = await bring(manifest, tag)
        except MirrorError as exc:
            problems.append(f"{tag or manifest.digest}: {exc}")
            failures.append(exc)
            if _is_unsupported(exc):
                untaken.append(Untaken(manifest, str(exc)))
            return
        digests.append(manifest.digest)
        if manifest.subject == referrers.subject and not is_linked:
            unlinked.append(manifest)

    work = [("", manifest) for manifest in referrers.listed]
    work += [(tag, manifest) for tag, manifest in referrers.tagged if tag != fallback_tag]
    await gather_some((attempt(manifest, tag) for tag, manifest in work), at_once=_TRAVEL_AT_ONCE)
    try:
        await _keep_fallback(destination, referrers, unlinked)
    except MirrorError as exc:
        problems.append(f"{fallback_tag}: {exc}")
        failures.append(exc)
    return Travelled(
        tuple(sorted(set(digests))),
        tuple(sorted(problems)),
        any(map(_may_pass, failures)),
        tuple(await gather(*(_kept(source, one) for one in untaken))),
    )


def _is_unsupported(failure: MirrorError) -> bool:
    return isinstance(failure, RegistryError) and (failure.status == 405 or "UNSUPPORTED" in failure.codes)


async def _kept(source: Source, untaken: Untaken) -> Untaken:
    """*untaken* with its blobs, if it is a signature of a sane size that can be read."""
    blobs = untaken.manifest.blobs
    if not untaken.is_signature or sum(blob.size for blob in blobs) > _KEPT_MAX:
        return untaken
    try:
        read = await gather(*(read_small(source, blob, bound=_KEPT_MAX) for blob in blobs))
    except MirrorError as exc:
        log.warning("referrers.not_kept", where=source.name, digest=str(untaken.manifest.digest), reason=str(exc))
        return untaken
    return replace(untaken, blobs={blob.digest: data for blob, data in zip(blobs, read, strict=True)})


def _may_pass(failure: MirrorError) -> bool:
    """Whether *failure* was of the moment; else a registry refuses what it was given, and will again."""
    if not isinstance(failure, RegistryError):
        return not isinstance(failure, Refused)
    return failure.is_temporary or not _CONTENT_WAS_LOST.isdisjoint(failure.codes)


async def _keep_fallback(destination: Destination, referrers: Referrers, unlinked: Sequence[Manifest]) -> None:
    """The fallback tag at *destination* lists *unlinked*, what upstream's lists and is here, and what it listed.

    Where upstream's lists all of that, it is stored as it is.
    """
    tag = referrers.subject.fallback_tag()
    upstream = dict(referrers.tagged).get(tag)
    listed = await _held(destination, upstream.children) if upstream else {}
    wanted = listed | {manifest.digest: manifest.descriptor for manifest in unlinked if manifest.digest not in listed}
    if not wanted:
        return
    try:
        present: Manifest | None = await destination.manifest(tag)
    except NotFound:
        present = None
    if present is not None and not present.is_index:
        raise ManifestError(f"{destination.name}:{tag} is not an index, so it cannot list referrers")
    kept = {child.digest for child in present.children} if present else set()
    missing = [descriptor for digest, descriptor in sorted(wanted.items()) if digest not in kept]
    if not missing:
        return
    is_whole = upstream is not None and {child.digest for child in upstream.children} == {*wanted, *kept}
    whole = upstream if upstream and is_whole else _extended(present, missing, where=destination.name)
    await destination.put_manifest(whole, tag=tag)


async def _held(destination: Destination, listed: Sequence[Descriptor]) -> dict[Digest, Descriptor]:
    held = await gather(*(destination.head(descriptor.digest) for descriptor in listed))
    return {one.digest: one for one, digest in zip(listed, held, strict=True) if digest is not None}


def _extended(index: Manifest | None, more: Sequence[Descriptor], *, where: str) -> Manifest:
    view: dict[str, Any] = (
        json.loads(index.raw) if index else {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    )
    view["manifests"] = [*(view.get("manifests") or ()), *map(_entry, more)]
    return Manifest.parse(json.dumps(view).encode(), OCI_INDEX, where=where)


def _entry(descriptor: Descriptor) -> dict[str, object]:
    # distribution-spec v1.1: artifactType and annotations are pulled up from the manifest
    entry: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    if descriptor.artifact_type:
        entry["artifactType"] = descriptor.artifact_type
    if descriptor.annotations:
        entry["annotations"] = dict(descriptor.annotations)
    return entry
