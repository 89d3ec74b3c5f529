"""What other people's tools make of what we wrote."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror.demo.release import RELEASE, TAGS, THIRD_PARTY, StoredRepository
from mirror.demo.upstream import Upstream
from mirror.oci.content import Digest
from mirror.oci.manifest import Manifest
from tests.e2e.conftest import Start
from tests.servers.distribution import Distribution
from tests.servers.tools import absent, require


@pytest.fixture(scope="module")
def demo() -> Iterator[Upstream]:
    """A release whose layers are real archives."""
    with Upstream() as running:
        yield running


@pytest.fixture
def configuration(demo: Upstream, tmp_path: Path) -> dict[str, Any]:
    """Its registries, and the key that it is signed with."""
    key = tmp_path / "cosign.pub"
    key.write_bytes(demo.release.public_key)
    return demo.configuration | {"policy": {"identities": [{"images": "ghcr.io/linkerd/*", "key": str(key)}]}}


@pytest.fixture
def in_registry(configuration: dict[str, Any], open_distribution: Distribution, path: str, start: Start) -> str:
    """`HOST/PREFIX` of a mirror of it."""
    place = f"{open_distribution.host}/{path}"
    sync(configuration, start, place)
    return place


def sync(configuration: dict[str, Any], start: Start, to: str) -> None:
    with start(configuration, "sync", RELEASE, "--to", to) as process:
        _, err = process.communicate(timeout=60)
    assert 0 == process.returncode, err


def digest_of(demo: Upstream, name: str) -> str:
    return demo.release.repositories[name].tags[TAGS[name]]


class TestSkopeo:
    def test_it_reads_the_mirrors_tags(self, demo: Upstream, in_registry: str) -> None:
        """Every image, at upstream's digest; `latest` is not needed."""
        skopeo = require("skopeo")
        for name, tag in TAGS.items():
            target = f"docker://{in_registry}/{name.rpartition('/')[2]}:{tag}"
            told = json.loads(_said(skopeo, "inspect", "--tls-verify=false", "--no-tags", target))

            assert digest_of(demo, name) == told["Digest"]
            assert "amd64" == told["Architecture"]
            assert 2 == len(told["Layers"])

    def test_it_copies_out_of_the_mirror(self, in_registry: str, tmp_path: Path) -> None:
        """All platforms, blobs and all, digests held."""
        skopeo = require("skopeo")
        _said(
            skopeo,
            *("copy", "--all", "--src-tls-verify=false", f"docker://{in_registry}/proxy:{RELEASE}"),
            f"dir:{tmp_path / 'proxy'}",
        )

        assert 4 + 2 + 4 + 4 <= len(list((tmp_path / "proxy").iterdir()))

    def test_it_reads_the_layout(
        self, demo: Upstream, configuration: dict[str, Any], start: Start, tmp_path: Path
    ) -> None:
        """By NAME:TAG."""
        skopeo = require("skopeo")
        sync(configuration, start, "oci:out")
        for name, tag in TAGS.items():
            told = json.loads(_said(skopeo, "inspect", "--raw", f"oci:{tmp_path / 'out'}:{name.split('/')[-1]}:{tag}"))

            assert 4 == len(told["manifests"])
        _said(
            skopeo,
            *("copy", "--all", f"oci:{tmp_path / 'out'}:web:{RELEASE}", f"oci:{tmp_path / 'copy'}:web"),
        )
        index = json.loads((tmp_path / "copy" / "index.json").read_text())
        assert digest_of(demo, "linkerd/web") == index["manifests"][0]["digest"]


class TestContainerd:
    @pytest.fixture
    def ctr(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
        """`ctr` with a containerd of its own."""
        containerd, ctr = require("containerd"), require("ctr")
        if os.geteuid():
            absent("containerd runs as root only")
        directory = tmp_path_factory.mktemp("containerd")
        address = directory / "containerd.sock"
        config = directory / "config.toml"
        config.write_text(
            "version = 2\n"
            f"root = {json.dumps(str(directory / 'root'))}\n"
            f"state = {json.dumps(str(directory / 'state'))}\n"
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f"[grpc]\n  address = {json.dumps(str(address))}\n"
        )
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen([containerd, "--config", str(config)], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 20
            while not address.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert address.exists(), (directory / "log").read_text()[-2000:]
            yield [ctr, "--address", str(address), "--namespace", "mirror-test"]
        finally:
            process.terminate()
            process.wait(20)

    def test_it_pulls_by_the_mirrors_name(self, demo: Upstream, in_registry: str, ctr: list[str]) -> None:
        """By tag and digest, as the values pin it: its own platform is unpacked, every blob of every other arrives."""
        digest = digest_of(demo, "linkerd/proxy")
        reference = f"{in_registry}/proxy:{RELEASE}@{digest}"
        _said(*ctr, "images", "pull", "--plain-http", "--snapshotter", "native", reference)
        _said(*ctr, "content", "fetch", "--plain-http", "--all-platforms", reference)
        listed = _said(*ctr, "content", "ls", "--quiet").split()

        stored = demo.release.repositories["linkerd/proxy"]
        evidence = stored.tags[Digest.parse(digest).fallback_tag(".sig")]
        graph = {digest, *stored.manifests, *stored.blobs} - {evidence, *_blobs_of(stored, evidence)}
        assert set() == graph - set(listed)
        images = _said(*ctr, "images", "ls").splitlines()
        assert any(reference in line and digest in line for line in images)

    def test_it_finds_what_values_do_not_reach(
        self,
        demo: Upstream,
        configuration: dict[str, Any],
        open_distribution: Distribution,
        path: str,
        start: Start,
        ctr: list[str],
        tmp_path: Path,
    ) -> None:
        """By upstream's own name, where hosts.toml says that a mirror with paths = "upstream" stands for its host."""
        destination = {"kind": "registry", "registry": open_distribution.host, "prefix": path, "paths": "upstream"}
        nodes = configuration | {"destinations": {"nodes": destination}}
        hosts = tmp_path / "certs.d"
        for command in (["sync"], ["overrides", "--format", "containerd", "-d", str(hosts)]):
            with start(nodes, command[0], RELEASE, *command[1:]) as process:
                _, err = process.communicate(timeout=60)
            assert 0 == process.returncode, err
        for file in hosts.glob("*/hosts.toml"):  # so that nothing comes from upstream
            file.write_text(f'server = "http://127.0.0.1:1"\n{file.read_text()}')
        named = {f"docker.io/{THIRD_PARTY}": THIRD_PARTY, "cr.l5d.io/linkerd/web": "linkerd/web"}
        for name, stored in named.items():
            reference = f"{name}:{TAGS[stored]}"
            _said(*ctr, "images", "pull", "--hosts-dir", str(hosts), "--snapshotter", "native", reference)

            [image] = [line for line in _said(*ctr, "images", "ls").splitlines() if line.startswith(reference)]
            assert digest_of(demo, stored) in image


class TestCosign:
    def test_it_verifies_what_is_in_the_mirror(self, demo: Upstream, in_registry: str, tmp_path: Path) -> None:
        """Every image that is signed, by the mirror's name and with nothing but the key."""
        cosign = require("cosign")
        (tmp_path / "signer.pub").write_bytes(demo.release.public_key)
        signed = [name for name in TAGS if name != THIRD_PARTY]
        for name in signed:
            image = f"{in_registry}/{name.rpartition('/')[2]}:{TAGS[name]}"
            key = ("--key", str(tmp_path / "signer.pub"), "--insecure-ignore-tlog", "--offline")
            [told] = json.loads(_said(cosign, "verify", *key, "--allow-http-registry", image))

            assert digest_of(demo, name) == told["critical"]["image"]["docker-manifest-digest"]


def _blobs_of(stored: StoredRepository, digest: str) -> set[str]:
    return {str(blob.digest) for blob in Manifest.parse(stored.manifests[digest].raw, where="the demo").blobs}


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert 0 == done.returncode, done.stderr
    return done.stdout
