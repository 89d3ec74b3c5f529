"""Form B: one thing wrong at a time, each refused for its own reason; and key pairs in that form."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.oci.content import Digest
from mirror.oci.manifest import OCI_INDEX, Manifest
from mirror.oci.referrers import Referrers
from mirror.trust.evidence import SIGNATURES_MAX
from mirror.trust.judge import Trust, judge
from mirror.trust.verdict import Verdict
from tests.content import Image, artifact, image
from tests.servers.fake import Manners
from tests.servers.sigstore import (
    BUNDLE,
    GITHUB,
    MOMENT,
    Sigstore,
    TimestampAuthority,
    b64,
    bundle_image,
    dsse_body,
    new_key,
    statement,
    tlog_entry,
)
from tests.trust.conftest import IDENTITY, IMAGE, NAME, REFERENCE, Bench, Given, Shelf

_OTHER = Digest.of(b"another image")
_LATER = MOMENT + timedelta(hours=1)
_SIGNER = IMAGE.digest.hex

Made = dict[str, Any] | bytes


def rightly(ours: Sigstore, **issued: Any) -> dict[str, Any]:
    return _of(ours, statement(IMAGE.digest), **issued)


def _of(ours: Sigstore, stated: bytes, *, kind: str = "application/vnd.in-toto+json", **issued: Any) -> dict[str, Any]:
    """A bundle around *stated*, all else right."""
    key, at = new_key(), issued.pop("logged_at", MOMENT)
    certificate = ours.authority.issue(key.public_key(), **{"identity": IDENTITY, **issued})
    return ours.bundled(stated, key, certificate, kind=kind, at=at)


def _stated(**change: Any) -> bytes:
    return json.dumps(json.loads(statement(IMAGE.digest)) | change).encode()


def _subject(digest: dict[str, str]) -> bytes:
    return _stated(subject=[{"digest": digest}])


def _entry(bundle: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = bundle["verificationMaterial"]["tlogEntries"][0]
    return entry


def _proof(change: Callable[[dict[str, Any]], None]) -> Callable[[Sigstore, Sigstore], Made]:
    """A bundle whose inclusion proof has been changed."""

    def make(ours: Sigstore, _: Sigstore) -> Made:
        made = rightly(ours)
        change(_entry(made)["inclusionProof"])
        return made

    return make


def _material(**change: Any) -> Callable[[Sigstore, Sigstore], Made]:
    def make(ours: Sigstore, _: Sigstore) -> Made:
        made = rightly(ours)
        made["verificationMaterial"] |= change
        return made

    return make


def _checkpoint_by(theirs: Sigstore, ours: Sigstore, *, hint: bytes) -> Made:
    """A checkpoint of our tree that another key has signed, which says that it was the key *hint*."""
    made = rightly(ours)
    proof = _entry(made)["inclusionProof"]
    note = proof["checkpoint"]["envelope"].partition("\n\n")[0] + "\n"
    forged = theirs.log.checkpoint(int(proof["treeSize"]), b64decode(proof["rootHash"]))
    signature = b64decode(forged.rpartition(" ")[2])[4:]
    assert note == forged.partition("\n\n")[0] + "\n"
    proof["checkpoint"]["envelope"] = f"{note}\n— rekor.tests.invalid {b64(hint + signature)}\n"
    return made


def _entered(ours: Sigstore, *, certificate: bool = False, payload: bytes = b"", signature: bytes = b"") -> Made:
    """A true entry, of something else."""
    made = rightly(ours)
    other = rightly(ours) if certificate else made
    envelope = made["dsseEnvelope"]
    body = dsse_body(
        payload or b64decode(envelope["payload"]),
        signature or b64decode(envelope["signatures"][0]["sig"]),
        _pem(other),
    )
    made["verificationMaterial"]["tlogEntries"] = [tlog_entry(ours.log.entry(body), "dsse")]
    return made


def _pem(bundle: dict[str, Any]) -> bytes:
    raw = b64decode(bundle["verificationMaterial"]["certificate"]["rawBytes"])
    return load_der_x509_certificate(raw).public_bytes(Encoding.PEM)


def _promised_by(theirs: Sigstore, ours: Sigstore) -> Made:
    made = rightly(ours)
    entry = _entry(made)
    promised = {
        "body": entry["canonicalizedBody"],
        "integratedTime": int(entry["integratedTime"]),
        "logID": ours.log.identity.hex(),
        "logIndex": int(entry["logIndex"]),
    }
    entry["inclusionPromise"]["signedEntryTimestamp"] = b64(theirs.log.promise(promised))
    return made


def _change(path: tuple[str | int, ...], value: Any) -> Callable[[Sigstore, Sigstore], Made]:
    """A bundle with *value* at *path*; None takes it away."""

    def make(ours: Sigstore, _: Sigstore) -> Made:
        made: Any = rightly(ours)
        place = made
        for step in path[:-1]:
            place = place[step]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return dict(made)

    return make


def _by_rsa(ours: Sigstore) -> Made:
    key = rsa.generate_private_key(65537, 2048)
    made = rightly(ours)
    certificate = ours.authority.issue(key.public_key(), identity=IDENTITY)
    made["verificationMaterial"]["certificate"]["rawBytes"] = b64(certificate.public_bytes(Encoding.DER))
    return made


def _hashes(change: Callable[[list[str]], list[str]]) -> Callable[[Sigstore, Sigstore], Made]:
    return _proof(lambda proof: proof.update(hashes=change(proof["hashes"])))


_FIRST = ("verificationMaterial", "tlogEntries", 0)
WRONG: dict[str, tuple[Callable[[Sigstore, Sigstore], Made], str]] = {
    # who signed
    "another tag's certificate": (
        lambda ours, _: rightly(ours, identity=IDENTITY.replace("26.8.3", "26.8.2")),
        "signed by somebody else: the identity is",
    ),
    "a look-alike workflow": (
        lambda ours, _: rightly(ours, identity=IDENTITY.replace("linkerd2", "linkerd2-fork")),
        "signed by somebody else: the identity is",
    ),
    "another issuer": (
        lambda ours, _: rightly(ours, issuer="https://issuer.example"),
        'the issuer is "https://issuer.example"',
    ),
    "two issuers": (lambda ours, _: rightly(ours, issuer_v2="https://issuer.example"), "as the issuer of the identity"),
    # what was signed
    "a statement of another image": (lambda ours, _: _of(ours, statement(_OTHER)), "the statement is of another image"),
    "a digest under another name": (lambda ours, _: _of(ours, _subject({"sha512": _SIGNER})), "is of another image"),
    "a digest in capitals": (lambda ours, _: _of(ours, _subject({"sha256": _SIGNER.upper()})), "is of another image"),
    "a digest with its algorithm": (
        lambda ours, _: _of(ours, _subject({"sha256": f"sha256:{_SIGNER}"})),
        "is of another image",
    ),
    "no subject": (lambda ours, _: _of(ours, _stated(subject=[])), 'is of another image, "nothing"'),
    "a subject without digest": (lambda ours, _: _of(ours, _stated(subject=[{}])), "subject of the statement has no"),
    "too many subjects": (
        lambda ours, _: _of(ours, _stated(subject=[{"digest": {"sha256": _SIGNER}}] * 101)),
        "has 101 subjects, more than 100",
    ),
    "an attestation": (
        lambda ours, _: _of(ours, statement(IMAGE.digest, predicate="https://slsa.dev/provenance/v1")),
        'it attests to "https://slsa.dev/provenance/v1", which is no signature',
    ),
    "another kind of statement": (
        lambda ours, _: _of(ours, statement(IMAGE.digest, kind="https://in-toto.io/Statement/v2")),
        "which is not known",
    ),
    "another kind of payload": (
        lambda ours, _: _of(ours, statement(IMAGE.digest), kind="application/json"),
        "where a statement is needed",
    ),
    "a statement that is not JSON": (lambda ours, _: _of(ours, b"x"), "the statement is not JSON"),
    "a statement with two predicates": (
        lambda ours, _: _of(ours, b'{"predicateType": "a", ' + statement(IMAGE.digest)[1:]),
        "the statement has a key twice",
    ),
    "a statement too deep": (
        lambda ours, _: _of(ours, b'{"subject":' + b"[" * 40_000),
        "the statement is JSON too deep",
    ),
    # the bundle
    "a bundle that is not JSON": (lambda *_: b"{", "the bundle is not JSON"),
    "a bundle too deep": (lambda *_: b'{"mediaType":' + b"[" * 100_000, "the bundle is JSON too deep"),
    "an enormous bundle": (lambda *_: b" " * 200_000, "is larger than 131072"),
    "a bundle with a key twice": (
        lambda ours, _: json.dumps(rightly(ours)).encode()[:-1] + b', "mediaType": "x"}',
        "the bundle has a key twice",
    ),
    "a bundle of version 0.1": (
        _change(("mediaType",), "application/vnd.dev.sigstore.bundle+json;version=0.1"),
        "where v0.3 is needed",
    ),
    "a bundle of no version": (_change(("mediaType",), None), "the bundle has no mediaType"),
    "a signature of a message": (_change(("dsseEnvelope",), None), "no envelope with a statement"),
    "a key in the place of an identity": (
        _material(publicKey={"hint": "x"}),
        "signed with a key, where an identity is to sign",
    ),
    "what is not in the specification": (_change(("surprise",), 1), "sigstore: failed to load bundle"),
    # the envelope
    "two signatures": (
        _change(("dsseEnvelope", "signatures"), [{"sig": "eA=="}, {"sig": "eA=="}]),
        "sigstore: envelope must contain exactly one signature",
    ),
    "a signature of another statement": (
        _change(("dsseEnvelope", "payload"), b64(_stated(predicate={"a": 1}))),
        "sigstore: DSSE: invalid signature",
    ),
    "a signature by another key": (
        lambda ours, _: (
            (made := rightly(ours))
            and made
            | {"dsseEnvelope": made["dsseEnvelope"] | {"signatures": rightly(ours)["dsseEnvelope"]["signatures"]}}
        ),
        "sigstore: DSSE: invalid signature",
    ),
    # the certificate
    "no certificate": (_change(("verificationMaterial", "certificate"), None), "has no certificate.rawBytes"),
    "a certificate that is none": (
        _change(("verificationMaterial", "certificate", "rawBytes"), b64(b"x")),
        "the signature's certificate is not a certificate",
    ),
    "an expired certificate": (lambda ours, _: rightly(ours, logged_at=_LATER), "the certificate was valid from"),
    "a chain through a foreign root": (
        lambda ours, theirs: rightly(Sigstore(theirs.authority, ours.log), stamped_by=ours.authority.certificate_log),
        "no authority of the trusted root has issued the certificate",
    ),
    "a certificate for TLS": (
        lambda ours, _: rightly(ours, usage=ExtendedKeyUsageOID.CLIENT_AUTH),
        "not for code signing",
    ),
    "a certificate for RSA": (lambda ours, _: _by_rsa(ours), "for a key that is not ECDSA's"),
    "a missing SCT": (lambda ours, _: rightly(ours, stamps=0), "has no timestamp of a certificate transparency log"),
    "an SCT of a foreign log": (
        lambda ours, theirs: rightly(ours, stamped_by=theirs.authority.certificate_log),
        "does not know the certificate transparency log",
    ),
    "an SCT by a foreign key": (
        lambda ours, theirs: rightly(ours, stamp_signed_by=theirs.authority.certificate_log),
        "the timestamp of the certificate transparency log is not signed",
    ),
    # the log entry
    "no entry": (_change(("verificationMaterial", "tlogEntries"), []), "has 0 entries of transparency logs, not one"),
    "two entries": (_change(("verificationMaterial", "tlogEntries"), [{}, {}]), "has 2 entries of transparency logs"),
    "an entry of a foreign log": (
        lambda ours, theirs: rightly(Sigstore(ours.authority, theirs.log)),
        "the trusted root does not know the transparency log",
    ),
    "no promise and no timestamp": (
        _change((*_FIRST, "inclusionPromise"), None),
        "sigstore: bundle must contain an inclusion promise or signed timestamp(s)",
    ),
    "a promise by a foreign key": (
        lambda ours, theirs: _promised_by(theirs, ours),
        "sigstore: invalid log entry: SET: invalid inclusion promise",
    ),
    "a promise of another time": (
        _change((*_FIRST, "integratedTime"), str(int(MOMENT.timestamp()) + 1)),
        "sigstore: invalid log entry: SET: invalid inclusion promise",
    ),
    "a time beyond the calendar": (_change((*_FIRST, "integratedTime"), str(2**63)), "is not a number from 0"),
    "a broken inclusion proof": (
        _hashes(lambda hashes: [b64(b"x" * 32), *hashes[1:]]),
        "sigstore: invalid log entry: inclusion proof contains invalid root hash",
    ),
    "a proof too short": (_hashes(lambda hashes: hashes[1:]), "sigstore: invalid log entry: inclusion proof has wrong"),
    "a proof of another place": (
        _proof(lambda proof: proof.update(logIndex="4")),
        "sigstore: invalid log entry: inclusion proof contains invalid root hash",
    ),
    "no inclusion proof": (_change((*_FIRST, "inclusionProof"), None), "sigstore: failed to load bundle"),
    "no checkpoint": (
        _change((*_FIRST, "inclusionProof", "checkpoint"), None),
        "sigstore: entry must contain inclusion proof, with checkpoint",
    ),
    "a checkpoint by a foreign key": (
        lambda ours, theirs: _checkpoint_by(theirs, ours, hint=theirs.log.identity[:4]),
        "sigstore: invalid log entry: checkpoint: Signature not found for log ID",
    ),
    "a checkpoint by a foreign key in our name": (
        lambda ours, theirs: _checkpoint_by(theirs, ours, hint=ours.log.identity[:4]),
        "sigstore: invalid log entry: checkpoint: invalid signature",
    ),
    "a checkpoint of another tree": (
        lambda ours, _: _change(
            (*_FIRST, "inclusionProof", "checkpoint", "envelope"), ours.log.checkpoint(7, sha256(b"x").digest())
        )(ours, ours),
        "Inclusion proof contains invalid root hash signature",
    ),
    "a tree of another size than the checkpoint's": (
        _proof(lambda proof: proof.update(treeSize="8")),
        "the checkpoint is of a tree of 7 entries, and the inclusion proof of one of 8",
    ),
    "a checkpoint that is none": (
        _change((*_FIRST, "inclusionProof", "checkpoint", "envelope"), "x"),
        "sigstore: invalid log entry: note must contain one blank line",
    ),
    "an entry of another payload": (
        lambda ours, _: _entered(ours, payload=b"another"),
        "sigstore: log entry payload hash does not match bundle",
    ),
    "an entry of another signature": (
        lambda ours, _: _entered(ours, signature=b"another"),
        "sigstore: log entry signatures do not match bundle",
    ),
    "an entry of another certificate": (
        lambda ours, _: _entered(ours, certificate=True),
        "sigstore: log entry signatures do not match bundle",
    ),
    "an entry of another kind": (
        _change((*_FIRST, "kindVersion", "kind"), "intoto"),
        "sigstore: Integrated time only supported",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_each_is_refused_for_its_own_reason(bench: Bench, foreign: Sigstore, wrong: str) -> None:
    """With a bundle as it should be beside it, the same image is let in."""
    make, reason = WRONG[wrong]
    bench.put_bundle(make(bench.sigstore, foreign))
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert reason in verdict.words
    assert not verdict.satisfies("require")
    bench.put_bundle(rightly(bench.sigstore))
    assert "signed" == (await bench.verdict()).state


async def test_a_bundle_that_holds(bench: Bench) -> None:
    """The verdict has who, when, where in the log, and what it was read from."""
    made = bench.put_bundle(rightly(bench.sigstore))

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


@pytest.mark.parametrize("without", [["8"], ["1"]], ids=["only .1.1", "only .1.8"])
async def test_the_issuer_in_each_form(bench: Bench, without: list[str]) -> None:
    """Either is enough, as in form A."""
    bench.put_bundle(rightly(bench.sigstore, without=without))

    assert "signed" == (await bench.verdict()).state


async def test_an_older_statement(bench: Bench) -> None:
    """Cosign 2.5's attest writes version 0.1, with a name and maybe others beside ours."""
    subjects = [{"name": "a", "digest": {"sha256": _OTHER.hex}}, {"name": "b", "digest": {"sha256": IMAGE.digest.hex}}]
    bench.put_bundle(_of(bench.sigstore, _stated(_type="https://in-toto.io/Statement/v0.1", subject=subjects)))

    assert "signed" == (await bench.verdict()).state


@pytest.fixture(scope="session")
def clock(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority.make(tmp_path_factory.mktemp("clock"))


async def test_rekor_v2_with_a_timestamp(bench: Bench, clock: TimestampAuthority) -> None:
    """The log has no time of its own; the authority's counts, if the root knows it, then, and it is of this."""
    made = bench.sigstore.stamped(IMAGE.digest, IDENTITY, clock)
    (log,) = bench.root.document["tlogs"]
    authority = clock.entry()
    bench.root.document["timestampAuthorities"] = [authority]
    bench.put_bundle(made)
    verdict = await bench.verdict()

    assert "signed" == verdict.state
    assert verdict.signed_at
    assert abs(datetime.now(UTC) - verdict.signed_at) < timedelta(minutes=5)
    bench.root.document["timestampAuthorities"] = []
    assert "sigstore: no Timestamp Authorities have been provided" in (await bench.verdict()).words
    bench.root.document["timestampAuthorities"] = [authority]
    authority["validFor"]["end"] = "2026-01-01T00:00:00Z"
    assert "sigstore: not enough sources of verified time" in (await bench.verdict()).words
    del authority["validFor"]["end"]
    log["publicKey"]["validFor"]["end"] = "2026-01-01T00:00:00Z"
    assert "the trusted root does not take the transparency log" in (await bench.verdict()).words


async def test_a_log_that_is_named_by_its_origin(bench: Bench) -> None:
    """As Rekor v2 is: the root says by what; where it does not, the log is not known."""
    named = Sigstore(bench.sigstore.authority, replace(bench.sigstore.log, named=b"by its origin".ljust(32)))
    bench.put_bundle(rightly(named))

    assert "the trusted root does not know the transparency log" in (await bench.verdict()).words
    bench.root.document = named.trusted_root()
    assert "signed" == (await bench.verdict()).state


async def test_a_retired_log_in_the_name_of_a_valid_one(bench: Bench, foreign: Sigstore) -> None:
    """`sigstore` tries every key for a name that is no key's; it is given those that count then."""
    named = replace(bench.sigstore.log, named=b"by its origin".ljust(32))
    bench.root.document = Sigstore(bench.sigstore.authority, named).trusted_root()
    (retired,) = foreign.trusted_root()["tlogs"]
    bench.root.document["tlogs"].append(retired)
    bench.put_bundle(rightly(Sigstore(bench.sigstore.authority, replace(foreign.log, named=named.named))))

    assert "signed" == (await bench.verdict()).state  # as long as it is not retired
    retired["publicKey"]["validFor"]["end"] = "2025-06-01T00:00:00Z"
    assert "sigstore: invalid log entry: checkpoint: invalid signature" in (await bench.verdict()).words


async def test_a_time_that_is_not_one(bench: Bench, clock: TimestampAuthority) -> None:
    """Of several timestamps nobody says which was verified."""
    made = bench.sigstore.stamped(IMAGE.digest, IDENTITY, clock)
    stamps = made["verificationMaterial"]["timestampVerificationData"]
    stamps["rfc3161Timestamps"] *= 2
    bench.root.document["timestampAuthorities"] = [clock.entry()]
    bench.put_bundle(made)

    assert "the bundle has 2 timestamps and no promise of a log" in (await bench.verdict()).words


async def test_in_both_forms(bench: Bench) -> None:
    """As it is where a release is signed twice; one that holds is enough."""
    bench.put_bundle(rightly(bench.sigstore))
    bench.put_simple(bench.sigstore.simple_signing(IMAGE.digest, f"{IDENTITY}0"))

    assert "signed" == (await bench.verdict()).state


async def test_by_the_fallback_tag_whatever_it_says(bench: Bench) -> None:
    """GHCR has no referrers API, and descriptors there have said that a signature is nothing."""
    bench.registry.manners = Manners(referrers="absent", links_subject=False)
    made = bundle_image(rightly(bench.sigstore), IMAGE.manifest)
    _list(bench, made.manifest.descriptor, artifact_type="application/vnd.oci.empty.v1+json")
    bench.registry.add(NAME, made)

    assert "signed" == (await bench.verdict()).state


def _list(bench: Bench, *listed: Any, artifact_type: str = "") -> None:
    """The fallback tag's index lists *listed*, whatever they are."""
    entries = [
        {"mediaType": one.media_type, "digest": str(one.digest), "size": one.size, "artifactType": artifact_type}
        for one in listed
    ]
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    bench.registry.add(NAME, Image(Manifest.parse(raw, where="a test")), IMAGE.digest.fallback_tag())


async def test_a_bundle_of_another_image(bench: Bench) -> None:
    """Listed as ours, a true signature of another image, and its manifest says so."""
    bench.registry.manners = Manners(referrers="absent", links_subject=False)
    other = image(b"another image")
    made = bundle_image(bench.sigstore.bundle(other.digest, IDENTITY), other.manifest)
    bench.registry.add(NAME, made)
    _list(bench, made.manifest.descriptor, artifact_type=BUNDLE)
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert f"it is a signature of {other.digest}, and not of this image" in verdict.words


async def test_two_bundles_in_one_manifest(bench: Bench) -> None:
    """A signature is one."""
    bench.registry.add(NAME, bundle_image(rightly(bench.sigstore), IMAGE.manifest, layers=2))
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert "it has 2 bundles, where a signature is one" in verdict.words


async def test_a_bundle_that_only_says_so(bench: Bench) -> None:
    """Its artifact type is a bundle's, its layer is not."""
    bench.registry.add(NAME, artifact(BUNDLE, b"{}", subject=IMAGE))
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert "it says that it is a Sigstore bundle, and has none" in verdict.words


async def test_a_bundle_of_any_artifact_type(bench: Bench) -> None:
    """What a manifest says that it is does not count, its layer does."""
    bench.registry.add(NAME, bundle_image(rightly(bench.sigstore), IMAGE.manifest, artifact_type="application/x.note"))

    assert "signed" == (await bench.verdict()).state


async def test_what_refers_and_is_no_signature(bench: Bench) -> None:
    """Bills of material and notes are passed over, however many."""
    for number in range(SIGNATURES_MAX + 1):
        bench.registry.add(NAME, artifact("application/spdx+json", f"{number}".encode(), subject=IMAGE))

    assert "missing" == (await bench.verdict()).state


def test_ten_thousand_referrers(sigstore: Sigstore) -> None:
    """They are refused before one is read."""
    made = bundle_image(sigstore.bundle(IMAGE.digest, IDENTITY), IMAGE.manifest)
    verdict = _judged(sigstore, Referrers(IMAGE.digest, (), (made.manifest,) * 10_000), {})

    assert "not verified" == verdict.state
    assert "10000 signatures refer to it, more than the 64" in verdict.words


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("tlogs", "the trusted root does not take the transparency log"),
        ("ctlogs", "the trusted root does not take the certificate transparency log"),
        ("certificateAuthorities", "the trusted root has no authority for 2026-01-15 12:00:00 UTC"),
    ],
)
@pytest.mark.parametrize("end", ["2026-01-15T11:59:59.999Z", "2026-01-15T12:00:00Z"])
async def test_keys_and_authorities_count_in_their_time(bench: Bench, part: str, reason: str, end: str) -> None:
    """`sigstore` takes what they sign after it as well."""
    (entry,) = bench.root.document[part]
    entry.get("publicKey", entry)["validFor"]["end"] = end
    bench.put_bundle(rightly(bench.sigstore))
    verdict = await bench.verdict()

    assert ("not verified" if "11:59" in end else "signed") == verdict.state
    assert reason in verdict.words or "12:00" in end


async def test_a_retired_authority_lends_its_name_to_nobody(bench: Bench, foreign: Sigstore) -> None:
    """Its certificates do not count beside those of one that is valid."""
    (retired,) = foreign.trusted_root()["certificateAuthorities"]
    retired["validFor"]["end"] = "2025-06-01T00:00:00Z"
    bench.root.document["certificateAuthorities"].append(retired)
    made = rightly(Sigstore(foreign.authority, bench.sigstore.log), stamped_by=bench.sigstore.authority.certificate_log)
    bench.put_bundle(made)

    assert "no authority of the trusted root has issued the certificate" in (await bench.verdict()).words
    retired["validFor"]["end"] = "2026-06-01T00:00:00Z"
    assert "signed" == (await bench.verdict()).state


def _judged(sigstore: Sigstore, referrers: Referrers, blobs: dict[Digest, bytes]) -> Verdict:
    """The verdict on what refers to the image, without a registry."""
    trust = Trust(Given(sigstore.trusted_root()))
    return asyncio.run(judge(REFERENCE, IMAGE.digest, referrers, Shelf(blobs), trust))


def _judged_bundle(sigstore: Sigstore, bundle: Any) -> Verdict:
    made = bundle_image(bundle, IMAGE.manifest)
    return _judged(sigstore, Referrers(IMAGE.digest, (), (made.manifest,)), dict(made.blobs))


@pytest.fixture(scope="session")
def good(sigstore: Sigstore) -> dict[str, Any]:
    return rightly(sigstore)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200) | _JSON.map(lambda made: json.dumps(made).encode()))
def test_no_bytes_make_anything_but_a_verdict(sigstore: Sigstore, raw: bytes) -> None:
    """And none make a good one."""
    assert "not verified" == _judged_bundle(sigstore, raw).state


@settings(max_examples=300)
@given(data=st.data(), value=_JSON)
def test_no_part_may_be_another(sigstore: Sigstore, good: dict[str, Any], data: st.DataObject, value: Any) -> None:
    """Anything in the place of any part of a good bundle is refused, or does not count."""
    made = json.loads(json.dumps(good))
    place: Any = made
    path = list[str | int]()
    while True:
        step = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        path.append(step)
        if not isinstance(place[step], dict | list) or not place[step] or data.draw(st.booleans()):
            break
        place = place[step]
    place[step] = value
    verdict = _judged_bundle(sigstore, made)

    assert verdict.state in ("signed", "not verified")
    assert "not verified" == verdict.state or made == good


def test_no_byte_of_what_is_signed_may_differ(sigstore: Sigstore, good: dict[str, Any]) -> None:
    """Each byte of the statement counts."""
    payload = b64decode(good["dsseEnvelope"]["payload"])
    for place in range(0, len(payload), 7):
        changed = payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]
        made = good | {"dsseEnvelope": good["dsseEnvelope"] | {"payload": b64(changed)}}
        assert "not verified" == _judged_bundle(sigstore, made).state


async def test_replaced_by_the_registry(bench: Bench) -> None:
    """Every byte of evidence is held to its digest first."""
    made = bench.put_bundle(rightly(bench.sigstore))
    (digest,) = [one for one, data in made.blobs.items() if data != b"{}"]
    bench.registry.repositories[NAME].blobs[digest] = json.dumps(rightly(bench.sigstore)).encode()
    verdict = await bench.verdict()

    assert "not verified" == verdict.state
    assert str(digest) in verdict.words


async def test_a_trusted_root_as_cosign_makes_it(bench: Bench) -> None:
    """It says nowhere where a log is, and knows no authorities for timestamps (cosign 2.5, trusted-root create)."""
    for log in (*bench.root.document["tlogs"], *bench.root.document["ctlogs"]):
        log.pop("baseUrl", None)
    bench.root.document.pop("timestampAuthorities", None)
    for authority in bench.root.document["certificateAuthorities"]:
        authority["subject"] = {"commonName": "sigstore"}
    bench.put_bundle(rightly(bench.sigstore))

    assert "signed" == (await bench.verdict()).state
