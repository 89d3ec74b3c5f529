"""A look at repositories: what they are, as far as we may see it."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mirror.destinations.ecr.api import EcrApi
from mirror.destinations.ecr.repositories import Difference, Seen, Wanted, drift
from mirror.errors import AccessDenied, NoCredential
from mirror.tasks import gather

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """One repository."""

    path: str
    seen: Seen | None = None
    """None where there is none, or where we may not look."""
    denied: AccessDenied | None = None
    """Why we may not look."""

    @property
    def is_missing(self) -> bool:
        """Whether there is no such repository."""
        return self.seen is None and self.denied is None


async def looked(api: EcrApi, wanted: Wanted, paths: Collection[str]) -> tuple[Look, ...]:
    """The repositories at *paths*, sorted; policies and tags as far as some are *wanted*, and may be read by us."""
    return tuple(await gather(*(_look(api, wanted, path) for path in sorted(set(paths)))))


def differing(wanted: Wanted, looks: Sequence[Look]) -> dict[Difference, list[str]]:
    """How repositories differ from what is *wanted* of them, with the paths of those that do."""
    found: dict[Difference, list[str]] = {}
    for look in looks:
        for difference in drift(wanted.at(look.path), look.seen) if look.seen else ():
            found.setdefault(difference, []).append(look.path)
    return found


def named(paths: Sequence[str]) -> str:
    """*paths* in a sentence."""
    return f"the {'repository' if len(paths) == 1 else 'repositories'} {', '.join(paths)}"


async def _look(api: EcrApi, wanted: Wanted, path: str) -> Look:
    try:
        seen = await api.repository(path)
    except NoCredential:
        raise
    except AccessDenied as exc:
        return Look(path, denied=exc)
    if seen is None:
        return Look(path)
    return Look(
        path,
        replace(
            seen,
            lifecycle_policy=await _permitted(api.lifecycle_policy(path)) if wanted.lifecycle_policy else None,
            policy=await _permitted(api.repository_policy(path)) if wanted.policy else None,
            tags=await _permitted(api.tags(seen)) if wanted.tags else None,
        ),
    )


async def _permitted(question: Awaitable[T]) -> T | None:
    """The answer; None where we may not ask."""
    try:
        return await question
    except AccessDenied:
        return None
