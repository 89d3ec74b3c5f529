"""What AWS refuses, in words that say what to do."""

from __future__ import annotations

import pytest

from mirror.destinations.ecr.refusals import Asked, permission, refusal
from mirror.errors import AccessDenied, NotFound, RegistryError

ASKED = Asked("ecr:CreateRepository", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/linkerd/proxy")
ME = "arn:aws:iam::123456789012:user/me"
THERE = "arn:aws:ecr:eu-west-1:123456789012:repository/linkerd/proxy"


def denied(action: str, resource: str = THERE, why: str = "") -> str:
    """AWS's words."""
    return f"User: {ME} is not authorized to perform: {action} on resource: {resource}{why}"


@pytest.mark.parametrize(
    ("code", "words", "kind", "status", "remedy"),
    [
        (
            "AccessDeniedException",
            denied("ecr:CreateRepository"),
            AccessDenied,
            403,
            '"Action": "ecr:CreateRepository"',
        ),
        ("AccessDenied", "no", AccessDenied, 403, "allow ecr:CreateRepository"),
        ("ExpiredTokenException", "The security token is expired", AccessDenied, 401, "aws sso login"),
        ("ExpiredToken", "The security token is expired", AccessDenied, 401, "aws sso login"),
        ("RequestExpired", "", AccessDenied, 401, "has expired"),
        ("UnrecognizedClientException", "invalid", AccessDenied, 401, "does not know this credential"),
        ("InvalidClientTokenId", "invalid", AccessDenied, 401, "does not know this credential"),
        ("InvalidSignatureException", "Signature expired: 1 is now earlier than 2", AccessDenied, 401, "clock"),
        ("InvalidSignatureException", "Signature not yet current: 1", AccessDenied, 401, "clock"),
        ("SignatureDoesNotMatch", "does not match", AccessDenied, 401, "secret access key"),
        ("ThrottlingException", "Rate exceeded", RegistryError, 429, "try again later"),
        ("TooManyRequestsException", "", RegistryError, 429, "try again later"),
        ("RepositoryNotFoundException", "it does not exist", NotFound, 404, "wrong account or region"),
        ("LimitExceededException", "100000", RegistryError, 400, "Service Quotas"),
        ("KmsException", "no key", RegistryError, 400, "kms:CreateGrant"),
        ("OptInRequired", "", AccessDenied, 403, "region is not enabled"),
        ("ServerException", "down", RegistryError, 500, "ServerException: down"),
        ("SomethingNew", "of AWS's", RegistryError, 500, "SomethingNew: of AWS's"),
    ],
)
def test_what_becomes_of_a_code(code: str, words: str, kind: type[RegistryError], status: int, remedy: str) -> None:
    """The class says what it is, the sentence where and what to do."""
    made = refusal(ASKED, code=code, words=words, status=500)
    expected = status if kind is not RegistryError or status == 429 else 500

    assert kind is type(made)
    assert (expected, (code,), words, ASKED.where, ASKED.action) == (
        made.status, made.codes, made.words, made.where, made.asked
    )  # fmt: skip
    assert str(made).startswith(f"{ASKED.where}: ")
    assert remedy in str(made)


@pytest.mark.parametrize(("code", "is_temporary"), [("ThrottlingException", True), ("LimitExceededException", False)])
def test_what_may_be_tried_again(code: str, is_temporary: bool) -> None:
    """A rate is over in a moment, a quota is not."""
    assert is_temporary is refusal(ASKED, code=code, words="").is_temporary


def test_words_are_for_a_terminal() -> None:
    """No escapes, no line breaks, no end without end."""
    made = refusal(ASKED, code="ServerException", words="a\x1b[31m\n  b" + "c" * 10_000)

    assert made.words.startswith("a[31m bccc")
    assert 1000 == len(made.words)


class TestPermission:
    def test_the_least_statement(self) -> None:
        """Action, resource and principal are AWS's own."""
        told = permission(denied("ecr:PutImage", why=" because no identity-based policy allows it"), "ecr:PutImage")

        assert told == (
            f'give {ME} the statement {{"Effect": "Allow", "Action": "ecr:PutImage", "Resource": "{THERE}"}} '
            "(mirror doctor --iam prints all that a use needs)"
        )

    def test_for_everything(self) -> None:
        """GetAuthorizationToken knows no resource."""
        assert '"Resource": "*"' in permission(denied("ecr:GetAuthorizationToken", "*"), "ecr:GetAuthorizationToken")
        assert '"Resource": "*"' in permission(f"User: {ME} is not authorized to perform: ecr:X", "ecr:X")

    @pytest.mark.parametrize(
        ("why", "told"),
        [
            (" with an explicit deny in a service control policy", "an explicit deny in a service control policy goes"),
            (" because no permissions boundary allows the x action", "a permissions boundary stands in the way"),
            (" because no session policy allows the x action", "a session policy stands in the way"),
            (
                " because no resource-based policy allows the x action",
                f"the policy of {THERE} itself (policy_file) must allow",
            ),
        ],
    )
    def test_what_a_statement_would_not_help(self, why: str, told: str) -> None:
        """A deny, a bound, another account: what is to be changed is elsewhere."""
        remedy = permission(denied("ecr:PutImage", why=why), "ecr:PutImage")

        assert remedy.startswith(told)
        assert '"Effect"' not in remedy

    def test_tags(self) -> None:
        """What AWS asks for is not what was asked of it (estahn/k8s-image-swapper#416)."""
        told = permission(denied("ecr:TagResource"), "ecr:CreateRepository")

        assert '"Action": "ecr:TagResource"' in told
        assert "or configure no tags" in told

    def test_a_role(self) -> None:
        """It takes two: who assumes, and who lets itself be assumed."""
        role = "arn:aws:iam::123456789012:role/mirror"

        told = permission(denied("sts:AssumeRole", role), "sts:AssumeRole")

        assert f"the trust policy of {role}" in told
        assert "external id" in told
