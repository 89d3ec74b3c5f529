"""Walks what a destination holds, and holds every promise in it again.

root ──► its children, by digest, bytes hashed ──► every blob: there (HEAD), or with *deep* read and hashed
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from mirror.errors import ContentError, ManifestError, NotFound
from mirror.oci.content import Descriptor, Digest
from mirror.oci.copy import BLOBS_AT_ONCE, Graph, read_blob, read_graph
from mirror.oci.storage import Destination
from mirror.tasks import gather


async def walk(destination: Destination, root: Digest, *, deep: bool = False) -> tuple[Graph | None, tuple[str, ...]]:
    """The graph below *root* as *destination* has it, and a sentence for each promise that does not hold.

    None for the graph where a manifest is missing or wrong. Raises Unreachable and RegistryError: then nothing is
    known.
    """
    try:
        graph = await read_graph(destination, await destination.manifest(root))
    except (NotFound, ContentError, ManifestError) as exc:
        return None, (str(exc),)
    if not deep:
        held = await gather(*(destination.has_blob(blob) for blob in graph.blobs))
        absent = [blob.digest for blob, is_held in zip(graph.blobs, held, strict=True) if not is_held]
        return graph, tuple(
            f"{destination.name}@{digest}: the blob is missing or has another size" for digest in absent
        )
    threads = ThreadPoolExecutor(BLOBS_AT_ONCE, thread_name_prefix="verify")
    slots = asyncio.Semaphore(BLOBS_AT_ONCE)

    async def read(blob: Descriptor) -> str:
        try:
            async with slots:  # a blob is opened when it is read: a token waits for nobody
                await read_blob(destination, blob, threads)
        except (NotFound, ContentError) as exc:
            return str(exc)
        return ""

    try:
        problems = await gather(*(read(blob) for blob in graph.blobs))
    finally:
        threads.shutdown(wait=True)
    return graph, tuple(filter(None, problems))
