"""ECR's manners, seen by a client that knows nothing of ours, and by boto3."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

from mirror.oci.content import Digest
from mirror.oci.manifest import OCI_MANIFEST
from tests.content import Image, artifact, image, index
from tests.servers.ecr import Ecr, EcrError, ecr_server

_NAME = "linkerd/proxy"
_IMAGE = image(b"a layer")
_MEGABYTE = 1024 * 1024
_GONE = f"The repository with name '{_NAME}' does not exist in the registry with id '123456789012'"

Answered = tuple[int, dict[str, str], bytes]
Ask = Callable[..., Answered]


@pytest.fixture
def ask(ecr: Ecr) -> Iterator[Ask]:
    """Asks the registry on one connection, with a token."""
    with closing(http.client.HTTPConnection(urlsplit(ecr.url).netloc, timeout=10)) as connection:
        password, _ = ecr.issue_token()
        basic = base64.b64encode(f"AWS:{password}".encode()).decode()

        def ask(method: str, target: str, body: bytes | None = None, **headers: str) -> Answered:
            sent = {"Authorization": f"Basic {basic}"} | {name.replace("_", "-"): v for name, v in headers.items()}
            connection.request(method, target, body, sent)
            response = connection.getresponse()
            got = {name.lower(): value for name, value in response.getheaders()}
            if "location" in got:  # as a request on the same connection names it
                got["location"] = got["location"].removeprefix(ecr.url)
            return response.status, got, response.read()

        yield ask


def client(ecr: Ecr, service: str = "ecr", region: str = "eu-west-1") -> Any:
    """boto3's client of *service*."""
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=ecr.url,
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="of-the-test",
    )


def refused(code: str) -> Any:
    """Where boto3 is refused with *code*."""
    return pytest.raises(ClientError, match=rf"\({code}\)")


def said(answered: Answered) -> tuple[int, str, str]:
    """Status, code and words of a refusal."""
    (error,) = json.loads(answered[2])["errors"]
    return answered[0], error["code"], error["message"]


def upload(ask: Ask, name: str, data: bytes) -> str:
    """The repository has *data* as a blob; its digest."""
    digest = str(Digest.of(data))
    _, headers, _ = ask("POST", f"/v2/{name}/blobs/uploads/", b"")
    assert 201 == ask("PUT", f"{headers['location']}&digest={digest}", data)[0]
    return digest


def push(ask: Ask, what: Image, reference: str = "", *, name: str = _NAME) -> Answered:
    """The last answer of a push of *what* and all that is below it."""
    for child in what.children:
        push(ask, child, name=name)
    for data in what.blobs.values():
        upload(ask, name, data)
    return put(ask, what.manifest.raw, what.manifest.media_type, reference or str(what.digest), name=name)


def put(ask: Ask, raw: bytes, media_type: str, reference: str = "v1", *, name: str = _NAME) -> Answered:
    return ask("PUT", f"/v2/{name}/manifests/{reference}", raw, Content_Type=media_type)


class TestToken:
    """AWS:PASSWORD as Basic, and nothing else."""

    @pytest.mark.parametrize("sent", ["", "Bearer of-somebody", "Basic QVdTOndyb25n", "Basic !"])
    def test_nothing_without_it(self, ecr: Ecr, ask: Ask, sent: str) -> None:
        """Whatever else is sent is challenged for Basic."""
        status, headers, body = ask("GET", "/v2/", Authorization=sent)

        assert (401, b"Not Authorized\n") == (status, body)
        assert f'Basic realm="https://{ecr.host}/",service="ecr.amazonaws.com"' == headers["www-authenticate"]

    def test_its_end(self, ecr: Ecr, ask: Ask) -> None:
        """An expired one is a 403 that says so."""
        assert 200 == ask("GET", "/v2/")[0]
        ecr.expire_tokens()

        told = said(ask("GET", "/v2/"))
        assert (403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.") == told

    def test_its_life(self, ecr: Ecr, ask: Ask) -> None:
        """It lasts twelve hours, by the clock that the test has."""
        issued = ecr.now()
        assert 200 == ask("GET", "/v2/")[0]
        ecr.now = lambda: issued + 12 * 3600 + 60

        assert 403 == ask("GET", "/v2/")[0]

    def test_by_the_api(self, ecr: Ecr, ask: Ask) -> None:
        """GetAuthorizationToken gives one that the registry takes, and when it ends: not in 2015."""
        (data,) = client(ecr).get_authorization_token()["authorizationData"]

        assert timedelta(hours=11) < data["expiresAt"] - datetime.now(UTC) < timedelta(hours=13)
        assert f"https://{ecr.host}" == data["proxyEndpoint"]
        assert 200 == ask("GET", "/v2/", Authorization=f"Basic {data['authorizationToken']}")[0]


class TestRepositories:
    """What moto knows is what the registry knows."""

    @pytest.mark.parametrize(
        ("method", "rest"),
        [
            ("GET", "manifests/v1"),
            ("PUT", "manifests/v1"),
            ("POST", "blobs/uploads/"),
            ("GET", "tags/list"),
            ("GET", f"blobs/{_IMAGE.digest}"),
            ("GET", f"referrers/{_IMAGE.digest}"),
        ],
    )
    def test_one_that_does_not_exist(self, ask: Ask, method: str, rest: str) -> None:
        """Is said to."""
        assert (404, "NAME_UNKNOWN", _GONE) == said(ask(method, f"/v2/{_NAME}/{rest}", b""))

    def test_one_that_was_created(self, ecr: Ecr, ask: Ask) -> None:
        """By the API; and deleted."""
        client(ecr).create_repository(repositoryName=_NAME)
        assert 202 == ask("POST", f"/v2/{_NAME}/blobs/uploads/", b"")[0]

        client(ecr).delete_repository(repositoryName=_NAME)

        assert 404 == ask("POST", f"/v2/{_NAME}/blobs/uploads/", b"")[0]

    def test_created_on_push(self, ecr: Ecr, ask: Ask) -> None:
        """By what is pushed and not by what is read, where a template is for it, as the longest prefix has it."""
        ecr.templates = {"ROOT": {}, "linkerd": {"imageTagMutability": "IMMUTABLE"}}
        assert 404 == ask("GET", f"/v2/{_NAME}/tags/list")[0]
        assert 202 == ask("POST", f"/v2/{_NAME}/blobs/uploads/", b"")[0]
        assert 202 == ask("POST", "/v2/linkerd2/blobs/uploads/", b"")[0]

        described = client(ecr).describe_repositories()["repositories"]
        templates = client(ecr).describe_repository_creation_templates()["repositoryCreationTemplates"]
        assert {_NAME: "IMMUTABLE", "linkerd2": "MUTABLE"} == {
            one["repositoryName"]: one["imageTagMutability"] for one in described
        }
        assert ["ROOT", "linkerd"] == [one["prefix"] for one in templates]

    def test_nothing_is_created_without_a_template(self, ecr: Ecr, ask: Ask) -> None:
        """aws/containers-roadmap#853."""
        ecr.templates = {"other": {}}

        assert 404 == ask("POST", f"/v2/{_NAME}/blobs/uploads/", b"")[0]

    def test_every_server_begins_empty(self, ecr: Ecr, tmp_path: Any) -> None:
        """Also a second one of the same account, whose state moto keeps; another account has its own."""
        ecr.create(_NAME)
        with ecr_server(tmp_path / "other", account="210987654321") as other:
            assert [] == client(other).describe_repositories()["repositories"]
        assert [_NAME] == [one["repositoryName"] for one in client(ecr).describe_repositories()["repositories"]]


class TestPush:
    """What is pushed, by either way, is read by both."""

    @pytest.fixture(autouse=True)
    def repository(self, ecr: Ecr) -> None:
        ecr.create(_NAME)

    def test_by_the_registry(self, ecr: Ecr, ask: Ask) -> None:
        """An image and an index; moto lists and describes them by the digests that they have."""
        what = index(_IMAGE, image(b"another"))

        status, headers, _ = push(ask, what, "v1")

        assert (201, str(what.digest)) == (status, headers["docker-content-digest"])
        listed = {
            (one["imageDigest"], one.get("imageTag"))
            for one in client(ecr).list_images(repositoryName=_NAME)["imageIds"]
        }
        assert {(str(what.digest), "v1"), *((str(child.digest), None) for child in what.children)} == listed
        (described,) = client(ecr).describe_images(repositoryName=_NAME, imageIds=[{"imageTag": "v1"}])["imageDetails"]
        assert str(what.digest) == described["imageDigest"]

    def test_by_the_api(self, ecr: Ecr, ask: Ask) -> None:
        """PutImage of what has no mediaType, when it is given beside it; the digest is the manifest's."""
        raw = json.dumps({key: value for key, value in json.loads(_IMAGE.manifest.raw).items() if key != "mediaType"})
        for data in _IMAGE.blobs.values():
            upload(ask, _NAME, data)

        with refused("InvalidParameterException"):
            client(ecr).put_image(repositoryName=_NAME, imageManifest=raw, imageTag="v1")
        made = client(ecr).put_image(
            repositoryName=_NAME, imageManifest=raw, imageManifestMediaType=OCI_MANIFEST, imageTag="v1"
        )

        digest = f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"
        status, headers, body = ask("GET", f"/v2/{_NAME}/manifests/v1", Accept=OCI_MANIFEST)
        assert digest == made["image"]["imageId"]["imageDigest"]
        assert (200, raw.encode(), OCI_MANIFEST) == (status, body, headers["content-type"])

    def test_a_digest_is_named_for_head_alone(self, ask: Ask) -> None:
        """oras-project/oras-go#225."""
        push(ask, _IMAGE, "v1")

        _, of_head, _ = ask("HEAD", f"/v2/{_NAME}/manifests/v1", Accept=OCI_MANIFEST)
        _, of_get, _ = ask("GET", f"/v2/{_NAME}/manifests/v1", Accept=OCI_MANIFEST)
        assert str(_IMAGE.digest) == of_head["docker-content-digest"]
        assert "docker-content-digest" not in of_get

    def test_another_digest(self, ask: Ask) -> None:
        """Is refused, with what ECR calculated."""
        push(ask, _IMAGE)

        told = said(put(ask, _IMAGE.manifest.raw, OCI_MANIFEST, f"sha256:{'0' * 64}"))
        assert (400, "MANIFEST_INVALID") == told[:2]
        assert told[2].endswith("does not match the image digest that Amazon ECR has calculated.")

    def test_a_tag_that_is_none(self, ask: Ask) -> None:
        """A 400 without words (bazel-contrib/rules_oci#720)."""
        assert 400 == ask("HEAD", f"/v2/{_NAME}/manifests/2024.42.27%2B1234")[0]

    def test_what_is_missing(self, ecr: Ecr, ask: Ask) -> None:
        """Layers and images are named, in both ways."""
        layers, images = image(b"never sent"), index(image(b"never pushed"))

        told = said(put(ask, layers.manifest.raw, layers.manifest.media_type))
        assert (400, "MANIFEST_BLOB_UNKNOWN") == told[:2]
        assert all(str(blob.digest) in told[2] for blob in layers.manifest.blobs)
        told = said(put(ask, images.manifest.raw, images.manifest.media_type))
        assert f"Images with digests '[{images.children[0].digest}]' required for pushing image into" in told[2]
        for what, code in ((layers, "LayersNotFoundException"), (images, "ReferencedImagesNotFoundException")):
            with refused(code):
                client(ecr).put_image(repositoryName=_NAME, imageManifest=what.manifest.raw.decode(), imageTag="v1")

    def test_a_tag_that_moves(self, ecr: Ecr, ask: Ask) -> None:
        """Leaves the image that it named, untagged."""
        old, new = image(b"old"), image(b"new")
        push(ask, old, "v1")
        push(ask, new, "v1")

        assert (
            str(new.digest) == ask("HEAD", f"/v2/{_NAME}/manifests/v1", Accept=OCI_MANIFEST)[1]["docker-content-digest"]
        )
        assert 200 == ask("HEAD", f"/v2/{_NAME}/manifests/{old.digest}", Accept=OCI_MANIFEST)[0]
        listed = {
            one["imageDigest"]: one.get("imageTag") for one in client(ecr).list_images(repositoryName=_NAME)["imageIds"]
        }
        assert {str(old.digest): None, str(new.digest): "v1"} == listed

    def test_the_same_again(self, ecr: Ecr, ask: Ask) -> None:
        """Is well by the registry, ImageAlreadyExistsException by the API."""
        push(ask, _IMAGE, "v1")

        assert 201 == push(ask, _IMAGE, "v1")[0]
        with refused("ImageAlreadyExistsException"):
            client(ecr).put_image(repositoryName=_NAME, imageManifest=_IMAGE.manifest.raw.decode(), imageTag="v1")

    def test_deleted_by_the_api(self, ecr: Ecr, ask: Ask) -> None:
        """Is gone from the registry; and by the registry, from the API."""
        push(ask, _IMAGE, "v1")
        client(ecr).batch_delete_image(repositoryName=_NAME, imageIds=[{"imageTag": "v1"}])
        assert (404, "MANIFEST_UNKNOWN") == said(ask("GET", f"/v2/{_NAME}/manifests/{_IMAGE.digest}"))[:2]

        push(ask, _IMAGE, "v1")
        assert 202 == ask("DELETE", f"/v2/{_NAME}/manifests/{_IMAGE.digest}")[0]

        assert [] == client(ecr).list_images(repositoryName=_NAME)["imageIds"]

    def test_a_full_repository(self, ecr: Ecr, ask: Ask) -> None:
        """A 403 that is none of a credential (aws/containers-roadmap#2159)."""
        ecr.images_max = 1
        push(ask, _IMAGE, "v1")

        told = said(push(ask, image(b"one too many"), "v2"))
        assert (403, "DENIED") == told[:2]
        assert told[2].endswith("already has the maximum allowed number of images which is '1'")


class TestImmutableTags:
    """A tag that is there is not written again."""

    @pytest.fixture(autouse=True)
    def repository(self, ecr: Ecr, ask: Ask) -> None:
        ecr.create(
            _NAME,
            imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
            imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "sha256-*"}],
        )
        assert 201 == push(ask, _IMAGE, "v1")[0]

    @pytest.mark.parametrize("what", [_IMAGE, image(b"another")], ids=["the same", "another"])
    def test_it_is_refused(self, ecr: Ecr, ask: Ask, what: Image) -> None:
        """Also to the image that it names (aws/containers-roadmap#2380)."""
        words = (
            f"The image tag 'v1' already exists in the '{_NAME}' repository and cannot be overwritten because the "
            "repository is immutable."
        )

        assert (400, "TAG_INVALID", words) == said(push(ask, what, "v1"))
        with refused("ImageTagAlreadyExistsException"):
            client(ecr).put_image(repositoryName=_NAME, imageManifest=what.manifest.raw.decode(), imageTag="v1")

    def test_what_is_excluded(self, ask: Ask) -> None:
        """Moves, and what has no tag is written."""
        assert 201 == push(ask, image(b"one"), "sha256-0.sig")[0]
        assert 201 == push(ask, image(b"two"), "sha256-0.sig")[0]
        assert 201 == push(ask, _IMAGE)[0]

    def test_the_other_way_about(self, ecr: Ecr, ask: Ask) -> None:
        """MUTABLE_WITH_EXCLUSION: what is excluded does not move."""
        client(ecr).put_image_tag_mutability(
            repositoryName=_NAME,
            imageTagMutability="MUTABLE_WITH_EXCLUSION",
            imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "v*"}],
        )

        assert 201 == push(ask, _IMAGE, "latest")[0]
        assert 201 == push(ask, image(b"another"), "latest")[0]
        assert 400 == push(ask, image(b"another"), "v1")[0]


def _changed(what: Image, **changes: Any) -> bytes:
    return json.dumps({**json.loads(what.manifest.raw), **changes}).encode()


_VIEW = json.loads(_IMAGE.manifest.raw)
_INDEX = index(_IMAGE, platforms=["windows/amd64"])
_CHILD = json.loads(_INDEX.manifest.raw)["manifests"][0]
_REFERRER = artifact("application/spdx+json", subject=_IMAGE)
_UNTAKEN = {
    "no JSON": b"{",
    "no object": b"[]",
    "no mediaType": json.dumps({key: value for key, value in _VIEW.items() if key != "mediaType"}).encode(),
    "artifactType of a referrer": _REFERRER.manifest.raw,
    "parameters of a media type": _changed(_IMAGE, layers=[{**_VIEW["layers"][0], "mediaType": "application/a;b=1"}]),
    "data": _changed(_IMAGE, config={**_VIEW["config"], "data": "e30="}),
    "annotations of the config": _changed(_IMAGE, config={**_VIEW["config"], "annotations": {"a": "b"}}),
    "platform.features": _changed(
        _INDEX, manifests=[{**_CHILD, "platform": {**_CHILD["platform"], "features": ["sse4"]}}]
    ),
}


class TestManifests:
    """What ECR takes of a manifest, and what it does not."""

    @pytest.fixture(autouse=True)
    def repository(self, ecr: Ecr, ask: Ask) -> None:
        ecr.create(_NAME)
        push(ask, _INDEX)

    @pytest.mark.parametrize("raw", _UNTAKEN.values(), ids=_UNTAKEN)
    def test_what_it_does_not(self, ask: Ask, raw: bytes) -> None:
        """Is a 405, and all that is said is `Invalid JSON syntax`."""
        words = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"

        assert (405, "UNSUPPORTED", words) == said(put(ask, raw, _IMAGE.manifest.media_type))

    def test_what_it_does(self, ask: Ask) -> None:
        """A referrer whose type is its config's, an artifact without a subject, annotations elsewhere."""
        taken = (
            image(b"signature", subject=_IMAGE),
            image(b"annotated", annotations={"a": "b"}),
            artifact("application/spdx+json"),
            index(_IMAGE, annotations=[{"a": "b"}]),
        )

        assert [201] * 4 == [push(ask, what)[0] for what in taken]

    def test_as_it_may_be(self, ecr: Ecr, ask: Ask) -> None:
        """The reports differ: an ECR that takes artifactType too (sigstore/sigstore-js#1058)."""
        ecr.takes_artifact_types = True

        assert 201 == push(ask, _REFERRER)[0]

    @pytest.mark.parametrize("lists", [True, False])
    def test_referrers(self, ecr: Ecr, ask: Ask, lists: bool) -> None:
        """What has been pushed with a subject is linked and listed, or nothing ever is."""
        ecr.lists_referrers = lists
        signature = image(b"signature", subject=_IMAGE, annotations={"by": "us"})

        _, headers, _ = push(ask, signature)

        status, _, body = ask("GET", f"/v2/{_NAME}/referrers/{_IMAGE.digest}")
        by_api = client(ecr).list_image_referrers(repositoryName=_NAME, subjectId={"imageDigest": str(_IMAGE.digest)})
        wanted = [(str(signature.digest), {"by": "us"})] if lists else []
        assert (200, wanted) == (status, [(d["digest"], d["annotations"]) for d in json.loads(body)["manifests"]])
        assert wanted == [(one["digest"], one["annotations"]) for one in by_api["referrers"]]
        assert (str(_IMAGE.digest) if lists else None) == headers.get("oci-subject")


class TestPutImage:
    """Ten a second, for both ways together."""

    def test_too_many(self, ecr: Ecr, ask: Ask) -> None:
        """A 429 that does not say how long; and it is over when time has passed."""
        now = [1000.0]
        ecr.now = lambda: now[0]
        ecr.create(_NAME)
        ecr.token_life_s = 3600
        password, _ = ecr.issue_token()
        basic = base64.b64encode(f"AWS:{password}".encode()).decode()
        for data in _IMAGE.blobs.values():
            upload(ask, _NAME, data)

        def put_it(tag: int) -> Answered:
            return ask(
                "PUT", f"/v2/{_NAME}/manifests/v{tag}", _IMAGE.manifest.raw,
                Content_Type=OCI_MANIFEST, Authorization=f"Basic {basic}",
            )  # fmt: skip

        assert [201] * 10 == [put_it(tag)[0] for tag in range(10)]
        answered = put_it(10)
        assert (429, "TOOMANYREQUESTS", "Rate exceeded") == said(answered)
        assert "retry-after" not in answered[1]
        now[0] += 0.25
        assert [201, 201, 429] == [put_it(tag)[0] for tag in range(10, 13)]


class TestBlobs:
    """Uploads, mounts, and where a blob is read."""

    @pytest.fixture(autouse=True)
    def repositories(self, ecr: Ecr, ask: Ask) -> None:
        ecr.create(_NAME)
        ecr.create("linkerd/web")

    @pytest.mark.parametrize("n", [1000, 1001])
    def test_a_page_of_tags(self, ask: Ask, n: int) -> None:
        """Has at most a thousand; more is an error (andrey-pohilko/registry-cli#79)."""
        push(ask, _IMAGE)
        answered = ask("GET", f"/v2/{_NAME}/tags/list?n={n}")

        assert (200 if n == 1000 else 405) == answered[0]

    def test_pages_of_tags(self, ask: Ask) -> None:
        """Each names the next."""
        for tag in ("c", "a", "b"):
            push(ask, _IMAGE, tag)
        target, found = f"/v2/{_NAME}/tags/list?n=2", []
        while target:
            _, headers, body = ask("GET", target)
            found += json.loads(body)["tags"]
            target = headers.get("link", "<>").partition(">")[0][1:]

        assert ["c", "a", "b"] == found

    def test_chunks(self, ask: Ask) -> None:
        """Each is `created`, and the range is that of the first for ever after; the blob is whole."""
        chunks = [bytes([n]) * 5 * _MEGABYTE for n in range(3)] + [b"the rest"]
        digest = str(Digest.of(b"".join(chunks)))
        at, sent, told = ask("POST", f"/v2/{_NAME}/blobs/uploads/", b"")[1]["location"], 0, []
        for chunk in chunks:
            status, headers, _ = ask("PATCH", at, chunk, Content_Range=f"{sent}-{sent + len(chunk) - 1}")
            sent, at = sent + len(chunk), headers["location"]
            told.append((status, headers["range"]))

        assert 201 == ask("PUT", f"{at}&digest={digest}", b"")[0]
        assert [(201, f"0-{5 * _MEGABYTE - 1}")] * 4 == told
        assert b"".join(chunks) == ask("GET", f"/v2/{_NAME}/blobs/{digest}")[2]

    @pytest.mark.parametrize("method", ["PATCH", "PUT"])
    def test_a_chunk_too_small(self, ask: Ask, method: str) -> None:
        """Five mebibytes, but for the last: what comes after it is refused."""
        at = ask("POST", f"/v2/{_NAME}/blobs/uploads/", b"")[1]["location"]
        at = ask("PATCH", at, bytes(1000), Content_Range="0-999")[1]["location"]

        told = said(ask(method, f"{at}&digest={Digest.of(bytes(2000))}", bytes(1000), Content_Range="1000-1999"))
        assert (400, "All layer parts except the last part should be at least 5MB") == (told[0], told[2])

    @pytest.mark.parametrize(
        ("is_on", "is_named", "status"),
        [(True, True, 201), (True, False, 202), (False, True, 202)],
        ids=["on", "no manifest names it", "off"],
    )
    def test_a_mount(self, ecr: Ecr, ask: Ask, is_on: bool, is_named: bool, status: int) -> None:
        """Where the account has it, and for what a manifest names (aws/containers-roadmap#2860)."""
        if is_on:
            client(ecr).put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
        digest = upload(ask, _NAME, b"a layer")
        if is_named:
            push(ask, _IMAGE)

        answered = ask("POST", f"/v2/linkerd/web/blobs/uploads/?mount={digest}&from={_NAME}", b"")
        assert status == answered[0]
        assert (200 if status == 201 else 404) == ask("HEAD", f"/v2/linkerd/web/blobs/{digest}")[0]
        assert answered[1]["location"]
        assert ("ENABLED" if is_on else "DISABLED") == client(ecr).get_account_setting(name="BLOB_MOUNTING")["value"]

    def test_a_mount_into_what_is_encrypted_otherwise(self, ecr: Ecr, ask: Ask) -> None:
        """Is an upload."""
        ecr.settings["BLOB_MOUNTING"] = "ENABLED"
        ecr.create("secret", encryptionConfiguration={"encryptionType": "KMS"})
        push(ask, _IMAGE)

        digest = _IMAGE.manifest.blobs[1].digest
        assert 202 == ask("POST", f"/v2/secret/blobs/uploads/?mount={digest}&from={_NAME}", b"")[0]

    def test_a_redirect(self, ecr: Ecr, ask: Ask) -> None:
        """To a bucket that takes what is signed, without an Authorization, and gives ranges."""
        ecr.redirects_blobs = True
        digest = upload(ask, _NAME, b"a layer")
        status, headers, _ = ask("GET", f"/v2/{_NAME}/blobs/{digest}")
        there = urlsplit(headers["location"])
        signed = f"{there.path}?{there.query}"
        bucket = http.client.HTTPConnection(there.netloc, timeout=10)

        def get(target: str, **sent: str) -> tuple[int, bytes]:
            bucket.request("GET", target, headers=sent)
            answer = bucket.getresponse()
            return answer.status, answer.read()

        with closing(bucket):
            assert (307, True) == (status, headers["location"].startswith(ecr.bucket_url))
            assert (200, b"a layer") == get(signed)
            assert (206, b"layer") == get(signed, Range="bytes=2-")
            assert 403 == get(there.path)[0]
            assert 400 == get(signed, Authorization="Basic eA==")[0]
        assert 4 == len(ecr.bucket_requests)
        assert 200 == ask("HEAD", f"/v2/{_NAME}/blobs/{digest}")[0]


class TestPermissions:
    """What a principal may not do, it is told in AWS's words."""

    @pytest.mark.parametrize(
        ("action", "method", "rest"),
        [
            ("ecr:BatchGetImage", "GET", "manifests/v1"),
            ("ecr:PutImage", "PUT", "manifests/v1"),
            ("ecr:InitiateLayerUpload", "POST", "blobs/uploads/"),
            ("ecr:GetDownloadUrlForLayer", "GET", f"blobs/{_IMAGE.digest}"),
            ("ecr:ListImages", "GET", "tags/list"),
        ],
    )
    def test_of_the_registry(self, ecr: Ecr, ask: Ask, action: str, method: str, rest: str) -> None:
        """A 403 that names the action, the resource, and the principal."""
        ecr.create(_NAME)
        ecr.denied.add(action)
        words = (
            f"User: arn:aws:iam::123456789012:user/mirror is not authorized to perform: {action} on resource: "
            f"arn:aws:ecr:eu-west-1:123456789012:repository/{_NAME} because no identity-based policy allows the "
            f"{action} action"
        )

        assert (403, "DENIED", words) == said(ask(method, f"/v2/{_NAME}/{rest}", b""))
        ecr.denied.clear()
        assert 403 != ask(method, f"/v2/{_NAME}/{rest}", b"")[0]

    def test_of_another_account(self, ecr: Ecr, ask: Ask) -> None:
        """It is the repository's policy that would have to allow it."""
        ecr.create(_NAME)
        ecr.principal = "arn:aws:sts::210987654321:assumed-role/nodes/i-1"
        ecr.denied.add("ecr:BatchGetImage")

        assert "no resource-based policy allows" in said(ask("GET", f"/v2/{_NAME}/manifests/v1"))[2]

    def test_of_the_api(self, ecr: Ecr) -> None:
        """AccessDeniedException; CreateRepository with tags needs ecr:TagResource too."""
        ecr.denied.add("ecr:TagResource")
        with refused("AccessDeniedException") as caught:
            client(ecr).create_repository(repositoryName=_NAME, tags=[{"Key": "a", "Value": "b"}])
        client(ecr).create_repository(repositoryName=_NAME)
        ecr.denied = {"ecr:GetAuthorizationToken"}
        with refused("AccessDeniedException"):
            client(ecr).get_authorization_token()

        assert "is not authorized to perform: ecr:TagResource" in str(caught.value)
        assert ["CreateRepository", "CreateRepository", "GetAuthorizationToken"] == ecr.actions

    def test_instead_of_all(self, ecr: Ecr) -> None:
        """What is wrong with the credentials themselves."""
        ecr.refusals["*"] = EcrError("ExpiredTokenException", "The security token included in the request is expired")

        with refused("ExpiredTokenException"):
            client(ecr).describe_repositories()

    def test_another_region(self, ecr: Ecr) -> None:
        """Is told from ours by how a request is signed."""
        with refused("InvalidSignatureException"):
            client(ecr, region="us-east-1").describe_repositories()

    def test_who_one_is(self, ecr: Ecr) -> None:
        """STS says."""
        ecr.principal = "arn:aws:sts::210987654321:assumed-role/nodes/i-1"
        identity = client(ecr, "sts").get_caller_identity()

        assert (ecr.principal, "210987654321") == (identity["Arn"], identity["Account"])

    def test_a_role(self, ecr: Ecr) -> None:
        """Is assumed with the external id that it wants."""
        ecr.external_id = "the-mirror"
        role = {"RoleArn": "arn:aws:iam::123456789012:role/mirror", "RoleSessionName": "mirror"}

        with refused("AccessDenied"):
            client(ecr, "sts").assume_role(**role)
        assert client(ecr, "sts").assume_role(**role, ExternalId="the-mirror")["Credentials"]["AccessKeyId"]
        ecr.denied.add("sts:AssumeRole")
        with refused("AccessDenied"):
            client(ecr, "sts").assume_role(**role, ExternalId="the-mirror")
