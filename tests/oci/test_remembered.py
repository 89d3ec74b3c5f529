"""Small blobs are read once, large ones and wrong ones are not remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mirror.errors import ContentError
from mirror.oci.copy import read_small
from mirror.oci.registry import Registry
from mirror.oci.remembered import SMALL, Remembered
from tests.content import download, image
from tests.servers.client import open_registry
from tests.servers.fake import FakeRegistry, Fault, becomes, corrupt

_NAME = "linkerd/proxy"


@pytest.fixture
async def registry(fake: FakeRegistry) -> AsyncIterator[Registry]:
    async with open_registry(fake.url) as opened:
        yield opened


@pytest.mark.parametrize(("size", "reads"), [(0, 1), (1, 1), (SMALL, 1), (SMALL + 1, 2)])
async def test_what_is_small_is_read_once(registry: Registry, fake: FakeRegistry, size: int, reads: int) -> None:
    """And is the same the second time, from its front or from its middle."""
    data = bytes(range(256)) * (size // 256 + 1)
    what = image(data[:size])
    fake.add(_NAME, what)
    [layer] = [blob for blob in what.manifest.blobs if blob.size == size]
    source = Remembered(registry.repository(_NAME))

    assert data[:size] == await download(source, layer)
    assert data[:size] == await download(source, layer)
    assert reads == len(fake.asked(f"GET .*/blobs/{layer.digest}"))


async def test_what_is_wrong_is_not_believed(registry: Registry, fake: FakeRegistry) -> None:
    """Not the first time, and not from memory either."""
    what = image(b"a signature")
    fake.add(_NAME, what)
    layer = what.manifest.blobs[-1]
    fake.faults.append(Fault(f"GET .*/blobs/{layer.digest}", becomes(corrupt)))
    source = Remembered(registry.repository(_NAME))

    for _ in range(2):
        with pytest.raises(ContentError):
            await read_small(source, layer, bound=SMALL)
