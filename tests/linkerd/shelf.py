"""A shelf: what a mirror in these tests holds, without a registry."""

from __future__ import annotations

from mirror.linkerd.holdings import Holding, Holdings
from mirror.linkerd.overrides import Located
from mirror.oci.content import Digest
from mirror.oci.reference import Reference, Repository

MIRROR = "mirror.example:5000/l5d"
RELEASE = "edge-26.8.1"


def shelf(*references: str, release: str = RELEASE) -> Holdings:
    """A mirror that holds *references*, flat below MIRROR."""
    holdings = Holdings(resolved)
    holdings.add(holding(reference, release=release) for reference in references)
    return holdings


def holding(reference: str, *, release: str = RELEASE, mirrored: Digest | None = None) -> Holding:
    """*reference* as it is held; *mirrored* is its digest there, where that is not upstream's."""
    parsed = Reference.parse(reference)
    upstream = digest_of(reference)
    place = f"{MIRROR}/{parsed.repository.name}"
    return Holding(release, upstream, Located(reference, place, parsed.tag, mirrored or upstream))


def digest_of(reference: str) -> Digest:
    """Its digest upstream."""
    return Digest.of(reference.encode())


def pinned(reference: str) -> str:
    """What *reference* becomes."""
    held = holding(reference).located
    return f"{held.repository}:{held.tag}@{held.digest}"


def resolved(repository: Repository) -> Repository:
    """cr.l5d.io is ghcr.io."""
    return Repository("ghcr.io", repository.path) if repository.host == "cr.l5d.io" else repository
