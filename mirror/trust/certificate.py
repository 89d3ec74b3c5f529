"""Signing certificates: short-lived, for an identity, logged (sigstore/fulcio, docs/certificate-specification.md).

A certificate is *held* to a trusted root at the time that a log, or an authority for timestamps, saw the signature:

    chain to an authority that was valid then ─► code signing ─► in a certificate log, by the timestamp it carries

Verifying is `cryptography`'s (RFC 5280, ECDSA); what is ours is which bytes a certificate log signs (RFC 6962 §3.2).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.certificate_transparency import LogEntryType
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from mirror.errors import NotVerified, OtherSigner
from mirror.trust.policy import Keyless
from mirror.trust.trusted_root import Authority, TrustedRoot
from mirror.trust.verdict import quoted

# Fulcio's OID registry (docs/oid-info.md): the first is raw text, the second DER; both where the authority is of today
_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_NAME_MAX = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Signer:
    """Whom a certificate was issued for, and who vouched for them."""

    identity: str
    issuer: str


def from_pem(text: str) -> x509.Certificate:
    """The one certificate in *text*."""
    if not text:
        raise NotVerified("the signature has no certificate: it was made with a key, or is not whole")
    try:
        (certificate,) = x509.load_pem_x509_certificates(text.encode())
    except ValueError as exc:  # none, or more than one
        raise NotVerified("the signature's certificate is not one certificate in PEM") from exc
    return certificate


def from_der(raw: bytes) -> x509.Certificate:
    """The certificate in *raw*."""
    try:
        return x509.load_der_x509_certificate(raw)
    except ValueError as exc:
        raise NotVerified("the signature's certificate is not a certificate") from exc


def signing_key(certificate: x509.Certificate) -> EllipticCurvePublicKey:
    """The key that *certificate* is of: ECDSA's, as Fulcio issues for cosign."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise NotVerified("the certificate is for what is no key") from exc
    if not isinstance(key, EllipticCurvePublicKey):
        raise NotVerified("the certificate is for a key that is not ECDSA's")
    return key


def is_signed(key: EllipticCurvePublicKey, signature: bytes, data: bytes) -> bool:
    """Whether *signature* is *key*'s over *data*, by ECDSA with SHA-256."""
    try:
        key.verify(signature, data, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def hold(certificate: x509.Certificate, moment: datetime, root: TrustedRoot) -> None:
    """Afterwards *certificate* was good for a signature at *moment*, by *root*; else NotVerified."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= moment <= end:
        raise NotVerified(
            f"the certificate was valid from {begin:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC, and the signature is of "
            f"{moment:%Y-%m-%d %H:%M:%S}"
        )
    chain = _chain(certificate, moment, root)
    _hold_usage(certificate)
    _hold_logged(certificate, chain[1], root)


def hold_signer(certificate: x509.Certificate, expected: Keyless) -> Signer:
    """Whom *certificate* was issued for, who are those *expected*; else OtherSigner. To be called last of all."""
    signer = _signer(certificate)
    if signer != Signer(expected.identity, expected.issuer):
        differs = [
            f"the {name} is {quoted(found[:200])}, not {quoted(wanted[:200])}"
            for name, found, wanted in (
                ("identity", signer.identity, expected.identity),
                ("issuer", signer.issuer, expected.issuer),
            )
            if found != wanted
        ]
        raise OtherSigner(
            f"it is signed by somebody else: {'; '.join(differs)}", identity=signer.identity, issuer=signer.issuer
        )
    return signer


def _chain(certificate: x509.Certificate, moment: datetime, root: TrustedRoot) -> list[x509.Certificate]:
    """*certificate*, what it was issued by, and so on up to an authority that counted at *moment*."""
    authorities = [authority for authority in root.authorities if authority.window.holds(moment)]
    if not authorities:
        raise NotVerified(
            f"the trusted root has no authority for {moment:%Y-%m-%d %H:%M:%S} UTC: if it is older than the signature, "
            "get a newer one"
        )
    failures = list[str]()
    for authority in authorities:
        try:
            return _verified_chain(certificate, moment, authority)
        except (VerificationError, x509.UnsupportedGeneralNameType) as exc:
            failures.append(str(exc)[:200])
    raise NotVerified(f"no authority of the trusted root has issued the certificate ({'; '.join(failures)})")


def _verified_chain(certificate: x509.Certificate, moment: datetime, authority: Authority) -> list[x509.Certificate]:
    # Clients' certificates are for TLS unless said otherwise; Fulcio's are for code signing, which is held below.
    extensions = (
        policy.may_be_present(x509.ExtendedKeyUsage, Criticality.NON_CRITICAL, None)
        for policy in (ExtensionPolicy.webpki_defaults_ca(), ExtensionPolicy.webpki_defaults_ee())
    )
    ca_policy, ee_policy = extensions
    verifier = (
        PolicyBuilder()
        .store(Store([authority.chain[-1]]))
        .time(moment)
        .extension_policies(ca_policy=ca_policy, ee_policy=ee_policy)
        .build_client_verifier()
    )
    return verifier.verify(certificate, list(authority.chain[:-1])).chain


def _hold_usage(certificate: x509.Certificate) -> None:
    try:
        is_for_signatures = certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound as exc:
        raise NotVerified("the certificate does not say what it may be used for") from exc
    if not is_for_signatures or ExtendedKeyUsageOID.CODE_SIGNING not in usages:
        raise NotVerified("the certificate is not for code signing")


def _hold_logged(certificate: x509.Certificate, issuer: x509.Certificate, root: TrustedRoot) -> None:
    """The timestamp in *certificate* is that of a log that *root* knows, over what *issuer* issued."""
    try:
        stamps = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    except x509.ExtensionNotFound as exc:
        raise NotVerified("the certificate has no timestamp of a certificate transparency log") from exc
    if len(stamps) != 1:  # as sigstore-python
        raise NotVerified(f"the certificate has {len(stamps)} timestamps of certificate transparency logs, not one")
    (stamp,) = stamps
    moment = stamp.timestamp.replace(tzinfo=UTC)
    log = root.certificate_log(stamp.log_id, moment)
    entry = certificate.tbs_precertificate_bytes
    issued_by = sha256(issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    # RFC 6962 §3.2: version, certificate_timestamp(0), milliseconds, precert_entry(1), issuer_key_hash, TBS, extensions
    signed = (
        struct.pack("!BBQH", stamp.version.value, 0, (moment - _EPOCH) // timedelta(milliseconds=1), 1)
        + issued_by
        + len(entry).to_bytes(3, "big")
        + entry
        + struct.pack("!H", len(stamp.extension_bytes))
        + stamp.extension_bytes
    )
    is_fit = stamp.entry_type == LogEntryType.PRE_CERTIFICATE and isinstance(stamp.signature_hash_algorithm, SHA256)
    if not is_fit or log.key is None or not is_signed(log.key, stamp.signature, signed):
        raise NotVerified("the timestamp of the certificate transparency log is not signed by that log")


def _signer(certificate: x509.Certificate) -> Signer:
    """The one name in *certificate*, and its issuer in every form that it is there; those agree."""
    try:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier | x509.RFC822Name):
        raise NotVerified(f"the certificate has {len(names)} names, where one URI or mail address says who signs")
    issuers = {
        _issuer(extension.oid, extension.value.value)
        for extension in certificate.extensions
        if extension.oid in (_ISSUER, _ISSUER_V2) and isinstance(extension.value, x509.UnrecognizedExtension)
    }
    if len(issuers) != 1:
        told = " and ".join(quoted(issuer[:100]) for issuer in sorted(issuers)) or "nobody"
        raise NotVerified(f"the certificate names {told} as the issuer of the identity, where one is needed")
    signer = Signer(names[0].value, issuers.pop())
    if not signer.identity or not signer.issuer or max(len(signer.identity), len(signer.issuer)) > _NAME_MAX:
        raise NotVerified(f"the certificate's identity or issuer is empty, or longer than {_NAME_MAX} characters")
    return signer


def _issuer(identifier: ObjectIdentifier, raw: bytes) -> str:
    try:
        return raw.decode() if identifier == _ISSUER else asn1.decode_der(str, raw)
    except ValueError as exc:
        raise NotVerified("the certificate's issuer is not text") from exc
