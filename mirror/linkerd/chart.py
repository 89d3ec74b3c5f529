"""Charts: the classic chart repository's index, and archives read safely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart's archive, held to the index's digest, and what was read from it."""

    name: str
    version: str
    app_version: str
    kube_version: str
    archive: bytes
    sha256: str
    """Of the archive, in hex, as the index has it."""
    values: Mapping[str, Any]
    """values.yaml, parsed."""
    files: Mapping[str, str]
    """The text of every template, partial and values file by its path below the chart: `templates/web.yaml`,
    `charts/partials/templates/_proxy.tpl`, `values.yaml`, `values-ha.yaml`."""

    @property
    def facts(self) -> ChartFacts:
        """What the record keeps of this chart."""
        return ChartFacts(
            name=self.name,
            version=self.version,
            app_version=self.app_version,
            sha256=self.sha256,
            has_pull_secrets="imagePullSecrets" in self.values,
        )


@dataclass(frozen=True, slots=True)
class ChartFacts:
    """What must be known of a chart to write its values without having it."""

    name: str
    version: str
    app_version: str
    sha256: str
    has_pull_secrets: bool
    """The chart reads a top-level `imagePullSecrets`."""
