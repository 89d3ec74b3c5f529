"""What happens on the wire, told as it happens: each answer, each failure, each wait, each piece of a body.

    Connections, GeneralClient    answered, unanswered, received, sent, and the certificate that a host shows
    Transport, Transfer, Gate     retried, held_back
    Authenticator                 the credential that ages

A host is what a URL names: the registry's endpoint, and wherever that sends us. Nothing told here is secret.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from mirror.errors import TOO_MUCH

RetryReason: TypeAlias = Literal["rate_limited", "server_error", "unreachable"]
"""The host had too much (429, 503); it failed (any other answer that is temporary); there was no answer, or no whole
one."""

Ageing: TypeAlias = Literal["certificate", "password", "token"]
"""What a host shows, TLS; what we show it, and a human renews; what we show it, and is given for each run anew."""


def retry_reason(status: int | None) -> RetryReason:
    """Why something is tried again after an answer with *status*, or after none."""
    if status is None:
        return "unreachable"
    return "rate_limited" if status in TOO_MUCH else "server_error"


class Meter(Protocol):
    """Who is told. Any thread may call, in the middle of a request: it returns at once and raises nothing."""

    def answered(self, host: str, method: str, status: int, seconds: float) -> None:
        """The head of an answer came, so long after the request began or, with a body of a blob, after its end."""
        ...

    def unanswered(self, host: str, method: str) -> None:
        """A request was sent, or was to be, and no answer came."""
        ...

    def received(self, host: str, size: int) -> None:
        """So many more bytes of an answer's body came."""
        ...

    def sent(self, host: str, size: int) -> None:
        """So many more bytes of a request's body went."""
        ...

    def retried(self, host: str, reason: RetryReason, seconds: float) -> None:
        """Something is asked of *host* again, in so long."""
        ...

    def held_back(self, host: str, seconds: float) -> None:
        """A request that was not sent yet waits for so long, because *host* has asked for it."""
        ...

    def ends(self, host: str, what: Ageing, at: datetime) -> None:
        """*what* is between us and *host* is good until then."""
        ...


class Unmetered:
    """Nobody is told."""

    def answered(self, host: str, method: str, status: int, seconds: float) -> None:
        """See Meter."""

    def unanswered(self, host: str, method: str) -> None:
        """See Meter."""

    def received(self, host: str, size: int) -> None:
        """See Meter."""

    def sent(self, host: str, size: int) -> None:
        """See Meter."""

    def retried(self, host: str, reason: RetryReason, seconds: float) -> None:
        """See Meter."""

    def held_back(self, host: str, seconds: float) -> None:
        """See Meter."""

    def ends(self, host: str, what: Ageing, at: datetime) -> None:
        """See Meter."""


UNMETERED: Meter = Unmetered()
