"""What both wires share: an answer, where a server may send us, what it asks us to wait, what a failure is called.

Nothing here sends anything. Rules it keeps:
- https never becomes http, and a redirect to loopback or link-local is followed only from there (distribution-spec
  v1.1, #redirects);
- a failure is one sentence that names the host, whichever package met it.
"""

from __future__ import annotations

import email.utils
import os
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

import certifi

from mirror.durations import go_duration
from mirror.errors import TEMPORARY_STATUSES, SettingsError, Unreachable, Untrusted
from mirror.http.proxies import Proxy, is_local

CONNECT_TIMEOUT_S = 5.0
IDLE_TIMEOUT_S = 30.0
EXCHANGE_TIMEOUT_S = 300.0  # for a request and its whole answer: a chart index may be of 64 MB
REDIRECTS_MAX = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
USER_AGENT = "linkerd-mirror"

_RETRY_AFTER_MESSAGE = re.compile(r"retry-after:\s*((?:[0-9]+(?:\.[0-9]*)?(?:ns|us|µs|μs|ms|s|m|h))+)", re.IGNORECASE)
_PROXY_REFUSED = re.compile(r"(?:Tunnel connection failed: )?([1-5][0-9][0-9]) ")  # http.client's words, and httpx's
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
_ON_THE_WIRE = re.compile(r"[!-~]*")
# fields that are lists, so that several of them are one (RFC 9110 §5.3); Gitea sends two challenges so
_LISTS = frozenset({"www-authenticate", "link", "warning"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One response, whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    """Where it came from, after redirects."""

    def wait_s(self) -> float | None:
        """Seconds that it asks us to wait, from now; None where it does not say."""
        return requested_wait(self.headers, self.body, now=datetime.now(UTC))


class NoConnectionInTime(TimeoutError):
    """The deadline passed before there was a connection."""


def tls_context(ca_file: str) -> ssl.SSLContext:
    """What certificates are held to: certifi's, or SSL_CERT_FILE's and SSL_CERT_DIR's, and *ca_file*'s beside them.

    The same one until *ca_file* is another: authorities take long to load, and are replaced while we run.
    """
    try:
        there = Path(ca_file).stat() if ca_file else None
    except OSError:  # loading it says so
        there = None
    return _context(ca_file, (there.st_ino, there.st_mtime_ns, there.st_size) if there else ())


@lru_cache(maxsize=32)
def _context(ca_file: str, _seen: tuple[int, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not _has_authorities(ssl.get_default_verify_paths().capath):
        context.load_verify_locations(certifi.where())
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise SettingsError(f"ca_file {ca_file!r} cannot be read as PEM certificates: {exc}") from exc
    return context


def authorities_file() -> str:
    """The usual authorities in one file, for whoever takes nothing else: SSL_CERT_FILE's, the system's, or certifi's.

    Debian and Alpine, whose OpenSSL knows a directory alone, keep the file in it.
    """
    known = ssl.get_default_verify_paths()
    beside = Path(known.capath or "/") / "ca-certificates.crt"
    return known.cafile or (str(beside) if beside.is_file() else certifi.where())


def _has_authorities(directory: str | None) -> bool:
    """Whether OpenSSL finds certificates in *directory* when it needs them: by the hash of a name (x509(1), -hash)."""
    return bool(directory) and next(Path(str(directory)).glob("[0-9a-f]*.0"), None) is not None


def requested_wait(headers: Mapping[str, str], body: bytes, *, now: datetime) -> float | None:
    """Seconds that a 429 or 503 asks us to wait: Retry-After (RFC 9110 §10.2.3), or GHCR's message in the body.

    GHCR writes `retry-after: 880.092µs, allowed: 44000/minute` into the error's message
    (falcosecurity/plugins#1069), and no header.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    if value:
        try:
            return max(0.0, (http_date(value) - now).total_seconds())
        except (ValueError, OverflowError):
            pass
    text = body[:4096].decode(errors="replace").replace("\\u00b5", "µ").replace("\\u03bc", "μ")
    found = _RETRY_AFTER_MESSAGE.search(text)
    return go_duration(found.group(1)) if found else None


def http_date(text: str) -> datetime:
    """The moment that *text* says, in any form of RFC 9110 §5.6.7: in UTC, be it that no zone is in it.

    Raises ValueError or OverflowError for what says none.
    """
    moment = email.utils.parsedate_to_datetime(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def lowered(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header *fields* by their names in lower case; a list in several fields is whole, of others the last counts."""
    headers: dict[str, str] = {}
    for field_name, value in fields:
        name = field_name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in _LISTS and name in headers else value
    return headers


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of *url*: what a credential is for."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def checked_target(url: str, target: str, *, what: str) -> str:
    """*target*, absolute, where *url*'s server sends us (*what* it calls it: a redirect, an upload location).

    A server behind TLS that calls itself http at its own name is taken at https. Raises Unreachable for
    what could lead a request astray: another scheme, plain http, our own loopback and link-local, no address at all.
    """
    here, there = urlsplit(url), parsed_target(url, target)
    if there is None:
        raise Unreachable(f"{here.netloc} gave {what} to what is not an address of a server", is_temporary=False)
    if here.scheme == "https" and there.scheme == "http" and here.hostname == there.hostname:
        there = there._replace(scheme="https", netloc=there.netloc.removesuffix(":80"))
    if there.scheme not in ("http", "https") or (here.scheme == "https" and there.scheme == "http"):
        raise Unreachable(
            f"{here.netloc} gave {what} to {there.scheme}://{there.netloc}, which is refused: not https",
            is_temporary=False,
        )
    if is_local(there.hostname or "") and not is_local(here.hostname or ""):
        raise Unreachable(
            f"{here.netloc} gave {what} to {there.netloc}, an address of this machine, which is refused",
            is_temporary=False,
        )
    return there.geturl()


def parsed_target(url: str, target: str) -> SplitResult | None:
    """*target* as *url*'s server means it; None where it names no host, or is no URL as it goes on a wire."""
    try:
        there = urlsplit(urljoin(url, target))
        host = (there.hostname or "").encode("idna")  # as socket does, which raises the same
        is_address = host and there.port != 0 and "@" not in there.netloc
    except ValueError:  # a port out of range, a bracket without its pair, a label that is empty or too long
        return None
    return there if is_address and _ON_THE_WIRE.fullmatch(target) else None


def unreachable(host: str, exc: Exception, *, proxy: Proxy | None = None) -> Unreachable:
    """The one sentence for a connection that failed, from what httpx, socket or ssl raised."""
    causes = list(_causes(exc))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Untrusted(
                f"{host}: its certificate is not trusted ({cause.verify_message}): "
                "if its authority is your own, name it by ca_file in the configuration",
                reason=cause.verify_message,
                code=cause.verify_code,
            )
    numbers = (c.errno for c in causes if isinstance(c, OSError) and not isinstance(c, ssl.SSLError | socket.gaierror))
    text = next((os.strerror(number).lower() for number in numbers if number), str(exc))
    if refused := _PROXY_REFUSED.match(str(exc)):
        return refused_by_proxy(host, int(refused[1]))
    if isinstance(exc, TimeoutError):
        text = "no connection in time" if isinstance(exc, NoConnectionInTime) else "no answer in time"
    elif any(isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS for cause in causes):
        text = 'it does not speak TLS: if it is meant to be plain, give its endpoint as "http://…"'
    elif any(isinstance(cause, socket.gaierror | UnicodeError) for cause in causes):
        text = "its name cannot be resolved: check the name, and the network"
    through = f" through the proxy {proxy.url}" if proxy else ""
    return Unreachable(f"{host} cannot be reached{through}: {text or type(exc).__name__}")


def refused_by_proxy(host: str, status: int) -> Unreachable:
    """The one sentence for a proxy that does not let us through to *host*."""
    remedy = ": give it a user name and a password, as in HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
    return Unreachable(
        f"{host} cannot be reached: the proxy answered {status}{remedy if status == 407 else ''}",
        is_temporary=status in TEMPORARY_STATUSES,
    )


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        within = exc.exceptions[0] if isinstance(exc, BaseExceptionGroup) else None  # one for each address tried
        exc = within or exc.__cause__ or exc.__context__
