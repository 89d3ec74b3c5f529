"""Commands that fail in every way, for the tests of the program's end."""

from __future__ import annotations

import errno
import threading

import click

from mirror.cli import output
from mirror.errors import Refused, SettingsError, Unreachable


def _failures(kind: str) -> BaseException:
    world = Unreachable("ghcr.io did not answer")
    failures: dict[str, BaseException] = {
        "input": SettingsError("first problem\nsecond problem"),
        "refused": Refused("the tag moved"),
        "world": world,
        "world and refused": ExceptionGroup("two", [world, ExceptionGroup("one", [Refused("the tag moved")])]),
        "the same twice": ExceptionGroup("two", [world, Unreachable("ghcr.io did not answer")]),
        "all three": ExceptionGroup("three", [world, Refused("no"), SettingsError("bad key")]),
        "disk": OSError(errno.ENOSPC, "No space left on device", "/data/blobs"),
        "defect": ZeroDivisionError("https://me:hunter2@ghcr.io/?token=hunter3"),
        "world and defect": ExceptionGroup("two", [world, ZeroDivisionError("by zero")]),
        "forgotten deadline": TimeoutError(),
        "escape": Unreachable("the registry says \x1b[2Jboo"),
        "secret": Unreachable("GET https://me:hunter2@ghcr.io/v2/?sig=hunter3: Authorization: Bearer hunter4hunter4"),
    }
    return failures[kind]


@click.command()
@click.argument("kind")
@output.output_option
def fail(kind: str, output_format: str) -> None:
    """Fail as *kind* says."""
    raise _failures(kind)


@click.command()
@click.argument("code", type=int)
@output.output_option
def answer(code: int, output_format: str) -> int:
    """Answer, and end with *code*."""
    if output_format == "json":
        output.print_json({"b": 1, "a": "é"})
    else:
        output.print_table(["NAME", output.Column("SIZE", is_right=True)], [("x" * 300, "1 B")])
    return code


@click.command()
@output.output_option
def answer_and_fail(output_format: str) -> None:
    """Answer, then fail."""
    output.print_json({"answered": True})
    raise _failures("world")


@click.command()
def hang() -> None:
    """Wait in two threads, as a blob's reader does, until interrupted."""
    blocked = threading.Event()
    threading.Thread(target=blocked.wait).start()
    click.echo("ready")
    blocked.wait()
