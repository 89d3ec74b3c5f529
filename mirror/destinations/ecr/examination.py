"""What is right and wrong with a registry of ECR, for `mirror doctor`: nothing that it asks leaves anything behind."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from mirror.destinations.ecr.api import EcrApi, Principal
from mirror.destinations.ecr.host import EcrHost
from mirror.destinations.ecr.looks import Look, differing, looked, named
from mirror.destinations.ecr.refusals import remedy
from mirror.destinations.ecr.repositories import Wanted, expires
from mirror.errors import MirrorError, RegistryError
from mirror.findings import Finding, State
from mirror.plan import RECORD_NAME
from mirror.tasks import gather

Creation = Literal["explicit", "on-push", "never"]

FIX = "mirror doctor --fix makes it so"
BLOB_MOUNTING = "BLOB_MOUNTING"


@dataclass(frozen=True, slots=True)
class Examination:
    """Of one destination."""

    name: str
    api: EcrApi
    wanted: Wanted
    creation: Creation
    pull_registry: str

    async def findings(self, paths: Collection[str]) -> tuple[Finding, ...]:
        """All that was found; without a password from AWS there is nothing else to be asked of it."""
        password = await self._password()
        if password.state != "ok":
            return (password, *self._pull_name())
        looks, repositories = await self._looks(paths)
        of_account = (self._principal(), self._mounting())
        of_repositories = (self._region(looks), self._creates(looks), self._archive(looks), self._expiry(looks))
        found = await gather(*of_account, *of_repositories)
        return (password, *(one for several in found for one in several), *repositories, *self._pull_name())

    @property
    def _host(self) -> EcrHost:
        return self.api.host

    async def _looks(self, paths: Collection[str]) -> tuple[tuple[Look, ...], tuple[Finding, ...]]:
        """The repositories as we see them, and what there is to be said of them."""
        try:
            looks = await looked(self.api, self.wanted, paths)
        except MirrorError as exc:
            return (), (self._refused("repositories", exc),)
        return looks, self._repositories(looks)

    async def _password(self) -> Finding:
        try:
            given = await asyncio.to_thread(self.api.authorization)
        except MirrorError as exc:
            return self._refused("credential", exc)
        until = given.expires_at.strftime("%Y-%m-%d %H:%M UTC")
        return self._found("credential", "ok", f"AWS gives one for {self._host}, good until {until}")

    async def _principal(self) -> tuple[Finding, ...]:
        try:
            principal = await self.api.principal()
        except MirrorError as exc:  # AWS's registry may be within reach of a VPC whose STS is not
            return (self._refused("who am I", exc, state="warning"),)
        return (self._of(principal),)

    def _of(self, principal: Principal) -> Finding:
        if principal.account == self._host.account:
            return self._found("who am I", "ok", principal.arn)
        told = f"{principal.arn}, of another account than the registry's ({self._host.account})"
        remedy = (
            f"name a role of account {self._host.account} by role_arn; or have the policy of each repository there let "
            "this principal in, which does not let it make repositories"
        )
        return self._found("who am I", "warning", told, remedy)

    async def _region(self, looks: Sequence[Look]) -> tuple[Finding, ...]:
        region = self._host.region
        configured = await self.api.configured_region()
        is_other = bool(configured) and configured != region
        if is_other and looks and all(look.is_missing for look in looks):
            told = f"none of {len(looks)} repositories is in {region}; the AWS configuration says {configured}"
            remedy = "if they are there, the registry's host names the wrong region; else a sync makes them here"
            return (self._found("region", "warning", told, remedy),)
        beside = f", though the AWS configuration says {configured}" if is_other else ""
        return (self._found("region", "ok", f"{region}, as the registry's host says{beside}"),)

    async def _creates(self, looks: Sequence[Look]) -> tuple[Finding, ...]:
        """Whether we may make repositories: asked of one that is there, permission is looked at first."""
        if self.creation != "explicit":
            return ()
        is_needed = any(look.is_missing for look in looks)
        there = next((look.path for look in looks if look.seen), "")
        if not there:
            told = "it shows with the first repository that is made: there is none yet to ask about"
            remedy = "mirror doctor --iam sync-create prints what must be allowed"
            return (self._found("create", "warning", told, remedy),)
        try:
            await self.api.create(there, self.wanted.at(there))
        except MirrorError as exc:
            return (self._refused("create", exc, state="failed" if is_needed else "warning"),)
        tags = " with tags" if self.wanted.tags else ""
        return (self._found("create", "ok", f"repositories{tags} may be made"),)

    def _repositories(self, looks: Sequence[Look]) -> tuple[Finding, ...]:
        found = list[Finding]()
        if missing := [look.path for look in looks if look.is_missing]:
            found.append(self._missing(missing))
        for look in looks:
            if look.denied is not None:
                found.append(self._refused("repositories", look.denied, state="warning"))
                break
        for difference, paths in differing(self.wanted, looks).items():
            is_record = any(path.rpartition("/")[2] == RECORD_NAME for path in paths)
            # a record that cannot be written anew makes every later sync fail
            state: State = "failed" if is_record and difference.aspect == "tag mutability" else "warning"
            remedy = FIX if difference.is_repairable else "delete it when nothing pulls from it, and sync again"
            found.append(self._found("repositories", state, f"{named(paths)}: {difference.told}", remedy))
        if not found:
            found.append(self._found("repositories", "ok", f"{len(looks)}, all as configured"))
        return tuple(found)

    def _missing(self, paths: Sequence[str]) -> Finding:
        told = f"{named(paths)} {'is' if len(paths) == 1 else 'are'} not there"
        match self.creation:
            case "explicit":
                return self._found("repositories", "ok", f"{told} yet: a sync makes what is missing")
            case "on-push":
                remedy = "have a repository creation template for CREATE_ON_PUSH apply to them"
                return self._found("repositories", "warning", told, remedy)
            case "never":
                remedy = (
                    'make them, or set repository_creation = "explicit"; if they are elsewhere, the registry\'s host '
                )
                remedy += "names the wrong account or region"
                return self._found("repositories", "failed", told, remedy)

    async def _expiry(self, looks: Sequence[Look]) -> tuple[Finding, ...]:
        there = [look.path for look in looks if look.seen]
        try:
            policies = await gather(*(self.api.lifecycle_policy(path) for path in there))
        except MirrorError as exc:
            return (self._refused("lifecycle", exc, state="warning"),)
        by_rules: dict[tuple[str, ...], list[str]] = {}
        for path, policy in zip(there, policies, strict=True):
            if rules := expires(policy):
                by_rules.setdefault(rules, []).append(path)
        remedy = "have its rules select untagged images alone"
        return tuple(
            self._found(
                "lifecycle",
                "warning",
                f"the lifecycle policy of {named(paths)} may take away what the cluster runs: {'; '.join(rules)}",
                remedy,
            )
            for rules, paths in by_rules.items()
        )

    async def _archive(self, looks: Sequence[Look]) -> tuple[Finding, ...]:
        there = [look.path for look in looks if look.seen]
        try:
            archived = await gather(*(self.api.archived(path) for path in there))
        except MirrorError as exc:
            return (self._refused("archive", exc, state="warning"),)
        if not (names := [f"{path}:{tag}" for path, tags in zip(there, archived, strict=True) for tag in tags]):
            return ()
        told = f"{len(names)} images are archived, so that nobody can pull them: {', '.join(names[:5])}"
        remedy = "bring them back: aws ecr update-image-storage-class --target-storage-class STANDARD"
        return (self._found("archive", "failed", told, remedy),)

    async def _mounting(self) -> tuple[Finding, ...]:
        try:
            value = await self.api.account_setting(BLOB_MOUNTING)
        except MirrorError as exc:
            return (self._refused("blob mounting", exc, state="warning"),)
        if value == "ENABLED":
            return (self._found("blob mounting", "ok", "what repositories share is stored and sent once"),)
        remedy = (
            f"aws ecr put-account-setting --region {self._host.region} --name {BLOB_MOUNTING} --value ENABLED; "
            "it holds for the whole account and region"
        )
        return (
            self._found("blob mounting", "warning", "off: what repositories share is sent to each of them", remedy),
        )

    def _pull_name(self) -> tuple[Finding, ...]:
        pulled = EcrHost.parse(self.pull_registry.partition("/")[0])
        if pulled is None or (pulled.account, pulled.region) == (self._host.account, self._host.region):
            return ()
        told = f"the cluster pulls from {pulled}, and a sync writes to {self._host}: only what is replicated is found"
        remedy = (
            f"replicate there; if it was meant for nodes that have only IPv6, their name is {self._host.dual_stack}"
        )
        return (self._found("pull registry", "warning", told, remedy),)

    def _refused(self, check: str, exc: MirrorError, *, state: State = "failed") -> Finding:
        if isinstance(exc, RegistryError) and exc.codes and exc.words:
            hint = remedy(exc.codes[0], exc.words, exc.asked)
            return self._found(check, state, f"{exc.asked} is refused: {exc.words}", hint)
        return self._found(check, state, str(exc))

    def _found(self, check: str, state: State, told: str, remedy: str = "") -> Finding:
        return Finding(f"destination {self.name}", check, state, told, remedy)
