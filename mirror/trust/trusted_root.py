"""A trusted root: which authorities, transparency logs and certificate logs count, and when.

The file is Sigstore's `trusted_root.json` (sigstore/protobuf-specs, sigstore_trustroot.proto); root.py says where it
comes from. Its windows (`validFor`) are held: what was signed outside of one was not signed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509 import Certificate, load_der_x509_certificate

from mirror.errors import NotVerified, TrustRootError
from mirror.trust.reading import at, document, unbase64
from mirror.trust.root import SIZE_MAX

MEDIA_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
_WHAT = "the trusted root"


@dataclass(frozen=True, slots=True)
class Window:
    """The time that something is valid in, both ends included; for ever where there is no *end*."""

    start: datetime
    end: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether *moment* is inside."""
        return self.start <= moment and (self.end is None or moment <= self.end)


@dataclass(frozen=True, slots=True)
class Authority:
    """Who issues signing certificates; *chain* from the one that issues up to the root."""

    chain: tuple[Certificate, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class Log:
    """A log; *identities* are what names it in what it signs."""

    identities: frozenset[bytes]
    """The SHA-256 of its key (RFC 6962 §3.2, and Rekor v1), and what the root says: Rekor v2 counts its origin in."""
    key: EllipticCurvePublicKey | None
    """None for a key of another kind, which signs checkpoints (Rekor v2), and nothing that we verify ourselves."""
    window: Window


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """What signatures are held to."""

    raw: bytes = field(repr=False)
    authorities: tuple[Authority, ...]
    logs: tuple[Log, ...]
    """Transparency logs: Rekor."""
    certificate_logs: tuple[Log, ...]

    def log(self, identity: bytes, moment: datetime) -> Log:
        """The transparency log that *identity* names, valid at *moment*; raises NotVerified."""
        return _valid(self.logs, identity, moment, what="transparency log")

    def certificate_log(self, identity: bytes, moment: datetime) -> Log:
        """The log of certificates that *identity* names, valid at *moment*; raises NotVerified."""
        return _valid(self.certificate_logs, identity, moment, what="certificate transparency log")

    def at(self, moment: datetime) -> bytes:
        """The file, without the logs and authorities that are not valid at *moment*.

        For `sigstore`, which looks at no window's end but an authority's for timestamps (4.5.1, models.py:883,
        is_timerange_valid(allow_expired=True)). Certificate logs stay: they are held to the time of their timestamp.
        """
        view = document(self.raw, what=_WHAT, bound=SIZE_MAX)
        for name, windows in (
            ("tlogs", [log.window for log in self.logs]),
            ("certificateAuthorities", [authority.window for authority in self.authorities]),
        ):
            view[name] = [entry for entry, window in zip(view[name], windows, strict=True) if window.holds(moment)]
        # which asks for what `cosign trusted-root create` leaves out (cosign 2.5), and makes no use of it
        for log in (*view["tlogs"], *view["ctlogs"]):
            log.setdefault("baseUrl", "https://log.invalid")
        for authority in view["certificateAuthorities"]:
            authority["subject"] = {"organization": "", "commonName": ""} | dict(authority.get("subject") or {})
        return json.dumps(view).encode()


def parse(raw: bytes, *, where: str) -> TrustedRoot:
    """The trusted root in *raw*; raises TrustRootError naming *where* it came from."""
    try:
        return _parsed(raw)
    except (NotVerified, ValueError, TypeError, AttributeError, OverflowError, UnsupportedAlgorithm) as exc:
        raise TrustRootError(
            f"{where} is not a trusted root that can be used: {exc}: expected a trusted_root.json of Sigstore, as "
            "`cosign trusted-root create` makes one"
        ) from exc


def _parsed(raw: bytes) -> TrustedRoot:
    view = document(raw, what=_WHAT, bound=SIZE_MAX)
    if view.get("mediaType") != MEDIA_TYPE:
        raise NotVerified(f"its mediaType is {str(view.get('mediaType'))[:100]!r}, not {MEDIA_TYPE}")
    authorities, logs, certificate_logs = (
        at(view, name, kind=list, what=_WHAT) for name in ("certificateAuthorities", "tlogs", "ctlogs")
    )
    if not authorities or not logs or not certificate_logs:
        raise NotVerified("it lacks authorities, logs or certificate logs, so nothing could be verified")
    return TrustedRoot(
        raw, tuple(map(_authority, authorities)), tuple(map(_log, logs)), tuple(map(_log, certificate_logs))
    )


def _authority(entry: Any) -> Authority:
    certificates = at(entry, "certChain", "certificates", kind=list, what="an authority of the trusted root")
    if not certificates:
        raise NotVerified("an authority has no certificate")
    raw = (at(one, "rawBytes", kind=str, what="a certificate of the trusted root") for one in certificates)
    chain = tuple(load_der_x509_certificate(unbase64(each, what="a certificate of the trusted root")) for each in raw)
    return Authority(chain, _window(entry))


def _log(entry: Any) -> Log:
    what = "a log of the trusted root"
    raw = unbase64(at(entry, "publicKey", "rawBytes", kind=str, what=what), what=what)
    key = load_der_public_key(raw)
    said = unbase64(at(entry, "logId", "keyId", kind=str, what=what), what=what) if entry.get("logId") else b""
    identities = frozenset({sha256(raw).digest(), said} - {b""})
    window = _window(at(entry, "publicKey", kind=dict, what=what))
    return Log(identities, key if isinstance(key, EllipticCurvePublicKey) else None, window)


def _window(entry: Any) -> Window:
    """Where nothing is said of the time, it is valid always, as for cosign and sigstore-python."""
    said = entry.get("validFor") or {}
    start, end = (_moment(said[name]) if said.get(name) else None for name in ("start", "end"))
    return Window(start or datetime.min.replace(tzinfo=UTC), end)


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    if moment is None or moment.tzinfo is None:
        raise NotVerified(f"{str(text)[:50]!r} is not a time")
    return moment.astimezone(UTC)


def _valid(logs: Sequence[Log], identity: bytes, moment: datetime, *, what: str) -> Log:
    known = [log for log in logs if identity in log.identities]
    if not known:
        raise NotVerified(f"the trusted root does not know the {what} {identity.hex()[:64]}")
    for log in known:
        if log.window.holds(moment):
            return log
    raise NotVerified(
        f"the trusted root does not take the {what} {identity.hex()[:64]} for {moment:%Y-%m-%d %H:%M:%S} UTC, "
        f"but {_told(log.window for log in known)}"
    )


def _told(windows: Iterator[Window]) -> str:
    return ", ".join(
        f"from {window.start:%Y-%m-%d} to {f'{window.end:%Y-%m-%d}' if window.end else 'now'}" for window in windows
    )
