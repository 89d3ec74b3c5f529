"""Which request meets which fault: a function of a seed and of what the request is. Pure.

    seed ──► Plan ─┬─ the lead       one kind of fault that is sure to be met, so that few seeds meet every kind
                   ├─ others         kinds that any request meets by chance, at the plan's rate
                   └─ a broken blob  in some plans: one blob that meets a fault each time

A request is known by what it asks (`Asked`), not by when it comes: the order in which concurrent requests arrive does
not change what they meet, but for the lead's, which takes the n-th that it fits.
A fault is met by the first requests of a key, mostly one or two, and then no more: what is tried again succeeds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal
from urllib.parse import parse_qs, urlsplit

Side = Literal["source", "destination"]

# kind of fault -> the requests that it fits, as `SIDE METHOD THING`
KINDS = {
    "reset before": ".*",
    "reset in the request": "destination (PUT|PATCH) .*",
    "reset in the answer": ".* GET (blob|range|manifest)",
    "reset after": ".*",
    "answer ended early": ".* GET (blob|range|manifest)",
    "answer shortened": "source GET (blob|range|manifest)|destination GET manifest",
    "answer corrupted": "source GET (blob|range|manifest)|destination GET manifest",
    "upload corrupted": "destination (PUT|PATCH) upload",
    "answer stalled": ".* GET (blob|range|manifest)",
    "silent": "source HEAD tag|source GET manifest|destination (HEAD|POST) .*",
    "delayed": ".*",
    "429 and when": ".*",
    "429": ".*",
    "429 of GHCR": ".*",
    "500": ".*",
    "502": ".*",
    "503": ".*",
    "503 and when": ".*",
    "504": ".*",
    "401": ".* (blob|range|manifest|tag|upload|session|mount)",
    "token expired": ".* (blob|range|manifest|tag|upload|session|mount)",
    "upload session lost": "destination (PUT|PATCH) upload",
    "blob collected": "destination PUT upload",
    "mount not done": "destination POST mount",
    "connection closed": ".*",
    "redirected": "source GET blob",
    "redirected to a dead host": "source GET blob",
    "Range ignored": "source GET range",
    "Range answered wrongly": "source GET range",
    "Range refused": "source GET range",
    "HEAD of an older image": ".* HEAD tag",
    "endless pages": "source GET referrers|.* GET tags",
}
RANGES = frozenset(kind for kind in KINDS if kind.startswith("Range"))
_SELDOM_FITTING = RANGES | {"endless pages", "mount not done"}
_LEADS = tuple(KINDS)  # seed n has the n-th alone, from seed len(KINDS) on with others
# Those that end an image's copy, or take long, come by chance more seldom.
_BY_CHANCE = tuple(kind for kind in KINDS if kind not in RANGES and kind not in ("endless pages", "silent", "401"))
_TO_A_BLOB = (
    "reset in the answer", "answer ended early", "answer corrupted", "upload corrupted", "500", "503", "reset before",
    "reset in the request", "upload session lost", "redirected to a dead host",
)  # fmt: skip
ALWAYS = 1_000_000
_TIMES = (*[1] * 12, *[2] * 4, 3, 3, 6)
_RATES = (0.005, 0.01, 0.03, 0.08)
_CHANCE_OF_A_BROKEN_BLOB = 0.12
_CHANCE_OF_TOKENS = 0.25


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks, without what differs between runs: hosts, the run's prefix, the session of an upload."""

    side: Side
    method: str
    thing: Literal["blob", "range", "upload", "session", "mount", "manifest", "tag", "tags", "referrers", "token", "-"]
    path: str

    @classmethod
    def of(cls, side: Side, method: str, target: str, *, prefix: str, has_range: bool = False) -> Asked:
        """What is asked by *method* and *target* of a run below *prefix*."""
        parts = urlsplit(target)
        path, query = parts.path.replace(f"/v2/{prefix}/", "/v2/", 1), parse_qs(parts.query)
        name = path.partition("/blobs/")[0]
        match re.sub(r".*/(blobs|manifests|referrers|tags)/", r"\1 ", path).split(" "):
            case ["blobs", "uploads/"]:
                mount = query.get("mount", [""])[0]
                return cls(side, method, "mount" if mount else "session", f"{name} {mount}")
            case ["blobs", rest] if rest.startswith("uploads/"):
                return cls(side, method, "upload", f"{name} {query.get('digest', [''])[0]}")
            case ["blobs", _]:
                return cls(side, method, "range" if has_range else "blob", path)
            case ["manifests", version]:
                return cls(side, method, "manifest" if ":" in version else "tag", path)
            case ["referrers", _]:
                return cls(side, method, "referrers", path)
            case ["tags", _]:
                return cls(side, method, "tags", path)
        return cls(side, method, "token" if path.endswith("/token") else "-", path)

    def __str__(self) -> str:
        return f"{self.side} {self.method} {self.thing}"

    @property
    def key(self) -> str:
        """Equal for requests that ask the same."""
        return f"{self} {self.path}"

    def fits(self, kind: str) -> bool:
        """Whether a fault of *kind* can happen to it."""
        return re.fullmatch(KINDS[kind], str(self)) is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one seed does."""

    seed: int
    lead: str
    lead_at: int
    """How many requests that it fits come before the one that meets it."""
    lead_times: int = 1
    others: tuple[str, ...] = ()
    rate: float = 0.0
    broken: tuple[str, str] = ("", "")
    """The digest of a blob, and the fault that it meets each time."""
    has_tokens: bool = False
    """The registries want tokens."""

    @classmethod
    def of(cls, seed: int, blobs: Sequence[str]) -> Plan:
        """The plan of *seed*, for a release that has *blobs*, by digest; the first seeds have each kind alone."""
        random, lead = Random(seed), _LEADS[seed % len(_LEADS)]
        is_alone = seed < len(_LEADS)
        is_broken = random.random() < _CHANCE_OF_A_BROKEN_BLOB and not is_alone
        return cls(
            seed=seed,
            lead=lead,
            lead_at=0 if lead in _SELDOM_FITTING else random.randrange(4),
            lead_times=random.choice(_TIMES),
            others=tuple(random.sample(_BY_CHANCE, random.randrange(5))),
            rate=0.0 if is_alone else random.choice(_RATES),
            broken=(random.choice(sorted(blobs)), random.choice(_TO_A_BLOB)) if is_broken else ("", ""),
            has_tokens=lead == "token expired" or random.random() < _CHANCE_OF_TOKENS,
        )

    def by_chance(self, asked: Asked) -> tuple[str, int]:
        """The fault that requests of this key meet, and how many of them; none: 0."""
        random = Random(f"{self.seed} {asked.key}")
        fitting = [kind for kind in self.others if asked.fits(kind) and (kind != "token expired" or self.has_tokens)]
        if not fitting or random.random() >= self.rate * len(fitting):
            return "", 0
        return random.choice(fitting), random.choice(_TIMES)


@dataclass(slots=True)
class Course:
    """A plan being carried out: what has come so far. Not locked: whoever serves several requests at once does that."""

    plan: Plan
    large: str = ""
    """The digest of the blob whose first answer breaks off where the lead needs a request with Range."""
    met: Counter[str] = field(default_factory=Counter)
    stale: set[str] = field(default_factory=set)
    """The repositories of which an older image was seen at the source."""
    _asked: Counter[str] = field(default_factory=Counter)
    _faults: dict[str, tuple[str, int]] = field(default_factory=dict)
    _fitting_lead: int = 0

    def fault(self, asked: Asked) -> str:
        """What the request meets that comes now; empty: nothing."""
        self._asked[asked.key] += 1
        digest, kind = self.plan.broken
        if digest and digest in asked.path and asked.fits(kind):
            return kind
        if asked.key not in self._faults:
            self._faults[asked.key] = self._chosen(asked)
        kind, times = self._faults[asked.key]
        return kind if self._asked[asked.key] <= times else ""

    def _chosen(self, asked: Asked) -> tuple[str, int]:
        lead = self.plan.lead
        if lead in RANGES and self.large in asked.path and str(asked) == "source GET blob":
            return "answer ended early", 1
        if asked.fits(lead):
            self._fitting_lead += 1
            if self._fitting_lead == 1 + self.plan.lead_at:
                return lead, ALWAYS if lead == "endless pages" else self.plan.lead_times
        return self.plan.by_chance(asked)
