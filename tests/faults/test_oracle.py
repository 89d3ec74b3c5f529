"""The oracle finds what it is there to find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mirror.report import SyncReport
from tests.e2e.whole import look_at
from tests.faults import oracle
from tests.faults.bed import REFERENCES, Bed
from tests.faults.oracle import Storage
from tests.runs import only

PREFIX = "oracle"


@pytest.fixture
def report(bed: Bed) -> Iterator[SyncReport]:
    """Of a run without faults."""
    yield bed.sync(bed.document(PREFIX, bed.source.host, bed.destination.host))
    bed.forget(PREFIX)


def truth(report: SyncReport) -> dict[str, set[str]]:
    return {image.place.path.rpartition("/")[2]: {str(image.digest)} for image in only(report).images}


def changed(report: SyncReport, **changes: Any) -> SyncReport:
    """The first image is another."""
    first, *others = only(report).images
    return replace(report, releases=(replace(only(report), images=(replace(first, **changes), *others)),))


def test_nothing_is_wrong(bed: Bed, storage: Storage, report: SyncReport) -> None:
    """No breach where there is none."""
    assert [] == oracle.told(report, images=len(REFERENCES), hosts=["ghcr.io"])
    assert [] == oracle.kept(bed.destination.url, PREFIX, only(report).images, truth(report))
    assert [] == oracle.whole(storage, PREFIX)


def test_a_wrong_byte(bed: Bed, storage: Storage, report: SyncReport) -> None:
    """In a blob is found by who pulls, and in the storage."""
    digest = bed.large.removeprefix("sha256:")
    file = bed.destination.root / f"docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
    right = file.read_bytes()
    file.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    try:
        found = oracle.whole(storage, PREFIX)
    finally:
        file.write_bytes(right)

    assert any(
        sentence.startswith(f"{PREFIX}/web:edge-26.8.1: blob {bed.large} is answered with 200") for sentence in found
    )
    assert any(sentence.startswith(f"the blob {digest} has the bytes of ") for sentence in found)
    assert [] == oracle.whole(storage, PREFIX)


def test_an_incomplete_tag(bed: Bed, storage: Storage, report: SyncReport) -> None:
    """Is found: a blob is missing below it."""
    with look_at(bed.destination.url) as client:
        client.delete(f"/v2/{PREFIX}/web/blobs/{bed.large}").raise_for_status()

    assert [f"{PREFIX}/web:edge-26.8.1: blob {bed.large} is answered with 404"] == [
        sentence.partition(",")[0] for sentence in oracle.whole(storage, PREFIX)
    ]


def test_a_tag_that_is_not_there(bed: Bed, report: SyncReport) -> None:
    """Is found where the report says that the image was copied."""
    images = only(report).images
    bed.forget(PREFIX)

    assert len(images) == len(oracle.kept(bed.destination.url, PREFIX, images, truth(report)))


def test_another_digest(bed: Bed, report: SyncReport) -> None:
    """Than the source has is found."""
    [first, *_] = only(report).images
    others = truth(report) | {first.place.path.rpartition("/")[2]: {"sha256:another"}}

    assert [f"{first.reference} is copied, and its tag names {first.digest}"] == oracle.kept(
        bed.destination.url, PREFIX, only(report).images, others
    )


@pytest.mark.parametrize(
    "changes",
    [{"outcome": "failed", "reason": "it did not work"}, {"outcome": "refused", "reason": "moved"}],
    ids=["no host", "refused"],
)
def test_a_report_that_does_not_say_why(report: SyncReport, changes: dict[str, object]) -> None:
    """Is found."""
    assert 1 == len(oracle.told(changed(report, **changes), images=len(REFERENCES), hosts=["ghcr.io"]))


def test_a_report_that_lacks_an_image(report: SyncReport) -> None:
    """Is found."""
    assert 1 == len(oracle.told(report, images=len(REFERENCES) + 1, hosts=["ghcr.io"]))
