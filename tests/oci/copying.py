"""A copy, as a run makes it."""

from __future__ import annotations

from mirror.oci.copy import Copier, read_graph
from mirror.oci.registry import RegistryRepository

NAME = "linkerd/proxy"


async def copy(copier: Copier, source: RegistryRepository, destination: RegistryRepository, tag: str = "v1") -> None:
    graph = await read_graph(source, await source.manifest(tag))
    await copier.copy(source, destination, graph)
    await copier.place(source, destination, graph.root, tag=tag)
