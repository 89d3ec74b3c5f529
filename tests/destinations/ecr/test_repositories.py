"""What a repository is wanted to be, and how it differs."""

from __future__ import annotations

import contextlib
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.destinations.ecr.repositories import Difference, Seen, Wanted, canonical, drift, expires

SEEN = Seen(
    path="linkerd/proxy",
    arn="arn:aws:ecr:eu-west-1:123456789012:repository/linkerd/proxy",
    mutability="IMMUTABLE_WITH_EXCLUSION",
    exclusions=("sha256-*",),
    encryption="AES256",
    kms_key="",
    scan_on_push=False,
)
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
PULL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["1" * 12]}, "Action": ["a"]}]}
AS_AWS_SAYS = {
    "Statement": [{"Action": "a", "Principal": {"AWS": f"arn:aws:iam::{'1' * 12}:root"}, "Effect": "Allow"}],
    "Version": "2012-10-17",
}


def lifecycle(*rules: dict[str, Any]) -> str:
    return json.dumps({"rules": [{"rulePriority": number, **rule} for number, rule in enumerate(rules, 1)]})


UNTAGGED = {"selection": {"tagStatus": "untagged", "countType": "x", "countNumber": 1}, "action": {"type": "expire"}}
ANY = {
    "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 30},
    "action": {"type": "expire"},
}
EDGE = {
    "selection": {
        "tagStatus": "tagged",
        "tagPatternList": ["edge-*"],
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": 14,
    },
    "action": {"type": "transition", "targetStorageClass": "archive"},
}


def test_as_it_is_wanted() -> None:
    """No difference."""
    assert () == drift(Wanted(), SEEN)


@pytest.mark.parametrize(
    ("wanted", "seen", "aspect", "told"),
    [
        (
            {},
            {"mutability": "MUTABLE", "exclusions": ()},
            "tag mutability",
            "its tag mutability is MUTABLE, and IMMUTABLE_WITH_EXCLUSION (sha256-*) is wanted",
        ),
        (
            {"exclusions": ("sha256-*", "*.sig")},
            {},
            "tag mutability",
            f"its tag mutability is {SEEN.mutability} (sha256-*), and {SEEN.mutability} (sha256-*, *.sig) is wanted",
        ),
        ({"scan_on_push": True}, {}, "scanning", "it does not scan on push, which is wanted"),
        ({"encryption": "KMS"}, {}, "encryption", "its encryption is AES256, and KMS is wanted"),
        (
            {"encryption": "KMS", "kms_key": "5678"},
            {"encryption": "KMS", "kms_key": KEY},
            "encryption",
            f"its encryption is KMS by {KEY}, and KMS by 5678 is wanted",
        ),
        ({"lifecycle_policy": "{}"}, {"lifecycle_policy": ""}, "lifecycle policy", "its lifecycle policy is missing"),
        (
            {"policy": json.dumps(PULL)},
            {"policy": json.dumps({"Version": "2012-10-17"})},
            "repository policy",
            "its repository policy is another one than is configured",
        ),
        ({"tags": {"team": "mesh", "a": "b"}}, {"tags": {"a": "c"}}, "tags", "it lacks the tags a=b, team=mesh"),
    ],
)
def test_each_difference(wanted: dict[str, Any], seen: dict[str, Any], aspect: Any, told: str) -> None:
    """In words, what is and what is wanted; only encryption is for ever."""
    found = drift(replace(Wanted(), **wanted), replace(SEEN, **seen))

    assert (Difference(aspect, told),) == found
    assert [aspect != "encryption"] == [one.is_repairable for one in found]


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        pytest.param({"exclusions": ("b", "a")}, {"exclusions": ("a", "b")}, id="the order of exclusions"),
        pytest.param({"encryption": "KMS"}, {"encryption": "KMS", "kms_key": KEY}, id="AWS's own key"),
        pytest.param(
            {"encryption": "KMS", "kms_key": "1234abcd"}, {"encryption": "KMS", "kms_key": KEY}, id="a key's id"
        ),
        pytest.param(
            {"encryption": "KMS", "kms_key": "alias/mine"}, {"encryption": "KMS", "kms_key": KEY}, id="an alias"
        ),
        pytest.param({"policy": json.dumps(PULL)}, {"policy": json.dumps(AS_AWS_SAYS)}, id="AWS's spelling"),
        pytest.param({"policy": json.dumps(PULL)}, {"policy": None}, id="a policy that may not be read"),
        pytest.param({"tags": {"a": "b"}}, {"tags": None}, id="tags that may not be read"),
        pytest.param({"tags": {"a": "b"}}, {"tags": {"a": "b", "c": "d"}}, id="tags beside ours"),
        pytest.param({}, {"scan_on_push": True}, id="scanning nobody asked for"),
        pytest.param({}, {"policy": json.dumps(PULL), "lifecycle_policy": "{}"}, id="policies nobody configured"),
    ],
)
def test_what_is_no_difference(wanted: dict[str, Any], seen: dict[str, Any]) -> None:
    """Another spelling, what we may not read, and what nobody asked for."""
    assert () == drift(replace(Wanted(), **wanted), replace(SEEN, **seen))


@pytest.mark.parametrize("path", ["mirror-record", "linkerd/mirror-record", "a/b/mirror-record"])
def test_the_records(path: str) -> None:
    """They are written anew: their tags must move, whatever is wanted of images."""
    wanted = Wanted(tags={"a": "b"}).at(path)

    assert ("MUTABLE", (), {"a": "b"}) == (wanted.mutability, wanted.exclusions, wanted.tags)
    assert Wanted() == Wanted().at(f"{path}s")


class TestExpiry:
    def test_what_may_take_an_image(self) -> None:
        """Each such rule, in words."""
        assert ("rule 2 expires all tags beyond 30 images", "rule 3 archives edge-* after 14 days") == (
            expires(lifecycle(UNTAGGED, ANY, EDGE))
        )

    @pytest.mark.parametrize("policy", ["", "{}", "[]", "nonsense", '{"rules": [1]}', lifecycle(UNTAGGED), "[" * 9999])
    def test_what_takes_none(self, policy: str) -> None:
        """No policy, none that can be read, or untagged images alone."""
        assert () == expires(policy)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def shuffled(value: Any, chance: random.Random) -> Any:
    """*value*, its lists and keys in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {key: shuffled(inner, chance) for key, inner in items}
    if isinstance(value, list):
        return chance.sample([shuffled(inner, chance) for inner in value], len(value))
    return value


class TestCanonical:
    @given(st.dictionaries(st.text(max_size=5), _JSON, max_size=4), st.randoms(use_true_random=False))
    def test_order_does_not_count(self, document: dict[str, Any], chance: random.Random) -> None:
        """A policy that AWS has put into another order is the same."""
        assert canonical(json.dumps(document)) == canonical(json.dumps(shuffled(document, chance), indent=2))

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """It is a policy, or a ValueError."""
        with contextlib.suppress(ValueError):
            assert isinstance(json.loads(canonical(text)), dict)

    @pytest.mark.parametrize("text", ["", "[]", "1", "{", "[" * 100_000, "null"])
    def test_what_is_no_policy(self, text: str) -> None:
        """It is said so."""
        with pytest.raises(ValueError, match=r"."):
            canonical(text)

    def test_other_content(self) -> None:
        """Is another policy."""
        assert canonical('{"Action": ["a", "b"]}') != canonical('{"Action": ["a", "c"]}')
        assert canonical('{"Action": "a"}') != canonical('{"Action": ["a", "a"]}')
