"""Looks at a whole registry or layout with code of its own: which tags name content that is missing or wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ACCEPT = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)


_Read = Callable[[str, str], tuple[int, bytes]]
"""The status and the bytes of what is at `manifests` or `blobs`, and a version."""


def broken(url: str, below: str = "") -> list[str]:
    """A sentence for each tag of the registry at *url*, in repositories *below* a path, that is not whole."""
    with look_at(url) as client:
        return [
            f"{name}:{tag}: {problem}"
            for name in repositories(client, below)
            for tag in tags(client, name)
            for problem in _problems(_reader(client, name), tag)
        ]


def broken_layout(directory: Path) -> list[str]:
    """A sentence for each entry of the OCI image layout in *directory* that is not whole; none where there is none."""
    index = directory / "index.json"

    def read(_kind: str, version: str) -> tuple[int, bytes]:
        blob = directory / "blobs" / version.replace(":", "/")
        return (200, blob.read_bytes()) if blob.exists() else (404, b"")

    entries = json.loads(index.read_bytes())["manifests"] if index.exists() else []
    return [f"{entry['digest']}: {problem}" for entry in entries for problem in _problems(read, entry["digest"])]


def look_at(url: str) -> httpx.Client:
    """A client for a registry by plain HTTP; it loads no authorities, which takes longer than to look."""
    return httpx.Client(base_url=url, trust_env=False, verify=False, timeout=30)


def repositories(client: httpx.Client, below: str) -> list[str]:
    """Every repository below a path."""
    names, page = list[str](), "/v2/_catalog?n=100"
    while page:
        answer = client.get(page).raise_for_status()
        names += answer.json()["repositories"] or []
        page = answer.links["next"]["url"] if "next" in answer.links else ""
    return [name for name in names if name.startswith(f"{below}/") or not below]


def tags(client: httpx.Client, name: str) -> list[str]:
    """Every tag of a repository; none where it has nothing but blobs."""
    answer = client.get(f"/v2/{name}/tags/list")
    return [] if answer.status_code == 404 else answer.raise_for_status().json()["tags"] or []


def _reader(client: httpx.Client, name: str) -> _Read:
    def read(kind: str, version: str) -> tuple[int, bytes]:
        answer = client.get(f"/v2/{name}/{kind}/{version}", headers={"Accept": ACCEPT} if kind == "manifests" else {})
        return answer.status_code, answer.content

    return read


def _problems(read: _Read, version: str) -> list[str]:
    status, raw = read("manifests", version)
    if status != 200:
        return [f"{version} is answered with {status}"]
    actual = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    if version.startswith("sha256:") and version != actual:
        return [f"{version} has the bytes of {actual}"]
    view: dict[str, Any] = json.loads(raw)
    found = [problem for child in view.get("manifests", ()) for problem in _problems(read, child["digest"])]
    for blob in [*view.get("layers", ()), *([view["config"]] if "config" in view else [])]:
        status, data = read("blobs", blob["digest"])
        actual = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if status != 200 or actual != blob["digest"]:
            found.append(f"blob {blob['digest']} is answered with {status}, bytes of {actual}")
    return found
