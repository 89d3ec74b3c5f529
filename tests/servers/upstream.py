"""An upstream: a chart repository and a registry that hold small releases in the shape of Linkerd's.

    linkerd-crds            no image
    linkerd-control-plane   linkerd/controller, linkerd/proxy
    linkerd-viz             linkerd/controller (as tap), linkerd/web, prom/prometheus

Every image is an index of two platforms, and all share one layer. Requests are recorded on both sides; the registry is
the fake, so it can misbehave.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirror.settings import Settings
from tests.content import Image, image, index
from tests.linkerd import charts
from tests.servers.fake import FakeRegistry, fake_registry
from tests.servers.loopback import Handler, Seen, serving

RELEASE = "edge-26.8.1"
NEXT = "edge-26.8.2"
BASE = b"a layer that every image has" * 2000
THIRD_PARTY = "prom/prometheus:v2.55.1"
CHARTS = ("linkerd-control-plane", "linkerd-crds", "linkerd-viz")

_CONTROL_PLANE = {
    "linkerdVersion": "",
    "controllerImage": "cr.l5d.io/linkerd/controller",
    "controllerImageVersion": "",
    "imagePullSecrets": [],
    "proxy": {"image": {"name": "cr.l5d.io/linkerd/proxy", "version": ""}},
}
_CONTROL_PLANE_IMAGES = (
    "image: {{.Values.controllerImage}}:{{.Values.controllerImageVersion | default .Values.linkerdVersion}}",
    "image: {{.Values.proxy.image.name}}:{{.Values.proxy.image.version | default .Values.linkerdVersion}}",
)
_VIZ = {
    "linkerdVersion": "",
    "defaultRegistry": "cr.l5d.io/linkerd",
    "tap": {"image": {"registry": "", "name": "controller", "tag": ""}},
    "web": {"image": {"registry": "", "name": "web", "tag": ""}},
    "prometheus": {"image": {"registry": "prom", "name": "prometheus", "tag": "v2.55.1"}},
}
_VIZ_IMAGES = (
    *(
        f"image: {{{{.Values.{part}.registry | default .Values.defaultRegistry}}}}/{{{{.Values.{part}.name}}}}"
        f":{{{{.Values.{part}.tag | default .Values.linkerdVersion}}}}"
        for part in ("tap.image", "web.image")
    ),
    "image: {{.Values.prometheus.image.registry}}/{{.Values.prometheus.image.name}}:{{.Values.prometheus.image.tag}}",
)


def references(release: str = RELEASE) -> list[str]:
    """The images of *release* as its charts write them, sorted."""
    return [*(f"cr.l5d.io/linkerd/{name}:{release}" for name in ("controller", "proxy", "web")), THIRD_PARTY]


def two_platforms(text: str) -> Image:
    """An index of two platforms, which have BASE and a layer of their own."""
    platforms = ("linux/amd64", "linux/arm64")
    return index(*(image(BASE, f"{text} {each}".encode(), platform=each) for each in platforms), platforms=platforms)


@dataclass(slots=True)
class ChartServer:
    """A chart repository: files by name, and who asked for them."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)


@dataclass(slots=True)
class Upstream:
    """A running upstream."""

    registry: FakeRegistry
    charts: ChartServer
    images: dict[str, Image] = field(default_factory=dict)
    """By reference, as charts write it; what the registry was given."""
    _entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def publish(
        self,
        release: str = RELEASE,
        *,
        viz_templates: Mapping[str, str] | None = None,
        viz_values: Mapping[str, Any] | None = None,
    ) -> None:
        """The release is there, its charts and its images."""
        for reference in references(release):
            name = reference.removeprefix("cr.l5d.io/").partition(":")[0]
            self.put(reference, self.images.get(reference) or two_platforms(f"{name} {release}"))
        version = f"20{release.partition('-')[2]}"
        viz = {"templates/viz.yaml": charts.deployment("viz", _VIZ_IMAGES)} | dict(viz_templates or {})
        control_plane = {"templates/destination.yaml": charts.deployment("destination", _CONTROL_PLANE_IMAGES)}
        for made in (
            charts.chart("linkerd-crds", version, {}, {}, app_version=""),
            charts.chart(
                "linkerd-control-plane",
                version,
                _CONTROL_PLANE | {"linkerdVersion": release},
                control_plane,
                app_version=release,
            ),
            charts.chart(
                "linkerd-viz",
                version,
                {**_VIZ, "linkerdVersion": release, **(viz_values or {})},
                viz,
                app_version=release,
            ),
        ):
            file = f"{made.name}-{made.version}.tgz"
            self.charts.files[file] = made.archive
            known = [entry for entry in self._entries.get(made.name, ()) if entry["version"] != version]
            new = charts.entry(made, "2026-08-01T12:00:00.123456789Z", file)
            self._entries[made.name] = [new, *known]
        self.charts.files["index.yaml"] = charts.index(self._entries).encode()

    def put(self, reference: str, what: Image) -> None:
        """The registry has *what* at *reference*."""
        name, _, tag = reference.removeprefix("cr.l5d.io/").partition(":")
        self.registry.add(name, what, tag)
        self.images[reference] = what

    def remove(self, reference: str) -> None:
        """The registry has nothing at *reference* any more."""
        name, _, tag = reference.removeprefix("cr.l5d.io/").partition(":")
        del self.registry.repositories[name].tags[tag]

    def document(self, **tables: Any) -> dict[str, Any]:
        """A configuration that puts this in the place of the real upstream, with *tables* beside or merged."""
        document: dict[str, Any] = {
            "releases": [RELEASE],
            "versions_url": f"{self.charts.url}/versions.yaml",
            "channels": {"edge": {"chart_repository": self.charts.url}},
            "registries": {host: {"endpoint": self.registry.url} for host in ("ghcr.io", "docker.io")},
            "policy": {"signatures": "off"},
        }
        for key, value in tables.items():
            document[key] = {**document[key], **value} if isinstance(document.get(key), dict) else value
        return document

    def settings(self, **tables: Any) -> Settings:
        """`document` as settings."""
        return Settings.model_validate(self.document(**tables))

    def forget_requests(self) -> None:
        """Counts begin anew."""
        self.registry.requests.clear()
        self.charts.requests.clear()


@contextmanager
def upstream_server() -> Iterator[Upstream]:
    """Runs an upstream that has nothing yet."""
    chart_server = ChartServer()

    class ChartHandler(Handler):
        def respond(self) -> None:
            seen = self.seen()
            chart_server.requests.append(seen)
            data = chart_server.files.get(seen.path.removeprefix("/charts/"))
            body = b"no such file" if data is None else data
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    with fake_registry() as registry, serving(ChartHandler) as address:
        chart_server.url = f"http://{address}/charts"
        yield Upstream(registry, chart_server)


def write_toml(path: Path, document: Mapping[str, Any]) -> Path:
    """*path* holds *document* as TOML."""
    lines: list[str] = []

    def inline(value: Any) -> str:
        if isinstance(value, list):
            return f"[{', '.join(map(inline, value))}]"
        if isinstance(value, dict):
            return f"{{{', '.join(f'{json.dumps(key)} = {inline(each)}' for key, each in value.items())}}}"
        return json.dumps(value)

    def table(names: tuple[str, ...], content: Mapping[str, Any]) -> None:
        if names:
            lines.append(f"[{'.'.join(json.dumps(name) for name in names)}]")
        lines.extend(
            f"{json.dumps(key)} = {inline(value)}" for key, value in content.items() if not isinstance(value, dict)
        )
        for key, value in content.items():
            if isinstance(value, dict):
                table((*names, key), value)

    table((), document)
    path.write_text("\n".join(lines) + "\n")
    return path
