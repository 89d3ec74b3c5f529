"""Helm, asked what helm/mirror renders; the same question is asked once."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.chart.values import CHART
from tests.servers.tools import require

Manifest = Mapping[str, Any]

KINDS = ("Deployment", "CronJob", "Job")
DESTINATION = {"kind": "registry", "registry": "registry.example.com:5000", "prefix": "linkerd"}


class Refused(Exception):
    """Helm renders nothing; its words."""


def rendered(values: Mapping[str, Any] | None = None, *options: str, chart: Path = CHART) -> str:
    """What `helm template` prints for *values*; raises Refused."""
    return _rendered(as_yaml(values or {}), options, chart)


def manifests(values: Mapping[str, Any] | None = None, *options: str, chart: Path = CHART) -> list[Manifest]:
    """The manifests of that."""
    loaded = yaml.load_all(
        rendered(values, *options, chart=chart), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    return [manifest for manifest in loaded if manifest]


def of_kind(kind: str, found: list[Manifest]) -> Manifest:
    """The one manifest of *kind*."""
    (manifest,) = [each for each in found if each["kind"] == kind]
    return manifest


def pod_templates(found: list[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    """Each manifest that makes pods, with what they are made by: `metadata` and `spec`."""
    for each in found:
        match each["kind"]:
            case "Deployment" | "Job":
                yield each, each["spec"]["template"]
            case "CronJob":
                yield each, each["spec"]["jobTemplate"]["spec"]["template"]
            case "Pod":
                yield each, each


def as_yaml(values: Any) -> str:
    """*values* as JSON that YAML 1.1 reads alike, whatever characters they hold."""
    text = json.dumps(values, ensure_ascii=False)
    return re.sub(r"[^\x20-\x7e]", lambda found: f"\\U{ord(found[0]):08x}", text)


def helm(*arguments: str) -> str:
    """What Helm prints, knowing nothing of this machine; raises Refused."""
    with tempfile.TemporaryDirectory() as directory:
        homes = dict.fromkeys(("HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"), directory)
        done = subprocess.run(
            [require("helm"), *arguments], capture_output=True, text=True, check=False, timeout=60, env=homes
        )
    if done.returncode:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


@cache
def _rendered(values: str, options: tuple[str, ...], chart: Path) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(values)
        file.flush()
        return helm("template", "r", str(chart), "--namespace", "linkerd-mirror", "--values", file.name, *options)
