"""What may be configured: every table and key, its type, its default.

A model is a table of the file. What cannot be checked key by key is checked by the table that has both keys. A key is
here only if something reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mirror.destinations.ecr.host import PUBLIC as ECR_PUBLIC
from mirror.destinations.ecr.host import EcrHost
from mirror.durations import format_duration, parse_duration
from mirror.errors import BadReference, SettingsError, UsageError
from mirror.kubernetes.names import config_map_name
from mirror.linkerd.release import CHANNEL, Release, parse_selector
from mirror.oci.content import Digest, Platform
from mirror.oci.reference import Reference, Repository
from mirror.trust.policy import Identity, Keyed, Keyless

VERSIONS_URL = "https://raw.githubusercontent.com/linkerd/website/main/linkerd.io/data/versions.yaml"
CHANNELS = {
    "edge": {"chart_repository": "https://helm.linkerd.io/edge"},
    "stable": {"chart_repository": "https://helm.linkerd.io/stable"},
}
"""Those that are there without being configured."""
REGISTRIES = {
    "cr.l5d.io": {"alias": "ghcr.io"},
    "gcr.io/google_containers": {"alias": "registry.k8s.io"},  # gcr.io fails for it since February 2026
    "docker.io": {"endpoint": "https://registry-1.docker.io"},
}
"""Those that are there without being configured."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ALIASES_MAX = 8  # applied one after the other; more is a loop


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise ValueError('expected a duration such as "6h"')  # noqa: TRY004  pydantic collects ValueErrors
    return parse_duration(value)


ChartName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")]


def _names(value: object) -> tuple[str, ...] | Literal["all"]:
    if value == "all":
        return "all"
    if not isinstance(value, list | tuple) or not value or not all(isinstance(name, str) and name for name in value):
        raise ValueError('expected "all" or a list of names')
    return tuple(value)


def _platforms(value: object) -> tuple[Platform, ...] | Literal["all"]:
    try:
        names = _names(value)
        return "all" if names == "all" else tuple(Platform.parse(name) for name in names)
    except BadReference as exc:
        raise ValueError(str(exc)) from exc
    except ValueError as exc:
        raise ValueError('expected "all" or a list such as ["linux/amd64", "linux/arm64"]') from exc


def _accepted(value: object) -> Mapping[Reference, Digest]:
    if not isinstance(value, Mapping):
        raise ValueError('expected a table of "REFERENCE" = "sha256:…"')  # noqa: TRY004
    try:
        accepted = {Reference.parse(str(key)): Digest.parse(str(digest)) for key, digest in value.items()}
    except BadReference as exc:
        raise ValueError(str(exc)) from exc
    if pinned := next((reference for reference in accepted if reference.digest), None):
        raise ValueError(f'"{pinned}" already names a digest: write REPOSITORY:TAG = "sha256:…"')
    return accepted


def _url(value: object) -> str:
    """An http or https URL without credentials, query or fragment, and no `/` at its end."""
    if not isinstance(value, str):
        raise ValueError("expected a URL")  # noqa: TRY004
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise ValueError("expected a URL such as https://registry.example.com") from exc
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL holds no credentials here: use username and password_file")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ValueError("expected a URL that starts with https:// or http://, without query or fragment")
    return value.rstrip("/")


def _endpoint(value: object) -> str:
    if value == "":
        return ""
    url = _url(value)
    if urlsplit(url).path:
        raise ValueError("expected SCHEME://HOST[:PORT] alone: a path goes into `alias` or `prefix`")
    return url


def _host(text: str) -> str:
    if "://" in text:
        raise ValueError('expected HOST[:PORT]: the scheme goes into registries."HOST".endpoint')
    try:
        return Repository(text, "x").host
    except BadReference as exc:
        hint = ": the path goes into `prefix`" if "/" in text else ""
        raise ValueError(f"expected HOST[:PORT]{hint}") from exc


def _host_or_prefix(text: str) -> str:
    """`HOST` or `HOST/PREFIX`."""
    host, slash, path = text.partition("/")
    try:
        Repository(host, path if slash else "x")
    except BadReference as exc:
        raise ValueError("expected HOST or HOST/PREFIX") from exc
    return text


def _pull_registry(text: str) -> str:
    return _host_or_prefix(text) if text else ""


def _prefix(text: str) -> str:
    try:
        return text and Repository("localhost", text).path
    except BadReference as exc:
        raise ValueError("expected a repository path such as linkerd or team/linkerd") from exc


def _listed(value: tuple[object, ...] | Literal["all"]) -> list[str] | Literal["all"]:
    return "all" if value == "all" else [str(item) for item in value]


def _number(value: object) -> object:
    if isinstance(value, bool):  # pydantic takes it for 1 or 0
        raise ValueError("expected a number")  # noqa: TRY004
    return value


def _optional_path(value: object) -> object:
    return None if value == "" else value


def _path_text(value: Path | None) -> str:
    return "" if value is None else str(value)


Names = Annotated[
    tuple[str, ...] | Literal["all"],
    PlainValidator(_names),
    PlainSerializer(_listed),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Platforms = Annotated[
    tuple[Platform, ...] | Literal["all"],
    PlainValidator(_platforms),
    PlainSerializer(_listed),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Duration = Annotated[
    timedelta,
    PlainValidator(_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": r"^(0|(\d+(\.\d*)?(h|m|s|ms|us|µs|ns))+)$"}),
]
Accepted = Annotated[
    Mapping[Reference, Digest],
    PlainValidator(_accepted),
    PlainSerializer(lambda value: {str(key): str(digest) for key, digest in value.items()}),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string", "pattern": "^sha(256|512):"}}),
]
Url = Annotated[str, PlainValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
Endpoint = Annotated[str, PlainValidator(_endpoint), WithJsonSchema({"type": "string", "pattern": "^(https?://.*)?$"})]
OptionalPath = Annotated[
    Path | None,
    BeforeValidator(_optional_path),
    PlainSerializer(_path_text),
    WithJsonSchema({"type": "string"}),
]
Number = BeforeValidator(_number)
Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, hide_input_in_errors=True)


class Channel(_Table):
    """A line of releases, and the chart repository that lists them."""

    chart_repository: Url
    charts: Annotated[tuple[ChartName, ...], Field(json_schema_extra={"uniqueItems": True})] = ()
    """Empty: Linkerd's own, which say by their appVersion what release they are of. Else these, and the versions of the
    first are the releases: CHANNEL-VERSION."""

    @field_validator("charts")
    @classmethod
    def _check_charts(cls, charts: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(charts)) < len(charts):
            raise ValueError("expected each chart once")
        return charts


class Registry(_Table):
    """How one host is reached, or what stands for it."""

    alias: str = ""
    """HOST or HOST/PREFIX that is used instead; alone in its table."""
    endpoint: Endpoint = ""
    """SCHEME://HOST[:PORT] where the host is reached; empty: https:// and the host itself."""
    username: str = ""
    password: SkipJsonSchema[SecretStr | None] = None
    """From the environment only."""
    password_file: OptionalPath = None
    ca_file: OptionalPath = None
    requests_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False), Number] = 0
    """0: no limit of ours."""
    max_connections: Annotated[int, Field(ge=1, le=256), Number] = 16

    @field_validator("alias")
    @classmethod
    def _check_alias(cls, alias: str) -> str:
        return _host_or_prefix(alias) if alias else ""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.alias and self.model_fields_set - {"alias"}:
            others = ", ".join(sorted(self.model_fields_set - {"alias"}))
            raise PydanticCustomError("entry", f"alias stands alone: move {others} to the table of {self.alias}")
        has_password = self.password is not None or self.password_file is not None
        if self.username and not has_password:
            raise PydanticCustomError("entry", "username is set but neither password_file nor a password is")
        if has_password and not self.username:
            raise PydanticCustomError("entry", "a password is set but username is not")
        return self

    def credential(self) -> tuple[str, SecretStr] | None:
        """Username and password, the file read anew at each call since it may be rotated; None if there is neither.

        Raises SettingsError if the file cannot be read or is empty.
        """
        if self.password is not None:
            return self.username, self.password
        if self.password_file is None:
            return None
        try:
            password = self.password_file.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
            raise SettingsError(f"password_file {self.password_file} cannot be read: {reason}") from exc
        if not password:
            raise SettingsError(f"password_file {self.password_file} is empty")
        return self.username, SecretStr(password)


class _OfRegistry(_Table):
    """What every registry that is written to has."""

    registry: str
    prefix: str = ""
    paths: Literal["flat", "upstream"] = "flat"
    charts: bool = True
    """Charts go there too; false for a registry that takes images alone."""
    pull_registry: str = ""
    """HOST[/PREFIX] that the cluster pulls by, in place of REGISTRY/PREFIX."""

    _check_registry = field_validator("registry")(staticmethod(_host))
    _check_prefix = field_validator("prefix")(staticmethod(_prefix))
    _check_pull_registry = field_validator("pull_registry")(staticmethod(_pull_registry))


class RegistryDestination(_OfRegistry):
    """A registry that is written to, by the distribution specification alone."""

    kind: Literal["registry"]


class EcrRepository(_Table):
    """How ECR's repositories are made; where one that exists differs, it is reported, and `doctor --fix` repairs it."""

    tag_mutability: Literal["MUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION"] = (
        "IMMUTABLE_WITH_EXCLUSION"
    )
    exclusions: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[0-9a-zA-Z._*-]{1,128}$")], ...], Field(max_length=5)
    ] = ("sha256-*",)
    """Tags that mutability does not hold for: those of signatures and of the referrers' fallback must move."""
    encryption: Literal["AES256", "KMS", "KMS_DSSE"] = "AES256"
    """For ever: ECR cannot change it."""
    kms_key: str = ""
    scan_on_push: bool = False
    lifecycle_policy_file: OptionalPath = None
    policy_file: OptionalPath = None
    """The repository policy, as for pulls from other accounts."""
    tags: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.kms_key and self.encryption == "AES256":
            raise PydanticCustomError("entry", 'kms_key needs encryption = "KMS" or "KMS_DSSE"')
        if "exclusions" in self.model_fields_set and self.exclusions and "EXCLUSION" not in self.tag_mutability:
            raise PydanticCustomError(
                "entry", f'exclusions needs tag_mutability = "{self.tag_mutability}_WITH_EXCLUSION"'
            )
        if not self.exclusions and "EXCLUSION" in self.tag_mutability:
            raise PydanticCustomError("entry", f"tag_mutability = {json.dumps(self.tag_mutability)} needs exclusions")
        return self


class EcrDestination(_OfRegistry):
    """A private registry of Amazon ECR."""

    kind: Literal["ecr"]
    profile: str = ""
    """Of the AWS configuration; empty: boto3's own chain, AWS_PROFILE included."""
    role_arn: str = ""
    """A role that is assumed with what the chain gives."""
    external_id: str = ""
    repository_creation: Literal["explicit", "on-push", "never"] = "explicit"
    repository: EcrRepository = EcrRepository()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.registry == ECR_PUBLIC:
            raise PydanticCustomError(
                "entry", "public.ecr.aws is Amazon's public registry: a mirror goes to a private one of your account"
            )
        if EcrHost.parse(self.registry) is None:
            raise PydanticCustomError(
                "entry", "registry is no host of ECR: expected as 123456789012.dkr.ecr.eu-west-1.amazonaws.com"
            )
        if self.external_id and not self.role_arn:
            raise PydanticCustomError("entry", "external_id needs role_arn")
        return self


class HarborProject(_Table):
    """How Harbor's project is made, if it is to be made."""

    public: bool = False
    storage_quota: Annotated[int, Field(ge=-1), Number] = -1
    """Bytes; -1: no limit."""
    auto_scan: bool = False


class HarborDestination(_OfRegistry):
    """A Harbor: the first part of *prefix* is the project."""

    kind: Literal["harbor"]
    create_project: bool = False
    project: HarborProject = HarborProject()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if not self.prefix:
            raise PydanticCustomError("entry", "prefix is missing: its first part is the project, as linkerd")
        if self.project != HarborProject() and not self.create_project:
            raise PydanticCustomError("entry", "project is how a project is made: it needs create_project = true")
        return self


class LayoutDestination(_Table):
    """An OCI image layout on disk."""

    kind: Literal["layout"]
    directory: Path
    paths: Literal["flat", "upstream"] = "flat"
    charts: bool = True
    """As for a registry."""
    pull_registry: str = ""
    """HOST[/PREFIX] that the cluster pulls by; without it there are no overrides."""

    _check_pull_registry = field_validator("pull_registry")(staticmethod(_pull_registry))


Destination = Annotated[
    RegistryDestination | EcrDestination | HarborDestination | LayoutDestination, Field(discriminator="kind")
]


class PolicyIdentity(_Table):
    """Who signs the images that *images* matches: an identity that an issuer vouches for, or a key."""

    images: Text
    issuer: str = ""
    identity: str = ""
    """`{tag}` in it stands for the image's tag."""
    key: OptionalPath = None
    """A public key (PEM), as cosign.pub."""
    transparency_log: bool = False
    """With a key: its signatures must be in the transparency log too."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if (self.key is None) == (not self.issuer and not self.identity):
            raise PydanticCustomError("entry", "expected either issuer and identity, or key")
        if self.transparency_log and self.key is None:
            raise PydanticCustomError("entry", "transparency_log is for keys: an identity always needs the log")
        try:
            Identity(self.images, Keyless(self.issuer, self.identity) if self.key is None else Keyed(b"a key"))
        except SettingsError as exc:
            raise PydanticCustomError("entry", "{reason}", {"reason": str(exc)}) from exc
        return self

    def signer(self) -> Identity:
        """This, its key read from the file; raises SettingsError."""
        if self.key is None:
            return Identity(self.images, Keyless(self.issuer, self.identity))
        try:
            return Identity(self.images, Keyed(self.key.read_bytes(), transparency_log=self.transparency_log))
        except OSError as exc:
            raise SettingsError(f"policy.identities: the key {self.key} cannot be read: {exc.strerror}") from exc


class Policy(_Table):
    """What is let in."""

    signatures: Literal["require", "warn", "off"] = "require"
    trusted_root: OptionalPath = None
    """A Sigstore trusted_root.json; None: the public instance's, by TUF."""
    third_party_images: tuple[Text, ...] = ()
    """Patterns of images that nobody signs, beside the built-in ones: pinned to the digest that is recorded first."""
    identities: tuple[PolicyIdentity, ...] = ()
    """Before the built-in ones; the first that matches counts."""
    moved_tags: Literal["refuse", "follow"] = "refuse"
    referrers: Literal["require", "best-effort", "off"] = "best-effort"
    accept: Accepted = Field(default_factory=dict)
    """What a human has settled: the digest that a reference is brought to."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.referrers == "off" and self.signatures != "off":
            raise PydanticCustomError(
                "entry",
                'referrers = "off" leaves signatures behind, so nobody could verify the mirror by them: '
                'it needs signatures = "off"',
            )
        return self


class Record(_Table):
    """The records that mirrors keep: signed, so that whoever can push there cannot write one."""

    sign_key_file: OptionalPath = None
    """A private key (ECDSA, PEM, not encrypted) that records are signed with."""
    verify_key_file: OptionalPath = None
    """Its public half: a record that is not signed with it is refused."""


class ConfigMaps(_Table):
    """The Helm values as ConfigMaps, where Flux and Argo CD read them; kept by `mirror serve` and by `mirror sync`."""

    enabled: bool = False
    namespace: Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")] = ""
    """Empty: that of the pod."""
    prefix: Annotated[
        str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=100)
    ] = "linkerd-mirror"
    """They are called PREFIX-DESTINATION-RELEASE, and PREFIX-DESTINATION-CHANNEL."""
    service_account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """Where the pod finds its token, its namespace, and the authority of the API server."""


class Overrides(_Table):
    """The Helm values that are written."""

    directory: OptionalPath = Path("overrides")
    """Files land at DIRECTORY/DESTINATION/RELEASE/CHART.yaml; empty: nowhere."""
    pin: Literal["digest", "tag"] = "digest"
    image_pull_secrets: tuple[Text, ...] = ()
    values: Mapping[str, tuple[Path, ...]] = Field(default_factory=dict)
    """By chart: the operator's own values files, which the proof renders with."""
    config_maps: ConfigMaps = ConfigMaps()


class Retention(_Table):
    """What `mirror prune` keeps; without `keep` and `keep_for` it deletes nothing."""

    keep: Mapping[str, Annotated[int, Field(ge=1), Number]] = Field(default_factory=dict)
    """By channel, how many of its newest releases."""
    keep_for: Duration = timedelta()
    """What was recorded no longer ago; 0s: age does not count."""
    always: tuple[Text, ...] = ()
    """Releases that stay, as `releases` names them."""
    keep_paths_from: tuple[Text, ...] = ()
    """Releases that run somewhere: they stay, and what lies on the upgrade path from them to what is asked for."""


_YEAR = timedelta(days=366)
_LISTEN = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")


class Schedule(_Table):
    """When `mirror serve` works."""

    every: Duration = timedelta(hours=6)
    cron: str = ""
    """In its place: the five fields of crontab(5)."""
    timezone: str = "UTC"
    """Of cron."""
    jitter: Duration = timedelta(minutes=5)
    """A run begins this much later at most, and no later than by a tenth of *every*."""
    retry_after_failure: Duration = timedelta(minutes=5)
    """After a run that failed, then twice as long; not after one that was refused. 0s: the next regular one."""
    deep_verify: Duration = timedelta(hours=168)
    """How often every byte in the mirrors is read and hashed; 0s: never."""
    stuck_after: Duration = timedelta(minutes=30)
    """A run in which nothing moved for so long is stuck: /livez says so."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.cron and "every" in self.model_fields_set:
            raise PydanticCustomError("entry", "every and cron are both set: give one of them")
        if not self.cron and self.every < timedelta(seconds=1):
            raise PydanticCustomError("entry", "every must be a second or more")
        if not self.stuck_after:
            raise PydanticCustomError("entry", "stuck_after must be longer than nothing")
        for key in ("every", "jitter", "retry_after_failure", "deep_verify", "stuck_after"):
            if getattr(self, key) > _YEAR:
                raise PydanticCustomError("entry", "{key} must be a year (8784h) or less", {"key": key})
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            reason = f"timezone: there is no {json.dumps(self.timezone)}; expected a name such as Europe/Berlin"
            raise PydanticCustomError("entry", "{reason}", {"reason": reason}) from exc
        if self.cron:
            from mirror.schedule import cron  # late: only a service has a scheduler

            try:
                cron(self.cron, self.timezone)
            except ValueError as exc:
                raise PydanticCustomError("entry", "{reason}", {"reason": f"cron: {exc}"}) from exc
        return self


class Server(_Table):
    """Where `mirror serve` answers."""

    listen: str = "127.0.0.1:8080"
    """HOST:PORT; 0.0.0.0 or [::] for every address of the machine."""

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, listen: str) -> str:
        matched = _LISTEN.fullmatch(listen)
        if matched is None or int(matched["port"]) > 65535:
            raise ValueError("expected HOST:PORT, as 127.0.0.1:8080 or [::]:8080")
        return listen

    @property
    def address(self) -> tuple[str, int]:
        """Host, without brackets, and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class Settings(BaseSettings):
    """Everything that is configured; the defaults are a configuration of their own."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", validate_default=False, hide_input_in_errors=True, case_sensitive=True
    )

    releases: tuple[Text, ...] = ("edge",)
    """What `sync` without an argument brings in step: releases, channels, `edge:3`, versions."""
    charts: Names = "all"
    platforms: Platforms = "all"
    exclude: tuple[Text, ...] = ()
    """Releases that a channel never takes."""
    min_age: Duration = timedelta()
    """A channel takes a release only when it is this old."""
    versions_url: Url = VERSIONS_URL
    """Where linkerd.io says which edge release a version of the project is."""
    channels: Mapping[str, Channel] = Field(
        default_factory=dict, validate_default=True, json_schema_extra={"propertyNames": {"pattern": f"^{CHANNEL}$"}}
    )
    registries: Mapping[str, Registry] = Field(default_factory=dict, validate_default=True)
    destinations: Mapping[str, Destination] = Field(default_factory=dict)
    policy: Policy = Policy()
    record: Record = Record()
    overrides: Overrides = Overrides()
    retention: Retention = Retention()
    schedule: Schedule = Schedule()
    server: Server = Server()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        *_: object,
        **__: object,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is handed over and nothing else: the environment of the process is not looked at here.

        `load` hands over layers of its own (mirror.settings.layers).
        """
        return (init_settings,)

    @field_validator("channels", mode="before")
    @classmethod
    def _add_channels(cls, value: object) -> object:
        return {**CHANNELS, **value} if isinstance(value, Mapping) else value

    @field_validator("registries", mode="before")
    @classmethod
    def _add_registries(cls, value: object) -> object:
        """The built-in entries, below the operator's; a built-in alias gives way to an entry that has other keys."""
        if not isinstance(value, Mapping):
            return value
        merged: dict[str, object] = dict(REGISTRIES) | dict(value)
        own = value.get("docker.io")
        if isinstance(own, Mapping) and not own.get("alias"):
            merged["docker.io"] = REGISTRIES["docker.io"] | dict(own)
        return merged

    @field_validator("registries")
    @classmethod
    def _check_registries(cls, registries: Mapping[str, Registry]) -> Mapping[str, Registry]:
        aliases = {name: registry.alias for name, registry in registries.items() if registry.alias}
        for name, registry in registries.items():
            try:
                _host_or_prefix(name) if registry.alias else _host(name)
                resolve_alias(f"{name}/x", aliases)
            except ValueError as exc:
                raise PydanticCustomError("entry", f"{json.dumps(name)}: {exc}") from exc
        return registries

    @field_validator("channels")
    @classmethod
    def _check_channels(cls, channels: Mapping[str, Channel]) -> Mapping[str, Channel]:
        # Its releases are called CHANNEL-VERSION.
        if bad := next((name for name in channels if not re.fullmatch(CHANNEL, name)), None):
            raise PydanticCustomError(
                "entry",
                f"{json.dumps(bad)} is not a channel's name: expected 1 to 32 lower-case letters and digits, as edge",
            )
        return channels

    @field_validator("destinations")
    @classmethod
    def _check_names(cls, entries: Mapping[str, object]) -> Mapping[str, object]:
        # They become folders (DIRECTORY/DESTINATION/RELEASE) and words of the command line.
        if bad := next((name for name in entries if not _NAME.fullmatch(name)), None):
            raise PydanticCustomError("entry", f"{json.dumps(bad)} is not a name: letters, digits, . _ and - make one")
        return entries

    @field_validator("retention")
    @classmethod
    def _check_retention(cls, retention: Retention, info: ValidationInfo) -> Retention:
        """A rule is for a channel that there is: a misspelt one would keep nothing."""
        channels = info.data.get("channels", {})
        if unknown := sorted(set(retention.keep) - set(channels)):
            known = " and ".join(sorted(channels))
            raise PydanticCustomError("entry", f"keep: there is no channel {json.dumps(unknown[0])}: there is {known}")
        return retention

    @field_validator("overrides")
    @classmethod
    def _check_config_maps(cls, overrides: Overrides, info: ValidationInfo) -> Overrides:
        """No two destinations have one ConfigMap: names there are of fewer letters than ours."""
        wanted, names = overrides.config_maps, dict[str, str]()
        for destination in info.data.get("destinations", {}) if wanted.enabled else ():
            name = config_map_name(wanted.prefix, destination, "RELEASE")
            first = names.setdefault(name, destination)
            if first != destination:
                raise PydanticCustomError(
                    "entry",
                    f"config_maps would call those of {first} and of {destination} alike, "
                    f"{name.removesuffix('release')}RELEASE: rename one of the destinations",
                )
        return overrides

    @field_validator("destinations")
    @classmethod
    def _check_ways_to_aws(cls, destinations: Mapping[str, Destination]) -> Mapping[str, Destination]:
        """A registry has one password, so that whoever has several destinations in one asks AWS for it in one way."""
        ways: dict[str, tuple[str, tuple[str, ...]]] = {}
        for name, one in destinations.items():
            if isinstance(one, EcrDestination):
                first, way = ways.setdefault(one.registry, (name, (one.profile, one.role_arn, one.external_id)))
                if way != (one.profile, one.role_arn, one.external_id):
                    raise PydanticCustomError(
                        "entry",
                        f"{first} and {name} are both in {one.registry}, so they need the same profile, role_arn and "
                        "external_id: one registry has one credential",
                    )
        return destinations

    @model_validator(mode="after")
    def _check_selectors(self) -> Self:
        """What names releases can be resolved: a misspelt one would fail every run, or never match."""
        selector = partial(parse_selector, channels=self.channels)
        places: tuple[tuple[tuple[str, ...], tuple[str, ...], Callable[[str], object]], ...] = (
            (("releases",), self.releases, selector),
            (("exclude",), self.exclude, Release.parse),
            (("retention", "always"), self.retention.always, selector),
            (("retention", "keep_paths_from"), self.retention.keep_paths_from, selector),
        )
        problems = list[InitErrorDetails]()
        for path, text, parse in ((path, text, parse) for path, texts, parse in places for text in texts):
            try:
                parse(text)
            except UsageError as exc:
                reason = PydanticCustomError("entry", "{reason}", {"reason": str(exc)})
                problems.append(InitErrorDetails(type=reason, loc=path, input=text))
        if problems:
            raise ValidationError.from_exception_data(type(self).__name__, problems)
        return self

    def resolve(self, repository: Repository) -> Repository:
        """*repository* where it really is: aliases applied, the longest match first, until none matches."""
        return Repository.parse(resolve_alias(str(repository), self._aliases))

    def registry(self, host: str) -> Registry:
        """What is configured for *host* (after aliases), its endpoint filled in."""
        registry = self.registries.get(host, Registry())
        return registry if registry.endpoint else registry.model_copy(update={"endpoint": f"https://{host}"})

    @property
    def _aliases(self) -> Mapping[str, str]:
        return {name: registry.alias for name, registry in self.registries.items() if registry.alias}


def resolve_alias(name: str, aliases: Mapping[str, str]) -> str:
    """`HOST/PATH` after *aliases*, keyed by `HOST` or `HOST/PREFIX`; raises ValueError for a loop."""
    resolved = name
    for _ in range(_ALIASES_MAX):
        prefix = max((key for key in aliases if f"{resolved}/".startswith(f"{key}/")), key=len, default=None)
        if prefix is None:
            return resolved
        resolved = aliases[prefix] + resolved[len(prefix) :]
    raise ValueError("the aliases form a loop")


def schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}
