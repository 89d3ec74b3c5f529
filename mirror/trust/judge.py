"""The verdict on an image: what is expected of its signature, held against the signatures that refer to it.

    expectation ─┬─ never signed, third party, uncovered ─► verdict
                 └─ keyless, keyed ─► signatures ─► each held on its own ─► the first that holds, or every reason

One signature that holds is enough, as for cosign. The trusted root is loaded only where an identity needs it, and what
verifies only where there is a signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mirror.errors import NotVerified, OtherSigner
from mirror.oci.content import Digest
from mirror.oci.reference import Reference, Repository
from mirror.oci.referrers import Referrers
from mirror.oci.storage import Source
from mirror.trust.evidence import Signature, SigstoreBundle, SimpleSigning, Unusable, signatures
from mirror.trust.policy import (
    Identity,
    Keyed,
    Keyless,
    NeverSigned,
    ThirdParty,
    Uncovered,
    expectation,
)
from mirror.trust.root import RootOfTrust
from mirror.trust.verdict import Verdict, quoted, stanza

if TYPE_CHECKING:
    from mirror.trust.trusted_root import TrustedRoot

_REASONS_MAX = 3
_REASON_MAX = 500  # characters


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures count, and what they are held to."""

    root: RootOfTrust
    identities: tuple[Identity, ...] = ()
    third_party: tuple[str, ...] = ()


async def judge(
    reference: Reference,
    digest: Digest,
    referrers: Referrers,
    source: Source,
    trust: Trust,
    *,
    names: Sequence[Repository] = (),
) -> Verdict:
    """The verdict on the image *digest* that *reference* names, whose *referrers* have their blobs in *source*.

    *names* is what its repository is called besides, by charts and along the aliases. Nothing is refused by an
    exception: those say that the world failed, the root of trust included, or that a key is none (SettingsError).
    """
    every_name = (*names, reference.repository)
    expected = expectation(every_name, reference.tag, identities=trust.identities, third_party=trust.third_party)
    match expected:
        case NeverSigned(why=why):
            return Verdict(digest, "unsigned upstream", why)
        case ThirdParty():
            return Verdict(digest, "third party", "of a third party: pinned to the digest that was recorded first")
        case Uncovered(why=why):
            return Verdict(digest, "uncovered", why)
        case Keyless() | Keyed():
            return await _held(reference, digest, expected, referrers, source, trust.root)


async def _held(
    reference: Reference,
    digest: Digest,
    expected: Keyless | Keyed,
    referrers: Referrers,
    source: Source,
    root_of_trust: RootOfTrust,
) -> Verdict:
    try:
        found = await signatures(referrers, source)
    except NotVerified as exc:
        return Verdict(digest, "not verified", str(exc))
    if not found:
        return Verdict(digest, "missing", _missing(expected, referrers))
    match expected:
        case Keyed():
            root = await root_of_trust.load() if expected.transparency_log else None
            verifier = partial(_by_key, digest, expected.key, root)
        case Keyless():
            verifier = partial(_by_identity, digest, expected, await root_of_trust.load())
    # milliseconds for one, and half a second to load what the first takes
    return await asyncio.to_thread(lambda: _first(verifier(), found, digest, reference))


Verifier = Callable[[Signature], Verdict]
"""Makes the verdict of a signature that holds, else raises NotVerified."""


def _by_key(digest: Digest, pem: bytes, root: TrustedRoot | None) -> Verifier:
    """What holds signatures to a key."""
    from mirror.trust import bundle, simple_signing
    from mirror.trust.keys import public_key

    key = public_key(pem)
    return partial(
        _by_form,
        partial(simple_signing.keyed, subject=digest, key=key, root=root),
        partial(bundle.keyed, subject=digest, key=key, root=root),
    )


def _by_identity(digest: Digest, expected: Keyless, root: TrustedRoot) -> Verifier:
    """What holds signatures to an identity."""
    from mirror.trust import bundle, simple_signing

    return partial(
        _by_form,
        partial(simple_signing.keyless, subject=digest, expected=expected, root=root),
        partial(bundle.keyless, subject=digest, expected=expected, root=root),
    )


def _by_form(
    simple: Callable[[SimpleSigning], Verdict], bundled: Callable[[SigstoreBundle], Verdict], signature: Signature
) -> Verdict:
    match signature:
        case Unusable(why=why):
            raise NotVerified(why)
        case SimpleSigning():
            return simple(signature)
        case SigstoreBundle():
            return bundled(signature)


def _first(holds: Verifier, found: Sequence[Signature], digest: Digest, reference: Reference) -> Verdict:
    """The verdict of the first of *found* that holds; else one that tells why none does."""
    reasons, others = list[str](), list[tuple[OtherSigner, Digest]]()
    for signature in found:
        try:
            return holds(signature)
        except NotVerified as exc:
            reasons.append(str(exc))
            if isinstance(exc, OtherSigner):
                others.append((exc, signature.manifest))
        except Exception as exc:  # noqa: BLE001  whatever it is, the signature has not been verified
            reasons.append(f"it cannot be verified ({type(exc).__name__}: {exc})")
    words = _told(reasons)
    if not others:
        return Verdict(digest, "not verified", words)
    other, manifest = others[0]
    accepting = stanza(str(reference.repository), reference.tag, issuer=other.issuer, identity=other.identity)
    return Verdict(
        digest,
        "not verified",
        words,
        identity=other.identity,
        issuer=other.issuer,
        evidence=manifest,
        stanza=accepting,
    )


def _told(reasons: Sequence[str]) -> str:
    distinct = [_plain(reason) for reason in dict.fromkeys(reasons)]
    if len(reasons) == 1:
        return f"the signature does not hold: {distinct[0]}"
    more = f"; and {len(distinct) - _REASONS_MAX} more" if len(distinct) > _REASONS_MAX else ""
    return f"none of {len(reasons)} signatures holds: {'; '.join(distinct[:_REASONS_MAX])}{more}"


def _plain(reason: str) -> str:
    """*reason*, some of which may be somebody else's, for a terminal."""
    return "".join(one if one.isprintable() else " " for one in reason[:_REASON_MAX])


def _missing(expected: Keyless | Keyed, referrers: Referrers) -> str:
    by = f"by {quoted(expected.identity)}" if isinstance(expected, Keyless) else "with the key that was named"
    gone = f"; what is named is gone: {_plain(referrers.gone[0])}" if referrers.gone else ""
    return f"it is not signed, and should be {by}{gone}"
