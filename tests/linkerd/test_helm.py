"""Helm as a process: what it gets, what is left of it, what of its words is told."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.errors import HelmError
from mirror.linkerd.helm import find_helm, helm_version, run_helm


def script(tmp_path: Path, text: str) -> str:
    """A program of *text* in Helm's place."""
    path = tmp_path / "helm"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


async def test_helm_gets_nothing_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No HELM_*, no KUBE*; its homes are empty folders of this run."""
    for name in ("HELM_NAMESPACE", "HELM_PLUGINS", "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "leaked")

    output = await run_helm(script(tmp_path, "env"), directory=tmp_path)

    names = {line.partition(b"=")[0] for line in output.splitlines()}
    assert b"leaked" not in output
    assert {b"HOME", b"HELM_CACHE_HOME", b"HELM_CONFIG_HOME", b"HELM_DATA_HOME"} <= names


class Endless:
    """A Helm with a child. Both hold an end of a pipe, which tells when they run and when they are dead."""

    def __init__(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        self.program = script(tmp_path, f"exec 3>{pipe}; sleep 600 & echo runs >&3; wait")
        self.pipe = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def says(self, event: int) -> bool:
        """Whether *event* of poll(2) comes to the pipe, within a time that a busy machine keeps."""
        poll = select.poll()
        poll.register(self.pipe, event)
        return bool(poll.poll(30_000))

    async def runs(self) -> bool:
        return await asyncio.to_thread(self.says, select.POLLIN) and os.read(self.pipe, 99) == b"runs\n"

    async def is_dead(self) -> bool:
        return await asyncio.to_thread(self.says, 0)  # POLLHUP, which is always told


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Endless]:
    """The pipe is closed at the end."""
    program = Endless(tmp_path)
    yield program
    os.close(program.pipe)


async def test_a_helm_that_does_not_end_is_stopped(endless: Endless, tmp_path: Path) -> None:
    """With all that it started."""
    with pytest.raises(HelmError, match=r"did not end within 2 s"):
        await run_helm(endless.program, directory=tmp_path, deadline_s=2)

    assert await endless.runs()
    assert await endless.is_dead()


async def test_a_cancelled_proof_leaves_no_process(endless: Endless, tmp_path: Path) -> None:
    """Ctrl-C stops Helm at once, with all that it started."""
    run = asyncio.create_task(run_helm(endless.program, directory=tmp_path))
    assert await endless.runs()

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert await endless.is_dead()


async def test_a_proof_that_is_cancelled_while_helm_starts_leaves_no_process(endless: Endless, tmp_path: Path) -> None:
    """The process is there before asyncio has handed it over, and may have children by then."""
    run = asyncio.create_task(run_helm(endless.program, directory=tmp_path))
    for _ in range(2):
        await asyncio.sleep(0)
    assert endless.says(select.POLLIN)  # the loop is held up, so that the process cannot be handed over

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert await endless.is_dead()


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param("more than 1000 bytes", "yes", id="endless-output"),
        pytest.param("Helm failed: last / words", "echo last >&2; echo words >&2; exit 3", id="its-own-words"),
        pytest.param("Helm failed: without a word", "exit 3", id="silent"),
        pytest.param(
            r"Helm failed: +\[31mxy+…$",
            "printf '\\033[31m%s' x >&2; yes y | head -c 9000 | tr -d '\\n' >&2; exit 1",
            id="much",
        ),
    ],
)
async def test_what_helm_says_is_bounded(tmp_path: Path, message: str, text: str) -> None:
    """Its last lines, in one line without terminal codes."""
    with pytest.raises(HelmError, match=message) as caught:
        await run_helm(script(tmp_path, text), directory=tmp_path, output_max=1000)

    assert len(str(caught.value)) < 2000
    assert str(caught.value).replace("…", "").isascii()


async def test_a_helm_that_is_not_there(tmp_path: Path) -> None:
    """The path that was tried is in the error."""
    with pytest.raises(HelmError, match="Helm cannot be started as /nowhere/helm: No such file"):
        await run_helm("/nowhere/helm", directory=tmp_path)


async def test_its_version(tmp_path: Path) -> None:
    """In its own words, as one line."""
    program = script(tmp_path, '[ "$*" = "version --short" ] && echo v3.16.2+g13654a5')

    assert "v3.16.2+g13654a5" == await helm_version(program)


async def test_a_helm_that_has_no_version(tmp_path: Path) -> None:
    """It is not Helm."""
    with pytest.raises(HelmError, match="Helm failed: unknown command"):
        await helm_version(script(tmp_path, "echo unknown command >&2; exit 1"))


def test_helm_is_found_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None where there is none."""
    monkeypatch.setenv("PATH", str(tmp_path))

    absent = find_helm()
    program = script(tmp_path, "")

    assert absent is None
    assert program == find_helm()
