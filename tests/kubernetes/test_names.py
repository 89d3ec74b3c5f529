"""Names: whatever a destination is called, a cluster takes what we make of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.kubernetes.names import LABEL_MAX, config_map_name, label_value

# k8s.io/apimachinery/pkg/util/validation: dns1123SubdomainFmt, labelValueFmt
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")

destinations = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
releases = st.from_regex(
    r"[a-z][a-z0-9]{0,9}-[1-9]{1,3}\.[1-9]\.[1-9](-[0-9A-Za-z][0-9A-Za-z.-]{0,9}[0-9a-z])?", fullmatch=True
)


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ("production", "linkerd-mirror-production-edge-26.8.3"),
        ("EU_west", "linkerd-mirror-eu-west-edge-26.8.3"),
        ("registry.example.com-linkerd", "linkerd-mirror-registry.example.com-linkerd-edge-26.8.3"),
        ("a..b-.c", "linkerd-mirror-a.b.c-edge-26.8.3"),
        ("a.", "linkerd-mirror-a.edge-26.8.3"),
        ("a--b", "linkerd-mirror-a--b-edge-26.8.3"),
    ],
)
def test_a_name(destination: str, expected: str) -> None:
    """What may be in a name stays as it is."""
    assert expected == config_map_name("linkerd-mirror", destination, "edge-26.8.3")


@given(destinations, releases)
def test_a_name_is_a_subdomain(destination: str, release: str) -> None:
    """Every destination and release that the settings take have a name."""
    assert SUBDOMAIN.fullmatch(config_map_name("linkerd-mirror", destination, release))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("production", "production"), ("_a b_", "a-b"), ("x" * 70, "x" * 63), ("a" * 62 + "-b", "a" * 62)],
)
def test_a_label(text: str, expected: str) -> None:
    """What may be in a label stays as it is."""
    assert expected == label_value(text)


@given(st.text())
def test_a_label_is_one(text: str) -> None:
    """Whatever it says."""
    value = label_value(text)

    assert LABEL.fullmatch(value)
    assert len(value) <= LABEL_MAX
