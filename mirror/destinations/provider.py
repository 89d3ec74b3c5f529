"""What a kind of registry needs beside the distribution API: to make, to tell, to check; and how it deletes.

Paths are those of repositories, the prefix of the destination included.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from mirror.findings import Finding
from mirror.oci.content import Digest


class Provider(Protocol):
    """The side of a registry that its operator sees."""

    async def prepare(self, path: str) -> None:
        """The repository at *path* may be written to; what is missing was made, if the configuration says so.

        Asked for several times, it is done once. Raises a MirrorError that says what is missing.
        """
        ...

    async def survey(self, paths: Collection[str], size: int) -> tuple[str, ...]:
        """What an operator should know before *size* bytes are written to *paths*, a sentence each. Writes nothing.

        Raises a MirrorError where it cannot be written there at all.
        """
        ...

    async def examine(self, paths: Collection[str]) -> tuple[Finding, ...]:
        """What is right and wrong with the registry, and with *paths*; writes nothing that stays."""
        ...

    async def repair(self, paths: Collection[str]) -> tuple[Finding, ...]:
        """What can be made right for *paths* was, a finding for each change or failure."""
        ...


class Deleter(Protocol):
    """How a kind of registry deletes."""

    @property
    def frees_later(self) -> str:
        """What has to happen before the bytes of what was deleted are free, in a sentence; empty for nothing."""
        ...

    @property
    def untags(self) -> bool:
        """Whether a tag can be deleted alone."""
        ...

    async def untag(self, path: str, tags: Sequence[str]) -> None:
        """*tags* of *path* are gone, and the manifests that they named are there, each by another tag.

        Only asked for where the registry *untags*. Raises a MirrorError for the first that cannot be deleted.
        """
        ...

    async def delete(self, path: str, waves: Sequence[Sequence[Digest]], stays: Collection[Digest]) -> None:
        """The manifests of *waves* are gone from *path*, wave after wave, with every tag that named one of them.

        The manifests that *stays* has stay whole, be they tagged or not: a registry sees to their blobs by itself.
        What is gone already is no failure. Raises a MirrorError for the first that cannot be deleted.
        """
        ...


class Plain:
    """Of a registry, or a directory, that needs nothing."""

    async def prepare(self, path: str) -> None:
        """See Provider."""

    async def survey(self, paths: Collection[str], size: int) -> tuple[str, ...]:  # noqa: ARG002
        """See Provider."""
        return ()

    async def examine(self, paths: Collection[str]) -> tuple[Finding, ...]:  # noqa: ARG002
        """See Provider."""
        return ()

    async def repair(self, paths: Collection[str]) -> tuple[Finding, ...]:  # noqa: ARG002
        """See Provider."""
        return ()
