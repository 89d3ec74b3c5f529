"""A project of Harbor: its settings, what its rules hold and delete, its quota, its robots. Pure.

Vocabulary: a *path* is a repository's below the project, as rules name it: `linkerd/proxy` of `platform/linkerd/proxy`.

    immutable tag rules    a tag that is there, and that one of them selects, is never written or deleted again
                           (goharbor/harbor, src/pkg/immutable/match/rule/match.go)
    retention policy       in a repository that one of its rules selects, what no rule retains is deleted
                           (src/pkg/retention/launcher.go, policy/action/performer.go)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mirror.destinations.harbor.doublestar import BadPattern, matches
from mirror.destinations.harbor.words import plain

UNLIMITED = NEVER = -1
_CALENDAR_END = 253_402_300_800  # 10000-01-01, in seconds since 1970
_RETAINS = {
    "latestPushedK": "while it is among the {} pushed last",
    "latestPulledN": "while it is among the {} pulled last",
    "latestActiveK": "while it is among the {} active last",
    "lastXDays": "for {} days after it was pushed or pulled",
    "nDaysSinceLastPush": "for {} days after it was pushed",
    "nDaysSinceLastPull": "for {} days after it was pulled",
}
"""By the template of a rule (src/pkg/retention/policy/rule/index), how long; `always` is for ever."""


@dataclass(frozen=True, slots=True)
class Selector:
    """What a rule chooses by (src/lib/selector/selectors/doublestar/selector.go)."""

    kind: str
    decoration: str
    pattern: str

    def selects(self, value: str) -> bool:
        """Whether it chooses *value*, a path or a tag; raises BadPattern for what cannot be told."""
        if self.kind != "doublestar":
            raise BadPattern(f"a selector by {self.kind}")
        match self.decoration:
            case "matches" | "repoMatches":
                return not self.pattern or matches(self.pattern, value)
            case "excludes" | "repoExcludes":
                return bool(self.pattern) and not matches(self.pattern, value)
        raise BadPattern(f"a selector that {self.decoration}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of either kind; *template* and *count* are those of a retention rule."""

    repositories: tuple[Selector, ...]
    tags: tuple[Selector, ...]
    is_disabled: bool = False
    template: str = ""
    count: int = 0

    def __str__(self) -> str:
        def told(selectors: Sequence[Selector], what: str) -> str:
            return (
                " ".join(f"{each.decoration.removeprefix('repo').lower()} {each.pattern}" for each in selectors) or what
            )

        return plain(f"repositories {told(self.repositories, 'all')}, tags {told(self.tags, 'all')}")


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes of storage."""

    limit: int
    """UNLIMITED, or the most."""
    used: int

    def missing(self, size: int) -> int:
        """How many of *size* bytes more do not fit."""
        return 0 if self.limit == UNLIMITED else max(0, self.used + size - self.limit)

    @property
    def is_full(self) -> bool:
        return self.missing(1) > 0

    @property
    def percent(self) -> int:
        """How much of it is used; 0 where there is no limit."""
        return 0 if self.limit <= 0 else self.used * 100 // self.limit


@dataclass(frozen=True, slots=True)
class Project:
    """What the API says of one."""

    id: int
    is_proxy_cache: bool = False
    is_public: bool = False
    signers: tuple[str, ...] = ()
    """`Cosign`, `Notation`: only what is signed so may be pulled."""
    prevents_vulnerable: str = ""
    """The severity from which on an image may not be pulled, or one that was not scanned; empty: all may."""
    scans_on_push: bool = False
    retention_id: int | None = None


@dataclass(frozen=True, slots=True)
class Robot:
    """A robot account."""

    name: str
    expires_at: int
    """Seconds since 1970, or NEVER."""
    is_disabled: bool = False


def holding(rules: Sequence[Rule], path: str, tag: str) -> Rule | None:
    """The rule by which *tag*, once it is there, can never be changed; None if it can.

    Harbor looks at the first selector of each kind, and takes a rule that it cannot read for the end of all.
    """
    try:
        for rule in rules:
            if rule.is_disabled or not rule.repositories or not rule.tags:
                continue
            if rule.repositories[0].selects(path) and rule.tags[0].selects(tag):
                return rule
    except BadPattern:
        pass
    return None


def fate(retention: Sequence[Rule], path: str, tag: str) -> str:
    """How long a retention policy of these rules keeps *tag*, for a sentence; empty if it never deletes it.

    A policy that Harbor cannot read, or we, deletes nothing as far as can be told.
    """
    try:
        active = [rule for rule in retention if not rule.is_disabled]
        here = [rule for rule in active if all(chosen.selects(path) for chosen in rule.repositories)]
        # src/pkg/retention/policy/alg/or/processor.go: a rule without selectors of tags is none
        retaining = [rule for rule in here if rule.tags and all(chosen.selects(tag) for chosen in rule.tags)]
    except BadPattern:
        return ""
    if not here or any(rule.template not in _RETAINS for rule in retaining):  # `always`, or one that is not known
        return ""
    if not retaining:
        return "until it is run"
    return " or ".join(dict.fromkeys(_RETAINS[rule.template].format(rule.count) for rule in retaining))


def parse_project(view: Mapping[str, Any]) -> Project:
    """Of GET /projects/NAME; raises ValueError, KeyError, TypeError or AttributeError for what is none."""
    metadata = view.get("metadata") or {}
    retention = str(metadata.get("retention_id") or "")
    asked = {"enable_content_trust_cosign": "Cosign", "enable_content_trust": "Notation"}
    return Project(
        id=int(view["project_id"]),
        is_proxy_cache=int(view.get("registry_id") or 0) > 0,
        is_public=_is_set(metadata, "public"),
        signers=tuple(signer for key, signer in asked.items() if _is_set(metadata, key)),
        prevents_vulnerable=plain(metadata.get("severity") or "low") if _is_set(metadata, "prevent_vul") else "",
        scans_on_push=_is_set(metadata, "auto_scan"),
        retention_id=int(retention) if retention else None,
    )


def parse_rules(views: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Of GET /projects/NAME/immutabletagrules, or the `rules` of a retention policy; raises as parse_project."""
    return tuple(map(_parse_rule, views))


def parse_quota(view: Mapping[str, Any]) -> Quota | None:
    """Of GET /projects/NAME/summary; None where the account may not see it. Raises as parse_project."""
    quota = view.get("quota")
    return Quota(_amount(quota["hard"]["storage"]), _amount(quota["used"].get("storage", 0))) if quota else None


def parse_robot(view: Mapping[str, Any]) -> Robot:
    """One of GET /robots; raises as parse_project. What expires when no calendar has a day for it, does not."""
    expires_at = int(view.get("expires_at", NEVER))
    return Robot(
        plain(view["name"]), expires_at if 0 <= expires_at < _CALENDAR_END else NEVER, bool(view.get("disable"))
    )


def _parse_rule(view: Mapping[str, Any]) -> Rule:
    template = str(view.get("template") or "")
    return Rule(
        _parse_selectors((view.get("scope_selectors") or {}).get("repository")),
        _parse_selectors(view.get("tag_selectors")),
        is_disabled=bool(view.get("disabled")),
        template=template,
        count=int((view.get("params") or {}).get(template) or 0),
    )


def _parse_selectors(views: Sequence[Mapping[str, Any]] | None) -> tuple[Selector, ...]:
    return tuple(
        Selector(str(view["kind"]), str(view["decoration"]), str(view.get("pattern") or "")) for view in views or ()
    )


def _amount(value: Any) -> int:
    """Bytes, or UNLIMITED."""
    if not UNLIMITED <= (amount := int(value)) < 2**63:
        raise ValueError("no disk has so many bytes")
    return amount


def _is_set(metadata: Mapping[str, Any], key: str) -> bool:
    return str(metadata.get(key)).lower() in ("true", "1")  # the API has them as text (swagger.yaml, ProjectMetadata)
