"""`mirror overrides RELEASE`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mirror.cli import output
from mirror.cli.options import to_option

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.report import Proof


@dataclass(frozen=True, slots=True)
class _Answer:
    release: str
    destination: str
    texts: dict[str, str]
    install: dict[str, str]
    """By chart, how Helm installs it from the mirror."""
    proof: Proof
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]
    """A sentence for each chart that has no values, because the mirror does not hold all its images."""


@click.command(name="overrides")
@click.argument("release")
@to_option
@click.option("--pin", type=click.Choice(["digest", "tag"]), help="Pin images to their digests, or name tags alone.")
@click.option("--chart", "charts", multiple=True, metavar="CHART", help="Only this chart; may be given several times.")
@click.option("-d", "--directory", type=click.Path(path_type=Path), metavar="DIR", help="Write DIR/CHART.yaml.")
@click.option("--prove", is_flag=True, help="Render each chart with Helm, and hold every image to the mirror.")
@output.output_option
@click.pass_obj
def command(
    context: Context,
    release: str,
    to: str,
    pin: Literal["digest", "tag"] | None,
    charts: tuple[str, ...],
    directory: Path | None,
    prove: bool,
    output_format: output.OutputFormat,
) -> int:
    r"""Write the Helm values that point RELEASE's charts at the mirror, from the record there.

    Needs no upstream; the mirror's tags are held to the record first. Only --prove reads the charts again, and those
    that the mirror holds where the chart repository does not answer.

    \b
    Examples:
      mirror overrides edge-26.8.3 --to registry.example.com/linkerd -d values
      helm upgrade --install linkerd-viz oci://registry.example.com/linkerd/charts/linkerd-viz --version 2026.8.3 \
          -f values/linkerd-viz.yaml
    """
    answer = asyncio.run(_overrides(context, release, to, pin, charts, prove=prove))
    files = _write(directory, answer.texts) if directory else []
    if output_format == "json":
        output.print_json(_document(answer, files))
    else:
        _print(answer, files, prove=prove)
    return 1 if answer.proof == "failed" or answer.missing else 0


async def _overrides(
    context: Context, text: str, to: str, pin: Literal["digest", "tag"] | None, charts: tuple[str, ...], *, prove: bool
) -> _Answer:
    from mirror import record as records
    from mirror.app import App
    from mirror.errors import UsageError
    from mirror.library import charts_of
    from mirror.linkerd.release import Release
    from mirror.values import Clerk
    from mirror.verify import check

    async with App(context.settings, context.environ) as app:
        release, mirror = Release.parse(text), app.mirror(to)
        if not mirror.pull_registry:
            raise UsageError(f"{mirror.place} is a layout: clusters pull by a name, so give it a pull_registry")
        record = await records.read(mirror.records, str(release), mirror.seal)
        if record is None:
            raise UsageError(f"{mirror.place} has no record of {release}: run `mirror sync {release}` first")
        await check(mirror, record, app.signatures())
        wanted = app.wanted()
        clerk = Clerk(mirror, record, replace(wanted, pin=pin) if pin else wanted)
        wanted_charts = _chosen(charts, {chart.name for chart in record.charts}, str(release))
        texts = {chart.name: clerk.values(chart) for chart in clerk.whole if chart.name in wanted_charts}
        commands = {facts.name: clerk.helm_command(facts) for facts in record.charts if facts.name in texts}
        proof: Proof = "not proven"
        note = ""
        problems: dict[str, tuple[str, ...]] = {}
        if prove:
            helm = _helm()
            read, note = await charts_of(release, app.catalogue(), [mirror])
            proof, found = await clerk.prove(helm, read, texts)
            problems = dict(found)
        return _Answer(
            release=str(release),
            destination=mirror.name,
            texts=texts,
            install={chart: command for chart, command in commands.items() if command},
            proof=proof,
            problems=tuple(f"{chart}: {problem}" for chart, several in problems.items() for problem in several),
            notes=(*clerk.notes, *([note] if note else [])),
            missing=tuple(
                f"no values for {chart}: {missing.reference} is not in the mirror; run mirror sync {release}"
                for missing in record.missing
                for chart in missing.charts
                if chart in wanted_charts
            ),
        )


def _helm() -> str:
    from mirror.errors import UsageError
    from mirror.linkerd.helm import find_helm

    helm = find_helm()
    if helm is None:
        raise UsageError("--prove needs Helm, which is not on PATH")
    return helm


def _chosen(charts: tuple[str, ...], known: set[str], release: str) -> set[str]:
    from mirror.errors import UsageError

    if unknown := sorted(set(charts) - known):
        raise UsageError(f"{release} is recorded without {', '.join(unknown)}: it has {', '.join(sorted(known))}")
    return set(charts) or known


def _write(directory: Path, texts: dict[str, str]) -> list[str]:
    from mirror.values import write_file

    return [str(write_file(directory / f"{chart}.yaml", text)) for chart, text in sorted(texts.items())]


def _document(answer: _Answer, files: list[str]) -> dict[str, object]:
    return {
        "release": answer.release,
        "destination": answer.destination,
        "charts": answer.texts,
        "install": answer.install,
        "files": files,
        "proof": answer.proof,
        "proof_problems": list(answer.problems),
        "notes": [*answer.notes, *answer.missing],
    }


def _print(answer: _Answer, files: list[str], *, prove: bool) -> None:
    if files:
        for file in files:
            output.print_line(file)
    else:
        for chart, text in sorted(answer.texts.items()):
            output.print_line(f"---\n# {chart}.yaml\n{text}" if len(answer.texts) > 1 else text.rstrip("\n"))
    for line in (*answer.notes, *answer.missing, *answer.problems, *([answer.proof] if prove else [])):
        click.echo(output.printable(line), err=True)
