"""Known: by which names and digests a cluster may know what a mirror has recorded. Pure.

The same image runs under the name that the cluster pulls it by, under that of the mirror's own place, or under
upstream's, if values did not reach it; names are compared after aliases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mirror.cluster.running import Running
from mirror.destinations.mirror import Mirror
from mirror.errors import BadReference
from mirror.linkerd.release import Release
from mirror.oci.content import Digest
from mirror.oci.reference import Reference, Repository
from mirror.plan import Target
from mirror.record import Record, RecordedImage

Resolve = Callable[[Repository], Repository]
"""What a repository really is, aliases applied."""


@dataclass(frozen=True, slots=True)
class Known:
    """One recorded image of one release."""

    release: Release
    target: Target
    names: Mapping[Repository, bool]
    """What it may be called, and whether that is the mirror's name."""
    tags: frozenset[str]
    digest: Digest
    """What the mirror holds."""
    upstream: Digest
    """What that was made of; with a platform filter, another one."""

    def is_of(self, repository: Repository) -> bool:
        """Whether this may be in *repository*, which is resolved."""
        return repository in self.names

    def runs(self, image: Running, repository: Repository) -> bool:
        """Whether it is what *image*, which really is in *repository*, was asked to be, or what runs of it."""
        return self.is_of(repository) and (
            image.reference.tag in self.tags or image.digest in (self.digest, self.upstream)
        )


def known(mirror: Mirror, record: Record, resolve: Resolve) -> tuple[Known, ...]:
    """What *record* says that *mirror* holds."""
    release = Release.parse(record.release)
    return tuple(_known(mirror, release, image, resolve) for image in record.images)


def _known(mirror: Mirror, release: Release, image: RecordedImage, resolve: Resolve) -> Known:
    upstream, target = Reference.parse(image.image.reference), image.target
    ours = [mirror.pull_name(target.path)] if mirror.pull_registry else []
    ours += [] if mirror.stores_once else [f"{mirror.place}/{target.path}"]
    named = {resolve(repository): True for repository in _repositories(ours)}
    return Known(
        release,
        target,
        {resolve(upstream.repository): False} | named,
        frozenset({target.tag, upstream.tag} - {""}),
        image.digests.mirrored,
        image.digests.upstream,
    )


def _repositories(names: Iterable[str]) -> list[Repository]:
    found = list[Repository]()
    for name in names:
        try:
            found.append(Repository.parse(name))
        except BadReference:  # a place that no cluster can name
            continue
    return found


def used(
    images: Iterable[Running], held: Iterable[Known], staying: Iterable[Release], resolve: Resolve
) -> Mapping[Release, str]:
    """The releases to keep beside those *staying*, so that each of *images* stays that is held, and why."""
    every, kept, reasons = tuple(held), set(staying), dict[Release, str]()
    for image in images:
        repository = resolve(image.reference.repository)
        holders = {each.release for each in every if each.runs(image, repository)}
        if holders and not holders & kept:
            newest = max(holders)
            kept.add(newest)
            reasons[newest] = f"{image.reference} runs" + (f" in {image.where[0]}" if image.where else "")
    return reasons
