"""The registry's password, which AWS gives for 12 hours.

    GetAuthorizationToken ─► Basic AWS:PASSWORD, renewed before `expiresAt` (docs.aws.amazon.com/AmazonECR/latest/
    APIReference/API_GetAuthorizationToken.html)

The password outlives the AWS session that it was asked with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mirror.destinations.ecr.api import EcrApi
from mirror.errors import MirrorError, NoCredential
from mirror.oci.auth import Challenge, Credential, Credentials

CHALLENGE = Challenge("basic", {})
"""What ECR answers to whoever says nothing: known beforehand, so that no request is met by it."""

MARGIN_S = 300.0
LIFE_MIN_S = 60.0
"""A password that has expired when it is given says that this machine's clock is wrong; it is used all the same."""
_AGAIN_AFTER_S = 30.0


def renew_at(expires_at: datetime, *, now: datetime, monotonic: float) -> float:
    """When a password that expires at *expires_at* is to be asked for anew, by the clock that says *monotonic*."""
    return monotonic + max(LIFE_MIN_S, (expires_at - now).total_seconds() - MARGIN_S)


@dataclass(slots=True)
class EcrCredentials:
    """AWS's password for the registry of *api*; where there is no AWS credential at all, what *beside* has.

    What failed is told to whoever asks within half a minute, without asking AWS anew: many requests wait for one
    password.
    """

    api: EcrApi
    beside: Credentials
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _failed: tuple[float, MirrorError] | None = field(default=None, init=False)

    def credential(self, host: str) -> Credential | None:
        """See mirror.oci.auth.Credentials."""
        with self._lock:
            if self._failed and self.monotonic() < self._failed[0] + _AGAIN_AFTER_S:
                raise self._failed[1]
            try:
                found = self._ask(host)
            except MirrorError as exc:
                self._failed = (self.monotonic(), exc)
                raise
            self._failed = None
            return found

    def _ask(self, host: str) -> Credential:
        try:
            given = self.api.authorization()
        except NoCredential as exc:
            kept = self.beside.credential(host)
            if kept is None:
                raise NoCredential(f"{exc}; Docker's configuration has none for {host} either") from exc
            return kept
        at = renew_at(given.expires_at, now=self.now(), monotonic=self.monotonic())
        return Credential(given.username, given.password, renew_at=at, origin="AWS", expires_at=given.expires_at)
