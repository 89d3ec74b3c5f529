"""What a sync needs of the machine that it runs on: Helm, and directories that can be written to."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mirror.doctor import diagnosis
from mirror.errors import HelmError
from mirror.findings import Finding
from mirror.linkerd.helm import helm_version


async def helm(program: str | None) -> Finding:
    """Whether values can be proven with *program*."""
    if program is None:
        return Finding(
            "helm",
            "version",
            "warning",
            "there is none on PATH: values are written, and not proven",
            "install Helm 3 or newer: https://helm.sh/docs/intro/install/",
        )
    try:
        version = await helm_version(program)
    except HelmError as exc:
        return Finding("helm", "version", "failed", f"{program}: {exc}", "install Helm anew, or take it off PATH")
    return Finding("helm", "version", "ok", f"{program} is {version}")


async def directory(subject: str, path: Path) -> Finding:
    """Whether files can be made in *path*, or where it is to be; nothing is left there."""
    return await asyncio.to_thread(_writable, subject, path)


async def layout(subject: str, path: Path) -> Sequence[Finding]:
    """Whether a layout can be written to *path*."""
    writable = await directory(subject, path)
    if writable.state == "failed":
        return [writable]
    usage = await asyncio.to_thread(shutil.disk_usage, _that_exists(path))
    return [writable, diagnosis.space(subject, usage.free, where=str(path))]


def _writable(subject: str, path: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=_that_exists(path)):
            pass
    except OSError as exc:
        told = f"nothing can be written to {path}: {exc.strerror}"
        return Finding(subject, "writable", "failed", told, "make it writable, or choose another directory")
    told = f"{path} can be written to" if path.is_dir() else f"{path} can be made"
    return Finding(subject, "writable", "ok", told)


def _that_exists(path: Path) -> Path:
    """*path*, or the nearest above it that is there."""
    whole = path.absolute()
    return next(each for each in (whole, *whole.parents) if each.exists())
