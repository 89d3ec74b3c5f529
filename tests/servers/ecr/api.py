"""ECR's API, and what of STS goes with it: moto's, whose lies are mended on the way.

moto 5.2.5 is not to be trusted with tokens (they expire in 2015), PutImage (it invents digests, forgets an image that
loses its tag, and calls an immutable tag ImageAlreadyExistsException) and account settings, templates and referrers
(it has none).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import Client

from tests.servers.ecr.state import Call, Ecr, EcrError
from tests.servers.loopback import Response, Seen

_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_SETTINGS = frozenset({"BASIC_SCAN_TYPE_VERSION", "REGISTRY_POLICY_SCOPE", "BLOB_MOUNTING"})
_PASSED_ON = ("authorization", "content-type", "x-amz-date", "x-amz-security-token", "x-amz-target")


def answer(ecr: Ecr, seen: Seen, body: bytes) -> Response:
    """What AWS answers."""
    is_ecr = "x-amz-target" in seen.headers
    asked = json.loads(body or b"{}") if is_ecr else dict(parse_qsl(body.decode()))
    action = seen.headers["x-amz-target"].rpartition(".")[2] if is_ecr else asked.get("Action", "")
    ecr.calls.append(Call(action, asked))
    try:
        if refusal := ecr.refusals.get(action) or ecr.refusals.get("*"):
            raise refusal
        return _of_ecr(ecr, seen, body, action, asked) if is_ecr else _of_sts(ecr, seen, body, action, asked)
    except EcrError as refused:
        return refused.of_the_api() if is_ecr else _sts_error(refused)


def _of_ecr(ecr: Ecr, seen: Seen, body: bytes, action: str, asked: Mapping[str, Any]) -> Response:
    signed = _SCOPE.match(seen.headers.get("authorization", ""))
    if signed is None:
        raise EcrError("MissingAuthenticationTokenException", "Missing Authentication Token")
    if signed["region"] != ecr.region:
        raise EcrError(
            "InvalidSignatureException", f"Credential should be scoped to a valid region, not '{signed['region']}'."
        )
    names = asked.get("repositoryNames") or [asked.get("repositoryName", "*")]
    resource = asked.get("resourceArn") or ecr.arn(names[0])
    ecr.check_permission(f"ecr:{action}", "*" if action in _OF_THE_ACCOUNT else resource)
    if action == "CreateRepository" and asked.get("tags"):  # since December 2022 (estahn/k8s-image-swapper#416)
        ecr.check_permission("ecr:TagResource", resource)
    if own := _OWN.get(action):
        told = json.dumps(own(ecr, asked)).encode()
        return Response(200, {"Content-Type": "application/x-amz-json-1.1"}, told)
    return _of_moto(ecr, seen, body)


def _of_sts(ecr: Ecr, seen: Seen, body: bytes, action: str, asked: Mapping[str, Any]) -> Response:
    ecr.check_permission(f"sts:{action}", asked.get("RoleArn", "*"))
    if action == "AssumeRole" and ecr.external_id and asked.get("ExternalId") != ecr.external_id:
        raise EcrError(
            "AccessDenied", f"User: {ecr.principal} is not authorized to perform: sts:AssumeRole on resource: "
            f"{asked.get('RoleArn')}"
        )  # fmt: skip
    if action != "GetCallerIdentity":
        return _of_moto(ecr, seen, body)
    account = ecr.principal.split(":")[4]
    told = f"<Arn>{escape(ecr.principal)}</Arn><UserId>AIDAEXAMPLE</UserId><Account>{account}</Account>"
    return _xml(
        200,
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult>{told}</GetCallerIdentityResult>"
        "<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
    )


def _sts_error(refused: EcrError) -> Response:
    code = "AccessDenied" if refused.code == "AccessDeniedException" else refused.code
    status = 403 if code in ("AccessDenied", "ExpiredToken", "InvalidClientTokenId") else refused.status
    return _xml(
        status,
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{escape(refused.message)}</Message></Error>"
        "<RequestId>1</RequestId></ErrorResponse>",
    )


def _xml(status: int, text: str) -> Response:
    return Response(status, {"Content-Type": "text/xml"}, text.encode())


@lru_cache(maxsize=1)
def _moto() -> Client:
    return Client(DomainDispatcherApplication(create_backend_app))


def _of_moto(ecr: Ecr, seen: Seen, body: bytes) -> Response:
    headers = {name: seen.headers[name] for name in _PASSED_ON if name in seen.headers}
    headers["x-moto-account-id"] = ecr.account
    with ecr.lock:
        try:
            told = _moto().post("/", headers=headers, data=body)
        except NotImplementedError as exc:
            raise EcrError("UnknownOperationException", str(exc)) from exc
    return Response(told.status_code, {"Content-Type": told.headers["Content-Type"]}, told.data)


def _token(ecr: Ecr, asked: Mapping[str, Any]) -> Any:
    password, expires_at = ecr.issue_token()
    token = base64.b64encode(f"AWS:{password}".encode()).decode()
    endpoint = f"https://{ecr.host}"
    return {"authorizationData": [{"authorizationToken": token, "expiresAt": expires_at, "proxyEndpoint": endpoint}]}


def _get_setting(ecr: Ecr, asked: Mapping[str, Any]) -> Any:
    return {"name": _setting(asked), "value": ecr.settings.get(asked["name"], "")}


def _put_setting(ecr: Ecr, asked: Mapping[str, Any]) -> Any:
    ecr.settings[_setting(asked)] = asked["value"]
    return {"name": asked["name"], "value": asked["value"]}


def _setting(asked: Mapping[str, Any]) -> str:
    if asked["name"] not in _SETTINGS:
        raise EcrError("InvalidParameterException", f"Invalid parameter at 'name': there is no setting {asked['name']}")
    return str(asked["name"])


def _put_image(ecr: Ecr, asked: Mapping[str, Any]) -> Any:
    name, tag = asked["repositoryName"], asked.get("imageTag", "")
    raw, media_type = asked["imageManifest"].encode(), asked.get("imageManifestMediaType", "")
    image = ecr.put_image(name, raw, media_type, tag=tag, by_api=True)
    image_id = {"imageDigest": image.image_digest, **({"imageTag": tag} if tag else {})}
    return {
        "image": {
            "registryId": ecr.account,
            "repositoryName": name,
            "imageId": image_id,
            "imageManifest": asked["imageManifest"],
            "imageManifestMediaType": image.image_manifest_media_type,
        }
    }


def _delete_images(ecr: Ecr, asked: Mapping[str, Any]) -> Any:
    """By tag, or by digest; with its last tag an image is gone, and what an index lists is not deleted."""
    name = asked["repositoryName"]
    deleted, failures = list[dict[str, str]](), list[dict[str, Any]]()
    ecr.repository(name)
    if len(asked["imageIds"]) > 100:
        raise EcrError("InvalidParameterException", "Invalid parameter at 'imageIds': at most 100 are taken")
    for one in asked["imageIds"]:
        try:
            ecr.delete_image(name, one.get("imageDigest") or one["imageTag"])
            deleted.append(one)
        except EcrError as refused:
            code = refused.code.removesuffix("Exception")
            failures.append({"imageId": one, "failureCode": code, "failureReason": refused.message})
    return {"imageIds": deleted, "failures": failures}


def _templates(ecr: Ecr, asked: Mapping[str, Any]) -> Any:
    templates = [
        {"prefix": prefix, "appliedFor": ["CREATE_ON_PUSH"], **settings} for prefix, settings in ecr.templates.items()
    ]
    return {"registryId": ecr.account, "repositoryCreationTemplates": templates}


def _referrers(ecr: Ecr, asked: Mapping[str, Any]) -> Any:
    name = asked["repositoryName"]
    ecr.repository(name)
    listed = ecr.referrers.get((name, asked["subjectId"]["imageDigest"]), []) if ecr.lists_referrers else []
    return {"referrers": [{**one, "artifactStatus": "ACTIVE"} for one in listed]}


_OWN: Mapping[str, Callable[[Ecr, Mapping[str, Any]], Any]] = {
    "BatchDeleteImage": _delete_images,
    "DescribeRepositoryCreationTemplates": _templates,
    "GetAccountSetting": _get_setting,
    "GetAuthorizationToken": _token,
    "ListImageReferrers": _referrers,
    "PutAccountSetting": _put_setting,
    "PutImage": _put_image,
}
_OF_THE_ACCOUNT = frozenset(
    {"DescribeRepositoryCreationTemplates", "GetAccountSetting", "GetAuthorizationToken", "PutAccountSetting"}
)
