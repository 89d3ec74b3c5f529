"""`mirror doctor` before ECR: a set-up that is healthy, and those that are broken, each by the line that says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from mirror.findings import DoctorReport, Finding
from mirror.settings import Settings
from tests.runs import examine, sync
from tests.servers.certificates import Certificates
from tests.servers.ecr import Ecr, EcrError, ecr_server
from tests.servers.fake import ALWAYS, Fault, becomes, fake_registry, header
from tests.servers.upstream import Upstream, upstream_server

SUBJECT = "destination production"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with upstream_server() as running:
        running.publish()
        yield running


@pytest.fixture(autouse=True)
def _at(ecr: Ecr, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS is *ecr*, asked with keys of the environment; values would be written here."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", ecr.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def into(upstream: Upstream, ecr: Ecr, *, endpoint: str = "", **table: Any) -> Settings:
    """*upstream*, and *ecr* as the destination `production`, whose keys are *table*."""
    destination = {"kind": "ecr", "registry": ecr.host, "prefix": "linkerd"} | table
    registry = {ecr.host: {"endpoint": endpoint or ecr.url}}
    return upstream.settings(destinations={"production": destination}, registries=registry)


def failed(report: DoctorReport) -> dict[tuple[str, str], Finding]:
    """What failed; one cause is one line, with what to do about it."""
    found = {(each.subject, each.check): each for each in report.findings if each.state == "failed"}
    assert 1 == report.exit_code
    assert len(found) == sum(each.state == "failed" for each in report.findings)
    assert all(finding.remedy for finding in found.values())
    return found


def states(report: DoctorReport) -> dict[str, str]:
    return {each.check: each.state for each in report.findings if each.subject == SUBJECT}


async def test_healthy(upstream: Upstream, ecr: Ecr) -> None:
    """Every line of ECR's is ok, and no repository is made by asking."""
    ecr.settings["BLOB_MOUNTING"] = "ENABLED"
    settings = into(upstream, ecr)
    before = await examine(settings)
    assert not ecr.backend.repositories
    await sync(settings)
    made = set(ecr.backend.repositories)
    report = await examine(settings)

    general = ("reachable", "clock", "credential", "pull", "push", "referrers", "blob mounting")
    assert dict.fromkeys((*general, "who am I", "region", "create", "repositories"), "ok") == states(report)
    assert {"push": "warning", "create": "warning"} == {
        check: state for check, state in states(before).items() if state != "ok"
    }
    assert made == set(ecr.backend.repositories)
    assert "PutImage" not in ecr.actions[-30:]


async def test_the_wrong_region(upstream: Upstream, ecr: Ecr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the repositories that others made is there; what the AWS configuration says is a hint."""
    ecr.create("linkerd/mirror-record")
    monkeypatch.setenv("AWS_DEFAULT_REGION", ecr.region)
    with ecr_server(tmp_path / "elsewhere", region="eu-central-1") as elsewhere:
        monkeypatch.setenv("AWS_ENDPOINT_URL", elsewhere.url)
        report = await examine(into(upstream, elsewhere, repository_creation="never"))

    found = failed(report)
    assert [(SUBJECT, "repositories")] == list(found)
    assert "linkerd/mirror-record" in found[SUBJECT, "repositories"].told
    assert "the registry's host names the wrong account or region" in found[SUBJECT, "repositories"].remedy
    [region] = [each for each in report.findings if each.check == "region"]
    assert "none of 8 repositories is in eu-central-1; the AWS configuration says eu-west-1" == region.told


async def test_an_expired_session(upstream: Upstream, ecr: Ecr) -> None:
    """AWS gives no password: one line, for the one cause."""
    words = "The security token included in the request is expired"
    ecr.refusals["*"] = EcrError("ExpiredTokenException", words)
    found = failed(await examine(into(upstream, ecr)))

    assert [(SUBJECT, "credential")] == list(found)
    assert words in found[SUBJECT, "credential"].told
    assert "sign in again (aws sso login)" in found[SUBJECT, "credential"].remedy


async def test_a_missing_right_to_tag(upstream: Upstream, ecr: Ecr) -> None:
    """ecr:TagResource, which is needed to make a repository with tags (estahn/k8s-image-swapper#416)."""
    ecr.create("linkerd/mirror-record")
    ecr.denied.add("ecr:TagResource")
    found = failed(await examine(into(upstream, ecr, repository={"tags": {"team": "platform"}})))

    assert [(SUBJECT, "create")] == list(found)
    assert "is not authorized to perform: ecr:TagResource" in found[SUBJECT, "create"].told
    assert '"Action": "ecr:TagResource"' in found[SUBJECT, "create"].remedy
    assert "or configure no tags" in found[SUBJECT, "create"].remedy


async def test_a_record_that_may_not_be_changed(upstream: Upstream, ecr: Ecr) -> None:
    """Its tag could be written once: every later sync would clash; --fix sets it right."""
    ecr.create("linkerd/mirror-record", imageTagMutability="IMMUTABLE")
    found = failed(await examine(into(upstream, ecr)))
    report = await examine(into(upstream, ecr), fix=True)

    assert [(SUBJECT, "repositories")] == list(found)
    assert "linkerd/mirror-record" in found[SUBJECT, "repositories"].told
    assert "mirror doctor --fix" in found[SUBJECT, "repositories"].remedy
    assert {"ok"} == {finding.state for finding in report.repaired}
    assert 0 == report.exit_code


async def test_no_right_to_push(upstream: Upstream, ecr: Ecr) -> None:
    """In AWS's words, with the action."""
    ecr.create("linkerd/mirror-record")
    ecr.denied.add("ecr:InitiateLayerUpload")
    found = failed(await examine(into(upstream, ecr)))

    assert [(SUBJECT, "push")] == list(found)
    assert "is not authorized to perform: ecr:InitiateLayerUpload" in found[SUBJECT, "push"].told


async def test_an_authority_that_is_unknown(upstream: Upstream, ecr: Ecr, certificates: Certificates) -> None:
    """As behind a proxy that breaks TLS open: it is named where it is not trusted."""
    with fake_registry(certificates=certificates) as secure:
        found = failed(await examine(into(upstream, ecr, endpoint=secure.url)))

    assert (SUBJECT, "TLS") in found
    assert f'registries."{ecr.host}".ca_file = ' in found[SUBJECT, "TLS"].remedy


async def test_a_skewed_clock(upstream: Upstream, ecr: Ecr) -> None:
    """The registry says what time it is, AWS that what we sign is too old: both lines lead to the clock."""
    date = format_datetime(datetime(2020, 8, 2, tzinfo=UTC), usegmt=True)
    ecr.refusals["*"] = EcrError("InvalidSignatureException", "Signature expired: 20260802T120000Z is now earlier")
    with fake_registry() as wrong:
        wrong.faults.append(Fault("GET /v2/", becomes(header(Date=date)), times=ALWAYS))
        found = failed(await examine(into(upstream, ecr, endpoint=wrong.url)))

    assert [(SUBJECT, "clock"), (SUBJECT, "credential")] == list(found)
    assert "timedatectl set-ntp true" in found[SUBJECT, "clock"].remedy
    assert "this machine's clock is wrong by more than AWS bears" in found[SUBJECT, "credential"].remedy
