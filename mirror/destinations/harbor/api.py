"""The part of Harbor's own API that is used (goharbor/harbor, api/v2.0/swagger.yaml): over the registry's connections.

It is asked with the credential itself, as Basic; tokens are for the distribution API. Answers are bounded, and parsed
here. A robot that may push may read little of this: AccessDenied is an ordinary answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from mirror.destinations.harbor import words
from mirror.destinations.harbor.diagnosis import Account, System
from mirror.destinations.harbor.project import (
    Project,
    Quota,
    Robot,
    Rule,
    parse_project,
    parse_quota,
    parse_robot,
    parse_rules,
)
from mirror.destinations.harbor.words import plain
from mirror.errors import ImmutableTag, RegistryError
from mirror.http.answer import Answer
from mirror.oci.auth import Credential
from mirror.oci.content import Digest
from mirror.oci.registry import Registry, refusal

_BOUND = 1024 * 1024
_PAGE = 100  # the most that Harbor gives at once
_PAGES_MAX = 10

T = TypeVar("T")


@dataclass(slots=True)
class HarborApi:
    """The API of the Harbor that *registry* is."""

    registry: Registry
    _credential: Credential | None = field(default=None, init=False, repr=False)
    _has_looked: bool = field(default=False, init=False)

    async def username(self) -> str:
        """Whom we ask as; empty for nobody."""
        credential = await self._look_up()
        return credential.username if credential else ""

    async def system(self) -> System:
        """GET /systeminfo."""
        return await self._get("systeminfo", _parse_system)

    async def unhealthy(self) -> tuple[str, ...]:
        """GET /health: the components that are not well."""
        return await self._get("health", _parse_unhealthy)

    async def account(self) -> Account:
        """GET /users/current, which tells a robot that it is none by 412; raises AccessDenied for who is refused."""
        path = "users/current"
        answer = await self._ask("GET", path)
        if answer.status == 412:
            return Account(await self.username(), is_robot=True)
        return self._parsed(answer, path, _parse_user)

    async def has_project(self, name: str) -> bool:
        """HEAD /projects; a 404 that is not Harbor's own, as of an ingress without this path, is a RegistryError."""
        path = "projects?" + urlencode({"project_name": name})
        answer = await self._ask("HEAD", path)
        if answer.status == 404 and answer.headers.get("content-type", "").startswith("application/json"):
            return False  # src/lib/http/error.go, SendError
        if answer.status != 200:
            raise self._refusal(answer, "HEAD", path)
        return True

    async def create_project(self, name: str, *, is_public: bool, storage_quota: int, scans_on_push: bool) -> None:
        """POST /projects: it is there, made or not; Harbor gives the quota of all to what no administrator makes."""
        wanted = {
            "project_name": name,
            "metadata": {"public": str(is_public).lower(), "auto_scan": str(scans_on_push).lower()},
            "storage_limit": storage_quota,
        }
        answer = await self._ask("POST", "projects", body=json.dumps(wanted).encode())
        if answer.status not in (201, 409):
            raise self._refusal(answer, "POST", "projects")

    async def project(self, name: str) -> Project:
        """GET /projects/NAME."""
        return await self._get(_path_of(name), parse_project)

    async def quota(self, name: str) -> Quota | None:
        """GET /projects/NAME/summary; None where the account may see the project, but not that."""
        return await self._get(f"{_path_of(name)}/summary", parse_quota)

    async def immutable_rules(self, name: str) -> tuple[Rule, ...]:
        """GET /projects/NAME/immutabletagrules."""
        return await self._list(f"{_path_of(name)}/immutabletagrules", parse_rules)

    async def retention(self, number: int) -> tuple[Rule, ...]:
        """GET /retentions/ID: the rules of a policy."""
        return await self._get(f"retentions/{number}", lambda view: parse_rules(view.get("rules") or ()))

    async def robots(self, project: Project | None) -> tuple[Robot, ...]:
        """GET /robots: those of *project*, or of the system."""
        wanted = f"Level=project,ProjectID={project.id}" if project else "Level=system"
        return await self._list("robots", lambda views: tuple(map(parse_robot, views)), q=wanted)

    async def delete_tag(self, repository: str, tag: str) -> None:
        """DELETE …/artifacts/TAG/tags/TAG: the tag is gone, its artifact stays; gone already is no failure."""
        path = f"{_artifact_of(repository, tag)}/tags/{quote(tag, safe='')}"
        answer = await self._ask("DELETE", path)
        if answer.status not in (200, 404):
            raise self._kept(answer, f"{repository}:{tag}")

    async def delete_artifact(self, repository: str, digest: Digest) -> None:
        """DELETE …/artifacts/DIGEST: it is gone, with its tags, its accessories, and what only it lists.

        Gone already is no failure.
        """
        answer = await self._ask("DELETE", _artifact_of(repository, str(digest)))
        if answer.status not in (200, 404):
            raise self._kept(answer, f"{repository}@{digest}")

    def _kept(self, answer: Answer, what: str) -> RegistryError:
        """Why *what* was not deleted, and what to do about it."""
        refused = refusal(answer, where=f"{self.registry.host}/{what}", asked="DELETE")
        project = what.partition("/")[0]
        match answer.status:
            case 401 | 403:
                return refused.retold(
                    f"{refused.where}: Harbor does not let this account delete: {words.may_delete(project)}"
                )
            case 412:
                return refused.retold(f"{refused.where}: {words.is_held(project, refused.words)}", ImmutableTag)
        return refused

    async def _list(self, path: str, parse: Callable[[list[Any]], tuple[T, ...]], **query: str) -> tuple[T, ...]:
        found = list[T]()
        for page in range(1, _PAGES_MAX + 1):
            some = await self._get(f"{path}?" + urlencode({**query, "page": page, "page_size": _PAGE}), parse)
            found += some
            if len(some) < _PAGE:
                break
        return tuple(found)

    async def _get(self, path: str, parse: Callable[[Any], T]) -> T:
        return self._parsed(await self._ask("GET", path), path, parse)

    def _parsed(self, answer: Answer, path: str, parse: Callable[[Any], T]) -> T:
        if answer.status != 200:
            raise self._refusal(answer, "GET", path)
        try:
            return parse(json.loads(answer.body))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
            raise RegistryError(f"{self._at(path)}: the answer is none of Harbor's: is this host a Harbor?") from exc

    async def _ask(self, method: str, path: str, *, body: bytes = b"") -> Answer:
        credential = await self._look_up()
        # X-Is-Resource-Name: a project may be called 123 (src/server/v2.0/handler/util.go, parseProjectNameOrID)
        headers: Mapping[str, str] = {
            "Accept": "application/json",
            "X-Is-Resource-Name": "true",
            **({"Content-Type": "application/json"} if body else {}),
            **({"Authorization": credential.basic} if credential and credential.username else {}),
        }
        url = f"{self.registry.endpoint.rstrip('/')}/api/v2.0/{path}"
        return await self.registry.transport.send(method, url, headers=headers, body=body, bound=_BOUND)

    async def _look_up(self) -> Credential | None:
        credentials = self.registry.auth.credentials
        if not self._has_looked and credentials is not None:
            self._credential = await asyncio.to_thread(credentials.credential, self.registry.host)
        self._has_looked = True
        return self._credential

    def _refusal(self, answer: Answer, method: str, path: str) -> RegistryError:
        return refusal(answer, where=self._at(path), asked=method)

    def _at(self, path: str) -> str:
        return f"{self.registry.host}/api/v2.0/{path.partition('?')[0]}"


def _path_of(project: str) -> str:
    return f"projects/{quote(project, safe='')}"


def _artifact_of(repository: str, reference: str) -> str:
    """Its path in the API; what is a slash in the name of a repository is encoded twice (swagger.yaml)."""
    project, _, name = repository.partition("/")
    named = quote(quote(name, safe=""), safe="")
    return f"{_path_of(project)}/repositories/{named}/artifacts/{quote(reference, safe=':')}"


def _parse_system(view: Mapping[str, Any]) -> System:
    version, url = (plain(view.get(key) or "") for key in ("harbor_version", "external_url"))
    return System(version, url, is_read_only=bool(view.get("read_only")))


def _parse_unhealthy(view: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(plain(each["name"]) for each in view.get("components") or () if each.get("status") != "healthy")


def _parse_user(view: Mapping[str, Any]) -> Account:
    return Account(plain(view["username"]), is_robot=False, is_admin=bool(view.get("sysadmin_flag")))
