"""The walk through the whole job, on loopback alone: what `mirror demo` shows, in its order.

upstream with one image tampered ─► sync: refused by name, the others copied
upstream as it should be         ─► sync: in step, values written, proven if Helm is there
again                            ─► in step, nothing sent
every byte read back             ─► as recorded
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mirror.app import App
from mirror.demo.release import RELEASE
from mirror.demo.upstream import Upstream
from mirror.http.proxies import Proxies
from mirror.linkerd.release import Release
from mirror.report import SyncReport, VerifyReport
from mirror.settings import Settings
from mirror.sync import Progress
from mirror.values import write_file
from mirror.verify import verify

PULL_REGISTRY = "registry.example.com/linkerd"
_TAMPERED = "linkerd/proxy"


@dataclass(frozen=True, slots=True)
class Steps:
    """What the walk tells of as it goes."""

    said: Callable[[str], None]
    synced: Callable[[SyncReport], None]
    verified: Callable[[VerifyReport], None]


async def walk(directory: Path, progress: Progress, steps: Steps) -> bool:
    """Does the whole job below *directory*; whether all went as it should."""
    with Upstream(tamper=_TAMPERED) as upstream:
        app = _app(upstream, directory)
        async with app:
            steps.said(
                f"An upstream on {upstream.registry} serves Linkerd {RELEASE}, signed with a key of its own, and "
                f"alters a layer of {_TAMPERED}."
            )
            tampered = await _sync(app, progress)
            steps.synced(tampered)
            steps.said(
                "The altered image was refused before it got a tag; the others are there. Now upstream is honest."
            )
            upstream.stop_tampering()
            synced = await _sync(app, progress)
            steps.synced(synced)
            steps.said("Again: nothing is sent.")
            again = await _sync(app, progress)
            steps.synced(again)
            steps.said("Every byte is read back from the mirror and hashed, and its signatures are verified.")
            verified = await verify(app.mirrors(), [Release.parse(RELEASE)], app.signatures(), deep=True)
            steps.verified(verified)
    return _is_right(tampered, synced, again, verified)


def _app(upstream: Upstream, directory: Path) -> App:
    key = directory / "cosign.pub"
    write_file(key, upstream.release.public_key.decode())
    settings = Settings.model_validate(
        {
            **upstream.configuration,
            "policy": {"identities": [{"images": "ghcr.io/linkerd/*", "key": str(key)}]},
            "destinations": {
                "demo": {
                    "kind": "layout",
                    "directory": str(directory / "mirror"),
                    "pull_registry": PULL_REGISTRY,
                }
            },
            "overrides": {"directory": str(directory / "overrides")},
        }
    )
    return App(settings, {}, Proxies())


async def _sync(app: App, progress: Progress) -> SyncReport:
    return await app.syncer(progress).sync([Release.parse(RELEASE)])


def _is_right(tampered: SyncReport, synced: SyncReport, again: SyncReport, verified: VerifyReport) -> bool:
    failed = [image.reference for image in tampered.releases[0].images if image.outcome == "failed"]
    return (
        len(failed) == 1
        and _TAMPERED in failed[0]
        and [synced.exit_code, again.exit_code, verified.exit_code] == [0, 0, 0]
        and again.releases[0].outcome == "in_step"
    )
