"""The registry's password: when it is renewed, and what stands in for it."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from botocore.stub import Stubber

from mirror.destinations.ecr.api import Authorization, EcrApi
from mirror.destinations.ecr.credentials import CHALLENGE, LIFE_MIN_S, MARGIN_S, EcrCredentials, renew_at
from mirror.destinations.ecr.dialect import EcrDialect
from mirror.errors import AccessDenied, MirrorError, NoCredential, RegistryError, Unreachable
from mirror.http.proxies import Proxies
from mirror.oci.auth import Credential
from tests.destinations.ecr.conftest import HOST
from tests.http.metering import Told
from tests.servers.client import open_registry
from tests.servers.ecr import Ecr

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOST_NAME = str(HOST)


@dataclass(frozen=True, slots=True)
class Kept:
    """What Docker's configuration has."""

    kept: Credential | None = None

    def credential(self, host: str) -> Credential | None:
        return self.kept


@dataclass(slots=True)
class Clock:
    at: float = 1000.0

    def __call__(self) -> float:
        return self.at


@dataclass(slots=True)
class Answering:
    """Stands where the API does, and gives one answer after the other."""

    answers: list[Authorization | MirrorError]
    asked: int = field(default=0, init=False)

    def authorization(self) -> Authorization:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, MirrorError):
            raise answer
        return answer


def given(password: str = "pw", life: timedelta = timedelta(hours=12)) -> Authorization:
    return Authorization("AWS", password, NOW + life)


def credentials(
    api: object, kept: Credential | None = None, clock: Callable[[], float] | None = None
) -> EcrCredentials:
    return EcrCredentials(api, Kept(kept), now=lambda: NOW, monotonic=clock or Clock())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("life", "expected"),
    [
        (timedelta(hours=12), 12 * 3600 - MARGIN_S),
        (timedelta(minutes=1), LIFE_MIN_S),
        (timedelta(days=-4000), LIFE_MIN_S),  # moto's, and a clock that is years ahead
    ],
)
def test_when_it_is_renewed(life: timedelta, expected: float) -> None:
    """Minutes before it expires, and never at every request."""
    assert 500.0 + expected == renew_at(NOW + life, now=NOW, monotonic=500.0)


class TestEcrCredentials:
    def test_aws_gives_one(self) -> None:
        """AWS is the user; it ages."""
        found = credentials(Answering([given()]), Credential("docker", "kept")).credential(HOST_NAME)

        assert Credential("AWS", "pw", renew_at=1000.0 + 12 * 3600 - MARGIN_S) == found
        assert found is not None
        assert "pw" not in repr(found)
        assert "pw" not in repr(given())

    def test_aws_has_none(self) -> None:
        """What Docker has stands in; it does not age."""
        kept = Credential("AWS", "by docker login")

        assert kept == credentials(Answering([NoCredential("none")]), kept).credential(HOST_NAME)

    def test_nobody_has_one(self) -> None:
        """All that was looked at is told: nothing is readable there without."""
        with pytest.raises(NoCredential, match=r"none in AWS; Docker's configuration has none for \d+\.dkr"):
            credentials(Answering([NoCredential("none in AWS")])).credential(HOST_NAME)

    def test_one_that_is_refused(self) -> None:
        """Docker's is no way around AWS's refusal."""
        with pytest.raises(AccessDenied, match="denied"):
            credentials(Answering([AccessDenied("denied")]), Credential("docker", "kept")).credential(HOST_NAME)

    def test_many_wait_for_a_failure(self) -> None:
        """AWS is not asked anew for each of them, but after a while it is."""
        clock = Clock()
        api = Answering([Unreachable("down"), given()])
        made = credentials(api, clock=clock)
        for _ in range(3):
            with pytest.raises(Unreachable, match="down"):
                made.credential(HOST_NAME)
        clock.at += 31
        found = made.credential(HOST_NAME)

        assert found is not None
        assert 2 == api.asked


class TestOverHttp:
    @pytest.fixture
    def made(self, api: EcrApi) -> EcrCredentials:
        return EcrCredentials(api, Kept())

    async def test_the_first_request_is_not_refused(self, ecr: Ecr, made: EcrCredentials) -> None:
        """What ECR asks for is known: eleven repositories are eleven answers, and one password."""
        for number in range(11):
            ecr.create(f"linkerd/{number}")
        async with open_registry(ecr.url, host=ecr.host, credentials=made, dialect=EcrDialect()) as registry:
            registry.auth.challenge = CHALLENGE
            async with asyncio.TaskGroup() as group:
                for number in range(11):
                    group.create_task(registry.repository(f"linkerd/{number}").tags())

        assert 11 == len(ecr.requests)
        assert ["GetAuthorizationToken"] == ecr.actions

    async def test_an_expired_one(self, ecr: Ecr, made: EcrCredentials) -> None:
        """Is renewed once, in the middle of a run."""
        ecr.create("linkerd/proxy")
        async with open_registry(ecr.url, host=ecr.host, credentials=made, dialect=EcrDialect()) as registry:
            registry.auth.challenge = CHALLENGE
            repository = registry.repository("linkerd/proxy")
            await repository.tags()
            ecr.expire_tokens()
            await asyncio.gather(*(repository.tags() for _ in range(5)))

        assert ["GetAuthorizationToken"] * 2 == ecr.actions

    async def test_its_end_is_told(self, ecr: Ecr, made: EcrCredentials) -> None:
        """As AWS says it: in twelve hours; nobody has to renew it."""
        told = Told()
        ecr.create("linkerd/proxy")
        async with open_registry(
            ecr.url, host=ecr.host, credentials=made, dialect=EcrDialect(), meter=told
        ) as registry:
            registry.auth.challenge = CHALLENGE
            await registry.repository("linkerd/proxy").tags()

        [(host, kind, end)] = told.good_until
        assert (registry.transport.gate.host, "token") == (host, kind)
        assert timedelta(hours=11) < end - datetime.now(UTC) < timedelta(hours=13)

    async def test_the_loop_goes_on(self, ecr: Ecr, made: EcrCredentials) -> None:
        """AWS answers only once the event loop has done something else."""
        ecr.create("linkerd/proxy")
        went_on, waited = threading.Event(), list[bool]()

        def now() -> float:
            waited.append(went_on.wait(10))
            return time.time()

        ecr.now = now
        async with open_registry(ecr.url, host=ecr.host, credentials=made, dialect=EcrDialect()) as registry:
            registry.auth.challenge = CHALLENGE
            asyncio.get_running_loop().call_later(0.01, went_on.set)
            await registry.repository("linkerd/proxy").tags()

        assert all(waited)
        assert waited

    async def test_a_refusal(self, ecr: Ecr, made: EcrCredentials) -> None:
        """Leaves as AWS's, not as a registry's 401."""
        ecr.denied.add("ecr:GetAuthorizationToken")
        async with open_registry(ecr.url, host=ecr.host, credentials=made, dialect=EcrDialect()) as registry:
            registry.auth.challenge = CHALLENGE
            with pytest.raises(AccessDenied, match='"Action": "ecr:GetAuthorizationToken", "Resource": "\\*"'):
                await registry.repository("linkerd/proxy").tags()


def test_what_cannot_be_read(keys: None) -> None:
    """An answer without a password is told without its content."""
    made = EcrApi(HOST, proxies=Proxies())
    with Stubber(made.aws.client("ecr")) as stubbed:
        for data in ([], [{"authorizationToken": "hunter2", "expiresAt": NOW}]):
            stubbed.add_response("get_authorization_token", {"authorizationData": data})
            with pytest.raises(RegistryError, match=r"no password that can be read") as caught:
                made.authorization()

            assert "hunter2" not in "".join(traceback.format_exception(caught.value))
