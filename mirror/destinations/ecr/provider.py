"""ECR as its operator sees it: repositories made, told of, examined and repaired (Provider).

                     ┌─ prepare   makes what is missing, once for each path
    DescribeRepositories, policies, tags ─► Look ─┤  survey    sentences for a plan
                     │                            ├─ examine   findings for `mirror doctor`
                     └────────────────────────────┴─ repair    and what `--fix` did

`repository_creation`: "explicit": we make what is missing; "on-push": ECR does when it is pushed to, by its creation
templates (aws.amazon.com/about-aws/whats-new/2025/12/amazon-ecr-creating-repositories-on-push); "never": others do.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import structlog

from mirror.destinations.ecr.api import EcrApi
from mirror.destinations.ecr.examination import FIX, Creation, Examination
from mirror.destinations.ecr.looks import Look, differing, looked, named
from mirror.destinations.ecr.repositories import Difference, Seen, Wanted
from mirror.errors import AccessDenied, MirrorError, NoCredential, WorldError
from mirror.findings import Finding
from mirror.oci.copy import Once
from mirror.tasks import gather

_MISSING: dict[Creation, str] = {
    "explicit": "a sync makes what is missing",
    "on-push": "ECR makes what is missing as it is pushed to, if one of its repository creation templates applies",
    "never": 'nothing can be written there, for repository_creation is "never": make what is missing',
}

log = structlog.get_logger()


@dataclass(slots=True)
class EcrProvider:
    """The repositories of one destination."""

    name: str
    """The destination's."""
    api: EcrApi
    wanted: Wanted = field(default_factory=Wanted)
    creation: Creation = "explicit"
    pull_registry: str = ""
    """HOST[/PREFIX] that the cluster pulls by."""
    _prepared: Once[str] = field(default_factory=Once, init=False)

    async def prepare(self, path: str) -> None:
        """See Provider; where we may neither look nor create, the push will tell."""
        if self.creation == "explicit":
            await self._prepared.wait_for(path, lambda: self._ensure(path))

    async def _ensure(self, path: str) -> None:
        denied: AccessDenied | None = None
        try:
            if await self.api.repository(path) is not None:
                return
        except NoCredential:
            raise
        except AccessDenied as exc:
            denied = exc
        try:
            await self._make(path)
        except AccessDenied as exc:
            if denied is None or isinstance(exc, NoCredential):
                raise
            log.warning("ecr.not_looked_at", repository=f"{self.api.host}/{path}", reason=str(denied))

    async def _make(self, path: str) -> None:
        """There is a repository at *path*, as it is wanted if it was made now."""
        wanted = self.wanted.at(path)
        if not await self.api.create(path, wanted):
            return
        log.info("ecr.repository_created", repository=f"{self.api.host}/{path}")
        try:
            if wanted.lifecycle_policy:
                await self.api.set_lifecycle_policy(path, wanted)
            if wanted.policy:
                await self.api.set_repository_policy(path, wanted)
        except MirrorError as exc:
            raise WorldError(
                f"{self.api.host}/{path} was made, but without a policy that is configured: {exc}; {FIX} once that is "
                "settled"
            ) from exc

    async def survey(self, paths: Collection[str], size: int) -> tuple[str, ...]:  # noqa: ARG002
        """See Provider; whoever may not look is told so, and may plan all the same."""
        looks, host, notes = await looked(self.api, self.wanted, paths), self.api.host, list[str]()
        if missing := [look.path for look in looks if look.is_missing]:
            notes.append(f"{host} lacks {named(missing)}: {_MISSING[self.creation]}")
        for difference, where in differing(self.wanted, looks).items():
            remedy = FIX if difference.is_repairable else "only a repository that is made anew would have it so"
            notes.append(f"{host} has {named(where)} not as configured: {difference.told}: {remedy}")
        if denied := [look.denied for look in looks if look.denied]:
            notes.append(f"whether repositories are as configured could not be seen: {denied[0]}")
        return tuple(notes)

    async def examine(self, paths: Collection[str]) -> tuple[Finding, ...]:
        """See Provider."""
        examination = Examination(self.name, self.api, self.wanted, self.creation, self.pull_registry)
        return await examination.findings(paths)

    async def repair(self, paths: Collection[str]) -> tuple[Finding, ...]:
        """See Provider; whatever is missing is made, whoever is to make it otherwise: it was asked for."""
        try:
            looks = await looked(self.api, self.wanted, paths)
        except MirrorError as exc:
            return (Finding(self._subject, "repair", "failed", str(exc)),)
        done = await gather(*(self._repaired(look) for look in looks))
        return tuple(finding for several in done for finding in several)

    @property
    def _subject(self) -> str:
        return f"destination {self.name}"

    async def _repaired(self, look: Look) -> list[Finding]:
        if look.denied is not None:
            return [Finding(self._subject, "repair", "failed", str(look.denied))]
        if look.seen is None:
            return [await self._repaired_by_making(look.path)]
        differences = differing(self.wanted, [look])
        return [await self._repaired_of(look.seen, difference) for difference in differences]

    async def _repaired_by_making(self, path: str) -> Finding:
        try:
            await self._make(path)
        except MirrorError as exc:
            return Finding(self._subject, "repair", "failed", f"{path} could not be made: {exc}")
        return Finding(self._subject, "repair", "ok", f"{path} was missing, and was made")

    async def _repaired_of(self, seen: Seen, difference: Difference) -> Finding:
        wanted, path = self.wanted.at(seen.path), seen.path
        try:
            match difference.aspect:
                case "tag mutability":
                    await self.api.set_mutability(path, wanted)
                case "scanning":
                    await self.api.set_scanning(path, wanted)
                case "lifecycle policy":
                    await self.api.set_lifecycle_policy(path, wanted)
                case "repository policy":
                    await self.api.set_repository_policy(path, wanted)
                case "tags":
                    await self.api.set_tags(seen, wanted)
                case "encryption":
                    told = f"{path}: {difference.told}, and ECR cannot change it"
                    remedy = (
                        "delete the repository when nothing pulls from it, and sync again; or configure what it has"
                    )
                    return Finding(self._subject, "repair", "warning", told, remedy)
        except MirrorError as exc:
            return Finding(self._subject, "repair", "failed", f"{path}: {difference.told}; it could not be set: {exc}")
        return Finding(self._subject, "repair", "ok", f"{path}: {difference.told}; it is as configured now")
