"""A source as it is: what changes one thing of a source is this, with that one thing."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.http.gate import Gate
from mirror.oci.blob import Body
from mirror.oci.content import Descriptor, Digest
from mirror.oci.manifest import Manifest
from mirror.oci.storage import Source


@dataclass(frozen=True, slots=True)
class Through:
    """*source*; a Source."""

    source: Source

    @property
    def name(self) -> str:
        """See Source."""
        return self.source.name

    @property
    def gate(self) -> Gate:
        """See Source."""
        return self.source.gate

    async def head(self, version: str | Digest) -> Digest | None:
        """See Source."""
        return await self.source.head(version)

    async def manifest(self, version: str | Digest) -> Manifest:
        """See Source."""
        return await self.source.manifest(version)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """See Source."""
        return await self.source.referrers(subject)

    async def has_blob(self, blob: Descriptor) -> bool:
        """See Source."""
        return await self.source.has_blob(blob)

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> Body:
        """See Source."""
        return await self.source.open_blob(blob, offset=offset)
