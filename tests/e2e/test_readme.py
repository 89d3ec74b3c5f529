"""README.md: its commands do what it says, its configurations load, its options exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mirror.linkerd.images import release_images
from mirror.oci.reference import Reference
from mirror.settings import Settings, load
from tests.documents import blocks, mentioned, missing_links, unknown_options
from tests.e2e.conftest import Start
from tests.linkerd import charts
from tests.program import PROJECT
from tests.servers.distribution import Distribution
from tests.servers.tools import require
from tests.servers.upstream import Upstream, two_platforms, upstream_server

README = (PROJECT / "README.md").read_text()
RELEASE = "edge-26.8.3"
PLACE = "localhost:5000"
CODES = {"plan": 4}


def commands() -> list[tuple[str, list[str]]]:
    """Each command after a `$ `, with the lines that it is said to print."""
    found = list[tuple[str, list[str]]]()
    for line in "".join(blocks(README, "console")).splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The charts of the release that README speaks of, and tiny images in the place of the real ones."""
    with upstream_server() as running:
        running.charts.files |= charts.repository(RELEASE)
        settings = running.settings()
        for image in release_images(charts.charts_of(RELEASE)):
            reference = Reference.parse(image.reference)
            where = settings.resolve(reference.repository)
            running.registry.add(where.path, two_platforms(image.reference), reference.tag)
        yield running


def test_its_commands(upstream: Upstream, open_distribution: Distribution, start: Start) -> None:
    """In its order, against a registry in the place of localhost:5000, each ends as README has it, and says so."""
    hosts = {host: {"endpoint": upstream.registry.url} for host in ("ghcr.io", "docker.io", "registry.k8s.io")}
    document: dict[str, Any] = upstream.document(registries=hosts)

    def here(text: str) -> str:
        host = open_distribution.host
        return text.replace(PLACE, host).replace(PLACE.replace(":", "-"), host.replace(":", "-"))

    ran = 0
    for command, printed in commands():
        program, *arguments = shlex.split(here(command))
        if program != "mirror":
            continue
        ran += 1
        with start(document, *arguments) as process:
            out, err = process.communicate(timeout=60)

        assert CODES.get(arguments[0], 0) == process.returncode, (command, err)
        shapes = {_shape(line) for line in out.splitlines()}
        assert [] == [line for line in printed if line.strip(". ") and _shape(here(line)) not in shapes], command
    assert ran > 4


def _shape(line: str) -> str:
    """*line* without what differs from run to run: digests, sizes, times, spaces, and whether there is a Helm."""
    text = re.sub(r"sha256:[0-9a-f]+", "DIGEST", line)
    text = re.sub(r"\d+(\.\d+)? (B|kB|MB|GB|s)\b", "AMOUNT", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", text)
    text = re.sub(r": (not proven|proven)( by an earlier run)?$", ": PROOF", text)
    return " ".join(text.split())


@pytest.mark.parametrize("block", blocks(README, "toml"))
def test_its_configurations(block: str) -> None:
    """Every key is known, every value is right."""
    Settings.model_validate(tomllib.loads(block))


@pytest.mark.parametrize("block", blocks(README, "yaml"))
def test_its_values(block: str, tmp_path: Path) -> None:
    """The chart takes them, and the configuration that comes of them is one that mirror loads."""
    (tmp_path / "values.yaml").write_text(block)
    arguments = ["template", "mirror", str(PROJECT / "helm/mirror"), "-f", str(tmp_path / "values.yaml")]
    done = subprocess.run([require("helm"), *arguments], capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stderr
    [held] = [each for each in yaml.safe_load_all(done.stdout) if "config.toml" in (each or {}).get("data", {})]
    file = tmp_path / "config.toml"
    file.write_text(held["data"]["config.toml"])
    loaded = load(file, {"MIRROR_REGISTRIES__REGISTRY_EXAMPLE_COM__USERNAME": "of the Secret"})
    assert loaded.settings.overrides.config_maps.enabled
    assert () == loaded.warnings


@pytest.mark.parametrize("command", mentioned(README))
def test_its_options_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every command that README names, also of those that it does not show the answer of."""
    assert [] == unknown_options(command, capsys)


def test_its_links() -> None:
    """Every file that it names is there."""
    assert [] == missing_links(PROJECT / "README.md")


def test_its_make_targets() -> None:
    """`make` knows them."""
    for target in re.findall(r"^make (\w+)", "".join(blocks(README, "")), re.MULTILINE):
        done = subprocess.run(["/usr/bin/make", "-n", target], cwd=PROJECT, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr


def test_the_path_of_the_values() -> None:
    """What Helm is given is where sync says it writes."""
    told = re.search(r"in (overrides/\S+): proven", README)
    assert told is not None
    assert f"-f {Path(told[1]) / 'linkerd-control-plane.yaml'}" in README
