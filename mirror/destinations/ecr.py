"""Amazon ECR: how its hosts are told, and what it limits."""

from __future__ import annotations

import re

# docs.aws.amazon.com/general/latest/gr/ecr.html: commercial, FIPS, dual-stack, China and the isolated partitions
_HOST = re.compile(
    r"[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|on\.aws|[a-z0-9.-]+\.(?:gov|uk|ic))"
)
PUT_IMAGE_PER_SECOND = 8.0
"""Below the quota of PutImage, 10 a second for account and region."""


def is_ecr(host: str) -> bool:
    """Whether *host* is a private registry of ECR."""
    return _HOST.fullmatch(host) is not None
