"""The contract with a cluster: what server-side apply makes there, and how a refusal is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mirror.errors import KubernetesError, Unreachable, UsageError
from mirror.http.gate import Gate
from mirror.http.general import GeneralClient
from mirror.http.proxies import Proxies
from mirror.http.transport import Transport
from mirror.kubernetes.api import Access, Api
from mirror.kubernetes.config_maps import SIZE_MAX, ConfigMap
from mirror.kubernetes.names import config_map_name
from tests.http.naps import Naps
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.kubernetes import APPLY, MERGE, Cluster, Pod, mounted, refusal
from tests.servers.loopback import Response

VALUES = ConfigMap("values", {"l/one": "1"}, {"a/one": "1"}, {"a.yaml": "a: 1\n", "b.yaml": "b: 2\n"})
AWKWARD = "a: \"x\\ty\"\n# é 😀 \u2028 'q' {{ }} %\n\ttab\n\n  \r\nend"


@pytest.fixture
def in_cluster(cluster: Cluster, certificates: Certificates, tmp_path: Path) -> Callable[..., Access]:
    """Who mirror is in a new namespace, where it may do what is given, `create` and `patch` without."""

    def access(*verbs: str) -> Access:
        namespace = cluster.make_namespace()
        account = f"{namespace}:mirror"
        directory = mounted(cluster, tmp_path / "account", certificates, account)
        if verbs != ("nothing",):
            cluster.grant(account, namespace, *(verbs or ("create", "patch")))
        return Access.in_cluster(cluster.environ, directory)

    return access


async def apply(access: Access, config_map: ConfigMap = VALUES) -> bool:
    async with Transport(GeneralClient(str(access.ca_file), proxies=Proxies()), Gate(1)) as transport:
        return await Api(access, transport).apply(config_map)


async def rehearse(access: Access) -> None:
    async with Transport(GeneralClient(str(access.ca_file), proxies=Proxies()), Gate(1)) as transport:
        await Api(access, transport).rehearse(VALUES)


class TestApply:
    async def test_what_is_not_there(self, cluster: Cluster, in_cluster: Callable[..., Access]) -> None:
        """It is created, and is what was asked for."""
        access = in_cluster()

        assert await apply(access)
        found = cluster.get(access.namespace, "values")
        assert found is not None
        assert VALUES.data == found["data"]
        assert VALUES.labels == found["metadata"]["labels"]
        assert VALUES.annotations == found["metadata"]["annotations"]
        assert "immutable" not in found

    async def test_what_is_there_already(self, cluster: Cluster, in_cluster: Callable[..., Access]) -> None:
        """Nothing changes where nothing differs, not even the version: who watches hears nothing."""
        access = in_cluster()
        await apply(access)
        before = cluster.get(access.namespace, "values")

        assert not await apply(access)
        assert before == cluster.get(access.namespace, "values")

    async def test_what_differs(self, cluster: Cluster, in_cluster: Callable[..., Access]) -> None:
        """It is as the last one says: a key that is in it no more is gone."""
        access = in_cluster()
        await apply(access)
        before = cluster.get(access.namespace, "values")

        assert not await apply(access, replace(VALUES, data={"a.yaml": "a: 2\n"}, annotations={}))
        found = cluster.get(access.namespace, "values")
        assert before
        assert found
        assert {"a.yaml": "a: 2\n"} == found["data"]
        assert "annotations" not in found["metadata"]
        assert before["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]

    async def test_what_somebody_else_changed(self, cluster: Cluster, in_cluster: Callable[..., Access]) -> None:
        """What is ours is as we say again, by force; what others set beside it stays."""
        access = in_cluster()
        await apply(access)
        theirs = {"data": {"a.yaml": "a: 666\n", "their.yaml": "c: 3\n"}, "metadata": {"labels": {"their/label": "1"}}}
        assert 200 == cluster.patch(access.namespace, "values", MERGE, "fieldManager=somebody", theirs)
        ours = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "values"}, "data": dict(VALUES.data)}
        assert 409 == cluster.patch(access.namespace, "values", APPLY, "fieldManager=mirror", ours)

        assert not await apply(access)
        found = cluster.get(access.namespace, "values")
        assert found
        assert {**VALUES.data, "their.yaml": "c: 3\n"} == found["data"]
        assert {**VALUES.labels, "their/label": "1"} == found["metadata"]["labels"]

    @pytest.mark.parametrize("destination", ["production", "EU_west", "a..b", "9", "x" * 63, "registry.example.com-l"])
    async def test_its_name(self, cluster: Cluster, in_cluster: Callable[..., Access], destination: str) -> None:
        """The cluster takes what is made of a destination's name."""
        access = in_cluster()
        name = config_map_name("linkerd-mirror", destination, "edge-26.8.3")

        assert await apply(access, replace(VALUES, name=name))
        assert cluster.get(access.namespace, name)

    async def test_every_character(self, cluster: Cluster, in_cluster: Callable[..., Access]) -> None:
        """Values arrive as they are."""
        access = in_cluster()
        await apply(access, replace(VALUES, data={"a.yaml": AWKWARD}))

        found = cluster.get(access.namespace, "values")
        assert found
        assert AWKWARD == found["data"]["a.yaml"]

    async def test_as_much_as_it_holds(self, cluster: Cluster, in_cluster: Callable[..., Access]) -> None:
        """SIZE_MAX bytes are let in, and no more are."""
        access = in_cluster()
        whole = "x" * SIZE_MAX

        assert await apply(access, replace(VALUES, data={"a.yaml": whole}))
        more = {"data": {"b.yaml": "x"}}
        assert 422 == cluster.patch(access.namespace, "values", MERGE, "fieldManager=somebody", more)


class TestRehearse:
    async def test_nothing_is_written(self, cluster: Cluster, in_cluster: Callable[..., Access]) -> None:
        """It would be let in, and is not there."""
        access = in_cluster()
        await rehearse(access)

        assert cluster.get(access.namespace, "values") is None

    @pytest.mark.parametrize("verbs", [("patch",), ("create",)])
    async def test_a_verb_is_missing(self, in_cluster: Callable[..., Access], verbs: tuple[str, ...]) -> None:
        """It is refused as the real thing would be."""
        with pytest.raises(KubernetesError):
            await rehearse(in_cluster(*verbs))


class TestRefused:
    @pytest.mark.parametrize(
        ("verbs", "missing"), [(("nothing",), "patch"), (("create",), "patch"), (("patch",), "create")]
    )
    async def test_a_verb_is_missing(
        self, cluster: Cluster, in_cluster: Callable[..., Access], verbs: tuple[str, ...], missing: str
    ) -> None:
        """Who may not do what where, and the commands that grant it; nothing is written."""
        access = in_cluster(*verbs)
        with pytest.raises(KubernetesError) as caught:
            await apply(access)

        who = f"system:serviceaccount:{access.namespace}:mirror"
        place = f"the ConfigMap values in the namespace {access.namespace}"
        assert f"{place} was not written: {who} may not {missing} configmaps there" == caught.value.told
        assert 403 == caught.value.status
        assert f"--namespace={access.namespace} create role" in caught.value.remedy
        assert "--verb=create,patch --resource=configmaps" in caught.value.remedy
        assert f"--serviceaccount={access.namespace}:mirror" in caught.value.remedy
        assert cluster.get(access.namespace, "values") is None

    async def test_a_verb_for_what_is_there(self, cluster: Cluster, in_cluster: Callable[..., Access]) -> None:
        """`create` is needed only for what is not there: what is, `patch` alone changes."""
        access = in_cluster("patch")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "values"}, "data": {"a.yaml": "old"}}
        assert 201 == cluster.patch(access.namespace, "values", APPLY, "fieldManager=somebody", body)

        assert not await apply(access)

    async def test_no_such_namespace(self, cluster: Cluster, in_cluster: Callable[..., Access]) -> None:
        """Who may write everywhere is told which namespace is missing."""
        access = in_cluster()
        cluster.grant(f"{access.namespace}:mirror", "*", "create", "patch")

        with pytest.raises(
            KubernetesError, match="in the namespace nowhere was not written: there is no such"
        ) as caught:
            await apply(replace(access, namespace="nowhere"))
        assert "overrides.config_maps.namespace" in caught.value.remedy

    async def test_a_token_that_does_not_hold(self, in_cluster: Callable[..., Access]) -> None:
        """It is told without the token."""
        access = in_cluster()
        with pytest.raises(KubernetesError, match="does not take our token \\(401: Unauthorized\\)") as caught:
            await apply(replace(access, token="of-somebody-else"))

        assert "of-somebody-else" not in str(caught.value)

    async def test_by_others(self, pod: Pod) -> None:
        """What neither authorization nor the namespace says is told in the server's words, in one bounded line."""
        words = 'admission webhook "policy" denied the request:\n  no ConfigMaps ' + "x" * 5000
        pod.cluster.answers = lambda _: refusal(403, words)
        access = Access.in_cluster(pod.cluster.environ, pod.directory)
        with pytest.raises(KubernetesError) as caught:
            await apply(access)

        assert 'answers 403: admission webhook "policy" denied the request: no ConfigMaps x' in str(caught.value)
        assert len(str(caught.value)) < 700

    async def test_another_authority(self, cluster: Cluster, in_cluster: Callable[..., Access], tmp_path: Path) -> None:
        """A server that the pod's authority does not vouch for is not told the token."""
        (tmp_path / "other").mkdir()
        other = make_certificates(tmp_path / "other")
        with pytest.raises(KubernetesError, match="is not trusted") as caught:
            await apply(replace(in_cluster(), ca_file=other.authority))

        assert str(other.authority) in caught.value.remedy

    async def test_not_reached(self, in_cluster: Callable[..., Access]) -> None:
        """A server that does not answer is Unreachable."""
        access = replace(in_cluster(), url="https://127.0.0.1:1")
        naps = Naps()
        async with Transport(GeneralClient(str(access.ca_file), proxies=Proxies())) as transport:
            naps.instead(transport)
            with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 cannot be reached"):
                await Api(access, transport).apply(VALUES)

    async def test_not_answered(self, pod: Pod) -> None:
        """A request has a deadline of its own."""
        pod.cluster.answers = lambda _: Response(200, body=b"never sent", stall_after=0)
        access = Access.in_cluster(pod.cluster.environ, pod.directory)
        async with Transport(GeneralClient(str(access.ca_file), proxies=Proxies())) as transport:
            async with asyncio.timeout(10):
                with pytest.raises(Unreachable, match="has not answered in 0 s"):
                    await Api(access, transport, deadline_s=0.2).apply(VALUES)


class TestAccess:
    ENVIRON = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}  # noqa: RUF012

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        """What the kubelet mounts."""
        for name, text in {"token": "abc.def\n", "namespace": "linkerd-mirror", "ca.crt": "PEM"}.items():
            (tmp_path / name).write_text(text)
        return tmp_path

    def test_of_a_pod(self, directory: Path) -> None:
        """The environment says where, the files who; the token is in no representation."""
        access = Access.in_cluster(self.ENVIRON, directory)

        assert Access("https://10.0.0.1:6443", directory / "ca.crt", "linkerd-mirror", "abc.def") == access
        assert "abc" not in repr(access)

    def test_another_namespace(self, directory: Path) -> None:
        """One that is configured comes first; then the pod's own is not looked at."""
        (directory / "namespace").unlink()

        assert "linkerd" == Access.in_cluster(self.ENVIRON, directory, "linkerd").namespace

    def test_ipv6(self, directory: Path) -> None:
        """An address of the sixth version is in brackets."""
        environ = self.ENVIRON | {"KUBERNETES_SERVICE_HOST": "fd00::1"}

        assert "https://[fd00::1]:6443" == Access.in_cluster(environ, directory).url

    def test_the_token_of_now(self, directory: Path) -> None:
        """A token is read each time."""
        Access.in_cluster(self.ENVIRON, directory)
        (directory / "token").write_text("the-next")

        assert "the-next" == Access.in_cluster(self.ENVIRON, directory).token

    def test_no_cluster(self, directory: Path) -> None:
        """Outside of one that is the operator's to settle."""
        with pytest.raises(UsageError, match=r"not in a cluster.*MIRROR_OVERRIDES__CONFIG_MAPS__ENABLED=false"):
            Access.in_cluster({}, directory)

    @pytest.mark.parametrize("missing", ["token", "namespace", "ca.crt"])
    def test_a_file_is_missing(self, directory: Path, missing: str) -> None:
        """A pod without its ServiceAccount's files is told which it needs."""
        (directory / missing).unlink()

        with pytest.raises(UsageError, match=rf"{missing} cannot be read: No such file.*automountServiceAccountToken"):
            Access.in_cluster(self.ENVIRON, directory)

    @pytest.mark.parametrize(
        ("file", "text"),
        [("token", ""), ("token", "two\nlines"), ("namespace", "../../other"), ("namespace", ""), ("token", "ä")],
    )
    def test_a_file_holds_something_else(self, directory: Path, file: str, text: str) -> None:
        """What could not be a token or a namespace is not sent anywhere."""
        (directory / file).write_text(text)

        with pytest.raises(UsageError, match=f"{file} holds"):
            Access.in_cluster(self.ENVIRON, directory)
