"""What others wrote, read strictly: JSON in which no key is twice, base64 without strangers; else NotVerified.

Go's encoding/json, which cosign reads with, and Python's json differ in what they make of a key that is there twice,
so a document that has one says two things (facts of both: RFC 8259 §4, "unpredictable").
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from typing import Any, TypeVar

from mirror.errors import NotVerified

T = TypeVar("T")

_NAMES: dict[type, str] = {dict: "an object", list: "a list", str: "a string", int: "a number"}


def document(data: bytes | str, *, what: str, bound: int) -> dict[str, Any]:
    """The JSON object in *data*, which error messages call *what*; of at most *bound* bytes or characters."""
    if len(data) > bound:
        raise NotVerified(f"{what} is larger than {bound} bytes")
    try:
        view = json.loads(data, object_pairs_hook=lambda pairs: _object(pairs, what), parse_constant=_refuse_constant)
    except RecursionError as exc:
        raise NotVerified(f"{what} is JSON too deep to be read") from exc
    except ValueError as exc:  # not JSON, not UTF-8, or a number of thousands of digits
        raise NotVerified(f"{what} is not JSON") from exc
    if not isinstance(view, dict):
        raise NotVerified(f"{what} is not a JSON object")
    return view


def _object(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    view = dict(pairs)
    if len(view) != len(pairs):
        raise NotVerified(f"{what} has a key twice")
    return view


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def at(view: Any, *path: str | int, kind: type[T], what: str) -> T:
    """What *view* has at *path*, which is of *kind*."""
    for step in path:
        if isinstance(step, int):
            view = view[step] if isinstance(view, list) and step < len(view) else None
        else:
            view = view.get(step) if isinstance(view, dict) else None
    if not isinstance(view, kind) or isinstance(view, bool):
        raise NotVerified(f"{what} has no {'.'.join(map(str, path))} that is {_NAMES[kind]}")
    return view


def unbase64(text: str, *, what: str) -> bytes:
    """The bytes that *text* spells in base64 (RFC 4648 §4), and in nothing else."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise NotVerified(f"{what} is not base64") from exc


def number(text: str | int, *, what: str, bound: int) -> int:
    """The number that *text* is, as protobuf's JSON writes 64 bits or as JSON does; from 0 up to *bound*."""
    value = int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 20 else text
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= bound:
        raise NotVerified(f"{what} is not a number from 0 to {bound}")
    return value
