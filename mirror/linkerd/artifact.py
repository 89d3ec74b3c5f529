"""Charts as OCI artifacts: what `helm push` makes of an archive, so that `helm pull oci://…` and Flux take it.

    manifest ─► config  CONFIG_TYPE      Chart.yaml as JSON
             ─► layer   CHART_TYPE       the archive, byte for byte
             ─► layer   PROVENANCE_TYPE  its .prov, where the chart repository has one

It follows helm/helm v4.2 pkg/registry (client.go Push, chart.go, constants.go, reference.go), config and layers to the
byte. The manifest differs by two keys:

- `org.opencontainers.image.created` is left out. Helm gives the time of the push, and a chart repository dates an
  archive anew whenever its index is rebuilt (bin/helm-build of linkerd2); so what we make is a function of the archive
  alone, and two releases that share a chart share the artifact.
- `mediaType` is there, as image-spec v1.1 manifest.md wants it. Of a manifest without it ECR stores other bytes than it
  was sent (destinations/ecr/registry.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mirror.errors import ChartError
from mirror.linkerd.parts import Chart
from mirror.oci.content import Digest
from mirror.oci.manifest import OCI_MANIFEST, Manifest

CONFIG_TYPE = "application/vnd.cncf.helm.config.v1+json"
CHART_TYPE = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
PROVENANCE_TYPE = "application/vnd.cncf.helm.chart.provenance.v1.prov"

# The fields of a Chart.yaml in the order of helm/helm pkg/chart/v2/metadata.go and dependency.go.
_METADATA = (
    "name",
    "home",
    "sources",
    "version",
    "description",
    "keywords",
    "maintainers",
    "icon",
    "apiVersion",
    "condition",
    "tags",
    "appVersion",
    "deprecated",
    "annotations",
    "kubeVersion",
    "dependencies",
    "type",
)
_MAINTAINER = ("name", "email", "url")
_DEPENDENCY = ("name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias")
_ANNOTATION = "org.opencontainers.image."
_SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | set(map(chr, range(0x2000, 0x200B)))
_SPELT = {mark: f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
# What a chart's own annotations cannot change (chart.go, immutableOciAnnotations).
_FIXED = (f"{_ANNOTATION}version", f"{_ANNOTATION}title")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A chart as it is stored: its manifest, and the bytes of each blob."""

    manifest: Manifest
    blobs: Mapping[Digest, bytes]
    archive: Digest
    """Of the chart's archive, as the chart index has it."""


def artifact(chart: Chart, provenance: bytes = b"") -> Artifact:
    """What *chart* is stored as, with its *provenance* if it has one; the same bytes each time."""
    metadata = _metadata(chart)
    config = _go_json(metadata)
    contents = [(CHART_TYPE, chart.archive)]
    if provenance:
        contents.append((PROVENANCE_TYPE, provenance))
    view = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(CONFIG_TYPE, config),
        "layers": sorted((_descriptor(kind, data) for kind, data in contents), key=lambda each: str(each["digest"])),
        "annotations": dict(sorted(_annotations(metadata).items())),
    }
    manifest = Manifest.parse(_go_json(view), OCI_MANIFEST, where=f"{chart.name} {chart.version}")
    blobs = {Digest.of(data): data for data in (config, *(data for _, data in contents))}
    return Artifact(manifest, blobs, Digest.of(chart.archive))


def archive_of(manifest: Manifest) -> Digest | None:
    """The digest of the archive in *manifest*, if that is a chart."""
    layers = [blob.digest for blob in manifest.blobs if blob.media_type == CHART_TYPE]
    is_chart = manifest.config is not None and manifest.config.media_type == CONFIG_TYPE
    return layers[0] if is_chart and len(layers) == 1 else None


def version_tag(version: str) -> str:
    """The tag of a chart's version: `+` is no character of a tag, so Helm puts `_` (reference.go, helm/helm#10166)."""
    return version.replace("+", "_")


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data)}


def _annotations(metadata: Mapping[str, Any]) -> dict[str, str]:
    maintainers = metadata.get("maintainers", ())
    found = {
        "description": metadata.get("description", ""),
        "title": metadata.get("name", ""),
        "version": metadata.get("version", ""),
        "url": metadata.get("home", ""),
        "source": next(iter(metadata.get("sources", ())), ""),
        "authors": ", ".join(map(_author, maintainers)),
    }
    own = {key: text for key, text in metadata.get("annotations", {}).items() if key not in _FIXED}
    return {f"{_ANNOTATION}{key}": text for key, text in found.items() if text.strip()} | own


def _author(maintainer: Mapping[str, str]) -> str:
    email = f" ({maintainer['email']})" if "email" in maintainer else ""
    return maintainer.get("name", "") + email


def _metadata(chart: Chart) -> dict[str, Any]:
    """Chart.yaml as Helm loads it: the fields that it knows, in its order, what is empty left out."""
    from mirror.linkerd.chart import mapping  # late, with all that reads YAML: in step no artifact is made

    where = f"{chart.name} {chart.version}"
    found = {"apiVersion": "v1"} | mapping(chart.files.get("Chart.yaml"), f"{where}: Chart.yaml")
    # of a chart of apiVersion v1, as Linkerd's were until 2.11
    found |= mapping(chart.files.get("requirements.yaml", ""), f"{where}: requirements.yaml")
    try:
        return _filled({key: _field(key, found[key]) for key in _METADATA if found.get(key) is not None})
    except (TypeError, AttributeError) as exc:
        raise ChartError(f"{where}: Chart.yaml is not one that Helm reads: {exc}") from exc


def _field(key: str, value: Any) -> Any:
    match key:
        case "sources" | "keywords":
            return [_text(each) for each in value]
        case "maintainers":
            return [_filled({name: _text(each.get(name)) for name in _MAINTAINER}) for each in value]
        case "dependencies":
            return [_dependency(each) for each in value]
        case "annotations":
            return {str(name): _scalar(text) for name, text in sorted(value.items())}
        case "deprecated":
            return value is True
        case _:
            return _text(value)


def _dependency(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A dependency, whose name and repository are there also where they are empty."""
    fields = {key: entry.get(key) for key in _DEPENDENCY}
    texts = {key: _text(fields[key]) for key in ("name", "version", "repository", "condition")}
    made = fields | texts | {"tags": [_text(tag) for tag in fields["tags"] or ()], "alias": _scalar(fields["alias"])}
    made["import-values"] = json.loads(json.dumps(fields["import-values"], sort_keys=True))  # as Go writes a map
    return {key: value for key, value in made.items() if value or key in ("name", "repository")}


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}


def _text(value: Any) -> str:
    """*value* with what does not print left out, and every space a plain one (metadata.go, sanitizeString)."""
    text = _scalar(value)
    return "".join(" " if mark in _SPACES else mark for mark in text if mark in _SPACES or mark.isprintable())


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping | list):
        raise TypeError(f"{str(value)[:100]!r} is not a text")
    return "" if value is None else str(value)


def _go_json(value: object) -> bytes:
    """*value* as Go's encoding/json writes it, which spells out what HTML would read."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return "".join(_SPELT.get(mark, mark) for mark in text).encode()
