"""What values do not reach, by other people's tools: Helm's post-renderers, kustomize, containerd."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests import program
from tests.servers.tools import require
from tests.servers.upstream import RELEASE, Upstream, references, write_toml

PLACE = "pull.example.com/l5d"
POST_RENDERER = program.PROJECT / "helm" / "post-renderer"
CURL = "curlimages/curl:7.78.0"
# As of linkerd-viz 2.12: templates/namespace-metadata.yaml, a hook whose image no value reaches.
HOOK = f"""\
kind: Job
apiVersion: batch/v1
metadata:
  name: namespace-metadata
  annotations:
    helm.sh/hook: post-install # always
spec:
  template:
    spec:
      containers:
      - name: namespace-metadata
        image: {CURL} # hard-coded
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A directory with a mirror of a release, and its charts."""

    directory: Path
    upstream: Upstream
    environ: Mapping[str, str]

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.directory,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def said(self, *command: str, stdin: str = "") -> str:
        done = self.run(*command, stdin=stdin)
        assert 0 == done.returncode, done.stderr
        return done.stdout

    def pinned(self, reference: str) -> str:
        name, _, tag = reference.rpartition("/")[2].partition(":")
        return f"{PLACE}/{name}:{tag}@{self.upstream.images[reference].digest}"


@pytest.fixture
def site(upstream: Upstream, tmp_path: Path) -> Site:
    """A layout that is pulled from by name; upstream is gone."""
    upstream.put(CURL, upstream.images[references()[0]])
    upstream.publish(viz_templates={"templates/namespace-metadata.yaml": HOOK})
    layout = {"production": {"kind": "layout", "directory": str(tmp_path / "mirror"), "pull_registry": PLACE}}
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "MIRROR_CONFIG": str(write_toml(tmp_path / "mirror.toml", upstream.document(destinations=layout))),
    }
    made = Site(tmp_path, upstream, environ)
    made.said("mirror", "sync", RELEASE)
    gone = {
        "channels": {"edge": {"chart_repository": "http://127.0.0.1:1/edge"}},
        "registries": {host: {"endpoint": "http://127.0.0.1:1"} for host in ("ghcr.io", "docker.io")},
    }
    write_toml(tmp_path / "mirror.toml", upstream.document(destinations=layout, **gone))
    for name, data in upstream.charts.files.items():
        if name.endswith(".tgz"):
            (tmp_path / re.sub(r"-\d.*", ".tgz", name)).write_bytes(data)
    return made


def images(manifests: str) -> set[str]:
    """Every image in *manifests*."""
    return set(re.findall(r"image: \"?([^\s\"]+)", manifests))


class TestHelm:
    def test_4(self, site: Site) -> None:
        """A plugin, by its name; hooks go through it too. What is not in the mirror stops it, with --strict."""
        helm = require("helm")
        site.said(helm, "plugin", "install", str(POST_RENDERER))
        render = (helm, "template", "viz", "linkerd-viz.tgz", "--post-renderer", "mirror-rewrite")
        rendered = site.said(*render)
        strict = site.run(*render, "--post-renderer-args", "--strict", "--set", "web.image.tag=other")

        assert {site.pinned(each) for each in (CURL, references()[0], *references()[2:])} == images(rendered)
        assert 0 != strict.returncode
        assert "mirror-rewrite" in strict.stderr

    def test_3(self, site: Site) -> None:
        """A command, with arguments; it is not given hooks (helm/helm#7891)."""
        helm = require("helm3")
        render = (helm, "template", "viz", "linkerd-viz.tgz", "--post-renderer", "mirror")
        rendered = site.said(*render, "--post-renderer-args", "rewrite", "--no-hooks")
        strict = ("--post-renderer-args", "rewrite", "--post-renderer-args", "--strict")
        refused = site.run(*render, *strict, "--set", "web.image.tag=other")

        assert {site.pinned(each) for each in (references()[0], *references()[2:])} == images(rendered)
        assert 0 != refused.returncode
        assert "cr.l5d.io/linkerd/web:other (Deployment/viz) is left alone" in refused.stderr

    def test_piped(self, site: Site) -> None:
        """Whatever renders them, and however often: images are all that differs."""
        rendered = site.said(require("helm"), "template", "viz", "linkerd-viz.tgz")
        done = site.said("mirror", "rewrite", "--strict", stdin=rendered)

        assert site.pinned(CURL) in images(done)
        expected = rendered
        for reference in images(rendered):
            expected = expected.replace(f"image: {reference}", f"image: {site.pinned(reference)}")
        assert expected == done
        assert done == site.said("mirror", "rewrite", "--strict", stdin=done)


def test_the_plugin_has_the_programs_version() -> None:
    """Both are released together."""
    project = tomllib.loads((program.PROJECT / "pyproject.toml").read_text())["project"]

    assert project["version"] == yaml.safe_load((POST_RENDERER / "plugin.yaml").read_text())["version"]


@pytest.mark.parametrize("pin", ["digest", "tag"])
def test_kustomize(site: Site, pin: str) -> None:
    """The Component renames what is rendered, hard-coded or not."""
    kubectl = require("kubectl")
    rendered = site.said(require("helm"), "template", "viz", "linkerd-viz.tgz")
    site.said("mirror", "overrides", RELEASE, "--format", "kustomize", "--pin", pin, "-d", "component")
    (site.directory / "viz.yaml").write_text(rendered)
    (site.directory / "kustomization.yaml").write_text("resources: [viz.yaml]\ncomponents: [component]\n")
    built = site.said(kubectl, "kustomize", ".")

    expected = {site.pinned(each) for each in (CURL, references()[0], *references()[2:])}
    expected = {re.sub(r":[^:@]+@", "@", each) if pin == "digest" else each.partition("@")[0] for each in expected}
    assert expected == images(built)
    assert 2 == len(list(yaml.safe_load_all(built)))


def test_a_list(site: Site) -> None:
    """What a scanner or another mirror takes: names with digests, as lines and as JSON."""
    lines = site.said("mirror", "overrides", RELEASE, "--format", "images")
    document = json.loads(site.said("mirror", "overrides", RELEASE, "--format", "images", "-o", "json"))

    expected = sorted(map(site.pinned, (CURL, *references())))
    assert expected == lines.splitlines()
    assert {*references(), CURL} == {each["reference"] for each in document["images"]}
    told = [f"{each['repository']}:{each['tag']}@{each['digest']}" for each in document["images"]]
    assert expected == sorted(told)
