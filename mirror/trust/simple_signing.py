"""cosign 2's signatures: a payload that names the image, signed; certificate and log entry in annotations.

    payload ──signature──► certificate ──chain, timestamp──► trusted root
       │                        │
       └──── log entry: their hash, signature and certificate, seen at a time that a log signed ──► trusted root

Held, in this order (sigstore/cosign v2.5.0, pkg/cosign/verify.go verifyInternal), each with a reason of its own: what
the payload says, the signature, the log's promise, that the entry is of this signature, the certificate at that time,
and last who it was issued for. The reference in the payload is not compared: it is upstream's, wherever the image is
mirrored (cosign compares the digest alone, pkg/cosign/verifiers.go SimpleClaimVerifier). The chain in the annotations
is not looked at: authorities are the trusted root's.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding

from mirror.errors import NotVerified
from mirror.oci.content import Digest
from mirror.trust import log
from mirror.trust.certificate import from_pem, hold, hold_signer, is_signed, signing_key
from mirror.trust.evidence import PAYLOAD_MAX, SimpleSigning
from mirror.trust.keys import PAYLOAD_TYPE, PublicKey
from mirror.trust.policy import Keyless
from mirror.trust.reading import at, document, unbase64
from mirror.trust.trusted_root import TrustedRoot
from mirror.trust.verdict import Verdict, quoted, signed_by, signed_with


def keyless(signed: SimpleSigning, subject: Digest, expected: Keyless, root: TrustedRoot) -> Verdict:
    """The verdict that *signed* is *expected*'s signature of *subject*; else NotVerified."""
    hold_payload(signed.payload, subject)
    certificate = from_pem(signed.certificate)
    signature = unbase64(signed.signature, what="the signature")
    if not is_signed(signing_key(certificate), signature, signed.payload):
        raise NotVerified("the signature is not the certificate's over this payload")
    entry = log.from_annotation(signed.log_entry)
    log.hold(entry, root)
    held = from_pem(_hold_entry(entry, signed, signature))
    if held.public_bytes(Encoding.DER) != certificate.public_bytes(Encoding.DER):
        raise NotVerified("the log entry is of another certificate")
    hold(certificate, entry.moment, root)
    signer = hold_signer(certificate, expected)
    return signed_by(
        subject,
        signer.identity,
        signer.issuer,
        log_index=entry.log_index,
        signed_at=entry.moment,
        evidence=signed.manifest,
    )


def keyed(signed: SimpleSigning, subject: Digest, key: PublicKey, root: TrustedRoot | None) -> Verdict:
    """The verdict that *signed* is *key*'s signature of *subject*, and with a *root* in its log; else NotVerified."""
    hold_payload(signed.payload, subject)
    signature = unbase64(signed.signature, what="the signature")
    if not is_signed(key.key, signature, signed.payload):
        raise NotVerified("it is not signed with the key that the identity names")
    entry = log.from_annotation(signed.log_entry) if root else None
    if entry and root:
        log.hold(entry, root)
        if not key.is_same(_hold_entry(entry, signed, signature).encode()):
            raise NotVerified("the log entry is of another key")
    return signed_with(
        subject,
        key.digest,
        log_index=entry.log_index if entry else None,
        signed_at=entry.moment if entry else None,
        evidence=signed.manifest,
    )


def hold_payload(payload: bytes, subject: Digest) -> None:
    """Afterwards *payload* is a signature's, and says that it is of *subject*."""
    what = "the signed payload"
    view = document(payload, what=what, bound=PAYLOAD_MAX)
    kind = at(view, "critical", "type", kind=str, what=what)
    if kind != PAYLOAD_TYPE:
        raise NotVerified(f"{what} is {quoted(kind[:100])}, where a {PAYLOAD_TYPE} is needed")
    found = at(view, "critical", "image", "docker-manifest-digest", kind=str, what=what)
    if found != str(subject):
        raise NotVerified(f"{what} is of another image, {quoted(found[:140])}")


def _hold_entry(entry: log.Entry, signed: SimpleSigning, signature: bytes) -> str:
    """The certificate or key, PEM, that *entry* is of; it is of *signed*'s payload and signature."""
    what = "the body of the log entry"
    body = log.body(entry, kind="hashedrekord")
    hashed = at(body, "spec", "data", "hash", kind=dict, what=what)
    if (hashed.get("algorithm"), hashed.get("value")) != ("sha256", sha256(signed.payload).hexdigest()):
        raise NotVerified("the log entry is of another payload")
    if at(body, "spec", "signature", "content", kind=str, what=what) != b64encode(signature).decode():
        raise NotVerified("the log entry is of another signature")
    pem = unbase64(at(body, "spec", "signature", "publicKey", "content", kind=str, what=what), what=what)
    return pem.decode("ascii", "replace")
