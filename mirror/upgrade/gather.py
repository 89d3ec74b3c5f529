"""Gathers what is compared at each hop of an upgrade: the releases' charts, and the platforms of their images.

    path ─► charts of each release, read once ─► images ─► indexes of those that differ ─► changes of each hop

A registry that cannot be reached leaves the platforms of its images out, and is said once. Writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from mirror.errors import MirrorError, Unreachable
from mirror.linkerd.catalogue import ChartCatalogue
from mirror.linkerd.images import release_images
from mirror.linkerd.path import Hop
from mirror.linkerd.release import Release
from mirror.oci.content import Platform
from mirror.oci.manifest import Manifest
from mirror.oci.reference import Reference, Repository
from mirror.oci.storage import Source
from mirror.tasks import gather, gather_some
from mirror.upgrade.changes import Change, Edition, changes, to_look_at

PATIENCE_S = 30.0  # for the indexes of one registry
_RELEASES_AT_ONCE = 4  # each is some archives in memory

_Platforms = Mapping[Reference, frozenset[Platform]]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The hops of a path, and what changes at each."""

    hops: tuple[tuple[Hop, tuple[Change, ...]], ...]
    notes: tuple[str, ...]
    """What could not be compared, and why, a sentence for each registry."""

    def document(self) -> dict[str, Any]:
        """As JSON has it; mirror/cli/path.py tells the keys."""
        return {
            "hops": [
                {
                    "from": str(hop.before),
                    "to": str(hop.after),
                    "version": str(hop.version),
                    "changes": [change.document() for change in found],
                }
                for hop, found in self.hops
            ],
            "notes": list(self.notes),
        }


async def upgrade(
    catalogue: ChartCatalogue,
    source: Callable[[Repository], Source],
    hops: Sequence[Hop],
    *,
    patience_s: float = PATIENCE_S,
) -> Upgrade:
    """*hops* with what changes at each; *source* is a repository where it really is, aliases applied."""
    releases = [hops[0].before, *(hop.after for hop in hops)]
    editions = await gather_some((_edition(catalogue, each) for each in releases), at_once=_RELEASES_AT_ONCE)
    wanted = set[Reference]().union(*(to_look_at(before, after) for before, after in pairwise(editions)))
    platforms, notes = await _platforms(source, wanted, patience_s)
    seen = [replace(edition, platforms=platforms) for edition in editions]
    compared = [changes(before, after) for before, after in pairwise(seen)]
    return Upgrade(tuple(zip(hops, compared, strict=True)), notes)


async def _edition(catalogue: ChartCatalogue, release: Release) -> Edition:
    charts = await catalogue.charts(release)
    images = await asyncio.to_thread(release_images, charts)
    return Edition(release, (await catalogue.versions()).of(release), charts, images)


async def _platforms(
    source: Callable[[Repository], Source], references: Iterable[Reference], patience_s: float
) -> tuple[_Platforms, tuple[str, ...]]:
    """The platforms of *references*, as far as registries tell, and a sentence for each that does not tell all."""
    by_host: dict[str, list[Reference]] = {}
    for reference in sorted(references):
        by_host.setdefault(reference.repository.host, []).append(reference)
    found = dict[Reference, frozenset[Platform]]()
    notes = await gather(*(_look(source, several, found, patience_s) for several in by_host.values()))
    return found, tuple(note for note in notes if note)


async def _look(
    source: Callable[[Repository], Source],
    references: Sequence[Reference],
    found: dict[Reference, frozenset[Platform]],
    patience_s: float,
) -> str:
    """*found* has the platforms of *references*, all of one host; what is to be said if some are left out."""
    problems = list[str]()

    async def look(reference: Reference) -> None:
        try:
            found[reference] = _platforms_of(await source(reference.repository).manifest(reference.version))
        except Unreachable:
            raise
        except MirrorError as exc:
            problems.append(str(exc))

    first, *others = references
    try:
        async with asyncio.timeout(patience_s):
            await look(first)  # one learns whether the host answers
            await gather(*map(look, others))
    except TimeoutError:
        problems.insert(0, f"it did not answer within {patience_s:g} s")
    except Unreachable as exc:
        problems.insert(0, str(exc))
    if not problems:
        return ""
    left_out = sum(reference not in found for reference in references)
    images = f"{left_out} of {len(references)} images"
    return f"the platforms of {images} at {first.repository.host} are left out: {problems[0]}"


def _platforms_of(manifest: Manifest) -> frozenset[Platform]:
    """What *manifest* has images for; none where it is no index; attestations are for `unknown`."""
    named = (child.platform for child in manifest.children)
    return frozenset(platform for platform in named if platform and platform.os != "unknown")
