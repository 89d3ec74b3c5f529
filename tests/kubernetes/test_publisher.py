"""What a run has proven is in the cluster, or its report says why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mirror.http.transport import ATTEMPTS
from mirror.kubernetes.publisher import Publisher
from mirror.report import ReleaseReport, SyncReport
from tests.http.naps import Naps
from tests.servers.kubernetes import Pod, refusal

PROVEN = ReleaseReport("production", "edge-26.8.3", proof="proven", values={"linkerd-viz": "a: 1\n"})
OLDER = replace(PROVEN, release="edge-26.8.2", values={"linkerd-viz": "a: 0\n"})
NEWEST = {"edge": "edge-26.8.3"}


@pytest.fixture
def publisher(pod: Pod) -> Publisher:
    """Of the pod."""
    return Publisher(pod.cluster.environ, pod.directory, "", "linkerd-mirror")


async def publish(
    publisher: Publisher, *releases: ReleaseReport, newest: Mapping[str, str] = NEWEST
) -> tuple[ReleaseReport, ...]:
    return (await publisher.publish(SyncReport(releases, 1.0, newest), newest)).releases


class TestPublished:
    async def test_all_that_is_proven(self, publisher: Publisher, pod: Pod) -> None:
        """Each release is there, the channel has its newest, and the report is what it was."""
        assert (PROVEN, OLDER) == await publish(publisher, PROVEN, OLDER)

        assert {"linkerd-viz.yaml": "a: 1\n"} == pod.data("linkerd-mirror-production-edge-26.8.3")
        assert {"linkerd-viz.yaml": "a: 0\n"} == pod.data("linkerd-mirror-production-edge-26.8.2")
        assert {"linkerd-viz.yaml": "a: 1\n"} == pod.data("linkerd-mirror-production-edge")

    async def test_a_request_each(self, publisher: Publisher, pod: Pod) -> None:
        """One PATCH a ConfigMap, also where nothing differs: nothing is read, so no verb is needed for it."""
        await publish(publisher, PROVEN)
        await publish(publisher, PROVEN)

        assert ["PATCH"] * 4 == [seen.method for seen in pod.cluster.requests]

    @pytest.mark.parametrize(
        ("broken", "why"),
        [
            (replace(PROVEN, problem="the disk is full"), "the release is not in step"),
            (replace(PROVEN, is_refused=True), "the release is not in step"),
            (replace(PROVEN, proof="failed"), "the release is not in step"),
            (replace(PROVEN, proof="not proven"), "its values are not proven"),
        ],
    )
    async def test_what_is_not_proven(self, publisher: Publisher, pod: Pod, broken: ReleaseReport, why: str) -> None:
        """What was written before stays, the channel's too, and the report says that it does."""
        await publish(publisher, OLDER, newest={"edge": OLDER.release})
        await publish(publisher, PROVEN, newest={})
        broken = replace(broken, values={"linkerd-viz": "a: 666\n"})
        [told] = await publish(publisher, broken)

        assert replace(broken, notes=(f"its ConfigMap is left as it was: {why}",)) == told
        assert {"linkerd-viz.yaml": "a: 1\n"} == pod.data("linkerd-mirror-production-edge-26.8.3")
        assert {"linkerd-viz.yaml": "a: 0\n"} == pod.data("linkerd-mirror-production-edge")

    async def test_a_layout_that_nobody_pulls_from(self, publisher: Publisher, pod: Pod) -> None:
        """Where there are no values there is nothing to say."""
        without = replace(PROVEN, values={}, proof="not proven")

        assert (without,) == await publish(publisher, without)
        assert not pod.cluster.requests

    async def test_another_namespace(self, publisher: Publisher, pod: Pod) -> None:
        """The one that is configured, not the pod's."""
        other = pod.cluster.make_namespace()
        pod.cluster.grant(f"{pod.namespace}:mirror", other, "create", "patch")
        await publish(replace(publisher, namespace=other), PROVEN)

        assert pod.data("linkerd-mirror-production-edge-26.8.3", other)
        assert not pod.data("linkerd-mirror-production-edge-26.8.3")


class TestNotPublished:
    async def test_one_of_several(self, publisher: Publisher, pod: Pod) -> None:
        """A release that is not let in fails, and the others are there."""
        pod.cluster.answers = lambda seen: refusal(422, "too bad") if "26.8.3?" in seen.target else None
        failed, other = await publish(publisher, PROVEN, OLDER)

        assert (1, "failed") == (failed.exit_code, failed.outcome)
        assert failed.problem.startswith(
            f"the values are not in the cluster: the ConfigMap linkerd-mirror-production-edge-26.8.3 in the namespace "
            f"{pod.namespace} was not written: the API server at https://{pod.cluster.host} answers 422: too bad"
        )
        assert OLDER == other
        assert pod.data("linkerd-mirror-production-edge-26.8.2")

    async def test_too_large(self, publisher: Publisher, pod: Pod) -> None:
        """More than a ConfigMap holds is the release's problem, and is not sent."""
        [failed] = await publish(publisher, replace(PROVEN, values={"linkerd-viz": "x" * (2 << 20)}))

        assert "are 2097152 bytes, and a ConfigMap holds 1048576" in failed.problem
        assert not pod.cluster.requests

    async def test_not_reached(self, publisher: Publisher) -> None:
        """A server that is not there is tried again, and not for each release anew."""
        naps = Naps()
        environ = {**publisher.environ, "KUBERNETES_SERVICE_PORT": "1"}
        several = [replace(PROVEN, release=f"edge-26.8.{number}") for number in range(20)]
        broken = replace(PROVEN, problem="the disk is full")
        *failed, other = await publish(replace(publisher, environ=environ, sleep=naps), *several, broken)

        assert all("127.0.0.1:1 cannot be reached" in each.problem for each in failed)
        assert broken == other
        assert ATTEMPTS - 1 == len(naps.taken)

    @pytest.mark.parametrize(("status", "tries"), [(503, ATTEMPTS), (429, ATTEMPTS), (401, 1)])
    async def test_a_server_that_lets_nobody_in(self, publisher: Publisher, pod: Pod, status: int, tries: int) -> None:
        """It is not asked for the next release, by whom it would be kept waiting again."""
        pod.cluster.answers = lambda _: refusal(status, "not now")
        failed = await publish(replace(publisher, sleep=Naps()), PROVEN, OLDER)

        assert all("not now" in each.problem for each in failed)
        assert tries == len(pod.cluster.requests)

    async def test_no_cluster(self, publisher: Publisher) -> None:
        """A pod that lost what it needs tells so for what was to be written, and raises nothing."""
        broken = replace(PROVEN, problem="the disk is full")
        failed, other = await publish(replace(publisher, environ={}), PROVEN, broken)

        assert "KUBERNETES_SERVICE_HOST" in failed.problem
        assert broken == other
