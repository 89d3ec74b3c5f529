"""`mirror path FROM TO`.

With `-o json`:

    hops[]          from, to, version (of the project, that `to` is part of), changes[]
      changes[]     kind (mirror/upgrade/changes.py lists them), told; chart or image where it is of one
    notes[]         what could not be compared, and why: a registry that does not answer leaves platforms out
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mirror.cli import output
from mirror.cli.options import complete_release

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.upgrade.changes import Change
    from mirror.upgrade.gather import Upgrade

_OURS = "cr.l5d.io/linkerd/"


@click.command(name="path")
@click.argument("start", metavar="FROM", shell_complete=complete_release)
@click.argument("end", metavar="TO", shell_complete=complete_release)
@output.output_option
@click.pass_obj
def command(context: Context, start: str, end: str, output_format: output.OutputFormat) -> None:
    r"""Say by which releases Linkerd supports an upgrade from FROM to TO, and what changes at each.

    FROM and TO are releases, or ask for one: edge for the newest, 2.19 for a version of the project. Charts are read
    and compared; registries are asked which platforms their images have, and left out where they do not answer.
    `mirror sync TO --from FROM` mirrors every release of the path.

    \b
    Examples:
      mirror path stable-2.14.10 edge
      mirror path edge-24.11.8 2.20 -o json | jq -r '.hops[] | .to'
    """
    found = asyncio.run(_upgrade(context, start, end))
    if output_format == "json":
        output.print_json(found.document())
    else:
        _print(found)


async def _upgrade(context: Context, start: str, end: str) -> Upgrade:
    from mirror.app import App
    from mirror.upgrade.gather import upgrade

    async with App(context.settings, context.environ) as app:
        catalogue = app.catalogue()
        first, last = app.selectors([start, end])
        hops = await catalogue.path(await catalogue.one(first), await catalogue.one(last))
        return await upgrade(catalogue, app.source, hops)


def _print(upgrade: Upgrade) -> None:
    for hop, changes in upgrade.hops:
        output.print_line(f"{hop.before} → {hop.after}, Linkerd {hop.version}")
        for line in _lines(changes):
            output.print_line(f"  {line}")
    for note in upgrade.notes:
        output.print_line(note)


def _lines(changes: Sequence[Change]) -> list[str]:
    """A line for each that is told, with all that it is told of."""
    subjects: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        subjects.setdefault((change.kind, change.told), []).append(change.chart or change.image.removeprefix(_OURS))
    return [f"{', '.join(names)}: {told}" if any(names) else told for (_, told), names in subjects.items()]
