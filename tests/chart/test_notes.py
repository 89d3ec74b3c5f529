"""NOTES.txt: what was installed, whether it works, and what is risky, in few lines."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chart.everything import EVERYTHING
from tests.chart.render import DESTINATION, KINDS, manifests, of_kind
from tests.chart.values import CHART

FINE: Mapping[str, Any] = {"config": {"destinations": {"production": DESTINATION}}}


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart, with its notes as a manifest: `helm template` prints none."""
    chart = tmp_path_factory.mktemp("notes") / "mirror"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "told.yaml").write_text(
        'apiVersion: v1\nkind: Notes\ntext: {{ include "mirror/templates/NOTES.txt" . | toJson }}\n'
    )
    return chart


def notes(chart: Path, values: Mapping[str, Any]) -> str:
    found: str = of_kind("Notes", manifests(values, chart=chart))["text"]
    return found


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("Deployment", "exec deploy/r-mirror -- mirror --config /etc/mirror/config.toml doctor"),
        ("CronJob", "create job --from=cronjob/r-mirror"),
        ("Job", "logs -l app.kubernetes.io/instance=r,app.kubernetes.io/name=mirror --tail=-1"),
    ],
)
def test_what_to_do_next(telling: Path, kind: str, command: str) -> None:
    """They say how it runs and the one command that shows that it works; there is nothing to warn of."""
    told = notes(telling, {**FINE, "kind": kind})

    assert f"kubectl -n linkerd-mirror {command}" in told
    assert "WARNING" not in told


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "linkerd-mirror: a sync every 6h, the first one now"),
        ({"config": {"schedule": {"cron": "17 3 * * *"}}}, "linkerd-mirror: 17 3 * * *, the first one now"),
        ({"existingConfigMap": "mine"}, "linkerd-mirror: on the schedule of mine, the first one now"),
    ],
)
def test_schedule(telling: Path, values: dict[str, Any], said: str) -> None:
    """It is that of the configuration; where the chart does not make that, it does not guess."""
    assert said in notes(telling, values)


@pytest.mark.parametrize("kind", KINDS)
def test_short(telling: Path, kind: str) -> None:
    """They are 15 lines or fewer, whatever there is to warn of."""
    worst = {**EVERYTHING, "kind": kind, "config": {"policy": {"signatures": "off"}}, "existingConfigMap": "mine"}

    assert len(notes(telling, worst).splitlines()) <= 15


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        ({}, "config.destinations is empty, so there is no registry to mirror into: the pod ends at once"),
        ({"kind": "CronJob"}, "config.destinations is empty, so there is no registry to mirror into: each sync fills"),
        ({"kind": "CronJob", "serviceMonitor": {"enabled": True}}, "are of kind Deployment alone"),
        ({"ingress": {"enabled": True, "hosts": [{"host": "x.example.com"}]}}, "nobody is asked who they are"),
        ({"service": {"type": "LoadBalancer"}}, "nobody is asked who they are"),
        ({"config": {"policy": {"signatures": "off"}}}, "policy.signatures is off"),
    ],
)
def test_warnings(telling: Path, values: dict[str, Any], warned: str) -> None:
    """What is risky, or asked for in vain, is said."""
    (line,) = [line for line in notes(telling, values).splitlines() if warned in line]

    assert line.startswith("WARNING: ")
