"""What ECR's answers are read as."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.destinations.ecr.dialect import EcrDialect, objections
from mirror.errors import AccessDenied, ImmutableTag, ManifestRefused, NotFound, RegistryError
from mirror.http.answer import Answer
from mirror.oci.content import Digest
from mirror.oci.manifest import OCI_INDEX, OCI_MANIFEST, Manifest
from mirror.oci.registry import refusal
from tests.content import artifact, image, index, multi_platform

_WHERE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/linkerd/proxy:v1"
_EXPIRED = "Your authorization token has expired. Reauthenticate and try again."
_IMAGE = image(b"a layer")
_VIEW = json.loads(_IMAGE.manifest.raw)
_ARN = "arn:aws:ecr:eu-west-1:123456789012:repository/linkerd/proxy"
_USER = "User: arn:aws:sts::123456789012:assumed-role/mirror/1 is not authorized to perform: ecr:PutImage"


def answer(status: int, code: str = "", message: str = "") -> Answer:
    """An answer as ECR gives it; without *code* it has no body."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode() if code else b""
    return Answer(status, {}, body, f"https://{_WHERE}")


def explained(status: int, code: str, message: str, manifest: Manifest | None = None) -> RegistryError:
    """What is made of a refusal of a PUT."""
    refused = refusal(answer(status, code, message), where=_WHERE, asked="PUT")
    return EcrDialect().explained(refused, manifest=manifest)


@pytest.mark.parametrize(
    ("given_answer", "sent", "status"),
    [
        (answer(403, "DENIED", _EXPIRED), "Basic x", 401),
        (answer(403), "Basic x", 401),
        (answer(403, "DENIED", f"{_USER} on resource: {_ARN}"), "Basic x", 403),
        (answer(403, "DENIED", _EXPIRED), "", 403),
        (answer(404), "Basic x", 404),
        (answer(401), "", 401),
    ],
    ids=["expired", "to a HEAD", "not allowed", "nothing sent", "not there", "a challenge"],
)
def test_a_token_that_has_expired(given_answer: Answer, sent: str, status: int) -> None:
    """Is a 401; and so is what may be that, and does not say."""
    meant = EcrDialect().meant(given_answer, sent=sent)

    assert (status, given_answer.body) == (meant.status, meant.body)


@pytest.mark.parametrize(
    ("status", "code", "words", "kind", "remedy"),
    [
        (400, "TAG_INVALID", "The image tag 'v1' already exists … because the repository is immutable.", ImmutableTag,
         "tags of this repository may not be changed"),
        (404, "NAME_UNKNOWN", "The repository with name 'linkerd/proxy' does not exist", NotFound,
         'repository_creation = "explicit"'),
        (403, "DENIED", "The repository … already has the maximum allowed number of images which is '100000'",
         RegistryError, "a quota and not a matter of credentials"),
        (403, "DENIED", "Adding tag 'v1' … exceeds the maximum allowed number of tags per image which is '1000'",
         RegistryError, "a quota and not a matter of credentials"),
        (401, "DENIED", _EXPIRED, AccessDenied, "log in anew"),
        (401, "", "", AccessDenied, "check that there are AWS credentials"),
        (429, "TOOMANYREQUESTS", "Rate exceeded", RegistryError, "a quota of the account in this region"),
        (403, "DENIED", f"{_USER} on resource: {_ARN} because no identity-based policy allows the ecr:PutImage action",
         AccessDenied, f'"Action": "ecr:PutImage", "Resource": "{_ARN}"'),
        (403, "DENIED", f"{_USER} on resource: {_ARN}",
         AccessDenied, f'"Action": "ecr:PutImage", "Resource": "{_ARN}"'),
        (403, "DENIED", f"{_USER} on resource: {_ARN} because no resource-based policy allows the ecr:PutImage action",
         AccessDenied, f"the policy of {_ARN} itself (policy_file) must allow ecr:PutImage"),
        (403, "DENIED", f"{_USER} on resource: {_ARN} because no permissions boundary allows the ecr:PutImage action",
         AccessDenied, "a permissions boundary stands in the way"),
        (403, "DENIED", f"{_USER} on resource: {_ARN} with an explicit deny in a service control policy",
         AccessDenied, "an explicit deny in a service control policy goes before"),
    ],
)  # fmt: skip
def test_what_is_told(status: int, code: str, words: str, kind: type[RegistryError], remedy: str) -> None:
    """What, where, why in ECR's words, and what to do; the facts stay."""
    told = explained(status, code, words)

    said = f"{code} {words}".strip()
    assert kind is type(told)
    assert (status, (code,) if code else (), said) == (told.status, told.codes, told.words)
    assert (_WHERE, "PUT", status == 429) == (told.where, told.asked, told.is_temporary)
    assert str(told).startswith(f"{_WHERE}: ECR refused PUT ({status}")
    assert said in str(told)
    assert remedy in str(told)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "TAG_INVALID", "Invalid parameter at 'imageTag' failed to satisfy constraint"),
        (404, "MANIFEST_UNKNOWN", "Requested image not found"),
        (500, "UNKNOWN", "an error"),
        (405, "UNSUPPORTED", "nothing that was to be stored"),
    ],
)
def test_what_is_told_as_it_is(status: int, code: str, words: str) -> None:
    """The specification's own, and what is not known."""
    refused = refusal(answer(status, code, words), where=_WHERE, asked="GET")

    assert refused is EcrDialect().explained(refused)


def test_a_manifest_that_is_refused() -> None:
    """Is named by what ECR is known not to take, not all that is said; another try is of no use."""
    words = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
    layers = [{**_VIEW["layers"][0], "data": "eA=="}] * 7
    many = changed(layers=layers)

    told = explained(405, "UNSUPPORTED", words, many)

    assert ManifestRefused is type(told)
    assert (405, ("UNSUPPORTED",), False) == (told.status, told.codes, told.is_temporary)
    assert words in str(told)
    assert "layers[4] has embedded data (aws/containers-roadmap#2023); and 2 more: a manifest is copied" in str(told)
    assert "layers[5]" not in str(told)
    assert "nothing is seen in it" in str(explained(405, "UNSUPPORTED", words, _IMAGE.manifest))


def changed(**changes: Any) -> Manifest:
    return Manifest.parse(json.dumps({**_VIEW, **changes}).encode(), where="a test")


_CHILD = json.loads(multi_platform().manifest.raw)["manifests"][0]


@pytest.mark.parametrize(
    ("manifest", "found"),
    [
        (_IMAGE.manifest, []),
        (multi_platform().manifest, []),
        (image(b"signature", subject=_IMAGE, annotations={"a": "b"}).manifest, []),
        (artifact("application/spdx+json").manifest, []),
        (index(_IMAGE, annotations=[{"a": "b"}]).manifest, []),
        (artifact("application/spdx+json", subject=_IMAGE).manifest, ["it has both subject and artifactType"]),
        (changed(mediaType=None), ["it has no mediaType of its own"]),
        (changed(config={**_VIEW["config"], "annotations": {}}), ["config has annotations"]),
        (changed(config={**_VIEW["config"], "data": ""}), ["config has embedded data"]),
        (
            changed(layers=[_VIEW["layers"][0], {**_VIEW["layers"][0], "mediaType": "a/b;version=0.2"}]),
            ["the mediaType of layers[1] has a parameter, 'a/b;version=0.2'"],
        ),
        (changed(artifactType="a/b;version=0.2"), ["artifactType has a parameter, 'a/b;version=0.2'"]),
        (
            Manifest.parse(
                json.dumps(
                    {
                        "schemaVersion": 2,
                        "mediaType": OCI_INDEX,
                        "manifests": [_CHILD, {**_CHILD, "platform": {**_CHILD["platform"], "features": []}}],
                    }
                ).encode(),
                where="a test",
            ),
            ["manifests[1] has platform.features"],
        ),
    ],
)
def test_what_ecr_does_not_take(manifest: Manifest, found: list[str]) -> None:
    """Each by its field, with where that is written; what it takes is not named."""
    seen = objections(manifest)

    assert found == [one.partition(" (")[0] for one in seen]
    assert all("#" in one for one in seen)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                (
                    "mediaType",
                    "artifactType",
                    "config",
                    "layers",
                    "manifests",
                    "subject",
                    "platform",
                    "features",
                    "data",
                    "a",
                )
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@given(_JSON)
def test_whatever_it_is(view: Any) -> None:
    """Any JSON is read, and what is found are sentences."""
    raw = json.dumps(view).encode()

    assert all(isinstance(one, str) and one for one in objections(Manifest(raw, OCI_MANIFEST, Digest.of(raw))))


@given(st.binary(max_size=100))
def test_whatever_bytes_it_has(raw: bytes) -> None:
    """Also what is no JSON at all."""
    assert all(isinstance(one, str) and one for one in objections(Manifest(raw, OCI_MANIFEST, Digest.of(raw))))
