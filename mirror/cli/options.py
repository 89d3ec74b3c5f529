"""Arguments and options that several commands share."""

import click

from mirror.shard import Shard

releases_argument = click.argument("releases", nargs=-1, metavar="[RELEASE]...")
to_option = click.option(
    "--to",
    default="",
    metavar="DEST",
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
    help="The release that runs: it, and every release of the upgrade path from it, are mirrored too.",
)
accept_option = click.option(
    "--accept",
    multiple=True,
    metavar="REFERENCE@DIGEST",
    help="Settle a refusal: the tag is brought to this digest. May be given several times.",
)
