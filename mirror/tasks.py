"""Work side by side, whose failure is one error of ours and not a group of them; and work in threads, which can end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Abortable(Protocol):
    """What a thread may block on."""

    def abort(self) -> None:
        """Ends a call that blocks, at once; comes from another thread."""
        ...


async def gather(*work: Coroutine[None, None, T]) -> list[T]:
    """All results in order; the first failure cancels the rest and is raised alone: callers know one tree of errors."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failures:
        raise _first(failures) from None
    return [task.result() for task in tasks]


async def gather_some(work: Iterable[Coroutine[None, None, T]], *, at_once: int) -> list[T]:
    """As gather, but no more than *at_once* are begun: of a lazy *work* the others do not exist yet."""
    results = dict[int, T]()
    numbered = enumerate(work)

    async def take_turns() -> None:
        for number, one in numbered:
            results[number] = await one

    await gather(*(take_turns() for _ in range(at_once)))
    return [results[number] for number in sorted(results)]


def _first(failure: BaseException) -> BaseException:
    return _first(failure.exceptions[0]) if isinstance(failure, BaseExceptionGroup) else failure


async def in_thread(threads: Executor, call: Callable[[], T], *blocking: Abortable) -> T:
    """*call*'s result from a worker thread; when cancelled, *blocking* are aborted and the thread has ended."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def wake() -> None:
        if not ended.done():
            ended.set_result(None)

    work = threads.submit(call)
    work.add_done_callback(lambda _: loop.call_soon_threadsafe(wake))
    try:
        await ended
    except asyncio.CancelledError:
        if not work.cancel():  # it has begun
            for each in blocking:
                each.abort()
            with contextlib.suppress(Exception):
                await asyncio.wrap_future(work)
        raise
    return work.result()
