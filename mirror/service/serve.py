"""The process: loop and server side by side, until a signal ends both.

    SIGHUP             the configuration is read again
    SIGTERM, SIGINT    the loop is cancelled: blobs on their way are given up, no tag is written; the server stops
    a second one, or GRACE_S later    the process ends at once

The next start goes on from there: what was sent is found, and nothing else is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import structlog
import uvicorn

from mirror.app import App
from mirror.errors import UsageError
from mirror.service.configuration import Configuration
from mirror.service.ledger import Ledger
from mirror.service.loop import Loop
from mirror.service.metrics import Metrics
from mirror.service.web import application
from mirror.settings import Settings

_BACKLOG = 128
_REQUESTS_AT_ONCE = 64
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
    _ended_by: signal.Signals | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.ledger, self.configuration)

    async def run(self) -> int:
        """Serves and works until a signal comes; the exit code: 0 after SIGTERM, 130 after SIGINT."""
        bound = listening(*self.configuration.settings.server.address)
        loop = Loop(self.configuration, self.ledger, self._open_app, [self.metrics])
        server = _Server(
            uvicorn.Config(
                application(
                    self.ledger,
                    self.configuration.settings.schedule.stuck_after,
                    exposition=self.metrics.exposition,
                ),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                limit_concurrency=_REQUESTS_AT_ONCE,
                timeout_graceful_shutdown=_FAREWELL_S,
            )
        )
        with bound:
            address = bound.getsockname()
            log.info("service.started", listen=f"{address[0]}:{address[1]}")
            serving = asyncio.create_task(server.serve(sockets=[bound]))
            working = asyncio.create_task(loop.run())
            self._heed_signals(loop, working)
            try:
                await asyncio.wait({serving, working}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                working.cancel()
                server.should_exit = True
                await asyncio.wait({serving, working})
        for task in (serving, working):
            if not task.cancelled() and (exc := task.exception()):
                raise exc
        log.info("service.stopped", by=self._ended_by.name if self._ended_by else "")
        return 130 if self._ended_by == signal.SIGINT else 0

    def _open_app(self, settings: Settings) -> App:
        app = App(settings, self.environ, meter=self.metrics.wire)
        self.metrics.expect({mirror.name for mirror in app.mirrors()}, app.hosts())
        return app

    def _heed_signals(self, loop: Loop, working: asyncio.Task[None]) -> None:
        def end(number: signal.Signals) -> None:
            log.info("service.stopping", by=number.name)
            self._ended_by = number
            working.cancel()

        running = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, end, number)
        running.add_signal_handler(signal.SIGHUP, loop.reload)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at *host*, a name or an address, and *port*; raises UsageError where it cannot."""
    try:
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
