"""The gateways that do what a plan says, one before each registry.

request ──► a token? ──► Course.fault ─┬─ none: passed on
                                       ├─ instead of an answer: a reset, an error, a redirect
                                       ├─ before it is passed on: bytes changed, the upload's session deleted
                                       └─ after that: the answer changed, broken off, late, lost
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

from tests.faults.bed import Bed
from tests.faults.plan import Asked, Course, Side
from tests.servers.fake import corrupt, longer
from tests.servers.gateway import Gateway
from tests.servers.loopback import Response, serving

STALL_S = 0.2
DELAY_S = 0.1
SILENCE_S = 2.0  # longer than the client waits by a hasty loop
_INDEX = "application/vnd.oci.image.index.v1+json"
_GHCR = "retry-after: 880.092µs, allowed: 44000/minute"


def _error(status: int, code: str, message: str = "by the plan", **headers: str) -> Response:
    return Response(
        status,
        {"Content-Type": "application/json"},
        json.dumps({"errors": [{"code": code, "message": message}]}).encode(),
    ).having(**headers)


_INSTEAD: Mapping[str, Response] = {
    "429": _error(429, "TOOMANYREQUESTS"),
    "429 and when": _error(429, "TOOMANYREQUESTS", Retry_After="1"),
    "429 of GHCR": _error(429, "TOOMANYREQUESTS", _GHCR),
    "500": _error(500, "UNKNOWN"),
    "502": Response(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>"),
    "503": Response(503, {}, b"upstream connect error"),
    "503 and when": _error(503, "UNAVAILABLE", Retry_After="0"),
    "504": Response(504, {"Content-Type": "text/html"}, b"<html>Gateway Time-out</html>"),
    "401": _error(401, "UNAUTHORIZED"),
    "Range refused": _error(416, "RANGE_INVALID"),
}


@dataclass(slots=True)
class Way:
    """One side's way to its registry, of one run after the other."""

    side: Side
    behind: str
    """`HOST:PORT` of the registry."""
    older: Mapping[str, str] = field(default_factory=dict)
    """The digest of an older image, by repository."""
    host: str = ""
    """`HOST:PORT` of the gateway."""
    prefix: str = ""
    """Where the run's repositories are, at the destination."""
    course: Course | None = None
    """Without one, everything passes."""
    dead_host: str = ""
    _tokens: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def begin(self, course: Course | None, prefix: str) -> None:
        """A run begins; tokens of an earlier one are worth nothing."""
        self.course, self.prefix = course, prefix
        self._tokens.clear()

    def give_token(self) -> Response:
        """A new one."""
        token = f"token-{next(self._numbers)}"
        self._tokens.add(token)
        return Response(200, {"Content-Type": "application/json"}, json.dumps({"token": token}).encode())

    def takes(self, authorization: str) -> bool:
        """Whether a request with this header may pass."""
        wants = self.course is not None and self.course.plan.has_tokens
        return not wants or authorization.removeprefix("Bearer ") in self._tokens

    def revoke(self, authorization: str) -> None:
        """The token is refused from now on."""
        self._tokens.discard(authorization.removeprefix("Bearer "))

    @property
    def challenge(self) -> Response:
        """What a request without a token is answered."""
        realm = f'Bearer realm="http://{self.host}/token",service="{self.side}"'
        return _error(401, "UNAUTHORIZED", WWW_Authenticate=realm)


@contextmanager
def open_ways(bed: Bed) -> Iterator[tuple[Way, Way]]:
    """The ways from the source and to the destination of *bed*."""
    lock = threading.Lock()
    ways = (Way("source", bed.source.host, bed.older), Way("destination", bed.destination.host, bed.older))
    with _gateway(ways[0], lock), _gateway(ways[1], lock):
        yield ways


@contextmanager
def _gateway(way: Way, lock: threading.Lock) -> Iterator[None]:
    """Serves *way*; *lock* guards its course, which both ways share."""

    class FaultyHandler(_FaultyHandler):
        behind = way.behind

    FaultyHandler.way, FaultyHandler.lock = way, lock
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens: to connect is refused
        way.dead_host = f"127.0.0.1:{nobody.getsockname()[1]}"
        with serving(FaultyHandler) as way.host:
            yield


class _FaultyHandler(Gateway):
    way: Way
    lock: threading.Lock

    def respond(self) -> None:
        fault, asked, way = "", self._asked(), self.way
        is_admitted = asked.thing == "token" or way.takes(self.headers.get("Authorization", ""))
        if is_admitted and way.course is not None:
            with self.lock:
                fault = way.course.fault(asked)
        if fault in ("reset before", "reset in the request"):
            if fault != "reset before":
                self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
            self.reset()
        elif (body := self.read_body()) is None:  # the client left in the middle
            self.close_connection = True
            return
        elif not is_admitted:
            self.send(way.challenge)
        else:
            try:
                fault = self._meet(fault, asked, body)
            except OSError:  # the client has left, on account of what it met
                self.close_connection = True
        if fault and way.course is not None:
            with self.lock:
                way.course.met[fault] += 1

    def _asked(self) -> Asked:
        return Asked.of(
            self.way.side, self.command, self.path, prefix=self.way.prefix, has_range="Range" in self.headers
        )

    def _meet(self, fault: str, asked: Asked, body: bytes) -> str:
        """Answers the request, with *fault*; the fault, or empty if there was nothing that it could do."""
        match fault:
            case "silent":
                self._wait_for_the_client()
            case "token expired":
                self.way.revoke(self.headers.get("Authorization", ""))
                self.send(self.way.challenge)
            case "redirected" | "redirected to a dead host":
                host = self.way.behind if fault == "redirected" else self.way.dead_host
                self.send(Response(307, {"Location": f"http://{host}{self.path}"}))
            case "endless pages":
                self.send(self._endless(asked))
            case "HEAD of an older image":
                self.send(self._older(asked))
            case "mount not done":
                self.send(self.forward(target=self.path.partition("?")[0]))
            case "upload session lost":
                deleted = self.forward(method="DELETE", headers={})
                self.send(self.forward(body))
                return fault if deleted.status == 204 else ""
            case "upload corrupted":
                self.send(self.forward(corrupt(Response(200, body=body)).body if body else body))
                return fault if body else ""
            case _ if fault in _INSTEAD:
                self.send(_INSTEAD[fault])
            case _:
                return self._answer(fault, asked, self._forwarded(asked, body))
        return fault

    def _forwarded(self, asked: Asked, body: bytes) -> Response:
        return self.way.give_token() if asked.thing == "token" else self.forward(body)

    def _answer(self, fault: str, asked: Asked, answer: Response) -> str:
        """Sends *answer* with *fault*; likewise."""
        half = len(answer.body) // 2
        has_body = half > 0 and answer.status in (200, 206)
        match fault:
            case "reset after":
                self.reset()
            case "delayed":
                time.sleep(DELAY_S * Random(asked.key).random())
                self.send(answer)
            case "connection closed":
                self.send(answer)
                self.close_connection = True
            case "blob collected" if answer.status == 201:
                self.forward(method="DELETE", target=_blob(self.path), headers={})
                self.send(answer)
            case "reset in the answer" if has_body:
                self.send(replace(answer, cut_after=half))
            case "answer ended early" if has_body:
                self.send(replace(answer, length=len(answer.body), body=answer.body[:half]))
            case "answer shortened" if has_body:
                self.send(replace(answer, body=answer.body[:half]))
            case "answer corrupted" if has_body:
                self.send(corrupt(answer))
            case "answer stalled" if has_body:
                self.send(replace(answer, stall_after=half))
            case "Range ignored":
                kept = {name: value for name, value in self.headers.items() if name.lower() != "range"}
                self.send(self.forward(headers=kept))
            case "Range answered wrongly" if answer.status == 206:
                self.send(longer(answer).having(Content_Range=f"bytes 0-{len(answer.body)}/{len(answer.body) + 1}"))
            case _:
                self.send(answer)
                return ""
        return fault

    def wait(self) -> None:
        time.sleep(STALL_S)

    def _wait_for_the_client(self) -> None:
        self.close_connection = True
        self.connection.settimeout(SILENCE_S)
        try:
            self.connection.recv(1)
        except TimeoutError:
            self.reset()

    def _endless(self, asked: Asked) -> Response:
        """A page whose next page is itself."""
        link = {"Link": f'<{self.path}>; rel="next"'}
        if asked.thing == "referrers":
            page = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": []}
            return Response(200, {"Content-Type": _INDEX, **link}, json.dumps(page).encode())
        return Response(200, {"Content-Type": "application/json", **link}, json.dumps({"tags": ["again"]}).encode())

    def _older(self, asked: Asked) -> Response:
        name = asked.path.removeprefix("/v2/").partition("/manifests/")[0]
        older = self.way.older.get(name, "sha256:" + "0" * 64)
        if self.way.side == "source" and self.way.course is not None:
            with self.lock:
                self.way.course.stale.add(name)
        headers = {"Content-Type": _INDEX, "Docker-Content-Digest": older}
        return Response(200, headers, length=1000)


def _blob(upload: str) -> str:
    """The path of the blob that the PUT at *upload* stored."""
    digest = upload.partition("digest=")[2].partition("&")[0].replace("%3A", ":")
    return f"{upload.partition('/uploads/')[0]}/{digest}"
