"""What the results become: tables, in their part of a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.page import replace_part
from tests.bench.report import markdown

_MACHINE = {
    "date": "2026-11-26",
    "cores": 2,
    "cpu": "a  CPU",
    "kernel": "6",
    "congestion_control": "bbr",
    "python": "3",
}


def _row(session: str, tool: str, run: int, wall_s: float, **more: Any) -> dict[str, Any]:
    requests = {"source": {"GET blob 200": 1_000}, "destination": {"PUT upload 201": 2}}
    row = {"session": session, "scenario": "loop-plain", "phase": "cold", "tool": tool, "run": run, "wall_s": wall_s}
    return row | {"cpu_s": 1.0, "peak": 70_000_000, "exit": 0, "differences": 0, "requests": requests} | more


def test_tables(tmp_path: Path) -> None:
    """The newest session counts, and a ratio is to the fastest other tool of the same run."""
    results = tmp_path / "results.jsonl"
    rows = [
        _row("old", "mirror", 0, 99.0),
        {"session": "new", "machine": _MACHINE, "versions": {"mirror": "0.1.0"}},
        _row("new", "mirror", 0, 8.0),
        _row("new", "oras-xargs4", 0, 10.0),
        _row("new", "crane-xargs4", 0, 12.0),
        _row("new", "mirror", 1, 14.0),
        _row("new", "oras-xargs4", 1, 30.0),
        _row("new", "crane-xargs4", 1, 20.0, differences=1),
    ]
    results.write_text("".join(json.dumps(row) + "\n" for row in rows))

    text = markdown(results)

    assert "2026-11-26, 2 cores (a CPU), Linux 6, TCP bbr, Python 3; mirror 0.1.0.\n\n### loop-plain" in text
    assert "| mirror | 2 | 11.00 | 0.75 (0.70–0.80) | 1.00 | 70 | 1,000 | 2 | yes |" in text
    assert "| crane-xargs4 | 2 | 16.00 | 1.10 (1.00–1.20) | 1.00 | 70 | 1,000 | 2 | **NO** |" in text
    assert "In step:" not in text


def test_a_part_of_a_page(tmp_path: Path) -> None:
    """What is around the markers stays; a page without them is left alone."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin bench: written by `make bench` -->\nold\n<!-- end bench -->\nafter\n")

    replace_part("bench", "new\n", page)

    assert page.read_text() == (
        "before\n<!-- begin bench: written by `make bench` -->\n\nnew\n\n<!-- end bench -->\nafter\n"
    )
    with pytest.raises(SystemExit, match="no part"):
        replace_part("scale", "new", page)
