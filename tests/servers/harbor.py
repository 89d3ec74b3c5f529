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
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs, urlsplit

from tests.servers.certificates import Certificates
from tests.servers.gateway import Gateway
from tests.servers.harbor_api import Api
from tests.servers.harbor_state import (
    ADMIN,
    ADMIN_PASSWORD,
    Accessory,
    Artifact,
    Harbor,
    Project,
    Token,
    Who,
    as_json,
    error,
    human,
    is_immutable,
    iso,
)
from tests.servers.loopback import Response, serving

SERVICE = "harbor-registry"  # core/service/token/creator.go
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


def _nginx(status: int, reason: str) -> Response:
    page = f"<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1>"
    return Response(
        status,
        {"Content-Type": "text/html", "Server": "nginx"},
        f"{page}</center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n".encode(),
    )


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
            return error(403, "FORBIDDEN", "CSRF token not found in request")
        if self._path == "/service/token":
            return self._token()
        if self._path.startswith("/api/v2.0/") and not self.harbor.hides_api:
            return Api(self.harbor, self._who(), self.seen()).answer(body)
        if self._path == "/v2/" or self._path.startswith("/v2/"):
            return self._registry(body)
        return _nginx(404, "Not Found")

    # who is asking: server/middleware/security

    def _who(self) -> Who:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        who = None
        if scheme.lower() == "bearer" and self._path.startswith("/v2/"):
            who = self._by_token(value)
        elif scheme.lower() == "basic":
            name, _, secret = base64.b64decode(value).decode().partition(":")
            who = self._robot(name, secret) if name.startswith(self.harbor.robot_prefix) else self._user(name, secret)
        return who or Who("unauthorized", may=self._is_public)

    def _is_public(self, project: str, right: str) -> bool:
        found = self.harbor.projects.get(project)
        is_public = found is not None and found.metadata.get("public") == "true"
        return is_public and right in ("repository:pull", "project:read")

    def _by_token(self, value: str) -> Who | None:
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
        return Who(
            "v2token",
            token.subject,
            lambda project, right: right.removeprefix("repository:") in token.access.get(project, ()),
        )

    def _robot(self, name: str, secret: str) -> Who | None:
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

        return Who("robot", name, may)

    def _user(self, name: str, secret: str) -> Who | None:
        is_admin = (name, secret) == (ADMIN, ADMIN_PASSWORD)
        return Who("local", name, lambda _project, right: right != "repository:scanner-pull") if is_admin else None

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
        harbor.tokens[token] = Token(who.name, now, now + harbor.token_life_s, access)
        return as_json({"token": token, "expires_in": harbor.token_life_s, "issued_at": iso(now)})

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
                    return error(400, "BAD_REQUEST", f"bad request: invalid repository name: {repository}")
            who = self._who()
            if refused := self._refused(who, name, mounted):
                return refused
            if self.harbor.is_read_only and self.command not in _SAFE:  # middleware/readonly
                return error(403, "DENIED", "The system is in read only mode. Any modification is prohibited.")
            return handle(who, name, found.groupdict().get("reference", ""), body)
        return error(404, "NOT_FOUND", "not found")

    def _refused(self, who: Who, name: str, mounted: str) -> Response | None:
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
        refused = error(401, "UNAUTHORIZED", f"{message}: {message}")
        headers = {**refused.headers, "Docker-Distribution-Api-Version": "registry/2.0", "Www-Authenticate": challenge}
        return Response(401, headers, refused.body)

    def _tags(self, _who: Who, name: str, _reference: str, _body: bytes) -> Response:
        """server/registry/tag.go, util.go: of the tag table, accessories' included; sorted, `last` and `n`."""
        project = self._project(name)
        if name not in project.artifacts:
            return error(404, "NOT_FOUND", f"repository {name} not found")
        last, number = self._query.get("last", [""])[0], self._query.get("n", [""])[0]
        after = sorted(tag for tag in project.tags.get(name, {}) if tag > last)
        page = after[: int(number)] if number else after
        answer = as_json({"name": name, "tags": page}, content_type="application/json; charset=utf-8")
        if page and len(page) < len(after):
            return answer.having(Link=f'</v2/{name}/tags/list?last={page[-1]}&n={number}>; rel="next"')
        return answer

    def _manifest(self, who: Who, name: str, reference: str, body: bytes) -> Response:
        if self.command == "PUT":
            return self._put_manifest(who, name, reference, body)
        artifact = self._artifact(name, reference)
        if artifact is None:
            at = "@" if ":" in reference else ":"
            return error(404, "NOT_FOUND", f"artifact {name}{at}{reference} not found")
        if self.command == "DELETE":
            return self._delete(name, reference, artifact)
        violation = self._violation(who, name, artifact)
        if violation:
            return error(412, "PROJECTPOLICYVIOLATION", violation)
        return self.forward(target=f"/v2/{name}/manifests/{artifact.digest}")

    def _violation(self, who: Who, name: str, artifact: Artifact) -> str:
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
            return error(400, "UNSUPPORTED", f"unsupported digest {reference}: invalid checksum digest format")
        with self.harbor.guard:
            del project.artifacts[name][artifact.digest]
            tags = project.tags.get(name, {})
            project.tags[name] = {tag: digest for tag, digest in tags.items() if digest != artifact.digest}
        return Response(202)

    def _put_manifest(self, _who: Who, name: str, reference: str, body: bytes) -> Response:
        project, tag = self._project(name), "" if ":" in reference else reference
        if refused := self._refuses_uploads(project):
            return refused
        if tag and is_immutable(project, name, tag):
            # middleware/immutable/pushmf.go: any manifest, the same too; pushed by digest there is no tag to look for
            path = name.partition("/")[2]
            return error(
                412, "PRECONDITION", f"Failed to process request due to '{path}:{tag}' configured as immutable."
            )
        if len(body) > _MANIFEST_MAX:  # lib/request.go
            return error(413, "REQUEST_ENTITY_TOO_LARGE", "request entity too large")
        digest = "sha256:" + hashlib.sha256(body).hexdigest() if tag else reference
        try:
            view = json.loads(body)
        except ValueError:
            return error(400, "MANIFESTINVALID", "unmarshal manifest failed: invalid manifest")
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

    def _referrers(self, _who: Who, name: str, reference: str, _body: bytes) -> Response:
        """server/registry/referrers.go: an index of the accessories, none of a repository that is not there."""
        if ":" not in reference:
            return error(400, "BAD_REQUEST", f"unsupported digest {reference}: invalid checksum digest format")
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
        answer = as_json(index, content_type="application/vnd.oci.image.index.v1+json")
        return answer.having(X_Total_Count=str(len(entries)), OCI_Filters_Applied="artifactType" if wanted else "")

    def _blob(self, _who: Who, _name: str, _reference: str, _body: bytes) -> Response:
        return self.forward()

    def _upload(self, _who: Who, name: str, session: str, body: bytes) -> Response:
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
            return error(403, "DENIED", f"denied: can not push artifact to a proxy project: {project.name}")
        return None

    def _over_quota(self, project: Project, sizes: Mapping[str, int]) -> Response | None:
        """middleware/quota/quota.go; the words are pkg/quota/errors.go's."""
        with self.harbor.guard:
            more = sum(size for digest, size in sizes.items() if digest not in project.blobs)
            if project.storage_limit == -1 or project.used + more <= project.storage_limit:
                return None
            return error(
                403,
                "DENIED",
                f"adding {human(more)} of storage resource, which when updated to current usage of "
                f"{human(project.used)} will exceed the configured upper limit of {human(project.storage_limit)}.",
            )

    def _project(self, name: str) -> Project:
        return self.harbor.projects[name.partition("/")[0]]

    def _artifact(self, name: str, reference: str) -> Artifact | None:
        project = self._project(name)
        digest = reference if ":" in reference else project.tags.get(name, {}).get(reference, "")
        return project.artifacts.get(name, {}).get(digest)
