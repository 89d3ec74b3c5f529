"""Random small mirrors: releases that share images and blobs, signatures, tags of others, partial records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import strategies as st

from mirror.linkerd.parts import Image as Named
from mirror.oci.content import Digest
from mirror.oci.storage import Destination
from mirror.plan import Recorded, Target
from mirror.record import Missing, Record, RecordedImage
from tests.content import Image, artifact, image, index, push

NOW = datetime(2026, 8, 2, 12, tzinfo=UTC)
PATHS = ("proxy", "web")


@dataclass(frozen=True, slots=True)
class Tagged:
    """What somebody has put at a tag."""

    path: str
    tag: str
    what: Image


@dataclass(frozen=True, slots=True)
class Sample:
    """A mirror: what each release has recorded, and whatever else is there."""

    releases: dict[str, tuple[Tagged, ...]]
    missing: frozenset[str]
    """Releases that were never whole."""
    foreign: tuple[Tagged, ...]
    referrers: tuple[Tagged, ...]
    """By digest tag; without a tag, by its subject alone."""
    kept: int = 1
    always: frozenset[str] = field(default_factory=frozenset)

    def everything(self) -> Iterator[Tagged]:
        """All that is pushed, subjects first."""
        for several in self.releases.values():
            yield from several
        yield from self.referrers
        yield from self.foreign

    def record(self, release: str) -> Record:
        """What is recorded of *release*."""
        images = [
            RecordedImage(
                Named(f"cr.l5d.io/linkerd/{each.path}:{each.tag}", ("linkerd",), (), False, True, False),
                Target(each.path, each.tag),
                Recorded(each.what.digest, each.what.digest),
            )
            for each in self.releases[release]
        ]
        missing = (Missing("cr.l5d.io/linkerd/debug:x", ("linkerd",)),) if release in self.missing else ()
        return Record(release, "", NOW, (), tuple(images), "not proven", missing)


async def pushed(sample: Sample, places: dict[str, Destination]) -> None:
    """Everything of *sample* is there; a tag that is pushed twice names what came last."""
    for each in sample.everything():
        await push(places[each.path], each.what, tag=each.tag)


@st.composite
def samples(draw: st.DrawFn, *, by_subject: bool = True) -> Sample:
    """Mirrors; *by_subject*, some have referrers that only the registry lists."""
    layers = st.lists(st.sampled_from([b"a", b"b" * 50, b"c", b"d" * 20]), min_size=1, max_size=2)
    leaves = [image(*layers) for layers in draw(st.lists(layers, min_size=1, max_size=4))]
    some = st.lists(st.sampled_from(leaves), min_size=1, max_size=3, unique_by=lambda each: each.digest)
    indexes = [index(*several) for several in draw(st.lists(some, max_size=3))]
    nested = [index(*indexes[:2])] if len(indexes) > 1 and draw(st.booleans()) else []
    roots = st.sampled_from([*leaves, *indexes, *nested])
    names = [f"edge-26.8.{number}" for number in range(1, draw(st.integers(2, 4)) + 1)]
    releases = dict[str, tuple[Tagged, ...]]()
    shared = {path: draw(roots) for path in PATHS}
    for name in names:
        own = [Tagged(path, name, draw(roots)) for path in draw(st.sets(st.sampled_from(PATHS)))]
        third = [Tagged(path, "v1", shared[path]) for path in draw(st.sets(st.sampled_from(PATHS)))]
        releases[name] = tuple(sorted(own + third, key=lambda each: (each.path, each.tag)))
    held = [Tagged(each.path, "", part) for each in _all(releases) for part in each.what.graph()]
    referrers = list[Tagged]()
    for subject in draw(st.lists(st.sampled_from(held), max_size=3)) if held else ():
        digest = subject.what.digest
        kinds = [".sig", "", "nested", *(["subject"] if by_subject else [])]
        match draw(st.sampled_from(kinds)):
            case ".sig":
                signature = draw(st.sampled_from([image(b"signature"), image(b"of " + digest.hex.encode())]))
                referrers.append(Tagged(subject.path, digest.fallback_tag(".sig"), signature))
            case "subject":
                referrers.append(Tagged(subject.path, "", artifact("application/x", subject=subject.what)))
            case kind:
                listed = [artifact("application/x", subject=subject.what)]
                listed += [draw(st.sampled_from(leaves))] if kind == "nested" else []
                referrers.append(Tagged(subject.path, digest.fallback_tag(), index(*listed)))
    anything = [*leaves, *indexes, *(each.what for each in referrers)]
    foreign = [
        Tagged(path, tag, draw(st.sampled_from(anything)))
        for path, tag in draw(st.sets(st.tuples(st.sampled_from(PATHS), st.sampled_from(["ours", *names])), max_size=3))
    ]
    return Sample(
        releases,
        frozenset(draw(st.sets(st.sampled_from(names)))),
        tuple(foreign),
        tuple(referrers),
        draw(st.integers(1, 2)),
        frozenset(draw(st.sets(st.sampled_from(names), max_size=1))),
    )


def _all(releases: dict[str, tuple[Tagged, ...]]) -> list[Tagged]:
    return [each for several in releases.values() for each in several]


def digests(what: Image) -> set[Digest]:
    """Of all that it needs: manifests and blobs."""
    return {digest for part in what.graph() for digest in (part.digest, *part.blobs)}
