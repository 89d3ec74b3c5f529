"""Synthetic releases, the same bytes on every machine, stored where a docker-registry has its files.

    python -m tests.bench.release --root DIRECTORY --tag edge-26.1.1 --generation 1 --out INVENTORY

A *full* image has the shape of Linkerd's: three platforms; OCI indexes with attestations for what BuildKit makes,
Docker manifest lists for the rest; layer counts and sizes like the real ones (distroless images really are a dozen
tiny layers).
Of generation 2, base layers and the layers that do not change are those of generation 1.
A *small* image is one platform with one layer of its own.
Layers are random bytes: nobody unpacks them, and they do not compress.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.content import Image, attestation_of, attested, image, index

K, M = 1_000, 1_000_000
PREFIX = "linkerd"
PLATFORMS = ("linux/amd64", "linux/arm64/v8", "linux/arm/v7")
UNKNOWN = "unknown/unknown"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of each platform; one that *changes* differs in each generation, a *shared* one is many images' base."""

    name: str
    size: int
    changes: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """What an image is made of."""

    layers: tuple[Layer, ...]
    docker: bool = False
    """A Docker manifest list without attestations, not an OCI index with them."""


_DISTROLESS = tuple(
    Layer(f"static{at}", size, shared=True)
    for at, size in enumerate([104 * K, 21 * K, 700, 2400, 300 * K, 130, 200, 110, 400, 90, 270 * K])
)
_ALPINE = (Layer("alpine", 3_600 * K, shared=True), Layer("iptables", 2_200 * K, shared=True))


def _distroless(*layers: Layer) -> Shape:
    return Shape((*_DISTROLESS, *layers))


def _binary(size: int, *, changes: bool = True) -> Layer:
    return Layer("binary", size, changes=changes)


SHAPES = {
    "controller": _distroless(_binary(33_500 * K), Layer("licenses", 700 * K)),
    "policy-controller": _distroless(_binary(11_200 * K)),
    "proxy": _distroless(
        Layer("libc", 5_900 * K, shared=True),
        Layer("openssl", 2 * M, shared=True),
        Layer("proxy", 12_500 * K, changes=True),
        Layer("identity", 800 * K, changes=True),
    ),
    "proxy-init": Shape((*_ALPINE, _binary(2_200 * K, changes=False)), docker=True),
    "cni-plugin": Shape((*_ALPINE, Layer("jq", 1_200 * K), _binary(28 * M, changes=False)), docker=True),
    "debug": Shape(
        (
            Layer("debian-slim", 28 * M, shared=True),
            Layer("packages", 45 * M),
            Layer("scripts", 2 * M, changes=True),
        ),
        docker=True,
    ),
    "metrics-api": _distroless(_binary(17_200 * K)),
    "tap": _distroless(_binary(17_200 * K)),
    "web": _distroless(
        _binary(16_200 * K), Layer("templates", 500 * K, changes=True), Layer("assets", 2_500 * K, changes=True)
    ),
    "jaeger-webhook": _distroless(_binary(14_200 * K, changes=False)),
    "extension-init": _distroless(_binary(4_200 * K, changes=False)),
}
"""Every image of a release by its name."""

Make = Callable[[str, str], Image]
"""The image of a name and a tag."""


def full(name: str, tag: str, *, generation: int) -> Image:
    """An image in Linkerd's size."""
    shape = SHAPES[name]
    children = [_platform(name, tag, platform, generation) for platform in PLATFORMS]
    if shape.docker:
        return index(*children, platforms=PLATFORMS, docker=True)
    return index(
        *children,
        *map(attested, children),
        platforms=(*PLATFORMS, *(UNKNOWN for _ in children)),
        annotations=[*({} for _ in children), *map(attestation_of, children)],
    )


def small(name: str, tag: str) -> Image:
    """An image of a few hundred bytes; it has one base layer in common with all others."""
    child = image(b"a base layer", f"{name} {tag}".encode(), labels={"version": tag})
    return index(child, platforms=PLATFORMS[:1])


def _platform(name: str, tag: str, platform: str, generation: int) -> Image:
    shape = SHAPES[name]
    layers = [
        _noise(
            f"{'base' if layer.shared else name}/{layer.name}/{platform}/{generation if layer.changes else 0}",
            layer.size,
        )
        for layer in shape.layers
    ]
    return image(*layers, platform=platform, docker=shape.docker, labels={"version": tag})


def _noise(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a faithful copy of one release holds: in each repository the digest of its tag, and of what that lists."""

    tag: str
    repositories: dict[str, str]
    children: dict[str, list[str]]

    @classmethod
    def load(cls, path: Path) -> Inventory:
        """The one that was written to *path*."""
        return cls(**json.loads(path.read_text()))


def store(root: Path, tag: str, make: Make) -> Inventory:
    """Every image of the release is in the docker-registry whose files are in *root*."""
    inventory = Inventory(tag, {}, {})
    for name in SHAPES:
        made = make(name, tag)
        _store(root / "docker/registry/v2", f"{PREFIX}/{name}", made, tag)
        inventory.repositories[name] = str(made.digest)
        inventory.children[name] = [str(child.digest) for child in made.children]
    return inventory


def _store(root: Path, repository: str, made: Image, tag: str) -> None:
    """What pushing *made* would leave in *root* (github.com/distribution/distribution v2.8, storage/paths.go)."""
    here = root / "repositories" / repository
    for part in made.graph():
        for digest, data in [*part.blobs.items(), (part.digest, part.manifest.raw)]:
            _write(root / f"blobs/sha256/{digest.hex[:2]}/{digest.hex}/data", data)
        for digest in part.blobs:
            _write(here / f"_layers/sha256/{digest.hex}/link", str(digest).encode())
        _write(here / f"_manifests/revisions/sha256/{part.digest.hex}/link", str(part.digest).encode())
    tagged = here / f"_manifests/tags/{tag}"
    for link in (tagged / "current/link", tagged / f"index/sha256/{made.digest.hex}/link"):
        _write(link, str(made.digest).encode())


def _write(path: Path, data: bytes) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="where the registry has its files")
    parser.add_argument("--tag", required=True)
    parser.add_argument("--generation", type=int, choices=(1, 2), required=True)
    parser.add_argument("--out", type=Path, required=True, help="where the inventory is written to")
    arguments = parser.parse_args()
    inventory = store(arguments.root, arguments.tag, functools.partial(full, generation=arguments.generation))
    arguments.out.write_text(json.dumps(asdict(inventory)))


if __name__ == "__main__":
    main()
