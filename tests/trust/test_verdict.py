"""What a verdict says, and what a policy makes of it."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import BadReference
from mirror.oci.content import Digest
from mirror.trust.policy import Expectation, Keyed, Keyless, NeverSigned, ThirdParty, Uncovered
from mirror.trust.verdict import Policy, State, Verdict, quoted, stanza

_SUBJECT = Digest.of(b"an image")
_SIGNED = Verdict(
    _SUBJECT,
    "signed",
    "signed by somebody",
    identity="https://example.com/me@refs/tags/v1",
    issuer="https://issuer.example",
    log_index=7,
    signed_at=datetime(2026, 1, 15, 12, tzinfo=UTC),
    evidence=Digest.of(b"a signature"),
)
_BY_KEY = Verdict(_SUBJECT, "signed", "signed with the key sha256:1", key="sha256:1")
_LET_IN: frozenset[State] = frozenset({"signed", "unsigned upstream", "third party"})


@pytest.mark.parametrize("state", get_args(State))
def test_what_a_policy_lets_in(state: State) -> None:
    """`require` only what is good, the others all."""
    verdict = Verdict(_SUBJECT, state, "…")
    policies: tuple[Policy, ...] = get_args(Policy)

    assert [state in _LET_IN, True, True] == [verdict.satisfies(policy) for policy in policies]


@pytest.mark.parametrize(
    "verdict",
    [
        _SIGNED,
        _BY_KEY,
        Verdict(_SUBJECT, "unsigned upstream", "signing began with 2.12"),
        Verdict(Digest.of(b"x", "sha512"), "not verified", "no", identity="a", issuer="b", stanza="[[c]]"),
    ],
    ids=lambda verdict: verdict.state,
)
def test_there_and_back(verdict: Verdict) -> None:
    """JSON keeps all of it."""
    assert verdict == Verdict.parse(json.loads(json.dumps(verdict.document())))


@pytest.mark.parametrize(
    ("change", "raises"),
    [
        ({"state": "fine"}, ValueError),
        ({"state": None}, ValueError),
        ({"subject": "sha256:1"}, BadReference),
        ({"subject": 1}, TypeError),
        ({"words": None}, TypeError),
        ({"words": "\ud800"}, ValueError),
        ({"identity": []}, TypeError),
        ({"identity": "x" * 3000}, TypeError),
        ({"logIndex": "7"}, TypeError),
        ({"logIndex": True}, TypeError),
        ({"signedAt": "2026-01-15T12:00:00"}, ValueError),
        ({"signedAt": 5}, TypeError),
        ({"evidence": "x"}, BadReference),
    ],
    ids=str,
)
def test_what_is_no_verdict(change: dict[str, Any], raises: type[Exception]) -> None:
    """A record may be written by anybody."""
    with pytest.raises(raises):
        Verdict.parse(_SIGNED.document() | change)


@pytest.mark.parametrize("name", ["subject", "state", "words"])
def test_what_a_verdict_cannot_be_without(name: str) -> None:
    """Of what, which, and in words."""
    document = _SIGNED.document()
    del document[name]

    with pytest.raises(KeyError):
        Verdict.parse(document)


@pytest.mark.parametrize(
    ("expected", "verdict", "key"),
    [
        (Keyless(_SIGNED.issuer, _SIGNED.identity), _SIGNED, ""),
        (Keyed(b"PEM"), _BY_KEY, "sha256:1"),
        (NeverSigned("then"), Verdict(_SUBJECT, "unsigned upstream", "now"), ""),
        (ThirdParty(), Verdict(_SUBJECT, "third party", "…"), ""),
        (Uncovered("…"), Verdict(_SUBJECT, "uncovered", "…"), ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_verdict_is_of_what_is_expected(expected: Expectation, verdict: Verdict, key: str) -> None:
    """And of nothing else: another identity, issuer, key or state is judged anew."""
    others: list[Expectation] = [
        Keyless(_SIGNED.issuer, "https://example.com/other"),
        Keyless("https://other.example", _SIGNED.identity),
        *(
            other
            for other in (
                Keyless(_SIGNED.issuer, _SIGNED.identity),
                NeverSigned(""),
                ThirdParty(),
                Uncovered(""),
            )
            if type(other) is not type(expected)
        ),
    ]

    assert verdict.is_of(expected, key=key)
    assert [] == [other for other in others if verdict.is_of(other)]
    assert not verdict.is_of(Keyed(b"PEM"), key="sha256:2")
    assert not verdict.is_of(Keyed(b"PEM"))


def test_a_key_that_is_not_verified_is_of_nobody() -> None:
    """The identity that was found at fault is told, and does not make it good."""
    found = Verdict(_SUBJECT, "not verified", "…", identity=_SIGNED.identity, issuer=_SIGNED.issuer, key="sha256:1")

    assert not found.is_of(Keyless(_SIGNED.issuer, _SIGNED.identity))
    assert not found.is_of(Keyed(b"PEM"), key="sha256:1")


def test_the_stanza_has_the_tag_in_its_place() -> None:
    """At the end of the identity, where it is; else the identity stands as it is."""
    for tag, identity in (("v1", "me@refs/tags/{tag}"), ("v2", "me@refs/tags/v1"), ("", "me@refs/tags/v1")):
        document = tomllib.loads(stanza("ghcr.io/me/a", tag, issuer="https://i.example", identity="me@refs/tags/v1"))

        expected = {"images": "ghcr.io/me/a", "issuer": "https://i.example", "identity": identity}
        assert {"policy": {"identities": [expected]}} == document


@given(st.text(max_size=60))
def test_what_is_quoted_is_read_as_it_was(text: str) -> None:
    """By TOML; and nothing in it moves a cursor or hides."""
    shown = quoted(text)

    assert shown.isprintable()
    assert {"a": text} == tomllib.loads(f"a = {shown}")
