"""Overrides: the Helm values that point one chart's images at the mirror.

The rules it keeps:

- Every path that decides an image is written whole, also where it equals the chart's default, so that
  `helm upgrade --reuse-values` carries nothing over from an earlier release.
- Only paths that this chart reads are written, and no list but `imagePullSecrets`: Helm replaces lists whole.
- Every value is a quoted string: `1.31` must not become a float.
- `linkerdVersion` is never written: it feeds labels and `linkerd check`, and must stay the release's own.
- The same input gives the same bytes. Comments are one line of printable ASCII each, whatever a chart is called.

How one control's paths are filled, for `m.example/linkerd/proxy`, tag `v1`, pinned to `sha256:…`:

    registry, name, tag at three paths    m.example/linkerd | proxy | v1@sha256:…
    registry and name at one path         m.example/linkerd/proxy | v1@sha256:…
    all three at one path                 m.example/linkerd/proxy:v1@sha256:…
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from mirror.errors import ChartError
from mirror.linkerd.parts import ChartFacts, Control, Image
from mirror.linkerd.release import Release
from mirror.oci.content import Digest
from mirror.oci.reference import Reference

Pin = Literal["digest", "tag"]
Tree = dict[str, Any]
"""Maps of maps, with values at the leaves."""

# `cliVersion` is what linkerd-jaeger 2.10 called it.
RELEASE_VERSIONS = frozenset({"linkerdVersion", "cliVersion"})
PULL_SECRETS = "imagePullSecrets"

# The first of each channel whose `linkerd check` passes over a digest (linkerd/linkerd2#12059); stable ended before it.
_READS_DIGESTS = {first.channel: first for first in (Release("edge", "24.2.3"), Release("stable", "2.15.0"))}
_PROXY = "proxy"

_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# YAML 1.1 reads these as booleans or null, also as keys (https://yaml.org/type/bool.html).
_RESERVED_KEYS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_COMMENT_MAX = 300


@dataclass(frozen=True, slots=True)
class Located:
    """Where the image that a chart calls *reference* is pulled from, and the digest it was verified to have."""

    reference: str
    repository: str
    """HOST[/PREFIX]/NAME, as the cluster pulls it."""
    tag: str
    digest: Digest

    def __post_init__(self) -> None:
        head, slash, name = self.repository.rpartition("/")
        if not (head and slash and name) or not self.tag:
            raise ChartError(f"{self.reference}: {self.repository!r} at tag {self.tag!r} is no place to pull it from")

    @property
    def registry(self) -> str:
        """All of the repository but its last segment."""
        return self.repository.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last segment of the repository."""
        return self.repository.rpartition("/")[2]

    def version(self, *, pinned: bool) -> str:
        """What follows the colon: `TAG@DIGEST`, or the tag alone."""
        return f"{self.tag}@{self.digest}" if pinned else self.tag


@dataclass(frozen=True, slots=True)
class Heading:
    """What the head of a values file says of where its digests come from."""

    release: Release
    mirror: str
    recorded: datetime
    """When these digests were first recorded."""
    helm: str = ""
    """The command that installs the chart from the mirror; empty where the mirror does not hold it."""

    def __post_init__(self) -> None:
        if self.recorded.tzinfo is None:
            raise ValueError("the time of a record is aware")


@dataclass(frozen=True, slots=True)
class _Setting:
    value: str
    reference: str
    remarks: tuple[str, ...] = ()


def values_file(
    chart: ChartFacts,
    images: Sequence[Image],
    located: Mapping[str, Located],
    *,
    pin: Pin,
    pull_secrets: Sequence[str],
    heading: Heading,
) -> str:
    """The YAML text of *chart*'s values: `{}` below the heading for a chart that has nothing to override.

    *located* is by the reference as the chart writes it. Raises ChartError where an image that a value controls is not
    in it, where two images want different values at one path, and where a path is both a value and a map.
    """
    settings = _settings(chart.name, images, located, pin=pin)
    head = [_comment(line) for line in _head(chart, images, heading, pin=pin)]
    foot = [_comment(line) for line in _foot(chart.name, images)]
    body = list(_emitted(nested({path: setting.value for path, setting in settings.items()}), settings))
    if pull_secrets and chart.has_pull_secrets:
        body.append(f"{PULL_SECRETS}:")
        body.extend(f"  - name: {quoted(name)}" for name in sorted(set(pull_secrets)))
    return "\n".join([*head, *(body or ["{}"]), *foot]) + "\n"


def references(chart: str, images: Sequence[Image], located: Mapping[str, Located], *, pin: Pin) -> dict[str, str]:
    """The references that *chart* renders with its overrides, each with the one that the chart itself writes.

    What is hard-coded is not among them.
    """
    unpinnable = _unpinnable(chart, images)
    return {
        f"{place.repository}:{place.version(pinned=_is_pinned(control, unpinnable, pin))}": image.reference
        for image, control in _controls(chart, images)
        for place in [_place(image, located)]
    }


def hardcoded(chart: str, images: Sequence[Image]) -> tuple[str, ...]:
    """The references that a template of *chart* names where none of its values reaches, sorted."""
    return tuple(
        sorted(
            image.reference
            for image in images
            if image.is_hardcoded
            and chart in image.charts
            # an image of several charts is hard-coded in those without a control, or, if all have one, beside it
            and (not _reaches(image, chart) or all(_reaches(image, other) for other in image.charts))
        )
    )


def remedy(reference: str) -> str:
    """What can be done about *reference*, which a template hard-codes: what follows `no value reaches it; `."""
    host = Reference.parse(reference).repository.host
    has_version = ":" in reference.rpartition("/")[2]
    untagged = "" if has_version else "it names no tag, so that latest is mirrored, and pulled; "
    return (
        f'{untagged}with paths = "upstream" the mirror holds it where the nodes\' containerd can be told to look for '
        f"{host} (certs.d/{host}/hosts.toml)"
    )


def nested(values: Mapping[str, object]) -> Tree:
    """The tree that dotted paths spell, in sorted order; raises ChartError where a path is both a value and a map."""
    tree: Tree = {}
    for path in sorted(values):
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise ChartError(f"the values path {_printable(path)} runs through another one that holds a value")
            node = child
        if leaf in node:
            raise ChartError(f"the values path {_printable(path)} is both a value and a map")
        node[leaf] = values[path]
    return tree


def _settings(chart: str, images: Sequence[Image], located: Mapping[str, Located], *, pin: Pin) -> dict[str, _Setting]:
    """What is written at each path, sorted by path."""
    unpinnable = _unpinnable(chart, images)
    settings: dict[str, _Setting] = {}
    for image, control in _controls(chart, images):
        place = _place(image, located)
        pinned = _is_pinned(control, unpinnable, pin)
        values = _values(control, place, version=place.version(pinned=pinned))
        remarks = _remarks(control, unpinnable, pin)
        for number, (path, value) in enumerate(values.items()):
            setting = _Setting(value, image.reference, remarks if number == len(values) - 1 else ())
            earlier = settings.setdefault(path, setting)
            if earlier.value != value:
                raise ChartError(
                    f"chart {_printable(chart)}: {earlier.reference} and {image.reference} want different values at"
                    f" {_printable(path)}: {earlier.value} and {value}. No values file can serve both; give both the"
                    " same place in the mirror, or exclude one"
                )
    return dict(sorted(settings.items()))


def _values(control: Control, place: Located, *, version: str) -> dict[str, str]:
    """What each path of *control* holds, the tag's last; a path that is left to the release is not among them."""
    if control.registry is None:
        raise ChartError(
            f"chart {_printable(control.chart)}: a template decides the registry of {place.reference}, so that no value"
            " can point it at the mirror"
        )
    text: dict[str, str] = {}
    parts = ((control.registry, "", place.registry), (control.name, "/", place.name), (control.tag, ":", version))
    for path, joint, part in parts:
        if path is None or path in RELEASE_VERSIONS or "[]" in path:
            continue
        text[path] = f"{text[path]}{joint}{part}" if path in text else part
    return text


def _controls(chart: str, images: Sequence[Image]) -> Iterator[tuple[Image, Control]]:
    for image in sorted(images, key=lambda image: image.reference):
        for control in sorted(image.controls, key=repr):
            if control.chart == chart:
                yield image, control


def _place(image: Image, located: Mapping[str, Located]) -> Located:
    if image.reference not in located:
        raise ChartError(f"{image.reference} is not in the mirror, so that no values can be written that need it")
    return located[image.reference]


def _unpinnable(chart: str, images: Sequence[Image]) -> dict[str | None, str]:
    """Why a tag path cannot bear a digest. One control of a path is enough: the value is the same for all of them."""
    reasons: dict[str | None, str] = {}
    for _, control in _controls(chart, images):
        if control.tag is None:
            reasons[control.tag] = "The chart's template decides the tag, so that it cannot be pinned to a digest."
        elif control.tag in RELEASE_VERSIONS:
            why = control.unpinnable or f"{control.tag} is in labels too, and must stay the release's own"
            reasons[control.tag] = f"Pulled by its tag, which is not written here: {why}."
        elif control.unpinnable:
            reasons.setdefault(control.tag, f"Pulled by its tag, not pinned to a digest: {control.unpinnable}.")
    return reasons


def _is_pinned(control: Control, unpinnable: Mapping[str | None, str], pin: Pin) -> bool:
    return pin == "digest" and control.tag not in unpinnable


def _remarks(control: Control, unpinnable: Mapping[str | None, str], pin: Pin) -> tuple[str, ...]:
    is_left = control.tag is None or control.tag in RELEASE_VERSIONS
    return (unpinnable[control.tag],) if control.tag in unpinnable and (is_left or pin == "digest") else ()


def _reaches(image: Image, chart: str) -> bool:
    return any(control.chart == chart for control in image.controls)


def _head(chart: ChartFacts, images: Sequence[Image], heading: Heading, *, pin: Pin) -> Iterator[str]:
    recorded = heading.recorded.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    yield f"Helm values that point the chart {chart.name} at the mirror. Pass this file last."
    yield ""
    yield f"release:   {heading.release}"
    yield f"chart:     {chart.name} {chart.version}"
    yield f"mirror:    {heading.mirror}"
    yield f"recorded:  {recorded}"
    if heading.helm:
        yield f"install:   {heading.helm}"
    if unreachable := hardcoded(chart.name, images):
        yield ""
        yield "Hard-coded in the chart's templates, where no value reaches; pulled from upstream all the same:"
        yield from (f"  {reference}: {remedy(reference)}" for reference in unreachable)
    if _is_misread(chart.name, images, heading.release, pin):
        yield ""
        yield "`linkerd check` of this release takes the proxy's digest for its version, and warns that it is not"
        yield "current (https://github.com/linkerd/linkerd2/issues/12058). The proxy is none the worse; with"
        yield "`--pin tag` there is no warning, and no digest."


def _is_misread(chart: str, images: Sequence[Image], release: Release, pin: Pin) -> bool:
    """Whether `linkerd check` of *release* takes a digest that is written here for a version.

    It reads the proxy's reference from its last colon on (pkg/k8s/api.go, GetProxyVersion).
    """
    mended = _READS_DIGESTS.get(release.channel)
    unpinnable = _unpinnable(chart, images)
    return (mended is not None and release < mended) and any(
        Reference.parse(image.reference).repository.name == _PROXY and _is_pinned(control, unpinnable, pin)
        for image, control in _controls(chart, images)
    )


def _foot(chart: str, images: Sequence[Image]) -> Iterator[str]:
    """What is to be known of *chart*'s images; a note opens with the chart it is of, if it is of one."""
    notes = {note for image in images if chart in image.charts for note in image.notes}
    others = {other for image in images for other in image.charts if other != chart}
    for note in sorted(notes):
        if note.partition(": ")[0] not in others:
            told = note.removeprefix(f"{chart}: ")
            yield told[:1].upper() + told[1:]


def _emitted(tree: Tree, settings: Mapping[str, _Setting], path: str = "", indent: str = "") -> Iterator[str]:
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, str):
            yield from (f"{indent}{_comment(remark)}" for remark in settings[here].remarks)
            yield f"{indent}{_key(key)}: {quoted(value)}"
        else:
            yield f"{indent}{_key(key)}:"
            yield from _emitted(value, settings, here, f"{indent}  ")


def _key(text: str) -> str:
    is_plain = _PLAIN_KEY.fullmatch(text) and text.lower() not in _RESERVED_KEYS
    return text if is_plain else quoted(text)


def quoted(text: str) -> str:
    """*text* in double quotes (YAML 1.2, 5.7, escaped characters). PyYAML would do it too, but takes long to load."""
    return '"{}"'.format("".join(map(_escaped, text)))


def _escaped(mark: str) -> str:
    if mark in '"\\':
        return f"\\{mark}"
    return mark if " " <= mark <= "~" else f"\\U{ord(mark):08X}"


def _comment(text: str) -> str:
    return f"# {_printable(text)}".rstrip()


def _printable(text: str) -> str:
    """*text* as one bounded line of printable ASCII."""
    return re.sub(r"[^\x20-\x7e]+", "?", text)[:_COMMENT_MAX]
