"""`mirror prune`.

With `-o json`:

    done             whether it was deleted (--yes), or only planned: then tags, manifests and bytes are what would go
    destinations[]   destination, place, notes[], problems[]
      releases[]     every recorded one: release, goes, reasons[] (why it goes, or why it stays)
      left[]         releases whose records were gone already: a run before was ended, and this one goes on with it
      unfinished[]   releases that go, of which something is there still (problems[], notes[]): the next run goes on
      tags[]         what went, as PATH:TAG below the prefix
      manifests[]    what went, as PATH@DIGEST
      bytes          that nothing names afterwards, as far as was looked
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mirror.amounts import human_size
from mirror.cli import output
from mirror.cli.options import to_option
from mirror.cli.workloads import inventory_of

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.cluster.running import Running
    from mirror.retention.prune import Pruned, PruneReport


@click.command(name="prune")
@to_option
@click.option("--yes", "is_confirmed", is_flag=True, help="Delete it.")
@click.option(
    "--in-use",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="What a cluster uses stays: the output of `kubectl get pods -A -o json`, or images, one a line; - is stdin.",
)
@output.output_option
@click.pass_obj
def command(
    context: Context, to: str, is_confirmed: bool, in_use: Path | None, output_format: output.OutputFormat
) -> int:
    r"""Say what [retention] would delete from the mirror, and why; with --yes, delete it.

    A release goes only if a rule for its channel says so. What the configuration asks for, what it names, what lies on
    an upgrade path and what a cluster uses stays, with its signatures; so does every tag that others have pushed, and
    all that it needs. Without rules nothing is ever deleted. A run that was ended is gone on with by the next.

    \b
    Examples:
      mirror prune --to registry.example.com/linkerd
      kubectl get pods -A -o json | mirror prune --in-use - --yes
    """
    running = inventory_of(in_use).images if in_use else ()
    report = asyncio.run(_prune(context, to, running, is_confirmed=is_confirmed))
    if output_format == "json":
        output.print_json(report.document())
    else:
        _print(report)
    return report.exit_code


async def _prune(context: Context, to: str, running: Sequence[Running], *, is_confirmed: bool) -> PruneReport:
    from mirror.app import App
    from mirror.retention.prune import Pruned, PruneReport, prune

    async with App(context.settings, context.environ) as app:
        retention = context.settings.retention
        if not retention.keep and not retention.keep_for:
            note = "nothing is deleted: [retention] has neither keep nor keep_for"
            kept = [Pruned(mirror.name, mirror.place, notes=(note,)) for mirror in app.mirrors(to)]
            return PruneReport(tuple(kept), is_done=False)
        return await prune(await app.pruners(running, to), is_confirmed=is_confirmed)


def _print(report: PruneReport) -> None:
    for each in report.destinations:
        _print_one(each, is_done=report.is_done)


def _print_one(pruned: Pruned, *, is_done: bool) -> None:
    if pruned.fates:
        goes, stays = ("deleted", "kept") if is_done else ("would go", "stays")
        gone = dict.fromkeys(pruned.unfinished, "unfinished")
        rows = [
            (str(fate.release), gone.get(fate.release, goes) if fate.goes else stays, "; ".join(fate.reasons))
            for fate in pruned.fates
        ]
        rows += [(str(release), gone.get(release, goes), "a run before was ended") for release in pruned.left]
        output.print_table(["RELEASE", "", "WHY"], rows, title=pruned.place)
    for line in (*pruned.notes, *pruned.problems):
        output.print_line(f"{pruned.destination}: {line}")
    if pruned.manifests or pruned.tags:
        size = human_size(pruned.size)
        what = f"{len(pruned.tags)} tags, {len(pruned.manifests)} manifests, {size}"
        told = f"deleted {what}" if is_done else f"{what} would be deleted: run it with --yes"
        output.print_line(f"{pruned.destination}: {told}")
    elif pruned.fates and not pruned.problems:
        output.print_line(f"{pruned.destination}: nothing to delete")
