"""Proof: real Helm renders a chart with its overrides, and every image in the output must be in the mirror.

Charts have no schema, so Helm ignores a wrong key without a word. What is rendered, and what each render shows:

    values of the chart, ours                            nothing is left that upstream serves
    values of the chart, its values-ha.yaml, ours        ours win over what comes before
    values of the chart, an operator's, ours             likewise
    values of the chart, ours with each string a mark    each path that we write is one that the chart reads

Each of them is rendered with the chart's *options* as they are, each turned by itself, all on and all off.
An option is a value that guards an image in a template: a boolean in an `if`, or an empty list in a `range`.
An option, or a mix of them, that the chart does not render without our overrides either proves nothing against them.

What is held to the mirror: every `image` in any document, what the injector would build from ConfigMap linkerd-config,
and every other string, for the names of upstream's hosts and repositories. Labels are held to Kubernetes' rule, for a
digest does not fit into one (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax).

Helm runs in a temporary directory, as mirror.linkerd.helm has it run.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mirror.errors import HelmError, SettingsError
from mirror.linkerd.helm import SAID_MAX, SHOWN_MAX, Refusal, run_helm, shown
from mirror.linkerd.overrides import Located, Pin, hardcoded, nested, references
from mirror.linkerd.parts import Chart, Image

RENDERS_AT_ONCE = 2
HA_VALUES = "values-ha.yaml"

# charts/linkerd-control-plane/templates/identity.yaml: `required "Please provide the identity issuer certificate"`, …
_REQUIRED: Mapping[str, object] = {
    "identityTrustAnchorsPEM": "proof",
    # crtExpiry: until 2.10
    "identity": {"issuer": {"tls": {"crtPEM": "proof", "keyPEM": "proof"}, "crtExpiry": "2100-01-01T00:00:00Z"}},
}
# multicluster/charts/linkerd-multicluster/templates/controller/rbac.yaml: `the value link.ref.name is required`
_ENTRIES: Mapping[str, object] = {"controllers": [{"link": {"ref": {"name": "proof"}}}]}
# viz/charts/linkerd-viz/templates/metrics-api.yaml: `Please enable linkerd-prometheus or provide prometheusUrl`
_COMPANIONS: Mapping[tuple[str, bool], tuple[str, object]] = {
    ("prometheus.enabled", False): ("prometheusUrl", "http://prometheus.invalid:9090"),
}
# What the injector reads (charts/patch/templates/patch.json and the partials that it includes).
_INJECTED = ("proxy", "proxyInit", "debugContainer")
# Linkerd's chart kubeVersions have lower bounds only; Helm's own default differs from one Helm to the next.
_KUBE_VERSION = (1, 35)

_ACTION = re.compile(r"\{\{-?\s*(/\*.*?\*/|.*?)\s*-?\}\}", re.DOTALL)
_IMAGE_LINE = re.compile(r"^[ \t]*(?:- )?image:", re.MULTILINE)
_INCLUDED = re.compile(r"\b(?:include|template)\s+\"([^\"]+)\"")
_DEFINED = re.compile(r"define\s+\"([^\"]+)\"")
_VALUE = re.compile(r"\.Values\.([A-Za-z0-9_.]+)")

_LABELS = frozenset({"labels", "matchLabels", "selector", "nodeSelector"})
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_MARK = re.compile(r"mark[0-9]{4}x")


@dataclass(frozen=True, slots=True)
class ChartProof:
    """What rendering one chart has shown."""

    chart: str
    renders: int
    """How many renders were held to the mirror."""
    problems: tuple[str, ...]
    """Empty if the overrides are proven."""
    unreachable: tuple[str, ...]
    """The references that the chart hard-codes; not problems of the overrides."""
    helm_version: str
    impossible: tuple[str, ...] = ()
    """The mixes of options that the chart does not render without our overrides either."""

    @property
    def is_proven(self) -> bool:
        return not self.problems


async def prove(
    helm: str,
    chart: Chart,
    values: str,
    *,
    images: Sequence[Image],
    located: Mapping[str, Located],
    pin: Pin,
    extra_values: Sequence[Path] = (),
    slots: asyncio.Semaphore | None = None,
) -> ChartProof:
    """Renders *chart* with *values*, its overrides, in every way that could bring in another image.

    *extra_values* are the operator's files, in order. Each render takes one of *slots*, which several proofs may share.
    Raises HelmError if *helm* does not run at all, SettingsError if a file of the operator's cannot be read; a chart
    that does not render is a problem in the answer.
    """
    expected = _Expected.of(chart, images, located, pin)
    has_images = bool(expected.mirrored or expected.fixed)
    with tempfile.TemporaryDirectory(prefix="mirror-proof-") as directory:
        bench = _Bench(helm, Path(directory), chart, expected, slots or asyncio.Semaphore(RENDERS_AT_ONCE))
        version = await bench.helm_version()
        stage = await asyncio.to_thread(_staged, bench.directory, chart, values, extra_values, has_images=has_images)
        async with asyncio.TaskGroup() as tasks:
            held = [tasks.create_task(bench.held(render)) for render in stage.held]
            unread = tasks.create_task(bench.unread(stage))
    outputs = {render.name: task.result() for render, task in zip(stage.held, held, strict=True)}
    possible = [output for output in outputs.values() if output]
    return ChartProof(
        chart=chart.name,
        renders=len(possible),
        problems=(*_merged(outputs), *unread.result()),
        unreachable=tuple(sorted({*expected.unreachable, *(name for output in possible for name in output.fixed)})),
        helm_version=version,
        impossible=tuple(name for name, output in outputs.items() if not output),
    )


def _merged(outputs: Mapping[str, _Output | None]) -> list[str]:
    """Each problem once, with the renders that show it."""
    shown_by: dict[str, list[str]] = {}
    for name, output in outputs.items():
        for problem in dict.fromkeys(output.problems if output else ()):
            shown_by.setdefault(problem, []).append(name)
    merged = []
    for problem, names in shown_by.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        merged.append(f"{problem} (rendered {names[0]}{more})")
    return merged


# Running Helm


@dataclass(frozen=True, slots=True)
class _Bench:
    """Helm and one chart, in a directory of their own."""

    helm: str
    directory: Path
    chart: Chart
    expected: _Expected
    slots: asyncio.Semaphore

    async def held(self, render: _Render) -> _Output | None:
        """What *render* shows; None if the chart does not render so without our overrides either."""
        try:
            return await self.output(render.files)
        except HelmError as exc:
            if isinstance(exc, Refusal) and await self.refuses(render.without_ours):
                return None
            return _Output(problems=[str(exc)])

    async def unread(self, stage: _Stage) -> list[str]:
        """The problems of paths that are written and that the chart does not read, whatever its options."""
        missing, refusals = dict(stage.marks), []
        for render in stage.marked:
            if not missing:
                break
            try:
                output = await self.output(render.files)
            except HelmError as exc:
                refusals.append(str(exc))
            else:
                missing = {mark: path for mark, path in missing.items() if mark not in output.marks}
        if missing and len(refusals) == len(stage.marked):
            return [f"with marks in place of our values, which would show what the chart reads: {refusals[0]}"]
        return [
            f"the chart does not read {shown(path)}: what is written there changes no image"
            for path in sorted(missing.values())
        ]

    async def output(self, files: Sequence[str]) -> _Output:
        async with self.slots:
            rendered = await self.template(files)
            return await asyncio.to_thread(lambda: _examined(_documents(rendered), self.expected, self.chart))

    async def refuses(self, files: Sequence[str]) -> bool:
        """Whether the chart refuses *files*; never, if there are none."""
        async with self.slots:
            with suppress(HelmError):
                try:
                    if files:
                        await self.template(files)
                except Refusal:
                    return True
        return False

    async def template(self, files: Sequence[str]) -> bytes:
        """What the chart renders with the values *files*, of this directory, the last one strongest."""
        arguments = ["template", "mirror-proof", "chart.tgz", "--namespace", "linkerd"]
        arguments += ["--kube-version", _kube_version(self.chart.kube_version)]
        return await self.run(*arguments, *(part for file in files for part in ("--values", file)))

    async def helm_version(self) -> str:
        return shown((await self.run("version", "--template", "{{.Version}}")).decode(errors="replace").strip(), 60)

    async def run(self, *arguments: str) -> bytes:
        return await run_helm(self.helm, *arguments, directory=self.directory)


def _kube_version(constraint: str) -> str:
    """A version of Kubernetes that *constraint* allows, if it has lower bounds only."""
    bounds = re.findall(r"(?:>=?|\^|~)\s*v?(\d{1,4})\.(\d{1,4})", constraint)
    major, minor = max([_KUBE_VERSION, *((int(major), int(minor)) for major, minor in bounds)])
    return f"{major}.{minor}.99"


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]  # it is one of two classes
    """YAML as Kubernetes reads it: a date is a string, and so is a lone `=`."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":value"))]
    for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
}


def _documents(output: bytes) -> list[Any]:
    try:
        return list(yaml.load_all(output, _Loader))
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise HelmError(f"what Helm rendered is not YAML: {shown(str(exc), SAID_MAX)}") from exc


# What is rendered


@dataclass(frozen=True, slots=True)
class _Render:
    """One way to render a chart: the names of values files in the bench's directory, the last one strongest."""

    name: str
    """As a problem calls it: `alone`, `after values-ha.yaml, with cniEnabled on`."""
    files: tuple[str, ...]
    without_ours: tuple[str, ...] = ()
    """The same without our overrides, where the chart may well refuse this mix of its options."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """What is to be rendered."""

    held: tuple[_Render, ...]
    """With our overrides."""
    marked: tuple[_Render, ...]
    """With our overrides, each string a mark."""
    marks: Mapping[str, str]
    """The path of each mark."""


def _staged(directory: Path, chart: Chart, values: str, extra_values: Sequence[Path], *, has_images: bool) -> _Stage:
    """Puts chart and values into *directory*, and says how to render them.

    The operator's files are copied, for Helm splits the path after `--values` at its commas.
    """
    (directory / "chart.tgz").write_bytes(chart.archive)
    marks: dict[str, str] = {}
    contents: dict[str, object] = {
        "required.yaml": {key: value for key, value in _REQUIRED.items() if key in chart.values},
        "marked.yaml": _marked(_loaded(values), marks),
    }
    mixes = _mixes(chart) if has_images else [_Mix("", {})]
    contents |= {f"mix-{number}.yaml": nested(mix.values) for number, mix in enumerate(mixes)}
    for name, content in contents.items():
        (directory / name).write_text(yaml.safe_dump(content))
    (directory / "ours.yaml").write_text(values)
    theirs = {HA_VALUES: chart.files[HA_VALUES].encode()} if HA_VALUES in chart.files else {}
    theirs |= {f"operator-{number}.yaml": _read_values(path, chart) for number, path in enumerate(extra_values, 1)}
    for name, data in theirs.items():
        (directory / name).write_bytes(data)
    operators = tuple(name for name in theirs if name != HA_VALUES)
    ways: list[tuple[str, tuple[str, ...]]] = [("alone", ())] if has_images or not theirs else []
    if HA_VALUES in theirs:
        ways.append((f"after {HA_VALUES}", (HA_VALUES,)))
    if operators:
        ways.append((f"after {' and '.join(map(str, extra_values))}", operators))
    return _Stage(
        held=tuple(_render(way, files, mix, number) for way, files in ways for number, mix in enumerate(mixes)),
        marked=tuple(_render("alone", (), mix, number, ours="marked.yaml") for number, mix in enumerate(mixes)),
        marks=marks,
    )


def _render(way: str, theirs: tuple[str, ...], mix: _Mix, number: int, ours: str = "ours.yaml") -> _Render:
    below = ("required.yaml", *theirs, f"mix-{number}.yaml")
    name = f"{way}, with {mix.name}" if mix.name else way
    return _Render(name, (*below, ours), without_ours=below if mix.name or theirs == (HA_VALUES,) else ())


def _loaded(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a subclass of the safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise HelmError(f"not YAML: {shown(str(exc), SAID_MAX)}") from exc


def _read_values(path: Path, chart: Chart) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise SettingsError(
            f"the values file {path} for the chart {chart.name} cannot be read: {exc.strerror}"
        ) from exc


def _marked(node: Any, marks: dict[str, str], path: str = "") -> Any:
    """*node* with each string replaced by a mark; *marks* then knows where each is."""
    match node:
        case dict():
            return {key: _marked(value, marks, f"{path}.{key}" if path else str(key)) for key, value in node.items()}
        case list():
            return [_marked(value, marks, f"{path}[]") for value in node]
        case str():
            mark = f"mark{len(marks):04}x"
            marks[mark] = path
            return mark
    return node


@dataclass(frozen=True, slots=True)
class _Mix:
    """One setting of a chart's options."""

    name: str
    """As a problem calls it; empty for the options as they are."""
    values: Mapping[str, object]
    """By dotted path."""


def _mixes(chart: Chart) -> list[_Mix]:
    """The options as they are; each turned; all on; all off. What repeats an earlier one is left out."""
    options = _options(chart)
    effects = [options | {path: not is_on} for path, is_on in options.items()]
    effects += [dict.fromkeys(options, is_on) for is_on in (True, False)]
    mixes = [_Mix("", {})]
    for number, effect in enumerate(effects):
        if effect != options and effect not in effects[:number]:
            mixes.append(
                _mix(
                    [
                        (path, is_on)
                        for path, is_on in effect.items()
                        if number >= len(options) or is_on != options[path]
                    ]
                )
            )
    return mixes


def _mix(settings: Iterable[tuple[str, bool]]) -> _Mix:
    values: dict[str, object] = {}
    names = []
    for path, is_on in settings:
        entries = _ENTRIES.get(path)
        values[path] = is_on if entries is None else entries if is_on else []
        names.append(f"{path} {'on' if is_on else 'off'}")
        companion = _COMPANIONS.get((path, is_on))
        if companion:
            values[companion[0]] = companion[1]
    return _Mix(", ".join(names), values)


def _options(chart: Chart) -> dict[str, bool]:
    """The values that decide whether an image is rendered, by dotted path, and whether each is on in the chart."""
    texts = [text for path, text in sorted(chart.files.items()) if "templates/" in path]
    bearing: set[str] = set()
    while True:
        conditions = [block for text in texts for block in _image_blocks(text, bearing)]
        found = {name for condition in conditions for name in _DEFINED.findall(condition)}
        if found <= bearing:
            break
        bearing |= found
    paths = [path for condition in conditions for path in _VALUE.findall(re.sub(r"[()]", "", condition))]
    options = {}
    for path in dict.fromkeys(paths):
        value = _at(chart.values, path)
        if isinstance(value, bool) or (path in _ENTRIES and isinstance(value, list)):
            options[path] = bool(value)
    return options


def _image_blocks(text: str, bearing: Collection[str]) -> Iterator[str]:
    """The conditions of the blocks of a template that hold an `image:` line or include a definition of *bearing*."""
    blocks: list[list[str]] = []
    end = 0
    for action in _ACTION.finditer(text):
        code = action[1]
        if _IMAGE_LINE.search(text, end, action.start()) or any(name in bearing for name in _INCLUDED.findall(code)):
            yield from (condition for block in blocks for condition in block)
        end = action.end()
        word = code.partition(" ")[0]
        if word in ("if", "with", "range", "define", "block"):
            blocks.append([code])
        elif word == "else" and blocks:
            blocks[-1].append(code)
        elif word == "end" and blocks:
            blocks.pop()


def _at(values: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for key in path.split("."):
        if not isinstance(values, Mapping):
            return None
        values = values.get(key)
    return values


def _has(values: Any, path: str) -> bool:
    parent, _, leaf = path.rpartition(".")
    holder = _at(values, parent) if parent else values
    return isinstance(holder, Mapping) and leaf in holder


# What is held to the mirror


@dataclass(frozen=True, slots=True)
class _Expected:
    """What may be in a chart's output, and what may not."""

    mirrored: Mapping[str, str]
    """The mirror's references, each with upstream's."""
    fixed: frozenset[str]
    """References that a template of the chart hard-codes."""
    unreachable: tuple[str, ...]
    ours: re.Pattern[str]
    """The mirror's own names, which may hold upstream's (`m.example/ghcr.io/linkerd/proxy`)."""
    upstream: re.Pattern[str]
    """The hosts and repositories that must not be left."""

    @classmethod
    def of(cls, chart: Chart, images: Sequence[Image], located: Mapping[str, Located], pin: Pin) -> _Expected:
        names = {name for place in located.values() for name in (place.repository, place.registry)}
        repositories = {_repository(image.reference) for image in images}
        hosts = {name.partition("/")[0] for name in repositories if "." in name.partition("/")[0]} | {"cr.l5d.io"}
        return cls(
            mirrored=references(chart.name, images, located, pin=pin),
            fixed=frozenset(i.reference for i in images if i.is_hardcoded and chart.name in i.charts),
            unreachable=hardcoded(chart.name, images),
            ours=_any_of(names),
            upstream=_any_of(hosts | {name for name in repositories if "/" in name}),
        )

    def objection(self, image: object) -> str | None:
        """Why *image* must not be in the output, or None if it may."""
        if image in self.mirrored or image in self.fixed:
            return None
        name, repository = shown(str(image)), _repository(str(image))
        if repository in map(_repository, self.mirrored.values()):
            return f"the image {name} is still upstream's: no override reaches it"
        wanted = sorted(reference for reference in self.mirrored if _repository(reference) == repository)
        if wanted:
            return f"the image {name} is not at what was recorded, {' or '.join(wanted)}"
        return f"the image {name} is not one that the overrides put there: it is not in the mirror's record"


def _repository(reference: str) -> str:
    name = reference.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def _any_of(names: Collection[str]) -> re.Pattern[str]:
    """Any of *names* as a whole word of a reference, the longest first."""
    choice = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))
    return re.compile(rf"(?<![\w./-])(?:{choice or '(?!)'})(?![\w.-]*[\w-])")


@dataclass(slots=True)
class _Output:
    """What one render shows: what is wrong in it, and the marks that have come out where they should."""

    problems: list[str] = field(default_factory=list)
    fixed: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)


def _examined(documents: Sequence[Any], expected: _Expected, chart: Chart) -> _Output:
    """*documents* held to the mirror, and to the rule for labels."""
    output = _Output()
    for document in documents:
        if not isinstance(document, Mapping):
            continue
        metadata = document.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else ""
        where = shown(f"{document.get('kind')}/{name}", 120)
        for keys, value in _scalars(document):
            for problem in _scalar_problems(keys, value, expected, output):
                output.problems.append(f"{where}: {problem}")
        if name == "linkerd-config" and document.get("kind") == "ConfigMap":
            for problem in _injector_problems(document, expected, chart, output):
                output.problems.append(f"{where}: the injector's configuration: {problem}")
    return output


def _scalars(document: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each scalar of a document with the last three keys above it; what is aliased is visited once."""
    is_schema = document.get("kind") == "CustomResourceDefinition"
    pending: list[tuple[tuple[str, ...], Any]] = [((), document)]
    visited: set[int] = set()
    while pending:
        keys, node = pending.pop()
        if isinstance(node, (dict, list)):
            if id(node) in visited or (is_schema and keys == ("spec",)):
                continue
            visited.add(id(node))
            entries = node.items() if isinstance(node, dict) else (("", value) for value in node)
            pending.extend(((*keys, str(key))[-3:], value) for key, value in reversed(list(entries)))
        else:
            yield keys, node


def _scalar_problems(keys: tuple[str, ...], value: Any, expected: _Expected, output: _Output) -> Iterator[str]:
    text = value if isinstance(value, str) else ""
    if keys[-1:] == ("image",):
        output.marks.update(_MARK.findall(text))
        if text in expected.fixed:
            output.fixed.add(text)
        if objection := expected.objection(value):
            yield objection
            return
    elif "imagePullSecrets" in keys:
        output.marks.update(_MARK.findall(text))
    if len(keys) > 1 and keys[-2] in _LABELS and not _is_label(value):
        yield f"the label {shown(keys[-1], 80)} would be {shown(str(value))}, which Kubernetes refuses"
    if text not in expected.fixed and (left := expected.upstream.search(expected.ours.sub("", text))):
        around = text if len(text) <= SHOWN_MAX else left[0]
        yield f"{shown(keys[-1] or keys[-2], 80)} still names upstream: {shown(around)}"


def _is_label(value: object) -> bool:
    return value is None or (isinstance(value, str) and bool(_LABEL.fullmatch(value)))


def _injector_problems(
    document: Mapping[str, Any], expected: _Expected, chart: Chart, output: _Output
) -> Iterator[str]:
    """What the injector would put into pods by the values that it is given (ConfigMap linkerd-config)."""
    text = _at(document, "data.values")
    if not isinstance(text, str):
        return
    try:
        config = _loaded(text)
    except HelmError as exc:
        yield str(exc)
        return
    for part in _INJECTED:
        image = _at(config, f"{part}.image")
        if not isinstance(image, Mapping) or not image.get("name"):
            continue
        for key in ("name", "version"):
            # a key that the chart's own values lack is none that the injector reads
            if _has(chart.values, f"{part}.image.{key}"):
                output.marks.update(_MARK.findall(str(image.get(key))))
        if objection := expected.objection(f"{image['name']}:{image.get('version') or _at(config, 'linkerdVersion')}"):
            yield f"{part}: {objection}"
