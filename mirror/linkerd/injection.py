"""The annotations by which Linkerd's injector chooses images, of namespaces, workloads and pods. Pure.

Their names are those of pkg/k8s/labels.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_PREFIX = "config.linkerd.io/"
ANNOTATIONS = tuple(
    (_PREFIX + name, _PREFIX + version, default)
    for name, version, default in (
        ("proxy-image", "proxy-version", "cr.l5d.io/linkerd/proxy"),
        ("init-image", "init-image-version", "cr.l5d.io/linkerd/proxy-init"),
        ("debug-image", "debug-image-version", "cr.l5d.io/linkerd/debug"),
    )
)
"""Name, version, and what the version is of where no name is given (pkg/inject/inject.go, ApplyAnnotationOverrides)."""


def injected(annotations: Mapping[str, object]) -> Iterator[str]:
    """The images that *annotations* ask for; not those of a name alone, whose tag is what the control plane has."""
    for name, version, default in ANNOTATIONS:
        if annotations.get(version):
            yield f"{annotations.get(name) or default}:{annotations[version]}"
