"""The process: loop and server side by side, until a signal ends both, or one of them ends by itself.

    SIGHUP             the configuration is read again
    SIGTERM, SIGINT    the loop is cancelled: blobs on their way are given up, no tag is written; then the server stops
    neither            loop or server have broken: the other is stopped, and the process fails, so that it is started
                       again; half of a service is none

The next start goes on from there: what was sent is found, and nothing else is sent again. What does not end by itself
is signals.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import structlog
import uvicorn
from starlette.types import ASGIApp

from mirror.app import App
from mirror.errors import UsageError, WorldError
from mirror.service.configuration import Configuration
from mirror.service.connection import Connection
from mirror.service.ledger import Ledger
from mirror.service.loop import Loop
from mirror.service.metrics import Metrics
from mirror.service.signals import Signals, end_anyway
from mirror.service.web import application
from mirror.settings import Settings

_BACKLOG = 128
_FAREWELL_S = 1  # for an answer that is being sent

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A server that leaves signals alone: they are the process's, not its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(slots=True)
class Service:
    """What `mirror serve` runs."""

    configuration: Configuration
    ledger: Ledger
    environ: Mapping[str, str]
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.ledger, self.configuration)

    async def run(self) -> int:
        """Serves and works until a signal comes; the exit code: 0 after SIGTERM, 130 after SIGINT."""
        bound = listening(*self.configuration.settings.server.address)
        loop = Loop(self.configuration, self.ledger, self._open_app, [self.metrics])
        server = server_of(application(self.ledger, exposition=self.metrics.exposition))
        with bound:
            configured = self.ledger.configuration
            log.info(
                "service.started",
                listen=_place(bound),
                version=version("linkerd-mirror"),
                path=configured.path,
                digest=configured.digest,
            )
            serving = asyncio.create_task(server.serve(sockets=[bound]))
            working = asyncio.create_task(loop.run())
            signals = Signals(working.cancel, loop.reload)
            signals.heed()
            await asyncio.wait({serving, working}, return_when=asyncio.FIRST_COMPLETED)
            if signals.ended_by is None:
                broken = _why_it_ended(serving, working)
                end_anyway(1, str(broken))
            working.cancel()
            server.should_exit = True
            await asyncio.wait({serving, working})
        if signals.ended_by is None:
            raise broken
        log.info("service.stopped", by=signals.ended_by.name)
        return signals.exit_code

    def _open_app(self, settings: Settings) -> App:
        app = App(settings, self.environ, meter=self.metrics.wire)
        self.metrics.expect({mirror.name for mirror in app.mirrors()}, app.hosts())
        return app


def server_of(app: ASGIApp, connection: type[Connection] = Connection) -> uvicorn.Server:
    """What serves *app*, each client by a *connection*; it heeds no signal."""
    return _Server(
        uvicorn.Config(
            app,
            http=connection,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_FAREWELL_S,
        )
    )


def _why_it_ended(serving: asyncio.Task[None], working: asyncio.Task[None]) -> BaseException:
    """What broke loop or server, of which at least one has ended."""
    for task in (working, serving):
        if task.done() and not task.cancelled() and (exc := task.exception()):
            return exc
    which = "the loop that does the work" if working.done() else "the server of HTTP"
    return WorldError(f"{which} has ended by itself")


def _place(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at *host*, a name or an address, and *port*; raises UsageError where it cannot.

    `::` is every address, of IPv4 too, whatever the system's default is; without IPv6 it is 0.0.0.0.
    """
    try:
        if host == "::" and socket.has_dualstack_ipv6():
            return socket.create_server((host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
        host = "0.0.0.0" if host == "::" else host  # noqa: S104 - that is what was asked for
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(_BACKLOG)
        except BaseException:
            bound.close()
            raise
    except OSError as exc:
        raise UsageError(f"server.listen: {host}:{port} cannot be listened at: {exc.strerror or exc}") from exc
    return bound
