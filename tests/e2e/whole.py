"""Looks at a whole registry with code of its own: which tags name content that is missing or wrong."""

from __future__ import annotations

import hashlib
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


def broken(url: str, below: str = "") -> list[str]:
    """A sentence for each tag of the registry at *url*, in repositories *below* a path, that is not whole."""
    with look_at(url) as client:
        return [
            f"{name}:{tag}: {problem}"
            for name in repositories(client, below)
            for tag in tags(client, name)
            for problem in _problems(client, name, tag)
        ]


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


def _problems(client: httpx.Client, name: str, version: str) -> list[str]:
    answer = client.get(f"/v2/{name}/manifests/{version}", headers={"Accept": ACCEPT})
    if answer.status_code != 200:
        return [f"{version} is answered with {answer.status_code}"]
    actual = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    if version.startswith("sha256:") and version != actual:
        return [f"{version} has the bytes of {actual}"]
    view: dict[str, Any] = answer.json()
    found = [problem for child in view.get("manifests", ()) for problem in _problems(client, name, child["digest"])]
    for blob in [*view.get("layers", ()), *([view["config"]] if "config" in view else [])]:
        data = client.get(f"/v2/{name}/blobs/{blob['digest']}")
        actual = f"sha256:{hashlib.sha256(data.content).hexdigest()}"
        if data.status_code != 200 or actual != blob["digest"]:
            found.append(f"blob {blob['digest']} is answered with {data.status_code}, bytes of {actual}")
    return found
