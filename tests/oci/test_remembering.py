"""What was read once is not asked for again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mirror.errors import ContentError
from mirror.oci.content import Digest
from mirror.oci.copy import read_small
from mirror.oci.registry import Registry
from mirror.oci.remembering import SIZE_MAX, Remembering
from tests.content import blob, download, image
from tests.servers.client import open_registry
from tests.servers.fake import FakeRegistry, Fault, becomes, corrupt

_NAME = "linkerd/proxy"
_SMALL, _LARGE = b"a signature", b"x" * (SIZE_MAX + 1)


@pytest.fixture
async def registry(fake: FakeRegistry) -> AsyncIterator[Registry]:
    fake.add(_NAME, image(_SMALL, _LARGE), "v1")
    async with open_registry(fake.url) as opened:
        yield opened


async def test_a_small_blob_is_read_once(fake: FakeRegistry, registry: Registry) -> None:
    """Again, from any place on, it comes from memory."""
    source = Remembering(registry.repository(_NAME))

    assert [_SMALL] * 2 == [await read_small(source, blob(_SMALL), bound=100) for _ in range(2)]
    body = await source.open_blob(blob(_SMALL), offset=2)
    assert len(_SMALL) - 2 == body.readinto(memoryview(bytearray(100)))
    assert await source.has_blob(blob(_SMALL))
    assert 1 == len(fake.asked(".*/blobs/.*"))


async def test_a_large_one_is_not_kept(fake: FakeRegistry, registry: Registry) -> None:
    """Memory does not grow with layers."""
    source = Remembering(registry.repository(_NAME))

    assert [_LARGE] * 2 == [await download(source, blob(_LARGE)) for _ in range(2)]
    assert 2 == len(fake.asked("GET .*/blobs/.*"))


async def test_what_is_wrong_is_not_kept(fake: FakeRegistry, registry: Registry) -> None:
    """It is asked for again, and may be right then."""
    source = Remembering(registry.repository(_NAME))
    fake.faults.append(Fault("GET .*/blobs/.*", becomes(corrupt)))

    with pytest.raises(ContentError):
        await read_small(source, blob(_SMALL), bound=100)
    assert _SMALL == await read_small(source, blob(_SMALL), bound=100)


async def test_what_is_known_is_never_asked_for(fake: FakeRegistry, registry: Registry) -> None:
    """A record has signatures that the registry does not take; they are held to their digests all the same."""
    missing, wrong = b"not there", b"not there either"
    source = Remembering(registry.repository(_NAME), {Digest.of(missing): missing, Digest.of(wrong): b"else"})

    assert await source.has_blob(blob(missing))
    assert missing == await read_small(source, blob(missing), bound=100)
    with pytest.raises(ContentError):
        await read_small(source, blob(wrong), bound=100)
    assert [] == fake.asked(".*/blobs/.*")


async def test_all_else_is_the_sources(registry: Registry) -> None:
    """Names, manifests, referrers, and the gate that bodies pass."""
    there = registry.repository(_NAME)
    source = Remembering(there)
    digest = await source.head("v1")

    assert digest is not None
    assert (there.name, there.gate, digest) == (source.name, source.gate, (await source.manifest("v1")).digest)
    assert () == await source.referrers(digest)
