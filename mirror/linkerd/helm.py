"""Helm: found on PATH, and run so that nothing of it is left behind.

It gets nothing of the environment but PATH, a deadline and a bound on its output.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from mirror.errors import HelmError

DEADLINE_S = 60.0
OUTPUT_MAX = 64 * 1024 * 1024
SAID_MAX = 1500
SHOWN_MAX = 200
_STDERR_MAX = 8 * 1024
_SAID_LINES = 6
_END_S = 5.0  # a killed process is gone at once, unless a child of it has left its group


def find_helm() -> str | None:
    """The path of the Helm on PATH, if there is one."""
    return shutil.which("helm")


async def helm_version(helm: str) -> str:
    """What Helm calls its version: `v3.16.2+g13654a5`. Raises HelmError."""
    with tempfile.TemporaryDirectory(prefix="mirror-helm-") as directory:
        said = await run_helm(helm, "version", "--short", directory=Path(directory), deadline_s=10)
    return shown(said.decode(errors="replace").strip())


class Refusal(HelmError):
    """Helm's own verdict, in time and by itself."""


async def run_helm(
    helm: str, *arguments: str, directory: Path, deadline_s: float = DEADLINE_S, output_max: int = OUTPUT_MAX
) -> bytes:
    """What Helm prints, run in *directory*; no process of it is left behind, also when this is cancelled.

    Raises HelmError with Helm's own last words if it fails, and when a bound is met.
    """
    process = await _started(helm, arguments, directory)
    is_over = False
    try:
        async with asyncio.timeout(deadline_s), asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_read(cast(asyncio.StreamReader, process.stdout), output_max, process.pid))
            listening = tasks.create_task(_tail(cast(asyncio.StreamReader, process.stderr)))
            tasks.create_task(process.wait())
        is_over = True
    except TimeoutError as exc:
        raise HelmError(f"Helm did not end within {deadline_s:g} s and was stopped") from exc
    finally:
        if not is_over:
            await _end(process)
    output = reading.result()
    if len(output) > output_max:
        raise HelmError(f"Helm printed more than {output_max} bytes and was stopped")
    if process.returncode:
        kind = Refusal if process.returncode > 0 else HelmError  # a signal says nothing of the chart
        raise kind(f"Helm failed: {_said(listening.result())}")
    return output


async def _started(helm: str, arguments: Sequence[str], directory: Path) -> asyncio.subprocess.Process:
    """Helm, the first of a process group of its own; raises HelmError if it cannot be started."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            helm,
            *arguments,
            cwd=directory,
            env=_environment(directory),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        # asyncio, when cancelled here, kills the process and not its group
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(OSError):
            await _end(await starting)
        raise
    except OSError as exc:
        raise HelmError(f"Helm cannot be started as {helm}: {exc.strerror}") from exc


def _environment(directory: Path) -> dict[str, str]:
    """Nothing of ours but PATH, so that no plugin, repository or cluster has a say."""
    home = str(directory / "home")
    homes = dict.fromkeys(("HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"), home)
    return homes | {"TMPDIR": str(directory), "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


async def _read(stream: asyncio.StreamReader, bound: int, group: int) -> bytes:
    """All of *stream*, or somewhat more than *bound* of it, the process *group* then being killed."""
    data = bytearray()
    while chunk := await stream.read(65536):
        if len(data) > bound:  # read on to the end: asyncio does not see a process end whose pipes are not empty
            continue
        data += chunk
        if len(data) > bound:
            _kill(group)
    return bytes(data)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    data = b""
    while chunk := await stream.read(65536):
        data = (data + chunk)[-_STDERR_MAX:]
    return data


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kills *process* with all that it started, and empties its pipes, so that asyncio sees it end."""
    _kill(process.pid)
    with suppress(TimeoutError):
        async with asyncio.timeout(_END_S):
            await process.communicate()


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _said(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    told = [line for line in lines if line and not line.startswith("Use --debug flag")]
    return shown(" / ".join(told[-_SAID_LINES:]) or "without a word", SAID_MAX)


def shown(text: str, bound: int = SHOWN_MAX) -> str:
    """*text* as one bounded line that a terminal can take."""
    line = re.sub(r"[^\x20-\x7e]+", " ", text)
    return line if len(line) <= bound else f"{line[: bound - 1]}…"
