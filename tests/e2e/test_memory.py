"""Memory does not grow with the size of a blob."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.oci.content import Digest
from mirror.oci.manifest import OCI_INDEX, OCI_MANIFEST, Manifest
from tests.content import Image
from tests.e2e.conftest import PEAK, Start, peak_of
from tests.servers.distribution import docker_registry
from tests.servers.loopback import Handler, serving
from tests.servers.upstream import RELEASE, Upstream, references

WEB = references()[2]
CHUNK = bytes(range(256)) * 4096  # 1 MiB
COUNT = 1024


@pytest.fixture
def large(upstream: Upstream) -> Iterator[Digest]:
    """Web has a layer of 1 GiB, made as it is sent; every blob of upstream is served from there."""
    hashed = hashlib.sha256()
    for _ in range(COUNT):
        hashed.update(CHUNK)
    layer = Digest("sha256", hashed.hexdigest())
    config = b"{}"
    view = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": str(Digest.of(config)),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": str(layer),
                "size": COUNT * len(CHUNK),
            }
        ],
    }
    child = Image(Manifest.parse(json.dumps(view).encode(), where="a test"), {Digest.of(config): config})
    entry = {"mediaType": OCI_MANIFEST, "digest": str(child.digest), "size": child.manifest.size}
    root = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    upstream.put(WEB, Image(Manifest.parse(root, where="a test"), children=(child,)))

    class BlobHandler(Handler):
        def respond(self) -> None:
            name, digest = re.fullmatch(r"/v2/(.*)/blobs/(.*)", self.path).groups()  # type: ignore[union-attr]
            stored = upstream.registry.repositories[name].blobs
            is_large = digest == str(layer)
            data = b"" if is_large else stored[Digest.parse(digest)]
            self.send_response(200)
            self.send_header("Content-Length", str(COUNT * len(CHUNK) if is_large else len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            for _ in range(COUNT if is_large else 0):
                self.wfile.write(CHUNK)
            self.wfile.write(data)

    with serving(BlobHandler) as address:
        upstream.registry.manners.blobs_at = f"http://{address}"
        yield layer


def test_a_layer_of_a_gigabyte(upstream: Upstream, large: Digest, start: Start, tmp_path: Path) -> None:
    """Peak resident memory stays under 100 MB, Python and all."""
    with docker_registry(tmp_path / "registry") as registry:
        document = upstream.document(destinations={"test": {"kind": "registry", "registry": registry.host}})
        with start(document, "sync", RELEASE, prepare=PEAK) as process:
            _, err = process.communicate(timeout=110)

        assert 0 == process.returncode, err
        assert peak_of(err) < 100_000_000
        stored = registry.root / f"docker/registry/v2/blobs/sha256/{large.hex[:2]}/{large.hex}/data"
        assert COUNT * len(CHUNK) == stored.stat().st_size
        stored.unlink()
