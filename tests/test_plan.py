"""The plan: every combination of states, against a table written by hand; targets and clashes."""

from __future__ import annotations

from itertools import product
from typing import Literal

import pytest

from mirror.oci.content import Digest
from mirror.oci.reference import Reference
from mirror.plan import (
    Action,
    Adopt,
    Copy,
    Fail,
    Found,
    Gone,
    Keep,
    Mirrored,
    Recorded,
    Refuse,
    Target,
    Unfit,
    Unknown,
    Upstream,
    clashes,
    decide,
    targets,
)

A, B, C = (Digest.of(text) for text in (b"A", b"B", b"C"))
A1, A2, B1 = (Digest.of(text) for text in (b"A filtered", b"A filtered otherwise", b"B filtered"))

RECORDED = {"-": None, "A": Recorded(A, A)}
UPSTREAM: dict[str, Upstream] = {
    "A": Found(A, A),
    "B": Found(B, B),
    "gone": Gone(),
    "unknown": Unknown("no route"),
    "unfit": Unfit("none of the platforms"),
}
MIRRORED: dict[str, Mirrored] = {"A": A, "B": B, "C": C, "-": Gone(), "unknown": Unknown("no route")}

# recorded, upstream: what is done where the mirror has A, B, C, nothing, or does not answer. Of DESIGN.md's table.
TABLE = """
    - A        adopt  refuse refuse copy   fail
    - B        refuse adopt  refuse copy   fail
    - gone     refuse refuse refuse refuse fail
    - unknown  fail   fail   fail   fail   fail
    - unfit    fail   fail   fail   fail   fail
    A A        keep   refuse refuse copy   fail
    A B        refuse refuse refuse refuse fail
    A gone     keep   fail   fail   fail   fail
    A unknown  keep   fail   fail   fail   fail
    A unfit    fail   fail   fail   fail   fail
"""
# Where it differs: for a third party, and where moved tags are followed.
THIRD_PARTY = "A B        keep   refuse refuse copy   fail"
FOLLOW = "A B        copy   adopt  copy   copy   fail"


def rows(text: str) -> dict[tuple[str, str, str], str]:
    table = {}
    for line in filter(str.strip, text.splitlines()):
        recorded, upstream, *actions = line.split()
        table |= {(recorded, upstream, mirrored): action for mirrored, action in zip(MIRRORED, actions, strict=True)}
    return table


def cases() -> list[tuple[str, str, str, bool, Literal["refuse", "follow"], str]]:
    found = []
    for first_party, moved in product((True, False), ("refuse", "follow")):
        table = rows(TABLE)
        if not first_party:
            table |= rows(THIRD_PARTY)
        elif moved == "follow":
            table |= rows(FOLLOW)
        assert set(product(RECORDED, UPSTREAM, MIRRORED)) == set(table)
        found += [(*states, first_party, moved, action) for states, action in table.items()]
    return found  # type: ignore[return-value]


def kind(action: Action) -> str:
    return type(action).__name__.lower()


class TestTable:
    @pytest.mark.parametrize(("recorded", "upstream", "mirrored", "first_party", "moved", "expected"), cases())
    def test_every_state(
        self,
        recorded: str,
        upstream: str,
        mirrored: str,
        first_party: bool,
        moved: Literal["refuse", "follow"],
        expected: str,
    ) -> None:
        """One action for each, and it is the table's."""
        action = decide(
            recorded=RECORDED[recorded],
            upstream=UPSTREAM[upstream],
            mirrored=MIRRORED[mirrored],
            moved_tags=moved,
            is_first_party=first_party,
        )

        assert expected == kind(action)

    def test_what_the_actions_carry(self) -> None:
        """Digests, and no words where there is nothing to say."""
        assert Keep(A) == decide(recorded=Recorded(A, A), upstream=Found(A, A), mirrored=A)
        assert Adopt(A, A) == decide(recorded=None, upstream=Found(A, A), mirrored=A)
        assert Copy(A, A) == decide(recorded=None, upstream=Found(A, A), mirrored=Gone())
        assert Copy(A, A) == decide(recorded=Recorded(A, A), upstream=Found(A, A), mirrored=Gone())

    def test_gone_upstream_is_kept_with_a_warning(self) -> None:
        """It counts as compared: upstream did answer."""
        action = decide(recorded=Recorded(A, A), upstream=Gone(), mirrored=A)

        assert Keep(A, warning="upstream no longer has it") == action

    def test_unknown_upstream_is_kept_and_not_compared(self) -> None:
        """With the reason."""
        action = decide(recorded=Recorded(A, A), upstream=Unknown("no route"), mirrored=A)

        assert isinstance(action, Keep)
        assert not action.is_compared
        assert "not compared" in action.warning
        assert "no route" in action.warning

    @pytest.mark.parametrize(
        ("recorded", "upstream", "mirrored", "told"),
        [
            (None, Found(A, A), B, (A, B)),
            (Recorded(A, A), Found(A, A), B, (A, B)),
            (Recorded(A, A), Found(B, B), A, (A, B)),
        ],
        ids=["taken", "changed", "moved"],
    )
    def test_a_refusal_names_both_digests(
        self, recorded: Recorded | None, upstream: Upstream, mirrored: Mirrored, told: tuple[Digest, ...]
    ) -> None:
        """A human can compare them."""
        action = decide(recorded=recorded, upstream=upstream, mirrored=mirrored)

        assert isinstance(action, Refuse)
        assert [] == [digest for digest in told if str(digest) not in action.reason]

    @pytest.mark.parametrize("recorded", [None, Recorded(A, A)])
    @pytest.mark.parametrize(("upstream", "mirrored"), [(Found(A, A), Unknown("no route")), (Unknown("no route"), B)])
    def test_a_failure_says_why(self, recorded: Recorded | None, upstream: Upstream, mirrored: Mirrored) -> None:
        """In the words of who did not answer."""
        action = decide(recorded=recorded, upstream=upstream, mirrored=mirrored)

        assert isinstance(action, Fail)
        assert "no route" in action.reason

    def test_a_third_party_that_moved_stays(self) -> None:
        """At the digest that is recorded, and both are named."""
        action = decide(recorded=Recorded(A, A), upstream=Found(B, B), mirrored=A, is_first_party=False)

        assert isinstance(action, Keep)
        assert A == action.digest
        assert str(A) in action.warning
        assert str(B) in action.warning

    def test_a_third_party_that_moved_and_was_lost_is_copied_by_its_old_digest(self) -> None:
        """The warning stays with it."""
        action = decide(recorded=Recorded(A, A), upstream=Found(B, B), mirrored=Gone(), is_first_party=False)

        assert isinstance(action, Copy)
        assert (A, A) == (action.upstream, action.digest)
        assert str(B) in action.warning

    def test_a_followed_tag_is_told(self) -> None:
        """It is no silent change."""
        action = decide(recorded=Recorded(A, A), upstream=Found(B, B), mirrored=A, moved_tags="follow")

        assert isinstance(action, Copy)
        assert (B, B) == (action.upstream, action.digest)
        assert str(A) in action.warning


class TestAccept:
    @pytest.mark.parametrize(
        ("recorded", "upstream", "mirrored", "accepted", "expected"),
        [
            (None, Found(A, A), B, A, Copy(A, A, replaced=B)),
            (None, Found(A, A), B, B, Adopt(B, B, replaced=A)),
            (Recorded(A, A), Found(A, A), B, A, Copy(A, A, replaced=B)),
            (Recorded(A, A), Found(B, B), A, B, Copy(B, B, replaced=A)),
            (Recorded(A, A), Found(B, B), A, A, Keep(A)),
            (Recorded(A, A), Found(B, B), B, B, Adopt(B, B, replaced=A)),
            (Recorded(A, A), Found(B, B), B, A, Copy(A, A, replaced=B)),
            (Recorded(A, A), Found(B, B), Gone(), B, Copy(B, B, replaced=A)),
            (Recorded(A, A), Found(B, B), Gone(), A, Copy(A, A, replaced=B)),
        ],
    )
    def test_a_candidate_settles_it(
        self, recorded: Recorded | None, upstream: Upstream, mirrored: Mirrored, accepted: Digest, expected: Action
    ) -> None:
        """The tag is brought to the digest that was accepted; the other one is known."""
        assert expected == decide(recorded=recorded, upstream=upstream, mirrored=mirrored, accepted=accepted)

    @pytest.mark.parametrize(("recorded", "upstream", "mirrored"), [*product(RECORDED, UPSTREAM, MIRRORED)])
    def test_what_has_nothing_to_do_with_it_changes_nothing(self, recorded: str, upstream: str, mirrored: str) -> None:
        """A digest that nobody has is never copied."""
        states = {"recorded": RECORDED[recorded], "upstream": UPSTREAM[upstream], "mirrored": MIRRORED[mirrored]}
        nobody = Digest.of(b"nobody has this")

        assert decide(**states) == decide(**states, accepted=nobody)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("recorded", "upstream", "mirrored"), [*product(RECORDED, UPSTREAM, MIRRORED)])
    @pytest.mark.parametrize("accepted", [A, B, C])
    def test_only_refusals_are_settled(self, recorded: str, upstream: str, mirrored: str, accepted: Digest) -> None:
        """Everything else is as without."""
        states = {"recorded": RECORDED[recorded], "upstream": UPSTREAM[upstream], "mirrored": MIRRORED[mirrored]}
        without = decide(**states)  # type: ignore[arg-type]
        action = decide(**states, accepted=accepted)  # type: ignore[arg-type]

        if not isinstance(without, Refuse):
            assert without == action
        elif accepted in without.candidates:
            assert not isinstance(action, Refuse | Fail)

    def test_every_candidate_settles_also_with_a_filter(self) -> None:
        """Whatever the digests are, some of them equal: the outcome is an action, and no digest replaces itself."""
        digests = (A, B, A1)
        recorded = [None, *(Recorded(*pair) for pair in product(digests, repeat=2))]
        upstream = [Found(*pair) for pair in product(digests, repeat=2)]
        for then, now, here in product(recorded, upstream, (*digests, Gone())):
            refused = decide(recorded=then, upstream=now, mirrored=here)
            for candidate in refused.candidates if isinstance(refused, Refuse) else ():
                settled = decide(recorded=then, upstream=now, mirrored=here, accepted=candidate)
                assert isinstance(settled, Keep | Adopt | Copy)
                assert isinstance(settled, Keep) or settled.replaced != settled.digest

    def test_with_a_platform_filter(self) -> None:
        """The digest that is accepted is upstream's; the mirror gets what the filter makes of it."""
        moved = decide(recorded=Recorded(A, A1), upstream=Found(B, B1), mirrored=A1, accepted=B)
        stayed = decide(recorded=Recorded(A, A1), upstream=Found(B, B1), mirrored=A1, accepted=A)

        assert Copy(B, B1, replaced=A1) == moved
        assert Keep(A1) == stayed


class TestPlatformFilter:
    @pytest.mark.parametrize(
        ("recorded", "upstream", "mirrored", "expected"),
        [
            (None, Found(A, A1), Gone(), Copy(A, A1)),
            (None, Found(A, A1), A1, Adopt(A, A1)),
            (Recorded(A, A1), Found(A, A1), A1, Keep(A1)),
            (Recorded(A, A1), Found(A, A1), Gone(), Copy(A, A1)),
            (Recorded(A, A1), Found(A, A2), A2, Adopt(A, A2)),
            (Recorded(A, A1), Found(A, A2), Gone(), Copy(A, A2)),
            (Recorded(A, A1), Found(A, A2), A1, Copy(A, A2, warning="the platform filter changed")),
            (Recorded(A, A1), Gone(), A1, Keep(A1, warning="upstream no longer has it")),
            (Recorded(A, A), Found(A, A1), A, Copy(A, A1, warning="the platform filter changed")),
        ],
    )
    def test_upstream_and_mirror_differ_as_the_filter_says(
        self, recorded: Recorded | None, upstream: Upstream, mirrored: Mirrored, expected: Action
    ) -> None:
        """Upstream's digest is compared with upstream's, the mirror's with the mirror's."""
        assert expected == decide(recorded=recorded, upstream=upstream, mirrored=mirrored)

    @pytest.mark.parametrize(
        ("recorded", "mirrored"), [(None, A), (None, B1), (Recorded(A, A1), A2), (Recorded(A, A1), A)]
    )
    def test_anything_else_at_the_tag_is_refused(self, recorded: Recorded | None, mirrored: Mirrored) -> None:
        """The whole index where the filtered one belongs, too."""
        assert isinstance(decide(recorded=recorded, upstream=Found(A, A1), mirrored=mirrored), Refuse)

    def test_a_change_under_us_is_refused_also_when_the_filter_changed(self) -> None:
        """Neither what was recorded nor what the filter yields now."""
        action = decide(recorded=Recorded(A, A1), upstream=Found(A, A2), mirrored=C)

        assert isinstance(action, Refuse)
        assert str(C) in action.reason


def references(*texts: str) -> list[Reference]:
    return [Reference.parse(text) for text in texts]


class TestTargets:
    @pytest.mark.parametrize(
        ("text", "flat", "upstream"),
        [
            ("cr.l5d.io/linkerd/proxy:edge-26.8.1", "proxy:edge-26.8.1", "cr.l5d.io/linkerd/proxy:edge-26.8.1"),
            ("prom/prometheus:v2.55.1", "prometheus:v2.55.1", "docker.io/prom/prometheus:v2.55.1"),
            ("localhost:5000/a/b:v1", "b:v1", "localhost-5000/a/b:v1"),
            ("cr.l5d.io/linkerd/proxy", "proxy:latest", "cr.l5d.io/linkerd/proxy:latest"),
            (f"x.io/a/b:v1@{A}", "b:v1", "x.io/a/b:v1"),
            (f"x.io/a/b@{A}", f"b:sha256-{A.hex}", f"x.io/a/b:sha256-{A.hex}"),
        ],
    )
    def test_where_it_goes(self, text: str, flat: str, upstream: str) -> None:
        """The last segment, or host and path; a port's colon is no part of a name."""
        [reference] = references(text)

        assert flat == str(targets([reference], paths="flat")[reference])
        assert upstream == str(targets([reference], paths="upstream")[reference])


class TestClashes:
    def test_two_digests_at_one_target(self) -> None:
        """Both are refused, each by both names, with the way out; others are not."""
        one, two, other = references("a.io/x/web:v1", "b.io/y/web:v1", "a.io/x/tap:v1")
        refused = clashes(targets([one, two, other], paths="flat"), {one: A, two: B, other: C})

        assert {one, two} == set(refused)
        assert "a.io/x/web:v1 and b.io/y/web:v1 meet at web:v1" in refused[one]
        assert 'paths = "upstream"' in refused[two]

    def test_one_digest_is_one_image(self) -> None:
        """cr.l5d.io and ghcr.io are two names of one registry."""
        one, two = references("cr.l5d.io/linkerd/web:v1", "ghcr.io/linkerd/web:v1")

        assert {} == clashes(targets([one, two], paths="flat"), {one: A, two: A})

    def test_paths_of_upstream_do_not_meet(self) -> None:
        """So that is the way out."""
        one, two = references("a.io/x/web:v1", "b.io/y/web:v1")

        assert {} == clashes(targets([one, two], paths="upstream"), {one: A, two: B})

    def test_the_name_of_the_records_is_taken(self) -> None:
        """Whatever its digest."""
        [reference] = references("a.io/x/mirror-record:v1")
        refused = clashes(targets([reference], paths="flat"), {})

        assert "mirror-record" in refused[reference]

    def test_a_target_reads_as_a_name(self) -> None:
        """Path and tag."""
        assert "linkerd/proxy:v1" == str(Target("linkerd/proxy", "v1"))
