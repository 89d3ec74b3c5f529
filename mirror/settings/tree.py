"""The models as a tree of keys: what the annotations say is below a key, without validating anything.

A table either has the keys of a model, or, like `registries`, keys that the operator chooses, each with an entry below.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from mirror.settings.models import Settings

KeyPath = tuple[str, ...]


def spell(path: Iterable[str]) -> str:
    """*path* as TOML spells a dotted key."""
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part) for part in path)


def leaves(data: Mapping[str, Any], above: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Each value of *data* that is no table, or an empty one, with its path."""
    for key, value in data.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation itself; what is annotated, without its annotations."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    is_union = get_origin(annotation) is Union or type(annotation).__name__ == "UnionType"
    return get_args(annotation) if is_union else (annotation,)


def keys_of(annotation: Any) -> dict[str, Any]:
    """Key to annotation, of every model in *annotation*."""
    models = [part for part in members(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    return {key: field.annotation for model in models for key, field in model.model_fields.items()}


def entry_of(annotation: Any) -> Any:
    """The annotation of the entries, if *annotation* is of a table with free keys."""
    return next((get_args(part)[1] for part in members(annotation) if get_origin(part) is Mapping), None)


def annotation_at(path: KeyPath) -> Any:
    """The annotation of *path*; None if there is no such key."""
    annotation: Any = Settings
    for key in path:
        entry = entry_of(annotation)
        annotation = entry if entry is not None else keys_of(annotation).get(key)
    return annotation


def known_paths(annotation: Any, above: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key, tables with free keys not entered."""
    for key, inner in keys_of(annotation).items():
        yield (*above, key)
        yield from known_paths(inner, (*above, key))
