"""What /metrics says: after real runs, beside what the servers saw and the log says; and what may be in it at all."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics

from mirror.http.meter import Meter
from mirror.oci.content import Digest
from mirror.plan import Cause, Target
from mirror.report import (
    ImageOutcome,
    ImageReport,
    ReleaseReport,
    SyncReport,
    VerifiedImage,
    VerifiedRelease,
    VerifyReport,
)
from mirror.service.configuration import Configuration
from mirror.service.ledger import Ledger, Run, RunOutcome
from mirror.service.loop import Observer
from mirror.service.metrics import Metrics
from mirror.service.wire import HOSTS_LEARNED, OTHER
from mirror.settings import Loaded, Settings
from mirror.trust.verdict import State, Verdict
from tests.content import image
from tests.runs import asked
from tests.servers.distribution import PASSWORD, USERNAME, Distribution
from tests.servers.fake import ALWAYS, Fault, answer
from tests.servers.tools import require
from tests.servers.upstream import NEXT, RELEASE, Upstream, references, upstream_server
from tests.service.metrics_page import PAGE, page
from tests.service.serving import Scrape, served

NOW = datetime(2026, 8, 2, 12, tzinfo=UTC)
DIGEST = Digest.parse(f"sha256:{'a' * 64}")
DAY = 86400.0


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream with one release."""
    with upstream_server() as running:
        running.publish()
        yield running


def _document(upstream: Upstream, into: Distribution, path: str, **tables: Any) -> dict[str, Any]:
    """A service that runs when it is told to: at its start, and when it reads its configuration again."""
    return upstream.document(
        **{
            "destinations": {"here": {"kind": "registry", "registry": into.host, "prefix": path}},
            "schedule": {"every": "10h", "jitter": "0s", "deep_verify": "0s", "retry_after_failure": "0s"},
            "server": {"listen": "127.0.0.1:0"},
            "overrides": {"directory": ""},
        }
        | tables
    )


def _runs(count: int) -> Any:
    return lambda scrape: scrape.sum("mirror_runs_total", work="sync") == count


# Real runs


def test_runs_are_told_as_they_were(
    upstream: Upstream, htpasswd_distribution: Distribution, path: str, tmp_path: Path
) -> None:
    """Images, bytes, requests: as the log says, and as the servers saw; and nothing that is secret."""
    registry = htpasswd_distribution
    (tmp_path / "password").write_text(PASSWORD)
    document = _document(upstream, registry, path)
    credential = {"username": USERNAME, "password_file": str(tmp_path / "password")}
    document["registries"][registry.host] = {"endpoint": registry.url, **credential}
    before = time.time()
    with served(tmp_path, document) as service:
        first = service.until(_runs(1))
        service.reload(document)
        second = service.until(_runs(2))
        wire = upstream.registry.host
        [copied, kept] = service.events("service.run_ended")
        ended = datetime.fromisoformat(kept["timestamp"]).timestamp()

    count = len(references())
    assert 1 == first.value("mirror_runs_total", work="sync", why="start", outcome="synced")
    assert 1 == second.value("mirror_runs_total", work="sync", why="reload", outcome="in_step")
    assert 0 == second.value("mirror_runs_total", work="sync", why="retry", outcome="failed")
    assert {"copied": count, "kept": count} == {
        "copied": second.value("mirror_image_outcomes_total", destination="here", outcome="copied"),
        "kept": second.value("mirror_image_outcomes_total", destination="here", outcome="kept"),
    }
    assert (count, count) == (copied["copied"], kept["kept"])
    assert copied["bytes"] == second.value("mirror_copied_bytes_total", destination="here")
    assert copied["bytes"] <= second.value("mirror_registry_sent_bytes_total", host=registry.host)
    assert [count] * 2 == [second.value(f"mirror_images_{each}", destination="here") for each in ("desired", "in_step")]
    assert 0 == second.sum("mirror_images_refused")

    assert len(upstream.registry.requests) == second.sum("mirror_registry_requests_total", host=wire)
    assert len(upstream.charts.requests) == second.sum(
        "mirror_registry_requests_total", host=upstream.charts.url.split("/")[2]
    )
    answered = second.sum("mirror_registry_requests_total", host=registry.host)
    below = len(asked(registry, path))
    assert below <= answered <= below + 2  # /v2/ is asked beside, for who may come in
    assert second.sum("mirror_registry_requests_total", host=wire) == second.sum(
        "mirror_registry_request_duration_seconds_count", host=wire
    )

    release = {"destination": "here", "release": RELEASE}
    proven = second.value("mirror_release_last_in_step_timestamp_seconds", **release)
    assert proven == second.value("mirror_release_last_attempt_timestamp_seconds", **release)
    assert before < (proven or 0) <= ended + 1
    assert 1 == second.value("mirror_release_outcome", **release, outcome="in_step")
    assert 1 == second.sum("mirror_release_outcome")
    assert before < (second.value("mirror_run_last_success_timestamp_seconds", work="sync") or 0) <= ended + 1
    assert 36000 == second.value("mirror_run_interval_seconds", work="sync")
    assert before + 36000 < (second.value("mirror_next_run_timestamp_seconds", work="sync") or 0) < ended + 36001
    assert {} == second.of("mirror_next_run_timestamp_seconds", work="deep_verify")
    assert {} == second.of("mirror_run_started_timestamp_seconds")

    assert PASSWORD not in second.text
    assert USERNAME not in second.text
    assert path not in second.text
    assert "sha256" not in second.text


def test_what_goes_wrong(upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path) -> None:
    """A rate limit, a tag that moved, a source that is down, a configuration that is refused; and all good again."""
    document = _document(upstream, open_distribution, path)
    host = upstream.registry.host
    release = {"destination": "here", "release": RELEASE}
    upstream.registry.faults.append(Fault("HEAD .*", answer(429, Retry_After="1")))
    with served(tmp_path, document) as service:
        limited = service.until(_runs(1))

        assert 1 == limited.value("mirror_registry_retries_total", host=host, reason="rate_limited")
        assert 1 == limited.value("mirror_registry_requests_total", host=host, method="HEAD", code="4xx")
        assert 1 <= limited.sum("mirror_registry_rate_limit_wait_seconds_count", host=host)
        assert 1 <= limited.sum("mirror_registry_rate_limit_wait_seconds_sum", host=host)

        proxy = references()[1]
        was = upstream.images[proxy]
        upstream.put(proxy, image(b"another"))
        service.reload(document)
        refused = service.until(_runs(2))

        assert 1 == refused.value("mirror_images_refused", destination="here", cause="moved")
        assert 1 == refused.value("mirror_image_refusals_total", destination="here", cause="moved")
        assert 1 == refused.value("mirror_images_drifted", destination="here")
        assert len(references()) - 1 == refused.value("mirror_images_in_step", destination="here")
        assert 1 == refused.value("mirror_release_outcome", **release, outcome="refused")
        assert 0 == refused.value("mirror_run_consecutive_failures", work="sync")
        wrong = refused.value("mirror_release_not_in_step_since_timestamp_seconds", **release)
        proven = refused.value("mirror_release_last_in_step_timestamp_seconds", **release)
        assert (proven or 0) < (wrong or 0)

        upstream.put(proxy, was)
        upstream.registry.faults.append(down := Fault("HEAD .*", answer(404), times=ALWAYS))
        down.harm = answer(500)
        service.reload(document)
        failed = service.until(_runs(3))

        assert 1 == failed.value("mirror_run_consecutive_failures", work="sync")
        assert 1 == failed.value("mirror_runs_total", work="sync", why="reload", outcome="failed")
        assert 1 <= (failed.value("mirror_registry_retries_total", host=host, reason="server_error") or 0)
        assert wrong == failed.value("mirror_release_not_in_step_since_timestamp_seconds", **release)
        assert 0 == failed.value("mirror_images_drifted", destination="here")

        service.reload({**document, "relases": []})
        unread = service.until(lambda scrape: scrape.value("mirror_config_last_reload_successful") == 0)

        assert failed.of("mirror_config_info") == unread.of("mirror_config_info")

        upstream.registry.faults.clear()
        service.reload(document)
        good = service.until(_runs(4))

        assert 1 == good.value("mirror_config_last_reload_successful")
        assert 0 == good.value("mirror_run_consecutive_failures", work="sync")
        assert {} == good.of("mirror_release_not_in_step_since_timestamp_seconds")


def test_what_is_gone_has_no_series(
    upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path
) -> None:
    """A release, a destination and a host that the configuration names no more; those it names now are there."""
    upstream.publish(NEXT)
    document = _document(upstream, open_distribution, path)
    with served(tmp_path, document) as service, upstream_server() as other:
        other.publish(NEXT)
        service.until(_runs(1))
        moved = {
            **_document(other, open_distribution, path),
            "releases": [NEXT],
            "destinations": {"there": {"kind": "registry", "registry": open_distribution.host, "prefix": f"{path}/b"}},
        }
        service.reload(moved)
        scrape = service.until(_runs(2))

    assert NEXT in scrape.text
    assert 'destination="there"' in scrape.text
    assert other.registry.host in scrape.text
    for gone in (RELEASE, 'destination="here"', upstream.registry.host, upstream.charts.url.split("/")[2]):
        assert gone not in scrape.text


def test_a_deep_verification_that_finds_damage(
    upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path
) -> None:
    """Is told by release, with what was found of the images."""
    document = _document(upstream, open_distribution, path)
    release = {"destination": "here", "release": RELEASE}
    with served(tmp_path, document) as service:
        service.until(_runs(1))
        with _damaged(open_distribution, path):
            document["schedule"]["deep_verify"] = "1s"
            service.reload(document)
            name = "mirror_release_deep_verification_outcome"
            scrape = service.until(lambda scrape: scrape.value(name, **release, outcome="not_in_step") == 1)

    assert 0 == scrape.value(name, **release, outcome="in_step")
    assert 1 <= (scrape.value("mirror_deep_verified_images_total", destination="here", outcome="not_in_step") or 0)
    assert 3 <= (scrape.value("mirror_deep_verified_images_total", destination="here", outcome="in_step") or 0)
    assert 0 < (scrape.value("mirror_release_last_deep_verification_timestamp_seconds", **release) or 0)
    assert 0 < (scrape.value("mirror_run_last_attempt_timestamp_seconds", work="deep_verify") or 0)
    assert {} == scrape.of("mirror_run_last_success_timestamp_seconds", work="deep_verify")


@contextmanager
def _damaged(registry: Distribution, path: str) -> Iterator[None]:
    """One layer of the proxy is not what it was; afterwards it is again, since other tests store the same bytes."""
    links = registry.root.glob(f"docker/registry/v2/repositories/{path}/proxy/_layers/sha256/*")
    stored = registry.root / "docker/registry/v2/blobs/sha256"
    small = min((stored / link.name[:2] / link.name / "data" for link in links), key=lambda file: file.stat().st_size)
    right = small.read_bytes()
    small.write_bytes(bytes(len(right)))
    try:
        yield
    finally:
        small.write_bytes(right)


def test_formats(upstream: Upstream, open_distribution: Distribution, path: str, tmp_path: Path) -> None:
    """OpenMetrics for who asks for it; promtool finds nothing to say of the other."""
    promtool = require("promtool")
    with served(tmp_path, _document(upstream, open_distribution, path)) as service:
        service.until(_runs(1))
        text, plain = service.get("/metrics")
        newer, openly = service.get("/metrics", "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5")
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)

    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)
    assert plain.startswith("text/plain; version=")
    assert openly.startswith("application/openmetrics-text; version=1.0.0")
    assert newer.endswith("# EOF\n")
    assert "mirror_build" in {
        family.name.removesuffix("_info") for family in openmetrics.text_string_to_metric_families(newer)
    }
    assert "_created" not in text + newer


# What may be in it


def _metrics(**tables: Any) -> tuple[Metrics, Ledger]:
    ledger = Ledger()
    loaded = Loaded(Settings.model_validate(tables), None, (), {})
    metrics = Metrics(ledger, Configuration(lambda: loaded, loaded, ledger))
    metrics.expect(loaded.settings.destinations.keys(), {"ghcr.io"})
    return metrics, ledger


def _scrape(metrics: Metrics) -> Scrape:
    async def told() -> str:  # tasks are those of an event loop
        return metrics.exposition("")[0].decode()

    return Scrape.parsed(asyncio.run(told()))


def _image(outcome: ImageOutcome, cause: Cause | None = None, state: State | None = None, size: int = 0) -> ImageReport:
    verdict = Verdict(DIGEST, state, "") if state else None
    place = Target("proxy", "v1")
    return ImageReport(
        "cr.l5d.io/linkerd/proxy:v1", "a/proxy:v1", place, outcome, DIGEST, size, cause=cause, verdict=verdict
    )


def _ended(metrics: Metrics, ledger: Ledger, report: SyncReport | VerifyReport | None, outcome: RunOutcome) -> None:
    """As the loop does it."""
    run = ledger.begin("deep_verify" if isinstance(report, VerifyReport) else "sync", "schedule", NOW)
    match report:
        case SyncReport():
            ledger.synced(report, {})
        case VerifyReport():
            ledger.deeply_verified(report)
        case None:
            pass
    ended = Run(run.number, run.work, run.why, NOW, NOW + timedelta(seconds=7), outcome)
    ledger.end(ended)
    metrics.run_ended(ended, report)


HERE = {"here": {"kind": "layout", "directory": "mirror", "pull_registry": "x.io/l5d"}}


def test_it_is_told_of_both() -> None:
    """Of the wire as a meter, of runs as an observer."""
    metrics, _ = _metrics()
    meter: Meter = metrics.wire
    observer: Observer = metrics

    assert (meter, observer) == (metrics.wire, metrics)


def test_all_is_0_before_it_happens() -> None:
    """So that the first time is an increase, and not a series that begins at 1."""
    metrics, _ = _metrics(destinations=HERE)

    scrape = _scrape(metrics)
    for name, label, values in (
        ("mirror_image_outcomes_total", "outcome", get_args(ImageOutcome)),
        ("mirror_image_refusals_total", "cause", get_args(Cause)),
        ("mirror_images_refused", "cause", get_args(Cause)),
        ("mirror_deep_verified_images_total", "outcome", ("in_step", "not_in_step", "missing")),
    ):
        assert {(("destination", "here"), (label, value)) for value in values} == {
            tuple(sorted(labels, key=lambda pair: pair[0] != "destination")) for labels in scrape.of(name)
        }
        assert 0 == scrape.sum(name)
    assert 0 == scrape.value("mirror_copied_bytes_total", destination="here")
    assert 0 == scrape.value("mirror_registry_requests_total", host="ghcr.io", method="GET", code="none")
    assert 0 == scrape.value("mirror_registry_retries_total", host="ghcr.io", reason="rate_limited")
    assert 0 == scrape.value("mirror_registry_rate_limit_wait_seconds_sum", host="ghcr.io")
    assert 0 == scrape.value("mirror_runs_total", work="sync", why="schedule", outcome="failed")
    assert 0 == scrape.value("mirror_runs_total", work="deep_verify", why="reload", outcome="in_step")
    assert 0 == scrape.value("mirror_run_consecutive_failures", work="sync")
    assert 0 == scrape.sum("mirror_images_desired")
    assert 1 == scrape.value("mirror_config_last_reload_successful")


def test_images_are_counted_by_what_became_of_them() -> None:
    """Each once; a signature counts as it should be, a refusal by its cause, and drift is the tag's."""
    metrics, ledger = _metrics(destinations=HERE)
    images = (
        _image("kept", state="signed"),
        _image("copied", state="third party", size=5),
        _image("copied", state="missing", size=7),
        _image("failed"),
        *(_image("refused", cause) for cause in get_args(Cause)),
    )
    _ended(metrics, ledger, SyncReport((ReleaseReport("here", RELEASE, images),), 1.0), "refused")

    scrape = _scrape(metrics)
    assert 10 == scrape.value("mirror_images_desired", destination="here")
    assert 3 == scrape.value("mirror_images_in_step", destination="here")
    assert 2 == scrape.value("mirror_images_verified", destination="here")
    assert 3 == scrape.value("mirror_images_drifted", destination="here")
    assert [1] * 6 == [
        scrape.value("mirror_images_refused", destination="here", cause=each) for each in get_args(Cause)
    ]
    assert 1 == scrape.value("mirror_image_refusals_total", destination="here", cause="signature")
    assert 6 == scrape.value("mirror_image_outcomes_total", destination="here", outcome="refused")
    assert 12 == scrape.value("mirror_copied_bytes_total", destination="here")
    assert 7 == scrape.value("mirror_run_duration_seconds_sum", work="sync", outcome="refused")


def test_failures_in_a_row() -> None:
    """A refusal ends them, as success does; an interruption says nothing."""
    metrics, ledger = _metrics()
    seen = []
    outcomes: tuple[RunOutcome, ...] = ("failed", "failed", "interrupted", "failed", "refused", "failed", "synced")
    for outcome in outcomes:
        _ended(metrics, ledger, None, outcome)
        seen.append(_scrape(metrics).value("mirror_run_consecutive_failures", work="sync"))

    assert [1, 2, 2, 3, 0, 1, 0] == seen


def test_a_deep_verification() -> None:
    """Counts what was found, what was not and what is missing."""
    metrics, ledger = _metrics(destinations=HERE)
    good, bad = VerifiedImage("a", "b", DIGEST), VerifiedImage("a", "b", DIGEST, ("no such blob",))
    releases = (
        VerifiedRelease("here", RELEASE, (good, good, bad), missing=("c",)),
        VerifiedRelease("here", NEXT, problem="no answer"),
        VerifiedRelease("a destination that is gone", NEXT, missing=("c",)),
    )
    _ended(metrics, ledger, VerifyReport(releases, is_deep=True), "failed")

    scrape = _scrape(metrics)
    name = "mirror_deep_verified_images_total"
    assert [2, 1, 1] == [
        scrape.value(name, destination="here", outcome=each) for each in ("in_step", "not_in_step", "missing")
    ]
    name = "mirror_release_deep_verification_outcome"
    assert 1 == scrape.value(name, destination="here", release=RELEASE, outcome="not_in_step")
    assert 1 == scrape.value(name, destination="here", release=NEXT, outcome="failed")
    assert 2 == scrape.sum(name)


def test_a_run_under_way() -> None:
    """Is told with when anything last moved, which an answer and a byte are."""
    metrics, ledger = _metrics()
    ledger.begin("sync", "start", NOW)
    moments = iter([100.0, 160.0, 160.0, 160.0, 170.0, 170.0])
    ledger.progress.clock = lambda: next(moments)
    ledger.progress.touch()
    begin = time.time()

    idle = _scrape(metrics)
    assert 59 < begin - (idle.value("mirror_run_last_progress_timestamp_seconds", work="sync") or 0) < 61
    assert NOW.timestamp() == idle.value("mirror_run_started_timestamp_seconds", work="sync")

    metrics.wire.answered("ghcr.io", "GET", 200, 0.1)
    moved = _scrape(metrics)
    assert -1 < begin - (moved.value("mirror_run_last_progress_timestamp_seconds", work="sync") or 0) < 1

    metrics.wire.received("ghcr.io", 1)
    moved = _scrape(metrics)
    assert -1 < begin - (moved.value("mirror_run_last_progress_timestamp_seconds", work="sync") or 0) < 1


@settings(max_examples=40)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=12), st.integers(100, 999)), max_size=60))
def test_labels_are_bounded(answers: list[tuple[str, int]]) -> None:
    """However many hosts send us on to however many others, with whatever status."""
    metrics, _ = _metrics()
    for host, status in answers:
        metrics.wire.answered(host, "GET", status, 0.1)
        metrics.wire.ends(host, "certificate", NOW)

    scrape = _scrape(metrics)
    told = scrape.of("mirror_registry_requests_total", method="GET")
    hosts = {dict(labels)["host"] for labels in told}
    codes = {dict(labels)["code"] for labels in told}
    assert len(hosts) <= HOSTS_LEARNED + 2
    assert codes <= {"none", *(f"{each}xx" for each in range(1, 10))}
    assert len({host for host, _ in answers}) <= HOSTS_LEARNED or OTHER in hosts
    assert len(answers) == sum(told.values())
    assert len(scrape.of("mirror_registry_certificate_expiry_timestamp_seconds")) <= HOSTS_LEARNED + 2


def test_the_configuration_s_hosts_come_before_all_others() -> None:
    """One that is learned late by a configuration has its own series, though there is no room for another."""
    metrics, _ = _metrics()
    for number in range(2 * HOSTS_LEARNED):
        metrics.wire.answered(f"cdn{number}.example.com", "GET", 200, 0.1)
    metrics.expect(set(), {"ghcr.io", "late.example.com"})
    metrics.wire.answered("late.example.com", "GET", 200, 0.1)

    scrape = _scrape(metrics)
    assert 1 == scrape.value("mirror_registry_requests_total", host="late.example.com", method="GET", code="2xx")
    assert HOSTS_LEARNED == scrape.value("mirror_registry_requests_total", host=OTHER, method="GET", code="2xx")


def test_what_ends() -> None:
    """Is told as long as it is shown: what a good run saw no more is gone, what a failed one saw is not all."""
    metrics, ledger = _metrics()
    ends = NOW + timedelta(days=30)
    metrics.wire.ends("ghcr.io", "certificate", ends)
    metrics.wire.ends("ghcr.io", "password", ends)
    metrics.wire.ends("ghcr.io", "token", ends)
    told = _scrape(metrics)
    run = ledger.begin("sync", "schedule", datetime.now(UTC))
    later = datetime.now(UTC)
    metrics.run_ended(Run(1, "sync", "schedule", run.began_at, later, "failed"), None)
    kept = _scrape(metrics)
    metrics.wire.ends("ghcr.io", "token", ends)
    metrics.run_ended(Run(2, "sync", "schedule", run.began_at, later, "in_step"), None)
    left = _scrape(metrics)

    certificate = "mirror_registry_certificate_expiry_timestamp_seconds"
    credential = "mirror_registry_credential_expiry_timestamp_seconds"
    assert ends.timestamp() == told.value(certificate, host="ghcr.io")
    assert [ends.timestamp()] * 2 == [
        kept.value(credential, host="ghcr.io", kind=each) for each in ("password", "token")
    ]
    assert {} == left.of(certificate)
    assert [frozenset({("host", "ghcr.io"), ("kind", "token")})] == list(left.of(credential))


def test_many_threads_count() -> None:
    """Nothing is lost, and a scrape meanwhile is whole."""
    metrics, _ = _metrics()
    ending = threading.Event()

    def tell(number: int) -> None:
        for _ in range(1000):
            metrics.wire.received(f"host{number % 3}.example.com", 2)
            metrics.wire.ends(f"host{number % 3}.example.com", "certificate", NOW)

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(6)]
    scraping = threading.Thread(target=lambda: [_scrape(metrics) for _ in iter(ending.is_set, True)])
    for thread in (*threads, scraping):
        thread.start()
    for thread in threads:
        thread.join()
    ending.set()
    scraping.join()

    assert 12000 == _scrape(metrics).sum("mirror_registry_received_bytes_total")


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        ({"every": "6h", "jitter": "5m"}, 6 * 3600 + 300),
        ({"cron": "17 3 * * *", "jitter": "0s"}, DAY),
        ({"cron": "0 3 * * 1-5", "jitter": "0s"}, 3 * DAY),
        ({"cron": "*/30 8-17 * * *", "jitter": "60s"}, 14.5 * 3600 + 60),
    ],
    ids=["interval", "daily", "workdays", "by day"],
)
def test_the_interval_is_the_longest(schedule: dict[str, str], seconds: float) -> None:
    """What an alert on missed runs has to wait for."""
    metrics, _ = _metrics(schedule=schedule)

    assert seconds == _scrape(metrics).value("mirror_run_interval_seconds", work="sync")


def test_the_page_is_in_step_with_the_code() -> None:
    """`make metrics-page` writes it."""
    assert page() == PAGE.read_text()


def test_every_series_is_of_the_table() -> None:
    """Nothing is told that the page does not say."""
    metrics, _ = _metrics(destinations=HERE)
    names = {line.split()[2] for line in _scrape(metrics).text.splitlines() if line.startswith("# TYPE")}

    told = {row.split("`")[1] for row in page().splitlines() if row.startswith("| `")}
    assert names == told
