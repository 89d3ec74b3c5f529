"""Harbor's patterns match what its library matches: the table was made by doublestar v1.3.4 itself."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.destinations.harbor.doublestar import PATTERN_MAX, BadPattern, matches

_words = st.text("abc-.", min_size=1, max_size=6)
_paths = st.lists(_words, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("**", "", True),
        ("**", "a/b/c", True),
        ("*", "a", True),
        ("*", "a/b", False),
        ("*", "", True),
        ("?", "a", True),
        ("?", "", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a*", "abc", True),
        ("a*c", "ac", True),
        ("a*c", "abbc", True),
        ("a**c", "abbc", True),
        ("a**c", "a/b/c", False),
        ("**/c", "c", True),
        ("**/c", "a/b/c", True),
        ("**/c", "a/b/d", False),
        ("a/**", "a", False),
        ("a/**", "a/", True),
        ("a/**", "a/b/c", True),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/b/b/c", True),
        ("a/**/c", "b/c", False),
        ("**/b/**", "a/b/c", True),
        ("**/b/**", "b", False),
        ("{a,b}", "b", True),
        ("{a,b}", "c", False),
        ("{a,b}*", "bc", True),
        ("x{a,b}y", "xby", True),
        ("{a/b,c}", "a/b", True),
        ("{a/b,c}", "c", True),
        ("{a,a/b}", "a", False),
        ("{a,a/b}", "a/b", True),
        ("{l5d/web,l5d/proxy}", "l5d/proxy", True),
        ("l5d/{web,proxy}", "l5d/web", True),
        ("l5d/{web,proxy}", "l5d/controller", False),
        ("{**,a}/b", "x/b", True),
        ("{**,a}/b", "x/y/b", False),
        ("a{,b}", "a", True),
        ("a{,b}", "ab", True),
        ("a{,b}*", "a", True),
        ("*{,x}", "a", False),
        ("[a-c]", "b", True),
        ("[a-c]", "d", False),
        ("[^a-c]", "d", True),
        ("[^a-c]", "a", False),
        ("[!a]", "a", True),
        ("[!a]", "!", True),
        ("[a^]", "^", True),
        ("v[0-9]*", "v1.2.3", True),
        ("edge-*", "edge-26.8.1", True),
        ("edge-*", "stable-2.14.10", False),
        ("sha256-*", "sha256-00.sig", True),
        ("\\*", "*", True),
        ("\\*", "a", False),
        ("\\{a", "{a", True),
        ("\\", "a", None),
        ("a\\", "ab", None),
        ("[", "a", None),
        ("[]", "a", None),
        ("[a-", "a", None),
        ("[a-]", "a", None),
        ("[-a]", "a", None),
        ("[a--]", "a", None),
        ("{a,b", "a", None),
        ("{a", "b", None),
        ("x[", "a", False),
        ("**/[", "a", False),
        ("a/[", "a", False),
        ("a/[", "b", False),
        ("[\\]]", "]", True),
        ("[\\-a]", "-", True),
        ("a/b", "a", False),
        ("a/", "a", False),
        ("", "", True),
        ("", "a", False),
        ("/", "", False),
        ("/", "a", False),
    ],
)
def test_as_the_library(pattern: str, name: str, expected: bool | None) -> None:
    """None stands for ErrBadPattern, which it finds only if it gets so far."""
    if expected is None:
        with pytest.raises(BadPattern):
            matches(pattern, name)
    else:
        assert expected == matches(pattern, name)


@given(st.text(r"ab/*?[]{},^-\\", max_size=40), st.text("ab/-", max_size=40))
def test_any_pattern(pattern: str, name: str) -> None:
    """Is read or refused, in a moment."""
    with suppress(BadPattern):
        assert matches(pattern, name) in (True, False)


@given(st.sampled_from(["*a", "{a,b}", "{a,{b,c}}", "**/", "?*", "[ab]*"]), st.integers(1, 60))
def test_a_pattern_that_is_made_to_be_slow(part: str, times: int) -> None:
    """Is not, up to what is read at all; a library that tries every way would not end."""
    with suppress(BadPattern):
        assert matches((part * times)[:PATTERN_MAX], "ab" * 60 + "c") in (True, False)


def test_a_pattern_that_is_too_long() -> None:
    """Is not read."""
    with pytest.raises(BadPattern):
        matches("a" * (PATTERN_MAX + 1), "a")


@given(_paths, _paths)
def test_what_has_nothing_special(path: str, other: str) -> None:
    """Matches itself and nothing else."""
    assert (path == other) == matches(path, other)
    assert matches(path, path)


@given(_paths, _paths)
def test_two_stars(path: str, before: str) -> None:
    """Stand for any number of components before and after, and for everything."""
    assert matches("**", path)
    assert matches(f"**/{path}", path)
    assert matches(f"**/{path}", f"{before}/{path}")
    assert matches(f"{before}/**", f"{before}/{path}")


@given(st.lists(_words, min_size=1, max_size=3), _words)
def test_alternatives(options: list[str], name: str) -> None:
    """Match what one of them matches."""
    assert (name in options) == matches("{" + ",".join(options) + "}", name)


@given(st.text("ab*?", min_size=1, max_size=12), st.text("ab", min_size=1, max_size=8))
def test_one_star_and_question_marks(pattern: str, name: str) -> None:
    """As everywhere else, within a component."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")

    assert (re.fullmatch(expression, name) is not None) == matches(pattern, name)
