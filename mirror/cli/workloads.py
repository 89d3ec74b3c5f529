"""What a cluster runs, as it is handed to a command: a file, or stdin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from mirror.cluster.running import Inventory

_SIZE_MAX = 512 * 1024 * 1024

log = structlog.get_logger()


def inventory_of(path: Path) -> Inventory:
    """What is in *path*, `-` being stdin; it is logged what cannot be read, and if it is nothing. Raises UsageError."""
    from mirror.cluster.running import inventory
    from mirror.errors import UsageError

    source = "stdin" if str(path) == "-" else str(path)
    try:
        if source == "stdin":
            data = sys.stdin.buffer.read(_SIZE_MAX + 1)
        else:
            with path.open("rb") as file:
                data = file.read(_SIZE_MAX + 1)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
    if len(data) > _SIZE_MAX:
        raise UsageError(f"{source} has more than {_SIZE_MAX} bytes")
    try:
        found = inventory(data.decode(), source=source)
    except UnicodeDecodeError as exc:
        raise UsageError(f"{source} is not text in UTF-8") from exc
    for problem in found.unread:
        log.warning("cluster.image_unread", source=source, reason=problem)
    if not found.images:
        log.warning("cluster.nothing_named", source=source, reason="it names no image: is it the right cluster?")
    return found
