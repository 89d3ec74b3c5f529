"""Where content is read from and written to: the two protocols that a registry and a layout both keep.

Each object is one repository. Absence is an answer (`None`, `False`), failure an exception of errors.py.
`name` is what errors, logs and reports call the place: `ghcr.io/linkerd/proxy`, `oci:./linkerd-mirror:proxy`.
"""

from __future__ import annotations

from typing import Protocol

from mirror.http.gate import Gate
from mirror.oci.blob import Body, Upload
from mirror.oci.content import Descriptor, Digest
from mirror.oci.manifest import Manifest


class Source(Protocol):
    """A repository that is read."""

    @property
    def name(self) -> str: ...

    @property
    def gate(self) -> Gate:
        """What a body read from here, or an upload to here, passes while it is under way."""
        ...

    async def head(self, version: str | Digest) -> Digest | None:
        """The digest of the manifest at a tag or digest; None where there is none."""
        ...

    async def manifest(self, version: str | Digest) -> Manifest:
        """The manifest at a tag or digest, verified when it is asked for by digest; raises NotFound."""
        ...

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """The manifests that refer to *subject*, by the referrers API or the fallback tag; artifact types as listed."""
        ...

    async def has_blob(self, blob: Descriptor) -> bool: ...

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> Body:
        """A body that will deliver *blob* from its byte *offset* on; it is read, and closed, in a worker thread.

        Nothing need be asked of the place before the first read, so NotFound may come from there.
        """
        ...


class Destination(Source, Protocol):
    """A repository that is read and written."""

    @property
    def path(self) -> str:
        """What a mount from this repository names it by; also one into itself, which asks whether a blob is there."""
        ...

    async def start_upload(self, blob: Descriptor, *, mount_from: str = "") -> Upload | None:
        """An upload for *blob*; None where it was mounted from the repository *mount_from* (a path) and is complete."""
        ...

    async def resumed_upload(self, blob: Descriptor, broken: Upload) -> tuple[Upload, int] | None:
        """An upload that goes on where *broken* is, and how many bytes it has; None where that is lost, or not known.

        Distribution-spec v1.1 #pushing-a-blob-in-chunks: GET of the session's location.
        """
        ...

    async def put_manifest(self, manifest: Manifest, *, tag: str = "") -> bool:
        """Stores *manifest* by its digest and, if given, as *tag*.

        The answer is whether the registry has linked it to its subject: if it has not, the fallback tag is ours to
        keep (distribution-spec v1.1 #pushing-manifests-with-subject).
        """
        ...

    async def tags(self) -> tuple[str, ...]:
        """Every tag, sorted; empty where the repository does not exist."""
        ...
