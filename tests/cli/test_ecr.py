"""The whole job into Amazon ECR, as an operator does it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Desk
from tests.destinations.ecr.least import denied_to
from tests.destinations.ecr.test_api import LIFECYCLE, POLICY
from tests.servers.ecr import Ecr, EcrError
from tests.servers.upstream import CHARTS, RELEASE

IMAGES = ["linkerd/controller", "linkerd/mirror-record", "linkerd/prometheus", "linkerd/proxy", "linkerd/web"]
NAMES = sorted([*IMAGES, *(f"linkerd/charts/{chart}" for chart in CHARTS)])
SECRET = "hunter2-of-aws"


@pytest.fixture
def desk(ecr: Ecr, desk: Desk, keys: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk with access keys; nothing is configured but where ECR is reached."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", ecr.url)
    desk.configure(registries={ecr.host: {"endpoint": ecr.url}})
    return desk


def configure(desk: Desk, ecr: Ecr, **keys: Any) -> None:
    """A destination with *keys*."""
    destination = {"kind": "ecr", "registry": ecr.host, "prefix": "linkerd", **keys}
    desk.configure(registries={ecr.host: {"endpoint": ecr.url}}, destinations={"production": destination})


def written(ecr: Ecr) -> list[str]:
    """What was asked of the registry that writes."""
    return [f"{seen.method} {seen.path}" for seen in ecr.requests if seen.method not in ("GET", "HEAD")]


def test_from_an_empty_account(ecr: Ecr, desk: Desk) -> None:
    """In step, with no configuration but credentials; again, and nothing is written, though tags are immutable."""
    to = ("--to", f"{ecr.host}/linkerd")
    first = desk.run("sync", RELEASE, *to)
    repositories = sorted(ecr.backend.repositories)
    ecr.requests.clear()
    ecr.calls.clear()
    second = desk.run("sync", RELEASE, *to)

    assert (0, 0) == (first.code, second.code)
    assert NAMES == repositories
    assert [] == written(ecr)
    assert ["GetAuthorizationToken"] == ecr.actions
    assert 0 == desk.run("verify", "--deep", *to).code


def test_no_request_is_refused(ecr: Ecr, desk: Desk) -> None:
    """What ECR asks for is known before it asks: every request has a password."""
    desk.run("sync", RELEASE, "--to", f"{ecr.host}/linkerd")

    assert ecr.requests
    assert [] == [seen for seen in ecr.requests if "authorization" not in seen.headers]


def test_a_plan_makes_nothing(ecr: Ecr, desk: Desk) -> None:
    """And asks for nothing that is written."""
    said = desk.run("plan", RELEASE, "--to", f"{ecr.host}/linkerd")

    assert 4 == said.code
    assert [] == list(ecr.backend.repositories)
    assert [] == written(ecr)


def test_with_the_least_that_is_allowed(ecr: Ecr, desk: Desk, tmp_path: Path) -> None:
    """What docs/iam/ has for making repositories is enough for all that may be configured."""
    (tmp_path / "policy.json").write_text(POLICY)
    (tmp_path / "lifecycle.json").write_text(LIFECYCLE)
    repository = {
        "tags": {"team": "mesh"},
        "policy_file": "policy.json",
        "lifecycle_policy_file": "lifecycle.json",
        "scan_on_push": True,
    }
    configure(desk, ecr, repository=repository)
    ecr.denied = denied_to("sync-create", ecr)
    said = desk.run("sync", RELEASE)

    assert 0 == said.code, said.err
    assert NAMES == sorted(ecr.backend.repositories)


def test_with_the_least_for_repositories_that_are_there(ecr: Ecr, desk: Desk) -> None:
    """To sync, and to verify what was."""
    for name in NAMES:
        ecr.create(name)
    ecr.denied = denied_to("sync", ecr)
    synced = desk.run("sync", RELEASE, "--to", f"{ecr.host}/linkerd")
    ecr.denied = denied_to("verify", ecr)
    verified = desk.run("verify", "--deep", "--to", f"{ecr.host}/linkerd")

    assert 0 == synced.code, synced.err
    assert 0 == verified.code, verified.err


def test_a_permission_that_is_missing(ecr: Ecr, desk: Desk) -> None:
    """The report names it for every image, with the statement."""
    ecr.denied.add("ecr:CreateRepository")
    said = desk.run("sync", RELEASE, "--to", f"{ecr.host}/linkerd", "-o", "json")
    reasons = [image["reason"] for release in said.document["releases"] for image in release["images"]]

    assert 1 == said.code
    assert 4 == len(reasons)
    assert all('"Action": "ecr:CreateRepository"' in reason for reason in reasons)


def test_no_credential(ecr: Ecr, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked for, in AWS and in Docker's configuration; AWS is not asked."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    said = desk.run("sync", RELEASE, "--to", f"{ecr.host}/linkerd")

    assert 1 == said.code
    assert "no AWS credential was found: looked for in the environment" in said.out + said.err
    assert "Docker's configuration has none" in said.out + said.err
    assert [] == ecr.calls


def test_a_login_of_dockers(ecr: Ecr, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where AWS has no credential, `docker login` is enough for repositories that are there."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    password, _ = ecr.issue_token()
    auth = base64.b64encode(f"AWS:{password}".encode()).decode()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {ecr.host: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in NAMES:
        ecr.create(name)
    configure(desk, ecr, repository_creation="never")

    assert 0 == desk.run("sync", RELEASE).code
    assert [] == ecr.calls


def test_a_password_that_is_configured(ecr: Ecr, desk: Desk, tmp_path: Path) -> None:
    """It comes first, before AWS's own."""
    (tmp_path / "password").write_text(ecr.issue_token()[0])
    for name in NAMES:
        ecr.create(name)
    entry = {"endpoint": ecr.url, "username": "AWS", "password_file": "password"}
    destination = {"kind": "ecr", "registry": ecr.host, "prefix": "linkerd", "repository_creation": "never"}
    desk.configure(registries={ecr.host: entry}, destinations={"production": destination})

    assert 0 == desk.run("sync", RELEASE).code
    assert "GetAuthorizationToken" not in ecr.actions


def test_secrets_are_nowhere(ecr: Ecr, desk: Desk) -> None:
    """Neither AWS's key nor ECR's password is in output, logs at their most talkative, or errors."""
    ecr.denied.add("ecr:PutImage")
    said = desk.run("--log-level", "debug", "sync", RELEASE, "--to", f"{ecr.host}/linkerd", "-o", "json")
    passwords = [*ecr.tokens, *(base64.b64encode(f"AWS:{password}".encode()).decode() for password in ecr.tokens)]

    assert 1 == said.code
    assert passwords
    assert [] == [secret for secret in [SECRET, *passwords] if secret in said.out + said.err]


def test_secrets_are_nowhere_in_a_process(ecr: Ecr, desk: Desk) -> None:
    """Nor in what botocore would log of itself, nor in the process list."""
    process = desk.start("--log-level", "debug", "sync", RELEASE, "--to", f"{ecr.host}/linkerd")
    command_line = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
    out, err = process.communicate(timeout=60)

    assert 0 == process.returncode
    assert [] == [secret for secret in [SECRET, *ecr.tokens] if secret in out + err + command_line]


@pytest.mark.parametrize(
    ("text", "told"), [("{", "must be a JSON object"), ("[]", "must be a JSON object"), (None, "cannot be read")]
)
def test_a_policy_file(ecr: Ecr, desk: Desk, tmp_path: Path, text: str | None, told: str) -> None:
    """One that does not do is the operator's input, by its key."""
    if text is not None:
        (tmp_path / "policy.json").write_text(text)
    configure(desk, ecr, repository={"policy_file": "policy.json"})
    said = desk.run("sync", RELEASE)

    assert 2 == said.code
    assert "destinations.production.repository.policy_file: policy.json" in said.sentences[0]
    assert told in said.sentences[0]


def test_an_expired_session(ecr: Ecr, desk: Desk) -> None:
    """AWS's words, and what to do."""
    ecr.refusals["*"] = EcrError("ExpiredTokenException", "The security token included in the request is expired")
    said = desk.run("sync", RELEASE, "--to", f"{ecr.host}/linkerd")

    assert 1 == said.code
    assert "aws sso login" in said.out + said.err
    assert 1 == ecr.actions.count("GetAuthorizationToken")
