"""The API server of the cluster that we run in: where it is, who we are there, and the one request we have for it.

Server-side apply (kubernetes.io/docs/reference/using-api/server-side-apply): a PATCH that creates what is not there,
which needs the verbs `create` and `patch`. It is asked by the address that every pod is given, never through a proxy.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mirror.errors import KubernetesError, Unreachable, Untrusted, UsageError
from mirror.http.answer import Answer
from mirror.http.transport import Transport
from mirror.kubernetes.config_maps import MANAGER, ConfigMap

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # a DNS-1123 label
_TOKEN = re.compile(r"[!-~]+")
_WORDS_MAX = 500
DEADLINE_S = 120.0
"""For one request, however often it is tried again."""
# rbac's refusal: plugin/pkg/auth and k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go
_MAY_NOT = re.compile(r'User "([^"]*)" cannot (\w+) resource "configmaps"')


@dataclass(frozen=True, slots=True)
class Access:
    """What a pod knows of its API server, and the token that it has there now."""

    url: str
    ca_file: Path
    namespace: str
    """Where ConfigMaps go."""
    token: str = field(repr=False)

    @classmethod
    def in_cluster(cls, environ: Mapping[str, str], directory: Path, namespace: str = "") -> Access:
        """As *environ* and the files in *directory* say, a *namespace* that is given first; raises UsageError.

        The files are read anew: a token is replaced while it still holds (KEP-1205).
        """
        host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise UsageError(
                "overrides.config_maps.enabled is set, and this is not in a cluster: there is no "
                "KUBERNETES_SERVICE_HOST; run it in a pod, or set MIRROR_OVERRIDES__CONFIG_MAPS__ENABLED=false here"
            )
        if not port.isdecimal():
            raise UsageError(f"KUBERNETES_SERVICE_PORT is {port[:20]!r}: expected a number")
        where = f"[{host}]" if ":" in host else host
        token = _read(directory / "token")
        if not _TOKEN.fullmatch(token):
            raise UsageError(f"{directory / 'token'} holds no token: expected one line")
        namespace = namespace or _read(directory / "namespace")
        if not _NAMESPACE.fullmatch(namespace):
            raise UsageError(f"{directory / 'namespace'} holds {namespace[:80]!r}, which is not the name of one")
        _read(directory / "ca.crt")
        return cls(f"https://{where}:{port}", directory / "ca.crt", namespace, token)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise UsageError(
            f"overrides.config_maps.enabled is set, and {file} cannot be read: {reason}: the pod needs its "
            "ServiceAccount's token (automountServiceAccountToken: true)"
        ) from exc


@dataclass(frozen=True, slots=True)
class Api:
    """What is asked of the API server by *access* over *transport*."""

    access: Access
    transport: Transport
    deadline_s: float = DEADLINE_S

    async def apply(self, config_map: ConfigMap) -> bool:
        """The cluster has *config_map* as it is to be; whether it had none of that name.

        Raises KubernetesError, and Unreachable.
        """
        return await self._patch(config_map, f"fieldManager={MANAGER}&force=true")

    async def rehearse(self, config_map: ConfigMap) -> None:
        """`apply` would be let in: by authorization, the namespace and every admission; nothing is written.

        Authorization does not tell the two apart (kubernetes.io/docs/reference/using-api/api-concepts, #dry-run).
        """
        await self._patch(config_map, f"fieldManager={MANAGER}&force=true&dryRun=All")

    async def _patch(self, config_map: ConfigMap, query: str) -> bool:
        access = self.access
        try:
            async with asyncio.timeout(self.deadline_s):
                answer = await self.transport.send(
                    "PATCH",
                    f"{access.url}/api/v1/namespaces/{access.namespace}/configmaps/{config_map.name}?{query}",
                    headers={
                        "Authorization": f"Bearer {access.token}",
                        "Content-Type": "application/apply-patch+yaml",
                        "Accept": "application/json",
                    },
                    body=config_map.manifest(),
                )
        except TimeoutError as exc:
            raise Unreachable(f"the API server at {access.url} has not answered in {self.deadline_s:.0f} s") from exc
        except Untrusted as exc:
            raise KubernetesError(
                f"the certificate of the API server at {access.url} is not trusted: {exc.reason}",
                remedy=f"{access.ca_file} is to be the certificate of its authority",
            ) from exc
        if answer.status not in (200, 201):
            raise _refused(answer, access, config_map.name)
        return answer.status == 201


def _refused(answer: Answer, access: Access, name: str) -> KubernetesError:
    """What *answer* means, with what to do where that is known."""
    words, namespace = _words(answer), access.namespace
    what = f"the ConfigMap {name} in the namespace {namespace}"
    if answer.status == 401:
        return KubernetesError(
            f"{what} was not written: the API server does not take our token (401: {words})",
            status=401,
            remedy="see that the pod's ServiceAccount still exists, and start the pod anew",
        )
    if answer.status == 403 and (denied := _MAY_NOT.search(words)):
        user, verb = denied.groups()
        return KubernetesError(
            f"{what} was not written: {user} may not {verb} configmaps there",
            status=403,
            remedy=_grant(user, namespace),
        )
    if answer.status == 404 and f'namespaces "{namespace}" not found' in words:
        return KubernetesError(
            f"{what} was not written: there is no such namespace",
            status=404,
            remedy="create it, or name another by overrides.config_maps.namespace",
        )
    return KubernetesError(
        f"{what} was not written: the API server at {access.url} answers {answer.status}: {words}", status=answer.status
    )


def _grant(user: str, namespace: str) -> str:
    """The commands that give *user* what it needs, and no more."""
    kind, _, account = user.partition("system:serviceaccount:")
    subject = f"--user={user}" if kind or not account else f"--serviceaccount={account}"
    return (
        "grant it both verbs that server-side apply needs: "
        f"kubectl --namespace={namespace} create role mirror-overrides --verb=create,patch --resource=configmaps; "
        f"kubectl --namespace={namespace} create rolebinding mirror-overrides --role=mirror-overrides {subject}"
    )


def _words(answer: Answer) -> str:
    """What the API server says, in one line: the message of its Status, else what came."""
    try:
        text = str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = answer.body.decode(errors="replace")
    return " ".join(text.split())[:_WORDS_MAX] or "without a word"
