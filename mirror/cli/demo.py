"""`mirror demo`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mirror.cli import output
from mirror.errors import UsageError

if TYPE_CHECKING:
    from mirror.cli.main import Context


@click.command(name="demo")
@click.option(
    "-d",
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the mirror and the values go; kept.  [default: a new temporary directory]",
)
@click.pass_obj
def command(context: Context, directory: Path | None) -> int:
    r"""Do the whole job offline: a small release made on the fly, mirrored, tampered with, verified, its values proven.

    Nothing leaves this machine, and nothing but this package is needed. With Helm on PATH the values are proven too.

    \b
    Examples:
      mirror demo
      # keep what it makes, to look at it
      mirror demo --directory ./demo
    """
    from mirror.cli.sync import print_report
    from mirror.cli.verify import print_report as print_verified
    from mirror.demo.walkthrough import PULL_REGISTRY, Steps, walk
    from mirror.logs import configure

    if context.log_level is None:
        configure("auto", "critical")  # the walk tells what it does itself
    if directory and (directory / "mirror").exists():
        raise UsageError(f"{directory / 'mirror'} is there already: name another directory, or remove it")
    where = directory or Path(tempfile.mkdtemp(prefix="mirror-demo-"))
    steps = Steps(said=lambda text: output.print_line(f"\n» {text}\n"), synced=print_report, verified=print_verified)
    with context.progress() as progress:
        is_right = asyncio.run(walk(where, progress, steps))
    if not is_right:
        output.print_line("\nThe demo did not go as it should: please report this, with the output above.")
        return 1
    values = where / "overrides" / "demo"
    output.print_line(
        f"\n» The values that point a chart at the mirror, which clusters would pull as {PULL_REGISTRY}:\n"
    )
    output.print_line(next(values.glob("*/linkerd-control-plane.yaml")).read_text().rstrip())
    output.print_line(_FOR_REAL.format(where=where))
    return 0


_FOR_REAL = """
» All of it is in {where}. The same for real, into a registry of yours:

  mirror plan edge --to registry.example.com/linkerd
  mirror sync edge --to registry.example.com/linkerd
  mirror verify --to registry.example.com/linkerd --deep
"""
