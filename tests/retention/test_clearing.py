"""Clearing, held to a model: nothing that stays becomes incomplete, and what nothing needs goes."""

from __future__ import annotations

from hypothesis import given, settings

from mirror.oci.content import Digest
from mirror.retention.clearing import Clearing, Node, Part, Stock, clearing, freed, needed, part
from tests.content import Image, artifact, image, index, multi_platform
from tests.mirrors import PATHS, Sample, samples


def stock(sample: Sample, path: str) -> Stock:
    """What is at *path*, as it would be seen."""
    tags, nodes = dict[str, Digest](), dict[Digest, Node]()
    referrers: dict[Digest, frozenset[Digest]] = {}
    for each in sample.everything():
        if each.path != path:
            continue
        for manifest in (one.manifest for one in each.what.graph()):
            nodes[manifest.digest] = Node.of(manifest)
            if manifest.subject:
                referrers[manifest.subject] = referrers.get(manifest.subject, frozenset()) | {manifest.digest}
        if each.tag:
            tags[each.tag] = each.what.digest
    return Stock(tags, nodes, referrers)


def seen(*tagged: tuple[str, Image], beside: tuple[Image, ...] = ()) -> Stock:
    """A repository with *tagged*, and *beside* what has no tag."""
    nodes = {
        one.digest: Node.of(one.manifest) for what in (*(what for _, what in tagged), *beside) for one in what.graph()
    }
    listed = {node.subject: frozenset({digest}) for digest, node in nodes.items() if node.subject}
    return Stock({tag: what.digest for tag, what in tagged}, nodes, listed)


def cleared(there: Stock, going: dict[str, Digest], *kept: Digest) -> Clearing:
    """What goes of *there* where the tags *going* go."""
    of_it = part(there, going)
    return clearing(there, of_it, needed(there, of_it, kept))


class TestProperty:
    @settings(max_examples=300)
    @given(samples())
    def test_what_stays_is_whole(self, sample: Sample) -> None:
        """Every kept record, every tag that is left, and what refers to what they name: all manifests are there."""
        stays = set(sorted(sample.releases)[-sample.kept :]) | sample.always
        for path in PATHS:
            there = stock(sample, path)
            kept = [each for name in stays if name in sample.releases for each in sample.releases[name]]
            kept = [each for each in kept if each.path == path]
            going = Part()
            for name in sample.releases.keys() - stays:
                named = {each.tag: each.what.digest for each in sample.releases[name] if each.path == path}
                going |= part(there, named)
            names = {each.tag for each in kept}
            going = Part({tag: d for tag, d in going.tags.items() if tag not in names}, going.manifests)
            goes = clearing(there, going, needed(there, going, [each.what.digest for each in kept]))
            left = there.manifests.keys() - goes.manifests
            tags = {tag: digest for tag, digest in there.tags.items() if tag not in goes.tags}

            assert {each.what.digest for each in kept} <= left
            assert set(tags.values()) <= left
            roots = {*tags.values(), *(each.what.digest for each in kept)}
            reached = _below(roots, there)
            assert reached <= left
            for digest in reached & _below({each.what.digest for each in kept}, there):
                assert there.referrers.get(digest, frozenset()) <= left
                assert all(tag in tags for tag in there.digest_tags(digest))
            foreign = [each for each in sample.foreign if each.path == path and each.tag == "ours"]
            assert all(each.tag in tags for each in foreign)
            # parents go no later than what they list
            gone = set[Digest]()
            for wave in goes.waves:
                gone |= set(wave)
                assert all(
                    digest not in goes.manifests or digest in gone
                    for digest, node in there.manifests.items()
                    if set(node.children) & set(wave)
                )
            if not stays & sample.releases.keys() and not foreign:
                assert not goes.manifests ^ going.manifests

    @settings(max_examples=100)
    @given(samples())
    def test_where_nothing_stays_everything_goes(self, sample: Sample) -> None:
        """Of all that releases have, if no tag of others is there."""
        for path in PATHS:
            there = stock(Sample(sample.releases, sample.missing, (), sample.referrers), path)
            going = Part()
            for several in sample.releases.values():
                going |= part(there, {each.tag: each.what.digest for each in several if each.path == path})
            goes = clearing(there, going, needed(there, going, ()))

            assert going.manifests == goes.manifests
            assert there.tags.keys() == goes.tags.keys()


def _below(roots: set[Digest], there: Stock) -> set[Digest]:
    found = set[Digest]()
    for digest in roots:
        if digest in there.manifests:
            found |= {digest} | _below(set(there.manifests[digest].children), there)
    return found


class TestCases:
    def test_platforms_that_are_shared(self) -> None:
        """What the index of another tag lists stays."""
        shared, own = image(b"shared"), image(b"own")
        old, new = index(shared, own), index(shared)
        goes = cleared(seen(("old", old), ("new", new)), {"old": old.digest})

        assert ((old.digest,), (own.digest,)) == goes.waves
        assert {"old": old.digest} == goes.tags

    def test_one_manifest_at_two_tags(self) -> None:
        """The tag goes alone, the manifest stays."""
        one = image(b"one")
        goes = cleared(seen(("old", one), ("new", one)), {"old": one.digest})

        assert (("old",), (), ()) == (goes.alone, goes.waves, goes.stuck)
        assert ((), ("old",), {}) == ((told := goes.with_manifests_alone()).alone, told.stuck, told.tags)

    def test_the_last_tag_of_what_is_needed(self) -> None:
        """It stays: a registry would delete the manifest with it."""
        child = image(b"child")
        parent = index(child)
        goes = cleared(seen(("old", child), ("new", parent)), {"old": child.digest})

        assert ((), (), ("old",), {}) == (goes.alone, goes.waves, goes.stuck, goes.tags)

    def test_what_refers_to_it(self) -> None:
        """Goes and stays with its subject, however it refers."""
        old, new = multi_platform("old"), multi_platform("new")
        bills = [artifact("application/spdx+json", subject=each) for each in (old, new)]
        tagged = [("old", old), ("new", new)]
        tagged += [(each.digest.fallback_tag(".sig"), image(each.digest.hex.encode())) for each in (old, new)]
        tagged += [(new.children[0].digest.fallback_tag(".att"), image(b"of a platform"))]
        there = seen(*tagged, beside=tuple(bills))
        goes = cleared(there, {"old": old.digest})

        assert bills[0].digest in goes.manifests
        assert bills[1].digest not in goes.manifests
        assert {"old", old.digest.fallback_tag(".sig")} == goes.tags.keys()

    def test_a_referrer_that_somebody_has_tagged(self) -> None:
        """It stays, and what it refers to: registries delete the one with the other."""
        old = image(b"old")
        bill = artifact("application/spdx+json", subject=old)
        goes = cleared(seen(("old", old), ("bill", bill)), {"old": old.digest})

        assert ((), ("old",)) == (goes.waves, goes.stuck)

    def test_what_a_record_that_stays_names(self) -> None:
        """It stays, tagged or not."""
        old = image(b"old")
        goes = cleared(seen(("old", old)), {"old": old.digest}, old.digest)

        assert () == goes.waves

    def test_a_tag_that_names_something_else_now(self) -> None:
        """It is another's; what the release had there goes."""
        old, other = image(b"old"), image(b"other")
        goes = cleared(seen(("old", other), beside=(old,)), {"old": old.digest})

        assert (((old.digest,),), {}) == (goes.waves, goes.tags)

    def test_a_tag_that_was_written_anew_since(self) -> None:
        """What an older run had on its list is not what is there now."""
        old, new = image(b"old"), image(b"new")
        there, going = seen(("old", new), beside=(old,)), Part({"old": old.digest}, frozenset({old.digest, new.digest}))
        goes = clearing(there, going, needed(there, going, ()))

        assert (((old.digest,),), {}) == (goes.waves, goes.tags)

    def test_bytes(self) -> None:
        """Manifests and blobs that nothing names any more, each once, over all repositories."""
        old, new = image(b"shared", b"old" * 100), image(b"shared", b"new")
        there = seen(("old", old), ("new", new))
        elsewhere = seen(("x", image(b"old" * 100, labels={"x": "y"})))
        goes = cleared(there, {"old": old.digest})
        config = old.manifest.config
        assert config is not None

        assert old.manifest.size + config.size + 300 == freed([(there, goes)])
        assert old.manifest.size + config.size == freed([(there, goes), (elsewhere, Clearing())])
