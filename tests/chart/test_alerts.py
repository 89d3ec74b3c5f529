"""The chart's alerts and dashboard: they fire when they should, and ask for nothing that is not told."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.tools import require
from tests.service.metrics_page import page

FILES = Path(__file__).parents[2] / "helm" / "mirror" / "files"
ALERTS = FILES / "alerts.yaml"
TESTS = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text())
_METRIC = re.compile(r"\b(?:mirror|process|python)_[a-z0-9_]+\b(?![\"'])")


def _panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def _queries() -> list[str]:
    return [target["expr"] for panel in _panels() for target in panel["targets"]]


def _told() -> set[str]:
    """Every name that a series of the metrics page has."""
    names = set()
    for name, kind in re.findall(r"^\| `([a-z0-9_]+)` \| ([a-z]+) \|", page(), re.MULTILINE):
        endings = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}.get(kind, ("",))
        names |= {name + ending for ending in endings}
    return names


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should(file: Path) -> None:
    """And not when they should not: `promtool test rules`."""
    promtool = require("promtool")
    tested = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False, timeout=120)

    assert 0 == tested.returncode, tested.stdout + tested.stderr


def test_every_alert_is_tested() -> None:
    """With a moment at which it fires, in each of its severities, and one at which it does not."""
    fires, is_quiet = set(), set()
    for test in (test for file in TESTS for test in yaml.safe_load(file.read_text())["tests"]):
        for moment in test["alert_rule_test"]:
            expected = moment.get("exp_alerts", ())
            fires |= {(moment["alertname"], each["exp_labels"]["severity"]) for each in expected}
            is_quiet |= {moment["alertname"]} if not expected else set()

    assert {(rule["alert"], rule["labels"]["severity"]) for rule in RULES} == fires
    assert {rule["alert"] for rule in RULES} == is_quiet


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_what_is_to_be_done(rule: dict[str, Any]) -> None:
    """How bad it is, in one fixed sentence and one with what it is about, and where to read on."""
    notes = rule["annotations"]

    assert {"alert", "expr", "for", "labels", "annotations"} == set(rule)
    assert {"summary", "description", "runbook_url"} == set(notes)
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert "{{" not in notes["summary"]
    assert notes["summary"].endswith(".")
    assert f"#{rule['alert'].lower()}" == notes["runbook_url"]


def test_alerts_and_dashboard_ask_for_what_is_told() -> None:
    """A metric that is renamed is renamed in all of them."""
    asked = {name for query in [*(rule["expr"] for rule in RULES), *_queries()] for name in _METRIC.findall(query)}

    assert set() == asked - _told()
    assert asked


def test_the_dashboard_s_queries_are_queries(tmp_path: Path) -> None:
    """As promtool reads them, with what Grafana puts in filled in."""
    promtool = require("promtool")
    filled = [query.replace("$job", ".*").replace("$__rate_interval", "5m") for query in _queries()]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(filled)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)

    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_the_dashboard() -> None:
    """Is found by its name after an upgrade, shows any data source, and is small enough for a ConfigMap."""
    [source, *_] = DASHBOARD["templating"]["list"]
    sources = {json.dumps(each["datasource"]) for panel in _panels() for each in (panel, *panel["targets"])}
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]

    assert "linkerd-mirror" == DASHBOARD["uid"]
    assert ("datasource", "prometheus") == (source["type"], source["query"])
    assert {'{"type": "prometheus", "uid": "${datasource}"}'} == sources
    assert len(numbers) == len(set(numbers)) == len(set(places))
    assert all(panel["title"] and panel["description"] for panel in _panels())
    assert (FILES / "dashboard.json").stat().st_size < 100_000


def test_the_dashboard_s_first_row_says_whether_all_is_fine() -> None:
    """Since when, and what is next."""
    first = [panel["title"] for panel in _panels() if panel["gridPos"]["y"] == 1]

    assert ["Releases not in step", "Proven in step", "Next run in"] == first[:3]
