"""values.schema.json: closed, so that a key that is misspelt is refused by name; `config` is mirror's own schema."""

from __future__ import annotations

import json
from typing import Any

from mirror.settings import schema as settings_schema
from tests.chart.values import CHART, Value, read_values

_TYPES = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object", type(None): "null"}


def values_schema(text: str) -> str:
    """The schema of the values *text*, as the file has it.

    Draft 7, since Helm before 3.18 knows no later one.
    """
    settings = settings_schema()
    definitions = settings.pop("$defs")
    del settings["$schema"]
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **_table(read_values(text), {}),
        "$defs": {**definitions, "Settings": settings},
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _table(values: tuple[Value, ...], more: dict[str, Any]) -> dict[str, Any]:
    properties = {value.path[-1]: _schema(value) for value in values}
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


def _schema(value: Value) -> dict[str, Any]:
    if value.is_section:
        return _table(value.below, value.schema)
    if "$ref" in value.schema:  # beside which draft 7 heeds nothing
        return value.schema
    return {"description": value.description, "type": _TYPES[type(value.default)], **value.schema}


def write() -> None:
    """The chart's schema is that of its values."""
    (CHART / "values.schema.json").write_text(values_schema((CHART / "values.yaml").read_text()))
