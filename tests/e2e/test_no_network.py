"""Without a network: one clear sentence, exit code 1, soon."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start


@pytest.mark.parametrize("arguments", [("sync",), ("sync", "edge-26.8.1"), ("plan",), ("images", "edge")], ids=" ".join)
@pytest.mark.parametrize("host", ["helm.invalid", "127.0.0.1:1"])
def test_a_chart_host_that_is_not_there(arguments: tuple[str, ...], host: str, start: Start, tmp_path: Path) -> None:
    """The host is named, nothing is left on disk."""
    document: dict[str, Any] = {"channels": {"edge": {"chart_repository": f"https://{host}/edge"}}}
    begin = time.monotonic()
    with start(document, "--log-level", "error", *arguments) as process:
        out, err = process.communicate(timeout=60)

    assert 1 == process.returncode
    assert time.monotonic() - begin < 30
    told = [line for line in [*out.splitlines(), *err.splitlines()] if not line.startswith("{")]
    assert 1 == len(told)
    assert host in told[0]
    assert "Traceback" not in err
    assert ["mirror.toml"] == [each.name for each in tmp_path.iterdir()]
