"""`mirror doctor` before Harbor: a set-up that is healthy, and those that are broken, each by the line that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.findings import DoctorReport, Finding
from tests.destinations.harbor.conftest import Site
from tests.runs import examine, sync
from tests.servers.certificates import Certificates
from tests.servers.distribution import Distribution
from tests.servers.harbor import harbor
from tests.servers.harbor_state import READS, immutable
from tests.servers.upstream import Upstream

SUBJECT = "destination test"
GENERAL = ("reachable", "clock", "credential", "pull", "push")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def failed(report: DoctorReport) -> dict[tuple[str, str], Finding]:
    assert 1 == report.exit_code
    found = {(each.subject, each.check): each for each in report.findings if each.state == "failed"}
    assert all(finding.remedy for finding in found.values())
    return found


def states(report: DoctorReport) -> dict[str, str]:
    return {each.check: each.state for each in report.findings if each.subject == SUBJECT}


async def test_healthy(site: Site) -> None:
    """Also before the first sync: an upload that is given up leaves no repository in Harbor."""
    site.robot.may["*"] |= READS  # type: ignore[index]
    before = await examine(site.settings())
    assert not site.project.artifacts
    await sync(site.settings())
    report = await examine(site.settings())

    assert dict.fromkeys(GENERAL, "ok") == {check: states(before)[check] for check in GENERAL}
    assert {"ok"} == set(states(report).values())
    assert {*GENERAL, "referrers", "blob mounting", "harbor", "project", "quota"} <= set(states(report))


async def test_a_missing_project(site: Site) -> None:
    """It is named, with what makes it."""
    settings = site.settings(prefix="nowhere/l5d")
    found = failed(await examine(settings))

    assert [(SUBJECT, "project")] == list(found)
    assert "nowhere" in found[SUBJECT, "project"].told
    assert "create_project" in found[SUBJECT, "project"].remedy


async def test_a_robot_without_push(site: Site) -> None:
    """The permission that it lacks."""
    site.robot.may = {"*": frozenset({"repository:pull"})}
    found = failed(await examine(site.settings()))

    assert [(SUBJECT, "push")] == list(found)
    assert f"{site.name}+mirror the right to push to" in found[SUBJECT, "push"].remedy


async def test_a_proxy_cache_project(site: Site) -> None:
    """Nobody can push there."""
    site.project.registry_id = 1
    site.robot.may["*"] |= READS  # type: ignore[index]
    found = failed(await examine(site.settings()))

    assert (SUBJECT, "project") in found
    assert "proxy cache" in found[SUBJECT, "project"].told
    assert "project" in found[SUBJECT, "project"].remedy


async def test_a_full_quota(site: Site) -> None:
    """With its numbers."""
    site.project.storage_limit = 1000
    site.project.blobs["sha256:0"] = 1000
    site.robot.may["*"] |= READS  # type: ignore[index]
    found = failed(await examine(site.settings()))

    assert [(SUBJECT, "quota")] == list(found)
    assert "it is full: 1000 B of 1000 B are used (100%)" == found[SUBJECT, "quota"].told
    assert "raise" in found[SUBJECT, "quota"].remedy


async def test_rules_that_clash(site: Site) -> None:
    """What is in step stays so; the record could not be renewed, nor a signature be added: both are warned of."""
    site.project.rules.append(immutable())
    site.robot.may["*"] |= READS  # type: ignore[index]
    report = await examine(site.settings())

    record, signatures = [each for each in report.findings if each.check == "immutable tags"]
    assert ("warning", "warning") == (record.state, signatures.state)
    assert "holds the record too" in record.told
    assert "let the rule exclude the repository l5d/mirror-record" == record.remedy
    assert "let the rule exclude the tags sha256-*" == signatures.remedy


async def test_an_authority_that_is_unknown(
    upstream: Upstream, open_distribution: Distribution, certificates: Certificates, site: Site, tmp_path: Path
) -> None:
    """Nothing else is asked over such a connection."""
    with harbor(open_distribution.host, certificates=certificates) as secure:
        secure.add_project(site.name)
        secured = Site(secure, upstream, secure.add_robot("mirror"), site.name, tmp_path / "overrides")
        found = failed(await examine(secured.settings()))

    assert [(SUBJECT, "TLS")] == list(found)
    assert f'registries."{secure.host}".ca_file = ' in found[SUBJECT, "TLS"].remedy


async def test_a_credential_that_is_refused(site: Site) -> None:
    """One line, for the one cause."""
    site.robot.secret, settings = "another", site.settings()
    found = failed(await examine(settings))

    assert [(SUBJECT, "credential")] == list(found)
