"""What a meter is told of the wire."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from mirror.errors import MirrorError, RegistryError, Unreachable
from mirror.http.answer import Answer
from mirror.http.connections import Connections
from mirror.http.gate import Gate
from mirror.http.general import GeneralClient
from mirror.http.meter import retry_reason
from mirror.http.proxies import Proxies
from mirror.http.stream import HttpBody, HttpUpload
from mirror.http.transport import ATTEMPTS, Transport
from tests.content import blob
from tests.http.metering import Told
from tests.http.naps import Naps
from tests.http.talking import talking
from tests.http.test_transport import closed_port
from tests.servers.certificates import Certificates
from tests.servers.fake import (
    FakeRegistry,
    Fault,
    Stored,
    answer,
    becomes,
    cut,
    fake_registry,
    hang_up,
    redirect,
    refusal,
)

_DATA = bytes(range(256)) * 4096
_BLOB = blob(_DATA)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def connections(told: Told) -> Iterator[Connections]:
    opened = Connections(proxies=Proxies(), meter=told)
    yield opened
    opened.close()


@pytest.fixture(params=[Connections, GeneralClient])
def wire(request: pytest.FixtureRequest) -> type[Connections | GeneralClient]:
    """Either of the two."""
    chosen: type[Connections | GeneralClient] = request.param
    return chosen


@pytest.fixture
async def transport(wire: type[Connections | GeneralClient], told: Told) -> AsyncIterator[Transport]:
    """Waits for nothing."""
    naps = Naps()
    gate = Gate(sleep=naps, now=naps.now, host="gate", meter=told)
    async with Transport(wire(proxies=Proxies(), meter=told), gate, naps) as opened:
        yield opened


def _refusal(got: Answer) -> MirrorError:
    return RegistryError(str(got.status), status=got.status)


# Small requests, over either wire


async def test_an_answer(fake: FakeRegistry, transport: Transport, told: Told) -> None:
    """Its host, its method, its status, whatever it is, and the bytes of both bodies."""
    for method, path, body in (("GET", "/v2/", b""), ("HEAD", "/v2/a/manifests/b", b""), ("POST", "/v2/x", b"abc")):
        await transport.send(method, fake.url + path, headers={}, body=body)

    assert [(fake.host, "GET", 200), (fake.host, "HEAD", 404), (fake.host, "POST", 404)] == told.answers
    assert all(0 < seconds < 5 for seconds in told.seconds)
    assert told.came[fake.host] > 2
    assert {fake.host: 3} == told.went
    assert [] == told.failures


async def test_a_redirect(fake: FakeRegistry, transport: Transport, told: Told) -> None:
    """Each host answers for itself."""
    with fake_registry() as other:
        fake.faults.append(Fault("GET /v2/", redirect(f"{other.url}/v2/")))

        await transport.send("GET", f"{fake.url}/v2/", headers={})

        assert [(fake.host, "GET", 307), (other.host, "GET", 200)] == told.answers


async def test_no_answer(transport: Transport, told: Told) -> None:
    """Each try is told, and each time that another follows."""
    with closed_port() as host:
        with pytest.raises(Unreachable):
            await transport.send("GET", f"http://{host}/v2/", headers={})

        assert [(host, "GET")] * ATTEMPTS == told.failures
        assert [(host, "unreachable")] * (ATTEMPTS - 1) == [(at, reason) for at, reason, _ in told.retries]
        assert [] == told.answers


async def test_a_body_that_breaks_off(fake: FakeRegistry, transport: Transport, told: Told) -> None:
    """Was answered: its head came."""
    fake.faults.append(Fault("GET /v2/", becomes(cut(after=1))))

    await transport.send("GET", f"{fake.url}/v2/", headers={})

    assert [(fake.host, "GET", 200)] * 2 == told.answers
    assert [] == told.failures
    assert [(fake.host, "unreachable")] == [(at, reason) for at, reason, _ in told.retries]


async def test_a_rate_limit(fake: FakeRegistry, transport: Transport, told: Told) -> None:
    """Who was refused waits and asks again; who comes meanwhile is held back before they ask."""
    fake.faults.append(Fault("GET /v2/", answer(429, Retry_After="7")))
    is_refused, is_over = asyncio.Event(), asyncio.Event()

    async def nap(seconds: float) -> None:
        is_refused.set()
        await is_over.wait()

    transport.sleep = nap
    first = asyncio.create_task(transport.send("GET", f"{fake.url}/v2/", headers={}))
    await asyncio.wait_for(is_refused.wait(), 5)
    await transport.send("GET", f"{fake.url}/v2/?second", headers={})
    is_over.set()
    await first

    (host, reason, seconds) = told.retries[0]
    assert (fake.host, "rate_limited") == (host, reason)
    assert 7 <= seconds <= 7 * 1.25
    assert "gate" == told.waits[0][0]
    assert 6 < told.waits[0][1] <= 7


async def test_a_server_that_fails(fake: FakeRegistry, transport: Transport, told: Told) -> None:
    """Is asked again for another reason."""
    fake.faults.append(Fault("GET /v2/", answer(500)))

    await transport.send("GET", f"{fake.url}/v2/", headers={})

    assert ["server_error"] == [reason for _, reason, _ in told.retries]
    assert [] == told.waits


@pytest.mark.parametrize(
    ("status", "reason"),
    [(None, "unreachable"), (429, "rate_limited"), (503, "rate_limited"), (500, "server_error"), (408, "server_error")],
)
def test_reasons(status: int | None, reason: str) -> None:
    """By the status of the answer, if there was one."""
    assert reason == retry_reason(status)


async def test_a_certificate(certificates: Certificates, wire: type[Connections | GeneralClient], told: Told) -> None:
    """Its end is told, over either wire; plain http has none."""
    ends = x509.load_pem_x509_certificate(certificates.certificate.read_bytes()).not_valid_after_utc
    with fake_registry(certificates=certificates) as secure, fake_registry() as plain:
        async with Transport(wire(ca_file=str(certificates.authority), proxies=Proxies(), meter=told)) as transport:
            for fake in (secure, plain):
                await transport.send("GET", f"{fake.url}/v2/", headers={})

        assert [(secure.host, "certificate", ends)] == told.good_until


async def test_a_certificate_is_told_once_a_connection(certificates: Certificates, told: Told) -> None:
    """Hundreds of requests use one."""
    connections = Connections(str(certificates.authority), Proxies(), meter=told)
    with fake_registry(certificates=certificates) as fake:
        async with Transport(connections) as transport:
            for _ in range(3):
                await transport.send("GET", f"{fake.url}/v2/", headers={})

        assert fake.connections == len(told.good_until) == 1


async def test_a_kept_connection_that_was_closed(fake: FakeRegistry, connections: Connections, told: Told) -> None:
    """Is no failure: the request goes over another one, and is answered."""
    fake.faults.append(Fault("GET /v2/", hang_up(), skip=1))
    async with Transport(connections) as transport:
        for _ in range(2):
            await transport.send("GET", f"{fake.url}/v2/", headers={})

    assert [(fake.host, "GET", 200)] * 2 == told.answers
    assert [] == told.failures
    assert 3 == len(fake.requests)


# Blobs


def test_a_body(fake: FakeRegistry, connections: Connections, told: Told) -> None:
    """Its bytes are told of whoever sends them, piece by piece."""
    with fake_registry() as store:
        store.faults.append(Fault("GET .*", answer(200, _DATA)))
        fake.faults.append(Fault("GET .*", redirect(f"{store.url}/blob")))
        body, buffer = (
            HttpBody(connections, f"{fake.url}/v2/a", headers={}, refusal=_refusal),
            memoryview(bytearray(4096)),
        )
        begun = body.readinto(buffer)

        assert begun == told.came[store.host] > 0

        while body.readinto(buffer):
            pass
        body.close()

        assert {store.host: len(_DATA)} == +told.came
        assert [(fake.host, "GET", 307), (store.host, "GET", 200)] == told.answers


def _upload(connections: Connections, fake: FakeRegistry) -> HttpUpload:
    fake.uploads["1"] = bytearray()
    fake.repositories["a"] = Stored()
    url = f"{fake.url}/v2/a/blobs/uploads/1?digest={_BLOB.digest}"
    return HttpUpload(connections, url, len(_DATA), headers={}, refusal=_refusal)


def _send(upload: HttpUpload, data: bytes) -> None:
    for at in range(0, len(data), 65536):
        upload.write(memoryview(data)[at : at + 65536])
    upload.finish()


def test_an_upload(fake: FakeRegistry, connections: Connections, told: Told) -> None:
    """Its bytes are told of as they go, its answer once all have gone."""
    upload = _upload(connections, fake)
    upload.write(memoryview(_DATA)[:1000])

    assert {fake.host: 1000} == told.went
    assert [] == told.answers

    upload.write(memoryview(_DATA)[1000:])
    upload.finish()

    assert {fake.host: len(_DATA)} == told.went
    assert [(fake.host, "PUT", 201)] == told.answers


def test_an_upload_that_is_refused(fake: FakeRegistry, connections: Connections, told: Told) -> None:
    """Is answered."""
    fake.faults.append(Fault("PUT .*", refusal(413, "SIZE_INVALID")))
    upload = _upload(connections, fake)
    with pytest.raises(RegistryError):
        _send(upload, _DATA)

    assert [(fake.host, "PUT", 413)] == told.answers
    assert [] == told.failures


def test_an_upload_without_an_answer(connections: Connections, told: Told) -> None:
    """Is told once."""
    with talking(b"") as url:
        data = _DATA * 32
        upload = HttpUpload(connections, url, len(data), headers={}, refusal=_refusal)
        with pytest.raises(Unreachable):
            _send(upload, data)

        assert [(urlsplit(url).netloc, "PUT")] == told.failures


def test_what_we_give_up_ourselves(connections: Connections, told: Told) -> None:
    """Is no failure of the host."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        body = HttpBody(connections, url, headers={}, refusal=_refusal)
        failures: list[Unreachable] = []

        def read() -> None:
            try:
                body.readinto(memoryview(bytearray(1)))
            except Unreachable as exc:
                failures.append(exc)

        reading = threading.Thread(target=read)
        reading.start()
        client, _ = silent.accept()
        with client:
            client.recv(65536)
            body.abort()
            reading.join(5)

    assert ["given up"] == [str(exc).rpartition(": ")[2] for exc in failures]
    assert [] == told.failures


# All together


def test_nothing_is_told_twice_or_not_at_all(fake: FakeRegistry, connections: Connections, told: Told) -> None:
    """What many threads tell of is what the server saw."""
    fake.repositories["a"] = Stored(blobs={_BLOB.digest: _DATA})

    def read() -> None:
        for _ in range(5):
            body = HttpBody(connections, f"{fake.url}/v2/a/blobs/{_BLOB.digest}", headers={}, refusal=_refusal)
            while body.readinto(memoryview(bytearray(65536))):
                pass
            body.close()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter({(fake.host, "GET", 200): 20}) == Counter(told.answers)
    assert 20 == len(fake.requests)
