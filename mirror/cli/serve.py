"""`mirror serve`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mirror.cli.main import Context


@click.command(name="serve")
@click.pass_obj
def command(context: Context) -> int:
    r"""Bring destinations in step on a schedule, for months; show what came of it over HTTP.

    [schedule] says when, [server] where it answers: a page at /, /metrics, /livez, /readyz, /api/v1/status and the
    values. SIGHUP reads the configuration again; SIGTERM ends it within 5 seconds, in the middle of a blob too, with
    exit code 0.

    \b
    Examples:
      mirror --config /etc/mirror/config.toml serve
      MIRROR_SERVER__LISTEN=0.0.0.0:8080 MIRROR_SCHEDULE__EVERY=1h mirror serve
    """
    import os
    import signal

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # until there is something to be ended
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something that can be read again
    from mirror import settings
    from mirror.service.configuration import Configuration
    from mirror.service.ledger import Ledger
    from mirror.service.serve import Service

    ledger = Ledger()
    configuration = Configuration(lambda: settings.load(context.config, context.environ), context.loaded, ledger)
    return asyncio.run(Service(configuration, ledger, context.environ).run())
