"""docs/performance.md: text by hand, and parts that the targets write between two markers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
RESULTS = PROJECT / ".cache" / "bench"
PAGE = PROJECT / "docs" / "performance.md"


def replace_part(name: str, text: str, page: Path = PAGE) -> None:
    """The part *name* of *page* is *text*; what is around it stays."""
    begin, end = f"<!-- begin {name}: written by `make {name}` -->", f"<!-- end {name} -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no part between {begin!r} and {end!r}")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = (f"| {' | '.join(row)} |" for row in (header, *rows))
    return "\n".join([next(lines), "|---" * len(header) + "|", *lines])


def machine_line(facts: dict[str, Any], versions: dict[str, str]) -> str:
    """When, where and with what something was measured."""
    cpu = re.sub(r"\s+", " ", facts["cpu"])
    tools = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return (
        f"{facts['date']}, {facts['cores']} cores ({cpu}), Linux {facts['kernel']}, "
        f"TCP {facts['congestion_control']}, Python {facts['python']}; {tools}."
    )
