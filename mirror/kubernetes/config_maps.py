"""The ConfigMaps that a report gives: which, and what is in them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mirror.errors import KubernetesError
from mirror.kubernetes.names import NAME_MAX, config_map_name, label_value
from mirror.report import ReleaseReport

MANAGER = "mirror"
SIZE_MAX = 1024 * 1024
"""Bytes of all values together (ValidateConfigMap in kubernetes/pkg/apis/core/validation, MaxSecretSize)."""
_OURS = "linkerd-mirror.dev"


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """A ConfigMap as it is to be, but for its namespace; valid from birth.

    Raises KubernetesError for one that no cluster would take.
    """

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    data: Mapping[str, str]

    def __post_init__(self) -> None:
        if len(self.name) > NAME_MAX:
            raise KubernetesError(
                f"{self.name} is {len(self.name)} characters long, and the name of a ConfigMap has {NAME_MAX} at most",
                remedy="choose a shorter overrides.config_maps.prefix, or a shorter name for the destination",
            )
        size = sum(len(text.encode()) for text in self.data.values())
        if size > SIZE_MAX:
            raise KubernetesError(
                f"the values for {self.name} are {size} bytes, and a ConfigMap holds {SIZE_MAX}",
                remedy="mirror fewer charts, by `charts` in the configuration",
            )

    def manifest(self) -> bytes:
        """What is applied: YAML in the form of JSON, and in ASCII.

        YAML 1.1 knows no escaped surrogates, and folds what it takes for the end of a line: U+0085, U+2028, U+2029.
        """
        metadata = {"name": self.name, "labels": dict(self.labels), "annotations": dict(self.annotations)}
        whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(self.data)}
        return re.sub(r"[^ -~]", _escaped, json.dumps(whole, ensure_ascii=False)).encode()


def _escaped(mark: re.Match[str]) -> str:
    number = ord(mark[0])
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def is_proven(report: ReleaseReport) -> bool:
    """Whether the values of a release are all there, and rendered to what its mirror holds."""
    return report.exit_code == 0 and report.proof == "proven" and bool(report.values)


def config_maps(report: ReleaseReport, newest: Mapping[str, str], prefix: str) -> tuple[ConfigMap, ...]:
    """Those of a release that is proven: its own, and its channel's where *newest* says so; raises KubernetesError."""
    channel = report.release.partition("-")[0]
    own = ConfigMap(
        name=config_map_name(prefix, report.destination, report.release),
        labels={
            "app.kubernetes.io/managed-by": MANAGER,
            # helm-controller, docs/spec/v2/helmreleases.md #reacting-immediately-to-configuration-dependencies
            "reconcile.fluxcd.io/watch": "Enabled",
            f"{_OURS}/destination": label_value(report.destination),
            f"{_OURS}/release": label_value(report.release),
        },
        annotations={f"{_OURS}/recorded-at": report.recorded_at.isoformat(timespec="seconds")}
        if report.recorded_at
        else {},
        data={f"{chart}.yaml": text for chart, text in sorted(report.values.items())},
    )
    if newest.get(channel) != report.release:
        return (own,)
    return (own, of_channel(own, config_map_name(prefix, report.destination, channel), channel))


def of_channel(config_map: ConfigMap, name: str, channel: str) -> ConfigMap:
    """What *config_map* holds, called *name* for *channel*."""
    labels = {**config_map.labels, f"{_OURS}/channel": label_value(channel)}
    return ConfigMap(name, labels, config_map.annotations, config_map.data)


def rehearsal(prefix: str) -> ConfigMap:
    """One to be tried without being written."""
    return ConfigMap(f"{prefix}-doctor", {"app.kubernetes.io/managed-by": MANAGER}, {}, {})
