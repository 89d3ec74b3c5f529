"""Images from charts: every era's set, each with the values that control it."""

from __future__ import annotations

import pytest

from mirror.errors import TemplateError
from mirror.linkerd.images import chart_images, release_images
from mirror.linkerd.parts import Control, Image
from tests.linkerd.charts import chart, charts_of, deployment, expected_image, found_image, releases, rendered

PARTIAL = "charts/partials/templates/_debug.tpl"


def by_name(release: str) -> dict[str, Image]:
    """The images of *release* by the last part of their names."""
    return {image.reference.rpartition("/")[2].partition(":")[0]: image for image in release_images(charts_of(release))}


def images(line: str, values: dict[str, object]) -> tuple[Image, ...]:
    """The images of a chart with one `image:` line."""
    return chart_images(chart("linkerd-x", values=values, templates={"templates/a.yaml": deployment("a", [line])}))


@pytest.mark.parametrize("release", releases())
def test_every_era_has_the_images_that_helm_renders(release: str) -> None:
    """References, values paths and all, for each chart: what real renders of the real charts have."""
    for each in charts_of(release):
        expected = {expected_image(image) for image in rendered()[release].get(each.name, [])}
        found = {found_image(image) for image in chart_images(each)}

        assert expected == found, each.name


@pytest.mark.parametrize(
    ("release", "name", "controls"),
    [
        (
            "edge-26.8.3",
            "proxy",
            [("linkerd-control-plane", "proxy.image.name", "proxy.image.name", "proxy.image.version")],
        ),
        (
            "edge-26.8.3",
            "controller",
            [
                ("linkerd-control-plane", "controllerImage", "controllerImage", "controllerImageVersion"),
                (
                    "linkerd-multicluster",
                    *["controllerDefaults.image.name"] * 2,
                    "controllerDefaults.image.version",
                ),
                ("linkerd-multicluster", *["localServiceMirror.image.name"] * 2, "localServiceMirror.image.version"),
            ],
        ),
        (
            "edge-26.8.3",
            "tap",
            [
                ("linkerd-viz", "tap.image.registry", "tap.image.name", "tap.image.tag"),
                ("linkerd-viz", "tapInjector.image.registry", "tapInjector.image.name", "tapInjector.image.tag"),
            ],
        ),
        ("edge-26.8.3", "pause", [("linkerd-multicluster", *["gateway.pauseImage"] * 3)]),
        ("stable-2.12.6", "curl", []),
        ("stable-2.10.2", "nginx", [("linkerd-multicluster", *["gatewayNginxImage"] * 2, "gatewayNginxImageVersion")]),
    ],
)
def test_each_part_is_controlled_by_its_most_specific_path(
    release: str, name: str, controls: list[tuple[str, ...]]
) -> None:
    """A path that holds several parts stands for each; of a path and its fallback it is the more specific one."""
    image = by_name(release)[name]

    assert controls == [(each.chart, each.registry, each.name, each.tag) for each in image.controls]
    assert (not controls) == image.is_hardcoded


@pytest.mark.parametrize(
    ("release", "name", "tag", "why"),
    [
        ("stable-2.10.2", "controller", "controllerImageVersion", "feeds app.kubernetes.io/version (templates/"),
        ("stable-2.11.5", "controller", "controllerImageVersion", "feeds app.kubernetes.io/version (templates/"),
        ("stable-2.12.6", "controller", "linkerdVersion", "names the release"),
        ("stable-2.14.10", "controller", "controllerImageVersion", ""),
        ("stable-2.14.10", "jaeger-webhook", "webhook.image.version", "feeds app.kubernetes.io/version (templates/"),
        ("edge-25.1.1", "jaeger-webhook", "linkerdVersion", "webhook.image.version has no effect"),
        ("edge-25.1.1", "proxy", "proxy.image.version", ""),
        ("edge-26.8.3", "prometheus", "prometheus.image.tag", ""),
    ],
)
def test_a_tag_path_says_why_it_cannot_bear_a_digest(release: str, name: str, tag: str, why: str) -> None:
    """It feeds a label, is the release's own name, or has no effect."""
    control = by_name(release)[name].controls[0]

    assert tag == control.tag
    assert why in control.unpinnable
    assert bool(why) == bool(control.unpinnable)


def test_what_runs_at_run_time_alone_is_optional() -> None:
    """No template includes the debug container, but the chart has its values for the injector."""
    assert by_name("edge-26.8.3")["debug"].is_optional
    assert not by_name("edge-26.8.3")["proxy"].is_optional


def test_an_image_of_an_entry_is_reached_by_its_default() -> None:
    """And an operator is told."""
    image = by_name("edge-26.8.3")["controller"]

    assert "controllers[].image.name" in image.notes[0]
    assert not any("[]" in (control.name or "") for control in image.controls)


def test_one_image_of_several_charts_is_one() -> None:
    """With the charts and the controls of all."""
    image = by_name("stable-2.14.10")["extension-init"]

    assert ("linkerd-jaeger", "linkerd-multicluster", "linkerd-viz") == image.charts
    assert list(image.charts) == [control.chart for control in image.controls]


NAMESPACE_METADATA = {
    "namespaceMetadata": {"image": {"registry": "cr.l5d.io/linkerd", "name": "extension-init", "tag": "v0.1.0"}}
}
OF_NAMESPACE_METADATA = (
    "image: {{.Values.namespaceMetadata.image.registry}}/{{.Values.namespaceMetadata.image.name}}"
    ":{{.Values.namespaceMetadata.image.tag}}"
)


class TestChartsFromElsewhere:
    """linkerd-smi and linkerd-failover, which have repositories and versions of their own."""

    def test_linkerd_smi(self) -> None:
        """One tag feeds the version label of the other's Job, and so stays plain."""
        adaptor = "{{.Values.adaptor.image.registry}}/{{.Values.adaptor.image.name}}:{{.Values.adaptor.image.tag}}"
        label = "app.kubernetes.io/version: {{.Values.adaptor.image.tag}}"
        smi = chart(
            "linkerd-smi",
            "1.0.4",
            NAMESPACE_METADATA
            | {"adaptor": {"image": {"registry": "cr.l5d.io/linkerd", "name": "smi-adaptor", "tag": "v0.2.7"}}},
            {
                "templates/adaptor.yaml": deployment("smi-adaptor", [f"image: {adaptor}"]),
                "templates/namespace-metadata.yaml": deployment("job", [OF_NAMESPACE_METADATA], labels=[label]),
            },
            app_version="",
        )

        metadata, of_adaptor = chart_images(smi)

        assert "cr.l5d.io/linkerd/extension-init:v0.1.0" == metadata.reference
        assert "cr.l5d.io/linkerd/smi-adaptor:v0.2.7" == of_adaptor.reference
        assert "" == metadata.controls[0].unpinnable
        assert "also feeds app.kubernetes.io/version" in of_adaptor.controls[0].unpinnable

    def test_linkerd_failover(self) -> None:
        """Its values are at the top, and its own tag is in a label."""
        label = "app.kubernetes.io/version: {{.Values.image.tag}}"
        main = "image: {{.Values.image.registry}}/{{.Values.image.name}}:{{.Values.image.tag}}"
        failover = chart(
            "linkerd-failover",
            "0.1.3",
            NAMESPACE_METADATA | {"image": {"registry": "cr.l5d.io/linkerd", "name": "failover", "tag": "0.1.3"}},
            {"templates/failover.yaml": deployment("failover", [main, OF_NAMESPACE_METADATA], labels=[label])},
            app_version="0.1.3",
        )

        controls = {image.reference: image.controls for image in chart_images(failover)}

        assert {
            "cr.l5d.io/linkerd/extension-init:v0.1.0": (
                Control("linkerd-failover", *(f"namespaceMetadata.image.{key}" for key in ("registry", "name", "tag"))),
            ),
            "cr.l5d.io/linkerd/failover:0.1.3": (
                Control(
                    "linkerd-failover",
                    "image.registry",
                    "image.name",
                    "image.tag",
                    "image.tag also feeds app.kubernetes.io/version (templates/failover.yaml, line 6), "
                    "where @ and : are not legal",
                ),
            ),
        } == controls


def test_images_are_sorted() -> None:
    """By reference, whatever the order of charts."""
    charts = charts_of("edge-26.8.3")

    assert release_images(charts) == release_images(charts[::-1])
    assert sorted(image.reference for image in release_images(charts)) == [
        image.reference for image in release_images(charts)
    ]


@pytest.mark.parametrize(
    ("line", "control"),
    [
        ("image: r.example/x:1", None),
        ("image: r.example/{{ .Values.n }}:1", (None, "n", None, "the template decides the tag")),
        ("image: {{ .Values.r }}/x:{{ .Values.t }}", ("r", None, "t", "")),
        ("image: r.example:5000/x:{{ .Values.t }}", (None, None, "t", "")),
        ("image: {{ .Values.whole }}", ("whole", "whole", "whole", "")),
        ("image: {{ .Values.r }}/{{ .Values.n }}", ("r", "n", None, "the template decides the tag")),
    ],
)
def test_a_part_that_the_template_writes_has_no_path(
    line: str, control: tuple[str | None, str | None, str | None, str] | None
) -> None:
    """Registry, name and tag each on its own."""
    (image,) = images(line, {"r": "r.example:5000/a", "n": "x", "t": "1", "whole": "r.example/x:1"})

    assert ([] if control is None else [Control("linkerd-x", *control)]) == list(image.controls)


def test_an_image_without_a_tag_stays_so() -> None:
    """The reference is as the chart writes it (multicluster's pause in stable-2.11.0)."""
    (image,) = images("image: gcr.io/google_containers/pause", {})

    assert "gcr.io/google_containers/pause" == image.reference


@pytest.mark.parametrize(
    ("values", "references"),
    [
        ({}, []),
        ({"debug": {"name": ""}}, []),
        ({"debug": {"name": "r/debug", "version": "1"}}, ["r/debug:1"]),
        ({"debug": {"name": "r/debug"}, "linkerdVersion": "2"}, ["r/debug:2"]),
    ],
)
def test_a_partial_is_used_if_the_chart_has_its_values(values: dict[str, object], references: list[str]) -> None:
    """Whether or not a template includes it."""
    partial = (
        '{{ define "debug" }}\nimage: {{ .Values.debug.name }}:'
        "{{ .Values.debug.version | default .Values.linkerdVersion }}\n{{ end }}"
    )
    of = chart("linkerd-x", values=values, templates={PARTIAL: partial})

    assert references == [image.reference for image in chart_images(of)]


def test_a_partial_without_values_is_used_if_it_is_included() -> None:
    """As the hard-coded `noop` of 2.12, which every chart carries and one includes."""
    partial = {PARTIAL: '{{ define "noop" }}\nimage: r/pause:3.2\n{{ end }}'}
    include = {"templates/a.yaml": 'containers:\n- {{ include "noop" . }}\n'}

    assert () == chart_images(chart("linkerd-x", templates=partial))
    assert [("r/pause:3.2", True)] == [
        (image.reference, image.is_hardcoded) for image in chart_images(chart("linkerd-x", templates=partial | include))
    ]


def test_an_image_that_only_an_operator_names_is_not_the_charts() -> None:
    """Behind an option, and without a default."""
    line = "image: {{ .Values.extra.image }}"
    template = f"{{{{ if .Values.extra }}}}\n{line}\n{{{{ end }}}}\n"

    assert () == chart_images(chart("linkerd-x", values={"extra": None}, templates={"templates/a.yaml": template}))


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("image: {{ .Values.n }}:1", {}),
        ("image: {{ .Values.n }}:{{ .Values.t }}", {"n": "r/x"}),
        ("image: {{ .Values.n }}:1", {"n": "Not A Name"}),
        ("image: {{ .Values.n }}:1", {"n": {"a": "b"}}),
        ("image: >-", {}),
    ],
)
def test_what_makes_no_reference_is_an_error(line: str, values: dict[str, object]) -> None:
    """Chart, file and line are named."""
    with pytest.raises(TemplateError, match=r"chart linkerd-x 2026\.8\.3, templates/a\.yaml, line \d+"):
        images(line, values)
