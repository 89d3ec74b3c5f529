"""What may reach a terminal."""

from __future__ import annotations

import json

import pytest

from mirror.cli.output import print_failure, print_json, printable


def test_printable() -> None:
    """Control characters are spelt out; letters of any script and line ends stay."""
    assert "a\\x1b[2Jb\\r\\x9b é漢\n" == printable("a\x1b[2Jb\r\x9b é漢\n")


def test_a_document_of_anything(capsys: pytest.CaptureFixture[str]) -> None:
    """Is one: a path need not be UTF-8, and JSON of others may hold half of a pair."""
    print_json({"directory": "caf\udce9", "platform": "\ud800"})
    printed = capsys.readouterr().out
    print_failure({"mirror.cli.output.format": "json"}, ["caf\udce9: no such directory"], 1)
    failed = capsys.readouterr().out

    assert {"schema": 1, "directory": "caf\udce9", "platform": "\ud800"} == json.loads(printed)
    assert ["caf\udce9: no such directory"] == json.loads(failed)["error"]["messages"]
