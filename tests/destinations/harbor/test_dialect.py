"""What Harbor's answers mean, by values: each with the sentence that an operator gets."""

from __future__ import annotations

import json

import pytest

from mirror.destinations.harbor.dialect import HarborDialect
from mirror.errors import AccessDenied, ImmutableTag, NotFound, RegistryError
from mirror.http.answer import Answer
from mirror.oci.registry import refusal
from tests.content import image

WHERE = "harbor.example.com:8443/linkerd/l5d/web:v1"
dialect = HarborDialect()


def answer(status: int, code: str = "", message: str = "", challenge: str | None = None) -> Answer:
    headers = {} if challenge is None else {"www-authenticate": challenge}
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode() if code else b""
    return Answer(status, headers, body, f"https://{WHERE}")


def told(status: int, code: str = "", message: str = "", *, asked: str = "PUT") -> RegistryError:
    """What becomes of a refusal."""
    refused = refusal(answer(status, code, message), where=WHERE, asked=asked)
    return dialect.explained(refused, manifest=image(b"a layer").manifest)


class TestMeant:
    @pytest.mark.parametrize(
        ("given", "sent", "status"),
        [
            (answer(401, "UNAUTHORIZED", "project linkerd not found: project linkerd not found", ""), "Bearer x", 404),
            (answer(401, "UNAUTHORIZED", "project linkerd not found: project linkerd not found", ""), "", 404),
            (answer(401, challenge=""), "Bearer x", 404),
            (answer(401, challenge=""), "", 401),
            (answer(401, "UNAUTHORIZED", "dial tcp: connection refused", ""), "Bearer x", 401),
            (answer(401, "UNAUTHORIZED", "unauthorized", 'Basic realm="harbor"'), "Bearer x", 401),
            (answer(401, challenge='Bearer realm="https://harbor.example.com/service/token"'), "", 401),
            (answer(403, "DENIED", "project x not found"), "Bearer x", 403),
        ],
        ids=[
            "a project that is missing",
            "found by who is nobody",
            "found by HEAD",
            "a gateway before it",
            "its database is down",
            "an account that may not",
            "an ordinary challenge",
            "another refusal",
        ],
    )
    def test_a_401(self, given: Answer, sent: str, status: int) -> None:
        """Is a 404 only where it can be nothing else than a project that is missing."""
        assert status == dialect.meant(given, sent=sent).status


class TestExplained:
    @pytest.mark.parametrize(
        ("status", "code", "message", "kind", "words"),
        [
            (
                404, "UNAUTHORIZED", "project linkerd not found: project linkerd not found", NotFound,
                ["Harbor has no project linkerd", "create_project = true"],
            ),
            (
                401, "UNAUTHORIZED", "unauthorized to access repository: linkerd/l5d/web, action: push", AccessDenied,
                ["this account push here", "Pull and Push on Repository in the project linkerd", "expired"],
            ),
            (
                412, "PRECONDITION", "Failed to process request due to 'l5d/web:v1' configured as immutable.",
                ImmutableTag, ["an immutable tag rule of the project linkerd", "'l5d/web:v1' configured as immutable"],
            ),
            (
                412, "PROJECTPOLICYVIOLATION", "The image is not signed by cosign.", RegistryError,
                ["The image is not signed by cosign.", "Deployment security", "the project linkerd"],
            ),
            (
                412, "PROJECTPOLICYVIOLATION", "current image without vulnerability scanning cannot be pulled",
                RegistryError, ["without vulnerability scanning", "scan images on push and sync again"],
            ),
            (
                403, "DENIED",
                (
                    "adding 26.4 MiB of storage resource, which when updated to current usage of 90.1 MiB will exceed "
                    "the configured upper limit of 100.0 MiB."
                ),
                RegistryError, ["90.1 MiB of 100.0 MiB are used, and 26.4 MiB more are needed", "Project Quotas"],
            ),
            (
                403, "DENIED", "denied: can not push artifact to a proxy project: linkerd", RegistryError,
                ["the project linkerd is a proxy cache", "an ordinary project"],
            ),
            (
                403, "DENIED", "The system is in read only mode. Any modification is prohibited.", RegistryError,
                ["read-only mode", "Repository Read Only"],
            ),
            (
                413, "REQUEST_ENTITY_TOO_LARGE", "request entity too large", RegistryError,
                [f"the manifest has {image(b'a layer').manifest.size} bytes", "4 MiB"],
            ),
            (
                413, "", "", RegistryError,
                ["what stands before Harbor", 'nginx.ingress.kubernetes.io/proxy-body-size: "0"'],
            ),
        ],
    )  # fmt: skip
    def test_a_refusal(self, status: int, code: str, message: str, kind: type[RegistryError], words: list[str]) -> None:
        """Says where, what is so in Harbor, and what to do; the facts of it stay."""
        error = told(status, code, message)

        assert type(error) is kind
        assert str(error).startswith(f"{WHERE}: ")
        assert [] == [each for each in words if each not in str(error)]
        assert (status, WHERE, "PUT") == (error.status, error.where, error.asked)
        assert ((code,) if code else ()) == error.codes
        assert not error.is_temporary

    @pytest.mark.parametrize(
        ("asked", "action"), [("GET", "pull"), ("HEAD", "pull"), ("POST", "push"), ("PUT", "push")]
    )
    def test_an_account_that_may_not_where_no_words_are(self, asked: str, action: str) -> None:
        """An answer to HEAD says nothing of what was asked for."""
        assert f"Harbor does not let this account {action} here (401 to {asked})" in str(told(401, asked=asked))

    @pytest.mark.parametrize("status", [400, 403, 404, 412, 500])
    def test_what_is_not_known(self, status: int) -> None:
        """Stays as it is."""
        refused = refusal(answer(status, "SOMETHING", "else"), where=WHERE, asked="PUT")

        assert refused is dialect.explained(refused)
