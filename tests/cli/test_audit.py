"""`mirror audit`: what a cluster runs, beside what the mirror holds."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from mirror.oci.content import Digest
from tests.cli.conftest import Desk
from tests.servers.distribution import Distribution
from tests.servers.upstream import NEXT, RELEASE, THIRD_PARTY

OTHER = Digest.of(b"something else")


def pods(*images: tuple[str, object]) -> str:
    """Pods that have been asked to be an image, and run a digest."""
    return json.dumps(
        {
            "items": [
                {
                    "metadata": {"namespace": "linkerd", "name": f"pod-{at}"},
                    "spec": {"containers": [{"name": "x", "image": image}]},
                    "status": {"containerStatuses": [{"name": "x", "imageID": f"x@{digest}" if digest else ""}]},
                }
                for at, (image, digest) in enumerate(images)
            ]
        }
    )


@pytest.fixture
def place(desk: Desk, open_distribution: Distribution, path: str) -> str:
    """A mirror in docker-registry that holds the release; the cluster pulls it by another name."""
    destination = {
        "kind": "registry",
        "registry": open_distribution.host,
        "prefix": path,
        "pull_registry": "pull.example.com/l5d",
    }
    desk.configure(destinations={"production": destination})
    assert 0 == desk.run("sync", RELEASE).code
    desk.upstream.forget_requests()
    return f"{open_distribution.host}/{path}"


def audited(desk: Desk, *images: tuple[str, object], more: tuple[str, ...] = ()) -> tuple[int, dict[str, str]]:
    """The exit code, and the state of each image."""
    (desk.directory / "pods.json").write_text(pods(*images))
    said = desk.run("audit", "pods.json", "-o", "json", *more)
    return said.code, {each["image"]: each["state"] for each in said.document["images"]}


def test_all_is_held(desk: Desk, place: str) -> None:
    """By the name that the cluster pulls by, the mirror's own, upstream's; by a platform's digest, or by none."""
    proxy, web = (desk.upstream.images[f"cr.l5d.io/linkerd/{name}:{RELEASE}"] for name in ("proxy", "web"))
    code, found = audited(
        desk,
        (f"pull.example.com/l5d/proxy:{RELEASE}", proxy.digest),
        (f"{place}/web:{RELEASE}", web.children[0].digest),
        (f"ghcr.io/linkerd/web:{RELEASE}", web.digest),
        (f"cr.l5d.io/linkerd/controller:{RELEASE}", None),
        (f"pull.example.com/l5d/web@{web.digest}", web.digest),
        (THIRD_PARTY, None),
        ("nginx:1", OTHER),
    )

    assert (0, 6, {"held"}) == (code, len(found), set(found.values()))
    assert [] == desk.upstream.registry.requests + desk.upstream.charts.requests


def test_what_is_not(desk: Desk, place: str) -> None:
    """Another digest at the tag, a release that was not synced, a name below the mirror that it does not have."""
    code, found = audited(
        desk,
        (f"pull.example.com/l5d/proxy:{RELEASE}", OTHER),
        (f"cr.l5d.io/linkerd/proxy:{NEXT}", None),
        (f"pull.example.com/l5d/debug:{RELEASE}", OTHER),
    )

    assert 4 == code
    assert {
        f"pull.example.com/l5d/proxy:{RELEASE}": "other_digest",
        f"cr.l5d.io/linkerd/proxy:{NEXT}": "not_held",
        f"pull.example.com/l5d/debug:{RELEASE}": "not_held",
    } == found


def test_what_annotations_ask_for(desk: Desk, place: str) -> None:
    """What the injector would have pulled counts before a pod is made."""
    annotations = {"config.linkerd.io/proxy-version": NEXT}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": "apps", "name": "web"},
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": {"containers": []}}},
    }
    (desk.directory / "pods.json").write_text(json.dumps(deployment))
    said = desk.run("audit", "pods.json")

    assert 4 == said.code
    [row] = [line for line in said.out.splitlines() if f"cr.l5d.io/linkerd/proxy:{NEXT}" in line]
    assert ["not held", "apps/web"] == [words for words in ("not held", "apps/web") if words in row]


def test_everything(desk: Desk, place: str) -> None:
    """Asked for with --all, what is none of the mirror's counts too."""
    assert (0, {}) == audited(desk, ("nginx:1", OTHER))
    code, found = audited(desk, ("nginx:1", OTHER), more=("--all",))

    assert (4, ["not_held"]) == (code, list(found.values()))


def test_a_table_from_stdin(desk: Desk, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is otherwise is told with both digests, and where it runs."""
    text = pods((f"pull.example.com/l5d/proxy:{RELEASE}", OTHER), (f"ghcr.io/linkerd/web:{RELEASE}", None))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    said = desk.run("audit")

    held = desk.upstream.images[f"cr.l5d.io/linkerd/proxy:{RELEASE}"].digest
    assert 4 == said.code
    for words in ("another digest", f"runs {OTHER}", f"held {held}", "the mirror", "upstream", "linkerd/pod-0"):
        assert words in said.out
    assert "production: 1 held, 1 another digest" == said.out.splitlines()[-1]


def test_nothing_that_runs(desk: Desk, place: str) -> None:
    """It is said: the wrong cluster looks like that."""
    (desk.directory / "pods.json").write_text('{"kind": "List", "items": []}')
    said = desk.run("audit", "pods.json")

    assert (0, "production: nothing to look at\n") == (said.code, said.out)
    assert "it names no image: is it the right cluster?" in said.err


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        ("", "is empty"),
        ("{}", "no objects of Kubernetes"),
        ("null", "'null' is not an image"),
        ("x:v1", "run mirror sync"),
    ],
)
def test_wrong_input(desk: Desk, content: Any, why: str) -> None:
    """One sentence; that nothing is recorded is no proof that nothing is missing."""
    if content is not None:
        (desk.directory / "pods.json").write_text(content)
    said = desk.run("audit", "pods.json")

    assert (2, "") == (said.code, said.out)
    [sentence] = said.sentences
    assert why in sentence
