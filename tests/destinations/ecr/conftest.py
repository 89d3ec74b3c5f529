"""ECR's API, as we call it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mirror.destinations.ecr.api import EcrApi
from mirror.destinations.ecr.host import EcrHost
from mirror.http.proxies import Proxies
from tests.servers.ecr import Ecr

HOST = EcrHost("123456789012", "eu-west-1", "amazonaws.com")


@pytest.fixture
async def api(ecr: Ecr, keys: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EcrApi]:
    """The API of *ecr*, by the variable that botocore knows."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", ecr.url)
    made = EcrApi(HOST, proxies=Proxies())
    yield made
    await made.aclose()
