"""A share of the work: which releases at which destinations one of several processes brings in step. Pure.

The split is by a hash of the two names alone. Processes that choose their releases a moment apart, while one is being
published, leave none out for it: nobody has to agree with anybody on what else there is. The price is that shares are
as even as chance makes them: of few pairs, some shares have none.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from mirror.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shard:
    """The share *index*, from 0 on, of *count*."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The share that `I/N` names; raises UsageError."""
        matched = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text, re.ASCII)
        if matched is None or not int(matched[1]) < int(matched[2]):
            raise UsageError(f"--shard {text!r}: expected I/N with I from 0 to N-1, as 0/8 to 7/8")
        return cls(int(matched[1]), int(matched[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def takes(self, release: str, destination: str) -> bool:
        """Whether *release* at *destination* is in this share; it is in exactly one."""
        digest = hashlib.sha256(f"{release}\n{destination}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index
