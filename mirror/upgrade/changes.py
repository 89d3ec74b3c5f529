"""What changes at one hop of an upgrade: two releases' charts, images and indexes beside each other. Pure.

    kind                   what it tells, of a chart, an image, or the release
    ────────────────────── ────────────────────────────────────────────────────────────────────────────────────────
    chart_split            the one chart of old has become others
    chart_appeared         a chart that was not there
    chart_vanished         a chart that is there no longer
    chart_versions         charts are versioned otherwise, or need Helm's --devel
    kubernetes             another version is needed, by kubeVersion of the charts
    kubernetes_supported   other versions are supported, by Linkerd's documents
    image_appeared         an image that was not pulled
    image_vanished         an image that no chart names any more
    image_moved            an image of the same name is in another repository
    image_replaced         another image has its place: the same value names it
    image_tag              another tag, of an image that has not its release's
    image_hardcoded        a template names it where no value reaches
    platforms_dropped      its index lacks platforms that it had
    platforms_added        its index has platforms that it lacked
    value_gone             values that controlled an image, and that the chart has no longer
    value_ineffective      values that the chart still has, and that control no image any more
    annotation             an annotation of workloads that breaks, or does nothing now
    signature              signed at last, or in another form

What comparing finds is not written down here: what only a document says is in mirror/linkerd/documented.py, and who
signs what in mirror/trust/policy.py.
No chart has a schema, so that Helm takes a value that is gone without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from mirror.linkerd.chart import CRDS, MAIN_CHARTS
from mirror.linkerd.documented import BUNDLES, INIT, INIT_GONE, KUBERNETES, SPLIT
from mirror.linkerd.parts import Chart, Image
from mirror.linkerd.release import ProjectVersion, Release
from mirror.oci.content import Platform
from mirror.oci.reference import Reference, Repository
from mirror.trust.policy import NeverSigned, expectation

Kind = Literal[
    "chart_split",
    "chart_appeared",
    "chart_vanished",
    "chart_versions",
    "kubernetes",
    "kubernetes_supported",
    "image_appeared",
    "image_vanished",
    "image_moved",
    "image_replaced",
    "image_tag",
    "image_hardcoded",
    "platforms_dropped",
    "platforms_added",
    "value_gone",
    "value_ineffective",
    "annotation",
    "signature",
]


@dataclass(frozen=True, slots=True)
class Change:
    """One change; what it is of, a chart or an image, or neither, is the subject of *told*."""

    kind: Kind
    told: str
    chart: str = ""
    image: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        named = {"chart": self.chart, "image": self.image}
        return {"kind": self.kind, "told": self.told, **{key: name for key, name in named.items() if name}}


@dataclass(frozen=True)  # no slots: what is derived is kept
class Edition:
    """A release as it is compared."""

    release: Release
    version: ProjectVersion | None
    """Of the project, where that is known."""
    charts: tuple[Chart, ...]
    images: tuple[Image, ...]
    platforms: Mapping[Reference, frozenset[Platform]] = field(default_factory=dict)
    """Of the images whose indexes have been read."""

    @cached_property
    def repositories(self) -> Mapping[Repository, tuple[Reference, ...]]:
        """The references of its images, by repository."""
        found: dict[Repository, list[Reference]] = {}
        for reference in self.references.values():
            found.setdefault(reference.repository, []).append(reference)
        return {repository: tuple(sorted(of_it)) for repository, of_it in sorted(found.items())}

    @cached_property
    def references(self) -> Mapping[str, Reference]:
        """Its images' references, by what charts write."""
        return {image.reference: Reference.parse(image.reference) for image in self.images}

    def images_at(self, repository: Repository) -> Sequence[Image]:
        """Its images in *repository*."""
        return [image for image in self.images if self.references[image.reference].repository == repository]

    def chart(self, name: str) -> Chart | None:
        """Its chart *name*, or what the control plane's has become."""
        names = MAIN_CHARTS if name in MAIN_CHARTS else (name,)
        return next((chart for chart in self.charts if chart.name in names), None)

    def tags(self, repository: Repository) -> tuple[str, ...]:
        """The tags of its images in *repository*."""
        return tuple(str(reference.version) for reference in self.repositories[repository])

    def platforms_of(self, repository: Repository) -> frozenset[Platform]:
        """The platforms of its images in *repository*; none where their indexes have not been read."""
        several = [self.platforms.get(reference) for reference in self.repositories[repository]]
        return frozenset().union(*(each for each in several if each)) if all(several) else frozenset()


def changes(before: Edition, after: Edition) -> tuple[Change, ...]:
    """What is otherwise in *after* than in *before*, by kind as the table has them."""
    return (
        *_charts(before, after),
        *_chart_versions(before, after),
        *_kubernetes(before, after),
        *_images(before, after),
        *_platforms(before, after),
        *_values(before, after),
        *_signatures(before, after),
    )


def to_look_at(before: Edition, after: Edition) -> set[Reference]:
    """The images whose platforms can tell of a change: both have the repository, and not the same in it."""
    shared = [
        {*before.repositories[repository], *after.repositories[repository]}
        for repository in before.repositories
        if repository in after.repositories and before.repositories[repository] != after.repositories[repository]
    ]
    return set[Reference]().union(*shared)


# --- charts ----------------------------------------------------------------------------------------------------------


def _charts(before: Edition, after: Edition) -> Iterator[Change]:
    old, new = _names(before), _names(after)
    appeared, vanished = [name for name in new if name not in old], [name for name in old if name not in new]
    was_main = [name for name in vanished if name in MAIN_CHARTS]
    parts = [name for name in appeared if name in (CRDS, *MAIN_CHARTS)]
    if was_main and parts:
        yield from (Change("chart_split", f"is split into {_and(parts)}; {SPLIT}", chart=name) for name in was_main)
        appeared, vanished = [n for n in appeared if n not in parts], [n for n in vanished if n not in was_main]
    yield from (Change("chart_appeared", "new", chart=name) for name in appeared)
    yield from (Change("chart_vanished", f"not in {after.release} any more", chart=name) for name in vanished)


def _names(edition: Edition) -> list[str]:
    return [chart.name for chart in edition.charts]


_CALVER, _OWN, _EACH = "by the date", "as the release is", "each on its own"


def _chart_versions(before: Edition, after: Edition) -> Iterator[Change]:
    old, new = _scheme(before), _scheme(after)
    if old and new and old != new:
        told = f"charts are versioned {new} now ({_main(after)}), and were {old} ({_main(before)})"
        yield Change("chart_versions", told)
    if _is_devel(after) and not _is_devel(before):
        yield Change("chart_versions", "its charts are pre-releases, which Helm takes by exact version or with --devel")
    if _is_devel(before) and not _is_devel(after):
        yield Change("chart_versions", "its charts are no pre-releases any more: Helm finds them without --devel")


def _scheme(edition: Edition) -> str:
    version, own = _main(edition), edition.release.version
    if not version:
        return ""
    return _CALVER if re.match(r"20\d\d\.", version) else _OWN if version == own else _EACH


def _is_devel(edition: Edition) -> bool:
    return "-" in _main(edition)


def _main(edition: Edition) -> str:
    """The version of the control plane's chart; empty where it is not among those compared."""
    return next((chart.version for chart in edition.charts if chart.name in MAIN_CHARTS), "")


def _kubernetes(before: Edition, after: Edition) -> Iterator[Change]:
    needed: dict[tuple[str, str], list[str]] = {}
    for chart in after.charts:
        was = before.chart(chart.name)
        if was is not None and was.kube_version != chart.kube_version:
            needed.setdefault((was.kube_version, chart.kube_version), []).append(chart.name)
    for (old, new), names in needed.items():
        told = f"Kubernetes {new or 'of any version'} is needed, and was {old or 'of any version'}"
        is_of_all = len(names) == sum(before.chart(chart.name) is not None for chart in after.charts)
        yield from [Change("kubernetes", told)] if is_of_all else (Change("kubernetes", told, chart=n) for n in names)
    yield from _supported(before, after)


def _supported(before: Edition, after: Edition) -> Iterator[Change]:
    old = KUBERNETES.get(before.version) if before.version else None
    new = KUBERNETES.get(after.version) if after.version else None
    if old is None or new is None or old == new:
        return
    first, last = max(old[0], new[0], key=_numbers), min(old[1], new[1], key=_numbers)
    is_common = _numbers(first) <= _numbers(last)
    told = (
        f"Linkerd {after.version} supports Kubernetes {new[0]} to {new[1]}, and {before.version} {old[0]} to {old[1]}"
    )
    both = f"be on {first} to {last} for this hop" if is_common else "no version of Kubernetes has both"
    yield Change("kubernetes_supported", f"{told}: {both}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


# --- images ----------------------------------------------------------------------------------------------------------


def _images(before: Edition, after: Edition) -> Iterator[Change]:
    vanished = [each for each in before.repositories if each not in after.repositories]
    appeared = [each for each in after.repositories if each not in before.repositories]
    placed = dict[Repository, Repository]()
    for repository in appeared:
        if old := _predecessor(repository, [each for each in vanished if each not in placed.values()], before, after):
            placed[repository] = old
    for repository in appeared:
        tags = _and(after.tags(repository))
        if repository not in placed:
            charts = sorted({chart for image in after.images_at(repository) for chart in image.charts})
            yield Change("image_appeared", f"new, at {tags}, in {_and(charts)}", image=str(repository))
    for repository in vanished:
        if repository not in placed.values():
            yield Change("image_vanished", f"named by no chart of {after.release} any more", image=str(repository))
    for repository, old in placed.items():
        was, is_now = _and(before.tags(old)), _and(after.tags(repository))
        if old.name == repository.name:
            told = f"here now, at {is_now}; it was {old} at {was}"
            yield Change("image_moved", told, image=str(repository))
        else:
            told = f"takes the place of {old}, at {is_now}; the same value names it"
            yield Change("image_replaced", told, image=str(repository))
    yield from _tags(before, after)
    yield from _hardcoded(before, after)


def _predecessor(
    repository: Repository, vanished: Iterable[Repository], before: Edition, after: Edition
) -> Repository | None:
    """That of *vanished* whose place *repository* has: of its name, or named by the same value."""
    candidates = sorted(vanished, key=lambda each: each.name != repository.name)
    by = _controls(repository, after)
    found = (each for each in candidates if each.name == repository.name or by & _controls(each, before))
    return next(found, None)


def _controls(repository: Repository, edition: Edition) -> set[tuple[str, str]]:
    """The values, by chart, that name the images in *repository*."""
    controls = (control for image in edition.images_at(repository) for control in image.controls)
    return {(_successor(control.chart), control.name) for control in controls if control.name}


def _successor(chart: str) -> str:
    return MAIN_CHARTS[0] if chart in MAIN_CHARTS else chart


def _tags(before: Edition, after: Edition) -> Iterator[Change]:
    for repository in after.repositories:
        if repository in before.repositories:
            old, new = before.tags(repository), after.tags(repository)
            # what is tagged as its release changes with each
            if old != new and (set(old) | set(new)) - {str(before.release), str(after.release)}:
                yield Change("image_tag", f"{_and(old)} becomes {_and(new)}", image=str(repository))


def _hardcoded(before: Edition, after: Edition) -> Iterator[Change]:
    was = {before.references[image.reference].repository for image in before.images if image.is_hardcoded}
    for image in after.images:
        repository = after.references[image.reference].repository
        if image.is_hardcoded and repository not in was:
            told = f"hard-coded in {_and(image.charts)}: no value reaches it"
            yield Change("image_hardcoded", told, image=str(repository))


def _platforms(before: Edition, after: Edition) -> Iterator[Change]:
    pairs = [
        (repository, before.platforms_of(repository), after.platforms_of(repository))
        for repository in after.repositories
        if repository in before.repositories
    ]
    known = [pair for pair in pairs if pair[1] and pair[2]]
    for repository, old, new in known:
        if dropped := old - new:
            yield Change("platforms_dropped", f"no longer for {_and(sorted(map(str, dropped)))}", image=str(repository))
    for repository, old, new in known:
        if added := new - old:
            yield Change("platforms_added", f"now for {_and(sorted(map(str, added)))} too", image=str(repository))


# --- values ----------------------------------------------------------------------------------------------------------


def _values(before: Edition, after: Edition) -> Iterator[Change]:
    lost = _paths(before) - _paths(after)
    ineffective: list[Change] = []
    for chart in before.charts:
        successor = after.chart(chart.name)
        paths = sorted(path for name, path in lost if name == _successor(chart.name))
        if successor is None or not paths:
            continue
        there = [path for path in paths if _has(successor.values, path.split("."))]
        if gone := [path for path in paths if path not in there]:
            told = f"gone from the chart: {_and(gone)}; a value there is silently ignored"
            yield Change("value_gone", told, chart=successor.name)
        if there:
            told = f"still there, and without effect on any image: {_and(there)}"
            ineffective.append(Change("value_ineffective", told, chart=successor.name))
    yield from ineffective
    yield from _annotations(before, after)


def _paths(edition: Edition) -> set[tuple[str, str]]:
    """The values that control an image, by chart."""
    split = (path.partition(": ") for image in edition.images for path in image.paths)
    return {(_successor(chart), path) for chart, _, path in split}


def _has(values: Any, path: Sequence[str]) -> bool:
    if not path:
        return True
    return isinstance(values, Mapping) and path[0] in values and _has(values[path[0]], path[1:])


def _annotations(before: Edition, after: Edition) -> Iterator[Change]:
    def has_init(edition: Edition) -> bool:
        return any(repository.name == INIT for repository in edition.repositories)

    if has_init(before) and not has_init(after) and _main(after):
        yield from (Change("annotation", told) for told in INIT_GONE)


# --- signatures ------------------------------------------------------------------------------------------------------


def _signatures(before: Edition, after: Edition) -> Iterator[Change]:
    for repository in after.repositories:
        if repository not in before.repositories:
            continue
        old, new = before.repositories[repository][-1], after.repositories[repository][-1]
        was, is_now = (expectation([repository], each.tag) for each in (old, new))
        if isinstance(was, NeverSigned) and not isinstance(is_now, NeverSigned):
            yield Change("signature", "signed from here on", image=str(repository))
        if _is_bundle(new) and not _is_bundle(old):
            told = "signed by a Sigstore bundle, as cosign 3 does, and no longer in the form of cosign 2"
            yield Change("signature", told, image=str(repository))


def _is_bundle(reference: Reference) -> bool:
    since = BUNDLES.get(reference.repository.name)
    version = re.match(r"v(\d{1,9})\.(\d{1,9})\.(\d{1,9})", reference.tag)
    return since is not None and version is not None and tuple(map(int, version.groups())) >= since


def _and(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
