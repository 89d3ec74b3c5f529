"""Which hosts are ECR's."""

from __future__ import annotations

import pytest

from mirror.destinations.ecr.host import is_ecr


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
        "123456789012.dkr-ecr.eu-west-1.on.aws",
        "123456789012.dkr-ecr-fips.us-gov-west-1.on.aws",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov",
        "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
    ],
)
def test_what_is_ecr(host: str) -> None:
    """Commercial, FIPS, dual-stack, China and the isolated partitions."""
    assert is_ecr(host)


@pytest.mark.parametrize(
    "host",
    [
        "public.ecr.aws",
        "ghcr.io",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.org",
        "12345.dkr.ecr.eu-west-1.amazonaws.com",
        "",
    ],
)
def test_what_is_not(host: str) -> None:
    """The public registry has other limits, and a host that only looks like it is somebody's."""
    assert not is_ecr(host)
