"""What a kind of registry needs beside the distribution API: places to be made, limits to be told of, things to check.

Paths are those of repositories, the prefix of the destination included.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from mirror.findings import Finding


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
