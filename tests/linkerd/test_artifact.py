"""Charts as OCI artifacts, beside what real Helm pushes of the same archives."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from mirror.errors import ChartError
from mirror.linkerd.artifact import CHART_TYPE, PROVENANCE_TYPE, archive_of, artifact, version_tag
from mirror.linkerd.chart import read_archive
from mirror.linkerd.parts import Chart
from mirror.oci.content import Digest
from mirror.oci.manifest import OCI_MANIFEST, Manifest
from tests.content import image
from tests.linkerd.charts import archive, chart
from tests.servers.distribution import Distribution
from tests.servers.tools import require

CREATED = "org.opencontainers.image.created"
PLAIN = """\
apiVersion: v2
name: made
version: 1.2.3
"""
FULL = """\
apiVersion: v2
name: made
version: 1.2.3+build.4
appVersion: 1.10
kubeVersion: ">=1.16.0-0"
description: |
  Mesh & <more>,
  of\ttwo lines, µ \\u2028
home: https://linkerd.io
icon: https://linkerd.io/icon.png
keywords: [service-mesh, "1"]
sources: [https://github.com/linkerd/one, https://github.com/linkerd/two]
deprecated: true
type: application
condition: a.b
tags: x
unknown: left out
maintainers:
  - {name: One, email: one@example.com, url: https://example.com}
  - {name: Two}
annotations:
  z.example/last: "a < b"
  org.opencontainers.image.title: another
  org.opencontainers.image.url: https://example.com/own
"""
OLD = "name: made\nversion: 0.1.0\ndeprecated: false\nkeywords: []\n"
DEPENDENT = """\
apiVersion: v2
name: made
version: 1.2.3
dependencies:
  - {name: part, version: 0.1.0, repository: "file://../part", condition: part.enabled, tags: [x], alias: piece,
     import-values: [data, {parent: b, child: a}]}
"""
REQUIREMENTS = "dependencies:\n  - {name: part, version: 0.1.0, repository: 'file://../part'}\n"
PART = {"charts/part/Chart.yaml": "apiVersion: v2\nname: part\nversion: 0.1.0\n", "charts/part/values.yaml": "a: 1\n"}
CASES: dict[str, dict[str, str]] = {
    "plain": {"Chart.yaml": PLAIN},
    "every field": {"Chart.yaml": FULL},
    "without apiVersion": {"Chart.yaml": OLD},
    "dependencies": {"Chart.yaml": DEPENDENT, **PART},
    "requirements.yaml": {"Chart.yaml": PLAIN.replace("v2", "v1"), "requirements.yaml": REQUIREMENTS, **PART},
}


def made(files: dict[str, str]) -> Chart:
    data = archive("made", {"values.yaml": "{}\n", **files})
    version = files["Chart.yaml"].partition("version: ")[2].partition("\n")[0]
    if "apiVersion" in files["Chart.yaml"]:
        version = files["Chart.yaml"].partition("\nversion: ")[2].partition("\n")[0]
    return read_archive(data, name="made", version=version, sha256=hashlib.sha256(data).hexdigest(), where="made")


def pushed(helm: str, of: Chart, registry: Distribution, path: str, directory: Path) -> dict[str, Any]:
    """The manifest that Helm stores for *of*, without the time."""
    file = directory / f"{of.name}-{of.version}.tgz"
    file.write_bytes(of.archive)
    command = [helm, "push", str(file), f"oci://{registry.host}/{path}", "--plain-http"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": str(directory)})
    assert 0 == done.returncode, done.stderr
    url = f"{registry.url}/v2/{path}/{of.name}/manifests/{version_tag(of.version)}"
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    with urllib.request.urlopen(request) as answer:
        view: dict[str, Any] = json.load(answer)
    del view["annotations"][CREATED]
    return view


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_helm_pushes(case: str, open_distribution: Distribution, path: str, tmp_path: Path) -> None:
    """Its config and layer have our digests, and its manifest our keys in order, but for the time and `mediaType`."""
    of = made(CASES[case])
    helms = pushed(require("helm"), of, open_distribution, path, tmp_path)
    ours = json.loads(artifact(of).manifest.raw)

    assert OCI_MANIFEST == ours.pop("mediaType")
    assert json.dumps(helms) == json.dumps(ours)


def test_the_same_archive_gives_the_same_bytes() -> None:
    """Whatever the day; a config, and the archive as it came."""
    first, second = artifact(chart("linkerd-viz")), artifact(chart("linkerd-viz"))

    assert first == second
    assert first.blobs[first.archive] == chart("linkerd-viz").archive
    assert first.archive == archive_of(first.manifest)
    assert CREATED not in first.manifest.annotations


def test_a_provenance_is_a_layer() -> None:
    """Beside the archive; layers are sorted by digest, as Helm sorts them."""
    with_one = artifact(chart("linkerd-viz"), b"signed")

    layers = json.loads(with_one.manifest.raw)["layers"]
    assert {CHART_TYPE, PROVENANCE_TYPE} == {layer["mediaType"] for layer in layers}
    assert sorted(layer["digest"] for layer in layers) == [layer["digest"] for layer in layers]
    assert b"signed" == with_one.blobs[Digest.of(b"signed")]


@pytest.mark.parametrize("field", ["keywords: 5", "maintainers: [one]", "name: {a: b}", "annotations: [a]"])
def test_a_chart_that_helm_would_not_read(field: str) -> None:
    """A sentence that names the chart, and no traceback."""
    text = PLAIN.replace("apiVersion: v2\n", "apiVersion: v2\n" + (f"{field}\n" if "name:" not in field else ""))
    of = made({"Chart.yaml": text})
    if "name:" in field:
        of.files["Chart.yaml"] = f"version: 1.2.3\n{field}\n"  # type: ignore[index]

    with pytest.raises(ChartError, match=r"made 1\.2\.3: Chart\.yaml is not one that Helm reads"):
        artifact(of)


def test_what_is_no_chart() -> None:
    """An image has no archive."""
    assert archive_of(Manifest.parse(image(b"a").manifest.raw, where="here")) is None


@pytest.mark.parametrize(("version", "tag"), [("1.2.3", "1.2.3"), ("1.2.3+a.b", "1.2.3_a.b")])
def test_a_versions_tag(version: str, tag: str) -> None:
    """As Helm spells it."""
    assert tag == version_tag(version)
