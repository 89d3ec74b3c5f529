"""What every test may ask for: running servers and their directories."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.servers.certificates import Certificates, make_certificates
from tests.servers.distribution import Distribution, docker_registry
from tests.servers.fake import FakeRegistry, fake_registry
from tests.servers.harbor import harbor
from tests.servers.harbor_state import Harbor
from tests.servers.kubernetes import Pod, fake_cluster
from tests.servers.olareg import olareg
from tests.servers.proxy import Proxy, http_proxy
from tests.servers.tokens import TokenService, token_service

if TYPE_CHECKING:
    from tests.servers.ecr import Ecr

# How fast an example is made and tried, benchmarks measure: on a busy machine any of them may be slow. Fixtures of a
# property are meant to be shared by its examples.
hypothesis.settings.register_profile(
    "any machine",
    hypothesis.settings.default,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("any machine")


def pytest_configure() -> None:
    """Ctrl-C reaches what tests start, also where the suite runs in the background of a shell, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate for loopback, and the authority that vouches for it."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def open_distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    """docker-registry, open to all, shared by tests: use a `path` of your own."""
    with docker_registry(tmp_path_factory.mktemp("registry") / "open") as running:
        yield running


@pytest.fixture(scope="session")
def htpasswd_distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    """docker-registry behind htpasswd, shared."""
    with docker_registry(tmp_path_factory.mktemp("registry") / "htpasswd", htpasswd=True) as running:
        yield running


@pytest.fixture(scope="session")
def tls_distribution(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Distribution]:
    """docker-registry by https, open to all, shared."""
    with docker_registry(tmp_path_factory.mktemp("registry") / "tls", certificates=certificates) as running:
        yield running


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenService]:
    """The token service of `token_distribution`, shared: leave its settings as they are."""
    with token_service(tmp_path_factory.mktemp("tokens")) as running:
        yield running


@pytest.fixture(scope="session")
def token_distribution(tmp_path_factory: pytest.TempPathFactory, tokens: TokenService) -> Iterator[Distribution]:
    """docker-registry that takes tokens of `tokens`, shared."""
    with docker_registry(tmp_path_factory.mktemp("registry") / "token", tokens=tokens) as running:
        yield running


@pytest.fixture(scope="session")
def referrers_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`HOST:PORT` of a registry with the referrers API, shared."""
    with olareg(tmp_path_factory.mktemp("registry") / "olareg") as host:
        yield host


@pytest.fixture(scope="session")
def shared_ecr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ecr]:
    """Amazon ECR, shared, as it is at its best: use a `path` of your own, and leave its settings as they are."""
    from tests.servers.ecr import ecr_server  # late: moto takes a while to load

    with ecr_server(tmp_path_factory.mktemp("ecr"), account="210987654321") as running:
        running.templates["ROOT"] = {}
        running.put_image_rate = 1e6
        running.takes_artifact_types = True
        yield running


@pytest.fixture
def ecr(tmp_path: Path) -> Iterator[Ecr]:
    """Amazon ECR, empty, the test's own."""
    from tests.servers.ecr import ecr_server  # late, likewise

    with ecr_server(tmp_path / "ecr") as running:
        yield running


@pytest.fixture
def no_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of AWS's is there: no variable, no file, no instance to ask; the directory that files may be put in."""
    beside = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "BOTO_CONFIG")
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in beside:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "aws"
    home.mkdir()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return home


@pytest.fixture
def keys(no_aws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are access keys in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-test")


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    """A registry in this process, the test's own."""
    with fake_registry() as running:
        yield running


@pytest.fixture
def harbor_server(open_distribution: Distribution) -> Iterator[Harbor]:
    """A Harbor, the test's own, before `open_distribution`: use projects that no other test uses."""
    with harbor(open_distribution.host) as running:
        yield running


@pytest.fixture
def pod(tmp_path: Path, certificates: Certificates) -> Iterator[Pod]:
    """A pod in a cluster of its own, in this process."""
    with fake_cluster(certificates) as cluster:
        yield Pod.start(cluster, tmp_path / "service-account", certificates)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """An HTTP proxy, the test's own."""
    with http_proxy() as running:
        yield running


@pytest.fixture
def path() -> str:
    """A repository path that no other test uses."""
    return f"test/{uuid.uuid4().hex}"


@pytest.fixture
def layout_directory(tmp_path: Path) -> Path:
    """Where a layout may be made; nothing is there yet."""
    return tmp_path / "layout"
