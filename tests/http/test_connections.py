"""Connections that are kept: what happens when the other side has ended one; the certificate that comes with one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mirror.errors import Unreachable, Untrusted
from mirror.http.connections import Connections
from mirror.http.proxies import Proxies
from tests.servers.certificates import Certificates
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, fake_registry, hang_up


async def _get(connections: Connections, fake: FakeRegistry) -> int:
    answer = await connections.exchange("GET", f"{fake.url}/v2/", {}, None, bound=1000)
    return answer.status


async def test_one_that_ends_as_it_is_used(fake: FakeRegistry) -> None:
    """Nothing was done with the request: it is sent again at once, on a new one."""
    connections = Connections(proxies=Proxies())
    fake.faults.append(Fault("GET /v2/", hang_up(), skip=1))

    assert [200, 200] == [await _get(connections, fake) for _ in range(2)]
    assert 3 == len(fake.requests)
    assert 2 == fake.connections
    await connections.aclose()


async def test_a_new_one_that_ends(fake: FakeRegistry) -> None:
    """Is a failure, whose next try is for the caller to decide."""
    connections = Connections(proxies=Proxies())
    fake.faults.append(Fault("GET /v2/", hang_up(), times=ALWAYS))

    with pytest.raises(Unreachable, match=f"^{fake.host} cannot be reached: "):
        await _get(connections, fake)

    assert 1 == len(fake.requests)
    await connections.aclose()


async def test_when_a_certificate_ends(certificates: Certificates) -> None:
    """The one that the tests make is good for a day; a connection that is there already shows it too."""
    connections = Connections(str(certificates.authority), Proxies())
    with fake_registry(certificates=certificates) as fake:
        ends = await connections.certificate_ends(fake.url)
        await _get(connections, fake)
        before = fake.connections
        again = await connections.certificate_ends(fake.url)
        await connections.aclose()

    assert ends is not None
    assert timedelta(hours=12) < ends - datetime.now(UTC) <= timedelta(days=1)
    assert (ends, before) == (again, fake.connections)


async def test_plain_http_has_no_certificate(fake: FakeRegistry) -> None:
    """None, and no request is sent."""
    connections = Connections(proxies=Proxies())

    assert await connections.certificate_ends(fake.url) is None
    assert [] == fake.requests
    await connections.aclose()


async def test_a_certificate_that_is_not_trusted(certificates: Certificates) -> None:
    """OpenSSL's reason is there as a number too: X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY."""
    connections = Connections(proxies=Proxies())
    with fake_registry(certificates=certificates) as fake:
        with pytest.raises(Untrusted) as seeing:
            await connections.certificate_ends(fake.url)
        with pytest.raises(Untrusted) as asking:
            await _get(connections, fake)
        await connections.aclose()

    assert (20, "unable to get local issuer certificate") == (seeing.value.code, seeing.value.reason)
    assert (20, False) == (asking.value.code, asking.value.is_temporary)
