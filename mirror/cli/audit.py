"""`mirror audit`.

With `-o json`:

    destination    which mirror
    images[]       image (as it was asked for), digest (what runs, or null), state (held, other_digest, not_held),
                   pulled_from_mirror, held[] (the mirror's digests), releases[] (that have it),
                   where[] (NAMESPACE/NAME)
    passed_over    how many images are none that the mirror might hold
    unread[]       what is no image reference, a sentence each
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mirror.cli import output
from mirror.cli.options import to_option
from mirror.cli.workloads import inventory_of

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.cluster.audit import AuditReport, Finding
    from mirror.cluster.running import Inventory

_WORDS = {"held": "held", "other_digest": "another digest", "not_held": "not held"}
_PODS_SHOWN = 3


@click.command(name="audit")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="-")
@to_option
@click.option("--all", "is_all", is_flag=True, help="Every image of the cluster, not only what the mirror might hold.")
@output.output_option
@click.pass_obj
def command(context: Context, file: Path, to: str, is_all: bool, output_format: output.OutputFormat) -> int:
    r"""Say what a cluster runs that the mirror does not hold, or holds at another digest.

    FILE is the output of `kubectl get pods -A -o json`, stdin without one; of workloads (deployments, cronjobs, …) what
    their templates ask for is read too. Looked at are Linkerd's images, those that a record names, and what is pulled
    from the mirror. Ends with 4 if the mirror does not hold something as it runs.

    \b
    Examples:
      kubectl get pods -A -o json | mirror audit --to registry.example.com/linkerd
      kubectl get pods,deployments,cronjobs -A -o json > cluster.json && mirror audit cluster.json --all -o json
    """
    report = asyncio.run(_audit(context, inventory_of(file), to, is_all=is_all))
    if output_format == "json":
        output.print_json(report.document())
    else:
        _print(report)
    return report.exit_code


async def _audit(context: Context, inventory: Inventory, to: str, *, is_all: bool) -> AuditReport:
    from mirror.app import App
    from mirror.cluster.audit import audit

    async with App(context.settings, context.environ) as app:
        return await audit(app.mirror(to), inventory, context.settings.resolve, everything=is_all)


def _print(report: AuditReport) -> None:
    if report.findings:
        output.print_table(["IMAGE", "MIRROR", "PULLED FROM", "WHERE"], [_row(each) for each in report.findings])
    told = (
        ", ".join(f"{count} {_WORDS[state]}" for state, count in sorted(report.counts.items())) or "nothing to look at"
    )
    others = f"; {report.passed_over} others were not looked at" if report.passed_over else ""
    output.print_line(f"{report.destination}: {told}{others}")


def _row(finding: Finding) -> tuple[str, str, str, str]:
    where = list(finding.image.where[:_PODS_SHOWN])
    if (more := len(finding.image.where) - len(where)) > 0:
        where.append(f"and {more} more")
    lines = [_WORDS[finding.state]]
    if finding.state == "other_digest":
        lines += [
            f"runs {finding.image.digest}",
            *(f"held {each}" for each in sorted({h.digest for h in finding.known})),
        ]
    source = "the mirror" if finding.is_pulled_from_mirror else "upstream"
    return str(finding.image.reference), "\n".join(lines), source, "\n".join(where)
