"""The plan: three inventories become one action for each image. Pure; nothing here talks to anybody.

A three-way merge: the digest that differs says who moved. `-` is none, `gone` is a 404, `unknown` is a place that did
not answer (network, 5xx, 429, 401, 403), `unfit` is what cannot be taken.

    recorded │ upstream      │ mirrored │ action
    ─────────┼───────────────┼──────────┼──────────────────────────────────────────────────────────────
    any      │ any           │ unknown  │ Fail
    any      │ unfit         │ any      │ Fail
    A        │ A             │ A        │ Keep
    -        │ A             │ A        │ Adopt: walked as after a copy, then recorded
    A or -   │ A             │ -        │ Copy
    A        │ gone          │ A        │ Keep, with a warning
    A        │ unknown       │ A        │ Keep, not compared
    A        │ gone, unknown │ - or B   │ Fail
    -        │ gone          │ any      │ Refuse: the release names an image that the source lacks
    -        │ unknown       │ any      │ Fail
    A        │ B             │ any      │ Refuse: a released tag moved; followed if asked to (Copy, or Adopt of B).
             │               │          │ A third party's stays at A, with a warning
    A        │ A             │ B        │ Refuse: the destination changed under us
    -        │ A             │ B        │ Refuse: the tag was taken before we came

A refusal is settled by accepting one digest: then the tag is brought to that one.

With a platform filter a copy of A is A' at the destination: `Recorded` and `Found` hold both. Where the filter has
changed since, A' gives way to what it yields now.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mirror.errors import UsageError
from mirror.oci.content import Digest
from mirror.oci.reference import Reference

RECORD_NAME = "mirror-record"
CHARTS_NAME = "charts"
"""Charts go below it. No image does: it has one segment, or begins with a host, which this is not."""


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest is there. *yields* is what a copy of it is at the destination: itself, without a platform filter."""

    digest: Digest
    yields: Digest
    lacks: tuple[str, ...] = ()
    """The platforms of the filter that it does not have."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The place answered that it has none."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The place did not answer, or refused to."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """What is there cannot be taken: it has none of the platforms that are wanted, or is no manifest that we read."""

    reason: str


Upstream: TypeAlias = Found | Gone | Unknown | Unfit
Mirrored: TypeAlias = Digest | Gone | Unknown


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the record says: the digest upstream, and the digest of our copy of it."""

    upstream: Digest
    mirrored: Digest


@dataclass(frozen=True, slots=True)
class Keep:
    """In step. *is_compared* is false where upstream could not be asked."""

    digest: Digest
    warning: str = ""
    is_compared: bool = True


@dataclass(frozen=True, slots=True)
class Adopt:
    """It is there already; walk it, then record it."""

    upstream: Digest
    digest: Digest
    replaced: Digest | None = None
    """The digest that an operator turned down by accepting this one."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy the manifest *upstream*; *digest* is what that will be at the destination."""

    upstream: Digest
    digest: Digest
    warning: str = ""
    replaced: Digest | None = None
    """As for Adopt."""


Cause: TypeAlias = Literal["moved", "changed", "taken", "lacking", "clash", "signature"]
"""Why something is refused: the tag moved upstream; the mirror's tag was changed, or was taken before we came; upstream
lacks what the release names; two references meet at one target; a signature is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """A human must decide. *candidates* are the digests that may be accepted."""

    reason: str
    candidates: tuple[Digest, ...] = ()
    cause: Cause = "moved"


def with_remedy(reference: str, refused: Refuse) -> str:
    """Why *reference* is refused, and with which option the same command would settle it."""
    if not refused.candidates:
        return refused.reason
    ways = " or ".join(f"--accept {reference}@{digest}" for digest in refused.candidates)
    return f"{refused.reason}; to settle it: {ways}"


def check_accepted(accepted: Iterable[Reference], references: Iterable[str]) -> None:
    """Raises UsageError where one of the *accepted* is none of *references*, the images and charts of a run."""
    there = {Reference.parse(reference) for reference in references}
    for reference in accepted:
        if reference not in there:
            near = difflib.get_close_matches(str(reference), map(str, there), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"--accept {reference}: no release that is asked for has it{hint}")


@dataclass(frozen=True, slots=True)
class Fail:
    """Not possible now."""

    reason: str


Action: TypeAlias = Keep | Adopt | Copy | Refuse | Fail


def decide(
    *,
    recorded: Recorded | None,
    upstream: Upstream,
    mirrored: Mirrored,
    moved_tags: Literal["refuse", "follow"] = "refuse",
    is_first_party: bool = True,
    accepted: Digest | None = None,
) -> Action:
    """The action for one image at one destination, by the table above."""
    action = _decide(recorded, upstream, mirrored, moved_tags, is_first_party=is_first_party)
    if isinstance(action, Refuse) and accepted is not None:
        return _settled(action, accepted, recorded, upstream, mirrored)
    return action


def _decide(  # noqa: PLR0912 - the table above, a case a row
    recorded: Recorded | None, upstream: Upstream, mirrored: Mirrored, moved_tags: str, *, is_first_party: bool
) -> Action:
    match recorded, upstream, mirrored:
        case _, _, Unknown(reason):
            return Fail(f"the destination cannot be asked: {reason}")
        case _, Unfit(reason), _:
            return Fail(reason)
        case None, Unknown(reason), _:
            return Fail(f"upstream cannot be asked: {reason}")
        case None, Gone(), _:
            return Refuse("the release names this image, and the source does not have it", cause="lacking")
        case None, Found(digest, yields), Gone():
            return Copy(digest, yields)
        case None, Found(digest, yields), Digest() as present if present == yields:
            return Adopt(digest, yields)
        case None, Found(digest, yields), Digest() as present:
            taken = f"the tag was taken before we came: it names {present}, upstream has {digest}"
            return Refuse(taken, (digest, present), "taken")
        case Recorded(_, ours), Gone(), Digest() as present if present == ours:
            return Keep(ours, warning="upstream no longer has it")
        case Recorded(_, ours), Unknown(reason), Digest() as present if present == ours:
            return Keep(ours, warning=f"not compared with upstream: {reason}", is_compared=False)
        case Recorded(), Gone(), _:
            return Fail("upstream no longer has it, and the mirror has lost it")
        case Recorded(), Unknown(reason), _:
            return Fail(f"the mirror no longer holds what was recorded, and upstream cannot be asked: {reason}")
        case Recorded(then, ours), Found(now, yields), _ if then == now:
            return _unmoved(then, ours, mirrored) if yields == ours else _refiltered(then, ours, yields, mirrored)
        case Recorded(then, ours), Found(now, yields), _ if not is_first_party:
            moved = f"the third party moved its tag to {now}; the mirror stays at {then}"
            match _unmoved(then, ours, mirrored):
                case Keep(digest):
                    return Keep(digest, warning=moved)
                case Copy(digest, target):
                    return Copy(digest, target, warning=moved)
                case refused:
                    return refused
        case Recorded(then, ours), Found(now, yields), _ if moved_tags == "follow":
            moved = f"upstream moved the released tag from {then}"
            return Adopt(now, yields) if mirrored == yields else Copy(now, yields, warning=moved)
        case Recorded(then, ours), Found(now, _), _:
            return Refuse(f"a released tag moved upstream, from {then} to {now}", (now, then), "moved")
    raise AssertionError((recorded, upstream, mirrored))


def _unmoved(then: Digest, ours: Digest, mirrored: Mirrored) -> Action:
    if mirrored == ours:
        return Keep(ours)
    if isinstance(mirrored, Gone):
        return Copy(then, ours)
    changed = f"the destination changed under us: the tag names {mirrored}, {ours} was recorded"
    return Refuse(changed, (then,), "changed")


def _refiltered(then: Digest, ours: Digest, yields: Digest, mirrored: Mirrored) -> Action:
    """Upstream did not move, but the platform filter did: what we recorded gives way to what it yields now."""
    match mirrored:
        case Gone():
            return Copy(then, yields)
        case Digest() as present if present == yields:
            return Adopt(then, yields)
        case Digest() as present if present == ours:
            return Copy(then, yields, warning="the platform filter changed")
        case _:
            return _unmoved(then, ours, mirrored)


def _settled(
    refused: Refuse, accepted: Digest, recorded: Recorded | None, upstream: Upstream, mirrored: Mirrored
) -> Action:
    """What accepting *accepted* makes of a refusal; one that has nothing to do with it leaves it refused."""
    if accepted not in refused.candidates:
        return refused
    if isinstance(upstream, Found) and accepted == upstream.digest:
        yields = upstream.yields
    elif recorded is not None and accepted == recorded.upstream:
        yields = recorded.mirrored
    else:
        yields = accepted
    if recorded == Recorded(accepted, yields) and mirrored == yields:
        return Keep(yields)
    known = (recorded.mirrored, recorded.upstream) if recorded else ()
    others = (mirrored, *known, upstream.yields if isinstance(upstream, Found) else None)
    replaced = next((other for other in others if isinstance(other, Digest) and other != yields), None)
    if mirrored == yields:
        return Adopt(accepted, yields, replaced=replaced)
    return Copy(accepted, yields, replaced=replaced)


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Where an image goes below a destination's registry and prefix: a repository path and a tag."""

    path: str
    tag: str

    def __str__(self) -> str:
        return f"{self.path}:{self.tag}"


def targets(references: Iterable[Reference], *, paths: Literal["flat", "upstream"]) -> Mapping[Reference, Target]:
    """Where each of *references*, aliases not applied, goes; `latest` where one has a digest and no tag."""
    return {reference: _target(reference, paths) for reference in references}


def _target(reference: Reference, paths: str) -> Target:
    repository = reference.repository
    # A port's colon is no character of a repository name.
    host = repository.host.replace(":", "-").lower()
    path = repository.name if paths == "flat" else f"{host}/{repository.path}"
    tag = reference.tag or (f"{reference.digest.algorithm}-{reference.digest.hex}" if reference.digest else "latest")
    return Target(path, tag)


def chart_target(name: str, tag: str) -> Target:
    """Where the chart *name* goes; *tag* is of its version."""
    return Target(f"{CHARTS_NAME}/{name}", tag)


def clashes(targets: Mapping[Reference, Target], digests: Mapping[Reference, Digest]) -> Mapping[Reference, str]:
    """Why a reference cannot go to its target: another one with another digest goes there, or the name is reserved."""
    meeting = defaultdict[Target, list[Reference]](list)
    for reference, target in targets.items():
        meeting[target].append(reference)
    refused = dict[Reference, str]()
    for target, references in meeting.items():
        if target.path.rpartition("/")[2] == RECORD_NAME:
            refused |= dict.fromkeys(references, f"{RECORD_NAME} is the name of the mirror's own records")
        elif len({digests[reference] for reference in references if reference in digests}) > 1:
            names = " and ".join(sorted(map(str, references)))
            refused |= dict.fromkeys(
                references, f'{names} meet at {target} with different digests: use paths = "upstream"'
            )
    return refused
