"""Rewriting: the images in a stream of Kubernetes YAML are pointed at the mirror, and every other byte is kept.

YAML is read for where its scalars are, and spans of the text are replaced; none is ever written anew. JSON is YAML.

What names an image:

    containers, initContainers, ephemeralContainers    `image` of each, wherever they are: workloads, CronJobs, Pods,
                                                       PodTemplates, and resources that embed them (Argo's Rollout)
    volumes                                            `image.reference` of each (Kubernetes 1.31, image volumes)
    _FIELDS                                            of operators that run what Linkerd's releases bring
    annotations                                        config.linkerd.io/…-image and …-version (injection.py),
                                                       of namespaces, workloads, pods and templates alike
    ConfigMap linkerd-config, `values`                 YAML in YAML: what the injector builds pods from
                                                       (charts/linkerd-control-plane/templates/config.yaml)

Schemas are none of these, so a CustomResourceDefinition is passed over whole.

An alias (`*image`) where an image is expected, of a scalar that is something else too, is replaced by the name itself.
What an anchored map holds is shared by all its aliases, and is rewritten where it stands.

A key on the way to an image that its map has twice is refused: of two images, parsers pull either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from mirror.errors import BadReference, UsageError
from mirror.linkerd.holdings import Absent, Holding, Holdings
from mirror.linkerd.injection import ANNOTATIONS
from mirror.linkerd.overrides import Pin, quoted
from mirror.oci.reference import Reference

SIZE_MAX = 16 << 20  # bytes; a Helm release is below 1 MiB, all of a large cluster's workloads are some MiB
DEPTH_MAX = 128  # of collections; schemas of CustomResourceDefinitions reach 40
ALIASES_MAX = 10_000

_POD_LISTS = frozenset({"containers", "initContainers", "ephemeralContainers"})
# Operators that run images which releases of Linkerd bring too, and where their resources name them:
# prometheus-operator, Documentation/api-reference/api.md; opentelemetry-operator, docs/api/opentelemetrycollectors.md;
# jaeger-operator, apis/v1/jaeger_types.go.
_FIELDS: Mapping[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("monitoring.coreos.com", "Prometheus"): (("spec", "image"), ("spec", "thanos", "image")),
    ("monitoring.coreos.com", "PrometheusAgent"): (("spec", "image"),),
    ("monitoring.coreos.com", "Alertmanager"): (("spec", "image"),),
    ("monitoring.coreos.com", "ThanosRuler"): (("spec", "image"),),
    ("opentelemetry.io", "OpenTelemetryCollector"): (("spec", "image"), ("spec", "targetAllocator", "image")),
    ("jaegertracing.io", "Jaeger"): (("spec", "allInOne", "image"), ("spec", "collector", "image")),
}
_CONFIG = "linkerd-config"
# Name and version of each image in the values of the control plane; a version that is empty is `linkerdVersion`.
_VALUES = (
    (("controllerImage",), ("controllerImageVersion",)),
    *(
        ((*part, "image", "name"), (*part, "image", "version"))
        for part in (("policyController",), ("proxy",), ("proxyInit",), ("debugContainer",))
    ),
)

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
# What is set has a slash or an @, which keep it from being a number, a date or a boolean.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]*(?::[A-Za-z0-9._/@-]+)*")
_PROPERTIES = re.compile(r"(?:[&!]\S*(?:\s|(?<=\s)#[^\r\n]*)+)*")
_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1, 5.4
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")  # RFC 8259, 7
_ESCAPE = re.compile(r"\\(?:x..|u.{4}|U.{8}|.)|[^\\]")


@dataclass(frozen=True, slots=True)
class Found:
    """An image that is named."""

    reference: str
    """As it was before."""
    where: str
    """`Deployment/linkerd-destination`."""
    holding: Holding | None
    """What the mirror holds of it; None where it was left alone."""
    problem: str = ""
    """Why it was left alone."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A stream with its images at the mirror."""

    text: str
    found: tuple[Found, ...]
    """In order, each once for each place."""

    @property
    def left(self) -> tuple[Found, ...]:
        """What was left alone."""
        return tuple(found for found in self.found if found.holding is None)


def rewrite(text: str, holdings: Holdings, pin: Pin) -> Rewritten:
    """*text* with every image that is in *holdings* at the mirror; raises UsageError for what is not YAML, or too much.

    A byte order mark at the start is kept.
    """
    if len(text) > SIZE_MAX:
        raise UsageError(f"the manifests are larger than {SIZE_MAX >> 20} MiB: rewrite them in parts")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    worker = _Worker(holdings, pin)
    try:
        rewritten = worker.resources(text[len(mark) :])
    except UsageError as exc:
        raise UsageError(f"the manifests cannot be read: {exc}") from exc
    return Rewritten(mark + rewritten, tuple(dict.fromkeys(worker.found)))


# --- where the scalars are -------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Scalar:
    value: str
    style: str
    """`'`, `"`, `|`, `>`, or nothing for a plain one."""
    start: int
    end: int
    line: int

    @property
    def text(self) -> str:
        """What it says, a block's line breaks aside; empty for null."""
        if not self.style and self.value in _NULLS:
            return ""
        return self.value.strip() if self.style in ("|", ">") else self.value


@dataclass(slots=True, eq=False)
class _Alias:
    """Of a scalar; that of a collection is the collection itself."""

    scalar: _Scalar
    start: int
    end: int
    line: int


@dataclass(slots=True, eq=False)
class _Map:
    entries: list[tuple[_Node, _Node]] = field(default_factory=list)
    key: _Node | None = None
    """Read, and its value is not."""


@dataclass(slots=True, eq=False)
class _List:
    items: list[_Node] = field(default_factory=list)


_Node: TypeAlias = _Scalar | _Alias | _Map | _List


@dataclass(slots=True)
class _Document:
    root: _Node | None = None
    aliases: list[_Alias] = field(default_factory=list)


def _documents(text: str) -> Iterator[_Document]:
    """The documents of *text*; raises UsageError with line and column."""
    try:
        yield from _composed(yaml.parse(_without_surrogates(text), _Parser))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise UsageError(f"not YAML at {place}: {exc.problem or exc.context}") from exc
    except yaml.reader.ReaderError as exc:
        strange = yaml.reader.Reader.NON_PRINTABLE.search(text)
        before = text[: strange.start()] if strange else ""
        lines = _BREAK.split(before)
        raise UsageError(
            f"not YAML at line {len(lines)}, column {len(lines[-1]) + 1}: it has a character that YAML does not allow"
        ) from exc


def _without_surrogates(text: str) -> str:
    """*text*, if it is JSON, with other escapes of the same length for those that libyaml refuses: pairs of UTF-16."""
    return _SURROGATE.sub(r"\\ufffd", text) if text.lstrip().startswith("{") else text


def _composed(events: Iterable[Any]) -> Iterator[_Document]:
    document = _Document()
    anchors: dict[str, _Node] = {}
    stack: list[_Map | _List] = []
    aliases = 0
    for event in events:
        node: _Node
        match event:
            case yaml.DocumentStartEvent():
                document, anchors = _Document(), {}
                continue
            case yaml.DocumentEndEvent():
                yield document
                continue
            case yaml.CollectionEndEvent():
                stack.pop()
                continue
            case yaml.ScalarEvent(value=value, style=style):
                node = _Scalar(value, style or "", *_span(event))
            case yaml.AliasEvent():
                aliases += 1
                node = _aliased(event, anchors, document)
            case yaml.CollectionStartEvent():
                node = _Map() if isinstance(event, yaml.MappingStartEvent) else _List()
            case _:
                continue
        if isinstance(event, yaml.NodeEvent) and event.anchor and not isinstance(event, yaml.AliasEvent):
            anchors[event.anchor] = node
        _put(node, stack, document)
        if isinstance(event, yaml.CollectionStartEvent) and isinstance(node, _Map | _List):
            stack.append(node)
        if len(stack) > DEPTH_MAX or aliases > ALIASES_MAX:
            limit = f"nested deeper than {DEPTH_MAX}" if len(stack) > DEPTH_MAX else f"more than {ALIASES_MAX} aliases"
            raise UsageError(f"{limit} at line {event.start_mark.line + 1}")


def _aliased(event: Any, anchors: Mapping[str, _Node], document: _Document) -> _Node:
    target = anchors.get(event.anchor)
    if target is None:
        raise yaml.composer.ComposerError(None, None, f"there is no anchor &{event.anchor}", event.start_mark)
    if isinstance(target, _Map | _List):
        return target
    scalar = target.scalar if isinstance(target, _Alias) else target
    alias = _Alias(scalar, *_span(event))
    document.aliases.append(alias)
    return alias


def _span(event: Any) -> tuple[int, int, int]:
    return event.start_mark.index, event.end_mark.index, event.start_mark.line + 1


def _put(node: _Node, stack: Sequence[_Map | _List], document: _Document) -> None:
    match stack[-1] if stack else None:
        case None:
            document.root = node
        case _List() as parent:
            parent.items.append(node)
        case _Map() as parent if parent.key is None:
            parent.key = node
        case _Map() as parent:
            assert parent.key is not None  # noqa: S101 - the case above
            parent.entries.append((parent.key, node))
            parent.key = None


def _said(node: _Node | None) -> str:
    """The text of a scalar; empty for anything else."""
    match node:
        case _Scalar() as scalar:
            return scalar.text
        case _Alias(scalar=scalar):
            return scalar.text
    return ""


def _value(node: _Node | None, name: str) -> _Node | None:
    """What a map has at *name*: its own, else that of what it merges (`<<`, https://yaml.org/type/merge.html).

    Raises UsageError where it has two: which of them counts is for each reader to say.
    """
    pending, seen = [node], set[int]()
    while pending:
        each = pending.pop(0)
        if isinstance(each, _List):
            pending.extend(each.items)
        elif isinstance(each, _Map) and id(each) not in seen:
            seen.add(id(each))
            own = [
                (key.line, value)
                for key, value in each.entries
                if isinstance(key, _Scalar | _Alias) and _said(key) == name
            ]
            if len(own) > 1:
                raise UsageError(f"{name} is there twice in one map, at line {own[0][0]} and at line {own[1][0]}")
            if own:
                return own[0][1]
            pending.extend(value for key, value in each.entries if _said(key) == "<<")
    return None


def _at(node: _Node | None, path: Sequence[str]) -> _Node | None:
    for name in path:
        node = _value(node, name) if isinstance(node, _Map) else None
    return node


# --- what names an image ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Splice:
    start: int
    end: int
    text: str


@dataclass(slots=True)
class _Edits:
    """What becomes of the scalars and aliases of one document, and by which splices."""

    text: str
    values: dict[int, str] = field(default_factory=dict)
    """By the id of a scalar or an alias, what it is to say."""
    splices: dict[int, list[_Splice]] = field(default_factory=dict)
    """By the id of a scalar."""

    def set(self, node: _Scalar | _Alias, value: str) -> None:
        self.values[id(node)] = value
        if isinstance(node, _Scalar):
            self.splices[id(node)] = [_spelt(self.text, node, value)]

    def put(self, scalar: _Scalar, value: str, splices: list[_Splice]) -> None:
        self.values[id(scalar)] = value
        self.splices[id(scalar)] = splices

    def all(self, aliases: Iterable[_Alias]) -> Iterator[_Splice]:
        """Every splice, those of *aliases* that part from what they name included."""
        for several in self.splices.values():
            yield from several
        for alias in aliases:
            scalar, wanted = alias.scalar, self.values.get(id(alias))
            if (wanted or scalar.value) != self.values.get(id(scalar), scalar.value):
                yield _Splice(alias.start, alias.end, wanted or _original(self.text, scalar))


@dataclass(slots=True)
class _Worker:
    holdings: Holdings
    pin: Pin
    found: list[Found] = field(default_factory=list)
    where: str = ""
    edits: _Edits = field(default_factory=lambda: _Edits(""))
    seen: set[int] = field(default_factory=set)

    def resources(self, text: str) -> str:
        """*text*, whose documents are resources, rewritten."""
        splices = list[_Splice]()
        for document in _documents(text):
            self.edits, self.seen = _Edits(text), set()
            self.resource(document.root)
            splices += self.edits.all(document.aliases)
        return _spliced(text, splices)

    def resource(self, node: _Node | None) -> None:
        """A resource, or a list of them."""
        if not isinstance(node, _Map):
            return
        kind = _said(_at(node, ["kind"]))
        items = _at(node, ["items"])
        if kind.endswith("List") and isinstance(items, _List):
            for item in items.items:
                self.resource(item)
            return
        if kind == "CustomResourceDefinition":
            return
        name = _said(_at(node, ["metadata", "name"]))
        self.where = f"{kind}/{name}"
        self.visit(node)
        group = _said(_at(node, ["apiVersion"])).partition("/")[0]
        for path in _FIELDS.get((group, kind), ()):
            self.image(_at(node, path))
        if kind == "ConfigMap" and name == _CONFIG:
            self.config(_at(node, ["data", "values"]))

    def visit(self, node: _Node) -> None:
        """All that names an image by where it is in *node*, a collection that aliases share once."""
        if isinstance(node, _Scalar | _Alias) or id(node) in self.seen:
            return
        self.seen.add(id(node))
        if isinstance(node, _List):
            for item in node.items:
                self.visit(item)
            return
        for key, value in node.entries:
            name = _said(key)
            if name in _POD_LISTS and isinstance(value, _List):
                for item in value.items:
                    self.image(_at(item, ["image"]))
            elif name == "volumes" and isinstance(value, _List):
                for item in value.items:
                    self.image(_at(item, ["image", "reference"]))
            elif name == "annotations":
                self.annotations(value)
            self.visit(value)

    def image(self, node: _Node | None) -> None:
        """*node* names an image whole."""
        if not isinstance(node, _Scalar | _Alias) or not _said(node):
            return
        asked = self.asked(_said(node))
        if asked is not None and (holding := self.held(asked, _said(node))) is not None:
            self.set(node, holding.name(asked, self.pin))

    def annotations(self, node: _Node) -> None:
        """Those by which Linkerd's injector chooses images."""
        for name, version, default in ANNOTATIONS:
            named, versioned = _at(node, [name]), _at(node, [version])
            if _said(named) and _said(versioned):
                self.pair(named, versioned)
            elif _said(named):
                self.repository(named)
            elif _said(versioned):  # it stays, for the tag is the same in the mirror; but is it there?
                text = f"{default}:{_said(versioned)}"
                if (asked := self.asked(text)) is not None:
                    self.held(asked, text)

    def repository(self, node: _Node | None) -> None:
        """*node* names a repository; the tag is what the control plane has."""
        place = self.holdings.place(_said(node))
        if isinstance(place, Absent):
            self.found.append(Found(_said(node), self.where, None, place.reason))
        elif isinstance(node, _Scalar | _Alias):
            self.set(node, place)

    def pair(self, name: _Node | None, version: _Node | None, default: str = "") -> None:
        """*name* names a repository, *version* the tag; *default* is the tag where that says nothing."""
        tag = _said(version) or default
        if not isinstance(name, _Scalar | _Alias) or not _said(name):
            return
        if not tag:
            self.repository(name)
            return
        text = f"{_said(name)}:{tag}"
        asked = self.asked(text)
        if asked is None or (holding := self.held(asked, text)) is None:
            return
        self.set(name, holding.located.repository)
        wanted = holding.version(asked, self.pin)
        if wanted != tag and isinstance(version, _Scalar | _Alias):
            self.set(version, wanted)

    def config(self, node: _Node | None) -> None:
        """The values of the control plane, as YAML in a string."""
        scalar = node.scalar if isinstance(node, _Alias) else node
        if not isinstance(scalar, _Scalar):
            return
        outer, self.edits = self.edits, _Edits(scalar.value)
        splices = list[_Splice]()
        try:
            for document in _documents(scalar.value):
                self.values(document.root)
                splices += self.edits.all(document.aliases)
        except UsageError as exc:
            self.found.append(Found(f"data.values of {_CONFIG}", self.where, None, str(exc)))
            splices.clear()
        self.edits = outer
        if splices:
            value = _spliced(scalar.value, splices)
            self.edits.put(scalar, value, _outer(self.edits.text, scalar, value, splices))

    def values(self, root: _Node | None) -> None:
        """The images of the control plane's values."""
        release = _said(_at(root, ["linkerdVersion"]))
        for name, version in _VALUES:
            self.pair(_at(root, name), _at(root, version), release)

    def asked(self, text: str) -> Reference | None:
        """What *text* refers to; None, and found as left alone, where it is no reference."""
        try:
            return Reference.parse(text)
        except BadReference as exc:
            self.found.append(Found(text, self.where, None, f"it cannot be read: {exc}"))
            return None

    def held(self, asked: Reference, text: str) -> Holding | None:
        """What the mirror holds of it, which is found, or left alone."""
        found = self.holdings.find(asked)
        if isinstance(found, Absent):
            self.found.append(Found(text, self.where, None, found.reason))
            return None
        self.found.append(Found(text, self.where, found))
        return found

    def set(self, node: _Scalar | _Alias, value: str) -> None:
        """*node* says *value*, if it does not already."""
        if _said(node) != value and _is_settable(self.edits.text, node):
            self.edits.set(node, value)


# --- how a span is replaced ------------------------------------------------------------------------------------------


def _spliced(text: str, splices: Iterable[_Splice]) -> str:
    parts, end = list[str](), 0
    for splice in sorted(splices, key=lambda splice: splice.start):
        parts += [text[end : splice.start], splice.text]
        end = splice.end
    return "".join([*parts, text[end:]])


def _content(text: str, scalar: _Scalar) -> int:
    """Where *scalar* starts after its anchor and its tag."""
    found = _PROPERTIES.match(text, scalar.start, scalar.end)
    return found.end() if found else scalar.start


def _original(text: str, scalar: _Scalar) -> str:
    """What *scalar* is, to stand elsewhere: as it is written, so that a number stays one, unless it is a block."""
    return quoted(scalar.value) if scalar.style in ("|", ">") else text[_content(text, scalar) : scalar.end]


def _is_settable(text: str, node: _Scalar | _Alias) -> bool:
    """Whether *node* can say something else where it stands; nothing at all can, after the colon of its key."""
    if isinstance(node, _Alias):
        return True
    if node.style in ("|", ">"):
        return bool(node.text)
    at = _after_key(text, node)
    return _content(text, node) < node.end or (node.start == node.end and text[at - 1 : at] == ":")


def _after_key(text: str, scalar: _Scalar) -> int:
    """Where blanks before *scalar* begin; libyaml has what says nothing begin with what comes next."""
    at = scalar.start
    while at and text[at - 1] in " \t":
        at -= 1
    return at


def _spelt(text: str, scalar: _Scalar, value: str) -> _Splice:
    """How *scalar* is to say *value*, in its own style where that can."""
    start = _content(text, scalar)
    if scalar.style in ("|", ">"):
        header = _BREAK.search(text, start)
        at = text.index(scalar.text, header.end() if header else start)
        return _Splice(at, at + len(scalar.text), value)
    if scalar.style == "'":
        return _Splice(start, scalar.end, f"'{value}'")
    spelt = value if not scalar.style and _PLAIN.fullmatch(value) else quoted(value)
    if start < scalar.end:
        return _Splice(start, scalar.end, spelt)
    at = _after_key(text, scalar)
    return _Splice(at, at, f" {spelt}")


def _outer(text: str, scalar: _Scalar, value: str, splices: Iterable[_Splice]) -> list[_Splice]:
    """*splices* of what *scalar* says, as splices of *text*; else one that has it say *value*, in double quotes."""
    start = _content(text, scalar)
    raw = text[start : scalar.end]
    positions = {"|": _literal_positions, '"': _quoted_positions}.get(scalar.style)
    found = positions(raw, scalar.value) if positions else None
    if found is None:
        return [_Splice(start, start + len(raw.rstrip()), quoted(value))]
    is_quoted = scalar.style == '"'
    return [
        _Splice(start + found[splice.start], start + found[splice.end], _escaped(splice.text, is_quoted))
        for splice in splices
    ]


def _escaped(text: str, is_quoted: bool) -> str:
    return quoted(text)[1:-1] if is_quoted else text


def _literal_positions(raw: str, value: str) -> list[int] | None:
    """Where in the literal block *raw* each character of *value* is, and its end; None where they differ otherwise."""
    breaks = list(_BREAK.finditer(raw))
    starts, ends = [each.end() for each in breaks], [each.start() for each in breaks[1:]] + [len(raw)]
    lines = value.split("\n")
    written = [raw[start:end] for start, end in zip(starts, ends, strict=True)]
    first = next((number for number, line in enumerate(lines) if line), None)
    if first is None or first >= len(written):
        return None
    indent = len(written[first]) - len(lines[first])
    positions = list[int]()
    for number, line in enumerate(lines):
        if number >= len(written):
            positions += [len(raw)] * (len(line) + 1)
            continue
        if written[number][indent:] != line:
            return None
        positions += range(starts[number] + indent, starts[number] + indent + len(line) + 1)
    return positions


def _quoted_positions(raw: str, value: str) -> list[int] | None:
    """The same for *raw* in double quotes."""
    marks = list(_ESCAPE.finditer(raw, 1, len(raw) - 1))
    if len(marks) != len(value):  # it has folded line breaks
        return None
    return [*(mark.start() for mark in marks), len(raw) - 1]
