"""`mirror demo`: the whole job, offline."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cli.conftest import Desk
from tests.disks import small_disk


def test_it_tells_the_whole_story(desk: Desk) -> None:
    """A tampered image refused by name, then in step, then nothing sent, then every byte read; and how to go on."""
    begin = time.monotonic()
    said = desk.run("demo", "-d", "demo")

    assert 0 == said.code
    assert time.monotonic() - begin < 60
    at = [
        said.out.index(text)
        for text in (
            "alters a layer of linkerd/proxy",
            "failed cr.l5d.io/linkerd/proxy",
            "no values were written for linkerd-control-plane",
            "brought in step",
            "signatures: 8 signed, 1 third party",
            "in step, 9 images",
            "every byte read",
            'controllerImageVersion: "edge-26.1.1@sha256:',
            "mirror sync edge --to registry.example.com/linkerd",
        )
    ]
    assert sorted(at) == at
    assert "not proven" in said.out
    assert {"cosign.pub", "mirror", "overrides"} == {each.name for each in Path("demo").iterdir()}


def test_again_into_the_same_directory(desk: Desk) -> None:
    """The story begins with an empty mirror: exit code 2, and what to do."""
    desk.run("demo", "-d", "demo")
    said = desk.run("demo", "-d", "demo")

    assert 2 == said.code
    assert ["demo/mirror is there already: name another directory, or remove it"] == said.sentences


def test_on_a_full_disk(desk: Desk) -> None:
    """What cannot be written is named."""
    with small_disk(desk.directory / "small", 4096):
        (desk.directory / "small" / "file").write_bytes(b"x" * 4096)
        said = desk.run("demo", "-d", "small/demo")

    assert 1 == said.code
    assert ["small/demo/cosign.pub cannot be written: No space left on device"] == said.sentences


def test_with_a_proxy_in_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is loopback only, and asks no proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

    assert 0 == desk.run("demo", "-d", "demo").code


def test_a_configuration_that_is_wrong_does_not_matter(desk: Desk) -> None:
    """The demo is the demo, whatever mirror.toml says."""
    (desk.directory / "mirror.toml").write_text("nonsense = 1\n")

    assert 0 == desk.run("demo", "-d", "demo").code


def test_a_directory_that_is_a_file(desk: Desk) -> None:
    """Exit code 2."""
    Path("demo").write_text("")

    assert 2 == desk.run("demo", "-d", "demo").code
