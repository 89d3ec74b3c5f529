"""What a command took: wall time, CPU, peak memory, and the requests that registries answered meanwhile."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TIME_LIMIT_S = 3600.0  # a command that takes longer hangs
_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
_SAMPLE_S = 0.05
_QUIET_CORES = 0.25


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command and all its processes took; *foreign_cores* is what others used of the machine meanwhile."""

    exit: int
    wall_s: float
    cpu_s: float
    peak: int
    """Bytes resident."""
    foreign_cores: float


def run(
    command: Sequence[str],
    *,
    output: Path,
    environ: Mapping[str, str],
    cwd: Path | None = None,
    servers: Iterable[int] = (),
) -> Usage:
    """Runs *command* to its end, what it says in *output*; the CPU of *servers*, by process id, is not foreign."""
    ours = [os.getpid(), *servers]
    busy, ours_busy, began = _cpu_of_everything(), sum(map(_cpu_of, ours)), time.perf_counter()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    deadline = threading.Timer(TIME_LIMIT_S, os.killpg, (process.pid, signal.SIGKILL))
    deadline.start()
    memory = _PeakMemory(process.pid)
    memory.start()
    try:
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    except BaseException:  # we are interrupted, and it is in a session of its own
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        deadline.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = used.ru_utime + used.ru_stime
    foreign = _cpu_of_everything() - busy - (sum(map(_cpu_of, ours)) - ours_busy) - cpu
    return Usage(process.returncode, round(wall, 3), round(cpu, 2), memory.stop(), round(max(0.0, foreign) / wall, 2))


def wait_for_quiet(seconds: float) -> None:
    """Returns when others use less than a quarter of a core, or when it has waited so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        busy, begin = _cpu_of_everything(), time.monotonic()
        time.sleep(0.7)
        if (_cpu_of_everything() - busy) / (time.monotonic() - begin) < _QUIET_CORES:
            return


def facts() -> dict[str, Any]:
    """What figures depend on: the date, and the machine."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "kernel": platform.release(),
        "congestion_control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "python": platform.python_version(),
    }


class AccessLog:
    """The requests that docker-registry has answered since this was made, by its log."""

    _LINE = re.compile(r'"(\w+) (/v2/\S*) HTTP/[\d.]+" (\d+) \d+')
    _KINDS = (("/blobs/uploads/", "upload"), ("/blobs/", "blob"), ("/manifests/", "manifest"), ("/tags/", "tags"))

    def __init__(self, path: Path) -> None:
        self._path, self._start = path, path.stat().st_size

    def requests(self) -> Counter[str]:
        """How many, by `METHOD kind status`."""
        time.sleep(0.15)  # its last lines
        with self._path.open("rb") as log:
            log.seek(self._start)
            lines = self._LINE.findall(log.read().decode(errors="replace"))
        return Counter(f"{method} {self._kind(path)} {status}" for method, path, status in lines)

    def _kind(self, path: str) -> str:
        return next((kind for part, kind in self._KINDS if part in path), "other")


class _PeakMemory(threading.Thread):
    """The highest sum of resident memory over a process and its descendants; of one alone, its own high water mark."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._bytes, self._done = pid, 0, threading.Event()

    def run(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            pids = _tree(self._pid)
            now = _high_water(self._pid) if len(pids) == 1 else sum(map(_resident, pids))
            self._bytes = max(self._bytes, now)

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self._bytes


def _cpu_of(pid: int) -> float:
    """User and system seconds of one process, without its children; 0 if it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _cpu_of_everything() -> float:
    """Busy seconds of all cores since boot."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for parent in pids:  # grows as we go
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # it has ended
                pids += map(int, children.read_text().split())
    return pids


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _high_water(pid: int) -> int:
    try:
        found = re.search(r"^VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
