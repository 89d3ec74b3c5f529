"""`mirror serve` as a process, against real registries."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.content import image
from tests.e2e.whole import broken, tags
from tests.program import start
from tests.served import Ended, served
from tests.servers.distribution import Distribution, docker_registry
from tests.servers.gateway import Gateway
from tests.servers.loopback import serving
from tests.servers.upstream import BASE, RELEASE, Upstream, references
from tests.waiting import wait_for

HEAVY = references()[2]
LARGE = 4_000_000
_PIECE = 32 * 1024
_WITHIN_S = 5.0
NEVER = {"every": "100h", "jitter": "0s", "deep_verify": "0s"}
BLOCKED = """
import asyncio, time
from mirror.service import loop
async def block(self):
    print("blocked", flush=True)
    while True:
        time.sleep(0.1)
loop.Loop._sync = block
"""
"""A defect: the event loop does not turn any more."""
BROKEN = """
from mirror.service.bell import Bell
async def heard(self):
    raise ZeroDivisionError("by zero")
Bell.heard = heard
"""
"""A defect: the loop that works ends."""
SERVERLESS = """
import asyncio
from mirror.service import serve
async def serve_nothing(self, sockets): ...
serve._Server.serve = serve_nothing
"""
"""A defect: the server ends."""


@dataclass(slots=True)
class Slow:
    """What is known of a registry that takes bodies slowly."""

    host: str = ""
    pause_s: float = 0.0
    """After each piece of the body of an upload."""
    taken: int = 0
    """Bytes of the upload that came last."""
    is_over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def slow_registry(behind: str) -> Iterator[Slow]:
    """Serves before the registry *behind*."""
    slow = Slow()

    class SlowHandler(Gateway):
        def respond(self) -> None:
            body = self._slowly() if self.command in ("PUT", "PATCH") and "/uploads/" in self.path else self.read_body()
            if body is None:
                self.close_connection = True
                return
            self.send(self.forward(body))

        def _slowly(self) -> bytes | None:
            length, body = int(self.headers.get("Content-Length") or 0), bytearray()
            while len(body) < length and (piece := self.rfile.read(min(_PIECE, length - len(body)))):
                body += piece
                if length >= LARGE:
                    slow.taken = len(body)
                    slow.is_over.wait(slow.pause_s)
            return bytes(body) if len(body) == length else None

    SlowHandler.behind = behind
    with serving(SlowHandler) as slow.host:
        try:
            yield slow
        finally:
            slow.is_over.set()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Distribution]:
    """docker-registry, the test's own."""
    with docker_registry(tmp_path / "registry") as running:
        yield running


def into(upstream: Upstream, host: str, **tables: Any) -> dict[str, Any]:
    """A configuration that copies to the registry at *host*, once."""
    destination = {"kind": "registry", "registry": host, "prefix": "linkerd"}
    tables["schedule"] = NEVER | tables.get("schedule", {})
    return upstream.document(destinations={"test": destination}, overrides={"directory": ""}, **tables)


def ended_well(ended: Ended) -> bool:
    """Whether it ended by SIGTERM as it should, in time and without a word beside its log."""
    return (0, "") == (ended.code, ended.told) and ended.seconds < _WITHIN_S


def uploads(registry: Distribution) -> Counter[str]:
    """How often each blob of each repository was stored, by the registry's log."""
    lines = re.findall(r'"PUT (/v2/\S+) HTTP/1\.1" 201', registry.log.read_text(errors="replace"))
    found = (re.fullmatch(r"(\S+)/blobs/uploads/\S*digest=(\S+?)(?:&\S*)?", line) for line in lines)
    return Counter(f"{each[1]} {each[2]}" for each in found if each)


class TestSigterm:
    def test_in_the_middle_of_a_large_blob(self, upstream: Upstream, registry: Distribution, tmp_path: Path) -> None:
        """It ends in time, no tag names what is not whole, and the next start sends only what is missing."""
        heavy = image(BASE, Random(1).randbytes(LARGE))
        upstream.put(HEAVY, heavy)
        with slow_registry(registry.host) as slow:
            slow.pause_s = 0.2
            document = into(upstream, slow.host)
            with served(tmp_path / "first", document) as service:
                wait_for(lambda: slow.taken > LARGE // 8 and len(service.named("sync.image_copied")) == 3)
                ended = service.end()
                [interrupted] = service.named("service.run_ended")
            slow.pause_s = 0.0
            with httpx.Client(base_url=registry.url) as client:
                named = {name: tags(client, f"linkerd/{name}") for name in ("web", "proxy")}
            halfway = broken(registry.url, "linkerd")
            with served(tmp_path / "second", document) as service:
                run = service.wait("service.run_ended")
                again = service.end()

        assert ended_well(ended), ended
        assert "interrupted" == interrupted["outcome"]
        assert {"web": [], "proxy": [RELEASE]} == named
        assert [] == halfway
        assert ("synced", 1, 3) == (run["outcome"], run["copied"], run["adopted"])
        assert LARGE <= run["bytes"] < LARGE + len(BASE) + 1000
        assert {1} == set(uploads(registry).values())  # no blob was stored twice
        assert [] == broken(registry.url, "linkerd")
        assert ended_well(again), again

    def test_while_nobody_takes_the_connection(self, upstream: Upstream, tmp_path: Path) -> None:
        """It ends in time, although a thread waits for a connection, which nothing can end."""
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for client in (first, second):  # the queue is full: whoever comes now is not answered at all (listen(2))
                client.setblocking(False)
                client.connect_ex(full.getsockname())
            host = f"127.0.0.1:{full.getsockname()[1]}"
            with served(tmp_path / "service", into(upstream, host)) as service:
                service.wait("service.run_started")
                wait_for(lambda: _is_connecting(service.process.pid, full.getsockname()[1]))
                ended = service.end()

        assert 0 == ended.code
        assert ended.seconds < _WITHIN_S

    def test_while_the_event_loop_is_blocked(self, upstream: Upstream, tmp_path: Path) -> None:
        """It ends in time, and says that something was left."""
        with served(tmp_path / "service", into(upstream, "127.0.0.1:9"), prepare=BLOCKED) as service:
            wait_for(lambda: "blocked" in service.log.read_text())
            ended = service.end()

        assert (0, ["blocked", "mirror: what was under way did not end within 4 s, and was left"]) == (
            ended.code,
            ended.told.splitlines(),
        )
        assert ended.seconds < _WITHIN_S

    def test_a_second_one(self, upstream: Upstream, tmp_path: Path) -> None:
        """It ends at once."""
        with served(tmp_path / "service", into(upstream, "127.0.0.1:9"), prepare=BLOCKED) as service:
            wait_for(lambda: "blocked" in service.log.read_text())
            service.process.send_signal(signal.SIGTERM)
            wait_for(lambda: not _is_pending(service.process.pid, signal.SIGTERM))
            ended = service.end(signal.SIGINT)

        assert (130, "mirror: ended at once, by a second SIGINT") == (ended.code, ended.told.splitlines()[-1])
        assert ended.seconds < _WITHIN_S

    def test_between_two_runs(self, upstream: Upstream, registry: Distribution, tmp_path: Path) -> None:
        """It ends at once; by Ctrl-C with the code that says so."""
        ends, stopped = list[Ended](), list[dict[str, Any]]()
        for number in (signal.SIGTERM, signal.SIGINT):
            with served(tmp_path / number.name, into(upstream, registry.host)) as service:
                service.wait("service.run_ended")
                ends.append(service.end(number))
                stopped += service.named("service.stopped")

        assert [(0, ""), (130, "")] == [(ended.code, ended.told) for ended in ends]
        assert ["SIGTERM", "SIGINT"] == [each["by"] for each in stopped]
        assert all(ended.seconds < _WITHIN_S for ended in ends)


def _is_connecting(pid: int, port: int) -> bool:
    """Whether there is a connection to *port* that is not answered (proc(5), /proc/net/tcp, SYN_SENT)."""
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[2].endswith(f":{port:04X}") and line.split()[3] == "02" for line in lines)


def _is_pending(pid: int, number: signal.Signals) -> bool:
    """Whether the process has not seen the signal yet (proc(5), /proc/pid/status, ShdPnd)."""
    found = re.search(r"ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return found is None or bool(int(found[1], 16) >> (number - 1) & 1)


class TestSighup:
    def test_good_and_bad(self, upstream: Upstream, registry: Distribution, tmp_path: Path) -> None:
        """A valid configuration holds at once; one that is not is refused in a sentence, and the old one stays."""
        document = into(upstream, registry.host)
        with served(tmp_path / "service", document) as service:
            service.wait("service.run_ended")
            service.configure(document | {"schedule": {"every": "soon"}})
            refused = service.wait("service.configuration_refused")
            first = service.get("/livez")
            destinations = document["destinations"] | {
                "other": {"kind": "layout", "directory": str(tmp_path / "other")}
            }
            service.configure(document | {"destinations": destinations})
            run = service.wait("service.run_ended", why="reload")
            ended = service.end()

        assert 'schedule.every is "soon"' in refused["reason"]
        assert (200, "ok\n") == first
        assert ("synced", 4, 4) == (run["outcome"], run["copied"], run["kept"])
        assert ended_well(ended), ended

    def test_accepted_elsewhere(self, upstream: Upstream, registry: Distribution, tmp_path: Path) -> None:
        """A refusal that a command beside the service has settled is looked at again, and is none any more."""
        document = into(upstream, registry.host)
        with served(tmp_path / "service", document) as service:
            service.wait("service.run_ended")
            moved = image(BASE, b"moved")
            upstream.put(HEAVY, moved)
            service.configure(document)
            refused = service.wait("service.run_ended", why="reload")
            command = start(tmp_path, document, "sync", "--accept", f"{HEAVY}@{moved.digest}")
            told = command.communicate(timeout=30)
            service.process.send_signal(signal.SIGHUP)
            again = service.wait("service.run_ended", why="reload", count=2)

        assert "refused" == refused["outcome"]
        assert 0 == command.returncode, told
        assert "in_step" == again["outcome"]

    def test_no_destination_any_more(self, upstream: Upstream, registry: Distribution, tmp_path: Path) -> None:
        """It is refused like any other that is not valid: nothing goes into the working directory."""
        document = into(upstream, registry.host)
        with served(tmp_path / "service", document) as service:
            service.wait("service.run_ended")
            service.configure(document | {"destinations": {}})
            refused = service.wait("service.configuration_refused")
            ended = service.end()

        assert "destinations is empty" in refused["reason"]
        assert not (tmp_path / "service" / "linkerd-mirror").exists()
        assert ended_well(ended), ended


class TestProbes:
    def test_upstream_is_away(self, upstream: Upstream, registry: Distribution, tmp_path: Path) -> None:
        """Alive and, once it has looked, ready."""
        document = into(upstream, registry.host)
        document["registries"] = {host: {"endpoint": "http://127.0.0.1:9"} for host in ("ghcr.io", "docker.io")}
        with served(tmp_path / "service", document) as service:
            before = service.get("/readyz")
            run = service.wait("service.run_ended", timeout_s=60)
            after = [service.get(path) for path in ("/livez", "/readyz")]
            ended = service.end()

        assert 503 == before[0]
        assert "failed" == run["outcome"]
        assert [(200, "ok\n"), (200, "ok\n")] == after
        assert ended_well(ended), ended

    def test_stuck(self, upstream: Upstream, registry: Distribution, tmp_path: Path) -> None:
        """A run in which nothing moves for longer than it may fails /livez, until something does."""
        upstream.put(HEAVY, image(BASE, Random(1).randbytes(LARGE)))
        with slow_registry(registry.host) as slow:
            slow.pause_s = 1000
            document = into(upstream, slow.host, schedule={"stuck_after": "1s"})
            with served(tmp_path / "service", document) as service:
                status, words = wait_for(lambda: (found := service.get("/livez"))[0] == 503 and found)  # type: ignore[misc]
                slow.is_over.set()
                service.wait("service.run_ended", outcome="synced")
                after = service.get("/livez")

        assert (503, True) == (status, words.startswith("stuck: nothing moved in this run for "))
        assert 200 == after[0]


class TestStart:
    def test_no_destination(self, upstream: Upstream, tmp_path: Path) -> None:
        """One sentence, and 2: a mirror in the working directory would go with the pod."""
        directory = tmp_path / "service"
        with served(directory, upstream.document()) as service:
            ended = service.ended(time.monotonic())

        words = "mirror.toml: destinations is empty: mirror serve needs one, such as [destinations.production]"
        assert (2, f"mirror: {words}") == (ended.code, ended.told)
        assert not (directory / "linkerd-mirror").exists()

    def test_the_port_is_taken(self, upstream: Upstream, tmp_path: Path) -> None:
        """One sentence, and 2."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            document = into(upstream, "127.0.0.1:9") | {"server": {"listen": listen}}
            with served(tmp_path / "service", document) as service:
                ended = service.ended(time.monotonic())

        words = f"mirror: server.listen: {listen} cannot be listened at: Address already in use"
        assert (2, words) == (ended.code, ended.told)

    @pytest.mark.parametrize(
        ("prepare", "words"),
        [(BROKEN, "ZeroDivisionError: by zero"), (SERVERLESS, "the server of HTTP has ended by itself")],
        ids=["the loop", "the server"],
    )
    def test_half_of_it_has_ended(self, prepare: str, words: str, upstream: Upstream, tmp_path: Path) -> None:
        """So does the process, with the cause and 1: it is to be started again."""
        with served(tmp_path / "service", into(upstream, "127.0.0.1:9"), prepare=prepare) as service:
            ended = service.ended(time.monotonic())

        assert 1 == ended.code
        assert words in ended.told
