"""The bell."""

from __future__ import annotations

import asyncio

from mirror.service.bell import Bell
from tests.waiting import until


async def test_what_was_rung_twice() -> None:
    """It is done once, and why it was first wanted stays."""
    bell = Bell()
    bell.ring("sync", "start")
    bell.ring("sync", "schedule")
    heard = await bell.heard()
    waiting = asyncio.create_task(bell.heard())
    await asyncio.sleep(0)

    assert ("sync", "start") == heard
    assert not waiting.done()
    bell.ring("sync", "retry")
    assert ("sync", "retry") == await waiting


async def test_what_was_rung_first() -> None:
    """It is done first: a sync that is always wanted again leaves room for the verification."""
    bell = Bell()
    bell.ring("sync", "schedule")
    first = await bell.heard()
    bell.ring("deep_verify", "schedule")
    bell.ring("sync", "schedule")

    assert "sync" == first[0]
    assert [("deep_verify", "schedule"), ("sync", "schedule")] == [await bell.heard(), await bell.heard()]


async def test_who_stops_to_listen() -> None:
    """What is wanted stays wanted."""
    bell = Bell()
    listening = asyncio.create_task(bell.heard())
    await asyncio.sleep(0)
    listening.cancel()
    await until(listening.done)
    bell.ring("sync", "reload")

    assert ("sync", "reload") == await bell.heard()
