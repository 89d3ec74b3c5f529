"""Deletes from a mirror what retention does not keep: planned first, then in two phases, gone on with after an end.

    records ─► fates (policy.py) ─► stock of each repository ─► what may go of it (clearing.py): the plan

    1  a clearance of each release that goes is written (clearance.py), and its record deleted
    2  records and repositories are read anew ─► what may go now ─► tags, then manifests ─► the clearance is deleted

A release that another mirror records meanwhile is seen at 2, and what it needs stays. Wherever a run ends, what stays
is whole, and the next run goes on with the clearances that it finds.

A sync that copies what is being deleted at the same moment may find it there and not copy it: its own last look, before
it tags, comes after; still, whoever prunes from one place and syncs from another should not do both at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from mirror import record as records
from mirror.cluster.known import Resolve, known, used
from mirror.cluster.running import Running
from mirror.destinations.mirror import Mirror
from mirror.destinations.provider import Deleter
from mirror.errors import MirrorError, NotFound, UnknownRelease, UsageError
from mirror.linkerd.catalogue import ChartCatalogue
from mirror.linkerd.release import Release, Selector
from mirror.oci.content import Digest
from mirror.oci.storage import Destination
from mirror.plan import RECORD_NAME, Target
from mirror.record import Record
from mirror.retention import clearance as clearances
from mirror.retention.clearance import Clearance
from mirror.retention.clearing import Clearing, Node, Part, Stock, clearing, freed, needed, part
from mirror.retention.policy import Fate, Held, Policy, fates, kept
from mirror.tasks import gather, gather_some

SCHEMA = 1
_AT_ONCE = 16

log = structlog.get_logger()


async def asked_for(
    catalogue: ChartCatalogue,
    releases: Sequence[Selector],
    always: Sequence[Selector],
    starts: Sequence[Selector],
) -> Mapping[Release, str]:
    """Why releases stay: the configuration asks for them, *always* names them, or a path from *starts* passes them.

    Raises what the catalogue raises: where it is not known what is wanted, nothing may go.
    """
    wanted, goals = dict[Release, str](), await catalogue.select(releases)
    for start in starts:
        begin = await catalogue.one(start)
        wanted[begin] = "retention.keep_paths_from names it"
        for goal in goals:
            for release in await _passed(catalogue, begin, goal) if goal != begin else ():
                wanted.setdefault(release, f"on the upgrade path from {begin} to {goal}")
    wanted |= dict.fromkeys(await catalogue.select(always), "retention.always names it")
    return wanted | dict.fromkeys(goals, "the configuration asks for it")


async def _passed(catalogue: ChartCatalogue, begin: Release, goal: Release) -> Sequence[Release]:
    """The releases of the upgrade path; none where there is no supported one, of which nothing need be kept."""
    try:
        return [hop.after for hop in await catalogue.path(begin, goal)]
    except UnknownRelease:
        raise
    except UsageError as exc:
        log.warning("prune.no_path", start=str(begin), end=str(goal), reason=str(exc))
        return ()


@dataclass(frozen=True, slots=True)
class Seen:
    """One repository, and what may go of it."""

    path: str
    stock: Stock
    clearing: Clearing
    stays: frozenset[Digest]
    """What is needed; in a layout by any of its names."""


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What would be deleted at one destination."""

    fates: tuple[Fate, ...]
    clearances: tuple[Clearance, ...]
    """Of the releases that go, and of those that another run has not ended with."""
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was deleted at one destination; where nothing was to be yet, what would be."""

    seen: tuple[Seen, ...]
    unfinished: tuple[Release, ...] = ()
    """Those that go, of which something is there still."""
    problems: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that nothing names any more, as far as was looked."""
        return freed((each.stock, each.clearing) for each in self.seen)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of one destination; where nothing was to be deleted yet, what would."""

    destination: str
    place: str
    fates: tuple[Fate, ...] = ()
    left: tuple[Release, ...] = ()
    """Those whose records were gone already: a run before was ended."""
    unfinished: tuple[Release, ...] = ()
    """Those that go, of which something is there still: the next run goes on with them."""
    tags: tuple[str, ...] = ()
    """As `PATH:TAG`."""
    manifests: tuple[str, ...] = ()
    """As `PATH@DIGEST`."""
    size: int = 0
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON has it; mirror/cli/prune.py tells the keys."""
        return {
            "destination": self.destination,
            "place": self.place,
            "releases": [
                {"release": str(fate.release), "goes": fate.goes, "reasons": list(fate.reasons)} for fate in self.fates
            ],
            "left": list(map(str, self.left)),
            "unfinished": list(map(str, self.unfinished)),
            "tags": list(self.tags),
            "manifests": list(self.manifests),
            "bytes": self.size,
            "notes": list(self.notes),
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What became of every destination."""

    destinations: tuple[Pruned, ...]
    is_done: bool
    """Whether it was deleted, or only planned."""

    @property
    def exit_code(self) -> int:
        """1 if something could not be done, else 0."""
        return int(any(each.problems for each in self.destinations))

    def document(self) -> dict[str, Any]:
        """`mirror prune -o json`."""
        return {
            "schema": SCHEMA,
            "done": self.is_done,
            "destinations": [each.document() for each in self.destinations],
        }


@dataclass(frozen=True, slots=True)
class Pruner:
    """Who prunes one mirror."""

    mirror: Mirror
    deleter: Deleter
    policy: Policy
    wanted: Mapping[Release, str]
    """Releases that stay, and why."""
    running: Sequence[Running]
    """What a cluster uses."""
    resolve: Resolve
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    async def plan(self) -> PrunePlan:
        """What may go; writes nothing. Raises MirrorError where it cannot be known what is still needed."""
        before = await clearances.kept(self.mirror.records, self.mirror.seal)
        recorded = await self._recorded()
        decided = self._decided(recorded)
        going: Mapping[Release, Record] = {fate.release: recorded[fate.release] for fate in decided if fate.goes}
        paths = self._paths([*before], going.values(), recorded.values())
        stocks = {path: await self._stock(path, recorded.values(), before) for path in paths}
        decided, going = self._spared(decided, going, recorded, stocks)
        cleared = {each.release: each for each in before}
        for release, record in going.items():
            made = _clearance(release, record, stocks)
            cleared[release] = made | cleared[release] if release in cleared else made
        staying = [record for release, record in recorded.items() if release not in going]
        found = tuple(cleared.values())
        return PrunePlan(decided, found, self._clearings(stocks, found, staying) if found else ())

    async def execute(self, plan: PrunePlan) -> Cleared:
        """What goes by *plan* is gone; the answer is what really went, and why not all of it did.

        Raises MirrorError where nothing has been deleted yet.
        """
        going = {fate.release for fate in plan.fates if fate.goes}
        for each in plan.clearances:
            if each.release in going:
                await clearances.write(self.mirror.records, each, self.mirror.seal)
        of_records, problem = await self._delete_records(set(map(str, going)))
        begun = Cleared((of_records,), tuple(each.release for each in plan.clearances), (problem,) if problem else ())
        if problem:
            return begun
        try:
            rest = await self._delete_rest(plan)
        except MirrorError as exc:
            return replace(begun, problems=(str(exc),))
        return replace(rest, seen=tuple(sorted([of_records, *rest.seen], key=lambda each: each.path)))

    async def _delete_rest(self, plan: PrunePlan) -> Cleared:
        """What the records that are gone had is gone, and the clearances with which nothing is left to do."""
        recorded = await self._recorded()  # anew: others may have recorded meanwhile
        paths = self._paths(plan.clearances, (), recorded.values())
        paths = [path for path in paths if path != RECORD_NAME]
        stocks = {path: await self._stock(path, recorded.values(), plan.clearances) for path in paths}
        seen, problems = list[Seen](), dict[str, str]()
        for one in self._clearings(stocks, plan.clearances, recorded.values()):
            went, problem = await self._clear(one)
            seen.append(went)
            if problem:
                problems[one.path] = problem
        stuck = {(one.path, tag) for one in seen for tag in one.clearing.stuck}
        done = {
            each.tag: each.release
            for each in plan.clearances
            if not problems.keys() & each.parts.keys()
            and not any((path, tag) in stuck for path, of_it in each.parts.items() for tag in of_it.tags)
        }
        _, problem = await self._delete_records(done.keys())
        unfinished = tuple(each.release for each in plan.clearances if each.tag not in done)
        return Cleared(tuple(seen), unfinished, (*problems.values(), *([problem] if problem else ())))

    def _decided(self, recorded: Mapping[Release, Record]) -> tuple[Fate, ...]:
        held = [Held(release, record.recorded_at) for release, record in recorded.items()]
        decided = fates(held, self.policy, self.wanted, now=self.now())
        every = [each for record in recorded.values() for each in known(self.mirror, record, self.resolve)]
        return kept(decided, used(self.running, every, _staying(decided), self.resolve))

    def _spared(
        self,
        decided: tuple[Fate, ...],
        going: Mapping[Release, Record],
        recorded: Mapping[Release, Record],
        stocks: Mapping[str, Stock],
    ) -> tuple[tuple[Fate, ...], Mapping[Release, Record]]:
        """Without those of which a manifest below an image runs: some runtimes name the platform's own."""
        roots = {digest for record in recorded.values() for _, digest in _held(record)}
        below = {each.digest: each for each in self.running if each.digest and each.digest not in roots}
        stays = {digest for record in map(recorded.get, _staying(decided)) if record for digest in _all(record, stocks)}
        spared = dict[Release, str]()
        for release in sorted(going, reverse=True):
            everything = _all(going[release], stocks)
            if runs := (below.keys() & everything) - stays:
                spared[release] = f"{below[min(runs)].reference}, {min(runs)}, runs"
                stays |= everything
        return kept(decided, spared), {release: record for release, record in going.items() if release not in spared}

    async def _recorded(self) -> dict[Release, Record]:
        names = await records.recorded(self.mirror.records)
        read = (records.read(self.mirror.records, str(name), self.mirror.seal) for name in names)
        found = await gather_some(read, at_once=_AT_ONCE)
        return {name: record for name, record in zip(names, found, strict=True) if record is not None}

    def _paths(self, before: Collection[Clearance], going: Iterable[Record], recorded: Iterable[Record]) -> list[str]:
        """The repositories to look at: those that something goes of; of a layout all, for they share manifests."""
        looked = [*going]
        if not looked and not before:
            return []
        looked += recorded if self.mirror.stores_once else ()
        named = {target.path for record in looked for target, _ in _held(record)}
        return sorted({RECORD_NAME, *named, *(path for each in before for path in each.parts)})

    async def _stock(self, path: str, recorded: Iterable[Record], before: Iterable[Clearance]) -> Stock:
        named = {digest for record in recorded for target, digest in _held(record) if target.path == path}
        for each in before:
            named |= each.parts.get(path, Part()).manifests
        return await stock(self.mirror.repository(path), named)

    def _clearings(
        self, stocks: Mapping[str, Stock], found: Iterable[Clearance], staying: Iterable[Record]
    ) -> tuple[Seen, ...]:
        """What may go of each repository."""
        names, digests = dict[str, set[str]](), dict[str, set[Digest]]()
        for target, digest in (held for record in staying for held in _held(record)):
            names.setdefault(target.path, set()).add(target.tag)
            digests.setdefault(target.path, set()).add(digest)
        parts = dict[str, Part]()
        for each in found:
            for path, of_it in each.parts.items():
                parts[path] = parts.get(path, Part()) | of_it
        going = {
            path: Part({tag: digest for tag, digest in of_it.tags.items() if tag not in names.get(path, ())},
                       of_it.manifests)
            for path, of_it in parts.items()
        }  # fmt: skip
        stays = {path: needed(each, going.get(path, Part()), digests.get(path, ())) for path, each in stocks.items()}
        if self.mirror.stores_once:
            stays = dict.fromkeys(stays, frozenset().union(*stays.values()))
        safe = frozenset[Digest]()
        if self.mirror.stores_once:  # what another name has stays by that
            safe = frozenset(
                digest
                for path, each in stocks.items()
                for tag, digest in each.tags.items()
                if tag not in going.get(path, Part()).tags
            )
        return tuple(
            self._seen(path, each, going.get(path, Part()), stays[path], safe) for path, each in stocks.items()
        )

    def _seen(
        self, path: str, there: Stock, going: Part, stays: frozenset[Digest], safe: frozenset[Digest] = frozenset()
    ) -> Seen:
        goes = clearing(there, going, stays, safe=safe)
        return Seen(path, there, goes if self.deleter.untags else goes.with_manifests_alone(), stays)

    async def _delete_records(self, tags: Collection[str]) -> tuple[Seen, str]:
        """*tags* of the repository of records are gone, and all that only hangs on them; the answer is _clear's."""
        there = await stock(self.mirror.records, ())
        of_them = part(there, {tag: there.tags[tag] for tag in tags if tag in there.tags})
        return await self._clear(self._seen(RECORD_NAME, there, of_them, needed(there, of_them, ())))

    async def _clear(self, seen: Seen) -> tuple[Seen, str]:
        """What may go of *seen* is gone; the answer is what went, and why not all of it did."""
        path, goes, problem = self.mirror.path(seen.path), seen.clearing, ""
        try:
            if goes.alone:
                await self.deleter.untag(path, goes.alone)
            if goes.waves:
                await self.deleter.delete(path, goes.waves, seen.stays)
        except MirrorError as exc:
            seen, problem = await self._gone(seen), str(exc)
        log.info(
            "prune.cleared",
            repository=seen.path,
            place=self.mirror.place,
            tags=len(seen.clearing.tags),
            manifests=len(seen.clearing.manifests),
        )
        return seen, problem

    async def _gone(self, seen: Seen) -> Seen:
        """*seen* where only that goes which is not there any more; nothing, where that is not to be known.

        The registry is asked: a call may have deleted half of what it was to, more than that, or all, its answer lost.
        """
        repository, goes = self.mirror.repository(seen.path), seen.clearing
        asked: list[str | Digest] = [*goes.tags, *goes.manifests]
        try:
            found = await gather_some(map(repository.head, asked), at_once=_AT_ONCE)
        except MirrorError:
            return replace(seen, clearing=goes.only(()))
        return replace(seen, clearing=goes.only({each for each, at in zip(asked, found, strict=True) if at is None}))


async def prune(pruners: Sequence[Pruner], *, is_confirmed: bool) -> PruneReport:
    """What is not kept is deleted if that *is_confirmed*; else what would be is told."""
    done = await gather(*(_pruned(each, is_confirmed=is_confirmed) for each in pruners))
    return PruneReport(tuple(done), is_confirmed)


async def _pruned(pruner: Pruner, *, is_confirmed: bool) -> Pruned:
    mirror = pruner.mirror
    try:
        plan = await pruner.plan()
        cleared = await pruner.execute(plan) if is_confirmed and plan.clearances else Cleared(plan.seen)
    except MirrorError as exc:
        return Pruned(mirror.name, mirror.place, problems=(str(exc),))
    going = {fate.release for fate in plan.fates if fate.goes}
    stuck = [f"{each.path}:{tag}" for each in cleared.seen for tag in each.clearing.stuck]
    notes = [f"{tag} stays: something else needs its manifest, and it cannot be deleted alone there" for tag in stuck]
    manifests = [f"{each.path}@{digest}" for each in cleared.seen for digest in sorted(each.clearing.manifests)]
    return Pruned(
        mirror.name,
        mirror.place,
        plan.fates,
        tuple(each.release for each in plan.clearances if each.release not in going),
        cleared.unfinished,
        tuple(f"{each.path}:{tag}" for each in cleared.seen for tag in each.clearing.tags),
        tuple(manifests),
        cleared.size,
        (*notes, *([pruner.deleter.frees_later] if manifests and pruner.deleter.frees_later else [])),
        cleared.problems,
    )


async def stock(repository: Destination, named: Iterable[Digest]) -> Stock:
    """*repository* as it is: everything at its tags, what is *named* beside, all below it, and what refers to it.

    Raises ManifestError for what is there and cannot be read: what it needs is not known.
    """
    tags, nodes = dict[str, Digest](), dict[Digest, Node]()
    referrers = dict[Digest, frozenset[Digest]]()

    async def at_tag(tag: str) -> None:
        try:
            manifest = await repository.manifest(tag)
        except NotFound:
            return  # deleted meanwhile
        tags[tag], nodes[manifest.digest] = manifest.digest, Node.of(manifest)

    async def at_digest(digest: Digest) -> None:
        try:
            nodes[digest] = Node.of(await repository.manifest(digest))
        except NotFound:
            absent.add(digest)

    async def refers(digest: Digest) -> None:
        referrers[digest] = frozenset(each.digest for each in await repository.referrers(digest))

    absent = set[Digest]()
    await gather_some(map(at_tag, await repository.tags()), at_once=_AT_ONCE)
    await gather_some(map(at_digest, set(named) - nodes.keys()), at_once=_AT_ONCE)
    while unasked := nodes.keys() - referrers.keys():
        await gather_some(map(refers, unasked), at_once=_AT_ONCE)
        beside = {each for digest in unasked for each in (*nodes[digest].children, *referrers[digest])}
        beside |= {subject for digest in unasked if (subject := nodes[digest].subject)}
        await gather_some(map(at_digest, beside - nodes.keys() - absent), at_once=_AT_ONCE)
    return Stock(tags, nodes, referrers)


def _held(record: Record) -> Iterator[tuple[Target, Digest]]:
    """What *record* names: images, and charts."""
    yield from ((image.target, image.digests.mirrored) for image in record.images)
    yield from ((chart.target, chart.digests.mirrored) for chart in record.artifacts)


def _staying(decided: Iterable[Fate]) -> list[Release]:
    return [fate.release for fate in decided if not fate.goes]


def _all(record: Record, stocks: Mapping[str, Stock]) -> set[Digest]:
    """Everything that hangs on what *record* names, where it was looked."""
    parts = (
        part(stocks[target.path], {target.tag: digest}).manifests
        for target, digest in _held(record)
        if target.path in stocks
    )
    return set[Digest]().union(*parts)


def _clearance(release: Release, record: Record, stocks: Mapping[str, Stock]) -> Clearance:
    parts = dict[str, Part]()
    for target, digest in _held(record):
        path = target.path
        of_it = part(stocks[path], {target.tag: digest})
        parts[path] = parts.get(path, Part()) | of_it
    there = stocks[RECORD_NAME]
    name = str(release)
    if name in there.tags:
        parts[RECORD_NAME] = part(there, {name: there.tags[name]})
    return Clearance(release, parts)
