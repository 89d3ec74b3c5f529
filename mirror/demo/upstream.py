"""The embedded upstream: a registry and a chart repository on loopback, with the release of mirror/demo/release.py.

It speaks the read half of the distribution specification v1.1 (manifests, blobs with Range, tags), asks for no token,
has no referrers API (as GHCR), and runs in threads of the standard library's HTTP server, so it needs nothing but us.
One repository can be tampered with in flight: the bytes of one of its layers then are not what its digest promises.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from mirror.demo.release import RELEASE, Release, StoredRepository, build
from mirror.oci.content import Digest

__all__ = ["HOSTS", "RELEASE", "Upstream"]

HOSTS = ("ghcr.io", "docker.io")
"""The hosts that this stands for."""
_CHARTS = "/edge"
_PATH = re.compile(r"/v2/(?P<name>[a-z0-9/._-]+)/(?P<kind>manifests|blobs|tags)/(?P<version>[A-Za-z0-9._:-]+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Upstream:
    """A registry and a chart repository that are up inside of a `with`."""

    def __init__(self, *, tamper: str = "", release: Release | None = None) -> None:
        """*tamper* is the repository whose layer is altered in flight, until `stop_tampering`."""
        self.release = release or build()
        if tamper and tamper not in self.release.repositories:
            raise ValueError(f"there is no repository {tamper} in the release")
        self._tampered = tamper
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="demo-upstream", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.drop_connections()

    @property
    def registry(self) -> str:
        """HOST:PORT."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    @property
    def charts(self) -> str:
        """The URL of the chart repository."""
        return f"http://{self.registry}{_CHARTS}"

    @property
    def configuration(self) -> dict[str, Any]:
        """The settings, as TOML has them, that put this in the place of the real upstream."""
        return {
            "channels": {"edge": {"chart_repository": self.charts}},
            "registries": {host: {"endpoint": f"http://{self.registry}"} for host in HOSTS},
        }

    @property
    def tampered(self) -> str:
        """The repository that is tampered with; empty if none is."""
        return self._tampered

    def stop_tampering(self) -> None:
        """Every byte is served as it is from now on."""
        self._tampered = ""

    def answer(self, method: str, target: str, headers: dict[str, str]) -> _Answer:
        """The answer to one request; HEAD is answered as GET, its body left out by who sends it."""
        url = urlsplit(target)
        if method not in ("GET", "HEAD"):
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "this registry is read only")
        if url.path in ("/v2", "/v2/"):
            return _json(HTTPStatus.OK, {})
        if url.path.startswith(f"{_CHARTS}/"):
            return self._chart(url.path.removeprefix(f"{_CHARTS}/"), headers.get("if-none-match", ""))
        match = _PATH.fullmatch(url.path)
        if match is None:
            return _error(HTTPStatus.NOT_FOUND, "UNSUPPORTED", "there is nothing at this path")
        repository = self.release.repositories.get(match["name"])
        if repository is None:
            return _error(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", f"there is no repository {match['name']}")
        if match["kind"] == "manifests":
            return _manifest(repository, match["version"])
        if match["kind"] == "blobs":
            is_altered = self._tampered == match["name"] and repository.own_layer == match["version"]
            return _blob(repository, match["version"], headers.get("range", ""), is_altered=is_altered)
        return _tags(match["name"], repository, parse_qs(url.query))

    def _chart(self, name: str, known: str) -> _Answer:
        data = self.release.index(self.charts) if name == "index.yaml" else self.release.archives.get(name)
        if data is None:
            return _error(HTTPStatus.NOT_FOUND, "NOT_FOUND", f"there is no file {name}")
        etag = f'"{Digest.of(data).hex[:32]}"'
        kind = "text/yaml" if name.endswith(".yaml") else "application/gzip"
        if known == etag:
            return _Answer(HTTPStatus.NOT_MODIFIED, b"", (("ETag", etag),))
        return _Answer(HTTPStatus.OK, data, (("Content-Type", kind), ("ETag", etag)))


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes
    headers: tuple[tuple[str, str], ...]


def _json(status: HTTPStatus, document: Any) -> _Answer:
    return _Answer(status, json.dumps(document).encode(), (("Content-Type", "application/json"),))


def _error(status: HTTPStatus, code: str, message: str) -> _Answer:
    return _json(status, {"errors": [{"code": code, "message": message}]})


def _manifest(repository: StoredRepository, version: str) -> _Answer:
    digest = repository.tags.get(version, version)
    manifest = repository.manifests.get(digest)
    if manifest is None:
        return _error(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", f"there is no manifest {version}")
    headers = (("Content-Type", manifest.media_type), ("Docker-Content-Digest", digest))
    return _Answer(HTTPStatus.OK, manifest.raw, headers)


def _blob(repository: StoredRepository, digest: str, asked: str, *, is_altered: bool) -> _Answer:
    data = repository.blobs.get(digest)
    if data is None:
        return _error(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", f"there is no blob {digest}")
    if is_altered:
        middle = len(data) // 2
        data = data[:middle] + bytes((data[middle] ^ 0xFF,)) + data[middle + 1 :]
    headers = [("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", digest)]
    headers.append(("Accept-Ranges", "bytes"))
    match = _RANGE.fullmatch(asked)
    if match is None:
        return _Answer(HTTPStatus.OK, data, tuple(headers))
    first = int(match[1])
    last = min(int(match[2] or len(data) - 1), len(data) - 1)
    if first > last:
        headers.append(("Content-Range", f"bytes */{len(data)}"))
        return _Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", tuple(headers))
    headers.append(("Content-Range", f"bytes {first}-{last}/{len(data)}"))
    return _Answer(HTTPStatus.PARTIAL_CONTENT, data[first : last + 1], tuple(headers))


def _tags(name: str, repository: StoredRepository, query: dict[str, list[str]]) -> _Answer:
    after = query.get("last", [""])[0]
    tags = [tag for tag in sorted(repository.tags) if tag > after]
    count = int(query["n"][0]) if query.get("n", [""])[0].isdigit() else len(tags)
    answer = _json(HTTPStatus.OK, {"name": name, "tags": tags[:count]})
    if not count or len(tags) <= count:
        return answer
    link = f'</v2/{name}/tags/list?n={count}&last={tags[count - 1]}>; rel="next"'
    return _Answer(answer.status, answer.body, (*answer.headers, ("Link", link)))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def keep(self, connection: socket.socket) -> None:
        """Remembers *connection*, to be ended with the server."""
        with self._lock:
            self._connections.add(connection)

    def forget(self, connection: socket.socket) -> None:
        """*connection* is about to be closed."""
        with self._lock:
            self._connections.discard(connection)

    def drop_connections(self) -> None:
        """Ends the threads that wait for a next request."""
        with self._lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was first

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no event: who reads a tampered blob does so."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes; Nagle would hold the second for an ACK
    timeout = 60

    def setup(self) -> None:
        super().setup()
        self.server.keep(self.connection)

    def finish(self) -> None:
        self.server.forget(self.connection)
        super().finish()

    def _respond(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        answer = self.server.upstream.answer(self.command, self.path, headers)
        self.send_response(answer.status)
        for key, value in answer.headers:
            self.send_header(key, value)
        if answer.status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(answer.body)))
        if self.command not in ("GET", "HEAD"):
            self.send_header("Connection", "close")  # a body that was not read would be taken for a request
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815  the standard library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the standard library's name
        """Says nothing: stderr is for mirror."""
