"""What AWS means by a refusal, in words that say what to do. Pure.

    code, words, action, where ─► refusal ─► an exception of errors.py

Codes: docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html, each operation's own, and those of STS.
Words about permissions: docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

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
_NOT_ENABLED = frozenset({"OptInRequired", "SubscriptionRequiredException"})
_REMEDIES = {
    "RepositoryNotFoundException": "if it is elsewhere, the registry's host names the wrong account or region",
    "LimitExceededException": (
        "a quota of the account is used up: delete what is not needed, or ask for more in Service Quotas"
    ),
    "KmsException": (
        "ECR may not use the key: whoever makes the repository needs kms:DescribeKey and kms:CreateGrant for it"
    ),
}
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
    kind, status = _kind(code, status)
    match code:
        case "RepositoryNotFoundException":
            told = f"{asked.where}: there is no such repository ({said})"
        case _ if code in _THROTTLED:
            told = f"{asked.where}: AWS refused {asked.action}: too many requests ({said})"
        case _:
            told = f"{asked.where}: AWS refused {asked.action} ({said})"
    hint = remedy(code, words, asked.action)
    told = f"{told}: {hint}" if hint else told
    return kind(told, status=status, codes=(code,), words=words, where=asked.where, asked=asked.action)


def _kind(code: str, status: int) -> tuple[type[RegistryError], int]:
    """What *code* is in the registry's terms: an exception, and the status that says the same."""
    if code in _DENIED | _NOT_ENABLED:
        return AccessDenied, 403
    if code in _EXPIRED | _UNKNOWN_KEY | _WRONG_SIGNATURE:
        return AccessDenied, 401
    if code == "RepositoryNotFoundException":
        return NotFound, 404
    return RegistryError, 429 if code in _THROTTLED else status


def remedy(code: str, words: str, action: str) -> str:
    """What to do about AWS's answer *code* with its *words* to *action*; empty where that is not known."""
    if code in _DENIED:
        return permission(words, action)
    if code in _EXPIRED:
        return "the AWS session has expired: sign in again (aws sso login), or renew what gave it"
    if code in _UNKNOWN_KEY:
        return (
            "AWS does not know this credential: check which one is found (aws sts get-caller-identity), that it still "
            "exists, and that its partition is that of the registry"
        )
    if code in _WRONG_SIGNATURE:
        return _signature_remedy(words)
    if code in _THROTTLED:
        return "others in this account and region may use up its rate: try again later"
    if code in _NOT_ENABLED:
        return "the region is not enabled in this account, or the registry's host names the wrong one"
    return _REMEDIES.get(code, "")


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
