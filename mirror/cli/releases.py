"""`mirror releases [CHANNEL]`.

With `-o json`, every release, or as many as `--limit` says:

    versions        where the versions of the project come from, in words
    channels[]      channel, chart_repository, releases[], listed (how many it has); error where it did not answer
      releases[]    release, created (RFC 3339, or null), version (as "2.19", or null), charts (version by name),
                    mirrored (names of destinations), mirrored_in_part (those that lack images of it: they failed, or
                    were refused), is_listed (false: recorded, and not in the chart index)
    destinations[]  destination, place; error where it did not answer, or a record cannot be read
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

import click

from mirror.cli import output
from mirror.cli.options import to_option

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.destinations.mirror import Mirror
    from mirror.linkerd.catalogue import ChartCatalogue, Listed
    from mirror.linkerd.release import Release

DEFAULT_LIMIT = 10
_RECORDS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Channel:
    name: str
    url: str
    listed: tuple[Listed, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Destination:
    name: str
    place: str
    recorded: Mapping[Release, bool] = field(default_factory=dict)
    """Whether it is there as a whole, by its record."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Answer:
    channels: tuple[_Channel, ...]
    destinations: tuple[_Destination, ...]
    versions: str

    @property
    def errors(self) -> list[str]:
        """What did not answer, each in a sentence."""
        asked = [(each.name, each.error) for each in self.channels]
        asked += [(each.name, each.error) for each in self.destinations]
        return [f"{name}: {error}" for name, error in asked if error]


@dataclass(frozen=True, slots=True)
class _Row:
    release: Release
    listed: Listed | None
    """None: it is recorded, and the chart index does not list it."""
    mirrored: tuple[str, ...] = ()
    mirrored_in_part: tuple[str, ...] = ()


@click.command(name="releases")
@click.argument("channels", nargs=-1, metavar="[CHANNEL]...")
@to_option
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="How many of each channel, the newest; those that are mirrored are there besides.",
)
@click.option("--all", "is_all", is_flag=True, help="Every release.")
@output.output_option
@click.pass_obj
def command(
    context: Context,
    channels: tuple[str, ...],
    to: str,
    limit: int,
    is_all: bool,
    output_format: output.OutputFormat,
) -> int:
    r"""List the releases that exist, by channel, the newest first, and where each is mirrored.

    CHANNEL is one of the configuration's; without one, all of them. VERSION is the version of the project that a
    release is part of. A destination that lacks images of a release, which failed or were refused, has it in part. One
    that does not answer is named, and the rest is listed.

    \b
    Examples:
      mirror releases
      mirror releases edge --all --to registry.example.com/linkerd
      mirror releases stable -o json | jq -r '.channels[].releases[] | select(.mirrored == []) | .release'
    """
    answer = asyncio.run(_asked(context, channels, to))
    shown = {
        channel.name: _rows(channel, answer.destinations, None if is_all else limit) for channel in answer.channels
    }
    if output_format == "json":
        output.print_json(_document(answer, shown))
    else:
        _print(answer, shown)
    return 1 if any(channel.error for channel in answer.channels) else 0


async def _asked(context: Context, channels: Sequence[str], to: str) -> _Answer:
    from mirror.app import App
    from mirror.errors import UsageError
    from mirror.tasks import gather

    async with App(context.settings, context.environ) as app:
        catalogue = app.catalogue()
        if unknown := sorted(set(channels) - set(catalogue.channels)):
            known = " and ".join(sorted(catalogue.channels))
            raise UsageError(f"{unknown[0]!r} is not a channel: there is {known}")
        names = list(dict.fromkeys(channels)) or list(catalogue.channels)
        destinations = await gather(*(_destination(mirror, names) for mirror in app.mirrors(to)))
        found = await gather(*(_channel(catalogue, name) for name in names))
        return _Answer(tuple(found), tuple(destinations), (await catalogue.versions()).source)


async def _channel(catalogue: ChartCatalogue, name: str) -> _Channel:
    from mirror.errors import MirrorError

    url = catalogue.repository(name).url
    try:
        return _Channel(name, url, await catalogue.listed(name))
    except MirrorError as exc:
        return _Channel(name, url, error=str(exc))


async def _destination(mirror: Mirror, channels: Sequence[str]) -> _Destination:
    """What *mirror* has recorded of *channels*."""
    from mirror import record as records
    from mirror.errors import MirrorError
    from mirror.tasks import gather_some

    held: dict[Release, bool] = {}
    errors: list[str] = []

    async def read(release: Release) -> None:
        try:
            record = await records.read(mirror.records, str(release), mirror.seal)
        except MirrorError as exc:
            errors.append(str(exc))
        else:
            held.update({release: not record.missing} if record else {})

    try:
        recorded = [each for each in await records.recorded(mirror.records) if each.channel in channels]
    except MirrorError as exc:
        return _Destination(mirror.name, mirror.place, error=str(exc))
    await gather_some(map(read, recorded), at_once=_RECORDS_AT_ONCE)
    return _Destination(mirror.name, mirror.place, held, "; ".join(errors))


def _rows(channel: _Channel, destinations: Iterable[_Destination], limit: int | None) -> list[_Row]:
    """The newest *limit* releases of *channel*, and all that are recorded, newest first."""
    listed = {each.release: each for each in channel.listed}
    places: dict[Release, dict[str, bool]] = {}
    for destination in destinations:
        for release, is_whole in destination.recorded.items():
            if release.channel == channel.name:
                places.setdefault(release, {})[destination.name] = is_whole
    newest = sorted(listed, reverse=True)[:limit]
    return [
        _Row(
            release,
            listed.get(release),
            tuple(name for name, is_whole in places.get(release, {}).items() if is_whole),
            tuple(name for name, is_whole in places.get(release, {}).items() if not is_whole),
        )
        for release in sorted({*newest, *places}, reverse=True)
    ]


def _document(answer: _Answer, shown: Mapping[str, Sequence[_Row]]) -> dict[str, object]:
    return {
        "versions": answer.versions,
        "channels": [
            {
                "channel": channel.name,
                "chart_repository": channel.url,
                "listed": len(channel.listed),
                "releases": [_row_document(row) for row in shown[channel.name]],
                "error": channel.error or None,
            }
            for channel in answer.channels
        ],
        "destinations": [
            {"destination": each.name, "place": each.place, "error": each.error or None} for each in answer.destinations
        ],
    }


def _row_document(row: _Row) -> dict[str, object]:
    listed = row.listed
    return {
        "release": str(row.release),
        "created": listed.created.astimezone(UTC).isoformat(timespec="seconds") if listed and listed.created else None,
        "version": str(listed.version) if listed and listed.version else None,
        "charts": {chart.name: chart.version for chart in listed.charts} if listed else {},
        "mirrored": list(row.mirrored),
        "mirrored_in_part": list(row.mirrored_in_part),
        "is_listed": listed is not None,
    }


def _print(answer: _Answer, shown: Mapping[str, Sequence[_Row]]) -> None:
    for channel in answer.channels:
        rows = shown[channel.name]
        if rows:
            count = sum(row.listed is not None for row in rows)
            of = f"{count} of {len(channel.listed)}" if count < len(channel.listed) else str(count)
            output.print_table(
                ["RELEASE", "CREATED", "VERSION", "CHARTS", "MIRRORED"],
                [_cells(row) for row in rows],
                title=f"{channel.name}: {of} {'release' if len(channel.listed) == 1 else 'releases'}",
            )
        elif not channel.error:
            output.print_line(f"{channel.name}: no releases")
    for error in answer.errors:
        click.echo(output.printable(error), err=True)


def _cells(row: _Row) -> tuple[str, ...]:
    listed, mirrored = row.listed, " ".join((*row.mirrored, *(f"{name} (in part)" for name in row.mirrored_in_part)))
    if listed is None:
        return (str(row.release), "", "", "not in the chart index", mirrored)
    created = listed.created.astimezone(UTC).date().isoformat() if listed.created else ""
    version = str(listed.version) if listed.version else ""
    return (str(row.release), created, version, _charts(listed), mirrored)


def _charts(listed: Listed) -> str:
    """Charts by version: one version for most charts, or for all, is told once."""
    by_version: dict[str, list[str]] = {}
    for chart in listed.charts:
        by_version.setdefault(chart.version, []).append(chart.name)
    if len(by_version) == 1:
        return f"{output.counted(len(listed.charts), 'chart')} {next(iter(by_version))}"
    return "\n".join(f"{chart.name} {chart.version}" for chart in listed.charts)
