"""The pages: a status as HTML, without a line of script or style in it; what they are made of is in pages/.

    layout.html   the frame of each page      parts.html    times, badges, tables' cells
    status.html   /                           release.html  /releases/DESTINATION/RELEASE
    missing.html  what is not there           mirror.css, mirror.js, icon.svg

Links are relative, so that they hold behind whatever path an ingress serves them at.
Everything a registry or a chart says is escaped, has its control characters replaced, and is bounded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from mirror.amounts import clock, human_seconds, human_size, relative
from mirror.linkerd.release import Release
from mirror.service.ledger import Run
from mirror.service.problems import Problem
from mirror.service.progress import RunProgress
from mirror.service.releases import ReleaseStatus, State
from mirror.service.status import WORDS, Status

TEXT_MAX = 2000
PROBLEMS_SHOWN = 20
RELEASES_SHOWN = 25
IMAGES_NAMED = 6
_MOVING_SHOWN = 12

_FILES = resources.files("mirror.service") / "pages"
_COLOURS: Mapping[State, str] = {
    "starting": "#57606a",
    "refused": "#b3261e",
    "not_in_step": "#b3261e",
    "unknown": "#8a5a00",
    "in_step": "#136c2e",
}
_RUN_WORDS = {
    "sync": "Sync",
    "deep_verify": "Deep verification",
    "start": "at the start",
    "schedule": "on schedule",
    "retry": "again after a failure",
    "reload": "for a new configuration",
    "in_step": "In step",
    "synced": "Brought in step",
    "not_in_step": "Not in step",
    "refused": "Refused",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
_OUTCOME_STATES: Mapping[str, State] = {
    "in_step": "in_step",
    "synced": "in_step",
    "kept": "in_step",
    "adopted": "in_step",
    "copied": "in_step",
    "proven": "in_step",
    "not_in_step": "not_in_step",
    "failed": "not_in_step",
    "refused": "refused",
}
_SIGNATURE_STATES: Mapping[str, State] = {
    "signed": "in_step",
    "unsigned upstream": "in_step",
    "third party": "in_step",
    "missing": "not_in_step",
    "not verified": "not_in_step",
}
_CHART_LINE = re.compile(r"^# chart: +\S+ (\S+)$", re.MULTILINE)
_INSTALL_LINE = re.compile(r"^# install: +helm upgrade --install \S+ (oci://\S+(?: --plain-http)?) ", re.MULTILINE)
_REPOSITORIES = {"edge": "linkerd-edge", "stable": "linkerd", "enterprise": "linkerd-buoyant"}
"""What Linkerd's own instructions call the chart repository of a channel."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages link to, by a name that changes with its content."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Values:
    """The Helm values of one chart, and how to use them."""

    chart: str
    text: str
    path: str
    """Below the root of the service."""
    command: str


class Pages:
    """Renders; what it needs of files is read once."""

    def __init__(self) -> None:
        icon = (_FILES / "icon.svg").read_text()
        files = [_asset(name, (_FILES / name).read_bytes()) for name in ("mirror.css", "mirror.js")]
        icons = {state: _asset(f"{state}.svg", _icon(icon, state)) for state in WORDS}
        self.assets: Mapping[str, Asset] = {asset.name: asset for asset in [*files, *icons.values()]}
        self._environment = Environment(
            loader=PackageLoader("mirror.service", "pages"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            size=human_size,
            span=human_seconds,
            told=told,
            named=_RUN_WORDS.get,
            platforms=_platforms,
            images=run_images,
            relative=relative,
            clock=clock,
        )
        self._environment.globals.update(
            style=files[0].name,
            script=files[1].name,
            icons={state: asset.name for state, asset in icons.items()},
            words=WORDS,
            outcome_state=lambda outcome: _OUTCOME_STATES.get(outcome, "unknown"),
            signature_state=lambda state: _SIGNATURE_STATES.get(state, "unknown"),
        )

    def status(self, status: Status, progress: RunProgress) -> str:
        """The page at /."""
        return self._render(
            "status.html",
            now=status.now,
            root="./",
            icon=status.state,
            status=status,
            shown=_shown(status),
            moving=progress.moving[:_MOVING_SHOWN],
            moving_more=max(0, len(progress.moving) - _MOVING_SHOWN),
            finished=progress.finished,
            problems=[(problem, _counts(problem)) for problem in status.problems[:PROBLEMS_SHOWN]],
            images_named=IMAGES_NAMED,
        )

    def release(self, release: ReleaseStatus, now: datetime, base_url: str) -> str:
        """The page at /releases/DESTINATION/RELEASE; *base_url* is where its reader reaches the service."""
        return self._render(
            "release.html",
            now=now,
            root="../../",
            icon=release.state,
            release=release,
            values=[_values(release, chart, base_url) for chart in sorted(release.values)],
        )

    def missing(self, sentence: str, now: datetime, root: str) -> str:
        """The page of what is not there, and why."""
        return self._render("missing.html", now=now, root=root, icon="unknown", sentence=sentence)

    def _render(self, name: str, *, now: datetime, **values: object) -> str:
        return self._environment.get_template(name).render(now=now, **values)


def told(text: str) -> str:
    """*text* of somebody else's, bounded, without what steers a reader's eye elsewhere."""
    cut = text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]} …"
    return "".join(mark if mark.isprintable() or mark == "\n" else "\N{REPLACEMENT CHARACTER}" for mark in cut)


def repository_name(release: str) -> str:
    """What the chart repository of *release* is usually called."""
    channel = Release.parse(release).channel
    return _REPOSITORIES.get(channel, f"linkerd-{channel}")


def _asset(name: str, content: bytes) -> Asset:
    stem, _, ending = name.rpartition(".")
    types = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
    return Asset(f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{ending}", types[ending], content)


def _icon(text: str, state: State) -> bytes:
    """The icon of *state*: *text* has a mark of each, of which one stays."""
    kept = re.sub(r' *<path class="(\w+)"(.*)/>\n', lambda m: f"  <path{m[2]}/>\n" if m[1] == state else "", text)
    return kept.replace("COLOUR", _COLOURS[state]).encode()


def _shown(status: Status) -> tuple[tuple[ReleaseStatus, ...], tuple[ReleaseStatus, ...]]:
    """The releases that are seen at once, and those that are folded away."""
    if len(status.releases) <= RELEASES_SHOWN + 5:
        return status.releases, ()
    return status.releases[:RELEASES_SHOWN], status.releases[RELEASES_SHOWN:]


def _counts(problem: Problem) -> str:
    images, releases = len(problem.references), len(problem.releases)
    if images > 1 and releases > 1:
        return f"{images} images of {releases} releases"
    return f"{images} images" if images > 1 else f"{releases} releases" if releases > 1 else ""


def _platforms(platforms: tuple[str, ...]) -> str:
    """`linux/amd64, arm64`: what they have in common said once."""
    if platforms and all(platform.startswith("linux/") for platform in platforms):
        return "linux/" + ", ".join(platform.removeprefix("linux/") for platform in platforms)
    return ", ".join(platforms)


def _values(release: ReleaseStatus, chart: str, base_url: str) -> Values:
    text = release.values[chart]
    found = _CHART_LINE.search(text)
    version = f" --version {found[1]}" if found else ""
    mirrored = _INSTALL_LINE.search(text)
    place = mirrored[1] if mirrored else f"{repository_name(release.release)}/{chart}"
    path = f"overrides/{release.destination}/{release.release}/{chart}.yaml"
    return Values(
        chart,
        text,
        path,
        f"helm upgrade --install {chart} {place}{version} \\\n  -f your-values.yaml -f {base_url}{path}",
    )


def run_images(run: Run) -> str:
    """How many images of each outcome *run* had: `12 kept, 2 copied`."""
    return ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in run.images.items() if count)
