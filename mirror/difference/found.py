"""The difference between two sides: two releases, or one release upstream and in a mirror. Pure.

An image is compared with the one in the same repository: digest, platforms, bytes, and which layers both have. A side
without charts, as a mirror's record is, says nothing of values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mirror.oci.content import Digest

SCHEMA = 1

State = Literal["same", "changed", "only_first", "only_second", "unknown"]


@dataclass(frozen=True, slots=True)
class Shape:
    """An image as one side has it."""

    reference: str
    digest: Digest | None
    """None where it could not be read."""
    made_of: Digest | None = None
    """Upstream's digest of it, where a platform filter makes another one."""
    platforms: tuple[str, ...] = ()
    blobs: Mapping[Digest, int] = field(default_factory=dict, hash=False)
    """Layers and configurations, with their sizes."""

    @property
    def size(self) -> int:
        """Bytes of all its blobs."""
        return sum(self.blobs.values())

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "reference": self.reference,
            "digest": str(self.digest) if self.digest else None,
            "platforms": list(self.platforms),
            "bytes": self.size,
        }


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared."""

    name: str
    images: Mapping[str, Shape]
    """By what images are compared by: the repository, or the whole reference where that has several."""
    values: Mapping[str, Mapping[str, Any]] | None = None
    """By chart, its values; None where nothing is known of them."""


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """One image beside the other."""

    image: str
    first: Shape | None
    second: Shape | None

    @property
    def state(self) -> State:
        """What is otherwise; unknown where one of them could not be read."""
        if self.first is None:
            return "only_second"
        if self.second is None:
            return "only_first"
        if self.first.digest is None or self.second.digest is None:
            return "unknown"
        is_same = self.first.digest in (self.second.digest, self.second.made_of)
        return "same" if is_same else "changed"

    @property
    def new(self) -> Mapping[Digest, int]:
        """The blobs that only the second has."""
        return _without(self.second, self.first)

    @property
    def gone(self) -> Mapping[Digest, int]:
        """The blobs that only the first has."""
        return _without(self.first, self.second)

    @property
    def shared(self) -> Mapping[Digest, int]:
        """The blobs of both."""
        second = self.second.blobs if self.second else {}
        return {digest: size for digest, size in second.items() if digest not in self.new}

    def document(self) -> dict[str, Any]:
        """As JSON has it; mirror/cli/diff.py tells the keys."""
        return {
            "image": self.image,
            "state": self.state,
            "first": self.first.document() if self.first else None,
            "second": self.second.document() if self.second else None,
            "layers": {
                name: {"count": len(blobs), "bytes": sum(blobs.values())}
                for name, blobs in (("new", self.new), ("gone", self.gone), ("shared", self.shared))
            },
        }


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """One value of a chart, as JSON, that is otherwise; None where a side has it not."""

    chart: str
    path: str
    first: str | None
    second: str | None

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"chart": self.chart, "path": self.path, "first": self.first, "second": self.second}


@dataclass(frozen=True, slots=True)
class Difference:
    """All that is otherwise between *first* and *second*."""

    first: str
    second: str
    images: tuple[ImageDifference, ...]
    values: tuple[ValueDifference, ...]
    charts: tuple[str, ...] = ()
    """A sentence for each chart whose archive is not the one that is recorded."""
    notes: tuple[str, ...] = ()
    """What could not be compared, and why."""

    @property
    def exit_code(self) -> int:
        """1 where an image could not be read, 4 if something differs, else 0."""
        states = {image.state for image in self.images}
        if "unknown" in states:
            return 1
        return 4 if states - {"same"} or self.values or self.charts else 0

    @property
    def size(self) -> int:
        """Bytes that the second has and the first has not, each blob once."""
        first = {digest for image in self.images if image.first for digest in image.first.blobs}
        second = {digest: size for image in self.images if image.second for digest, size in image.second.blobs.items()}
        return sum(size for digest, size in second.items() if digest not in first)

    def document(self) -> dict[str, Any]:
        """`mirror diff -o json`."""
        return {
            "schema": SCHEMA,
            "first": self.first,
            "second": self.second,
            "images": [image.document() for image in self.images],
            "values": [value.document() for value in self.values],
            "charts": list(self.charts),
            "bytes": self.size,
            "notes": list(self.notes),
        }


def difference(first: Side, second: Side, *, charts: Iterable[str] = (), notes: Iterable[str] = ()) -> Difference:
    """What is otherwise in *second* than in *first*, with what else is to be said."""
    names = sorted({*first.images, *second.images})
    images = tuple(ImageDifference(name, first.images.get(name), second.images.get(name)) for name in names)
    values = (
        tuple(_values(first.values, second.values)) if first.values is not None and second.values is not None else ()
    )
    return Difference(first.name, second.name, images, values, tuple(charts), tuple(notes))


def _values(
    first: Mapping[str, Mapping[str, Any]], second: Mapping[str, Mapping[str, Any]]
) -> Iterator[ValueDifference]:
    """Of the charts that both have: one that comes or goes is told by its images."""
    for chart in sorted(first.keys() & second.keys()):
        old, new = dict(_leaves(first[chart])), dict(_leaves(second[chart]))
        for path in sorted(old.keys() | new.keys()):
            if old.get(path) != new.get(path):
                yield ValueDifference(chart, path, old.get(path), new.get(path))


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Each value by its dotted path, as JSON; a list is one value, an empty table too."""
    for key, value in values.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, here)
        else:
            yield here, json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _without(one: Shape | None, other: Shape | None) -> Mapping[Digest, int]:
    has = other.blobs if other else {}
    return {digest: size for digest, size in (one.blobs if one else {}).items() if digest not in has}
