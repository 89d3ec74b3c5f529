"""What documents say that can be held to the project: blocks, commands, links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mirror.cli.main import COMMANDS, run


def blocks(text: str, kind: str) -> list[str]:
    """The fenced blocks of *kind*, a pattern, in *text*."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for found, block in fenced if re.fullmatch(kind, found)]


def mentioned(text: str) -> list[str]:
    """Every `mirror …` in a block or in backquotes, also after a `--` of what runs it in a pod."""
    lines = [line.removeprefix("$ ") for block in blocks(text, "(?:console)?") for line in block.splitlines()]
    quoted = re.findall(r"`([^`\n]+)`", text)
    commands = [line.rpartition(" -- ")[2] for line in (*lines, *quoted)]
    return sorted({command for command in commands if command.startswith("mirror ")})


def unknown_options(command: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The options of *command* that its own help does not have; it fails where there is no such command."""
    _, *words = shlex.split(command.partition("#")[0])
    name, *rest = words[2:] if words[0] == "--config" else words
    assert name in COMMANDS
    subcommand = rest[:1] if name == "config" else []
    capsys.readouterr()
    assert 0 == run([name, *subcommand, "--help"])
    told = re.findall(r"--?[a-z-]+", capsys.readouterr().out)
    return [word for word in rest if word.startswith("-") and word not in told]


def missing_links(document: Path) -> list[str]:
    """The links of *document* to files, and to headings, that are not there."""
    missing = list[str]()
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        path, _, heading = link.partition("#")
        file = document.parent / path if path else document
        if "://" not in link and not (file.exists() and (not heading or heading in headings(file.read_text()))):
            missing.append(link)
    return missing


def headings(text: str) -> list[str]:
    """The anchors of the headings of *text*, as GitHub makes them."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", outside, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
