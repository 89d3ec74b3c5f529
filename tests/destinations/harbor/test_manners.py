"""Each of Harbor's manners against our own client, from a release upstream to a project in step."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager

import pytest

from mirror.destinations.harbor.dialect import HarborDialect
from mirror.oci.registry import Registry
from tests.content import Image, artifact, image, push
from tests.destinations.harbor.conftest import Site
from tests.runs import only, outcomes, plan, reasons, sync
from tests.servers.certificates import Certificates
from tests.servers.client import open_registry
from tests.servers.distribution import Distribution
from tests.servers.harbor import harbor
from tests.servers.harbor_state import ADMIN, ADMIN_PASSWORD, immutable
from tests.servers.loopback import Seen
from tests.servers.upstream import RELEASE, Upstream, references

CONTROLLER, PROXY, WEB, _ = references()
NAMES = ("controller", "proxy", "web", "prometheus")
COSIGN_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"


def all_are(outcome: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, outcome)


def client(site: Site) -> AbstractAsyncContextManager[Registry]:
    """The Harbor as our own client sees it."""
    name = site.harbor.username(site.robot)
    return open_registry(site.harbor.url, username=name, password=site.robot.secret, dialect=HarborDialect())


def sign(upstream: Upstream, reference: str) -> Image:
    """Upstream has a signature of *reference* as cosign 2 makes it."""
    subject = upstream.images[reference]
    made = image(f"signed {subject.digest}".encode())
    raw = made.manifest.raw.replace(b"application/vnd.oci.image.layer.v1.tar+gzip", COSIGN_LAYER.encode())
    signature = Image(type(made.manifest).parse(raw, where="a test"), made.blobs)
    name = reference.removeprefix("cr.l5d.io/").partition(":")[0]
    upstream.registry.add(name, signature, subject.digest.fallback_tag(".sig"))
    return signature


class TestInStep:
    async def test_from_a_project_to_in_step(self, site: Site) -> None:
        """Every image, chart and the record are there; again: nothing is written."""
        report = await sync(site.settings())

        assert (0, all_are("copied")) == (report.exit_code, outcomes(only(report)))
        images = {str(each.place): str(each.digest) for each in only(report).images}
        tags = site.tags()
        assert images == {place: digest for place, digest in tags.items() if place in images}
        charts = {each.reference for each in only(report).charts}
        assert 3 == len(charts)
        assert {f"mirror-record:{RELEASE}"} | charts == tags.keys() - images.keys()

        site.harbor.requests.clear()
        again = await sync(site.settings())
        assert (0, all_are("kept")) == (again.exit_code, outcomes(only(again)))
        assert [] == site.writes()

    async def test_from_nothing(self, site: Site) -> None:
        """A project that is missing is made, once, as it is configured to be."""
        del site.harbor.projects[site.name]
        site.robot = site.harbor.add_robot("mirror", system=["project:create"])
        made = {"public": True, "storage_quota": 10**9, "auto_scan": True}
        report = await sync(site.settings(create_project=True, project=made))

        assert (0, all_are("copied")) == (report.exit_code, outcomes(only(report)))
        assert 1 == len(site.harbor.asked("POST /api/v2.0/projects"))
        assert ("true", "true", 10**9) == (
            site.project.metadata["public"], site.project.metadata["auto_scan"], site.project.storage_limit
        )  # fmt: skip

    async def test_a_token_that_is_older_than_the_project(self, site: Site) -> None:
        """Planning has asked for the repositories of a project that was none: those tokens let nobody in."""
        del site.harbor.projects[site.name]
        site.robot = site.harbor.add_robot("mirror", system=["project:create"])
        report = await sync(site.settings(create_project=True))

        planned = site.harbor.asked(f"HEAD /v2/{site.name}/l5d/web/manifests/{RELEASE}")
        assert 0 == report.exit_code
        assert 3 <= len(planned)  # unauthorized, not there, and once it is

    async def test_with_immutable_tags(self, site: Site) -> None:
        """On everything but the record: nothing is written, exit 0, also where all is asked for anew."""
        await sync(site.settings())
        site.project.rules = [immutable("{l5d/controller,l5d/proxy,l5d/web,l5d/prometheus}")]
        site.harbor.requests.clear()

        for refresh in (False, True):
            report = await sync(site.settings(), refresh=refresh)
            assert (0, all_are("kept")) == (report.exit_code, outcomes(only(report)))
            assert [] == site.writes()

    async def test_with_immutable_tags_and_no_record(self, site: Site) -> None:
        """What is there is adopted, and not pushed again: Harbor would refuse it."""
        sign(site.upstream, PROXY)
        await sync(site.settings())
        del site.project.tags[f"{site.name}/l5d/mirror-record"]
        site.project.rules = [immutable("l5d/{controller,proxy,web,prometheus}")]
        site.harbor.requests.clear()
        report = await sync(site.settings())

        assert (0, all_are("adopted")) == (report.exit_code, outcomes(only(report)))
        assert {"mirror-record"} == {target.split("/")[4] for target in site.writes()}

    async def test_into_immutable_tags(self, site: Site) -> None:
        """From the first push on: a tag that is new is no tag that is held."""
        sign(site.upstream, PROXY)
        site.project.rules = [immutable()]
        report = await sync(site.settings())

        assert (0, all_are("copied")) == (report.exit_code, outcomes(only(report)))

    async def test_a_tag_that_is_held_and_names_something_else(self, site: Site) -> None:
        """Is a refusal, exit code 3, with both digests; not tried again, and no failure."""
        await sync(site.settings())
        old = site.tags()[f"web:{RELEASE}"]
        site.project.rules = [immutable("l5d/web")]
        site.upstream.put(WEB, site.upstream.images[PROXY])
        new = str(site.upstream.images[PROXY].digest)
        site.harbor.requests.clear()
        report = await sync(site.settings(), accept=[f"{WEB}@{new}"])

        assert 3 == report.exit_code
        assert old in reasons(only(report))["web"]
        assert new in reasons(only(report))["web"]
        assert f"immutable tag rule of the project {site.name}" in reasons(only(report))["web"]
        assert 1 == len(site.harbor.asked(f"PUT .*/web/manifests/{RELEASE}"))
        assert old == site.tags()[f"web:{RELEASE}"]

    async def test_what_is_there(self, site: Site) -> None:
        """Is not sent again, to be refused: it is asked for first."""
        what = image(b"a layer")
        async with client(site) as registry:
            repository = registry.repository(f"{site.name}/web")
            await push(repository, what, tag="v1")
            site.project.rules = [immutable()]
            site.harbor.requests.clear()
            await repository.put_manifest(what.manifest, tag="v1")
            await repository.put_manifest(what.manifest)

        assert [] == site.writes()

    async def test_an_answer_that_is_lost(self, site: Site) -> None:
        """The tag was stored; asked again, Harbor says that it is held, and it names what it is to name."""
        site.project.rules = [immutable()]
        at = f"/v2/{site.name}/l5d/web/manifests/{RELEASE}"
        site.harbor.lost_answers.append(f"PUT {at}")
        report = await sync(site.settings())

        assert [] == site.harbor.lost_answers
        assert 2 == len(site.harbor.asked(f"PUT {at}"))
        assert (0, all_are("copied")) == (report.exit_code, outcomes(only(report)))


class TestAuthentication:
    @pytest.mark.parametrize("prefix", ["robot$", "robot@", "bot-"])
    async def test_robots_of_any_prefix(self, site: Site, prefix: str) -> None:
        """A name is a name."""
        site.harbor.robot_prefix = prefix

        assert 0 == (await sync(site.settings())).exit_code

    async def test_one_scope_a_token(self, site: Site) -> None:
        """Two for a mount from one repository into another; never one for all."""
        await sync(site.settings())

        scopes = [seen.target.count("scope=") for seen in site.harbor.asked("GET /service/token.*")]
        assert {1, 2} == set(scopes)

    async def test_a_token_that_has_expired(self, site: Site) -> None:
        """Is answered with a Basic challenge, which is not taken: another token is asked for, as was learned before."""
        async with client(site) as registry:
            repository = registry.repository(f"{site.name}/web")
            await push(repository, image(b"a layer"), tag="v1")
            site.harbor.tokens.clear()
            site.harbor.requests.clear()

            assert image(b"a layer").digest == await repository.head("v1")
        with_basic = [seen for seen in site.harbor.asked("[A-Z]+ /v2/.*") if "Basic" in str(seen.headers)]
        assert (1, []) == (len(site.harbor.asked("GET /service/token.*")), with_basic)

    async def test_no_session_is_kept(self, site: Site) -> None:
        """Harbor offers one with every answer, and refuses what carries it."""
        del site.harbor.projects[site.name]
        site.robot = site.harbor.add_robot("mirror", system=["project:create"])
        report = await sync(site.settings(create_project=True))

        assert 0 == report.exit_code
        assert [] == [seen for seen in site.harbor.requests if "cookie" in seen.headers]

    async def test_the_credential_goes_to_tokens_and_to_the_api_alone(self, site: Site) -> None:
        """And nowhere as a cookie, a query or in a message."""
        report = await sync(site.settings())

        with_basic = {
            seen.path.split("/")[1]
            for seen in site.harbor.requests
            if seen.headers.get("authorization", "").startswith("Basic")
        }
        assert {"service", "api"} == with_basic
        assert not [seen for seen in site.harbor.requests if "secret" in seen.target]
        assert site.robot.secret not in str(report.document())

    @pytest.mark.parametrize("how", ["may only pull", "expired", "disabled", "wrong secret"])
    async def test_a_robot_that_may_not_push(self, site: Site, how: str) -> None:
        """Named, with the permission and where it is given; Harbor does not tell one from the other."""
        match how:
            case "may only pull":
                site.robot = site.harbor.add_robot(f"{site.name}+reader", ["repository:pull"])
            case "expired":
                site.robot.expires_at = 1
            case "disabled":
                site.robot.is_disabled = True
        wrong = {"password": "wrong"} if how == "wrong secret" else {}
        report = await sync(site.settings(registry=wrong))

        told = " ".join([only(report).problem, *reasons(only(report)).values()])
        assert 1 == report.exit_code
        assert f"Pull and Push on Repository in the project {site.name}" in told
        assert "Robot Accounts" in told
        assert {} == site.project.tags

    async def test_a_realm_on_http_behind_tls(
        self, site: Site, certificates: Certificates, open_distribution: Distribution
    ) -> None:
        """Is refused, and Harbor's setting is named."""
        with harbor(open_distribution.host, certificates=certificates) as behind_tls:
            behind_tls.external_scheme = "http"
            site.harbor = behind_tls
            behind_tls.add_project(site.name)
            behind_tls.robots.append(site.robot)
            report = await sync(site.settings(registry={"ca_file": str(certificates.authority)}))

        assert 1 == report.exit_code
        assert "Harbor: external_url" in only(report).problem
        assert [] == behind_tls.asked("GET /service/token.*")


class TestProjects:
    async def test_that_are_missing(self, site: Site) -> None:
        """Said once for each image, with what to set; nothing was sent."""
        del site.harbor.projects[site.name]
        report = await sync(site.settings())

        assert (1, all_are("failed")) == (report.exit_code, outcomes(only(report)))
        for reason in reasons(only(report)).values():
            assert f"Harbor has no project {site.name}: create it, or set create_project = true" in reason
        assert [] == site.writes()
        assert 1 == len(site.harbor.asked(r"HEAD /api/v2.0/projects\?.*"))

    async def test_that_are_missing_behind_an_ingress_without_the_api(self, site: Site) -> None:
        """The distribution API says so too, by 401 without a challenge."""
        del site.harbor.projects[site.name]
        site.harbor.hides_api = True
        report = await sync(site.settings())

        assert (1, all_are("failed")) == (report.exit_code, outcomes(only(report)))
        assert "create_project = true" in reasons(only(report))["web"]

    async def test_that_a_robot_may_not_make(self, site: Site) -> None:
        """With Harbor's reason, and who could."""
        del site.harbor.projects[site.name]
        report = await sync(site.settings(create_project=True))

        reason = reasons(only(report))["web"]
        assert 1 == report.exit_code
        assert "Only system level robot can create project" in reason
        assert "permission Create on Project" in reason

    @pytest.mark.parametrize("may_create", [True, False], ids=["told 409", "told 403"])
    async def test_that_somebody_else_makes(self, site: Site, may_create: bool) -> None:
        """At the same moment: it is there, whatever we are told, as a robot is 403 (goharbor/harbor#13795)."""
        del site.harbor.projects[site.name]
        site.robot = site.harbor.add_robot("mirror", system=["project:create"] if may_create else [])

        def make(seen: Seen) -> None:
            if (seen.method, seen.path) == ("POST", "/api/v2.0/projects"):
                site.harbor.add_project(site.name)

        site.harbor.before = make
        report = await sync(site.settings(create_project=True))

        assert (0, all_are("copied")) == (report.exit_code, outcomes(only(report)))
        assert 1 == len(site.harbor.asked("POST /api/v2.0/projects"))
        assert (1 if may_create else 2) == len(site.harbor.asked("HEAD /api/.*"))

    async def test_that_are_there_and_a_robot_that_may_make_none(self, site: Site) -> None:
        """Nothing is asked to be made (goharbor/harbor#13795)."""
        assert 0 == (await sync(site.settings(create_project=True))).exit_code
        assert [] == site.harbor.asked("POST /api/.*")

    @pytest.mark.parametrize("may_read", [False, True], ids=["as the push is refused", "before anything is sent"])
    async def test_that_are_proxy_caches(self, site: Site, may_read: bool) -> None:
        """Refused by name."""
        site.project.registry_id = 1
        if may_read:
            site.robot.may["*"] |= {"project:read"}
        report = await sync(site.settings())

        assert (1, all_are("failed")) == (report.exit_code, outcomes(only(report)))
        assert f"the project {site.name} is a proxy cache" in reasons(only(report))["web"]
        assert may_read == (not site.writes())

    async def test_that_anybody_reads(self, site: Site) -> None:
        """Also of a public project nothing is read without a token."""
        site.project.metadata["public"] = "true"

        assert 0 == (await sync(site.settings())).exit_code


class TestLimits:
    async def test_the_quota(self, site: Site) -> None:
        """In Harbor's numbers, with what to do; the others are not failed by it."""
        site.project.storage_limit = 60_000
        report = await sync(site.settings())

        told = " ".join(reasons(only(report)).values())
        assert 1 == report.exit_code
        assert re.search(
            rf"the storage quota of the project {site.name} does not suffice: \S+ KiB of 58\.6 KiB are used, and "
            r"\S+ \w+ more are needed: raise it \(Administration > Project Quotas\)",
            told,
        )

    async def test_a_harbor_that_is_read_only(self, site: Site) -> None:
        """Said, and who can end it."""
        site.harbor.is_read_only = True
        report = await sync(site.settings())

        assert (1, all_are("failed")) == (report.exit_code, outcomes(only(report)))
        assert "read-only mode" in reasons(only(report))["web"]

    async def test_an_ingress_that_takes_no_large_body(self, site: Site) -> None:
        """For a manifest, which cannot be sent in parts: the annotation is named."""
        site.harbor.body_max = 100
        report = await sync(site.settings())

        assert 1 == report.exit_code
        assert 'nginx.ingress.kubernetes.io/proxy-body-size: "0"' in " ".join(reasons(only(report)).values())

    @pytest.mark.parametrize(
        ("metadata", "told"),
        [
            ({"enable_content_trust_cosign": "true"}, "The image is not signed by cosign"),
            ({"enable_content_trust": "true"}, "The image is not signed by notation"),
            ({"prevent_vul": "true"}, "current image without vulnerability scanning cannot be pulled"),
        ],
        ids=["cosign", "notation", "vulnerabilities"],
    )
    async def test_what_may_not_be_pulled(self, site: Site, metadata: dict[str, str], told: str) -> None:
        """Cannot be read back: no tag appears, and the policy is named, not the tag rules that answer 412 too."""
        site.project.metadata |= metadata
        report = await sync(site.settings())

        reason = reasons(only(report))["web"]
        assert (1, all_are("failed")) == (report.exit_code, outcomes(only(report)))
        assert told in reason
        assert "Configuration > Deployment security" in reason
        assert {} == site.tags()

    async def test_what_may_not_be_pulled_any_more(self, site: Site) -> None:
        """HEAD is answered 412 without words: GET is asked for them, so that the plan says which policy."""
        await sync(site.settings())
        site.project.metadata["prevent_vul"] = "true"
        report = await plan(site.settings())

        [web] = [each for each in report.images if "/web:" in each.target]
        assert "current image without vulnerability scanning cannot be pulled" in web.reason

    async def test_what_was_scanned_meanwhile(self, site: Site) -> None:
        """A later run goes on, until all is there."""
        site.project.metadata["prevent_vul"] = "true"
        codes = list[int]()
        while len(codes) < 5 and 0 not in codes:
            codes.append((await sync(site.settings())).exit_code)
            for artifacts in site.project.artifacts.values():
                site.project.scans |= dict.fromkeys(artifacts, "None")

        assert 1 == codes[0]
        assert 0 == codes[-1]


class TestSignatures:
    @pytest.mark.parametrize("links_late", [False, True], ids=["older", "newest"])
    async def test_are_linked_to_their_subjects(self, site: Site, links_late: bool) -> None:
        """The image is there first, so that Harbor makes an accessory of each, and no plain artifact."""
        site.harbor.links_late = links_late
        subject = site.upstream.images[PROXY]
        signature = sign(site.upstream, PROXY)
        note = artifact("application/vnd.example.note", subject=subject)
        site.upstream.registry.add("linkerd/proxy", note)
        assert 0 == (await sync(site.settings())).exit_code

        accessories = site.project.accessories[f"{site.name}/l5d/proxy"]
        linked = {(each.kind, each.digest) for each in accessories if each.subject == str(subject.digest)}
        assert {("signature.cosign", str(signature.digest)), ("subject.accessory", str(note.digest))} == linked
        tags = site.project.tags[f"{site.name}/l5d/proxy"]
        assert {RELEASE, subject.digest.fallback_tag(".sig")} == set(tags)  # no fallback tag: Harbor has the API

    async def test_again(self, site: Site) -> None:
        """Nothing is written, whatever rules hold."""
        sign(site.upstream, PROXY)
        await sync(site.settings())
        site.project.rules = [immutable()]
        site.harbor.requests.clear()

        assert 0 == (await sync(site.settings())).exit_code
        assert [] == site.writes()


async def test_an_administrator(site: Site) -> None:
    """May do all of it too."""
    access = {"username": ADMIN, "password": ADMIN_PASSWORD}

    assert 0 == (await sync(site.settings(registry=access))).exit_code


async def test_a_prefix_of_one_part(site: Site) -> None:
    """The project itself."""
    assert 0 == (await sync(site.settings(prefix=site.name))).exit_code
    assert f"{site.name}/web" in site.project.tags
