"""`mirror images RELEASE`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from mirror.cli import output
from mirror.cli.options import complete_release, to_option

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.linkerd.parts import Image
    from mirror.linkerd.release import Release


@click.command(name="images")
@click.argument("release", shell_complete=complete_release)
@to_option
@output.output_option
@click.pass_obj
def command(context: Context, release: str, to: str, output_format: output.OutputFormat) -> None:
    r"""List the images of RELEASE, from its charts, with the values that control each.

    Where the chart repository does not answer, the charts are those that a destination holds, if it holds the release.

    \b
    Examples:
      mirror images edge-26.8.3
      mirror images edge -o json | jq -r '.images[].reference'
    """
    found, images, note = asyncio.run(_images(context, release, to))
    if note:
        click.echo(output.printable(note), err=True)
    if output_format == "json":
        notes = [note] if note else []
        output.print_json({"release": str(found), "images": [_document(image) for image in images], "notes": notes})
        return
    output.print_table(
        ["IMAGE", "CHARTS", "VALUES", output.Column("", style="dim")],
        [(image.reference, "\n".join(image.charts), _values(image), _remarks(image)) for image in images],
        title=f"Linkerd {found}: {len(images)} images",
    )


async def _images(context: Context, text: str, to: str) -> tuple[Release, tuple[Image, ...], str]:
    from mirror.app import App
    from mirror.library import charts_of
    from mirror.linkerd.images import release_images

    async with App(context.settings, context.environ) as app:
        catalogue = app.catalogue()
        release = await catalogue.one(*app.selectors([text]))
        charts, note = await charts_of(release, catalogue, app.mirrors(to))
        return release, release_images(charts), note


def _document(image: Image) -> dict[str, object]:
    return {
        "reference": image.reference,
        "charts": list(image.charts),
        "values": [
            {
                "chart": control.chart,
                "registry": control.registry,
                "name": control.name,
                "tag": control.tag,
                "unpinnable": control.unpinnable,
            }
            for control in image.controls
        ],
        "hardcoded": image.is_hardcoded,
        "first_party": image.is_first_party,
        "optional": image.is_optional,
        "notes": list(image.notes),
    }


def _values(image: Image) -> str:
    lines = []
    for control in image.controls:
        paths = dict.fromkeys(path for path in (control.registry, control.name, control.tag) if path)
        lines.append(f"{control.chart}: {' '.join(paths)}")
    return "\n".join(lines)


def _remarks(image: Image) -> str:
    remarks = {"hard-coded": image.is_hardcoded, "optional": image.is_optional, "third party": not image.is_first_party}
    return ", ".join(remark for remark, holds in remarks.items() if holds)
