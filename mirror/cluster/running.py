"""What a cluster runs, as `kubectl get pods -A -o json` tells it; or a plain list of images. Pure.

    pods                     what each container was asked to be (spec), and the digest that runs (status, imageID);
                             image volumes
    workloads                what their templates ask for, whatever has been started of it: Deployment, CronJob, …
    their templates and
    namespaces               what their annotations have Linkerd's injector ask for; a pod has its containers by now
    a list, one image a line what it says

Of imageID only `…@sha256:…` counts: without a name before it, it is the digest of a configuration. What has ended
(Succeeded, Failed) does not run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mirror.errors import BadReference, UsageError
from mirror.linkerd.injection import injected
from mirror.oci.content import Digest
from mirror.oci.reference import Reference

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


@dataclass(frozen=True, slots=True)
class Running:
    """An image that runs, or would be pulled."""

    reference: Reference
    """As it was asked for."""
    digest: Digest | None
    """What runs; None where nothing tells."""
    where: tuple[str, ...] = ()
    """`NAMESPACE/NAME` of what has it."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What runs, each image once, and what could not be read of it."""

    images: tuple[Running, ...]
    unread: tuple[str, ...] = ()


def inventory(text: str, *, source: str) -> Inventory:
    """What *text* tells, which came from *source*; raises UsageError for what is none of the three."""
    if not text.strip():
        raise UsageError(
            f"{source} is empty: expected the output of `kubectl get pods -A -o json`, or images, one a line"
        )
    found: dict[tuple[Reference, Digest | None], set[str]] = {}
    unread = set[str]()
    for name, digest, where in _of_json(text, source) if text.lstrip()[0] in "{[" else _of_lines(text):
        try:
            reference = Reference.parse(name)
        except BadReference as exc:
            unread.add(str(exc))
            continue
        found.setdefault((reference, digest or reference.digest), set()).update([where] if where else [])
    images = [Running(reference, digest, tuple(sorted(where))) for (reference, digest), where in found.items()]
    return Inventory(
        tuple(sorted(images, key=lambda each: (str(each.reference), str(each.digest)))), tuple(sorted(unread))
    )


_Named = tuple[str, Digest | None, str]


def _of_lines(text: str) -> Iterator[_Named]:
    for line in text.splitlines():
        name = line.partition("#")[0].strip()
        if len(name.split()) > 1 or _is_json(name):
            raise UsageError(f"{name[:100]!r} is not an image: expected one a line, or JSON of Kubernetes")
        if name:
            yield name, None, ""


def _is_json(text: str) -> bool:
    """Whether *text* is what jq prints: null for a path that is not there, a name in quotes without -r."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _of_json(text: str, source: str) -> Iterator[_Named]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{source} is not JSON: expected the output of `kubectl get pods -A -o json`") from exc
    items = document.get("items", [document]) if isinstance(document, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) and "spec" in item for item in items):
        raise UsageError(
            f"{source} holds no objects of Kubernetes: expected the output of `kubectl get pods -A -o json`"
        )
    for number, item in enumerate(items, start=1):
        try:
            named = list(_of_item(item))
        except (TypeError, AttributeError, KeyError) as exc:
            raise UsageError(
                f"{source}: {_called(item) or f'object {number}'} is not as Kubernetes has it, and cannot be read"
            ) from exc
        yield from named


def _called(item: Mapping[str, Any]) -> str:
    """`KIND NAMESPACE/NAME`, as far as *item* tells; it may be anything."""
    metadata = item.get("metadata")
    names = (metadata.get(key) for key in ("namespace", "name")) if isinstance(metadata, Mapping) else ()
    return " ".join(str(each) for each in (item.get("kind"), "/".join(str(name) for name in names if name)) if each)


def _of_item(item: Mapping[str, Any]) -> Iterator[_Named]:
    metadata, status = item.get("metadata") or {}, item.get("status") or {}
    where = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    if status.get("phase") in ("Succeeded", "Failed"):
        return
    seen = {each["name"]: _digest(each.get("imageID") or "") for key in _STATUSES for each in status.get(key) or ()}
    template = _template(item)
    pod = template.get("spec") or {}
    for container in _containers(pod):
        yield str(container["image"]), seen.get(container.get("name")), where
    for volume in pod.get("volumes") or ():
        if reference := (volume.get("image") or {}).get("reference"):
            yield str(reference), None, where
    if item.get("kind") != "Pod":
        for reference in injected((template.get("metadata") or {}).get("annotations") or {}):
            yield reference, None, where


def _template(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of what pods are made: the template in *item*; itself, where that is a pod or a namespace."""
    spec = item["spec"] or {}
    job = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("template")
    found: Mapping[str, Any] = job or spec.get("template") or item
    return found


def _containers(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [each for key in _CONTAINERS for each in pod.get(key) or () if each.get("image")]


def _digest(image_id: str) -> Digest | None:
    _, at, digest = image_id.rpartition("@")
    try:
        return Digest.parse(digest) if at else None
    except BadReference:
        return None
