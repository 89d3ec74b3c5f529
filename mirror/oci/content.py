"""Content: digests, descriptors, platforms, and bytes held to their promise.

Vocabulary of the OCI image specification 1.1 (descriptor.md): content is named by its *digest*, and a *descriptor*
promises a media type, a digest and a size. Bytes pass through `verified` or a `Hasher` before they are used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from mirror.errors import BadReference, ContentError, ManifestError

# image-spec v1.1 descriptor.md#registered-algorithms; blake3 is not in any registry we write to.
_HEX_LENGTH = {"sha256": 64, "sha512": 128}
SIZE_END = 2**63  # image-spec v1.1 descriptor.md#properties: size is an int64
_HEX = re.compile(r"[0-9a-f]+")
_WORD = re.compile(r"[A-Za-z0-9._-]*")


class Hasher(Protocol):
    """What hashlib makes."""

    def update(self, data: memoryview | bytes, /) -> None: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> Hasher: ...


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`ALGORITHM:HEX`, of a registered algorithm and the right length."""

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        if self.algorithm not in _HEX_LENGTH:
            raise BadReference(f"digest algorithm {self.algorithm!r} is not supported: use sha256 or sha512")
        if len(self.hex) != _HEX_LENGTH[self.algorithm] or not _HEX.fullmatch(self.hex):
            raise BadReference(f"{self.algorithm}:{self.hex[:140]} is not a digest: wrong length or characters")

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest that *text* spells; raises BadReference."""
        algorithm, colon, digits = text.partition(":")
        if not colon:
            raise BadReference(f"{text[:140]!r} is not a digest: expected sha256:… or sha512:…")
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of *data*."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def hasher(self) -> Hasher:
        """A fresh hash of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def fallback_tag(self, suffix: str = "") -> str:
        """The tag of what refers to this digest (distribution-spec v1.1 #referrers-tag-schema), cosign's with *suffix*.

        The specification truncates the algorithm to 32 and the encoded part to 64 characters.
        """
        return f"{self.algorithm[:32]}-{self.hex[:64]}{suffix}"

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and an architecture, with a variant where one matters (`linux/arm/v7`).

    Words as Go's GOOS and GOARCH (image-spec v1.1 image-index.md, platform); indexes are seen to leave them empty.
    """

    os: str
    architecture: str
    variant: str = ""

    def __post_init__(self) -> None:
        if not all(map(_WORD.fullmatch, (self.os, self.architecture, self.variant))):
            raise BadReference(f"{str(self)[:140]!r} is not a platform: expected words as linux, amd64 and v8")

    @classmethod
    def parse(cls, text: str) -> Platform:
        """The platform that `OS/ARCH[/VARIANT]` spells; raises BadReference."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(re.fullmatch(r"[a-z0-9._-]+", part) for part in parts):
            raise BadReference(f"{text!r} is not a platform: expected OS/ARCH or OS/ARCH/VARIANT, as linux/amd64")
        return cls(*parts)

    def covers(self, other: Platform) -> bool:
        """Whether *other* is this platform; a variant that is not asked for is not compared."""
        return (self.os, self.architecture) == (other.os, other.architecture) and self.variant in ("", other.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What is promised of some content; *size* in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    platform: Platform | None = None
    artifact_type: str = ""
    is_foreign: bool = False
    """The content lives outside of the registry (`urls`, nondistributable layers) and is not copied."""

    def __post_init__(self) -> None:
        if not 0 <= self.size < SIZE_END:
            raise ManifestError(f"{self.digest} is promised a size that is none ({str(self.size)[:30]})")


def verified(data: bytes, digest: Digest, *, where: str) -> bytes:
    """*data*, whose digest is *digest*; raises ContentError naming *where* it came from."""
    actual = Digest.of(data, digest.algorithm)
    if actual != digest:
        raise ContentError(f"{where}: the bytes of {digest} have the digest {actual}: the content is corrupt")
    return data
