"""Hold what mirror reads from real charts, and the values that it writes for them, to what real Helm renders.

What is rendered is judged here by its YAML alone; of mirror only the answers are used, which are on trial:

    chart as it is, and with its optional parts on   the images rendered, and the injector's debug image, are those read
    with our values: alone, after values-ha.yaml,    every image is in the mirror, pinned, or one that the chart
    after a file of an operator's own images         hard-codes; no label is invalid; nothing of the operator's is left
    with a digest where mirror says none can be      it takes no effect, or makes a label invalid
    what Helm renders by itself, rewritten by mirror  every image is in the mirror, pinned; a second time changes
                                                     nothing; no line differs but in an image

The last one shows that nothing is left unpinned that could be pinned.
For the releases of linkerd/data/images.json, what is read is held to that too, values paths and all.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml

from mirror.linkerd.chart import ChartIndex, read_archive
from mirror.linkerd.holdings import Holding, Holdings
from mirror.linkerd.images import chart_images, release_images
from mirror.linkerd.overrides import Heading, Located, hardcoded, nested, values_file
from mirror.linkerd.parts import Chart, Image
from mirror.linkerd.proof import prove
from mirror.linkerd.release import Release
from mirror.linkerd.rewrite import rewrite
from mirror.oci.content import Digest
from mirror.oci.reference import Reference, Repository
from tests.linkerd.charts import expected_image, found_image, rendered

# What turns each chart's optional parts on; a key that a chart does not have is left out.
OPTIONS: Mapping[str, object] = {
    "cniEnabled": True,
    "proxy": {"nativeSidecar": True},
    "repairController": {"enabled": True},
    "controllers": [{"link": {"ref": {"name": "west"}}}],
    "localServiceMirror": {"enabled": True},
    "gateway": {"enabled": True},
    "grafana": {"enabled": True},
    "prometheus": {"enabled": True},
    "collector": {"enabled": True},
    "jaeger": {"enabled": True},
    "createNamespaceMetadataJob": True,
}
# What a chart does not render without; likewise.
REQUIRED: Mapping[str, object] = {
    "identityTrustAnchorsPEM": "sweep",
    "identity": {"issuer": {"tls": {"crtPEM": "sweep", "keyPEM": "sweep"}, "crtExpiry": "2100-01-01T00:00:00Z"}},
}
MIRROR = "mirror.example:5000/linkerd"
CORPORATE = "corporate.example/own"
HA = "values-ha.yaml"
_LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")  # apimachinery, validation.labelValueFmt
_UPSTREAM = re.compile(r"\b(?:cr\.l5d\.io|ghcr\.io|gcr\.io|docker\.io|registry\.k8s\.io)/")
# As Helm writes one: its value, after which nothing comes.
_IMAGE = re.compile(r"(?:(?<=image: )|(?<=name: )|(?<=version: )|(?<=lerImage: )|(?<=ImageVersion: ))\S+$")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Job:
    """What is held to what."""

    helm: str
    directory: Path
    """A chart repository for each channel."""
    is_proven: bool = False
    """mirror's own proof is asked too."""


@dataclass(slots=True)
class Finding:
    """What one release has shown."""

    release: str
    images: int = 0
    renders: int = 0
    differences: list[str] = field(default_factory=list)
    """Between the images that mirror reads and those that Helm renders."""
    problems: list[str] = field(default_factory=list)
    """Of the values that mirror writes."""
    broken: list[str] = field(default_factory=list)
    """What a chart does not render by itself."""
    hardcoded: list[str] = field(default_factory=list)
    """Rendered in spite of our values, and listed by mirror as out of their reach."""
    unpinned: list[str] = field(default_factory=list)
    """Pulled by their tags alone, each with the reason that mirror gives, and held to be true."""
    read_cpu_s: float = 0.0
    """For unpacking the charts and finding their images."""
    seconds: float = 0.0


# --- what is rendered ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bench:
    """One chart in a directory, and the program that renders it."""

    helm: str
    directory: Path
    chart: Chart
    finding: Finding

    def rendered(self, *layers: object) -> list[Any]:
        """The documents that the chart renders with *layers* of values, the last one strongest."""
        return _documents(self.text(*layers))

    def text(self, *layers: object) -> str:
        """The same, as Helm writes it."""
        self.finding.renders += 1
        bounds = re.findall(r"(\d+)\.(\d+)", self.chart.kube_version)
        version = max([(1, 35), *((int(major), int(minor)) for major, minor in bounds)])
        command = [self.helm, "template", "sweep", "chart.tgz", "--namespace", "linkerd"]
        command += ["--kube-version", "{}.{}.0".format(*version)]
        for number, layer in enumerate((_known(REQUIRED, self.chart.values), *layers)):
            file = self.directory / f"{number}.yaml"
            file.write_text(layer if isinstance(layer, str) else yaml.safe_dump(layer))
            command += ["--values", file.name]
        (self.directory / "chart.tgz").write_bytes(self.chart.archive)
        # GOGC: it ends before there is much to collect
        environment = {"HOME": str(self.directory), "PATH": "/usr/bin:/bin", "GOGC": "off"}
        done = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.chart.name}: {' '.join(done.stderr.decode(errors='replace').split())[-500:]}")
        return done.stdout.decode()


def _documents(text: str) -> list[Any]:
    return [document for document in yaml.load_all(text, _Loader) if document]


def _known(wanted: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of *wanted* whose keys *values* has, all the way down."""
    known: dict[str, Any] = {}
    for key, value in wanted.items():
        below = values.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            known[key] = _known(value, below)
        elif key in values and not isinstance(value, Mapping):
            known[key] = value
    return {key: value for key, value in known.items() if value != {}}


def _holds(wanted: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether *values* are as *wanted* already."""
    return all(
        _holds(value, values[key]) if isinstance(value, Mapping) else value == values[key]
        for key, value in wanted.items()
    )


def _scalars(node: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _scalars(value, (*keys, str(key)))
    elif isinstance(node, list):
        for value in node:
            yield from _scalars(value, keys)
    else:
        yield keys, node


def images_in(documents: Iterable[Any]) -> Counter[str]:
    """What containers run, by reference; a CustomResourceDefinition runs nothing."""
    return Counter(
        str(value)
        for document in documents
        if document.get("kind") != "CustomResourceDefinition"
        for keys, value in _scalars(document)
        if keys[-1:] == ("image",)
    )


def injected_in(documents: Iterable[Any]) -> set[str]:
    """What the injector would add to pods, by the values that it is given."""
    return {
        reference
        for document in documents
        if document.get("kind") == "ConfigMap" and document["metadata"]["name"] == "linkerd-config"
        for reference in _injected(yaml.load(document.get("data", {}).get("values", ""), _Loader) or {})
    }


def _injected(values: Mapping[str, Any]) -> Iterator[str]:
    for part in ("proxy", "proxyInit", "debugContainer"):
        image = (values.get(part) or {}).get("image") or {}
        if image.get("name"):
            yield f"{image['name']}:{image.get('version') or values.get('linkerdVersion')}"


def invalid_labels(documents: Iterable[Any]) -> set[str]:
    """Labels that Kubernetes would refuse."""
    parents = {"labels", "matchLabels", "nodeSelector"}
    return {
        f"{document['kind']}/{document['metadata']['name']}: {keys[-1]}: {value}"
        for document in documents
        if document.get("kind") != "CustomResourceDefinition"
        for keys, value in _scalars(document)
        if len(keys) > 1 and keys[-2] in parents and not _is_label(value)
    }


def _is_label(value: object) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= 63 and bool(_LABEL.fullmatch(value)))


# --- one release -----------------------------------------------------------------------------------------------------


def hold(name: str, job: Job) -> Finding:
    """What the charts of the release *name* show."""
    finding, begin = Finding(name), time.monotonic()
    release = Release.parse(name)
    repository = job.directory / release.channel
    index = ChartIndex.parse((repository / "index.yaml").read_bytes())
    archives = [(e, (repository / e.urls[0]).read_bytes()) for e in index.charts_of(release)]
    cpu = time.process_time()
    charts = [
        read_archive(data, name=e.name, version=e.version, sha256=e.sha256, where=e.urls[0]) for e, data in archives
    ]
    images = release_images(charts)
    finding.read_cpu_s = time.process_time() - cpu
    finding.images = len(images)
    for chart in charts:
        with tempfile.TemporaryDirectory(prefix="sweep-") as work:
            bench = Bench(job.helm, Path(work), chart, finding)
            ours = [image for image in images if chart.name in image.charts]
            try:
                _hold_images(bench, ours)
                _hold_facts(bench, release)
                _hold_rewriting(bench, ours)
                if ours:
                    _hold_all_values(bench, ours, is_proven=job.is_proven)
            except RuntimeError as exc:
                finding.problems.append(str(exc))
    finding.seconds = time.monotonic() - begin
    return finding


def _hold_images(bench: Bench, images: Sequence[Image]) -> None:
    """What mirror reads is what Helm renders."""
    values, options = bench.chart.values, _known(OPTIONS, bench.chart.values)
    documents = bench.rendered()
    rendered = {*images_in(documents), *injected_in(documents)}
    if not _holds(options, values):
        rendered |= set(images_in(bench.rendered(options)))
    debug = (values.get("debugContainer") or {}).get("image") or {}
    if debug.get("name"):
        rendered.add(f"{debug['name']}:{debug.get('version') or values['linkerdVersion']}")
    read = {image.reference for image in images}
    finding = bench.finding
    finding.differences += [f"{bench.chart.name}: rendered and not read: {each}" for each in sorted(rendered - read)]
    finding.differences += [f"{bench.chart.name}: read and not rendered: {each}" for each in sorted(read - rendered)]


def _hold_facts(bench: Bench, release: Release) -> None:
    """What mirror reads is what is known of the release, if it is."""
    known = rendered().get(str(release))
    if known is not None:
        expected = set(map(expected_image, known.get(bench.chart.name, ())))
        found = set(map(found_image, chart_images(bench.chart)))
        bench.finding.differences += [
            f"{bench.chart.name}: known, and read otherwise: {each}" for each in expected ^ found
        ]


def _hold_rewriting(bench: Bench, images: Sequence[Image]) -> None:
    """What Helm renders by itself, rewritten, is in the mirror, what is hard-coded too, and all else is as it was."""
    chart, finding = bench.chart, bench.finding
    holdings = Holdings(_resolved)
    for image in images:
        place = _located(image.reference)
        holdings.add([Holding(finding.release, place.digest, place)])
    ways: dict[str, tuple[object, ...]] = {"as it is": (), "with all its parts": (_known(OPTIONS, chart.values),)}
    if HA in chart.files:
        ways[f"after {HA}"] = (chart.files[HA],)
    for way, layers in ways.items():
        text = bench.text(*layers)
        done = rewrite(text, holdings, "digest")
        documents = _documents(done.text)
        where = f"{chart.name}, {way}, rewritten"
        found = {*images_in(documents), *injected_in(documents)}
        finding.problems += [f"{where}: left alone: {each.reference}: {each.problem}" for each in done.left]
        finding.problems += [
            f"{where}: not in the mirror: {each}"
            for each in sorted(found)
            if not each.startswith(f"{MIRROR}/") or "@" not in each
        ]
        finding.problems += [f"{where}: {each}" for each in sorted(_left(documents, set()))]
        finding.problems += [f"{where}: changed: {each}" for each in _changed_besides(text, done.text)]
        if done.text != rewrite(done.text, holdings, "digest").text:
            finding.problems.append(f"{where}: changed again by a second time")


def _changed_besides(before: str, after: str) -> Iterator[str]:
    """Lines that differ in something else than an image, or its name or version in the values for the injector."""
    lines = (text.split("\n") for text in (before, after))
    for old, new in zip_longest(*lines, fillvalue="(no line)"):
        if old != new and not (_IMAGE.search(old) and _IMAGE.sub("", old) == _IMAGE.sub("", new)):
            yield f"{old!r} is now {new!r}"


def _resolved(repository: Repository) -> Repository:
    return Repository("ghcr.io", repository.path) if repository.host == "cr.l5d.io" else repository


def _hold_all_values(bench: Bench, images: Sequence[Image], *, is_proven: bool) -> None:
    """As `_hold_values`, without the secrets where the chart does not render with some, whatever else there is."""
    try:
        _hold_values(bench, images, secrets=("pull",), is_proven=is_proven)
    except RuntimeError as exc:
        try:
            bench.rendered({"imagePullSecrets": [{"name": "own"}]})
        except RuntimeError:
            bench.finding.broken.append(f"with imagePullSecrets, without our values: {exc}")
            _hold_values(bench, images, secrets=(), is_proven=is_proven)
        else:
            raise


def _hold_values(bench: Bench, images: Sequence[Image], *, secrets: Sequence[str], is_proven: bool) -> None:
    """What Helm renders with our values is in the mirror."""
    chart, finding = bench.chart, bench.finding
    located = {image.reference: _located(image.reference) for image in images}
    heading = Heading(Release.parse(finding.release), MIRROR, datetime(2026, 1, 1, tzinfo=UTC))
    ours = values_file(chart.facts, images, located, pin="digest", pull_secrets=secrets, heading=heading)
    fixed = set(hardcoded(chart.name, images))
    ways: dict[str, tuple[object, ...]] = {"alone": ()}
    if HA in chart.files:
        ways[f"after {HA}"] = (chart.files[HA],)
    operators = _operators(chart, secrets)
    ways["after an operator's"] = (operators,)
    seen: Counter[str] = Counter()
    for way, layers in ways.items():
        documents = bench.rendered(*layers, ours)
        found = Counter({*images_in(documents), *injected_in(documents)})
        seen |= found
        where = f"{chart.name}, {way}"
        finding.problems += [
            f"{where}: not in the mirror: {each}" for each in sorted(found) if not _is_ours(each, fixed)
        ]
        finding.problems += [f"{where}: {each}" for each in sorted(invalid_labels(documents))]
        finding.problems += [f"{where}: {each}" for each in sorted(_left(documents, fixed))]
    if is_proven:
        theirs = bench.directory / "theirs.yaml"
        theirs.write_text(yaml.safe_dump(operators))
        proof = asyncio.run(
            prove(bench.helm, chart, ours, images=images, located=located, pin="digest", extra_values=[theirs])
        )
        finding.renders += proof.renders
        finding.problems += [f"{chart.name}, by mirror's proof: {problem}" for problem in proof.problems]
        if set(proof.unreachable) != fixed:
            finding.problems.append(f"{chart.name}: mirror's proof lists {proof.unreachable} as hard-coded")
    finding.hardcoded += [f"{chart.name}: {each}" for each in sorted(fixed & set(seen))]
    finding.problems += [f"{chart.name}: hard-coded and not rendered: {each}" for each in sorted(fixed - set(seen))]
    loose = {
        each.partition(":5000")[2].partition(":")[0] for each in seen if each.startswith(MIRROR) and "@" not in each
    }
    for image in images:
        place = located[image.reference]
        if place.repository.partition(":5000")[2] in loose:
            _hold_unpinned(bench, image, place)


def _located(reference: str) -> Located:
    parsed = Reference.parse(reference)
    tag = parsed.tag or "latest"
    return Located(reference, f"{MIRROR}/{parsed.repository.name}", tag, Digest.of(reference.encode()))


def _is_ours(reference: str, fixed: set[str]) -> bool:
    return reference in fixed or reference.startswith(f"{MIRROR}/")


def _left(documents: Iterable[Any], fixed: set[str]) -> set[str]:
    """Strings that still name upstream or the operator's own registry."""
    return {
        f"{document['kind']}/{document['metadata']['name']}: {'.'.join(keys[-2:])}: {text[:200]}"
        for document in documents
        if document.get("kind") != "CustomResourceDefinition"
        for keys, text in _scalars(document)
        if isinstance(text, str) and text not in fixed and (_UPSTREAM.search(text) or CORPORATE in text)
    }


def _operators(chart: Chart, secrets: Sequence[str]) -> dict[str, Any]:
    """An operator's values: optional parts on, and images of their own wherever the chart has a value for one."""
    own = nested({".".join(path): value for path, value in _own(chart.values)})
    _merge(own, _known(OPTIONS, chart.values))
    pulling = {"imagePullSecrets": [{"name": f"own-{name}"} for name in secrets]} if secrets else {}
    _merge(own, _known({**pulling, "podLabels": {"team": "mesh"}}, chart.values))
    return own


def _own(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in values.items():
        here = (*path, key)
        if isinstance(value, Mapping):
            yield from _own(value, here)
        elif key in ("registry", "defaultRegistry", "dockerRegistry") or (key == "name" and path[-1:] == ("image",)):
            yield here, CORPORATE if key != "name" or "registry" not in values else "own"
        elif key in ("version", "tag") and path[-1:] == ("image",):
            yield here, "own-1"
        elif key == "pauseImage" or (key.endswith("Image") and isinstance(value, str)):
            yield here, CORPORATE
        elif key.endswith(("ImageVersion", "PluginVersion")):
            yield here, "own-1"


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _hold_unpinned(bench: Bench, image: Image, place: Located) -> None:
    """A digest at the tag path has no effect, or makes a label invalid."""
    for control in image.controls:
        if control.chart != bench.chart.name:
            continue
        name = f"{control.chart}: {image.reference.rpartition('/')[2].partition(':')[0]}"
        if not control.unpinnable:
            bench.finding.problems.append(f"{name} is not pinned, and no reason is given")
        elif control.tag:
            documents = bench.rendered(nested({control.tag: place.version(pinned=True)}))
            takes = any(str(place.digest) in each for each in images_in(documents))
            if takes and not invalid_labels(documents):
                bench.finding.problems.append(f"{name} could be pinned by {control.tag}: {control.unpinnable}")
            # what differs from one release to the next is not a reason of its own
            reason = re.sub(r", line \d+", "", control.unpinnable)
            bench.finding.unpinned.append(f"{name}, by {control.tag}: {reason}")


# --- all of them -----------------------------------------------------------------------------------------------------


def releases_in(directory: Path) -> list[str]:
    """The releases of the chart repositories in *directory*, oldest first."""
    dated = []
    for index in sorted(directory.glob("*/index.yaml")):
        parsed = ChartIndex.parse(index.read_bytes())
        dated += [(parsed.created(each) or datetime.min.replace(tzinfo=UTC), each) for each in parsed.releases()]
    return [str(each) for _, each in sorted(dated)]


def evenly(ordered: Sequence[str], count: int) -> list[str]:
    """*count* of *ordered*, the first and the last among them."""
    if count >= len(ordered):
        return list(ordered)
    return [ordered[i * (len(ordered) - 1) // max(count - 1, 1)] for i in range(count)]


def sweep(job: Job, names: Sequence[str], *, workers: int) -> Iterator[Finding]:
    """What each of *names* shows, in their order."""
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(partial(hold, job=job), names)


def told(findings: Sequence[Finding], seconds: float, workers: int) -> Iterator[str]:
    """The report, line by line."""
    yield f"{len(findings)} releases:"
    yield from _wrapped(finding.release for finding in findings)
    for title, of in (
        ("differences between the images read and those rendered", [f.differences for f in findings]),
        ("problems of the values written", [f.problems for f in findings]),
        ("not rendered by charts themselves", [f.broken for f in findings]),
        ("hard-coded, listed and left", [f.hardcoded for f in findings]),
        ("pulled by tag alone, the reason held to be true", [f.unpinned for f in findings]),
    ):
        yield f"{title}: {sum(map(len, of)) or 'none'}"
        grouped: dict[str, list[str]] = {}
        for finding, lines in zip(findings, of, strict=True):
            for line in dict.fromkeys(lines):
                grouped.setdefault(line.replace(finding.release, "RELEASE"), []).append(finding.release)
        for line, releases in grouped.items():
            yield f"  {line}"
            yield from (f"    {each}" for each in _wrapped(releases))
    read = sorted(finding.read_cpu_s for finding in findings)
    yield (
        f"{sum(f.images for f in findings)} images, {sum(f.renders for f in findings)} renders in {seconds:.0f} s by "
        f"{workers} workers; reading one release took {read[len(read) // 2]:.2f} s of CPU, at most {read[-1]:.2f}"
    )


def _wrapped(names: Iterable[str]) -> Iterator[str]:
    line = ""
    for name in names:
        if line and len(line) + len(name) > 110:
            yield line
            line = ""
        line = f"{line} {name}".strip()
    yield line
