"""A release into ECR, from an empty account to in step."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror.settings import Settings
from tests.content import artifact, image
from tests.runs import only, outcomes, sync, verify
from tests.servers.ecr import Ecr
from tests.servers.tools import require
from tests.servers.upstream import CHARTS, Upstream, references, two_platforms, upstream_server

CONTROLLER, *_ = references()
NAMES = ("controller", "proxy", "web", "prometheus")
CHART_REPOSITORIES = {f"linkerd/charts/{chart}" for chart in CHARTS}
REPOSITORIES = {*(f"linkerd/{name}" for name in NAMES), "linkerd/mirror-record", *CHART_REPOSITORIES}

Into = Callable[..., Settings]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream with one release."""
    with upstream_server() as running:
        running.publish()
        yield running


@pytest.fixture
def into(ecr: Ecr, upstream: Upstream, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Into:
    """Settings for a sync into *ecr*, with what is given of the destination."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", ecr.url)

    def settings(*, policy: Any = None, **destination: Any) -> Settings:
        return upstream.settings(
            registries={ecr.host: {"endpoint": ecr.url}},
            destinations={"test": {"kind": "ecr", "registry": ecr.host, "prefix": "linkerd", **destination}},
            overrides={"directory": str(tmp_path / "overrides")},
            policy=policy or {},
        )

    return settings


def fields(*, all_are: str, **other: str) -> dict[str, str]:
    """The outcome of each image."""
    return dict.fromkeys(NAMES, all_are) | other


def written(ecr: Ecr) -> list[str]:
    """What the registry was sent that stays, and what the API was asked to change."""
    reads = ("Get", "Describe", "List", "BatchGet", "BatchCheck")
    sent = [str(seen) for seen in ecr.requests if seen.method not in ("GET", "HEAD")]
    return sent + [action for action in ecr.actions if not action.startswith(reads)]


async def test_from_an_empty_account_to_in_step(ecr: Ecr, into: Into) -> None:
    """Repositories are made, their tags immutable; another run writes nothing."""
    ecr.redirects_blobs = True
    settings = into()

    first = await sync(settings)
    mutability = {name: one.image_tag_mutability for name, one in ecr.backend.repositories.items()}
    ecr.requests.clear()
    ecr.calls.clear()
    second = await sync(settings)

    assert (0, fields(all_are="copied")) == (first.exit_code, outcomes(only(first)))
    assert REPOSITORIES == set(mutability)
    held = REPOSITORIES - {"linkerd/mirror-record"}
    assert {"linkerd/mirror-record": "MUTABLE"} | dict.fromkeys(held, "IMMUTABLE_WITH_EXCLUSION") == mutability
    assert (0, fields(all_are="kept")) == (second.exit_code, outcomes(only(second)))
    assert [] == written(ecr)
    assert ["GetAuthorizationToken"] == ecr.actions
    assert 0 == (await verify(settings, deep=True)).exit_code
    assert [] == [seen for seen in ecr.bucket_requests if "authorization" in seen.headers]


async def test_what_refers_to_an_image(ecr: Ecr, into: Into, upstream: Upstream) -> None:
    """What ECR takes is there, what it does not is told, once; the image is good, and stays so."""
    controller = upstream.images[CONTROLLER]
    signature, bill = image(b"signature", subject=controller), artifact("application/spdx+json", subject=controller)
    upstream.registry.add("linkerd/controller", signature)
    upstream.registry.add("linkerd/controller", bill)

    first = await sync(into())
    (told,) = [one.reason for one in only(first).images if one.reason]
    ecr.requests.clear()
    ecr.calls.clear()
    second = await sync(into())

    assert 0 == first.exit_code
    assert "it has both subject and artifactType (aws/containers-roadmap#2783)" in told
    listed = ecr.referrers["linkerd/controller", str(controller.digest)]
    assert [str(signature.digest)] == [one["digest"] for one in listed]
    assert (0, fields(all_are="kept"), []) == (second.exit_code, outcomes(only(second)), written(ecr))


async def test_what_must_refer_to_an_image(ecr: Ecr, into: Into, upstream: Upstream) -> None:
    """With `referrers = "require"` the image fails by what ECR does not take, and has no tag."""
    bill = artifact("application/spdx+json", subject=upstream.images[CONTROLLER])
    upstream.registry.add("linkerd/controller", bill)

    report = await sync(into(policy={"referrers": "require"}))

    assert (1, fields(all_are="copied", controller="failed")) == (report.exit_code, outcomes(only(report)))
    assert [] == [tag for one in ecr.backend.repositories["linkerd/controller"].images for tag in one.image_tags]


async def test_a_tag_that_may_not_be_moved(ecr: Ecr, into: Into, upstream: Upstream) -> None:
    """Upstream's moved, and that is wanted: ECR lets nobody move its own, which a human must settle there."""
    await sync(into())
    old = upstream.images[CONTROLLER]
    upstream.put(CONTROLLER, two_platforms("moved"))
    new = upstream.images[CONTROLLER]

    report = await sync(into(policy={"moved_tags": "follow"}))

    (told,) = [one.reason for one in only(report).images if one.reason]
    assert (3, fields(all_are="kept", controller="refused")) == (report.exit_code, outcomes(only(report)))
    assert all(str(what.digest) in told for what in (old, new))
    assert "tags of this repository may not be changed" in told
    assert 2 == len(ecr.asked("PUT /v2/linkerd/controller/manifests/edge-.*"))  # each run's one


@pytest.mark.parametrize("creation", ["on-push", "never"])
async def test_repositories_that_nobody_makes(ecr: Ecr, into: Into, creation: str) -> None:
    """Each image says what is missing; where the account has a template for what is pushed, it is not."""
    settings = into(repository_creation=creation)
    missing = await sync(settings)
    ecr.templates["linkerd"] = {}
    made = await sync(settings)

    reasons = {one.reason for one in only(missing).images}
    assert (1, fields(all_are="failed")) == (missing.exit_code, outcomes(only(missing)))
    assert all("The repository with name 'linkerd/" in reason for reason in reasons)
    assert all("repository creation template for CREATE_ON_PUSH" in reason for reason in reasons)
    assert 0 == made.exit_code
    assert REPOSITORIES == set(ecr.backend.repositories)
    assert "CreateRepository" not in ecr.actions


async def test_a_token_that_ends_in_the_middle(ecr: Ecr, into: Into) -> None:
    """Others are asked for, and all is well."""
    begun = ecr.now()
    ecr.token_life_s = 3600.0
    seen = 0

    def now() -> float:
        nonlocal seen
        seen += 1
        return begun + seen * 100.0  # by the server's clock a token is worth some thirty requests, by ours an hour

    ecr.now = now
    ecr.put_image_rate = 1e6
    report = await sync(into())

    assert (0, fields(all_are="copied")) == (report.exit_code, outcomes(only(report)))
    assert 1 < ecr.actions.count("GetAuthorizationToken")


async def test_helm_pulls_the_charts(ecr: Ecr, into: Into, upstream: Upstream, tmp_path: Path) -> None:
    """With ECR's password; the archives are those of the chart repository."""
    helm = require("helm")
    await sync(into())
    password, _ = ecr.issue_token()
    for chart in CHARTS:
        source = f"oci://{ecr.url.removeprefix('http://')}/linkerd/charts/{chart}"
        login = ["--username", "AWS", "--password", password, "--plain-http"]
        command = [helm, "pull", source, "--version", "2026.8.1", "-d", str(tmp_path), *login]
        home = {"HOME": str(tmp_path)}
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False, env=home)
        assert 0 == done.returncode, done.stderr
        file = f"{chart}-2026.8.1.tgz"
        assert upstream.charts.files[file] == (tmp_path / file).read_bytes()
