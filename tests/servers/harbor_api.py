"""Harbor's own API, for the tests' Harbor: server/v2.0/handler of goharbor/harbor at c50c7ddd6e, below src/."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.harbor_state import Harbor, Who, as_json, error, is_immutable, iso
from tests.servers.loopback import Response, Seen

_FORBIDDEN = error(403, "FORBIDDEN", "forbidden")
_UNAUTHORIZED = error(401, "UNAUTHORIZED", "unauthorized")


@dataclass(frozen=True, slots=True)
class Api:
    """One request for what is below /api/v2.0/, of *who*."""

    harbor: Harbor
    who: Who
    seen: Seen

    def answer(self, body: bytes) -> Response:
        """What Harbor answers."""
        match self.seen.method, self.seen.path.removeprefix("/api/v2.0/").split("/"):
            case "GET", ["ping"]:
                return as_json("Pong")
            case "GET", ["health"]:
                return self._health()
            case "GET", ["systeminfo"]:
                return self._system_info()
            case "GET", ["users", "current"]:
                return self._current_user()
            case "HEAD", ["projects"]:
                return self._head_project()
            case "POST", ["projects"]:
                return self._create_project(json.loads(body))
            case "GET", ["quotas"]:
                return self._quotas()
            case "GET", ["robots"]:
                return self._robots()
            case "GET", ["retentions", number]:
                return self._retention(int(number))
            case "DELETE", ["projects", name, "repositories", repository, "artifacts", reference, *rest]:
                path = f"{unquote(name)}/{unquote(unquote(repository))}"
                return self._delete(path, unquote(reference), [unquote(each) for each in rest])
            case "GET", ["projects", name, *rest]:
                return self._of_project(unquote(name), rest)
        return error(404, "NOT_FOUND", "path not found")

    def _delete(self, repository: str, reference: str, rest: list[str]) -> Response:
        """artifact.go, DeleteArtifact and DeleteTag; controller/artifact/controller.go, deleteDeeply."""
        name = repository.partition("/")[0]
        if not self.who.may(name, "tag:delete" if rest else "artifact:delete"):
            return _FORBIDDEN if self.who.is_authenticated else _UNAUTHORIZED
        project = self.harbor.projects[name]
        tags = project.tags.get(repository, {})
        digest = reference if ":" in reference else tags.get(reference, "")
        if digest not in project.artifacts.get(repository, {}):
            return error(404, "NOT_FOUND", f"artifact {repository}@{reference} not found")
        named = [tag for tag, of_it in tags.items() if of_it == digest]
        going = [tag for tag in named if not rest or tag == rest[1]]
        if held := [tag for tag in going if is_immutable(project, repository, tag)]:
            return error(412, "PRECONDITION", f"the tag {held[0]} configured as immutable, cannot be deleted")
        with self.harbor.guard:
            if rest:
                del tags[rest[1]]
            elif project.parents(repository, digest):
                return error(412, "PRECONDITION", "the deleting artifact is referenced by others")
            else:
                project.delete(repository, digest)
        return Response(200)

    def _health(self) -> Response:
        names = ("core", "database", "jobservice", "portal", "redis", "registry", "registryctl")
        components = [
            {"name": name, "status": "unhealthy", "error": "failed to check health"}
            if name in self.harbor.unhealthy
            else {"name": name, "status": "healthy"}
            for name in names
        ]
        return as_json({"status": "unhealthy" if self.harbor.unhealthy else "healthy", "components": components})

    def _system_info(self) -> Response:
        """systeminfo.go: what is sensitive only to who is known."""
        said: dict[str, object] = {"auth_mode": "db_auth", "self_registration": False}
        if self.who.is_authenticated:
            said |= {
                "harbor_version": "v2.14.0-c50c7ddd",
                "external_url": f"{self.harbor.external_scheme}://{self.harbor.host}",
                "registry_url": self.harbor.host,
                "read_only": self.harbor.is_read_only,
                "project_creation_restriction": "adminonly" if self.harbor.only_admins_create else "everyone",
                "current_time": iso(time.time()),
            }
        return as_json(said)

    def _current_user(self) -> Response:
        """user.go: only of a local user; a robot is told that it is none, by 412."""
        if not self.who.is_authenticated:
            return _UNAUTHORIZED
        if self.who.kind != "local":
            message = f"get current user not available for security context: {self.who.kind}"
            return error(412, "PRECONDITION", message)
        return as_json({"user_id": 1, "username": self.who.name, "sysadmin_flag": True})

    def _head_project(self) -> Response:
        if not self.who.is_authenticated:
            return _UNAUTHORIZED
        name = self._query.get("project_name", [""])[0]
        return Response(200) if name in self.harbor.projects else error(404, "NOT_FOUND", f"project {name} not found")

    def _create_project(self, wanted: Mapping[str, Any]) -> Response:
        """project.go, CreateProject."""
        if not self.who.is_authenticated:
            return _UNAUTHORIZED
        is_of_project = self.who.kind == "robot" and "+" in self.who.name
        may_create = self.who.may("", "project:create")
        if is_of_project:
            return error(403, "FORBIDDEN", "Only system level robot can create project")
        if self.harbor.only_admins_create and not may_create:
            return error(403, "FORBIDDEN", "Only system admin can create project")
        name, limit = str(wanted["project_name"]), wanted.get("storage_limit")
        if not re.fullmatch(r"[a-z0-9]+(?:[._-][a-z0-9]+)*", name):
            return error(400, "BAD_REQUEST", f"project name {name} is not valid")
        with self.harbor.guard:
            if name in self.harbor.projects:
                return error(409, "CONFLICT", f"The project named {name} already exists")
            metadata = {"public": "false"} | dict(wanted.get("metadata") or {})
            # who is no admin gets the default of all projects
            made = self.harbor.add_project(name, metadata=metadata, storage_limit=(limit or -1) if may_create else -1)
        return Response(201, {"Location": f"/api/v2.0/projects/{made.id}"})

    def _of_project(self, name: str, rest: list[str]) -> Response:
        needs = {"immutabletagrules": "immutable-tag:list"}.get("".join(rest), "project:read")
        if not self.who.may(name, needs):
            return _FORBIDDEN if self.who.is_authenticated else _UNAUTHORIZED
        project = self.harbor.projects.get(name)
        if project is None:
            return error(404, "NOT_FOUND", f"project {name} not found")
        match rest:
            case []:
                metadata = project.metadata
                about = {"project_id": project.id, "name": name, "metadata": metadata, "repo_count": len(project.tags)}
                return as_json(about | ({"registry_id": project.registry_id} if project.registry_id else {}))
            case ["summary"]:
                summary: dict[str, object] = {"repo_count": len(project.tags)}
                if self.who.may(name, "quota:read"):
                    summary["quota"] = {"hard": {"storage": project.storage_limit}, "used": {"storage": project.used}}
                return as_json(summary)
            case ["immutabletagrules"]:
                return self._paged(project.rules)
        return error(404, "NOT_FOUND", "path not found")

    def _quotas(self) -> Response:
        if not self.who.may("", "quota:list"):
            return error(403, "FORBIDDEN", self.who.name) if self.who.is_authenticated else _UNAUTHORIZED
        wanted = self._query.get("reference_id", [""])[0]
        found = [each for each in self.harbor.projects.values() if str(each.id) == wanted]
        return as_json([{"hard": {"storage": each.storage_limit}, "used": {"storage": each.used}} for each in found])

    def _robots(self) -> Response:
        """robot.go, ListRobot: of the system, or of a project by its number."""
        if not self.who.is_authenticated:
            return _UNAUTHORIZED
        found = re.search(r"ProjectID=(\d+)", self._query.get("q", [""])[0])
        project = next((each for each in self.harbor.projects.values() if found and str(each.id) == found[1]), None)
        if not self.who.may(project.name if project else "", "robot:list"):
            return _FORBIDDEN if project else error(403, "FORBIDDEN", self.who.name)
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

    def _retention(self, number: int) -> Response:
        policy = self.harbor.retentions.get(number)
        if policy is None:
            return error(404, "NOT_FOUND", f"Retention Policy {number} not found")
        [project] = [each for each in self.harbor.projects.values() if each.id == policy["scope"]["ref"]]
        if not self.who.may(project.name, "tag-retention:read"):
            return _FORBIDDEN if self.who.is_authenticated else _UNAUTHORIZED
        return as_json(policy)

    def _paged(self, entries: list[dict[str, Any]]) -> Response:
        """base.go, BuildQuery: ten a page if nothing is asked for, a hundred at most."""
        size, page = (int(self._query.get(key, [default])[0]) for key, default in (("page_size", "10"), ("page", "1")))
        if size > 100:
            return error(422, "UNPROCESSABLE_ENTITY", "page_size in query should be less than or equal to 100")
        return as_json(entries[(page - 1) * size : page * size]).having(X_Total_Count=str(len(entries)))

    @property
    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.seen.target).query)
