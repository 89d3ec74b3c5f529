"""What ECR knows, and what a test may change of it."""

from __future__ import annotations

import base64
import fnmatch
import http.client
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.ecr.models import ECRBackend, Image, Repository, ecr_backends

from mirror.oci.auth import Credential
from mirror.oci.content import Digest
from tests.servers.loopback import Response, Seen

_TIMEOUT_S = 30.0
_INVALID_JSON = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
# What the registry makes of the API's exceptions, which it calls itself. Status and code of each as seen in the
# issue beside it; where none is, by analogy.
_OF_THE_REGISTRY: Mapping[str, tuple[int, str]] = {
    "AccessDeniedException": (403, "DENIED"),  # aws-actions/amazon-ecr-login#232
    "ExpiredTokenException": (403, "DENIED"),  # convox/rack#678
    "ImageDigestDoesNotMatchException": (400, "MANIFEST_INVALID"),  # google/go-containerregistry#1568
    "ImageNotFoundException": (404, "MANIFEST_UNKNOWN"),
    "ImageTagAlreadyExistsException": (400, "TAG_INVALID"),  # moby/buildkit#3776
    "InvalidParameterException": (405, "UNSUPPORTED"),  # opcr-io/policy#149
    "LayerPartTooSmallException": (400, "BLOB_UPLOAD_INVALID"),
    "LayersNotFoundException": (400, "MANIFEST_BLOB_UNKNOWN"),
    "LimitExceededException": (403, "DENIED"),  # aws/containers-roadmap#2159, vllm-project/vllm#48065
    "ReferencedImagesNotFoundException": (400, "MANIFEST_BLOB_UNKNOWN"),  # int128/docker-manifest-create-action#63
    "RepositoryNotFoundException": (404, "NAME_UNKNOWN"),
    "ThrottlingException": (429, "TOOMANYREQUESTS"),  # fluxcd/flux2#3714; no Retry-After: containerd/containerd#10447
}


class EcrError(Exception):
    """What ECR refuses: an exception of its API, in its words."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status

    def of_the_api(self) -> Response:
        """As AWS's JSON protocol tells it."""
        body = json.dumps({"__type": self.code, "message": self.message}).encode()
        return Response(self.status, {"Content-Type": "application/x-amz-json-1.1"}, body)

    def of_the_registry(self) -> Response:
        """As the registry tells it: distribution-spec v1.1 #error-codes."""
        status, code = _OF_THE_REGISTRY[self.code]
        body = json.dumps({"errors": [{"code": code, "message": self.message}]}).encode()
        return Response(status, {"Content-Type": "application/json; charset=utf-8"}, body)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API: *asked* is its input."""

    action: str
    asked: Mapping[str, Any]


@dataclass(slots=True)
class Ecr:
    """A running ECR."""

    behind: str
    """`HOST:PORT` of the docker-registry that keeps the bytes."""
    account: str
    region: str
    url: str = ""
    """Where API and registry are reached."""
    bucket_url: str = ""
    principal: str = ""
    """Whose credentials every caller has."""
    external_id: str = ""
    """What a role wants to be assumed with."""
    denied: set[str] = field(default_factory=set)
    """What the principal may not do: `ecr:PutImage`, `ecr:TagResource`, `sts:AssumeRole`."""
    refusals: dict[str, EcrError] = field(default_factory=dict)
    """What is answered instead, by action, or to all by `*`: AWS's credentials have expired, a clock is skewed."""
    settings: dict[str, str] = field(default_factory=lambda: {"BLOB_MOUNTING": "DISABLED"})
    """Of the account (PutAccountSetting); mounting is opt-in since January 2026."""
    templates: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Repository creation templates, by prefix or ROOT: CreateRepository's settings.

    Creating on push needs one (aws/containers-roadmap#853, 2026-01-26), and of its principal nothing more than that it
    may push (there, 2026-03-31).
    """
    lists_referrers: bool = True
    """What was pushed with a subject is listed; else the list is always empty."""
    takes_artifact_types: bool = False
    """A referrer may have a top-level artifactType: refused in oras-project/oras#1224 and aws/containers-roadmap#2783,
    taken in sigstore/sigstore-js#1058."""
    redirects_blobs: bool = False
    """Blobs are in a bucket at another host, as they are in ECR always."""
    images_max: int = 100_000
    """Images in a repository: a quota."""
    put_image_rate: float = 10.0
    """PutImage a second, and as many at once: a quota of account and region, in both ways together."""
    token_life_s: float = 12 * 3600.0
    now: Callable[[], float] = time.time
    requests: list[Seen] = field(default_factory=list)
    """What the registry was asked."""
    bucket_requests: list[Seen] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    """What the API was asked."""
    tokens: dict[str, float] = field(default_factory=dict)
    """The passwords that were given, and when each expires, by `now`."""
    referrers: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    """The descriptors of what was pushed with a subject, by repository and subject."""
    uploads: dict[str, Parts] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _credits: float = field(default=0.0, init=False)
    _credited_at: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self.principal = self.principal or f"arn:aws:iam::{self.account}:user/mirror"
        self.backend.reset()

    @property
    def host(self) -> str:
        """What the registry is called in references."""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com"

    @property
    def backend(self) -> ECRBackend:
        """What moto keeps of this account in this region."""
        backend: ECRBackend = ecr_backends[self.account][self.region]
        return backend

    @property
    def actions(self) -> list[str]:
        """The calls of the API, in their order."""
        return [call.action for call in self.calls]

    def asked(self, pattern: str) -> list[Seen]:
        """The registry's requests whose `METHOD /path?query` *pattern* matches whole."""
        return [seen for seen in list(self.requests) if re.fullmatch(pattern, str(seen))]

    def create(self, name: str, **settings: Any) -> None:
        """A repository is there, as by CreateRepository with *settings*."""
        mutability = settings.get("imageTagMutability", "MUTABLE")
        filters = settings.get("imageTagMutabilityExclusionFilters")
        with self.lock:
            self.backend.create_repository(
                name,
                None,
                settings.get("encryptionConfiguration"),
                settings.get("imageScanningConfiguration"),
                mutability,
                settings.get("tags") or settings.get("resourceTags") or [],
                filters,
            )

    def repository(self, name: str, *, pushed: bool = False) -> Repository:
        """The repository of that name; made for who has *pushed* to it, if there is a template for it."""
        with self.lock:
            if name not in self.backend.repositories and pushed and (template := self._template(name)) is not None:
                self.create(name, **template)
            found = self.backend.repositories.get(name)
        if found is None:
            raise EcrError(
                "RepositoryNotFoundException",
                f"The repository with name '{name}' does not exist in the registry with id '{self.account}'",
            )
        return found

    def _template(self, name: str) -> Mapping[str, Any] | None:
        fitting = [prefix for prefix in self.templates if name.startswith(f"{prefix}/")]
        prefix = max(fitting, key=len, default="ROOT")
        return self.templates.get(prefix)

    def arn(self, name: str) -> str:
        """The repository's."""
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{name}"

    def check_permission(self, action: str, resource: str) -> None:
        """Raises what AWS says to a principal that may not (aws-actions/amazon-ecr-login#232, for one)."""
        if action in self.denied:
            kind = "identity" if f":{self.account}:" in self.principal else "resource"
            raise EcrError(
                "AccessDeniedException",
                f"User: {self.principal} is not authorized to perform: {action} on resource: {resource} "
                f"because no {kind}-based policy allows the {action} action",
            )

    # tokens

    def issue_token(self) -> tuple[str, float]:
        """A password for the user AWS, and when it expires."""
        with self.lock:
            password = secrets.token_urlsafe(24)
            self.tokens[password] = self.now() + self.token_life_s
            return password, self.tokens[password]

    def expire_tokens(self) -> None:
        """Those that were given so far are of no use any more."""
        with self.lock:
            self.tokens = dict.fromkeys(self.tokens, float("-inf"))

    def check_token(self, authorization: str) -> bool:
        """Whether that is a token of ours; raises what ECR says of one that has expired."""
        kind, _, encoded = authorization.partition(" ")
        try:
            username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return False
        expires_at = self.tokens.get(password)
        if kind != "Basic" or username != "AWS" or expires_at is None:
            return False
        if expires_at <= self.now():
            raise EcrError(
                "ExpiredTokenException", "Your authorization token has expired. Reauthenticate and try again."
            )
        return True

    # images

    def image(self, name: str, reference: str) -> Image:
        """The image at a tag or digest."""
        for image in self.repository(name).images:
            if reference == image.image_digest or reference in image.image_tags:
                return image
        raise EcrError("ImageNotFoundException", "Requested image not found")

    def delete_image(self, name: str, reference: str) -> None:
        """BatchDeleteImage of one: a tag, and the image with its last one; or a digest, and all its tags."""
        with self.lock:
            image, repository = self.image(name, reference), self.repository(name)
            is_last = ":" in reference or len(image.image_tags) == 1
            others = [one for one in repository.images if one is not image]
            if is_last and any(f'"{image.image_digest}"' in json.dumps(_listed(one)) for one in others):
                raise EcrError("ImageReferencedByManifestList", "Requested image referenced by manifest list")
            if is_last:
                repository.images.remove(image)
                for listed in self.referrers.values():
                    listed[:] = [each for each in listed if each["digest"] != image.image_digest]
            else:
                image.remove_tag(reference)

    def put_image(self, name: str, raw: bytes, media_type: str, *, tag: str = "", by_api: bool = False) -> Image:
        """PutImage, which both ways of pushing are held to."""
        repository = self.repository(name, pushed=not by_api)
        with self.lock:
            self._throttle()
            view = _view(raw)
            media_type = _checked(view, media_type, by_api=by_api, takes_artifact_types=self.takes_artifact_types)
            self._check_tag(repository, tag)
            digest = str(Digest.of(raw))
            image = next((one for one in repository.images if one.image_digest == digest), None)
            if image is None:
                self._store(repository, digest, raw, media_type)
                image = Image(self.account, None, raw.decode(), name, media_type, digest)
                repository.images.append(image)
                self._link(name, digest, len(raw), media_type, view)
            elif by_api and (not tag or tag in image.image_tags):
                raise EcrError(
                    "ImageAlreadyExistsException",
                    f"Image with digest '{digest}' and tag '{tag or 'null'}' already exists in the repository with "
                    f"name '{name}' in registry with id '{self.account}'",
                )
            if tag:
                for other in repository.images:  # moto forgets an image that loses its only tag; ECR does not
                    other.remove_tag(tag)
                image.update_tag(tag)
            return image

    def _throttle(self) -> None:
        elapsed = self.now() - self._credited_at
        self._credits = min(self.put_image_rate, self._credits + elapsed * self.put_image_rate)
        self._credited_at = self.now()
        if self._credits < 1:
            raise EcrError("ThrottlingException", "Rate exceeded")
        self._credits -= 1

    def _check_tag(self, repository: Repository, tag: str) -> None:
        mutability = str(getattr(repository.image_tag_mutability, "value", repository.image_tag_mutability))
        filters = repository.image_tag_mutability_exclusion_filters or []
        is_excluded = any(fnmatch.fnmatchcase(tag, one["filter"]) for one in filters)
        if mutability.startswith("IMMUTABLE") == is_excluded:
            return
        # also for the image that it names already (aws/containers-roadmap#2380)
        if tag and any(tag in image.image_tags for image in repository.images):
            raise EcrError(
                "ImageTagAlreadyExistsException",
                f"The image tag '{tag}' already exists in the '{repository.name}' repository and cannot be "
                "overwritten because the repository is immutable.",
            )

    def _store(self, repository: Repository, digest: str, raw: bytes, media_type: str) -> None:
        if len(repository.images) >= self.images_max:
            raise EcrError(
                "LimitExceededException",
                f"The repository with name '{repository.name}' in registry with id '{self.account}' already has the "
                f"maximum allowed number of images which is '{self.images_max}'",
            )
        target = f"/v2/{repository.name}/manifests/{digest}"
        answer = self.ask_behind("PUT", target, raw, {"Content-Type": media_type})
        if answer.status == 201:
            return
        missing = re.findall(r"sha256:[0-9a-f]{64}", answer.body.decode())
        what, code = ("Images", "ReferencedImagesNotFoundException") if b'"manifests"' in raw else (
            "Layers", "LayersNotFoundException"
        )  # fmt: skip
        raise EcrError(
            code,
            f"{what} with digests '[{', '.join(missing)}]' required for pushing image into repository with name "
            f"'{repository.name}' in the registry with id '{self.account}' do not exist",
        )

    def _link(self, name: str, digest: str, size: int, media_type: str, view: Mapping[str, Any]) -> None:
        if not (subject := view.get("subject")):
            return
        config = view.get("config") or {}
        descriptor = {"mediaType": media_type, "digest": digest, "size": size}
        descriptor["artifactType"] = view.get("artifactType") or config.get("mediaType", "")
        descriptor["annotations"] = view.get("annotations") or {}
        self.referrers.setdefault((name, subject["digest"]), []).append(descriptor)

    def may_mount(self, blob: str, source: str, target: str) -> bool:
        """Whether *blob* is mounted from *source* into *target*: docs.aws.amazon.com, "Blob mounting in Amazon ECR".

        Only what a manifest in *source* names (aws/containers-roadmap#2860), and only between repositories that are
        encrypted alike.
        """
        held, into = self.backend.repositories.get(source), self.backend.repositories.get(target)
        return (
            self.settings["BLOB_MOUNTING"] == "ENABLED"
            and held is not None
            and into is not None
            and held.encryption_configuration == into.encryption_configuration
            and any(blob in image.image_manifest for image in held.images)
        )

    def ask_behind(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        """What the docker-registry behind answers."""
        connection = http.client.HTTPConnection(self.behind, timeout=_TIMEOUT_S)
        try:
            connection.request(method, target, body, dict(headers or {}))
            answer = connection.getresponse()
            return Response(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


@dataclass(slots=True)
class Parts:
    """What came of an upload in chunks."""

    sizes: list[int] = field(default_factory=list)
    told: str = ""
    """The Range that the first chunk was answered with."""


@dataclass(slots=True)
class Tokens:
    """Credentials for our client, straight from *ecr* (mirror.oci.auth.Credentials); *given* counts them."""

    ecr: Ecr
    given: int = 0

    def credential(self, host: str) -> Credential | None:
        """See mirror.oci.auth.Credentials."""
        if host != self.ecr.host:
            return None
        self.given += 1
        password, expires_at = self.ecr.issue_token()
        return Credential("AWS", password, renew_at=time.monotonic() + expires_at - self.ecr.now())


def _listed(image: Image) -> Any:
    return _view(image.image_manifest.encode()).get("manifests", [])


def _view(raw: bytes) -> Mapping[str, Any]:
    try:
        view = json.loads(raw)
    except ValueError:
        view = None
    if not isinstance(view, dict):
        raise EcrError("InvalidParameterException", _INVALID_JSON)
    return view


def _checked(view: Mapping[str, Any], media_type: str, *, by_api: bool, takes_artifact_types: bool) -> str:
    """The media type of the manifest *view*; raises what ECR says to a manifest that it does not take.

    - no mediaType, which PutImage takes beside it (containers/image#584, aws/aws-sdk#193);
    - a referrer with a top-level artifactType (aws/containers-roadmap#2783);
    - media types with parameters (aws/containers-roadmap#2306);
    - `data` (aws/containers-roadmap#2023), `platform.features` (#2439), annotations of the config (#308).
    """
    own = view.get("mediaType") or (media_type if by_api else "")
    config, layers, manifests = view.get("config") or {}, view.get("layers") or [], view.get("manifests") or []
    descriptors = [config, *layers, *manifests, view.get("subject") or {}]
    types = [view.get("artifactType") or "", *(one.get("mediaType", "") for one in descriptors)]
    if (
        not own
        or ("subject" in view and "artifactType" in view and not takes_artifact_types)
        or any(";" in one for one in types)
        or any("data" in one for one in descriptors)
        or any("features" in (one.get("platform") or {}) for one in manifests)
        or "annotations" in config
    ):
        raise EcrError("InvalidParameterException", _INVALID_JSON)
    return str(own)
