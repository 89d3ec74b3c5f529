"""Settings: one TOML file, what the environment overrides, and where each value came from.

    --config ─┐                                   MIRROR_SECTION__KEY
    MIRROR_CONFIG ─► ./mirror.toml ─► /etc/mirror/config.toml ─► merged ─► Settings (frozen)

Rules: an unknown key in the file is an error that names the nearest known one; an unknown MIRROR_* variable is a
warning, because Kubernetes sets such for a Service named mirror. A password is never in the file: `password_file`, or
the environment. Every problem is one sentence: source, key, value, what is allowed. Relative paths are relative to
the working directory. A key is here only if something reads it.

Vocabulary: a *path* is the way to a key (`("policy", "accept")`), a *source* is the file or the variable that set it.
pydantic stays inside of this module.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from mirror.durations import format_duration, parse_duration
from mirror.errors import BadReference, SettingsError
from mirror.oci.content import Digest, Platform
from mirror.oci.reference import Reference, Repository

SEARCHED = (Path("mirror.toml"), Path("/etc/mirror/config.toml"))
PREFIX = "MIRROR_"
_ELSEWHERE = frozenset({"MIRROR_CONFIG", "MIRROR_LOG_FORMAT", "MIRROR_LOG_LEVEL"})
"""Variables of ours that set no key: they are read here, or by the command line."""
_INJECTED = re.compile(r"MIRROR_(SERVICE_(HOST|PORT(_.+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_.+)?)?)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ALIASES_MAX = 8  # applied one after the other; more is a loop

KeyPath = tuple[str, ...]


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise ValueError('expected a duration such as "6h"')  # noqa: TRY004  pydantic collects ValueErrors
    return parse_duration(value)


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


def _optional_path(value: object) -> object:
    return None if value == "" else value


def _path_text(value: Path | None) -> str:
    return "" if value is None else str(value)


Names = Annotated[
    tuple[str, ...] | Literal["all"],
    PlainValidator(_names),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Platforms = Annotated[
    tuple[Platform, ...] | Literal["all"],
    PlainValidator(_platforms),
    PlainSerializer(lambda value: value if value == "all" else [str(platform) for platform in value]),
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
Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, hide_input_in_errors=True)


class Channel(_Table):
    """A line of releases, and the chart repository that lists them."""

    chart_repository: Url


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
    max_connections: Annotated[int, Field(ge=1, le=256)] = 16

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


class RegistryDestination(_Table):
    """A registry that is written to."""

    kind: Literal["registry"]
    registry: str
    prefix: str = ""
    paths: Literal["flat", "upstream"] = "flat"
    pull_registry: str = ""
    """HOST[/PREFIX] that the cluster pulls by, in place of REGISTRY/PREFIX."""

    _check_registry = field_validator("registry")(staticmethod(_host))
    _check_prefix = field_validator("prefix")(staticmethod(_prefix))
    _check_pull_registry = field_validator("pull_registry")(staticmethod(_pull_registry))


class LayoutDestination(_Table):
    """An OCI image layout on disk."""

    kind: Literal["layout"]
    directory: Path
    paths: Literal["flat", "upstream"] = "flat"
    pull_registry: str = ""
    """HOST[/PREFIX] that the cluster pulls by; without it there are no overrides."""

    _check_pull_registry = field_validator("pull_registry")(staticmethod(_pull_registry))


Destination = Annotated[RegistryDestination | LayoutDestination, Field(discriminator="kind")]


class Policy(_Table):
    """What is let in."""

    signatures: Literal["off"] = "off"
    moved_tags: Literal["refuse", "follow"] = "refuse"
    referrers: Literal["require", "best-effort", "off"] = "best-effort"
    accept: Accepted = Field(default_factory=dict)
    """What a human has settled: the digest that a reference is brought to."""


class Overrides(_Table):
    """The Helm values that are written."""

    directory: Path = Path("overrides")
    pin: Literal["digest", "tag"] = "digest"
    image_pull_secrets: tuple[Text, ...] = ()
    values: Mapping[str, tuple[Path, ...]] = Field(default_factory=dict)
    """By chart: the operator's own values files, which the proof renders with."""


_CHANNELS = {
    "edge": {"chart_repository": "https://helm.linkerd.io/edge"},
    "stable": {"chart_repository": "https://helm.linkerd.io/stable"},
}
_REGISTRIES = {
    "cr.l5d.io": {"alias": "ghcr.io"},
    "gcr.io/google_containers": {"alias": "registry.k8s.io"},  # gcr.io fails for it since February 2026
    "docker.io": {"endpoint": "https://registry-1.docker.io"},
}


class Settings(_Table):
    """Everything that is configured; the defaults are a configuration of their own."""

    releases: tuple[Text, ...] = ("edge",)
    """What `sync` without an argument brings in step: releases, channels, `edge:3`, versions."""
    charts: Names = "all"
    platforms: Platforms = "all"
    exclude: tuple[Text, ...] = ()
    """Releases that a channel never takes."""
    min_age: Duration = timedelta()
    """A channel takes a release only when it is this old."""
    channels: Mapping[str, Channel] = Field(default_factory=dict, validate_default=True)
    registries: Mapping[str, Registry] = Field(default_factory=dict, validate_default=True)
    destinations: Mapping[str, Destination] = Field(default_factory=dict)
    policy: Policy = Policy()
    overrides: Overrides = Overrides()

    @field_validator("channels", mode="before")
    @classmethod
    def _add_channels(cls, value: object) -> object:
        return {**_CHANNELS, **value} if isinstance(value, Mapping) else value

    @field_validator("registries", mode="before")
    @classmethod
    def _add_registries(cls, value: object) -> object:
        """The built-in entries, below the operator's; a built-in alias gives way to an entry that has other keys."""
        if not isinstance(value, Mapping):
            return value
        merged: dict[str, object] = dict(_REGISTRIES) | dict(value)
        own = value.get("docker.io")
        if isinstance(own, Mapping) and not own.get("alias"):
            merged["docker.io"] = _REGISTRIES["docker.io"] | dict(own)
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

    @field_validator("channels", "destinations")
    @classmethod
    def _check_names(cls, entries: Mapping[str, object]) -> Mapping[str, object]:
        # They become folders (DIRECTORY/DESTINATION/RELEASE) and words of the command line.
        if bad := next((name for name in entries if not _NAME.fullmatch(name)), None):
            raise PydanticCustomError("entry", f"{json.dumps(bad)} is not a name: letters, digits, . _ and - make one")
        return entries

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


@dataclass(frozen=True, slots=True)
class Effective:
    """One key as it holds: its dotted *key*, its JSON-able *value* with secrets hidden, and the *source* of it."""

    key: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, the file they came from (None: there is none), what deserves a warning, and each value's source."""

    settings: Settings
    path: Path | None
    warnings: tuple[str, ...]
    sources: Mapping[KeyPath, str]

    def describe(self) -> tuple[Effective, ...]:
        """Every key with its value and source; `default` is the source of what nothing set."""
        return tuple(
            Effective(spell(path), value, _source(path, self.sources) or "default")
            for path, value in _leaves(self.settings.model_dump(mode="json"))
            if value is not None and not self._is_moot(path)
        )

    def _is_moot(self, path: KeyPath) -> bool:
        """Whether *path* is a key beside an alias, which stands alone."""
        registry = self.settings.registries.get(path[1]) if path[0] == "registries" else None
        return registry is not None and bool(registry.alias) != (path[-1] == "alias")


def schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """The settings of the file at *path*, else of the one that is found, under what *environ* overrides.

    Raises SettingsError with one line for each problem.
    """
    file = _find(path, environ)
    data = _read(file) if file else {}
    sources = {leaf: str(file) for leaf, _ in _leaves(data)}
    _refuse_passwords(data, file)
    warnings = _override(data, sources, environ)
    try:
        settings = Settings.model_validate(data)
    except ValidationError as exc:
        problems = [_sentence(error, sources, file) for error in exc.errors(include_url=False)]
        raise SettingsError("\n".join(dict.fromkeys(problems))) from None
    return Loaded(settings, file, tuple(warnings), sources)


def spell(path: Iterable[str]) -> str:
    """*path* as TOML spells a dotted key."""
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part) for part in path)


def _find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path
    if named := environ.get("MIRROR_CONFIG"):
        return Path(named)
    return next((candidate for candidate in SEARCHED if candidate.is_file()), None)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise SettingsError(f"there is no configuration file {file}") from exc
    except OSError as exc:
        raise SettingsError(f"the configuration file {file} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{file}: the file is not UTF-8 text") from exc
    except tomllib.TOMLDecodeError as exc:
        reason, _, place = str(exc).rpartition(" (at ")
        line = re.match(r"line \d+", place)
        where = f"{file}, {line[0]}" if line else f"{file}, at its end"
        raise SettingsError(f"{where}: this is not TOML: {reason or exc}") from exc


def _refuse_passwords(data: Mapping[str, Any], file: Path | None) -> None:
    for path, _ in _leaves(data):
        if path[0] == "registries" and path[-1] == "password":
            raise SettingsError(
                f"{file}: {spell(path)} must not be in the file: use password_file, "
                f"or MIRROR_REGISTRIES='{{{json.dumps(path[1])}: {{\"password\": …}}}}' in the environment"
            )


def _leaves(data: Mapping[str, Any], above: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in data.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


def _source(path: KeyPath, sources: Mapping[KeyPath, str]) -> str | None:
    """What set *path*, or the table that it is in, or any key below it."""
    for length in range(len(path), 0, -1):
        if source := sources.get(path[:length]):
            return source
    return next((source for below, source in sources.items() if below[: len(path)] == path), None)


# The environment


def _override(data: dict[str, Any], sources: dict[KeyPath, str], environ: Mapping[str, str]) -> list[str]:
    """Merges the variables into *data* and *sources*, whole tables before keys; the warnings."""
    warnings = []
    ours = (name for name in environ if name.startswith(PREFIX) and name not in _ELSEWHERE)
    for name in sorted(ours, key=lambda name: (name.count("__"), name)):
        target = _target(name, data)
        if target is None:
            warnings.append(_unknown_variable(name))
            continue
        path, annotation = target
        value = _decode(name, environ[name], annotation)
        _merge(data, path, value)
        if isinstance(value, Mapping):
            sources |= {path + below: name for below, _ in _leaves(value)}
        else:
            sources[path] = name
    return warnings


def _target(name: str, data: Mapping[str, Any]) -> tuple[KeyPath, Any] | None:
    """The path that the variable *name* sets, and the annotation there; None if there is no such key."""
    path: KeyPath = ()
    annotation: Any = Settings
    for segment in name.removeprefix(PREFIX).split("__"):
        if (entry := _entry(annotation)) is not None:
            key = _matching(segment, path, data)
            annotation = entry
        else:
            key = segment.lower()
            annotation = _fields(annotation).get(key)
        if key is None or annotation is None:
            return None
        path = (*path, key)
    return path, annotation


def _matching(segment: str, path: KeyPath, data: Mapping[str, Any]) -> str | None:
    """The key of the table at *path* that *segment* means: upper case, with _ for what a variable cannot hold."""
    table: Any = data
    for key in path:
        table = table.get(key, {}) if isinstance(table, Mapping) else {}
    built_in: Mapping[str, Mapping[str, Any]] = {"channels": _CHANNELS, "registries": _REGISTRIES}
    known = [*(table if isinstance(table, Mapping) else ()), *built_in.get(".".join(path), {})]
    for key in known:
        if re.sub(r"[^A-Z0-9]", "_", str(key).upper()) == segment.upper():
            return str(key)
    return segment.lower() if path in {("channels",), ("destinations",)} else None


def _decode(name: str, text: str, annotation: Any) -> Any:
    is_table = _entry(annotation) is not None or bool(_fields(annotation))
    is_list = any(get_origin(part) is tuple for part in _parts(annotation))
    if is_table or (is_list and text.lstrip().startswith("[")):
        try:
            value = json.loads(text)
        except ValueError as exc:
            raise SettingsError(f"{name}: this is not JSON: {exc}") from None
        if is_table and not isinstance(value, dict):
            raise SettingsError(f"{name}: expected a JSON object")
        return value
    if is_list and text != "all":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _merge(data: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Sets *path* in *data*; a table is merged with the one that is there."""
    for key in path[:-1]:
        below = data.setdefault(key, {})
        if not isinstance(below, dict):  # wrong in the file: validation says so
            return
        data = below
    if isinstance(value, dict) and isinstance(data.get(path[-1]), dict):
        for key, inner in value.items():
            _merge(data[path[-1]], (key,), inner)
    else:
        data[path[-1]] = value


def _unknown_variable(name: str) -> str:
    if _INJECTED.fullmatch(name):
        return f"{name} is ignored: Kubernetes sets it for a Service named mirror"
    known = [PREFIX + "__".join(path).upper() for path in _known_paths(Settings) if not _fields(_at(path))]
    near = difflib.get_close_matches(name, known, n=1)
    return f"{name} is ignored: it sets no key" + (f"; did you mean {near[0]}?" if near else "")


# The models as a tree: what annotations say


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation itself; what is annotated, without its annotations."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    is_union = get_origin(annotation) is Union or type(annotation).__name__ == "UnionType"
    return get_args(annotation) if is_union else (annotation,)


def _fields(annotation: Any) -> dict[str, Any]:
    """Key to annotation, of every model in *annotation*."""
    models = [part for part in _parts(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    return {key: field.annotation for model in models for key, field in model.model_fields.items()}


def _entry(annotation: Any) -> Any:
    """The annotation of the entries, if *annotation* is of a table with free keys."""
    return next((get_args(part)[1] for part in _parts(annotation) if get_origin(part) is Mapping), None)


def _at(path: KeyPath) -> Any:
    annotation: Any = Settings
    for key in path:
        entry = _entry(annotation)
        annotation = entry if entry is not None else _fields(annotation).get(key)
    return annotation


def _known_paths(annotation: Any, above: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key, tables with free keys not entered."""
    for key, inner in _fields(annotation).items():
        yield (*above, key)
        yield from _known_paths(inner, (*above, key))


# Problems, each in one sentence

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "a string",
    "string_too_short": "a string that is not empty",
    "path_type": "a path",
    "tuple_type": "a list",
    "mapping_type": "a table",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_LATER = {
    ("kind", "ecr"): "Amazon ECR gets its own kind in a later version; for now use registry or layout",
    ("kind", "harbor"): "Harbor gets its own kind in a later version; for now use registry or layout",
    ("signatures", "require"): 'signatures are not checked yet; until a version that does, only "off" is allowed',
    ("signatures", "warn"): 'signatures are not checked yet; until a version that does, only "off" is allowed',
}


def _sentence(error: Mapping[str, Any], sources: Mapping[KeyPath, str], file: Path | None) -> str:
    location = [str(part) for part in error["loc"]]
    tag = location.pop(2) if location[:1] == ["destinations"] and len(location) > 2 else ""
    if error["type"].startswith("union_tag"):
        location.append("kind")
    path = tuple(location)
    source = _source(path, sources) or (str(file) if file else "the configuration")
    return f"{source}: {_problem(error, path, tag)}"


def _problem(error: Mapping[str, Any], path: KeyPath, tag: str) -> str:
    kind, key, context = error["type"], spell(path), error.get("ctx", {})
    value = context.get("tag") if kind == "union_tag_invalid" else error["input"]
    later = _LATER.get((path[-1], value)) if isinstance(value, str) else None
    match kind:
        case "extra_forbidden":
            return _unknown_key(path, tag)
        case "missing":
            return f"{key} is missing"
        case "union_tag_not_found":
            return f'{key} is missing: expected "registry" or "layout"'
        case "entry":
            return f"{key}: {error['msg']}"
        case _ if later:
            return f"{key} is {_shown(path, value)}: {later}"
        case "union_tag_invalid":
            return f'{key} is {_shown(path, value)}: expected "registry" or "layout"'
        case "literal_error":
            return f"{key} is {_shown(path, value)}: expected {context['expected'].replace(chr(39), chr(34))}"
        case "greater_than_equal":
            return f"{key} is {_shown(path, value)}: expected at least {context['ge']}"
        case "less_than_equal":
            return f"{key} is {_shown(path, value)}: expected at most {context['le']}"
        case "value_error" if isinstance(value, Mapping):
            return f"{key}: {context['error']}"
        case "value_error":
            return f"{key} is {_shown(path, value)}: {context['error']}"
    return f"{key} is {_shown(path, value)}: expected {_EXPECTED.get(kind) or error['msg'].lower()}"


def _shown(path: KeyPath, value: Any) -> str:
    """*value*, short, and without what may be secret."""
    if "password" in path:
        return "(hidden)"
    if isinstance(value, Mapping):
        return "a table"
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = re.sub(r"://[^/@\s\"]*@", "://***@", text)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _unknown_key(path: KeyPath, tag: str) -> str:
    key, above = path[-1], path[:-1]
    fields = _fields(_at(above))
    if tag and key in fields:
        return f'{spell(path)} is not a key of a destination of kind "{tag}"'
    if near := difflib.get_close_matches(key, fields, n=1):
        return f"unknown key {spell(path)}; did you mean {spell((*above, near[0]))}?"
    elsewhere = {known[-1]: known for known in _known_paths(Settings)}
    if near := difflib.get_close_matches(key, elsewhere, n=1):
        return f"unknown key {spell(path)}; did you mean {spell(elsewhere[near[0]])}?"
    known = ", ".join(fields)
    return f"unknown key {spell(path)}; known {'here' if above else 'at the top'}: {known}"
