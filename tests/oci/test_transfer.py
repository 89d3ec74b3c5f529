"""One blob on its way: what goes on, what is begun anew, what is given up."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import ClassVar

import pytest

from mirror.errors import ContentError, RegistryError, Unreachable
from mirror.oci.copy import Copier, read_graph
from mirror.oci.dialect import Dialect
from mirror.oci.registry import Registry
from mirror.oci.transfer import BLOB_ATTEMPTS
from tests.content import blob, download, image
from tests.http.naps import Naps
from tests.oci.copying import NAME, copy
from tests.servers.certificates import Certificates
from tests.servers.client import open_registry
from tests.servers.distribution import Distribution
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
from tests.servers.ingress import Ingress, ingress
from tests.waiting import until

_WHOLE = bytes(range(251)) * 8000  # 2 MB
_MIB = 1024 * 1024


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


@pytest.mark.parametrize("where", ["upstream", "destination"])
async def test_a_refusal_holds_for_blobs_in_line(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier, where: str
) -> None:
    """No more of them are asked for, or sent, than were under way, while either host wants to be left."""
    what = image(*(bytes([number]) * 1000 for number in range(20)))
    upstream.add(NAME, what, "v1")
    place, method = (upstream, "GET") if where == "upstream" else (fake, "PUT")
    # the first goes alone: it is learned from it whether the registry mounts
    place.faults.append(Fault(f"{method} .*/blobs/.*", answer(429, Retry_After="30"), times=ALWAYS, skip=1))
    repository = source.repository(NAME)
    graph = await read_graph(repository, await repository.manifest("v1"))
    gate, asleep = (source if where == "upstream" else destination).transport.gate, list[float]()

    async def sleep(seconds: float) -> None:
        asleep.append(seconds)
        await asyncio.Event().wait()

    gate.limit, gate._window, gate.sleep, gate.now, copier.sleep = 2, 2.0, sleep, time.monotonic, sleep
    copying = asyncio.create_task(copier.copy(repository, destination.repository(NAME), graph))
    await until(lambda: len(what.blobs) - 1 == len(asleep))
    copying.cancel()

    assert 1 + 2 >= len(place.asked(f"{method} .*/blobs/.*"))


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
        becomes(lambda response: response.having(Content_Range=f"bytes {'9' * 5000}-1/1")),
        refusal(416, "RANGE_INVALID"),
    ],
    ids=["the range", "the whole", "another range", "some range", "a range without end", "416"],
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


# In chunks


Front = Callable[..., AbstractAsyncContextManager[tuple[Ingress, Registry]]]


@pytest.fixture(params=["http", "https"])
def front(request: pytest.FixtureRequest, open_distribution: Distribution, certificates: Certificates) -> Front:
    """Opens docker-registry through an ingress that takes no body of more than so many bytes."""
    by_tls = certificates if request.param == "https" else None

    @asynccontextmanager
    async def opened(body_max: int, *sizes: int, lingers: bool = True) -> AsyncIterator[tuple[Ingress, Registry]]:
        class Sized(Dialect):
            chunk_sizes: ClassVar[tuple[int, ...]] = sizes or Dialect.chunk_sizes

        with ingress(open_distribution.host, body_max=body_max, lingers=lingers, certificates=by_tls) as running:
            async with open_registry(running.url, dialect=Sized(), ca_file=str(certificates.authority)) as registry:
                yield running, registry

    return opened


@pytest.mark.parametrize("lingers", [True, False], ids=["nginx", "hangs up"])
async def test_a_blob_that_an_ingress_refuses(
    upstream: FakeRegistry, source: Registry, copier: Copier, front: Front, path: str, lingers: bool
) -> None:
    """Is sent in chunks that it takes, at once; each next one in such from its beginning, a small one still whole."""
    data, next_data = _WHOLE * 6, _WHOLE * 5
    naps = copier.sleep = Naps()
    counted = list[int]()
    upstream.add(NAME, image(data), "v1")
    upstream.add(NAME, image(next_data), "v2")
    async with front(_MIB, lingers=lingers) as (nginx, destination):
        there, repository = destination.repository(path), source.repository(NAME)
        graph = await read_graph(repository, await repository.manifest("v1"))
        await copier.copy(repository, there, graph, on_bytes=counted.append)
        before = len(nginx.refused)
        await copy(copier, repository, there, "v2")

        assert data == await download(there, blob(data))
        assert next_data == await download(there, blob(next_data))
    assert [("PUT", len(data)), ("PATCH", 8 * _MIB)] == [
        (seen.method, int(seen.headers["content-length"])) for seen in nginx.refused
    ]
    assert before == len(nginx.refused)
    assert {0.0} >= set(naps.taken)
    assert graph.size == sum(counted)
    smallest = min(graph.blobs, key=lambda each: each.size)
    assert [str(smallest.size)] == [
        seen.headers["content-length"] for seen in nginx.passed if f"digest={smallest.digest}" in seen.target
    ]


async def test_many_blobs_that_an_ingress_refuses_at_once(
    upstream: FakeRegistry, source: Registry, copier: Copier, front: Front, path: str
) -> None:
    """Each is begun anew with what was learned; it is learned once for each that was under way."""
    layers = [bytes([number]) * 600_000 for number in range(6)]
    upstream.add(NAME, image(*layers), "v1")
    async with front(100_000, 500_000, 90_000) as (nginx, destination):
        await copy(copier, source.repository(NAME), destination.repository(path))

        assert layers == [await download(destination.repository(path), blob(layer)) for layer in layers]
    assert len(nginx.refused) <= 2 * len(layers)


async def test_more_sizes_than_attempts(
    upstream: FakeRegistry, source: Registry, copier: Copier, front: Front, path: str
) -> None:
    """Are all tried: a refusal of a size is not a failure of the same thing again."""
    sizes = [1000 * number for number in range(BLOB_ATTEMPTS + 5, 0, -1)]
    upstream.add(NAME, image(bytes(20_000)), "v1")
    async with front(1000, *sizes) as (nginx, destination):
        await copy(copier, source.repository(NAME), destination.repository(path))

        assert blob(bytes(20_000)).size == len(await download(destination.repository(path), blob(bytes(20_000))))
    assert [20_000, *sizes[:-1]] == [int(seen.headers["content-length"]) for seen in nginx.refused]


async def test_an_ingress_that_takes_not_even_the_smallest(
    upstream: FakeRegistry, source: Registry, copier: Copier, front: Front, path: str
) -> None:
    """Is named, with what it refuses and what to do; each size was tried once."""
    upstream.add(NAME, image(bytes(300_000)), "v1")
    async with front(10_000, 100_000, 20_000) as (nginx, destination):
        with pytest.raises(RegistryError) as caught:
            await copy(copier, source.repository(NAME), destination.repository(path))

    assert (
        f"{destination.host}/{path}@{blob(bytes(300_000)).digest}: nginx/1.24.0 refused PATCH as too large (413): it "
        "takes no request of 20000 bytes: have it take larger ones, as an nginx ingress does with the annotation "
        'nginx.ingress.kubernetes.io/proxy-body-size: "0"'
    ) == str(caught.value)
    assert [300_000, 100_000, 20_000] == [int(seen.headers["content-length"]) for seen in nginx.refused]


async def test_a_registry_that_says_itself_what_is_too_large(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier
) -> None:
    """Is heard: it is no ingress that is to be set."""
    upstream.add(NAME, image(_WHOLE), "v1")
    fake.faults.append(Fault("P(UT|ATCH) .*/blobs/.*", refusal(413, "DENIED", "over quota"), times=ALWAYS))

    with pytest.raises(RegistryError, match=r"refused \w+ as too large \(413: DENIED over quota\)$"):
        await copy(copier, source.repository(NAME), destination.repository(NAME))


@pytest.fixture
def chunked(destination: Registry) -> Registry:
    """The destination, which is known to take 1 MiB at once."""
    assert destination.chunk_size.refused(8 * _MIB)
    return destination


_LARGE = _WHOLE * 3
_PATCHES = "PATCH .*/blobs/uploads/.*"
_CLOSING = f"PUT .*/blobs/.*{blob(_LARGE).digest}"


async def _copied(upstream: FakeRegistry, source: Registry, chunked: Registry, copier: Copier) -> int:
    """An image with a large blob is copied; the number of bytes that were told of beyond its size."""
    upstream.add(NAME, image(_LARGE), "v1")
    counted = list[int]()
    repository = source.repository(NAME)
    graph = await read_graph(repository, await repository.manifest("v1"))
    await copier.copy(repository, chunked.repository(NAME), graph, on_bytes=counted.append)
    return sum(counted) - graph.size


@pytest.mark.parametrize("after", [0, 300_000, _MIB])
async def test_a_chunk_that_breaks_off(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, chunked: Registry, copier: Copier, after: int
) -> None:
    """Goes on where the session says that it is."""
    fake.faults.append(Fault(_PATCHES, hang_up(after=after), skip=2))

    assert 0 == await _copied(upstream, source, chunked, copier)

    begins = [int(seen.headers["content-range"].partition("-")[0]) for seen in fake.asked(_PATCHES)]
    assert [0, _MIB, 2 * _MIB, 2 * _MIB + after] == begins[:4]
    assert 1 == len(fake.asked("GET .*/blobs/uploads/.*"))
    assert _LARGE == fake.repositories[NAME].blobs[blob(_LARGE).digest]


async def test_a_session_that_moved_with_an_answer_that_was_lost(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, chunked: Registry, copier: Copier
) -> None:
    """Nobody knows where it is: all is begun anew."""
    fake.manners.moves_uploads = True
    fake.faults.append(Fault(_PATCHES, becomes(lambda _: Response(504)), skip=2))

    assert 0 == await _copied(upstream, source, chunked, copier)

    begins = [int(seen.headers["content-range"].partition("-")[0]) for seen in fake.asked(_PATCHES)]
    assert [0, _MIB, 2 * _MIB, 0, _MIB] == begins[:5]
    assert _LARGE == fake.repositories[NAME].blobs[blob(_LARGE).digest]


async def test_a_chunk_that_does_not_fit_the_session(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, chunked: Registry, copier: Copier
) -> None:
    """416 is a reason to ask where it is (distribution-spec v1.1 #pushing-a-blob-in-chunks)."""
    fake.faults += [
        Fault(_PATCHES, becomes(lambda _: Response(503)), skip=2),  # stored, and the answer says nothing of it
        Fault("GET .*/blobs/uploads/.*", becomes(lambda response: response.having(Range=f"0-{2 * _MIB - 1}"))),
    ]

    assert 0 == await _copied(upstream, source, chunked, copier)

    begins = [int(seen.headers["content-range"].partition("-")[0]) for seen in fake.asked(_PATCHES)]
    assert [0, _MIB, 2 * _MIB, 2 * _MIB, 3 * _MIB] == begins[:5]  # the second of the third was answered with 416
    assert 2 == len(fake.asked("GET .*/blobs/uploads/.*"))
    assert _LARGE == fake.repositories[NAME].blobs[blob(_LARGE).digest]


async def test_the_last_chunk_that_breaks_off(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, chunked: Registry, copier: Copier
) -> None:
    """Is small enough to be sent by the request that completes the blob."""
    fake.faults.append(Fault(_PATCHES, hang_up(after=1000), skip=len(_LARGE) // _MIB))

    assert 0 == await _copied(upstream, source, chunked, copier)

    begin = len(_LARGE) // _MIB * _MIB + 1000
    assert [f"{begin}-{len(_LARGE) - 1}"] == [seen.headers["content-range"] for seen in fake.asked(_CLOSING)]
    assert _LARGE == fake.repositories[NAME].blobs[blob(_LARGE).digest]


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_an_upload_of_which_only_the_end_is_missing(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, copier: Copier,
    is_chunked: bool,
) -> None:  # fmt: skip
    """Is ended: no byte is sent again."""
    if is_chunked:
        destination.chunk_size.refused(8 * _MIB)
    fake.faults.append(Fault(_CLOSING, hang_up(after=len(_LARGE))))

    assert 0 == await _copied(upstream, source, destination, copier)

    assert ["0" if is_chunked else str(len(_LARGE)), "0"] == [
        seen.headers["content-length"] for seen in fake.asked(_CLOSING)
    ]
    assert (len(_LARGE) // _MIB + 1 if is_chunked else 0) == len(fake.asked(_PATCHES))
    assert _LARGE == fake.repositories[NAME].blobs[blob(_LARGE).digest]


async def test_wrong_bytes_in_chunks(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, chunked: Registry, copier: Copier
) -> None:
    """Are never completed to a blob."""
    upstream.faults.append(Fault(f"GET .*/blobs/{blob(_LARGE).digest}", becomes(corrupt)))

    with pytest.raises(ContentError, match="the content is corrupt"):
        await _copied(upstream, source, chunked, copier)

    assert [] == fake.asked(_CLOSING)
    assert blob(_LARGE).digest not in fake.repositories[NAME].blobs


async def test_a_download_that_breaks_off_goes_on_in_the_same_chunk(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, chunked: Registry, copier: Copier
) -> None:
    """Nothing is sent twice."""
    upstream.faults.append(Fault(f"GET .*/blobs/{blob(_LARGE).digest}", becomes(_breaks_off)))

    assert 0 == await _copied(upstream, source, chunked, copier)

    assert len(_LARGE) // _MIB + 1 == len(fake.asked(_PATCHES))
    assert _LARGE == fake.repositories[NAME].blobs[blob(_LARGE).digest]


async def test_a_token_that_expires_between_chunks(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, copier: Copier
) -> None:
    """Is renewed, and the upload goes on."""
    fake.manners.auth, fake.manners.username, fake.manners.password = "bearer", "me", "secret"
    fake.faults.append(Fault(_PATCHES, refusal(401, "UNAUTHORIZED", WWW_Authenticate="Bearer"), skip=2))
    async with open_registry(fake.url, username="me", password="secret") as destination:
        destination.chunk_size.refused(8 * _MIB)

        assert 0 == await _copied(upstream, source, destination, copier)

    begins = [int(seen.headers["content-range"].partition("-")[0]) for seen in fake.asked(_PATCHES)]
    assert [0, _MIB, 2 * _MIB, 2 * _MIB, 3 * _MIB] == begins[:5]
    assert 2 == len({seen.headers["authorization"] for seen in fake.asked(_PATCHES)})


async def test_chunks_are_as_large_as_the_registry_wants(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, chunked: Registry, copier: Copier
) -> None:
    """All but the last, also after one has broken off."""
    fake.manners.chunk_min = 2 * _MIB
    fake.faults.append(Fault(_PATCHES, hang_up(after=_MIB), skip=1))

    assert 0 == await _copied(upstream, source, chunked, copier)

    *chunks, last = [int(seen.headers["content-length"]) for seen in fake.asked(_PATCHES)]
    assert [2 * _MIB] * 3 == chunks
    assert len(_LARGE) - 5 * _MIB == last
