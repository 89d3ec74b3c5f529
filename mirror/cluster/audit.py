"""Holds what a cluster runs to what a mirror has recorded: held, at another digest, or not held.

    running.py ─► each image ─► known.py: by which name and tag or digest the mirror may have it ─► a finding

Of interest is what the mirror might hold: Linkerd's own images, those that a record names, and whatever is pulled from
the mirror's own place. Writes nothing, and never needs upstream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mirror import record as records
from mirror.cluster.known import Known, Resolve, known
from mirror.cluster.running import Inventory, Running
from mirror.destinations.mirror import Mirror
from mirror.errors import NotFound, UsageError
from mirror.linkerd.images import FIRST_PARTY
from mirror.linkerd.release import Release
from mirror.oci.reference import Repository
from mirror.tasks import gather_some

SCHEMA = 1
_AT_ONCE = 16

State = Literal["held", "other_digest", "not_held"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the mirror has of one image that runs."""

    image: Running
    state: State
    is_pulled_from_mirror: bool
    known: tuple[Known, ...] = ()
    """What it is, or what the mirror has at its tag."""

    @property
    def releases(self) -> tuple[Release, ...]:
        """Those that have it, newest first."""
        return tuple(sorted({each.release for each in self.known}, reverse=True))

    def document(self) -> dict[str, Any]:
        """As JSON has it; mirror/cli/audit.py tells the keys."""
        return {
            "image": str(self.image.reference),
            "digest": str(self.image.digest) if self.image.digest else None,
            "state": self.state,
            "pulled_from_mirror": self.is_pulled_from_mirror,
            "held": sorted({str(each.digest) for each in self.known}),
            "releases": list(map(str, self.releases)),
            "where": list(self.image.where),
        }


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a cluster runs, beside what the mirror holds."""

    destination: str
    findings: tuple[Finding, ...]
    passed_over: int
    """Images that are none of the mirror's interest."""
    unread: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """4 if something runs that the mirror does not hold as it runs, else 0."""
        return 4 if any(finding.state != "held" for finding in self.findings) else 0

    @property
    def counts(self) -> Counter[State]:
        """How many are what."""
        return Counter(finding.state for finding in self.findings)

    def document(self) -> dict[str, Any]:
        """`mirror audit -o json`."""
        return {
            "schema": SCHEMA,
            "destination": self.destination,
            "images": [finding.document() for finding in self.findings],
            "passed_over": self.passed_over,
            "unread": list(self.unread),
        }


async def audit(mirror: Mirror, inventory: Inventory, resolve: Resolve, *, everything: bool) -> AuditReport:
    """What *mirror* holds of what runs; of *everything*, or of what it might hold. Raises MirrorError."""
    names = await records.recorded(mirror.records)
    if not names:  # no proof of anything: a mistyped prefix is empty too
        raise UsageError(f"nothing is recorded at {mirror.place}: run mirror sync first")
    read = (records.read(mirror.records, str(name), mirror.seal) for name in names)
    found = [record for record in await gather_some(read, at_once=_AT_ONCE) if record is not None]
    held = [each for record in found for each in known(mirror, record, resolve)]
    wanted = [
        image for image in inventory.images if everything or _is_of_interest(image, mirror, held, resolve=resolve)
    ]
    judged = (_judged(mirror, image, held, resolve) for image in wanted)
    findings = await gather_some(judged, at_once=_AT_ONCE)
    return AuditReport(mirror.name, tuple(findings), len(inventory.images) - len(wanted), inventory.unread)


def _is_of_interest(image: Running, mirror: Mirror, held: Iterable[Known], *, resolve: Resolve) -> bool:
    repository = resolve(image.reference.repository)
    is_linkerds = f"{repository}/".startswith(FIRST_PARTY) or str(image.reference.repository).startswith(FIRST_PARTY)
    return is_linkerds or _is_there(repository, mirror) or any(each.is_of(repository) for each in held)


def _is_there(repository: Repository, mirror: Mirror) -> bool:
    """Whether *repository* is in the mirror's own place, by the name that the cluster pulls by or by its own."""
    places = (mirror.pull_registry, "" if mirror.stores_once else mirror.place)
    return any(place and str(repository).startswith(f"{place}/") for place in places)


async def _judged(mirror: Mirror, image: Running, held: Sequence[Known], resolve: Resolve) -> Finding:
    repository = resolve(image.reference.repository)
    named = [each for each in held if each.is_of(repository)]
    is_ours = _is_there(repository, mirror) or any(each.names[repository] for each in named)
    at_tag = [each for each in named if image.reference.tag in each.tags]
    if image.digest is None:
        return Finding(image, "held" if at_tag else "not_held", is_ours, tuple(at_tag))
    looked = at_tag or named  # at a digest alone, whatever the mirror has of that name
    same = [each for each in looked if image.digest in (each.digest, each.upstream)]
    if not same:  # some runtimes name the manifest of the platform
        same = [each for each in looked if await _lists(mirror, each, image)]
    if same:
        return Finding(image, "held", is_ours, tuple(same))
    return Finding(image, "other_digest" if at_tag else "not_held", is_ours, tuple(at_tag))


async def _lists(mirror: Mirror, one: Known, image: Running) -> bool:
    try:
        manifest = await mirror.repository(one.target.path).manifest(one.digest)
    except NotFound:
        return False
    return any(child.digest == image.digest for child in manifest.children)
