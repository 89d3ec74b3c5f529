"""Real charts of Linkerd: packaged as its release process does, and mirror held to what real Helm renders of them.

    python -m tests.real_charts --git GIT_DIRECTORY --helm HELM --charts DIRECTORY [--count N] [--prove] [TAG...]

GIT_DIRECTORY is a clone of linkerd/linkerd2 (a bare one will do), HELM the program.
DIRECTORY/CHANNEL then is a chart repository: archives, and an index.yaml with relative urls as `helm repo index` writes
it, each entry created when its tag was committed.
A chart version that several tags share is the last one's, as in the real repository, whose index is merged so.
Without --git, DIRECTORY is as an earlier run has left it.
Without tags, N releases are taken, evenly by age, from stable-2.10.0 to the newest.

What is then held to what is in tests/real_sweep.py; --prove has mirror's own proof say the same, which takes longer.
Every difference is printed, and the exit code is 1 if there is one.
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
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from tests import real_sweep

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
FIRST = "stable-2.10.0"


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


def tags_since(tools: Tools, first: str) -> list[str]:
    """The releases that are tagged, from *first* on, oldest first."""
    found = tools.git("for-each-ref", "--format=%(refname:short)", "refs/tags/edge-*", "refs/tags/stable-*")
    dates = {tag: _date(tools, tag) for tag in found.decode().split() if re.fullmatch(r"\w+-\d+\.\d+\.\d+", tag)}
    return sorted((tag for tag, date in dates.items() if date >= dates[first]), key=lambda tag: (dates[tag], tag))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--git", type=Path, help="a clone of linkerd/linkerd2, to package the charts from")
    parser.add_argument("--helm", default="helm", help="the program")
    parser.add_argument("--charts", type=Path, required=True, help="the directory of the chart repositories")
    parser.add_argument("--count", type=int, default=100, help="how many releases, without tags")
    parser.add_argument("--workers", type=int, default=2, help="how many processes")
    parser.add_argument("--prove", action="store_true", help="have mirror prove the values too")
    parser.add_argument("tags", nargs="*", help="edge-26.8.3, stable-2.14.10, …")
    arguments = parser.parse_args()
    helm = shutil.which(arguments.helm)
    if helm is None:
        parser.error(f"there is no {arguments.helm} on PATH: name it by --helm")
    tags = arguments.tags
    if arguments.git:
        tools = Tools(arguments.git, helm)
        tags = tags or real_sweep.evenly(tags_since(tools, FIRST), arguments.count)
        for channel in ("edge", "stable"):
            build(tools, [tag for tag in tags if tag.startswith(f"{channel}-")], arguments.charts / channel)
    tags = tags or real_sweep.evenly(real_sweep.releases_in(arguments.charts), arguments.count)
    begin = time.monotonic()
    job = real_sweep.Job(helm, arguments.charts, is_proven=arguments.prove)
    findings = list(real_sweep.sweep(job, tags, workers=arguments.workers))
    report = real_sweep.told(findings, time.monotonic() - begin, arguments.workers)
    sys.stdout.writelines(f"{line}\n" for line in report)
    sys.exit(1 if any(finding.differences or finding.problems for finding in findings) else 0)


if __name__ == "__main__":
    main()
