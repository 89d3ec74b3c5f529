"""The verdict on an image's signature: what is said, what is recorded, and what a policy makes of it. Decides only.

    state                what it says                                                     require   warn, off
    ──────────────────── ──────────────────────────────────────────────────────────────── ───────── ─────────
    signed               by who should have, and the evidence holds                       in        in
    unsigned upstream    nobody signed it, and that is known                              in        in
    third party          pinned to the digest that was recorded first                     in        in
    missing              there is no signature, and there should be one                   refused   in
    not verified         there are signatures, and none of them holds                     refused   in
    uncovered            nobody has said who should have signed it                        refused   in

A recorded verdict is a claim, as all of the record: it may make us refuse, and never accept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from mirror.oci.content import Digest
from mirror.trust.policy import Expectation, Keyed, Keyless, NeverSigned, ThirdParty, Uncovered

State = Literal["signed", "unsigned upstream", "third party", "missing", "not verified", "uncovered"]
Policy = Literal["require", "warn", "off"]

_GOOD: frozenset[State] = frozenset({"signed", "unsigned upstream", "third party"})
_TEXT_MAX = 2000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be thought of the signature of *subject*."""

    subject: Digest
    """The digest that was looked at: with a platform filter, that of upstream's index."""
    state: State
    words: str
    identity: str = ""
    """Who signed it, proven; also where somebody else should have."""
    issuer: str = ""
    """Who vouched for them; both are empty for a key."""
    key: str = ""
    """`sha256:…` of the public key that it was signed with, if by a key pair."""
    log_index: int | None = None
    """Of its entry in the transparency log."""
    signed_at: datetime | None = None
    """By the transparency log, or an authority for timestamps; a key alone knows no time."""
    evidence: Digest | None = None
    """The manifest that carries the signature."""
    stanza: str = ""
    """What would accept the signature that was found, for the configuration."""

    def satisfies(self, policy: Policy) -> bool:
        """Whether an image may be let in with this."""
        return policy != "require" or self.state in _GOOD

    def is_of(self, expected: Expectation, *, key: str = "") -> bool:
        """Whether this is what *expected* yields where the evidence holds; *key* is the expected key's digest.

        A signature by whom nobody asks for any more, or of an image that was third party, is to be judged anew.
        """
        match expected:
            case Keyless(issuer=issuer, identity=identity):
                return self.state == "signed" and (issuer, identity, "") == (self.issuer, self.identity, self.key)
            case Keyed():
                return self.state == "signed" and self.key == key != ""
            case NeverSigned():
                return self.state == "unsigned upstream"
            case ThirdParty():
                return self.state == "third party"
            case Uncovered():
                return self.state == "uncovered"

    def document(self) -> dict[str, Any]:
        """This as JSON has it; what is empty is left out."""
        told: dict[str, Any] = {"subject": str(self.subject), "state": self.state, "words": self.words}
        told |= {name: value for name in ("identity", "issuer", "key", "stanza") if (value := getattr(self, name))}
        if self.log_index is not None:
            told["logIndex"] = self.log_index
        if self.signed_at is not None:
            told["signedAt"] = self.signed_at.astimezone(UTC).isoformat(timespec="seconds")
        if self.evidence is not None:
            told["evidence"] = str(self.evidence)
        return told

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Verdict:
        """What `document` wrote; raises ValueError, TypeError, KeyError or BadReference for anything else."""
        state = document["state"]
        if state not in get_args(State):
            raise ValueError(f"{state!r} is not the state of a verdict")
        log_index, signed_at, evidence = (document.get(name) for name in ("logIndex", "signedAt", "evidence"))
        if log_index is not None and (not isinstance(log_index, int) or isinstance(log_index, bool)):
            raise TypeError(f"{log_index!r} is not the index of an entry")
        return cls(
            subject=Digest.parse(_text(document["subject"])),
            state=state,
            words=_text(document["words"]),
            identity=_text(document.get("identity", "")),
            issuer=_text(document.get("issuer", "")),
            key=_text(document.get("key", "")),
            log_index=log_index,
            signed_at=None if signed_at is None else _moment(_text(signed_at)),
            evidence=None if evidence is None else Digest.parse(_text(evidence)),
            stanza=_text(document.get("stanza", "")),
        )


def signed_by(
    subject: Digest, identity: str, issuer: str, *, log_index: int, signed_at: datetime, evidence: Digest
) -> Verdict:
    """The verdict on what *identity* signed, whom *issuer* vouched for."""
    words = f"signed by {quoted(identity)}"
    return Verdict(
        subject, "signed", words, identity, issuer, log_index=log_index, signed_at=signed_at, evidence=evidence
    )


def signed_with(
    subject: Digest, key: Digest, *, log_index: int | None, signed_at: datetime | None, evidence: Digest
) -> Verdict:
    """The verdict on what was signed with *key*; where no log was asked, its index and time are None."""
    words = f"signed with the key {key}"
    return Verdict(subject, "signed", words, key=str(key), log_index=log_index, signed_at=signed_at, evidence=evidence)


def quoted(text: str) -> str:
    """*text* of somebody else's, whole, without what a terminal or a reader would be misled by; a TOML 1.0 string."""
    return '"' + "".join(map(_character, text)) + '"'


def _character(one: str) -> str:
    if one in '"\\':
        return f"\\{one}"
    if one.isprintable():
        return one
    return f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}"


def stanza(images: str, tag: str, *, issuer: str, identity: str) -> str:
    """The entry of the configuration that accepts *identity* for *images*, `{tag}` where it ends with *tag*."""
    if tag and identity.endswith(tag):
        identity = identity.removesuffix(tag) + "{tag}"
    rows = {"images": images, "issuer": issuer, "identity": identity}
    width = max(map(len, rows))
    lines = (f"{name:{width}} = {quoted(value)}" for name, value in rows.items())
    return "\n".join(("[[policy.identities]]", *lines))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} is a time without a zone")
    return moment.astimezone(UTC)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise TypeError(f"{str(value)[:100]!r} is not a string of at most {_TEXT_MAX} characters")
    value.encode()  # it is told of: raises UnicodeEncodeError for half of a UTF-16 pair
    return value
