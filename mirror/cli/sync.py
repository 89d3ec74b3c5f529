"""`mirror sync`."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import click

from mirror.amounts import human_seconds, human_size
from mirror.cli import output
from mirror.cli.journey import Journey, journey
from mirror.cli.options import accept_option, from_option, releases_argument, shard_option, to_option

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.report import ChartReport, ImageReport, ReleaseReport, SyncReport
    from mirror.shard import Shard


@click.command(name="sync")
@releases_argument
@to_option
@from_option
@click.option("--refresh", is_flag=True, help="Read the charts again, also of releases that are recorded.")
@accept_option
@shard_option
@output.output_option
@click.pass_obj
def command(
    context: Context,
    releases: tuple[str, ...],
    to: str,
    start: str,
    refresh: bool,
    accept: tuple[str, ...],
    shard: Shard,
    output_format: output.OutputFormat,
) -> int:
    r"""Bring destinations in step with Linkerd releases: copy, verify, record, write Helm values, prove them.

    RELEASE is an exact release (edge-26.8.3, stable-2.14.10), a channel for its newest (edge), edge:3 for its newest
    three, or a version of the project (2.19). Without one, those that the configuration asks for.

    \b
    Examples:
      # the newest edge release, into ./linkerd-mirror
      mirror sync
      # one release, into a registry
      mirror sync edge-26.8.3 --to registry.example.com/linkerd
      # all that an upgrade passes, and what runs now; nothing is deleted
      mirror sync edge-26.8.3 --from edge-24.11.8
      # a released tag moved upstream, and you have checked that it may
      mirror sync edge-26.8.3 --accept cr.l5d.io/linkerd/proxy:edge-26.8.3@sha256:...
      # one of eight processes that share the work, as an Indexed Job counts them
      mirror sync --shard "$JOB_COMPLETION_INDEX/8"
    """
    report, passed = asyncio.run(_sync(context, releases, to, start, accept, shard, refresh=refresh))
    if output_format == "json":
        output.print_json({**report.document(), **passed.document()})
    else:
        passed.print()
        print_report(report)
    return report.exit_code


async def _sync(
    context: Context,
    releases: tuple[str, ...],
    to: str,
    start: str,
    accept: tuple[str, ...],
    shard: Shard,
    *,
    refresh: bool,
) -> tuple[SyncReport, Journey]:
    import structlog

    from mirror.app import App, parse_accepted

    if context.settings.policy.signatures == "off":
        structlog.get_logger().warning(
            "policy.signatures_off", reason="signatures are not checked: what is copied is what upstream has"
        )
    async with App(context.settings, context.environ) as app:
        publisher = app.publisher()
        if publisher is not None:
            publisher.access()  # outside of a cluster that is told before a long run, not after it
        with context.progress() as progress:
            syncer = app.syncer(progress, to, parse_accepted(accept), shard)
            passed = await journey(app, syncer.surveyor.catalogue, start, releases)
            report = await syncer.sync(passed.selectors, refresh=refresh)
        if publisher is not None:
            # what is asked for by hand is not what the configuration follows: it moves no channel
            report = await publisher.publish(report, {} if releases or start else report.newest)
        structlog.get_logger().info("sync.finished", **report.log_line())
        return report, passed


def print_report(report: SyncReport) -> None:
    """Prints *report* for people."""
    if report.is_elsewhere:
        output.print_line(f"shard {report.shard}: nothing to do, all that is asked for is in other shards")
    for release in report.releases:
        _print_release(release)


def _print_release(report: ReleaseReport) -> None:
    name = f"{report.release} at {report.destination}"
    moved = [image for image in report.images if image.outcome != "kept" or image.reason]
    charts = [chart for chart in report.charts if chart.outcome != "kept" or chart.reason]
    changed: list[ImageReport | ChartReport] = [*moved, *charts]
    if changed:
        output.print_table(
            ["OUTCOME", "TARGET", "DIGEST", output.Column("SENT", is_right=True)],
            [
                (
                    part.outcome,
                    part.target,
                    str(part.digest or "")[:19],
                    human_size(part.size) if part.size else "",
                )
                for part in changed
            ],
        )
    for part in changed:
        if part.reason:
            output.print_line(f"  {part.outcome} {part.reference}: {part.reason}")
    for note in (*report.notes, *report.proof_problems):
        output.print_line(f"  {note}")
    if report.problem:
        output.print_line(f"{name}: {report.problem}")
    if report.images:
        output.print_line(f"{name}: {_summary(report)}")
    if moved and (signed := output.signatures_told(image.verdict for image in report.images)):
        output.print_line(f"signatures: {signed}")
    if report.overrides:
        folder = report.overrides[0].rpartition("/")[0]
        earlier = " by an earlier run" if report.is_proof_recorded else ""
        values = output.counted(len(report.overrides), "chart")
        output.print_line(f"values for {values} in {folder}: {report.proof}{earlier}")


def _summary(report: ReleaseReport) -> str:
    charts = Counter(chart.outcome for chart in report.charts)
    if report.outcome == "in_step":
        held = f", {output.counted(len(report.charts), 'chart')}" if report.charts else ""
        return f"in step, {output.counted(len(report.images), 'image')}{held}"
    counts = Counter(image.outcome for image in report.images)
    done = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    if charts:
        done += f"; charts: {', '.join(f'{count} {outcome}' for outcome, count in charts.most_common())}"
    sent = sum(image.size for image in report.images) + sum(chart.size for chart in report.charts)
    seconds = max(image.seconds for image in report.images)
    work = f"; {human_size(sent)} sent in {human_seconds(seconds)}" if sent else ""
    return f"{'brought in step' if report.outcome == 'synced' else report.outcome}: {done}{work}"
