"""What is put into a cluster for which report."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import KubernetesError
from mirror.kubernetes.config_maps import SIZE_MAX, ConfigMap, config_maps, is_proven
from mirror.oci.content import Digest
from mirror.plan import Target
from mirror.report import ImageReport, ReleaseReport

PROVEN = ReleaseReport(
    "Production",
    "edge-26.8.3",
    proof="proven",
    values={"linkerd-viz": "b: 2\n", "linkerd-control-plane": "a: 1\n"},
    recorded_at=datetime(2026, 8, 2, 12, 0, 0, 500, UTC),
)
IMAGE = ImageReport("ghcr.io/l/proxy:v1", "r/proxy:v1", Target("proxy", "v1"), "kept", Digest.of(b""))


def test_of_a_release() -> None:
    """A key for each chart; labels say what it is of, and what never changes of itself is in it."""
    [own] = config_maps(PROVEN, {}, "linkerd-mirror")

    assert "linkerd-mirror-production-edge-26.8.3" == own.name
    assert ["linkerd-control-plane.yaml", "linkerd-viz.yaml"] == list(own.data)
    assert "b: 2\n" == own.data["linkerd-viz.yaml"]
    assert {
        "app.kubernetes.io/managed-by": "mirror",
        "reconcile.fluxcd.io/watch": "Enabled",
        "linkerd-mirror.dev/destination": "Production",
        "linkerd-mirror.dev/release": "edge-26.8.3",
    } == own.labels
    assert {"linkerd-mirror.dev/recorded-at": "2026-08-02T12:00:00+00:00"} == own.annotations


def test_of_a_channel() -> None:
    """The newest release of a channel is there by the channel's name too."""
    own, channel = config_maps(PROVEN, {"edge": "edge-26.8.3", "stable": "stable-2.14.10"}, "linkerd-mirror")

    assert "linkerd-mirror-production-edge" == channel.name
    assert own.data == channel.data
    assert {**own.labels, "linkerd-mirror.dev/channel": "edge"} == channel.labels


def test_of_an_older_release() -> None:
    """A release that is not its channel's newest moves no channel."""
    assert 1 == len(config_maps(PROVEN, {"edge": "edge-26.8.4"}, "linkerd-mirror"))


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (PROVEN, True),
        (replace(PROVEN, images=(IMAGE,)), True),
        (replace(PROVEN, proof="not proven"), False),
        (replace(PROVEN, proof="failed"), False),
        (replace(PROVEN, values={}), False),
        (replace(PROVEN, problem="the disk is full"), False),
        (replace(PROVEN, images=(IMAGE, replace(IMAGE, outcome="refused"))), False),
        (replace(PROVEN, images=(replace(IMAGE, outcome="failed"),)), False),
        (replace(PROVEN, images=(replace(IMAGE, is_compared=False),)), False),
    ],
)
def test_proven(report: ReleaseReport, expected: bool) -> None:
    """Only what is in step, whole and proven is."""
    assert expected == is_proven(report)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.text()))
def test_what_is_applied(values: dict[str, str]) -> None:
    """Read as YAML, it is what it was, whatever that was."""
    [own] = config_maps(replace(PROVEN, values={**values, "z": "😀\u2028\x85 \x7f"}), {}, "linkerd-mirror")
    raw = own.manifest()

    assert own.data == yaml.safe_load(raw)["data"]
    assert raw.isascii()


def test_too_large() -> None:
    """More than a ConfigMap holds is told before anybody is asked, with how much it is."""
    half = "x" * (SIZE_MAX // 2)

    assert ConfigMap("a", {}, {}, {"a.yaml": half, "b.yaml": half})
    with pytest.raises(KubernetesError, match="the values for a are 1048577 bytes, and a ConfigMap holds 1048576"):
        ConfigMap("a", {}, {}, {"a.yaml": half, "b.yaml": half + "x"})


def test_too_long() -> None:
    """A name that no cluster takes is told likewise, with what to shorten."""
    with pytest.raises(KubernetesError, match=r"254 characters long.*253 at most: choose a shorter overrides"):
        ConfigMap("a" * 254, {}, {}, {})
