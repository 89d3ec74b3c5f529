"""What only Linkerd's documents and sources say of its releases, and no chart does. Each has its source beside it."""

from __future__ import annotations

from collections.abc import Mapping

from mirror.linkerd.release import ProjectVersion

KUBERNETES: Mapping[ProjectVersion, tuple[str, str]] = {
    ProjectVersion(2, 10): ("1.16", "1.23"),
    ProjectVersion(2, 11): ("1.17", "1.23"),
    ProjectVersion(2, 12): ("1.21", "1.24"),
    ProjectVersion(2, 13): ("1.21", "1.28"),
    ProjectVersion(2, 14): ("1.21", "1.28"),
    ProjectVersion(2, 15): ("1.22", "1.29"),
    ProjectVersion(2, 16): ("1.22", "1.29"),
    ProjectVersion(2, 17): ("1.22", "1.31"),
    ProjectVersion(2, 18): ("1.22", "1.32"),
    ProjectVersion(2, 19): ("1.22", "1.35"),
    ProjectVersion(2, 20): ("1.31", "1.35"),
}
"""The versions of Kubernetes that each supports, first and last: linkerd.io, reference/k8s-versions, in 2026-08."""

SPLIT = (
    "no upgrade by Helm makes one of the other: its resources are given to the new charts' releases first, as "
    "https://linkerd.io/2.12/tasks/upgrade/ shows"
)
"""What becomes of the chart linkerd2: the upgrade notice of stable-2.12.0 there."""

BUNDLES: Mapping[str, tuple[int, int, int]] = {"cni-plugin": (1, 6, 5), "proxy-init": (2, 4, 4)}
"""By image, the first version with cosign 3's signature, a Sigstore bundle, in place of cosign 2's.

linkerd2-proxy-init's workflows install cosign by cosign-installer, v4.0.0 from these on, whose cosign makes bundles
(sigstore/cosign, cmd/cosign/cli/options/sign.go at v3.0.2: --new-bundle-format is true).
"""

INIT = "proxy-init"
"""The image of the init container, until it is the proxy's own (linkerd2#14577, edge-25.11.3)."""

INIT_GONE = (
    "the annotations config.linkerd.io/init-image and init-image-version have no effect any more",
    "config.linkerd.io/proxy-version must name no release before this: the init container is of the proxy's image now",
)
"""What that breaks: pkg/k8s/labels.go and pkg/inject/inject.go have the annotations until edge-25.11.2; the partial
_proxy-init.tpl starts /usr/lib/linkerd/linkerd2-proxy-init since, which Dockerfile-proxy of edge-25.10.7 lacks."""
