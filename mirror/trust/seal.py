"""Records signed with a key of one's own: whoever can push to a mirror can write a record, and cannot sign it.

The signature is ECDSA with SHA-256 over the bytes that the record gives, base64 of DER, as cosign's of a payload.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path

from mirror.errors import SettingsError

_MAX = 64 * 1024  # bytes of a key


@dataclass(frozen=True, slots=True)
class Seal:
    """The keys that records are signed with, and held to; without them they are neither."""

    sign_key_file: Path | None = None
    """A private key: ECDSA, PEM, not encrypted."""
    verify_key_file: Path | None = None
    """A public key: ECDSA, PEM."""

    async def signature(self, data: bytes) -> str:
        """The signature over *data*; empty where nothing is signed. Raises SettingsError for a key that is none."""
        if self.sign_key_file is None:
            return ""
        pem = await _read(self.sign_key_file, "record.sign_key_file")
        return await asyncio.to_thread(_signed, pem, data)

    async def problem(self, data: bytes, signature: str) -> str:
        """Why *signature* is not one over *data* that counts; empty where it is, and where none is asked for."""
        if self.verify_key_file is None:
            return ""
        if not signature:
            return "it is not signed, as record.verify_key_file wants it"
        pem = await _read(self.verify_key_file, "record.verify_key_file")
        is_right = await asyncio.to_thread(_is_right, pem, data, signature)
        return "" if is_right else "its signature is not by the key of record.verify_key_file, or not of what it says"


async def _read(path: Path, key: str) -> bytes:
    def read() -> bytes:
        with path.open("rb") as file:
            return file.read(_MAX)

    try:
        return await asyncio.to_thread(read)
    except OSError as exc:
        raise SettingsError(f"{key}: {path} cannot be read: {exc.strerror}") from exc


def _signed(pem: bytes, data: bytes) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from mirror.trust.keys import KeyPair

    wanted = "expected an ECDSA key in PEM, as `openssl ecparam -name prime256v1 -genkey -noout` makes one"
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise SettingsError(f"record.sign_key_file holds no private key that is not encrypted: {wanted}") from exc
    if not isinstance(key, EllipticCurvePrivateKey):
        raise SettingsError(f"record.sign_key_file holds a key of another kind: {wanted}")
    return b64encode(KeyPair(key).sign(data)).decode()


def _is_right(pem: bytes, data: bytes, signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    from mirror.trust.keys import public_key

    key = public_key(pem, what="record.verify_key_file").key
    try:
        key.verify(b64decode(signature, validate=True), data, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
