"""What Harbor's side of a destination makes, tells before a sync, finds, and repairs: asked of a running Harbor."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from mirror.app import App
from mirror.destinations.harbor.provider import HarborProvider
from mirror.errors import RegistryError, UsageError
from mirror.findings import Finding
from mirror.http.proxies import Proxies
from mirror.settings import Settings
from tests.destinations.harbor.conftest import Site
from tests.servers.certificates import Certificates
from tests.servers.distribution import Distribution
from tests.servers.harbor import harbor
from tests.servers.harbor_state import ADMIN, ADMIN_PASSWORD, PUSHES, READS, immutable, retaining, selector
from tests.servers.loopback import Handler, Response, serving

DAY_S = 24 * 3600


@asynccontextmanager
async def provider(site: Site, **document: Any) -> AsyncIterator[HarborProvider]:
    """That of *site*, as the program makes it; *document* as for Site.settings."""
    async with App(site.settings(**document), {}, Proxies()) as app:
        made = app.mirror().provider
        assert isinstance(made, HarborProvider)
        yield made


def paths(site: Site) -> list[str]:
    """The repositories that a release goes to, as a sync names them."""
    return [f"{site.name}/l5d/{name}" for name in ("controller", "proxy", "web", "prometheus", "mirror-record")]


async def found(site: Site, **document: Any) -> dict[str, Finding]:
    """What is examined, by check."""
    async with provider(site, **document) as made:
        findings = await made.examine(paths(site))
    assert {"destination test"} == {each.subject for each in findings}
    assert [] == [each for each in findings if (each.state == "ok") == bool(each.remedy)]
    return {each.check: each for each in findings}


async def surveyed(site: Site, size: int = 0, **document: Any) -> tuple[str, ...]:
    """What is told before a sync."""
    async with provider(site, **document) as made:
        return await made.survey(paths(site), size)


def states(findings: Mapping[str, Finding]) -> dict[str, str]:
    return {check: each.state for check, each in findings.items()}


@pytest.fixture
def reader(site: Site) -> Site:
    """The robot may read what there is to know of the project."""
    site.robot.may = {"*": PUSHES | READS}
    return site


class TestPrepare:
    async def test_once_a_run(self, site: Site) -> None:
        """However often it is asked for, and at once."""
        async with provider(site) as made:
            await asyncio.gather(*(made.prepare(path) for path in paths(site)))
            await made.prepare(paths(site)[0])

        assert 2 == len(site.harbor.asked("[A-Z]+ /api/.*"))

    async def test_a_refusal_is_told_each_time(self, site: Site) -> None:
        """And asked for once."""
        del site.harbor.projects[site.name]
        async with provider(site) as made:
            for _ in range(2):
                with pytest.raises(RegistryError, match=f"Harbor has no project {site.name}: create it"):
                    await made.prepare(paths(site)[0])

        assert 1 == len(site.harbor.asked("[A-Z]+ /api/.*"))

    @pytest.mark.parametrize("how", ["hidden", "refused", "something else"])
    async def test_an_api_that_does_not_say(self, site: Site, how: str) -> None:
        """Keeps nobody from trying."""
        site.harbor.hides_api = how == "hidden"
        wrong = {"password": "wrong"} if how == "refused" else {}
        if how == "something else":
            with nonsense() as url:
                async with provider(site, registry={"endpoint": url}) as made:
                    await made.prepare(paths(site)[0])
            return

        async with provider(site, registry=wrong) as made:
            await made.prepare(paths(site)[0])

    async def test_a_project_that_is_a_number(self, site: Site) -> None:
        """Is asked for by its name, not by that number."""
        site.harbor.projects["123"] = site.harbor.projects.pop(site.name)
        async with provider(site, prefix="123/l5d") as made:
            await made.prepare("123/l5d/web")

        [seen] = site.harbor.asked("GET /api/v2.0/projects/123")
        assert "true" == seen.headers["x-is-resource-name"]

    async def test_without_a_project(self, site: Site) -> None:
        """There is no repository."""
        async with App(site.settings(), {}, Proxies()) as app:
            with pytest.raises(UsageError, match=f"give {site.harbor.host}/PROJECT"):
                app.mirror(site.harbor.host)


class TestSurvey:
    async def test_a_robot_that_may_only_push(self, site: Site) -> None:
        """Nothing is said of what it may not read."""
        assert () == await surveyed(site, 10**12)

    async def test_all_is_well(self, reader: Site) -> None:
        """Nothing is said."""
        reader.project.storage_limit = 1000
        reader.project.rules = [immutable("l5d/*", "{edge,stable}-*", disabled=True), immutable("other/**")]
        reader.harbor.retain(reader.project, retaining("always", 0), retaining("latestPushedK", 3))

        assert () == await surveyed(reader, 1000)

    async def test_a_project_that_is_missing(self, site: Site) -> None:
        """Is an error, but for who makes it."""
        del site.harbor.projects[site.name]

        with pytest.raises(RegistryError, match="create_project = true"):
            await surveyed(site)
        assert (f"Harbor has no project {site.name}: a sync makes it",) == await surveyed(site, create_project=True)

    async def test_a_proxy_cache(self, reader: Site) -> None:
        """Is one too."""
        reader.project.registry_id = 1

        with pytest.raises(RegistryError, match="is a proxy cache"):
            await surveyed(reader)

    async def test_a_quota_that_is_too_small(self, reader: Site) -> None:
        """In numbers."""
        reader.project.storage_limit = 4 * 1024 * 1024
        reader.project.blobs["sha256:x"] = 3 * 1024 * 1024
        [note] = await surveyed(reader, 2 * 1024 * 1024)

        assert note.startswith(
            f"the storage quota of the project {reader.name} is 1.0 MiB too small, as 2.0 MiB are to be sent "
            "(3.0 MiB of 4.0 MiB are used (75%)): raise it"
        )

    async def test_rules(self, reader: Site) -> None:
        """Those that hold the record, hold signatures, and delete what is mirrored."""
        reader.project.rules = [immutable("**", "{edge-*,sha256-*}")]
        reader.harbor.retain(reader.project, retaining("nDaysSinceLastPull", 7))
        record, signatures, retention = await surveyed(reader)

        assert record.startswith("an immutable tag rule holds the record too (repositories matches **, tags matches ")
        assert record.endswith("let the rule exclude the repository l5d/mirror-record")
        assert signatures.endswith("a second one cannot be added: let the rule exclude the tags sha256-*")
        assert f"the project {reader.name} keeps tags such as l5d/controller:v2.4.1 only for 7 days after" in retention

    async def test_rules_that_are_not_in_the_way(self, reader: Site) -> None:
        """Immutable tags of all but the record and signatures; what they hold, retention does not delete."""
        reader.project.rules = [
            immutable(
                scope_selectors={"repository": [selector("repoExcludes", "**/mirror-record")]},
                tag_selectors=[selector("excludes", "sha256-*")],
            )
        ]
        reader.harbor.retain(
            reader.project, retaining("latestPushedK", 3, "l5d/*"), retaining("always", 0, "l5d/mirror-record")
        )

        assert () == await surveyed(reader)

    async def test_policies(self, reader: Site) -> None:
        """That keep us from reading back."""
        reader.project.metadata |= {"enable_content_trust_cosign": "true", "prevent_vul": "true", "severity": "high"}
        signed, scanned = await surveyed(reader)

        assert "lets nobody pull what is not signed" in signed
        assert "and what was not scanned; from high on: let it scan images on push" in scanned


class TestExamine:
    async def test_a_healthy_set_up(self, reader: Site) -> None:
        """A line each, all ok."""
        reader.robot.expires_at = int(time.time()) + 100 * DAY_S
        reader.project.storage_limit = 1000
        reader.harbor.retain(reader.project, retaining("always", 0))
        findings = await found(reader)

        assert dict.fromkeys(
            ("harbor", "credential", "project", "expiry", "quota", "immutable tags", "retention"), "ok"
        ) == states(findings)
        assert findings["harbor"].told.startswith("Harbor v2.")
        assert f"the robot robot${reader.robot.name}" == findings["credential"].told
        assert f"the project {reader.name} is there, private" == findings["project"].told
        assert "0 B of 1000 B are used (0%)" == findings["quota"].told

    async def test_a_robot_that_may_only_push(self, site: Site) -> None:
        """Is a healthy set-up too; what was not looked at is said once."""
        findings = await found(site)

        assert dict.fromkeys(("harbor", "credential", "project", "settings"), "ok") == states(findings)
        assert (
            "not looked at, as this account may not read it: the project (Read on Project), immutable tag rules (List "
            "on Immutable Tag)"
        ) == findings["settings"].told

    @pytest.mark.parametrize("how", ["wrong secret", "expired", "disabled", "none"])
    async def test_a_credential_that_is_refused(self, site: Site, how: str) -> None:
        """Failed, and nothing more is asked."""
        site.robot.expires_at = 1 if how == "expired" else -1
        site.robot.is_disabled = how == "disabled"
        access = {"password": "wrong"} if how == "wrong secret" else {}
        document = site.document(registry=access)
        if how == "none":
            document["registries"][site.harbor.host] = {"endpoint": site.harbor.url}
        async with App(Settings.model_validate(document), {}, Proxies()) as app:
            findings = {each.check: each for each in await app.mirror().provider.examine([])}

        assert {"harbor": "ok", "credential": "failed"} == states(findings)
        told = "there is no user name" if how == "none" else "does not take the credential of robot$"
        assert told in findings["credential"].told
        assert "Pull and Push on Repository" in findings["credential"].remedy

    async def test_an_administrator(self, site: Site) -> None:
        """Works, and is more than is needed."""
        access = {"username": ADMIN, "password": ADMIN_PASSWORD}
        findings = await found(site, registry=access)

        assert "warning" == findings["credential"].state
        assert "give it a robot account" in findings["credential"].remedy

    @pytest.mark.parametrize(("days", "state"), [(13, "warning"), (15, "ok"), (-1, None)])
    @pytest.mark.parametrize("called", ["{}+other", "other"], ids=["of the project", "of the system"])
    async def test_a_robot_that_expires(self, site: Site, called: str, days: int, state: str | None) -> None:
        """A fortnight before."""
        expires_at = int(time.time()) + days * DAY_S if state else -1
        site.robot = site.harbor.add_robot(
            called.format(site.name), PUSHES | READS, system=["robot:list"], expires_at=expires_at
        )
        finding = (await found(site))["expiry"]

        assert (state or "ok") == finding.state
        assert ("does not expire" in finding.told) == (state is None)

    async def test_one_robot_among_many(self, reader: Site) -> None:
        """On the second page of them."""
        others = [reader.harbor.add_robot(f"{reader.name}+other-{number}") for number in range(150)]
        reader.harbor.robots.remove(reader.robot)
        reader.harbor.robots.append(reader.robot)

        assert f"robot${reader.robot.name} does not expire" == (await found(reader))["expiry"].told
        assert 150 == len(others)

    @pytest.mark.parametrize(
        ("called", "makes_it", "state"),
        [("{}+other", False, "failed"), ("other", True, "warning"), ("{}+other", True, "failed")],
        ids=["nobody makes", "a sync makes", "a robot of a project cannot make"],
    )
    async def test_a_project_that_is_missing(self, site: Site, called: str, makes_it: bool, state: str) -> None:
        """Failed, unless a sync makes it."""
        del site.harbor.projects[site.name]
        site.robot = site.harbor.add_robot(called.format(site.name))
        findings = await found(site, create_project=makes_it)

        assert {"harbor": "ok", "credential": "ok", "project": state} == states(findings)
        assert f"Harbor has no project {site.name}" in findings["project"].told

    async def test_what_is_wrong_with_a_project(self, reader: Site) -> None:
        """A cache, full, its images not to be pulled."""
        reader.project.registry_id = 3
        reader.project.storage_limit = 1000
        reader.project.blobs["sha256:x"] = 1000
        reader.project.metadata |= {"enable_content_trust": "true", "prevent_vul": "true", "auto_scan": "true"}
        findings = await found(reader)

        assert {
            "project": "failed", "quota": "failed", "signed images only": "failed", "vulnerable images": "warning"
        } == {check: state for check, state in states(findings).items() if state != "ok"}  # fmt: skip
        assert "it is full: 1000 B of 1000 B are used (100%)" == findings["quota"].told
        assert "(Notation)" in findings["signed images only"].told

    @pytest.mark.parametrize(("auto_scan", "state"), [("true", "warning"), ("false", "failed")])
    async def test_vulnerable_images(self, reader: Site, auto_scan: str, state: str) -> None:
        """Can be read back once they were scanned, if anybody does."""
        reader.project.metadata |= {"prevent_vul": "true", "auto_scan": auto_scan}

        assert state == (await found(reader))["vulnerable images"].state

    async def test_a_quota_that_is_nearly_full(self, reader: Site) -> None:
        """From nine tenths on."""
        reader.project.storage_limit = 1000
        reader.project.blobs["sha256:x"] = 899
        assert "ok" == (await found(reader))["quota"].state
        reader.project.blobs["sha256:x"] = 900

        assert "warning" == (await found(reader))["quota"].state

    async def test_rules_that_are_in_the_way(self, reader: Site) -> None:
        """Warnings: images are mirrored all the same."""
        reader.project.rules = [immutable("**/mirror-record")]
        reader.harbor.retain(reader.project, retaining("latestPulledN", 2, tag="v*"))
        findings = await found(reader)

        assert ("warning", "warning") == (findings["immutable tags"].state, findings["retention"].state)
        assert "l5d/mirror-record" in findings["immutable tags"].remedy

    async def test_a_harbor_that_is_not_well(self, site: Site) -> None:
        """Its parts are named; read-only is a failure."""
        site.harbor.unhealthy, site.harbor.is_read_only = ("jobservice", "redis"), True
        findings = await found(site)

        assert "of which is not well: jobservice, redis" in findings["harbor"].told
        assert ("warning", "failed") == (findings["harbor"].state, findings["read-only"].state)

    async def test_an_external_url_on_http(
        self, site: Site, certificates: Certificates, open_distribution: Distribution
    ) -> None:
        """Behind TLS: no client gets a token."""
        with harbor(open_distribution.host, certificates=certificates) as behind_tls:
            behind_tls.external_scheme = "http"
            behind_tls.robots, behind_tls.projects = site.harbor.robots, site.harbor.projects
            site.harbor = behind_tls
            findings = await found(site, registry={"ca_file": str(certificates.authority)})

        assert "failed" == findings["external url"].state
        assert "set external_url in harbor.yml" in findings["external url"].remedy

    async def test_an_api_that_is_hidden(self, site: Site) -> None:
        """A warning: a sync does without."""
        site.harbor.hides_api = True
        findings = await found(site)

        assert {"harbor": "warning"} == states(findings)
        assert "not found (404)" in findings["harbor"].told

    async def test_what_is_no_harbor(self, site: Site) -> None:
        """Answers that cannot be read end nothing."""
        with nonsense() as url:
            findings = await found(site, registry={"endpoint": url})

        assert {"harbor": "warning"} == states(findings)
        assert "is this host a Harbor?" in findings["harbor"].told

    async def test_nothing_is_written(self, reader: Site) -> None:
        """By looking."""
        await found(reader, create_project=True)
        await surveyed(reader, create_project=True)

        assert [] == reader.writes()

    async def test_the_secret_is_kept(self, site: Site) -> None:
        """Out of what is found, and of what the provider looks like."""
        findings = await found(site, registry={"password": "wrong-and-secret"})
        async with provider(site, registry={"password": "wrong-and-secret"}) as made:
            await made.examine([])

            assert "wrong-and-secret" not in repr(made)
        assert "wrong-and-secret" not in json.dumps([each.document() for each in findings.values()])


class TestRepair:
    async def test_a_project_is_made(self, site: Site) -> None:
        """If it is to be made, and is missing."""
        del site.harbor.projects[site.name]
        site.robot = site.harbor.add_robot("mirror", system=["project:create"])
        async with provider(site) as made:
            assert () == await made.repair(paths(site))
        assert {} == site.harbor.projects
        async with provider(site, create_project=True) as made:
            [finding] = await made.repair(paths(site))
            assert () == await made.repair(paths(site))

        assert ("project", "ok", f"the project {site.name} was made") == (finding.check, finding.state, finding.told)
        assert [site.name] == list(site.harbor.projects)

    async def test_a_project_that_cannot_be_made(self, site: Site) -> None:
        """Why, and who can."""
        del site.harbor.projects[site.name]
        async with provider(site, create_project=True) as made:
            [finding] = await made.repair(paths(site))

        assert "failed" == finding.state
        assert "Only system level robot can create project" in finding.told
        assert "permission Create on Project" in finding.remedy


@contextmanager
def nonsense() -> Iterator[str]:
    """A server that answers everything with a page, and calls it JSON; yields its URL."""

    class Page(Handler):
        def respond(self) -> None:
            self.read_body()
            self.send(Response(200, {"Content-Type": "application/json"}, b"<html>hello</html>"))

    with serving(Page) as host:
        yield f"http://{host}"
