"""Connections that are kept: what happens when the other side has ended one."""

from __future__ import annotations

import pytest

from mirror.errors import Unreachable
from mirror.http.connections import Connections
from mirror.http.proxies import Proxies
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, hang_up


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
