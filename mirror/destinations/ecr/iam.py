"""The least that IAM must allow, for each way that a mirror in ECR is used. Pure.

docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html: the authorization
token and the account's settings know no resource; everything else is held to the repositories below the prefix.

    pull ⊂ verify ⊂ sync ⊂ sync-create ⊂ doctor-fix
                        sync ⊂ prune, the only one that may delete
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from mirror.destinations.ecr.host import EcrHost

Use = Literal["pull", "verify", "sync", "sync-create", "doctor-fix", "prune"]
USES: tuple[Use, ...] = get_args(Use)

_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_VERIFY = (*_PULL, "ecr:DescribeRepositories", "ecr:ListImages")  # GET tags/list needs the last, else it is DENIED
_SYNC = (
    *_VERIFY,
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)
_CREATE = (
    *_SYNC,
    "ecr:CreateRepository",
    "ecr:PutLifecyclePolicy",
    "ecr:SetRepositoryPolicy",
    "ecr:TagResource",  # CreateRepository with tags needs it too (estahn/k8s-image-swapper#416)
)
_FIX = (
    *_CREATE,
    "ecr:DescribeImages",
    "ecr:GetLifecyclePolicy",
    "ecr:GetRepositoryPolicy",
    "ecr:ListTagsForResource",
    "ecr:PutImageScanningConfiguration",
    "ecr:PutImageTagMutability",
)
_PRUNE = (*_SYNC, "ecr:BatchDeleteImage")  # it writes what it is about to delete, so that another run can go on
_OF_REPOSITORIES: dict[Use, tuple[str, ...]] = {
    "pull": _PULL,
    "verify": _VERIFY,
    "sync": _SYNC,
    "sync-create": _CREATE,
    "doctor-fix": _FIX,
    "prune": _PRUNE,
}
_OF_THE_ACCOUNT: dict[Use, tuple[str, ...]] = {
    "doctor-fix": ("ecr:GetAccountSetting", "ecr:GetAuthorizationToken"),
}


def policy(use: Use, host: EcrHost, prefix: str) -> dict[str, Any]:
    """The IAM policy that lets its principal *use* the repositories below *prefix* (all of them, if it is empty)."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Registry",
                "Effect": "Allow",
                "Action": list(_OF_THE_ACCOUNT.get(use, ("ecr:GetAuthorizationToken",))),
                "Resource": "*",
            },
            {
                "Sid": "Repositories",
                "Effect": "Allow",
                "Action": sorted(_OF_REPOSITORIES[use]),
                "Resource": host.arn(f"{prefix}/*" if prefix else "*"),
            },
        ],
    }
