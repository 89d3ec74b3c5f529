"""Key pairs of cosign: ECDSA, and the key is all the trust there is: no identity, and no time but the log's.

A signature in either form is the private key's over bytes: the payload of simple signing, or the encoding of an
envelope (DSSE). `KeyPair` makes the first; the demo signs its release with one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from mirror.errors import SettingsError
from mirror.oci.content import Digest
from mirror.oci.reference import Repository

PAYLOAD_TYPE = "cosign container image signature"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key; *digest*, of its SubjectPublicKeyInfo, is what verdicts call it."""

    key: EllipticCurvePublicKey
    digest: Digest

    def is_same(self, pem: bytes) -> bool:
        """Whether *pem* is this key, however it is written."""
        try:
            return _digest(load_pem_public_key(pem)) == self.digest
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return False


def public_key(pem: bytes, *, what: str = "an identity's key") -> PublicKey:
    """The key in *pem*, which is *what* the configuration calls it; raises SettingsError."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise SettingsError(f"{what} is not a public key in PEM, as cosign.pub: correct it") from exc
    if not isinstance(key, EllipticCurvePublicKey):
        raise SettingsError(f"{what} is not ECDSA's, which `cosign generate-key-pair` makes: use such a key")
    return PublicKey(key, _digest(key))


def _digest(key: PublicKeyTypes) -> Digest:
    return Digest.of(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def payload(repository: Repository, digest: Digest) -> bytes:
    """What cosign signs of the image *digest* in *repository* (sigstore/cosign, specs/SIGNATURE_SPEC.md)."""
    critical = {
        "identity": {"docker-reference": str(repository)},
        "image": {"docker-manifest-digest": str(digest)},
        "type": PAYLOAD_TYPE,
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair that signs."""

    private: EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> KeyPair:
        """A new one, P-256 as cosign's."""
        return cls(generate_private_key(SECP256R1()))

    @property
    def public_pem(self) -> bytes:
        """As cosign.pub."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data: bytes) -> bytes:
        """The signature over *data*, DER."""
        return self.private.sign(data, ECDSA(SHA256()))
