"""Clearing: what of a repository may be deleted so that nothing that stays becomes incomplete. Pure.

    Node      a manifest, as far as it matters here
    Stock     a repository as it is: tags, manifests, what refers to what
    Part      what a release has there: its tags, and every manifest that hangs on them
    Clearing  what goes of it: tags alone, manifests in waves, parents before what they list

A manifest stays if anything that stays needs it. What stays is what a record that stays names, and every tag that does
not go, whoever pushed it; with it stay the manifests that it lists, what refers to it, and what it refers to. A
*digest tag* (`sha256-HEX`, `.sig`, `.att`, `.sbom`) stays and goes with the manifest that it is named after.

A tag goes alone only where its manifest has another tag that stays: Amazon ECR deletes the manifest with the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mirror.oci.content import Digest
from mirror.oci.manifest import Manifest

SUFFIXES = ("", ".sig", ".att", ".sbom")
"""Of digest tags: the fallback of the referrers API, and cosign's (mirror/oci/referrers.py)."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a manifest names."""

    size: int
    children: tuple[Digest, ...] = ()
    blobs: tuple[tuple[Digest, int], ...] = ()
    """With their sizes."""
    subject: Digest | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Node:
        """What *manifest* names."""
        return cls(
            manifest.size,
            tuple(child.digest for child in manifest.children),
            tuple((blob.digest, blob.size) for blob in manifest.blobs),
            manifest.subject,
        )


@dataclass(frozen=True, slots=True)
class Stock:
    """A repository as it is, as far as it was seen: everything below its tags, and what refers to that."""

    tags: Mapping[str, Digest] = field(default_factory=dict)
    manifests: Mapping[Digest, Node] = field(default_factory=dict)
    referrers: Mapping[Digest, frozenset[Digest]] = field(default_factory=dict)
    """What the registry lists for a subject."""

    def around(self, digest: Digest) -> set[Digest]:
        """What hangs on *digest*: what it lists, and what refers to it."""
        found = self.manifests.get(digest)
        listed = found.children if found else ()
        return {*listed, *self.referrers.get(digest, ()), *self.digest_tags(digest).values()}

    def digest_tags(self, digest: Digest) -> dict[str, Digest]:
        """The digest tags that are named after *digest*."""
        names = (digest.fallback_tag(suffix) for suffix in SUFFIXES)
        return {name: self.tags[name] for name in names if name in self.tags}


@dataclass(frozen=True, slots=True)
class Part:
    """What is of a release in one repository: it may be needed by others too."""

    tags: Mapping[str, Digest] = field(default_factory=dict)
    manifests: frozenset[Digest] = frozenset()

    def __or__(self, other: Part) -> Part:
        return Part({**self.tags, **other.tags}, self.manifests | other.manifests)


@dataclass(frozen=True, slots=True)
class Clearing:
    """What goes of one repository."""

    tags: Mapping[str, Digest] = field(default_factory=dict)
    """Those that go, be it with their manifests."""
    alone: tuple[str, ...] = ()
    """Those of them whose manifests stay."""
    waves: tuple[tuple[Digest, ...], ...] = ()
    """The manifests that go, those that list others before these."""
    stuck: tuple[str, ...] = ()
    """Tags that would go and stay, for something else needs their manifests, and they cannot go alone."""

    def with_manifests_alone(self) -> Clearing:
        """The same where no tag can be deleted alone."""
        tags = {tag: digest for tag, digest in self.tags.items() if tag not in self.alone}
        return Clearing(tags, (), self.waves, tuple(sorted({*self.stuck, *self.alone})))

    def only(self, gone: Collection[str | Digest]) -> Clearing:
        """The same where of the tags and manifests that go only those *gone* do."""
        return Clearing(
            {tag: digest for tag, digest in self.tags.items() if tag in gone},
            tuple(tag for tag in self.alone if tag in gone),
            tuple(tuple(digest for digest in wave if digest in gone) for wave in self.waves),
            self.stuck,
        )

    @property
    def manifests(self) -> frozenset[Digest]:
        """Those that go."""
        return frozenset(digest for wave in self.waves for digest in wave)


def part(stock: Stock, recorded: Mapping[str, Digest]) -> Part:
    """What hangs on the tags that are *recorded*; a tag that names something else now is not the release's any more."""
    manifests = _reached(recorded.values(), stock.around) & {*stock.manifests, *recorded.values()}
    named = {tag: digest for tag, digest in recorded.items() if stock.tags.get(tag) == digest}
    for digest in manifests:
        named |= stock.digest_tags(digest)
    return Part(named, frozenset(manifests))


def needed(stock: Stock, going: Part, kept: Iterable[Digest]) -> frozenset[Digest]:
    """What something that stays needs: the digests *kept*, and every tag that is not *going*."""
    of_others = {name for digest in stock.manifests for name in stock.digest_tags(digest)}
    tagged = {
        digest
        for tag, digest in stock.tags.items()
        if going.tags.get(tag) != digest and tag not in of_others
    }  # fmt: skip
    owners: dict[Digest, set[Digest]] = {}
    for digest in stock.manifests:
        for named in stock.digest_tags(digest).values():
            owners.setdefault(named, set()).add(digest)

    def beside(digest: Digest) -> set[Digest]:
        found = stock.manifests.get(digest)
        subject = {found.subject} if found and found.subject else set()
        return {*stock.around(digest), *subject, *owners.get(digest, ())}

    return frozenset(_reached({*tagged, *kept}, beside))


def clearing(stock: Stock, going: Part, stays: frozenset[Digest], *, safe: frozenset[Digest] = frozenset()) -> Clearing:
    """What goes of *going* where *stays* is needed; what is *safe* loses nothing with its last tag."""
    manifests = (going.manifests & set(stock.manifests)) - stays
    held = {tag: digest for tag, digest in going.tags.items() if stock.tags.get(tag) == digest}
    other = {digest for tag, digest in stock.tags.items() if tag not in held}
    alone = {tag for tag, digest in held.items() if digest in (other | safe) - manifests and not _is_digest_tag(tag)}
    tags = {tag: digest for tag, digest in sorted(held.items()) if digest in manifests or tag in alone}
    stuck = tuple(sorted(tag for tag, digest in held.items() if tag not in tags and not _is_digest_tag(tag)))
    return Clearing(tags, tuple(sorted(alone)), _waves(stock, manifests), stuck)


def _is_digest_tag(tag: str) -> bool:
    return tag.startswith(("sha256-", "sha512-"))


def freed(stocks: Iterable[tuple[Stock, Clearing]]) -> int:
    """Bytes that nothing that was seen names any more: manifests and blobs, each once."""
    gone, stays = dict[Digest, int](), set[Digest]()
    for stock, cleared in stocks:
        for digest, manifest in stock.manifests.items():
            parts = [(digest, manifest.size), *manifest.blobs]
            if digest in cleared.manifests:
                gone |= dict(parts)
            else:
                stays |= {each for each, _ in parts}
    return sum(size for digest, size in gone.items() if digest not in stays)


def _waves(stock: Stock, manifests: Collection[Digest]) -> tuple[tuple[Digest, ...], ...]:
    left, waves = set(manifests), list[tuple[Digest, ...]]()
    while left:
        listed = {child for digest in left for child in stock.manifests[digest].children}
        wave = left - listed  # never empty: nothing lists, by its digest, what lists it
        waves.append(tuple(sorted(wave)))
        left -= wave
    return tuple(waves)


def _reached(begin: Iterable[Digest], beside: Callable[[Digest], set[Digest]]) -> set[Digest]:
    found, new = set[Digest](), set(begin)
    while new:
        found |= new
        new = set[Digest]().union(*map(beside, new)) - found
    return found
