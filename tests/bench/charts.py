"""A Helm chart repository whose charts name exactly the images of release.py, each tagged with the release.

    python -m tests.bench.charts build DIRECTORY edge-26.1.1 edge-26.1.2
    python -m tests.bench.charts serve DIRECTORY --listen ADDRESS:PORT

The charts have the names, the values and the `image:` lines of Linkerd's own, and nothing else: they are there to be
resolved, not to be installed.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mirror.linkerd.chart import Chart
from tests.linkerd import charts

_REGISTRY = "cr.l5d.io/linkerd"
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def _image(name: str, version: str = "") -> dict[str, Any]:
    return {"image": {"name": f"{_REGISTRY}/{name}", "version": version}}


def _viz_image(name: str, tag: str = "") -> dict[str, Any]:
    return {"image": {"registry": "", "name": name, "tag": tag}}


def _values(tag: str) -> dict[str, dict[str, Any]]:
    """Values by chart; an empty version means what the template defaults to, linkerdVersion."""
    return {
        "linkerd-crds": {},
        "linkerd-control-plane": {
            "linkerdVersion": tag,
            "controllerImage": f"{_REGISTRY}/controller",
            "controllerImageVersion": "",
            "proxy": _image("proxy"),
            "proxyInit": _image("proxy-init", tag),
            "policyController": _image("policy-controller"),
            "debugContainer": _image("debug"),
        },
        "linkerd2-cni": _image("cni-plugin", tag),
        "linkerd-viz": {
            "linkerdVersion": tag,
            "defaultRegistry": _REGISTRY,
            "metricsAPI": _viz_image("metrics-api"),
            "tap": _viz_image("tap"),
            "dashboard": _viz_image("web"),
            "namespaceMetadata": _viz_image("extension-init", tag),
        },
        "linkerd-jaeger": {"linkerdVersion": tag, "webhook": _image("jaeger-webhook", tag)},
    }


def _line(key: str, *, default: bool = True) -> str:
    version = f".Values.{key}.image.version" + (" | default .Values.linkerdVersion" if default else "")
    return f"image: {{{{.Values.{key}.image.name}}}}:{{{{{version}}}}}"


def _viz_line(key: str, *, default: bool = True) -> str:
    registry = f"{{{{.Values.{key}.image.registry | default .Values.defaultRegistry}}}}"
    tag = f".Values.{key}.image.tag" + (" | default .Values.linkerdVersion" if default else "")
    return f"image: {registry}/{{{{.Values.{key}.image.name}}}}:{{{{{tag}}}}}"


_CONTROLLER = "image: {{.Values.controllerImage}}:{{.Values.controllerImageVersion | default .Values.linkerdVersion}}"
_TEMPLATES: dict[str, dict[str, list[str]]] = {
    "linkerd-crds": {},
    "linkerd-control-plane": {
        "destination": [_CONTROLLER, _line("policyController"), _line("proxy")],
        "identity": [_CONTROLLER, _line("proxy")],
        "proxy-injector": [_CONTROLLER, _line("proxyInit", default=False), _line("debugContainer")],
    },
    "linkerd2-cni": {"cni-plugin": ["image: {{ .Values.image.name -}}:{{- .Values.image.version }}"]},
    "linkerd-viz": {
        "metrics-api": [_viz_line("metricsAPI")],
        "tap": [_viz_line("tap")],
        "web": [_viz_line("dashboard")],
        "namespace-metadata": [_viz_line("namespaceMetadata", default=False)],
    },
    "linkerd-jaeger": {"jaeger-injector": [_line("webhook", default=False)]},
}
"""The `image:` lines by chart and template."""


def charts_of(tag: str) -> Iterator[Chart]:
    """The charts of the release *tag*."""
    version = "20" + tag.removeprefix("edge-")
    for name, values in _values(tag).items():
        templates = {
            f"templates/{template}.yaml": charts.deployment(template, lines)
            for template, lines in _TEMPLATES[name].items()
        }
        yield charts.chart(name, version, values, templates, app_version="" if name == "linkerd-crds" else tag)


def build(directory: Path, tags: Sequence[str]) -> None:
    """*directory* is a chart repository of the releases *tags*, oldest first."""
    directory.mkdir(parents=True, exist_ok=True)
    entries: dict[str, list[dict[str, Any]]] = {}
    for age, tag in enumerate(tags):
        created = (_FIRST + timedelta(hours=age)).isoformat()
        for chart in charts_of(tag):
            file = f"{chart.name}-{chart.version}.tgz"
            (directory / file).write_bytes(chart.archive)
            entries.setdefault(chart.name, []).append(charts.entry(chart, created, file))
    newest_first = {name: reversed(of) for name, of in entries.items()}
    (directory / "index.yaml").write_text(charts.index(newest_first))


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes; Nagle would hold the second for an ACK


def serve(directory: Path, listen: str) -> None:
    """Serves *directory* by http, and says where on stderr."""
    address, _, port = listen.rpartition(":")
    handler = functools.partial(_Handler, directory=str(directory))
    server = ThreadingHTTPServer((address, int(port)), handler)
    sys.stderr.write(f"listening on {address}:{server.server_address[1]}\n")
    sys.stderr.flush()
    server.serve_forever()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="write index.yaml and the archives")
    builder.add_argument("directory", type=Path)
    builder.add_argument("tags", nargs="+", help="releases, oldest first")
    server = commands.add_parser("serve", help="serve a directory over http")
    server.add_argument("directory", type=Path)
    server.add_argument("--listen", required=True, help="ADDRESS:PORT")
    arguments = parser.parse_args()
    if arguments.command == "build":
        build(arguments.directory, arguments.tags)
    else:
        serve(arguments.directory, arguments.listen)


if __name__ == "__main__":
    main()
