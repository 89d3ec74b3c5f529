"""A connection of HTTP on which something moves, or which is closed.

uvicorn waits for ever for the first request, for the rest of one of which a byte has come, and for a client that reads
nothing. A limit on connections would count those too, so that whoever holds some open is the last who is answered:
there is none; each has PATIENCE_S to go on instead.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_S = 10.0


class Connection(H11Protocol):
    """Closed where for *patience_s* neither a request is whole, nor an answer is made, nor any of one is taken."""

    patience_s = PATIENCE_S
    _deadline: asyncio.TimerHandle | None = None
    _untaken = 0
    """Bytes of answers that the client had not taken when it was last looked."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def handle_events(self) -> None:
        """What came is taken; a request that is whole by it, but for its body, is answered."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._wait()

    def on_response_complete(self) -> None:
        """An answer is on its way; the next request may come."""
        super().on_response_complete()
        self._wait()

    def _wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._untaken = self.transport.get_write_buffer_size()
        self._deadline = self.loop.call_later(self.patience_s, self._look)

    def _look(self) -> None:
        if self.transport.get_write_buffer_size() < self._untaken:
            self._wait()
        else:
            self.transport.abort()  # to close it would be to wait for what nobody takes
