"""Signatures across an air gap: also those that the near registry does not take, which its record keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror.report import SyncReport
from mirror.settings import Settings
from tests.runs import bring, export, only, sync, verify
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, fake_registry, refusal
from tests.servers.sigstore import Sigstore, bundle_image, sig_image
from tests.servers.upstream import Upstream, upstream_server
from tests.trust.conftest import IDENTITY, IMAGE, TAG

PROXY, CONTROLLER = f"cr.l5d.io/linkerd/proxy:{TAG}", f"cr.l5d.io/linkerd/controller:{TAG}"


@pytest.fixture
def upstream(sigstore: Sigstore) -> Iterator[Upstream]:
    """A release of two images: the controller is signed by tag, the proxy by a bundle that refers to it."""
    with upstream_server() as running:
        running.images[PROXY] = IMAGE
        running.publish(TAG)
        digest = running.images[CONTROLLER].digest
        signature = sig_image(sigstore.simple_signing(digest, IDENTITY))
        running.registry.add("linkerd/controller", signature, digest.fallback_tag(".sig"))
        running.registry.add("linkerd/proxy", bundle_image(sigstore.bundle(IMAGE.digest, IDENTITY), IMAGE.manifest))
        yield running


def _settings(upstream: Upstream, sigstore: Sigstore, host: str, directory: Path, **more: Any) -> Settings:
    root = directory / "trusted_root.json"
    root.write_text(json.dumps(sigstore.trusted_root()))
    return upstream.settings(
        charts=["linkerd-crds", "linkerd-control-plane"],
        destinations={"test": {"kind": "registry", "registry": host, "prefix": "l5d"}},
        policy={"signatures": "require", "trusted_root": str(root)},
        overrides={"directory": ""},
        **more,
    )


async def test_what_the_near_registry_does_not_take(
    upstream: Upstream, sigstore: Sigstore, fake: FakeRegistry, tmp_path: Path
) -> None:
    """Comes along from its record, is judged there by the local policy, and lies in the registry that takes it."""
    fake.faults.append(
        Fault(
            "PUT .*/proxy/manifests/sha256.*", refusal(405, "UNSUPPORTED"), times=ALWAYS, skip=len(IMAGE.children) + 1
        )
    )
    near, file = _settings(upstream, sigstore, fake.host, tmp_path), tmp_path / "linkerd.tar"
    assert 0 == (await sync(near, TAG)).exit_code
    with fake_registry() as other:
        nowhere = {host: {"endpoint": "http://127.0.0.1:1"} for host in ("ghcr.io", "docker.io")}
        far = _settings(upstream, sigstore, other.host, tmp_path, registries=nowhere)
        packed = await export(near, file, TAG)
        brought = await bring(far, file)

        assert {TAG: f"{fake.host}/l5d"} == packed.origins
        assert isinstance(brought, SyncReport)
        assert ["signed", "signed"] == [each.verdict.state for each in only(brought).images if each.verdict]
        assert len(other.repositories["l5d/proxy"].manifests) > len(fake.repositories["l5d/proxy"].manifests)
        assert 0 == (await verify(far)).exit_code
