"""Small charts in the shapes of Linkerd's eras, and repositories of them.

`data/shapes.json` has, of twelve releases, each chart's version, the values that its `image:` and version label lines
read, and those lines; `data/images.json` what real Helm renders of the whole charts.
The charts built here hold those lines where they are in the real ones, in templates that Helm can render.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mirror.linkerd.chart import read_archive
from mirror.linkerd.parts import Chart, Image

DATA = Path(__file__).parent / "data"

# How the control plane's own templates use its partials; the injector alone uses `debug`.
_INCLUDES = """\
      - {{- include "partials.proxy" . | indent 8 | trimPrefix (repeat 7 " ") }}
      initContainers:
      {{- if .Values.cniEnabled }}
%s
      {{- else }}
      - {{- include "partials.proxy-init" . | indent 8 | trimPrefix (repeat 7 " ") }}
      {{- end }}
"""
_INCLUDE = '      - {{- include "partials.%s" . | indent 8 | trimPrefix (repeat 7 " ") }}'
_PER_ENTRY = "templates/controller/deployment.yaml"  # one of multicluster's, for each of .Values.controllers


@functools.cache
def shapes() -> dict[str, dict[str, Any]]:
    """Charts by release and name."""
    return json.loads((DATA / "shapes.json").read_text())


@functools.cache
def rendered() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """What Helm renders of the real charts, by release and chart."""
    return json.loads((DATA / "images.json").read_text())


def expected_image(image: Mapping[str, Any]) -> tuple[object, ...]:
    """One of `rendered()`, to compare with `found_image`."""
    facts = (image["hardcoded"], image["first_party"], image["in_default_render"])
    return (image["ref"], tuple(sorted(image["values_paths"])), *facts)


def found_image(image: Image) -> tuple[object, ...]:
    """What was read from one chart, to compare with `expected_image`."""
    paths = tuple(sorted(path.partition(": ")[2] for path in image.paths))
    return (image.reference, paths, image.is_hardcoded, image.is_first_party, not image.is_optional)


def releases() -> list[str]:
    """The releases whose shapes are known, oldest first."""
    return list(shapes())


@functools.cache
def charts_of(release: str) -> tuple[Chart, ...]:
    """The charts of *release*, one of `releases()`."""
    return tuple(
        chart(name, shape["version"], shape["values"], templates_of(shape), app_version=_app_version(name, release))
        for name, shape in shapes()[release].items()
    )


def _app_version(name: str, release: str) -> str:
    return "" if name == "linkerd-crds" else release


def templates_of(shape: Mapping[str, Any]) -> dict[str, str]:
    """The templates and partials of one chart, by path."""
    lines: Mapping[str, list[str]] = shape["images"]
    files = {}
    partials = [file.rpartition("/_")[2].removesuffix(".tpl") for file in lines if "/_" in file]
    is_main = "proxy" in shape["values"]
    for file, images in lines.items():
        if "/_" in file:
            name = file.rpartition("/_")[2].removesuffix(".tpl")
            files[file] = f'{{{{- define "partials.{name}" -}}}}\n{images[0]}\nname: {name}\n{{{{- end -}}}}\n'
        else:
            text = deployment(file.split("/")[1].removesuffix(".yaml"), images, labels=shape["labels"].get(file, ()))
            if is_main and file == "templates/destination.yaml":
                at_cni = [_INCLUDE % name for name in ("network-validator", "noop") if name in partials]
                text += _INCLUDES % ("\n".join(at_cni) or "        []")
            files[file] = _per_entry(text) if file == _PER_ENTRY else text
    return files


def _per_entry(text: str) -> str:
    name = text.replace("name: controller\n", "name: controller-{{ .link.ref.name }}\n")
    return "{{- range .Values.controllers }}\n---\n" + name + "{{- end }}\n"


def deployment(name: str, images: Iterable[str], *, labels: Iterable[str] = ()) -> str:
    """A Deployment with a container for each `image:` line of *images*."""
    extra = "".join(f"    {label}\n" for label in labels)
    containers = "".join(f"      - name: container-{i}\n        {line}\n" for i, line in enumerate(images))
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  labels:
    linkerd.io/part: {name}
{extra}  name: {name}
spec:
  selector:
    matchLabels:
      linkerd.io/part: {name}
  template:
    metadata:
      labels:
        linkerd.io/part: {name}
    spec:
      containers:
{containers}"""


def chart(
    name: str,
    version: str = "2026.8.3",
    values: Mapping[str, Any] | None = None,
    templates: Mapping[str, str] | None = None,
    *,
    app_version: str = "edge-26.8.3",
) -> Chart:
    """A chart, by way of its archive."""
    files = chart_files(name, version, values or {}, templates or {}, app_version=app_version)
    data = archive(name, files)
    sha256 = hashlib.sha256(data).hexdigest()
    return read_archive(data, name=name, version=version, sha256=sha256, where=f"{name}-{version}.tgz")


def chart_files(
    name: str, version: str, values: Mapping[str, Any], templates: Mapping[str, str], *, app_version: str = ""
) -> dict[str, str]:
    """The files of a chart below its folder. JSON is YAML."""
    metadata = {"apiVersion": "v2", "name": name, "version": version}
    if app_version:
        metadata["appVersion"] = app_version
    files = {"Chart.yaml": json.dumps(metadata), "values.yaml": json.dumps(values, indent=1), **templates}
    if any(path.startswith("charts/partials/") for path in templates):
        files["charts/partials/Chart.yaml"] = json.dumps({"apiVersion": "v2", "name": "partials", "version": "0.1.0"})
    return files


def archive(name: str, files: Mapping[str, str | bytes]) -> bytes:
    """A chart archive, the same bytes each time."""
    return packed((f"{name}/{path}", text.encode() if isinstance(text, str) else text) for path, text in files.items())


def packed(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A gzipped tar archive of *files*, paths as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data in files:
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


def repository(*names: str) -> dict[str, bytes]:
    """A chart repository with the charts of the releases *names*, by file name."""
    files: dict[str, bytes] = {}
    entries: dict[str, list[dict[str, Any]]] = {}
    for day, release in enumerate(names, start=1):
        for each in charts_of(release):
            file = f"{each.name}-{each.version}.tgz"
            files[file] = each.archive
            entries.setdefault(each.name, []).append(entry(each, f"2026-01-{day:02}T12:00:00.123456789Z", file))
    files["index.yaml"] = index(entries).encode()
    return files


def entry(of: Chart, created: str, url: str) -> dict[str, Any]:
    """What an index has of a chart."""
    app_version = {"appVersion": of.app_version} if of.app_version else {}
    known = {"name": of.name, "version": of.version, "created": created, "digest": of.sha256, "urls": [url]}
    return {**app_version, **known}


def index(entries: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """An index as `helm repo index` writes it."""
    return "\n".join(["apiVersion: v1", "entries:", *_lines(entries), 'generated: "2026-01-31T00:00:00Z"', ""])


def _lines(entries: Mapping[str, Iterable[Mapping[str, Any]]]) -> Iterator[str]:
    for name, versions in sorted(entries.items()):
        yield f"  {name}:"
        for fields in versions:
            mark = "  - "
            for key, value in sorted({"apiVersion": "v2", **fields}.items()):
                if isinstance(value, list):
                    yield f"{mark}{key}:"
                    yield from (f"    - {item}" for item in value)
                else:
                    yield f'{mark}{key}: "{value}"' if key == "created" else f"{mark}{key}: {value}"
                mark = "    "
