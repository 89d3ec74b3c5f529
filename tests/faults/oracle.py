"""What must hold after any run, looked at with code of its own; each function gives a sentence for each breach.

told       the report says of every image what became of it, and of what failed, where
kept       what is reported as copied or kept is at the destination, with the source's bytes
whole      no tag names missing or wrong content, no blob in the registry's storage has other bytes than its name says
complete   all of the release is there
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from mirror.report import ImageReport, SyncReport
from tests.e2e.whole import ACCEPT, broken, look_at
from tests.runs import only
from tests.servers.distribution import Distribution

_AT_THE_MIRROR = ("copied", "kept", "adopted")


def told(report: SyncReport, *, images: int, hosts: Sequence[str], stale: Sequence[str] = ()) -> list[str]:
    """The report is true to itself: *images* of them, reasons that name one of *hosts*, an exit code that fits.

    Only an image whose name is in *stale* may be refused, and where there is one, a chart.
    """
    found = list[str]()
    for release in report.releases:
        for image in release.images:
            if image.outcome == "failed" and not any(host in image.reason for host in hosts):
                found.append(f"{image.reference} failed, and the reason names no host: {image.reason!r}")
            if image.outcome == "refused" and image.place.path.rpartition("/")[2] not in stale:
                found.append(f"{image.reference} was refused: {image.reason}")
        if release.problem and not any(host in release.problem for host in hosts):
            found.append(f"the problem names no host: {release.problem!r}")
        if not release.problem and len(release.images) != images:
            found.append(f"the report has {len(release.images)} images, the release {images}")
        for chart in release.charts:
            if chart.outcome == "failed" and not any(name in chart.reason for name in (*hosts, "before its images")):
                found.append(f"{chart.reference} failed, and the reason names no host: {chart.reason!r}")
            if chart.outcome == "refused" and not stale:
                found.append(f"{chart.reference} was refused: {chart.reason}")
        outcomes = [each.outcome for each in (*release.images, *release.charts)]
        is_done = not release.problem and all(outcome in _AT_THE_MIRROR for outcome in outcomes)
        if (release.exit_code == 0) != is_done:
            found.append(f"exit code {release.exit_code}, with {outcomes}")
    return found if report.releases else ["the report is empty"]


def kept(url: str, prefix: str, images: Sequence[ImageReport], truth: Mapping[str, set[str]]) -> list[str]:
    """Each of *images* that is said to be at the mirror has there a digest that *truth* has for its name."""
    with look_at(url) as client:
        return [
            f"{image.reference} is {image.outcome}, and its tag names {found or 'nothing'}"
            for image in images
            if image.outcome in _AT_THE_MIRROR
            and (found := digest_at(client, f"{prefix}/{image.place.path}", image.place.tag))
            not in truth[image.place.path.rpartition("/")[2]]
        ]


def digest_at(client: httpx.Client, repository: str, version: str) -> str:
    """The digest of the bytes that are there; empty where nothing is."""
    answer = client.get(f"/v2/{repository}/manifests/{version}", headers={"Accept": ACCEPT})
    return f"sha256:{hashlib.sha256(answer.content).hexdigest()}" if answer.status_code == 200 else ""


@dataclass(slots=True)
class Storage:
    """The blobs in a registry's files; those that were looked at are not read again while they stay the same."""

    registry: Distribution
    _seen: set[tuple[Path, int, int]] = field(default_factory=set)

    def wrong(self) -> list[str]:
        """A sentence for each blob that has other bytes than its name says."""
        found = list[str]()
        for data in (self.registry.root / "docker" / "registry" / "v2" / "blobs").glob("*/*/*/data"):
            stat = data.stat()
            mark = (data, stat.st_size, stat.st_mtime_ns)
            if mark not in self._seen:
                actual = hashlib.sha256(data.read_bytes()).hexdigest()
                if actual != data.parent.name:
                    found.append(f"the blob {data.parent.name} has the bytes of {actual}")
                else:
                    self._seen.add(mark)
        return found


def whole(storage: Storage, prefix: str) -> list[str]:
    """Nothing that a client could pull below *prefix* is incomplete, and no byte of the storage is wrong."""
    return [*broken(storage.registry.url, prefix), *storage.wrong()]


def completed(
    storage: Storage,
    prefix: str,
    truth: Mapping[str, set[str]],
    run: Callable[[], SyncReport | None],
    *,
    is_done: bool = False,
) -> list[str]:
    """*run*, a plain one, brings all in step, and finds no work after that; nor before, if it *is_done*."""
    first = run()
    if first is None or first.exit_code:
        return [f"a plain run does not complete it: {reasons(first)}"]
    found = list[str]()
    if is_done and only(first).outcome != "in_step":
        found.append(f"it was in step, and a plain run finds work: {reasons(first)}")
    last = first if only(first).outcome == "in_step" else run()
    if last is None or only(last).outcome != "in_step":
        return [*found, f"a second plain run is not in step: {reasons(last)}"]
    if last is not first or not is_done:
        found += whole(storage, prefix)
    return [*found, *kept(storage.registry.url, prefix, only(last).images, truth)]


def reasons(report: SyncReport | None) -> str:
    """What *report* says of what is not in step."""
    if report is None:
        return "it ended with an error"
    release = only(report)
    said = [f"{image.outcome} {image.reference} {image.reason}" for image in release.images if image.outcome != "kept"]
    return "; ".join(filter(None, [release.problem, *said]))
