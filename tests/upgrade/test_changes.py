"""What changes at a hop: what comparing the real charts' image lines finds, era by era."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from mirror.linkerd.images import release_images
from mirror.linkerd.parts import Chart
from mirror.linkerd.release import Release
from mirror.linkerd.versions import COPY
from mirror.oci.content import Platform
from mirror.oci.reference import Reference
from mirror.upgrade.changes import Change, Edition, changes, to_look_at
from tests.linkerd.charts import chart, charts_of, deployment

# kubeVersion of the charts, as their Chart.yaml has it
KUBERNETES = {
    "stable-2.10.2": ">=1.16.0-0",
    "stable-2.11.5": ">=1.17.0-0",
    "stable-2.12.6": ">=1.21.0-0",
    "stable-2.14.10": ">=1.21.0-0",
    "edge-24.8.2": ">=1.22.0-0",
    "edge-24.11.8": ">=1.22.0-0",
    "edge-25.8.3": ">=1.23.0-0",
    "edge-25.10.7": ">=1.23.0-0",
    "edge-26.8.3": ">=1.31.0-0",
}
OURS = "cr.l5d.io/linkerd/"


@functools.cache
def edition(name: str) -> Edition:
    charts = tuple(replace(each, kube_version=KUBERNETES[name]) for each in charts_of(name))
    return made(name, *charts)


def made(name: str, *charts: Chart) -> Edition:
    release = Release.parse(name)
    return Edition(release, COPY.of(release), charts, release_images(charts))


def told(before: Edition, after: Edition, kind: str) -> list[str]:
    """Of the changes of *kind*, each with its subject."""
    found = [change for change in changes(before, after) if change.kind == kind]
    return [": ".join(filter(None, (each.chart or each.image.removeprefix(OURS), each.told))) for each in found]


SPLIT = (
    "linkerd2: is split into linkerd-crds and linkerd-control-plane; no upgrade by Helm makes one of the other: its "
    "resources are given to the new charts' releases first, as https://linkerd.io/2.12/tasks/upgrade/ shows"
)
GONE = "gone from the chart: "
IGNORED = "; a value there is silently ignored"


@pytest.mark.parametrize(
    ("before", "after", "kind", "expected"),
    [
        ("stable-2.11.5", "stable-2.12.6", "chart_split", [SPLIT]),
        ("stable-2.11.5", "stable-2.12.6", "chart_appeared", []),
        ("stable-2.11.5", "stable-2.12.6", "chart_vanished", []),
        ("edge-25.8.3", "edge-25.10.7", "chart_vanished", ["linkerd-jaeger: not in edge-25.10.7 any more"]),
        (
            "stable-2.11.5",
            "stable-2.12.6",
            "chart_versions",
            ["charts are versioned each on its own now (1.9.8), and were as the release is (2.11.5)"],
        ),
        (
            "stable-2.14.10",
            "edge-24.8.2",
            "chart_versions",
            ["charts are versioned by the date now (2024.8.2), and were each on its own (1.16.11)"],
        ),
        ("edge-25.10.7", "edge-26.8.3", "chart_versions", []),
        (
            "edge-25.10.7",
            "edge-26.8.3",
            "kubernetes",
            ["Kubernetes >=1.31.0-0 is needed, and was >=1.23.0-0"],
        ),
        ("stable-2.12.6", "stable-2.14.10", "kubernetes", []),
        (
            "stable-2.11.5",
            "stable-2.12.6",
            "kubernetes_supported",
            ["Linkerd 2.12 supports Kubernetes 1.21 to 1.24, and 2.11 1.17 to 1.23: be on 1.21 to 1.23 for this hop"],
        ),
        (
            "stable-2.10.2",
            "edge-26.8.3",
            "kubernetes_supported",
            ["Linkerd 2.20 supports Kubernetes 1.31 to 1.35, and 2.10 1.16 to 1.23: no version of Kubernetes has both"],
        ),
        (
            "stable-2.10.2",
            "stable-2.11.5",
            "image_appeared",
            [
                "policy-controller: new, at stable-2.11.5, in linkerd2",
                "gcr.io/google_containers/pause: new, at 3.2, in linkerd-multicluster",
            ],
        ),
        (
            "stable-2.10.2",
            "stable-2.11.5",
            "image_replaced",
            [
                (
                    "docker.io/otel/opentelemetry-collector: takes the place of "
                    "docker.io/omnition/opencensus-collector, at 0.43.0; the same value names it"
                )
            ],
        ),
        (
            "edge-25.8.3",
            "edge-25.10.7",
            "image_vanished",
            [
                f"{name}: named by no chart of edge-25.10.7 any more"
                for name in (
                    "jaeger-webhook",
                    "docker.io/jaegertracing/all-in-one",
                    "docker.io/otel/opentelemetry-collector-contrib",
                )
            ],
        ),
        (
            "edge-25.10.7",
            "edge-26.8.3",
            "image_moved",
            ["registry.k8s.io/pause: here now, at 3.2; it was gcr.io/google_containers/pause at 3.2"],
        ),
        (
            "edge-25.10.7",
            "edge-26.8.3",
            "image_tag",
            ["cni-plugin: v1.6.4 becomes v1.7.0-alpha.1", "extension-init: v0.1.7 becomes v0.1.12"],
        ),
        (
            "stable-2.11.5",
            "stable-2.12.6",
            "image_tag",
            [
                "cni-plugin: stable-2.11.5 becomes v1.1.1",
                "proxy-init: v1.5.3 becomes v2.0.0",
                "docker.io/prom/prometheus: v2.19.3 becomes v2.30.3",
            ],
        ),
        (
            "stable-2.11.5",
            "stable-2.12.6",
            "image_hardcoded",
            [
                (
                    "docker.io/curlimages/curl: hard-coded in linkerd-jaeger, linkerd-multicluster and linkerd-viz: "
                    "no value reaches it"
                )
            ],
        ),
        (
            "stable-2.11.5",
            "stable-2.12.6",
            "value_gone",
            [
                f"linkerd-control-plane: {GONE}controllerImageVersion{IGNORED}",
                f"linkerd2-cni: {GONE}cniPluginImage and cniPluginVersion{IGNORED}",
                f"linkerd-viz: {GONE}grafana.image.name, grafana.image.registry and grafana.image.tag{IGNORED}",
            ],
        ),
        (
            "edge-25.10.7",
            "edge-26.8.3",
            "value_gone",
            [f"linkerd-control-plane: {GONE}proxyInit.image.name and proxyInit.image.version{IGNORED}"],
        ),
        (
            "stable-2.14.10",
            "edge-24.8.2",
            "value_ineffective",
            ["linkerd-jaeger: still there, and without effect on any image: webhook.image.version"],
        ),
        (
            "edge-25.10.7",
            "edge-26.8.3",
            "annotation",
            [
                "the annotations config.linkerd.io/init-image and init-image-version have no effect any more",
                (
                    "config.linkerd.io/proxy-version must name no release before this: the init container is of the "
                    "proxy's image now"
                ),
            ],
        ),
        ("edge-25.8.3", "edge-25.10.7", "annotation", []),
        (
            "stable-2.11.5",
            "stable-2.12.6",
            "signature",
            [
                f"{name}: signed from here on"
                for name in (
                    *("cni-plugin", "controller", "debug", "jaeger-webhook", "metrics-api", "proxy", "proxy-init"),
                    *("tap", "web"),
                )
            ],
        ),
        ("stable-2.12.6", "stable-2.14.10", "signature", ["policy-controller: signed from here on"]),
        (
            "edge-25.10.7",
            "edge-26.8.3",
            "signature",
            [
                "cni-plugin: signed by a Sigstore bundle, as cosign 3 does, and no longer in the form of cosign 2",
            ],
        ),
    ],
)
def test_between_real_releases(before: str, after: str, kind: str, expected: list[str]) -> None:
    """All of that kind, and nothing else of it."""
    assert expected == told(edition(before), edition(after), kind)


@pytest.mark.parametrize("name", KUBERNETES)
def test_nothing_changes_between_a_release_and_itself(name: str) -> None:
    """Whatever the era."""
    assert () == changes(edition(name), edition(name))


def test_pre_releases_need_devel() -> None:
    """Until they are none any more."""
    early = made("edge-24.2.4", chart("linkerd-control-plane", "1.18.10-edge", app_version="edge-24.2.4"))
    stable = made("stable-2.14.10", chart("linkerd-control-plane", "1.16.11", app_version="stable-2.14.10"))
    late = made("edge-24.3.1", chart("linkerd-control-plane", "2024.3.1", app_version="edge-24.3.1"))

    [to_devel] = told(stable, early, "chart_versions")
    assert "with --devel" in to_devel
    assert "its charts are no pre-releases any more: Helm finds them without --devel" in told(
        early, late, "chart_versions"
    )


def test_charts_that_need_other_versions_of_kubernetes() -> None:
    """Each is named, where it is not so of all."""
    old = [chart("linkerd-control-plane"), chart("linkerd-viz")]
    new = [replace(old[0], kube_version=">=1.31.0-0"), old[1]]

    told_of = told(made("edge-26.8.2", *old), made("edge-26.8.3", *new), "kubernetes")
    assert ["linkerd-control-plane: Kubernetes >=1.31.0-0 is needed, and was of any version"] == told_of


def test_a_chart_that_is_new() -> None:
    """It is said, and of the rest nothing."""
    old = chart("linkerd-control-plane")
    found = changes(made("edge-26.8.2", old), made("edge-26.8.3", old, chart("linkerd-viz")))

    assert (Change("chart_appeared", "new", chart="linkerd-viz"),) == found


def test_a_split_of_which_no_part_is_wanted() -> None:
    """The chart of old is gone, and that is all that can be said."""
    old, new = chart("linkerd2", "2.11.5", app_version="stable-2.11.5"), chart("linkerd-viz", "30.3.8")

    found = changes(made("stable-2.11.5", old, new), made("stable-2.12.6", new))
    assert [("chart_vanished", "linkerd2")] == [(each.kind, each.chart) for each in found if each.chart]


AMD64, ARM64, ARM = (Platform.parse(text) for text in ("linux/amd64", "linux/arm64", "linux/arm/v7"))


def seen(name: str, *platforms: Platform) -> Edition:
    """A release of one image, whose index has *platforms*; none: it has not been read."""
    line = 'image: "cr.l5d.io/linkerd/proxy:{{.Values.linkerdVersion}}"'
    of_it = chart(
        "linkerd-control-plane", "2026.1.1", {"linkerdVersion": name}, {"templates/a.yaml": deployment("a", [line])}
    )
    reference = Reference.parse(f"cr.l5d.io/linkerd/proxy:{name}")
    return replace(made(name, of_it), platforms={reference: frozenset(platforms)} if platforms else {})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([AMD64, ARM64, ARM], [AMD64, ARM64], ["proxy: no longer for linux/arm/v7"]),
        ([AMD64], [AMD64, ARM64, ARM], ["proxy: now for linux/arm/v7 and linux/arm64 too"]),
        ([AMD64], [ARM64], ["proxy: no longer for linux/amd64", "proxy: now for linux/arm64 too"]),
        ([AMD64, ARM], [AMD64, ARM], []),
        ([AMD64, ARM], [], []),
        ([], [AMD64], []),
    ],
)
def test_platforms(before: list[Platform], after: list[Platform], expected: list[str]) -> None:
    """What has not been read on both sides is not compared."""
    old, new = seen("edge-25.7.6", *before), seen("edge-25.8.1", *after)

    assert expected == told(old, new, "platforms_dropped") + told(old, new, "platforms_added")


def test_whose_platforms_are_looked_at() -> None:
    """Of both releases, where they have an image at other tags."""
    looked_at = to_look_at(edition("edge-25.10.7"), edition("edge-26.8.3"))

    names = {(each.repository.name, each.tag) for each in looked_at}
    assert {("proxy", "edge-25.10.7"), ("proxy", "edge-26.8.3"), ("cni-plugin", "v1.6.4")} <= names
    assert not {"prometheus", "pause", "proxy-init"} & {name for name, _ in names}
