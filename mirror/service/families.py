"""What /metrics tells: each family of series, in one table. docs/metrics.md is made of it.

The rules are Prometheus's (prometheus/docs, practices/naming and practices/instrumentation): one prefix, base units,
timestamps and no ages, attempts beside failures. A state is a label of which one value has 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import GaugeMetricFamily

T = TypeVar("T", bound=MetricWrapperBase)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "summary"]
    labels: tuple[str, ...]
    says: str

    def made(self, kind: type[T], registry: CollectorRegistry, **more: Any) -> T:
        """What counts it, in *registry*."""
        assert kind.__name__.lower() == self.kind, self  # noqa: S101 - the table says which
        return kind(self.name, self.says, self.labels, registry=registry, **more)

    def gauge(self) -> GaugeMetricFamily:
        """Of one scrape."""
        return GaugeMetricFamily(self.name, self.says, labels=self.labels)


BUILD = Family("mirror_build_info", "gauge", ("version", "python_version"), "1: the version that runs.")
CONFIGURATION = Family(
    "mirror_config_info", "gauge", ("digest",), "1: the configuration that holds; the digest is also on the page."
)
CONFIGURATION_LOADED = Family(
    "mirror_config_last_reload_success_timestamp_seconds",
    "gauge",
    (),
    "When the configuration that holds was loaded.",
)
CONFIGURATION_GOOD = Family(
    "mirror_config_last_reload_successful",
    "gauge",
    (),
    "0 while the newest configuration is refused and an older one holds, else 1.",
)

RUNS = Family(
    "mirror_runs_total",
    "counter",
    ("work", "why", "outcome"),
    "Runs that ended, by what they did, what they were begun for, and what came of them.",
)
RUN_DURATION = Family("mirror_run_duration_seconds", "histogram", ("work", "outcome"), "How long runs took.")
RUN_ATTEMPT = Family(
    "mirror_run_last_attempt_timestamp_seconds", "gauge", ("work",), "When the last run ended, whatever its outcome."
)
RUN_SUCCESS = Family(
    "mirror_run_last_success_timestamp_seconds",
    "gauge",
    ("work",),
    "When the last run ended in which all was in step, or was brought in step.",
)
RUN_FAILURES = Family(
    "mirror_run_consecutive_failures",
    "gauge",
    ("work",),
    "How many of the last runs failed, one after the other; a refusal is no failure.",
)
RUN_STARTED = Family(
    "mirror_run_started_timestamp_seconds",
    "gauge",
    ("work",),
    "When the run under way began; no series while there is none.",
)
RUN_PROGRESS = Family(
    "mirror_run_last_progress_timestamp_seconds",
    "gauge",
    ("work",),
    "When anything last moved in the run under way; no series while there is none.",
)
RUN_NEXT = Family("mirror_next_run_timestamp_seconds", "gauge", ("work",), "When the next run is due.")
RUN_INTERVAL = Family(
    "mirror_run_interval_seconds",
    "gauge",
    ("work",),
    "The longest time between the beginnings of two runs, by the schedule, its jitter included.",
)

IMAGES_DESIRED = Family(
    "mirror_images_desired",
    "gauge",
    ("destination",),
    "Images that the releases asked for have, each counted once for each of its releases; of a release that the last "
    "run could not look at, those that it had. No series where none is known.",
)
IMAGES_IN_STEP = Family(
    "mirror_images_in_step", "gauge", ("destination",), "Of these, those that the last run found or brought in step."
)
IMAGES_VERIFIED = Family(
    "mirror_images_verified",
    "gauge",
    ("destination",),
    "Of these, those whose signature is as it should be: signed by whom it is expected of, or known to have none.",
)
IMAGES_REFUSED = Family(
    "mirror_images_refused",
    "gauge",
    ("destination", "cause"),
    "Images and charts that the last run refused, by cause; cause `signature`: it is missing or wrong.",
)
IMAGES_DRIFTED = Family(
    "mirror_images_drifted",
    "gauge",
    ("destination",),
    "Images and charts whose tag is not where it was left: moved upstream, changed or taken in the mirror.",
)
IMAGE_OUTCOMES = Family(
    "mirror_image_outcomes_total", "counter", ("destination", "outcome"), "What became of images, run for run."
)
IMAGE_REFUSALS = Family(
    "mirror_image_refusals_total",
    "counter",
    ("destination", "cause"),
    "Refusals of images and charts, run for run, by cause; cause `signature`: it is missing or wrong.",
)
COPIED = Family("mirror_copied_bytes_total", "counter", ("destination",), "Bytes of images and charts that were sent.")

RELEASE_PROVEN = Family(
    "mirror_release_last_in_step_timestamp_seconds",
    "gauge",
    ("destination", "release"),
    "When the release was last proven in step; no series where it never was since the start of the process.",
)
RELEASE_WRONG = Family(
    "mirror_release_not_in_step_since_timestamp_seconds",
    "gauge",
    ("destination", "release"),
    "Since when no run has proven the release in step; no series where the last one did.",
)
RELEASE_ATTEMPT = Family(
    "mirror_release_last_attempt_timestamp_seconds",
    "gauge",
    ("destination", "release"),
    "When a run last looked at the release.",
)
RELEASE_OUTCOME = Family(
    "mirror_release_outcome",
    "gauge",
    ("destination", "release", "outcome"),
    "1 for what the last run said of the release, 0 for all else it could have said; one that was found in step and "
    "that the last run could not look at has `failed`.",
)
NEWEST = Family(
    "mirror_channel_newest_release_info",
    "gauge",
    ("channel", "release"),
    "1: the newest release of the channel that is asked for.",
)

DEEP_IMAGES = Family(
    "mirror_deep_verified_images_total",
    "counter",
    ("destination", "outcome"),
    "Images of which every byte was read back; `missing`: the mirror does not hold what the record names.",
)
DEEP_OUTCOME = Family(
    "mirror_release_deep_verification_outcome",
    "gauge",
    ("destination", "release", "outcome"),
    "1 for what the last deep verification said of the release, 0 for all else it could have said.",
)
DEEP_AT = Family(
    "mirror_release_last_deep_verification_timestamp_seconds",
    "gauge",
    ("destination", "release"),
    "When every byte of the release was last read back, whatever was found.",
)

REQUESTS = Family(
    "mirror_registry_requests_total",
    "counter",
    ("host", "method", "code"),
    "Requests to registries and chart repositories, by the class of the answer; `none`: there was no answer.",
)
LATENCY = Family(
    "mirror_registry_request_duration_seconds",
    "histogram",
    ("host", "method"),
    "Time until the head of an answer, its connection included; of an upload, from the end of its body on.",
)
RETRIES = Family(
    "mirror_registry_retries_total",
    "counter",
    ("host", "reason"),
    "What was asked again: `rate_limited` after 429 or 503, `server_error` after another temporary failure, "
    "`unreachable` after no answer, or no whole one.",
)
HELD_BACK = Family(
    "mirror_registry_rate_limit_wait_seconds",
    "summary",
    ("host",),
    "How long requests waited because the host asked for it (429, 503); requests wait side by side.",
)
RECEIVED = Family("mirror_registry_received_bytes_total", "counter", ("host",), "Bytes of bodies that came.")
SENT = Family("mirror_registry_sent_bytes_total", "counter", ("host",), "Bytes of bodies that went.")
CERTIFICATE = Family(
    "mirror_registry_certificate_expiry_timestamp_seconds",
    "gauge",
    ("host",),
    "When the TLS certificate ends that the host showed last.",
)
CREDENTIAL = Family(
    "mirror_registry_credential_expiry_timestamp_seconds",
    "gauge",
    ("host", "kind"),
    "When what we show the host ends, where it says so; `password`: a human renews it, `token`: it is renewed "
    "by itself, and is in the past between runs.",
)

TASKS = Family("mirror_asyncio_tasks", "gauge", (), "Tasks of the event loop.")
THREADS = Family("mirror_threads", "gauge", (), "Threads of the process.")

FAMILIES: tuple[Family, ...] = tuple(each for each in list(globals().values()) if isinstance(each, Family))
"""All of them, as they stand above."""
