"""docs/metrics.md, made from the code.

python -m tests.service.metrics_page
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from mirror.service.families import FAMILIES, Family

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

_HEAD = """\
# Metrics

`mirror serve` tells these at `/metrics`, in Prometheus's text format or in OpenMetrics, as the scraper asks.
This page is made from the code: `make metrics-page` writes it, and a test holds it to the code.

- Counters begin at 0 with the process, and a series is there before it counts for the first time.
- Times are timestamps, in seconds since 1970: how long ago something was is `time() - …`.
- `work` is `sync` or `deep_verify`; `why` is `start`, `schedule`, `retry` or `reload`.
- `destination` is a name of the configuration, `release` one that is asked for; of those that are gone there is no \
series any more.
- `host` is that of a URL: those of the configuration, and sixteen that these sent us on to; any more are `other`.
- `cause` is why an image is refused:
  `moved`, its tag moved upstream; `changed`, its tag was changed in the mirror; `taken`, its tag was there before \
we came;
  `lacking`, upstream lacks what the release names; `clash`, two references meet at one target;
  `signature`, its signature is missing or wrong.

The alerts made of them are in [helm/mirror/files/alerts.yaml](../helm/mirror/files/alerts.yaml), \
a dashboard is [helm/mirror/files/dashboard.json](../helm/mirror/files/dashboard.json).

| metric | type | labels | what it says |
|---|---|---|---|
"""


def page() -> str:
    """What the page should say."""
    rows = (
        f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels)} | {family.says} |"
        for family in (*FAMILIES, *_of_every_program())
    )
    return _HEAD + "\n".join(rows) + "\n"


def _of_every_program() -> Iterator[Family]:
    """What prometheus_client tells of any program in Python, on Linux."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    for told in registry.collect():
        name = told.name + "_total" * (told.type == "counter")
        labels = tuple(told.samples[0].labels) if told.samples else ()
        yield Family(name, told.type, labels, told.documentation.rstrip(".") + ".")


if __name__ == "__main__":
    PAGE.write_text(page())
