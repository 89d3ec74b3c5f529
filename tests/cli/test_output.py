"""What may reach a terminal."""

from __future__ import annotations

from mirror.cli.output import printable


def test_printable() -> None:
    """Control characters are spelt out; letters of any script and line ends stay."""
    assert "a\\x1b[2Jb\\r\\x9b é漢\n" == printable("a\x1b[2Jb\r\x9b é漢\n")
