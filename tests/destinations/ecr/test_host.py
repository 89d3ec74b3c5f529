"""Which hosts are ECR's."""

from __future__ import annotations

import json
from pathlib import Path

import botocore
import pytest

from mirror.destinations.ecr.host import EcrHost, is_ecr


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


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "arn:aws:ecr:eu-west-1:123456789012:repository/a/*"),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "arn:aws:ecr:eu-west-1:123456789012:repository/a/*"),
        (
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/a/*",
        ),
        (
            "123456789012.dkr-ecr-fips.us-gov-west-1.on.aws",
            "arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/a/*",
        ),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "arn:aws-cn:ecr:cn-north-1:123456789012:repository/a/*"),
        (
            "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
            "arn:aws-iso-b:ecr:us-isob-east-1:123456789012:repository/a/*",
        ),
    ],
)
def test_names_of_resources(host: str, expected: str) -> None:
    """Each partition has its own."""
    parsed = EcrHost.parse(host)

    assert parsed is not None
    assert expected == parsed.arn("a/*")
    assert host == str(parsed)


def test_every_partition_that_botocore_knows() -> None:
    """A host in any region of it is ECR's, and its ARNs are of that partition."""
    data = Path(botocore.__file__).parent / "data" / "partitions.json"
    found = {}
    for partition in json.loads(data.read_bytes())["partitions"]:
        for region in (name for name in partition["regions"] if not name.endswith("global")):
            host = EcrHost.parse(f"123456789012.dkr.ecr.{region}.{partition['outputs']['dnsSuffix']}")
            found[partition["id"], region] = host.partition if host else ""

    assert {key: key[0] for key in found} == found
    assert {"aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso"} <= {partition for partition, _ in found}
