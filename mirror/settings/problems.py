"""Problems, each in one sentence: source, key, value, what is allowed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mirror.settings.layers import source_of
from mirror.settings.models import Settings
from mirror.settings.tree import KeyPath, annotation_at, keys_of, known_paths, spell

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "a string",
    "string_too_short": "a string that is not empty",
    "string_pattern_mismatch": "what {pattern} matches",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "path_type": "a path",
    "tuple_type": "a list",
    "mapping_type": "a table",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_KINDS = '"ecr", "harbor", "registry" or "layout"'


def sentences(exc: ValidationError, sources: Mapping[KeyPath, str], file: Path | None) -> list[str]:
    """Each problem once; *sources* says what set which path, *file* is named where nothing did."""
    return list(dict.fromkeys(_sentence(error, sources, file) for error in exc.errors(include_url=False)))


def _sentence(error: Mapping[str, Any], sources: Mapping[KeyPath, str], file: Path | None) -> str:
    location = [str(part) for part in error["loc"]]
    tag = location.pop(2) if location[:1] == ["destinations"] and len(location) > 2 else ""
    if error["type"].startswith("union_tag"):
        location.append("kind")
    path = tuple(location)
    beside = source_of(path[:-1], sources) if path[1:] else None  # of a key that is missing
    source = source_of(path, sources) or beside or (str(file) if file else "the configuration")
    return f"{source}: {_problem(error, path, tag)}"


def _problem(error: Mapping[str, Any], path: KeyPath, tag: str) -> str:
    kind, key, context = error["type"], spell(path), error.get("ctx", {})
    value = context.get("tag") if kind == "union_tag_invalid" else error["input"]
    match kind:
        case "extra_forbidden":
            return _unquoted_host(path, value) or _unknown_key(path, tag)
        case "missing":
            return f"{key} is missing"
        case "union_tag_not_found":
            return f"{key} is missing: expected {_KINDS}"
        case "entry":
            return f"{key}: {error['msg']}"
        case "union_tag_invalid":
            return f"{key} is {_shown(path, value)}: expected {_KINDS}"
        case "literal_error":
            return f"{key} is {_shown(path, value)}: expected {context['expected'].replace(chr(39), chr(34))}"
        case "too_long":
            return f"{key} has {context['actual_length']} entries: expected at most {context['max_length']}"
        case "value_error" if isinstance(value, Mapping):
            return f"{key}: {context['error']}"
        case "value_error":
            return f"{key} is {_shown(path, value)}: {context['error']}"
    expected = _EXPECTED.get(kind, "").format(**context) or error["msg"].lower()
    return f"{key} is {_shown(path, value)}: expected {expected}"


def _shown(path: KeyPath, value: Any) -> str:
    """*value*, short, and without what may be secret."""
    if "password" in path:
        return "(hidden)"
    if isinstance(value, Mapping):
        return "a table"
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = re.sub(r"://[^/@\s\"]*@", "://***@", text)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _unquoted_host(path: KeyPath, value: Any) -> str:
    """What is to be said where *path* is of a registry whose host is not quoted; to TOML it is a table in a table."""
    if path[0] != "registries" or "." in path[1] or not isinstance(value, Mapping):
        return ""
    host = ".".join(path[1:])
    while len(value) == 1 and isinstance(below := next(iter(value.values())), Mapping):
        host, value = f"{host}.{next(iter(value))}", below
    return f"unknown key {spell(path)}: {quoted_host(host)}"


def quoted_host(host: str) -> str:
    """How TOML has the table of *host*."""
    return f"a host is quoted in TOML: [registries.{json.dumps(host)}]"


def _unknown_key(path: KeyPath, tag: str) -> str:
    key, above = path[-1], path[:-1]
    fields = keys_of(annotation_at(above))
    if tag and key in fields:
        return f'{spell(path)} is not a key of a destination of kind "{tag}"'
    if near := difflib.get_close_matches(key, fields, n=1):
        return f"unknown key {spell(path)}; did you mean {spell((*above, near[0]))}?"
    elsewhere = {known[-1]: known for known in known_paths(Settings)}
    if near := difflib.get_close_matches(key, elsewhere, n=1):
        return f"unknown key {spell(path)}; did you mean {spell(elsewhere[near[0]])}?"
    known = ", ".join(fields)
    return f"unknown key {spell(path)}; known {'here' if above else 'at the top'}: {known}"
