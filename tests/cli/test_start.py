"""The start of a command: what is not needed is not loaded. A time would depend on the machine; a list does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Desk
from tests.servers.upstream import RELEASE

_PROJECT = Path(__file__).parents[2]
_TELL = """
import json, sys
from mirror.cli.main import run
code = run(sys.argv[1:])
print(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""
_CHARTS = ("yaml", "tarfile", "mirror.linkerd.chart", "mirror.linkerd.images", "mirror.linkerd.template")
_AWS = ("boto3", "botocore", "mirror.destinations.ecr.aws")
_KINDS = ("mirror.destinations.ecr.api", "mirror.destinations.harbor.api")
_TRUST = ("cryptography", "sigstore", "tuf", "rfc8785")
_PROOF = ("mirror.linkerd.proof", "mirror.linkerd.versions")


def loaded(desk: Desk, *arguments: str) -> set[str]:
    """The modules that are loaded at the end of a run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _TELL, *arguments],
        cwd=desk.directory,
        env={"PYTHONPATH": str(_PROJECT), "HOME": str(desk.directory), "PATH": str(desk.directory / "bin")},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", ["sync", "plan"])
def test_a_release_in_step(desk: Desk, command: str) -> None:
    """What reads charts and what draws stays on disk, httpx with it; sync writes the values from the record."""
    to = ("--to", "oci:mirror")
    assert 0 == desk.run("sync", RELEASE, *to).code
    desk.upstream.forget_requests()

    modules = loaded(desk, command, RELEASE, *to)

    assert [] == desk.upstream.charts.requests
    assert set() == modules & {*_CHARTS, *_PROOF, *_AWS, *_KINDS, "httpx", "mirror.cli.display"}


def test_what_is_in_step_and_verified(desk: Desk) -> None:
    """What verifies signatures stays on disk: the recorded verdict is the one that is asked for."""
    desk.upstream.publish("edge-22.4.1")  # before Linkerd signed
    desk.configure(policy={"signatures": "require"})
    to = ("--to", "oci:mirror")
    assert 0 == desk.run("sync", "edge-22.4.1", *to).code

    modules = loaded(desk, "sync", "edge-22.4.1", *to)

    assert set() == modules & {*_CHARTS, *_TRUST, "httpx"}


def test_what_needs_only_the_configuration(desk: Desk) -> None:
    """No network, no event of ours that rich would show."""
    modules = loaded(desk, "config", "check")

    assert set() == modules & {"httpx", "rich", "mirror.app", *_AWS, *_CHARTS, *_PROOF}


def test_a_destination_in_ecr_that_is_not_asked(desk: Desk) -> None:
    """boto3 stays on disk, though it is configured."""
    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    desk.configure(
        destinations={"aws": {"kind": "ecr", "registry": registry}, "disk": {"kind": "layout", "directory": "x"}}
    )

    modules = loaded(desk, "sync", RELEASE, "--to", "disk")

    assert set() == modules & set(_AWS)


def test_structlog_does_without_rich_and_we_do_not() -> None:
    """It is kept from structlog alone: a table has it."""
    code = "import sys, mirror.logs; print('rich' in sys.modules); from rich.table import Table; print(Table.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=_PROJECT, capture_output=True, text=True, check=True)

    assert "False\nTable\n" == done.stdout
