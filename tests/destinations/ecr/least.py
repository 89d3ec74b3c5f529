"""A principal who has one of the documents in docs/iam/, and nothing beside."""

from __future__ import annotations

from mirror.destinations.ecr.host import EcrHost
from mirror.destinations.ecr.iam import Use, policy
from tests.servers.ecr import Ecr


class _AllBut(set[str]):
    """Everything that it is not given."""

    def __contains__(self, one: object) -> bool:
        return not super().__contains__(one)


def denied_to(use: Use, ecr: Ecr) -> set[str]:
    """What may not be done by whom `mirror doctor --iam USE` was given to; who one is may everybody ask."""
    host = EcrHost.parse(ecr.host)
    assert host is not None
    statements = policy(use, host, "linkerd")["Statement"]
    return _AllBut({"sts:GetCallerIdentity"}.union(*(statement["Action"] for statement in statements)))
