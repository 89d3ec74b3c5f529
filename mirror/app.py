"""The composition root: settings become wired parts.

Settings ─► App ─┬─ registries, one a host: transport, streams, authenticator
                 ├─ catalogue: a chart repository a channel
                 └─ mirrors: the configured destinations, or the one that --to gives
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

import structlog

from mirror.destinations.ecr.host import PUT_IMAGE_PER_SECOND, EcrHost, is_ecr
from mirror.destinations.layout import LayoutDeleter
from mirror.destinations.mirror import Mirror
from mirror.destinations.plain import RegistryDeleter
from mirror.destinations.provider import Deleter, Plain, Provider
from mirror.errors import RegistryError, UsageError
from mirror.files import ecr_policy
from mirror.http.connections import Connections
from mirror.http.gate import Gate
from mirror.http.meter import UNMETERED, Meter
from mirror.http.proxies import Proxies, is_local
from mirror.http.transport import Transport
from mirror.inventory import Surveyor, Wanted
from mirror.linkerd.catalogue import ChartCatalogue
from mirror.linkerd.helm import find_helm
from mirror.linkerd.parts import Fetched
from mirror.linkerd.release import Newest, ProjectVersion, Release, Selector, parse_selector
from mirror.oci.auth import Authenticator, Credential, Credentials, DockerConfiguration
from mirror.oci.content import Digest
from mirror.oci.dialect import Dialect
from mirror.oci.layout import Layout
from mirror.oci.reference import Reference, Repository
from mirror.oci.registry import Registry, RegistryRepository, refusal
from mirror.oci.storage import Destination
from mirror.settings import EcrDestination, HarborDestination, LayoutDestination, RegistryDestination, Settings
from mirror.shard import Shard
from mirror.signatures import Signatures
from mirror.sync import Progress, Syncer
from mirror.trust.judge import Trust
from mirror.trust.root import PUBLIC, PublicRoot, RootFile
from mirror.trust.seal import Seal

if TYPE_CHECKING:
    from mirror.airgap import Exporter, Importer
    from mirror.cluster.running import Running
    from mirror.destinations.ecr.api import EcrApi
    from mirror.doctor.doctor import Doctor
    from mirror.kubernetes.publisher import Publisher
    from mirror.linkerd.chart import ChartRepository
    from mirror.linkerd.versions import VersionsFile
    from mirror.oci.archive import Archive
    from mirror.retention.prune import Pruner

RegistryLike = RegistryDestination | EcrDestination | HarborDestination

DEFAULT_DESTINATION = "oci:./linkerd-mirror"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConfiguredCredentials:
    """The configuration's credentials, else those *beside*: AWS's for ECR, Docker's."""

    settings: Settings
    beside: Credentials

    def credential(self, host: str) -> Credential | None:
        """See mirror.oci.auth.Credentials."""
        configured = self.settings.registry(host).credential()
        if configured is not None:
            username, password = configured
            return Credential(username, password.get_secret_value(), origin="the configuration")
        return self.beside.credential(host)


@dataclass(frozen=True, slots=True)
class ChartFetcher:
    """Reads a chart repository (mirror.linkerd.chart.Fetcher)."""

    transport: Transport
    authorization: str = field(default="", repr=False)

    async def fetch(self, url: str, *, bound: int, etag: str = "") -> Fetched:
        """What is at *url*; no body where it has not changed since *etag*."""
        headers = {"Authorization": self.authorization} if self.authorization else {}
        if etag:
            headers["If-None-Match"] = etag
        answer = await self.transport.send("GET", url, headers=headers, bound=bound)
        if answer.status == 304:
            return Fetched(None, etag)
        if answer.status != 200:
            raise refusal(answer, where=url, asked="GET")
        return Fetched(answer.body, answer.headers.get("etag", ""))


@dataclass(slots=True)
class App:
    """Wired parts, made when they are first asked for; use it as an async context manager."""

    settings: Settings
    environ: Mapping[str, str]
    proxies: Proxies = field(default_factory=Proxies.from_environment)
    meter: Meter = UNMETERED
    _registries: dict[str, Registry] = field(default_factory=dict, init=False)
    _transports: list[Transport] = field(default_factory=list, init=False)
    _ecr: dict[str, EcrApi] = field(default_factory=dict, init=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for registry in self._registries.values():
            await registry.aclose()
        for transport in self._transports:
            await transport.aclose()
        for api in self._ecr.values():
            await api.aclose()

    def registry(self, host: str) -> Registry:
        """The registry that references call *host*, after aliases."""
        if host not in self._registries:
            connections, transport = self._connected(host)
            self._registries[host] = Registry(
                host,
                self._endpoint(host),
                transport,
                connections,
                self._authenticator(host, transport),
                self._dialect(host),
                Gate(per_second=PUT_IMAGE_PER_SECOND if is_ecr(host) else 0),
            )
        return self._registries[host]

    def _endpoint(self, host: str) -> str:
        """Where *host* is reached."""
        if is_local(urlsplit(f"//{host}").hostname or "") and host not in self.settings.registries:
            return f"http://{host}"
        return self.settings.registry(host).endpoint

    def hosts(self) -> frozenset[str]:
        """Those that the settings send us to, as a URL names them; not those that they send us on to."""
        aliased = {name.partition("/")[0] for name, entry in self.settings.registries.items() if entry.alias}
        charts = {channel.chart_repository for channel in self.settings.channels.values()}
        return frozenset(urlsplit(url).netloc for url in {*map(self._endpoint, self._known_hosts() - aliased), *charts})

    def _connected(self, host: str) -> tuple[Connections, Transport]:
        """A way to *host*, as the settings have it."""
        configured = self.settings.registry(host)
        connections = Connections(str(configured.ca_file or ""), self.proxies, meter=self.meter)
        return connections, Transport(connections, self._gate(host, self._endpoint(host)))

    def _gate(self, host: str, url: str) -> Gate:
        """For *host*, which is reached at *url*."""
        configured = self.settings.registry(host)
        return Gate(
            configured.max_connections,
            configured.requests_per_second,
            host=urlsplit(url).netloc,
            meter=self.meter,
        )

    def _authenticator(self, host: str, transport: Transport) -> Authenticator:
        docker = DockerConfiguration.default(self.environ)
        if not is_ecr(host):
            return Authenticator(host, transport, ConfiguredCredentials(self.settings, docker))
        from mirror.destinations.ecr.credentials import CHALLENGE, EcrCredentials  # late, as all that ECR alone needs

        credentials = ConfiguredCredentials(self.settings, EcrCredentials(self._ecr_api(host), docker))
        return Authenticator(host, transport, credentials, CHALLENGE)

    def _ecr_api(self, host: str) -> EcrApi:
        """ECR's API for the registry *host*, one for all that is there."""
        from mirror.destinations.ecr.access import Access
        from mirror.destinations.ecr.api import EcrApi

        parsed = EcrHost.parse(host)
        assert parsed is not None, host  # noqa: S101 - whoever asks has looked
        if host not in self._ecr:
            there = (d for d in self.settings.destinations.values() if isinstance(d, EcrDestination))
            # those on one host have one way to AWS (mirror.settings.models)
            access = next((Access(d.profile, d.role_arn, d.external_id) for d in there if d.registry == host), Access())
            ca_file = str(self.settings.registry(host).ca_file or "")
            self._ecr[host] = EcrApi(parsed, access, ca_file, self.proxies)
        return self._ecr[host]

    def source(self, repository: Repository) -> RegistryRepository:
        """*repository* where it really is; a host that only a chart names is refused."""
        resolved = self.settings.resolve(repository)
        if resolved.host not in self._known_hosts():
            raise RegistryError(
                f"{repository}: {resolved.host} is named by a chart and by nothing else, so it is not contacted: "
                f'if it may be, add [registries."{resolved.host}"] to the configuration'
            )
        return self.registry(resolved.host).repository(resolved.path)

    def _known_hosts(self) -> set[str]:
        names = [*self.settings.registries, *(entry.alias for entry in self.settings.registries.values())]
        names += [d.registry for d in self.settings.destinations.values() if not isinstance(d, LayoutDestination)]
        return {name.partition("/")[0] for name in names if name}

    def catalogue(self) -> ChartCatalogue:
        """The channels that are configured."""
        return ChartCatalogue(
            channels=self.settings.channels,
            open_repository=self._chart_repository,
            open_versions=self._versions_file,
            charts_wanted=self.settings.charts,
            exclude=self.settings.exclude,
            min_age=self.settings.min_age,
        )

    def _chart_repository(self, channel: str) -> ChartRepository:
        from mirror.linkerd.chart import (
            ChartRepository,
            Lineup,
        )  # late, with all that reads YAML: in step nothing is read

        configured = self.settings.channels[channel]
        url = configured.chart_repository
        return ChartRepository(url, self._fetcher(url), Lineup(channel, configured.charts))

    def _versions_file(self) -> VersionsFile:
        from mirror.linkerd.versions import VersionsFile  # late, likewise

        return VersionsFile(self.settings.versions_url, self._fetcher(self.settings.versions_url))

    def _fetcher(self, url: str) -> ChartFetcher:
        from mirror.http.general import GeneralClient  # late, with httpx

        host = urlsplit(url).netloc
        configured = self.settings.registry(host)
        client = GeneralClient(
            str(configured.ca_file or ""), configured.max_connections, self.proxies, meter=self.meter
        )
        transport = Transport(client, self._gate(host, url))
        self._transports.append(transport)
        credential = configured.credential()
        basic = Credential(credential[0], credential[1].get_secret_value()).basic if credential else ""
        return ChartFetcher(transport, basic)

    def selectors(self, texts: Sequence[str]) -> list[Selector]:
        """What *texts* ask for, else what the configuration asks for."""
        return [parse_selector(text, channels=self.settings.channels) for text in texts or self.settings.releases]

    async def recordable(self, texts: Sequence[str]) -> list[Release | Newest]:
        """What *texts* ask for of records: of a version of the project, the release that it is."""
        found = list[Release | Newest]()
        for selector in self.selectors(texts) if texts else ():
            if isinstance(selector, ProjectVersion):
                found += await self.catalogue().select([selector])
            else:
                found.append(selector)
        return found

    def mirrors(self, to: str = "") -> list[Mirror]:
        """The destination that *to* names or gives; without it, all that are configured, else the default."""
        if to in self.settings.destinations:
            return [self._configured(to)]
        if to or not self.settings.destinations:
            return [self._given(to or DEFAULT_DESTINATION)]
        return [self._configured(name) for name in self.settings.destinations]

    def mirror(self, to: str = "") -> Mirror:
        """The one destination that *to* names; raises UsageError where it is left open."""
        found = self.mirrors(to)
        if len(found) > 1:
            names = ", ".join(mirror.name for mirror in found)
            raise UsageError(f"there are several destinations ({names}): choose one with --to")
        return found[0]

    def _configured(self, name: str) -> Mirror:
        match self.settings.destinations[name]:
            case LayoutDestination(directory=directory, paths=paths, pull_registry=pull, charts=charts):
                layout, scheme = self._layout(directory), self._pull_scheme(pull)
                return replace(
                    layout, name=name, paths=paths, pull_registry=pull, pull_scheme=scheme, holds_charts=charts
                )
            case (RegistryDestination() | EcrDestination() | HarborDestination()) as configured:
                return self._registry_mirror(configured, name)

    def _given(self, to: str) -> Mirror:
        if to.startswith("oci:"):
            if not to.removeprefix("oci:"):
                raise UsageError("oci: needs a directory, as oci:./linkerd-mirror")
            return self._layout(Path(to.removeprefix("oci:")))
        scheme, is_url, place = to.partition("://")
        if is_url:
            raise UsageError(
                f"--to {to}: leave {scheme}:// out, as {place}: where that host is reached is said by "
                'registries."HOST".endpoint'
            )
        if to.startswith((".", "/", "~")):
            raise UsageError(f"--to {to}: give a directory as oci:{to}")
        host, slash, prefix = to.partition("/")
        if "." not in host and ":" not in host and host != "localhost":
            known = ", ".join(self.settings.destinations) or "none"
            raise UsageError(
                f"{to!r} is neither a destination of the configuration (there is: {known}), nor oci:DIR, "
                "nor REGISTRY/PREFIX"
            )
        if slash:
            Repository(host, prefix)
        return self._registry_mirror(self._kept(host, prefix))

    def _kept(self, host: str, prefix: str) -> RegistryLike:
        """What stands for HOST/PREFIX: the settings of a destination there, as for its credentials; else its kind's."""
        there = [d for d in self.settings.destinations.values() if not isinstance(d, LayoutDestination)]
        if beside := next((d for d in there if d.registry == host and d.kind != "registry"), None):
            return beside.model_copy(update={"prefix": prefix, "pull_registry": "", "paths": "flat"})
        if is_ecr(host):
            return EcrDestination(kind="ecr", registry=host, prefix=prefix)
        return RegistryDestination(kind="registry", registry=host, prefix=prefix)

    def _pull_scheme(self, pull: str) -> Literal["https", "http"]:
        """How a cluster reaches *pull*, HOST[/PREFIX]."""
        host = pull.partition("/")[0]
        return "http" if self._endpoint(host) == f"http://{host}" else "https"

    @property
    def _seal(self) -> Seal:
        return Seal(self.settings.record.sign_key_file, self.settings.record.verify_key_file)

    def _layout(self, directory: Path) -> Mirror:
        layout = Layout(directory)
        place = f"oci:{directory}"

        def open_name(path: str) -> Destination:
            return layout.repository(path)

        deleter = LayoutDeleter(layout)
        return Mirror(
            _folder(place), place, ":", "", "flat", "", open_name, seal=self._seal, stores_once=True, deleter=deleter
        )

    def _registry_mirror(self, destination: RegistryLike, name: str = "") -> Mirror:
        """*destination*, called *name*, or for its place where it has none."""
        host, prefix = destination.registry, destination.prefix
        place = f"{host}/{prefix}" if prefix else host
        name = name or _folder(place)

        def open_path(path: str) -> Destination:
            if isinstance(destination, EcrDestination):
                from mirror.destinations.ecr.registry import EcrRepository

                return EcrRepository(self.registry(host), path, self._ecr_api(host))
            return self.registry(host).repository(path)

        pull = destination.pull_registry or place
        provider, deleter = self._provider(destination, name), self._deleter(destination)
        charts = destination.charts
        return Mirror(
            name,
            place,
            "/",
            prefix,
            destination.paths,
            pull,
            open_path,
            provider,
            self._seal,
            pull_scheme=self._pull_scheme(pull),
            holds_charts=charts,
            deleter=deleter,
        )

    def _deleter(self, destination: RegistryLike) -> Deleter:
        """How *destination* deletes."""
        match destination:
            case EcrDestination(registry=host):
                from mirror.destinations.ecr.deleter import EcrDeleter  # late, as all that ECR alone needs

                return EcrDeleter(self._ecr_api(host))
            case HarborDestination(registry=host):
                from mirror.destinations.harbor.api import HarborApi  # late, likewise
                from mirror.destinations.harbor.deleter import HarborDeleter

                return HarborDeleter(HarborApi(self.registry(host)))
            case _:
                return RegistryDeleter(self.registry(destination.registry))

    def _provider(self, destination: RegistryLike, name: str) -> Provider:
        """What *destination*, called *name*, needs beside the distribution API."""
        match destination:
            case EcrDestination():
                return self._ecr_provider(destination, name)
            case HarborDestination(registry=host, prefix=prefix, create_project=is_to_be_made, project=project):
                from mirror.destinations.harbor.api import HarborApi  # late, as all that Harbor alone needs
                from mirror.destinations.harbor.provider import HarborProvider, NewProject

                if not prefix:
                    raise UsageError(f"{host} is a Harbor, where a repository is in a project: give {host}/PROJECT")
                new = NewProject(project.public, project.storage_quota, project.auto_scan) if is_to_be_made else None
                return HarborProvider(name, HarborApi(self.registry(host)), prefix, new)
            case _:
                return Plain()

    def _ecr_provider(self, destination: EcrDestination, name: str) -> Provider:
        from mirror.destinations.ecr.provider import EcrProvider
        from mirror.destinations.ecr.repositories import Wanted as WantedRepository

        wanted = destination.repository
        return EcrProvider(
            name,
            self._ecr_api(destination.registry),
            WantedRepository(
                mutability=wanted.tag_mutability,
                exclusions=wanted.exclusions if "EXCLUSION" in wanted.tag_mutability else (),
                encryption=wanted.encryption,
                kms_key=wanted.kms_key,
                scan_on_push=wanted.scan_on_push,
                lifecycle_policy=ecr_policy(wanted.lifecycle_policy_file, f"{name}.repository.lifecycle_policy_file"),
                policy=ecr_policy(wanted.policy_file, f"{name}.repository.policy_file"),
                tags=wanted.tags,
            ),
            destination.repository_creation,
            destination.pull_registry,
        )

    def _dialect(self, host: str) -> Dialect:
        """How *host* departs from the specification."""
        if is_ecr(host):
            from mirror.destinations.ecr.dialect import EcrDialect

            return EcrDialect()
        destinations = self.settings.destinations.values()
        if any(isinstance(each, HarborDestination) and each.registry == host for each in destinations):
            from mirror.destinations.harbor.dialect import HarborDialect

            return HarborDialect()
        return Dialect()

    def wanted(self, accept: Mapping[Reference, Digest] | None = None) -> Wanted:
        """What the settings want of every mirror, and what the command line accepts beside."""
        settings = self.settings
        return Wanted(
            charts=settings.charts,
            platforms=() if settings.platforms == "all" else settings.platforms,
            moved_tags=settings.policy.moved_tags,
            referrers=settings.policy.referrers,
            accept={**settings.policy.accept, **(accept or {})},
            pin=settings.overrides.pin,
            pull_secrets=settings.overrides.image_pull_secrets,
            overrides_directory=settings.overrides.directory,
            extra_values=settings.overrides.values,
        )

    def signatures(self, accept: Mapping[Reference, Digest] | None = None) -> Signatures:
        """What is asked of signatures; the root of trust is read only where an identity needs it."""
        policy = self.settings.policy
        root = RootFile(policy.trusted_root) if policy.trusted_root else self._public_root()
        trust = Trust(root, tuple(each.signer() for each in policy.identities), policy.third_party_images)
        accepted = {**policy.accept, **(accept or {})}
        is_sealed = self.settings.record.verify_key_file is not None
        return Signatures(policy.signatures, trust, self.settings.resolve, accepted, is_sealed)

    def _public_root(self) -> PublicRoot:
        """The public instance's, kept where caches are: XDG Base Directory Specification, $XDG_CACHE_HOME."""
        kept = self.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
        _, transport = self._connected(urlsplit(PUBLIC).netloc)
        self._transports.append(transport)
        return PublicRoot(transport, Path(kept, "linkerd-mirror", "sigstore"))

    def surveyor(
        self, to: str = "", accept: Mapping[Reference, Digest] | None = None, shard: Shard | None = None
    ) -> Surveyor:
        """Who sees what is where, for one run."""
        return Surveyor(
            self.catalogue(),
            self.source,
            self.mirrors(to),
            self.wanted(accept),
            self.signatures(accept),
            shard or Shard(),
            tuple(accept or ()),
        )

    def doctor(self, configuration: Path | None, warnings: Sequence[str], to: str = "") -> Doctor:
        """Who looks at all of it; *configuration* is the file that was read, *warnings* what was wrong beside it."""
        from mirror.doctor.doctor import Doctor  # late: only its command needs it

        return Doctor(
            self.catalogue(),
            self.source,
            self.mirrors(to),
            self.wanted(),
            self.signatures(),
            find_helm(),
            configuration,
            warnings,
            self.publisher(),
        )

    def syncer(
        self,
        progress: Progress,
        to: str = "",
        accept: Mapping[Reference, Digest] | None = None,
        shard: Shard | None = None,
    ) -> Syncer:
        """One run of a sync."""
        return Syncer(self.surveyor(to, accept, shard), find_helm(), progress)

    async def pruners(self, running: Sequence[Running], to: str = "") -> list[Pruner]:
        """Who prunes each mirror, *running* being what a cluster uses; raises MirrorError where wants are not known."""
        from mirror.retention.policy import Policy
        from mirror.retention.prune import Pruner, asked_for  # late: only its command needs it

        retention = self.settings.retention
        always, starts = (
            [parse_selector(text, channels=self.settings.channels) for text in texts]
            for texts in (retention.always, retention.keep_paths_from)
        )
        wanted = await asked_for(self.catalogue(), self.selectors(()), always, starts)
        policy = Policy(retention.keep, retention.keep_for)
        return [
            Pruner(mirror, mirror.deleter, policy, wanted, running, self.settings.resolve)
            for mirror in self.mirrors(to)
            if mirror.deleter is not None
        ]

    def exporter(self, progress: Progress, to: str, accept: Mapping[Reference, Digest]) -> Exporter:
        """Who packs releases: from the one destination that *to* names where it holds them, else from upstream."""
        from mirror.airgap import Exporter  # late, with what reads and writes archives

        wanted, signatures, mirrors = self.wanted(accept), self.signatures(accept), [self.mirror(to)]
        surveyor = Surveyor(self.catalogue(), self.source, mirrors, wanted, signatures, accepting=tuple(accept))
        return Exporter(surveyor, progress)

    def importer(self, archive: Archive, progress: Progress, to: str, accept: Mapping[Reference, Digest]) -> Importer:
        """Who brings *archive* into the one destination that *to* names."""
        from mirror.airgap import Importer  # late, likewise

        wanted, signatures = self.wanted(accept), self.signatures(accept)
        return Importer(archive, self.mirror(to), wanted, signatures, find_helm(), progress, tuple(accept))

    def publisher(self) -> Publisher | None:
        """Who puts into the cluster what a run has proven; None where nobody is to."""
        wanted = self.settings.overrides.config_maps
        if not wanted.enabled:
            return None
        from mirror.kubernetes.publisher import Publisher  # late, with httpx

        return Publisher(self.environ, wanted.service_account, wanted.namespace, wanted.prefix)


def parse_accepted(texts: Sequence[str]) -> dict[Reference, Digest]:
    """What `--accept REFERENCE@DIGEST` says: the digest that each reference is brought to."""
    accepted = dict[Reference, Digest]()
    for text in texts:
        reference, at, digest = text.rpartition("@")
        if not at:
            raise UsageError(
                f"--accept {text}: expected REFERENCE@DIGEST, as cr.l5d.io/linkerd/proxy:edge-26.8.3@sha256:…"
            )
        parsed = Reference.parse(reference)
        if parsed.digest:
            raise UsageError(f"--accept {text}: {reference} already names a digest, so that nothing could move it")
        accepted[parsed] = Digest.parse(digest)
    return accepted


def _folder(place: str) -> str:
    """The name of a destination that has none: a folder of the overrides."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", place).strip("-.") or "mirror"
