"""Layers: what one place sets, each a source of pydantic-settings, which merges them key by key.

    variables of single keys
    variables of whole tables   a layer each, the later above
    the file                    a layer
    defaults                    mirror.settings.models

Since a layer is the work of one file or one variable, the value that holds is told with the *source* that set it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from mirror.settings.models import Settings
from mirror.settings.tree import KeyPath, leaves


class Layer(PydanticBaseSettingsSource):
    """The *values* that *name* sets: a table as TOML would have it, not validated yet."""

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        super().__init__(Settings)
        self.name, self.values = name, values

    def __call__(self) -> dict[str, Any]:
        return self.values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """See PydanticBaseSettingsSource; the values need no decoding."""
        return self.values.get(field_name), field_name, False

    def at(self, path: KeyPath) -> Any:
        """What is set at *path*; None if nothing is."""
        value: Any = self.values
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


def merged(layers: Sequence[Layer]) -> Settings:
    """The settings that *layers* make, the last one uppermost; raises pydantic's ValidationError."""
    return Settings(_build_sources=(tuple(reversed(layers)), {}))


def sources_of(layers: Sequence[Layer]) -> dict[KeyPath, str]:
    """What set each value of *layers*, the last one uppermost."""
    return {path: layer.name for layer in layers for path, _ in leaves(layer.values)}


def source_of(path: KeyPath, sources: Mapping[KeyPath, str]) -> str | None:
    """What set *path*, or the table that it is in, or any key below it."""
    for length in range(len(path), 0, -1):
        if source := sources.get(path[:length]):
            return source
    return next((source for below, source in sources.items() if below[: len(path)] == path), None)
