"""Form A: one thing wrong at a time, each refused for its own reason."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.errors import AccessDenied
from mirror.oci.content import Digest
from mirror.oci.copy import Copier
from mirror.oci.manifest import Manifest
from mirror.oci.reference import Reference
from mirror.oci.referrers import Referrers, gathered, travel
from mirror.oci.remembering import Remembering
from mirror.trust.judge import Trust, judge
from mirror.trust.verdict import Verdict
from tests.content import image, index
from tests.servers.client import open_registry
from tests.servers.fake import ALWAYS, Fault, answer, becomes, corrupt, fake_registry
from tests.servers.sigstore import (
    GITHUB,
    MOMENT,
    Sigstore,
    SimpleSigning,
    annotation,
    b64,
    der,
    hashedrekord,
    new_key,
    payload_of,
    sig_image,
    sign,
)
from tests.trust.conftest import IDENTITY, IMAGE, NAME, REFERENCE, TAG, Bench, Given, Shelf

_OTHER = Digest.of(b"another image")
_LATER = MOMENT + timedelta(hours=1)


def _resigned(
    sigstore: Sigstore, payload: bytes, *, key: Any = None, signer: Any = None, logged_at: Any = MOMENT, **issued: Any
) -> SimpleSigning:
    """A signature over *payload*, all else right; *key* is what the certificate is for, *signer* what signs."""
    key = key or new_key()
    certificate = sigstore.authority.issue(key.public_key(), **{"identity": IDENTITY, **issued})
    signature = sign(signer or key, payload)
    signed = SimpleSigning(payload, b64(signature), certificate.public_bytes(Encoding.PEM).decode())
    signed.log_entry = annotation(
        sigstore.log.entry(hashedrekord(payload, signature, signed.certificate.encode()), at=logged_at)
    )
    return signed


def rightly(sigstore: Sigstore, **issued: Any) -> SimpleSigning:
    return _resigned(sigstore, payload_of(IMAGE.digest), **issued)


def _entry(signed: SimpleSigning) -> Any:
    return json.loads(signed.log_entry)


def _relogged(sigstore: Sigstore, signed: SimpleSigning, body: bytes) -> SimpleSigning:
    """*signed* beside a true entry of *body*."""
    return replace(signed, log_entry=annotation(sigstore.log.entry(body)))


def _with_entry(signed: SimpleSigning, **payload: Any) -> SimpleSigning:
    """*signed*, whose log entry claims *payload*, its promise as it was."""
    entry = _entry(signed)
    entry["Payload"] |= payload
    return replace(signed, log_entry=json.dumps(entry))


def _other_entry(ours: Sigstore, **change: Any) -> SimpleSigning:
    """A true entry, of the same certificate, of something else."""
    signed = rightly(ours)
    parts = {
        "payload": signed.payload,
        "signature": b64decode(signed.signature),
        "verifier": signed.certificate.encode(),
    }
    return _relogged(ours, signed, hashedrekord(**(parts | change)))


def _promised_by(theirs: Sigstore, ours: Sigstore) -> SimpleSigning:
    """An entry whose promise is by another key, in the name of our log."""
    signed = rightly(ours)
    entry = _entry(signed)
    entry["SignedEntryTimestamp"] = b64(theirs.log.promise(entry["Payload"]))
    return replace(signed, log_entry=json.dumps(entry))


def _critical(**change: Any) -> bytes:
    view = json.loads(payload_of(IMAGE.digest))
    view["critical"] |= change
    return json.dumps(view).encode()


def _by_rsa(ours: Sigstore) -> SimpleSigning:
    key = rsa.generate_private_key(65537, 2048)
    certificate = ours.authority.issue(key.public_key(), identity=IDENTITY)
    return replace(rightly(ours), certificate=certificate.public_bytes(Encoding.PEM).decode())


def _off_curve(ours: Sigstore) -> SimpleSigning:
    key = new_key()
    raw = ours.authority.issue(key.public_key(), identity=IDENTITY).public_bytes(Encoding.DER)
    changed = raw.replace(der(key), der(key)[:-1] + bytes([der(key)[-1] ^ 1]))
    armoured = f"-----BEGIN CERTIFICATE-----\n{b64(changed)}\n-----END CERTIFICATE-----\n"
    return replace(rightly(ours), certificate=armoured)


_TWO_DIGESTS = payload_of(IMAGE.digest).replace(
    b'"image":{', b'"image":{"docker-manifest-digest":"%s",' % str(_OTHER).encode()
)
_DNS = x509.DNSName("github.com")
_URI = x509.UniformResourceIdentifier(IDENTITY)
_WORKFLOW = "https://github.com/linkerd/linkerd2/.github/workflows/release.yml"

WRONG: dict[str, tuple[Callable[[Sigstore, Sigstore], SimpleSigning], str]] = {
    # who signed
    "another tag's certificate": (
        lambda ours, _: rightly(ours, identity=f"{_WORKFLOW}@refs/tags/edge-26.8.2"),
        "signed by somebody else: the identity is",
    ),
    "a tag that only begins so": (lambda ours, _: rightly(ours, identity=f"{IDENTITY}.1"), "the identity is"),
    "a branch": (lambda ours, _: rightly(ours, identity=f"{_WORKFLOW}@refs/heads/{TAG}"), "the identity is"),
    "a look-alike repository": (
        lambda ours, _: rightly(ours, identity=IDENTITY.replace("linkerd2", "linkerd2x")),
        "the identity is",
    ),
    "a look-alike workflow": (
        lambda ours, _: rightly(ours, identity=IDENTITY.replace("release.yml", "release.yml.yml")),
        "the identity is",
    ),
    "a look-alike host": (
        lambda ours, _: rightly(ours, identity=IDENTITY.replace("github.com", "github.com.example")),
        "the identity is",
    ),
    "another spelling": (
        lambda ours, _: rightly(ours, identity=IDENTITY.replace("linkerd2", "Linkerd2")),
        "identity is",
    ),
    "another issuer": (
        lambda ours, _: rightly(ours, issuer="https://issuer.example"),
        'signed by somebody else: the issuer is "https://issuer.example"',
    ),
    "two issuers": (
        lambda ours, _: rightly(ours, issuer_v2="https://issuer.example"),
        "as the issuer of the identity, where one",
    ),
    "no issuer": (lambda ours, _: rightly(ours, without=["1", "8"]), "names nobody as the issuer"),
    "an issuer that is not text": (lambda ours, _: rightly(ours, issuer_v2=b"\x0c\x02x"), "issuer is not text"),
    "an identity too long": (lambda ours, _: rightly(ours, identity=f"{IDENTITY}{'x' * 1024}"), "longer than 1024"),
    "an empty issuer": (lambda ours, _: rightly(ours, issuer=""), "identity or issuer is empty"),
    "two names": (lambda ours, _: rightly(ours, names=[_URI, _URI]), "the certificate has 2 names"),
    "a name of another kind": (lambda ours, _: rightly(ours, names=[_DNS]), "the certificate has 1 names"),
    # what was signed
    "a payload for another digest": (
        lambda ours, _: _resigned(ours, payload_of(_OTHER)),
        f'the signed payload is of another image, "{_OTHER}"',
    ),
    "a digest in capitals": (
        lambda ours, _: _resigned(
            ours, _critical(image={"docker-manifest-digest": f"sha256:{IMAGE.digest.hex.upper()}"})
        ),
        "of another image",
    ),
    "a payload with two digests": (lambda ours, _: _resigned(ours, _TWO_DIGESTS), "the signed payload has a key twice"),
    "a payload without a digest": (
        lambda ours, _: _resigned(ours, _critical(image={})),
        "has no critical.image.docker-manifest-digest",
    ),
    "a payload of another type": (
        lambda ours, _: _resigned(ours, _critical(type="cosign attestation")),
        "where a cosign container image signature is needed",
    ),
    "a payload that is not JSON": (lambda ours, _: _resigned(ours, b"{"), "the signed payload is not JSON"),
    "a payload that is a list": (lambda ours, _: _resigned(ours, b"[]"), "the signed payload is not a JSON object"),
    "a payload that Python alone reads": (
        lambda ours, _: _resigned(ours, payload_of(IMAGE.digest).replace(b"null", b"NaN")),
        "the signed payload is not JSON",
    ),
    "a payload too deep": (
        lambda ours, _: _resigned(ours, b'{"critical":' + b"[" * 60_000),
        "the signed payload is JSON too deep",
    ),
    "an enormous payload": (
        lambda ours, _: _resigned(ours, payload_of(IMAGE.digest) + b" " * 70_000),
        "is not of 0 to 65536",
    ),
    # the signature
    "a signature by another key": (lambda ours, _: rightly(ours, signer=new_key()), "not the certificate's over this"),
    "a signature of another payload": (
        lambda ours, _: replace(rightly(ours), signature=_resigned(ours, b"another").signature),
        "not the certificate's over this",
    ),
    "a signature that is not base64": (
        lambda ours, _: replace(rightly(ours), signature="§"),
        "the signature is not base64",
    ),
    "no signature": (
        lambda ours, _: replace(rightly(ours), signature=""),
        "has no annotation dev.cosignproject.cosign/signature",
    ),
    # the certificate
    "no certificate": (lambda ours, _: replace(rightly(ours), certificate=""), "has no certificate"),
    "a certificate that is none": (
        lambda ours, _: replace(rightly(ours), certificate="x"),
        "not one certificate in PEM",
    ),
    "two certificates": (
        lambda ours, _: (good := rightly(ours)) and replace(good, certificate=good.certificate * 2),
        "not one certificate in PEM",
    ),
    "an expired certificate": (
        lambda ours, _: rightly(ours, logged_at=_LATER),
        "the certificate was valid from 2026-01-15 12:00:00 to 12:10:00 UTC, and the signature is of 2026-01-15 13:00",
    ),
    "a certificate that was not valid yet": (
        lambda ours, _: rightly(ours, at=_LATER),
        "the certificate was valid from",
    ),
    "a chain through a foreign root": (
        lambda ours, theirs: replace(
            rightly(Sigstore(theirs.authority, ours.log), stamped_by=ours.authority.certificate_log),
            chain=theirs.authority.chain_pem,
        ),
        "no authority of the trusted root has issued the certificate",
    ),
    "a certificate for a point that is on no curve": (lambda ours, _: _off_curve(ours), "for what is no key"),
    "a certificate for TLS": (
        lambda ours, _: rightly(ours, usage=ExtendedKeyUsageOID.CLIENT_AUTH),
        "the certificate is not for code signing",
    ),
    "a certificate for anything": (
        lambda ours, _: rightly(ours, without=["usages"]),
        "does not say what it may be used",
    ),
    "a certificate for RSA": (lambda ours, _: _by_rsa(ours), "for a key that is not ECDSA's"),
    # the certificate's timestamp
    "a missing SCT": (lambda ours, _: rightly(ours, stamps=0), "has no timestamp of a certificate transparency log"),
    "two SCTs": (lambda ours, _: rightly(ours, stamps=2), "has 2 timestamps of certificate transparency logs, not one"),
    "an SCT of a foreign log": (
        lambda ours, theirs: rightly(ours, stamped_by=theirs.authority.certificate_log),
        "the trusted root does not know the certificate transparency log",
    ),
    "an SCT by a foreign key": (
        lambda ours, theirs: rightly(ours, stamp_signed_by=theirs.authority.certificate_log),
        "the timestamp of the certificate transparency log is not signed by that log",
    ),
    # the log entry
    "a missing SET": (lambda ours, _: replace(rightly(ours), log_entry=""), "has no entry of the transparency log"),
    "an entry that is not JSON": (lambda ours, _: replace(rightly(ours), log_entry="{"), "log entry is not JSON"),
    "an entry without a promise": (
        lambda ours, _: replace(rightly(ours), log_entry=json.dumps({"Payload": _entry(rightly(ours))["Payload"]})),
        "log entry has no SignedEntryTimestamp",
    ),
    "an entry of a foreign log": (
        lambda ours, theirs: rightly(Sigstore(ours.authority, theirs.log)),
        "the trusted root does not know the transparency log",
    ),
    "a promise by a foreign key": (
        lambda ours, theirs: _promised_by(theirs, ours),
        "the promise of the transparency log is not signed by that log",
    ),
    "a promise of another time": (
        lambda ours, _: _with_entry(rightly(ours), integratedTime=int(MOMENT.timestamp()) + 1),
        "the promise of the transparency log is not signed",
    ),
    "a promise of another entry": (
        lambda ours, _: _with_entry(rightly(ours), body=_entry(rightly(ours))["Payload"]["body"]),
        "the promise of the transparency log is not signed",
    ),
    "a time beyond the calendar": (
        lambda ours, _: _with_entry(rightly(ours), integratedTime=2**63),
        "is not a number from",
    ),
    "no time": (lambda ours, _: _with_entry(rightly(ours), integratedTime=0), "the log entry has no time"),
    "a time before all": (lambda ours, _: _with_entry(rightly(ours), integratedTime=-1), "is not a number from"),
    "a time that is no number": (lambda ours, _: _with_entry(rightly(ours), integratedTime="1"), "that is a number"),
    "an index below 0": (lambda ours, _: _with_entry(rightly(ours), logIndex=-1), "its index is not a number from"),
    "a log's name that is not hex": (lambda ours, _: _with_entry(rightly(ours), logID="x"), "by what is not hex"),
    "an entry of another payload": (
        lambda ours, _: _other_entry(ours, payload=b"another"),
        "the log entry is of another payload",
    ),
    "an entry of another signature": (
        lambda ours, _: _other_entry(ours, signature=b"another"),
        "the log entry is of another signature",
    ),
    "an entry of another certificate": (
        lambda ours, _: _other_entry(ours, verifier=rightly(ours).certificate.encode()),
        "the log entry is of another certificate",
    ),
    "an entry of another kind": (
        lambda ours, _: _relogged(ours, rightly(ours), b'{"kind":"rekord","apiVersion":"0.0.1"}'),
        "where hashedrekord 0.0.1 is needed",
    ),
    "an entry by another hash": (
        lambda ours, _: (
            (good := rightly(ours))
            and _relogged(
                ours,
                good,
                hashedrekord(good.payload, b64decode(good.signature), good.certificate.encode()).replace(
                    b'"algorithm":"sha256"', b'"algorithm":"sha512"'
                ),
            )
        ),
        "the log entry is of another payload",
    ),
    # the annotations
    "an annotation that is no string": (
        lambda ours, _: replace(rightly(ours), more={"dev.sigstore.cosign/bundle": {}}),
        "the annotation dev.sigstore.cosign/bundle is no string",
    ),
    "an enormous annotation": (
        lambda ours, _: replace(rightly(ours), certificate="x" * 70_000),
        "the annotation dev.sigstore.cosign/certificate is no string of at most 65536",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_each_is_refused_for_its_own_reason(bench: Bench, foreign: Sigstore, wrong: str) -> None:
    """With the signature as it should be, the same image is let in."""
    make, reason = WRONG[wrong]
    bench.put_simple(make(bench.sigstore, foreign))
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert reason in verdict.words
    assert not verdict.satisfies("require")
    bench.put_simple(rightly(bench.sigstore))
    assert "signed" == (await bench.verdict()).state


async def test_a_signature_that_holds(bench: Bench) -> None:
    """The verdict has who, when, where in the log, and what it was read from."""
    made = bench.put_simple(bench.sigstore.simple_signing(IMAGE.digest, IDENTITY))

    expected = Verdict(
        IMAGE.digest,
        "signed",
        f'signed by "{IDENTITY}"',
        identity=IDENTITY,
        issuer=GITHUB,
        log_index=1005,
        signed_at=MOMENT,
        evidence=made.digest,
    )
    assert expected == await bench.verdict()


@pytest.mark.parametrize("without", [[], ["8"], ["1"]], ids=["both", "only .1.1", "only .1.8"])
async def test_the_issuer_in_each_form(bench: Bench, without: list[str]) -> None:
    """Fulcio of 2022 wrote the first alone, and may leave it out one day."""
    bench.put_simple(rightly(bench.sigstore, without=without))

    assert "signed" == (await bench.verdict()).state


async def test_another_curve(bench: Bench) -> None:
    """P-384 with SHA-256, as cosign takes it."""
    bench.put_simple(rightly(bench.sigstore, key=new_key(ec.SECP384R1())))

    assert "signed" == (await bench.verdict()).state


async def test_a_mail_address(bench: Bench) -> None:
    """An identity of a person, as an operator may configure it."""
    bench.put_simple(rightly(bench.sigstore, names=[x509.RFC822Name("me@example.com")]))
    verdict = await bench.verdict()

    assert "me@example.com" == verdict.identity
    assert 'identity = "me@example.com"' in verdict.stanza


async def test_the_reference_in_the_payload_is_upstreams(bench: Bench) -> None:
    """It is not compared: the image is mirrored, the digest is the same."""
    bench.put_simple(_resigned(bench.sigstore, payload_of(IMAGE.digest, "quay.example/somewhere/else")))

    assert "signed" == (await bench.verdict()).state


async def test_one_signature_that_holds_is_enough(bench: Bench) -> None:
    """As for cosign; without it every reason is told, and the first somebody else."""
    bad = [
        rightly(bench.sigstore, stamps=0),
        rightly(bench.sigstore, identity="https://example.com/a"),
        rightly(bench.sigstore, identity="https://example.com/b"),
        replace(rightly(bench.sigstore), log_entry=""),
    ]
    bench.put_simple(*bad)
    verdict = await bench.verdict()

    assert verdict.words.startswith("none of 4 signatures holds: the certificate has no timestamp")
    assert verdict.words.endswith("; and 1 more")
    assert "https://example.com/a" == verdict.identity
    bench.put_simple(*bad, rightly(bench.sigstore))
    assert "signed" == (await bench.verdict()).state


async def test_what_would_accept_it_is_only_told_of_what_was_proven(bench: Bench, foreign: Sigstore) -> None:
    """Somebody else's signature that holds has a stanza; one that is forged as well has none."""
    other = "https://github.com/linkerd/linkerd2/.github/workflows/other.yml@refs/tags/edge-26.8.3"
    bench.put_simple(rightly(bench.sigstore, identity=other))
    verdict = await bench.verdict()

    assert other == verdict.identity
    assert (
        "[[policy.identities]]\n"
        'images   = "ghcr.io/linkerd/proxy"\n'
        f'issuer   = "{GITHUB}"\n'
        'identity = "https://github.com/linkerd/linkerd2/.github/workflows/other.yml@refs/tags/{tag}"'
    ) == verdict.stanza
    bench.put_simple(rightly(Sigstore(bench.sigstore.authority, foreign.log), identity=other))
    forged = await bench.verdict()
    assert ("not verified", "", "") == (forged.state, forged.identity, forged.stanza)


async def test_a_tag_that_is_an_index(bench: Bench) -> None:
    """A signature is one manifest; what is below the index is not looked for."""
    below = sig_image(rightly(bench.sigstore))
    bench.put_tagged(index(below, image(b"x")))
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert "is an index of manifests, where a signature is one manifest" in verdict.words


async def test_a_manifest_with_duplicate_annotations(bench: Bench) -> None:
    """Two readers would see two signatures."""
    made = sig_image(rightly(bench.sigstore))
    twice = made.manifest.raw.replace(
        b'"dev.sigstore.cosign/bundle":', b'"dev.sigstore.cosign/bundle": "x", "dev.sigstore.cosign/bundle":'
    )
    bench.put_tagged(replace(made, manifest=Manifest.parse(twice, where="a test")))
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert "has a key twice" in verdict.words


async def test_an_image_at_the_tag(bench: Bench) -> None:
    """What has no signature among its layers is none, and one is missing."""
    bench.put_tagged(image(b"not a signature"))

    assert "missing" == (await bench.verdict()).state


async def test_too_many_signatures(bench: Bench) -> None:
    """They are counted before one is read."""
    good = rightly(bench.sigstore)
    bench.put_simple(*[good] * 65)
    bench.registry.requests.clear()
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert "65 signatures refer to it, more than the 64 that are looked at" in verdict.words
    assert [] == bench.registry.asked("GET .*/blobs/.*")
    bench.put_simple(*[good] * 64)
    assert "signed" == (await bench.verdict()).state


async def test_a_payload_that_is_not_there(bench: Bench) -> None:
    """The manifest is, its blob is not: that signature is none."""
    made = bench.put_simple(rightly(bench.sigstore))
    for blob in made.blobs:
        del bench.registry.repositories[NAME].blobs[blob]
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert str(made.manifest.blobs[1].digest) in verdict.words


async def test_a_payload_that_is_not_what_was_promised(bench: Bench) -> None:
    """The registry lies about the bytes."""
    bench.put_simple(rightly(bench.sigstore))
    bench.registry.faults.append(Fault("GET .*/blobs/.*", becomes(corrupt), times=ALWAYS))
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert "corrupt" in verdict.words


async def test_a_registry_that_fails_is_no_verdict(bench: Bench) -> None:
    """The world failed: nothing is known of the signature."""
    bench.put_simple(rightly(bench.sigstore))
    bench.registry.faults.append(Fault("GET .*/blobs/.*", answer(403), times=ALWAYS))

    with pytest.raises(AccessDenied):
        await bench.verdict()


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("tlogs", "the trusted root does not take the transparency log"),
        ("ctlogs", "the trusted root does not take the certificate transparency log"),
        ("certificateAuthorities", "the trusted root has no authority for 2026-01-15 12:00:00 UTC"),
    ],
)
@pytest.mark.parametrize(
    ("window", "holds"),
    [
        ({"start": "2025-01-01T00:00:00Z", "end": "2026-01-15T11:59:59.999Z"}, False),
        ({"start": "2026-01-15T12:00:01Z"}, False),
        ({"start": "2026-01-15T12:00:00Z", "end": "2026-01-15T12:00:00Z"}, True),
        ({}, True),
    ],
    ids=["retired", "to come", "just then", "always"],
)
async def test_keys_and_authorities_count_in_their_time(
    bench: Bench, part: str, reason: str, window: dict[str, str], holds: bool
) -> None:
    """Before it and after it they do not, whatever the signature says."""
    (entry,) = bench.root.document[part]
    entry.get("publicKey", entry)["validFor"] = window
    bench.put_simple(rightly(bench.sigstore))
    verdict = await bench.verdict()

    assert ("signed" if holds else "not verified") == verdict.state
    assert holds or reason in verdict.words


async def test_a_second_authority_is_tried(bench: Bench, foreign: Sigstore) -> None:
    """A root has those of the past beside those of today."""
    bench.root.document["certificateAuthorities"].insert(0, foreign.trusted_root()["certificateAuthorities"][0])
    bench.put_simple(rightly(bench.sigstore))

    assert "signed" == (await bench.verdict()).state


def _judged(sigstore: Sigstore, layer: SimpleSigning) -> Verdict:
    """The verdict on *layer*, without a registry."""
    made = sig_image(layer)
    referrers = Referrers(IMAGE.digest, ((IMAGE.digest.fallback_tag(".sig"), made.manifest),), ())
    trust = Trust(Given(sigstore.trusted_root()))
    return asyncio.run(judge(REFERENCE, IMAGE.digest, referrers, Shelf(made.blobs), trust))


@given(
    payload=st.binary(max_size=300) | st.just(payload_of(IMAGE.digest)),
    signature=st.text(max_size=80),
    certificate=st.text(max_size=80)
    | st.binary(max_size=80).map(lambda raw: f"-----BEGIN CERTIFICATE-----\n{b64(raw)}\n-----END CERTIFICATE-----\n"),
    entry=st.text(max_size=80)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.dictionaries(
            st.sampled_from(["Payload", "SignedEntryTimestamp", "body", "logID", "logIndex", "integratedTime"]), inner
        ),
    ).map(json.dumps),
)
def test_no_bytes_make_anything_but_a_verdict(
    sigstore: Sigstore, payload: bytes, signature: str, certificate: str, entry: str
) -> None:
    """And none make a good one."""
    verdict = _judged(sigstore, SimpleSigning(payload, signature or "x", certificate, log_entry=entry))

    assert "not verified" == verdict.state


@pytest.fixture(scope="session")
def good_layer(sigstore: Sigstore) -> SimpleSigning:
    return rightly(sigstore)


@settings(max_examples=200)
@given(data=st.data())
def test_no_byte_may_differ(sigstore: Sigstore, good_layer: SimpleSigning, data: st.DataObject) -> None:
    """Of payload, signature, certificate and entry each byte counts, but where base64 has spare bits."""
    name = data.draw(st.sampled_from(["payload", "signature", "certificate", "log_entry"]))
    value = getattr(good_layer, name)
    place = data.draw(st.integers(0, len(value) - 1))
    changed = (
        value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
        if isinstance(value, bytes)
        else value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
    )
    layer = replace(good_layer, **{name: changed})
    if _judged(sigstore, layer).state == "signed":
        assert name in ("signature", "certificate")
        assert _loose(value) == _loose(changed)


def _loose(text: str) -> bytes:
    """What base64 and PEM make of *text*."""
    return b64decode(re.sub(r"-----[A-Z ]+-----|\s", "", text))


async def test_nothing_is_asked_for_but_the_evidence(bench: Bench) -> None:
    """Two requests: what refers to it is gathered to be copied, and the payload is read."""
    bench.put_simple(rightly(bench.sigstore))
    bench.registry.requests.clear()
    await bench.verdict()

    assert 1 == len(bench.registry.asked("GET .*/blobs/.*"))


async def test_verified_and_then_copied(bench: Bench) -> None:
    """Through a source that remembers, the copy asks for no payload again."""
    bench.put_simple(rightly(bench.sigstore))
    source = Remembering(bench.client.repository(NAME))
    referrers = await gathered(source, IMAGE.digest)
    with fake_registry() as elsewhere:
        elsewhere.add(NAME, IMAGE, TAG)
        async with open_registry(elsewhere.url) as client:
            copier = Copier()
            assert "signed" == (await judge(REFERENCE, IMAGE.digest, referrers, source, Trust(bench.root))).state
            travelled = await travel(copier, source, client.repository(NAME), referrers)
            copier.close()

    payload = Digest.of(payload_of(IMAGE.digest))
    assert () == travelled.problems
    assert payload in elsewhere.repositories[NAME].blobs
    assert 1 == len(bench.registry.asked(f"GET .*/blobs/{payload}"))


async def test_the_root_is_loaded_only_when_an_identity_needs_it(bench: Bench) -> None:
    """Not for what was never signed, nor where there is no signature, nor for a key."""
    old = Reference.parse("ghcr.io/linkerd/proxy:stable-2.11.5")

    assert "unsigned upstream" == (await bench.verdict(old)).state
    assert "third party" == (await bench.verdict(Reference.parse("docker.io/prom/prometheus:v1"))).state
    assert "uncovered" == (await bench.verdict(Reference.parse("ghcr.io/nobody/knows:v1"))).state
    assert "missing" == (await bench.verdict()).state
    assert 0 == bench.root.loads
    bench.put_simple(rightly(bench.sigstore))
    assert "signed" == (await bench.verdict()).state
    assert 1 == bench.root.loads
