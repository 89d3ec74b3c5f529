"""Held to the truth by the real cosign: it takes what our Sigstore makes, and we take what it signs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from mirror.oci.manifest import Manifest
from mirror.oci.reference import Reference
from mirror.oci.referrers import gathered
from mirror.oci.registry import Registry
from mirror.trust.judge import Trust, judge
from mirror.trust.keys import KeyPair, payload
from mirror.trust.policy import Identity, Keyed, Keyless
from mirror.trust.root import RootFile, RootOfTrust
from mirror.trust.verdict import Verdict
from tests.content import Image, index, push
from tests.servers.client import open_registry
from tests.servers.distribution import Distribution
from tests.servers.sigstore import (
    GITHUB,
    SIGN_PREDICATE,
    Services,
    Sigstore,
    SimpleSigning,
    b64,
    bundle_image,
    sig_image,
    signing_services,
)
from tests.servers.tools import require
from tests.trust.conftest import IDENTITY, IMAGE, TAG, Given

_BY_IDENTITY = ("--certificate-identity", IDENTITY, "--certificate-oidc-issuer", GITHUB)
_PLAIN = "--allow-http-registry"
_TYPE = ("--type", SIGN_PREDICATE)


@dataclass(frozen=True, slots=True)
class Cosign:
    """The program with the roots of a Sigstore of ours, in a directory of its own; nothing else of its environment."""

    program: str
    directory: Path
    roots: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "HOME": str(self.directory),
            "PATH": os.environ["PATH"],
            "COSIGN_PASSWORD": "",
            "TUF_ROOT": str(self.directory / "tuf"),
            "SIGSTORE_NO_CACHE": "true",
            # whatever asks a network all the same gets no answer
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            **self.roots,
        }
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.directory,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def does(self, *arguments: str) -> None:
        """Runs it; it must succeed."""
        done = self.run(*arguments)
        assert 0 == done.returncode, done.stderr


@dataclass(frozen=True, slots=True)
class Shelf:
    """A repository of a real registry that has the image."""

    client: Registry
    reference: Reference
    sigstore: Sigstore

    @property
    def name(self) -> str:
        return f"{self.reference.repository}@{IMAGE.digest}"

    async def put(self, image: Image, *, tag: str = "") -> None:
        await push(self.client.repository(self.reference.repository.path), image, tag=tag)

    async def verdict(self, signer: Keyless | Keyed | None = None, *, root: RootOfTrust | None = None) -> Verdict:
        """What we judge, where *signer*, else who signs in these tests, is to have signed."""
        source = self.client.repository(self.reference.repository.path)
        identity = Identity(str(self.reference.repository), signer or Keyless(GITHUB, IDENTITY))
        trust = Trust(root or Given(self.sigstore.trusted_root()), (identity,))
        return await judge(self.reference, IMAGE.digest, await gathered(source, IMAGE.digest), source, trust)


@pytest.fixture
def cosign(tmp_path: Path, sigstore: Sigstore) -> Cosign:
    return Cosign(require("cosign"), tmp_path, sigstore.write(tmp_path))


@pytest.fixture
async def shelf(open_distribution: Distribution, path: str, sigstore: Sigstore) -> AsyncIterator[Shelf]:
    async with open_registry(open_distribution.url) as client:
        made = Shelf(client, Reference.parse(f"{open_distribution.host}/{path}:{TAG}"), sigstore)
        await made.put(IMAGE, tag=TAG)
        yield made


@pytest.fixture
def services(sigstore: Sigstore) -> Iterator[Services]:
    with signing_services(sigstore, IDENTITY) as running:
        yield running


def _verify(cosign: Cosign, shelf: Shelf) -> subprocess.CompletedProcess[str]:
    return cosign.run("verify", "--offline", _PLAIN, *_BY_IDENTITY, shelf.name)


def _verify_bundle(cosign: Cosign, shelf: Shelf) -> subprocess.CompletedProcess[str]:
    return cosign.run(
        *("verify-attestation", "--new-bundle-format", "--trusted-root", "trusted_root.json", *_TYPE),
        *(_PLAIN, *_BY_IDENTITY, shelf.name),
    )


async def test_cosign_takes_our_simple_signing(cosign: Cosign, shelf: Shelf, sigstore: Sigstore) -> None:
    """And so do we; of another identity neither does."""
    tag = IMAGE.digest.fallback_tag(".sig")
    await shelf.put(sig_image(sigstore.simple_signing(IMAGE.digest, IDENTITY)), tag=tag)

    done = _verify(cosign, shelf)
    assert 0 == done.returncode, done.stderr
    assert "signed" == (await shelf.verdict()).state

    await shelf.put(sig_image(sigstore.simple_signing(IMAGE.digest, f"{IDENTITY}0")), tag=tag)
    assert 0 != _verify(cosign, shelf).returncode
    assert "not verified" == (await shelf.verdict()).state


async def test_cosign_takes_our_bundle(cosign: Cosign, shelf: Shelf, sigstore: Sigstore) -> None:
    """And so do we; of another identity neither does."""
    source = shelf.client.repository(shelf.reference.repository.path)
    made = bundle_image(sigstore.bundle(IMAGE.digest, IDENTITY), IMAGE.manifest)
    await shelf.put(made)
    await shelf.put(_fallback(made), tag=IMAGE.digest.fallback_tag())

    done = _verify_bundle(cosign, shelf)
    assert 0 == done.returncode, done.stderr
    assert "signed" == (await shelf.verdict()).state

    other = bundle_image(sigstore.bundle(IMAGE.digest, f"{IDENTITY}0"), IMAGE.manifest)
    await shelf.put(other)
    await shelf.put(_fallback(other), tag=IMAGE.digest.fallback_tag())
    assert (other.digest,) == tuple(one.digest for one in await source.referrers(IMAGE.digest))
    assert 0 != _verify_bundle(cosign, shelf).returncode
    assert "not verified" == (await shelf.verdict()).state


async def test_we_take_what_cosign_signs_keyless(cosign: Cosign, shelf: Shelf, services: Services) -> None:
    """Form A, byte for byte its own."""
    cosign.does("sign", *services.arguments(), _PLAIN, shelf.name)
    verdict = await shelf.verdict()

    assert ("signed", IDENTITY, GITHUB) == (verdict.state, verdict.identity, verdict.issuer)
    assert (1005, True) == (verdict.log_index, verdict.signed_at is not None)


async def test_we_take_what_cosign_attests_keyless(cosign: Cosign, shelf: Shelf, services: Services) -> None:
    """Form B, whose entry in the list of referrers says nothing of what it is."""
    (cosign.directory / "empty.json").write_text("{}")
    cosign.does(
        *("attest", "--new-bundle-format", *_TYPE, "--predicate", "empty.json"),
        *(*services.arguments(), _PLAIN, shelf.name),
    )
    (listed,) = await shelf.client.repository(shelf.reference.repository.path).referrers(IMAGE.digest)
    verdict = await shelf.verdict()

    assert "sigstore" not in listed.artifact_type
    assert ("signed", IDENTITY) == (verdict.state, verdict.identity)


async def test_an_attestation_of_cosigns_is_no_signature(cosign: Cosign, shelf: Shelf, services: Services) -> None:
    """By the right signer, of the right image, and to something else."""
    (cosign.directory / "empty.json").write_text("{}")
    cosign.does(
        *("attest", "--new-bundle-format", "--type", "custom", "--predicate", "empty.json"),
        *(*services.arguments(), _PLAIN, shelf.name),
    )
    verdict = await shelf.verdict()

    assert "not verified" == verdict.state
    assert "which is no signature" in verdict.words


@pytest.mark.parametrize("logged", [False, True])
@pytest.mark.parametrize("form", ["A", "B"])
async def test_we_take_what_cosign_signs_with_a_key(
    cosign: Cosign, shelf: Shelf, services: Services, form: str, logged: bool
) -> None:
    """With and without an entry in the log; where one is asked for and is not there, it is refused."""
    cosign.does("generate-key-pair")
    (cosign.directory / "empty.json").write_text("{}")
    how = ("sign",) if form == "A" else ("attest", "--new-bundle-format", *_TYPE, "--predicate", "empty.json")
    upload = ("--tlog-upload=true", "--rekor-url", services.url) if logged else ("--tlog-upload=false",)
    cosign.does(*how, "--key", "cosign.key", *upload, "-y", _PLAIN, shelf.name)
    key = Keyed((cosign.directory / "cosign.pub").read_bytes())

    verdict = await shelf.verdict(key)
    assert ("signed", None) == (verdict.state, verdict.log_index)
    asked = await shelf.verdict(replace(key, transparency_log=True))
    assert ("signed" if logged else "not verified", 1005 if logged else None) == (asked.state, asked.log_index)
    assert "not verified" == (await shelf.verdict(Keyed(KeyPair.generate().public_pem))).state


async def test_cosign_takes_what_we_sign_with_a_key(cosign: Cosign, shelf: Shelf) -> None:
    """The payload, and the signature over it; and so do we."""
    pair = KeyPair.generate()
    signed = payload(shelf.reference.repository, IMAGE.digest)
    (cosign.directory / "our.pub").write_bytes(pair.public_pem)
    layer = SimpleSigning(signed, b64(pair.sign(signed)))
    await shelf.put(sig_image(layer), tag=IMAGE.digest.fallback_tag(".sig"))

    cosign.does(*("verify", "--key", "our.pub", "--insecure-ignore-tlog", "--offline"), _PLAIN, shelf.name)
    assert "signed" == (await shelf.verdict(Keyed(pair.public_pem))).state


async def test_keyless_and_by_key_side_by_side(
    cosign: Cosign, shelf: Shelf, services: Services, sigstore: Sigstore
) -> None:
    """Cosign adds to the manifest at the tag; the payload is one blob with two signatures."""
    cosign.does("generate-key-pair")
    cosign.does("sign", *services.arguments(), _PLAIN, shelf.name)
    cosign.does("sign", "--key", "cosign.key", "--tlog-upload=false", "-y", _PLAIN, shelf.name)
    key = Keyed((cosign.directory / "cosign.pub").read_bytes())
    manifest = await shelf.client.repository(shelf.reference.repository.path).manifest(
        IMAGE.digest.fallback_tag(".sig")
    )

    digests = [layer["digest"] for layer in json.loads(manifest.raw)["layers"]]
    assert (2, 1) == (len(digests), len(set(digests)))
    assert "signed" == (await shelf.verdict()).state
    assert "signed" == (await shelf.verdict(key)).state


def _fallback(*listed: Image) -> Image:
    """The index at the fallback tag, with descriptors as cosign 2.5 writes them."""
    made = index(*listed)
    view: dict[str, Any] = json.loads(made.manifest.raw)
    for entry in view["manifests"]:
        entry["artifactType"] = "application/vnd.oci.empty.v1+json"
    return Image(Manifest.parse(json.dumps(view).encode(), where="a test"), children=listed)


@pytest.mark.parametrize("form", ["tag", "bundle"])
async def test_we_take_a_trusted_root_that_cosign_makes(
    cosign: Cosign, shelf: Shelf, sigstore: Sigstore, form: str
) -> None:
    """In either form."""
    keys = ("--certificate-chain", "fulcio.pem", "--ctfe-key", "ct.pub", "--rekor-key", "rekor.pub")
    cosign.does("trusted-root", "create", *keys, "--out", "made.json")
    if form == "tag":
        signature = sig_image(sigstore.simple_signing(IMAGE.digest, IDENTITY))
        await shelf.put(signature, tag=IMAGE.digest.fallback_tag(".sig"))
    else:
        made = bundle_image(sigstore.bundle(IMAGE.digest, IDENTITY), IMAGE.manifest)
        await shelf.put(made)
        await shelf.put(_fallback(made), tag=IMAGE.digest.fallback_tag())

    verdict = await shelf.verdict(root=RootFile(cosign.directory / "made.json"))
    assert "signed" == verdict.state, verdict.words
