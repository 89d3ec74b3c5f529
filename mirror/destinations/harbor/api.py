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
from mirror.errors import RegistryError
from mirror.http.answer import Answer
from mirror.oci.auth import Credential
from mirror.oci.registry import Registry, refusal

_BOUND = 1024 * 1024
_PAGE = 100  # the most that Harbor gives at once
_PAGES_MAX = 10

T = TypeVar("T")


@dataclass(slots=True)
class HarborApi:
    """The API of the Harbor that *registry* is."""

    registry: Registry
    _credential: Credential | None = field(default=None, init=False)
    _has_looked: bool = field(default=False, init=False)

    async def username(self) -> str:
        """Whom we ask as; empty for nobody."""
        credential = await self._look_up()
        return credential.username if credential else ""

    async def system(self) -> System:
        """GET /systeminfo."""
        view = await self._get("systeminfo")
        return self._parsed("systeminfo", lambda: System(
            str(view.get("harbor_version") or ""), str(view.get("external_url") or ""), bool(view.get("read_only"))
        ))  # fmt: skip

    async def unhealthy(self) -> tuple[str, ...]:
        """GET /health: the components that are not well."""
        view = await self._get("health")
        return self._parsed("health", lambda: tuple(
            str(each["name"]) for each in view.get("components") or () if each.get("status") != "healthy"
        ))  # fmt: skip

    async def account(self) -> Account:
        """GET /users/current, which tells a robot that it is none by 412; raises AccessDenied for who is refused."""
        path = "users/current"
        answer = await self._ask("GET", path)
        if answer.status == 412:
            return Account(await self.username(), is_robot=True)
        view = self._read(answer, path)
        return self._parsed(path, lambda: Account(
            str(view["username"]), is_robot=False, is_admin=bool(view.get("sysadmin_flag"))
        ))  # fmt: skip

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
        path = f"projects/{quote(name, safe='')}"
        view = await self._get(path)
        return self._parsed(path, lambda: parse_project(view))

    async def quota(self, name: str) -> Quota | None:
        """GET /projects/NAME/summary; None where the account may see the project, but not that."""
        path = f"projects/{quote(name, safe='')}/summary"
        view = await self._get(path)
        return self._parsed(path, lambda: parse_quota(view))

    async def immutable_rules(self, name: str) -> tuple[Rule, ...]:
        """GET /projects/NAME/immutabletagrules."""
        path = f"projects/{quote(name, safe='')}/immutabletagrules"
        views = await self._list(path)
        return self._parsed(path, lambda: parse_rules(views))

    async def retention(self, number: int) -> tuple[Rule, ...]:
        """GET /retentions/ID: the rules of a policy."""
        path = f"retentions/{number}"
        view = await self._get(path)
        return self._parsed(path, lambda: parse_rules(view.get("rules") or ()))

    async def robots(self, project: Project | None) -> tuple[Robot, ...]:
        """GET /robots: those of *project*, or of the system."""
        wanted = f"Level=project,ProjectID={project.id}" if project else "Level=system"
        views = await self._list("robots", q=wanted)
        return self._parsed("robots", lambda: tuple(map(parse_robot, views)))

    async def _list(self, path: str, **query: str) -> list[Any]:
        found = list[Any]()
        for page in range(1, _PAGES_MAX + 1):
            at = f"{path}?" + urlencode({**query, "page": page, "page_size": _PAGE})
            view = await self._get(at)
            if not isinstance(view, list):
                raise self._unreadable(path)
            found += view
            if len(view) < _PAGE:
                break
        return found

    async def _get(self, path: str) -> Any:
        return self._read(await self._ask("GET", path), path)

    def _read(self, answer: Answer, path: str) -> Any:
        if answer.status != 200:
            raise self._refusal(answer, "GET", path)
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as exc:
            raise self._unreadable(path) from exc

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

    def _parsed(self, path: str, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as exc:
            raise self._unreadable(path) from exc

    def _unreadable(self, path: str) -> RegistryError:
        return RegistryError(f"{self._at(path)}: the answer is none of Harbor's: is this host a Harbor?")

    def _refusal(self, answer: Answer, method: str, path: str) -> RegistryError:
        return refusal(answer, where=self._at(path), asked=method)

    def _at(self, path: str) -> str:
        return f"{self.registry.host}/api/v2.0/{path.partition('?')[0]}"
