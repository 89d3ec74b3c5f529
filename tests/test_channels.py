"""Channels that an operator adds: other charts than Linkerd's own, from other chart repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror.linkerd.parts import Chart
from mirror.settings import Settings
from tests.linkerd import charts
from tests.runs import only, sync
from tests.servers.fake import FakeRegistry
from tests.servers.tools import require
from tests.servers.upstream import RELEASE, Upstream, two_platforms, upstream_server

SMI = "linkerd-smi"
FAILOVER = "linkerd-failover"
ENTERPRISE = ("linkerd-enterprise-control-plane", "linkerd-enterprise-crds", "linkerd-enterprise-multicluster")


def image_line(path: str) -> str:
    return f"image: {{{{.Values.{path}.registry}}}}/{{{{.Values.{path}.name}}}}:{{{{.Values.{path}.tag}}}}"


def values(name: str, tag: str) -> dict[str, Any]:
    return {"image": {"registry": "cr.l5d.io/linkerd", "name": name, "tag": tag}}


# The lines that name images in linkerd/linkerd-smi charts/linkerd-smi and linkerd/linkerd-failover charts/
def smi(version: str, app_version: str) -> Chart:
    return charts.chart(
        SMI,
        version,
        {"adaptor": values("smi-adaptor", app_version), "namespaceMetadata": values("extension-init", "v0.1.0")},
        {
            "templates/adaptor.yaml": charts.deployment("adaptor", [image_line("adaptor.image")]),
            "templates/namespace-metadata.yaml": charts.deployment("metadata", [image_line("namespaceMetadata.image")]),
        },
        app_version=app_version,
    )


def failover(version: str) -> Chart:
    return charts.chart(
        FAILOVER,
        version,
        {**values("failover", version), "namespaceMetadata": values("extension-init", "v0.1.0")},
        {
            "templates/deployment.yaml": charts.deployment(
                "failover", [image_line("image"), image_line("namespaceMetadata.image")]
            )
        },
        app_version=version,
    )


def enterprise(name: str, version: str, *, app_version: str = "") -> Chart:
    has_images = name != "linkerd-enterprise-crds"
    templates = {"templates/one.yaml": charts.deployment("one", ["image: {{.Values.controllerImage}}:{{.Values.tag}}"])}
    return charts.chart(
        name,
        version,
        {"controllerImage": "ghcr.io/buoyantio/controller", "tag": app_version or f"enterprise-{version}"}
        if has_images
        else {},
        templates if has_images else {},
        app_version=app_version,
    )


def publish(upstream: Upstream, *made: Chart) -> None:
    """The chart repository has *made*, the newest first, and the registry their images."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for chart in made:
        file = f"{chart.name}-{chart.version}.tgz"
        upstream.charts.files[file] = chart.archive
        entries.setdefault(chart.name, []).append(charts.entry(chart, "2026-08-01T12:00:00Z", file))
    upstream.charts.files["index.yaml"] = charts.index(entries).encode()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream that has images of extensions, and no chart yet."""
    with upstream_server() as running:
        for name in ("smi-adaptor:v0.2.7", "smi-adaptor:v0.2.6", "extension-init:v0.1.0", "failover:0.1.3"):
            running.put(f"cr.l5d.io/linkerd/{name}", two_platforms(name))
        for version in ("2.19.4", "2.20.2", "2.20.2-1"):
            image = two_platforms(version)
            running.registry.add("buoyantio/controller", image, f"enterprise-{version}")
        yield running


def settings(upstream: Upstream, fake: FakeRegistry, tmp_path: Path, channel: str, *names: str) -> Settings:
    """A channel of *names*, into the fake."""
    return upstream.settings(
        channels={channel: {"chart_repository": upstream.charts.url, "charts": list(names)}},
        destinations={"test": {"kind": "registry", "registry": fake.host, "prefix": "l5d"}},
        overrides={"directory": str(tmp_path / "overrides")},
        charts=["linkerd-control-plane"],  # is said of Linkerd's own
    )


def chosen(report: Any) -> dict[str, str]:
    return {chart.name: chart.version for chart in only(report).charts}


async def test_smi(upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
    """Its releases are the versions of its chart; images, values and proof are as for Linkerd's own."""
    publish(upstream, smi("1.0.4", "v0.2.7"), smi("1.0.3", "v0.2.6"))
    wanted = settings(upstream, fake, tmp_path, "smi", SMI)
    newest = await sync(wanted, "smi", helm=require("helm"))
    exact = await sync(wanted, "smi-1.0.3")
    again = await sync(wanted, "smi-1.0.3")

    assert ("smi-1.0.4", "proven") == (only(newest).release, only(newest).proof)
    names = ["cr.l5d.io/linkerd/extension-init:v0.1.0", "cr.l5d.io/linkerd/smi-adaptor:v0.2.7"]
    assert names == [image.reference for image in only(newest).images]
    assert ({SMI: "1.0.4"}, {SMI: "1.0.3"}) == (chosen(newest), chosen(exact))
    assert ("synced", "in_step") == (only(exact).outcome, only(again).outcome)
    text = Path(only(newest).overrides[0]).read_text()
    assert f"oci://{fake.host}/l5d/charts/{SMI} --plain-http --version 1.0.4" in text
    assert f'registry: "{fake.host}/l5d"' in text


async def test_failover_beside_linkerds_own(upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
    """Out of the repository that has Linkerd's too: each channel has its own charts."""
    upstream.publish()
    own = dict(upstream.charts.files)
    made = failover("0.1.3")
    publish(upstream, made)
    entry = upstream.charts.files["index.yaml"].decode().partition("entries:\n")[2].partition("generated")[0]
    index = own["index.yaml"].decode().replace("entries:\n", f"entries:\n{entry}")
    upstream.charts.files |= own | {"index.yaml": index.encode()}
    wanted = settings(upstream, fake, tmp_path, "failover", FAILOVER)
    report = await sync(wanted, "failover")
    linkerds = await sync(wanted, RELEASE)

    assert ("failover-0.1.3", {FAILOVER: "0.1.3"}) == (only(report).release, chosen(report))
    assert 0 == report.exit_code
    assert {"linkerd-control-plane": "2026.8.1"} == chosen(linkerds)


async def test_enterprise(upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
    """Releases are `enterprise-` and the version; a chart that a release lacks is left out."""
    older_charts = (enterprise(name, "2.19.4") for name in ENTERPRISE[:2])
    publish(upstream, *(enterprise(name, "2.20.2") for name in ENTERPRISE), *older_charts)
    wanted = settings(upstream, fake, tmp_path, "enterprise", *ENTERPRISE)
    newest, older = await sync(wanted, "enterprise"), await sync(wanted, "enterprise-2.19.4")

    assert "enterprise-2.20.2" == only(newest).release
    assert dict.fromkeys(ENTERPRISE, "2.20.2") == chosen(newest)
    assert dict.fromkeys(ENTERPRISE[:2], "2.19.4") == chosen(older)
    assert ["ghcr.io/buoyantio/controller:enterprise-2.20.2"] == [image.reference for image in only(newest).images]
    assert (0, 0) == (newest.exit_code, older.exit_code)


async def test_enterprise_by_its_app_version(upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
    """Where that names the channel, it counts, whatever versions the charts have."""
    versions = dict(zip(ENTERPRISE, ("3.0.1", "1.8.0", "3.0.0"), strict=True))
    made = (enterprise(name, version, app_version="enterprise-2.20.2") for name, version in versions.items())
    publish(upstream, *made, enterprise(ENTERPRISE[1], "3.0.1"))
    report = await sync(settings(upstream, fake, tmp_path, "enterprise", *ENTERPRISE), "enterprise")

    assert "enterprise-2.20.2" == only(report).release
    assert versions == chosen(report)
    assert 0 == report.exit_code


async def test_a_later_build(upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
    """`2.20.2-1` is newer than `2.20.2`, and chosen for the channel."""
    publish(upstream, *(enterprise(name, version) for version in ("2.20.2", "2.20.2-1") for name in ENTERPRISE))
    report = await sync(settings(upstream, fake, tmp_path, "enterprise", *ENTERPRISE), "enterprise")

    assert "enterprise-2.20.2-1" == only(report).release
    assert dict.fromkeys(ENTERPRISE, "2.20.2-1") == chosen(report)


async def test_what_a_release_of_it_cannot_be(upstream: Upstream, fake: FakeRegistry, tmp_path: Path) -> None:
    """A version that is no release is passed over."""
    publish(upstream, smi("1.0.4", "v0.2.7"), smi("1.0.5+a.build", "v0.2.7"))
    report = await sync(settings(upstream, fake, tmp_path, "smi", SMI), "smi")

    assert "smi-1.0.4" == only(report).release
