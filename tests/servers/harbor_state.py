"""What a Harbor of the tests is set to, and what is in it: projects, robots, rules (tests/servers/harbor.py).

File names are those of goharbor/harbor at c50c7ddd6e, below src/.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.servers.loopback import Response, Seen

ADMIN, ADMIN_PASSWORD = "admin", "Harbor12345"
PUSHES = frozenset({"repository:pull", "repository:push"})
DELETES = frozenset({"artifact:delete", "tag:delete"})
READS = frozenset({"project:read", "quota:read", "immutable-tag:list", "tag-retention:read", "robot:list"})


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
    may: dict[str, frozenset[str]]
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

    def parents(self, repository: str, digest: str) -> list[str]:
        """The indexes that list *digest*."""
        return [
            each.digest
            for each in self.artifacts[repository].values()
            if any(child["digest"] == digest for child in each.view.get("manifests", ()))
        ]

    def delete(self, repository: str, digest: str) -> None:
        """The artifact is gone, with its tags and accessories, and whatever it lists that nothing else needs."""
        gone = self.artifacts[repository].pop(digest)
        tags = self.tags.get(repository, {})
        for tag in [tag for tag, of_it in tags.items() if of_it == digest]:
            del tags[tag]
        accessories = self.accessories.get(repository, [])
        below = [each["digest"] for each in gone.view.get("manifests", ())]
        below += [each.digest for each in accessories if each.subject == digest]
        accessories[:] = [each for each in accessories if digest not in (each.subject, each.digest)]
        for child in below:
            is_needed = child in tags.values() or self.parents(repository, child)
            if child in self.artifacts[repository] and not is_needed:
                self.delete(repository, child)

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
    tokens: dict[str, Token] = field(default_factory=dict)
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
class Token:
    subject: str
    issued_at: float
    expires_at: float
    access: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Who:
    """A security context (common/security)."""

    kind: Literal["v2token", "robot", "local", "unauthorized"]
    name: str = ""
    may: Callable[[str, str], bool] = lambda _project, _right: False

    @property
    def is_authenticated(self) -> bool:
        return bool(self.name)


def error(status: int, code: str, message: str, **headers: str) -> Response:
    """As lib/http/error.go writes errors."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode() + b"\n"
    return Response(status, {"Content-Type": "application/json; charset=utf-8", **headers}, body)


def as_json(payload: object, status: int = 200, content_type: str = "application/json") -> Response:
    return Response(status, {"Content-Type": content_type}, json.dumps(payload).encode() + b"\n")


def human(size: int) -> str:
    """pkg/quota/types/format.go."""
    if size < 1024:
        return f"{size} B"
    value, unit = size / 1024, 0
    while value >= 1024:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {'KMGTPE'[unit]}iB"


def iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def is_immutable(project: Project, name: str, tag: str) -> bool:
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


def _selects(chosen: Mapping[str, str], value: str) -> bool:
    """lib/selector/selectors/doublestar/selector.go, for the patterns that tests use: `**`, `*`, `?` and `{a,b}`."""
    is_match = not chosen["pattern"] or re.fullmatch(_expression(chosen["pattern"]), value) is not None
    return is_match != chosen["decoration"].lower().endswith("excludes")


def _expression(pattern: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?|[{},])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
    return "".join(known.get(part, re.escape(part)) for part in parts)
