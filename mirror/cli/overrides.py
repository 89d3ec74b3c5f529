"""`mirror overrides RELEASE`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mirror.cli import output
from mirror.cli.options import complete_release, to_option

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.destinations.mirror import Mirror
    from mirror.linkerd.overrides import Located
    from mirror.report import Proof
    from mirror.values import Clerk

Pin = Literal["digest", "tag"]
Format = Literal["helm", "kustomize", "containerd", "images"]


@dataclass(frozen=True, slots=True)
class _Answer:
    release: str
    destination: str
    texts: dict[str, str]
    """By the name of the file that each is."""
    images: tuple[Located, ...]
    install: dict[str, str]
    """By chart, how Helm installs it from the mirror."""
    proof: Proof
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]
    """A sentence for each chart that has no values, because the mirror does not hold all its images."""


@click.command(name="overrides")
@click.argument("release", shell_complete=complete_release)
@to_option
@click.option("--pin", type=click.Choice(["digest", "tag"]), help="Pin images to their digests, or name tags alone.")
@click.option(
    "--format",
    "text_format",
    type=click.Choice(["helm", "kustomize", "containerd", "images"]),
    default="helm",
    help="Helm values; a kustomize Component; a hosts.toml for each registry; or a list.  [default: helm]",
)
@click.option("--chart", "charts", multiple=True, metavar="CHART", help="Only this chart; may be given several times.")
@click.option(
    "-d",
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write DIR/CHART.yaml, or what the format is called.",
)
@click.option("--prove", is_flag=True, help="Render each chart with Helm, and hold every image to the mirror.")
@output.output_option
@click.pass_obj
def command(
    context: Context,
    release: str,
    to: str,
    pin: Pin | None,
    text_format: Format,
    charts: tuple[str, ...],
    directory: Path | None,
    prove: bool,
    output_format: output.OutputFormat,
) -> int:
    r"""Write the Helm values that point RELEASE's charts at the mirror, from the record there.

    RELEASE is an exact release, or a channel for its newest that is recorded, as edge.

    Needs no upstream; the mirror's tags are held to the record first. Only --prove reads the charts again, and those
    that the mirror holds where the chart repository does not answer.

    \b
    Examples:
      mirror overrides edge-26.8.3 --to registry.example.com/linkerd -d values
      helm upgrade --install linkerd-viz oci://registry.example.com/linkerd/charts/linkerd-viz --version 2026.8.3 \
          -f values/linkerd-viz.yaml
      # containerd on the nodes: what charts hard-code too, if the mirror has paths = "upstream"
      mirror overrides edge-26.8.3 --format containerd -d /etc/containerd/certs.d
    """
    asked = _Asked(release, to, pin, text_format, charts, prove)
    answer = asyncio.run(_overrides(context, asked))
    files = _write(directory, answer.texts) if directory else []
    if output_format == "json":
        output.print_json(_document(answer, files, text_format))
    else:
        _print(answer, files, asked)
    return 1 if answer.proof == "failed" or answer.missing else 0


@dataclass(frozen=True, slots=True)
class _Asked:
    release: str
    to: str
    pin: Pin | None
    text_format: Format
    charts: tuple[str, ...]
    is_proof_wanted: bool


async def _overrides(context: Context, asked: _Asked) -> _Answer:
    from mirror import record as records
    from mirror.app import App
    from mirror.errors import UsageError
    from mirror.library import charts_of
    from mirror.values import Clerk, render_slots
    from mirror.verify import check

    if asked.is_proof_wanted and asked.text_format != "helm":
        raise UsageError("--prove renders charts with their Helm values, so it goes with --format helm alone")
    async with App(context.settings, context.environ) as app:
        selectors, mirror = await app.recordable([asked.release]), app.mirror(asked.to)
        if not mirror.pull_registry:
            raise UsageError(f"{mirror.place} is a layout: clusters pull by a name, so give it a pull_registry")
        release, *others = await records.asked_for(mirror.records, selectors)
        if others:
            raise UsageError(f"{asked.release} asks for {1 + len(others)} releases: name one")
        record = await records.read(mirror.records, str(release), mirror.seal)
        if record is None:
            raise UsageError(f"{mirror.place} has no record of {release}: run `mirror sync {release}` first")
        await check(mirror, record, app.signatures())
        wanted = app.wanted()
        clerk = Clerk(mirror, record, replace(wanted, pin=asked.pin) if asked.pin else wanted)
        wanted_charts = _chosen(asked.charts, {chart.name for chart in record.charts}, str(release))
        texts = _texts(clerk, asked.text_format, wanted_charts)
        commands = {facts.name: clerk.helm_command(facts) for facts in clerk.whole if facts.name in wanted_charts}
        proof: Proof = "not proven"
        note = ""
        problems: dict[str, tuple[str, ...]] = {}
        if asked.is_proof_wanted:
            helm = _helm()
            read, note = await charts_of(release, app.catalogue(), [mirror])
            values = {name.removesuffix(".yaml"): text for name, text in texts.items()}
            proof, found = await clerk.prove(helm, read, values, slots=render_slots())
            problems = dict(found)
        return _Answer(
            release=str(release),
            destination=mirror.name,
            texts=texts,
            images=_located(clerk, wanted_charts),
            install={chart: command for chart, command in commands.items() if command},
            proof=proof,
            problems=tuple(f"{chart}: {problem}" for chart, several in problems.items() for problem in several),
            notes=(*(clerk.notes if asked.text_format in ("helm", "kustomize") else ()), *([note] if note else [])),
            missing=tuple(
                f"no values for {chart}: {missing.reference} is not in the mirror; run mirror sync {release}"
                for missing in record.missing
                for chart in missing.charts
                if chart in wanted_charts
            ),
        )


def _texts(clerk: Clerk, text_format: Format, charts: set[str]) -> dict[str, str]:
    """By file, what *text_format* says of the images of *charts*."""
    from mirror.linkerd import formats

    located = _located(clerk, charts)
    match text_format:
        case "helm":
            return {f"{chart.name}.yaml": clerk.values(chart) for chart in clerk.whole if chart.name in charts}
        case "kustomize":
            text = formats.kustomization(located, pin=clerk.wanted.pin, heading=clerk.heading)
            return {"kustomization.yaml": text}
        case "containerd":
            paths = {image.image.reference: image.target.path for image in clerk.record.images}
            asked = {each.reference: paths[each.reference] for each in located}
            remedy = _remedy(clerk.mirror, clerk.record.release)
            return dict(formats.hosts_files(asked, url=clerk.mirror.pull_url, remedy=remedy))
        case "images":
            return {"images.txt": "".join(f"{name}\n" for name in formats.mirrored(located))}


def _remedy(mirror: Mirror, release: str) -> str:
    return (
        f'give the destination {mirror.name} paths = "upstream" in the configuration, in place of "{mirror.paths}",'
        f" and run mirror sync {release}"
    )


def _located(clerk: Clerk, charts: set[str]) -> tuple[Located, ...]:
    located = clerk.located
    return tuple(located[image.reference] for image in clerk.images if charts & set(image.charts))


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

    return [str(write_file(directory / name, text)) for name, text in sorted(texts.items())]


def _document(answer: _Answer, files: list[str], text_format: Format) -> dict[str, object]:
    document: dict[str, object] = {
        "release": answer.release,
        "destination": answer.destination,
        "format": text_format,
        "files": files,
        "notes": [*answer.notes, *answer.missing],
    }
    if text_format == "helm":
        charts = {name.removesuffix(".yaml"): text for name, text in answer.texts.items()}
        proof = {"proof": answer.proof, "proof_problems": list(answer.problems)}
        return document | {"charts": charts, "install": answer.install, **proof}
    images = [
        {"reference": each.reference, "repository": each.repository, "tag": each.tag, "digest": str(each.digest)}
        for each in answer.images
    ]
    return document | {"texts": answer.texts, "images": images}


def _print(answer: _Answer, files: list[str], asked: _Asked) -> None:
    if files:
        for file in files:
            output.print_line(file)
    else:
        joint = "---\n" if asked.text_format == "helm" else ""
        for name, text in sorted(answer.texts.items()):
            output.print_line(f"{joint}# {name}\n{text}" if len(answer.texts) > 1 else text.rstrip("\n"))
    proof = [answer.proof] if asked.is_proof_wanted else []
    for line in (*answer.notes, *answer.missing, *answer.problems, *proof):
        click.echo(output.printable(line), err=True)
