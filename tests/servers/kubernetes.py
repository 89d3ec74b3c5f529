"""A cluster to write ConfigMaps to: in this process, or a real API server; both are held to one contract.

    fake_cluster()    what tests/kubernetes/test_api.py has seen of a kube-apiserver 1.33: server-side apply with owners
                      of fields, authorization by verb, namespaces, the limits of a ConfigMap
    real_cluster()    a kube-apiserver over an etcd, for whoever has the two

Tests act as an administrator by the methods of `Cluster`; mirror comes over https, with a ServiceAccount's token.
"""

from __future__ import annotations

import copy
import http.client
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.servers.certificates import Certificates
from tests.servers.loopback import Handler, Response, Seen, serving
from tests.servers.process import running

SIZE_MAX = 1024 * 1024
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_DEADLINE_S = 30.0
_POLL_S = 0.05

Field = tuple[str, str]
"""A part of a ConfigMap, `data`, `labels` or `annotations`, and the key."""


class Cluster(Protocol):
    """What a test does in a cluster, as its administrator."""

    host: str
    """HOST:PORT of the API server."""

    def make_namespace(self) -> str:
        """A namespace that no other test uses."""
        ...

    def grant(self, account: str, namespace: str, *verbs: str) -> None:
        """The ServiceAccount *account*, as `NAMESPACE:NAME`, may do so with ConfigMaps; in `*` everywhere."""
        ...

    def token(self, account: str) -> str:
        """A token of the ServiceAccount *account*, which is made where it is not."""
        ...

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The ConfigMap, if there is one."""
        ...

    def patch(self, namespace: str, name: str, kind: str, query: str, body: Mapping[str, Any]) -> int:
        """The status that a PATCH with *body* of the media type *kind* is answered with."""
        ...

    @property
    def environ(self) -> dict[str, str]:
        """What a pod has of it."""
        host, _, port = self.host.partition(":")
        return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def mounted(cluster: Cluster, directory: Path, certificates: Certificates, account: str) -> Path:
    """*directory* as the kubelet fills it for a pod of *account*."""
    directory.mkdir(exist_ok=True)
    (directory / "token").write_text(cluster.token(account))
    (directory / "ca.crt").write_bytes(certificates.authority.read_bytes())
    (directory / "namespace").write_text(account.partition(":")[0])
    return directory


@dataclass(slots=True)
class _Kept:
    """A ConfigMap: its fields, and which manager owns which of them."""

    fields: dict[Field, str] = field(default_factory=dict)
    owners: dict[str, set[Field]] = field(default_factory=dict)
    version: int = 0

    def conflicts(self, manager: str, fields: Mapping[Field, str]) -> set[Field]:
        """The fields that somebody else has set to something else."""
        others = set[Field]().union(*(owned for who, owned in self.owners.items() if who != manager))
        return {path for path, value in fields.items() if path in others and self.fields.get(path) != value}

    def apply(self, manager: str, fields: Mapping[Field, str]) -> None:
        """What *manager* does not say any more is gone, unless somebody else says it."""
        for path in self.conflicts(manager, fields):
            self._take(path)
        left = self.owners.get(manager, set()) - set(fields)
        self.owners[manager] = set(fields)
        for path in left - set[Field]().union(*self.owners.values()):
            self.fields.pop(path, None)
        self.fields.update(fields)

    def merge(self, manager: str, fields: Mapping[Field, str]) -> None:
        """Who changes a field owns it."""
        for path, value in fields.items():
            if self.fields.get(path) != value:
                self._take(path)
                self.owners.setdefault(manager, set()).add(path)
                self.fields[path] = value

    def _take(self, path: Field) -> None:
        for owned in self.owners.values():
            owned.discard(path)


@dataclass(slots=True)
class FakeCluster(Cluster):
    """An API server in this process that knows ConfigMaps and nothing else."""

    host: str = ""
    requests: list[Seen] = field(default_factory=list)
    answers: Callable[[Seen], Response | None] = lambda _: None
    """What it answers instead, where that is not None."""
    ending: threading.Event = field(default_factory=threading.Event)
    _namespaces: set[str] = field(default_factory=set)
    _tokens: dict[str, str] = field(default_factory=dict)
    grants: set[tuple[str, str, str]] = field(default_factory=set)
    """Account, namespace, verb."""
    kept: dict[tuple[str, str], _Kept] = field(default_factory=dict)
    _version: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def make_namespace(self) -> str:
        name = f"test-{secrets.token_hex(4)}"
        self._namespaces.add(name)
        return name

    def grant(self, account: str, namespace: str, *verbs: str) -> None:
        self.grants |= {(account, namespace, verb) for verb in verbs}

    def token(self, account: str) -> str:
        made = secrets.token_urlsafe(24)
        self._tokens[made] = account
        return made

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        with self._lock:
            kept = self.kept.get((namespace, name))
            return _object(namespace, name, kept) if kept else None

    def patch(self, namespace: str, name: str, kind: str, query: str, body: Mapping[str, Any]) -> int:
        return self._patched(namespace, name, kind, query, json.dumps(body).encode(), lambda _: None).status

    def answer(self, seen: Seen, body: bytes) -> Response:
        """What a client is answered."""
        self.requests.append(seen)
        if instead := self.answers(seen):
            return instead
        account = self._tokens.get(seen.headers.get("authorization", "").removeprefix("Bearer "))
        if account is None:
            return refusal(401, "Unauthorized")
        url = urlsplit(seen.target)
        match seen.method, url.path.split("/"):
            case "PATCH", ["", "api", "v1", "namespaces", namespace, "configmaps", name]:
                pass
            case _:
                return refusal(404, "the server could not find the requested resource")

        def denied(verb: str) -> Response | None:
            if {(account, namespace, verb), (account, "*", verb)} & self.grants:
                return None
            return refusal(
                403,
                f'configmaps "{name}" is forbidden: User "system:serviceaccount:{account}" cannot {verb} resource '
                f'"configmaps" in API group "" in the namespace "{namespace}"',
            )

        return self._patched(namespace, name, seen.headers.get("content-type", ""), url.query, body, denied)

    def _patched(
        self, namespace: str, name: str, kind: str, query: str, body: bytes, denied: Callable[[str], Response | None]
    ) -> Response:
        asked = {key: values[0] for key, values in parse_qs(query).items()}
        fields, manager = _fields(_parsed(kind, body)), asked.get("fieldManager", "")
        with self._lock:
            before = self.kept.get((namespace, name))
            if no := denied("patch") or (denied("create") if before is None else None):
                return no
            if namespace not in self._namespaces:
                return refusal(404, f'namespaces "{namespace}" not found')
            kept = copy.deepcopy(before) if before else _Kept()
            if kind == APPLY and asked.get("force") != "true" and (at := kept.conflicts(manager, fields)):
                return refusal(409, f"Apply failed with {len(at)} conflict(s)")
            (kept.apply if kind == APPLY else kept.merge)(manager, fields)
            if sum(len(value.encode()) for (part, _), value in kept.fields.items() if part == "data") > SIZE_MAX:
                return refusal(
                    422, f'ConfigMap "{name}" is invalid: []: Too long: may not be more than {SIZE_MAX} bytes'
                )
            if before is None or (kept.fields, kept.owners) != (before.fields, before.owners):
                self._version += 1
                kept.version = self._version
            if "dryRun" not in asked:
                self.kept[namespace, name] = kept
            return _json(200 if before else 201, _object(namespace, name, kept))


@contextmanager
def fake_cluster(certificates: Certificates) -> Iterator[FakeCluster]:
    """An API server in this process."""
    cluster = FakeCluster()

    class _Api(Handler):
        def respond(self) -> None:
            body = self.read_body()
            if body is not None:
                self.send(cluster.answer(self.seen(), body))

        def wait(self) -> None:
            cluster.ending.wait()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with serving(_Api, context=context) as host:
        cluster.host = host
        try:
            yield cluster
        finally:
            cluster.ending.set()


def _parsed(kind: str, body: bytes) -> Mapping[str, Any]:
    """What is applied is YAML, whatever it looks like."""
    parsed: Mapping[str, Any] = yaml.load(body, yaml.CSafeLoader) if kind == APPLY else json.loads(body)
    return parsed


def _fields(body: Mapping[str, Any]) -> dict[Field, str]:
    metadata = body.get("metadata", {})
    parts = {"data": body.get("data"), "labels": metadata.get("labels"), "annotations": metadata.get("annotations")}
    return {(part, key): value for part, values in parts.items() for key, value in (values or {}).items()}


def _object(namespace: str, name: str, kept: _Kept) -> dict[str, Any]:
    parts: dict[str, dict[str, str]] = {"data": {}, "labels": {}, "annotations": {}}
    for (part, key), value in kept.fields.items():
        parts[part][key] = value
    metadata = {"name": name, "namespace": namespace, "resourceVersion": str(kept.version)}
    metadata |= {part: parts[part] for part in ("labels", "annotations") if parts[part]}
    data = {"data": parts["data"]} if parts["data"] else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **data}


def refusal(code: int, message: str) -> Response:
    """A Status, as an API server refuses."""
    return _json(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})


def _json(code: int, document: Mapping[str, Any]) -> Response:
    return Response(code, {"Content-Type": "application/json"}, json.dumps(document).encode())


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod in *cluster* whose ServiceAccount may write ConfigMaps in its *namespace*."""

    cluster: FakeCluster
    namespace: str
    directory: Path
    """What is mounted in it."""

    @classmethod
    def start(cls, cluster: FakeCluster, directory: Path, certificates: Certificates) -> Pod:
        """One in a namespace of its own."""
        namespace = cluster.make_namespace()
        account = f"{namespace}:mirror"
        cluster.grant(account, namespace, "create", "patch")
        return cls(cluster, namespace, mounted(cluster, directory, certificates, account))

    def data(self, name: str, namespace: str = "") -> dict[str, str] | None:
        """What the ConfigMap *name* holds; None if there is none."""
        found = self.cluster.get(namespace or self.namespace, name)
        return found["data"] if found else None


@dataclass(slots=True)
class RealCluster(Cluster):
    """A kube-apiserver, and the token of its administrator."""

    host: str
    context: ssl.SSLContext
    administrator: str

    def make_namespace(self) -> str:
        name = f"test-{secrets.token_hex(4)}"
        self._made("/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def grant(self, account: str, namespace: str, *verbs: str) -> None:
        name, rules = f"test-{secrets.token_hex(4)}", {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}
        home, _, who = account.partition(":")
        kind = "ClusterRole" if namespace == "*" else "Role"
        below = "" if namespace == "*" else f"/namespaces/{namespace}"
        api = f"/apis/rbac.authorization.k8s.io/v1{below}"
        self._made(f"{api}/{kind.lower()}s", {"metadata": {"name": name}, "rules": [rules]})
        self._made(
            f"{api}/{kind.lower()}bindings",
            {
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": who, "namespace": home}],
            },
        )
        self._until_allowed(account, namespace, verbs[-1])

    def _until_allowed(self, account: str, namespace: str, verb: str) -> None:
        """The authorizer, which learns of grants by a watch, has learnt of this one."""
        attributes = {"verb": verb, "resource": "configmaps", "namespace": "" if namespace == "*" else namespace}
        asked = {"spec": {"user": f"system:serviceaccount:{account}", "resourceAttributes": attributes}}
        path, deadline = "/apis/authorization.k8s.io/v1/subjectaccessreviews", time.monotonic() + _DEADLINE_S
        while not self._made(path, asked)["status"]["allowed"]:
            assert time.monotonic() < deadline, asked
            time.sleep(_POLL_S)

    def token(self, account: str) -> str:
        namespace, _, name = account.partition(":")
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        status, _ = self._ask("POST", accounts, {"metadata": {"name": name}})
        assert status in (201, 409), status
        made: str = self._made(f"{accounts}/{name}/token", {"spec": {}})["status"]["token"]
        return made

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        status, found = self._ask("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        assert status in (200, 404), found
        return found if status == 200 else None

    def patch(self, namespace: str, name: str, kind: str, query: str, body: Mapping[str, Any]) -> int:
        return self._ask("PATCH", f"/api/v1/namespaces/{namespace}/configmaps/{name}?{query}", body, kind)[0]

    def end_jobs(self) -> None:
        """What the controller would do, of which there is none: each Job that was made has ended well."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [{"type": each, "status": "True"} for each in ("SuccessCriteriaMet", "Complete")]
        for job in self._ask("GET", "/apis/batch/v1/jobs")[1]["items"]:
            if job["status"].get("completionTime"):
                continue
            name, namespace, completions = (
                job["metadata"]["name"],
                job["metadata"]["namespace"],
                job["spec"]["completions"],
            )
            indexes = {"completedIndexes": f"0-{completions - 1}"} if completions > 1 else {}
            status = {"startTime": now, "completionTime": now, "succeeded": completions, "conditions": conditions}
            code, answer = self._ask(
                "PATCH",
                f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}/status",
                {"status": status | indexes},
                MERGE,
            )
            assert code in (200, 404), answer

    def is_ready(self) -> bool:
        """Whether it serves, and has made the roles that it begins with."""
        try:
            return self._ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def _made(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        status, found = self._ask("POST", path, body)
        assert status == 201, found
        return found

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, kind: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=_DEADLINE_S)
        try:
            headers = {"Authorization": f"Bearer {self.administrator}", "Content-Type": kind}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, {"message": text.decode(errors="replace")}


@contextmanager
def real_cluster(directory: Path, certificates: Certificates, kube_apiserver: str, etcd: str) -> Iterator[RealCluster]:
    """The program *kube_apiserver* over the program *etcd*, which keep what they have in *directory*."""
    directory.mkdir(parents=True, exist_ok=True)
    administrator = secrets.token_urlsafe(24)
    (directory / "tokens.csv").write_text(f'{administrator},administrator,administrator,"system:masters"\n')
    clients, peers, port = (_free_port() for _ in range(3))
    with ExitStack() as stack:
        stack.enter_context(
            running(
                [
                    *(etcd, f"--data-dir={directory / 'etcd'}"),
                    f"--listen-client-urls=http://127.0.0.1:{clients}",
                    f"--advertise-client-urls=http://127.0.0.1:{clients}",
                    f"--listen-peer-urls=http://127.0.0.1:{peers}",
                    f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
                    f"--initial-cluster=default=http://127.0.0.1:{peers}",
                ],
                log=directory / "etcd.log",
                ready="ready to serve client requests",
                environ={},
            )
        )
        stack.enter_context(
            running(
                [
                    *(kube_apiserver, f"--etcd-servers=http://127.0.0.1:{clients}"),
                    *("--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={directory}"),
                    f"--tls-cert-file={certificates.certificate}",
                    f"--tls-private-key-file={certificates.key}",
                    *("--authorization-mode=RBAC", f"--token-auth-file={directory / 'tokens.csv'}"),
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-key-file={certificates.certificate}",
                    f"--service-account-signing-key-file={certificates.key}",
                    "--service-cluster-ip-range=10.0.0.0/24",
                ],
                log=directory / "kube-apiserver.log",
                ready="Serving securely",
                environ={},
            )
        )
        context = ssl.create_default_context(cafile=str(certificates.authority))
        cluster = RealCluster(f"127.0.0.1:{port}", context, administrator)
        deadline = time.monotonic() + _DEADLINE_S
        while not cluster.is_ready():
            assert time.monotonic() < deadline, (directory / "kube-apiserver.log").read_text()[-4000:]
            time.sleep(_POLL_S)
        yield cluster


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port
