"""The proof: real Helm over small charts in the shapes of several eras, and what it must notice."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import SettingsError
from mirror.linkerd.chart import read_archive
from mirror.linkerd.overrides import Heading, Located, Pin, values_file
from mirror.linkerd.parts import Chart, Control, Image
from mirror.linkerd.proof import ChartProof, prove
from mirror.linkerd.release import Release
from mirror.oci.content import Digest
from mirror.oci.reference import Reference

HEADING = Heading(Release("edge", "26.8.3"), "m.example:5000/linkerd", datetime(2026, 8, 22, tzinfo=UTC))


@pytest.fixture(scope="session")
def helm() -> str:
    """Real Helm: from $MIRROR_TEST_HELM, else from PATH."""
    path = os.environ.get("MIRROR_TEST_HELM") or shutil.which("helm")
    if path is None:
        reason = "helm is neither on PATH nor in MIRROR_TEST_HELM"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path


def packed(name: str, files: Mapping[str, str], *, kube_version: str = ">=1.22.0-0") -> Chart:
    """A chart of *files*, in an archive as `helm package` makes it."""
    metadata = {"apiVersion": "v2", "name": name, "version": "1.0.0", "kubeVersion": kube_version}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in ({"Chart.yaml": yaml.safe_dump(metadata)} | dict(files)).items():
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    data = buffer.getvalue()
    return read_archive(data, name=name, version="1.0.0", sha256=hashlib.sha256(data).hexdigest(), where="a test")


def pod(name: str, containers: str, *, kind: str = "Deployment", labels: str = "") -> str:
    """A workload whose pod holds *containers*, the lines of a list."""
    return f"""---
apiVersion: apps/v1
kind: {kind}
metadata:
  name: {name}
  labels:
    component: {name}
{labels}
spec:
  template:
    spec:
{containers}
"""


CONTROL_PLANE = "linkerd-control-plane"
VALUES = """
linkerdVersion: edge-26.8.3
controllerImage: cr.l5d.io/linkerd/controller
controllerImageVersion: ""
cniEnabled: false
disableHeartBeat: false
imagePullSecrets: []
identityTrustAnchorsPEM: ""
identity:
  issuer:
    tls: {}
proxy:
  nativeSidecar: false
  image:
    name: cr.l5d.io/linkerd/proxy
    version: ""
debugContainer:
  image:
    name: cr.l5d.io/linkerd/debug
    version: ""
"""
CONFIG = """
kind: ConfigMap
apiVersion: v1
metadata:
  name: linkerd-config
data:
  values: |
  {{- $values := deepCopy .Values }}
  {{- toYaml $values | trim | nindent 4 }}
"""
PARTIALS = """
{{- define "partials.proxy" -}}
image: {{.Values.proxy.image.name}}:{{.Values.proxy.image.version | default .Values.linkerdVersion}}
name: linkerd-proxy
{{- end -}}
"""
DESTINATION = pod(
    "linkerd-destination",
    """
      serviceAccountName: x
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets: {{ toYaml . | nindent 6 }}
      {{- end }}
      containers:
      - name: destination
        image: {{.Values.controllerImage}}:{{.Values.controllerImageVersion | default .Values.linkerdVersion}}
      {{- if not .Values.proxy.nativeSidecar }}
      - {{- include "partials.proxy" . | nindent 8 }}
      {{- end }}
      initContainers:
      {{ if .Values.cniEnabled -}}
      - name: linkerd-network-validator
        image: {{.Values.proxy.image.name}}:{{.Values.proxy.image.version | default .Values.linkerdVersion }}
      {{ else -}}
      - name: linkerd-init
        image: {{.Values.proxy.image.name}}:{{.Values.proxy.image.version | default .Values.linkerdVersion }}
      {{ end -}}
""",
    labels="    app.kubernetes.io/version: {{.Values.linkerdVersion}}",
)
HEARTBEAT = (
    '{{ required "an issuer" .Values.identity.issuer.tls.crtPEM | printf "# %s" }}\n'
    "{{ if not .Values.disableHeartBeat }}"
    + pod(
        "linkerd-heartbeat",
        """
      containers:
      - image: {{.Values.controllerImage}}:{{.Values.controllerImageVersion | default .Values.linkerdVersion}}
        name: heartbeat
""",
        kind="CronJob",
    )
    + "{{ end }}"
)
FILES = {
    "values.yaml": VALUES,
    "values-ha.yaml": "controllerReplicas: 3\n",
    "templates/config.yaml": CONFIG,
    "templates/destination.yaml": DESTINATION,
    "templates/heartbeat.yaml": HEARTBEAT,
    "charts/partials/Chart.yaml": "apiVersion: v2\nname: partials\nversion: 0.1.0\n",
    "charts/partials/templates/_proxy.tpl": PARTIALS,
}


def image(
    reference: str,
    *paths: tuple[str | None, str | None, str | None],
    chart: str = CONTROL_PLANE,
    unpinnable: str = "",
    is_hardcoded: bool = False,
) -> Image:
    """An image of one chart, with a control for each triple of paths."""
    controls = tuple(Control(chart, *triple, unpinnable=unpinnable) for triple in paths)
    return Image(reference, (chart,), controls, is_hardcoded, is_first_party=True, is_optional=False)


CONTROLLER = image(
    "cr.l5d.io/linkerd/controller:edge-26.8.3", ("controllerImage", "controllerImage", "controllerImageVersion")
)
PROXY = image("cr.l5d.io/linkerd/proxy:edge-26.8.3", ("proxy.image.name", "proxy.image.name", "proxy.image.version"))
DEBUG = image(
    "cr.l5d.io/linkerd/debug:edge-26.8.3",
    ("debugContainer.image.name", "debugContainer.image.name", "debugContainer.image.version"),
)
IMAGES = (CONTROLLER, DEBUG, PROXY)


def located(images: Sequence[Image], mirror: str = "m.example:5000/linkerd") -> dict[str, Located]:
    """Each image in the mirror, flat."""
    places = {}
    for each in images:
        reference = Reference.parse(each.reference)
        digest = Digest.of(each.reference.encode())
        places[each.reference] = Located(each.reference, f"{mirror}/{reference.repository.name}", reference.tag, digest)
    return places


async def proof(
    helm: str,
    chart: Chart,
    images: Sequence[Image],
    *,
    pin: Pin = "digest",
    mirror: str = "m.example:5000/linkerd",
    values: str | None = None,
    extra_values: Sequence[Path] = (),
) -> ChartProof:
    """The proof of *chart* with its overrides, or with *values* in their place."""
    places = located(images, mirror)
    text = values_file(chart.facts, images, places, pin=pin, pull_secrets=["mirror"], heading=HEADING)
    return await prove(
        helm,
        chart,
        text if values is None else values,
        images=images,
        located=places,
        pin=pin,
        extra_values=extra_values,
    )


def has(problems: Sequence[str], *words: str) -> bool:
    """Whether one of *problems* says all of *words*."""
    return any(all(word in problem for word in words) for problem in problems)


VIZ = (
    packed(
        "linkerd-viz",
        {
            "values.yaml": """
linkerdVersion: stable-2.14.10
defaultRegistry: cr.l5d.io/linkerd
imagePullSecrets: []
prometheusUrl: ""
tap: {image: {registry: "", name: tap, tag: ""}}
prometheus: {enabled: true, image: {registry: prom, name: prometheus, tag: v2.48.0}}
""",
            "templates/tap.yaml": pod(
                "tap",
                """
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets: {{ toYaml . | nindent 6 }}
      {{- end }}
      containers:
      - image: {{.Values.tap.image.registry | default .Values.defaultRegistry}}/{{.Values.tap.image.name}}:"""
                """{{.Values.tap.image.tag | default .Values.linkerdVersion}}
        name: {{ if not (or .Values.prometheus.enabled .Values.prometheusUrl) }}{{ fail "no prometheus" }}{{ end }}tap
""",
            ),
            "templates/prometheus.yaml": "{{ if .Values.prometheus.enabled -}}"
            + pod(
                "prometheus",
                """
      containers:
      - image: {{.Values.prometheus.image.registry}}/{{.Values.prometheus.image.name}}:{{.Values.prometheus.image.tag}}
        name: prometheus
""",
            )
            + "{{ end -}}",
        },
    ),
    (
        image(
            "cr.l5d.io/linkerd/tap:stable-2.14.10",
            ("tap.image.registry", "tap.image.name", "tap.image.tag"),
            chart="linkerd-viz",
        ),
        image(
            "prom/prometheus:v2.48.0",
            ("prometheus.image.registry", "prometheus.image.name", "prometheus.image.tag"),
            chart="linkerd-viz",
        ),
    ),
)
MULTICLUSTER = (
    packed(
        "linkerd-multicluster",
        {
            "values.yaml": """
gateway: {enabled: true, pauseImage: "registry.k8s.io/pause:3.2"}
controllers: []
controllerDefaults: {image: {name: cr.l5d.io/linkerd/controller, version: edge-26.8.3}}
""",
            "templates/gateway.yaml": "{{ if .Values.gateway.enabled }}"
            + pod("gateway", "      containers:\n      - name: pause\n        image: {{ .Values.gateway.pauseImage }}")
            + "{{ end }}",
            "templates/controllers.yaml": "{{ range .Values.controllers }}"
            + pod(
                "controller-{{ .link.ref.name }}",
                """
      containers:
      - name: controller
        image: {{ dig "image" "name" $.Values.controllerDefaults.image.name . }}:"""
                """{{ dig "image" "version" $.Values.controllerDefaults.image.version . }}
""",
            )
            + "{{ end }}",
        },
        kube_version=">=1.36.0-0",
    ),
    (
        image("registry.k8s.io/pause:3.2", ("gateway.pauseImage",) * 3, chart="linkerd-multicluster"),
        image(
            "cr.l5d.io/linkerd/controller:edge-26.8.3",
            ("controllerDefaults.image.name", "controllerDefaults.image.name", "controllerDefaults.image.version"),
            chart="linkerd-multicluster",
        ),
    ),
)
# stable-2.12: only linkerdVersion moves the controller's tag, and it is a label; a pause image in a partial
OLD = (
    packed(
        CONTROL_PLANE,
        {
            "values.yaml": """
linkerdVersion: stable-2.12.6
controllerImage: cr.l5d.io/linkerd/controller
cniEnabled: false
""",
            "templates/_noop.tpl": """
{{ define "noop" }}
      - name: noop
        image: gcr.io/google_containers/pause:3.2
{{ end }}
""",
            "templates/identity.yaml": pod(
                "linkerd-identity",
                """
      containers:
      - image: {{.Values.controllerImage}}:{{.Values.linkerdVersion}}
        name: identity
      {{- if .Values.cniEnabled }}
      initContainers:
      {{- include "noop" . }}
      {{- end }}
""",
                labels="    app.kubernetes.io/version: {{.Values.linkerdVersion}}",
            ),
        },
    ),
    (
        image("cr.l5d.io/linkerd/controller:stable-2.12.6", ("controllerImage", "controllerImage", "linkerdVersion")),
        image("gcr.io/google_containers/pause:3.2", is_hardcoded=True),
    ),
)
MODERN = (packed(CONTROL_PLANE, FILES), IMAGES)


@pytest.mark.parametrize("pin", ["digest", "tag"])
@pytest.mark.parametrize(
    ("renders", "unreachable", "subject"),
    [
        pytest.param(10, (), MODERN, id="control-plane"),
        pytest.param(2, (), VIZ, id="viz"),
        pytest.param(3, (), MULTICLUSTER, id="multicluster"),
        pytest.param(2, ("gcr.io/google_containers/pause:3.2",), OLD, id="2.12"),
    ],
)
async def test_overrides_of_several_eras_are_proven(
    helm: str, renders: int, unreachable: tuple[str, ...], subject: tuple[Chart, Sequence[Image]], pin: Pin
) -> None:
    """Every option is turned, nothing of upstream is left, and what is hard-coded is listed and no problem."""
    proven = await proof(helm, *subject, pin=pin)

    assert () == proven.problems
    assert () == proven.impossible
    assert unreachable == proven.unreachable
    assert renders == proven.renders
    assert proven.helm_version.startswith("v")


async def test_a_chart_without_images_is_rendered_once(helm: str) -> None:
    """Helm takes the empty map that linkerd-crds gets."""
    crds = packed("linkerd-crds", {"templates/crd.yaml": "kind: CustomResourceDefinition\nmetadata: {name: a}\n"})

    proven = await proof(helm, crds, IMAGES)

    assert proven.is_proven
    assert 1 == proven.renders


async def test_a_mirror_may_hold_upstreams_names(helm: str) -> None:
    """With `paths = "upstream"` the mirror's own names contain upstream's hosts."""
    proven = await proof(helm, *MODERN, mirror="m.example/copy/cr.l5d.io/linkerd")

    assert () == proven.problems


async def test_a_wrong_key_is_caught(helm: str) -> None:
    """Helm ignores it; the image in the output is upstream's, and the path changes nothing."""
    wrong = replace(PROXY, controls=(Control(CONTROL_PLANE, "proxy.img.name", "proxy.img.name", "proxy.img.version"),))

    problems = (await proof(helm, MODERN[0], (CONTROLLER, DEBUG, wrong))).problems

    assert has(problems, "Deployment", "cr.l5d.io/linkerd/proxy:edge-26.8.3 is still upstream's")
    assert has(problems, "does not read proxy.img.name")
    assert has(problems, "does not read proxy.img.version")


async def test_a_key_that_nothing_reads_is_caught(helm: str) -> None:
    """proxyInit.image on edge-26: all images are right, and yet the path is a mistake."""
    extra = image(
        "cr.l5d.io/linkerd/proxy-init:v2.4.3",
        ("proxyInit.image.name", "proxyInit.image.name", "proxyInit.image.version"),
    )

    problems = (await proof(helm, MODERN[0], (*IMAGES, extra))).problems

    assert (
        "the chart does not read proxyInit.image.name: what is written there changes no image",
        "the chart does not read proxyInit.image.version: what is written there changes no image",
    ) == problems


async def test_one_of_two_paths_to_an_image_that_is_not_read_is_caught(helm: str) -> None:
    """The image is in the output by its other path."""
    twice = replace(CONTROLLER, controls=(*CONTROLLER.controls, Control(CONTROL_PLANE, "a.b", "a.b", "a.c")))

    problems = (await proof(helm, MODERN[0], (twice, DEBUG, PROXY))).problems

    assert ["a.b", "a.c"] == [problem.split()[5].rstrip(":") for problem in problems]


async def test_an_image_behind_an_option_is_caught(helm: str) -> None:
    """An image that only `cniEnabled` renders, which no override reaches."""
    files = FILES | {
        "templates/cni.yaml": "{{ if .Values.cniEnabled }}"
        + pod("cni", "      containers:\n      - image: ghcr.io/someone/else:v1\n        name: cni")
        + "{{ end }}"
    }

    problems = (await proof(helm, packed(CONTROL_PLANE, files), IMAGES)).problems

    assert has(problems, "Deployment/cni", "ghcr.io/someone/else:v1", "with cniEnabled on", "more)")


async def test_the_injectors_image_is_caught(helm: str) -> None:
    """The debug image is in no document: the injector builds it from ConfigMap linkerd-config."""
    problems = (await proof(helm, MODERN[0], (CONTROLLER, PROXY))).problems

    assert has(
        problems, "ConfigMap/linkerd-config", "injector", "debugContainer", "cr.l5d.io/linkerd/debug:edge-26.8.3"
    )


async def test_a_digest_that_is_not_the_recorded_one_is_caught(helm: str) -> None:
    """The values say one digest, the record another."""
    chart, images = MODERN
    old = values_file(chart.facts, images, located(images), pin="digest", pull_secrets=(), heading=HEADING).replace(
        str(Digest.of(PROXY.reference.encode())), str(Digest.of(b"another"))
    )

    problems = (await proof(helm, chart, images, values=old)).problems

    assert has(
        problems, f"m.example:5000/linkerd/proxy:edge-26.8.3@{Digest.of(b'another')} is not at what was recorded"
    )


async def test_a_digest_in_a_label_is_caught(helm: str) -> None:
    """Kubernetes refuses `@` and `:` in a label; by its tag the same image is proven."""
    files = FILES | {
        "templates/destination.yaml": DESTINATION.replace(
            "app.kubernetes.io/version: {{.Values.linkerdVersion}}",
            "app.kubernetes.io/version: {{.Values.controllerImageVersion | default .Values.linkerdVersion}}",
        )
    }
    chart = packed(CONTROL_PLANE, files)
    by_tag = replace(
        CONTROLLER, controls=tuple(replace(control, unpinnable="it is a label") for control in CONTROLLER.controls)
    )

    pinned = await proof(helm, chart, IMAGES)
    tagged = await proof(helm, chart, (by_tag, DEBUG, PROXY))

    assert has(pinned.problems, "label app.kubernetes.io/version would be edge-26.8.3@sha256:", "refuses")
    assert () == tagged.problems


async def test_ours_come_last(helm: str, tmp_path: Path) -> None:
    """Neither values-ha.yaml nor an operator's file brings its own image back."""
    chart = packed(CONTROL_PLANE, FILES | {"values-ha.yaml": "proxy: {image: {name: cr.l5d.io/linkerd/proxy-ha}}\n"})
    operators = tmp_path / "operator, with a comma.yaml"
    operators.write_text("controllerImage: their.example/controller\nimagePullSecrets: [{name: theirs}]\n")

    proven = await proof(helm, chart, IMAGES, extra_values=[operators])

    assert () == proven.problems


async def test_an_operators_image_elsewhere_is_caught(helm: str, tmp_path: Path) -> None:
    """An entry's own image, and an annotation for the injector, are out of reach for our values."""
    entries = tmp_path / "entries.yaml"
    entries.write_text("controllers: [{link: {ref: {name: east}}, image: {name: cr.l5d.io/linkerd/controller}}]\n")

    problems = (await proof(helm, *MULTICLUSTER, extra_values=[entries])).problems

    digest = Digest.of(b"cr.l5d.io/linkerd/controller:edge-26.8.3")
    assert has(
        problems, "Deployment/controller-east", f"cr.l5d.io/linkerd/controller:edge-26.8.3@{digest}", str(entries)
    )


async def test_upstreams_name_in_any_string_is_caught(helm: str) -> None:
    """An annotation that makes the injector take upstream's proxy."""
    files = FILES | {
        "templates/annotated.yaml": "kind: Namespace\nmetadata:\n  name: a\n  annotations:\n"
        "    config.linkerd.io/proxy-image: cr.l5d.io/linkerd/proxy\n    fine: x.cr.l5d.io.example\n"
    }

    problems = (await proof(helm, packed(CONTROL_PLANE, files), IMAGES)).problems

    assert 1 == len(problems)
    assert has(problems, "Namespace/a: config.linkerd.io/proxy-image still names upstream: cr.l5d.io/linkerd/proxy")


async def test_a_values_file_that_is_not_there(helm: str, tmp_path: Path) -> None:
    """The operator is told which, with the chart it was for."""
    with pytest.raises(SettingsError, match=r"none\.yaml for the chart linkerd-control-plane cannot be read: No such"):
        await proof(helm, *MODERN, extra_values=[tmp_path / "none.yaml"])


async def test_a_chart_that_does_not_render(helm: str) -> None:
    """Helm's own words are in the problem."""
    files = FILES | {"templates/broken.yaml": '{{ fail "the moon is\\nwrong" }}'}

    broken = await proof(helm, packed(CONTROL_PLANE, files), IMAGES)

    assert not broken.is_proven
    assert has(broken.problems, "Helm failed", "the moon is / wrong (rendered alone)")


async def test_a_mix_of_options_that_the_chart_refuses_proves_nothing(helm: str) -> None:
    """The chart refuses it without our overrides too, so it is told apart from the problems."""
    files = FILES | {
        "templates/refused.yaml": '{{ if and .Values.cniEnabled .Values.disableHeartBeat }}{{ fail "no" }}{{ end }}'
    }

    proven = await proof(helm, packed(CONTROL_PLANE, files), IMAGES)

    assert () == proven.problems
    assert (
        "alone, with proxy.nativeSidecar on, cniEnabled on, disableHeartBeat on",
        "after values-ha.yaml, with proxy.nativeSidecar on, cniEnabled on, disableHeartBeat on",
    ) == proven.impossible


async def test_an_operators_file_does_not_have_to_bear_values_ha(helm: str, tmp_path: Path) -> None:
    """Each is rendered for itself: multicluster of edge-25.3.3 takes controllers or values-ha.yaml, not both."""
    files = FILES | {
        "templates/refused.yaml": "{{ if and .Values.theirs (eq (int .Values.controllerReplicas) 3) }}"
        '{{ fail "no" }}{{ end }}'
    }
    operators = tmp_path / "operators.yaml"
    operators.write_text("theirs: true\n")

    proven = await proof(helm, packed(CONTROL_PLANE, files), IMAGES, extra_values=[operators])

    assert ((), ()) == (proven.problems, proven.impossible)


async def test_a_chart_that_cannot_bear_our_values_is_no_impossible_mix(helm: str) -> None:
    """What renders without our overrides, and not with them, is a problem."""
    files = FILES | {
        "templates/picky.yaml": "{{ if .Values.cniEnabled }}"
        '{{ if contains "@" .Values.proxy.image.version }}{{ fail "an @" }}{{ end }}{{ end }}'
    }

    refused = await proof(helm, packed(CONTROL_PLANE, files), IMAGES)

    assert has(refused.problems, "Helm failed", "an @", "with cniEnabled on")
    assert () == refused.impossible


async def test_output_that_is_not_yaml(helm: str) -> None:
    """A problem, not a crash; Helm lets some of it pass in a hook's or a note's place."""
    chart = packed(
        "a", {"values.yaml": "{}", "templates/a.yaml": "a: {{ .Values.missing | toYaml }}\nlabels: {b: *x}\n"}
    )

    assert not (await proof(helm, chart, ())).is_proven


@given(st.from_regex(r"[A-Za-z0-9._@:-]{0,70}", fullmatch=True))
def test_labels_are_held_to_kubernetes_rule(text: str) -> None:
    """At most 63 of the allowed characters, letters or digits at both ends, or nothing."""
    from mirror.linkerd.proof import _is_label

    expected = (
        len(text) <= 63 and not set("@:") & set(text) and (not text or (text[0].isalnum() and text[-1].isalnum()))
    )
    assert expected == _is_label(text)
