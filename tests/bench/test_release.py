"""What the bench is run on: images where a registry finds them, and charts that name them."""

from __future__ import annotations

from pathlib import Path

import httpx

from mirror.linkerd.images import release_images
from mirror.oci.manifest import ACCEPT
from tests.bench.charts import charts_of
from tests.bench.release import PREFIX, SHAPES, small, store
from tests.e2e.whole import broken
from tests.servers.distribution import docker_registry

TAG = "edge-26.1.1"


def test_the_registry_serves_what_was_stored(tmp_path: Path) -> None:
    """Every image is there by its tag, and whole."""
    with docker_registry(tmp_path / "registry") as registry:
        inventory = store(registry.root, TAG, small)

        assert set(SHAPES) == set(inventory.repositories)
        for name, digest in inventory.repositories.items():
            answer = httpx.head(f"{registry.url}/v2/{PREFIX}/{name}/manifests/{TAG}", headers={"Accept": ACCEPT})
            assert digest == answer.headers["docker-content-digest"]
        assert [] == broken(registry.url)


def test_charts_name_the_images() -> None:
    """The images of the charts are those that are stored, each once."""
    images = release_images(tuple(charts_of(TAG)))

    assert {f"cr.l5d.io/{PREFIX}/{name}:{TAG}" for name in SHAPES} == {image.reference for image in images}
