"""One blob from a source to a destination, whatever breaks on the way.

    broke while       what becomes of it
    ───────────────── ─────────────────────────────────────────────────────────────────────────────────────
    reading           the same upload goes on, the body from the byte that it reached, the hash with it
    writing           the upload goes on from where the registry says that it is, if the registry says so;
                      the bytes that were sent and lost are read and hashed again. Else all is begun anew
    refused as too    begun anew in smaller requests (chunks.py), as long as there are any to be tried; this is
    large (413)       known at once, and counts for no attempt
    anything else     it is given up: wrong bytes, a refusal, a full disk

BLOB_ATTEMPTS tries without progress are the last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

import structlog

from mirror.errors import MirrorError, RegistryError, Unreachable
from mirror.http.gate import WAIT_MAX_S, through
from mirror.http.meter import retry_reason
from mirror.http.transport import wait_before
from mirror.oci.blob import Relay, Upload
from mirror.oci.content import Descriptor
from mirror.oci.storage import Destination, Source
from mirror.tasks import in_thread

BLOB_ATTEMPTS = 4
PROGRESS = 1024 * 1024  # bytes: what got so far starts counting its attempts anew, and is worth asking for

OnBytes = Callable[[int], None]

log = structlog.get_logger()


@dataclass(slots=True)
class Transfer:
    """*blob* on its way from *source* to *destination*; *on_bytes* is told, in worker threads, how far it is."""

    source: Source
    destination: Destination
    blob: Descriptor
    threads: ThreadPoolExecutor
    on_bytes: OnBytes
    _relay: Relay | None = field(default=None, init=False)
    _attempt: int = field(default=1, init=False)
    _reached: int = field(default=0, init=False)

    async def attempt(self, begin: Callable[[], Awaitable[Upload | None]]) -> None:
        """*destination* holds the blob; *begin* gives the upload, or None where it is there already."""
        if self._relay is None:
            upload = await begin()
            if upload is None:
                return
            self._relay = Relay(self.blob, upload, where=self.source.name, on_bytes=self.on_bytes)
        await self._carry(self._relay)

    async def after(self, exc: Unreachable | RegistryError) -> float:
        """Seconds to wait before the next attempt; raises *exc*, with what it was about, if there is to be none."""
        relay, asked_s = self._relay, exc.wait_s if isinstance(exc, RegistryError) else None
        at = self.source if relay and relay.can_go_on else self.destination
        if relay and relay.can_go_on and relay.received - self._reached >= PROGRESS:
            self._attempt = 1
        if _is_too_large_as_yet(exc):
            self.give_up()
            self._reached = 0
            self._log(exc)
            return 0.0
        if not exc.is_temporary or self._attempt >= BLOB_ATTEMPTS or (asked_s or 0) > WAIT_MAX_S:
            raise _placed(exc, f"{at.name}@{self.blob.digest}") from exc
        if relay and not relay.can_go_on and not await self._goes_on(relay):
            self.give_up()
        self._reached = self._relay.received if self._relay else 0
        wait_s = wait_before(self._attempt, asked_s)
        self._attempt += 1
        status = exc.status if isinstance(exc, RegistryError) else None
        at.gate.meter.retried(at.gate.host, retry_reason(status), wait_s)
        self._log(exc)
        return wait_s

    def give_up(self) -> None:
        """Nothing of what was sent remains."""
        if self._relay:
            self._relay.give_up()
            self._relay = None

    def _log(self, exc: MirrorError) -> None:
        log.debug(
            "copy.blob_broke_off",
            source=self.source.name,
            destination=self.destination.name,
            digest=str(self.blob.digest),
            goes_on_at=self._reached,
            reason=str(exc),
        )

    async def _goes_on(self, relay: Relay) -> bool:
        """Whether *relay* goes on in the upload that broke off, where the registry says that it is."""
        if relay.sent < PROGRESS:
            return False
        relay.upload.abort()
        try:
            resumed = await self.destination.resumed_upload(self.blob, relay.upload)
        except MirrorError as exc:  # why it broke is told, not that nobody answers what became of it
            log.debug("copy.upload_not_resumed", destination=self.destination.name, reason=str(exc))
            return False
        if resumed is None:
            return False
        relay.resume(*resumed)
        return True

    async def _carry(self, relay: Relay) -> None:
        body = await self.source.open_blob(self.blob, offset=relay.received)  # a token may have to pass the gates
        source, destination = self.source.gate, self.destination.gate
        # the source's first, always: nobody waits for one in a circle
        gates = (source,) if destination is source else (source, destination)
        with closing(body):
            async with through(*gates):
                await in_thread(self.threads, lambda: relay.go_on(body), body, relay.upload)


def _is_too_large_as_yet(exc: Unreachable | RegistryError) -> bool:
    """Whether the next upload is in smaller requests than the one refused: that ends, as sizes do (chunks.py)."""
    return isinstance(exc, RegistryError) and exc.status == 413 and exc.is_temporary


def _placed(exc: Unreachable | RegistryError, where: str) -> Unreachable | RegistryError:
    """*exc*, saying what it was about: a connection knows no more than its host."""
    return Unreachable(f"{where}: {exc}", is_temporary=exc.is_temporary) if isinstance(exc, Unreachable) else exc
