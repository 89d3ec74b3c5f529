"""The environment's layers: MIRROR_SECTION__KEY, one variable a layer.

A list is written with commas or as JSON, a table as JSON. A key that the operator has chosen, such as a host, is
written in upper case with `_` for whatever a variable cannot hold, and found among the keys that are there.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_origin

from mirror.errors import SettingsError
from mirror.settings.layers import Layer
from mirror.settings.models import CHANNELS, REGISTRIES, Settings
from mirror.settings.tree import KeyPath, annotation_at, entry_of, keys_of, known_paths, members

PREFIX = "MIRROR_"
_ELSEWHERE = frozenset({"MIRROR_CONFIG", "MIRROR_LOG_FORMAT", "MIRROR_LOG_LEVEL"})
"""Variables of ours that set no key: they are read by `load`, or by the command line."""
_INJECTED = re.compile(r"MIRROR_(SERVICE_(HOST|PORT(_.+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_.+)?)?)")


def overlaid(below: Sequence[Layer], environ: Mapping[str, str]) -> tuple[list[Layer], list[str]]:
    """*below* and above it a layer for each variable that sets a key; a warning for each that sets none.

    Whole tables come first, and single keys above them. Raises SettingsError for what is not JSON and should be.
    """
    layers, warnings = list(below), []
    ours = (name for name in environ if name.startswith(PREFIX) and name not in _ELSEWHERE)
    for name in sorted(ours, key=lambda name: (name.count("__"), name)):
        target = _target(name, layers)
        if target is None:
            warnings.append(_unknown_variable(name))
            continue
        path, annotation = target
        value = _decode(name, environ[name], annotation)
        # What is no table below is wrong and stays, so that validation says so; an empty table sets nothing.
        if value != {} and all(isinstance(_held(path[:length], layers), Mapping) for length in range(1, len(path))):
            layers.append(Layer(name, _nested(path, value)))
    return layers, warnings


def _held(path: KeyPath, layers: Sequence[Layer]) -> Any:
    """What is at *path* in the uppermost layer that has it; an empty table if none has."""
    return next((value for layer in reversed(layers) if (value := layer.at(path)) is not None), {})


def _nested(path: KeyPath, value: Any) -> dict[str, Any]:
    inner = value if len(path) == 1 else _nested(path[1:], value)
    return {path[0]: inner}


def _target(name: str, layers: Sequence[Layer]) -> tuple[KeyPath, Any] | None:
    """The path that the variable *name* sets, and the annotation there; None if there is no such key."""
    path: KeyPath = ()
    annotation: Any = Settings
    for segment in name.removeprefix(PREFIX).split("__"):
        if (entry := entry_of(annotation)) is not None:
            key = _matching(segment, path, layers)
            annotation = entry
        else:
            key = segment.lower()
            annotation = keys_of(annotation).get(key)
        if key is None or annotation is None:
            return None
        path = (*path, key)
    return path, annotation


def _matching(segment: str, path: KeyPath, layers: Sequence[Layer]) -> str | None:
    """The key of the table at *path* that *segment* means: upper case, with _ for what a variable cannot hold."""
    built_in: Mapping[KeyPath, Mapping[str, Any]] = {("channels",): CHANNELS, ("registries",): REGISTRIES}
    tables = [*(layer.at(path) for layer in layers), built_in.get(path)]
    for key in (str(key) for table in tables if isinstance(table, Mapping) for key in table):
        if re.sub(r"[^A-Z0-9]", "_", key.upper()) == segment.upper():
            return key
    return segment.lower() if path in {("channels",), ("destinations",)} else None


def _decode(name: str, text: str, annotation: Any) -> Any:
    is_table = entry_of(annotation) is not None or bool(keys_of(annotation))
    is_list = any(get_origin(part) is tuple for part in members(annotation))
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


def _unknown_variable(name: str) -> str:
    if _INJECTED.fullmatch(name):
        return f"{name} is ignored: Kubernetes sets it for a Service named mirror"
    known = [PREFIX + "__".join(path).upper() for path in known_paths(Settings) if not keys_of(annotation_at(path))]
    near = difflib.get_close_matches(name, known, n=1)
    return f"{name} is ignored: it sets no key" + (f"; did you mean {near[0]}?" if near else "")
