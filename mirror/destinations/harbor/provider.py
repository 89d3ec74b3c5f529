"""Harbor's side of a destination: makes the project, and says what would go wrong there.

Nothing here keeps a sync from its work that would succeed without it: a robot that may push may read little of the
API, and an ingress may lead to `/v2/` alone. Only two things are refused, each when Harbor says it clearly: a project
that is missing, and one that is a proxy cache.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from mirror.destinations.harbor import words
from mirror.destinations.harbor.api import HarborApi
from mirror.destinations.harbor.diagnosis import Account, Diagnosis, Seen
from mirror.destinations.harbor.project import UNLIMITED, Rule
from mirror.errors import AccessDenied, MirrorError, RegistryError
from mirror.findings import Finding
from mirror.plan import RECORD_NAME

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NewProject:
    """How a project is made."""

    is_public: bool = False
    storage_quota: int = UNLIMITED
    scans_on_push: bool = False


@dataclass(slots=True)
class HarborProvider:
    """The side of one destination, called *name*, whose *prefix* begins with its project (provider.py, Provider)."""

    name: str
    api: HarborApi
    prefix: str
    new_project: NewProject | None = None
    """How the project is made, if it is to be made."""
    now: Callable[[], float] = time.time
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _problem: str | None = field(default=None, init=False)
    """Why nothing can be written, empty if something can; None until it was asked."""

    async def prepare(self, path: str) -> None:  # noqa: ARG002 - a project is all of its repositories
        """See Provider; raises RegistryError for a project that is missing or a proxy cache."""
        async with self._lock:
            if self._problem is None:
                self._problem = await self._prepared()
        if self._problem:
            raise RegistryError(f"{self._where}: {self._problem}")

    async def survey(self, paths: Collection[str], size: int) -> tuple[str, ...]:
        """See Provider; what the account may not read is left out."""
        if await self._best_effort(self.api.has_project(self.project)) is False:
            if self.new_project is None:
                raise RegistryError(f"{self._where}: {words.no_project(self.project)}")
            return (f"Harbor has no project {self.project}: a sync makes it",)
        seen = await self._look()
        if seen.project and seen.project.is_proxy_cache:
            raise RegistryError(f"{self._where}: {words.is_proxy_cache(self.project)}")
        found = self._diagnosis.of_settings(seen, paths)
        notes = [f"{each.told}: {each.remedy}" for each in found if each.state != "ok"]
        return (*self._diagnosis.of_need(seen.quota, size), *notes)

    async def examine(self, paths: Collection[str]) -> tuple[Finding, ...]:
        """See Provider; asks no further where the account is refused, or the project missing."""
        diagnosis, username = self._diagnosis, await self.api.username()
        try:
            system = await self.api.system()
        except MirrorError as exc:
            return (diagnosis.of_silence(str(exc)),)
        unhealthy = await self._best_effort(self.api.unhealthy())
        is_tls = self.api.registry.endpoint.startswith("https://")
        found = diagnosis.of_system(system, unhealthy or (), is_tls=is_tls)
        try:
            account = await self.api.account()
            found.append(diagnosis.of_account(account))
            is_there = await self.api.has_project(self.project)
        except AccessDenied:
            return (*found, diagnosis.of_refused(username))
        except MirrorError as exc:
            return (*found, diagnosis.of_silence(str(exc)))
        if not is_there:
            return (*found, diagnosis.of_missing(account, is_to_be_made=self.new_project is not None))
        seen = await self._look()
        found.append(diagnosis.of_project(seen.project))
        found += await self._of_expiry(account, seen)
        if seen.quota:
            found.append(diagnosis.of_quota(seen.quota))
        found += diagnosis.of_settings(seen, paths)
        if seen.unread:
            found.append(diagnosis.of_unread(seen.unread))
        return tuple(found)

    async def repair(self, paths: Collection[str]) -> tuple[Finding, ...]:  # noqa: ARG002 - as for prepare
        """See Provider; a project that is missing is made, if it is to be made. Everything else is its owner's."""
        if self.new_project is None or await self._best_effort(self.api.has_project(self.project)) is not False:
            return ()
        return (self._diagnosis.of_making(await self._made(self.new_project)),)

    @property
    def project(self) -> str:
        return self.prefix.partition("/")[0]

    async def _prepared(self) -> str:
        if await self._best_effort(self.api.has_project(self.project)) is False:
            if self.new_project is None:
                return str(words.no_project(self.project))
            problem = await self._made(self.new_project)
            return f"{problem}: {words.MAY_CREATE}" if problem else ""
        about = await self._best_effort(self.api.project(self.project))
        return str(words.is_proxy_cache(self.project)) if about and about.is_proxy_cache else ""

    async def _made(self, wanted: NewProject) -> str:
        """The project is there; else why it is not."""
        try:
            await self.api.create_project(
                self.project,
                is_public=wanted.is_public,
                storage_quota=wanted.storage_quota,
                scans_on_push=wanted.scans_on_push,
            )
        except MirrorError as exc:
            # another may have made it meanwhile, and a robot is told 403 all the same (goharbor/harbor#13795)
            if await self._best_effort(self.api.has_project(self.project)):
                return ""
            reason = (exc.words if isinstance(exc, RegistryError) else "") or exc
            return f"Harbor has no project {self.project}, and did not make it ({reason})"
        log.info("harbor.project_made", host=self.api.registry.host, project=self.project)
        return ""

    async def _look(self) -> Seen:
        unread = list[str]()

        async def read(what: str, asked: Awaitable[T]) -> T | None:
            found = await self._best_effort(asked)
            if found is None:
                unread.append(what)
            return found

        project = await read("the project (Read on Project)", self.api.project(self.project))
        quota = await read("its quota (Read on Quota)", self.api.quota(self.project)) if project else None
        immutable = await read("immutable tag rules (List on Immutable Tag)", self.api.immutable_rules(self.project))
        retention: tuple[Rule, ...] | None = None
        if project and project.retention_id is not None:
            retention = await read("tag retention (Read on Tag Retention)", self.api.retention(project.retention_id))
        return Seen(project, quota, immutable, retention, tuple(unread))

    async def _of_expiry(self, account: Account, seen: Seen) -> list[Finding]:
        """Until when the robot lives, where we may know."""
        if not account.is_robot or (account.is_of_project and seen.project is None):
            return []
        robots = await self._best_effort(self.api.robots(seen.project if account.is_of_project else None))
        found = [robot for robot in robots or () if robot.name == account.name]
        return [self._diagnosis.of_expiry(robot, now=self.now()) for robot in found]

    async def _best_effort(self, asked: Awaitable[T]) -> T | None:
        """What was asked for; None where Harbor does not say."""
        try:
            return await asked
        except MirrorError as exc:
            log.debug("harbor.not_said", host=self.api.registry.host, reason=str(exc))
            return None

    @property
    def _diagnosis(self) -> Diagnosis:
        record = f"{self.prefix}/{RECORD_NAME}".partition("/")[2]
        return Diagnosis(f"destination {self.name}", self.project, record)

    @property
    def _where(self) -> str:
        return f"{self.api.registry.host}/{self.project}"
