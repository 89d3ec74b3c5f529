"""values.yaml with its comments: what each value is, which README and schema are made from.

A comment that begins with `# --` describes the key below it (as helm-docs has it); `# @default --` says its default in
other words; a line `# @schema` before the first is JSON Schema that is added to what the default shows. A table that is
described is a value of its own; one that is not is a section of others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "helm" / "mirror"


@dataclass(frozen=True, slots=True)
class Value:
    """One key: its way, its default, and what the comments above it say."""

    path: tuple[str, ...]
    default: Any
    description: str
    default_in_words: str
    schema: dict[str, Any]
    below: tuple[Value, ...]

    @property
    def is_section(self) -> bool:
        """Whether it only holds others."""
        return bool(self.below) and not self.description

    def walk(self) -> Iterator[Value]:
        """Itself and all below it."""
        yield self
        for value in self.below:
            yield from value.walk()


def read_values(text: str) -> tuple[Value, ...]:
    """The values of *text*, in its order."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return _below(root, (), text.splitlines())


def all_values() -> list[Value]:
    """Every key of the chart's values.yaml, sections before what they hold."""
    return [value for top in read_values((CHART / "values.yaml").read_text()) for value in top.walk()]


def _below(table: yaml.MappingNode, above: tuple[str, ...], lines: Sequence[str]) -> tuple[Value, ...]:
    return tuple(_value(key, node, (*above, key.value), lines) for key, node in table.value)


def _value(key: yaml.ScalarNode, node: yaml.Node, path: tuple[str, ...], lines: Sequence[str]) -> Value:
    comments = _above(key.start_mark.line, lines)
    described = [line.removeprefix("-- ") for line in comments if line.startswith("-- ")]
    words = [line.removeprefix("@default -- ") for line in comments if line.startswith("@default -- ")]
    schema: dict[str, Any] = {}
    for line in comments:
        if line.startswith("@schema "):
            schema |= yaml.safe_load(line.removeprefix("@schema "))
    default = yaml.safe_load(yaml.serialize(node))
    below = _below(node, path, lines) if isinstance(node, yaml.MappingNode) and not node.flow_style else ()
    return Value(path, default, " ".join(described), " ".join(words), schema, below)


def _above(line: int, lines: Sequence[str]) -> list[str]:
    """The comment right above *line*, without its signs."""
    comments: list[str] = []
    for text in reversed(lines[:line]):
        if not text.strip().startswith("# "):
            break
        comments.insert(0, text.strip().removeprefix("# "))
    return comments
