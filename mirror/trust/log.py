"""Entries of the transparency log that carry the log's promise: Rekor v1's signed entry timestamp.

The promise is a signature over the canonical JSON (RFC 8785) of body, time, log and index (sigstore/rekor,
types.go SignedEntryTimestamp), so it says without a network when the log saw what the body tells of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import rfc8785

from mirror.errors import NotVerified
from mirror.trust.certificate import is_signed
from mirror.trust.reading import at, document, number, unbase64
from mirror.trust.trusted_root import TrustedRoot

_BODY_MAX = 64 * 1024
_INDEX_MAX = 2**53 - 1  # what RFC 8785 §3.2.2.3 can write
_TIME_MAX = 253_402_300_799  # seconds: datetime ends with the year 9999


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as a signature carries it, not yet believed."""

    body: str
    """In base64, as it came: the promise is over this text."""
    integrated_time: int
    log_index: int
    log_id: bytes
    promise: bytes

    @property
    def moment(self) -> datetime:
        """When the log says that it took the entry."""
        return datetime.fromtimestamp(self.integrated_time, UTC)


def from_annotation(text: str) -> Entry:
    """The entry in cosign 2's annotation (sigstore/cosign, pkg/cosign/bundle/rekor.go)."""
    if not text:
        raise NotVerified("the signature has no entry of the transparency log, so nobody knows when it was made")
    what = "the signature's log entry"
    view = document(text, what=what, bound=2 * _BODY_MAX)
    try:
        log_id = bytes.fromhex(at(view, "Payload", "logID", kind=str, what=what))
    except ValueError as exc:
        raise NotVerified(f"{what} names its log by what is not hex") from exc
    return Entry(
        body=at(view, "Payload", "body", kind=str, what=what),
        integrated_time=_positive(at(view, "Payload", "integratedTime", kind=int, what=what)),
        log_index=number(at(view, "Payload", "logIndex", kind=int, what=what), what="its index", bound=_INDEX_MAX),
        log_id=log_id,
        promise=unbase64(at(view, "SignedEntryTimestamp", kind=str, what=what), what="the log's promise"),
    )


def from_bundle(view: Any) -> Entry:
    """The entry with a promise in `tlogEntries` of a Sigstore bundle."""
    what = "the bundle's log entry"
    promise = at(view, "inclusionPromise", "signedEntryTimestamp", kind=str, what=what)
    time = number(at(view, "integratedTime", kind=str, what=what), what="its time", bound=_TIME_MAX)
    return Entry(
        body=at(view, "canonicalizedBody", kind=str, what=what),
        integrated_time=_positive(time),
        log_index=number(at(view, "logIndex", kind=str, what=what), what="its index", bound=_INDEX_MAX),
        log_id=unbase64(at(view, "logId", "keyId", kind=str, what=what), what="the log's name"),
        promise=unbase64(promise, what="the log's promise"),
    )


def _positive(time: int) -> int:
    if not number(time, what="the time of the log entry", bound=_TIME_MAX) > 0:
        raise NotVerified("the log entry has no time")
    return time


def hold(entry: Entry, root: TrustedRoot) -> None:
    """Afterwards *entry* was taken by a log that *root* knows, at its moment; else NotVerified."""
    log = root.log(entry.log_id, entry.moment)
    promised = rfc8785.dumps(
        {
            "body": entry.body,
            "integratedTime": entry.integrated_time,
            "logID": entry.log_id.hex(),
            "logIndex": entry.log_index,
        }
    )
    if log.key is None or not is_signed(log.key, entry.promise, promised):
        raise NotVerified("the promise of the transparency log is not signed by that log")


def body(entry: Entry, *, kind: str) -> dict[str, Any]:
    """What *entry* tells of: a body of *kind*, version 0.0.1."""
    what = "the body of the log entry"
    view = document(unbase64(entry.body, what=what), what=what, bound=_BODY_MAX)
    found = (view.get("kind"), view.get("apiVersion"))
    if found != (kind, "0.0.1"):
        raise NotVerified(f"{what} is of the kind {str(found)[:100]}, where {kind} 0.0.1 is needed")
    return view
