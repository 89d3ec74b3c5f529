"""What a cluster runs, as kubectl tells it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.cluster.running import Inventory, Running, inventory
from mirror.errors import UsageError
from mirror.oci.content import Digest
from mirror.oci.reference import Reference

DIGEST = Digest.of(b"x")


def pod(name: str, *, phase: str = "Running", **containers: tuple[str, str]) -> dict[str, Any]:
    """A pod whose containers have been asked to be an image, and run an imageID."""
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "linkerd"},
        "spec": {"containers": [{"name": each, "image": image} for each, (image, _) in containers.items()]},
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": each, "imageID": run} for each, (_, run) in containers.items()],
        },
    }


def told(*items: dict[str, Any]) -> Inventory:
    return inventory(json.dumps({"kind": "List", "items": items}), source="stdin")


def test_pods() -> None:
    """Each image once, with what runs and where; init containers too."""
    first, second = (
        pod(name, proxy=("cr.l5d.io/linkerd/proxy:v1", f"ghcr.io/linkerd/proxy@{DIGEST}")) for name in ("a", "b")
    )
    first["spec"]["initContainers"] = [{"name": "init", "image": "cr.l5d.io/linkerd/proxy-init:v2"}]
    found = told(first, second)

    proxy = Running(Reference.parse("cr.l5d.io/linkerd/proxy:v1"), DIGEST, ("linkerd/a", "linkerd/b"))
    init = Running(Reference.parse("cr.l5d.io/linkerd/proxy-init:v2"), None, ("linkerd/a",))
    assert Inventory((init, proxy)) == found


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        (f"docker-pullable://ghcr.io/x@{DIGEST}", DIGEST),
        (f"docker.io/library/x@{DIGEST}", DIGEST),
        (str(DIGEST), None),
        ("", None),
        ("x@sha256:abc", None),
    ],
)
def test_image_ids(image_id: str, digest: Digest | None) -> None:
    """Without a name before it, it is a configuration's."""
    [one] = told(pod("a", x=("x:v1", image_id))).images

    assert digest == one.digest


def test_what_has_ended_does_not_run() -> None:
    """A job that is done, a pod that was evicted."""
    assert () == told(*(pod("a", phase=phase, x=("x:v1", "")) for phase in ("Succeeded", "Failed"))).images


def test_workloads() -> None:
    """What their templates ask for."""
    template = {"spec": {"containers": [{"name": "x", "image": f"x.io/x@{DIGEST}"}]}}
    metadata = {"name": "x", "namespace": "y"}
    deployment = {"kind": "Deployment", "metadata": metadata, "spec": {"template": template}}
    job = {"kind": "CronJob", "metadata": metadata, "spec": {"jobTemplate": {"spec": {"template": template}}}}
    expected = (Running(Reference.parse(f"x.io/x@{DIGEST}"), DIGEST, ("y/x",)),)

    assert expected == told(deployment).images == told(job).images


def test_image_volumes() -> None:
    """What is mounted is used too."""
    mounting = pod("a", x=("x.io/x:v1", ""))
    mounting["spec"]["volumes"] = [{"image": {"reference": "x.io/data:v1"}}, {"emptyDir": {}}]

    assert ["x.io/data:v1", "x.io/x:v1"] == [str(each.reference) for each in told(mounting).images]


ANNOTATIONS = {
    "config.linkerd.io/proxy-version": "edge-1.1.1",
    "config.linkerd.io/init-image": "x.io/init",
    "config.linkerd.io/init-image-version": f"v2@{DIGEST}",
    "config.linkerd.io/debug-image": "x.io/debug",
}


@pytest.mark.parametrize(
    "item",
    [
        {"kind": "Deployment", "spec": {"template": {"metadata": {"annotations": ANNOTATIONS}}}},
        {"kind": "Namespace", "metadata": {"name": "a", "annotations": ANNOTATIONS}, "spec": {}},
    ],
)
def test_annotations(item: dict[str, Any]) -> None:
    """What they have the injector ask for; a name alone does not say which tag."""
    expected = ["cr.l5d.io/linkerd/proxy:edge-1.1.1", f"x.io/init:v2@{DIGEST}"]

    assert expected == [str(each.reference) for each in told(item).images]


def test_annotations_of_a_pod() -> None:
    """They have been heeded when it was made: its containers are what it runs."""
    one = pod("a", x=("x.io/x:v1", ""))
    one["metadata"]["annotations"] = ANNOTATIONS

    assert ["x.io/x:v1"] == [str(each.reference) for each in told(one).images]


def test_a_list() -> None:
    """One a line, remarks left out."""
    found = inventory("x.io/x:v1  # runs\n\n# nothing\nx.io/y:v1\n", source="x")

    assert ["x.io/x:v1", "x.io/y:v1"] == [str(each.reference) for each in found.images]


def test_what_is_no_reference() -> None:
    """It is told, and the rest is read."""
    found = told(pod("a", x=("x.io/UPPER", ""), y=("x.io/y:v1", "")))

    assert 1 == len(found.images)
    assert "x.io/UPPER" in found.unread[0]


@pytest.mark.parametrize(
    "text",
    ["", " \n", "{", "[]", "{}", '{"items": [1]}', '{"items": {}}', "two words\n", '{"spec": {"containers": 1}}'],
)
def test_what_is_none(text: str) -> None:
    """One sentence that names where it came from, or the line."""
    with pytest.raises(UsageError) as caught:
        inventory(text, source="stdin")

    assert any(words in str(caught.value) for words in ("stdin", "two words"))


@pytest.mark.parametrize(
    ("change", "called"),
    [
        ({"status": {"containerStatuses": [{"imageID": "x"}]}}, "Pod linkerd/web"),
        ({"spec": {"initContainers": {"a": 1}}}, "Pod linkerd/web"),
        ({"spec": {"volumes": [1]}, "kind": "Deployment", "metadata": {"name": "web"}}, "Deployment web"),
        ({"spec": 1, "metadata": 1, "kind": None}, "object 2"),
    ],
)
def test_an_object_that_cannot_be_read(change: dict[str, Any], called: str) -> None:
    """It is named, as far as it has a name."""
    with pytest.raises(UsageError) as caught:
        told(pod("good", x=("x.io/x:v1", "")), pod("web", x=("x.io/x:v1", "")) | change)

    assert f"stdin: {called} is not as Kubernetes has it, and cannot be read" == str(caught.value)


@pytest.mark.parametrize("printed", ["null", "5", "true", '"x.io/y:v1"', "x.io/x:v1\nnull  # jq"])
def test_what_jq_prints(printed: str) -> None:
    """A path that is not there, or no -r, is not taken for a list of images."""
    with pytest.raises(UsageError, match="is not an image: expected one a line, or JSON of Kubernetes"):
        inventory(printed, source="stdin")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["spec", "status", "containers", "image", "name", "template", "containerStatuses", "imageID"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_json | st.lists(_json, max_size=2).map(lambda items: {"items": items}))
def test_any_json(document: Any) -> None:
    """It is read, or it is a UsageError."""
    with suppress(UsageError):
        inventory(json.dumps(document), source="stdin")
