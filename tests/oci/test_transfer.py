"""One blob on its way: what goes on, what is begun anew, what is given up."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mirror.errors import ContentError, Unreachable
from mirror.oci.copy import Copier, read_graph
from mirror.oci.registry import Registry
from mirror.oci.transfer import BLOB_ATTEMPTS
from tests.content import blob, image
from tests.http.naps import Naps
from tests.oci.copying import NAME, copy
from tests.servers.client import open_registry
from tests.servers.fake import (
    ALWAYS,
    FakeRegistry,
    Fault,
    Harm,
    Response,
    answer,
    becomes,
    bytes_are,
    corrupt,
    cut,
    hang_up,
    longer,
    refusal,
    truncated,
)

_WHOLE = bytes(range(251)) * 8000  # 2 MB


@pytest.mark.parametrize(
    ("where", "harm"),
    [
        ("upstream", becomes(cut(after=1000))),
        ("upstream", answer(503)),
        ("upstream", answer(429, Retry_After="1")),
        ("destination", hang_up(after=1000)),
        ("destination", answer(503)),
    ],
    ids=["source breaks off", "source 503", "source 429", "destination breaks off", "destination 503"],
)
async def test_a_blob_that_breaks_off(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier,
    where: str, harm: Harm,
) -> None:  # fmt: skip
    """Is begun anew, alone; the bytes of the attempt are taken back."""
    data = bytes(2_000_000)
    upstream.add(NAME, image(data), "v1")
    place, method = (upstream, "GET") if where == "upstream" else (fake, "PUT")
    place.faults.append(Fault(f"{method} .*/blobs/.*{blob(data).digest}", harm, times=BLOB_ATTEMPTS - 1))
    counted = list[int]()
    repository = source.repository(NAME)
    graph = await read_graph(repository, await repository.manifest("v1"))
    await copier.copy(repository, destination.repository(NAME), graph, on_bytes=counted.append)

    assert graph.size == sum(counted)
    assert data == fake.repositories[NAME].blobs[blob(data).digest]
    assert BLOB_ATTEMPTS == len(place.asked(f"{method} .*/blobs/.*{blob(data).digest}"))


def _breaks_off(response: Response) -> Response:
    """Half of it comes, and then the connection ends."""
    return replace(response, body=response.body[: len(response.body) // 2], length=len(response.body))


@pytest.mark.parametrize(
    "answers",
    [
        becomes(lambda response: response),
        becomes(lambda response: replace(response, status=200, body=_WHOLE, headers={})),
        becomes(lambda response: response.having(Content_Range=f"bytes 0-{len(_WHOLE) - 1}/{len(_WHOLE)}")),
        becomes(lambda response: response.having(Content_Range="")),
        refusal(416, "RANGE_INVALID"),
    ],
    ids=["the range", "the whole", "another range", "some range", "416"],
)
async def test_a_download_that_breaks_off_goes_on(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier, answers: Harm
) -> None:
    """From the byte that it reached, in the same upload, whatever the server makes of a range."""
    upstream.add(NAME, image(_WHOLE), "v1")
    pattern = f"GET .*/blobs/{blob(_WHOLE).digest}"
    upstream.faults += [Fault(pattern, becomes(_breaks_off)), Fault(pattern, answers, skip=1)]
    counted = list[int]()
    repository = source.repository(NAME)
    graph = await read_graph(repository, await repository.manifest("v1"))
    await copier.copy(repository, destination.repository(NAME), graph, on_bytes=counted.append)

    second = upstream.asked(pattern)[1]
    assert re.fullmatch(r"bytes=[1-9][0-9]+-", second.headers["range"])
    assert _WHOLE == fake.repositories[NAME].blobs[blob(_WHOLE).digest]
    assert 1 == len(fake.asked(f"PUT .*/blobs/.*{blob(_WHOLE).digest}"))
    assert graph.size == sum(counted)
    assert all(count > 0 for count in counted)


async def test_a_download_that_goes_on_with_other_bytes(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Is found out: nothing is stored."""
    upstream.add(NAME, image(_WHOLE), "v1")
    pattern = f"GET .*/blobs/{blob(_WHOLE).digest}"
    upstream.faults += [Fault(pattern, becomes(_breaks_off)), Fault(pattern, becomes(corrupt), skip=1)]

    with pytest.raises(ContentError, match="the content is corrupt"):
        await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert blob(_WHOLE).digest not in fake.repositories[NAME].blobs


@pytest.mark.parametrize("reached", [3_000_000, 9_000_000])
async def test_an_upload_that_breaks_off_goes_on(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier, reached: int
) -> None:
    """From where the registry says that it is, hashed from the last saved state before; nothing is sent twice."""
    data = _WHOLE * 6
    upstream.add(NAME, image(data), "v1")
    pattern = f"PUT .*/blobs/.*{blob(data).digest}"
    fake.faults.append(Fault(pattern, hang_up(after=reached)))
    counted = list[int]()
    repository = source.repository(NAME)
    graph = await read_graph(repository, await repository.manifest("v1"))
    await copier.copy(repository, destination.repository(NAME), graph, on_bytes=counted.append)

    first, second = fake.asked(pattern)
    assert first.path == second.path
    assert f"{reached}-{len(data) - 1}" == second.headers["content-range"]
    assert str(len(data) - reached) == second.headers["content-length"]
    assert data == fake.repositories[NAME].blobs[blob(data).digest]
    begins = [seen.headers.get("range", "bytes=0-") for seen in upstream.asked(f"GET .*/blobs/{blob(data).digest}")]
    assert ["bytes=0-"] == begins[:1]
    assert 0 <= reached - int(begins[1].removeprefix("bytes=").removesuffix("-")) < 5 * 1024 * 1024
    assert graph.size == sum(counted)


async def test_an_upload_that_goes_on_with_other_bytes(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Is found out, though the wrong ones were to be passed over."""
    data = _WHOLE * 4
    upstream.add(NAME, image(data), "v1")
    fake.faults.append(Fault(f"PUT .*/blobs/.*{blob(data).digest}", hang_up(after=3_000_000)))
    upstream.faults.append(Fault(f"GET .*/blobs/{blob(data).digest}", becomes(corrupt), skip=1))

    with pytest.raises(ContentError, match="the content is corrupt"):
        await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert blob(data).digest not in fake.repositories[NAME].blobs


@pytest.mark.parametrize("code", ["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"])
async def test_an_upload_that_is_lost(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier, code: str
) -> None:
    """Is begun anew in another one."""
    upstream.add(NAME, image(b"layer"), "v1")
    fake.faults.append(Fault("PUT .*/blobs/uploads/.*", refusal(404, code)))
    await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert {"v1"} == set(fake.repositories[NAME].tags)
    assert 3 == len(fake.asked("PUT .*/blobs/.*"))


async def test_a_token_that_expires_before_a_blob(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, copier: Copier
) -> None:
    """Is renewed, for what is read and for what is written."""
    for registry in (upstream, fake):
        registry.manners.auth = "bearer"
    fake.manners.username, fake.manners.password = "me", "secret"
    upstream.add(NAME, image(b"layer"), "v1")
    aged = refusal(401, "UNAUTHORIZED", WWW_Authenticate="Bearer")
    upstream.faults.append(Fault(f"GET .*/blobs/{blob(b'layer').digest}", aged))
    fake.faults.append(Fault(f"PUT .*/blobs/.*{blob(b'layer').digest}", aged))
    async with open_registry(fake.url, username="me", password="secret") as destination:
        await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert {"v1"} == set(fake.repositories[NAME].tags)
    assert [3, 2] == [  # an upload that was refused is read anew
        len(upstream.asked(f"GET .*/blobs/{blob(b'layer').digest}")),
        len(fake.asked(f"PUT .*/blobs/.*{blob(b'layer').digest}")),
    ]


async def test_a_registry_that_has_too_much_is_asked_less(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """As long as it says, for blobs as for everything else."""
    naps = Naps()
    copier.sleep = naps
    upstream.add(NAME, image(b"layer"), "v1")
    upstream.faults.append(Fault(f"GET .*/blobs/{blob(b'layer').digest}", answer(429, Retry_After="7")))
    before = source.transport.gate.window
    await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert 7 <= max(naps.taken) <= 8.75
    assert before // 2 == source.transport.gate.window


async def test_a_blob_that_always_breaks_off(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Is given up, by name; no manifest is stored."""
    upstream.add(NAME, image(b"x" * 10_000), "v1")
    upstream.faults.append(Fault("GET .*/blobs/.*", becomes(cut(after=10)), times=ALWAYS))

    with pytest.raises(Unreachable, match=f"{upstream.host} cannot be reached"):
        await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert [] == fake.asked("PUT .*/manifests/.*")


@pytest.mark.parametrize("harm", [becomes(corrupt), becomes(truncated), becomes(longer), becomes(bytes_are(b""))])
async def test_wrong_bytes(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier, harm: Harm
) -> None:
    """Are never tried again, and never written."""
    data = b"x" * 1_000_000
    upstream.add(NAME, image(data), "v1")
    pattern = f"GET .*/blobs/{blob(data).digest}"
    upstream.faults.append(Fault(pattern, harm, times=ALWAYS))

    with pytest.raises(ContentError, match=f"{upstream.host}/{NAME}: .*{blob(data).digest}"):
        await copy(copier, source.repository(NAME), destination.repository(NAME))

    assert 1 == len(upstream.asked(pattern))
    assert blob(data).digest not in fake.repositories[NAME].blobs
    assert [] == fake.asked("PUT .*/manifests/.*")
