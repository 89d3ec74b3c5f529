"""The table of values in the chart's README.md, between two marks; the rest is written by hand."""

from __future__ import annotations

import json

from tests.chart.values import CHART, Value, all_values

_BEGIN = "<!-- values: `make chart` writes what follows -->\n"
_END = "<!-- values end -->\n"


def with_table(readme: str) -> str:
    """*readme* with the table of the chart's values as they are."""
    before, _, rest = readme.partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    assert mark, "README.md has lost its marks"
    rows = [_row(value) for value in all_values() if value.description]
    table = "| value | default | what it is |\n|---|---|---|\n" + "".join(rows)
    return f"{before}{_BEGIN}{table}{_END}{after}"


def _row(value: Value) -> str:
    default = value.default_in_words or f"`{json.dumps(value.default)}`"
    return f"| `{'.'.join(value.path)}` | {_cell(default)} | {_cell(value.description)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def write() -> None:
    """The README's table is that of the values."""
    path = CHART / "README.md"
    path.write_text(with_table(path.read_text()))
