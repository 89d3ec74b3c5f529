"""Harbor before a real docker-registry: projects, robots and tokens, and what its middlewares make of a request.

    client ──► ingress ──► session ──► /service/token
                                   ├─► /api/v2.0
                                   └─► /v2: v2auth ──► read-only ──► the middlewares of the route ──► docker-registry

Each manner names the file of goharbor/harbor (at c50c7ddd6e, below src/) that it imitates. Tags, artifacts and
accessories are kept here, as Harbor keeps them in its database; the registry behind holds manifests by digest alone
(server/registry/manifest.go).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.certificates import Certificates
from tests.servers.gateway import Gateway
from tests.servers.loopback import Response, Seen, serving

SERVICE = "harbor-registry"  # core/service/token/creator.go
ADMIN, ADMIN_PASSWORD = "admin", "Harbor12345"
PUSHES = frozenset({"repository:pull", "repository:push"})
READS = frozenset({"project:read", "quota:read", "immutable-tag:list", "tag-retention:read", "robot:list"})
_URI_MAX = 8 * 1024  # nginx, large_client_header_buffers (goharbor/harbor#14414, #15896)
_MANIFEST_MAX = 4 << 20  # common/const.go, MaxManifestBodySize
_LEEWAY_S = 60  # common/const.go, JwtLeeway
_COSIGN_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"
_COSIGN_TYPES = ("application/vnd.dev.cosign.artifact.sig.v1+json", "application/vnd.dev.sigstore.bundle.v0.3+json")
_NOTATION_TYPE = "application/vnd.cncf.notary.signature"
_IMAGE_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_SAFE = ("GET", "HEAD", "OPTIONS")
_NAME = r"(?P<name>[a-z0-9._/-]+)"
_REFERENCE = r"(?P<reference>[A-Za-z0-9._:-]+)"


def immutable(repository: str = "**", tag: str = "**", **more: Any) -> dict[str, Any]:
    """An immutable tag rule as the API has it; *more* changes its keys (pkg/immutable/model/rule.go)."""
    return {
        "id": 1,
        "disabled": False,
        "action": "immutable",
        "template": "immutable_template",
        "tag_selectors": [selector("matches", tag)],
        "scope_selectors": {"repository": [selector("repoMatches", repository)]},
    } | more


def retaining(template: str, count: int, repository: str = "**", tag: str = "**", **more: Any) -> dict[str, Any]:
    """A retention rule as the API has it (pkg/retention/policy/rule/models.go)."""
    return immutable(repository, tag, action="retain", template=template, params={template: count}) | more


def selector(decoration: str, pattern: str, extras: str = "") -> dict[str, str]:
    """A selector of either kind of rule (pkg/retention/policy/rule/models.go)."""
    return {"kind": "doublestar", "decoration": decoration, "pattern": pattern} | ({"extras": extras} if extras else {})


@dataclass(slots=True)
class Robot:
    """A robot account; *name* is without the prefix: `linkerd+mirror` is one of the project linkerd."""

    name: str
    secret: str
    may: Mapping[str, frozenset[str]]
    """By project, `RESOURCE:ACTION` (common/rbac/const.go); by "" what it may in the system."""
    expires_at: int = -1
    is_disabled: bool = False


@dataclass(slots=True)
class Artifact:
    """A manifest that Harbor knows."""

    digest: str
    media_type: str
    raw: bytes
    view: Mapping[str, Any]

    @property
    def type(self) -> str:
        """artifactType, else the config's (server/middleware/subject/subject.go)."""
        return str(self.view.get("artifactType") or (self.view.get("config") or {}).get("mediaType") or "")


@dataclass(slots=True)
class Accessory:
    """What is linked to a subject: a signature, an SBOM, anything with one."""

    digest: str
    kind: Literal["signature.cosign", "signature.notation", "subject.accessory"]
    subject: str


@dataclass(slots=True)
class Project:
    """A project and what is in it."""

    id: int
    name: str
    registry_id: int = 0
    """Of the registry that it is a proxy cache of."""
    metadata: dict[str, str] = field(default_factory=lambda: {"public": "false"})
    storage_limit: int = -1
    rules: list[dict[str, Any]] = field(default_factory=list)
    """Immutable tag rules."""
    made_at: float = field(default_factory=time.time)
    blobs: dict[str, int] = field(default_factory=dict)
    """The size of each blob and manifest that counts against the quota."""
    artifacts: dict[str, dict[str, Artifact]] = field(default_factory=dict)
    """By repository and digest."""
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    """By repository, the digest of each tag."""
    accessories: dict[str, list[Accessory]] = field(default_factory=dict)
    """By repository."""
    scans: dict[str, str] = field(default_factory=dict)
    """By digest, the severity that a scan found: None, Low, Medium, High or Critical."""

    @property
    def used(self) -> int:
        return sum(self.blobs.values())

    def tagged(self, repository: str) -> dict[str, str]:
        """The tags of a repository of this project, by its path in it."""
        return self.tags.get(f"{self.name}/{repository}", {})


@dataclass(slots=True)
class Harbor:
    """A running Harbor, what it is set to, and what it was asked; all may be changed while it runs."""

    host: str = ""
    scheme: str = "http"
    robot_prefix: str = "robot$"
    external_scheme: str = "http"
    """Of external_url, which realms are made of (server/middleware/v2auth/auth.go, tokenSvcURL)."""
    token_life_s: int = 30 * 60
    only_admins_create: bool = True
    """project_creation_restriction = adminonly."""
    is_read_only: bool = False
    body_max: int = 0
    """The most bytes of a body that the ingress lets through; 0: all."""
    hides_api: bool = False
    """Whether the ingress leads to /v2/ and /service/ alone."""
    links_late: bool = False
    """Whether a .sig that came before its subject is linked once that comes; older ones did not
    (goharbor/harbor#19788)."""
    unhealthy: tuple[str, ...] = ()
    lost_answers: list[str] = field(default_factory=list)
    """Regular expressions for `METHOD /path`, each used once: the request is processed, and the connection reset."""
    before: Callable[[Seen], None] = lambda _seen: None
    """Called with each request before it is answered: what happens meanwhile."""
    projects: dict[str, Project] = field(default_factory=dict)
    robots: list[Robot] = field(default_factory=list)
    retentions: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    tokens: dict[str, _Token] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    guard: threading.RLock = field(default_factory=threading.RLock)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def add_project(self, name: str, **more: Any) -> Project:
        """There is a project *name*."""
        with self.guard:
            made = self.projects[name] = Project(len(self.projects) + 1, name, **more)
        return made

    def add_robot(self, name: str, may: Iterable[str] = PUSHES, *, system: Iterable[str] = (), **more: Any) -> Robot:
        """There is a robot that *may* do so in every project, one of the system if *system* is given."""
        rights = {"*": frozenset(may), "": frozenset(system)}
        made = Robot(name, f"secret of {name}", rights, **more)
        self.robots.append(made)
        return made

    def username(self, robot: Robot) -> str:
        return self.robot_prefix + robot.name

    def retain(self, project: Project, *rules: dict[str, Any], algorithm: str = "or") -> None:
        """*project* has a retention policy of *rules* (pkg/retention/policy/models.go)."""
        number = len(self.retentions) + 1
        project.metadata["retention_id"] = str(number)
        self.retentions[number] = {
            "id": number,
            "algorithm": algorithm,
            "rules": list(rules),
            "trigger": {"kind": "Schedule", "settings": {"cron": "0 0 0 * * *"}},
            "scope": {"level": "project", "ref": project.id},
        }

    def asked(self, pattern: str) -> list[Seen]:
        """The requests whose `METHOD /path?query` *pattern* matches whole."""
        return [seen for seen in list(self.requests) if re.fullmatch(pattern, str(seen))]


@dataclass(frozen=True, slots=True)
class _Token:
    subject: str
    issued_at: float
    expires_at: float
    access: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class _Who:
    """A security context (common/security)."""

    kind: Literal["v2token", "robot", "local", "unauthorized"]
    name: str = ""
    may: Callable[[str, str], bool] = lambda _project, _right: False

    @property
    def is_authenticated(self) -> bool:
        return bool(self.name)


@contextmanager
def harbor(behind: str, *, certificates: Certificates | None = None) -> Iterator[Harbor]:
    """Runs a Harbor, without a project, before the registry at `HOST:PORT`; https with *certificates*."""
    context = None
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
    scheme = "https" if certificates else "http"
    made = Harbor(scheme=scheme, external_scheme=scheme)

    class HarborHandler(_HarborHandler):
        harbor = made

    HarborHandler.behind = behind
    with serving(HarborHandler, context=context) as address:
        made.host = address
        yield made


def _error(status: int, code: str, message: str, **headers: str) -> Response:
    """As lib/http/error.go writes errors."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode() + b"\n"
    return Response(status, {"Content-Type": "application/json; charset=utf-8", **headers}, body)


def _json(payload: object, status: int = 200, content_type: str = "application/json") -> Response:
    return Response(status, {"Content-Type": content_type}, json.dumps(payload).encode() + b"\n")


def _nginx(status: int, reason: str) -> Response:
    page = f"<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1>"
    return Response(
        status,
        {"Content-Type": "text/html", "Server": "nginx"},
        f"{page}</center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n".encode(),
    )


_FORBIDDEN = _error(403, "FORBIDDEN", "forbidden")
_UNAUTHORIZED = _error(401, "UNAUTHORIZED", "unauthorized")


class _HarborHandler(Gateway):
    harbor: ClassVar[Harbor]

    def respond(self) -> None:
        harbor = self.harbor
        harbor.requests.append(self.seen())
        harbor.before(self.seen())
        if len(self.path) > _URI_MAX:
            self.send(_nginx(414, "Request-URI Too Large"))
            return
        if harbor.body_max and int(self.headers.get("Content-Length") or 0) > harbor.body_max:
            # client_max_body_size of the ingress (goharbor/harbor-helm#859); nginx closes lingering
            self.close_connection = True
            self.send(_nginx(413, "Request Entity Too Large"))
            self.read_body()
            return
        body = self.read_body()
        if body is None:
            self.close_connection = True
            return
        answer = self._answer(body)
        lost = next((each for each in harbor.lost_answers if re.fullmatch(each, f"{self.command} {self._path}")), None)
        if lost is not None:
            harbor.lost_answers.remove(lost)
            self.reset()
            return
        # server/middleware/requestid; core/filter sets a session for whoever comes without one
        session = f"sid={secrets.token_hex(16)}; Path=/; HttpOnly"
        self.send(answer.having(X_Request_Id=str(uuid.uuid4()), Set_Cookie=session))

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0]

    @property
    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query)

    def _answer(self, body: bytes) -> Response:
        cookies = {part.strip().partition("=")[0] for part in self.headers.get("Cookie", "").split(";")}
        if "sid" in cookies and self.command not in _SAFE:
            # server/middleware/csrf/csrf.go: skipped only for requests without a session
            return _error(403, "FORBIDDEN", "CSRF token not found in request")
        if self._path == "/service/token":
            return self._token()
        if self._path.startswith("/api/v2.0/") and not self.harbor.hides_api:
            return self._api(self._path.removeprefix("/api/v2.0/").split("/"), body)
        if self._path == "/v2/" or self._path.startswith("/v2/"):
            return self._registry(body)
        return _nginx(404, "Not Found")

    # who is asking: server/middleware/security

    def _who(self) -> _Who:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        who = None
        if scheme.lower() == "bearer" and self._path.startswith("/v2/"):
            who = self._by_token(value)
        elif scheme.lower() == "basic":
            name, _, secret = base64.b64decode(value).decode().partition(":")
            who = self._robot(name, secret) if name.startswith(self.harbor.robot_prefix) else self._user(name, secret)
        return who or _Who("unauthorized", may=self._is_public)

    def _is_public(self, project: str, right: str) -> bool:
        found = self.harbor.projects.get(project)
        is_public = found is not None and found.metadata.get("public") == "true"
        return is_public and right in ("repository:pull", "project:read")

    def _by_token(self, value: str) -> _Who | None:
        """security/v2_token.go: expired, and older than a project of the same name, is no token."""
        token = self.harbor.tokens.get(value)
        if token is None or token.expires_at + _LEEWAY_S <= time.time():
            return None
        name = self._path.removeprefix("/v2/").partition("/")[0]
        mounted = self._query.get("from", [""])[0].partition("/")[0]
        for each in filter(None, {name, mounted} if "/" in self._path.removeprefix("/v2/") else set()):
            project = self.harbor.projects.get(each)
            if project is None or token.issued_at + _LEEWAY_S < project.made_at:
                return None
        return _Who(
            "v2token",
            token.subject,
            lambda project, right: right.removeprefix("repository:") in token.access.get(project, ()),
        )

    def _robot(self, name: str, secret: str) -> _Who | None:
        """security/robot.go: why it is refused is told to Harbor's log alone."""
        wanted = name.removeprefix(self.harbor.robot_prefix)
        robot = next((each for each in self.harbor.robots if each.name == wanted), None)
        if robot is None or robot.secret != secret or robot.is_disabled:
            return None
        if robot.expires_at != -1 and robot.expires_at <= time.time():
            return None
        rights = robot.may

        def may(project: str, right: str) -> bool:
            if right in rights.get(project, ()) or (project and right in rights.get("*", ())):
                return True
            return self._is_public(project, right)

        return _Who("robot", name, may)

    def _user(self, name: str, secret: str) -> _Who | None:
        is_admin = (name, secret) == (ADMIN, ADMIN_PASSWORD)
        return _Who("local", name, lambda _project, right: right != "repository:scanner-pull") if is_admin else None

    # /service/token: core/service/token

    def _token(self) -> Response:
        harbor, who = self.harbor, self._who()
        if self.command != "GET":
            return Response(405, body=b"Method Not Allowed")
        if self._query.get("service") != [SERVICE]:
            return Response(400, body=b"Unable to handle service: " + "".join(self._query.get("service", [])).encode())
        scopes = [scope for several in self._query.get("scope", []) for scope in several.split(" ") if scope]
        if not who.is_authenticated and not scopes:
            return Response(401)
        access = dict[str, frozenset[str]]()
        for scope in scopes:
            # creator.go, repositoryFilter: not what was asked for, but all that the account may; security/v2token: by
            # project, the last counts
            project = ":".join(scope.split(":")[1:-1]).partition("/")[0]
            actions = ("pull", "push", "delete", "scanner-pull")
            granted = {action for action in actions if who.may(project, f"repository:{action}")}
            access[project] = frozenset(granted) if project in harbor.projects else frozenset()
        token, now = secrets.token_urlsafe(200), time.time()
        harbor.tokens[token] = _Token(who.name, now, now + harbor.token_life_s, access)
        return _json({"token": token, "expires_in": harbor.token_life_s, "issued_at": _iso(now)})

    # /v2: server/registry/route.go

    def _registry(self, body: bytes) -> Response:
        path = self._path
        if path == "/v2/":
            return Response(200) if self._who().is_authenticated else self._challenged("unauthorized", [])
        for pattern, handle in (
            (rf"/v2/{_NAME}/tags/list", self._tags),
            (rf"/v2/{_NAME}/manifests/{_REFERENCE}", self._manifest),
            (rf"/v2/{_NAME}/referrers/{_REFERENCE}", self._referrers),
            (rf"/v2/{_NAME}/blobs/uploads/?(?P<reference>[A-Za-z0-9._=-]*)", self._upload),
            (rf"/v2/{_NAME}/blobs/{_REFERENCE}", self._blob),
        ):
            found = re.fullmatch(pattern, path)
            if found is None:
                continue
            name = found["name"]
            mounted = self._query.get("from", [""])[0] if handle == self._upload else ""
            for repository in filter(None, (name, mounted)):  # middleware/artifactinfo
                if "/" not in repository:
                    return _error(400, "BAD_REQUEST", f"bad request: invalid repository name: {repository}")
            who = self._who()
            if refused := self._refused(who, name, mounted):
                return refused
            if self.harbor.is_read_only and self.command not in _SAFE:  # middleware/readonly
                return _error(403, "DENIED", "The system is in read only mode. Any modification is prohibited.")
            return handle(who, name, found.groupdict().get("reference", ""), body)
        return _error(404, "NOT_FOUND", "not found")

    def _refused(self, who: _Who, name: str, mounted: str) -> Response | None:
        """middleware/v2auth/auth.go, check, and access.go, accessList."""
        action = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(self.command, "push")
        access = [(name, action)] + ([(mounted, "pull")] if mounted and self.command == "POST" else [])
        for repository, wanted in access:
            if not self.headers.get("Authorization") and self.command in ("GET", "HEAD"):
                return self._challenged("authorize header needed to send HEAD to repository", access)
            project = repository.partition("/")[0]
            if project not in self.harbor.projects:
                return self._unauthorized(f"project {project} not found", "")
            if not who.may(project, f"repository:{wanted}"):
                return self._challenged(f"unauthorized to access repository: {repository}, action: {wanted}", access)
        return None

    def _challenged(self, message: str, access: list[tuple[str, str]]) -> Response:
        """getChallenge: Bearer for who sent no Authorization, Basic for who did."""
        if self.headers.get("Authorization"):
            return self._unauthorized(message, 'Basic realm="harbor"')
        realm = f"{self.harbor.external_scheme}://{self.headers['Host']}/service/token"
        actions = {"push": "pull,push"}
        scope = " ".join(f"repository:{name}:{actions.get(action, action)}" for name, action in access)
        return self._unauthorized(
            message, f'Bearer realm="{realm}",service="{SERVICE}"' + (f',scope="{scope}"' if scope else "")
        )

    @staticmethod
    def _unauthorized(message: str, challenge: str) -> Response:
        # the message twice: UnauthorizedError(err).WithMessage(err.Error()) has its cause written after it
        refused = _error(401, "UNAUTHORIZED", f"{message}: {message}")
        headers = {**refused.headers, "Docker-Distribution-Api-Version": "registry/2.0", "Www-Authenticate": challenge}
        return Response(401, headers, refused.body)

    def _tags(self, _who: _Who, name: str, _reference: str, _body: bytes) -> Response:
        """server/registry/tag.go, util.go: of the tag table, accessories' included; sorted, `last` and `n`."""
        project = self._project(name)
        if name not in project.artifacts:
            return _error(404, "NOT_FOUND", f"repository {name} not found")
        last, number = self._query.get("last", [""])[0], self._query.get("n", [""])[0]
        after = sorted(tag for tag in project.tags.get(name, {}) if tag > last)
        page = after[: int(number)] if number else after
        answer = _json({"name": name, "tags": page}, content_type="application/json; charset=utf-8")
        if page and len(page) < len(after):
            return answer.having(Link=f'</v2/{name}/tags/list?last={page[-1]}&n={number}>; rel="next"')
        return answer

    def _manifest(self, who: _Who, name: str, reference: str, body: bytes) -> Response:
        if self.command == "PUT":
            return self._put_manifest(who, name, reference, body)
        artifact = self._artifact(name, reference)
        if artifact is None:
            at = "@" if ":" in reference else ":"
            return _error(404, "NOT_FOUND", f"artifact {name}{at}{reference} not found")
        if self.command == "DELETE":
            return self._delete(name, reference, artifact)
        violation = self._violation(who, name, artifact)
        if violation:
            return _error(412, "PROJECTPOLICYVIOLATION", violation)
        return self.forward(target=f"/v2/{name}/manifests/{artifact.digest}")

    def _violation(self, who: _Who, name: str, artifact: Artifact) -> str:
        """Why *artifact* may not be pulled: middleware/contenttrust, middleware/vulnerable."""
        project = self._project(name)
        of_it = project.accessories.get(name, [])
        agent = self.headers.get("User-Agent", "")
        # middleware/util/util.go, SkipPolicyChecking
        if who.kind == "v2token" and who.may(project.name, "repository:scanner-pull"):
            return ""
        if who.kind == "v2token" and who.may(project.name, "repository:push") and re.search("cosign|notation", agent):
            return ""
        kinds = [each.kind for each in of_it if each.digest == artifact.digest]
        if kinds and kinds[0].startswith("signature."):
            return ""
        held = {each.kind for each in of_it if each.subject == artifact.digest}
        for setting, signer in (("enable_content_trust_cosign", "cosign"), ("enable_content_trust", "notation")):
            if project.metadata.get(setting) == "true" and f"signature.{signer}" not in held:
                return f"The image is not signed by {signer}."
        if project.metadata.get("prevent_vul") != "true":
            return ""
        return self._vulnerable(project, name, artifact)

    def _vulnerable(self, project: Project, name: str, artifact: Artifact) -> str:
        below = [project.artifacts[name].get(each["digest"]) for each in artifact.view.get("manifests", ())]
        images = [each for each in (artifact, *below) if each is not None and each.type in _IMAGE_CONFIGS]
        scans = [project.scans[each.digest] for each in images if each.digest in project.scans]
        level = project.metadata.get("severity", "low").title()
        policy = f"'Prevent images with vulnerability severity of \"{level}\" or higher from running.' To continue "
        if not scans:
            if not images:  # not scannable
                return ""
            return (
                "current image without vulnerability scanning cannot be pulled due to configured policy in "
                f"{policy}with pull, please contact your project administrator for help."
            )
        severities = ("None", "Negligible", "Low", "Medium", "High", "Critical")
        if "manifests" not in artifact.view and severities.index(scans[0]) >= severities.index(level):
            return (
                f"current image with 3 vulnerabilities cannot be pulled due to configured policy in {policy}with pull, "
                "please contact your project administrator to exempt matched vulnerabilities through configuring the "
                "CVE allowlist."
            )
        return ""

    def _delete(self, name: str, reference: str, artifact: Artifact) -> Response:
        project = self._project(name)
        if ":" not in reference:
            return _error(400, "UNSUPPORTED", f"unsupported digest {reference}: invalid checksum digest format")
        with self.harbor.guard:
            del project.artifacts[name][artifact.digest]
            tags = project.tags.get(name, {})
            project.tags[name] = {tag: digest for tag, digest in tags.items() if digest != artifact.digest}
        return Response(202)

    def _put_manifest(self, _who: _Who, name: str, reference: str, body: bytes) -> Response:
        project, tag = self._project(name), "" if ":" in reference else reference
        if refused := self._refuses_uploads(project):
            return refused
        if tag and self._is_immutable(project, name, tag):
            # middleware/immutable/pushmf.go: any manifest, the same too; pushed by digest there is no tag to look for
            path = name.partition("/")[2]
            return _error(
                412, "PRECONDITION", f"Failed to process request due to '{path}:{tag}' configured as immutable."
            )
        if len(body) > _MANIFEST_MAX:  # lib/request.go
            return _error(413, "REQUEST_ENTITY_TOO_LARGE", "request entity too large")
        digest = "sha256:" + hashlib.sha256(body).hexdigest() if tag else reference
        try:
            view = json.loads(body)
        except ValueError:
            return _error(400, "MANIFESTINVALID", "unmarshal manifest failed: invalid manifest")
        parts = [view.get("config"), *view.get("layers", ())]
        sizes = {part["digest"]: part["size"] for part in parts if part} | {digest: len(body)}
        if refused := self._over_quota(project, sizes):
            return refused
        answer = self.forward(body, target=f"/v2/{name}/manifests/{digest}")
        if answer.status != 201:
            return answer
        artifact = Artifact(digest, self.headers.get("Content-Type", ""), body, view)
        with self.harbor.guard:
            project.blobs.update(sizes)
            project.artifacts.setdefault(name, {})[digest] = artifact
            if tag:
                project.tags.setdefault(name, {})[tag] = digest
            return self._linked(project, name, tag, artifact, answer)

    def _linked(self, project: Project, name: str, tag: str, artifact: Artifact, answer: Response) -> Response:
        """*answer*, once *artifact* is linked to its subject, by cosign's tag or by its own word."""
        accessories = project.accessories.setdefault(name, [])
        known = {(each.digest, each.subject) for each in accessories}
        signed = re.fullmatch(r"sha256-([0-9a-f]{64})\.sig", tag)
        if signed and any(layer.get("mediaType") == _COSIGN_LAYER for layer in artifact.view.get("layers", ())):
            # middleware/cosign/cosign.go
            subject = f"sha256:{signed[1]}"
            is_there = subject in project.artifacts[name] or self.harbor.links_late
            if is_there and (artifact.digest, subject) not in known:
                accessories.append(Accessory(artifact.digest, "signature.cosign", subject))
        if not (of := artifact.view.get("subject")):
            return answer
        # middleware/subject/subject.go: also where the subject is not there yet
        kind: Literal["signature.cosign", "signature.notation", "subject.accessory"] = "subject.accessory"
        if artifact.type in _COSIGN_TYPES:
            kind = "signature.cosign"
        elif artifact.type == _NOTATION_TYPE:
            kind = "signature.notation"
        if (artifact.digest, of["digest"]) not in known:
            accessories.append(Accessory(artifact.digest, kind, of["digest"]))
        return answer.having(OCI_Subject=of["digest"])

    def _referrers(self, _who: _Who, name: str, reference: str, _body: bytes) -> Response:
        """server/registry/referrers.go: an index of the accessories, none of a repository that is not there."""
        if ":" not in reference:
            return _error(400, "BAD_REQUEST", f"unsupported digest {reference}: invalid checksum digest format")
        project, wanted = self._project(name), self._query.get("artifactType", [""])[0]
        entries = list[dict[str, Any]]()
        for accessory in project.accessories.get(name, []):
            artifact = project.artifacts[name].get(accessory.digest)
            if accessory.subject != reference or artifact is None or wanted not in ("", artifact.type):
                continue
            entry = {"mediaType": artifact.media_type, "digest": artifact.digest, "size": len(artifact.raw)}
            annotations = artifact.view.get("annotations")
            entries.append(
                entry | {"artifactType": artifact.type} | ({"annotations": annotations} if annotations else {})
            )
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
        answer = _json(index, content_type="application/vnd.oci.image.index.v1+json")
        return answer.having(X_Total_Count=str(len(entries)), OCI_Filters_Applied="artifactType" if wanted else "")

    def _blob(self, _who: _Who, _name: str, _reference: str, _body: bytes) -> Response:
        return self.forward()

    def _upload(self, _who: _Who, name: str, session: str, body: bytes) -> Response:
        """middleware/quota and middleware/blob for uploads, their sizes those of the requests."""
        project, harbor = self._project(name), self.harbor
        match self.command:
            case "POST":
                if refused := self._refuses_uploads(project):
                    return refused
                mount = self._query.get("mount", [""])[0]
                known = next((each.blobs[mount] for each in harbor.projects.values() if mount in each.blobs), None)
                if refused := self._over_quota(project, {mount: known} if mount and known is not None else {}):
                    return refused
                answer = self.forward(body)
                if answer.status == 201 and known is not None:
                    with harbor.guard:
                        project.blobs[mount] = known
                return answer
            case "PATCH":
                answer = self.forward(body)
                if answer.status == 202:
                    with harbor.guard:
                        harbor.sessions[session] = harbor.sessions.get(session, 0) + len(body)
                return answer
            case "PUT":
                digest = self._query.get("digest", [""])[0]
                size = len(body) + harbor.sessions.get(session, 0)
                if refused := self._over_quota(project, {digest: len(body) or size}):
                    return refused
                answer = self.forward(body)
                if answer.status == 201:
                    with harbor.guard:
                        project.blobs[digest] = size
                return answer
        return self.forward(body)

    def _refuses_uploads(self, project: Project) -> Response | None:
        """middleware/repoproxy/proxy.go, DisableBlobAndManifestUploadMiddleware."""
        if project.registry_id:
            return _error(403, "DENIED", f"denied: can not push artifact to a proxy project: {project.name}")
        return None

    def _over_quota(self, project: Project, sizes: Mapping[str, int]) -> Response | None:
        """middleware/quota/quota.go; the words are pkg/quota/errors.go's."""
        with self.harbor.guard:
            more = sum(size for digest, size in sizes.items() if digest not in project.blobs)
            if project.storage_limit == -1 or project.used + more <= project.storage_limit:
                return None
            return _error(
                403,
                "DENIED",
                f"adding {_human(more)} of storage resource, which when updated to current usage of "
                f"{_human(project.used)} will exceed the configured upper limit of {_human(project.storage_limit)}.",
            )

    def _is_immutable(self, project: Project, name: str, tag: str) -> bool:
        """pkg/immutable/match/rule/match.go: the first selector of each kind; only a tag that is there is held."""
        if tag not in project.tags.get(name, {}):
            return False
        path = name.partition("/")[2]
        for rule in project.rules:
            repositories, tags = rule["scope_selectors"].get("repository", []), rule["tag_selectors"]
            if rule["disabled"] or not repositories or not tags:
                continue
            if _selects(repositories[0], path) and _selects(tags[0], tag):
                return True
        return False

    def _project(self, name: str) -> Project:
        return self.harbor.projects[name.partition("/")[0]]

    def _artifact(self, name: str, reference: str) -> Artifact | None:
        project = self._project(name)
        digest = reference if ":" in reference else project.tags.get(name, {}).get(reference, "")
        return project.artifacts.get(name, {}).get(digest)

    # /api/v2.0: server/v2.0/handler

    def _api(self, at: list[str], body: bytes) -> Response:
        who = self._who()
        match self.command, at:
            case "GET", ["ping"]:
                return _json("Pong")
            case "GET", ["health"]:
                return self._health()
            case "GET", ["systeminfo"]:
                return self._system_info(who)
            case "GET", ["users", "current"]:
                return self._current_user(who)
            case "HEAD", ["projects"]:
                return self._head_project(who)
            case "POST", ["projects"]:
                return self._create_project(who, json.loads(body))
            case "GET", ["quotas"]:
                return self._quotas(who)
            case "GET", ["robots"]:
                return self._robots(who)
            case "GET", ["retentions", number]:
                return self._retention(who, int(number))
            case "GET", ["projects", name, *rest]:
                return self._of_project(who, unquote(name), rest)
        return _error(404, "NOT_FOUND", "path not found")

    def _health(self) -> Response:
        names = ("core", "database", "jobservice", "portal", "redis", "registry", "registryctl")
        components = [
            {"name": name, "status": "unhealthy", "error": "failed to check health"}
            if name in self.harbor.unhealthy
            else {"name": name, "status": "healthy"}
            for name in names
        ]
        return _json({"status": "unhealthy" if self.harbor.unhealthy else "healthy", "components": components})

    def _system_info(self, who: _Who) -> Response:
        """systeminfo.go: what is sensitive only to who is known."""
        said: dict[str, object] = {"auth_mode": "db_auth", "self_registration": False}
        if who.is_authenticated:
            said |= {
                "harbor_version": "v2.14.0-c50c7ddd",
                "external_url": f"{self.harbor.external_scheme}://{self.harbor.host}",
                "registry_url": self.harbor.host,
                "read_only": self.harbor.is_read_only,
                "project_creation_restriction": "adminonly" if self.harbor.only_admins_create else "everyone",
                "current_time": _iso(time.time()),
            }
        return _json(said)

    def _current_user(self, who: _Who) -> Response:
        """user.go: only of a local user; a robot is told that it is none, by 412."""
        if not who.is_authenticated:
            return _UNAUTHORIZED
        if who.kind != "local":
            message = f"get current user not available for security context: {who.kind}"
            return _error(412, "PRECONDITION", message)
        return _json({"user_id": 1, "username": who.name, "sysadmin_flag": True})

    def _head_project(self, who: _Who) -> Response:
        if not who.is_authenticated:
            return _UNAUTHORIZED
        name = self._query.get("project_name", [""])[0]
        return Response(200) if name in self.harbor.projects else _error(404, "NOT_FOUND", f"project {name} not found")

    def _create_project(self, who: _Who, wanted: Mapping[str, Any]) -> Response:
        """project.go, CreateProject."""
        if not who.is_authenticated:
            return _UNAUTHORIZED
        is_of_project = who.kind == "robot" and "+" in who.name
        may_create = who.may("", "project:create")
        if is_of_project:
            return _error(403, "FORBIDDEN", "Only system level robot can create project")
        if self.harbor.only_admins_create and not may_create:
            return _error(403, "FORBIDDEN", "Only system admin can create project")
        name, limit = str(wanted["project_name"]), wanted.get("storage_limit")
        if not re.fullmatch(r"[a-z0-9]+(?:[._-][a-z0-9]+)*", name):
            return _error(400, "BAD_REQUEST", f"project name {name} is not valid")
        with self.harbor.guard:
            if name in self.harbor.projects:
                return _error(409, "CONFLICT", f"The project named {name} already exists")
            metadata = {"public": "false"} | dict(wanted.get("metadata") or {})
            # who is no admin gets the default of all projects
            made = self.harbor.add_project(name, metadata=metadata, storage_limit=(limit or -1) if may_create else -1)
        return Response(201, {"Location": f"/api/v2.0/projects/{made.id}"})

    def _of_project(self, who: _Who, name: str, rest: list[str]) -> Response:
        needs = {"immutabletagrules": "immutable-tag:list"}.get("".join(rest), "project:read")
        if not who.may(name, needs):
            return _FORBIDDEN if who.is_authenticated else _UNAUTHORIZED
        project = self.harbor.projects.get(name)
        if project is None:
            return _error(404, "NOT_FOUND", f"project {name} not found")
        match rest:
            case []:
                metadata = project.metadata
                about = {"project_id": project.id, "name": name, "metadata": metadata, "repo_count": len(project.tags)}
                return _json(about | ({"registry_id": project.registry_id} if project.registry_id else {}))
            case ["summary"]:
                summary: dict[str, object] = {"repo_count": len(project.tags)}
                if who.may(name, "quota:read"):
                    summary["quota"] = {"hard": {"storage": project.storage_limit}, "used": {"storage": project.used}}
                return _json(summary)
            case ["immutabletagrules"]:
                return self._paged(project.rules)
        return _error(404, "NOT_FOUND", "path not found")

    def _quotas(self, who: _Who) -> Response:
        if not who.may("", "quota:list"):
            return _error(403, "FORBIDDEN", who.name) if who.is_authenticated else _UNAUTHORIZED
        wanted = self._query.get("reference_id", [""])[0]
        found = [each for each in self.harbor.projects.values() if str(each.id) == wanted]
        return _json([{"hard": {"storage": each.storage_limit}, "used": {"storage": each.used}} for each in found])

    def _robots(self, who: _Who) -> Response:
        """robot.go, ListRobot: of the system, or of a project by its number."""
        if not who.is_authenticated:
            return _UNAUTHORIZED
        found = re.search(r"ProjectID=(\d+)", self._query.get("q", [""])[0])
        project = next((each for each in self.harbor.projects.values() if found and str(each.id) == found[1]), None)
        if not who.may(project.name if project else "", "robot:list"):
            return _FORBIDDEN if project else _error(403, "FORBIDDEN", who.name)
        start = f"{project.name}+" if project else ""
        robots = [each for each in self.harbor.robots if each.name.startswith(start)]
        robots = [each for each in robots if ("+" in each.name) == bool(project)]
        return self._paged(
            [
                {
                    "id": number,
                    "name": self.harbor.username(each),
                    "level": "project" if project else "system",
                    "expires_at": each.expires_at,
                    "disable": each.is_disabled,
                }
                for number, each in enumerate(robots, 1)
            ]
        )

    def _retention(self, who: _Who, number: int) -> Response:
        policy = self.harbor.retentions.get(number)
        if policy is None:
            return _error(404, "NOT_FOUND", f"Retention Policy {number} not found")
        [project] = [each for each in self.harbor.projects.values() if each.id == policy["scope"]["ref"]]
        if not who.may(project.name, "tag-retention:read"):
            return _FORBIDDEN if who.is_authenticated else _UNAUTHORIZED
        return _json(policy)

    def _paged(self, entries: list[dict[str, Any]]) -> Response:
        """base.go, BuildQuery: ten a page if nothing is asked for, a hundred at most."""
        size, page = (int(self._query.get(key, [default])[0]) for key, default in (("page_size", "10"), ("page", "1")))
        if size > 100:
            return _error(422, "UNPROCESSABLE_ENTITY", "page_size in query should be less than or equal to 100")
        return _json(entries[(page - 1) * size : page * size]).having(X_Total_Count=str(len(entries)))


def _selects(chosen: Mapping[str, str], value: str) -> bool:
    """lib/selector/selectors/doublestar/selector.go, for the patterns that tests use: `**`, `*`, `?` and `{a,b}`."""
    is_match = not chosen["pattern"] or re.fullmatch(_expression(chosen["pattern"]), value) is not None
    return is_match != chosen["decoration"].lower().endswith("excludes")


def _expression(pattern: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|[{},])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
    return "".join(known.get(part, re.escape(part)) for part in parts)


def _human(size: int) -> str:
    """pkg/quota/types/format.go."""
    if size < 1024:
        return f"{size} B"
    value, unit = size / 1024, 0
    while value >= 1024:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {'KMGTPE'[unit]}iB"


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
