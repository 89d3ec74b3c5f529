"""`mirror doctor`."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from mirror.cli import output
from mirror.cli.options import to_option
from mirror.destinations.ecr import iam

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.findings import DoctorReport, Finding

_STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "bold red"}


@click.command(name="doctor")
@click.argument("release", default="", metavar="[RELEASE]")
@to_option
@click.option("--fix", is_flag=True, help="First put right what destinations can put right of themselves.")
@click.option(
    "--iam",
    "use",
    metavar="USE",
    help="Print the least IAM policy for a use of the ECR destination, and do nothing else: "
    f"{', '.join(iam.USES[:-1])} or {iam.USES[-1]}.",
)
@output.output_option
@click.pass_obj
def command(
    context: Context, release: str, to: str, fix: bool, use: str | None, output_format: output.OutputFormat
) -> int:
    r"""Say what is wrong, before a sync finds it: sources, charts, destinations, credentials, Helm, directories.

    Looks at what RELEASE needs; without one, at the first that the configuration asks for. Leaves nothing behind: an
    upload is begun, and given up. Ends with 1 if something failed.

    \b
    Examples:
      mirror doctor
      mirror doctor edge-26.8.3 --to registry.example.com/linkerd
      # settings of repositories that differ from the configuration's are set, where that is possible
      mirror doctor --to production --fix
      # what failed, for a script
      mirror doctor -o json | jq -r '.findings[] | select(.state == "failed") | .told'
      # what the role that syncs must be allowed to do
      mirror doctor --iam sync-create > policy.json
    """
    if use is not None:
        click.echo(_policy(context, to, use))
        return 0
    report = asyncio.run(_examine(context, release, to, is_to_fix=fix))
    if output_format == "json":
        output.print_json(report.document())
    else:
        print_report(report)
    return report.exit_code


async def _examine(context: Context, release: str, to: str, *, is_to_fix: bool) -> DoctorReport:
    from mirror.app import App

    loaded = context.loaded
    async with App(loaded.settings, context.environ) as app:
        doctor = app.doctor(loaded.path, loaded.warnings, to)
        known = await doctor.look(app.selectors([release] if release else []))
        repaired = await doctor.repair(known) if is_to_fix else ()
        return replace(await doctor.examine(known), repaired=repaired)


def _policy(context: Context, to: str, use: str) -> str:
    """The least policy for *use* of the one ECR destination, as JSON."""
    from mirror.app import App
    from mirror.destinations.ecr.host import EcrHost
    from mirror.errors import UsageError

    if use not in iam.USES:
        raise UsageError(f"--iam {use}: there is no such use, there is {', '.join(iam.USES)}")
    mirrors = App(context.settings, context.environ).mirrors(to)
    found = [(host, each.prefix) for each in mirrors if (host := EcrHost.parse(each.place.partition("/")[0]))]
    if len(found) != 1:
        what = "several destinations are" if found else "no destination is"
        raise UsageError(f"--iam is about one registry of ECR, and {what}: name one with --to")
    return json.dumps(iam.policy(use, *found[0]), indent=2)


def print_report(report: DoctorReport) -> None:
    """Prints *report* for people."""
    headings = ["SUBJECT", "CHECK", "STATE", "FOUND"]
    if report.repaired:
        output.print_table(headings, _rows(report.repaired), title="Put right")
        output.print_line()
    output.print_table(headings, _rows(report.findings))
    counts = Counter(finding.state for finding in report.findings)
    warnings = "warning" if counts["warning"] == 1 else "warnings"
    told = ((counts["failed"], "failed"), (counts["warning"], warnings), (counts["ok"], "ok"))
    output.print_line()
    output.print_line(", ".join(f"{count} {word}" for count, word in told if count))


def _rows(findings: Sequence[Finding]) -> Iterator[tuple[str | output.Cell, ...]]:
    """A row for each of *findings*; what to do is on a line below what was found."""
    before = ""
    for finding in findings:
        told = f"{finding.told}\n→ {finding.remedy}" if finding.remedy else finding.told
        subject = output.Cell("" if finding.subject == before else finding.subject, "bold")
        yield subject, finding.check, output.Cell(finding.state, _STYLES[finding.state]), told
        before = finding.subject
