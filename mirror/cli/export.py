"""`mirror export RELEASE... FILE.tar`.

With `-o json`:

    archive         the file
    bytes, left_out its size, and that of the blobs that the other side holds
    releases[]      release, from (the place of a mirror, or "upstream"), outcome, reason
      images[]      reference, digest, outcome, reason, signature
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from mirror.amounts import human_size
from mirror.cli import output
from mirror.cli.options import accept_option, complete_release, to_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from mirror.cli.main import Context
    from mirror.cli.progress import Progress, QuietProgress
    from mirror.oci.content import Digest
    from mirror.oci.pack import Pack
    from mirror.report import ExportReport

STDOUT = "-"


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Releases, else files: every word may still be the last."""
    from click.shell_completion import CompletionItem

    names = complete_release(context, parameter, incomplete)
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


@click.command(name="export")
@click.argument("releases", nargs=-1, required=True, metavar="RELEASE...", shell_complete=_complete)
@click.argument("file", type=click.Path(dir_okay=False, readable=False, allow_dash=True), metavar="FILE.tar")
@to_option
@click.option(
    "--since",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="RECORD",
    help="Leave out the blobs that the other side holds: what `mirror verify --to DEST -o json` prints there.",
)
@accept_option
@output.output_option
@click.pass_obj
def command(
    context: Context,
    releases: tuple[str, ...],
    file: str,
    to: str,
    since: Path | None,
    accept: tuple[str, ...],
    output_format: output.OutputFormat,
) -> int:
    r"""Write releases into one file, with their signatures and records, for `mirror import` on the other side.

    They come from the mirror where it holds them as a whole, else from upstream, and are verified as by a sync. The
    file is an OCI image layout in a tar, which skopeo and crane read too; it has its name once it is complete. With -
    it goes to stdout.

    \b
    Examples:
      mirror export edge-26.8.3 linkerd.tar --to registry.example.com/linkerd
      # only what the other side does not hold yet
      mirror verify --to registry.inside.example/linkerd -o json >held.json    # there
      mirror export edge-26.8.4 linkerd.tar --since held.json                  # here
      mirror export edge-26.8.3 - | ssh gateway 'cat >linkerd.tar'
    """
    if file == STDOUT and (sys.stdout.isatty() or output_format == "json"):
        raise click.UsageError("with - stdout is the archive: send it into a pipe or a file, and leave -o json out")
    if _is_release(file, context.settings.channels):
        raise click.UsageError(f"the last argument is the file, and {file} names a release: give FILE.tar")
    if not Path(file).parent.is_dir():
        raise click.UsageError(f"{file} cannot be written: there is no directory {Path(file).parent}")
    report = asyncio.run(_export(context, releases, file, to, since, accept))
    if output_format == "json":
        output.print_json(report.document())
    else:
        _print(report, to_stderr=file == STDOUT)
    return report.exit_code


async def _export(
    context: Context, releases: tuple[str, ...], file: str, to: str, since: Path | None, accept: tuple[str, ...]
) -> ExportReport:
    from mirror.airgap import held_images
    from mirror.app import App, parse_accepted
    from mirror.cli.progress import QuietProgress
    from mirror.oci.pack import Pack, lacking

    held = held_images(_read(since), where=str(since)) if since else ()
    async with App(context.settings, context.environ) as app:
        exporter = app.exporter(QuietProgress(), to, parse_accepted(accept))
        pack = Pack("stdout" if file == STDOUT else file)
        report = await exporter.pack(app.selectors(releases), pack)
        if report.exit_code:
            return report
        left_out = lacking(pack.needed, await exporter.held_there(pack, held)) if held else frozenset()
        with context.progress() as progress, _opened(file) as out:
            await _write(pack, out, left_out, progress)
        return replace(report, size=pack.size(left_out), left_out=pack.weight(left_out))


async def _write(pack: Pack, out: BinaryIO, left_out: frozenset[Digest], progress: Progress | QuietProgress) -> None:
    from mirror.sync import Move

    move = Move(pack.where)
    progress.image_started(move, pack.size(left_out))
    await pack.write(out, left_out=left_out, on_bytes=lambda count: progress.advanced(move, count))
    progress.image_finished(move, "exported")


def _is_release(file: str, channels: Iterable[str]) -> bool:
    """Whether *file* is rather one more release; with a slash before it, or as FILE.tar, it never is."""
    from mirror.errors import UsageError
    from mirror.linkerd.release import parse_selector

    try:
        parse_selector(file, channels=channels)
    except UsageError:
        return False
    return not file.endswith(".tar")  # as the suffix of a release may


def _read(since: Path) -> str:
    return sys.stdin.read() if str(since) == STDOUT else since.read_text(errors="replace")


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    """Where the archive goes: a file that has its name once all of it is on the disk, or what is no file as it is."""
    if file == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    new = path.with_name(f".mirror-{secrets.token_hex(8)}")
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            with path.open("wb") as out:
                yield out
            return
        with new.open("xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        new.replace(path)
    except OSError as exc:
        if exc.errno is None or exc.filename not in (None, str(new)):
            raise
        raise OSError(exc.errno, exc.strerror, file) from exc
    finally:
        with suppress(OSError):  # it was never made, or has its name
            new.unlink()


def _print(report: ExportReport, *, to_stderr: bool) -> None:
    def tell(line: str) -> None:
        click.echo(output.printable(line), err=to_stderr)

    for release in report.releases:
        for image in release.images:
            if image.outcome in ("refused", "failed"):
                tell(f"  {image.outcome} {image.reference}: {image.reason}")
        if release.problem:
            tell(f"{release.release}: {release.problem}")
        if release.images:
            signed = output.signatures_told(image.verdict for image in release.images)
            origin = report.origins[release.release]
            tell(f"{release.release} from {origin}: {len(release.images)} images{f'; {signed}' if signed else ''}")
    if report.exit_code:
        tell(f"nothing was written to {report.archive}")
        return
    left = f", {human_size(report.left_out)} left out that the other side holds" if report.left_out else ""
    tell(f"{report.archive}: {human_size(report.size)}{left}")
