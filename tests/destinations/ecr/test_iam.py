"""The least that IAM must allow, and the documents that say so."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mirror.destinations.ecr.host import EcrHost
from mirror.destinations.ecr.iam import USES, Use, policy
from tests.destinations.ecr.conftest import HOST

DOCUMENTS = Path(__file__).parents[3] / "docs" / "iam"


def actions(document: dict[str, Any]) -> set[str]:
    return {action for statement in document["Statement"] for action in statement["Action"]}


@pytest.mark.parametrize("use", USES)
def test_the_documents_are_what_it_prints(use: Use) -> None:
    """docs/iam/USE.json is `mirror doctor --iam USE` for the account, region and prefix of the examples."""
    document = DOCUMENTS / f"{use}.json"

    assert json.dumps(policy(use, HOST, "linkerd"), indent=2) + "\n" == document.read_text()


def test_there_are_no_others() -> None:
    """A document that nobody prints would be out of date one day."""
    assert {f"{use}.json" for use in USES} == {path.name for path in DOCUMENTS.glob("*")}


def test_each_allows_what_those_before_it_do() -> None:
    """From the nodes, which pull, to who repairs."""
    *chain, last = USES
    allowed = [actions(policy(use, HOST, "linkerd")) for use in chain]

    assert "prune" == last
    assert all(less < more for less, more in pairwise(allowed))


@pytest.mark.parametrize(
    ("host", "prefix", "resource"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "a/b", "arn:aws:ecr:eu-west-1:123456789012:repository/a/b/*"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "", "arn:aws:ecr:eu-west-1:123456789012:repository/*"),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "l5d",
            "arn:aws-cn:ecr:cn-north-1:123456789012:repository/l5d/*",
        ),
    ],
)
def test_what_it_is_held_to(host: str, prefix: str, resource: str) -> None:
    """The repositories below the prefix, in the registry's partition; only what knows no resource is for all."""
    parsed = EcrHost.parse(host)
    assert parsed is not None
    of_registry, of_repositories = policy("doctor-fix", parsed, prefix)["Statement"]

    assert resource == of_repositories["Resource"]
    assert "*" == of_registry["Resource"]
    assert ["ecr:GetAccountSetting", "ecr:GetAuthorizationToken"] == of_registry["Action"]


def test_nothing_is_deleted() -> None:
    """But by `prune`, images alone; and nothing is allowed by a wildcard."""
    allowed = {use: actions(policy(use, HOST, "linkerd")) for use in USES}
    deleting = {use: {action for action in several if "Delete" in action} for use, several in allowed.items()}

    assert {use: set[str]() for use in USES} | {"prune": {"ecr:BatchDeleteImage"}} == deleting
    assert [] == [action for several in allowed.values() for action in several if "*" in action]
    assert {"ecr:BatchDeleteImage"} == allowed["prune"] - allowed["sync"]
