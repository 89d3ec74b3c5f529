"""Helm against a real API server: what is installed becomes another kind, and has another release beside it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chart.render import DESTINATION
from tests.chart.values import CHART
from tests.servers.certificates import Certificates
from tests.servers.kubernetes import RealCluster, real_cluster
from tests.servers.tools import require

VALUES: Mapping[str, Any] = {
    "config": {"destinations": {"production": DESTINATION}, "overrides": {"config_maps": {"enabled": True}}},
    "job": {"shards": 4},
    "networkPolicy": {"enabled": True},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RealCluster]:
    with real_cluster(
        tmp_path_factory.mktemp("cluster"), certificates, os.environ["KUBE_APISERVER"], require("etcd")
    ) as real:
        yield real


@dataclass(frozen=True, slots=True)
class Helm:
    """A program, and whom it talks to."""

    program: str
    cluster: RealCluster
    directory: Path
    authority: Path

    def __call__(self, *arguments: str, namespace: str, values: Mapping[str, Any] | None = None) -> None:
        """What `helm` *arguments* does, done; raises AssertionError with its words."""
        command = [require(self.program), *arguments, "--namespace", namespace]
        if values is not None:
            (self.directory / "values.yaml").write_text(json.dumps(values))
            command += ["--values", str(self.directory / "values.yaml"), "--timeout", "30s"]
        environ = dict.fromkeys(("HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"), str(self.directory))
        reached = {
            "HELM_KUBEAPISERVER": f"https://{self.cluster.host}",
            "HELM_KUBECAFILE": str(self.authority),
            "HELM_KUBETOKEN": self.cluster.administrator,
        }
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environ | reached)
        assert 0 == done.returncode, done.stdout + done.stderr


@pytest.fixture(params=["helm", "helm3"])
def helm(request: pytest.FixtureRequest, cluster: RealCluster, tmp_path: Path, certificates: Certificates) -> Helm:
    return Helm(request.param, cluster, tmp_path, certificates.authority)


@pytest.fixture
def jobs_end(cluster: RealCluster) -> Iterator[None]:
    """There is no controller: each Job ends well as soon as it is seen."""
    is_over = threading.Event()

    def end() -> None:
        while not is_over.wait(0.2):
            cluster.end_jobs()

    thread = threading.Thread(target=end)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.usefixtures("jobs_end")
@pytest.mark.parametrize("kind", ["Deployment", "CronJob"])
def test_a_job_becomes_another_kind(helm: Helm, kind: str) -> None:
    """What its hooks have made is taken over by an upgrade, and by an installation after an uninstall."""
    namespace = helm.cluster.make_namespace()
    helm("install", "j", str(CHART), namespace=namespace, values={**VALUES, "kind": "Job"})

    helm("upgrade", "j", str(CHART), namespace=namespace, values={**VALUES, "kind": kind})
    helm("upgrade", "j", str(CHART), namespace=namespace, values={**VALUES, "kind": "Job"})
    helm("uninstall", "j", namespace=namespace)
    helm("install", "j", str(CHART), namespace=namespace, values={**VALUES, "kind": kind})


def test_two_of_one_name(helm: Helm) -> None:
    """Two releases of one name, each in a namespace of its own, write ConfigMaps into one."""
    shared = helm.cluster.make_namespace()
    config = {**VALUES["config"], "overrides": {"config_maps": {"enabled": True, "namespace": shared}}}

    for namespace in (helm.cluster.make_namespace(), helm.cluster.make_namespace()):
        helm("install", "mirror", str(CHART), namespace=namespace, values={**VALUES, "config": config})
