"""What answers mean: each state at its bounds, and never a fault without what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mirror.doctor import diagnosis
from mirror.errors import AccessDenied, MirrorError, NotFound, RegistryError, Unreachable, Untrusted
from mirror.findings import Finding, State
from mirror.oci.registry import Allowance

SUBJECT = "source ghcr.io"
NOW = datetime(2026, 8, 2, 12, tzinfo=UTC)


def state_and_words(finding: Finding) -> tuple[str, str]:
    assert finding.state == "ok" or finding.remedy
    return finding.state, finding.told


@pytest.mark.parametrize(
    ("ahead_s", "state", "words"),
    [
        (0, "ok", "this machine's clock agrees with it"),
        (60, "ok", "this machine's clock agrees with it"),
        (-60, "ok", "this machine's clock agrees with it"),
        (61, "warning", "this machine's clock is 1m1s behind it"),
        (300, "warning", "this machine's clock is 5m behind it"),
        (301, "failed", "this machine's clock is 5m1s behind it"),
        (-301, "failed", "this machine's clock is 5m1s ahead of it"),
    ],
)
def test_clocks(ahead_s: int, state: str, words: str) -> None:
    """A minute is let pass; after five AWS refuses what we sign."""
    found = diagnosis.clock(SUBJECT, timedelta(seconds=ahead_s))

    assert state == found.state
    assert found.told.startswith(words)
    assert ("NTP" in found.remedy) == (state != "ok")


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (15, ("ok", "its certificate is trusted, until 2026-08-17")),
        (14, ("warning", "its certificate is trusted until 2026-08-16 only, 14 days more")),
        (1, ("warning", "its certificate is trusted until 2026-08-03 only, 1 day more")),
    ],
)
def test_certificates(days: int, told: tuple[str, str]) -> None:
    """Two weeks are time enough to renew one."""
    assert told == state_and_words(diagnosis.certificate(SUBJECT, NOW + timedelta(days=days), now=NOW))


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (9, "check this machine's clock"),
        (10, "have it renewed"),
        (18, 'registries."ghcr.io".ca_file = '),
        (19, 'registries."ghcr.io".ca_file = '),
        (20, 'registries."ghcr.io".ca_file = '),
        (62, 'registries."ghcr.io".endpoint may name another'),
        (64, 'registries."ghcr.io".endpoint may name another'),
    ],
)
def test_certificates_that_are_not_trusted(code: int, remedy: str) -> None:
    """What to do depends on OpenSSL's reason."""
    error = Untrusted("", reason="a reason", code=code)
    found = diagnosis.unreached(SUBJECT, error, setting="a.key", host="ghcr.io")

    assert ("TLS", "failed") == (found.check, found.state)
    assert "the certificate of ghcr.io is not trusted: a reason" == found.told
    assert remedy in found.remedy


def test_a_host_out_of_reach() -> None:
    """In the words of whoever tried, and with the key that says where it is."""
    found = diagnosis.unreached(SUBJECT, Unreachable("no route"), setting="a.key", host="ghcr.io")

    assert ("reachable", "failed", "no route") == (found.check, found.state, found.told)
    assert "a.key says where it is looked for" in found.remedy


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (200, ("ok", "https://ghcr.io answers, in 0.12 s")),
        (401, ("ok", "https://ghcr.io answers, in 0.12 s")),
        (429, ("ok", "https://ghcr.io answers, in 0.12 s")),
        (403, ("ok", "https://ghcr.io answers, in 0.12 s")),
        (302, ("warning", "https://ghcr.io answers with 302, as no registry does")),
        (400, ("warning", "https://ghcr.io answers with 400, as no registry does")),
        (404, ("warning", "https://ghcr.io answers with 404, as no registry does")),
        (503, ("failed", "https://ghcr.io answers with 503")),
    ],
)
def test_first_answers(status: int, told: tuple[str, str]) -> None:
    """A registry says 200 or 401."""
    assert told == state_and_words(diagnosis.reached(SUBJECT, "https://ghcr.io", seconds=0.123, status=status))


def test_a_proxy_is_named() -> None:
    """It is what an operator would ask next."""
    found = diagnosis.reached(SUBJECT, "https://ghcr.io", seconds=1, status=200, proxy="http://proxy:3128")

    assert "https://ghcr.io answers through the proxy http://proxy:3128, in 1.00 s" == found.told


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (Allowance(76, 100, 21600), ("ok", "pulls left: 76 of 100 in 6h")),
        (Allowance(11, 100), ("ok", "pulls left: 11 of 100")),
        (Allowance(10, 100), ("warning", "pulls left: 10 of 100")),
        (Allowance(1), ("ok", "pulls left: 1")),
        (Allowance(0), ("failed", "pulls left: 0")),
        (Allowance(0, 100, 21600), ("failed", "pulls left: 0 of 100 in 6h")),
    ],
)
def test_limits(left: Allowance, told: tuple[str, str]) -> None:
    """A tenth is few."""
    assert told == state_and_words(diagnosis.allowance(SUBJECT, left))


@pytest.mark.parametrize(
    ("free", "told"),
    [
        (2_000_000_001, ("ok", "2.0 GB are free")),
        (2_000_000_000, ("warning", "2.0 GB are free; a release of Linkerd takes some 0.5 GB")),
        (100_000_000, ("warning", "0.1 GB are free; a release of Linkerd takes some 0.5 GB")),
        (99_999_999, ("failed", "0.1 GB are free; a release of Linkerd takes some 0.5 GB")),
    ],
)
def test_space(free: int, told: tuple[str, str]) -> None:
    """For four releases, or for none."""
    assert told == state_and_words(diagnosis.space(SUBJECT, free, where="/data"))


@pytest.mark.parametrize(
    ("error", "check", "remedy"),
    [
        (AccessDenied("no", status=403), "push", "give me the right to push to l5d/web"),
        (RegistryError("slow down", status=429), "rate limit", "wait, and ask it less"),
        (NotFound("gone", status=404), "push", "settle what it says there"),
        (RegistryError("boom", status=503), "push", "it may be of the moment"),
        (Unreachable("gone"), "push", "it may be of the moment"),
    ],
)
def test_refusals(error: MirrorError, check: str, remedy: str) -> None:
    """The registry's words, and the right that is missing; too many requests are a line of their own."""
    found = diagnosis.refused(SUBJECT, "push", error, who="me", may="push to l5d/web")

    assert (check, "failed", str(error)) == (found.check, found.state, found.told)
    assert found.remedy.startswith(remedy)


def test_a_refusal_to_nobody() -> None:
    """Without a credential, one is needed first."""
    found = diagnosis.refused(SUBJECT, "push", AccessDenied("no"), may="push")

    assert "give a credential, and configure it, the right to push" == found.remedy


@pytest.mark.parametrize(
    ("is_asked_for", "is_written", "state"),
    [(False, False, "ok"), (False, True, "ok"), (True, False, "ok"), (True, True, "failed")],
)
def test_no_credential(is_asked_for: bool, is_written: bool, state: str) -> None:
    """Only who is asked for one cannot write without."""
    found = diagnosis.no_credential(SUBJECT, "ghcr.io", is_asked_for=is_asked_for, is_written=is_written)

    assert state == found.state
    assert ("docker login ghcr.io" in found.remedy) == (state == "failed")


@pytest.mark.parametrize(("policy", "state"), [("off", "warning"), ("warn", "warning"), ("require", "ok")])
def test_signatures(policy: Any, state: str) -> None:
    """That they are not required is no secret."""
    assert state == state_and_words(diagnosis.signatures(policy))[0]


def finding(check: str, state: State, told: str) -> Finding:
    return Finding(SUBJECT, check, state, told, "" if state == "ok" else "do this")


@pytest.mark.parametrize(
    ("general", "particular", "told"),
    [
        ("ok", "ok", "particular"),
        ("ok", "warning", "particular"),
        ("ok", "failed", "particular"),
        ("warning", "ok", "general"),
        ("warning", "warning", "particular"),
        ("warning", "failed", "particular"),
        ("failed", "ok", "general"),
        ("failed", "warning", "general"),
        ("failed", "failed", "particular"),
    ],
)
def test_one_question_has_one_answer(general: State, particular: State, told: str) -> None:
    """The worse, else that of who knows the registry; in its place, and what else was found stays."""
    found = diagnosis.told_once(
        [finding("push", "ok", "first"), finding("credential", general, "general"), finding("pull", "ok", "third")],
        [finding("project", "ok", "last"), finding("credential", particular, "particular")],
    )

    assert ["first", told, "third", "last"] == [each.told for each in found]


def test_what_is_said_twice_of_one_thing() -> None:
    """By the provider alone, as of several repositories, is all said."""
    particular = [finding("push", "warning", "a"), finding("project", "ok", "b"), finding("push", "failed", "c")]

    assert ["a", "c", "b"] == [each.told for each in diagnosis.told_once([finding("push", "ok", "")], particular)]
    assert ["a", "c", "b"] == [each.told for each in diagnosis.told_once([], particular)]
