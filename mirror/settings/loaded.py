"""Loading: the file that is given or found, under the environment; what holds, and what set it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mirror.errors import SettingsError
from mirror.settings.environment import overlaid
from mirror.settings.layers import Layer, merged, source_of, sources_of
from mirror.settings.models import Settings
from mirror.settings.problems import quoted_host, sentences
from mirror.settings.tree import KeyPath, leaves, spell

SEARCHED = (Path("mirror.toml"), Path("/etc/mirror/config.toml"))


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
            Effective(spell(path), value, source_of(path, self.sources) or "default")
            for path, value in leaves(self.settings.model_dump(mode="json"))
            if value is not None and not self._is_moot(path)
        )

    def _is_moot(self, path: KeyPath) -> bool:
        """Whether *path* is a key beside an alias, which stands alone."""
        registry = self.settings.registries.get(path[1]) if path[0] == "registries" else None
        return registry is not None and bool(registry.alias) != (path[-1] == "alias")


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """The settings of the file at *path*, else of the one that is found, under what *environ* overrides.

    Raises SettingsError with one line for each problem.
    """
    file = _find(path, environ)
    below = [_layer(file)] if file else []
    layers, warnings = overlaid(below, environ)
    sources = sources_of(layers)
    try:
        settings = merged(layers)
    except ValidationError as exc:
        raise SettingsError("\n".join(sentences(exc, sources, file))) from None
    return Loaded(settings, file, tuple(warnings), sources)


def _find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path
    if named := environ.get("MIRROR_CONFIG"):
        return Path(named)
    return next((candidate for candidate in SEARCHED if candidate.is_file()), None)


def _read(file: Path) -> dict[str, Any]:
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text)
    except FileNotFoundError as exc:
        raise SettingsError(f"there is no configuration file {file}") from exc
    except OSError as exc:
        raise SettingsError(f"the configuration file {file} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{file}: the file is not UTF-8 text") from exc
    except tomllib.TOMLDecodeError as exc:
        reason, _, place = str(exc).rpartition(" (at ")
        line = re.match(r"line (\d+)", place)
        where = f"{file}, {line[0]}" if line else f"{file}, at its end"
        host = (
            re.match(r"\s*\[registries\.([^\s\"'\]]+:[0-9]+)\]", text.split("\n")[int(line[1]) - 1]) if line else None
        )
        hint = f": {quoted_host(host[1])}" if host else ""
        raise SettingsError(f"{where}: this is not TOML: {reason or exc}{hint}") from exc


def _layer(file: Path) -> Layer:
    values = _read(file)
    for path, _ in leaves(values):
        if path[0] == "registries" and path[-1] == "password":
            raise SettingsError(
                f"{file}: {spell(path)} must not be in the file: use password_file, "
                f"or MIRROR_REGISTRIES='{{{json.dumps(path[1])}: {{\"password\": …}}}}' in the environment"
            )
    return Layer(str(file), values)
