"""Clusters: the fake always, and the program that KUBE_APISERVER names beside it (`make kubernetes`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers.certificates import Certificates
from tests.servers.kubernetes import Cluster, fake_cluster, real_cluster
from tests.servers.tools import require

KUBE_APISERVER = os.environ.get("KUBE_APISERVER", "")
CLUSTERS = ("fake", "real") if KUBE_APISERVER else ("fake",)


@pytest.fixture(scope="session", params=CLUSTERS)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Cluster]:
    """A cluster, shared: use a namespace of your own."""
    if request.param == "fake":
        with fake_cluster(certificates) as fake:
            yield fake
    else:
        with real_cluster(tmp_path_factory.mktemp("cluster"), certificates, KUBE_APISERVER, require("etcd")) as real:
            yield real
