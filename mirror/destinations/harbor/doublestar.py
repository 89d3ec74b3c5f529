r"""The patterns of Harbor's rules: github.com/bmatcuk/doublestar v1.3.4 (goharbor/harbor, src/go.mod), `Match`. Pure.

    **        any number of components, where it is a whole one; elsewhere as *
    *  ?      any characters, one character, within a component
    [a-z^]    a character of a class; [^…] one of none
    {a,b}     one of several, which may span components
    \c        the character itself

What it does is followed, also where that is odd: `{a,a/b}` does not match `a`.
"""

from __future__ import annotations

from functools import cache

PATTERN_MAX = 256
"""Longer ones are not read: what Harbor has of them is drawn by hand, and each star is a call."""


class BadPattern(ValueError):
    """A pattern that cannot be read."""


def matches(pattern: str, name: str) -> bool:
    """Whether *pattern* matches all of *name*; raises BadPattern for one that cannot be read, if it gets so far."""
    if len(pattern) > PATTERN_MAX:
        raise BadPattern(f"a pattern of more than {PATTERN_MAX} characters")

    @cache
    def rest(pattern: str, component: str) -> tuple[str, ...] | None:
        """What *component* leaves of *pattern*, for what follows it; None where it does not match."""
        at = 0
        for within, character in enumerate(component):
            if at == len(pattern) or pattern[at] == "/":
                return None
            if pattern[at] == "*":
                return after_star(pattern[at + 1 :], component[within:])
            if pattern[at] == "{":
                return after_alternatives(pattern[at + 1 :], component[within:])
            following = _after(pattern, at, character)
            if following is None:
                return None
            at = following
        if at == len(pattern):
            return ()
        slash = _index(pattern, "/", at)
        if not _may_be_nothing(pattern[at:] if slash == -1 else pattern[at:slash]):
            return None
        return () if slash == -1 else (pattern[slash + 1 :],)

    def after_star(pattern: str, component: str) -> tuple[str, ...] | None:
        if not pattern:
            return ()
        if pattern[0] == "/":
            return (pattern[1:],)
        for start in range(len(component)):
            if (found := rest(pattern, component[start:])) is not None:
                return found
        return None

    def after_alternatives(pattern: str, component: str) -> tuple[str, ...] | None:
        options, end = _alternatives(pattern)
        found = [rest(option + pattern[end:], component) for option in options]
        matched = [left for left in found if left is not None]
        return tuple(dict.fromkeys(left for several in matched for left in several)) if matched else None

    @cache
    def whole(pattern: str, components: tuple[str, ...]) -> bool:
        slash = _index(pattern, "/")
        if (pattern if slash == -1 else pattern[:slash]) == "**":
            return slash == -1 or any(_or_false(pattern[slash + 1 :], components[at:]) for at in range(len(components)))
        left = rest(pattern, components[0])
        if left is None or len(components) == 1:
            return left == ()
        return any(whole(each, components[1:]) for each in left)

    def _or_false(pattern: str, components: tuple[str, ...]) -> bool:
        try:
            return whole(pattern, components)
        except BadPattern:
            return False

    return whole(pattern, tuple(name.split("/")))


def _after(pattern: str, at: int, character: str) -> int | None:
    """Where *pattern* goes on after what stands at *at* for *character*; None where it does not stand for it."""
    match pattern[at]:
        case "?":
            return at + 1
        case "[":
            end = _index(pattern, "]", at + 1)
            if end == -1:
                raise BadPattern(pattern)
            return end + 1 if _is_in_class(character, pattern[at + 1 : end]) else None
        case "\\":
            if at + 1 == len(pattern):
                raise BadPattern(pattern)
            return at + 2 if pattern[at + 1] == character else None
        case literal:
            return at + 1 if literal == character else None


def _index(text: str, character: str, start: int = 0) -> int:
    """Where *character* is, unless it is escaped; -1 where it is not."""
    at = text.find(character, start)
    while at > start and text[at - 1] == "\\":
        start = at + 1
        at = text.find(character, start)
    return at


def _alternatives(text: str) -> tuple[list[str], int]:
    """What the commas of *text*, which follows a brace, part; and where it goes on after the brace that closes."""
    options, depth, start, is_escaped = list[str](), 1, 0, False
    for at, character in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if not depth:
                return [*options, text[start:at]], at + 1
        elif character == "," and depth == 1:
            options.append(text[start:at])
            start = at + 1
    raise BadPattern(text)


def _may_be_nothing(pattern: str) -> bool:
    if pattern in ("", "*", "**"):
        return True
    if not pattern.startswith("{"):
        return False
    options, end = _alternatives(pattern[1:])
    return _may_be_nothing(pattern[1 + end :]) and any(map(_may_be_nothing, options))


def _is_in_class(character: str, members: str) -> bool:
    if not members:
        raise BadPattern("[]")
    is_negated, is_found = members[0] == "^", False
    left = list(members[is_negated:])

    def taken() -> str:
        member = left.pop(0)
        if member == "-" or (member == "\\" and not left):
            raise BadPattern(f"[{members}]")
        return left.pop(0) if member == "\\" else member

    while left:
        low = high = taken()
        if left and left[0] == "-":
            left.pop(0)
            if not left:
                raise BadPattern(f"[{members}]")
            high = taken()
        is_found |= low <= character <= high
    return is_found != is_negated
