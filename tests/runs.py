"""Runs of the program in this process, and what came of them; without Helm, without the machine's configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mirror.airgap import held_images
from mirror.app import App, parse_accepted
from mirror.cli.progress import QuietProgress
from mirror.cluster.running import Running
from mirror.destinations.provider import Provider
from mirror.findings import DoctorReport
from mirror.http.proxies import Proxies
from mirror.oci.archive import Archive
from mirror.oci.pack import Pack, lacking
from mirror.report import ExportReport, PlanReport, ReleaseReport, SyncReport, VerifyReport
from mirror.retention.prune import PruneReport
from mirror.retention.prune import prune as prune_mirrors
from mirror.settings import Settings
from mirror.shard import Shard
from mirror.sync import Syncer
from mirror.verify import verify as verify_mirrors
from tests.servers.distribution import Distribution

NOW = datetime(2026, 8, 2, 12, tzinfo=UTC)


async def sync(
    settings: Settings,
    *releases: str,
    to: str = "",
    accept: Sequence[str] = (),
    refresh: bool = False,
    helm: str | None = None,
    now: datetime = NOW,
    shard: Shard | None = None,
) -> SyncReport:
    """What `mirror sync` reports."""
    async with App(settings, {}, Proxies()) as app:
        surveyor = app.surveyor(to, parse_accepted(accept), shard)
        syncer = Syncer(surveyor, helm, QuietProgress(), now=lambda: now)
        return await syncer.sync(app.selectors(releases), refresh=refresh)


async def plan(settings: Settings, *releases: str, to: str = "", refresh: bool = False) -> PlanReport:
    """What `mirror plan` reports."""
    async with App(settings, {}, Proxies()) as app:
        surveyor = app.surveyor(to)
        return await surveyor.estimate(await surveyor.plan(app.selectors(releases), refresh=refresh))


async def examine(
    settings: Settings,
    *releases: str,
    to: str = "",
    fix: bool = False,
    provider: Provider | None = None,
    environ: Mapping[str, str] | None = None,
    **parts: Any,
) -> DoctorReport:
    """What `mirror doctor` reports; *provider* and *parts* are in the place of the doctor's own."""
    async with App(settings, environ or {}, Proxies()) as app:
        doctor = replace(app.doctor(None, (), to), **{"helm": None} | parts)
        if provider:
            doctor = replace(doctor, mirrors=[replace(each, provider=provider) for each in doctor.mirrors])
        known = await doctor.look(app.selectors(releases))
        repaired = await doctor.repair(known) if fix else ()
        return replace(await doctor.examine(known), repaired=repaired)


async def verify(settings: Settings, *releases: str, to: str = "", deep: bool = False) -> VerifyReport:
    """What `mirror verify` reports."""
    async with App(settings, {}, Proxies()) as app:
        return await verify_mirrors(app.mirrors(to), await app.recordable(releases), app.signatures(), deep=deep)


def only(report: SyncReport) -> ReleaseReport:
    """The one release at the one destination of *report*."""
    [release] = report.releases
    return release


def outcomes(release: ReleaseReport) -> dict[str, str]:
    """The outcome of each image, by the last segment of its repository."""
    return {image.place.path.rpartition("/")[2]: image.outcome for image in release.images}


def reasons(release: ReleaseReport) -> dict[str, str]:
    """What is said of each image, by the last segment of its repository; nothing where nothing is."""
    return {image.place.path.rpartition("/")[2]: image.reason for image in release.images if image.reason}


def asked(distribution: Distribution, path: str) -> list[str]:
    """`METHOD /path` of every request below *path* that docker-registry has answered, by its access log."""
    lines = re.findall(r'"([A-Z]+) (/v2/\S*) HTTP/1\.1" \d+', distribution.log.read_text(errors="replace"))
    return [f"{method} {target}" for method, target in lines if target.startswith(f"/v2/{path}/")]


async def prune(
    settings: Settings, *, to: str = "", yes: bool = False, running: Sequence[Running] = (), now: datetime = NOW
) -> PruneReport:
    """What `mirror prune` reports."""
    async with App(settings, {}, Proxies()) as app:
        pruners = [replace(each, now=lambda: now) for each in await app.pruners(running, to)]
        return await prune_mirrors(pruners, is_confirmed=yes)


async def export(settings: Settings, file: Path, *releases: str, to: str = "", since: str = "") -> ExportReport:
    """What `mirror export` reports; *file* is there if all went well."""
    async with App(settings, {}, Proxies()) as app:
        exporter, pack = app.exporter(QuietProgress(), to, {}), Pack(file.name)
        report = await exporter.pack(app.selectors(releases), pack)
        if report.exit_code:
            return report
        held = await exporter.held_there(pack, held_images(since, where="a test")) if since else {}
        left_out = lacking(pack.needed, held)
        with file.open("wb") as out:
            await pack.write(out, left_out=left_out, on_bytes=lambda _count: None)
        return replace(report, size=file.stat().st_size, left_out=pack.weight(left_out))


async def bring(
    settings: Settings, file: Path, *, to: str = "", accept: Sequence[str] = (), helm: str | None = None
) -> SyncReport | PlanReport:
    """What `mirror import` reports."""
    async with App(settings, {}, Proxies()) as app:
        with file.open("rb") as opened:
            importer = app.importer(Archive(opened, file.name), QuietProgress(), to, parse_accepted(accept))
            return await replace(importer, helm=helm).bring()
