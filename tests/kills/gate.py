"""A gate stands before a registry, counts requests, and acts at one of them."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers.gateway import Gateway
from tests.servers.loopback import serving

_STARTED_S = 30.0
_HELD_S = 20.0


@dataclass(slots=True)
class Gate:
    """What the gates of one run share: the count, and what is done at which request."""

    at: int = 0
    """0: never. At an even one *act* is called before the registry sees the request, at an odd one before its answer is
    seen."""
    act: Callable[[], bool] = lambda: False
    """The answer is whether nobody is left to answer."""
    process: subprocess.Popen[str] | None = None
    count: int = 0
    holds: bool = False
    """After SIGTERM the request is not answered before *ended*."""
    acted_at: float = 0.0
    started: threading.Event = field(default_factory=threading.Event)
    """No request passes before the process is known here."""
    ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def passes(self) -> int:
        """The number of the request that comes now."""
        self.started.wait(_STARTED_S)
        with self._lock:
            self.count += 1
            return self.count

    def kill(self) -> bool:
        """The process ends as it does when the machine does."""
        self.signal(signal.SIGKILL)
        return True

    def terminate(self) -> bool:
        """The process is asked to end."""
        self.signal(signal.SIGTERM)
        if self.holds:
            self.ended.wait(_HELD_S)
        return False

    def signal(self, number: signal.Signals) -> None:
        """The process gets a signal."""
        assert self.process is not None
        self.acted_at = time.monotonic()
        os.kill(self.process.pid, number)


@contextmanager
def gate_before(behind: str, gate: Gate) -> Iterator[str]:
    """Serves *gate* before the registry at *behind*, `HOST:PORT`; yields its own."""

    class GateHandler(Gateway):
        def respond(self) -> None:
            number, body = gate.passes(), self.read_body()
            is_now = number == gate.at
            if body is None or (is_now and number % 2 == 0 and gate.act()):
                self.close_connection = True
                return
            try:
                answer = self.forward(body)
            except (OSError, http.client.HTTPException):  # the registry is gone
                self.reset()
                return
            if is_now and number % 2 and gate.act():
                self.close_connection = True
                return
            self.send(answer)

    GateHandler.behind = behind
    with serving(GateHandler) as host:
        yield host
