"""`mirror rewrite`: manifests through a mirror that holds a release."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import pytest

from mirror.linkerd.rewrite import SIZE_MAX
from tests.cli.conftest import Desk, Said
from tests.servers.fake import FakeRegistry
from tests.servers.upstream import NEXT, RELEASE, references, two_platforms

CONTROLLER, PROXY, WEB, PROMETHEUS = references()
PLACE = "pull.example.com/l5d"
PODS = f"""\
# what the CLI has rendered \t é
kind: Deployment
metadata: {{name: web}}\r
spec:
  template:
    metadata:
      annotations:
        config.linkerd.io/proxy-image: cr.l5d.io/linkerd/proxy
        config.linkerd.io/proxy-version: {RELEASE}
    spec:
      containers:
      - image: "ghcr.io/linkerd/web:{RELEASE}"  # by another name
      - image: docker.io/prom/prometheus:v2.55.1
"""
OTHER = "kind: Pod\nmetadata: {name: app}\nspec: {containers: [{image: example.com/app:1}]}\n"

Rewrite = Callable[..., Said]


@pytest.fixture
def production(fake: FakeRegistry) -> dict[str, Any]:
    """The destination of the tests here."""
    return {"production": {"kind": "registry", "registry": fake.host, "prefix": "l5d", "pull_registry": PLACE}}


@pytest.fixture
def synced(desk: Desk, production: dict[str, Any]) -> Desk:
    """A mirror that is in step; then upstream is gone."""
    desk.configure(destinations=production)
    assert 0 == desk.run("sync", RELEASE).code
    desk.configure(
        destinations=production,
        channels={"edge": {"chart_repository": "http://127.0.0.1:1/edge"}},
        registries={host: {"endpoint": "http://127.0.0.1:1"} for host in ("ghcr.io", "docker.io")},
    )
    return desk


@pytest.fixture
def rewrite(synced: Desk, monkeypatch: pytest.MonkeyPatch) -> Rewrite:
    """Runs `mirror rewrite` with manifests on stdin."""

    def run(manifests: str | bytes, *arguments: str) -> Said:
        data = manifests.encode() if isinstance(manifests, str) else manifests
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        return synced.run("rewrite", *arguments)

    return run


def pinned(synced: Desk, reference: str) -> str:
    name, _, tag = reference.rpartition("/")[2].partition(":")
    return f"{PLACE}/{name}:{tag}@{synced.upstream.images[reference].digest}"


def test_by_digest(synced: Desk, rewrite: Rewrite) -> None:
    """Images and annotations, whatever they are called; every other byte as it was."""
    said = rewrite(PODS)

    digest = synced.upstream.images[PROXY].digest
    expected = (
        PODS.replace("cr.l5d.io/linkerd/proxy", f"{PLACE}/proxy")
        .replace(f"proxy-version: {RELEASE}", f"proxy-version: {RELEASE}@{digest}")
        .replace(f"ghcr.io/linkerd/web:{RELEASE}", pinned(synced, WEB))
        .replace("docker.io/prom/prometheus:v2.55.1", pinned(synced, PROMETHEUS))
    )
    assert (0, expected) == (said.code, said.out)
    assert [] == said.sentences
    assert expected == rewrite(expected).out


def test_by_tag(rewrite: Rewrite) -> None:
    """No digest is written."""
    said = rewrite(PODS, "--pin", "tag")

    assert f'"{PLACE}/web:{RELEASE}"' in said.out
    assert "@sha256" not in said.out


def test_what_is_left_alone(rewrite: Rewrite) -> None:
    """It is named on stderr, with where it is and why; --strict ends with 4."""
    lenient, strict = rewrite(OTHER), rewrite(OTHER, "--strict")

    assert (0, 4) == (lenient.code, strict.code)
    assert OTHER == lenient.out == strict.out
    line = "example.com/app:1 (Pod/app) is left alone: the mirror does not hold it"
    assert line in lenient.err.splitlines()
    assert line in strict.err.splitlines()
    assert 0 == rewrite(PODS, "--strict").code


def test_one_release_of_several(synced: Desk, production: dict[str, Any], rewrite: Rewrite) -> None:
    """Every recorded one counts, unless some are named."""
    synced.upstream.publish(NEXT)
    synced.configure(destinations=production)
    assert 0 == synced.run("sync", NEXT).code
    text = f"kind: Pod\nspec: {{containers: [{{image: cr.l5d.io/linkerd/web:{RELEASE}}}]}}\n"

    assert f"{PLACE}/web:{RELEASE}@" in rewrite(text).out
    assert f"{PLACE}/web:{RELEASE}@" in rewrite(text, "--for", RELEASE).out
    assert text == rewrite(text, "-f", NEXT).out
    assert text == rewrite(text, "-f", "edge").out
    assert f"{PLACE}/web:{RELEASE}@" in rewrite(text, "-f", "edge:2").out
    assert f"{PLACE}/web:{RELEASE}@" in rewrite(text, "-f", NEXT, "-f", RELEASE).out


def test_what_cannot_be_read(rewrite: Rewrite) -> None:
    """One sentence, exit code 2, and nothing on stdout."""
    words: dict[str | bytes, str] = {
        "a: 1\nb: c: d\n": "line 2, column 5",
        PODS + "---\n- *gone\n": "there is no anchor &gone",
        "kind: Pod\nspec: {containers: [{image: a, image: b}]}\n": "image is there twice in one map, at line 2",
        b"a: \xff\n": "not UTF-8 at line 1, byte 4",
        PODS.encode("utf-16"): "not UTF-8 at line 1, byte 1",
        "[" * 1000: "nested deeper",
        b" " * (SIZE_MAX + 1): "larger than 16 MiB",
    }
    answers = [rewrite(manifests) for manifests in words]

    assert [(2, "", 1)] * len(words) == [(said.code, said.out, len(said.sentences)) for said in answers]
    assert [] == [each for said, each in zip(answers, words.values(), strict=True) if each not in said.sentences[0]]


def test_wrong_input(rewrite: Rewrite) -> None:
    """Likewise."""
    words = {
        ("-f", NEXT): f"has no record of {NEXT}: run `mirror sync {NEXT}` first",
        ("-f", "nonsense"): "nonsense",
        ("--to", "oci:out"): "pull_registry",
    }
    answers = [rewrite(PODS, *arguments) for arguments in words]

    assert [(2, "", 1)] * len(words) == [(said.code, said.out, len(said.sentences)) for said in answers]
    assert [] == [each for said, each in zip(answers, words.values(), strict=True) if each not in said.sentences[0]]


def test_an_empty_mirror(rewrite: Rewrite, fake: FakeRegistry) -> None:
    """It is said, for a mistyped prefix is empty too."""
    said = rewrite(PODS, "--to", f"{fake.host}/other")

    assert (2, "") == (said.code, said.out)
    assert [f"nothing is recorded at {fake.host}/other: run mirror sync first"] == said.sentences


def test_a_tag_that_changed(rewrite: Rewrite, fake: FakeRegistry) -> None:
    """Refused, for a record is a claim; only what the manifests need is held to it."""
    fake.add("l5d/web", two_platforms("somebody else's"), RELEASE)
    text = OTHER.replace("example.com/app:1", CONTROLLER)
    refused, unconcerned = rewrite(PODS), rewrite(text)

    assert (3, "") == (refused.code, refused.out)
    assert "/l5d/web" in refused.sentences[0]
    assert 0 == unconcerned.code
    assert f"{PLACE}/controller:{RELEASE}@" in unconcerned.out


def test_nothing(rewrite: Rewrite) -> None:
    """Nothing is nothing."""
    assert (0, "") == (rewrite("").code, rewrite("").out)


def test_a_terminal(synced: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody types manifests: what to do is said at once."""
    terminal, _ = os.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        said = synced.run("rewrite")

    assert 2 == said.code
    assert "linkerd install | mirror rewrite" in said.sentences[0]
