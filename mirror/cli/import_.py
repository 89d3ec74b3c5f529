"""`mirror import FILE.tar`.

With `-o json`, the document of `mirror sync`; that of `mirror plan` where nothing was written.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from mirror.cli import output
from mirror.cli import plan as planning
from mirror.cli import sync as syncing
from mirror.cli.options import accept_option, to_option

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.report import PlanReport, SyncReport

STDIN = "-"


@click.command(name="import")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), metavar="FILE.tar"
)
@to_option
@click.option("--plan", "is_plan", is_flag=True, help="Check the file, and say what would be done. Writes nothing.")
@accept_option
@output.output_option
@click.pass_obj
def command(
    context: Context,
    file: Path,
    to: str,
    accept: tuple[str, ...],
    output_format: output.OutputFormat,
    *,
    is_plan: bool,
) -> int:
    r"""Bring what `mirror export` wrote into a mirror, and write its Helm values. Never needs upstream.

    The whole file is checked before anything is written: every byte, that no image lacks anything which the mirror does
    not hold, signatures by the policy here. What was interrupted goes on when it is run again. A file is read from
    stdin by -, if it is one.

    Signatures without a key need policy.trusted_root, since nothing is fetched here.

    \b
    Examples:
      mirror import linkerd.tar --to registry.inside.example/linkerd
      mirror import linkerd.tar --to registry.inside.example/linkerd --plan
    """
    report = asyncio.run(_import(context, file, to, accept, is_plan=is_plan))
    if output_format == "json":
        output.print_json(report.document())
    else:
        _print(report, is_plan=is_plan)
    return report.exit_code


async def _import(
    context: Context, file: Path, to: str, accept: tuple[str, ...], *, is_plan: bool
) -> SyncReport | PlanReport:
    from mirror.app import App, parse_accepted
    from mirror.oci.archive import Archive

    async with App(context.settings, context.environ) as app:
        with _opened(file) as opened, context.progress() as progress:
            archive = Archive(opened, "stdin" if str(file) == STDIN else str(file))
            importer = app.importer(archive, progress, to, parse_accepted(accept))
            return (await importer.plan())[1] if is_plan else await importer.bring()


def _opened(file: Path) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if str(file) == STDIN else file.open("rb")


def _print(report: SyncReport | PlanReport, *, is_plan: bool) -> None:
    from mirror.report import PlanReport

    if isinstance(report, PlanReport):
        planning.print_report(report)
        if not is_plan:
            output.print_line("nothing was written")
    else:
        syncing.print_report(report)
