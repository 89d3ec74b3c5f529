"""The embedded upstream: its release hangs together, and it answers as a registry does."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterator

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from mirror.demo import release as made
from mirror.demo.upstream import RELEASE, Upstream
from mirror.linkerd.chart import read_archive
from mirror.linkerd.images import release_images
from mirror.oci.content import Digest
from mirror.oci.manifest import Manifest, attestation_subject
from mirror.settings import Settings


@pytest.fixture(scope="module")
def built() -> made.Release:
    return made.build()


@pytest.fixture
def upstream(built: made.Release) -> Iterator[Upstream]:
    with Upstream(release=built) as running:
        yield running


@pytest.fixture
def client(upstream: Upstream) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{upstream.registry}", trust_env=False) as running:
        yield running


class TestRelease:
    def test_the_same_bytes_each_time(self, built: made.Release) -> None:
        """All but signatures, which are made with a new key: so digests can be written down."""
        again = made.build()

        assert built.archives == again.archives
        assert {name: built.repositories[name].tags[tag] for name, tag in made.TAGS.items()} == {
            name: again.repositories[name].tags[tag] for name, tag in made.TAGS.items()
        }

    def test_linkerds_own_images_are_signed(self, built: made.Release) -> None:
        """At cosign's tag, with the key that comes along; a third party's is not."""
        key = load_pem_public_key(built.public_key)
        assert isinstance(key, EllipticCurvePublicKey)
        for name, repository in built.repositories.items():
            signed = Digest.parse(repository.tags[made.TAGS[name]])
            tags = set(repository.tags) - {made.TAGS[name]}
            assert tags == (set() if name == made.THIRD_PARTY else {signed.fallback_tag(".sig")})
            for tag in tags:
                [layer] = json.loads(repository.manifests[repository.tags[tag]].raw)["layers"]
                payload = repository.blobs[layer["digest"]]
                signature = b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"])
                key.verify(signature, payload, ECDSA(SHA256()))
                assert str(signed) == json.loads(payload)["critical"]["image"]["docker-manifest-digest"]

    def test_images_are_whole(self, built: made.Release) -> None:
        """Two platforms, an attestation of each, every child and blob there with its digest."""
        for name, repository in built.repositories.items():
            digest = repository.tags[made.TAGS[name]]
            stored = repository.manifests[digest]
            index = Manifest.parse(stored.raw, stored.media_type, where=name)
            platforms = [child for child in index.children if attestation_subject(child) is None]
            subjects = {attestation_subject(child) for child in index.children} - {None}
            assert ["linux/amd64", "linux/arm64"] == [str(child.platform) for child in platforms]
            assert {child.digest for child in platforms} == subjects
            for child in index.children:
                inner = Manifest.parse(repository.manifests[str(child.digest)].raw, where=name)
                assert child.digest == inner.digest
                assert [len(repository.blobs[str(blob.digest)]) for blob in inner.blobs] == [
                    blob.size for blob in inner.blobs
                ]
            assert all(digest == str(Digest.of(data)) for digest, data in repository.blobs.items())

    def test_it_is_small_and_shares_layers(self, built: made.Release) -> None:
        """Around 6 MB, with one base layer of a platform for all first-party images."""
        each = [set(repository.blobs) for name, repository in built.repositories.items() if "linkerd/" in name]
        blobs = {
            digest: data for repository in built.repositories.values() for digest, data in repository.blobs.items()
        }

        assert len(made.PLATFORMS) == len(set.intersection(*each))
        assert 4_000_000 < sum(map(len, blobs.values())) < 8_000_000

    def test_the_charts_name_the_images(self, built: made.Release) -> None:
        """Exactly the repositories that there are, each with a values path for every part."""
        charts = [
            read_archive(
                data,
                name=file.removesuffix(f"-{made.CHART_VERSION}.tgz"),
                version=made.CHART_VERSION,
                sha256=hashlib.sha256(data).hexdigest(),
                where=file,
            )
            for file, data in built.archives.items()
        ]
        images = release_images(charts)

        expected = {
            f"{'cr.l5d.io/' if name != made.THIRD_PARTY else ''}{name}:{tag}" for name, tag in made.TAGS.items()
        }
        assert expected == {image.reference for image in images}
        assert {"cr.l5d.io/linkerd/debug:edge-26.1.1"} == {image.reference for image in images if image.is_optional}
        assert not any(image.is_hardcoded for image in images)
        assert all(control.registry and control.name and control.tag for image in images for control in image.controls)

    def test_the_index_is_one(self, built: made.Release) -> None:
        """As `helm repo index` writes it: version, digest, absolute URL, and no appVersion for the CRDs."""
        index = yaml.safe_load(built.index("http://h/edge"))

        assert "v1" == index["apiVersion"]
        assert {"linkerd-crds", "linkerd-control-plane", "linkerd-viz", "linkerd2-cni"} == set(index["entries"])
        for name, (entry,) in index["entries"].items():
            archive = built.archives[f"{name}-2026.1.1.tgz"]
            assert hashlib.sha256(archive).hexdigest() == entry["digest"]
            assert [f"http://h/edge/{name}-2026.1.1.tgz"] == entry["urls"]
            assert (None if name == "linkerd-crds" else RELEASE) == entry.get("appVersion")


class TestRegistry:
    def test_a_manifest(self, client: httpx.Client, built: made.Release) -> None:
        """By tag and by digest, GET and HEAD alike."""
        digest = built.repositories["linkerd/proxy"].tags[made.TAGS["linkerd/proxy"]]

        for version in (RELEASE, digest):
            got = client.get(f"/v2/linkerd/proxy/manifests/{version}")
            head = client.head(f"/v2/linkerd/proxy/manifests/{version}")
            assert digest == got.headers["docker-content-digest"] == str(Digest.of(got.content))
            assert "application/vnd.oci.image.index.v1+json" == got.headers["content-type"]
            assert (b"", got.headers["content-length"]) == (head.content, head.headers["content-length"])

    def test_a_blob_in_ranges(self, client: httpx.Client, built: made.Release) -> None:
        """A range is what it says; one past the end is 416."""
        digest, data = max(built.repositories["linkerd/proxy"].blobs.items(), key=lambda item: len(item[1]))
        path = f"/v2/linkerd/proxy/blobs/{digest}"

        assert data == client.get(path).content
        part = client.get(path, headers={"Range": "bytes=1000-"})
        assert (206, data[1000:]) == (part.status_code, part.content)
        assert f"bytes 1000-{len(data) - 1}/{len(data)}" == part.headers["content-range"]
        assert data[5:8] == client.get(path, headers={"Range": "bytes=5-7"}).content
        assert 416 == client.get(path, headers={"Range": f"bytes={len(data)}-"}).status_code

    def test_tags(self, client: httpx.Client) -> None:
        """Listed, and page by page when asked."""
        listed = client.get("/v2/linkerd/cni-plugin/tags/list").json()
        page = client.get("/v2/linkerd/cni-plugin/tags/list?n=1&last=t")

        assert "linkerd/cni-plugin" == listed["name"]
        assert ["sha256-", "v1.6.8"] == [tag[:7] for tag in listed["tags"]]
        assert ["v1.6.8"] == page.json()["tags"]
        assert "link" not in page.headers

    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/v2/linkerd/absent/manifests/x", 404, "NAME_UNKNOWN"),
            ("GET", "/v2/linkerd/proxy/manifests/x", 404, "MANIFEST_UNKNOWN"),
            ("GET", f"/v2/linkerd/proxy/blobs/sha256:{'0' * 64}", 404, "BLOB_UNKNOWN"),
            ("GET", f"/v2/linkerd/proxy/referrers/sha256:{'0' * 64}", 404, "UNSUPPORTED"),
            ("POST", "/v2/linkerd/proxy/blobs/uploads/", 405, "UNSUPPORTED"),
            ("GET", "/edge/absent.tgz", 404, "NOT_FOUND"),
        ],
    )
    def test_what_is_not_there(self, client: httpx.Client, method: str, path: str, status: int, code: str) -> None:
        """An error of the specification's form."""
        response = client.request(method, path)

        assert status == response.status_code
        assert code == response.json()["errors"][0]["code"]

    def test_charts(self, client: httpx.Client, upstream: Upstream, built: made.Release) -> None:
        """The index and the archives, with an ETag that spares the second read."""
        index = client.get(f"{upstream.charts}/index.yaml")
        (entry,) = yaml.safe_load(index.content)["entries"]["linkerd-viz"]

        assert built.archives["linkerd-viz-2026.1.1.tgz"] == client.get(entry["urls"][0]).content
        again = client.get(f"{upstream.charts}/index.yaml", headers={"If-None-Match": index.headers["etag"]})
        assert (304, b"") == (again.status_code, again.content)

    def test_tampering_until_told_to_stop(self, built: made.Release) -> None:
        """One layer of one repository is altered, by one byte, and by no more than that."""
        with (
            Upstream(tamper="linkerd/proxy", release=built) as upstream,
            httpx.Client(base_url=f"http://{upstream.registry}", trust_env=False) as client,
        ):
            blobs = [(name, blob) for name, stored in built.repositories.items() for blob in stored.blobs]
            wrong = [(n, b) for n, b in blobs if b != str(Digest.of(client.get(f"/v2/{n}/blobs/{b}").content))]
            upstream.stop_tampering()
            after = [(n, b) for n, b in wrong if b != str(Digest.of(client.get(f"/v2/{n}/blobs/{b}").content))]

        assert [("linkerd/proxy", built.repositories["linkerd/proxy"].own_layer)] == wrong
        assert [] == after

    def test_its_configuration_is_one(self, upstream: Upstream) -> None:
        """The settings that put it in the place of the real upstream load."""
        settings = Settings.model_validate(json.loads(json.dumps(upstream.configuration)))

        assert f"http://{upstream.registry}" == settings.registry("ghcr.io").endpoint
        assert upstream.charts == settings.channels["edge"].chart_repository
