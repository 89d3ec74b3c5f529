"""AWS, asked by boto3, which lives here and nowhere else; everything here blocks, in worker threads.

    Access ─► session: boto3's own chain, then the role ─► client of a service, at its endpoint ─► answer

Endpoints are botocore's (AWS_ENDPOINT_URL_ECR included); region, FIPS and dual-stack are what the registry's host says.
Proxies and authorities are those of every other connection of ours. What botocore raises leaves as an exception of
errors.py; what AWS refuses is put into words by refusals.py.
"""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

import boto3
import botocore.session
from botocore import exceptions as fault
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.parsers import ResponseParserError

from mirror.destinations.ecr.access import AT_ONCE, Access
from mirror.destinations.ecr.host import EcrHost
from mirror.destinations.ecr.refusals import Asked, refusal
from mirror.errors import AccessDenied, MirrorError, NoCredential, RegistryError, SettingsError, Unreachable, WorldError
from mirror.http.answer import CONNECT_TIMEOUT_S, USER_AGENT, authorities_file, tls_context
from mirror.http.proxies import Proxies, Proxy

READ_TIMEOUT_S = 15.0
ATTEMPTS_MAX = 4
_SAID_MAX = 400
_LOOKED_FOR = (
    "looked for in the environment (AWS_ACCESS_KEY_ID), the profile, web identity (IRSA), pod identity and container "
    "roles, and the instance's role"
)
_RAISED = (fault.BotoCoreError, fault.ClientError, ResponseParserError, OSError)
"""OSError: the files of web identity and of container roles are opened without more ado."""
_SIGN_IN = (
    fault.LoginError,
    fault.NoAuthTokenError,
    fault.SSOError,
    fault.TokenRetrievalError,
)
_NOT_TO_BE_HAD = (fault.CredentialRetrievalError, fault.MetadataRetrievalError, fault.PartialCredentialsError)
_CONFIGURED_WRONG = (
    fault.ConfigNotFound,
    fault.ConfigParseError,
    fault.InfiniteLoopConfigError,
    fault.InvalidConfigError,
    fault.ProfileNotFound,
    fault.UnknownCredentialError,
)
_NO_SUCH_PLACE = (
    fault.BaseEndpointResolverError,
    fault.EndpointProviderError,
    fault.InvalidRegionError,
    fault.UnknownRegionError,
)


class Aws:
    """The services of AWS, as they are for the registry at *host*."""

    def __init__(self, host: EcrHost, access: Access, *, ca_file: str, proxies: Proxies) -> None:
        self._host = host
        self._access = access
        self._ca_file = ca_file
        self._proxies = proxies
        self._authorities: IO[bytes] | None = None
        self._session: boto3.Session | None = None
        self._configured_region = ""
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def call(self, service: str, operation: str, *, where: str, **arguments: Any) -> dict[str, Any]:
        """AWS's answer to *operation* (`CreateRepository`); raises what errors.py has for every failure.

        *where* is what it is asked of, for the errors. May come from any thread.
        """
        asked = Asked(f"{service}:{operation}", where)
        try:
            client = self.client(service)
        except (*_RAISED, ValueError) as exc:  # a ValueError for an endpoint that is no URL
            raise self._explained(exc, service, asked) from exc
        try:
            answer: dict[str, Any] = getattr(client, _method(operation))(**arguments)
        except _RAISED as exc:
            raise self._explained(exc, service, asked) from exc
        return answer

    @property
    def configured_region(self) -> str:
        """What the AWS configuration and environment say, which does not count; empty before anything was asked."""
        return self._configured_region

    def client(self, service: str) -> Any:
        """The client of *service*, made once."""
        with self._lock:
            if service not in self._clients:
                if self._session is None:
                    self._session = self._opened()
                self._clients[service] = self._made(self._session, service)
            return self._clients[service]

    def close(self) -> None:
        """Closes every connection."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
            self._session = None
            if self._authorities:
                self._authorities.close()

    def _opened(self) -> boto3.Session:
        """A session that has a credential; where there is none it is looked for anew by the next who asks."""
        core = self._core(self._access.profile)
        if core.get_credentials() is None:
            raise fault.NoCredentialsError
        self._configured_region = str(core.get_config_variable("region") or "")
        if self._access.role_arn:
            assumed = _Assumed(core, self._host.region, self._access)
            core = self._core("")
            core.register_component("credential_provider", CredentialResolver([assumed]))
        return boto3.Session(botocore_session=core, region_name=self._host.region)

    def _core(self, profile: str) -> Any:
        core = botocore.session.Session(profile=profile or None)
        core.set_config_variable("ca_bundle", self._bundle(core.get_config_variable("ca_bundle")))
        core.set_default_client_config(
            Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS_MAX},
                user_agent_extra=USER_AGENT,
                max_pool_connections=AT_ONCE,
            )
        )
        return core

    def _bundle(self, configured: str | None) -> str:
        """A file of the authorities that AWS is held to: botocore puts the one it is given in the place of its own.

        *configured* is AWS_CA_BUNDLE's.
        """
        given = configured or os.environ.get("REQUESTS_CA_BUNDLE") or authorities_file()
        if not self._ca_file:
            return given
        if self._authorities is not None:
            return self._authorities.name
        tls_context(self._ca_file)  # says what is wrong with it
        try:
            joined = tempfile.NamedTemporaryFile(suffix=".pem")  # noqa: SIM115 - it lasts as long as the sessions
            joined.write(Path(given).read_bytes() + b"\n" + Path(self._ca_file).read_bytes())
            joined.flush()
        except OSError as exc:
            raise WorldError(
                f"ca_file {self._ca_file} cannot be joined with the usual authorities for AWS: {exc}: TMPDIR must name "
                "a directory that can be written to"
            ) from exc
        self._authorities = joined
        return joined.name

    def _made(self, session: boto3.Session, service: str) -> Any:
        place = {"use_fips_endpoint": self._host.is_fips, "use_dualstack_endpoint": self._host.is_dual_stack}
        place = {key: True for key, is_wanted in place.items() if is_wanted}  # else as AWS_USE_FIPS_ENDPOINT says
        made = session.client(service, config=Config(proxies={}, **place))
        proxy = self._proxies.for_url(made.meta.endpoint_url)
        if proxy is None:
            return made
        scheme = urlsplit(made.meta.endpoint_url).scheme
        return session.client(service, config=Config(proxies={scheme: _with_credential(proxy)}, **place))

    def _explained(self, exc: Exception, service: str, asked: Asked) -> MirrorError:
        where, host, said = asked.where, self._endpoint(service), _said(exc)
        about = f"{where}: {asked.action} could not be asked of AWS"
        match exc:
            case fault.ClientError():
                return _refused(exc, asked, self._access)
            case fault.NoCredentialsError():
                return NoCredential(f"{where}: no AWS credential was found: {_LOOKED_FOR}", where=where, status=401)
            case _ if isinstance(exc, _SIGN_IN):
                profile = f" --profile {self._access.profile}" if self._access.profile else ""
                return AccessDenied(f"{about} ({said}): sign in again: aws sso login{profile}", where=where, status=401)
            case _ if isinstance(exc, _NOT_TO_BE_HAD):
                return AccessDenied(f"{about}: its credential could not be had: {said}", where=where, status=401)
            case _ if isinstance(exc, _CONFIGURED_WRONG):
                return SettingsError(
                    f"{where}: the AWS configuration does not do (~/.aws/config, or AWS_CONFIG_FILE and AWS_PROFILE in "
                    f"the environment): {said}"
                )
            case _ if isinstance(exc, _NO_SUCH_PLACE):
                return SettingsError(
                    f"{where}: AWS has no place for this: {said}: check the registry's host, whose region is "
                    f"{self._host.region}"
                )
            case fault.HTTPClientError() | fault.ConnectionError():
                return self._unreachable(exc, service, asked)
            case ResponseParserError():
                # not its words: they quote the answer, and an answer of STS may hold a key
                return RegistryError(f"{host} answered {asked.action} with what is no answer of AWS's", where=where)
            case OSError():
                return AccessDenied(
                    f"{about}: a file of its credential cannot be read: {said}", where=where, status=401
                )
            case ValueError() if not isinstance(exc, fault.BotoCoreError):
                return SettingsError(
                    f"{where}: the AWS configuration does not do (AWS_ENDPOINT_URL and its kind in the environment, or "
                    f"endpoint_url in ~/.aws/config): {said}"
                )
            case _:
                return RegistryError(f"{about}: {said}", where=where, asked=asked.action)

    def _unreachable(self, exc: Exception, service: str, asked: Asked) -> Unreachable:
        host, said = self._endpoint(service), _said(exc)
        match exc:
            case fault.SSLError():
                return Unreachable(
                    f"{host}: its certificate is not trusted ({said}): if its authority is your own, name it by "
                    f'ca_file in [registries."{self._host}"], or by AWS_CA_BUNDLE',
                    is_temporary=False,
                )
            case fault.ProxyConnectionError():
                return Unreachable(f"{host} cannot be reached through its proxy: {said}")
            case fault.ConnectTimeoutError() | fault.EndpointConnectionError():
                is_sts = service == "sts" or "://sts." in said  # which a role is assumed by
                return Unreachable(
                    f"{host} cannot be reached: {said}: check the network (a VPC without a way out needs the endpoint "
                    f"com.amazonaws.{self._host.region}.{'sts' if is_sts else 'ecr.api'}), and that the region in the "
                    f"registry's host is right: {self._host.region}"
                )
            case _:
                return Unreachable(f"{host} did not answer {asked.action}: {said}")

    def _endpoint(self, service: str) -> str:
        client = self._clients.get(service)
        return urlsplit(client.meta.endpoint_url).netloc if client else f"AWS ({self._host.region})"


class _Assumed(CredentialProvider):  # type: ignore[misc]  # botocore comes without types
    """The role that is assumed with what another session has; refreshed as botocore refreshes its own."""

    METHOD = "assume-role"
    CANONICAL_NAME = "custom-linkerd-mirror"

    def __init__(self, core: Any, region: str, access: Access) -> None:
        super().__init__(core)
        extra = {"RoleSessionName": USER_AGENT} | ({"ExternalId": access.external_id} if access.external_id else {})
        self._fetcher = AssumeRoleCredentialFetcher(
            lambda service, **keys: core.create_client(service, region_name=region, **keys),
            core.get_credentials(),
            access.role_arn,
            extra_args=extra,
        )

    def load(self) -> Any:
        return DeferredRefreshableCredentials(method=self.METHOD, refresh_using=self._fetcher.fetch_credentials)


def _refused(exc: fault.ClientError, asked: Asked, access: Access) -> RegistryError:
    if f"{asked.action.partition(':')[0]}:{exc.operation_name}" != asked.action:  # what a credential was to come of
        role = access.role_arn if exc.operation_name == "AssumeRole" and access.role_arn else asked.where
        service = "sts:" if exc.operation_name.startswith("AssumeRole") else ""
        asked = Asked(f"{service}{exc.operation_name}", role)
    error = exc.response.get("Error", {})
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return refusal(asked, code=str(error.get("Code", "")), words=str(error.get("Message", "")), status=int(status))


def _said(exc: Exception) -> str:
    return " ".join(str(exc).split())[:_SAID_MAX]


def _method(operation: str) -> str:
    return str(botocore.xform_name(operation))


def _with_credential(proxy: Proxy) -> str:
    if not proxy.username:
        return proxy.url
    credential = f"{quote(proxy.username, safe='')}:{quote(proxy.password, safe='')}"
    return proxy.url.replace("://", f"://{credential}@", 1)
