"""Go templates, read far enough to know what a chart's `image:` lines say, and when they are rendered.

A chart is not rendered here: `outline` walks its templates once over its default values, into every branch and every
`include`, and notes each `image:` line with what it would print, each placeholder by the values that can fill it.

Vocabulary: a *term* is one value that an expression may take, with the values path that holds it; an expression is a
row of terms, of which the first that is not empty counts (`x | default y`: x, then y). What only a cluster or an
operator knows is UNKNOWN. Conditions are three-valued, and a branch that may be rendered counts as rendered.

Syntax: https://pkg.go.dev/text/template; functions: Helm's and Sprig's, those that decide something here.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from mirror.errors import TemplateError


class _Unknown:
    """What the chart alone does not decide."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()

DEPTH_MAX = 64  # of blocks, parentheses and includes; Linkerd's deepest is below ten


@dataclass(frozen=True, slots=True)
class Term:
    """One value that an expression may take."""

    value: Any
    """As YAML has it; None where the chart has none, UNKNOWN where it does not decide."""
    path: tuple[str, ...] | None = None
    """Where it is, from the root (`Values`, `proxy`, `image`); `controllers[]` is every entry of a list."""
    is_entry: bool = False
    """It belongs to one entry of a list that a template ranges over."""

    @property
    def values_path(self) -> str:
        """Dotted, without `Values`; empty if no value of the chart holds it."""
        is_value = self.path is not None and self.path[:1] == ("Values",)
        return ".".join(self.path[1:]) if self.path is not None and is_value else ""

    @property
    def is_filled(self) -> bool:
        """Not empty as Sprig's `empty` has it: neither nil, false, zero nor of length zero."""
        return self.value is not UNKNOWN and bool(self.value)


Terms = tuple[Term, ...]


def live(terms: Terms) -> Terms:
    """Those of *terms* that take effect: up to the first that is not empty."""
    for position, term in enumerate(terms):
        if term.is_filled:
            return terms[: position + 1]
    return terms


def chosen(terms: Terms) -> Term:
    """The term that counts; what entries of a list say for themselves is passed over."""
    for term in terms:
        if term.is_filled or (term.value is UNKNOWN and not term.is_entry):
            return term
    return terms[-1] if terms else Term(None)


def is_true(terms: Terms) -> bool | None:
    """Whether *terms* are not empty; None if that is not known."""
    if any(term.is_filled for term in terms):
        return True
    return None if any(term.value is UNKNOWN for term in terms) else False


def printed(value: object) -> str:
    """*value* as a template prints it: `1.31` for a float, `true`, nothing for nil."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            try:  # Helm reads YAML by way of JSON: 1.0 is 1, and never an exponent below 1e21
                text = format(Decimal(repr(value)), "f")
            except (ArithmeticError, ValueError):
                return str(value)
            return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


# --- expressions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, a number, true, false or nil."""

    value: Any


@dataclass(frozen=True, slots=True)
class Variable:
    """`$x`; `$` alone is where the template began, and `.` the dot."""

    name: str


@dataclass(frozen=True, slots=True)
class Fields:
    """`.a.b` of something."""

    of: Expression
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments, the piped one last."""

    name: str
    arguments: tuple[Expression, ...]


Expression = Literal | Variable | Fields | Call

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
    | (?P<char>'(?:\\.|[^'\\])*')
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![\w.]))
    | (?P<variable>\$\w*)
    | (?P<field>\.\w+)
    | (?P<dot>\.(?!\w))
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>[()|,]|:?=)
    )""",
    re.VERBOSE,
)
_CONSTANTS = {"true": True, "false": False, "nil": None}


class _Unreadable(Exception):
    """An expression is not of a form known here; its message says why."""


@lru_cache(maxsize=4096)
def parse(source: str) -> Expression | None:
    """The expression that *source* spells; None if it is not of a form known here."""
    try:
        tokens = list(_tokens(source))
        expression = _Parser(tokens).pipeline(DEPTH_MAX)
    except _Unreadable:
        return None
    return expression


def _tokens(source: str) -> Iterator[tuple[str, str, bool]]:
    """Kind, text, and whether whitespace comes before."""
    position, end = 0, len(source.rstrip())
    while position < end:
        token = _TOKEN.match(source, position)
        if token is None:
            raise _Unreadable(source[position : position + 20])
        kind = token.lastgroup or ""
        yield kind, token[kind], token.start(kind) > position or position == 0
        position = token.end()


class _Parser:
    """A recursive descent over one action's tokens."""

    def __init__(self, tokens: list[tuple[str, str, bool]]) -> None:
        self._tokens = tokens
        self._position = 0

    def pipeline(self, depth: int, *, closing: bool = False) -> Expression:
        if not depth:
            raise _Unreadable("too deep")
        expression = self._command(depth, None)
        while self._take("sign", "|"):
            expression = self._command(depth, expression)
        if closing:
            if not self._take("sign", ")"):
                raise _Unreadable("no closing parenthesis")
        elif self._position < len(self._tokens):
            raise _Unreadable(self._tokens[self._position][1])
        return expression

    def _command(self, depth: int, piped: Expression | None) -> Expression:
        last = () if piped is None else (piped,)
        name = self._take("name")
        if name and name not in _CONSTANTS:
            return Call(name, (*self._operands(depth), *last))
        if name:
            self._position -= 1
        operands = self._operands(depth)
        if not operands:
            raise _Unreadable("nothing")
        first, *rest = operands
        # A method with arguments, as .Capabilities.APIVersions.Has "policy/v1"
        return Call("", (first, *rest, *last)) if rest or last else first

    def _operands(self, depth: int) -> list[Expression]:
        operands = []
        while (operand := self._operand(depth)) is not None:
            operands.append(operand)
        return operands

    def _operand(self, depth: int) -> Expression | None:
        if self._position >= len(self._tokens):
            return None
        kind, text, _ = self._tokens[self._position]
        operand: Expression
        match kind:
            case "string":
                operand = Literal(_unquoted(text))
            case "char":
                operand = Literal(UNKNOWN)
            case "number":
                operand = Literal(_number(text))
            case "variable":
                operand = Variable(text)
            case "dot":
                operand = Variable(".")
            case "field":
                return self._fields(Variable("."), is_first=True)
            case "name":
                operand = Literal(_CONSTANTS[text]) if text in _CONSTANTS else Call(text, ())
            case "sign" if text == "(":
                self._position += 1
                return self._fields(self.pipeline(depth - 1, closing=True))
            case _:
                return None
        self._position += 1
        return self._fields(operand)

    def _fields(self, of: Expression, *, is_first: bool = False) -> Expression:
        names = []
        while self._position < len(self._tokens):
            kind, text, is_apart = self._tokens[self._position]
            if kind != "field" or (is_apart and not is_first):
                break
            names.append(text[1:])
            self._position += 1
            is_first = False
        return Fields(of, tuple(names)) if names else of

    def _take(self, kind: str, text: str = "") -> str:
        if self._position < len(self._tokens):
            found, value, _ = self._tokens[self._position]
            if found == kind and text in ("", value):
                self._position += 1
                return value
        return ""


def _unquoted(text: str) -> object:
    if text.startswith("`"):
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:  # an escape that Go has and JSON has not
        return UNKNOWN


def _number(text: str) -> object:
    try:
        return int(text, 0)
    except ValueError:
        return float(text)


# --- values of expressions -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Scope:
    """What names mean at one place of a template."""

    dot: Term
    root: Term
    variables: dict[str, Terms]
    changed: set[tuple[str, ...]]
    """Paths that a template sets as it runs; what is there is not known."""

    def inner(self, dot: Term | None = None) -> Scope:
        """The scope of a block within this one."""
        return Scope(dot or self.dot, self.root, dict(self.variables), self.changed)

    def called(self, dot: Term) -> Scope:
        """The scope of a template that is included with *dot*."""
        return Scope(dot, dot, {}, self.changed)

    def terms(self, expression: Expression) -> Terms:
        """The terms of *expression* here."""
        match expression:
            case Literal(value):
                return (Term(value),)
            case Variable("."):
                return (self.dot,)
            case Variable("$"):
                return (self.root,)
            case Variable(name):
                return self.variables.get(name, (Term(UNKNOWN),))
            case Fields(of, names):
                return (self._descend(chosen(self.terms(of)), names),)
            case Call(name, arguments):
                function = _FUNCTIONS.get(name)
                values = tuple(self.terms(argument) for argument in arguments)
                return function(*values) if function and values else (Term(UNKNOWN),)

    def _descend(self, term: Term, names: tuple[str, ...]) -> Term:
        for name in names:
            path = None if term.path is None else (*term.path, name)
            if path in self.changed or term.value is UNKNOWN:
                value: object = UNKNOWN
            elif isinstance(term.value, Mapping):
                value = term.value.get(name)
            else:
                value = None
            term = Term(value, path, term.is_entry)
        return term


def _known(function: Callable[..., object]) -> Callable[..., Terms]:
    """*function* over what counts of each argument; UNKNOWN if any is, or if it cannot take them."""

    def over(*arguments: Terms) -> Terms:
        values = [chosen(argument).value for argument in arguments]
        if any(value is UNKNOWN for value in values):
            return (Term(UNKNOWN),)
        try:
            return (Term(function(*values)),)
        except (TypeError, ValueError, OverflowError, KeyError):
            return (Term(UNKNOWN),)

    return over


def _and(*arguments: Terms) -> Terms:
    truths = [is_true(argument) for argument in arguments]
    return arguments[truths.index(False)] if False in truths else _decided(truths, arguments[-1])


def _or(*arguments: Terms) -> Terms:
    truths = [is_true(argument) for argument in arguments]
    return arguments[truths.index(True)] if True in truths else _decided(truths, arguments[-1])


def _decided(truths: list[bool | None], terms: Terms) -> Terms:
    return (Term(UNKNOWN),) if None in truths else terms


def _not(argument: Terms) -> Terms:
    truth = is_true(argument)
    return (Term(UNKNOWN if truth is None else not truth),)


def _default(fallback: Terms, *given: Terms) -> Terms:
    return (*(given[0] if given else ()), *fallback)


def _dig(*arguments: Terms) -> Terms:
    *keys, fallback, of = arguments
    term = chosen(of)
    for key in (str(chosen(key).value) for key in keys):
        path = None if term.path is None else (*term.path, key)
        value = term.value.get(key) if isinstance(term.value, Mapping) else term.value if term.is_entry else None
        term = Term(value, path, term.is_entry)
    return (term, *fallback)


def _int(value: object) -> int:
    return int(value) if isinstance(value, str | int | float) else 0


def _equal(first: object, *others: object) -> bool:
    if not isinstance(first, str | int | float | None):
        raise TypeError(first)  # as Go has it
    return any(type(first) is type(other) and first == other for other in others)


def _kind(name: str, value: object) -> bool:
    kinds = {"map": Mapping, "slice": list, "string": str, "bool": bool}
    return isinstance(value, kinds[name])


def _same(argument: Terms, *_: Terms) -> Terms:
    return argument


# What decides an image or a condition; every other function's value is UNKNOWN.
_FUNCTIONS: Final[Mapping[str, Callable[..., Terms]]] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "empty": _not,
    "default": _default,
    "coalesce": lambda *arguments: tuple(term for argument in arguments for term in argument),
    "dig": _dig,
    "required": lambda _message, argument: argument,
    **dict.fromkeys(("deepCopy", "quote", "squote", "toString", "trim"), _same),
    "int": _known(_int),
    "eq": _known(_equal),
    "ne": _known(lambda first, second: not _equal(first, second)),
    "lt": _known(operator.lt),
    "le": _known(operator.le),
    "gt": _known(operator.gt),
    "ge": _known(operator.ge),
    "hasKey": _known(lambda mapping, key: key in mapping),
    "contains": _known(lambda part, text: part in text),
    "kindIs": _known(_kind),
    "list": _known(lambda *values: list(values)),
    "len": _known(len),
}


# --- templates -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """What is printed as it stands."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Action:
    """`{{ … }}` that is neither a block nor a comment."""

    source: str
    line: int
    trims: tuple[bool, bool] = (False, False)
    """Whether it takes the whitespace before it and after it."""


@dataclass(frozen=True, slots=True)
class Block:
    """`if`, `with` or `range`."""

    kind: str
    source: str
    line: int
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


Node = Text | Action | Block


@dataclass(frozen=True, slots=True)
class Template:
    """One file, or what one `define` in it names."""

    file: str
    nodes: list[Node]


# No possessive quantifiers: around a lookahead they match wrongly before Python 3.11.5 (python/cpython#100061).
# Each alternative begins with a character that no other does, so nothing is matched in two ways.
_ACTION = re.compile(
    r"\{\{(?P<left>-\s)?"
    r"(?:\s*(?P<comment>/\*(?s:.*?)\*/)"
    r"|(?!\s*/\*)(?P<source>(?:\"(?:\\.|[^\"\\\n])*\"|`[^`]*`|'(?:\\.|[^'\\\n])*'|(?!\}\})[^\"`'])*))"
    r"(?P<right>\s*-)?\}\}",
)
_KEYWORD = re.compile(r"(if|with|range|else|end|define|block|break|continue)\b\s*(.*)", re.DOTALL)
_NAME = re.compile(r"\s*(\"(?:\\.|[^\"\\])*\"|`[^`]*`)\s*(.*)", re.DOTALL)
_ELSE = "else if"  # an open block whose else branch is an `else if`
_ASSIGNMENT = re.compile(r"((?:\$\w*\s*,\s*)?\$\w+)\s*:?=(?!=)\s*(.*)", re.DOTALL)


class _Reader:
    """Reads one file into a tree; `define`s go to *defines* by their names."""

    def __init__(self, file: str, text: str, defines: dict[str, Template]) -> None:
        self._file = file
        self._text = text
        self._defines = defines
        self._nodes: list[Node] = []
        """Where the next node goes."""
        self._open: list[tuple[str, list[Node]]] = []
        """What `end` closes: its keyword, and where nodes go after it."""

    def template(self) -> Template:
        """The tree; raises TemplateError if blocks and actions do not close."""
        top = self._nodes
        position, line = 0, 1
        for action in _ACTION.finditer(self._text):
            self._print(self._text[position : action.start()], line)
            line += self._text.count("\n", position, action.start())
            if action["comment"] is None:
                self._act(action, line)
            line += action[0].count("\n")
            position = action.end()
        self._print(self._text[position:], line)
        if self._open:
            raise self._error(line, f"a block is not closed (`{self._open[-1][0]}`)")
        return Template(self._file, top)

    def _print(self, text: str, line: int) -> None:
        if "{{" in text:
            raise self._error(line + text[: text.index("{{")].count("\n"), "an action is not closed")
        if text:
            self._nodes.append(Text(text, line))

    def _act(self, action: re.Match[str], line: int) -> None:
        source = action["source"].strip()
        trims_right = source.endswith("-") and source[-2:-1].strip() == ""
        source = source.removesuffix("-").strip() if trims_right else source
        keyword = _KEYWORD.match(source)
        word, rest = (keyword[1], keyword[2]) if keyword else ("", "")
        match word:
            case "if" | "with" | "range":
                self._begin(word, rest, line)
            case "else":
                self._otherwise(rest, line)
            case "end":
                self._end(line)
            case "define" | "block":
                self._define(word, rest, line)
            case "":
                self._nodes.append(Action(source, line, (bool(action["left"]), trims_right)))

    def _begin(self, word: str, source: str, line: int) -> None:
        if len(self._open) > DEPTH_MAX:
            raise self._error(line, "blocks are nested too deep")
        block = Block(word, source, line)
        self._nodes.append(block)
        self._open.append((word, self._nodes))
        self._nodes = block.body

    def _otherwise(self, rest: str, line: int) -> None:
        """`else`, or `else if`, which is a block in the else branch that closes along with this one."""
        block = self._open[-1][1][-1] if self._open and self._open[-1][1] else None
        if not isinstance(block, Block) or self._open[-1][0] not in ("if", "with", "range"):
            raise self._error(line, "`else` outside of a block")
        self._nodes = block.otherwise
        if rest:
            nested = _KEYWORD.match(rest)
            if nested is None or nested[1] not in ("if", "with"):
                raise self._error(line, f"`else {rest}` cannot be read")
            self._open[-1] = (_ELSE, self._open[-1][1])
            self._begin(nested[1], nested[2], line)

    def _end(self, line: int) -> None:
        if not self._open:
            raise self._error(line, "`end` outside of a block")
        _, self._nodes = self._open.pop()
        while self._open and self._open[-1][0] == _ELSE:
            _, self._nodes = self._open.pop()

    def _define(self, word: str, rest: str, line: int) -> None:
        name = _NAME.match(rest)
        if name is None:
            raise self._error(line, f"`{word} {rest}` cannot be read")
        if word == "block":  # a define, and its use
            self._nodes.append(Action(f"template {rest}", line))
        body: list[Node] = []
        self._defines[str(_unquoted(name[1]))] = Template(self._file, body)
        self._open.append((word, self._nodes))
        self._nodes = body

    def _error(self, line: int, what: str) -> TemplateError:
        return TemplateError(f"{self._file}, line {line}: {what[:200]}")


# --- the outline -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ImageLine:
    """One `image:` of a template, at one place that it is reached from."""

    file: str
    line: int
    pieces: tuple[str | Terms, ...]
    is_rendered: bool
    """With the chart's default values, as far as the chart decides it."""
    is_reached: bool
    """From the chart's own templates; a partial may be used at run time alone."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a chart's templates say of images."""

    lines: tuple[ImageLine, ...]
    plain: Mapping[str, str]
    """Values paths that also feed a place where `@` and `:` are not legal, and that place."""


_KEY = re.compile(r"(\s*)(-\s+)?[\"']?([\w./-]+)[\"']?\s*:(?:\s+|$)")
_IMAGE = re.compile(r"\s*(?:-\s+)*([\"']?)image\1\s*:(?=\s|$)\s*")
_FLOW = re.compile(r"[{,]\s*([\"']?)image\1\s*:\s*")
_MENTION = re.compile(r"\bimage[\"']?\s*:|\b(?:include|template|block|define)\b")
_INDENT = re.compile(r"\bn?indent\s+(\d+)")
# Kubernetes: label values and names are of letters, digits, `-`, `_` and `.` alone.
_PLAIN_PARENTS = frozenset({"labels", "matchLabels", "selector", "nodeSelector"})
_PLAIN_KEYS = frozenset({"name", "namespace"})
_MARK = "\ufffc"  # stands for an action in a line's text


def outline(files: Mapping[str, str], values: Mapping[str, Any], *, chart: str) -> Outline:
    """What the templates in *files* say of images over the default *values*; raises TemplateError naming *chart*."""
    try:
        return _Walk(files, values).outline()
    except TemplateError as exc:
        raise TemplateError(f"chart {chart}, {exc}") from exc
    except RecursionError as exc:
        raise TemplateError(f"chart {chart}: its templates are nested too deep") from exc


class _Walk:
    """One walk over a chart's templates, the included ones where they are included."""

    def __init__(self, files: Mapping[str, str], values: Mapping[str, Any]) -> None:
        self._defines: dict[str, Template] = {}
        self._templates = [
            _Reader(file, text, self._defines).template()
            for file, text in sorted(files.items())
            if _is_template(file) and _MENTION.search(text)
        ]
        release = dict.fromkeys(("Name", "Namespace", "Revision"), UNKNOWN)
        unknown = dict.fromkeys(("Chart", "Capabilities", "Template", "Files", "Subcharts"), UNKNOWN)
        known = {"Values": values, "Release": {"Service": "Helm", "IsInstall": True, "IsUpgrade": False} | release}
        self._root = Term(unknown | known, ())
        self._changed: set[tuple[str, ...]] = set()
        self._seen: set[tuple[str, tuple[str, ...] | None, bool]] = set()
        self._lines: list[ImageLine] = []
        self._plain: dict[str, str] = {}

    def outline(self) -> Outline:
        for template in self._templates:
            self._nodes(template.nodes, self._scope(), _Page(template.file, is_reached=True), is_rendered=True)
        reached = {name for name, _, _ in self._seen}
        for name in sorted(self._defines.keys() - reached):
            template = self._defines[name]
            self._nodes(template.nodes, self._scope(), _Page(template.file, is_reached=False), is_rendered=False)
        return Outline(tuple(self._lines), self._plain)

    def _scope(self) -> Scope:
        return Scope(self._root, self._root, {}, self._changed)

    def _nodes(self, nodes: list[Node], scope: Scope, page: _Page, *, is_rendered: bool) -> None:
        line: list[Text | Action] = []
        for node in nodes:
            match node:
                case Text(text, number):
                    for offset, part in enumerate(text.split("\n")):
                        if offset:
                            self._line(line, scope, page, is_rendered=is_rendered)
                            line = []
                        line.append(Text(part, number + offset))
                case Action(source):
                    self._calls(source, node.line, scope, page, is_rendered=is_rendered)
                    if not self._assigns(source, scope):
                        line.append(node)
                case Block():
                    self._line(line, scope, page, is_rendered=is_rendered, is_cut=True)
                    line = []
                    self._block(node, scope, page, is_rendered=is_rendered)
        self._line(line, scope, page, is_rendered=is_rendered)

    def _block(self, block: Block, scope: Scope, page: _Page, *, is_rendered: bool) -> None:
        self._calls(block.source, block.line, scope, page, is_rendered=is_rendered)
        inner = scope.inner()
        assignment = _ASSIGNMENT.fullmatch(block.source)
        expression = parse(assignment[2] if assignment else block.source)
        terms = (Term(UNKNOWN),) if expression is None else scope.terms(expression)
        truth = is_true(terms)
        of = chosen(terms)
        if block.kind == "range":
            path = (*of.path[:-1], f"{of.path[-1]}[]") if of.path else None
            inner.dot = Term(UNKNOWN, path, is_entry=True)
        elif block.kind == "with":
            inner.dot = of
        if assignment:
            name = assignment[1].rpartition(",")[2].strip()
            inner.variables[name] = (inner.dot,) if block.kind == "range" else terms
        self._nodes(block.body, inner, page, is_rendered=is_rendered and truth is not False)
        self._nodes(block.otherwise, scope.inner(), page, is_rendered=is_rendered and truth is not True)

    def _assigns(self, source: str, scope: Scope) -> bool:
        """Takes in what *source* assigns or sets; whether it does, and so prints nothing."""
        assignment = _ASSIGNMENT.fullmatch(source)
        if assignment is None:
            return False
        expression = parse(assignment[2])
        scope.variables[assignment[1]] = (Term(UNKNOWN),) if expression is None else scope.terms(expression)
        if isinstance(expression, Call) and expression.name == "set" and len(expression.arguments) == 3:
            of, key = (chosen(scope.terms(argument)) for argument in expression.arguments[:2])
            if of.path is not None:
                self._changed.add((*of.path, str(key.value)))
        return True

    def _calls(self, source: str, line: int, scope: Scope, page: _Page, *, is_rendered: bool) -> None:
        """Walks the templates that *source* includes."""
        if "include" not in source and "template" not in source:
            return
        assignment = _ASSIGNMENT.fullmatch(source)
        expression = parse(assignment[2] if assignment else source)
        if expression is None:
            raise TemplateError(f"{page.file}, line {line}: `{source}` cannot be read")
        indent = _INDENT.search(source)
        parent = page.parent(int(indent[1]) if indent else 0)
        for call in _included(expression):
            dot = chosen(scope.terms(call.arguments[1])) if len(call.arguments) > 1 else Term(None)
            for name in self._names(call.arguments[0], scope):
                key = (name, dot.path, is_rendered)
                if key in self._seen or page.depth > DEPTH_MAX:
                    continue
                self._seen.add(key)
                inner = _Page(self._defines[name].file, page.is_reached, [(-1, parent)], page.depth + 1)
                self._nodes(self._defines[name].nodes, scope.called(dot), inner, is_rendered=is_rendered)

    def _names(self, expression: Expression, scope: Scope) -> list[str]:
        """The defined templates that *expression* may name: all that have its literals, if it is put together."""
        name = chosen(scope.terms(expression)).value
        if name is not UNKNOWN:
            return [str(name)] if str(name) in self._defines else []
        literals = [str(literal) for literal in _literals(expression)]
        return [define for define in self._defines if all(literal in define for literal in literals)]

    def _line(
        self, line: list[Text | Action], scope: Scope, page: _Page, *, is_rendered: bool, is_cut: bool = False
    ) -> None:
        """Takes in one line; *is_cut* if a block follows before it ends."""
        text = "".join(node.text if isinstance(node, Text) else _MARK for node in line)
        if not text.strip() or text.lstrip().startswith("#"):
            return
        key = _KEY.match(text)
        self._check_mapping(text, page, is_key=key is not None)
        actions = [node for node in line if isinstance(node, Action)]
        if "image" in text and (match := _IMAGE.match(text) or _FLOW.search(text)):
            self._image(line, match, scope, page, is_rendered=is_rendered, is_cut=is_cut)
        if key is not None:
            indent = len(key[1]) + len(key[2] or "")
            parent = page.enter(indent, key[3])
            if actions and (parent in _PLAIN_PARENTS or key[3] in _PLAIN_KEYS):
                self._note_plain(actions, scope, f"{key[3]} ({page.file}, line {line[0].line})")

    def _check_mapping(self, text: str, page: _Page, *, is_key: bool) -> None:
        """Raises TemplateError if an `image:` goes on in *text* as anything but a mapping."""
        if page.mapping is None:
            return
        (indent, where), page.mapping = page.mapping, None
        if not is_key and len(text) - len(text.lstrip(" -")) > indent:
            raise TemplateError(f"{where}: an image that goes on in the next line cannot be read")

    def _note_plain(self, actions: list[Action], scope: Scope, place: str) -> None:
        for action in actions:
            expression = parse(action.source)
            for term in live(scope.terms(expression)) if expression is not None else ():
                if term.values_path:
                    self._plain.setdefault(term.values_path, place)

    def _image(
        self,
        line: list[Text | Action],
        match: re.Match[str],
        scope: Scope,
        page: _Page,
        *,
        is_rendered: bool,
        is_cut: bool,
    ) -> None:
        number = next(node.line for node in line)
        form = "".join(node.text if isinstance(node, Text) else f"{{{{{node.source}}}}}" for node in line).strip()
        where = f"{page.file}, line {number}: `{form[:200]}`"
        nodes = _after(line, match.end(), is_flow=match.re is _FLOW)
        if not nodes and not is_cut:
            page.mapping = (len(match[0]) - len(match[0].lstrip(" -")), where)
            return
        if is_cut:
            raise TemplateError(f"{where}: a block within an image cannot be read")
        pieces: list[str | Terms] = []
        for node in nodes:
            if isinstance(node, str):
                pieces.append(node)
                continue
            expression = parse(node.source)
            if expression is None:
                raise TemplateError(f"{where}: `{node.source}` cannot be read")
            terms = scope.terms(expression)
            value = chosen(terms).value
            if value is UNKNOWN:
                raise TemplateError(f"{where}: `{node.source}` cannot be read: the chart alone does not decide it")
            if isinstance(value, Mapping | list):
                raise TemplateError(f"{where}: `{node.source}` is not a text with the chart's values")
            pieces.append(terms)
        self._lines.append(ImageLine(page.file, number, tuple(pieces), is_rendered, page.is_reached))


@dataclass(slots=True)
class _Page:
    """Where the walk is in one template."""

    file: str
    is_reached: bool
    parents: list[tuple[int, str]] = field(default_factory=list)
    """The YAML keys above the present line, by their indents."""
    depth: int = 0
    mapping: tuple[int, str] | None = None
    """An `image:` with nothing behind it: its indent, and where it is. It must be a mapping."""

    def parent(self, indent: int) -> str:
        return next((key for column, key in reversed(self.parents) if column < indent), "")

    def enter(self, indent: int, key: str) -> str:
        """The key above; *key* is then the present one."""
        while self.parents and self.parents[-1][0] >= indent:
            self.parents.pop()
        above = self.parents[-1][1] if self.parents else ""
        self.parents.append((indent, key))
        return above


def _is_template(file: str) -> bool:
    folder, _, name = file.rpartition("/")
    return "templates" in folder.split("/") and name != "NOTES.txt"


def _literals(expression: Expression) -> Iterator[object]:
    match expression:
        case Literal(value) if value is not UNKNOWN:
            yield value
        case Call(_, arguments):
            for argument in arguments:
                yield from _literals(argument)


def _included(expression: Expression) -> Iterator[Call]:
    match expression:
        case Call(name, arguments):
            if name in ("include", "template") and arguments:
                yield expression
            for argument in arguments:
                yield from _included(argument)
        case Fields(of, _):
            yield from _included(of)


def _after(line: Iterable[Text | Action], start: int, *, is_flow: bool) -> list[str | Action]:
    """What of *line* comes after *start*, without quotes, comment and what trim markers take."""
    pieces: list[str | Action] = []
    is_trimmed = False
    for node in line:
        if isinstance(node, Action):
            if node.trims[0] and pieces and isinstance(pieces[-1], str):
                pieces[-1] = pieces[-1].rstrip()
            is_trimmed = node.trims[1]
            pieces += [node] if start <= 0 else []
            start -= 1
        else:
            text, start = node.text[max(start, 0) :], start - len(node.text)
            pieces.append(text.lstrip() if is_trimmed else text)
            is_trimmed = False
    actions = iter([piece for piece in pieces if isinstance(piece, Action)])
    value = _scalar("".join(piece if isinstance(piece, str) else _MARK for piece in pieces), is_flow=is_flow)
    return [part if part != _MARK else next(actions) for part in re.split(f"({_MARK})", value) if part]


def _scalar(text: str, *, is_flow: bool) -> str:
    """The YAML scalar at the start of *text*."""
    text = text.strip()
    if text[:1] in ("'", '"') and (end := text.find(text[0], 1)) > 0:
        return text[1:end]
    text = re.split(r"\s#", text, maxsplit=1)[0]
    return (re.split(r"[,}]", text, maxsplit=1)[0] if is_flow else text).strip()
