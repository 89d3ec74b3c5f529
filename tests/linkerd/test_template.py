"""The template reader: expressions, conditions, and what an `image:` line prints."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import MirrorError, TemplateError
from mirror.linkerd.template import UNKNOWN, ImageLine, Scope, Term, chosen, live, outline, parse, printed

VALUES: dict[str, Any] = {
    "a": {"b": "x", "empty": "", "zero": 0, "no": False, "yes": True, "list": [], "float": 1.31},
    "other": "y",
    "entries": [],
}


def terms(source: str) -> tuple[Term, ...]:
    """The terms of *source* at the top of a template."""
    root = Term({"Values": VALUES, "Chart": UNKNOWN}, ())
    expression = parse(source)
    assert expression is not None
    return Scope(root, root, {}, set()).terms(expression)


def lines(template: str, *, partials: str = "", values: dict[str, Any] | None = None) -> tuple[ImageLine, ...]:
    """The image lines of a chart with one template."""
    files = {"templates/a.yaml": template, "charts/partials/templates/_p.tpl": partials, "values.yaml": "image: no"}
    return outline(files, VALUES if values is None else values, chart="c 1").lines


def text(line: ImageLine) -> str:
    """What *line* prints."""
    return "".join(piece if isinstance(piece, str) else printed(chosen(piece).value) for piece in line.pieces)


@pytest.mark.parametrize(
    ("source", "value", "paths"),
    [
        (".Values.a.b", "x", ["a.b"]),
        ("$.Values.a.b", "x", ["a.b"]),
        ("(.Values.a).b", "x", ["a.b"]),
        (".Values.a.b | quote", "x", ["a.b"]),
        (".Values.a.b | default .Values.other", "x", ["a.b"]),
        (".Values.a.empty | default .Values.other", "y", ["a.empty", "other"]),
        ("default .Values.other .Values.a.none", "y", ["a.none", "other"]),
        ("default .Values.a.b .Values.other", "y", ["other"]),
        ('.Values.a.none | default "z"', "z", ["a.none", ""]),
        ("default `z` .Values.a.zero", "z", ["a.zero", ""]),
        ('dig "b" "z" .Values.a', "x", ["a.b"]),
        ('dig "c" "d" .Values.other .Values.a', "y", ["a.c.d", "other"]),
        ("coalesce .Values.none .Values.a.empty .Values.other", "y", ["none", "a.empty", "other"]),
        ('required "say it" .Values.other', "y", ["other"]),
        (".Values.other.below", None, ["other.below"]),
        (".Chart.Version", UNKNOWN, [""]),
        ("tpl .Values.other .", UNKNOWN, [""]),
    ],
)
def test_an_expression_is_a_row_of_terms(source: str, value: object, paths: list[str]) -> None:
    """The first that is not empty counts; those after it are dead."""
    found = terms(source)

    assert value == chosen(found).value
    assert paths == [term.values_path for term in live(found)]


@pytest.mark.parametrize(
    ("value", "text_"),
    [
        (1.31, "1.31"),
        (1.0, "1"),
        (1.30, "1.3"),
        (1e16, "10000000000000000"),
        (7, "7"),
        (True, "true"),
        (None, ""),
        ("v", "v"),
    ],
)
def test_a_value_is_printed_as_go_does(value: object, text_: str) -> None:
    """Numbers that YAML made of versions, too."""
    assert text_ == printed(value)


@pytest.mark.parametrize(
    ("condition", "is_rendered"),
    [
        (".Values.a.yes", True),
        (".Values.a.no", False),
        (".Values.none.below", False),
        ("not .Values.a.no", True),
        ("and .Values.a.yes .Values.a.no", False),
        ("or .Values.a.no .Values.a.b", True),
        ("and .Release.Namespace .Values.a.no", False),
        ("and .Release.Namespace .Values.a.yes", True),
        ('eq .Values.a.b "x"', True),
        ('eq .Values.a.b "z"', False),
        ('ne .Values.a.b "x"', False),
        ('.Values.a.none | default "nft" | eq "nft"', True),
        ("ge (int .Values.a.zero) 0", True),
        ("lt (int .Values.a.zero) 0", False),
        ("empty .Values.a.list", True),
        ('hasKey .Values.a "b"', True),
        ('hasKey .Values.a "z"', False),
        ('kindIs "slice" .Values.a.b', False),
        ('.Capabilities.APIVersions.Has "policy/v1beta1/PodSecurityPolicy"', True),
        ('eq .Release.Service "CLI"', False),
        ("a form | that no | one knows", True),
        ("%&", True),
    ],
)
def test_a_condition_decides_where_the_chart_does(condition: str, is_rendered: bool) -> None:
    """What is not known counts as rendered."""
    (line,) = lines(f"{{{{- if {condition} }}}}\nimage: r/x:1\n{{{{- end }}}}\n")

    assert is_rendered == line.is_rendered


def test_branches_are_rendered_by_turns() -> None:
    """Exactly one branch of an else-if chain is, here the second."""
    template = """
    {{- if .Values.a.no }}
    image: r/x:1
    {{- else if .Values.a.yes }}
    image: r/x:2
      {{- if .Values.a.no }}
    image: r/x:3
      {{- else }}
    image: r/x:4
      {{- end }}
    {{- else }}
    image: r/x:5
    {{- end }}
    image: r/x:6
    """

    assert {"r/x:1": False, "r/x:2": True, "r/x:3": False, "r/x:4": True, "r/x:5": False, "r/x:6": True} == {
        text(line): line.is_rendered for line in lines(template)
    }


@pytest.mark.parametrize(
    "line",
    [
        "image: r/x:1",
        "  - image: r/x:1",
        '"image": "r/x:1"',
        "'image' : r/x:1  # why",
        "image: {{ .Values.i }}",
        "image: {{- .Values.i -}}",
        'image: "{{ .Values.i }}"',
        "image: {{.Values.i | quote}} # why",
        "{name: a, image: r/x:1}",
        '{"image": "{{ .Values.i }}", "name": "a"}',
        "image: {{ .Values.n -}} : {{- .Values.t }}",
        "image: {{/* why */}}r/x:1",
        "{{ $i := .Values.i }}image: {{ $i }}",
        "{{ with .Values.m }}\nimage: {{ .n }}:{{ .t }}\n{{ end }}",
        "{{- with $m := .Values.m }}\nimage: {{ $m.n }}:{{ $.Values.t }}\n{{ end }}",
        "{{- range $k, $v := .Values.none }}{{ end }}image: r/x:1",
    ],
)
def test_every_way_to_write_an_image_is_found(line: str) -> None:
    """Quoted keys, list items, flow mappings, comments, trim markers, variables."""
    values = {"i": "r/x:1", "n": "r/x", "t": 1, "m": {"n": "r/x", "t": "1"}}

    assert ["r/x:1"] == [text(each) for each in lines(f"spec:\n{line}\n", values=values)]


@pytest.mark.parametrize(
    "line",
    [
        "# image: r/x:1",
        "  # image: {{ .Values.a.b | nonsense ! }}",
        "{{/* image: r/x:1 */}}",
        "{{- /*\nimage: r/x:1\n}} */ -}}",
        "imagePullPolicy: Always",
        "my-image: r/x:1",
        "image:\n  type: string",
        "description: the image: what runs",
    ],
)
def test_what_is_no_image_is_left_alone(line: str) -> None:
    """Comments of YAML and of Go, other keys, mappings (a CRD's properties), prose."""
    assert () == lines(f"spec:\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "image: {{ include `x` . }}",
        "image: {{ .Values.a.b | nonsense }}",
        "image: {{ % }}",
        "image: {{ .Release.Name }}",
        "image: {{ .Chart.AppVersion }}",
        "image: {{ if .Values.a }}r/x:1{{ end }}",
        "image: r/x:{{ if .Values.a }}1{{ else }}2{{ end }}",
        "image:\n  {{ .Values.a.b }}",
        "image:\n  r/x:1",
        "{{ range .Values.entries }}\nimage: {{ .image }}\n{{ end }}",
        "{image: {{ .Values.a.b | nonsense }}}",
    ],
)
def test_an_image_that_cannot_be_read_is_an_error(line: str) -> None:
    """Chart, file and line are named; nothing is missed silently."""
    with pytest.raises(TemplateError, match=r"chart c 1, templates/a\.yaml, line [2-4]: `"):
        lines(f"spec:\n{line}\n")


@pytest.mark.parametrize(
    "template",
    [
        "image: {{ .Values.a",
        "{{ if .Values.a }}image: x",
        "image: x{{ end }}",
        "{{ else }}image:",
        "{{ define x }}{{ end }} image: x",
    ],
)
def test_what_is_no_template_is_an_error(template: str) -> None:
    """Actions and blocks must close."""
    with pytest.raises(TemplateError, match=r"chart c 1, templates/a\.yaml, line 1"):
        lines(template)


def test_a_partial_counts_where_it_is_included() -> None:
    """Also through another partial, under the conditions of the whole way."""
    partials = """
    {{- define "outer" }}{{ include "inner" . }}{{ end }}
    {{- define "inner" }}
    image: r/inner:1
    {{- end }}
    {{- define "alone" }}
    image: r/alone:1
    {{- end }}
    """
    template = '{{ if .Values.a.no }}{{ include "outer" $ | nindent 4 }}{{ end }}'

    found = {text(line): (line.is_rendered, line.is_reached) for line in lines(template, partials=partials)}

    assert {"r/inner:1": (False, True), "r/alone:1": (False, False)} == found


def test_a_partial_that_includes_itself_ends() -> None:
    """Each is walked once for what it is given."""
    partials = '{{ define "p" }}{{ include "p" . }}\nimage: r/x:1\n{{ end }}'

    assert ["r/x:1"] == [text(line) for line in lines('{{ template "p" . }}', partials=partials)]


def test_a_name_that_is_put_together_may_be_any_that_fits() -> None:
    """`include (printf …)` reaches every partial that has its literal parts."""
    partials = '{{ define "p.a" }}\nimage: r/a:1\n{{ end }}{{ define "q.a" }}\nimage: r/b:1\n{{ end }}'

    found = lines('{{ include (print "p." .Release.Name) . }}', partials=partials)

    assert {"r/a:1": True, "r/b:1": False} == {text(line): line.is_reached for line in found}


def test_an_entry_of_a_list_falls_back_to_its_default() -> None:
    """The entry's own path is told, and marked."""
    template = '{{ range .Values.entries }}\nimage: {{ dig "image" "name" $.Values.other . }}:1\n{{ end }}'

    (line,) = lines(template)

    assert (False, "y:1") == (line.is_rendered, text(line))
    assert [("entries[].image.name", True), ("other", False)] == [(t.values_path, t.is_entry) for t in line.pieces[0]]


def test_what_a_template_sets_is_not_known() -> None:
    """A branch that depends on it may be rendered."""
    template = '{{ $_ := set .Values.a "no" true }}{{ if .Values.a.no }}\nimage: r/x:1\n{{ end }}'

    assert [True] == [line.is_rendered for line in lines(template)]


@pytest.mark.parametrize(
    ("template", "paths"),
    [
        ("metadata:\n  labels:\n    v: {{ .Values.other }}\nimage: r/x:1", {"other"}),
        (
            "metadata:\n  labels:\n    v: {{ default .Values.other .Values.a.empty }}\nimage: r/x:1",
            {"other", "a.empty"},
        ),
        ("metadata:\n  annotations:\n    v: {{ .Values.other }}\nimage: r/x:1", set()),
        ("  labels:\n    {{ if .Values.a.b }}\n    v: {{ .Values.other }}\n    {{ end }}\nimage: r/x:1", {"other"}),
        ("  labels:\n    a: b\n  annotations:\n    v: {{ .Values.other }}\nimage: r/x:1", set()),
        ("name: x-{{ .Values.other }}\nimage: r/x:1", {"other"}),
        ('  labels:\n    {{- include "p" . | nindent 4 }}\nimage: r/x:1', {"other"}),
        ('  annotations:\n    {{- include "p" . | nindent 4 }}\nimage: r/x:1', set()),
    ],
)
def test_labels_and_names_are_plain(template: str, paths: set[str]) -> None:
    """The values that feed them are told, for no digest may go there."""
    files = {"templates/a.yaml": template, "templates/_p.tpl": '{{ define "p" }}\nv: {{ .Values.other }}\n{{ end }}'}

    assert paths == set(outline(files, VALUES, chart="c 1").plain)


PARTS = [
    *"{}()|.$\"'`- \n:#,1",
    *("{{ ", "{{- ", " }}", " -}}", "/*", "*/", "$x := ", ".Values.a.b", "| default .b", "Values", "| quote"),
    *("if .Values.a", "else", "else if .x", "end", "range .Values.entries", "with .Values.a"),
    *('define "p"', 'include "p" .', 'template "p" .', "image: ", "\n  - image: ", "r/x:1", " # ", "labels:"),
]
SOURCES = st.lists(st.sampled_from(PARTS), max_size=40).map("".join)


@given(SOURCES)
def test_no_expression_breaks_the_reader(source: str) -> None:
    """Read, or None."""
    expression = parse(source)

    assert expression is None or terms(source)


@given(SOURCES)
def test_no_template_breaks_the_reader(template: str) -> None:
    """Read, or an error that we raise on purpose."""
    with contextlib.suppress(MirrorError):
        lines(template, partials=template)


@pytest.mark.parametrize(
    "template",
    [
        "image: {{ " + "(" * 5000 + ".a" + ")" * 5000 + " }}",
        "image: {{ .a" + " | quote" * 5000 + " }}",
        "{{ if .a }}" * 5000 + "image: x" + "{{ end }}" * 5000,
        "{{ if .a }}image: x{{ else if .b }}" * 5000 + "{{ end }}",
    ],
    ids=["parentheses", "pipes", "blocks", "branches"],
)
def test_depth_is_bounded(template: str) -> None:
    """What is nested without end is refused, not a crash."""
    with pytest.raises(TemplateError):
        lines(template)
