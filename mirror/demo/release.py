"""A small release in Linkerd's shape, made on the fly: images and charts, the same bytes each time, and signatures.

    charts ── image: lines ──► references ──► index ─┬► linkerd/amd64 ─► config, base layer (shared), own layer
                                                     ├► linux/arm64 ─► …
                                                     └► unknown/unknown: BuildKit's attestation of each

The names, the values and the `image:` lines are those of Linkerd's charts; the rest is as little as Helm renders.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mirror.oci.content import Digest
from mirror.oci.manifest import OCI_INDEX, OCI_MANIFEST
from mirror.oci.reference import Repository
from mirror.trust.keys import KeyPair, payload

RELEASE = "edge-26.1.1"
CHART_VERSION = "2026.1.1"
PLATFORMS = (("linux", "amd64"), ("linux", "arm64"))
THIRD_PARTY = "prom/prometheus"
TAGS = {
    "linkerd/cni-plugin": "v1.6.8",
    "linkerd/controller": RELEASE,
    "linkerd/debug": RELEASE,
    "linkerd/extension-init": "v0.1.11",
    "linkerd/metrics-api": RELEASE,
    "linkerd/proxy": RELEASE,
    "linkerd/tap": RELEASE,
    "linkerd/web": RELEASE,
    THIRD_PARTY: "v2.55.1",
}
"""Every repository of the release, with the one tag that it has."""

_BASE_SIZE, _OWN_SIZE = 600_000, 200_000  # bytes of a file in a layer
_CREATED = "2026-01-15T12:00:00Z"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_STATEMENT = "application/vnd.in-toto+json"
_SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as a registry serves it."""

    media_type: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class StoredRepository:
    """What a registry holds of one repository; manifests by digest, and by tag."""

    manifests: Mapping[str, StoredManifest]
    tags: Mapping[str, str]
    blobs: Mapping[str, bytes]
    own_layer: str
    """The digest of a layer that no other repository has."""


@dataclass(frozen=True, slots=True)
class Release:
    """The repositories by name, and the archives by file name."""

    repositories: Mapping[str, StoredRepository]
    archives: Mapping[str, bytes]
    public_key: bytes
    """Of who signed Linkerd's own images, PEM."""

    def index(self, url: str) -> bytes:
        """index.yaml as `helm repo index --url` writes it."""
        entries = "".join(
            _index_entry(name, hashlib.sha256(self.archives[_archive_name(name)]).hexdigest(), url)
            for name in sorted(_CHARTS)
        )
        return f'apiVersion: v1\nentries:\n{entries}generated: "{_CREATED}"\n'.encode()


def build() -> Release:
    """The release, Linkerd's own images signed with a new key; a tenth of a second of work."""
    signer = KeyPair.generate()
    repositories = {name: _repository(name, tag, signer if name != THIRD_PARTY else None) for name, tag in TAGS.items()}
    archives = {_archive_name(name): _archive(name, files) for name, files in _CHARTS.items()}
    return Release(repositories, archives, signer.public_pem)


# Images


class _Store:
    """Collects content by digest."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, StoredManifest] = {}

    def blob(self, media_type: str, data: bytes, **more: Any) -> dict[str, Any]:
        """Keeps *data*; its descriptor."""
        digest = str(Digest.of(data))
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)} | more

    def manifest(self, media_type: str, fields: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Keeps a manifest of *fields*; its descriptor."""
        raw = json.dumps({"schemaVersion": 2, "mediaType": media_type, **fields}, indent=2).encode()
        digest = str(Digest.of(raw))
        self.manifests[digest] = StoredManifest(media_type, raw)
        return {"mediaType": media_type, "digest": digest, "size": len(raw)} | more


def _repository(name: str, tag: str, signer: KeyPair | None) -> StoredRepository:
    store = _Store()
    images, attestations, own_layers = [], [], []
    for os, architecture in PLATFORMS:
        image, own_layer = _image(store, name, tag, os, architecture)
        images.append(image)
        own_layers.append(own_layer)
        attestations.append(_attestation(store, name, image))
    index = store.manifest(OCI_INDEX, {"manifests": [*images, *attestations]})
    tags = {tag: index["digest"]}
    if signer is not None:
        digest = Digest.parse(index["digest"])
        tags[digest.fallback_tag(".sig")] = _signature(store, signer, name, digest)["digest"]
    return StoredRepository(store.manifests, tags, store.blobs, own_layers[0])


def _signature(store: _Store, signer: KeyPair, name: str, digest: Digest) -> dict[str, Any]:
    """What `cosign sign --key` puts at the tag sha256-HEX.sig (sigstore/cosign, specs/SIGNATURE_SPEC.md)."""
    signed = payload(Repository("ghcr.io", name), digest)
    annotations = {"dev.cosignproject.cosign/signature": b64encode(signer.sign(signed)).decode()}
    layer = store.blob(_SIMPLE_SIGNING, signed, annotations=annotations)
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    config = store.blob(_CONFIG, json.dumps({"architecture": "", "os": "", "config": {}, "rootfs": rootfs}).encode())
    return store.manifest(OCI_MANIFEST, {"config": config, "layers": [layer]})


def _image(store: _Store, name: str, tag: str, os: str, architecture: str) -> tuple[dict[str, Any], str]:
    """The descriptor of one platform's image, and the digest of its own layer."""
    base = "base" if name != THIRD_PARTY else "third-party base"
    tars = (
        _tar("lib/base", _noise(f"{base} {architecture}", _BASE_SIZE)),
        _tar(f"usr/bin/{name.rpartition('/')[2]}", _noise(f"{name}:{tag} {architecture}", _OWN_SIZE)),
    )
    # Stored, not deflated: the bytes of a layer then do not depend on the version of zlib.
    layers = [store.blob(_LAYER, _gzip(tar, level=0)) for tar in tars]
    configuration = {
        "created": _CREATED,
        "os": os,
        "architecture": architecture,
        "config": {"Entrypoint": [f"/usr/bin/{name.rpartition('/')[2]}"], "User": "65534"},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(tar)) for tar in tars]},
        "history": [{"created": _CREATED, "created_by": "mirror demo"} for _ in tars],
    }
    config = store.blob(_CONFIG, json.dumps(configuration).encode())
    platform = {"os": os, "architecture": architecture}
    manifest = store.manifest(OCI_MANIFEST, {"config": config, "layers": layers}, platform=platform)
    return manifest, layers[1]["digest"]


def _attestation(store: _Store, name: str, image: Mapping[str, Any]) -> dict[str, Any]:
    """BuildKit's provenance of *image* (moby/buildkit docs/attestations/attestation-storage.md)."""
    predicate = "https://slsa.dev/provenance/v1"
    statement = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": predicate,
        "subject": [{"name": name, "digest": {"sha256": image["digest"].partition(":")[2]}}],
        "predicate": {"buildDefinition": {"buildType": "https://example.com/mirror-demo"}},
    }
    layer = store.blob(_STATEMENT, json.dumps(statement).encode(), annotations={"in-toto.io/predicate-type": predicate})
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    config = store.blob(
        _CONFIG, json.dumps({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": rootfs}).encode()
    )
    return store.manifest(
        OCI_MANIFEST,
        {"config": config, "layers": [layer]},
        annotations={
            "vnd.docker.reference.digest": image["digest"],
            "vnd.docker.reference.type": "attestation-manifest",
        },
        platform={"architecture": "unknown", "os": "unknown"},
    )


def _noise(seed: str, size: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size)


def _tar(path: str, data: bytes) -> bytes:
    return _tar_of([(path, data)])


def _tar_of(files: Iterable[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data in files:
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _gzip(data: bytes, *, level: int) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, 31)  # 31: a gzip header, without a time
    return compressor.compress(data) + compressor.flush()


# Charts


def _archive_name(chart: str) -> str:
    return f"{chart}-{CHART_VERSION}.tgz"


def _archive(name: str, files: Mapping[str, str]) -> bytes:
    every = {"Chart.yaml": _metadata(name), **files, **_PARTIALS}
    return _gzip(_tar_of((f"{name}/{path}", text.encode()) for path, text in every.items()), level=6)


def _metadata(name: str) -> str:
    return f"""apiVersion: v2
{_app_version(name)}dependencies:
- name: partials
  repository: file://../partials
  version: 0.1.0
description: A chart in the shape of {name}, for a demonstration
kubeVersion: '>=1.23.0-0'
name: {name}
version: {CHART_VERSION}
"""


def _app_version(name: str) -> str:
    return "" if name == "linkerd-crds" else f"appVersion: {RELEASE}\n"  # the real one has none either


def _index_entry(name: str, digest: str, url: str) -> str:
    app_version = _app_version(name)
    return f"""  {name}:
  - apiVersion: v2
{f"    {app_version}" if app_version else ""}    created: "{_CREATED}"
    dependencies:
    - name: partials
      repository: file://../partials
      version: 0.1.0
    description: A chart in the shape of {name}, for a demonstration
    digest: {digest}
    kubeVersion: '>=1.23.0-0'
    name: {name}
    urls:
    - {url}/{_archive_name(name)}
    version: {CHART_VERSION}
"""


_PARTIALS = {
    "charts/partials/Chart.yaml": "apiVersion: v2\nname: partials\ndescription: Shared templates\nversion: 0.1.0\n",
    "charts/partials/values.yaml": "",
    "charts/partials/templates/_proxy.tpl": """{{ define "partials.proxy" -}}
image: {{.Values.proxy.image.name}}:{{.Values.proxy.image.version | default .Values.linkerdVersion}}
imagePullPolicy: {{.Values.proxy.image.pullPolicy | default .Values.imagePullPolicy}}
name: linkerd-proxy
{{- end }}
""",
    "charts/partials/templates/_proxy-init.tpl": """{{ define "partials.proxy-init" -}}
command:
- /usr/lib/linkerd/linkerd2-proxy-init
image: {{.Values.proxy.image.name}}:{{.Values.proxy.image.version | default .Values.linkerdVersion}}
imagePullPolicy: {{.Values.proxy.image.pullPolicy | default .Values.imagePullPolicy}}
name: linkerd-init
{{- end }}
""",
    "charts/partials/templates/_network-validator.tpl": """{{ define "partials.network-validator" -}}
command:
- /usr/lib/linkerd/linkerd2-network-validator
image: {{.Values.proxy.image.name}}:{{.Values.proxy.image.version | default .Values.linkerdVersion }}
imagePullPolicy: {{.Values.proxy.image.pullPolicy | default .Values.imagePullPolicy}}
name: linkerd-network-validator
{{- end }}
""",
    "charts/partials/templates/_debug.tpl": """{{ define "partials.debug" -}}
image: {{.Values.debugContainer.image.name}}:{{.Values.debugContainer.image.version | default .Values.linkerdVersion}}
imagePullPolicy: {{.Values.debugContainer.image.pullPolicy | default .Values.imagePullPolicy}}
name: linkerd-debug
{{- end }}
""",
    "charts/partials/templates/_pull-secrets.tpl": """{{ define "partials.image-pull-secrets" -}}
{{- if . }}
imagePullSecrets:
{{ toYaml . | indent 2 }}
{{- end }}
{{- end -}}
""",
}


def _account(name: str) -> str:
    return f"""---
kind: ServiceAccount
apiVersion: v1
metadata:
  name: {name}
  namespace: {{{{.Release.Namespace}}}}
{{{{- include "partials.image-pull-secrets" .Values.imagePullSecrets }}}}
"""


def _workload(name: str, containers: str, *, kind: str = "Deployment", before: str = "") -> str:
    return f"""{_account(name)}---
apiVersion: apps/v1
kind: {kind}
metadata:
  name: {name}
  namespace: {{{{.Release.Namespace}}}}
spec:
  selector:
    matchLabels:
      linkerd.io/component: {name}
  template:
    metadata:
      labels:
        linkerd.io/component: {name}
    spec:
      serviceAccountName: {name}
{before}      containers:
{containers}"""


_CONTROLLER = "{{.Values.controllerImage}}:{{.Values.controllerImageVersion | default .Values.linkerdVersion}}"
_INIT = """      initContainers:
      {{ if .Values.cniEnabled -}}
      - {{- include "partials.network-validator" . | indent 8 | trimPrefix (repeat 7 " ") }}
      {{ else -}}
      - {{- include "partials.proxy-init" . | indent 8 | trimPrefix (repeat 7 " ") }}
      {{ end -}}
"""
_PROXY = """      - {{- include "partials.proxy" . | indent 8 | trimPrefix (repeat 7 " ") }}
"""


def _meshed(name: str, *containers: str) -> str:
    """A workload of the control plane: *containers* of the controller's image, beside the proxy."""
    own = "".join(
        f"      - name: {container}\n        image: {_CONTROLLER}\n"
        "        imagePullPolicy: {{.Values.imagePullPolicy}}\n"
        for container in containers
    )
    return _workload(name, own + _PROXY, before=_INIT)


def _viz(name: str, key: str, *, tag_default: bool = True) -> str:
    tag = f".Values.{key}.image.tag" + (" | default .Values.linkerdVersion" if tag_default else "")
    registry = f"{{{{.Values.{key}.image.registry | default .Values.defaultRegistry}}}}"
    image = f"{registry}/{{{{.Values.{key}.image.name}}}}:{{{{{tag}}}}}"
    return _workload(name, f"      - name: {name}\n        image: {image}\n")


_PROMETHEUS = """{{ if .Values.prometheus.enabled -}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: prometheus
  namespace: {{.Release.Namespace}}
spec:
  selector:
    matchLabels:
      linkerd.io/component: prometheus
  template:
    metadata:
      labels:
        linkerd.io/component: prometheus
    spec:
      containers:
      - name: prometheus
        image: {{.Values.prometheus.image.registry}}/{{.Values.prometheus.image.name}}:{{.Values.prometheus.image.tag}}
{{ end -}}
"""

_CRD = """---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: servers.policy.linkerd.io
spec:
  group: policy.linkerd.io
  names:
    kind: Server
    plural: servers
  scope: Namespaced
  versions:
  - name: v1beta3
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
"""

_HEARTBEAT = f"""{{{{ if not .Values.disableHeartBeat -}}}}
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: linkerd-heartbeat
  namespace: {{{{.Release.Namespace}}}}
spec:
  schedule: "0 0 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: heartbeat
            image: {_CONTROLLER}
{{{{ end -}}}}
"""

# What the proxy injector reads when it adds a proxy to a pod.
_INJECTOR_CONFIG = """---
kind: ConfigMap
apiVersion: v1
metadata:
  name: linkerd-config
  namespace: {{.Release.Namespace}}
data:
  values: |
{{ toYaml .Values | indent 4 }}
"""

_CONTROL_PLANE_VALUES = f"""# The images; an empty version means linkerdVersion.
linkerdVersion: {RELEASE}
controllerImage: cr.l5d.io/linkerd/controller
controllerImageVersion: ""
imagePullPolicy: IfNotPresent
imagePullSecrets: []
cniEnabled: false
disableHeartBeat: false
controllerReplicas: 1
proxy:
  image:
    name: cr.l5d.io/linkerd/proxy
    version: ""
    pullPolicy: ""
debugContainer:
  image:
    name: cr.l5d.io/linkerd/debug
    version: ""
    pullPolicy: ""
"""

_VIZ_VALUES = f"""# The images; an empty registry means defaultRegistry, an empty tag linkerdVersion.
linkerdVersion: {RELEASE}
defaultRegistry: cr.l5d.io/linkerd
imagePullSecrets: []
metricsAPI:
  image:
    registry: ""
    name: metrics-api
    tag: ""
tap:
  image:
    registry: ""
    name: tap
    tag: ""
tapInjector:
  image:
    registry: ""
    name: tap
    tag: ""
dashboard:
  image:
    registry: ""
    name: web
    tag: ""
namespaceMetadata:
  image:
    registry: ""
    name: extension-init
    tag: {TAGS["linkerd/extension-init"]}
prometheus:
  enabled: true
  image:
    registry: prom
    name: prometheus
    tag: {TAGS[THIRD_PARTY]}
"""

_CNI_VALUES = f"""imagePullSecrets: []
repairController:
  enabled: false
image:
  name: cr.l5d.io/linkerd/cni-plugin
  version: {TAGS["linkerd/cni-plugin"]}
  pullPolicy: IfNotPresent
"""

_CNI_IMAGE = "{{ .Values.image.name -}}:{{- .Values.image.version }}"
_CNI_CONTAINERS = f"""      - name: install-cni
        image: {_CNI_IMAGE}
{{{{- if .Values.repairController.enabled }}}}
      - name: repair-controller
        image: {_CNI_IMAGE}
{{{{- end }}}}
"""

_CHARTS: Mapping[str, Mapping[str, str]] = {
    "linkerd-control-plane": {
        "values.yaml": _CONTROL_PLANE_VALUES,
        "values-ha.yaml": "controllerReplicas: 3\n",
        "templates/config.yaml": _INJECTOR_CONFIG,
        "templates/destination.yaml": _meshed("linkerd-destination", "destination", "sp-validator", "policy"),
        "templates/heartbeat.yaml": _HEARTBEAT,
        "templates/identity.yaml": _meshed("linkerd-identity", "identity"),
        "templates/proxy-injector.yaml": _meshed("linkerd-proxy-injector", "proxy-injector"),
    },
    "linkerd-crds": {"values.yaml": "installGatewayAPI: false\n", "templates/policy/server.yaml": _CRD},
    "linkerd-viz": {
        "values.yaml": _VIZ_VALUES,
        "values-ha.yaml": "prometheus:\n  enabled: true\n",
        "templates/metrics-api.yaml": _viz("metrics-api", "metricsAPI"),
        "templates/namespace-metadata.yaml": _viz("namespace-metadata", "namespaceMetadata", tag_default=False),
        "templates/prometheus.yaml": _PROMETHEUS,
        "templates/tap-injector.yaml": _viz("tap-injector", "tapInjector"),
        "templates/tap.yaml": _viz("tap", "tap"),
        "templates/web.yaml": _viz("web", "dashboard"),
    },
    "linkerd2-cni": {
        "values.yaml": _CNI_VALUES,
        "templates/cni-plugin.yaml": _workload("linkerd-cni", _CNI_CONTAINERS, kind="DaemonSet"),
    },
}
