"""References: where an image is, by repository and tag or digest.

The grammar is that of the distribution specification v1.1 (#pulling-manifests); what may be left out (host,
`library/`) is filled in as Docker does (distribution/reference, normalize.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mirror.errors import BadReference
from mirror.oci.content import Digest

DOCKER_HUB = "docker.io"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(
    r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)"
    r"(?::[0-9]{1,5})?"
)
_LENGTH_MAX = 255  # of host and path together (distribution/reference, reference.go)


def is_tag(text: object) -> bool:
    """Whether *text* is a tag by the grammar."""
    return isinstance(text, str) and _TAG.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository at a host: `HOST/PATH`."""

    host: str
    path: str

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise BadReference(f"{self.host[:_LENGTH_MAX]!r} is not a registry host")
        if not _PATH.fullmatch(self.path) or len(self.host) + 1 + len(self.path) > _LENGTH_MAX:
            raise BadReference(
                f"{self.path[:_LENGTH_MAX]!r} is not a repository name (lower case letters, digits, . _ - and /)"
            )

    @classmethod
    def parse(cls, text: str) -> Repository:
        """The repository that *text* names, Docker Hub's rules for a missing host and `library/` applied."""
        first, slash, rest = text.partition("/")
        is_host = bool(slash) and (
            first == "localhost" or any(mark in first for mark in ".:") or first != first.lower()
        )
        host, path = (first, rest) if is_host else (DOCKER_HUB, text)
        host = DOCKER_HUB if host == "index.docker.io" else host
        if host == DOCKER_HUB and "/" not in path:
            path = f"library/{path}"
        return cls(host, path)

    @property
    def name(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]

    def tagged(self, tag: str) -> Reference:
        """This repository at *tag*."""
        return Reference(self, tag)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A repository with a tag, a digest, or both; a digest wins over the tag when content is read."""

    repository: Repository
    tag: str = ""
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if self.tag and not is_tag(self.tag):
            raise BadReference(f"{self.tag[:_LENGTH_MAX]!r} is not a tag (letters, digits, . _ -; at most 128)")
        if not self.tag and self.digest is None:
            raise BadReference(f"{self.repository} has neither a tag nor a digest")

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference that *text* spells, `latest` where it has neither tag nor digest; raises BadReference."""
        try:
            name, at, digest = text.partition("@")
            head, colon, tag = name.rpartition(":")
            if not colon or not tag or "/" in tag:  # no colon, that of a port, or a last one, which no name may have
                head, tag = name, ""
            return cls(
                Repository.parse(head),
                tag or ("" if at else "latest"),
                Digest.parse(digest) if at else None,
            )
        except BadReference as exc:
            raise BadReference(f"{text[:300]!r} is not an image reference: {exc}") from exc

    @property
    def version(self) -> str | Digest:
        """What content is read by: the digest if there is one, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"
