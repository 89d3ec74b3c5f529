"""A Sigstore of the tests' own: authority, certificate log, transparency log and their trusted root; no network.

It makes what Fulcio and Rekor make, so that cosign takes it (tests/trust/test_cosign.py holds it to that), and that a
test can make the same with one thing wrong. `signing_services` serves the two that cosign asks when it signs.

    Signer ── certificate ──► Authority (root ─► intermediate)     with a timestamp of the certificate log inside
       └───── signature ────► TransparencyLog: promise, inclusion proof, checkpoint

Sources: Fulcio's certificate-specification.md and oid-info.md, RFC 6962, Rekor's types.go and signed_note.go.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from mirror.oci.content import Digest
from mirror.oci.manifest import OCI_MANIFEST, Manifest
from tests.content import EMPTY, Image
from tests.servers.loopback import Handler, Response, serving
from tests.servers.tools import require

GITHUB = "https://token.actions.githubusercontent.com"
MOMENT = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
"""When everything is signed, if nothing else is said."""
BEGIN, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2045, 1, 1, tzinfo=UTC)
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
_FULCIO = "1.3.6.1.4.1.57264.1"
_STAMPS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_FIRST_INDEX = 1000  # entries of the log before this shard; a proof counts within its shard

PrivateKey = ec.EllipticCurvePrivateKey


def new_key(curve: ec.EllipticCurve | None = None) -> PrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def der(key: Any) -> bytes:
    """The public half of *key*, or the public *key*, as SubjectPublicKeyInfo."""
    public = key.public_key() if isinstance(key, PrivateKey) else key
    return bytes(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def pem(key: Any) -> bytes:
    """As `der`, in PEM."""
    public = key.public_key() if isinstance(key, PrivateKey) else key
    return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def sign(key: PrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _utf8(text: str) -> bytes:
    """DER of a UTF8String."""
    raw = text.encode()
    length = bytes((len(raw),)) if len(raw) < 128 else b"\x81" + bytes((len(raw),))
    return b"\x0c" + length + raw


@dataclass(frozen=True, slots=True)
class Authority:
    """A root and an intermediate that issue signing certificates, and the key of the log that they are entered in."""

    root: x509.Certificate
    intermediate: x509.Certificate
    key: PrivateKey = field(repr=False)
    certificate_log: PrivateKey = field(repr=False)

    @classmethod
    def make(cls, *, begin: datetime = BEGIN, end: datetime = END) -> Authority:
        root_key, key = new_key(ec.SECP384R1()), new_key(ec.SECP384R1())
        root_name, name = _name("root of the tests"), _name("intermediate of the tests")
        root = _ca(root_name, root_key, root_name, root_key, begin, end, path_length=1)
        intermediate = _ca(name, key, root_name, root_key, begin, end, path_length=0)
        return cls(root, intermediate, key, new_key())

    def issue(
        self,
        public_key: Any,
        *,
        identity: str,
        issuer: str = GITHUB,
        issuer_v2: str | bytes | None = None,
        at: datetime = MOMENT,
        life: timedelta = timedelta(minutes=10),
        stamped_by: PrivateKey | None = None,
        stamp_signed_by: PrivateKey | None = None,
        stamps: int = 1,
        usage: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
        names: Sequence[x509.GeneralName] = (),
        without: Sequence[str] = (),
    ) -> x509.Certificate:
        """A certificate as Fulcio issues it.

        *stamped_by* is the certificate log's key, ours if not given, and *stamp_signed_by* another one that signs in
        its name; *issuer_v2* is what the second extension says if it differs; *without* leaves extensions out, by the
        last part of their number or as `usages`.
        """
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.intermediate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(at)
            .not_valid_after(at + life)
            .add_extension(
                x509.SubjectAlternativeName(list(names) or [x509.UniformResourceIdentifier(identity)]), critical=True
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if "usages" not in without:
            builder = builder.add_extension(_usage(digital_signature=True), critical=True).add_extension(
                x509.ExtendedKeyUsage([usage]), critical=False
            )
        for number, value in (
            ("1", issuer.encode()),
            ("8", issuer_v2 if isinstance(issuer_v2, bytes) else _utf8(issuer if issuer_v2 is None else issuer_v2)),
        ):
            if number not in without:
                extension = x509.UnrecognizedExtension(ObjectIdentifier(f"{_FULCIO}.{number}"), value)
                builder = builder.add_extension(extension, critical=False)
        if not stamps:
            return builder.sign(self.key, hashes.SHA384())
        log = stamped_by or self.certificate_log
        return self._stamped(builder, at, log, stamp_signed_by or log, count=stamps)

    def _stamped(
        self, builder: x509.CertificateBuilder, at: datetime, log: PrivateKey, key: PrivateKey, *, count: int
    ) -> x509.Certificate:
        """With timestamps of *log* (RFC 6962 §3.2, §3.3); cryptography makes none, so they are signed here."""
        entry = builder.sign(self.key, hashes.SHA384()).tbs_certificate_bytes
        milliseconds = int(at.timestamp()) * 1000
        signed = (
            struct.pack("!BBQH", 0, 0, milliseconds, 1)
            + sha256(der(self.key)).digest()
            + len(entry).to_bytes(3, "big")
            + entry
            + b"\0\0"
        )
        stamps = b""
        for _ in range(count):
            signature = sign(key, signed)
            stamp = struct.pack("!B32sQH", 0, sha256(der(log)).digest(), milliseconds, 0)
            stamp += b"\x04\x03" + struct.pack("!H", len(signature)) + signature  # SHA-256, ECDSA
            stamps += struct.pack("!H", len(stamp)) + stamp
        listed = struct.pack("!H", len(stamps)) + stamps
        octets = b"\x04" + (bytes((len(listed),)) if len(listed) < 128 else b"\x81" + bytes((len(listed),))) + listed
        final = builder.add_extension(x509.UnrecognizedExtension(_STAMPS, octets), critical=False)
        certificate = final.sign(self.key, hashes.SHA384())
        assert entry == certificate.tbs_precertificate_bytes
        return certificate

    @property
    def chain_pem(self) -> str:
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in (self.intermediate, self.root))


@dataclass(frozen=True, slots=True)
class TransparencyLog:
    """A Rekor: a tree of some entries, and ours beside them."""

    key: PrivateKey = field(default_factory=new_key, repr=False)
    origin: str = "rekor.tests.invalid"
    named: bytes = b""
    """What it is known by, if not by its key: Rekor v2 counts its origin in."""

    @property
    def identity(self) -> bytes:
        return self.named or sha256(der(self.key)).digest()

    def entry(self, body: bytes, *, at: datetime = MOMENT) -> dict[str, Any]:
        """What Rekor answers for *body*, in the form of `GET /api/v1/log/entries`, without the uuid around it."""
        index, others = 5, [f"another entry {number}".encode() for number in range(6)]
        leaves = [*others[:5], body, others[5]]
        hashed = [sha256(b"\0" + leaf).digest() for leaf in leaves]
        root = _tree(hashed)
        entry: dict[str, Any] = {
            "body": b64(body),
            "integratedTime": int(at.timestamp()),
            "logID": self.identity.hex(),
            "logIndex": _FIRST_INDEX + index,
        }
        return entry | {
            "verification": {
                "signedEntryTimestamp": b64(self.promise(entry)),
                "inclusionProof": {
                    "logIndex": index,
                    "treeSize": len(leaves),
                    "rootHash": root.hex(),
                    "hashes": [one.hex() for one in _path(index, hashed)],
                    "checkpoint": self.checkpoint(len(leaves), root),
                },
            }
        }

    def promise(self, entry: Mapping[str, Any]) -> bytes:
        """The signed entry timestamp of *entry*."""
        return sign(
            self.key, rfc8785.dumps({name: entry[name] for name in ("body", "integratedTime", "logID", "logIndex")})
        )

    def checkpoint(self, size: int, root: bytes) -> str:
        """A signed note of the tree."""
        note = f"{self.origin} - 42\n{size}\n{b64(root)}\n"
        return f"{note}\n— {self.origin} {b64(self.identity[:4] + sign(self.key, note.encode()))}\n"


@dataclass(frozen=True, slots=True)
class TimestampAuthority:
    """Who says when bytes were there (RFC 3161), by OpenSSL; it knows the present time alone."""

    directory: Path
    chain: tuple[x509.Certificate, x509.Certificate]

    @classmethod
    def make(cls, directory: Path) -> TimestampAuthority:
        root_key, key = new_key(), new_key()
        root_name, name = _name("root of the tests' clock"), _name("clock of the tests")
        root = _ca(root_name, root_key, root_name, root_key, BEGIN, END, path_length=1)
        own = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(root_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(END)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
            .sign(root_key, hashes.SHA256())
        )
        (directory / "clock.pem").write_bytes(own.public_bytes(Encoding.PEM))
        (directory / "clock.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )
        (directory / "serial").write_text("01\n")
        (directory / "clock.cnf").write_text(
            "[tsa]\ndefault_tsa = ours\n[ours]\nserial = serial\nsigner_cert = clock.pem\nsigner_key = clock.key\n"
            "signer_digest = sha256\ndefault_policy = 1.2.3.4\ndigests = sha256\ness_cert_id_alg = sha256\n"
        )
        return cls(directory, (own, root))

    def stamp(self, data: bytes) -> bytes:
        """The response for *data*, DER."""
        (self.directory / "stamped").write_bytes(data)
        self._openssl("-query", "-data", "stamped", "-sha256", "-cert", "-out", "asked")
        self._openssl("-reply", "-config", "clock.cnf", "-queryfile", "asked", "-out", "stamp")
        return (self.directory / "stamp").read_bytes()

    def _openssl(self, *arguments: str) -> None:
        subprocess.run([require("openssl"), "ts", *arguments], cwd=self.directory, capture_output=True, check=True)

    def entry(self) -> dict[str, Any]:
        """What a trusted root says of it."""
        certificates = [{"rawBytes": b64(one.public_bytes(Encoding.DER))} for one in self.chain]
        return {
            "subject": {"organization": "tests", "commonName": "clock of the tests"},
            "uri": "https://clock.tests.invalid",
            "certChain": {"certificates": certificates},
            "validFor": {"start": "2025-01-01T00:00:00Z"},
        }


@dataclass(frozen=True, slots=True)
class Sigstore:
    """All of it."""

    authority: Authority = field(default_factory=Authority.make)
    log: TransparencyLog = field(default_factory=TransparencyLog)

    def trusted_root(self) -> dict[str, Any]:
        """The document that a client trusts."""
        window = {"start": "2025-01-01T00:00:00Z"}

        def log(key: PrivateKey, name: str, identity: bytes = b"") -> dict[str, Any]:
            return {
                "baseUrl": f"https://{name}.tests.invalid",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": b64(der(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": dict(window),
                },
                "logId": {"keyId": b64(identity or sha256(der(key)).digest())},
            }

        chain = [
            {"rawBytes": b64(one.public_bytes(Encoding.DER))}
            for one in (self.authority.intermediate, self.authority.root)
        ]
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log.key, "rekor", self.log.identity)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "tests", "commonName": "tests"},
                    "uri": "https://fulcio.tests.invalid",
                    "certChain": {"certificates": chain},
                    "validFor": dict(window),
                }
            ],
            "ctlogs": [log(self.authority.certificate_log, "ctfe")],
        }

    def write(self, directory: Path) -> dict[str, str]:
        """The files that cosign takes for its roots are in *directory*; what to put into its environment."""
        files = {
            "SIGSTORE_ROOT_FILE": ("fulcio.pem", self.authority.chain_pem.encode()),
            "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": ("ct.pub", pem(self.authority.certificate_log)),
            "SIGSTORE_REKOR_PUBLIC_KEY": ("rekor.pub", pem(self.log.key)),
            "": ("trusted_root.json", json.dumps(self.trusted_root()).encode()),
        }
        for name, data in files.values():
            (directory / name).write_bytes(data)
        return {variable: str(directory / name) for variable, (name, _) in files.items() if variable}

    def simple_signing(self, subject: Digest, identity: str, **certificate: Any) -> SimpleSigning:
        """*identity*'s signature of *subject*, as cosign 2 makes it."""
        key = new_key()
        payload = payload_of(subject)
        issued = self.authority.issue(key.public_key(), identity=identity, **certificate)
        signature = sign(key, payload)
        signed = SimpleSigning(payload, b64(signature), issued.public_bytes(Encoding.PEM).decode())
        signed.chain = self.authority.chain_pem
        signed.log_entry = annotation(self.log.entry(hashedrekord(payload, signature, signed.certificate.encode())))
        return signed

    def bundle(self, subject: Digest, identity: str, **certificate: Any) -> dict[str, Any]:
        """*identity*'s signature of *subject*, as cosign 3 makes it."""
        key = new_key()
        issued = self.authority.issue(key.public_key(), identity=identity, **certificate)
        return self.bundled(statement(subject), key, issued)

    def stamped(self, subject: Digest, identity: str, clock: TimestampAuthority) -> dict[str, Any]:
        """As `bundle`, of now, with an entry of Rekor v2, which has no time, and a timestamp of *clock*."""
        kind, stated, key = "application/vnd.in-toto+json", statement(subject), new_key()
        at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
        certificate = self.authority.issue(key.public_key(), identity=identity, at=at)
        made = self.bundled(stated, key, certificate, at=at)
        signature = base64.b64decode(made["dsseEnvelope"]["signatures"][0]["sig"])
        verifier = {
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "x509Certificate": made["verificationMaterial"]["certificate"],
        }
        body = {
            "apiVersion": "0.0.2",
            "kind": "hashedrekord",
            "spec": {
                "hashedRekordV002": {
                    "data": {"algorithm": "SHA2_256", "digest": b64(sha256(pae(kind, stated)).digest())},
                    "signature": {"content": b64(signature), "verifier": verifier},
                }
            },
        }
        entry = tlog_entry(self.log.entry(rfc8785.dumps(body)), "hashedrekord")
        entry["kindVersion"]["version"] = "0.0.2"
        del entry["integratedTime"], entry["inclusionPromise"]
        made["verificationMaterial"] |= {
            "tlogEntries": [entry],
            "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": b64(clock.stamp(signature))}]},
        }
        return made

    def bundled(
        self,
        stated: bytes,
        key: PrivateKey,
        certificate: x509.Certificate,
        *,
        kind: str = "application/vnd.in-toto+json",
        at: datetime = MOMENT,
    ) -> dict[str, Any]:
        """A bundle around *stated*, signed with *key*, whose *certificate* it has."""
        signature = sign(key, pae(kind, stated))
        body = dsse_body(stated, signature, certificate.public_bytes(Encoding.PEM))
        return {
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": {"rawBytes": b64(certificate.public_bytes(Encoding.DER))},
                "tlogEntries": [tlog_entry(self.log.entry(body, at=at), "dsse")],
            },
            "dsseEnvelope": envelope(stated, signature, kind),
        }


@dataclass(slots=True)
class SimpleSigning:
    """A layer of a `.sig` manifest, to be changed by a test; what is empty is left out of its annotations."""

    payload: bytes
    signature: str
    certificate: str = ""
    chain: str = ""
    log_entry: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def annotations(self) -> dict[str, Any]:
        named = {
            "dev.cosignproject.cosign/signature": self.signature,
            "dev.sigstore.cosign/bundle": self.log_entry,
            "dev.sigstore.cosign/certificate": self.certificate,
            "dev.sigstore.cosign/chain": self.chain,
        }
        return {name: value for name, value in named.items() if value} | self.more


def payload_of(subject: Digest, reference: str = "ghcr.io/linkerd/proxy") -> bytes:
    """As cosign 2 writes it (sigstore/sigstore, pkg/signature/payload)."""
    critical = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": str(subject)},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def statement(
    subject: Digest, *, kind: str = "https://in-toto.io/Statement/v1", predicate: str = SIGN_PREDICATE
) -> bytes:
    """As cosign 3 writes it: a subject without a name (cmd/cosign/cli/sign/sign.go, signDigestBundle)."""
    told = {
        "_type": kind,
        "subject": [{"digest": {subject.algorithm: subject.hex}}],
        "predicateType": predicate,
        "predicate": {},
    }
    return json.dumps(told, separators=(",", ":")).encode()


def pae(kind: str, payload: bytes) -> bytes:
    return f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload


def envelope(payload: bytes, signature: bytes, kind: str = "application/vnd.in-toto+json") -> dict[str, Any]:
    return {"payload": b64(payload), "payloadType": kind, "signatures": [{"sig": b64(signature)}]}


def hashedrekord(payload: bytes, signature: bytes, verifier: bytes) -> bytes:
    """The body of an entry for a signature over *payload*; *verifier* is PEM."""
    return rfc8785.dumps(
        {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": sha256(payload).hexdigest()}},
                "signature": {"content": b64(signature), "publicKey": {"content": b64(verifier)}},
            },
        }
    )


def dsse_body(payload: bytes, signature: bytes, verifier: bytes, *, envelope_hash: str = "") -> bytes:
    """The body of an entry for an envelope."""
    return rfc8785.dumps(
        {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {
                    "algorithm": "sha256",
                    "value": envelope_hash or sha256(json.dumps(envelope(payload, signature)).encode()).hexdigest(),
                },
                "payloadHash": {"algorithm": "sha256", "value": sha256(payload).hexdigest()},
                "signatures": [{"signature": b64(signature), "verifier": b64(verifier)}],
            },
        }
    )


def annotation(entry: Mapping[str, Any]) -> str:
    """*entry* as cosign 2 keeps it beside a signature."""
    payload = {name: entry[name] for name in ("body", "integratedTime", "logIndex", "logID")}
    told = {"SignedEntryTimestamp": entry["verification"]["signedEntryTimestamp"], "Payload": payload}
    return json.dumps(told, separators=(",", ":"))


def tlog_entry(entry: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """*entry* as a bundle has it (sigstore/protobuf-specs, sigstore_rekor.proto)."""
    proof = entry["verification"]["inclusionProof"]
    return {
        "logIndex": str(entry["logIndex"]),
        "logId": {"keyId": b64(bytes.fromhex(entry["logID"]))},
        "kindVersion": {"kind": kind, "version": "0.0.1"},
        "integratedTime": str(entry["integratedTime"]),
        "inclusionPromise": {"signedEntryTimestamp": entry["verification"]["signedEntryTimestamp"]},
        "inclusionProof": {
            "logIndex": str(proof["logIndex"]),
            "rootHash": b64(bytes.fromhex(proof["rootHash"])),
            "treeSize": str(proof["treeSize"]),
            "hashes": [b64(bytes.fromhex(one)) for one in proof["hashes"]],
            "checkpoint": {"envelope": proof["checkpoint"]},
        },
        "canonicalizedBody": entry["body"],
    }


def sig_image(*layers: SimpleSigning, raw: bytes | None = None) -> Image:
    """The manifest that cosign 2 tags `sha256-HEX.sig`."""
    config = json.dumps({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}})
    blobs = {Digest.of(data): data for data in (config.encode(), *(layer.payload for layer in layers))}
    view = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _described("application/vnd.oci.image.config.v1+json", config.encode()),
        "layers": [
            _described(SIMPLE_SIGNING, layer.payload) | {"annotations": layer.annotations()} for layer in layers
        ],
    }
    return Image(Manifest.parse(raw or json.dumps(view).encode(), where="a test"), blobs)


def bundle_image(
    bundle: Mapping[str, Any] | bytes, subject: Manifest, *, artifact_type: str = BUNDLE, layers: int = 1
) -> Image:
    """The manifest that cosign 3 stores as a referrer of *subject*."""
    data = bundle if isinstance(bundle, bytes) else json.dumps(bundle).encode()
    view = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": _described(EMPTY, b"{}"),
        "layers": [_described(BUNDLE, data + b" " * number) for number in range(layers)],
        "subject": {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size},
    }
    blobs = {Digest.of(each): each for each in (b"{}", *(data + b" " * number for number in range(layers)))}
    return Image(Manifest.parse(json.dumps(view).encode(), where="a test"), blobs)


@dataclass(slots=True)
class Services:
    """Where cosign signs; the next certificate is for *identity*."""

    url: str
    identity: str
    issuer: str = GITHUB

    def arguments(self) -> list[str]:
        """For `cosign sign` and `cosign attest`; the token is looked at by nobody but for its form."""
        parts = (
            {"alg": "ES256", "typ": "JWT"},
            {"iss": self.issuer, "sub": "tests", "aud": "sigstore", "exp": 4102444800},
        )
        token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        return ["--fulcio-url", self.url, "--rekor-url", self.url, "--identity-token", f"{token}.c2ln", "-y"]


@contextmanager
def signing_services(sigstore: Sigstore, identity: str) -> Iterator[Services]:
    """Fulcio and Rekor, as much of them as cosign asks for when it signs; at the present time."""

    class Asked(Handler):
        def respond(self) -> None:
            body = json.loads(self.read_body() or b"null")
            if self.command == "POST" and self.path == "/api/v1/signingCert":
                self.send(certificate(body))
            elif self.command == "POST" and self.path == "/api/v2/signingCert":
                self.send(certificate_v2(body))
            elif self.command == "POST" and self.path == "/api/v1/log/entries":
                self.send(entry(body))
            else:
                self.send(Response(404))

    def issued(key: Any) -> str:
        at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
        made = sigstore.authority.issue(key, identity=services.identity, issuer=services.issuer, at=at)
        return made.public_bytes(Encoding.PEM).decode()

    def certificate(asked: Any) -> Response:
        chain = issued(_loaded(base64.b64decode(asked["publicKey"]["content"]))) + sigstore.authority.chain_pem
        return Response(201, {"Content-Type": "application/pem-certificate-chain"}, chain.encode())

    def certificate_v2(asked: Any) -> Response:
        """As cosign 3 asks (sigstore/fulcio, fulcio.proto)."""
        key = _loaded(asked["publicKeyRequest"]["publicKey"]["content"].encode())
        chain = re.findall(r"-----BEGIN.*?-----END CERTIFICATE-----\n", sigstore.authority.chain_pem, re.DOTALL)
        answer = {"signedCertificateEmbeddedSct": {"chain": {"certificates": [issued(key), *chain]}}}
        return Response(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def entry(proposed: Any) -> Response:
        made = sigstore.log.entry(rfc8785.dumps(_entered(proposed)), at=datetime.now(UTC))
        uuid = sha256(b"\0" + base64.b64decode(made["body"])).hexdigest()
        headers = {"Content-Type": "application/json", "Location": f"/api/v1/log/entries/{uuid}", "ETag": uuid}
        return Response(201, headers, json.dumps({uuid: made}).encode())

    with serving(Asked) as address:
        services = Services(f"http://{address}", identity)
        yield services


def _loaded(raw: bytes) -> Any:
    return load_pem_public_key(raw) if raw.startswith(b"-----") else load_der_public_key(raw)


def _entered(proposed: Any) -> Any:
    """What Rekor makes of *proposed*: an envelope it keeps by its hashes (rekor, pkg/types/dsse/v0.0.1)."""
    if proposed["kind"] != "dsse":
        return proposed
    content = proposed["spec"]["proposedContent"]
    enveloped = json.loads(content["envelope"])
    payload, signature = (base64.b64decode(one) for one in (enveloped["payload"], enveloped["signatures"][0]["sig"]))
    body = dsse_body(
        payload,
        signature,
        base64.b64decode(content["verifiers"][0]),
        envelope_hash=sha256(content["envelope"].encode()).hexdigest(),
    )
    return json.loads(body)


def _described(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data)}


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, digital_signature: bool = False, certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _ca(
    name: x509.Name,
    key: PrivateKey,
    issuer: x509.Name,
    issuer_key: PrivateKey,
    begin: datetime,
    end: datetime,
    *,
    path_length: int,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if path_length == 0:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    return builder.sign(issuer_key, hashes.SHA384())


def _tree(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 §2.1."""
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return sha256(b"\1" + _tree(leaves[:split]) + _tree(leaves[split:])).digest()


def _path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 §2.1.1."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*_path(index, leaves[:split]), _tree(leaves[split:])]
    return [*_path(index - split, leaves[split:]), _tree(leaves[:split])]


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1
