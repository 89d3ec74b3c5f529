"""What is wrong at the source gets no tag: it fails by name, and the others are copied."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirror.oci.content import Digest
from mirror.oci.manifest import OCI_INDEX
from tests.e2e.conftest import Start
from tests.e2e.whole import broken
from tests.servers.distribution import Distribution
from tests.servers.fake import ALWAYS, Fault, becomes, bytes_are, claims_length, corrupt, header, longer, truncated
from tests.servers.upstream import RELEASE, Upstream, references, two_platforms

WEB = references()[2]


def own_layer(upstream: Upstream) -> Digest:
    """The layer that web alone has."""
    return next(digest for digest, data in upstream.images[WEB].children[0].blobs.items() if b"linkerd/web" in data)


def blob(change: Any) -> Callable[[Upstream], str]:
    def harm(upstream: Upstream) -> str:
        layer = own_layer(upstream)
        upstream.registry.faults.append(Fault(f"GET .*/blobs/{layer}", becomes(change), times=ALWAYS))
        return str(layer)

    return harm


def manifest_of_another_digest(upstream: Upstream) -> str:
    """What HEAD promised is not what GET gives."""
    digest, other = upstream.images[WEB].digest, two_platforms("another")
    change = bytes_are(other.manifest.raw)
    upstream.registry.faults.append(Fault(f"GET /v2/linkerd/web/manifests/{digest}", becomes(change), times=ALWAYS))
    return str(digest)


def head_of_another_digest(upstream: Upstream) -> str:
    """HEAD promises what nobody has."""
    promised = str(Digest.of(b"nobody has this"))
    change = header(Docker_Content_Digest=promised)
    upstream.registry.faults.append(Fault(f"HEAD /v2/linkerd/web/manifests/{RELEASE}", becomes(change), times=ALWAYS))
    return promised


def missing_child(upstream: Upstream) -> str:
    """The index lists a manifest that is not there."""
    child = upstream.images[WEB].children[1].digest
    del upstream.registry.repositories["linkerd/web"].manifests[child]
    return str(child)


def wrong_size(upstream: Upstream) -> str:
    """The manifest promises another size of its layer than the layer has."""
    registry = upstream.registry.repositories["linkerd/web"]
    child = upstream.images[WEB].children[0]
    view = json.loads(child.manifest.raw)
    view["layers"][1]["size"] += 1
    raw = json.dumps(view).encode()
    registry.manifests[Digest.of(raw)] = (child.manifest.media_type, raw)
    index = {"mediaType": child.manifest.media_type, "digest": str(Digest.of(raw)), "size": len(raw)}
    root = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [index]}).encode()
    registry.manifests[Digest.of(root)] = (OCI_INDEX, root)
    registry.tags[RELEASE] = Digest.of(root)
    return str(own_layer(upstream))


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(blob(corrupt), id="a flipped bit"),
        pytest.param(blob(truncated), id="truncated"),
        pytest.param(blob(longer), id="a byte too many"),
        pytest.param(blob(claims_length(10)), id="a length that is not the body's"),
        pytest.param(wrong_size, id="a size that is not the blob's"),
        pytest.param(manifest_of_another_digest, id="a manifest of another digest"),
        pytest.param(head_of_another_digest, id="a HEAD of another digest"),
        pytest.param(missing_child, id="a missing child"),
    ],
)
def test_it_fails_by_name(
    harm: Callable[[Upstream], str],
    upstream: Upstream,
    open_distribution: Distribution,
    path: str,
    start: Start,
    tmp_path: Path,
) -> None:
    """The others are copied, its chart gets no values, exit code 1, and the destination has no tag for it."""
    named = harm(upstream)
    destination = {"kind": "registry", "registry": open_distribution.host, "prefix": path}
    document = upstream.document(destinations={"test": destination})
    with start(document, "sync", RELEASE, "-o", "json") as process:
        out, err = process.communicate(timeout=90)

    assert 1 == process.returncode, err
    assert "Traceback" not in err
    [release] = json.loads(out)["releases"]
    outcomes = {image["reference"]: image["outcome"] for image in release["images"]}
    assert {**dict.fromkeys(references(), "copied"), WEB: "failed"} == outcomes
    [reason] = [image["reason"] for image in release["images"] if image["outcome"] == "failed"]
    assert "ghcr.io/linkerd/web" in reason
    assert named in reason
    written = [Path(file).name for file in release["overrides"]]
    assert ["linkerd-control-plane.yaml", "linkerd-crds.yaml"] == written
    root = open_distribution.root / "docker/registry/v2/repositories" / path
    assert (root / f"controller/_manifests/tags/{RELEASE}").is_dir()
    assert not (root / f"web/_manifests/tags/{RELEASE}").exists()
    assert [] == broken(open_distribution.url, path)
