"""Arguments and options that several commands share, with what completes them: of the configuration, and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mirror.shard import Shard

if TYPE_CHECKING:
    from mirror.settings import Settings


def _settings(context: click.Context) -> Settings | None:
    """The settings of the command line so far; None where they are not valid, which is no matter of completion."""
    import os

    from mirror import settings
    from mirror.errors import SettingsError

    try:
        return settings.load(context.find_root().params.get("config"), os.environ).settings
    except SettingsError:
        return None


def _destinations(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    if incomplete.startswith("oci:"):
        return _layouts(incomplete.removeprefix("oci:"))
    held = _settings(context)
    return [name for name in (*(held.destinations if held else ()), "oci:") if name.startswith(incomplete)]


def _layouts(typed: str) -> list[str]:
    """`oci:DIR/` for each directory that *typed* begins."""
    import os

    above, slash, begun = typed.rpartition("/")
    try:
        inside = sorted(each.name for each in os.scandir(above + slash or ".") if each.is_dir())
    except OSError:
        return []
    shown = [name for name in inside if name.startswith(begun) and (begun or not name.startswith("."))]
    return [f"oci:{above}{slash}{name}/" for name in shown]


def complete_release(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """What RELEASE may be, of what the configuration names."""
    held = _settings(context)
    names = dict.fromkeys((*held.releases, *held.channels) if held else ())
    return [name for name in names if name.startswith(incomplete)]


releases_argument = click.argument("releases", nargs=-1, metavar="[RELEASE]...", shell_complete=complete_release)
to_option = click.option(
    "--to",
    default="",
    metavar="DEST",
    shell_complete=_destinations,
    help="A destination of the configuration, oci:DIR, or REGISTRY/PREFIX.  [default: all that are configured, "
    "else oci:./linkerd-mirror]",
)
shard_option = click.option(
    "--shard",
    default=str(Shard()),
    metavar="I/N",
    callback=lambda _context, _option, text: Shard.parse(text),
    help="Only the share I, from 0 to N-1, of N: each release at each destination is in exactly one, the same for "
    "everyone. For several processes side by side.  [default: all of it]",
)
from_option = click.option(
    "--from",
    "start",
    default="",
    metavar="RELEASE",
    shell_complete=complete_release,
    help="The release that runs: it, and every release of the upgrade path from it, are mirrored too.",
)
accept_option = click.option(
    "--accept",
    multiple=True,
    metavar="REFERENCE@DIGEST",
    help="Settle a refusal: the tag is brought to this digest. May be given several times.",
)
