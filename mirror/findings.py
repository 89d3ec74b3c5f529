"""What `mirror doctor` finds: one finding a question, each with what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA = 1

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question."""

    subject: str
    """What was looked at: `destination production`, `source ghcr.io`, `charts edge`, `helm`."""
    check: str
    """What was asked of it, in a word or two: `reachable`, `credential`, `push`."""
    state: State
    told: str
    """What was found, in one sentence."""
    remedy: str = ""
    """What to do; empty where there is nothing to do."""

    def document(self) -> dict[str, Any]:
        """As in `mirror doctor -o json`."""
        return {
            "subject": self.subject,
            "check": self.check,
            "state": self.state,
            "told": self.told,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All that was found."""

    findings: Sequence[Finding]
    repaired: Sequence[Finding] = ()
    """What `--fix` changed before, and what it could not."""

    @property
    def exit_code(self) -> int:
        """1 if something failed, else 0: a warning does not keep a sync from its work."""
        return int(any(finding.state == "failed" for finding in (*self.repaired, *self.findings)))

    def document(self) -> dict[str, Any]:
        """`mirror doctor -o json`."""
        return {
            "schema": SCHEMA,
            "findings": [finding.document() for finding in self.findings],
            "repaired": [finding.document() for finding in self.repaired],
        }
