"""Many releases: what one in step costs does not depend on how many there are (`make scale` measures a thousand)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.content import image
from tests.e2e.conftest import PEAK, Start, peak_of
from tests.servers.fake import FakeRegistry
from tests.servers.upstream import Upstream, references

COUNT = 40
GROWTH_MAX = 60_000  # bytes of memory for one more release, of four images and three charts


@pytest.fixture
def document(upstream: Upstream, fake: FakeRegistry) -> dict[str, Any]:
    """A configuration whose upstream has COUNT small releases, whose destination is `fake`."""
    for number in range(1, COUNT + 1):
        release = f"edge-26.8.{number}"
        upstream.images |= {reference: image(labels={"of": reference}) for reference in references(release)}
        upstream.publish(release)
    return upstream.document(
        destinations={"test": {"kind": "registry", "registry": fake.host}},
        policy={"signatures": "off", "referrers": "off"},
    )


def test_releases_in_step(upstream: Upstream, fake: FakeRegistry, document: dict[str, Any], start: Start) -> None:
    """Each costs two HEADs an image, one HEAD a chart and one GET of its record, and memory grows by little."""

    def sync(count: int) -> int:
        """The peak of memory."""
        for registry in (upstream.registry, fake):
            registry.requests.clear()
        with start(document, "sync", f"edge:{count}", prepare=PEAK) as process:
            _, err = process.communicate(timeout=100)
        assert 0 == process.returncode, err
        return peak_of(err)

    def asked(registry: FakeRegistry) -> Counter[str]:
        """Requests for manifests of Linkerd's images by method, of charts, and for records."""
        kinds = {"mirror-record": "record", "charts": "chart"}
        return Counter(
            f"{seen.method} {next((kind for part, kind in kinds.items() if f'/{part}/' in seen.path), 'image')}"
            for seen in registry.requests
            if "/manifests/" in seen.path and "/prometheus/" not in seen.path
        )

    sync(COUNT)
    peaks = []
    for count in (COUNT // 2, COUNT):
        peaks.append(sync(count))
        assert {"HEAD image": 3 * count} == asked(upstream.registry)
        assert {"HEAD image": 3 * count, "HEAD chart": 3 * count, "GET record": count} == asked(fake)
    assert peaks[1] - peaks[0] < GROWTH_MAX * COUNT // 2
