"""`mirror sync`, `mirror serve` and `mirror doctor` in a pod that puts the values into the cluster."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mirror.app import App
from mirror.http.proxies import Proxies
from mirror.service.configuration import Configuration
from mirror.service.ledger import Ledger, Run
from mirror.service.loop import Loop, Report
from mirror.settings import Loaded
from tests.cli.conftest import Desk
from tests.runs import examine
from tests.servers.kubernetes import Pod
from tests.servers.tools import require
from tests.servers.upstream import CHARTS, NEXT, RELEASE, Upstream


@pytest.fixture(scope="session")
def helm() -> str:
    """Helm, found before a desk hides it."""
    return require("helm")


@dataclass(slots=True)
class Ended:
    """The runs that ended, as they do (mirror.service.loop.Observer)."""

    runs: asyncio.Queue[Run] = field(default_factory=asyncio.Queue)

    def run_ended(self, run: Run, report: Report | None) -> None:
        self.runs.put_nowait(run)


def configured(pod: Pod, **tables: Any) -> dict[str, Any]:
    """Tables of a configuration that writes ConfigMaps from a pod in *cluster*."""
    config_maps = {"enabled": True, "service_account": str(pod.directory)}
    destination = {"kind": "layout", "directory": "out", "pull_registry": "registry.example.com/linkerd"}
    return {"overrides": {"config_maps": config_maps}, "destinations": {"production": destination}, **tables}


class TestCommand:
    @pytest.fixture(autouse=True)
    def _in_a_pod(self, helm: str, pod: Pod, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Helm is there, and what every pod has in its environment."""
        (desk.directory / "bin").mkdir()
        (desk.directory / "bin" / "helm").symlink_to(helm)
        for name, value in pod.cluster.environ.items():
            monkeypatch.setenv(name, value)

    def test_sync(self, desk: Desk, pod: Pod) -> None:
        """What the configuration asks for is in the cluster as it is in the files; again, nothing changes."""
        desk.configure(**configured(pod, releases=["edge"]))
        said = desk.run("sync")
        own = pod.cluster.get(pod.namespace, f"linkerd-mirror-production-{RELEASE}")

        assert 0 == said.code, said
        files = {f"{chart}.yaml": Path("overrides", "production", RELEASE, f"{chart}.yaml") for chart in CHARTS}
        assert own
        assert {name: file.read_text() for name, file in files.items()} == own["data"]
        channel = pod.cluster.get(pod.namespace, "linkerd-mirror-production-edge")
        assert channel
        assert own["data"] == channel["data"]
        recorded_at = datetime.fromisoformat(own["metadata"]["annotations"]["linkerd-mirror.dev/recorded-at"])
        assert f"# recorded:  {recorded_at:%Y-%m-%dT%H:%M:%SZ}\n" in own["data"]["linkerd-viz.yaml"]
        assert 0 == desk.run("sync").code
        assert own == pod.cluster.get(pod.namespace, f"linkerd-mirror-production-{RELEASE}")

    def test_by_hand(self, desk: Desk, pod: Pod) -> None:
        """A release that is named on the command line moves no channel, be it the older or the newer one."""
        desk.configure(**configured(pod, releases=["edge"]))
        desk.run("sync")
        desk.upstream.publish(NEXT)
        before = pod.data("linkerd-mirror-production-edge")

        assert 0 == desk.run("sync", NEXT).code
        assert pod.data(f"linkerd-mirror-production-{NEXT}")
        assert before == pod.data("linkerd-mirror-production-edge")
        assert 0 == desk.run("sync").code
        assert before != pod.data("linkerd-mirror-production-edge")

    def test_an_upgrade(self, desk: Desk, pod: Pod) -> None:
        """With --from the values of every release of the path are there, and no channel moves before it is asked to."""
        desk.configure(**configured(pod, releases=["edge"]))
        desk.run("sync")
        desk.upstream.publish(NEXT)
        before = pod.data("linkerd-mirror-production-edge")

        assert 0 == desk.run("sync", "--from", RELEASE).code
        assert pod.data(f"linkerd-mirror-production-{NEXT}")
        assert before == pod.data("linkerd-mirror-production-edge")

    def test_refused(self, desk: Desk, pod: Pod) -> None:
        """Mirrored, and failed: the code, the table and the document say so, with the verb that is missing."""
        pod.cluster.grants.clear()
        desk.configure(**configured(pod))
        said = desk.run("sync")
        again = desk.run("sync", "-o", "json")

        assert 1 == said.code
        assert f"{RELEASE} at production: the values are not in the cluster: the ConfigMap " in said.out
        assert f"system:serviceaccount:{pod.namespace}:mirror may not patch configmaps there" in said.out
        assert f"{RELEASE} at production: failed: 4 copied" in said.out
        [release] = again.document["releases"]
        assert ("failed", {"kept"}) == (release["outcome"], {image["outcome"] for image in release["images"]})
        assert "--verb=create,patch" in release["reason"]

    def test_no_cluster(
        self,
        desk: Desk,
        pod: Pod,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Outside of one that is told at once: nothing is mirrored first."""
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
        desk.configure(**configured(pod))
        said = desk.run("sync")

        assert 2 == said.code
        assert ["not in a cluster" in sentence for sentence in said.sentences] == [True]
        assert not (desk.directory / "out").exists()

    def test_the_token_stays_out(self, desk: Desk, pod: Pod) -> None:
        """Of logs, of answers, and of errors."""
        pod.cluster.grants.clear()
        desk.configure(**configured(pod))
        said = desk.run("--log-level", "debug", "sync", "-o", "json")

        assert "/configmaps/" in said.err
        assert (pod.directory / "token").read_text() not in said.out + said.err

    async def test_serve(self, desk: Desk, pod: Pod) -> None:
        """The loop writes them after each run, and a run whose values are not let in has failed."""
        settings = desk.upstream.settings(**configured(pod, releases=["edge"]))
        ledger, loaded, ended = Ledger(), Loaded(settings, None, (), {}), Ended()
        configuration = Configuration(lambda: loaded, loaded, ledger)
        loop = Loop(configuration, ledger, lambda found: App(found, pod.cluster.environ, Proxies()), [ended])
        working = asyncio.create_task(loop.run())
        try:
            async with asyncio.timeout(30):
                first = await ended.runs.get()
                pod.cluster.grants.clear()
                loop.bell.ring("sync", "reload")
                second = await ended.runs.get()
        finally:
            working.cancel()
            await asyncio.wait({working})

        assert "synced" == first.outcome
        assert pod.data("linkerd-mirror-production-edge")
        assert "failed" == second.outcome
        [entry] = ledger.entries.values()
        assert "may not patch configmaps" in entry.report.problem


class TestDoctor:
    async def test_well(self, upstream: Upstream, pod: Pod) -> None:
        """It may write, and has written nothing."""
        [found] = await self.found(upstream, pod)

        assert ("apply", "ok") == (found.check, found.state)
        assert f"the namespace {pod.namespace}" in found.told
        assert not pod.cluster.kept

    async def test_may_not(self, upstream: Upstream, pod: Pod) -> None:
        """The verb that is missing, and the commands that grant it."""
        pod.cluster.grants.clear()
        [found] = await self.found(upstream, pod)

        assert "failed" == found.state
        assert f"{pod.namespace}:mirror may not patch configmaps there" in found.told
        assert "--verb=create,patch" in found.remedy

    async def test_no_cluster(self, upstream: Upstream, pod: Pod) -> None:
        """Elsewhere than in the pod it is one finding of several."""
        pod.cluster.host = ":"
        [found] = await self.found(upstream, pod)

        assert "failed" == found.state
        assert "not in a cluster" in found.told
        assert found.remedy

    async def test_not_asked_for(self, upstream: Upstream) -> None:
        """Where nothing is to be written nothing is said."""
        report = await examine(upstream.settings())

        assert [] == [each for each in report.findings if each.subject == "config maps"]

    async def found(self, upstream: Upstream, pod: Pod) -> list[Any]:
        settings = upstream.settings(**configured(pod))
        report = await examine(settings, environ=pod.cluster.environ)
        return [each for each in report.findings if each.subject == "config maps"]
