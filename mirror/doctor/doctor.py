"""All that is looked at, side by side: the chart repositories first, since they say what the rest is asked about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mirror import record as records
from mirror.destinations.mirror import Mirror
from mirror.doctor import diagnosis, machine
from mirror.doctor.registries import Questions, RegistryExam, silent
from mirror.errors import MirrorError, UnknownRelease, Unreachable, UsageError
from mirror.findings import DoctorReport, Finding
from mirror.inventory import Wanted
from mirror.linkerd.catalogue import ChartCatalogue
from mirror.linkerd.release import ProjectVersion, Release, Selector
from mirror.oci.layout import LayoutRepository
from mirror.oci.reference import Reference, Repository
from mirror.oci.registry import RegistryRepository
from mirror.plan import RECORD_NAME, chart_target, targets
from mirror.signatures import Signatures
from mirror.tasks import gather

if TYPE_CHECKING:
    from mirror.kubernetes.publisher import Publisher

DEADLINE_S = 10.0
PATIENCE_S = 30.0
"""For what is many requests, or large: a chart index, charts, what a provider asks."""
LINKERD = Repository("cr.l5d.io", "linkerd/controller")
"""The source that is looked at where no chart says which there are."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the rest is asked about."""

    charts: tuple[Finding, ...]
    """Of the chart repositories."""
    images: tuple[Reference, ...]
    """Those of one release; empty where they cannot be known."""
    names: tuple[str, ...] = ()
    """Of the charts of that release."""

    def paths(self, mirror: Mirror) -> tuple[str, ...]:
        """The repositories of *mirror* that a sync writes to, the record's first."""
        places = [place.path for place in targets(self.images, paths=mirror.paths).values()]
        charts = [chart_target(name, "").path for name in self.names if mirror.holds_charts]
        return tuple(dict.fromkeys(mirror.path(path) for path in (RECORD_NAME, *places, *charts)))


@dataclass(frozen=True, slots=True)
class Doctor:
    """The wired parts that a run would use, to be looked at."""

    catalogue: ChartCatalogue
    source: Callable[[Repository], RegistryRepository]
    """The repository where it really is; raises for a host that only a chart names."""
    mirrors: Sequence[Mirror]
    wanted: Wanted
    signatures: Signatures
    helm: str | None
    configuration: Path | None
    """The file that was read; None: there is none."""
    warnings: Sequence[str] = ()
    """What is wrong with the environment, a sentence each."""
    publisher: Publisher | None = None
    """Who puts values into the cluster; None where nobody is to."""
    deadline_s: float = DEADLINE_S
    patience_s: float = PATIENCE_S

    async def look(self, selectors: Sequence[Selector]) -> Known:
        """The chart repositories that *selectors* need, and the images of the first release they ask for.

        Raises UsageError where there is no such first one; another that there is not is a finding.
        """
        channels = dict.fromkeys(map(_channel, selectors))
        by_channel = dict(zip(channels, await gather(*map(self._charts, channels)), strict=True))
        charts = list(by_channel.values())
        if any(isinstance(selector, ProjectVersion) for selector in selectors):
            charts.append(await self._versions())
        readable = {channel for channel, finding in by_channel.items() if finding.state == "ok"}
        others = [each for each in selectors[1:] if isinstance(each, Release) and each.channel in readable]
        charts += [finding for finding in await gather(*map(self._listed, others)) if finding is not None]
        first = selectors[0]
        is_listed = by_channel[_channel(first)].state != "failed"
        if not is_listed and not isinstance(first, Release):
            return Known(tuple(charts), ())
        [release, *_] = await self.catalogue.select([first])
        try:
            references, names = await self._parts(release, is_listed=is_listed)
        except UsageError:
            raise
        except MirrorError as exc:
            remedy = f"see what it says; `mirror images {release}` reads the same"
            unread = Finding(f"charts {release.channel}", "charts", "failed", str(exc), remedy)
            return Known((*charts, unread), ())
        return Known(tuple(charts), tuple(map(Reference.parse, references)), tuple(names))

    async def examine(self, known: Known) -> DoctorReport:
        """All that is right and wrong; nothing that stays is written."""
        here, *there = await gather(
            self._here(known),
            *(self._source(host, images) for host, images in self._by_host(known).items()),
            *(self._destination(mirror, known.paths(mirror)) for mirror in self.mirrors),
        )
        return DoctorReport((*here, *known.charts, *(finding for several in there for finding in several)))

    async def repair(self, known: Known) -> tuple[Finding, ...]:
        """What destinations can put right of themselves was: a finding for each change or failure."""
        done = await gather(
            *(self._provided(mirror, "repair", mirror.provider.repair(known.paths(mirror))) for mirror in self.mirrors)
        )
        return tuple(finding for several in done for finding in several)

    async def _trust(self, images: Sequence[Reference]) -> Sequence[Finding]:
        """What is to be said of signatures, and of the root of trust where *images*, or what is not known, need it."""
        found = [diagnosis.signatures(self.signatures.policy)]
        if self.signatures.policy == "off":
            return found
        if images and not any(map(self.signatures.needs_root, images)):
            told = "no image of the release needs Sigstore's root of trust: none is signed by an identity, or logged"
            return [*found, Finding("trust", "root", "ok", told)]
        remedy = "check the network, or give a policy.trusted_root that can be read"
        try:
            await asyncio.wait_for(self.signatures.trust.root.load(), self.patience_s)
        except TimeoutError:
            told = f"Sigstore's root of trust was not there after {self.patience_s:.0f} s"
            return [*found, Finding("trust", "root", "failed", told, remedy)]
        except MirrorError as exc:
            return [*found, Finding("trust", "root", "failed", str(exc), remedy)]
        return [*found, Finding("trust", "root", "ok", f"{self.signatures.trust.root} can be read, and holds today")]

    async def _here(self, known: Known) -> Sequence[Finding]:
        file = f"{self.configuration} holds" if self.configuration else "there is no file: the defaults hold"
        found = [Finding("configuration", "file", "ok", file)]
        found += [
            Finding("configuration", "environment", "warning", text, "correct its name, or unset it")
            for text in self.warnings
        ]
        found += [*await self._trust(known.images), await machine.helm(self.helm)]
        directory = self.wanted.overrides_directory
        if directory is not None and any(mirror.pull_registry for mirror in self.mirrors):
            found.append(await machine.directory("overrides", directory))
        if self.publisher is not None:
            found.append(await self._cluster(self.publisher))
        return found

    async def _cluster(self, publisher: Publisher) -> Finding:
        try:
            async with asyncio.timeout(self.patience_s):
                return await publisher.examine()
        except TimeoutError:
            told = f"the API server of the cluster has not answered after {self.patience_s:.0f} s"
            return Finding("config maps", "apply", "failed", told, "see that a NetworkPolicy lets this pod reach it")

    async def _charts(self, channel: str) -> Finding:
        subject, key = f"charts {channel}", f"channels.{channel}.chart_repository"
        repository = self.catalogue.repository(channel)
        try:
            async with asyncio.timeout(self.patience_s):
                index = await self.catalogue.index(channel)
        except (TimeoutError, Unreachable) as exc:
            error = exc if isinstance(exc, Unreachable) else silent(repository.url, self.patience_s)
            return diagnosis.unreached(subject, error, setting=key, host=urlsplit(repository.url).netloc)
        except MirrorError as exc:
            return Finding(subject, "index", "failed", str(exc), f"{key} is to be a Helm repository: see that it is")
        releases = [release for release in index.releases() if release.channel == channel]
        if not releases:
            told = f"{repository.url} lists no release of {channel}"
            return Finding(subject, "index", "failed", told, f"see that {key} is the right one")
        count = "1 release" if len(releases) == 1 else f"{len(releases)} releases"
        etag = "an ETag" if repository.has_etag else "no ETag, so it is read whole each time"
        told = f"{repository.url} lists {count}, the newest {max(releases)}; its index has {etag}"
        return Finding(subject, "index", "ok", told)

    async def _listed(self, release: Release) -> Finding | None:
        """What is to be said of *release* where its chart repository does not have it, nor every mirror its record."""
        if all(await gather(*(self._record(mirror, release) for mirror in self.mirrors))):
            return None
        index = await self.catalogue.index(release.channel)
        try:
            index.charts_of(release)
        except UnknownRelease as exc:
            return Finding(f"charts {release.channel}", "release", "failed", str(exc), "ask for one that there is")
        return None

    async def _versions(self) -> Finding:
        from mirror.linkerd.versions import COPY  # late: only a version of the project needs it

        versions = await self.catalogue.versions()
        if versions is COPY:
            return Finding(
                "charts",
                "versions",
                "warning",
                f"versions_url cannot be read: {COPY.source} says which release a version of Linkerd is",
                "see what is between here and versions_url, or name the release itself",
            )
        return Finding("charts", "versions", "ok", f"{versions.source} says which release a version of Linkerd is")

    async def _parts(self, release: Release, *, is_listed: bool) -> tuple[Sequence[str], Sequence[str]]:
        """The images of *release* and the names of its charts, as a mirror has recorded them or as they are read.

        What never entered that mirror is among them: a sync asks for it again.
        """
        for record in await gather(*(self._record(mirror, release) for mirror in self.mirrors)):
            if record is not None:
                held = [recorded.image.reference for recorded in record.images]
                return [*held, *(each.reference for each in record.missing)], [chart.name for chart in record.charts]
        if not is_listed:
            return (), ()
        from mirror.linkerd.images import release_images  # late: what is recorded needs no template

        try:
            async with asyncio.timeout(self.patience_s):
                charts = await self.catalogue.charts(release)
                return [image.reference for image in release_images(charts)], [chart.name for chart in charts]
        except TimeoutError as exc:
            raise silent(f"the chart repository of {release.channel}", self.patience_s) from exc

    async def _record(self, mirror: Mirror, release: Release) -> records.Record | None:
        try:
            async with asyncio.timeout(self.deadline_s):
                return await records.read(mirror.records, str(release), mirror.seal)
        except (MirrorError, TimeoutError):  # what is to be said of the destination is said there
            return None

    def _by_host(self, known: Known) -> Mapping[str, Sequence[Reference]]:
        """The images that are read from each host, aliases applied; Linkerd's own host where none are known."""
        by_host = dict[str, list[Reference]]()
        for image in known.images:
            by_host.setdefault(self._host(image.repository), []).append(image)
        return by_host or {self._host(LINKERD): []}

    def _host(self, repository: Repository) -> str:
        try:
            return self.source(repository).registry.host
        except MirrorError:
            return repository.host

    async def _source(self, host: str, images: Sequence[Reference]) -> Sequence[Finding]:
        subject = f"source {host}"
        try:
            repository = self.source(images[0].repository if images else LINKERD)
        except MirrorError as exc:
            return [
                Finding(subject, "reachable", "failed", str(exc), f'add [registries."{host}"] to the configuration')
            ]
        exam = RegistryExam(Questions(subject, self.deadline_s), repository.registry)
        return await exam.as_source((repository, images[0].version) if images else None)

    async def _destination(self, mirror: Mirror, paths: Sequence[str]) -> Sequence[Finding]:
        general, particular = await gather(
            self._place(mirror, paths), self._provided(mirror, "provider", mirror.provider.examine(paths))
        )
        return diagnosis.told_once(general, particular)

    async def _place(self, mirror: Mirror, paths: Sequence[str]) -> Sequence[Finding]:
        """What is to be said of *mirror*, of whatever kind it is."""
        questions = Questions(f"destination {mirror.name}", self.deadline_s)
        match mirror.records:
            case RegistryRepository() as record:
                return await RegistryExam(questions, record.registry).as_destination(record, paths)
            case LayoutRepository() as record:
                found = await machine.layout(questions.subject, record.directory)
                return found if found[0].state == "failed" else [*found, await questions.recorded(record)]
            case other:
                raise AssertionError(other)

    async def _provided(self, mirror: Mirror, check: str, work: Awaitable[Sequence[Finding]]) -> Sequence[Finding]:
        """What the provider of *mirror* says, or why it says nothing."""
        subject = f"destination {mirror.name}"
        try:
            async with asyncio.timeout(self.patience_s):
                return await work
        except TimeoutError:
            return [diagnosis.refused(subject, check, silent(mirror.place, self.patience_s))]
        except MirrorError as exc:
            return [diagnosis.refused(subject, check, exc)]


def _channel(selector: Selector) -> str:
    """The channel whose chart repository *selector* needs; a version of the project is an edge release."""
    return "edge" if isinstance(selector, ProjectVersion) else selector.channel
