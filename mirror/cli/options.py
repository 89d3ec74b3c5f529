"""Arguments and options that several commands share."""

import click

releases_argument = click.argument("releases", nargs=-1, metavar="[RELEASE]...")
to_option = click.option(
    "--to",
    default="",
    metavar="DEST",
    help="A destination of the configuration, oci:DIR, or REGISTRY/PREFIX.  [default: all that are configured, "
    "else oci:./linkerd-mirror]",
)
from_option = click.option(
    "--from",
    "start",
    default="",
    metavar="RELEASE",
    help="The release that runs: it, and every release of the upgrade path from it, are mirrored too.",
)
