"""A blob in chunks: what is sent in each, and how small they become."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.errors import MirrorError, RegistryError, Unreachable
from mirror.http.answer import Answer
from mirror.http.connections import Connections
from mirror.http.proxies import Proxies
from mirror.http.stream import HttpUpload
from mirror.oci.chunks import ChunkedUpload, ChunkSize
from tests.content import blob
from tests.http.talking import talking
from tests.servers.fake import FakeRegistry, Fault, answer, becomes, header

_NAME = "linkerd/proxy"


@pytest.fixture
def connections() -> Iterator[Connections]:
    opened = Connections(proxies=Proxies())
    yield opened
    opened.close()


def _refusal(got: Answer) -> MirrorError:
    return RegistryError(f"{got.status} {got.body.decode()}", status=got.status)


def _upload(connections: Connections, fake: FakeRegistry, data: bytes, *, chunk_size: int) -> ChunkedUpload:
    """Of *data* to a new session."""
    fake.uploads["1"] = bytearray()

    def request(method: Literal["PUT", "PATCH"], session: str, *, first: int, size: int) -> HttpUpload:
        url = f"{session}?digest={blob(data).digest}" if method == "PUT" else session
        headers = {"Content-Range": f"{first}-{first + size - 1}"} if size else {}
        return HttpUpload(connections, url, size, headers=headers, refusal=_refusal, method=method)

    session = f"{fake.url}/v2/{_NAME}/blobs/uploads/1"
    return ChunkedUpload(session, request, size=len(data), offset=0, chunk_size=chunk_size)


# How large


def test_everything_goes_at_once_at_first() -> None:
    """Whatever its size."""
    assert 10**12 == ChunkSize((100, 10)).of(10**12)


def test_smaller_sizes_are_tried_one_after_the_other() -> None:
    """What is not smaller than what was refused is passed over; the last is refused for good."""
    size = ChunkSize((1000, 100, 10))

    assert [True, 100, True, 10, False, 10] == [
        size.refused(500), size.of(500), size.refused(100), size.of(500), size.refused(10), size.of(500),
    ]  # fmt: skip
    assert 3 == size.of(3)


def test_what_was_begun_before_teaches_nothing() -> None:
    """A refusal that comes late, of a larger request, is a reason to try what has been learned meanwhile."""
    size = ChunkSize((100, 10))
    size.refused(100)

    assert size.refused(500)
    assert 10 == size.of(500)


@pytest.mark.parametrize(
    ("stated", "expected"), [("40", 40), ("5", 10), ("", 10), ("-1", 10), ("x", 10), ("٣", 10), ("9" * 5000, 500)]
)
def test_a_registry_may_want_larger_chunks(stated: str, expected: int) -> None:
    """By OCI-Chunk-Min-Length; what is no number is none."""
    size = ChunkSize((100, 10))
    size.refused(100)
    size.ask_for_least(stated)

    assert expected == size.of(500)


def test_what_a_registry_wants_may_be_too_large() -> None:
    """Then there is nothing smaller to be tried."""
    size = ChunkSize((100, 10))
    size.ask_for_least("40")

    assert size.refused(100)
    assert 40 == size.of(500)
    assert not size.refused(40)


@given(
    sizes=st.lists(st.integers(1, 1000), max_size=5),
    size=st.integers(1, 2000),
    limit=st.integers(1, 2000),
    least=st.lists(st.integers(0, 1000), max_size=5),
)
def test_a_size_is_found_or_there_is_none(sizes: list[int], size: int, limit: int, least: list[int]) -> None:
    """After no more refusals than there are sizes, whatever the registry wants meanwhile."""
    chunk_size, refusals = ChunkSize(tuple(sizes)), 0
    while (at_once := chunk_size.of(size)) > limit and chunk_size.refused(at_once):
        refusals += 1
        if least:
            chunk_size.ask_for_least(str(least.pop()))

    assert refusals <= len(sizes)
    assert at_once <= limit or not [each for each in sizes if max(each, chunk_size.of(10**9)) < at_once]


# What is sent


@settings(max_examples=50)
@given(pieces=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6), chunk_size=st.integers(1, 60))
def test_every_byte_is_in_one_chunk(
    connections: Connections, fake: FakeRegistry, pieces: list[bytes], chunk_size: int
) -> None:
    """In order, each chunk full but the last, each at the place that the one before named; then a PUT of nothing."""
    fake.manners.moves_uploads = True
    fake.requests.clear()
    data = b"".join(pieces)
    upload = _upload(connections, fake, data, chunk_size=chunk_size)
    for piece in pieces:
        upload.write(memoryview(piece))
    upload.finish()

    *chunks, last = fake.requests
    begins = range(0, len(data), chunk_size)
    assert data == fake.repositories[_NAME].blobs[blob(data).digest]
    assert [f"{at}-{min(at + chunk_size, len(data)) - 1}" for at in begins] == [
        seen.headers["content-range"] for seen in chunks
    ]
    assert ["PATCH"] * len(begins) == [seen.method for seen in chunks]
    assert ("PUT", "0") == (last.method, last.headers["content-length"])
    assert len(fake.requests) == len({seen.path for seen in fake.requests})


def test_a_chunk_goes_out_as_it_comes(connections: Connections) -> None:
    """It is not gathered: what comes before it is whole is answered."""
    with talking(b"HTTP/1.1 413 No\r\nContent-Length: 11\r\nConnection: close\r\n\r\nin my words") as url:

        def request(method: Literal["PUT", "PATCH"], session: str, *, first: int, size: int) -> HttpUpload:
            return HttpUpload(connections, session, size, headers={}, refusal=_refusal, method=method)

        upload = ChunkedUpload(url, request, size=2 * 10**9, offset=0, chunk_size=10**9)

        def drip() -> None:
            for _ in range(100_000):
                upload.write(memoryview(b"1"))

        with pytest.raises(RegistryError, match="413 in my words"):
            drip()
        upload.abort()


@pytest.mark.parametrize("status", [201, 202, 204])
def test_a_chunk_that_is_taken(connections: Connections, fake: FakeRegistry, status: int) -> None:
    """Whichever way the registry says so."""
    fake.faults.append(Fault("PATCH .*", becomes(lambda response: replace(response, status=status))))
    upload = _upload(connections, fake, b"123", chunk_size=2)
    upload.write(memoryview(b"123"))
    upload.finish()

    assert b"123" == fake.repositories[_NAME].blobs[blob(b"123").digest]


def test_a_chunk_that_is_not_taken(connections: Connections, fake: FakeRegistry) -> None:
    """Is the last; what the registry answers is told."""
    fake.faults.append(Fault("PATCH .*", answer(200, b"what?")))
    upload = _upload(connections, fake, b"123", chunk_size=2)

    with pytest.raises(RegistryError, match="200 what"):
        upload.write(memoryview(b"123"))

    assert 1 == len(fake.requests)


def test_a_location_that_is_not_named(connections: Connections, fake: FakeRegistry) -> None:
    """Is where the chunk went."""
    fake.faults.append(Fault("PATCH .*", becomes(header(Location="")), times=3))
    upload = _upload(connections, fake, b"12345", chunk_size=2)
    upload.write(memoryview(b"12345"))
    upload.finish()

    assert b"12345" == fake.repositories[_NAME].blobs[blob(b"12345").digest]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://[bad", "http://169.254.169.254:99999/"])
def test_a_location_that_is_nowhere(connections: Connections, fake: FakeRegistry, location: str) -> None:
    """Is refused."""
    fake.faults.append(Fault("PATCH .*", becomes(header(Location=location))))
    upload = _upload(connections, fake, b"12345", chunk_size=2)

    with pytest.raises(Unreachable, match="gave an upload location to") as caught:
        upload.write(memoryview(b"12345"))

    assert not caught.value.is_temporary


@pytest.mark.parametrize("written", [0, 1, 2, 3, 5])
def test_what_was_given_up_is_sent_no_more(connections: Connections, fake: FakeRegistry, written: int) -> None:
    """Before a chunk, in it, after it, and before the PUT that would complete the blob."""
    data = b"12345"
    upload = _upload(connections, fake, data, chunk_size=2)
    upload.write(memoryview(data)[:written])
    upload.abort()
    upload.abort()

    with pytest.raises(Unreachable, match="given up"):
        upload.write(memoryview(data)[written:]) if written < len(data) else upload.finish()
    assert {} == fake.repositories
    assert [] == fake.asked("PUT .*")


def test_a_chunk_that_waits_for_its_answer_ends(connections: Connections, fake: FakeRegistry) -> None:
    """At once, when another thread gives it up."""
    fake.faults.append(Fault("PATCH .*", becomes(lambda response: replace(response, length=10, stall_after=0))))
    failures = list[MirrorError]()
    upload = _upload(connections, fake, b"12345", chunk_size=2)

    def send() -> None:
        try:
            upload.write(memoryview(b"12345"))
        except MirrorError as exc:
            failures.append(exc)

    sending = threading.Thread(target=send)
    sending.start()
    while not fake.requests:
        assert sending.is_alive()
    upload.abort()
    sending.join(5.0)

    assert ["given up"] == [str(failure).rpartition(": ")[2] for failure in failures]
