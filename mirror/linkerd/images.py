"""Images: every image that a chart can pull, and the values that control it."""

from __future__ import annotations

from dataclasses import dataclass


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
