"""The tests' Harbor has the manners that its sources say, each asked for as a client would."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from mirror.oci.manifest import ACCEPT
from tests.content import Image, artifact, image, index
from tests.servers.harbor import SERVICE
from tests.servers.harbor_state import (
    ADMIN,
    ADMIN_PASSWORD,
    PUSHES,
    READS,
    Harbor,
    Project,
    Robot,
    immutable,
    retaining,
)

COSIGN_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"


@pytest.fixture
def project(harbor_server: Harbor) -> Project:
    """A private project of its own."""
    return harbor_server.add_project(f"p{uuid.uuid4().hex}")


@pytest.fixture
def robot(harbor_server: Harbor, project: Project) -> Robot:
    """May pull and push."""
    return harbor_server.add_robot(f"{project.name}+mirror")


@pytest.fixture
def client(harbor_server: Harbor, robot: Robot) -> Client:
    """Asks as the robot, by Basic."""
    return opened(harbor_server, harbor_server.username(robot), robot.secret)


@dataclass(frozen=True, slots=True)
class Client:
    """Asks a Harbor, as somebody if *auth* is given; keeps nothing, cookies neither."""

    url: str
    auth: tuple[str, str] | None = None

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> httpx.Response:
        url = path if "://" in path else self.url + path
        accepting = {"Accept": f"*/*, {ACCEPT}", **(headers or {})}
        return httpx.request(method, url, auth=self.auth, headers=accepting, trust_env=False, **more)

    def head(self, path: str) -> httpx.Response:
        return self.request("HEAD", path)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)

    def put(self, path: str, content: bytes, **more: Any) -> httpx.Response:
        return self.request("PUT", path, content=content, **more)


def opened(server: Harbor, username: str = "", password: str = "") -> Client:
    """Asks *server*, as *username* if given."""
    return Client(server.url, (username, password) if username else None)


def token(server: Harbor, *scopes: str, username: str = "", password: str = "", service: str = SERVICE) -> str:
    """What the token service gives."""
    query = urlencode([("service", service), *(("scope", scope) for scope in scopes)])
    auth = (username, password) if username else None
    answer = httpx.get(f"{server.url}/service/token?{query}", auth=auth, trust_env=False)
    answer.raise_for_status()
    return str(answer.json()["token"])


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def push(client: Client, name: str, what: Image, reference: str = "") -> httpx.Response:
    """Sends *what* and all below it; the answer to its own manifest, or to the first blob that is refused."""
    for part in what.graph():
        for digest, data in part.blobs.items():
            begun = client.post(f"/v2/{name}/blobs/uploads/")
            if begun.status_code != 202:
                return begun
            ended = client.put(f"{begun.headers['location']}&digest={digest}", content=data)
            if ended.status_code != 201:
                return ended
        at = reference if part is what and reference else str(part.digest)
        headers = {"Content-Type": part.manifest.media_type}
        answer = client.put(f"/v2/{name}/manifests/{at}", content=part.manifest.raw, headers=headers)
        if answer.status_code != 201:
            return answer
    return answer


def error(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of a refusal."""
    [said] = answer.json()["errors"]
    return answer.status_code, said["code"], said["message"]


def signature(subject: Image) -> Image:
    """As cosign 2 stores one: an image whose layer is the signed statement."""
    made = image(f"signed {subject.digest}".encode())
    raw = made.manifest.raw.replace(b"application/vnd.oci.image.layer.v1.tar+gzip", COSIGN_LAYER.encode())
    return Image(type(made.manifest).parse(raw, where="a test"), made.blobs)


class TestChallenges:
    """server/middleware/v2auth/auth.go."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_reading_without_authorization(self, harbor_server: Harbor, project: Project, method: str) -> None:
        """A Bearer challenge, of a public project too, with a realm of the host that was asked."""
        project.metadata["public"] = "true"
        answer = opened(harbor_server).request(method, f"/v2/{project.name}/web/manifests/v1")

        assert 401 == answer.status_code
        assert (
            f'Bearer realm="http://{harbor_server.host}/service/token",service="harbor-registry",'
            f'scope="repository:{project.name}/web:pull"'
        ) == answer.headers["www-authenticate"]

    def test_writing_without_authorization(self, harbor_server: Harbor, project: Project) -> None:
        """The scope is for both."""
        answer = opened(harbor_server).post(f"/v2/{project.name}/web/blobs/uploads/")

        assert f"repository:{project.name}/web:pull,push" in answer.headers["www-authenticate"]

    def test_a_project_that_is_missing(self, harbor_server: Harbor, client: Client) -> None:
        """A challenge without a word; the message twice, as Harbor writes a cause."""
        answer = client.put("/v2/nowhere/web/manifests/v1", content=b"{}")

        assert "" == answer.headers["www-authenticate"]
        assert (401, "UNAUTHORIZED", "project nowhere not found: project nowhere not found") == error(answer)

    def test_with_authorization_that_does_not_suffice(self, harbor_server: Harbor, project: Project) -> None:
        """Basic, whatever was sent."""
        reader = harbor_server.add_robot(f"{project.name}+reader", ["repository:pull"])
        name = harbor_server.username(reader)
        of_token = bearer(token(harbor_server, f"repository:{project.name}/web:pull,push", username=name))

        answers = [
            opened(harbor_server, name, reader.secret).post(f"/v2/{project.name}/web/blobs/uploads/"),
            opened(harbor_server).post(f"/v2/{project.name}/web/blobs/uploads/", headers=of_token),
        ]
        assert ['Basic realm="harbor"'] * 2 == [answer.headers["www-authenticate"] for answer in answers]
        message = f"unauthorized to access repository: {project.name}/web, action: push"
        assert [(401, "UNAUTHORIZED", f"{message}: {message}")] * 2 == list(map(error, answers))

    def test_a_name_without_project(self, client: Client) -> None:
        """Is no repository's (middleware/artifactinfo)."""
        answer = client.get("/v2/web/manifests/v1")

        assert (400, "BAD_REQUEST") == error(answer)[:2]


class TestTokens:
    """core/service/token."""

    def test_only_get(self, harbor_server: Harbor) -> None:
        """The form that Docker posts has no handler."""
        assert 405 == httpx.post(f"{harbor_server.url}/service/token", trust_env=False).status_code

    def test_another_service(self, harbor_server: Harbor) -> None:
        """Is none of Harbor's."""
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            token(harbor_server, "repository:a/b:pull", service="registry")

    def test_all_that_the_account_may(self, harbor_server: Harbor, project: Project, robot: Robot) -> None:
        """Whatever was asked for, in the whole project."""
        name = harbor_server.username(robot)
        value = token(harbor_server, f"repository:{project.name}/web:pull", username=name, password=robot.secret)

        answer = opened(harbor_server).post(f"/v2/{project.name}/other/blobs/uploads/", headers=bearer(value))
        assert 202 == answer.status_code

    @pytest.mark.parametrize("how", ["wrong secret", "expired", "disabled"])
    def test_an_account_that_is_refused(self, harbor_server: Harbor, project: Project, robot: Robot, how: str) -> None:
        """Gets a token all the same, that of nobody: why is only in Harbor's log (security/robot.go)."""
        robot.expires_at = 1 if how == "expired" else -1
        robot.is_disabled = how == "disabled"
        secret = "wrong" if how == "wrong secret" else robot.secret
        scope = f"repository:{project.name}/web:pull"
        value = token(harbor_server, scope, username=harbor_server.username(robot), password=secret)

        answer = opened(harbor_server).get(f"/v2/{project.name}/web/tags/list", headers=bearer(value))
        assert 'Basic realm="harbor"' == answer.headers["www-authenticate"]

    def test_nobody_pulls_what_is_public(self, harbor_server: Harbor, project: Project) -> None:
        """With a token of nobody."""
        project.metadata["public"] = "true"
        value = token(harbor_server, f"repository:{project.name}/web:pull")

        answer = opened(harbor_server).get(f"/v2/{project.name}/web/tags/list", headers=bearer(value))
        assert (404, "NOT_FOUND") == error(answer)[:2]

    def test_tokens_expire(self, harbor_server: Harbor, project: Project, robot: Robot) -> None:
        """With a minute of leeway (security/v2_token.go)."""
        harbor_server.token_life_s = -61
        name = harbor_server.username(robot)
        value = token(harbor_server, f"repository:{project.name}/web:pull", username=name, password=robot.secret)

        assert 401 == opened(harbor_server).get(f"/v2/{project.name}/web/tags/list", headers=bearer(value)).status_code

    def test_a_project_that_is_younger(self, harbor_server: Harbor, project: Project, robot: Robot) -> None:
        """Does not honour a token that was given before it was made (security/v2_token.go)."""
        name = harbor_server.username(robot)
        value = token(harbor_server, f"repository:{project.name}/web:pull", username=name, password=robot.secret)
        project.made_at = time.time() + 61

        assert 401 == opened(harbor_server).get(f"/v2/{project.name}/web/tags/list", headers=bearer(value)).status_code

    def test_too_many_scopes(self, harbor_server: Harbor) -> None:
        """Its nginx does not take so long a line (goharbor/harbor#14414)."""
        with pytest.raises(httpx.HTTPStatusError, match="414"):
            token(harbor_server, *(f"repository:linkerd/image-{number}:pull,push" for number in range(200)))

    def test_any_prefix(self, harbor_server: Harbor, project: Project, robot: Robot) -> None:
        """robot_name_prefix is an administrator's choice."""
        harbor_server.robot_prefix = "bot-"

        assert (
            404
            == opened(harbor_server, f"bot-{robot.name}", robot.secret)
            .get(f"/v2/{project.name}/web/tags/list")
            .status_code
        )
        assert (
            401
            == opened(harbor_server, f"robot${robot.name}", robot.secret)
            .get(f"/v2/{project.name}/web/tags/list")
            .status_code
        )


class TestSessions:
    """server/middleware/session, csrf."""

    def test_a_session_is_offered(self, client: Client) -> None:
        """With every answer."""
        assert "sid=" in client.get("/api/v2.0/ping").headers["set-cookie"]

    def test_who_carries_one_is_held_to_its_token(self, client: Client, project: Project) -> None:
        """For what changes something."""
        answer = client.post(f"/v2/{project.name}/web/blobs/uploads/", headers={"Cookie": "sid=1"})

        assert (403, "FORBIDDEN", "CSRF token not found in request") == error(answer)


class TestManifests:
    def test_come_back(self, client: Client, project: Project) -> None:
        """By tag and by digest; the tag is Harbor's, the registry behind has none."""
        what = index(image(b"one"), image(b"two"))
        stored = push(client, f"{project.name}/web", what, "v1")

        assert 201 == stored.status_code
        for reference in ("v1", str(what.digest)):
            assert what.manifest.raw == client.get(f"/v2/{project.name}/web/manifests/{reference}").content
        assert str(what.digest) == project.tagged("web")["v1"]

    def test_what_is_not_there(self, client: Client, project: Project) -> None:
        """NOT_FOUND, which is no code of the specification."""
        assert (404, "NOT_FOUND") == error(client.get(f"/v2/{project.name}/web/manifests/v1"))[:2]
        assert (404, "NOT_FOUND") == error(client.get(f"/v2/{project.name}/web/tags/list"))[:2]

    def test_too_large(self, client: Client, project: Project) -> None:
        """Over 4 MiB (common/const.go)."""
        answer = client.put(f"/v2/{project.name}/web/manifests/v1", content=b" " * (4 * 1024 * 1024 + 1))

        assert (413, "REQUEST_ENTITY_TOO_LARGE", "request entity too large") == error(answer)

    def test_tags_come_in_pages(self, client: Client, project: Project) -> None:
        """Sorted, with a link (server/registry/util)."""
        for tag in ("v1", "v3", "v2"):
            push(client, f"{project.name}/web", image(b"one"), tag)
        first = client.get(f"/v2/{project.name}/web/tags/list?n=2")

        assert ["v1", "v2"] == first.json()["tags"]
        assert f'</v2/{project.name}/web/tags/list?last=v2&n=2>; rel="next"' == first.headers["link"]

    def test_an_index_waits_for_its_images(self, client: Client, project: Project) -> None:
        """As the registry behind says."""
        what = index(image(b"never pushed"))
        headers = {"Content-Type": what.manifest.media_type}
        answer = client.put(f"/v2/{project.name}/web/manifests/v1", content=what.manifest.raw, headers=headers)

        assert (400, "MANIFEST_BLOB_UNKNOWN") == (answer.status_code, answer.json()["errors"][0]["code"])


class TestImmutableTags:
    """server/middleware/immutable/pushmf.go."""

    def test_a_tag_that_is_there(self, client: Client, project: Project) -> None:
        """Takes nothing, also not what it names already."""
        what = image(b"one")
        push(client, f"{project.name}/web", what, "v1")
        project.rules = [immutable("web", "v*")]

        for pushed in (what, image(b"two")):
            answer = push(client, f"{project.name}/web", pushed, "v1")
            words = "Failed to process request due to 'web:v1' configured as immutable."
            assert (412, "PRECONDITION", words) == error(answer)

    def test_by_digest(self, client: Client, project: Project) -> None:
        """There is no tag to look for, so that the same manifest is taken again."""
        what = image(b"one")
        push(client, f"{project.name}/web", what, "v1")
        project.rules = [immutable()]

        assert 201 == push(client, f"{project.name}/web", what).status_code

    @pytest.mark.parametrize(
        "rule",
        [immutable("other"), immutable(tag="edge-*"), immutable(disabled=True), immutable(tag_selectors=[])],
        ids=["another repository", "another tag", "disabled", "no tags"],
    )
    def test_what_a_rule_does_not_hold(self, client: Client, project: Project, rule: dict[str, Any]) -> None:
        """And a tag that is new, whatever the rule."""
        project.rules = [rule]
        push(client, f"{project.name}/web", image(b"one"), "v1")

        assert 201 == push(client, f"{project.name}/web", image(b"two"), "v1").status_code


class TestPolicies:
    """server/middleware/contenttrust, vulnerable, util."""

    @pytest.fixture
    def pushed(self, client: Client, project: Project) -> Image:
        what = index(image(b"one"))
        push(client, f"{project.name}/web", what, "v1")
        return what

    def test_an_image_that_is_not_signed(self, client: Client, project: Project, pushed: Image) -> None:
        """412 to GET, and to HEAD, which has no words."""
        project.metadata["enable_content_trust_cosign"] = "true"

        answer = client.get(f"/v2/{project.name}/web/manifests/v1")
        assert (412, "PROJECTPOLICYVIOLATION", "The image is not signed by cosign.") == error(answer)
        head = client.head(f"/v2/{project.name}/web/manifests/v1")
        assert (412, b"") == (head.status_code, head.content)

    def test_a_signature_is_of_one_digest(self, client: Client, project: Project, pushed: Image) -> None:
        """The image can be pulled, what its index lists cannot; the signature itself always."""
        signed = signature(pushed)
        push(client, f"{project.name}/web", signed, pushed.digest.fallback_tag(".sig"))
        project.metadata["enable_content_trust_cosign"] = "true"
        references = ["v1", pushed.digest, pushed.children[0].digest, signed.digest]

        assert [200, 200, 412, 200] == [
            client.get(f"/v2/{project.name}/web/manifests/{reference}").status_code for reference in references
        ]

    def test_cosign_itself_may_pull_and_push(
        self, harbor_server: Harbor, project: Project, robot: Robot, pushed: Image
    ) -> None:
        """By its name, with a token that may push."""
        project.metadata["enable_content_trust_cosign"] = "true"
        name = harbor_server.username(robot)
        value = token(harbor_server, f"repository:{project.name}/web:pull", username=name, password=robot.secret)
        headers = bearer(value) | {"User-Agent": "cosign/v2.4.1"}

        assert 200 == opened(harbor_server).get(f"/v2/{project.name}/web/manifests/v1", headers=headers).status_code

    def test_notation(self, client: Client, project: Project, pushed: Image) -> None:
        """The other signature that a project can ask for."""
        project.metadata["enable_content_trust"] = "true"
        words = error(client.get(f"/v2/{project.name}/web/manifests/v1"))[2]
        push(client, f"{project.name}/web", artifact("application/vnd.cncf.notary.signature", subject=pushed))

        assert "The image is not signed by notation." == words
        assert 200 == client.get(f"/v2/{project.name}/web/manifests/v1").status_code

    def test_vulnerabilities(self, client: Client, project: Project, pushed: Image) -> None:
        """Not scanned is refused, what is no image is not scanned; an index is not judged once it is scanned."""
        project.metadata |= {"prevent_vul": "true", "severity": "high"}
        child = pushed.children[0].digest
        push(client, f"{project.name}/web", artifact("application/vnd.example.note"), "note")

        def told() -> list[tuple[int, str]]:
            answers = [client.get(f"/v2/{project.name}/web/manifests/{each}") for each in ("v1", child, "note")]
            return [(each.status_code, error(each)[2][:40] if each.is_error else "") for each in answers]

        unscanned = (412, "current image without vulnerability scan")
        assert [unscanned, unscanned, (200, "")] == told()
        project.scans[str(child)] = "Critical"
        assert [(200, ""), (412, "current image with 3 vulnerabilities can"), (200, "")] == told()
        project.scans[str(child)] = "Medium"
        assert [(200, "")] * 3 == told()


class TestLimits:
    def test_a_quota_that_is_too_small(self, client: Client, project: Project) -> None:
        """server/middleware/quota; pkg/quota/errors.go."""
        project.storage_limit = 5000
        push(client, f"{project.name}/web", image(bytes(3000)), "v1")
        answer = push(client, f"{project.name}/web", image(bytes(4000)), "v2")

        status, code, words = error(answer)
        assert (403, "DENIED") == (status, code)
        assert words.startswith("adding 3.9 KiB of storage resource, which when updated to current usage of 3.")
        assert words.endswith(" KiB will exceed the configured upper limit of 4.9 KiB.")

    def test_what_is_there_counts_once(self, client: Client, project: Project) -> None:
        """In the whole project; a mount of what it has costs nothing."""
        project.storage_limit = 8000
        what = image(bytes(3000))
        push(client, f"{project.name}/web", what, "v1")
        used = project.used
        layer = list(what.blobs)[-1]
        mounted = client.post(f"/v2/{project.name}/other/blobs/uploads/?mount={layer}&from={project.name}/web")

        assert 201 == mounted.status_code
        assert 201 == push(client, f"{project.name}/web", what, "v2").status_code
        assert used == project.used

    def test_a_proxy_cache(self, client: Client, project: Project) -> None:
        """Takes nothing (server/middleware/repoproxy)."""
        project.registry_id = 3
        words = f"denied: can not push artifact to a proxy project: {project.name}"

        assert (403, "DENIED", words) == error(client.post(f"/v2/{project.name}/web/blobs/uploads/"))
        assert (403, "DENIED", words) == error(client.put(f"/v2/{project.name}/web/manifests/v1", content=b"{}"))

    def test_a_system_that_is_read_only(self, harbor_server: Harbor, client: Client, project: Project) -> None:
        """Takes nothing either (server/middleware/readonly)."""
        harbor_server.is_read_only = True
        words = "The system is in read only mode. Any modification is prohibited."

        assert (403, "DENIED", words) == error(client.post(f"/v2/{project.name}/web/blobs/uploads/"))

    def test_an_ingress(self, harbor_server: Harbor, client: Client, project: Project) -> None:
        """Answers 413 with a page of its own."""
        harbor_server.body_max = 1000
        answer = push(client, f"{project.name}/web", image(bytes(2000)), "v1")

        assert (413, "text/html") == (answer.status_code, answer.headers["content-type"])


class TestAccessories:
    def test_cosign_tags(self, client: Client, project: Project) -> None:
        """A .sig that comes after its subject is linked to it (server/middleware/cosign); its tag stays."""
        subject = image(b"one")
        push(client, f"{project.name}/web", subject, "v1")
        tag = subject.digest.fallback_tag(".sig")
        signed = signature(subject)
        push(client, f"{project.name}/web", signed, tag)

        listed = client.get(f"/v2/{project.name}/web/referrers/{subject.digest}").json()["manifests"]
        assert [str(signed.digest)] == [each["digest"] for each in listed]
        assert [tag, "v1"] == client.get(f"/v2/{project.name}/web/tags/list").json()["tags"]

    @pytest.mark.parametrize("links_late", [False, True])
    def test_cosign_tags_before_their_subject(
        self, harbor_server: Harbor, client: Client, project: Project, links_late: bool
    ) -> None:
        """Stay plain artifacts (goharbor/harbor#19788), but for the newest Harbor."""
        harbor_server.links_late = links_late
        subject = image(b"one")
        push(client, f"{project.name}/web", signature(subject), subject.digest.fallback_tag(".sig"))
        push(client, f"{project.name}/web", subject, "v1")

        assert links_late == bool(project.accessories[f"{project.name}/web"])

    def test_what_has_a_subject(self, client: Client, project: Project) -> None:
        """Is linked, and the answer says so (server/middleware/subject)."""
        subject = image(b"one")
        note = artifact("application/vnd.example.note", subject=subject, annotations={"by": "us"})
        push(client, f"{project.name}/web", subject, "v1")
        answer = push(client, f"{project.name}/web", note)

        [listed] = client.get(f"/v2/{project.name}/web/referrers/{subject.digest}").json()["manifests"]
        assert str(subject.digest) == answer.headers["oci-subject"]
        assert (str(note.digest), "application/vnd.example.note") == (listed["digest"], listed["artifactType"])
        assert {"by": "us"} == listed["annotations"]

    def test_of_a_type(self, client: Client, project: Project) -> None:
        """The filter is applied, and said to be."""
        subject = image(b"one")
        push(client, f"{project.name}/web", subject, "v1")
        push(client, f"{project.name}/web", artifact("application/vnd.example.note", subject=subject))
        answer = client.get(f"/v2/{project.name}/web/referrers/{subject.digest}?artifactType=other")

        assert ([], "artifactType") == (answer.json()["manifests"], answer.headers["oci-filters-applied"])

    def test_of_what_is_not_there(self, client: Client, project: Project) -> None:
        """An index without entries, never a 404."""
        answer = client.get(f"/v2/{project.name}/nothing/referrers/sha256:{'0' * 64}")

        assert (200, []) == (answer.status_code, answer.json()["manifests"])


class TestApi:
    """server/v2.0/handler."""

    def test_a_project_is_asked_for(self, harbor_server: Harbor, client: Client, project: Project) -> None:
        """Of who is known, whatever it may."""
        head = "/api/v2.0/projects?project_name="

        assert 200 == client.head(head + project.name).status_code
        missing = client.head(f"{head}nowhere")
        assert (404, "application/json; charset=utf-8") == (missing.status_code, missing.headers["content-type"])
        assert 401 == opened(harbor_server).head(head + project.name).status_code

    @pytest.mark.parametrize(
        ("name", "system", "told"),
        [
            ("linkerd+mirror", (), (403, "FORBIDDEN", "Only system level robot can create project")),
            ("mirror", (), (403, "FORBIDDEN", "Only system admin can create project")),
            ("mirror", ("project:create",), None),
        ],
        ids=["of a project", "of the system", "that may"],
    )
    def test_a_robot_makes_a_project(
        self, harbor_server: Harbor, name: str, system: tuple[str, ...], told: tuple[int, str, str] | None
    ) -> None:
        """If it is one of the system, and may."""
        robot = harbor_server.add_robot(name, system=system)
        client = opened(harbor_server, harbor_server.username(robot), robot.secret)
        wanted = {"project_name": "made", "metadata": {"public": "true"}, "storage_limit": 1000}
        answer = client.post("/api/v2.0/projects", json=wanted)

        if told:
            assert told == error(answer)
            assert {} == harbor_server.projects
        else:
            made = harbor_server.projects["made"]
            assert (201, "true", 1000) == (answer.status_code, made.metadata["public"], made.storage_limit)
            again = client.post("/api/v2.0/projects", json=wanted)
            assert (409, "CONFLICT", "The project named made already exists") == error(again)

    @pytest.mark.parametrize(
        "path", ["projects/{name}", "projects/{name}/summary", "projects/{name}/immutabletagrules", "retentions/1"]
    )
    def test_what_a_robot_may_read(self, harbor_server: Harbor, client: Client, project: Project, path: str) -> None:
        """What it was given; pulling and pushing is none of it."""
        harbor_server.retain(project, retaining("latestPushedK", 3))
        at = f"/api/v2.0/{path.format(name=project.name)}"
        reader = harbor_server.add_robot(f"{project.name}+reader", PUSHES | READS)

        assert (403, "FORBIDDEN", "forbidden") == error(client.get(at))
        assert 200 == opened(harbor_server, harbor_server.username(reader), reader.secret).get(at).status_code

    def test_what_is_said_of_a_project(self, harbor_server: Harbor, project: Project) -> None:
        """Its number, what it is a cache of, its settings; the summary has the quota."""
        project.registry_id, project.storage_limit = 7, 1000
        client = opened(harbor_server, ADMIN, ADMIN_PASSWORD)
        about = client.get(f"/api/v2.0/projects/{project.name}").json()
        summary = client.get(f"/api/v2.0/projects/{project.name}/summary").json()
        quotas = client.get(f"/api/v2.0/quotas?reference=project&reference_id={project.id}").json()

        assert (project.id, 7, {"public": "false"}) == (about["project_id"], about["registry_id"], about["metadata"])
        quota = {"hard": {"storage": 1000}, "used": {"storage": 0}}
        assert (quota, [quota]) == (summary["quota"], quotas)

    def test_rules_come_in_pages(self, harbor_server: Harbor, project: Project) -> None:
        """Ten, if nothing is said; no more than a hundred."""
        project.rules = [immutable(id=number) for number in range(120)]
        client = opened(harbor_server, ADMIN, ADMIN_PASSWORD)

        def rules(query: Mapping[str, int]) -> httpx.Response:
            return client.get(f"/api/v2.0/projects/{project.name}/immutabletagrules", params=query)

        assert (10, 100, 20) == tuple(
            len(rules(query).json()) for query in ({}, {"page_size": 100}, {"page_size": 100, "page": 2})
        )
        assert 422 == rules({"page_size": 101}).status_code

    def test_robots(self, harbor_server: Harbor, project: Project, robot: Robot) -> None:
        """With the prefix, and until when; those of a project by its number."""
        robot.expires_at = 2_000_000_000
        client = opened(harbor_server, ADMIN, ADMIN_PASSWORD)
        [of_it] = client.get(f"/api/v2.0/robots?q=Level%3Dproject,ProjectID%3D{project.id}").json()

        assert (f"robot${project.name}+mirror", 2_000_000_000) == (of_it["name"], of_it["expires_at"])
        assert [] == client.get("/api/v2.0/robots").json()

    def test_who_am_i(self, harbor_server: Harbor, client: Client) -> None:
        """A robot is told that it is no user, by 412; who is refused by 401."""
        at = "/api/v2.0/users/current"
        words = "get current user not available for security context: robot"

        assert (412, "PRECONDITION", words) == error(client.get(at))
        assert (401, "UNAUTHORIZED", "unauthorized") == error(opened(harbor_server, "robot$no", "no").get(at))
        assert ADMIN == opened(harbor_server, ADMIN, ADMIN_PASSWORD).get(at).json()["username"]

    def test_the_system(self, harbor_server: Harbor, client: Client) -> None:
        """The version for who is known; health and ping for all."""
        harbor_server.unhealthy = ("jobservice",)
        nobody = opened(harbor_server)

        assert client.get("/api/v2.0/systeminfo").json()["harbor_version"].startswith("v2.")
        assert "harbor_version" not in nobody.get("/api/v2.0/systeminfo").json()
        assert "unhealthy" == nobody.get("/api/v2.0/health").json()["status"]
        assert "Pong" == nobody.get("/api/v2.0/ping").json()


def test_an_answer_that_is_lost(harbor_server: Harbor, client: Client, project: Project) -> None:
    """What was asked is done, and the client is not told."""
    what = image(b"one")
    push(client, f"{project.name}/web", what)
    harbor_server.lost_answers.append(f"PUT /v2/{project.name}/web/manifests/v1")

    with pytest.raises(httpx.TransportError):
        push(client, f"{project.name}/web", what, "v1")
    assert {"v1": str(what.digest)} == project.tagged("web")
