"""What a small request meets on its way, and what becomes of it: the same over either wire."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.errors import ContentError, MirrorError, RegistryError, SettingsError, Unreachable, Untrusted
from mirror.http.answer import REDIRECTS_MAX, Answer, checked_target, requested_wait
from mirror.http.connections import Connections
from mirror.http.gate import Gate
from mirror.http.general import GeneralClient
from mirror.http.proxies import Proxies
from mirror.http.transport import ATTEMPTS, Transport, Wire
from tests.content import image
from tests.http.naps import Naps
from tests.http.talking import talking
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.fake import (
    ALWAYS,
    FakeRegistry,
    Fault,
    Harm,
    Manners,
    answer,
    becomes,
    cut,
    fake_registry,
    ghcr_rate_limit,
    hang_up,
    redirect,
    stalled,
)
from tests.waiting import until

_NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture(params=[Connections, GeneralClient])
def wire(request: pytest.FixtureRequest) -> type[Connections | GeneralClient]:
    """Either of the two."""
    chosen: type[Connections | GeneralClient] = request.param
    return chosen


@pytest.fixture
async def transport(wire: type[Connections | GeneralClient], naps: Naps) -> AsyncIterator[Transport]:
    """Waits for nothing, and for no server longer than a moment."""
    async with _open(wire(proxies=Proxies(), idle_timeout_s=0.3), naps) as opened:
        yield opened


def _open(wire: Wire, naps: Naps) -> Transport:
    return Transport(wire, Gate(sleep=naps, now=naps.now), naps)


async def _get(transport: Transport, url: str, *, bound: int = 4 * 1024 * 1024, **headers: str) -> Answer:
    return await transport.send("GET", url, headers=headers, bound=bound)


@contextmanager
def closed_port() -> Iterator[str]:
    """`HOST:PORT` where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


# The retry table


@pytest.mark.parametrize(
    ("harm", "least", "most"),
    [
        (answer(429, Retry_After="7"), 7, 8.75),
        (answer(503, Retry_After="7"), 7, 8.75),
        (answer(429, Retry_After="0"), 0.25, 0.3125),
        (answer(429, Retry_After="soon"), 0.25, 0.3125),
        (answer(429), 0.25, 0.3125),
        (ghcr_rate_limit("880.092µs"), 0.25, 0.3125),
        (ghcr_rate_limit("900ms"), 0.9, 1.125),
        (ghcr_rate_limit("2.5s"), 2.5, 3.125),
        (ghcr_rate_limit("1m0s"), 60, 75),
        (answer(408), 0.25, 0.3125),
        (answer(500), 0.25, 0.3125),
        (answer(502), 0.25, 0.3125),
        (answer(503), 0.25, 0.3125),
        (answer(504), 0.25, 0.3125),
        (hang_up(), 0.25, 0.3125),
        (becomes(cut(after=1)), 0.25, 0.3125),
        (becomes(stalled(after=1)), 0.25, 0.3125),
    ],
    ids=[
        "429 in seconds", "503 in seconds", "429 at once", "429 unreadable", "429 silent", "GHCR µs", "GHCR ms",
        "GHCR s", "GHCR m", "408", "500", "502", "503", "504", "reset", "broken off", "stalled",
    ],
)  # fmt: skip
async def test_what_is_temporary_is_tried_again(
    fake: FakeRegistry, transport: Transport, naps: Naps, harm: Harm, least: float, most: float
) -> None:
    """After the wait that was asked for, with some jitter and a floor."""
    fake.faults.append(Fault("GET /v2/", harm))

    got = await _get(transport, f"{fake.url}/v2/")

    (waited,) = naps.taken
    assert (200, b"{}") == (got.status, got.body)
    assert least <= waited <= most
    assert 2 == len(fake.requests)


async def test_a_date_is_waited_for(fake: FakeRegistry, transport: Transport, naps: Naps) -> None:
    """RFC 9110 allows a date in Retry-After."""
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    fake.faults.append(Fault("GET /v2/", answer(429, Retry_After=at)))

    assert 200 == (await _get(transport, f"{fake.url}/v2/")).status
    assert 17 < naps.taken[0] < 26


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 412, 413, 416, 501, 505])
async def test_what_is_final_is_not_tried_again(
    fake: FakeRegistry, transport: Transport, naps: Naps, status: int
) -> None:
    """The answer is the caller's."""
    fake.faults.append(Fault("GET /v2/", answer(status), times=ALWAYS))

    assert status == (await _get(transport, f"{fake.url}/v2/")).status
    assert [] == naps.taken


async def test_giving_up_on_an_answer(fake: FakeRegistry, transport: Transport, naps: Naps) -> None:
    """The last one is the caller's; the waits have grown."""
    fake.faults.append(Fault("GET /v2/", answer(502, b"Bad Gateway"), times=ALWAYS))

    got = await _get(transport, f"{fake.url}/v2/")

    assert (502, b"Bad Gateway") == (got.status, got.body)
    assert ATTEMPTS == len(fake.requests)
    assert [0.25, 0.5, 1, 2] == pytest.approx(naps.taken, rel=0.26)


async def test_giving_up_on_a_connection(fake: FakeRegistry, transport: Transport) -> None:
    """One sentence that names the host."""
    fake.faults.append(Fault("GET /v2/", hang_up(), times=ALWAYS))

    with pytest.raises(Unreachable) as caught:
        await _get(transport, f"{fake.url}/v2/")

    assert ATTEMPTS == len(fake.requests)
    assert str(caught.value).startswith(f"{fake.host} cannot be reached: ")


async def test_a_server_that_says_nothing(fake: FakeRegistry, transport: Transport) -> None:
    """Is given up after the idle deadline, with the reason."""
    fake.faults.append(Fault("GET /v2/", becomes(stalled(after=0)), times=ALWAYS))

    with pytest.raises(Unreachable, match=rf"{fake.host} cannot be reached: no answer in time"):
        await _get(transport, f"{fake.url}/v2/")


async def test_a_server_that_never_ends(wire: type[Connections | GeneralClient], naps: Naps) -> None:
    """Is given up, too, though it says something all the time: in its answer's head or in its body."""
    for head in (b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n"):
        with talking(head, b"x", every_s=0.05) as url:
            transport = _open(wire(proxies=Proxies()), naps)
            transport.timeout_s = 0.3
            async with transport:
                with pytest.raises(Unreachable, match=r"127\.0\.0\.1:\d+ cannot be reached: no answer in time"):
                    await _get(transport, url)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_that_is_too_long(fake: FakeRegistry, transport: Transport, naps: Naps, status: int) -> None:
    """Is not waited for: the operator is told how long it would be."""
    fake.faults.append(Fault("GET /v2/", answer(status, Retry_After="3600"), times=ALWAYS))

    with pytest.raises(RegistryError, match=f"{fake.host} answers {status} and asks us to wait 3600 s") as caught:
        await _get(transport, f"{fake.url}/v2/")

    assert status == caught.value.status
    assert [] == naps.taken


async def test_a_refusal_holds_for_who_waits_in_line(
    fake: FakeRegistry, wire: type[Connections | GeneralClient]
) -> None:
    """The host is asked no more than were under way, until the time that it gave is over."""
    fake.faults.append(Fault("HEAD /v2/", answer(429, Retry_After="5"), times=2))
    asleep, may_wake, woken_s = list[float](), asyncio.Event(), 0.0

    async def sleep(seconds: float) -> None:
        nonlocal woken_s
        asleep.append(seconds)
        await may_wake.wait()
        woken_s = max(woken_s, seconds)

    gate = Gate(limit=2, sleep=sleep, now=lambda: time.monotonic() + woken_s)
    async with Transport(wire(proxies=Proxies()), gate, sleep) as transport:
        sending = [asyncio.create_task(transport.send("HEAD", f"{fake.url}/v2/", headers={})) for _ in range(20)]
        await until(lambda: 20 == len(asleep))
        asked = len(fake.requests)
        may_wake.set()
        answers = await asyncio.gather(*sending)

    assert 2 == asked
    assert {200} == {each.status for each in answers}


async def test_a_body_is_sent_again_whole(fake: FakeRegistry, transport: Transport) -> None:
    """A manifest whose first PUT met a fault arrives all the same."""
    what = image()
    fake.repositories.clear()
    fake.manners.checks_content = False
    fake.faults += [Fault("PUT .*", hang_up(after=10)), Fault("PUT .*", answer(503), skip=1)]

    url = f"{fake.url}/v2/linkerd/proxy/manifests/{what.digest}"
    got = await transport.send("PUT", url, headers={}, body=what.manifest.raw)

    assert 201 == got.status
    assert what.manifest.raw == fake.repositories["linkerd/proxy"].manifests[what.digest][1]


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "120"}, b"", 120),
        ({"retry-after": " 1 "}, b"", 1),
        ({"retry-after": format_datetime(_NOW + timedelta(seconds=90), usegmt=True)}, b"", 90),
        ({"retry-after": "Mon, 23 Nov 2026 12:01:30 -0000"}, b"", 90),
        ({"retry-after": format_datetime(_NOW - timedelta(seconds=90), usegmt=True)}, b"", 0),
        ({"retry-after": "-1"}, b"", None),
        ({"retry-after": "٣"}, b"", None),
        ({"retry-after": "1" * 5000}, b"", 111111111),
        ({"retry-after": "never"}, b"retry-after: 5s", 5),
        ({}, b'{"errors":[{"message":"retry-after: 12ms, allowed: 44000/minute"}]}', 0.012),
        ({}, '{"errors":[{"message":"retry-after: 1.5µs, allowed: 1"}]}'.encode(), 1.5e-6),
        ({}, b'{"errors":[{"message":"retry-after: 8000\\u00b5s, allowed: 1"}]}', 0.008),
        ({}, b'{"errors":[{"message":"Retry-After: 2s. Slow down"}]}', 2),
        ({}, b"retry-after: 5", None),
        ({}, b"", None),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_the_wait_that_was_asked_for(headers: dict[str, str], body: bytes, seconds: float | None) -> None:
    """Seconds, a date, or GHCR's message, also where its µ is escaped."""
    got = requested_wait(headers, body, now=_NOW)

    assert seconds == (got if got is None else pytest.approx(got))


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_a_date_without_a_zone(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """Is of UTC, wherever we run: the form of asctime (RFC 9110 §5.6.7)."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    got = requested_wait({"retry-after": "Mon Nov 23 12:01:30 2026"}, b"", now=_NOW)
    monkeypatch.undo()
    time.tzset()

    assert 90 == got


@given(st.text(), st.binary())
@example("Fri, 31 Dec 9999 23:59:59 -2359", b"")
@example("Mon, 01 Jan 0001 00:00:00 +2359", b"")
@example("Mon, 99 Jan 2026 99:99:99 +9999999999", b"")
@example("0000000000", b"retry-after: " + b"9" * 400 + b"h")
def test_a_wait_or_nothing(header: str, body: bytes) -> None:
    """Whatever a server says."""
    got = requested_wait({"retry-after": header}, body, now=_NOW)

    assert got is None or got >= 0


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(fake: FakeRegistry, transport: Transport, status: int) -> None:
    """At the same host the credential stays."""
    fake.faults.append(Fault("GET /v2/", redirect("/v2/?there", status)))

    got = await _get(transport, f"{fake.url}/v2/", Authorization="Bearer secret")

    assert (200, f"{fake.url}/v2/?there") == (got.status, got.url)
    assert ["Bearer secret"] * 2 == [seen.headers["authorization"] for seen in fake.requests]


async def test_a_credential_stays_at_its_host(fake: FakeRegistry, transport: Transport) -> None:
    """Another host gets none, and coming back does not bring it back."""
    with fake_registry() as other:
        fake.faults.append(Fault("GET /v2/", redirect(f"{other.url}/v2/")))
        other.faults.append(Fault("GET /v2/", redirect(f"{fake.url}/v2/?back")))

        got = await _get(transport, f"{fake.url}/v2/", authorization="Bearer secret", Accept="a/b")

        assert 200 == got.status
        assert ["a/b"] == [seen.headers["accept"] for seen in other.requests]
        assert [True, False, False] == [
            "authorization" in seen.headers for seen in (fake.requests[0], other.requests[0], fake.requests[1])
        ]


async def test_redirects_not_asked_for(fake: FakeRegistry, transport: Transport) -> None:
    """Are the caller's; so are those of what is not GET or HEAD."""
    fake.faults.append(Fault(".*", redirect("/v2/"), times=ALWAYS))

    got = await transport.send("GET", f"{fake.url}/v2/", headers={}, follow=False)
    posted = await transport.send("POST", f"{fake.url}/v2/", headers={})

    assert [307, 307] == [got.status, posted.status]
    assert 2 == len(fake.requests)


async def test_redirects_end(fake: FakeRegistry, transport: Transport, naps: Naps) -> None:
    """A loop is broken, and not entered again."""
    fake.faults.append(Fault("GET .*", redirect("/v2/"), times=ALWAYS))

    with pytest.raises(Unreachable, match=f"{fake.host}: more than {REDIRECTS_MAX} redirects"):
        await _get(transport, f"{fake.url}/v2/")

    assert REDIRECTS_MAX + 1 == len(fake.requests)
    assert [] == naps.taken


async def test_https_stays_https(
    certificates: Certificates, wire: type[Connections | GeneralClient], naps: Naps, fake: FakeRegistry
) -> None:
    """A redirect to http elsewhere is refused, and nothing is sent there."""
    with fake_registry(certificates=certificates) as secure:
        secure.faults.append(Fault("GET .*", redirect(fake.url.replace("127.0.0.1", "localhost") + "/v2/")))
        async with _open(wire(ca_file=str(certificates.authority), proxies=Proxies()), naps) as transport:
            with pytest.raises(Unreachable, match="which is refused: not https"):
                await _get(transport, f"{secure.url}/v2/")

    assert [] == fake.requests
    assert [] == naps.taken


@pytest.mark.parametrize(
    ("url", "target", "expected"),
    [
        ("https://a.example/v2/x", "y?z=%2F", "https://a.example/v2/y?z=%2F"),
        ("https://a.example/v2/x", "/y", "https://a.example/y"),
        ("https://a.example/v2/x", "//b.example/y", "https://b.example/y"),
        ("https://a.example/v2/x", "https://b.example:8443/y", "https://b.example:8443/y"),
        ("http://a.example/v2/x", "https://b.example/y", "https://b.example/y"),
        ("https://a.example/v2/x", "http://a.example/y", "https://a.example/y"),
        ("https://a.example/v2/x", "http://a.example:80/y", "https://a.example/y"),
        ("https://a.example:8443/v2/x", "http://a.example:8443/y", "https://a.example:8443/y"),
        ("https://[2001:db8::1]/v2/x", "http://[2001:db8::1]:80/y", "https://[2001:db8::1]/y"),
        ("http://127.0.0.1:5000/v2/x", "http://127.0.0.1:5001/y", "http://127.0.0.1:5001/y"),
        ("http://localhost:5000/v2/x", "http://127.0.0.1:5001/y", "http://127.0.0.1:5001/y"),
    ],
)
def test_where_a_server_may_send_us(url: str, target: str, expected: str) -> None:
    """Relative or absolute; behind TLS, its own http is https."""
    assert expected == checked_target(url, target, what="a redirect")


@pytest.mark.parametrize(
    "target",
    [
        "http://b.example/y",
        "ftp://b.example/y",
        "file:///etc/passwd",
        "https://127.0.0.1/y",
        "https://localhost/y",
        "https://LOCALHOST./y",
        "https://a.localhost/y",
        "https://[::1]/y",
        "https://[::ffff:127.0.0.1]/y",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1%25eth0]/y",
        "https://0.0.0.0/y",
        "https://127.1/y",
        "https://2130706433/y",
        "https://0x7f.0.0.1/y",
        "https://0177.0.0.1/y",
        "https://b.example:99999/y",
        "https://b.example:port/y",
        "https://[bad/y",
        "https://b..example/y",
        "https://.b.example/y",
        f"https://{'b' * 64}.example/y",
        "https://b.example/\nX: y",
        "https://b.example/ä",
        "https://b.example/a b",
        "https://user:secret@b.example:99999/",
    ],
)
def test_where_a_server_may_not_send_us(target: str) -> None:
    """In any spelling; the sentence names the server, and is no other exception."""
    with pytest.raises(Unreachable, match=r"^a\.example gave a redirect to ") as caught:
        checked_target("https://a.example/v2/x", target, what="a redirect")

    assert not caught.value.is_temporary
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_a_target_or_a_refusal(target: str) -> None:
    """Whatever a server says."""
    try:
        got = checked_target("https://a.example/v2/x", target, what="a redirect")
    except Unreachable:
        return
    assert got.startswith("https://")


# Bounds


@pytest.mark.parametrize("status", [200, 404])
async def test_bodies_are_bounded(fake: FakeRegistry, transport: Transport, naps: Naps, status: int) -> None:
    """One byte more than allowed is refused, at once."""
    fake.faults.append(Fault("GET .*", answer(status, b"x" * 1001), times=ALWAYS))

    with pytest.raises(ContentError, match=rf"{fake.host}: GET /v2/: the answer is larger than 1000 bytes"):
        await _get(transport, f"{fake.url}/v2/", bound=1000)
    assert 1001 == len((await _get(transport, f"{fake.url}/v2/", bound=1001)).body)
    assert [] == naps.taken


async def test_a_body_without_end(transport: Transport) -> None:
    """Is left where the bound is met, whatever its length is said to be."""
    with talking(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", b"x" * 65536) as url:
        refused = pytest.raises(ContentError, match="larger than 100000 bytes")
        with refused:
            await _get(transport, url, bound=100_000)


async def test_no_cookie_is_kept(transport: Transport) -> None:
    """Harbor answers 403 to a request that carries one."""
    with fake_registry(manners=Manners(cookie="sid=secret; Path=/")) as fake:
        for _ in range(2):
            got = await _get(transport, f"{fake.url}/v2/")

        assert "sid=secret; Path=/" == got.headers["set-cookie"]
        assert [False, False] == ["cookie" in seen.headers for seen in fake.requests]


async def test_lists_of_headers_are_whole(fake: FakeRegistry, transport: Transport) -> None:
    """A field that is sent twice is one list (RFC 9110 §5.3): Gitea sends two challenges so."""
    head = (
        b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm="a"\r\nWWW-Authenticate: Basic\r\n'
        b"Content-Length: 0\r\n\r\n"
    )  # fmt: skip
    with talking(head) as url:
        got = await _get(transport, url)

    assert 'Bearer realm="a", Basic' == got.headers["www-authenticate"]


async def test_a_header_is_said_back(fake: FakeRegistry, transport: Transport) -> None:
    """As it was read: an ETag may be of any letters (RFC 9110 §8.8.3)."""
    fake.faults.append(Fault("GET /v2/", answer(200, ETag='"\xe4"')))
    got = await _get(transport, f"{fake.url}/v2/")

    await _get(transport, f"{fake.url}/v2/", **{"If-None-Match": got.headers["etag"]})

    assert '"\xe4"' == fake.requests[-1].headers["if-none-match"]


async def test_connections_are_kept_and_bounded(
    fake: FakeRegistry, wire: type[Connections | GeneralClient], naps: Naps
) -> None:
    """Twenty requests at once are no more connections than allowed."""
    async with Transport(wire(proxies=Proxies()), Gate(limit=3)) as transport:
        await asyncio.gather(*(_get(transport, f"{fake.url}/v2/") for _ in range(20)))

    assert 20 == len(fake.requests)
    assert 3 >= fake.connections


# What is wrong with a host, in one sentence


async def test_nobody_listens(transport: Transport) -> None:
    """The host, and that it refused the connection."""
    with closed_port() as host, pytest.raises(Unreachable) as caught:
        await _get(transport, f"http://{host}/v2/")

    assert f"{host} cannot be reached: connection refused" == str(caught.value)


async def test_a_name_that_is_none(transport: Transport) -> None:
    """The host, and what to check."""
    with pytest.raises(Unreachable) as caught:
        await _get(transport, "https://registry.invalid/v2/")

    expected = "registry.invalid cannot be reached: its name cannot be resolved: check the name, and the network"
    assert expected == str(caught.value)


@pytest.mark.parametrize("name", ["registry..invalid", f"{'a' * 64}.invalid", "300.1.1.1"])
async def test_a_name_that_can_be_none(transport: Transport, name: str) -> None:
    """The host, too: no resolver is asked for such."""
    with pytest.raises(Unreachable, match=rf"^{name} cannot be reached: (its name cannot be resolved|Invalid IPv4)"):
        await _get(transport, f"https://{name}/v2/")


async def test_https_to_a_plain_server(fake: FakeRegistry, transport: Transport) -> None:
    """The remedy is named."""
    with pytest.raises(
        Unreachable, match=r'does not speak TLS: if it is meant to be plain, give its endpoint as "http'
    ):
        await _get(transport, fake.url.replace("http", "https") + "/v2/")


async def test_a_certificate_of_an_unknown_authority(certificates: Certificates, transport: Transport) -> None:
    """One sentence that names ca_file; trying again would not help."""
    with fake_registry(certificates=certificates) as fake:
        with pytest.raises(Unreachable, match=rf"^{fake.host}: its certificate is not trusted .*ca_file") as caught:
            await _get(transport, f"{fake.url}/v2/")

        assert not caught.value.is_temporary
        assert [] == fake.requests


async def test_ca_file(certificates: Certificates, wire: type[Connections | GeneralClient], naps: Naps) -> None:
    """With it, the certificate is trusted."""
    with fake_registry(certificates=certificates) as fake:
        async with _open(wire(ca_file=str(certificates.authority), proxies=Proxies()), naps) as transport:
            assert 200 == (await _get(transport, f"{fake.url}/v2/")).status


async def test_a_ca_file_that_is_replaced(
    tmp_path: Path, certificates: Certificates, wire: type[Connections | GeneralClient], naps: Naps
) -> None:
    """A process that runs for months trusts the authority of today."""
    (tmp_path / "before").mkdir()
    path = tmp_path / "ca.pem"
    path.write_bytes(make_certificates(tmp_path / "before").authority.read_bytes())
    with fake_registry(certificates=certificates) as fake:
        async with _open(wire(ca_file=str(path), proxies=Proxies()), naps) as transport:
            with pytest.raises(Untrusted):
                await _get(transport, f"{fake.url}/v2/")
        path.write_bytes(certificates.authority.read_bytes())
        async with _open(wire(ca_file=str(path), proxies=Proxies()), naps) as transport:
            assert 200 == (await _get(transport, f"{fake.url}/v2/")).status


@pytest.mark.parametrize("content", [None, b"not PEM"], ids=["absent", "not PEM"])
async def test_a_ca_file_that_is_none(
    tmp_path: Path, content: bytes | None, wire: type[Connections | GeneralClient], naps: Naps
) -> None:
    """Is the operator's to mend."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    async with _open(wire(ca_file=str(path), proxies=Proxies()), naps) as transport:
        with pytest.raises(SettingsError, match=r"ca_file .*ca\.pem' cannot be read as PEM certificates"):
            await _get(transport, "https://registry.invalid/v2/")


async def test_nonsense_for_an_answer(transport: Transport) -> None:
    """Is no exception but ours."""
    with talking(b"SSH-2.0-OpenSSH_9.9\r\n") as url, pytest.raises(MirrorError, match="cannot be reached"):
        await _get(transport, url)
