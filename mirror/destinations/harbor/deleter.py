"""How Harbor deletes: by its own API, which deletes a tag alone; by the distribution API it does not (registry.go).

With an artifact Harbor deletes its accessories, and what only it lists (src/controller/artifact/controller.go,
deleteDeeply): those are gone when they are asked for. Neither goes where an immutable tag rule holds a tag of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mirror.destinations.harbor.api import HarborApi
from mirror.oci.content import Digest


@dataclass(frozen=True, slots=True)
class HarborDeleter:
    """The repositories of one Harbor."""

    api: HarborApi

    @property
    def frees_later(self) -> str:
        """See Deleter."""
        return (
            f"{self.api.registry.host} frees the bytes, and the quota, when it collects garbage (Administration > "
            "Clean Up > Garbage Collection)"
        )

    @property
    def untags(self) -> bool:
        """See Deleter."""
        return True

    async def untag(self, path: str, tags: Sequence[str]) -> None:
        """See Deleter."""
        for tag in tags:
            await self.api.delete_tag(path, tag)

    async def delete(
        self,
        path: str,
        waves: Sequence[Sequence[Digest]],
        stays: Collection[Digest],  # noqa: ARG002
    ) -> None:
        """See Deleter."""
        for digest in (digest for wave in waves for digest in wave):
            await self.api.delete_artifact(path, digest)
