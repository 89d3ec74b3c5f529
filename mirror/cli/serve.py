"""`mirror serve`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mirror.cli.main import Context
    from mirror.settings import Loaded


@click.command(name="serve")
@click.pass_obj
def command(context: Context) -> int:
    r"""Bring destinations in step on a schedule, for months; show what came of it over HTTP.

    [schedule] says when, [server] where it answers: a page at /, /metrics, /livez, /readyz, /api/v1/status and the
    values. SIGHUP reads the configuration again; SIGTERM ends it within 5 seconds, in the middle of a blob too, with
    exit code 0. Destinations are those of [destinations]; without any it does not start.

    \b
    Examples:
      mirror --config /etc/mirror/config.toml serve
      MIRROR_SERVER__LISTEN=0.0.0.0:8080 MIRROR_SCHEDULE__EVERY=1h mirror serve
    """
    import signal

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something that can be read again
    from mirror import settings
    from mirror.service.configuration import Configuration
    from mirror.service.ledger import Ledger
    from mirror.service.serve import Service

    ledger = Ledger()

    def load() -> Loaded:
        return _with_destinations(settings.load(context.config, context.environ))

    configuration = Configuration(load, _with_destinations(context.loaded), ledger)
    return asyncio.run(Service(configuration, ledger, context.environ).run())


def _with_destinations(loaded: Loaded) -> Loaded:
    """*loaded*, which names destinations: raises SettingsError where a service would fill its working directory."""
    from mirror.errors import SettingsError

    if not loaded.settings.destinations:
        where = loaded.path or "the configuration"
        raise SettingsError(
            f"{where}: destinations is empty: mirror serve needs one, such as [destinations.production]"
        )
    return loaded
