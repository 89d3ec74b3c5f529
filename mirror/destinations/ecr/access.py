"""Whom AWS is asked as. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

AT_ONCE = 8
"""Calls to AWS: threads that ask, and connections that are kept."""


@dataclass(frozen=True, slots=True)
class Access:
    """A way to credentials of AWS; nothing given is boto3's own chain."""

    profile: str = ""
    """Of the AWS configuration."""
    role_arn: str = ""
    """A role that is assumed with what the chain gives."""
    external_id: str = field(default="", repr=False)
