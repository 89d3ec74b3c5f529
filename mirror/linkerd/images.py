"""Images: every image that a chart can pull, and the values that control it.

Read from the chart alone, with no table of versions: `template.outline` says what each `image:` line prints and which
values fill it; here that becomes a reference, with the values path of each of its parts.

What a partial names counts if the chart has its values, also where no template includes it (the injector runs
`partials.debug` at run time); a partial whose values the chart does not have is not used by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mirror.errors import BadReference, TemplateError
from mirror.linkerd.parts import Chart, Control, Image
from mirror.linkerd.template import ImageLine, Outline, Term, Terms, chosen, live, outline, printed
from mirror.oci.reference import Reference

FIRST_PARTY = ("cr.l5d.io/linkerd/", "ghcr.io/linkerd/")

# The release's own name: it feeds labels and the version checks of `linkerd check` in every era.
_RELEASE_PATH = "linkerdVersion"


def release_images(charts: Iterable[Chart]) -> tuple[Image, ...]:
    """Every image of *charts*, sorted by reference; raises TemplateError where a template cannot be read."""
    found: dict[str, Image] = {}
    for chart in charts:
        for image in chart_images(chart):
            known = found.get(image.reference)
            found[image.reference] = image if known is None else _merged(known, image)
    return tuple(found[reference] for reference in sorted(found))


def chart_images(chart: Chart) -> tuple[Image, ...]:
    """Every image that *chart* can pull, sorted by reference; raises TemplateError naming chart, file and line."""
    outlined = outline(chart.files, chart.values, chart=f"{chart.name} {chart.version}")
    found: dict[str, Image] = {}
    for line in outlined.lines:
        image = _image(chart, line, outlined)
        if image is not None:
            known = found.get(image.reference)
            found[image.reference] = image if known is None else _merged(known, image)
    return tuple(found[reference] for reference in sorted(found))


def _merged(first: Image, second: Image) -> Image:
    """One image that is named twice."""
    return replace(
        first,
        charts=_union(first.charts, second.charts),
        controls=tuple(sorted({*first.controls, *second.controls}, key=_order)),
        is_hardcoded=first.is_hardcoded or second.is_hardcoded,
        is_optional=first.is_optional and second.is_optional,
        notes=_union(first.notes, second.notes),
        paths=_union(first.paths, second.paths),
    )


def _order(control: Control) -> tuple[str, ...]:
    return (control.chart, control.registry or "", control.name or "", control.tag or "", control.unpinnable)


def _union(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({*first, *second}))


def _image(chart: Chart, line: ImageLine, outlined: Outline) -> Image | None:
    """The image that *line* names; None if the chart does not use it."""
    spans = _spans(line)
    reference = "".join(text for text, _ in spans)
    named = [terms for _, terms in spans if terms]
    if not named and not line.is_reached:
        return None  # a partial that the chart carries and does not include
    if named and not chosen(named[0]).is_filled and not (line.is_rendered and line.is_reached):
        return None  # a partial without its values, or an image that only an operator names
    _check(chart, line, reference)
    control = _control(chart.name, spans, outlined.plain)
    return Image(
        reference=reference,
        charts=(chart.name,),
        controls=() if control is None else (control,),
        is_hardcoded=control is None,
        is_first_party=reference.startswith(FIRST_PARTY),
        is_optional=not line.is_rendered,
        notes=_notes(chart, named),
        paths=tuple(f"{chart.name}: {path}" for path in _paths(named, control)),
    )


def _spans(line: ImageLine) -> list[tuple[str, Terms]]:
    """The pieces of *line* as they are printed, each with its terms; none for what the template decides."""
    return [(piece, ()) if isinstance(piece, str) else (printed(chosen(piece).value), piece) for piece in line.pieces]


def _check(chart: Chart, line: ImageLine, reference: str) -> None:
    try:
        Reference.parse(reference)
    except BadReference as exc:
        raise TemplateError(
            f"chart {chart.name} {chart.version}, {line.file}, line {line.line}: "
            f"with the chart's values the image is {reference[:300]!r}, which is not a reference"
        ) from exc


def _control(chart: str, spans: list[tuple[str, Terms]], plain: Mapping[str, str]) -> Control | None:
    """The paths by which *spans* are controlled; None if no value is among them."""
    reference = "".join(text for text, _ in spans)
    head, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        head = reference
    name = _most_specific(_at(spans, len(head) - 1), "")
    registry = _most_specific(_at(spans, 0), name)
    tags = _at(spans, len(head) + 1)
    tag_path = _most_specific(tags, name)
    if not (registry or name or tag_path):
        return None
    return Control(chart, registry or None, name or None, tag_path or None, _unpinnable(tag_path, tags, plain))


def _at(spans: list[tuple[str, Terms]], offset: int) -> Terms:
    """The terms of the piece that prints the character at *offset*."""
    for text, terms in spans:
        if 0 <= offset < len(text):
            return terms
        offset -= len(text)
    return ()


def _most_specific(terms: Terms, name: str) -> str:
    """Of the paths that take effect the one nearest to *name*, as this image's own is; the first of equals."""
    paths = [term.values_path for term in live(terms) if term.values_path and not term.is_entry]
    return max(paths, key=lambda path: _shared(path, name), default="")


def _shared(first: str, second: str) -> int:
    """How many characters both begin with: `controllerImageVersion` is nearer to `controllerImage` than any other."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _unpinnable(path: str, terms: Terms, plain: Mapping[str, str]) -> str:
    """Why *path* cannot bear a digest; empty if it can."""
    if not path:
        return "the template decides the tag"
    dead = [term.values_path for term in terms[len(live(terms)) :] if term.values_path]
    if dead and path == _RELEASE_PATH:
        return f"{dead[0]} has no effect, the template prefers {path}, which names the release"
    if path == _RELEASE_PATH:
        return f"{path} names the release, in labels too, and must stay as it is"
    if path in plain:
        return f"{path} also feeds {plain[path]}, where @ and : are not legal"
    return ""


def _paths(named: list[Terms], control: Control | None) -> Iterable[str]:
    """Every path that takes effect: what the chart has, and what the control names."""
    controlled = () if control is None else (control.registry, control.name, control.tag)
    for terms in named:
        for term in live(terms):
            if term.values_path and (term.value is not None or term.values_path in controlled):
                yield term.values_path


def _notes(chart: Chart, named: list[Terms]) -> tuple[str, ...]:
    """What is said for entries of a list, whose own values no override can know."""
    entries = [term for terms in named for term in live(terms) if _is_own(term)]
    if not entries:
        return ()
    paths = " and ".join(dict.fromkeys(term.values_path for term in entries))
    return (f"{chart.name}: an entry may name its own image by {paths}; without that it has the default above.",)


def _is_own(term: Term) -> bool:
    return term.is_entry and bool(term.values_path)
