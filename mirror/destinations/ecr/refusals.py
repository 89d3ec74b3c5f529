"""What AWS means by a refusal, in words that say what to do. Pure.

    code, words, action, where ─► refusal ─► an exception of errors.py

Codes: docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html, each operation's own, and those of STS.
Words about permissions: docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from mirror.errors import AccessDenied, NotFound, RegistryError

_WORDS_MAX = 1000
_UNAUTHORIZED = re.compile(
    r"(?:User: )?(?P<principal>arn:\S+) is not authorized to perform: (?P<action>[A-Za-z0-9-]+:[A-Za-z0-9]+)"
    r"(?: on resource: (?P<resource>arn:[^\s]+|\*))?"
    r"(?: because no (?P<lacking>[a-z -]+?) allows| with an explicit deny in an? (?P<denying>[a-z -]+))?"
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_UNKNOWN_KEY = frozenset(
    {
        "AuthFailure", "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidIdentityToken",
        "MissingAuthenticationToken", "UnrecognizedClientException",
    }
)  # fmt: skip
_WRONG_SIGNATURE = frozenset({"InvalidSignatureException", "RequestTimeTooSkewed", "SignatureDoesNotMatch"})
_SKEWED = ("signature expired", "not yet current", "too skewed", "too large")
_THROTTLED = frozenset(
    {
        "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown", "Throttling",
        "ThrottlingException", "ThrottledException", "TooManyRequestsException",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of AWS."""

    action: str
    """As IAM names it: `ecr:CreateRepository`."""
    where: str
    """What it was asked of: `HOST/PATH`, or the host alone."""


def refusal(asked: Asked, *, code: str, words: str, status: int = 400) -> RegistryError:
    """The exception for AWS's answer *code* with its *words*, whose HTTP status was *status*."""
    words = "".join(filter(str.isprintable, " ".join(words.split())))[:_WORDS_MAX]
    said = f"{code}: {words}" if words else code
    facts: dict[str, Any] = {"codes": (code,), "words": words, "where": asked.where, "asked": asked.action}
    about = f"{asked.where}: AWS refused {asked.action}"
    if code in _DENIED:
        return AccessDenied(f"{about} ({said}): {permission(words, asked.action)}", status=403, **facts)
    if code in _EXPIRED:
        remedy = "the AWS session has expired: sign in again (aws sso login), or renew what gave it"
        return AccessDenied(f"{about} ({said}): {remedy}", status=401, **facts)
    if code in _UNKNOWN_KEY:
        remedy = (
            "AWS does not know this credential: check which one is found (aws sts get-caller-identity), that it still "
            "exists, and that its partition is that of the registry"
        )
        return AccessDenied(f"{about} ({said}): {remedy}", status=401, **facts)
    if code in _WRONG_SIGNATURE:
        return AccessDenied(f"{about} ({said}): {_signature_remedy(words)}", status=401, **facts)
    if code in _THROTTLED:
        remedy = "others in this account and region may use up its rate: try again later"
        return RegistryError(f"{about}: too many requests ({said}): {remedy}", status=429, **facts)
    match code:
        case "RepositoryNotFoundException":
            remedy = "if it is elsewhere, the registry's host names the wrong account or region"
            return NotFound(f"{asked.where}: there is no such repository ({said}): {remedy}", status=404, **facts)
        case "LimitExceededException":
            remedy = "a quota of the account is used up: delete what is not needed, or ask for more in Service Quotas"
            return RegistryError(f"{about} ({said}): {remedy}", status=status, **facts)
        case "KmsException":
            remedy = (
                "ECR may not use the key: whoever makes the repository needs kms:DescribeKey and kms:CreateGrant for it"
            )
            return RegistryError(f"{about} ({said}): {remedy}", status=status, **facts)
        case "OptInRequired" | "SubscriptionRequiredException":
            remedy = "the region is not enabled in this account, or the registry's host names the wrong one"
            return AccessDenied(f"{about} ({said}): {remedy}", status=403, **facts)
    return RegistryError(f"{about} ({said})", status=status, **facts)


def permission(words: str, action: str) -> str:
    """What to do about *words*, by which AWS has denied *action* or one that it needs."""
    found = _UNAUTHORIZED.search(words)
    if found is None:
        return f"allow {action} to the principal (mirror doctor --iam prints policies)"
    principal, denied, lacking = found["principal"], found["action"], found["lacking"] or "identity-based policy"
    resource = (found["resource"] or "*").rstrip(".,")
    statement = json.dumps({"Effect": "Allow", "Action": denied, "Resource": resource})
    if found["denying"]:
        return f"an explicit deny in a {found['denying']} goes before whatever allows {denied} to {principal}"
    if lacking == "resource-based policy":
        return f"the policy of {resource} itself (policy_file) must allow {denied} to {principal}, of another account"
    if lacking != "identity-based policy":
        return f"a {lacking} stands in the way of {principal}, which must allow {denied} too"
    remedy = f"give {principal} the statement {statement}"
    if denied == "sts:AssumeRole":
        return f"{remedy}, and have the trust policy of {resource} name it, with the external id if it asks for one"
    if denied == "ecr:TagResource":  # estahn/k8s-image-swapper#416
        return f"{remedy}: making a repository with tags needs it beside ecr:CreateRepository; or configure no tags"
    return f"{remedy} (mirror doctor --iam prints all that a use needs)"


def _signature_remedy(words: str) -> str:
    if any(sign in words.lower() for sign in _SKEWED):
        return "this machine's clock is wrong by more than AWS bears: set it"
    return "the secret access key is not the one of the access key: check the credential"
