"""Blob bodies: what the wire may do to them, and how they end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mirror.errors import ContentError, MirrorError, RegistryError, Unreachable
from mirror.http.answer import REDIRECTS_MAX, Answer
from mirror.http.connections import Connections
from mirror.http.proxies import Proxies
from mirror.http.stream import HttpBody, HttpUpload
from mirror.oci.blob import BUFFER_SIZE, Reading
from mirror.oci.content import Descriptor
from tests.content import blob
from tests.http.talking import talking
from tests.servers.certificates import Certificates
from tests.servers.fake import (
    ALWAYS,
    FakeRegistry,
    Fault,
    Harm,
    Manners,
    Stored,
    answer,
    becomes,
    claims_length,
    corrupt,
    cut,
    fake_registry,
    header,
    longer,
    redirect,
    refusal,
    stalled,
    truncated,
)
from tests.servers.ingress import ingress
from tests.servers.proxy import Proxy

_DATA = bytes(range(256)) * 8 * 1024  # 2 MB
_BLOB = blob(_DATA)
_AT = f"/v2/linkerd/proxy/blobs/{_BLOB.digest}"
_SOON_S = 5.0
_CLOSES = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n"


@pytest.fixture
def connections() -> Iterator[Connections]:
    opened = Connections(proxies=Proxies())
    yield opened
    opened.close()


@pytest.fixture
def source(fake: FakeRegistry) -> FakeRegistry:
    """A registry that has the blob."""
    fake.repositories["linkerd/proxy"] = Stored(blobs={_BLOB.digest: _DATA})
    return fake


def _refusal(got: Answer) -> MirrorError:
    return RegistryError(f"{got.status} {got.body.decode()}", status=got.status)


def _body(connections: Connections, fake: FakeRegistry, **headers: str) -> HttpBody:
    return HttpBody(connections, fake.url + _AT, headers=headers, refusal=_refusal)


def _read(body: HttpBody, promise: Descriptor = _BLOB) -> bytes:
    data = bytearray()
    try:
        Reading(promise, where="here", on_chunk=data.extend).go_on(body)
    finally:
        body.close()
    return bytes(data)


def _upload(connections: Connections, fake: FakeRegistry, promise: Descriptor = _BLOB) -> HttpUpload:
    fake.uploads["1"] = bytearray()
    url = f"{fake.url}/v2/linkerd/proxy/blobs/uploads/1?digest={promise.digest}"
    return HttpUpload(connections, url, promise.size, headers={}, refusal=_refusal)


def _send(upload: HttpUpload, data: bytes = _DATA) -> None:
    try:
        for at in range(0, len(data), BUFFER_SIZE):
            upload.write(memoryview(data)[at : at + BUFFER_SIZE])
        upload.finish()
    except BaseException:
        upload.abort()
        raise


# Reading


def test_a_body_is_read_and_its_connection_kept(connections: Connections, source: FakeRegistry) -> None:
    """The next one uses it."""
    for _ in range(3):
        assert _DATA == _read(_body(connections, source))

    assert [1] == [len(idle) for idle in connections._idle.values()]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_drop_the_credential(connections: Connections, source: FakeRegistry, status: int) -> None:
    """Another host gets the request without it; a redirect at the same host keeps it."""
    with fake_registry() as front:
        front.faults += [
            Fault("GET .*", redirect(_AT + "?again", status)),
            Fault("GET .*", redirect(source.url + _AT + "?sig=a%2Fb%3D", status), skip=1),
        ]

        assert _DATA == _read(_body(connections, front, Authorization="Bearer secret"))

        assert ["Bearer secret"] * 2 == [seen.headers["authorization"] for seen in front.requests]
        assert [f"GET {_AT}?sig=a%2Fb%3D"] == list(map(str, source.requests))
        assert "authorization" not in source.requests[0].headers


def test_a_body_without_a_credential_may_be_redirected(connections: Connections, source: FakeRegistry) -> None:
    """In any spelling of the header's name."""
    with fake_registry(manners=Manners(blobs_at=source.url)) as front:
        assert _DATA == _read(_body(connections, front, authorization="Basic secret"))
        assert "authorization" not in source.requests[0].headers


def test_redirects_end(connections: Connections, source: FakeRegistry) -> None:
    """A loop is broken."""
    source.faults.append(Fault("GET .*", redirect(_AT), times=ALWAYS))

    with pytest.raises(Unreachable, match=f"{source.host}: more than {REDIRECTS_MAX} redirects"):
        _read(_body(connections, source))

    assert REDIRECTS_MAX + 1 == len(source.requests)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://[bad", "https://b.example:99999/"])
def test_a_redirect_to_nowhere(connections: Connections, source: FakeRegistry, target: str) -> None:
    """Is refused."""
    source.faults.append(Fault("GET .*", redirect(target)))

    with pytest.raises(Unreachable, match=f"{source.host} gave a redirect to"):
        _read(_body(connections, source))


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (becomes(cut(after=0)), Unreachable, "cannot be reached: "),
        (becomes(cut(after=1_000_000)), Unreachable, "cannot be reached: "),
        (becomes(claims_length(len(_DATA) + 10)), Unreachable, "ended 10 bytes before the end of the blob"),
        (becomes(truncated), ContentError, f"has {len(_DATA) // 2} bytes, {len(_DATA)} were promised"),
        (becomes(longer), ContentError, f"longer than the {len(_DATA)} bytes promised"),
        (becomes(corrupt), ContentError, "the content is corrupt"),
        (becomes(stalled(after=1_000_000)), Unreachable, "no answer in time"),
        (becomes(stalled(after=0)), Unreachable, "no answer in time"),
        (refusal(404, "BLOB_UNKNOWN"), RegistryError, "404 .*BLOB_UNKNOWN"),
        (answer(503, b"<html>"), RegistryError, "503 <html>"),
        (answer(206, _DATA[:10]), RegistryError, "206 "),
    ],
    ids=["cut at once", "cut", "ended", "truncated", "longer", "corrupt", "stalled", "silent", "404", "503", "206"],
)
def test_a_body_that_is_not_the_blob(source: FakeRegistry, harm: Harm, error: type[MirrorError], words: str) -> None:
    """What the connection did may be tried again, what the server meant may not; the next request is not harmed."""
    source.faults.append(Fault("GET .*", harm))
    connections = Connections(proxies=Proxies(), idle_timeout_s=0.3)

    with pytest.raises(error, match=words):
        _read(_body(connections, source))

    assert [] == [idle for idles in connections._idle.values() for idle in idles if idle.is_stale]
    assert _DATA == _read(_body(connections, source))
    connections.close()


def test_a_connection_that_was_closed_meanwhile(connections: Connections) -> None:
    """Is not used: no request is lost to it."""
    with fake_registry() as fake:
        fake.repositories["linkerd/proxy"] = Stored(blobs={_BLOB.digest: _DATA})
        _read(_body(connections, fake))
        (idle,) = connections._idle.values()
        (kept,) = idle
        assert not kept.is_stale
    _wait_until(lambda: kept.is_stale)

    assert kept is not connections.take(fake.url)


def test_a_connection_that_idled_for_long(connections: Connections, source: FakeRegistry) -> None:
    """Is not used either."""
    _read(_body(connections, source))
    (idle,) = connections._idle.values()
    (kept,) = idle
    kept.freed_at -= 60

    assert kept.is_stale
    assert _DATA == _read(_body(connections, source))


def test_a_body_left_in_its_middle(connections: Connections, source: FakeRegistry) -> None:
    """Its connection is not used again."""
    body = _body(connections, source)
    body.readinto(memoryview(bytearray(10)))
    body.close()

    assert _DATA == _read(_body(connections, source))


def test_the_host_that_failed_is_named(connections: Connections, source: FakeRegistry) -> None:
    """It is where the blob was to come from, not who sent us there."""
    source.faults.append(Fault("GET .*", redirect("https://blobs.invalid/x")))

    with pytest.raises(Unreachable, match=r"^blobs\.invalid cannot be reached: its name cannot be resolved"):
        _read(_body(connections, source))


# Writing


def test_an_upload_is_written_whole(connections: Connections, fake: FakeRegistry) -> None:
    """With its length, and its connection is kept."""
    for _ in range(2):
        _send(_upload(connections, fake))

    assert _DATA == fake.repositories["linkerd/proxy"].blobs[_BLOB.digest]
    assert {str(len(_DATA))} == {seen.headers["content-length"] for seen in fake.requests}
    assert {False} == {"transfer-encoding" in seen.headers for seen in fake.requests}
    assert [1] == [len(idle) for idle in connections._idle.values()]


def test_an_upload_over_a_new_connection_by_tls(certificates: Certificates) -> None:
    """The session tickets that come with it are no answer."""
    connections = Connections(proxies=Proxies(), ca_file=str(certificates.authority), idle_timeout_s=1.0)
    with fake_registry(certificates=certificates) as fake:
        _send(_upload(connections, fake))

        assert _DATA == fake.repositories["linkerd/proxy"].blobs[_BLOB.digest]
    connections.close()


def test_an_empty_upload(connections: Connections, fake: FakeRegistry) -> None:
    """Is a PUT of nothing."""
    _send(_upload(connections, fake, blob(b"")), b"")

    assert b"" == fake.repositories["linkerd/proxy"].blobs[blob(b"").digest]


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("status", [401, 413])
def test_an_upload_answered_early(certificates: Certificates, is_secure: bool, status: int) -> None:
    """The registry's words are told, not that it hung up."""
    head = f"HTTP/1.1 {status} No\r\nContent-Length: 11\r\nConnection: close\r\n\r\nin my words".encode()
    data = bytes(30_000_000)
    connections = Connections(proxies=Proxies(), ca_file=str(certificates.authority))
    with talking(head, certificates=certificates if is_secure else None) as url:
        upload = HttpUpload(connections, url, len(data), headers={}, refusal=_refusal)
        with pytest.raises(RegistryError, match=f"{status} in my words"):
            _send(upload, data)


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_an_upload_answered_early_ends_early(certificates: Certificates, fake: FakeRegistry, is_secure: bool) -> None:
    """An ingress that reads on, as nginx does, is sent no more."""
    data, connections = bytes(64_000_000), Connections(proxies=Proxies(), ca_file=str(certificates.authority))
    with ingress(fake.host, body_max=1, certificates=certificates if is_secure else None) as front:
        upload = HttpUpload(connections, front.url + "/", len(data), headers={}, refusal=_refusal)
        with pytest.raises(RegistryError, match="413 <html>"):
            _send(upload, data)

    assert front.wasted < len(data) // 2


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_an_upload_whose_registry_leaves(certificates: Certificates, is_secure: bool) -> None:
    """Without an answer, cannot be reached."""
    data = bytes(30_000_000)
    connections = Connections(proxies=Proxies(), ca_file=str(certificates.authority))
    with talking(b"", certificates=certificates if is_secure else None) as url:
        upload = HttpUpload(connections, url, len(data), headers={}, refusal=_refusal)
        with pytest.raises(Unreachable, match="cannot be reached"):
            _send(upload, data)


@pytest.mark.parametrize("status", [400, 413, 503])
def test_an_upload_refused_at_its_end(connections: Connections, fake: FakeRegistry, status: int) -> None:
    """In the registry's words; nothing is stored."""
    fake.faults.append(Fault("PUT .*", refusal(status, "DENIED", "over quota")))

    with pytest.raises(RegistryError, match=f"{status} .*over quota"):
        _send(_upload(connections, fake))

    assert {} == fake.repositories


def test_an_upload_nobody_reads(fake: FakeRegistry) -> None:
    """Ends after the idle deadline."""
    connections = Connections(proxies=Proxies(), idle_timeout_s=0.3)
    with talking(b"", reads=False) as url:
        upload = HttpUpload(connections, url, 2**30, headers={}, refusal=_refusal)
        with pytest.raises(Unreachable, match="no answer in time"):
            _send(upload, bytes(30_000_000))
    connections.close()


# Given up from another thread


@dataclass(slots=True)
class _Blocked:
    """Work in a thread of its own, which blocks."""

    work: Callable[[], object]
    failure: BaseException | None = None
    seconds: float = 0.0
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        begin = time.monotonic()
        try:
            self.work()
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            self.failure = exc
        self.seconds = time.monotonic() - begin

    def ended(self) -> BaseException | None:
        self.thread.join(_SOON_S)
        assert not self.thread.is_alive()
        return self.failure


@contextmanager
def _stalling(
    certificates: Certificates | None, *, closes: bool = False, data: bytes = _DATA
) -> Iterator[tuple[FakeRegistry, Connections]]:
    """A registry that stops in the middle of a blob; *closes*: it would have closed the connection afterwards."""
    with fake_registry(certificates=certificates) as fake:
        fake.repositories["linkerd/proxy"] = Stored(blobs={_BLOB.digest: data})
        fake.faults.append(Fault("GET .*", becomes(stalled(after=1000)), times=ALWAYS))
        if closes:
            stops = stalled(after=1000)
            fake.faults[0].harm = becomes(lambda response: stops(header(Connection="close")(response)))
        connections = Connections(proxies=Proxies(), ca_file=str(certificates.authority) if certificates else "")
        yield fake, connections
        connections.close()


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("closes", [False, True], ids=["keeps", "closes"])
def test_a_read_that_blocks_ends(certificates: Certificates, is_secure: bool, closes: bool) -> None:
    """At once, whatever the connection was to become."""
    with _stalling(certificates if is_secure else None, closes=closes) as (fake, connections):
        body, has_begun = _body(connections, fake), threading.Event()

        def read() -> None:
            buffer = memoryview(bytearray(1000))
            while body.readinto(buffer):
                has_begun.set()

        blocked = _Blocked(read)
        assert has_begun.wait(_SOON_S)
        time.sleep(0.05)
        body.abort()

        assert isinstance(blocked.ended(), Unreachable)
        body.close()


def test_a_read_through_a_proxy_ends(proxy: Proxy) -> None:
    """The proxy's connection is the one that is ended."""
    with _stalling(None) as (fake, _):
        proxy.routes["registry.example:80"] = fake.host
        connections = Connections(proxies=Proxies({"http": proxy.url}))
        body = HttpBody(connections, f"http://registry.example{_AT}", headers={}, refusal=_refusal)
        blocked = _Blocked(lambda: _read(body))
        _wait_until(lambda: bool(fake.requests))
        time.sleep(0.05)
        body.abort()

        assert isinstance(blocked.ended(), Unreachable)


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_a_write_that_blocks_ends(certificates: Certificates, is_secure: bool) -> None:
    """At once."""
    with talking(b"", reads=False, certificates=certificates if is_secure else None) as url:
        connections = Connections(proxies=Proxies(), ca_file=str(certificates.authority))
        upload = HttpUpload(connections, url, 2**30, headers={}, refusal=_refusal)
        blocked = _Blocked(lambda: _send(upload, bytes(30_000_000)))
        time.sleep(0.2)
        upload.abort()

        assert isinstance(blocked.ended(), Unreachable)


def test_giving_up_while_connecting(certificates: Certificates) -> None:
    """Is not forgotten when the connection is there: nothing is sent on it."""
    may_go_on = threading.Event()
    with talking(b"", reads=False, certificates=certificates, gate=may_go_on) as url:
        connections = Connections(proxies=Proxies(), ca_file=str(certificates.authority))
        body = HttpBody(connections, url, headers={}, refusal=_refusal)
        blocked = _Blocked(lambda: _read(body))
        time.sleep(0.1)
        body.abort()
        may_go_on.set()

        assert "given up" in str(blocked.ended())


def test_what_was_given_up_is_never_sent(connections: Connections, fake: FakeRegistry) -> None:
    """Neither a GET nor a PUT."""
    body, upload = _body(connections, fake), _upload(connections, fake)
    body.abort()
    upload.abort()

    with pytest.raises(Unreachable, match="given up"):
        _read(body)
    with pytest.raises(Unreachable, match="given up"):
        _send(upload)
    assert [] == fake.requests


@pytest.mark.parametrize("sent", [0, 1000, len(_DATA) - 1])
def test_an_upload_that_is_given_up_is_no_blob(connections: Connections, fake: FakeRegistry, sent: int) -> None:
    """However much of it was sent."""
    upload = _upload(connections, fake)
    if sent:
        upload.write(memoryview(_DATA)[:sent])
    upload.abort()
    upload.abort()

    with fake_registry():  # time enough for the server to notice
        assert {} == fake.repositories


def test_nothing_is_left_open(source: FakeRegistry) -> None:
    """Closing ends every kept connection; a body opened and never read has none."""
    connections = Connections(proxies=Proxies())
    _body(connections, source).close()
    _read(_body(connections, source))
    (idle,) = connections._idle.values()
    (kept,) = idle
    connections.close()

    assert kept.http.sock is None
    assert {} == connections._idle


@pytest.mark.parametrize("head", [_CLOSES, f"{_CLOSES}content-length: 70000\r\n"], ids=["until it closes", "cut off"])
def test_no_refusal_is_left_open(connections: Connections, head: str) -> None:
    """Not even one that says that the connection ends with it: its answer owns the socket then (http.client)."""
    sockets = _open_sockets()
    with talking(f"{head}\r\nno".encode()) as url:
        with pytest.raises(MirrorError) as reading:
            _read(HttpBody(connections, url, headers={}, refusal=_refusal))
        with pytest.raises(MirrorError) as writing:
            _send(HttpUpload(connections, url, len(_DATA), headers={}, refusal=_refusal))

    assert (reading.tb, writing.tb) != (None, None)  # while the errors, and what they refer to, are there
    assert sockets == _open_sockets()


async def test_many_at_once(connections: Connections, source: FakeRegistry) -> None:
    """Each thread has its own connection."""
    bodies = [_body(connections, source) for _ in range(12)]

    assert {_DATA} == set(await asyncio.gather(*(asyncio.to_thread(_read, body) for body in bodies)))


def _open_sockets() -> list[str]:
    """Of this process, as proc(5) names them."""
    return sorted(link for fd in Path("/proc/self/fd").iterdir() if (link := _link_of(fd)).startswith("socket:"))


def _link_of(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except FileNotFoundError:  # that of the listing itself
        return ""


def _wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SOON_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
