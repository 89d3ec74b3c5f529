"""cosign 3's signatures: a Sigstore bundle v0.3 around an in-toto statement that names the image.

    statement ──envelope, signature──► certificate ──► trusted root
        │                                  │
        └── log entry: inclusion proof, checkpoint, the log's promise or an authority's timestamp ──► trusted root

`sigstore` verifies the envelope, the log entry with its proof and checkpoint, and timestamps. What it leaves to its
caller is here (sigstore 4.5.1; each was tried): what the statement is and of which image, that a key or an authority
counted at that time (it looks at no window's end), the issuer in both of its forms. cosign 3 writes a subject without
a name, which sigstore's own Statement refuses, so the statement is read here.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirror.errors import NotVerified
from mirror.oci.content import Digest
from mirror.trust import log
from mirror.trust.certificate import from_der, hold, hold_signer, is_signed, signing_key
from mirror.trust.evidence import BUNDLE_MAX, SigstoreBundle
from mirror.trust.keys import PublicKey
from mirror.trust.policy import Keyless
from mirror.trust.reading import at, document, number, unbase64
from mirror.trust.trusted_root import TrustedRoot
from mirror.trust.verdict import Verdict, quoted, signed_by, signed_with

if TYPE_CHECKING:
    from sigstore.models import Bundle

MEDIA_TYPES = frozenset(
    {"application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3"}
)
STATEMENT = "application/vnd.in-toto+json"
STATEMENT_TYPES = frozenset({"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"})
SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
"""The predicate of a signature (sigstore/cosign v3, pkg/types); an attestation has another one."""
SUBJECTS_MAX = 100
_INDEX_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Envelope:
    payload_type: str
    payload: bytes
    signature: bytes

    @property
    def signed(self) -> bytes:
        """The bytes that are signed (secure-systems-lab/dsse v1.0.0, protocol.md)."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)


def keyless(signed: SigstoreBundle, subject: Digest, expected: Keyless, root: TrustedRoot) -> Verdict:
    """The verdict that *signed* is *expected*'s signature of *subject*; else NotVerified."""
    view = _document(signed)
    material = at(view, "verificationMaterial", kind=dict, what="the bundle")
    if "publicKey" in material:
        raise NotVerified("it is signed with a key, where an identity is to sign")
    raw = at(material, "certificate", "rawBytes", kind=str, what="the bundle")
    certificate = from_der(unbase64(raw, what="the bundle's certificate"))
    signing_key(certificate)  # or it is no key that `sigstore` could verify with
    entry = _entry(material)
    bundle = _read(signed)
    moment = _moment(entry, bundle)
    root.log(unbase64(at(entry, "logId", "keyId", kind=str, what="the log entry"), what="the log's name"), moment)
    hold(certificate, moment, root)
    kind, payload = _verified(bundle, root.at(moment))
    _hold_size(entry)
    hold_statement(kind, payload, subject)
    signer = hold_signer(certificate, expected)
    index = number(  # protobuf's JSON leaves out what is 0
        entry.get("logIndex", "0"), what="the log entry's index", bound=_INDEX_MAX
    )
    return signed_by(
        subject, signer.identity, signer.issuer, log_index=index, signed_at=moment, evidence=signed.manifest
    )


def keyed(signed: SigstoreBundle, subject: Digest, key: PublicKey, root: TrustedRoot | None) -> Verdict:
    """The verdict that *signed* is *key*'s signature of *subject*, and with a *root* in its log; else NotVerified."""
    view = _document(signed)
    material = at(view, "verificationMaterial", kind=dict, what="the bundle")
    envelope = _envelope(view)
    hold_statement(envelope.payload_type, envelope.payload, subject)
    if not is_signed(key.key, envelope.signature, envelope.signed):
        raise NotVerified("it is not signed with the key that the identity names")
    entry = log.from_bundle(_entry(material)) if root else None
    if entry and root:
        log.hold(entry, root)
        _hold_entry(entry, envelope, key)
    return signed_with(
        subject,
        key.digest,
        log_index=entry.log_index if entry else None,
        signed_at=entry.moment if entry else None,
        evidence=signed.manifest,
    )


def hold_statement(payload_type: str, payload: bytes, subject: Digest) -> None:
    """Afterwards *payload* is a statement that signs *subject*, maybe among others."""
    what = "the statement"
    if payload_type != STATEMENT:
        raise NotVerified(f"its payload is of the type {quoted(payload_type[:100])}, where a statement is needed")
    view = document(payload, what=what, bound=BUNDLE_MAX)
    kind = at(view, "_type", kind=str, what=what)
    if kind not in STATEMENT_TYPES:
        raise NotVerified(f"{what} is of the type {quoted(kind[:100])}, which is not known")
    predicate = at(view, "predicateType", kind=str, what=what)
    if predicate != SIGNATURE:
        raise NotVerified(f"it attests to {quoted(predicate[:100])}, which is no signature")
    subjects = at(view, "subject", kind=list, what=what)
    if len(subjects) > SUBJECTS_MAX:
        raise NotVerified(f"{what} has {len(subjects)} subjects, more than {SUBJECTS_MAX}")
    digests = [at(one, "digest", kind=dict, what="a subject of the statement") for one in subjects]
    if not any(digest.get(subject.algorithm) == subject.hex for digest in digests):
        told = ", ".join(str(digest)[:140] for digest in digests[:3]) or "nothing"
        raise NotVerified(f"{what} is of another image, {quoted(told)}")


def _document(signed: SigstoreBundle) -> dict[str, Any]:
    view = document(signed.raw, what="the bundle", bound=BUNDLE_MAX)
    kind = at(view, "mediaType", kind=str, what="the bundle")
    if kind not in MEDIA_TYPES:
        raise NotVerified(f"the bundle is of the type {quoted(kind[:100])}, where v0.3 is needed")
    if "dsseEnvelope" not in view:
        raise NotVerified("the bundle has no envelope with a statement, so it is no signature of an image")
    return view


def _envelope(view: dict[str, Any]) -> _Envelope:
    what = "the bundle's envelope"
    kind = at(view, "dsseEnvelope", "payloadType", kind=str, what=what)
    signatures = at(view, "dsseEnvelope", "signatures", kind=list, what=what)
    if len(signatures) != 1:
        raise NotVerified(f"{what} has {len(signatures)} signatures, not one")
    payload = unbase64(at(view, "dsseEnvelope", "payload", kind=str, what=what), what="the statement")
    return _Envelope(kind, payload, unbase64(at(signatures[0], "sig", kind=str, what=what), what="the signature"))


def _entry(material: dict[str, Any]) -> dict[str, Any]:
    what = "the bundle"
    entries = at(material, "tlogEntries", kind=list, what=what)
    if len(entries) != 1:
        raise NotVerified(f"{what} has {len(entries)} entries of transparency logs, not one")
    return at(entries, 0, kind=dict, what=what)


def _read(signed: SigstoreBundle) -> Bundle:
    from sigstore.errors import Error
    from sigstore.models import Bundle

    try:
        return Bundle.from_json(signed.raw)
    except Error as exc:
        raise NotVerified(_told(exc)) from exc


def _moment(entry: dict[str, Any], bundle: Bundle) -> datetime:
    """When the signature was made, by the log's promise, else by the one timestamp; not yet believed."""
    if "inclusionPromise" in entry:
        return log.from_bundle(entry).moment
    data = bundle.verification_material.timestamp_verification_data
    stamps = data.rfc3161_timestamps if data else []
    if len(stamps) != 1:
        raise NotVerified(f"the bundle has {len(stamps)} timestamps and no promise of a log: its time is not known")
    return stamps[0].tst_info.gen_time.astimezone(UTC)


def _verified(bundle: Bundle, root: bytes) -> tuple[str, bytes]:
    """The type and the bytes of the statement in *bundle*, verified by `sigstore` with the trusted root in *root*."""
    from sigstore.errors import Error
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier

    with tempfile.NamedTemporaryFile(prefix="trusted_root-", suffix=".json") as file:  # it is read from files alone
        Path(file.name).write_bytes(root)
        verifier = Verifier(trusted_root=TrustedRoot.from_file(file.name))
    try:
        return verifier.verify_dsse(bundle, _HeldAfterwards())
    except Error as exc:
        raise NotVerified(_told(exc)) from exc


def _told(failure: Exception) -> str:
    """What `sigstore` says in *failure*, where pydantic goes on with the whole of its input."""
    return f"sigstore: {' '.join(map(str, failure.args)).partition(' [type=')[0][:300]}"


def _hold_size(entry: dict[str, Any]) -> None:
    """Afterwards the checkpoint, whose signature holds, is of the proof's tree: `sigstore` compares roots alone."""
    what = "the bundle's inclusion proof"
    proven = at(entry, "inclusionProof", "treeSize", kind=str, what=what)
    # a signed note (C2SP/signed-note, tlog-checkpoint): origin, size, root
    signed = at(entry, "inclusionProof", "checkpoint", "envelope", kind=str, what=what).split("\n")[1]
    if signed != proven:
        raise NotVerified(
            f"the checkpoint is of a tree of {signed[:20]} entries, and the inclusion proof of one of {proven[:20]}"
        )


class _HeldAfterwards:
    """The policy that `sigstore` is given: who signed is compared last, so that one who is told of is proven."""

    def verify(self, cert: object) -> None:
        """See sigstore.verify.policy.VerificationPolicy; refuses nobody."""


def _hold_entry(entry: log.Entry, envelope: _Envelope, key: PublicKey) -> None:
    """Afterwards *entry* is of *envelope* and *key*."""
    what = "the body of the log entry"
    body = log.body(entry, kind="dsse")
    hashed = at(body, "spec", "payloadHash", kind=dict, what=what)
    if (hashed.get("algorithm"), hashed.get("value")) != ("sha256", sha256(envelope.payload).hexdigest()):
        raise NotVerified("the log entry is of another payload")
    signature = unbase64(at(body, "spec", "signatures", 0, "signature", kind=str, what=what), what=what)
    if signature != envelope.signature:
        raise NotVerified("the log entry is of another signature")
    if not key.is_same(unbase64(at(body, "spec", "signatures", 0, "verifier", kind=str, what=what), what=what)):
        raise NotVerified("the log entry is of another key")
