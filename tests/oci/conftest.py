"""What tests of a copy share: two registries in this process, and who copies from one to the other."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from mirror.oci.copy import Copier
from mirror.oci.registry import Registry
from tests.http.naps import Naps
from tests.servers.client import open_registry
from tests.servers.fake import (
    FakeRegistry,
    fake_registry,
)


@pytest.fixture
def upstream() -> Iterator[FakeRegistry]:
    """Where images come from; `fake` is where they go."""
    with fake_registry() as running:
        yield running


@pytest.fixture
async def source(upstream: FakeRegistry) -> AsyncIterator[Registry]:
    async with open_registry(upstream.url) as opened:
        Naps().instead(opened.transport)
        yield opened


@pytest.fixture
async def destination(fake: FakeRegistry) -> AsyncIterator[Registry]:
    async with open_registry(fake.url) as opened:
        Naps().instead(opened.transport)
        yield opened


@pytest.fixture
def copier() -> Iterator[Copier]:
    opened = Copier(sleep=Naps())
    yield opened
    opened.close()
    assert [] == [thread.name for thread in threading.enumerate() if thread.name.startswith("blob")]
