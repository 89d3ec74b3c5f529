"""Package the real charts of linkerd/linkerd2 tags into a chart repository, as its bin/helm-build does.

    python -m tests.real_charts --git GIT_DIRECTORY --helm HELM --to DIRECTORY TAG...

GIT_DIRECTORY is a clone of linkerd/linkerd2 (a bare one will do), HELM the program.
DIRECTORY then holds the archives and an index.yaml with relative urls as `helm repo index` writes it, each entry
created when its tag was committed.
A chart version that several tags share is the last one's, as in the real repository, whose index is merged so.
Then the images that mirror reads from them are held to what real Helm renders (linkerd/data/images.json), where that is
known of the tag; a difference is printed, and the exit code is 1.
No test needs this: it proves on real input what the tests prove on small charts.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from mirror.linkerd.chart import ChartIndex, read_archive
from mirror.linkerd.images import chart_images
from tests.linkerd.charts import expected_image, found_image, rendered

# In the order of bin/helm-build; those that a tag lacks are left out.
PATHS = (
    "charts/linkerd2",
    "charts/linkerd-crds",
    "charts/linkerd-control-plane",
    "charts/linkerd2-cni",
    "multicluster/charts/linkerd-multicluster",
    "jaeger/charts/linkerd-jaeger",
    "viz/charts/linkerd-viz",
)
ROOTS = ("charts", "multicluster/charts", "jaeger/charts", "viz/charts")
# Chart.yaml's version in git since edge-24.3.1 (linkerd2#12175); bin/compute-edge-version sets the real one.
PLACEHOLDER = "0.0.0-undefined"


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the history is, and the program that packages."""

    git_directory: Path
    helm: str

    def git(self, *arguments: str) -> bytes:
        return _output(["git", "--git-dir", str(self.git_directory), *arguments])

    def run_helm(self, *arguments: str, home: Path) -> bytes:
        """What Helm prints, with *home* as its home and nothing of the caller's."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HELM_")}
        return _output([self.helm, *arguments], environment=kept | {"HOME": str(home)})


def _output(command: list[str], *, environment: Mapping[str, str] | None = None) -> bytes:
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def package(tools: Tools, tag: str, directory: Path) -> tuple[Path, ...]:
    """The archives of *tag*'s published charts, written to *directory*."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        _extract(tools, tag, work)
        return tuple(
            _package_one(tools, tag, work / path, directory, home=work) for path in PATHS if (work / path).is_dir()
        )


def _extract(tools: Tools, tag: str, work: Path) -> None:
    present = set(tools.git("ls-tree", "-d", "-r", "--name-only", tag).decode().splitlines())
    archive = tools.git("archive", tag, *(root for root in ROOTS if root in present))
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(work, filter="data")


def _package_one(tools: Tools, tag: str, chart: Path, directory: Path, *, home: Path) -> Path:
    values = chart / "values.yaml"
    values.write_text(values.read_text().replace("linkerdVersionValue", tag))
    versions = [] if chart.name == "linkerd-crds" else ["--app-version", tag]
    if version := _version_given(tag, chart, is_monolithic=(home / "charts/linkerd2").is_dir()):
        versions += ["--version", version]
    tools.run_helm("dep", "up", "--skip-refresh", str(chart), home=home)
    with tempfile.TemporaryDirectory() as target:
        tools.run_helm("package", *versions, "-d", target, str(chart), home=home)
        (archive,) = Path(target).iterdir()
        return Path(shutil.move(archive, directory / archive.name))


def _version_given(tag: str, chart: Path, *, is_monolithic: bool) -> str:
    """The version that the release process gives; empty where Chart.yaml has it."""
    number = tag.partition("-")[2]
    if PLACEHOLDER in (chart / "Chart.yaml").read_text():
        return f"20{number}"
    return number if is_monolithic else ""


def build(tools: Tools, tags: Iterable[str], directory: Path) -> Path:
    """A chart repository with the charts of *tags* in *directory*, oldest first; its index."""
    directory.mkdir(parents=True, exist_ok=True)
    dates = {tag: _date(tools, tag) for tag in tags}
    created: dict[str, str] = {}
    for tag in sorted(dates, key=lambda tag: dates[tag]):
        created |= {archive.name: dates[tag] for archive in package(tools, tag, directory)}
    with tempfile.TemporaryDirectory() as home:
        tools.run_helm("repo", "index", str(directory), home=Path(home))
    index = directory / "index.yaml"
    index.write_text("".join(_dated(index.read_text().splitlines(keepends=True), created)))
    return index


def _date(tools: Tools, tag: str) -> str:
    seconds = int(tools.git("log", "-1", "--format=%ct", tag))
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _dated(lines: Iterable[str], created: Mapping[str, str]) -> Iterator[str]:
    """The lines of an index, each entry created when *created* says of its archive."""
    entry: list[str] = []
    for line in [*lines, ""]:
        if re.match(r"  - |\S|  \S|$", line):
            yield from _redated(entry, created)
            entry = []
        entry.append(line)
    yield from entry


def _redated(entry: list[str], created: Mapping[str, str]) -> Iterator[str]:
    date = next((created[name] for line in entry if (name := line.strip().removeprefix("- ")) in created), "")
    for line in entry:
        yield re.sub(r"created: .*", f'created: "{date}"', line) if date else line


def differences(directory: Path) -> Iterator[str]:
    """What mirror reads from the charts of the repository in *directory* and Helm does not render, and the reverse."""
    index = ChartIndex.parse((directory / "index.yaml").read_bytes())
    for release in index.releases():
        for entry in index.charts_of(release) if str(release) in rendered() else ():
            data = (directory / entry.urls[0]).read_bytes()
            chart = read_archive(data, name=entry.name, version=entry.version, sha256=entry.sha256, where=entry.urls[0])
            expected = set(map(expected_image, rendered()[str(release)].get(entry.name, ())))
            found = set(map(found_image, chart_images(chart)))
            yield from (f"{release} {entry}: not found: {image}" for image in sorted(expected - found))
            yield from (f"{release} {entry}: not rendered: {image}" for image in sorted(found - expected))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--git", type=Path, required=True, help="a clone of linkerd/linkerd2")
    parser.add_argument("--helm", default="helm", help="the program")
    parser.add_argument("--to", type=Path, required=True, help="the directory of the chart repository")
    parser.add_argument("tags", nargs="+", help="edge-26.8.3, stable-2.14.10, …")
    arguments = parser.parse_args()
    build(Tools(arguments.git, arguments.helm), arguments.tags, arguments.to)
    found = list(differences(arguments.to))
    sys.stdout.writelines(f"{line}\n" for line in found)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
