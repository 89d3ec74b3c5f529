"""A registry that deletes by the distribution API alone: distribution-spec v1.1 #content-management.

A manifest is deleted by its digest, and with it go all its tags; a tag alone is never deleted: the specification lets a
registry refuse that, docker-registry 2.8 does, and others take the manifest with it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mirror.errors import NotFound, RegistryError
from mirror.oci.content import Digest
from mirror.oci.registry import Registry

_OFF = (
    "it deletes nothing as it is configured: docker-registry does with REGISTRY_STORAGE_DELETE_ENABLED=true "
    "(storage.delete.enabled), others have a setting or a permission of their own"
)


@dataclass(frozen=True, slots=True)
class RegistryDeleter:
    """The repositories of one registry."""

    registry: Registry

    @property
    def frees_later(self) -> str:
        """See Deleter."""
        return (
            f"{self.registry.host} frees the bytes when it collects garbage, as docker-registry does by "
            "`registry garbage-collect`: nothing may be pushed meanwhile"
        )

    @property
    def untags(self) -> bool:
        """See Deleter."""
        return False

    async def untag(self, path: str, tags: Sequence[str]) -> None:
        """See Deleter."""
        raise AssertionError((path, tags))

    async def delete(
        self,
        path: str,
        waves: Sequence[Sequence[Digest]],
        stays: Collection[Digest],  # noqa: ARG002
    ) -> None:
        """See Deleter."""
        repository = self.registry.repository(path)
        for digest in (digest for wave in waves for digest in wave):
            try:
                await repository.delete(digest)
            except RegistryError as exc:
                if exc.status == 405 or "UNSUPPORTED" in exc.codes:
                    raise exc.retold(f"{exc}: {_OFF}") from exc
                if not isinstance(exc, NotFound):  # what went with another, or in a run that was ended, is gone
                    raise
