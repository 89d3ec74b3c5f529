"""Answers on stdout: one JSON document, or tables.

With `-o json` stdout holds exactly one document, also when the command fails: the error is in it. Tables are cut to a
terminal's width and never to a pipe's. What a registry says is shown without its control characters.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

if TYPE_CHECKING:
    from mirror.trust.verdict import Verdict

SCHEMA = 1
_ANSWERED = "mirror.cli.output.answered"
_FORMAT = "mirror.cli.output.format"
_PIPE_WIDTH = 100_000

OutputFormat = Literal["table", "json"]
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading and how its cells are set."""

    title: str
    is_right: bool = False
    style: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a style of its own, where there is a terminal."""

    text: str
    style: str = ""


def output_option(function: Function) -> Function:
    """Gives a command `-o table|json`, passed as *output_format*."""

    def remember(context: click.Context, _: click.Parameter, value: str) -> str:
        context.meta[_FORMAT] = value  # shared with the context above, so that a failure is told in kind
        return value

    return click.option(
        "-o",
        "--output",
        "output_format",
        type=click.Choice(["table", "json"]),
        default="table",
        callback=remember,
        help="A table for people, or one JSON document for scripts.  [default: table]",
    )(function)


def print_json(document: Mapping[str, Any]) -> None:
    """Prints *document* with its `schema`, its keys sorted."""
    text = _json(document)
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_ANSWERED] = True
    _write(text)


def print_failure(meta: Mapping[str, Any], messages: Sequence[str], exit_code: int) -> None:
    """Prints the JSON document of a failure, if by *meta* JSON was asked for and no document has been printed."""
    if meta.get(_FORMAT) != "json" or meta.get(_ANSWERED):
        return
    _write(_json({"error": {"messages": list(messages), "exit_code": exit_code}}))


def _json(document: Mapping[str, Any]) -> str:
    text = json.dumps({"schema": SCHEMA, **document}, indent=2, sort_keys=True, ensure_ascii=False)
    # half of a UTF-16 pair, as in a path that is not UTF-8: what UTF-8 cannot write, JSON can, as Python does
    return text.encode(errors="backslashreplace").decode()


def print_table(columns: Sequence[Column | str], rows: Iterable[Sequence[str | Cell]], *, title: str = "") -> None:
    """Prints *rows*; a cell may be of several lines. Nothing is cut off when stdout is not a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=printable(title) or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD if sys.stdout.isatty() else None,
        pad_edge=False,
        header_style="bold",
    )
    for column in (Column(column) if isinstance(column, str) else column for column in columns):
        justify: Literal["left", "right"] = "right" if column.is_right else "left"
        table.add_column(column.title, justify=justify, style=column.style, overflow="fold")
    for row in rows:
        cells = (Cell(cell) if isinstance(cell, str) else cell for cell in row)
        table.add_row(*(Text(printable(cell.text), cell.style) for cell in cells))
    _write_rich(table)


def print_line(text: str = "") -> None:
    """Prints one line of an answer for people."""
    _write(printable(text))


def printable(text: str) -> str:
    """*text* with its control characters spelt out: a registry's words must not steer a terminal."""
    return "".join(mark if mark.isprintable() or mark == "\n" else repr(mark)[1:-1] for mark in text)


def counted(count: int, what: str) -> str:
    """*count* of *what*, in words: `1 chart`, `3 charts`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def signatures_told(verdicts: Iterable[Verdict | None]) -> str:
    """How many are what, `8 signed, 1 third party`; empty where nobody looked."""
    counts = Counter(verdict.state for verdict in verdicts if verdict is not None)
    return ", ".join(f"{count} {state}" for state, count in counts.most_common())


def _write_rich(renderable: Any) -> None:
    from rich.console import Console

    console = Console(file=sys.stdout) if sys.stdout.isatty() else Console(width=_PIPE_WIDTH, no_color=True)
    with console.capture() as capture:
        console.print(renderable)
    _write("\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n")))


def _write(text: str) -> None:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, "stdout") from exc
