"""`helm test`: what its pod runs, run."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.chart.render import manifests, of_kind


@contextmanager
def ready_after(refusals: int) -> Iterator[str]:
    """The URL of a service whose first answers are 503."""
    left = iter([503] * refusals)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(next(left, 200))
            self.end_headers()
            self.wfile.write(b"ok\n")

        def log_message(self, *_: object) -> None:
            """Nothing is told."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/readyz"
        finally:
            server.shutdown()
            thread.join()


def run(url: str, timeout_s: int) -> subprocess.CompletedProcess[str]:
    """What the pod runs, asking *url*."""
    (container,) = of_kind("Pod", manifests({}))["spec"]["containers"]
    python, option, script, asked, _ = container["command"]

    assert ("python", "-c") == (python, option)
    assert "http://r-mirror.linkerd-mirror.svc:8080/readyz" == asked
    command = [sys.executable, "-c", script, url, str(timeout_s)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_it_becomes_ready() -> None:
    """It waits for the first sync to end, and ends well."""
    with ready_after(refusals=1) as url:
        done = run(url, 30)

    assert (0, f"{url} ok\n") == (done.returncode, done.stdout), done.stderr


def test_it_does_not() -> None:
    """When time is up it fails, and says what was answered."""
    with ready_after(refusals=100) as url:
        done = run(url, 0)

    assert 1 == done.returncode
    assert f"{url}: HTTP Error 503" in done.stderr
