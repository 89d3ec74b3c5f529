"""Puts what a run has proven into the cluster, and tells in the run's report what could not be put there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from mirror.errors import TEMPORARY_STATUSES, KubernetesError, MirrorError, Unreachable
from mirror.findings import Finding
from mirror.http.gate import Gate
from mirror.http.general import GeneralClient
from mirror.http.proxies import Proxies
from mirror.http.transport import Transport
from mirror.kubernetes.api import Access, Api
from mirror.kubernetes.config_maps import ConfigMap, config_maps, is_proven, rehearsal
from mirror.report import ReleaseReport, SyncReport

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Publisher:
    """Keeps ConfigMaps whose names begin with *prefix* in *namespace*, where it is empty in the pod's own."""

    environ: Mapping[str, str]
    directory: Path
    """Where the ServiceAccount's token, namespace and authority are."""
    namespace: str
    prefix: str
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def access(self) -> Access:
        """What is known of the cluster now; raises UsageError outside of one."""
        return Access.in_cluster(self.environ, self.directory, self.namespace)

    async def publish(self, report: SyncReport, newest: Mapping[str, str]) -> SyncReport:
        """*report*, with the problems of releases whose values could not be put into the cluster; raises nothing.

        By channel, *newest* is the release whose values the channel's ConfigMap is to hold.
        """
        try:
            async with self._api() as api:
                return replace(report, releases=await self._all(api, report, newest))
        except MirrorError as exc:  # nobody can be asked
            return replace(report, releases=tuple(_failed(each, exc) for each in report.releases))

    async def examine(self) -> Finding:
        """Whether ConfigMaps would be let in; nothing is written."""
        subject, check = "config maps", "apply"
        try:
            async with self._api() as api:
                await api.rehearse(rehearsal(self.prefix))
                where = f"the namespace {api.access.namespace}"
        except KubernetesError as exc:
            return Finding(subject, check, "failed", exc.told, exc.remedy or "ask who runs the cluster")
        except Unreachable as exc:
            remedy = "see that a NetworkPolicy lets this pod reach the API server"
            return Finding(subject, check, "failed", str(exc), remedy)
        except MirrorError as exc:
            return Finding(subject, check, "failed", str(exc), "run this in the pod that is to write them")
        return Finding(subject, check, "ok", f"the values of what is proven can be written to {where}")

    @asynccontextmanager
    async def _api(self) -> AsyncIterator[Api]:
        access = self.access()
        async with Transport(GeneralClient(str(access.ca_file), proxies=Proxies()), Gate(1), self.sleep) as transport:
            yield Api(access, transport)

    async def _all(self, api: Api, report: SyncReport, newest: Mapping[str, str]) -> tuple[ReleaseReport, ...]:
        """Each release's report; a server that is not reached, or has too much to do, is not asked for the rest."""
        done, gone = list[ReleaseReport](), None
        for each in report.releases:
            if gone is not None or not is_proven(each):
                done.append(_failed(each, gone) if gone else _left(each))
                continue
            try:
                for config_map in config_maps(each, newest, self.prefix):
                    await _applied(api, config_map, each)
                done.append(each)
            except MirrorError as exc:
                gone = exc if _is_of_all(exc) else None
                done.append(_failed(each, exc))
        return tuple(done)


def _left(report: ReleaseReport) -> ReleaseReport:
    """*report*, which says why the cluster has what it had, if anybody could think otherwise."""
    if not report.values and report.exit_code == 0:
        return report  # there are none to be written: a layout that nobody pulls from
    why = "the release is not in step" if report.exit_code else "its values are not proven"
    return replace(report, notes=(*report.notes, f"its ConfigMap is left as it was: {why}"))


def _is_of_all(exc: MirrorError) -> bool:
    """Whether the next request would meet *exc* too, maybe after as long a wait."""
    if isinstance(exc, KubernetesError):
        return exc.status == 401 or exc.status in TEMPORARY_STATUSES
    return isinstance(exc, Unreachable)


async def _applied(api: Api, config_map: ConfigMap, report: ReleaseReport) -> None:
    is_new = await api.apply(config_map)
    tell = log.info if is_new else log.debug
    tell(
        "config_maps.created" if is_new else "config_maps.applied",
        namespace=api.access.namespace,
        name=config_map.name,
        destination=report.destination,
        release=report.release,
    )


def _failed(report: ReleaseReport, exc: MirrorError) -> ReleaseReport:
    """*report* with *exc* as its problem, where its values were to be written."""
    if not is_proven(report):
        return report
    log.error("config_maps.failed", destination=report.destination, release=report.release, reason=str(exc))
    return replace(report, problem=f"the values are not in the cluster: {exc}")
