"""The bed that seeds are tried on, one for each process of the suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.bed import Bed, open_bed
from tests.faults.gateway import Way, open_ways
from tests.faults.oracle import Storage


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Shared: use a prefix of your own, and forget it afterwards."""
    with open_bed(tmp_path_factory.mktemp("faults")) as opened:
        yield opened


@pytest.fixture(scope="session")
def ways(bed: Bed) -> Iterator[tuple[Way, Way]]:
    """The ways of the bed, shared likewise."""
    with open_ways(bed) as opened:
        yield opened


@pytest.fixture(scope="session")
def storage(bed: Bed) -> Storage:
    """Of the bed's destination."""
    return Storage(bed.destination)
