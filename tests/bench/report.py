"""What the results say: Markdown tables of medians, by scenario and phase.

Of a scenario the newest session counts. Tools are compared within a run: of each pair, both ran within minutes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.page import machine_line, table
from tests.bench.tools import OURS

Row = dict[str, Any]

_PHASES = ("cold", "in step", "upgrade")
_LOOKED_INTO = "in step, looked into"
_FOREIGN_CORES = 0.2
_COLUMNS: tuple[tuple[str, str, Callable[[Row], float]], ...] = (
    ("CPU s", ".2f", lambda row: row["cpu_s"]),
    ("peak MB", ".0f", lambda row: row["peak"] / 1e6),
    ("requests source", ",.0f", lambda row: sum(row["requests"]["source"].values())),
    ("requests destination", ",.0f", lambda row: sum(row["requests"]["destination"].values())),
)


def markdown(results: Path) -> str:
    """The tables of every scenario in *results*, under the machine that each was measured on."""
    rows: list[Row] = [json.loads(line) for line in results.read_text().splitlines()]
    machines = {row["session"]: row for row in rows if "machine" in row}
    measured = [row for row in rows if "machine" not in row]
    newest = {row["scenario"]: row["session"] for row in measured}
    parts = list[str]()
    told = ""
    for scenario, session in newest.items():
        machine = machines[session]
        line = machine_line(machine["machine"], machine["versions"])
        if line != told:
            parts.append(line)
            told = line
        chosen = [row for row in measured if (row["scenario"], row["session"]) == (scenario, session)]
        parts += _scenario(scenario, chosen)
    return "\n\n".join(parts)


def _scenario(name: str, rows: Sequence[Row]) -> Iterable[str]:
    yield f"### {name}"
    for phase in _PHASES:
        if chosen := [row for row in rows if row["phase"] == phase]:
            yield f"{phase.capitalize()}:"
            yield _table(chosen)
    if looked := [row for row in rows if row["phase"] == _LOOKED_INTO]:
        yield _looked_into(looked)
    disturbed = [row for row in rows if row.get("foreign_cores", 0) > _FOREIGN_CORES]
    if disturbed:
        most = max(row["foreign_cores"] for row in disturbed)
        yield f"Disturbed: during {len(disturbed)} of {len(rows)} measurements others used up to {most:.1f} cores."


def _table(rows: Sequence[Row]) -> str:
    by_tool: dict[str, list[Row]] = {}
    for row in rows:
        by_tool.setdefault(row["tool"], []).append(row)
    best = _best_peers(rows)
    lines = [
        [
            tool,
            str(len(measured)),
            f"{median(row['wall_s'] for row in measured):.2f}",
            _ratio([row["wall_s"] / best[row["run"]] for row in measured if row["run"] in best]),
            *(f"{median(map(value, measured)):{form}}" for _, form, value in _COLUMNS),
            "yes" if all(row["exit"] == 0 and row["differences"] == 0 for row in measured) else "**NO**",
        ]
        for tool, measured in sorted(by_tool.items(), key=lambda item: median(row["wall_s"] for row in item[1]))
    ]
    header = ["tool", "runs", "wall s", "× best peer (range)", *(heading for heading, _, _ in _COLUMNS), "faithful"]
    return table(header, lines)


def _best_peers(rows: Iterable[Row]) -> dict[int, float]:
    """By run, the wall time of the fastest tool that is not ours."""
    best: dict[int, float] = {}
    for row in rows:
        if row["tool"] != OURS.name:
            best[row["run"]] = min(row["wall_s"], best.get(row["run"], row["wall_s"]))
    return best


def _ratio(pairs: Sequence[float]) -> str:
    if not pairs:
        return "–"
    return f"{median(pairs):.2f}" + (f" ({min(pairs):.2f}–{max(pairs):.2f})" if len(pairs) > 1 else "")


def _looked_into(rows: Sequence[Row]) -> str:
    command, after, service = (
        f"{median(row[name] for row in rows):.2f} s" for name in ("command_s", "after_first_request_s", "service_s")
    )
    return (
        f"In step, looked into: with a log of every request the command takes {command}, of it {after} after the first "
        f"request was sent; a run of a service that has already started takes {service}."
    )
