"""What clusters ask of pods: the restricted profile of Pod Security, and the policies of Kyverno that teams copy. Pure.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
https://github.com/kyverno/policies: pod-security, best-practices, other
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def violations(pod: Mapping[str, Any], *, is_service: bool) -> list[str]:
    """What *pod*, a manifest's `metadata` and `spec`, is refused for; *is_service*: it runs until it is ended."""
    spec = pod["spec"]
    containers = [*spec.get("initContainers", ()), *spec["containers"]]
    found = [*_of_pod(pod["metadata"], spec)]
    for container in containers:
        of_pod = spec.get("securityContext", {})
        found += [f"{container['name']}: {each}" for each in _of_container(container, of_pod)]
    if is_service and not {"livenessProbe", "readinessProbe"} <= spec["containers"][0].keys():
        found.append("best-practices/require-probes")
    return found


def _of_pod(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[str]:
    if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        yield "host namespaces"
    for volume in spec.get("volumes", ()):
        (kind,) = volume.keys() - {"name"}
        if kind not in _VOLUMES:
            yield f"volume {volume['name']} is of kind {kind}"
        if kind == "emptyDir" and "sizeLimit" not in volume[kind]:
            yield f"other/require-emptydir-requests-limits: {volume['name']}"
    if "app.kubernetes.io/name" not in metadata["labels"]:
        yield "best-practices/require-labels"
    if spec.get("automountServiceAccountToken") is not False:
        yield "other/restrict-automount-sa-token"


def _of_container(container: Mapping[str, Any], of_pod: Mapping[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = {**of_pod, **own}
    if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
        yield "runAsNonRoot"
    if not isinstance(both.get("runAsUser"), int):
        yield "runAsUser is no number, so that the kubelet cannot tell it from root"
    if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if "ALL" not in own.get("capabilities", {}).get("drop", ()) or own.get("capabilities", {}).get("add"):
        yield "capabilities"
    if own.get("privileged"):
        yield "privileged"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "best-practices/require-ro-rootfs"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
        yield "best-practices/require-pod-requests-limits"
    if not re.search(r"(:[^/@]+|@sha256:[0-9a-f]{64})$", container["image"]) or ":latest" in container["image"]:
        yield "best-practices/disallow-latest-tag"
