"""What a mirror holds, by every name that manifests have for it."""

from __future__ import annotations

import pytest

from mirror.linkerd.holdings import Absent, Holding, Holdings
from mirror.oci.content import Digest
from mirror.oci.reference import Reference, Repository
from tests.linkerd.shelf import MIRROR, digest_of, holding, pinned, resolved, shelf

PROXY = "cr.l5d.io/linkerd/proxy:edge-26.8.1"
PAUSE = "gcr.io/google_containers/pause"
PROMETHEUS = "prom/prometheus:v2.55.1"
NGINX = "nginx:1.17"


def found(holdings: Holdings, text: str) -> Holding:
    held = holdings.find(Reference.parse(text))
    assert isinstance(held, Holding), held
    return held


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("cr.l5d.io/linkerd/proxy:edge-26.8.1", PROXY),
        ("ghcr.io/linkerd/proxy:edge-26.8.1", PROXY),
        (f"ghcr.io/linkerd/proxy@{digest_of(PROXY)}", PROXY),
        (f"cr.l5d.io/linkerd/proxy:any@{digest_of(PROXY)}", PROXY),
        (pinned(PROXY), PROXY),
        (f"{MIRROR}/proxy:edge-26.8.1", PROXY),
        (PAUSE, PAUSE),
        (f"{PAUSE}:latest", PAUSE),
        ("docker.io/prom/prometheus:v2.55.1", PROMETHEUS),
        ("index.docker.io/prom/prometheus:v2.55.1", PROMETHEUS),
        ("docker.io/library/nginx:1.17", NGINX),
        ("library/nginx:1.17", NGINX),
    ],
)
def test_names(name: str, reference: str) -> None:
    """Aliases, what may be left out, tags, digests, and the mirror's own names."""
    assert reference == found(shelf(PROXY, PAUSE, PROMETHEUS, NGINX), name).located.reference


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("cr.l5d.io/linkerd/proxy:edge-26.8.2", "tags"),
        ("cr.l5d.io/linkerd/proxy", "tags"),
        (f"cr.l5d.io/linkerd/proxy:edge-26.8.1@{digest_of('other')}", "digests"),
        ("cr.l5d.io/linkerd/web:edge-26.8.1", "does not hold"),
        ("ghcr.io/proxy:edge-26.8.1", "does not hold"),
    ],
)
def test_what_is_not_there(name: str, word: str) -> None:
    """Neither another tag, nor another digest under the same tag."""
    absent = shelf(PROXY).find(Reference.parse(name))

    assert isinstance(absent, Absent)
    assert word in absent.reason


def test_a_platform_filter() -> None:
    """Upstream's digest finds what was made of it, and becomes that."""
    filtered = Digest.of(b"filtered")
    holdings = Holdings(resolved)
    holdings.add([holding(PROXY, mirrored=filtered)])
    asked = Reference.parse(f"ghcr.io/linkerd/proxy@{digest_of(PROXY)}")

    assert f"{MIRROR}/proxy:edge-26.8.1@{filtered}" == found(holdings, str(asked)).name(asked, "tag")


@pytest.mark.parametrize(
    ("asked", "pin", "version"),
    [
        (PROXY, "tag", "edge-26.8.1"),
        (PROXY, "digest", f"edge-26.8.1@{digest_of(PROXY)}"),
        (f"{PROXY}@{digest_of(PROXY)}", "tag", f"edge-26.8.1@{digest_of(PROXY)}"),
    ],
)
def test_pinned(asked: str, pin: str, version: str) -> None:
    """As asked; a digest that a manifest has is kept."""
    holdings, reference = shelf(PROXY), Reference.parse(asked)

    assert version == found(holdings, asked).version(reference, pin)  # type: ignore[arg-type]


def test_a_mirror_that_has_an_alias() -> None:
    """Its own names are still its own."""
    holdings = Holdings(lambda repository: Repository("proxy.example", repository.path))
    holdings.add([holding(PROXY)])

    assert PROXY == found(holdings, pinned(PROXY)).located.reference


def test_the_later_record_counts() -> None:
    """Where two have the same name."""
    holdings = shelf(PROXY, release="edge-26.8.1")
    holdings.add([holding(PROXY, release="edge-26.8.2")])

    assert "edge-26.8.2" == found(holdings, PROXY).release
