"""Small images, indexes and artifacts, made in memory; the same arguments give the same bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mirror.oci.blob import Body, Relay, Upload
from mirror.oci.content import Descriptor, Digest
from mirror.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Manifest
from mirror.oci.storage import Destination, Source

EMPTY = "application/vnd.oci.empty.v1+json"
_OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest with the bytes of its blobs, and what it lists, if it is an index."""

    manifest: Manifest
    blobs: Mapping[Digest, bytes] = field(default_factory=dict)
    children: tuple[Image, ...] = ()

    @property
    def digest(self) -> Digest:
        return self.manifest.digest

    def graph(self) -> Iterator[Image]:
        """Every manifest, children before parents."""
        for child in self.children:
            yield from child.graph()
        yield self


def image(
    *layers: bytes,
    platform: str = "linux/amd64",
    docker: bool = False,
    subject: Image | None = None,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    layout: str = "compact",
    algorithm: str = "sha256",
) -> Image:
    """An image with *layers*, any bytes; *layout* is how its JSON is written: compact, indented, odd."""
    os, _, architecture = platform.partition("/")
    config = {
        "architecture": architecture,
        "os": os,
        "config": {"Labels": dict(labels)} if labels else {},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer)) for layer in layers]},
    }
    config_type, layer_type = (_DOCKER_CONFIG, _DOCKER_LAYER) if docker else (_OCI_CONFIG, _OCI_LAYER)
    parts = [(config_type, json.dumps(config).encode()), *((layer_type, layer) for layer in layers)]
    entries = [_entry(kind, data, algorithm) for kind, data in parts]
    return _made(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
            "config": entries[0],
            "layers": entries[1:],
            **_subject(subject),
            **({"annotations": dict(annotations)} if annotations else {}),
        },
        [data for _, data in parts],
        layout=layout,
        algorithm=algorithm,
    )


def artifact(
    artifact_type: str,
    data: bytes = b"{}",
    *,
    subject: Image | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An artifact of *artifact_type* with one layer (image-spec v1.1 manifest.md #guidelines-for-artifact-usage)."""
    return _made(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": _entry(EMPTY, b"{}"),
            "layers": [_entry("application/octet-stream", data)],
            **_subject(subject),
            **({"annotations": dict(annotations)} if annotations else {}),
        },
        [b"{}", data],
    )


def index(
    *children: Image,
    platforms: Sequence[str] = (),
    docker: bool = False,
    subject: Image | None = None,
    annotations: Sequence[Mapping[str, str]] = (),
    layout: str = "compact",
) -> Image:
    """An index of *children*, with the *platforms* and *annotations* of their descriptors where given."""
    entries = []
    for at, child in enumerate(children):
        entry: dict[str, object] = {
            "mediaType": child.manifest.media_type,
            "digest": str(child.digest),
            "size": child.manifest.size,
        }
        if at < len(platforms):
            os, architecture, *variant = platforms[at].split("/")
            entry["platform"] = {"architecture": architecture, "os": os} | ({"variant": variant[0]} if variant else {})
        if at < len(annotations) and annotations[at]:
            entry["annotations"] = dict(annotations[at])
        entries.append(entry)
    kind = DOCKER_LIST if docker else OCI_INDEX
    made = _made({"schemaVersion": 2, "mediaType": kind, "manifests": entries, **_subject(subject)}, [], layout=layout)
    return Image(made.manifest, children=children)


def attested(child: Image) -> Image:
    """An attestation of *child* as BuildKit makes it; its descriptor needs `attestation_of(child)`."""
    return image(b"attestation of " + str(child.digest).encode(), platform="unknown/unknown")


def attestation_of(child: Image) -> dict[str, str]:
    """The annotations of the descriptor of an attestation of *child*."""
    return {
        "vnd.docker.reference.digest": str(child.digest),
        "vnd.docker.reference.type": "attestation-manifest",
    }


def multi_platform(text: str = "", *, docker: bool = False) -> Image:
    """An index of an amd64 and an arm64 image, which share a layer; *text* makes it another one."""
    shared = b"a layer that both platforms have " + text.encode()
    platforms = ("linux/amd64", "linux/arm64")
    children = [
        image(shared, f"only {platform} {text}".encode(), platform=platform, docker=docker) for platform in platforms
    ]
    return index(*children, platforms=platforms, docker=docker)


def blob(data: bytes, algorithm: str = "sha256") -> Descriptor:
    """What is promised of *data*."""
    return Descriptor("application/octet-stream", Digest.of(data, algorithm), len(data))


async def upload(repository: Destination, data: bytes, *, algorithm: str = "sha256") -> Descriptor:
    """Afterwards *repository* has *data* as a blob."""
    promise = blob(data, algorithm)
    await upload_as(repository, promise, data)
    return promise


async def upload_as(repository: Destination, promise: Descriptor, data: bytes) -> None:
    """Sends *data* as what *promise* says, unchecked."""
    started = await repository.start_upload(promise)
    assert started is not None

    def send() -> None:
        try:
            if data:
                started.write(memoryview(data))
            started.finish()
        except BaseException:
            started.abort()
            raise

    await asyncio.to_thread(send)


async def download(repository: Source, promise: Descriptor) -> bytes:
    """The bytes that *repository* has as *promise*, unchecked."""
    body = await repository.open_blob(promise)
    return await asyncio.to_thread(_read, body)


async def push(repository: Destination, what: Image, *, tag: str = "") -> bool:
    """Afterwards *repository* has *what*, all that is below it, and the tag; the answer of the last put_manifest."""
    linked = False
    for part in what.graph():
        for data in part.blobs.values():
            await upload(repository, data, algorithm=part.digest.algorithm)
        linked = await repository.put_manifest(part.manifest, tag=tag if part is what else "")
    return linked


def relay(body: Body, upload: Upload, promise: Descriptor, *, where: str, on_bytes: Callable[[int], None]) -> None:
    """A blob goes from *body* into *upload* at one go; given up if that fails."""
    under_way = Relay(promise, upload, where=where, on_bytes=on_bytes)
    try:
        under_way.go_on(body)
    except BaseException:
        under_way.give_up()
        raise
    finally:
        body.close()


def _read(body: Body) -> bytes:
    buffer, data = memoryview(bytearray(64 * 1024)), bytearray()
    try:
        while count := body.readinto(buffer):
            data += buffer[:count]
    finally:
        body.close()
    return bytes(data)


def _made(
    view: dict[str, object], parts: Sequence[bytes], *, layout: str = "compact", algorithm: str = "sha256"
) -> Image:
    match layout:
        case "compact":
            raw = json.dumps(view, separators=(",", ":")).encode()
        case "indented":
            raw = json.dumps(view, indent=3).encode() + b"\n"
        case _:
            raw = b" \n" + json.dumps(view, indent="\t", separators=(" , ", "  :\r\n")).encode() + b"\n\n "
    manifest = Manifest.parse(raw, where="a test", algorithm=algorithm)
    return Image(manifest, {Digest.of(data, algorithm): data for data in parts})


def _entry(media_type: str, data: bytes, algorithm: str = "sha256") -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(data, algorithm)), "size": len(data)}


def _subject(subject: Image | None) -> dict[str, object]:
    if subject is None:
        return {}
    manifest = subject.manifest
    return {"subject": {"mediaType": manifest.media_type, "digest": str(manifest.digest), "size": manifest.size}}
