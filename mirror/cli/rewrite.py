"""`mirror rewrite`."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import click

from mirror.cli import output
from mirror.cli.options import complete_release, to_option

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.linkerd.rewrite import Rewritten


@click.command(name="rewrite")
@click.option(
    "-f",
    "--for",
    "releases",
    multiple=True,
    metavar="RELEASE",
    shell_complete=complete_release,
    help="Only what this release needs, or a channel's newest that is recorded; may be given several times.  "
    "[default: every release that is recorded]",
)
@to_option
@click.option("--pin", type=click.Choice(["digest", "tag"]), help="Pin images to their digests, or name tags alone.")
@click.option("--strict", is_flag=True, help="End with 4 if an image was left alone.")
@click.pass_obj
def command(
    context: Context, releases: tuple[str, ...], to: str, pin: Literal["digest", "tag"] | None, strict: bool
) -> int:
    r"""Point every image in Kubernetes manifests at the mirror: from stdin to stdout, all else byte for byte.

    Containers of every kind, Linkerd's injector annotations, and what its ConfigMap tells the injector. What the mirror
    does not hold is left alone and listed on stderr. Needs no upstream; what is used is held to its record first.

    \b
    Examples:
      linkerd install | mirror rewrite --to registry.example.com/linkerd | kubectl apply -f -
      linkerd multicluster link ... | mirror rewrite --strict | kubectl apply -f -
      # as a post-renderer of Helm 3; for Helm 4 see docs/rewrite.md
      helm upgrade ... --post-renderer mirror --post-renderer-args rewrite
    """
    rewritten = asyncio.run(_rewritten(context, _manifests(), to, releases, pin))
    _write(rewritten.text)
    for left in rewritten.left:
        click.echo(output.printable(f"{left.reference} ({left.where}) is left alone: {left.problem}"), err=True)
    return 4 if strict and rewritten.left else 0


def _manifests() -> str:
    from mirror.errors import UsageError
    from mirror.linkerd.rewrite import SIZE_MAX

    if sys.stdin.isatty():
        raise UsageError("there are no manifests on stdin: `linkerd install | mirror rewrite`, say")
    data = sys.stdin.buffer.read(SIZE_MAX + 1)
    if len(data) > SIZE_MAX:
        raise UsageError(f"the manifests are larger than {SIZE_MAX >> 20} MiB: rewrite them in parts")
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        column = exc.start - (data.rfind(b"\n", 0, exc.start) + 1) + 1
        raise UsageError(
            f"the manifests are not UTF-8 at line {line}, byte {column} of it: save them as UTF-8"
        ) from exc


def _write(text: str) -> None:
    try:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, "stdout") from exc


async def _rewritten(
    context: Context, text: str, to: str, releases: tuple[str, ...], pin: Literal["digest", "tag"] | None
) -> Rewritten:
    from mirror import record as records
    from mirror.app import App
    from mirror.errors import UsageError
    from mirror.linkerd.holdings import Holdings
    from mirror.linkerd.rewrite import rewrite
    from mirror.tasks import gather
    from mirror.values import Clerk
    from mirror.verify import check

    async with App(context.settings, context.environ) as app:
        mirror, wanted = app.mirror(to), app.wanted()
        if not mirror.pull_registry:
            raise UsageError(f"{mirror.place} is a layout: clusters pull by a name, so give it a pull_registry")
        selectors = await app.recordable(releases)
        asked = await records.asked_for(mirror.records, selectors) or await records.recorded(mirror.records)
        if not asked:
            raise UsageError(f"nothing is recorded at {mirror.place}: run mirror sync first")
        read = await gather(*(records.read(mirror.records, str(release), mirror.seal) for release in asked))
        if missing := [str(release) for release, record in zip(asked, read, strict=True) if record is None]:
            raise UsageError(f"{mirror.place} has no record of {missing[0]}: run `mirror sync {missing[0]}` first")
        holdings = Holdings(app.settings.resolve)
        recorded = sorted((record for record in read if record is not None), key=lambda record: record.recorded_at)
        for record in recorded:
            holdings.add(Clerk(mirror, record, wanted).holdings)
        rewritten = rewrite(text, holdings, pin or wanted.pin)
        used = {(found.holding.release, found.holding.located.reference) for found in rewritten.found if found.holding}
        for record in recorded:
            images = tuple(image for image in record.images if (record.release, image.image.reference) in used)
            if images:
                await check(mirror, replace(record, images=images), app.signatures())
        return rewritten
