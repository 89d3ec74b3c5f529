"""The hosts of Amazon ECR's private registries, and what they say: account, region, endpoint.

docs.aws.amazon.com/general/latest/gr/ecr.html:

    commercial      ACCOUNT.dkr.ecr.REGION.amazonaws.com          dual-stack  ACCOUNT.dkr-ecr.REGION.on.aws
    FIPS            ACCOUNT.dkr.ecr-fips.REGION.amazonaws.com     dual-stack  ACCOUNT.dkr-ecr-fips.REGION.on.aws
    China           ACCOUNT.dkr.ecr.REGION.amazonaws.com.cn
    Europe          ACCOUNT.dkr.ecr.REGION.amazonaws.eu
    isolated        ACCOUNT.dkr.ecr.REGION.c2s.ic.gov, .sc2s.sgov.gov, …

public.ecr.aws is another service, with another API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

PUBLIC = "public.ecr.aws"
PUT_IMAGE_PER_SECOND = 8.0
"""Below the quota of PutImage, 10 a second for account and region."""

# botocore, data/partitions.json
_PARTITIONS = {
    "amazonaws.com": "aws",
    "on.aws": "aws",
    "amazonaws.com.cn": "aws-cn",
    "amazonaws.eu": "aws-eusc",
    "c2s.ic.gov": "aws-iso",
    "sc2s.sgov.gov": "aws-iso-b",
    "cloud.adc-e.uk": "aws-iso-e",
    "csp.hci.ic.gov": "aws-iso-f",
}
_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr(?P<dot>[.-])ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\."
    rf"(?P<domain>{'|'.join(map(re.escape, _PARTITIONS))})"
)


@dataclass(frozen=True, slots=True)
class EcrHost:
    """One private registry."""

    account: str
    region: str
    domain: str
    is_fips: bool = False

    @classmethod
    def parse(cls, host: str) -> EcrHost | None:
        """What *host* says; None for a host that is not ECR's."""
        found = _HOST.fullmatch(host)
        if found is None or (found["dot"] == "-") != (found["domain"] == "on.aws"):
            return None
        return cls(found["account"], found["region"], found["domain"], bool(found["fips"]))

    @property
    def is_dual_stack(self) -> bool:
        """Whether it is reached by IPv6 too."""
        return self.domain == "on.aws"

    @property
    def dual_stack(self) -> EcrHost:
        """The same registry by the name that IPv6-only nodes can pull by; commercial and GovCloud regions have one."""
        return replace(self, domain="on.aws")

    @property
    def partition(self) -> str:
        """As in an ARN; GovCloud has the commercial domain."""
        return "aws-us-gov" if self.region.startswith("us-gov-") else _PARTITIONS[self.domain]

    def arn(self, path: str) -> str:
        """The ARN of the repository at *path*, which may end in a wildcard."""
        return f"arn:{self.partition}:ecr:{self.region}:{self.account}:repository/{path}"

    def __str__(self) -> str:
        dot = "-" if self.is_dual_stack else "."
        return f"{self.account}.dkr{dot}ecr{'-fips' if self.is_fips else ''}.{self.region}.{self.domain}"


def is_ecr(host: str) -> bool:
    """Whether *host* is a private registry of ECR."""
    return EcrHost.parse(host) is not None
