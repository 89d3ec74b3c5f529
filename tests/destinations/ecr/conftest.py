"""AWS's environment, and ECR's API in it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.destinations.ecr.api import EcrApi
from mirror.destinations.ecr.host import EcrHost
from mirror.http.proxies import Proxies
from tests.servers.ecr import Ecr

HOST = EcrHost("123456789012", "eu-west-1", "amazonaws.com")


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
async def api(ecr: Ecr, keys: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EcrApi]:
    """The API of *ecr*, by the variable that botocore knows."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", ecr.url)
    made = EcrApi(HOST, proxies=Proxies())
    yield made
    await made.aclose()
