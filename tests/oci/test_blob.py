"""Blobs on their way: nothing wrong is ever finished."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import ContentError, Unreachable
from mirror.oci.blob import BUFFER_SIZE, Reading, Relay
from mirror.oci.content import Descriptor, Digest
from tests.content import blob, relay


class Pieces:
    """A body that comes in the pieces given, and then may break."""

    def __init__(self, *pieces: bytes, breaks: bool = False) -> None:
        self._pieces = list(pieces)
        self._breaks = breaks
        self.closed = 0

    def readinto(self, buffer: memoryview) -> int:
        if not self._pieces:
            if self._breaks:
                raise Unreachable("the connection broke")
            return 0
        piece = self._pieces.pop(0)
        taken, rest = piece[: len(buffer)], piece[len(buffer) :]
        if rest:
            self._pieces.insert(0, rest)
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        self.closed += 1

    def abort(self) -> None:
        self.close()


class Kept:
    """An upload that keeps what it gets."""

    session = ""

    def __init__(self, *, refuses: bool = False) -> None:
        self.data = bytearray()
        self.ends: list[str] = []
        self._refuses = refuses

    def write(self, data: memoryview) -> None:
        self.data += data

    def finish(self) -> None:
        if self._refuses:
            raise Unreachable("the registry left")
        self.ends.append("finished")

    def abort(self) -> None:
        self.ends.append("aborted")


_CONTENTS = st.lists(st.binary(min_size=1, max_size=50), max_size=6)


@given(_CONTENTS)
def test_right_bytes_arrive(pieces: list[bytes]) -> None:
    """In order, counted, in whatever pieces; then the upload is finished once and the body closed."""
    data = b"".join(pieces)
    body, upload, counts = Pieces(*pieces), Kept(), list[int]()

    relay(body, upload, blob(data), where="here", on_bytes=counts.append)

    assert data == upload.data
    assert ["finished"] == upload.ends
    assert len(data) == sum(counts)
    assert 1 == body.closed


def test_a_blob_of_many_buffers() -> None:
    """Larger than both buffers, and not a multiple of them."""
    data = bytes(range(251)) * (5 * BUFFER_SIZE // 251)
    upload = Kept()

    relay(Pieces(data), upload, blob(data, "sha512"), where="here", on_bytes=lambda _: None)

    assert hashlib.sha256(data).digest() == hashlib.sha256(upload.data).digest()


@given(_CONTENTS, _CONTENTS)
def test_wrong_bytes_never_arrive_whole(pieces: list[bytes], other: list[bytes]) -> None:
    """The last of them is held back, the upload given up; the error names the place and the digest."""
    data, promise = b"".join(pieces), blob(b"".join(other))
    if Digest.of(data) == promise.digest:
        return
    body, upload = Pieces(*pieces), Kept()

    with pytest.raises(ContentError) as caught:
        relay(body, upload, promise, where="ghcr.io/linkerd/proxy", on_bytes=lambda _: None)

    assert "ghcr.io/linkerd/proxy" in str(caught.value)
    assert str(promise.digest) in str(caught.value)
    assert ["aborted"] == upload.ends
    assert len(upload.data) < max(promise.size, 1)
    assert 1 == body.closed


def test_too_many_bytes_are_not_read_to_their_end() -> None:
    """What is longer than promised stops at once."""
    body = Pieces(b"12", b"34", *[b"more"] * 1000)

    with pytest.raises(ContentError, match="longer than the 3 bytes promised"):
        Reading(Descriptor("a/b", Digest.of(b"123"), 3), where="here", on_chunk=lambda _: None).go_on(body)

    assert body.readinto(memoryview(bytearray(10)))


def test_too_few_bytes() -> None:
    """Both lengths are said."""
    with pytest.raises(ContentError, match="has 2 bytes, 3 were promised"):
        Reading(blob(b"123"), where="here", on_chunk=lambda _: None).go_on(Pieces(b"12"))


def test_a_body_that_breaks() -> None:
    """Is not wrong content; the upload is given up all the same."""
    body, upload = Pieces(b"12", breaks=True), Kept()

    with pytest.raises(Unreachable):
        relay(body, upload, blob(b"123"), where="here", on_bytes=lambda _: None)

    assert ["aborted"] == upload.ends
    assert 1 == body.closed


def test_an_upload_that_is_not_taken() -> None:
    """Is given up, and the body closed."""
    body, upload = Pieces(b"123"), Kept(refuses=True)

    with pytest.raises(Unreachable):
        relay(body, upload, blob(b"123"), where="here", on_bytes=lambda _: None)

    assert ["aborted"] == upload.ends
    assert 1 == body.closed


# What broke off goes on


@given(_CONTENTS, st.lists(st.integers(0, 300), max_size=5), st.integers(1, 60))
def test_what_broke_off_while_reading_goes_on(pieces: list[bytes], breaks: list[int], step: int) -> None:
    """From the byte that it reached, in the same upload, wherever it broke off and however often."""
    data = b"".join(pieces)
    upload, counts = Kept(), list[int]()
    under_way = Relay(blob(data), upload, where="here", on_bytes=counts.append)
    for at in sorted(at for at in breaks if at < len(data)):
        rest = data[under_way.received : at]
        chunks = [rest[n : n + step] for n in range(0, len(rest), step)]
        with pytest.raises(Unreachable):
            under_way.go_on(Pieces(*chunks, breaks=True))
        assert under_way.can_go_on
    under_way.go_on(Pieces(*filter(None, [data[under_way.received :]])))

    assert data == upload.data
    assert ["finished"] == upload.ends
    assert len(data) == sum(counts)


def test_what_went_on_wrongly_is_found() -> None:
    """Another blob's bytes after the break do not make a blob."""
    upload = Kept()
    under_way = Relay(blob(b"abcdef"), upload, where="here", on_bytes=lambda _: None)
    with pytest.raises(Unreachable):
        under_way.go_on(Pieces(b"abc", breaks=True))

    with pytest.raises(ContentError, match="the content is corrupt"):
        under_way.go_on(Pieces(b"dex"))

    assert not under_way.can_go_on
    assert b"abc" == upload.data


def test_what_broke_off_while_writing_does_not_go_on() -> None:
    """The upload is lost; the bytes are taken back."""
    upload, counts = Kept(refuses=True), list[int]()
    under_way = Relay(blob(b"abc"), upload, where="here", on_bytes=counts.append)
    with pytest.raises(Unreachable):
        under_way.go_on(Pieces(b"abc"))

    assert not under_way.can_go_on
    under_way.give_up()
    assert 0 == sum(counts)
    assert ["aborted"] == upload.ends
