"""ECR's registry: what it does not leave to the docker-registry behind it."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from mirror.oci.manifest import OCI_INDEX
from tests.servers.ecr import api
from tests.servers.ecr.state import Ecr, EcrError, Parts
from tests.servers.gateway import Gateway
from tests.servers.loopback import Response, Seen

_NAME = r"/v2/(?P<name>[a-z0-9._/-]+?)"
_MANIFEST = re.compile(rf"{_NAME}/manifests/(?P<reference>[^/]+)")
_BLOB = re.compile(rf"{_NAME}/blobs/(?P<digest>[a-z0-9]+:[0-9a-f]+)")
_UPLOADS = re.compile(rf"{_NAME}/blobs/uploads/?")
_UPLOAD = re.compile(rf"{_NAME}/blobs/uploads/(?P<session>[^/]+)")
_TAGS = re.compile(rf"{_NAME}/tags/list")
_REFERRERS = re.compile(rf"{_NAME}/referrers/(?P<digest>[a-z0-9]+:[0-9a-f]+)")
# docs.aws.amazon.com, Amazon ECR identity-based policies: what pushing and pulling needs
_ACTIONS: Mapping[tuple[str, re.Pattern[str]], str] = {
    ("HEAD", _MANIFEST): "ecr:BatchGetImage",
    ("GET", _MANIFEST): "ecr:BatchGetImage",
    ("PUT", _MANIFEST): "ecr:PutImage",
    ("DELETE", _MANIFEST): "ecr:BatchDeleteImage",
    ("HEAD", _BLOB): "ecr:BatchCheckLayerAvailability",
    ("GET", _BLOB): "ecr:GetDownloadUrlForLayer",
    ("POST", _UPLOADS): "ecr:InitiateLayerUpload",
    ("GET", _UPLOAD): "ecr:UploadLayerPart",
    ("PATCH", _UPLOAD): "ecr:UploadLayerPart",
    ("PUT", _UPLOAD): "ecr:CompleteLayerUpload",
    ("DELETE", _UPLOAD): "ecr:UploadLayerPart",
    ("GET", _TAGS): "ecr:ListImages",
    ("GET", _REFERRERS): "ecr:BatchGetImage",
}
_PAGE = 100
_PAGE_MAX = 1000
_PART_MIN = 5 * 1024 * 1024
_SECRET = b"of the bucket"


class EcrHandler(Gateway):
    """One port for the API and the registry."""

    ecr: ClassVar[Ecr]

    def respond(self) -> None:
        body = self.read_body()
        if body is None:
            return
        seen = self.seen()
        if seen.path == "/":
            self.send(api.answer(self.ecr, seen, body))
            return
        self.ecr.requests.append(seen)
        try:
            self.send(self._answer(seen, body))
        except EcrError as refused:
            self.send(refused.of_the_registry())

    def _answer(self, seen: Seen, body: bytes) -> Response:
        if not self.ecr.check_token(seen.headers.get("authorization", "")):
            # regclient/regclient#709 shows the challenge; whatever else is sent, a bearer token too, is met with it
            challenge = f'Basic realm="https://{self.ecr.host}/",service="ecr.amazonaws.com"'
            return Response(401, {"Www-Authenticate": challenge, "Content-Type": "text/plain"}, b"Not Authorized\n")
        if seen.path == "/v2/":
            return Response(200, {"Content-Type": "application/json"}, b"{}")
        for (method, pattern), action in _ACTIONS.items():
            if method == seen.method and (found := pattern.fullmatch(seen.path)):
                parts = found.groupdict()
                self.ecr.check_permission(action, self.ecr.arn(parts["name"]))
                is_push = action in ("ecr:PutImage", "ecr:InitiateLayerUpload")
                self.ecr.repository(parts["name"], pushed=is_push)
                respond = {
                    _MANIFEST: self._manifest,
                    _BLOB: self._blob,
                    _UPLOADS: self._start_upload,
                    _UPLOAD: self._upload,
                    _TAGS: self._tags,
                    _REFERRERS: self._referrers,
                }[pattern]
                return respond(seen, body, parts)
        return Response(404, {"Content-Type": "text/plain"}, b"404 page not found\n")

    def _manifest(self, seen: Seen, body: bytes, parts: Mapping[str, str]) -> Response:
        name, reference = parts["name"], parts["reference"]
        is_digest = ":" in reference
        if not is_digest and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", reference):
            return Response(400)  # bazel-contrib/rules_oci#720
        match seen.method:
            case "PUT":
                return self._put_manifest(seen, body, name, reference)
            case "DELETE":  # since aws/containers-roadmap#1229
                image_id = {"imageDigest" if is_digest else "imageTag": reference}
                with self.ecr.lock:
                    self.ecr.image(name, reference)
                    self.ecr.backend.batch_delete_image(name, image_ids=[image_id])
                return Response(202)
            case _:
                image = self.ecr.image(name, reference)
                behind = self.forward(target=f"/v2/{name}/manifests/{image.image_digest}")
                # ECR names no digest with a manifest, only for HEAD (oras-project/oras-go#225)
                return behind if seen.method == "HEAD" else behind.having(Docker_Content_Digest="")

    def _put_manifest(self, seen: Seen, body: bytes, name: str, reference: str) -> Response:
        is_digest = ":" in reference
        image_type = seen.headers.get("content-type", "")
        if is_digest and f"sha256:{hashlib.sha256(body).hexdigest()}" != reference:
            raise EcrError(
                "ImageDigestDoesNotMatchException",
                f"The image with digest '{reference}' in repository '{name}' and registry ID '{self.ecr.account}' "
                "does not match the image digest that Amazon ECR has calculated.",
            )
        image = self.ecr.put_image(name, body, image_type, tag="" if is_digest else reference)
        created = Response(
            201,
            {
                "Location": f"/v2/{name}/manifests/{image.image_digest}",
                "Docker-Content-Digest": image.image_digest,
            },
        )
        subject = json.loads(body).get("subject")
        return created.having(OCI_Subject=subject["digest"]) if subject and self.ecr.lists_referrers else created

    def _blob(self, seen: Seen, body: bytes, parts: Mapping[str, str]) -> Response:
        behind = self.forward(method="HEAD") if self.ecr.redirects_blobs else self.forward()
        if seen.method == "GET" and self.ecr.redirects_blobs and behind.status in (200, 206):
            path = f"/prod-{self.ecr.region}-starport-layer-bucket/{parts['name']}/{parts['digest']}"
            query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600&X-Amz-Signature={_signature(path)}"
            return Response(307, {"Location": f"{self.ecr.bucket_url}{path}?{query}"})
        return behind

    def _start_upload(self, seen: Seen, body: bytes, parts: Mapping[str, str]) -> Response:
        query = dict(parse_qsl(urlsplit(seen.target).query))
        blob, source = query.get("mount", ""), query.get("from", "")
        if blob and self.ecr.may_mount(blob, source, parts["name"]):
            return self.forward()
        return self.forward(target=seen.path)

    def _upload(self, seen: Seen, body: bytes, parts: Mapping[str, str]) -> Response:
        upload = self.ecr.uploads.setdefault(parts["session"], Parts())
        if body and any(size < _PART_MIN for size in upload.sizes):  # dotnet/sdk-container-builds#424
            raise EcrError("LayerPartTooSmallException", "All layer parts except the last part should be at least 5MB")
        behind = self.forward(body)
        if seen.method != "PATCH" or behind.status != 202:
            return behind
        # created, not accepted (openai/tart#273, jdx/mise#11376), and the range of the first chunk for ever after
        # (aws/containers-roadmap#2831, crashappsec/chalk#682)
        upload.sizes.append(len(body))
        upload.told = upload.told or behind.headers["Range"]
        return Response(201, behind.headers).having(Range=upload.told)

    def _tags(self, seen: Seen, body: bytes, parts: Mapping[str, str]) -> Response:
        query = dict(parse_qsl(urlsplit(seen.target).query))
        count, after = int(query.get("n", _PAGE)), int(query.get("last", 0))
        if count > _PAGE_MAX:  # andrey-pohilko/registry-cli#79
            raise EcrError(
                "InvalidParameterException",
                "Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than "
                "or equal to 1000'",
            )
        tags = [tag for image in self.ecr.repository(parts["name"]).images for tag in image.image_tags]
        body = json.dumps({"name": parts["name"], "tags": tags[after : after + count]}).encode()
        page = Response(200, {"Content-Type": "application/json"}, body)
        if after + count >= len(tags):
            return page
        return page.having(Link=f'<{seen.path}?last={after + count}&n={count}>; rel="next"')

    def _referrers(self, seen: Seen, body: bytes, parts: Mapping[str, str]) -> Response:
        listed: list[dict[str, Any]] = []
        if self.ecr.lists_referrers:
            listed = self.ecr.referrers.get((parts["name"], parts["digest"]), [])
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
        return Response(200, {"Content-Type": OCI_INDEX}, json.dumps(index).encode())


class BucketHandler(Gateway):
    """S3, where the layers are: what is signed is given, and nothing to who sends an Authorization of ours."""

    ecr: ClassVar[Ecr]

    def respond(self) -> None:
        seen = self.seen()
        self.ecr.bucket_requests.append(seen)
        query = dict(parse_qsl(urlsplit(seen.target).query))
        if "authorization" in seen.headers:
            self.send(_of_s3(400, "InvalidArgument", "Only one auth mechanism allowed"))
        elif query.get("X-Amz-Signature") != _signature(seen.path):
            self.send(_of_s3(403, "SignatureDoesNotMatch", "The request signature does not match"))
        else:
            _, _, name_and_digest = seen.path.lstrip("/").partition("/")
            name, _, digest = name_and_digest.rpartition("/")
            headers = {"Range": seen.headers["range"]} if "range" in seen.headers else {}
            self.send(self.forward(target=f"/v2/{name}/blobs/{digest}", headers=headers))


def _signature(path: str) -> str:
    return hmac.new(_SECRET, path.encode(), hashlib.sha256).hexdigest()


def _of_s3(status: int, code: str, message: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Response(status, {"Content-Type": "application/xml"}, body.encode())
