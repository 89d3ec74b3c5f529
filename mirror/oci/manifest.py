"""Manifests: the bytes that came, and a view of them.

A `Manifest` keeps its raw bytes; nothing here re-serialises one but `restricted`, the platform filter, which makes a
new index because it was asked to. Both families are read: OCI image-spec 1.1 and Docker image manifest v2 schema 2.

    index (manifest list) ──► child manifests ──► config, layers
    any manifest ── subject ──► the manifest that it refers to
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mirror.errors import BadReference, ManifestError
from mirror.oci.content import Descriptor, Digest, Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
# distribution-spec v1.1 #pulling-manifests; without the list a registry may convert, or answer 404
ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST, "*/*"))

SIZE_MAX = 4 * 1024 * 1024  # distribution-spec v1.1 #pushing-manifests
CHILDREN_MAX = 1000
LAYERS_MAX = 2000
NESTING_MAX = 32
_FOREIGN = frozenset(
    {
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    }
)
# BuildKit's marks on an attestation manifest (moby/buildkit docs/attestations/attestation-storage.md)
_ATTESTATION_TYPE = "vnd.docker.reference.type"
_ATTESTATION_SUBJECT = "vnd.docker.reference.digest"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One manifest or index, valid from birth: *raw* has the digest *digest*."""

    raw: bytes
    media_type: str
    digest: Digest
    children: tuple[Descriptor, ...] = ()
    """The manifests that an index lists."""
    blobs: tuple[Descriptor, ...] = ()
    """Config and layers, each digest once, foreign layers left out."""
    config: Descriptor | None = None
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def is_index(self) -> bool:
        """Whether this lists manifests."""
        return self.media_type in INDEXES

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.raw)

    @property
    def descriptor(self) -> Descriptor:
        """What another manifest would promise of this one, with what a list of referrers pulls up from it."""
        return Descriptor(
            self.media_type, self.digest, self.size, annotations=self.annotations, artifact_type=self.artifact_type
        )

    @classmethod
    def parse(cls, raw: bytes, media_type: str = "", *, where: str, algorithm: str = "sha256") -> Manifest:
        """The manifest in *raw*; its own `mediaType` wins over *media_type*, which a registry's header gave.

        Raises ManifestError naming *where* it came from, for anything that is not a manifest of the two families.
        """
        if len(raw) > SIZE_MAX:
            raise ManifestError(f"{where}: the manifest is larger than {SIZE_MAX} bytes")
        view = _document(raw, where)
        kind = _media_type(view, media_type, where)
        try:
            children = _descriptors(view.get("manifests"), CHILDREN_MAX) if kind in INDEXES else ()
            config = _descriptor(view["config"]) if kind in MANIFESTS else None
            layers = _descriptors(view.get("layers"), LAYERS_MAX) if kind in MANIFESTS else ()
            subject = Digest.parse(view["subject"]["digest"]) if view.get("subject") else None
            annotations = _strings(view.get("annotations"))
        except (KeyError, TypeError, ValueError, AttributeError, BadReference, ManifestError) as exc:
            raise ManifestError(f"{where}: the manifest is malformed: {exc}") from exc
        own = {d.digest: d for d in ((config,) if config else ()) + layers if not d.is_foreign}
        artifact_type = view.get("artifactType") or (config.media_type if config else "")
        return cls(
            raw=raw,
            media_type=kind,
            digest=Digest.of(raw, algorithm),
            children=children,
            blobs=tuple(own.values()),
            config=config,
            subject=subject,
            # image-spec v1.1 manifest.md: without artifactType the config's media type is the artifact's type
            artifact_type=artifact_type if isinstance(artifact_type, str) else "",
            annotations=annotations,
        )


def attestation_subject(child: Descriptor) -> Digest | None:
    """The digest of the manifest that *child* of an index is BuildKit's attestation of, if it is one."""
    if child.annotations.get(_ATTESTATION_TYPE) != "attestation-manifest":
        return None
    try:
        return Digest.parse(child.annotations.get(_ATTESTATION_SUBJECT, ""))
    except BadReference:
        return None


def restricted(index: Manifest, platforms: Sequence[Platform], *, where: str) -> Manifest:
    """The index that lists only the children of *platforms*, and their attestations; itself if that drops none.

    A manifest that is no index is returned as it is. Raises ManifestError if no child is left.
    """
    if not index.is_index or not platforms:
        return index
    kept = {
        child.digest
        for child in index.children
        if child.platform and any(wanted.covers(child.platform) for wanted in platforms)
    }
    if not kept:
        have = ", ".join(sorted({str(child.platform) for child in index.children if child.platform}))
        wanted = ", ".join(map(str, platforms))
        raise ManifestError(f"{where}: none of the platforms {wanted} is in the index, which has {have}")
    kept |= {child.digest for child in index.children if attestation_subject(child) in kept}
    if len(kept) == len({child.digest for child in index.children}):
        return index
    view = json.loads(index.raw)
    view["manifests"] = [entry for entry in view["manifests"] if Digest.parse(entry["digest"]) in kept]
    raw = json.dumps(view, indent=3).encode()
    return Manifest.parse(raw, index.media_type, where=where, algorithm=index.digest.algorithm)


def is_restriction(part: Manifest, index: Manifest) -> bool:
    """Whether *part* is *index* without some of its children: what `restricted` makes, for whatever platforms."""
    view, whole = json.loads(part.raw), json.loads(index.raw)
    if not (part.is_index and index.is_index and isinstance(view, dict) and isinstance(whole, dict)):
        return False
    listed, all_of_them = view.pop("manifests", None), whole.pop("manifests", None) or ()
    return view == whole and bool(listed) and all(entry in all_of_them for entry in listed)


def nests_deep(view: Any) -> bool:
    """Whether the JSON document *view* nests deeper than NESTING_MAX: writing or comparing it might recurse too far."""
    level: list[Any] = [[view]]
    for _ in range(NESTING_MAX + 1):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def _document(raw: bytes, where: str) -> dict[str, Any]:
    try:
        view = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise ManifestError(f"{where}: the manifest is not JSON") from exc
    if nests_deep(view):
        raise ManifestError(f"{where}: the manifest nests deeper than {NESTING_MAX}, which is refused")
    if not isinstance(view, dict):
        raise ManifestError(f"{where}: the manifest is not a JSON object")
    return view


def _media_type(view: dict[str, Any], header: str, where: str) -> str:
    kind = view.get("mediaType") or header.partition(";")[0].strip()
    if not isinstance(kind, str):
        raise ManifestError(f"{where}: the manifest's mediaType is not a string")
    if view.get("schemaVersion") == 1 or ("manifest.v1+" in kind and "docker" in kind):
        raise ManifestError(f"{where}: this is a Docker schema 1 manifest, which has no stable digest and is refused")
    if kind not in INDEXES | MANIFESTS:
        # a manifest without mediaType, served with a header that says nothing (image-spec v1.1: SHOULD, not MUST)
        kind = OCI_INDEX if "manifests" in view else OCI_MANIFEST if "config" in view else kind
    if kind not in INDEXES | MANIFESTS:
        raise ManifestError(f"{where}: {kind[:100]!r} is not a media type of a manifest that we know")
    # image-spec v1.1 index.md and manifest.md: what has both lists is ambiguous, and a known attack
    if (kind in INDEXES and ("layers" in view or "config" in view)) or (kind in MANIFESTS and "manifests" in view):
        raise ManifestError(f"{where}: the manifest is both an index and an image, which is refused")
    return kind


def _descriptors(entries: Any, bound: int) -> tuple[Descriptor, ...]:
    entries = [] if entries is None else entries
    if not isinstance(entries, list) or len(entries) > bound:
        raise ValueError(f"a list of at most {bound} descriptors was expected")
    return tuple(_descriptor(entry) for entry in entries)


def _descriptor(entry: Any) -> Descriptor:
    platform = entry.get("platform")
    media_type, size = entry.get("mediaType", ""), entry["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not isinstance(media_type, str):
        raise TypeError("a descriptor's size is a number and its mediaType a string")
    return Descriptor(
        media_type=media_type,
        digest=Digest.parse(entry["digest"]),
        size=size,
        annotations=_strings(entry.get("annotations")),
        platform=_platform(platform) if platform else None,
        artifact_type=entry.get("artifactType") if isinstance(entry.get("artifactType"), str) else "",
        is_foreign=media_type in _FOREIGN,
    )


def _platform(entry: Any) -> Platform:
    return Platform(str(entry["os"]), str(entry["architecture"]), str(entry.get("variant") or ""))


def _strings(entry: Any) -> Mapping[str, str]:
    return MappingProxyType({str(key): str(value) for key, value in (entry or {}).items()})
