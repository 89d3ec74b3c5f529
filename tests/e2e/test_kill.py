"""kill -9 at any moment: no tag ever names missing content, and a plain sync ends in step."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.e2e.whole import broken
from tests.runs import only, sync
from tests.servers.distribution import Distribution
from tests.servers.loopback import Handler, serving
from tests.servers.upstream import RELEASE, Upstream

MOMENTS = [3 * number for number in range(1, 21)]  # even and odd in turn


@dataclass(slots=True)
class Gate:
    """Stands before a registry, counts requests, and kills a process at one of them."""

    host: str = ""
    kill_at: int = 0
    """0: never. At an even one the registry does not see the request, at an odd one its answer is not seen."""
    process: subprocess.Popen[str] | None = None
    count: int = 0
    started: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def passes(self) -> int:
        """The number of the request that comes now."""
        self.started.wait(30)
        with self._lock:
            self.count += 1
            return self.count

    def kill(self) -> None:
        """The process ends as it does when the machine does."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)


@pytest.fixture
def gate(open_distribution: Distribution) -> Iterator[Gate]:
    """Before docker-registry."""
    gate = Gate()

    class GateHandler(Handler):
        def respond(self) -> None:
            number = gate.passes()
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if number == gate.kill_at and number % 2 == 0:
                gate.kill()
            if len(body) < length or (number == gate.kill_at and number % 2 == 0):
                self.close_connection = True
                return
            with closing(http.client.HTTPConnection(open_distribution.host, timeout=30)) as connection:
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                data = answer.read()
            if number == gate.kill_at:
                gate.kill()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            size = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", size or "0")
            self.end_headers()
            self.wfile.write(data)

    with serving(GateHandler) as gate.host:
        yield gate


def document(upstream: Upstream, host: str, path: str, tmp_path: Any) -> dict[str, Any]:
    destination = {"kind": "registry", "registry": host, "prefix": path}
    return upstream.document(destinations={"test": destination}, overrides={"directory": str(tmp_path / "overrides")})


@pytest.mark.parametrize("moment", MOMENTS)
async def test_killed(
    moment: int, upstream: Upstream, gate: Gate, open_distribution: Distribution, path: str, start: Start, tmp_path: Any
) -> None:
    """Whatever request it was, all that has a tag is whole, and the next run completes it."""
    gate.kill_at = moment
    with start(document(upstream, gate.host, path, tmp_path), "sync", RELEASE) as process:
        gate.process = process
        gate.started.set()
        process.communicate(timeout=60)
    assert -signal.SIGKILL == process.returncode
    assert [] == broken(open_distribution.url, path)
    settings = upstream.settings(**document(upstream, open_distribution.host, path, tmp_path))
    report = await sync(settings)

    assert 0 == report.exit_code
    assert [] == broken(open_distribution.url, path)
    assert "in_step" == only(await sync(settings)).outcome


def test_without_a_kill_there_are_more_requests(
    upstream: Upstream, gate: Gate, path: str, start: Start, tmp_path: Any
) -> None:
    """So that each of the moments is within a run."""
    gate.started.set()
    with start(document(upstream, gate.host, path, tmp_path), "sync", RELEASE) as process:
        _, err = process.communicate(timeout=60)

    assert 0 == process.returncode, err
    assert gate.count > MOMENTS[-1]
