"""`mirror verify`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from mirror.cli import output
from mirror.cli.options import releases_argument, to_option

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.report import VerifyReport


@click.command(name="verify")
@releases_argument
@to_option
@click.option("--deep", is_flag=True, help="Read every byte back and hash it.")
@output.output_option
@click.pass_obj
def command(
    context: Context, releases: tuple[str, ...], to: str, deep: bool, output_format: output.OutputFormat
) -> int:
    r"""Hold the mirror to what was recorded: tags, manifests, blobs. Never needs upstream.

    RELEASE is an exact release, or a channel for its newest that is recorded, as edge; without one, every release that
    is recorded. Ends with 4 if something is not as it was recorded.

    \b
    Examples:
      mirror verify --to registry.example.com/linkerd
      mirror verify edge-26.8.3 --deep
    """
    report = asyncio.run(_verify(context, releases, to, deep=deep))
    if output_format == "json":
        output.print_json(report.document())
    else:
        print_report(report)
    return report.exit_code


async def _verify(context: Context, releases: tuple[str, ...], to: str, *, deep: bool) -> VerifyReport:
    from mirror.app import App
    from mirror.verify import verify

    async with App(context.settings, context.environ) as app:
        return await verify(app.mirrors(to), await app.recordable(releases), app.signatures(), deep=deep)


def print_report(report: VerifyReport) -> None:
    """Prints *report* for people."""
    for release in report.releases:
        for part in (*release.images, *release.charts):
            for problem in part.problems:
                output.print_line(f"  {part.reference}: {problem}")
        for reference in release.missing:
            output.print_line(f"  {reference}: was never brought into the mirror")
        how = "every byte read" if report.is_deep else "manifests read, blobs present"
        if signed := output.signatures_told(image.verdict for image in release.images):
            how += f"; {signed}"
        held = f" and {output.counted(len(release.charts), 'chart')}" if release.charts else ""
        words = {
            "in_step": f"in step: {output.counted(len(release.images), 'image')}{held}, {how}",
            "not_in_step": "not in step",
            "failed": release.problem,
        }
        name = f"{release.release} at {release.destination}" if release.release else release.destination
        output.print_line(f"{name}: {words[release.outcome]}")
