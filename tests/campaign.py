"""Many seeds over several processes, each with what it needs set up once.

seeds ──► queue ─┬─► process: `with bench() as attempt`, attempt(seed), attempt(seed), … ─┬─► tried()
                 └─► process: …                                                           ─┘
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

HANG_S = 180.0
_ENDING_S = 30.0

C = TypeVar("C")
T = TypeVar("T")
Bench = Callable[[], AbstractContextManager[Callable[[C], T]]]
"""Sets up what one process needs; a function of a module, since it goes to another process by its name."""


def tried(bench: Bench[C, T], cases: Iterable[C], *, jobs: int) -> Iterator[tuple[C, T | None]]:
    """Each of *cases* with what came of it, as they end; None for one that hangs, or that ended its process."""
    context = multiprocessing.get_context("spawn")
    waiting, results = context.Queue(), context.Queue()
    count = 0
    for case in cases:
        waiting.put(case)
        count += 1
    for _ in range(jobs):
        waiting.put(None)
    processes = [context.Process(target=_work, args=(bench, waiting, results)) for _ in range(jobs)]
    for process in processes:
        process.start()
    busy = dict[int, tuple[C, float]]()
    try:
        while count:
            try:
                pid, case, outcome = results.get(timeout=1)
            except queue.Empty:
                for lost in _lost(processes, busy):
                    count -= 1
                    yield lost, None
                if not any(process.is_alive() for process in processes) and results.empty():
                    raise RuntimeError(f"every process has ended, {count} cases were not tried") from None
                continue
            if outcome is None:
                busy[pid] = (case, time.monotonic())
                continue
            busy.pop(pid, None)
            count -= 1
            yield case, outcome
    finally:
        for process in processes:
            _end(process)


def _work(bench: Bench[C, T], waiting: Any, results: Any) -> None:
    with bench() as attempt:
        while (case := waiting.get()) is not None:
            results.put((os.getpid(), case, None))
            results.put((os.getpid(), case, attempt(case)))


def _lost(processes: Iterable[Any], busy: dict[int, tuple[C, float]]) -> Iterator[C]:
    """The cases whose process has ended, or is ended here because it hangs."""
    for process in processes:
        if process.pid in busy:
            case, since = busy[process.pid]
            if not process.is_alive() or time.monotonic() - since > HANG_S:
                _end(process)
                del busy[process.pid]
                yield case


def _end(process: Any) -> None:
    """Ends *process*, which then ends what it has started."""
    process.join(1)
    if process.is_alive():
        os.kill(process.pid, signal.SIGINT)
        process.join(_ENDING_S)
    if process.is_alive():
        process.kill()
        process.join()
