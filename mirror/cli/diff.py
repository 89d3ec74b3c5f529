"""`mirror diff A [B]`.

With `-o json`:

    first, second    what is compared, in words
    images[]         image, state (same, changed, only_first, only_second, unknown), first and second, layers
      first, second  reference, digest, platforms[], bytes; null where that side has no such image
      layers         new, gone, shared: count and bytes of the blobs that only the second, only the first, both have
    values[]         chart, path, first, second (each as JSON in a string, null where that side has it not)
    charts[]         what moved in the chart repository since it was recorded, a sentence each
    bytes            that the second has and the first has not
    notes[]          what could not be compared, and why
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from mirror.amounts import human_size
from mirror.cli import output
from mirror.cli.options import complete_release, to_option

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.difference.found import Difference, ImageDifference

_WORDS = {
    "same": "same",
    "changed": "changed",
    "only_first": "only in the first",
    "only_second": "only in the second",
    "unknown": "not known",
}
_VALUE_MAX = 60


@click.command(name="diff")
@click.argument("first", metavar="A", shell_complete=complete_release)
@click.argument("second", metavar="[B]", default="", shell_complete=complete_release)
@to_option
@output.output_option
@click.pass_obj
def command(context: Context, first: str, second: str, to: str, output_format: output.OutputFormat) -> int:
    r"""Say what differs between the releases A and B, or of A alone between upstream and the mirror.

    Two releases are compared as upstream has them: images, digests, layers, platforms, sizes, and the values of their
    charts. With --to they are compared as that mirror has recorded them, which needs no upstream, and knows no values.
    Ends with 4 if something differs, with 1 if an image could not be read.

    \b
    Examples:
      mirror diff edge-26.8.2 edge-26.8.3
      mirror diff edge-26.8.2 edge-26.8.3 --to registry.example.com/linkerd
      mirror diff edge-26.8.3 --to registry.example.com/linkerd -o json | jq '.images[] | select(.state != "same")'
    """
    found = asyncio.run(_diff(context, first, second, to))
    if output_format == "json":
        output.print_json(found.document())
    else:
        _print(found)
    return found.exit_code


async def _diff(context: Context, first: str, second: str, to: str) -> Difference:
    from mirror.app import App
    from mirror.difference.gather import of_both, of_mirror, of_upstream

    async with App(context.settings, context.environ) as app:
        catalogue = app.catalogue()
        releases = [await catalogue.one(each) for each in app.selectors([first, second] if second else [first])]
        if not second:
            return await of_both(catalogue, app.source, app.mirror(to), releases[0])
        if to:
            return await of_mirror(app.mirror(to), releases)
        return await of_upstream(catalogue, app.source, releases)


def _print(found: Difference) -> None:
    changed = [image for image in found.images if image.state != "same"]
    if changed:
        output.print_table(
            [
                "IMAGE",
                "",
                "FIRST",
                "SECOND",
                output.Column("NEW", is_right=True),
                output.Column("SHARED", is_right=True),
            ],
            [_row(image) for image in changed],
            title=f"{found.first} → {found.second}",
        )
    for value in found.values:
        output.print_line(f"{value.chart}: {value.path}: {_short(value.first)} → {_short(value.second)}")
    for line in (*found.charts, *found.notes):
        output.print_line(line)
    same = len(found.images) - len(changed)
    values = f"; {len(found.values)} values differ" if found.values else ""
    output.print_line(
        f"{len(changed)} of {len(found.images)} images differ, {same} do not; {human_size(found.size)} are new{values}"
    )


def _row(image: ImageDifference) -> tuple[str, ...]:
    words = [_WORDS[image.state]]
    first, second = image.first, image.second
    if first and second and first.platforms != second.platforms:
        words += [f"no longer {each}" for each in first.platforms if each not in second.platforms]
        words += [f"now {each}" for each in second.platforms if each not in first.platforms]
    told = [f"{shape.digest or ''}\n{human_size(shape.size)}" if shape else "" for shape in (first, second)]
    new, shared = (human_size(sum(blobs.values())) for blobs in (image.new, image.shared))
    return image.image, "\n".join(words), *told, new, shared


def _short(value: str | None) -> str:
    if value is None:
        return "(none)"
    return value if len(value) <= _VALUE_MAX else f"{value[:_VALUE_MAX]}…"
