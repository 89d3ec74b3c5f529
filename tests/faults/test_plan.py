"""A plan is a function of its seed and of what is asked."""

from __future__ import annotations

import pytest

from tests.faults.plan import KINDS, Asked, Course, Plan

BLOBS = ["sha256:1", "sha256:2"]
SEEDS = range(200)
REQUESTS = (
    ("source", "HEAD", "/v2/linkerd/web/manifests/edge-26.8.1", "source HEAD tag"),
    ("source", "GET", "/v2/linkerd/web/manifests/sha256:1", "source GET manifest"),
    ("source", "GET", "/v2/linkerd/web/blobs/sha256:1", "source GET blob"),
    ("source", "GET", "/v2/linkerd/web/referrers/sha256:1", "source GET referrers"),
    ("source", "GET", "/token?scope=x", "source GET token"),
    ("destination", "GET", "/v2/run/web/tags/list?n=1000", "destination GET tags"),
    ("destination", "POST", "/v2/run/web/blobs/uploads/", "destination POST session"),
    ("destination", "POST", "/v2/run/web/blobs/uploads/?mount=sha256:1&from=run/proxy", "destination POST mount"),
    ("destination", "PUT", "/v2/run/web/blobs/uploads/f00?_state=x&digest=sha256:1", "destination PUT upload"),
    ("destination", "PUT", "/v2/run/web/manifests/edge-26.8.1", "destination PUT tag"),
)


@pytest.mark.parametrize(("side", "method", "target", "expected"), REQUESTS, ids=[row[3] for row in REQUESTS])
def test_a_request(side: str, method: str, target: str, expected: str) -> None:
    """Is known by what it asks."""
    assert expected == str(Asked.of(side, method, target, prefix="run"))  # type: ignore[arg-type]


def test_a_run_elsewhere() -> None:
    """Asks the same: neither its prefix nor the session of an upload counts."""
    first = Asked.of("destination", "PUT", "/v2/a/web/blobs/uploads/1?_state=x&digest=sha256:1", prefix="a")
    second = Asked.of("destination", "PUT", "/v2/b/web/blobs/uploads/2?_state=y&digest=sha256:1", prefix="b")

    assert first.key == second.key


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_fault(kind: str) -> None:
    """Fits a request, and leads a seed alone."""
    plan = Plan.of(list(KINDS).index(kind), BLOBS)
    made = [Asked.of(side, method, target, prefix="run") for side, method, target, _ in REQUESTS]  # type: ignore[arg-type]
    made.append(Asked.of("source", "GET", REQUESTS[2][2], prefix="run", has_range=True))

    assert any(asked.fits(kind) for asked in made)
    assert (kind, 0.0, ("", "")) == (plan.lead, plan.rate, plan.broken)


def test_the_order_of_requests() -> None:
    """Changes nothing of what is met by chance."""
    asked = [Asked.of("source", "GET", f"/v2/web/blobs/sha256:{number}", prefix="") for number in range(50)]
    for seed in SEEDS:
        plan = Plan.of(seed, BLOBS)

        assert [plan.by_chance(one) for one in asked] == [Plan.of(seed, BLOBS).by_chance(one) for one in asked]


def test_a_fault_passes() -> None:
    """Once its times are over, the same request is answered."""
    plan = Plan(seed=1, lead="503", lead_at=1, lead_times=2)
    course = Course(plan)
    first, second = (Asked.of("source", "GET", f"/v2/web/blobs/sha256:{name}", prefix="") for name in "ab")

    assert ["", "503", "", "503", ""] == [course.fault(one) for one in (first, second, first, second, second)]


def test_a_broken_blob() -> None:
    """Meets its fault each time."""
    course = Course(Plan(seed=1, lead="401", lead_at=99, broken=("sha256:a", "500")))
    asked = Asked.of("source", "GET", "/v2/web/blobs/sha256:a", prefix="")

    assert ["500"] * 9 == [course.fault(asked) for _ in range(9)]
