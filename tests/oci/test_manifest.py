"""Manifests of both families, read from bytes that anybody may have written."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import ManifestError
from mirror.oci.content import Digest, Platform
from mirror.oci.manifest import (
    CHILDREN_MAX,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    LAYERS_MAX,
    NESTING_MAX,
    OCI_INDEX,
    OCI_MANIFEST,
    SIZE_MAX,
    Manifest,
    attestation_subject,
    is_restriction,
    restricted,
)
from tests.content import EMPTY, Image, artifact, attestation_of, attested, image, index, multi_platform

_PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")


def _parse(view: object, media_type: str = "") -> Manifest:
    return Manifest.parse(json.dumps(view).encode(), media_type, where="ghcr.io/linkerd/proxy:v1")


def _entry(**changes: object) -> dict[str, Any]:
    return {"mediaType": "a/b", "digest": str(Digest.of(b"")), "size": 0, **changes}


def _view(**changes: object) -> dict[str, Any]:
    view = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": _entry(), "layers": [], **changes}
    return {key: value for key, value in view.items() if value is not None}


@pytest.mark.parametrize("layout", ["compact", "indented", "odd"])
def test_the_bytes_are_kept(layout: str) -> None:
    """A manifest is its bytes, however they are written."""
    what = image(b"a layer", layout=layout).manifest

    assert what == Manifest.parse(what.raw, where="here")
    assert Digest.of(what.raw) == what.digest


@pytest.mark.parametrize(
    ("docker", "kinds"), [(False, (OCI_INDEX, OCI_MANIFEST)), (True, (DOCKER_LIST, DOCKER_MANIFEST))]
)
def test_both_families(docker: bool, kinds: tuple[str, str]) -> None:
    """An index has children, an image blobs."""
    what = multi_platform(docker=docker)
    child = what.children[0]

    assert kinds == (what.manifest.media_type, child.manifest.media_type)
    assert (True, False) == (what.manifest.is_index, child.manifest.is_index)
    assert [part.digest for part in what.children] == [part.digest for part in what.manifest.children]
    assert set(child.blobs) == {blob.digest for blob in child.manifest.blobs}
    assert () == what.manifest.blobs
    assert Platform("linux", "amd64") == what.manifest.children[0].platform


def test_each_blob_once() -> None:
    """Also where layers repeat, or are the config."""
    twice = image(b"same", b"same").manifest

    assert 2 == len(twice.blobs)
    assert 1 == len(artifact("a/b", b"{}").manifest.blobs)


def test_foreign_layers_are_left_out() -> None:
    """They live outside of the registry."""
    foreign = _entry(
        mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", digest=str(Digest.of(b"foreign"))
    )
    what = _parse(_view(layers=[foreign, _entry(digest=str(Digest.of(b"own")))]))

    assert [Digest.of(b""), Digest.of(b"own")] == [blob.digest for blob in what.blobs]


def test_a_subject_is_read() -> None:
    """Of an artifact, and of an index."""
    subject = image(b"a layer")

    assert subject.digest == artifact("a/b", subject=subject).manifest.subject
    assert subject.digest == index(image(b"other"), subject=subject).manifest.subject
    assert subject.manifest.subject is None


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (artifact("application/vnd.example"), "application/vnd.example"),
        (image(b""), "application/vnd.oci.image.config.v1+json"),
        (index(image(b"")), ""),
    ],
    ids=["artifactType", "config", "index"],
)
def test_the_type_of_an_artifact(what: Image, kind: str) -> None:
    """By artifactType, else by the config's media type (image-spec v1.1 manifest.md)."""
    assert kind == what.manifest.artifact_type == what.manifest.descriptor.artifact_type


def test_annotations_are_pulled_up() -> None:
    """Into the descriptor, for a list of referrers."""
    what = artifact("a/b", annotations={"by": "us"}).manifest

    assert {"by": "us"} == dict(what.descriptor.annotations)
    assert (what.digest, what.size) == (what.descriptor.digest, what.descriptor.size)


def test_the_empty_config_is_a_blob() -> None:
    """It must be in the repository as any other."""
    assert EMPTY == artifact("a/b", b"data").manifest.blobs[0].media_type


@pytest.mark.parametrize(
    ("view", "header", "kind"),
    [
        (_view(mediaType=None), "", OCI_MANIFEST),
        (_view(mediaType=None), "application/json", OCI_MANIFEST),
        (_view(mediaType=None), f"{DOCKER_MANIFEST}; charset=utf-8", DOCKER_MANIFEST),
        (_view(), DOCKER_MANIFEST, OCI_MANIFEST),
        ({"schemaVersion": 2, "manifests": []}, "", OCI_INDEX),
        ({"schemaVersion": 2, "manifests": []}, DOCKER_LIST, DOCKER_LIST),
        ({"schemaVersion": 2, "mediaType": OCI_INDEX}, "", OCI_INDEX),
        ({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": None}, "", OCI_INDEX),
    ],
)
def test_the_media_type_is_the_manifests_own(view: dict[str, Any], header: str, kind: str) -> None:
    """Else the header's, else what its form says."""
    assert kind == _parse(view, header).media_type


@pytest.mark.parametrize(
    ("view", "header"),
    [
        ({"schemaVersion": 1, "fsLayers": [], "history": []}, ""),
        ({"fsLayers": []}, "application/vnd.docker.distribution.manifest.v1+json"),
        ({"schemaVersion": 1}, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ({"schemaVersion": 1, "mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST),
    ],
)
def test_schema_1_is_refused_by_name(view: dict[str, Any], header: str) -> None:
    """Its digest is not that of its bytes."""
    with pytest.raises(ManifestError, match=r"ghcr\.io/linkerd/proxy:v1: this is a Docker schema 1 manifest"):
        _parse(view, header)


@pytest.mark.parametrize(
    "view",
    [
        _view(manifests=[]),
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "layers": []},
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "config": _entry()},
        {"schemaVersion": 2, "manifests": [], "config": _entry(), "layers": []},
    ],
    ids=["an image with manifests", "an index with layers", "an index with a config", "no type, both"],
)
def test_an_index_that_is_an_image_is_refused(view: dict[str, Any]) -> None:
    """Two readers would see two things in it."""
    with pytest.raises(ManifestError, match="both an index and an image"):
        _parse(view)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"schemaVersion": 2, "mediaType": "text/html"}',
        b'{"schemaVersion": 2, "mediaType": ["x"], "config": {}}',
        b'{"schemaVersion": 2, "mediaType": {"a": 1}}',
        b'{"config": 5}',
        b'{"manifests": [5]}',
        b'{"manifests": {}}',
        json.dumps(_view(config=None)).encode(),
        json.dumps(_view(config=_entry(digest="sha256:0"))).encode(),
        json.dumps(_view(config=_entry(size="5"))).encode(),
        json.dumps(_view(config=_entry(size=True))).encode(),
        json.dumps(_view(config=_entry(size=-5))).encode(),
        json.dumps(_view(config=_entry(size=2**63))).encode(),
        json.dumps(_view(config=_entry(size=1.5))).encode(),
        json.dumps(_view(config=_entry(mediaType=5))).encode(),
        json.dumps(_view(config=_entry(annotations=["x"]))).encode(),
        json.dumps(_view(layers="layers")).encode(),
        json.dumps(_view(subject="x")).encode(),
        json.dumps(_view(subject={"digest": 5})).encode(),
        json.dumps(_view(annotations="x")).encode(),
        json.dumps(_view(config=_entry(platform="linux"))).encode(),
        json.dumps(_view(config=_entry(platform={"os": "linux", "architecture": "\ud800"}))).encode(),
        json.dumps(_view(config=_entry(platform={"os": "\x1b[2J", "architecture": "amd64"}))).encode(),
        b'{"schemaVersion": 2, "config": {"digest": "x", "size": ' + b"9" * 10_000 + b"}}",
    ],
)
def test_what_is_no_manifest(raw: bytes) -> None:
    """The error says where it came from."""
    with pytest.raises(ManifestError, match=r"ghcr\.io/linkerd/proxy:v1"):
        Manifest.parse(raw, where="ghcr.io/linkerd/proxy:v1")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_DESCRIPTORS = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.just("a/b") | _JSON,
        "digest": st.just(str(Digest.of(b""))) | _JSON,
        "size": st.just(0) | _JSON,
        "platform": st.just({"os": "linux", "architecture": "amd64"}) | _JSON,
        "annotations": _JSON,
        "artifactType": _JSON,
    },
)
_VIEWS = st.fixed_dictionaries(
    {},
    optional={
        "schemaVersion": st.just(2) | _JSON,
        "mediaType": st.sampled_from([OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST]) | _JSON,
        "config": _DESCRIPTORS | _JSON,
        "layers": st.lists(_DESCRIPTORS, max_size=3) | _JSON,
        "manifests": st.lists(_DESCRIPTORS, max_size=3) | _JSON,
        "subject": _DESCRIPTORS | _JSON,
        "annotations": _JSON,
        "artifactType": _JSON,
    },
)


@given(_VIEWS, st.sampled_from(["", OCI_INDEX, DOCKER_MANIFEST, "text/html"]))
def test_any_json_is_a_manifest_or_an_error(view: dict[str, Any], header: str) -> None:
    """Nothing but a ManifestError comes out, also of what is made from it."""
    with contextlib.suppress(ManifestError):
        what = _parse(view, header)

        assert what.digest == what.descriptor.digest
        restricted(what, [Platform("linux", "amd64")], where="here")


@given(st.binary())
def test_any_bytes_are_a_manifest_or_an_error(raw: bytes) -> None:
    """Nothing but a ManifestError comes out."""
    with contextlib.suppress(ManifestError):
        Manifest.parse(raw, where="here")


def test_everything_is_bounded() -> None:
    """The size, the children, the layers and the depth of a manifest."""
    with pytest.raises(ManifestError, match="larger"):
        Manifest.parse(b" " * (SIZE_MAX + 1), where="here")
    with pytest.raises(ManifestError, match="at most"):
        _parse({"mediaType": OCI_INDEX, "manifests": [_entry()] * (CHILDREN_MAX + 1)})
    with pytest.raises(ManifestError, match="at most"):
        _parse(_view(layers=[_entry()] * (LAYERS_MAX + 1)))
    with pytest.raises(ManifestError, match="nests deeper"):
        _parse({"mediaType": OCI_INDEX, "manifests": [], "x": _nested(NESTING_MAX)})
    assert CHILDREN_MAX == len(_parse({"mediaType": OCI_INDEX, "manifests": [_entry()] * CHILDREN_MAX}).children)
    assert _parse({"mediaType": OCI_INDEX, "x": _nested(NESTING_MAX - 1)}).is_index


def _nested(depth: int) -> list[Any]:
    return [_nested(depth - 1)] if depth > 1 else []


# The platform filter


@pytest.fixture
def released() -> Image:
    """Three platforms, each with an attestation, as BuildKit makes them."""
    children = [image(platform.encode(), platform=platform) for platform in _PLATFORMS]
    return index(
        *children,
        *map(attested, children),
        platforms=[*_PLATFORMS, *["unknown/unknown"] * 3],
        annotations=[{}, {}, {}, *map(attestation_of, children)],
        layout="odd",
    )


def _digests(what: Manifest) -> list[Digest]:
    return [child.digest for child in what.children]


def test_a_restricted_index_keeps_its_attestations(released: Image) -> None:
    """Those of the platforms that are kept, and no others, in order."""
    before = _digests(released.manifest)

    kept = restricted(released.manifest, [Platform("linux", "arm64")], where="here")

    assert [before[1], before[4]] == _digests(kept)
    assert attestation_subject(kept.children[1]) == before[1]
    assert kept.digest == Digest.of(kept.raw) != released.digest
    assert released.manifest.media_type == kept.media_type


def test_a_restricted_index_is_the_same_every_time(released: Image) -> None:
    """Its digest depends on nothing but the index and the platforms, in whatever order."""
    amd64, arm64 = Platform("linux", "amd64"), Platform("linux", "arm64")

    one = restricted(released.manifest, [amd64, arm64], where="here")
    other = restricted(released.manifest, [arm64, amd64], where="there")

    assert one == other
    assert one == restricted(one, [amd64, arm64], where="here")


def test_a_filter_that_drops_nothing_changes_nothing(released: Image) -> None:
    """The bytes are upstream's, odd whitespace and all."""
    wanted = [Platform.parse(text) for text in ("linux/amd64", "linux/arm64", "linux/arm")]

    assert released.manifest is restricted(released.manifest, wanted, where="here")
    assert released.manifest is restricted(released.manifest, [], where="here")


def test_an_image_is_not_filtered() -> None:
    """It has one platform, whatever is asked."""
    what = image(b"a layer").manifest

    assert what is restricted(what, [Platform("linux", "arm64")], where="here")


def test_no_platform_left(released: Image) -> None:
    """The error says what was asked for, and what there is."""
    with pytest.raises(ManifestError, match=r"linux/s390x.*linux/amd64, linux/arm/v7, linux/arm64"):
        restricted(released.manifest, [Platform("linux", "s390x")], where="here")


def test_what_else_the_index_says_is_kept() -> None:
    """Annotations, subject and unknown keys travel."""
    view = json.loads(index(image(b"1"), image(b"2"), platforms=_PLATFORMS[:2], subject=image(b"3")).manifest.raw)
    view |= {"annotations": {"by": "us"}, "unknown": [1, None]}

    kept = json.loads(restricted(_parse(view), [Platform("linux", "amd64")], where="here").raw)

    assert {**view, "manifests": view["manifests"][:1]} == kept


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        {"vnd.docker.reference.type": "attestation-manifest"},
        {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": "nonsense"},
        {"vnd.docker.reference.digest": str(Digest.of(b""))},
    ],
)
def test_what_is_no_attestation(annotations: dict[str, str]) -> None:
    """Without both marks, or with one that cannot be read."""
    what = index(image(b"a layer"), annotations=[annotations]).manifest

    assert attestation_subject(what.children[0]) is None


@pytest.mark.parametrize("wanted", [["linux/amd64"], ["linux/arm64", "linux/amd64"], list(_PLATFORMS)])
def test_what_a_filter_makes_is_a_restriction(released: Image, wanted: list[str]) -> None:
    """Of the index that it was made of, and of no other."""
    kept = restricted(released.manifest, [Platform.parse(each) for each in wanted], where="here")

    assert is_restriction(kept, released.manifest)
    assert not is_restriction(kept, multi_platform("another").manifest)


@pytest.mark.parametrize(
    "change",
    [
        {"manifests": [_entry()]},
        {"manifests": []},
        {"annotations": {"a": "b"}},
        {"mediaType": DOCKER_LIST},
        {"more": 1},
    ],
    ids=["a child of its own", "no child", "annotations", "another type", "another key"],
)
def test_what_changes_anything_else_is_none(released: Image, change: dict[str, Any]) -> None:
    """An index is signed as it is, not for its children alone."""
    assert not is_restriction(_parse(json.loads(released.manifest.raw) | change), released.manifest)


def test_a_child_that_is_described_otherwise(released: Image) -> None:
    """Is another child: its platform decides what runs it."""
    view = json.loads(released.manifest.raw)
    view["manifests"][0]["platform"] = {"os": "linux", "architecture": "s390x"}

    assert not is_restriction(_parse(view), released.manifest)


def test_an_index_without_children_has_none(released: Image) -> None:
    """Be it that it lists none, or lacks the list."""
    for empty in ({"manifests": None}, {"manifests": []}):
        whole = json.loads(released.manifest.raw) | empty

        assert not is_restriction(released.manifest, _parse(whole))


def test_one_image_is_no_restriction(released: Image) -> None:
    """Nor is it made of one."""
    child = released.children[0].manifest

    assert not is_restriction(child, released.manifest)
    assert not is_restriction(released.manifest, child)
