"""A token service (distribution, docs/spec/auth/token.md): checks credentials, signs what docker-registry takes."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.servers.certificates import pem, self_signed
from tests.servers.loopback import Handler, Seen, serving

ISSUER = "mirror-test-issuer"
SERVICE = "mirror-test-registry"


@dataclass(slots=True)
class TokenService:
    """What it is set to, and what it was asked; all may be changed while it runs."""

    bundle: Path
    """The certificate that a registry is given as `rootcertbundle`."""
    username: str = "pusher"
    password: str = "push-password"
    anonymous_pulls: bool = True
    lifetime_s: int = 300
    refuses: int = 0
    """The status of the next answers, instead of a token; 0: none."""
    realm: str = ""
    requests: list[Seen] = field(default_factory=list)
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def scopes(self) -> list[tuple[str, ...]]:
        """The scopes that each request asked for."""
        return [tuple(" ".join(_query(seen.target).get("scope", [])).split()) for seen in self.requests]

    def token(self, scopes: list[str], subject: str) -> str:
        """A signed token that grants *scopes* to *subject*, or to nobody only pulls."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = [
                action for action in actions.split(",") if subject or (self.anonymous_pulls and action == "pull")
            ]
            access.append({"type": kind, "name": name, "actions": granted})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": SERVICE,
            "exp": now + self.lifetime_s,
            "nbf": now - 10,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        header = {"typ": "JWT", "alg": "ES256", "kid": _key_id(self.key.public_key())}
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return (signed + b"." + _base64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()


@contextmanager
def token_service(directory: Path) -> Iterator[TokenService]:
    """Serves tokens at the service's `realm`."""
    service = TokenService(bundle=directory / "tokens.pem")
    service.bundle.write_bytes(pem(self_signed(service.key, ISSUER)))

    class TokenHandler(Handler):
        def respond(self) -> None:
            service.requests.append(self.seen())
            status, answer = _answer(service, self.seen())
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(TokenHandler) as address:
        service.realm = f"http://{address}/token"
        yield service


def _answer(service: TokenService, seen: Seen) -> tuple[int, dict[str, object]]:
    subject = ""
    if authorization := seen.headers.get("authorization"):
        expected = "Basic " + base64.b64encode(f"{service.username}:{service.password}".encode()).decode()
        if authorization != expected:
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}
        subject = service.username
    if service.refuses:
        return service.refuses, {"errors": [{"code": "DENIED", "message": "the token service refuses"}]}
    query = _query(seen.target)
    if query.get("service") != [SERVICE]:
        return 400, {"errors": [{"code": "UNSUPPORTED", "message": "unknown service"}]}
    scopes = " ".join(query.get("scope", [])).split()
    return 200, {"token": service.token(scopes, subject), "expires_in": service.lifetime_s}


def _query(target: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(target).query)


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _key_id(key: ec.EllipticCurvePublicKey) -> str:
    """The key's fingerprint as docker/libtrust writes it: 240 bits of SHA-256 in base32, groups of four."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    return ":".join(text[at : at + 4] for at in range(0, len(text), 4))
