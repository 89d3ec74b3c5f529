"""A mirror: the place that we write to, a registry with a prefix or an OCI image layout.

What it is called on both sides: `repository` opens a path in it, `target` is what a person can copy into another tool,
`pull_name` is what the cluster pulls by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from mirror.destinations.provider import Deleter, Plain, Provider
from mirror.oci.storage import Destination
from mirror.plan import RECORD_NAME, Target
from mirror.trust.seal import Seal


@dataclass(frozen=True, slots=True)
class Mirror:
    """One destination of the configuration, or the one that `--to` gave."""

    name: str
    """As configured; a folder of the overrides is called so."""
    place: str
    """`HOST/PREFIX`, or `oci:DIRECTORY`."""
    separator: Literal["/", ":"]
    """Between place and path: a layout's names follow a colon, as skopeo takes them."""
    prefix: str
    paths: Literal["flat", "upstream"]
    pull_registry: str
    """HOST[/PREFIX] that the cluster pulls by; empty for a layout that nobody pulls from."""
    open: Callable[[str], Destination]
    """The repository at a path, the prefix included."""
    provider: Provider = field(default_factory=Plain)
    seal: Seal = field(default_factory=Seal)
    """Of its records."""
    pull_scheme: Literal["https", "http"] = "https"
    """How the cluster reaches it."""
    holds_charts: bool = True
    """Charts go there too."""
    stores_once: bool = False
    """A blob is stored once, however many repositories hold it."""
    deleter: Deleter | None = None
    """How what is there is deleted; None where nothing ever is."""

    def path(self, path: str) -> str:
        """*path* with the prefix before it."""
        return f"{self.prefix}/{path}" if self.prefix else path

    def repository(self, path: str) -> Destination:
        """The repository at *path* below the prefix."""
        return self.open(self.path(path))

    async def prepare(self, path: str) -> None:
        """The repository at *path* below the prefix may be written to (Provider)."""
        await self.provider.prepare(self.path(path))

    @property
    def records(self) -> Destination:
        """The repository that holds the records."""
        return self.repository(RECORD_NAME)

    def target(self, target: Target) -> str:
        """*target* as a person writes it: `registry.example.com/linkerd/proxy:edge-26.8.3`."""
        return f"{self.place}{self.separator}{target}"

    def pull_name(self, path: str) -> str:
        """The repository that the cluster pulls *path* from."""
        return f"{self.pull_registry}/{path}"

    @property
    def pull_url(self) -> str:
        """Where the cluster pulls: `https://HOST[/PREFIX]`."""
        return f"{self.pull_scheme}://{self.pull_registry}"
