"""Who we are to a registry: challenges, tokens, and the Docker configuration.

    request ──► 401 with WWW-Authenticate ──► Basic: the credential itself
                                          └─► Bearer: realm, service ──► token for a scope, cached until it expires

RFC 9110 §11 for challenges, the distribution project's token specification (docs/spec/auth/token.md) for Bearer.

Rules it keeps:
- a credential goes to its registry and to the token realm which that registry named over a connection no less safe;
- for reading, a credential that is refused is given up once for no credential at all, loudly: a stale login makes
  public images unreadable on GHCR (oras-project/oras#1161);
- one token is asked for once, however many requests wait for it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import structlog

from mirror.errors import AccessDenied, RegistryError, SettingsError
from mirror.http.answer import Answer, parsed_target
from mirror.http.meter import Ageing
from mirror.http.proxies import is_local
from mirror.http.transport import Transport
from mirror.oci.reference import DOCKER_HUB

_TOKEN_LIFE_S = 60.0  # where the token service does not say (token.md, expires_in)
_TOKEN_MARGIN_S = 10.0
_LIFE_MAX_S = 1e9  # that a token service may claim and be told of
_HELPER_TIMEOUT_S = 30.0
_RENEWED_BY_ITSELF = timedelta(hours=24)  # no human renews what lives for less
_JWT_MAX = 64 * 1024
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name with a password, or an identity token (OAuth2 refresh token) alone."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    renew_at: float | None = None
    """When another is to be asked for, by `time.monotonic()`; None for one that does not age."""
    origin: str = field(default="", compare=False)
    """Where it is kept, in words."""
    expires_at: datetime | None = field(default=None, compare=False)
    """Where whoever gave it has said so."""

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def end(self) -> tuple[Ageing, datetime] | None:
        """Until when it is good, and as what: a password is renewed by a human; None for one that does not say.

        A password may be a JSON Web Token (Artifactory's access tokens are), which says it (RFC 7519 §4.1.4).
        """
        if self.expires_at:
            return "token", self.expires_at
        times = _jwt_times(self.password or self.identity_token)
        if times is None:
            return None
        issued_at, ends_at = times
        return ("token" if issued_at and ends_at - issued_at < _RENEWED_BY_ITSELF else "password"), ends_at


def _jwt_times(text: str) -> tuple[datetime | None, datetime] | None:
    """When *text* was issued and when it ends, if it is a JSON Web Token that says so; unverified."""
    parts = text.split(".")
    if len(parts) != 3 or len(text) > _JWT_MAX:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        issued_at, ends_at = claims.get("iat"), datetime.fromtimestamp(float(claims["exp"]), UTC)
        return (datetime.fromtimestamp(float(issued_at), UTC) if issued_at is not None else None), ends_at
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of WWW-Authenticate; *scheme* and the names of *parameters* are lower case."""

    scheme: str
    parameters: Mapping[str, str]


_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}|[^\s,"]+))\s*(?:,|$)')
_SCHEME = re.compile(rf"[\s,]*({_WORD})(?:\s+|\s*$|\s*,)")


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges in a WWW-Authenticate header (RFC 9110 §11.6.1); what cannot be read is left out."""
    challenges: list[Challenge] = []
    at, header = 0, header[:8192]
    while at < len(header):
        scheme = _SCHEME.match(header, at)
        if not scheme:
            break
        at = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, at):
            name, quoted, plain = parameter.groups()
            parameters.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain)
            at = parameter.end()
        challenges.append(Challenge(scheme.group(1).lower(), parameters))
    return tuple(challenges)


class Credentials(Protocol):
    """Where credentials are kept."""

    def credential(self, host: str) -> Credential | None:
        """The credential for *host*, or None; may block, and may raise a MirrorError."""
        ...


@dataclass(frozen=True, slots=True)
class DockerConfiguration:
    """Docker's config.json with its credential helpers (docker/cli, cli/config)."""

    path: Path
    helper_timeout_s: float = _HELPER_TIMEOUT_S

    @classmethod
    def default(cls, environ: Mapping[str, str]) -> DockerConfiguration:
        """$DOCKER_CONFIG/config.json, else ~/.docker/config.json."""
        folder = environ.get("DOCKER_CONFIG")
        return cls((Path(folder) if folder else Path.home() / ".docker") / "config.json")

    def credential(self, host: str) -> Credential | None:
        """See Credentials; no file is no credential, a file that cannot be read is a SettingsError."""
        try:
            config = json.loads(self.path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as exc:
            raise SettingsError(f"the Docker configuration {self.path} cannot be read: {exc}") from exc
        if not isinstance(config, dict):
            raise SettingsError(f"the Docker configuration {self.path} is not a JSON object")
        keys = _docker_keys(host)
        helpers, auths = config.get("credHelpers") or {}, config.get("auths") or {}
        if not isinstance(helpers, dict) or not isinstance(auths, dict):
            raise SettingsError(f"the Docker configuration {self.path} has credHelpers or auths that are not objects")
        for key in keys:
            if helper := helpers.get(key):
                return _ask_helper(str(helper), key, timeout_s=self.helper_timeout_s)
        for key, entry in auths.items():
            if isinstance(entry, dict) and _docker_host(key) in map(_docker_host, keys):
                found = _from_entry(entry, self.path, key)
                if found:
                    return replace(found, origin=str(self.path))
        if store := config.get("credsStore"):
            return _ask_helper(str(store), keys[0], timeout_s=self.helper_timeout_s)
        return None


def _docker_keys(host: str) -> tuple[str, ...]:
    return (_DOCKER_HUB_KEY, "index.docker.io", "docker.io") if host == DOCKER_HUB else (host, f"https://{host}")


def _docker_host(key: str) -> str:
    return re.sub(r"^https?://", "", key).split("/", 1)[0]


def _from_entry(entry: Mapping[str, Any], path: Path, key: str) -> Credential | None:
    if token := entry.get("identitytoken"):
        return Credential(identity_token=str(token))
    if auth := entry.get("auth"):
        try:
            username, colon, password = base64.b64decode(str(auth)).decode().partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise SettingsError(f"{path}: the entry of {key} is not base64 of USER:PASSWORD")
        return Credential(username, password.rstrip("\0"))
    if entry.get("username"):
        return Credential(str(entry["username"]), str(entry.get("password", "")))
    return None


def _ask_helper(helper: str, key: str, *, timeout_s: float) -> Credential | None:
    """What `docker-credential-HELPER get` says (docker/docker-credential-helpers, README)."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+", helper):
        raise SettingsError(f"{helper!r} is not the name of a credential helper")
    program = f"docker-credential-{helper}"
    try:
        # not subprocess.run: after its deadline it waits for what the helper has started
        with subprocess.Popen(  # noqa: S603 - the name was checked, the operator chose it
            [program, "get"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                output, errors = process.communicate(key.encode(), timeout=timeout_s)
            except BaseException:
                process.kill()
                raise
    except subprocess.TimeoutExpired as exc:
        raise AccessDenied(f"{program} gave no credential for {key} in {timeout_s:.0f} s") from exc
    except OSError as exc:
        raise SettingsError(
            f"{program}, which the Docker configuration names for {key}, is not a program on PATH ({exc.strerror})"
        ) from exc
    if process.returncode:
        reason = next(iter((output or errors).decode(errors="replace").strip().splitlines()), "no reason")
        if "not found" in reason:  # "credentials not found in native keychain" is an answer
            return None
        if reason.startswith("{"):  # it gave the credential and failed all the same
            reason = "no reason"
        raise AccessDenied(f"{program} gave no credential for {key}: {reason[:200]}")
    try:
        said = json.loads(output)
        username, secret = str(said["Username"]), str(said["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise AccessDenied(f"{program} gave something other than a credential for {key}") from None
    found = Credential(identity_token=secret) if username == "<token>" else Credential(username, secret)
    return replace(found, origin=program)


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    expires_at: float


@dataclass(slots=True)
class Authenticator:
    """What is known of one registry's authentication, learned from its answers.

    *scope* is `repository:PATH:pull` or `…:pull,push`, several joined by a space.
    """

    host: str
    transport: Transport
    credentials: Credentials | None = None
    challenge: Challenge | None = None
    """What the registry asks for, where that is known before it was asked; else None until an answer says it."""
    _credential: Credential | None = field(default=None, init=False)
    _has_looked: bool = field(default=False, init=False)
    _anonymous: set[str] = field(default_factory=set, init=False)
    """The scopes that are read without the credential."""
    _tokens: dict[str, _Token] = field(default_factory=dict, init=False)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict, init=False)

    async def authorization(self, scope: str) -> str:
        """The Authorization header for *scope*, from what is known so far; empty where none is needed yet."""
        if self.challenge is None:
            return ""
        if self.challenge.scheme == "basic":
            credential = await self._look_up(scope)
            return credential.basic if credential else ""
        return f"Bearer {await self._token(scope)}"

    async def credential(self) -> Credential | None:
        """Who we are there, whether it was asked for or not; raises what Credentials raises."""
        return await self._look_up("")

    def is_refused(self, scope: str) -> bool:
        """Whether *scope* is read without the credential, which was refused."""
        return scope in self._anonymous

    async def is_worth_retrying(
        self,
        answer: Answer,
        sent: str,
        scope: str,
        *,
        where: str,
        has_renewed: bool = False,
        may_give_up: bool = True,
    ) -> bool:
        """Whether, after *answer* refused a request sent with the header *sent*, the same request may now succeed.

        *has_renewed*: this request has been sent with two tokens already, so it is not the token's age.
        *may_give_up*: something may be read without a credential.
        """
        if answer.status == 401 and not sent:
            return await self._learn(answer, scope, where)
        if answer.status == 401 and not has_renewed and self.has_aged(scope, sent):
            return True
        return may_give_up and bool(sent) and self._give_up_credential(scope, f"{answer.status} from {where}")

    def has_aged(self, scope: str, sent: str) -> bool:
        """Whether the header *sent*, which was refused, is one that ages: expired, or revoked, it is not used again.

        May come from any thread.
        """
        if not sent.startswith("Bearer "):
            credential = self._credential
            if credential is None or credential.renew_at is None:
                return False
            if credential.basic == sent:  # else another request has renewed it meanwhile
                self._has_looked = False
            return True
        cached = self._tokens.get(scope)
        if cached is not None and cached.value == sent.removeprefix("Bearer "):
            self._tokens.pop(scope, None)  # else another request has renewed it meanwhile
        return True

    async def _learn(self, answer: Answer, scope: str, where: str) -> bool:
        challenges = parse_challenges(answer.headers.get("www-authenticate", ""))
        by_scheme = {challenge.scheme: challenge for challenge in reversed(challenges)}
        credential = await self._look_up(scope)
        bearer, basic = by_scheme.get("bearer"), by_scheme.get("basic")
        if bearer and (realm := bearer.parameters.get("realm")):
            checked = self._checked_realm(answer.url, realm, where)
            self.challenge = Challenge("bearer", {**bearer.parameters, "realm": checked})
            return True
        if basic and credential and credential.username:
            self.challenge = basic
            return True
        return False

    def _checked_realm(self, url: str, realm: str, where: str) -> str:
        here, there = urlsplit(url), parsed_target(url, realm)
        if there is None:
            raise AccessDenied(f"{where}: the registry sends us for a token to what is not an address of a server")
        if there.scheme not in ("http", "https") or (here.scheme == "https" and there.scheme == "http"):
            raise AccessDenied(
                f"{where}: the registry sends us to {there.scheme}://{there.netloc} for a token, which is not https: "
                "a registry behind TLS must be told its own https address (Harbor: external_url)"
            )
        if is_local(there.hostname or "") and not is_local(here.hostname or ""):
            raise AccessDenied(
                f"{where}: the registry sends us to {there.netloc} for a token, an address of this machine: refused"
            )
        return there.geturl()

    async def _look_up(self, scope: str) -> Credential | None:
        if self._is_to_look():
            async with self._lock(""):
                if self._is_to_look() and self.credentials is not None:
                    self._credential = await asyncio.to_thread(self.credentials.credential, self.host)
                    if self._credential and (end := self._credential.end):
                        self._tell_end(*end)
                self._has_looked = True
        return None if scope in self._anonymous else self._credential

    def _tell_end(self, what: Ageing, at: datetime) -> None:
        gate = self.transport.gate
        gate.meter.ends(gate.host, what, at)

    def _is_to_look(self) -> bool:
        renew_at = self._credential.renew_at if self._credential else None
        return not self._has_looked or (renew_at is not None and renew_at <= time.monotonic())

    def _give_up_credential(self, scope: str, reason: str) -> bool:
        """Whether reading *scope* goes on without the credential; writing never does, and other scopes keep it."""
        may_push = any(one.rpartition(":")[2] != "pull" for one in scope.split(" "))
        if scope in self._anonymous or self._credential is None or may_push:
            return False
        if not self._anonymous:
            log.warning(
                "auth.credential_refused",
                host=self.host,
                reason=reason,
                action="reading goes on without a credential: renew or remove the one for this host",
            )
        self._anonymous.add(scope)
        self._tokens.pop(scope, None)
        return True

    async def _token(self, scope: str) -> str:
        async with self._lock(scope):
            cached = self._tokens.get(scope)
            if cached is None or cached.expires_at <= time.monotonic():
                cached = self._tokens[scope] = await self._fetch(scope)
            return cached.value

    def _lock(self, scope: str) -> asyncio.Lock:
        return self._locks.setdefault(scope, asyncio.Lock())

    async def _fetch(self, scope: str) -> _Token:
        assert self.challenge is not None  # noqa: S101 - authorization() has looked
        realm, service = self.challenge.parameters["realm"], self.challenge.parameters.get("service", "")
        credential = await self._look_up(scope)
        answer = await self._ask(realm, service, scope, credential)
        if answer.status in (400, 401, 403) and credential is not None:
            if not self._give_up_credential(scope, f"{answer.status} from the token service"):
                raise AccessDenied(
                    f"{self.host} refused the credential of {credential.username or 'the identity token'}"
                    f"{f' for {scope}' if scope else ''} ({answer.status}): check it, and that it may do this",
                    status=answer.status,
                )
            answer = await self._ask(realm, service, scope, None)
        if answer.status != 200:
            wants = "no token without a credential" if answer.status in (401, 403) else "no token"
            error = AccessDenied if answer.status in (401, 403) else RegistryError
            raise error(
                f"{self.host}: {urlsplit(realm).netloc} gave {wants} for {scope} ({answer.status})",
                status=answer.status,
            )
        token = _parse_token(answer, self.host)
        left_s = token.expires_at - time.monotonic()
        if 0 < left_s < _LIFE_MAX_S:
            self._tell_end("token", datetime.now(UTC) + timedelta(seconds=left_s))
        return token

    async def _ask(self, realm: str, service: str, scope: str, credential: Credential | None) -> Answer:
        if credential and credential.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": "linkerd-mirror",
                "refresh_token": credential.identity_token,
            } | ({"scope": scope} if scope else {})
            return await self.transport.send(
                "POST",
                realm,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(form).encode(),
                bound=64 * 1024,
            )
        query = [("service", service)] if service else []
        query += [("scope", one) for one in scope.split()]
        url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(query)
        headers = {"Authorization": credential.basic} if credential else {}
        return await self.transport.send("GET", url, headers=headers, bound=64 * 1024)


def _parse_token(answer: Answer, host: str) -> _Token:
    try:
        said = json.loads(answer.body)
        value = said.get("token") or said.get("access_token")
        life = float(said.get("expires_in") or _TOKEN_LIFE_S)
    except (ValueError, AttributeError, OverflowError, TypeError, RecursionError) as exc:
        raise RegistryError(f"{host}: the token service's answer cannot be read") from exc
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise RegistryError(f"{host}: the token service gave no token")
    margin = min(_TOKEN_MARGIN_S, life / 4)
    return _Token(value, time.monotonic() + life - margin)
