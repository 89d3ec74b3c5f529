"""The calls to Amazon ECR that we make, each in a worker thread: the event loop waits for none of them.

    EcrApi ──(first question)──► aws.py, and boto3 with it ──► AWS

What AWS answers is parsed here, once. Absence is an answer (None, an empty text), a refusal an exception of errors.py
whose `codes` is AWS's own code.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mirror.destinations.ecr.access import AT_ONCE, Access
from mirror.destinations.ecr.host import EcrHost
from mirror.destinations.ecr.refusals import Asked, refusal
from mirror.destinations.ecr.repositories import Seen, Wanted
from mirror.errors import NotFound, RegistryError
from mirror.http.proxies import Proxies
from mirror.oci.manifest import Manifest
from mirror.tasks import in_thread

if TYPE_CHECKING:
    from mirror.destinations.ecr.aws import Aws

_ARCHIVED_MAX = 1000


@dataclass(frozen=True, slots=True)
class Authorization:
    """What the registry takes as Basic until *expires_at*."""

    username: str
    password: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """Who we are to AWS."""

    arn: str
    account: str


@dataclass(slots=True)
class EcrApi:
    """ECR's API for the registry at *host*; nothing is loaded, and nobody asked, before the first call."""

    host: EcrHost
    access: Access = field(default_factory=Access)
    ca_file: str = ""
    proxies: Proxies = field(default_factory=Proxies.from_environment)
    _aws: Aws | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(AT_ONCE, thread_name_prefix="aws"), init=False
    )

    async def aclose(self) -> None:
        """Ends the worker threads and closes the connections."""
        self._threads.shutdown(wait=True)
        if self._aws is not None:
            self._aws.close()

    @property
    def aws(self) -> Aws:
        """The services behind; loads boto3, so it is for worker threads."""
        with self._lock:
            if self._aws is None:
                from mirror.destinations.ecr.aws import Aws  # late: it takes as long to load as all else together

                self._aws = Aws(self.host, self.access, ca_file=self.ca_file, proxies=self.proxies)
            return self._aws

    def authorization(self) -> Authorization:
        """The registry's password; blocks. Raises NoCredential where AWS has none to ask with."""
        answer = self.aws.call("ecr", "GetAuthorizationToken", where=str(self.host))
        try:
            given = answer["authorizationData"][0]
            username, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
            return Authorization(username, password, given["expiresAt"].astimezone(UTC))
        except (LookupError, ValueError, AttributeError):
            raise RegistryError(f"{self.host}: ecr:GetAuthorizationToken gave no password that can be read") from None

    async def principal(self) -> Principal:
        """Who we are."""
        answer = await self._ask("sts", "GetCallerIdentity")
        return Principal(str(answer.get("Arn", "")), str(answer.get("Account", "")))

    async def configured_region(self) -> str:
        """The region of the AWS configuration and environment, which need not be the registry's."""
        return await in_thread(self._threads, lambda: self.aws.configured_region)

    async def repository(self, path: str) -> Seen | None:
        """The repository at *path*, without its policies and tags; None where there is none."""
        try:
            answer = await self._about(path, "DescribeRepositories", repositoryNames=[path])
        except NotFound:
            return None
        if "repositories" not in answer:  # botocore makes an empty answer of what is not JSON
            raise RegistryError(
                f"{self.host}/{path}: ecr:DescribeRepositories was not answered by ECR: check its endpoint"
            )
        found = next(iter(answer["repositories"] or ()), None)
        return _seen(path, found) if found else None

    async def create(self, path: str, wanted: Wanted) -> bool:
        """There is a repository at *path*; whether it was made now, as *wanted* but for its policies."""
        settings: dict[str, Any] = {
            "repositoryName": path,
            "encryptionConfiguration": {"encryptionType": wanted.encryption}
            | ({"kmsKey": wanted.kms_key} if wanted.kms_key else {}),
            **_mutability(wanted),
        }
        if wanted.scan_on_push:  # on its way out, in favour of the registry's own configuration
            settings["imageScanningConfiguration"] = {"scanOnPush": True}
        if wanted.tags:  # they need ecr:TagResource beside (estahn/k8s-image-swapper#416)
            settings["tags"] = _tags(wanted.tags)
        try:
            await self._about(path, "CreateRepository", **settings)
        except RegistryError as exc:
            if "RepositoryAlreadyExistsException" not in exc.codes:
                raise
            return False  # another run was quicker
        return True

    async def lifecycle_policy(self, path: str) -> str:
        """The lifecycle policy of the repository at *path*, JSON; empty where it has none."""
        return await self._policy(path, "GetLifecyclePolicy", "lifecyclePolicyText", "LifecyclePolicyNotFoundException")

    async def repository_policy(self, path: str) -> str:
        """The repository policy at *path*, JSON; empty where it has none."""
        return await self._policy(path, "GetRepositoryPolicy", "policyText", "RepositoryPolicyNotFoundException")

    async def _policy(self, path: str, operation: str, key: str, absence: str) -> str:
        try:
            answer = await self._about(path, operation, repositoryName=path)
        except RegistryError as exc:
            if absence not in exc.codes:
                raise
            return ""
        return str(answer.get(key, ""))

    async def tags(self, seen: Seen) -> Mapping[str, str]:
        """The tags of the repository *seen*, as of any resource of AWS."""
        answer = await self._ask("ecr", "ListTagsForResource", path=seen.path, resourceArn=seen.arn)
        return {str(tag["Key"]): str(tag.get("Value", "")) for tag in answer.get("tags") or ()}

    async def set_mutability(self, path: str, wanted: Wanted) -> None:
        """Its tags may be changed as *wanted*."""
        await self._about(path, "PutImageTagMutability", repositoryName=path, **_mutability(wanted))

    async def set_scanning(self, path: str, wanted: Wanted) -> None:
        """It scans as *wanted*."""
        configuration = {"scanOnPush": wanted.scan_on_push}
        await self._about(
            path, "PutImageScanningConfiguration", repositoryName=path, imageScanningConfiguration=configuration
        )

    async def set_lifecycle_policy(self, path: str, wanted: Wanted) -> None:
        """Its lifecycle policy is *wanted*'s."""
        await self._about(path, "PutLifecyclePolicy", repositoryName=path, lifecyclePolicyText=wanted.lifecycle_policy)

    async def set_repository_policy(self, path: str, wanted: Wanted) -> None:
        """Its repository policy is *wanted*'s."""
        await self._about(path, "SetRepositoryPolicy", repositoryName=path, policyText=wanted.policy)

    async def set_tags(self, seen: Seen, wanted: Wanted) -> None:
        """It has the tags *wanted*, beside those that it has."""
        await self._ask("ecr", "TagResource", path=seen.path, resourceArn=seen.arn, tags=_tags(wanted.tags))

    async def account_setting(self, name: str) -> str:
        """The value of the registry's setting *name*, such as BLOB_MOUNTING; empty where AWS says none."""
        return str((await self._ask("ecr", "GetAccountSetting", name=name)).get("value", ""))

    async def archived(self, path: str) -> tuple[str, ...]:
        """Tags of images that are archived, and so cannot be pulled; a thousand images are looked at."""
        answer = await self._about(
            path,
            "DescribeImages",
            repositoryName=path,
            filter={"imageStatus": "ARCHIVED", "tagStatus": "TAGGED"},
            maxResults=_ARCHIVED_MAX,
        )
        images = [one for one in answer.get("imageDetails") or () if one.get("imageStatus") == "ARCHIVED"]
        return tuple(sorted(str(tag) for image in images for tag in image.get("imageTags") or ()))

    async def put_image(self, path: str, manifest: Manifest, *, tag: str = "") -> None:
        """*manifest* is stored by its digest and, if given, as *tag*, of the media type that its bytes do not say."""
        await self._about(
            path,
            "PutImage",
            repositoryName=path,
            imageManifest=manifest.raw.decode(),
            imageManifestMediaType=manifest.media_type,
            imageDigest=str(manifest.digest),
            **({"imageTag": tag} if tag else {}),
        )

    async def delete_images(self, path: str, ids: Sequence[Mapping[str, str]]) -> None:
        """What *ids* name, a hundred at most, is gone; what was gone already is no failure.

        Raises RegistryError for the first that ECR refuses.
        """
        answer = await self._about(path, "BatchDeleteImage", repositoryName=path, imageIds=list(ids))
        for failure in answer.get("failures") or ():
            if (code := str(failure.get("failureCode", ""))) != "ImageNotFound":
                named = failure.get("imageId") or {}
                at = named.get("imageDigest") or named.get("imageTag") or "an image"
                asked = Asked("ecr:BatchDeleteImage", f"{self.host}/{path}")
                raise refusal(asked, code=code, words=f"{at}: {failure.get('failureReason', '')}")

    async def _about(self, path: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """*operation* on the repository at *path*, of the account in the host, whosever credential it is."""
        return await self._ask("ecr", operation, path=path, registryId=self.host.account, **arguments)

    async def _ask(self, service: str, operation: str, *, path: str = "", **arguments: Any) -> dict[str, Any]:
        where = f"{self.host}/{path}" if path else str(self.host)
        return await in_thread(self._threads, lambda: self.aws.call(service, operation, where=where, **arguments))


def _mutability(wanted: Wanted) -> dict[str, Any]:
    filters = [{"filterType": "WILDCARD", "filter": pattern} for pattern in wanted.exclusions]
    return {"imageTagMutability": wanted.mutability} | (
        {"imageTagMutabilityExclusionFilters": filters} if filters else {}
    )


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _seen(path: str, said: Mapping[str, Any]) -> Seen:
    encryption = said.get("encryptionConfiguration") or {}
    filters = said.get("imageTagMutabilityExclusionFilters") or ()
    return Seen(
        path=path,
        arn=str(said.get("repositoryArn", "")),
        mutability=str(said.get("imageTagMutability", "MUTABLE")),
        exclusions=tuple(str(one.get("filter", "")) for one in filters),
        encryption=str(encryption.get("encryptionType", "AES256")),
        kms_key=str(encryption.get("kmsKey", "")),
        scan_on_push=bool((said.get("imageScanningConfiguration") or {}).get("scanOnPush")),
    )
