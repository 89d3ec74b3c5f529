"""README and schema are those of values.yaml."""

from __future__ import annotations

import json

from mirror.settings import schema as settings_schema
from tests.chart.readme import with_table
from tests.chart.schema import values_schema
from tests.chart.values import CHART, all_values, read_values


def test_readme() -> None:
    """It is in step: `make chart`."""
    readme = (CHART / "README.md").read_text()

    assert with_table(readme) == readme


def test_schema() -> None:
    """It is in step, with mirror's own settings too: `make chart`."""
    assert values_schema((CHART / "values.yaml").read_text()) == (CHART / "values.schema.json").read_text()


def test_every_value_is_described() -> None:
    """Each has a row, or is below one that has."""
    described = {value.path for value in all_values() if value.description}

    assert [] == [
        value.path
        for value in all_values()
        if not value.below and not any(value.path[:length] in described for length in range(1, len(value.path) + 1))
    ]


def test_the_schema_is_closed() -> None:
    """No section takes a key that it does not know, but `global`, which other charts share."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    open_sections = {
        value.path
        for value in all_values()
        if value.is_section and len(value.path) == 1 and schema["properties"][value.path[0]]["additionalProperties"]
    }

    assert {("global",)} == open_sections
    assert schema["additionalProperties"] is False
    assert settings_schema()["additionalProperties"] is schema["$defs"]["Settings"]["additionalProperties"] is False


def test_reading() -> None:
    """A comment above a key describes it; `@schema` narrows it, `@default` puts its default in words."""
    text = """\
# A remark on the file.

# @schema enum: [a, b]
# -- What it is,
# in two lines? The first counts
one: a
section:
  # -- Inner
  # @default -- nothing
  inner: {}
"""
    one, section = read_values(text)
    (inner,) = section.below

    assert (("one",), "a", "What it is,", {"enum": ["a", "b"]}) == (one.path, one.default, one.description, one.schema)
    assert section.is_section
    assert (("section", "inner"), {}, "Inner", "nothing") == (
        inner.path,
        inner.default,
        inner.description,
        inner.default_in_words,
    )
