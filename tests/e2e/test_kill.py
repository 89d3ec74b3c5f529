"""kill -9 at any moment: no tag ever names missing content, and a plain sync ends in step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.e2e.whole import broken
from tests.kills.gate import Gate, gate_before
from tests.runs import only, sync
from tests.servers.distribution import Distribution
from tests.servers.upstream import RELEASE, Upstream

MOMENTS = [3 * number for number in range(1, 21)]  # even and odd in turn


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def host(gate: Gate, open_distribution: Distribution) -> Iterator[str]:
    """Of the gate before docker-registry."""
    with gate_before(open_distribution.host, gate) as host:
        yield host


def document(upstream: Upstream, host: str, path: str, tmp_path: Any) -> dict[str, Any]:
    destination = {"kind": "registry", "registry": host, "prefix": path}
    return upstream.document(destinations={"test": destination}, overrides={"directory": str(tmp_path / "overrides")})


@pytest.mark.parametrize("moment", MOMENTS)
async def test_killed(
    moment: int,
    upstream: Upstream,
    gate: Gate,
    host: str,
    open_distribution: Distribution,
    path: str,
    start: Start,
    tmp_path: Any,
) -> None:
    """Whatever request it was, all that has a tag is whole, and the next run completes it."""
    gate.at, gate.act = moment, gate.kill
    with start(document(upstream, host, path, tmp_path), "sync", RELEASE) as process:
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
    upstream: Upstream, gate: Gate, host: str, path: str, start: Start, tmp_path: Any
) -> None:
    """So that each of the moments is within a run."""
    gate.started.set()
    with start(document(upstream, host, path, tmp_path), "sync", RELEASE) as process:
        _, err = process.communicate(timeout=60)

    assert 0 == process.returncode, err
    assert gate.count > MOMENTS[-1]
