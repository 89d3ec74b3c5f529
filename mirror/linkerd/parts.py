"""The parts of a release, as data: its charts, its images, and the values that control them.

How they are read is elsewhere (mirror.linkerd.chart, mirror.linkerd.images): a release in step is planned, and its
values are written, by what the record has kept of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


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


@dataclass(frozen=True, slots=True, order=True)
class Control:
    """The values paths of one chart that decide one image's reference, each part by its most specific path.

    Paths are dotted (`proxy.image.name`). A path that holds several parts stands for each of them: `controllerImage`
    holds registry and name, `gateway.pauseImage` all three. None: the template decides that part.
    """

    chart: str
    registry: str | None
    name: str | None
    tag: str | None
    unpinnable: str = ""
    """Why the tag path cannot bear `TAG@sha256:…`, in words; empty if it can."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a release."""

    reference: str
    """As the chart writes it: `cr.l5d.io/linkerd/proxy:edge-26.8.3`, `prom/prometheus:v2.55.1`."""
    charts: tuple[str, ...]
    controls: tuple[Control, ...]
    """Empty for what is hard-coded alone."""
    is_hardcoded: bool
    """A template names it where no value reaches (it may have controls elsewhere)."""
    is_first_party: bool
    """Linkerd's own (`cr.l5d.io/linkerd/…`, `ghcr.io/linkerd/…`)."""
    is_optional: bool
    """Not in the chart's default render: behind an option, or injected at run time."""
    notes: tuple[str, ...] = ()
    """What an operator should know, in whole sentences: per-entry images reached by their defaults, …"""
    paths: tuple[str, ...] = ()
    """Every values path that takes effect, fallbacks and those of single entries included: `CHART: PATH`."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a release consists of."""

    facts: tuple[ChartFacts, ...]
    images: tuple[Image, ...]
    archives: tuple[Chart, ...] = ()
    """The charts themselves; none where only a record tells of them, and then values cannot be proven."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: its body, None where it has not changed, and its ETag."""

    body: bytes | None
    etag: str = ""


class Fetcher(Protocol):
    """What reads a URL, at most *bound* bytes; with an *etag* only if it has changed. Raises WorldError."""

    async def fetch(self, url: str, *, bound: int, etag: str = "") -> Fetched: ...
