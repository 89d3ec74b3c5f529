"""What cosign 3.1.3 itself signed, with a Sigstore as in these tests: both forms, kept byte for byte.

    cosign sign --use-signing-config=false --new-bundle-format=false …                        form A
    cosign sign --use-signing-config=false --trusted-root trusted_root.json …                  form B

To have it sign here each time would take minutes to build it; what it makes of ours is in test_cosign.py, for 2.5.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirror.oci.content import Digest
from mirror.oci.manifest import Manifest
from mirror.oci.reference import Reference
from mirror.oci.referrers import Referrers
from mirror.trust.judge import Trust, judge
from mirror.trust.policy import Identity, Keyless
from mirror.trust.root import RootFile
from mirror.trust.verdict import Verdict
from tests.trust.conftest import Shelf

_DATA = Path(__file__).parent / "data" / "cosign-3.1.3"
_SIGNED: dict[str, Any] = json.loads((_DATA / "signed.json").read_text())
_SUBJECT = Digest.parse(_SIGNED["subject"])
_REFERENCE = Reference.parse("ghcr.io/linkerd/proxy:edge-26.8.3")


def _manifest(raw: str) -> Manifest:
    return Manifest.parse(raw.encode(), where="cosign")


_TAGGED = tuple((tag, _manifest(raw)) for tag, raw in _SIGNED["tagged"].items())
_LISTED = tuple(map(_manifest, _SIGNED["listed"]))
_FORMS = {"A": Referrers(_SUBJECT, _TAGGED, ()), "B": Referrers(_SUBJECT, (), _LISTED)}


async def _verdict(found: Referrers, *, identity: str = "") -> Verdict:
    shelf = Shelf({Digest.parse(digest): text.encode() for digest, text in _SIGNED["blobs"].items()})
    identities = (Identity("ghcr.io/**", Keyless(_SIGNED["issuer"], identity)),) if identity else ()
    trust = Trust(RootFile(_DATA / "trusted_root.json"), identities)
    return await judge(_REFERENCE, found.subject, found, shelf, trust)


@pytest.mark.parametrize("form", _FORMS)
async def test_we_take_it(form: str) -> None:
    """Its statement is of v1, its subject without a name; the identity is Linkerd's own."""
    verdict = await _verdict(_FORMS[form])

    assert ("signed", _SIGNED["identity"], _SIGNED["issuer"]) == (verdict.state, verdict.identity, verdict.issuer)
    assert 1005 == verdict.log_index


@pytest.mark.parametrize("form", _FORMS)
async def test_of_another_signer_we_do_not(form: str) -> None:
    """Who signed is told."""
    verdict = await _verdict(_FORMS[form], identity="https://example.com/another")

    assert ("not verified", _SIGNED["identity"]) == (verdict.state, verdict.identity)


@pytest.mark.parametrize("form", _FORMS)
async def test_of_another_image_we_do_not(form: str) -> None:
    """It is good, and of something else: moved to another image's tag, or list of referrers, it is none."""
    other = Digest.of(b"another image")
    tagged = tuple((other.fallback_tag(".sig"), manifest) for _, manifest in _FORMS[form].tagged)
    verdict = await _verdict(replace(_FORMS[form], subject=other, tagged=tagged))

    assert "not verified" == verdict.state
