"""Key pairs, in both forms."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mirror.errors import SettingsError
from mirror.oci.content import Digest
from mirror.oci.reference import Repository
from mirror.trust.keys import KeyPair, payload, public_key
from mirror.trust.policy import Identity, Keyed
from mirror.trust.verdict import Verdict
from tests.servers.sigstore import (
    BUNDLE,
    MOMENT,
    Sigstore,
    SimpleSigning,
    annotation,
    b64,
    dsse_body,
    envelope,
    hashedrekord,
    new_key,
    pae,
    payload_of,
    pem,
    sign,
    statement,
    tlog_entry,
)
from tests.trust.conftest import IDENTITY, IMAGE, Bench

_KEY = new_key()
_KIND = "application/vnd.in-toto+json"
_DIGEST = str(public_key(pem(_KEY)).digest)


@pytest.fixture
def keyed(bench: Bench) -> Bench:
    """Where the image is to be signed with the key."""
    bench.identities = (Identity("ghcr.io/linkerd/*", Keyed(pem(_KEY))),)
    return bench


@pytest.fixture
def logged(bench: Bench) -> Bench:
    """Where it is to be entered in the log as well."""
    bench.identities = (Identity("ghcr.io/linkerd/*", Keyed(pem(_KEY), transparency_log=True)),)
    return bench


def _simple(
    ours: Sigstore | None = None, *, signed: bytes | None = None, key: Any = _KEY, **entry: Any
) -> SimpleSigning:
    """A signature in form A, with an entry in the log of *ours*; *entry* is what that is of, if of something else."""
    data = payload_of(IMAGE.digest) if signed is None else signed
    signature = sign(key, data)
    made = SimpleSigning(data, b64(signature))
    if ours:
        parts = {"payload": data, "signature": signature, "verifier": pem(key)} | entry
        made.log_entry = annotation(ours.log.entry(hashedrekord(**parts)))
    return made


def _bundle(
    ours: Sigstore | None = None, *, signed: bytes | None = None, key: Any = _KEY, **entry: Any
) -> dict[str, Any]:
    """As `_simple`, in form B."""
    data = statement(IMAGE.digest) if signed is None else signed
    signature = sign(key, pae(_KIND, data))
    material: dict[str, Any] = {"publicKey": {"hint": "x"}}
    if ours:
        parts = {"payload": data, "signature": signature, "verifier": pem(key)} | entry
        material["tlogEntries"] = [tlog_entry(ours.log.entry(dsse_body(**parts)), "dsse")]
    return {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope(data, signature)}


def _twice(bundle: dict[str, Any]) -> dict[str, Any]:
    bundle["dsseEnvelope"]["signatures"] *= 2
    return bundle


async def test_signed_with_the_key(keyed: Bench) -> None:
    """In either form; the trusted root is asked of nobody."""
    made = keyed.put_simple(_simple())
    expected = Verdict(IMAGE.digest, "signed", f"signed with the key {_DIGEST}", key=_DIGEST, evidence=made.digest)

    assert expected == await keyed.verdict()
    keyed.put_simple()
    bundled = keyed.put_bundle(_bundle())
    assert replace(expected, evidence=bundled.digest) == await keyed.verdict()
    assert 0 == keyed.root.loads


@pytest.mark.parametrize("form", ["A", "B"])
async def test_signed_and_logged(logged: Bench, form: str) -> None:
    """The log knows when."""
    if form == "A":
        logged.put_simple(_simple(logged.sigstore))
    else:
        logged.put_bundle(_bundle(logged.sigstore))
    verdict = await logged.verdict()

    assert ("signed", _DIGEST, 1005, MOMENT) == (verdict.state, verdict.key, verdict.log_index, verdict.signed_at)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: _simple(key=new_key()), "it is not signed with the key that the identity names"),
        (lambda: _bundle(key=new_key()), "it is not signed with the key that the identity names"),
        (lambda: _simple(signed=payload_of(Digest.of(b"other"))), "the signed payload is of another image"),
        (lambda: _bundle(signed=statement(Digest.of(b"other"))), "the statement is of another image"),
        (lambda: _bundle(signed=statement(IMAGE.digest, predicate="https://x.example")), "which is no signature"),
        (lambda: replace(_simple(), signature="§"), "the signature is not base64"),
        (lambda: _bundle() | {"mediaType": "x"}, "where v0.3 is needed"),
        (lambda: _twice(_bundle()), "the bundle's envelope has 2 signatures, not one"),
        (lambda: _bundle() | {"dsseEnvelope": {}}, "the bundle's envelope has no dsseEnvelope.payloadType"),
    ],
)
async def test_what_does_not_hold(keyed: Bench, make: Any, reason: str) -> None:
    """Each for its own reason; with one that holds beside it, the image is let in."""
    made = make()
    if isinstance(made, SimpleSigning):
        keyed.put_simple(made)
    else:
        keyed.put_bundle(made)
    verdict = await keyed.verdict()

    assert "not verified" == verdict.state
    assert reason in verdict.words
    keyed.put_bundle(_bundle())
    assert "signed" == (await keyed.verdict()).state


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"payload": b"another"}, "the log entry is of another payload"),
        ({"signature": b"another"}, "the log entry is of another signature"),
        ({"verifier": pem(new_key())}, "the log entry is of another key"),
        ({"verifier": b"no key"}, "the log entry is of another key"),
    ],
)
@pytest.mark.parametrize("form", ["A", "B"])
async def test_an_entry_of_something_else(logged: Bench, form: str, entry: dict[str, bytes], reason: str) -> None:
    """A true entry, and a true signature, that do not belong together."""
    if form == "A":
        logged.put_simple(_simple(logged.sigstore, **entry))
    else:
        logged.put_bundle(_bundle(logged.sigstore, **entry))
    verdict = await logged.verdict()

    assert "not verified" == verdict.state
    assert reason in verdict.words


@pytest.mark.parametrize("form", ["A", "B"])
async def test_the_log_is_asked_for_only_where_it_is_said(logged: Bench, foreign: Sigstore, form: str) -> None:
    """Without an entry, or with one of a foreign log, it is refused there and is good enough elsewhere."""
    for sigstore, reason in ((None, "log"), (foreign, "the trusted root does not know the transparency log")):
        if form == "A":
            logged.put_simple(_simple(sigstore))
        else:
            logged.registry.repositories["linkerd/proxy"].manifests.clear()
            logged.put_bundle(_bundle(sigstore))
        asked = await logged.verdict()
        assert ("not verified", True) == (asked.state, reason in asked.words)

    logged.identities = (Identity("ghcr.io/linkerd/*", Keyed(pem(_KEY))),)
    assert "signed" == (await logged.verdict()).state


async def test_an_entry_of_another_kind(logged: Bench) -> None:
    """A body of the other form does not do."""
    made = _bundle(logged.sigstore)
    data, signature = (b64decode(made["dsseEnvelope"]["payload"]), b"x")
    other = logged.sigstore.log.entry(hashedrekord(data, signature, pem(_KEY)))
    made["verificationMaterial"]["tlogEntries"] = [tlog_entry(other, "dsse")]
    logged.put_bundle(made)

    assert "where dsse 0.0.1 is needed" in (await logged.verdict()).words


async def test_an_identitys_signature_is_not_a_keys(keyed: Bench) -> None:
    """Whoever signed it without the key has not signed it with the key."""
    keyed.put_simple(keyed.sigstore.simple_signing(IMAGE.digest, IDENTITY))
    keyed.put_bundle(keyed.sigstore.bundle(IMAGE.digest, IDENTITY))

    assert "it is not signed with the key that the identity names" in (await keyed.verdict()).words


async def test_a_keys_signature_is_not_an_identitys(bench: Bench) -> None:
    """And the other way round."""
    bench.put_simple(_simple(bench.sigstore))

    assert "has no certificate: it was made with a key" in (await bench.verdict()).words


async def test_another_curve(bench: Bench) -> None:
    """P-384 with SHA-256, as cosign signs with an imported key."""
    key = new_key(ec.SECP384R1())
    bench.identities = (Identity("ghcr.io/linkerd/*", Keyed(pem(key))),)
    bench.put_simple(_simple(key=key))

    assert "signed" == (await bench.verdict()).state


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"no key", "is not a public key in PEM"),
        (pem(ed25519.Ed25519PrivateKey.generate().public_key()), "is not ECDSA's"),
        (pem(rsa.generate_private_key(65537, 2048).public_key()), "is not ECDSA's"),
    ],
)
async def test_a_key_that_cannot_be_used(bench: Bench, key: bytes, reason: str) -> None:
    """It is the operator's to correct, and no verdict."""
    bench.identities = (Identity("ghcr.io/linkerd/*", Keyed(key)),)
    bench.put_simple(_simple())

    with pytest.raises(SettingsError, match=reason):
        await bench.verdict()


async def test_our_own_signature(bench: Bench) -> None:
    """What we sign with a key pair of our own, we take; cosign does too (test_cosign.py)."""
    pair = KeyPair.generate()
    signed = payload(Repository.parse("ghcr.io/linkerd/proxy"), IMAGE.digest)
    bench.identities = (Identity("ghcr.io/linkerd/*", Keyed(pair.public_pem)),)
    bench.put_simple(SimpleSigning(signed, b64(pair.sign(signed))))

    assert "signed" == (await bench.verdict()).state
    assert payload_of(IMAGE.digest) == signed
    assert "private" not in repr(pair)


def test_a_key_is_the_same_however_it_is_written() -> None:
    """PEM has a line end or none."""
    key = public_key(pem(_KEY))

    assert key.is_same(pem(_KEY).strip())
    assert not key.is_same(json.dumps("x").encode())
