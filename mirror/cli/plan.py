"""`mirror plan`."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import click

from mirror.amounts import human_size
from mirror.cli import output
from mirror.cli.journey import Journey, journey
from mirror.cli.options import from_option, releases_argument, shard_option, to_option

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.report import PlanReport
    from mirror.shard import Shard


@click.command(name="plan")
@releases_argument
@to_option
@from_option
@click.option("--refresh", is_flag=True, help="Read the charts again, also of releases that are recorded.")
@shard_option
@output.output_option
@click.pass_obj
def command(
    context: Context,
    releases: tuple[str, ...],
    to: str,
    start: str,
    refresh: bool,
    shard: Shard,
    output_format: output.OutputFormat,
) -> int:
    r"""Say what a sync would do, and how many bytes it would send. Writes nothing.

    Ends with 0 if all is in step, 4 if something is to be done, 3 if something would be refused, 1 if something could
    not be planned, or not be compared with upstream.

    \b
    Examples:
      mirror plan edge-26.8.3 --to registry.example.com/linkerd
      mirror plan edge-26.8.3 --from edge-24.11.8
      mirror plan -o json | jq '.bytes'
    """
    report, passed = asyncio.run(_plan(context, releases, to, start, shard, refresh=refresh))
    if output_format == "json":
        output.print_json({**report.document(), **passed.document()})
    else:
        passed.print()
        print_report(report)
    return report.exit_code


async def _plan(
    context: Context, releases: tuple[str, ...], to: str, start: str, shard: Shard, *, refresh: bool
) -> tuple[PlanReport, Journey]:
    from mirror.app import App

    async with App(context.settings, context.environ) as app:
        surveyor = app.surveyor(to, shard=shard)
        passed = await journey(app, surveyor.catalogue, start, releases)
        return await surveyor.estimate(await surveyor.plan(passed.selectors, refresh=refresh)), passed


def print_report(report: PlanReport) -> None:
    """Prints *report* for people."""
    from mirror.plan import Keep

    if report.is_elsewhere:
        output.print_line(f"shard {report.shard}: nothing to do, all that is asked for is in other shards")
        return
    actions = Counter(type(image.action).__name__.lower() for image in report.images)
    told = [image for image in report.images if image.reason or not isinstance(image.action, Keep)]
    if told:
        output.print_table(
            ["ACTION", "TARGET", "DIGEST", output.Column("BYTES", is_right=True)],
            [
                (
                    type(image.action).__name__.lower(),
                    image.target,
                    str(image.digest or "")[:19],
                    human_size(image.size) if image.size else "",
                )
                for image in told
            ],
        )
    for image in told:
        if image.reason:
            output.print_line(f"  {type(image.action).__name__.lower()} {image.reference}: {image.reason}")
    for line in (*report.notes, *report.problems):
        output.print_line(line)
    parts = [f"{actions[action]} to {action}" for action in ("copy", "adopt", "refuse", "fail") if actions[action]]
    if not report.images and report.problems:
        return
    apart = sum(isinstance(image.action, Keep) and not image.action.is_compared for image in report.images)
    if apart:
        parts.append(f"{apart} not compared with upstream")
    if report.problems:
        parts.append(output.counted(len(report.problems), "problem"))
    send = f"; {human_size(report.size)} to send" if report.size else ""
    stored = sum(report.storage.values())
    if stored != report.size:
        send += f", {human_size(stored)} to store where no blob is mounted"
    kept = actions["keep"] - apart
    if parts:
        output.print_line(f"{', '.join(parts)}, {kept} in step{send}")
        return
    kept_charts = sum(image.kind == "chart" for image in report.images)
    charts = f", {output.counted(kept_charts, 'chart')}" if kept_charts else ""
    output.print_line(f"in step: {output.counted(kept - kept_charts, 'image')}{charts}")
