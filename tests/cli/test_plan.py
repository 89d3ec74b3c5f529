"""`mirror plan`: what a sync would do, and nothing done."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.cli.conftest import PROJECT, Desk
from tests.servers.fake import FakeRegistry
from tests.servers.upstream import BASE, CHARTS, NEXT, RELEASE, THIRD_PARTY, references, two_platforms

WEB = references()[2]


def test_a_table(desk: Desk) -> None:
    """Exit code 4; actions, bytes, a summary; no directory is made."""
    said = desk.run("plan", RELEASE, "--to", "oci:out")

    assert 4 == said.code
    assert ["ACTION", "TARGET", "DIGEST", "BYTES"] == said.out.splitlines()[0].split()
    assert "7 to copy, 0 in step" in said.out
    assert "to send" in said.out
    assert not (desk.directory / "out").exists()


def test_json(desk: Desk) -> None:
    """The contract's keys; the sum counts what images share once."""
    said = desk.run("plan", RELEASE, "--to", "oci:out", "-o", "json")

    assert 4 == said.code
    actions = said.document["actions"]
    keys = {"kind", "destination", "release", "reference", "target", "action", "digest", "bytes", "reason"}
    assert all(keys <= action.keys() for action in actions)
    by_kind = {kind: [one["reference"] for one in actions if one["kind"] == kind] for kind in ("image", "chart")}
    assert references() == sorted(by_kind["image"])
    assert [f"charts/{chart}:2026.8.1" for chart in CHARTS] == sorted(by_kind["chart"])
    assert 0 < said.document["bytes"] < sum(action["bytes"] for action in actions)


def test_it_is_what_a_sync_sends(desk: Desk) -> None:
    """To the byte."""
    planned = desk.run("plan", "--to", "oci:out", "-o", "json").document
    done = desk.run("sync", "--to", "oci:out", "-o", "json").document

    parts = [*done["releases"][0]["images"], *done["releases"][0]["charts"]]
    assert planned["bytes"] == sum(part["bytes"] for part in parts)
    assert {action["reference"]: action["digest"] for action in planned["actions"]} == {
        part["reference"]: part["digest"] for part in parts
    }


def test_what_a_destination_stores(desk: Desk, fake: FakeRegistry) -> None:
    """In a registry each repository has its own of what images share; in a layout there is one."""
    registry = {"kind": "registry", "registry": fake.host, "prefix": "l5d"}
    desk.configure(destinations={"disk": {"kind": "layout", "directory": "out"}, "registry": registry})
    planned = desk.run("plan", "--to", "disk", "-o", "json").document
    both = desk.run("plan", "-o", "json").document
    table = desk.run("plan", "--to", "registry").out.splitlines()[-1]

    assert {"disk": planned["bytes"]} == planned["storage"]
    assert {"disk": planned["bytes"], "registry": planned["bytes"] + 3 * len(BASE)} == both["storage"]
    assert table.endswith("59.8 kB to send, 228 kB to store where no blob is mounted")
    assert "store" not in desk.run("plan", "--to", "disk").out


def test_in_step(desk: Desk) -> None:
    """Exit code 0, and one line."""
    desk.run("sync", "--to", "oci:out")
    said = desk.run("plan", "--to", "oci:out")

    assert 0 == said.code
    assert "in step: 4 images, 3 charts" in said.out


def test_upstream_is_away(desk: Desk) -> None:
    """Exit code 1: what is recorded was not compared, and is not called in step."""
    desk.run("sync", "--to", "oci:out")
    desk.configure(registries={host: {"endpoint": "http://127.0.0.1:9"} for host in ("ghcr.io", "docker.io")})
    said = desk.run("plan", RELEASE, "--to", "oci:out")

    assert 1 == said.code
    assert "4 not compared with upstream, 3 in step" == said.out.splitlines()[-1]


def test_one_of_two_cannot_be_planned(desk: Desk) -> None:
    """Exit code 1: the last line says that there is a problem beside what is in step."""
    desk.run("sync", "--to", "oci:out")
    away = {"kind": "registry", "registry": "127.0.0.1:1", "prefix": "l5d"}
    desk.configure(destinations={"disk": {"kind": "layout", "directory": "out"}, "away": away})
    said = desk.run("plan", RELEASE)

    assert 1 == said.code
    assert "1 problem, 7 in step" == said.out.splitlines()[-1]


def test_an_upgrade(desk: Desk) -> None:
    """What is there already is adopted, and says why."""
    desk.run("sync", "--to", "oci:out")
    desk.upstream.publish(NEXT)
    said = desk.run("plan", NEXT, "--to", "oci:out", "-o", "json")

    actions = {action["reference"]: action for action in said.document["actions"]}
    assert ("adopt", 0) == (actions[THIRD_PARTY]["action"], actions[THIRD_PARTY]["bytes"])
    assert "not recorded" in actions[THIRD_PARTY]["reason"]


def test_a_refusal(desk: Desk) -> None:
    """Exit code 3, with the reason."""
    desk.run("sync", "--to", "oci:out")
    desk.upstream.put(WEB, two_platforms("moved"))
    said = desk.run("plan", "--to", "oci:out")

    assert 3 == said.code
    assert "a released tag moved upstream" in said.out
    assert "1 to refuse, 6 in step" in said.out


def test_a_refusal_on_a_terminal(desk: Desk) -> None:
    """Its reason is one line, whatever the width, so that the option which settles it can be copied."""
    desk.run("sync", "--to", "oci:out")
    desk.upstream.put(WEB, two_platforms("moved"))
    shown = on_terminal(desk, "plan", "--to", "oci:out")

    [heading] = [line for line in shown if "ACTION" in line]
    assert ["ACTION", "TARGET", "DIGEST", "BYTES"] == heading.split()
    [reason] = [line for line in shown if "a released tag moved" in line]
    assert reason.startswith(f"  refuse {WEB}: ")
    assert f" --accept {WEB}@{desk.upstream.images[WEB].digest} " in reason
    assert all(len(line) <= 80 for line in shown if line != reason)


def on_terminal(desk: Desk, *arguments: str) -> list[str]:
    """The lines that a run shows on a terminal of 80 columns."""
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        environ = os.environ | {"PYTHONPATH": str(PROJECT), "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "mirror", *arguments]
        with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, cwd=desk.directory, env=environ):
            os.close(theirs)
            shown = bytearray()
            with suppress(OSError):  # EIO: nobody has it any more (pty(7))
                while chunk := screen.read(4096):
                    shown += chunk
    return shown.decode().replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("arguments", [["edge-26.8.11"], ["--to", "nonsense"], ["nightly"]])
def test_wrong_input(desk: Desk, arguments: list[str]) -> None:
    """One sentence, exit code 2."""
    said = desk.run("plan", *arguments)

    assert 2 == said.code
    assert 1 == len(said.sentences)


def test_a_destination_out_of_reach(desk: Desk) -> None:
    """Exit code 1; JSON has the problem."""
    said = desk.run("plan", "--to", "127.0.0.1:1/l5d", "-o", "json")

    assert 1 == said.code
    assert [] == said.document["actions"]
    assert "127.0.0.1:1" in said.document["problems"][0]


def test_nothing_can_be_planned(desk: Desk) -> None:
    """It is not called in step."""
    said = desk.run("plan", "--to", "127.0.0.1:1/l5d")

    assert "127.0.0.1:1" in said.out
    assert "in step" not in said.out
