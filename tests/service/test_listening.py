"""Where the service listens, in clusters of IPv4, of IPv6, and of both."""

from __future__ import annotations

import socket

import pytest

from mirror.service.serve import listening


def test_every_address() -> None:
    """At `::` it is reached by IPv6 and by IPv4."""
    with listening("::", 0) as bound:
        for host in ("::1", "127.0.0.1"):
            with socket.create_connection((host, bound.getsockname()[1]), timeout=5) as connection:
                connected = connection.getpeername()[0]

            assert host == connected
        assert 0 == bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has no IPv6, `::` is every address of IPv4."""
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listening("::", 0) as bound:
        address = bound.getsockname()

    assert "0.0.0.0" == address[0]
    assert socket.AF_INET == bound.family
