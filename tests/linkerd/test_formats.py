"""What kustomize and containerd are told of a mirror."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from mirror.errors import UsageError
from mirror.linkerd.formats import hosts_files, kustomization, mirrored
from mirror.linkerd.overrides import Heading
from mirror.linkerd.release import Release
from tests.linkerd.shelf import MIRROR, digest_of, holding, pinned

PROXY, PROMETHEUS, PAUSE = (
    "cr.l5d.io/linkerd/proxy:edge-26.8.1",
    "prom/prometheus:v2.55.1",
    "gcr.io/google_containers/pause",
)
HEADING = Heading(Release.parse("edge-26.8.1"), MIRROR, datetime(2026, 8, 1, tzinfo=UTC))
URL = "https://mirror.example:5000/l5d"


def images(*references: str, pin: str = "digest") -> list[dict[str, Any]]:
    """The images transformer of a Component for *references*."""
    located = [holding(reference).located for reference in references]
    component = yaml.safe_load(kustomization(located, pin=pin, heading=HEADING))  # type: ignore[arg-type]
    assert "Component" == component.pop("kind")
    assert "kustomize.config.k8s.io/v1alpha1" == component.pop("apiVersion")
    found: list[dict[str, Any]] = component.pop("images")
    assert {} == component
    return found


def test_kustomize() -> None:
    """Names as charts write them, without a tag; a digest, or the tag."""
    [proxy, pause] = images(PAUSE, PROXY)
    [tagged] = images(PROMETHEUS, pin="tag")

    proxied = {"name": "cr.l5d.io/linkerd/proxy", "newName": f"{MIRROR}/proxy", "digest": str(digest_of(PROXY))}
    assert proxied == proxy
    assert {"name": PAUSE, "newName": f"{MIRROR}/pause", "digest": str(digest_of(PAUSE))} == pause
    assert {"name": "prom/prometheus", "newName": f"{MIRROR}/prometheus", "newTag": "v2.55.1"} == tagged


def test_kustomize_of_one_name_at_two_tags() -> None:
    """Each keeps its tag: neither digest is that of both."""
    assert [{"name": "prom/prometheus", "newName": f"{MIRROR}/prometheus"}] == images(PROMETHEUS, "prom/prometheus:v2")


def test_kustomize_of_nothing() -> None:
    """An empty list."""
    assert [] == images()


def test_containerd() -> None:
    """A hosts.toml for each registry, which has the mirror asked first."""
    paths = {
        PROXY: "cr.l5d.io/linkerd/proxy",
        PROMETHEUS: "docker.io/prom/prometheus",
        "reg:5000/a/b:1": "reg-5000/a/b",
    }
    files = hosts_files(paths, url=URL, remedy="")

    assert {f"{host}/hosts.toml" for host in ("cr.l5d.io", "docker.io", "reg:5000")} == set(files)
    found = {name.partition("/")[0]: tomllib.loads(text)["host"] for name, text in files.items()}
    options = {"capabilities": ["pull", "resolve"], "override_path": True}
    assert {"https://mirror.example:5000/v2/l5d/docker.io": options} == found["docker.io"]
    assert {"https://mirror.example:5000/v2/l5d/reg-5000": options} == found["reg:5000"]


def test_containerd_without_a_prefix() -> None:
    """Right below the registry."""
    files = hosts_files({PROMETHEUS: "docker.io/prom/prometheus"}, url="http://127.0.0.1:5000", remedy="")

    assert ["http://127.0.0.1:5000/v2/docker.io"] == list(tomllib.loads(files["docker.io/hosts.toml"])["host"])


def test_containerd_of_a_flat_mirror() -> None:
    """It would look at another path: refused, with what to do."""
    with pytest.raises(UsageError, match=r"does not find prom/prometheus:v2.55.1 at prometheus: do this"):
        hosts_files({PROMETHEUS: "prometheus"}, url=URL, remedy="do this")


def test_a_list() -> None:
    """Tag and digest, sorted, each once."""
    located = [holding(reference).located for reference in (PROXY, PROMETHEUS, PROXY)]

    assert (pinned(PROMETHEUS), pinned(PROXY)) == mirrored(located)
