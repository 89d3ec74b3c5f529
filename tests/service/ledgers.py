"""Ledgers in each of the states that a service can be in, at one moment: NOW."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from mirror.linkerd.overrides import Heading, values_file
from mirror.linkerd.parts import ChartFacts, Image
from mirror.linkerd.release import Release
from mirror.oci.content import Digest
from mirror.plan import Recorded, Refuse, Target, with_remedy
from mirror.record import Evidence, RecordedImage
from mirror.report import ChartReport, ImageReport, ReleaseReport, VerifiedImage, VerifiedRelease
from mirror.service.ledger import ConfigurationState, Entry, Ledger, Run, Verified
from mirror.sync import Move
from mirror.trust.verdict import Verdict, signed_by, stanza

NOW = datetime(2026, 11, 26, 13, 29, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CHARTS = ("linkerd-control-plane", "linkerd-viz")
REGISTRIES = {
    "production": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/linkerd",
    "staging": "harbor.example.com/linkerd",
}
SIGNER = "https://github.com/linkerd/linkerd2/.github/workflows/release.yml@refs/tags/{release}"
ISSUER = "https://token.actions.githubusercontent.com"
PLATFORMS = ("linux/amd64", "linux/arm/v7", "linux/arm64", "unknown/unknown")
UPSTREAM_DOWN = "not compared with upstream: GET https://ghcr.io/v2/linkerd/proxy/manifests: 503 Service Unavailable"


def references(release: str) -> list[str]:
    """The images of *release*."""
    names = ("controller", "debug", "metrics-api", "policy-controller", "proxy", "proxy-init", "tap", "web")
    return [*(f"cr.l5d.io/linkerd/{name}:{release}" for name in names), "prom/prometheus:v2.55.1"]


def digest(text: str) -> Digest:
    """One for each *text*."""
    return Digest.of(text.encode())


def verdict(reference: str, release: str) -> Verdict:
    """Signed if it is Linkerd's own."""
    if reference.startswith("prom/"):
        words = "of a third party: pinned to the digest that was recorded first"
        return Verdict(digest(reference), "third party", words)
    return signed_by(
        digest(reference),
        SIGNER.format(release=release),
        ISSUER,
        log_index=1,
        signed_at=NOW - 9 * DAY,
        evidence=digest(f"signature of {reference}"),
    )


def image(reference: str, release: str, destination: str, **changes: Any) -> ImageReport:
    """*reference* in step, or with *changes*."""
    place = Target(reference.rpartition("/")[2].partition(":")[0], reference.rpartition(":")[2])
    held = ImageReport(
        reference,
        f"{REGISTRIES[destination]}/{place}",
        place,
        "kept",
        digest=digest(reference),
        verdict=verdict(reference, release),
    )
    return replace(held, **changes)


def chart(name: str, release: str, destination: str, **changes: Any) -> ChartReport:
    """*name* in step, or with *changes*."""
    version = f"20{release.removeprefix('edge-')}"
    reference = f"charts/{name}:{version}"
    held = ChartReport(
        name, version, reference, f"{REGISTRIES[destination]}/{reference}", "kept", digest=digest(reference)
    )
    return replace(held, **changes)


def recorded(report: ImageReport, release: str) -> RecordedImage:
    """What the record has of what *report* is of."""
    own = digest(report.reference)
    return RecordedImage(
        Image(report.reference, CHARTS, (), is_hardcoded=False, is_first_party=True, is_optional=False, notes=()),
        report.place,
        Recorded(own, own),
        verdict=verdict(report.reference, release),
        evidence=Evidence("application/vnd.oci.image.index.v1+json", 48_300_000, PLATFORMS, ()),
    )


def values(release: str, destination: str) -> Mapping[str, str]:
    """Helm values, as they are really written."""
    version = f"20{release.partition('-')[2]}"
    place = f"oci://{REGISTRIES[destination]}/charts/linkerd-viz"
    heading = Heading(Release.parse(release), REGISTRIES[destination], NOW - 3 * DAY)
    command = f"helm upgrade --install linkerd-viz {place} --version {version} -f linkerd-viz.yaml"
    return {
        chart: values_file(
            ChartFacts(chart, version, release, "0" * 64, has_pull_secrets=True),
            (),
            {},
            pin="digest",
            pull_secrets=("regcred",),
            heading=replace(heading, helm=command) if chart == "linkerd-viz" else heading,
        )
        for chart in CHARTS
    }


def entry(
    release: str,
    destination: str = "production",
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    **of_report: Any,
) -> Entry:
    """A release in step, but for *changes* of the images that they name and what *of_report* says."""
    changed = changes or {}
    images = tuple(image(each, release, destination, **changed.get(each, {})) for each in references(release))
    charts = tuple(chart(each, release, destination, **changed.get(each, {})) for each in ("linkerd-viz",))
    report = ReleaseReport(
        destination,
        release,
        images=images,
        charts=charts,
        proof="proven",
        is_proof_recorded=True,
        values=values(release, destination),
    )
    report = replace(report, **of_report)
    tried_at = NOW - 12 * MINUTE
    is_good = report.exit_code == 0
    return Entry(
        report,
        tried_at,
        since=NOW - 3 * DAY if is_good else NOW - 4 * HOUR - 27 * MINUTE,
        in_step_at=tried_at if is_good else NOW - 5 * HOUR,
        wrong_since=None if is_good else NOW - 4 * HOUR - 27 * MINUTE,
        images=report.images or images,
        charts=report.charts,
        held={each.reference: recorded(each, release) for each in images},
        recorded_at=NOW - 3 * DAY,
    )


def run(
    number: int,
    ago: timedelta,
    outcome: Literal["in_step", "synced", "not_in_step", "refused", "failed", "interrupted"] = "in_step",
    **changes: Any,
) -> Run:
    """A sync that ended *ago*."""
    ended = NOW - ago
    made = Run(number, "sync", "schedule", ended - timedelta(seconds=2.4), ended, outcome=outcome, images={"kept": 27})
    return replace(made, **changes)


def ledger(*entries: Entry, runs: tuple[Run, ...] = ()) -> Ledger:
    """A ledger that holds *entries*, of a service that has run for three days."""
    made = Ledger(started_at=NOW - 3 * DAY - HOUR)
    made.entries = {(each.report.destination, each.report.release): each for each in entries}
    made.newest = {"edge": "edge-26.11.3"}
    made.destinations = frozenset(REGISTRIES)
    older = (
        run(11, 72 * MINUTE),
        run(10, 132 * MINUTE, images={}, problem="", work="deep_verify", outcome="in_step"),
        run(9, 192 * MINUTE, "synced", images={"kept": 18, "copied": 9}, size=412_000_000, why="reload"),
        run(8, 252 * MINUTE, "interrupted", images={}),
    )
    made.runs.extend([*(runs or (run(12, 12 * MINUTE),)), *older])
    made.is_ready = True
    made.next_sync = NOW + 48 * MINUTE
    made.next_deep_verify = NOW + 4 * DAY
    made.configuration = ConfigurationState("/etc/mirror/config.toml", "5f3c9e0a7b21", NOW - 3 * DAY)
    return made


def empty() -> Ledger:
    """The process has just begun."""
    made = Ledger(started_at=NOW - timedelta(seconds=2))
    made.configuration = ConfigurationState("/etc/mirror/config.toml", "5f3c9e0a7b21", NOW)
    return made


def first_run() -> Ledger:
    """The first run is under way."""
    made = empty()
    made.begin("sync", "start", NOW - 40 * timedelta(seconds=1))
    moves = [Move(each) for each in references("edge-26.11.3")[:4]]
    for number, move in enumerate(moves):
        made.progress.image_started(move, 48_300_000)
        made.progress.advanced(move, 11_000_000 * (number + 1))
    made.progress.image_finished(moves[3], "copied")
    return made


def in_step() -> Ledger:
    """All is as it should be, and every byte was read."""
    entries = [entry("edge-26.11.3", name) for name in REGISTRIES]
    entries += [entry("edge-26.10.4", name) for name in REGISTRIES]
    entries += [entry("edge-25.9.2", "production", proof="not proven", is_proof_recorded=False)]
    made = ledger(*entries)
    for each in entries:
        made.verified[each.report.destination, each.report.release] = Verified(verified(each.report), NOW - 2 * DAY)
    return made


def verified(report: ReleaseReport, *, damaged: str = "", problem: str = "") -> VerifiedRelease:
    """What a deep verification found of *report*'s release: nothing wrong, but with the image *damaged*."""
    told = f"{REGISTRIES[report.destination]}/proxy@{digest('layer')}: the bytes are {digest('other')}"
    images = tuple(
        VerifiedImage(each.reference, each.target, digest(each.reference), (told,) if each.reference == damaged else ())
        for each in report.images
    )
    return VerifiedRelease(report.destination, report.release, () if problem else images, problem=problem)


def running() -> Ledger:
    """In step, and a run is under way."""
    made = in_step()
    made.begin("sync", "schedule", NOW - MINUTE)
    move = Move("cr.l5d.io/linkerd/proxy:edge-26.11.4")
    made.progress.image_started(move, 48_300_000)
    made.progress.advanced(move, 30_000_000)
    made.next_sync = NOW + 48 * MINUTE
    return made


def failing() -> Ledger:
    """One image of one release fails."""
    reference = "cr.l5d.io/linkerd/proxy:edge-26.11.3"
    reason = f"{REGISTRIES['production']}/proxy: the disk of the registry is full (507 Insufficient Storage)"
    wrong = entry("edge-26.11.3", changes={reference: {"outcome": "failed", "digest": None, "reason": reason}})
    return ledger(
        replace(wrong, report=replace(wrong.report, notes=("no values were written for linkerd-viz: an image fails",))),
        entry("edge-26.10.4"),
        entry("edge-26.11.3", "staging"),
        runs=(run(12, 12 * MINUTE, "failed", images={"kept": 26, "failed": 1}, why="retry"),),
    )


MOVED = "cr.l5d.io/linkerd/proxy:edge-26.11.3"
UNSIGNED = "cr.l5d.io/linkerd/web:edge-26.11.3"


def refused() -> Ledger:
    """A tag moved upstream, and another image is signed by somebody else."""
    now, then = digest("now"), digest(MOVED)
    moved = with_remedy(MOVED, Refuse(f"a released tag moved upstream, from {then} to {now}", (now, then), "moved"))
    trusted = stanza("ghcr.io/linkerd/web", "edge-26.11.3", issuer=ISSUER, identity="https://github.com/fork/x@edge")
    unsigned = (
        f'the signature does not hold: it is signed by "https://github.com/fork/x@edge"; to let this digest in all the '
        f"same: --accept {UNSIGNED}@{digest(UNSIGNED)}; if that signer is to be trusted, this entry of the "
        f"configuration says so:\n{trusted}"
    )
    gone: dict[str, Any] = {"outcome": "refused", "digest": None, "verdict": None}
    written = values("edge-26.11.3", "production")
    wrong = entry(
        "edge-26.11.3",
        changes={
            MOVED: {**gone, "reason": moved, "cause": "moved"},
            UNSIGNED: {**gone, "reason": unsigned, "cause": "signature"},
        },
        values={chart: text for chart, text in written.items() if chart != "linkerd-viz"},
        withheld=("linkerd-viz",),
        notes=("no values were written for linkerd-viz: an image that it uses is not in the mirror",),
    )
    return ledger(
        wrong,
        entry("edge-26.10.4"),
        entry("edge-26.11.3", "staging"),
        entry("edge-26.10.4", "staging"),
        runs=(run(12, 12 * MINUTE, "refused", images={"kept": 34, "refused": 2}),),
    )


def upstream_down() -> Ledger:
    """What is recorded is held, and upstream cannot be asked."""
    releases = ("edge-26.11.3", "edge-26.10.4")
    entries = [
        entry(
            release,
            name,
            {each: {"is_compared": False, "reason": UPSTREAM_DOWN} for each in references(release)},
        )
        for release in releases
        for name in REGISTRIES
    ]
    return ledger(*entries, runs=(run(12, 12 * MINUTE, "failed", images={"kept": 36}),))


def destination_down() -> Ledger:
    """Nothing can be known of one of two destinations."""

    def failed(release: str) -> Entry:
        changes = {
            each: {
                "outcome": "failed",
                "digest": None,
                "reason": "the destination cannot be asked: HEAD https://harbor.example.com/v2/linkerd/"
                f"{each.rpartition('/')[2]}: connection refused",
            }
            for each in references(release)
        }
        return entry(release, "staging", changes, values={})

    return ledger(
        *(entry(each) for each in ("edge-26.11.3", "edge-26.10.4")),
        *(failed(each) for each in ("edge-26.11.3", "edge-26.10.4")),
        runs=(run(12, 12 * MINUTE, "failed", images={"kept": 18, "failed": 18}),),
    )


def configuration_refused() -> Ledger:
    """In step by the configuration that holds; a new one is not valid."""
    made = in_step()
    problem = '/etc/mirror/config.toml: schedule.evry: there is no such key; did you mean "every"?'
    made.configuration = replace(made.configuration, problem=problem)
    return made


def damaged() -> Ledger:
    """The digests are in step, and the bytes below one of them are not what they were."""
    made = in_step()
    key = ("production", "edge-26.11.3")
    made.verified[key] = Verified(verified(made.entries[key].report, damaged=MOVED), NOW - 2 * HOUR)
    return made


def run_failed() -> Ledger:
    """The last two runs could not even say what there is to do."""
    problem = "https://helm.linkerd.io/edge/index.yaml cannot be reached: connection refused"
    failed = {"images": {}, "problem": problem, "reason": problem}
    made = in_step()
    made.runs.appendleft(run(13, 6 * MINUTE, "failed", **failed))
    made.runs.appendleft(run(14, MINUTE, "failed", why="retry", **failed))
    return made


def overdue() -> Ledger:
    """A deep verification has kept the loop busy for long."""
    made = in_step()
    made.next_sync = NOW - 3 * HOUR
    made.begin("deep_verify", "schedule", NOW - 5 * HOUR)
    return made


def nothing_asked() -> Ledger:
    """A run has ended, and no release is asked for."""
    made = ledger(runs=(run(12, 12 * MINUTE, images={}),))
    made.newest = {}
    return made


def many() -> Ledger:
    """200 releases at two destinations, of which three are wrong."""
    made = in_step()
    releases = [
        f"edge-{year}.{month}.{week}" for year in (23, 24, 25, 26) for month in range(1, 13) for week in range(1, 6)
    ]
    entries = [entry(release, name) for release in releases[:200] for name in REGISTRIES]
    made.entries = {(each.report.destination, each.report.release): each for each in entries}
    for key in list(made.entries)[50:53]:
        wrong = {references(key[1])[0]: {"outcome": "failed", "digest": None, "reason": "connection reset by peer"}}
        made.entries[key] = entry(key[1], key[0], wrong)
    made.newest = {"edge": releases[199]}
    return made


STATES: Mapping[str, Callable[[], Ledger]] = {
    each.__name__: each
    for each in (
        empty,
        first_run,
        in_step,
        running,
        failing,
        refused,
        upstream_down,
        destination_down,
        configuration_refused,
        damaged,
        run_failed,
        overdue,
        nothing_asked,
        many,
    )
}
