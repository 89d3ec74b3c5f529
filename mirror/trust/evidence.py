"""The evidence: what refers to an image, as signatures that have been read and not yet believed.

    tag sha256-HEX.sig ─► layers of cosign's simple signing type ─► SimpleSigning
    referrers          ─► manifests with a layer that is a bundle ─► SigstoreBundle
    either, but not as it must be                                 ─► Unusable, with the reason

What a list of referrers says of them is not looked at: on GHCR it has been `application/vnd.oci.empty.v1+json` for
signatures (sigstore/cosign#4641). Each manifest's own subject, layers and annotations count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mirror.errors import BadReference, ContentError, NotFound, NotVerified
from mirror.oci.content import Descriptor, Digest
from mirror.oci.copy import read_small
from mirror.oci.manifest import Manifest
from mirror.oci.referrers import Referrers
from mirror.oci.storage import Source
from mirror.tasks import gather
from mirror.trust.reading import at, document

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle"
"""What the media type of a bundle's layer begins with, whatever its version."""
SIGNATURE = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"
LOG_ENTRY = "dev.sigstore.cosign/bundle"
SIGNATURES_MAX = 64
PAYLOAD_MAX = 64 * 1024  # bytes: cosign's have some 250
ANNOTATION_MAX = 64 * 1024
BUNDLE_MAX = 128 * 1024  # as many as the record keeps of one (oci/referrers.py); cosign's have some ten thousand
_MANIFEST_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SimpleSigning:
    """A layer below the `.sig` tag (sigstore/cosign, specs/SIGNATURE_SPEC.md); what an annotation lacks is empty."""

    manifest: Digest
    """Of the manifest that has it."""
    payload: bytes
    signature: str
    certificate: str = ""
    log_entry: str = ""


@dataclass(frozen=True, slots=True)
class SigstoreBundle:
    """A Sigstore bundle (sigstore/protobuf-specs, sigstore_bundle.proto), in the manifest *manifest*."""

    manifest: Digest
    raw: bytes


@dataclass(frozen=True, slots=True)
class Unusable:
    """What should be a signature and cannot be looked at; *why*, in words."""

    manifest: Digest
    why: str


Signature = SimpleSigning | SigstoreBundle | Unusable


@dataclass(frozen=True, slots=True)
class _Layer:
    """A signature whose blob is still to be read."""

    manifest: Digest
    blob: Descriptor
    bound: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Of a layer of simple signing."""


async def signatures(referrers: Referrers, source: Source) -> tuple[Signature, ...]:
    """The signatures among *referrers*, their blobs read from *source*; SIGNATURES_MAX at most, or NotVerified.

    What cannot be read because the world failed is raised; what is absent or not as promised is Unusable.
    """
    found = [*_simple_signing(referrers), *_bundles(referrers)]
    if len(found) > SIGNATURES_MAX:
        raise NotVerified(
            f"{len(found)} signatures refer to it, more than the {SIGNATURES_MAX} that are looked at: remove those "
            "that are not needed"
        )
    wanted = {layer.blob.digest: layer for layer in found if isinstance(layer, _Layer)}
    read = await gather(*(_read(source, layer) for layer in wanted.values()))
    blobs = dict(zip(wanted, read, strict=True))
    return tuple(one if isinstance(one, Unusable) else _whole(one, blobs[one.blob.digest]) for one in found)


async def _read(source: Source, layer: _Layer) -> bytes | str:
    try:
        return await read_small(source, layer.blob, bound=layer.bound)
    except (NotFound, ContentError) as exc:
        return str(exc)


def _whole(layer: _Layer, read: bytes | str) -> Signature:
    if isinstance(read, str):
        return Unusable(layer.manifest, read)
    if layer.blob.media_type != SIMPLE_SIGNING:
        return SigstoreBundle(layer.manifest, read)
    signature, certificate, log_entry = (
        layer.annotations.get(name, "") for name in (SIGNATURE, CERTIFICATE, LOG_ENTRY)
    )
    return SimpleSigning(layer.manifest, read, signature, certificate, log_entry)


def _simple_signing(referrers: Referrers) -> Iterator[_Layer | Unusable]:
    tag = referrers.subject.fallback_tag(".sig")
    manifest = dict(referrers.tagged).get(tag)
    if manifest is None:
        return
    if manifest.is_index:
        yield Unusable(manifest.digest, f"{tag} is an index of manifests, where a signature is one manifest")
        return
    try:
        # Its own view: Manifest has each digest once, and two signers of one image sign the same payload.
        layers = at(
            document(manifest.raw, what=f"the manifest {tag}", bound=_MANIFEST_MAX),
            "layers",
            kind=list,
            what=f"the manifest {tag}",
        )
    except NotVerified as exc:
        yield Unusable(manifest.digest, str(exc))
        return
    for layer in layers:
        if isinstance(layer, dict) and layer.get("mediaType") == SIMPLE_SIGNING:
            yield _layer(manifest, layer)


def _layer(manifest: Manifest, layer: dict[str, Any]) -> _Layer | Unusable:
    try:
        return _checked_layer(manifest, layer)
    except (NotVerified, BadReference) as exc:
        return Unusable(manifest.digest, str(exc))


def _checked_layer(manifest: Manifest, layer: dict[str, Any]) -> _Layer:
    what = "a layer of the signature"
    annotations = at(layer, "annotations", kind=dict, what=what)
    for name in (SIGNATURE, CERTIFICATE, LOG_ENTRY):
        if not isinstance(annotations.get(name, ""), str) or len(annotations.get(name, "")) > ANNOTATION_MAX:
            raise NotVerified(f"the annotation {name} is no string of at most {ANNOTATION_MAX} characters")
    if not annotations.get(SIGNATURE):
        raise NotVerified(f"{what} has no annotation {SIGNATURE}")
    digest = Digest.parse(at(layer, "digest", kind=str, what=what))
    size = at(layer, "size", kind=int, what=what)
    if not 0 <= size <= PAYLOAD_MAX:
        raise NotVerified(f"the payload {digest} of {size} bytes is not of 0 to {PAYLOAD_MAX}")
    return _Layer(manifest.digest, Descriptor(SIMPLE_SIGNING, digest, size), PAYLOAD_MAX, annotations)


def _bundles(referrers: Referrers) -> Iterator[_Layer | Unusable]:
    for manifest in referrers.listed:
        layers = [blob for blob in manifest.blobs if blob.media_type.startswith(BUNDLE)]
        if not layers:
            if manifest.artifact_type.startswith(BUNDLE):
                yield Unusable(manifest.digest, "it says that it is a Sigstore bundle, and has none")
            continue
        if manifest.subject != referrers.subject:
            yield Unusable(
                manifest.digest, f"it is a signature of {manifest.subject or 'nothing'}, and not of this image"
            )
        elif len(layers) > 1:
            yield Unusable(manifest.digest, f"it has {len(layers)} bundles, where a signature is one")
        elif layers[0].size > BUNDLE_MAX:
            yield Unusable(manifest.digest, f"its bundle of {layers[0].size} bytes is larger than {BUNDLE_MAX}")
        else:
            yield _Layer(manifest.digest, layers[0], BUNDLE_MAX)
