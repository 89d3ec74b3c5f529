"""What the answers mean that `mirror doctor` gets: each becomes a Finding, with what to do. Pure.

The others here ask, this says whether the answer is right, and cli/doctor.py prints it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from mirror.durations import format_duration
from mirror.errors import AccessDenied, MirrorError, RegistryError, Unreachable, Untrusted
from mirror.findings import Finding, State
from mirror.trust.verdict import Policy

if TYPE_CHECKING:
    from mirror.oci.registry import Allowance

SKEW_WARNED: Final = timedelta(minutes=1)
SKEW_FAILED: Final = timedelta(minutes=5)
"""AWS refuses signatures that are further off (docs.aws.amazon.com/IAM: "within five minutes"), and tokens are not yet,
or no longer, valid."""
CERTIFICATE_WARNED: Final = timedelta(days=14)
SPACE_WARNED: Final = 2_000_000_000
"""Bytes: a release of Linkerd is some 0.5 GB, and a new one comes every week."""
SPACE_FAILED: Final = 100_000_000
_SEVERITY: Final[tuple[State, ...]] = ("ok", "warning", "failed")
_FEW: Final = 0.1
"""The part of a limit that is few."""

# x509_vfy.h of OpenSSL
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAMES = frozenset({62, 64})


def reached(subject: str, url: str, *, seconds: float, status: int, proxy: str = "") -> Finding:
    """The host answered GET /v2/ with *status*; a registry says 200 or 401 (distribution-spec v1.1, end-1)."""
    through = f" through the proxy {proxy}" if proxy else ""
    told = f"{url} answers{through}, in {seconds:.2f} s"
    if status >= 500:
        return Finding(
            subject, "reachable", "failed", f"{url} answers{through} with {status}", "ask who runs it; try again later"
        )
    if status not in (200, 401, 403, 429):
        return Finding(
            subject,
            "reachable",
            "warning",
            f"{url} answers{through} with {status}, as no registry does",
            'check that this is a registry: registries."HOST".endpoint says where a host is reached',
        )
    return Finding(subject, "reachable", "ok", told)


def unreached(subject: str, exc: MirrorError, *, setting: str, host: str) -> Finding:
    """*exc* came instead of an answer of *host*, which the configuration's key *setting* names."""
    if isinstance(exc, Untrusted):
        told = f"the certificate of {host} is not trusted: {exc.reason}"
        return Finding(subject, "TLS", "failed", told, _tls_remedy(exc.code, host))
    remedy = f"check the network, its firewalls, HTTPS_PROXY and NO_PROXY; {setting} says where it is looked for"
    return Finding(subject, "reachable", "failed", str(exc), remedy)


def _tls_remedy(code: int, host: str) -> str:
    if code == _NOT_YET_VALID:
        return "check this machine's clock; if it is right, have a certificate made that is valid now"
    if code == _EXPIRED:
        return "have it renewed where that host is run; if it is still valid, check this machine's clock"
    if code in _OTHER_NAMES:
        return (
            f'reach it by a name that the certificate is for: registries."{host}".endpoint may name another than {host}'
        )
    return (
        f'if its authority is your own, name it: registries."{host}".ca_file = "/path/to/ca.pem"; '
        "else somebody is between you and that host"
    )


def clock(subject: str, ahead: timedelta) -> Finding:
    """The host's clock is *ahead* of ours, by so much at least."""
    off = abs(ahead)
    if off <= SKEW_WARNED:
        return Finding(subject, "clock", "ok", "this machine's clock agrees with it")
    state: State = "failed" if off > SKEW_FAILED else "warning"
    behind = "behind" if ahead > timedelta() else "ahead of"
    length = format_duration(timedelta(seconds=round(off.total_seconds())))
    return Finding(
        subject,
        "clock",
        state,
        f"this machine's clock is {length} {behind} it: tokens and AWS signatures are refused for that",
        "set this machine's clock by NTP (timedatectl set-ntp true); if other hosts agree with it, theirs is wrong",
    )


def certificate(subject: str, ends: datetime, *, now: datetime) -> Finding:
    """The host's certificate is trusted, and ends at *ends*."""
    day = ends.date().isoformat()
    if ends - now > CERTIFICATE_WARNED:
        return Finding(subject, "TLS", "ok", f"its certificate is trusted, until {day}")
    left = max(0, (ends - now).days)
    return Finding(
        subject,
        "TLS",
        "warning",
        f"its certificate is trusted until {day} only, {left} {'day' if left == 1 else 'days'} more",
        "have it renewed before that, or nodes will no longer pull either",
    )


def plain(subject: str, endpoint: str) -> Finding:
    """The host is reached without TLS, over a network."""
    return Finding(
        subject,
        "TLS",
        "warning",
        f"{endpoint} is plain http: whoever is on the way reads the credential and may change answers",
        f'have it speak TLS, and say so: endpoint = "https://{endpoint.removeprefix("http://")}"',
    )


def no_credential(subject: str, host: str, *, is_asked_for: bool, is_written: bool) -> Finding:
    """There is no credential for *host*, which *is_asked_for* one."""
    if is_asked_for and is_written:
        return Finding(
            subject,
            "credential",
            "failed",
            f"{host} asks for a credential, and there is none",
            f'set registries."{host}".username and password_file, or log in: docker login {host}',
        )
    told = "none: it is read without one" if is_asked_for else "none, and it asks for none"
    return Finding(subject, "credential", "ok", told)


def credential_taken(subject: str, who: str, *, is_asked_for: bool) -> Finding:
    """The host takes the credential of *who*, if it *is_asked_for* one."""
    return Finding(subject, "credential", "ok", f"{who}: {'taken' if is_asked_for else 'it asks for none'}")


def credential_refused(
    subject: str, exc: MirrorError, *, host: str, where: str, is_issued: bool, is_written: bool
) -> Finding:
    """The host refused our credential, which is kept *where*, or it could not be had; reading goes on without one.

    *is_issued*: for a while, by a service that was asked for it.
    """
    told = f"{where}: {exc}" if where else str(exc)
    renew = f"renew it where it is kept, or log in again: docker login {host}"
    if is_issued:
        renew = f"see that what gives it does so for {host}: for that account and region"
    if is_written:
        return Finding(subject, "credential", "failed", told, renew)
    return Finding(
        subject,
        "credential",
        "warning",
        f"{told}; it is read without one",
        f"{renew}; or remove it, if what is read there is public",
    )


def pulled(subject: str, image: str, *, is_there: bool, who_not: str) -> Finding:
    """*image* was asked for; *who_not* is whose credential was refused for it."""
    if not is_there:
        return Finding(
            subject,
            "pull",
            "failed",
            f"{image} is not there",
            "see that the release is right, and that no alias leads to another place than its images are at",
        )
    if who_not:
        return Finding(
            subject,
            "pull",
            "warning",
            f"{image} can be read, but not with the credential of {who_not}",
            f"give {who_not} the right to read it, or remove the credential, if what is read there is public",
        )
    return Finding(subject, "pull", "ok", f"{image} can be read")


def refused(subject: str, check: str, exc: MirrorError, *, who: str = "", may: str = "") -> Finding:
    """*exc* came instead of what was asked for; *may* is the right that *who* needs for it."""
    if isinstance(exc, RegistryError) and exc.status == 429:
        return too_many(subject, str(exc))
    if isinstance(exc, AccessDenied):
        remedy = f"give {who or 'a credential, and configure it,'} the right to {may}"
    elif isinstance(exc, Unreachable | RegistryError) and exc.is_temporary:
        remedy = "it may be of the moment: try again, then ask who runs it"
    else:
        remedy = "settle what it says there, then run this again"
    return Finding(subject, check, "failed", str(exc), remedy)


def too_many(subject: str, told: str) -> Finding:
    """The host answers 429."""
    return Finding(
        subject,
        "rate limit",
        "failed",
        told,
        "wait, and ask it less: requests_per_second in its table; a credential often has a higher limit than none",
    )


def allowance(subject: str, left: Allowance) -> Finding:
    """The host said what is *left* of its limit."""
    of = f" of {left.limit}" if left.limit is not None else ""
    window = f" in {format_duration(timedelta(seconds=left.window_s))}" if left.window_s else ""
    told = f"pulls left: {left.remaining}{of}{window}"
    if left.remaining > _FEW * (left.limit or 0):
        return Finding(subject, "rate limit", "ok", told)
    return Finding(
        subject,
        "rate limit",
        "failed" if left.remaining == 0 else "warning",
        told,
        "log in, which has a higher limit, or read it through a proxy of your own (alias)",
    )


def referrers(subject: str, *, has_api: bool) -> Finding:
    """Whether the host has the referrers API; without it, the fallback tag does (distribution-spec v1.1)."""
    told = "by the referrers API" if has_api else "by the tag schema: it lacks the referrers API, and needs none"
    return Finding(subject, "referrers", "ok", f"signatures are found {told}")


def mount(subject: str, *, is_mounted: bool) -> Finding:
    """Whether the host mounts blobs of one repository in another."""
    told = (
        "what repositories share is sent once" if is_mounted else "each repository is sent its own: nothing is mounted"
    )
    return Finding(subject, "blob mounting", "ok", told)


def push_is_unknown(subject: str) -> Finding:
    """There is no repository yet that a probe would not make."""
    return Finding(
        subject,
        "push",
        "warning",
        "not known: it is tried in a repository that exists, and there is none yet",
        "run it again once `mirror sync` has made one",
    )


def space(subject: str, free: int, *, where: str) -> Finding:
    """There are *free* bytes on the disk of *where*."""
    told = f"{free / 1e9:.1f} GB are free"
    if free > SPACE_WARNED:
        return Finding(subject, "space", "ok", told)
    return Finding(
        subject,
        "space",
        "failed" if free < SPACE_FAILED else "warning",
        f"{told}; a release of Linkerd takes some 0.5 GB",
        f"make room on the disk of {where}, or choose another directory",
    )


def told_once(general: Sequence[Finding], particular: Sequence[Finding]) -> tuple[Finding, ...]:
    """Both, the *general* first; where both answer a question, the worse, or the particular, which knows more."""
    by_question: dict[tuple[str, str], list[Finding]] = {}
    for finding in particular:
        by_question.setdefault(_question(finding), []).append(finding)
    said = list[Finding]()
    for finding in general:
        answers = by_question.pop(_question(finding), [])
        is_worse = all(_SEVERITY.index(finding.state) > _SEVERITY.index(answer.state) for answer in answers)
        said += [finding] if is_worse else answers
    return (*said, *(finding for answers in by_question.values() for finding in answers))


def _question(finding: Finding) -> tuple[str, str]:
    return finding.subject, finding.check


def signatures(policy: Policy) -> Finding:
    """What *policy* says of signatures."""
    told = f'policy.signatures = "{policy}"'
    if policy == "require":
        return Finding("trust", "signatures", "ok", told)
    lets_in = "they are not looked at" if policy == "off" else "an image whose signature does not hold is let in"
    remedy = 'set policy.signatures = "require", once what it refuses is settled'
    return Finding("trust", "signatures", "warning", f"{told}: {lets_in}", remedy)
