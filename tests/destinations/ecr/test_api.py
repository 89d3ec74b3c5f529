"""ECR's API as we call it, held to an ECR."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from botocore.stub import Stubber

from mirror.destinations.ecr.api import EcrApi
from mirror.destinations.ecr.repositories import Wanted, drift
from mirror.errors import AccessDenied, NotFound, RegistryError
from tests.servers.ecr import Ecr, EcrError

PATH = "linkerd/proxy"
LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": 14,
                },
                "action": {"type": "expire"},
            }
        ]
    }
)
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Pull",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
                "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            }
        ],
    }
)
WANTED = Wanted(scan_on_push=True, lifecycle_policy=LIFECYCLE, policy=POLICY, tags={"team": "mesh"})


async def seen(api: EcrApi, wanted: Wanted = WANTED) -> Any:
    """The repository with all that can be known of it."""
    found = await api.repository(PATH)
    assert found is not None
    return replace(
        found,
        lifecycle_policy=await api.lifecycle_policy(PATH),
        policy=await api.repository_policy(PATH),
        tags=await api.tags(found),
    )


async def test_none(api: EcrApi) -> None:
    """Absence is an answer."""
    assert await api.repository(PATH) is None


async def test_what_is_not_ecrs_answer(api: EcrApi, ecr: Ecr) -> None:
    """A page of something on the way is not an account without repositories."""
    ecr.create(PATH)

    def page(parsed: dict[str, Any], **_: Any) -> None:
        del parsed["repositories"]

    client = await asyncio.to_thread(lambda: api.aws.client("ecr"))
    client.meta.events.register("after-call.ecr.DescribeRepositories", page)
    with pytest.raises(RegistryError, match="not answered by ECR"):
        await api.repository(PATH)


async def test_made_as_it_is_wanted(api: EcrApi, ecr: Ecr) -> None:
    """Nothing differs but the policies, which are put afterwards."""
    assert await api.create(PATH, WANTED)
    assert ["lifecycle policy", "repository policy"] == [one.aspect for one in drift(WANTED, await seen(api))]
    await api.set_lifecycle_policy(PATH, WANTED)
    await api.set_repository_policy(PATH, WANTED)

    assert () == drift(WANTED, await seen(api))
    assert ecr.arn(PATH) == (await seen(api)).arn


async def test_made_twice(api: EcrApi) -> None:
    """Another run was quicker: it is there, and was not made now."""
    assert await api.create(PATH, Wanted())
    assert not await api.create(PATH, Wanted())


async def test_made_plainly(api: EcrApi, ecr: Ecr) -> None:
    """Without tags none are sent, since they need a permission more; scanning, which is on its way out, neither."""
    ecr.denied.add("ecr:TagResource")
    await api.create(PATH, Wanted())

    asked = ecr.calls[-1].asked
    assert {"registryId", "repositoryName", "imageTagMutability", "imageTagMutabilityExclusionFilters"} == (
        set(asked) - {"encryptionConfiguration"}
    )


async def test_made_with_a_key(api: EcrApi) -> None:
    """Encryption is set as it is made, or never."""
    await api.create(PATH, Wanted(encryption="KMS", kms_key="arn:aws:kms:eu-west-1:123456789012:key/1234"))

    found = await api.repository(PATH)
    assert found is not None
    assert ("KMS", "arn:aws:kms:eu-west-1:123456789012:key/1234") == (found.encryption, found.kms_key)


async def test_what_may_be_changed(api: EcrApi) -> None:
    """Each difference that is called repairable is repaired by its call."""
    await api.create(PATH, Wanted(mutability="MUTABLE", exclusions=()))
    found = await api.repository(PATH)
    assert found is not None
    await api.set_mutability(PATH, WANTED)
    await api.set_scanning(PATH, WANTED)
    await api.set_lifecycle_policy(PATH, WANTED)
    await api.set_repository_policy(PATH, WANTED)
    await api.set_tags(found, WANTED)

    assert () == drift(WANTED, await seen(api))


async def test_policies_that_are_not_there(api: EcrApi, ecr: Ecr) -> None:
    """Are empty; those of a repository that is not there are not."""
    ecr.create(PATH)

    assert ("", "") == (await api.lifecycle_policy(PATH), await api.repository_policy(PATH))
    with pytest.raises(NotFound, match="wrong account or region"):
        await api.lifecycle_policy("elsewhere")


async def test_the_account_is_the_registrys(api: EcrApi, ecr: Ecr) -> None:
    """Whosever credential it is."""
    await api.repository(PATH)

    assert "123456789012" == ecr.calls[-1].asked["registryId"]


async def test_who_we_are(api: EcrApi, ecr: Ecr) -> None:
    """By STS."""
    found = await api.principal()

    assert (ecr.principal, ecr.account) == (found.arn, found.account)


async def test_a_setting_of_the_account(api: EcrApi, ecr: Ecr) -> None:
    """As ECR has it."""
    ecr.settings["BLOB_MOUNTING"] = "ENABLED"

    assert "ENABLED" == await api.account_setting("BLOB_MOUNTING")


async def test_what_is_archived(api: EcrApi) -> None:
    """By tag; what is asked for is what counts, whatever comes."""
    with Stubber(await asyncio.to_thread(lambda: api.aws.client("ecr"))) as stubbed:
        stubbed.add_response(
            "describe_images",
            {
                "imageDetails": [
                    {"imageTags": ["v2", "v1"], "imageStatus": "ARCHIVED"},
                    {"imageTags": ["v3"], "imageStatus": "ACTIVE"},
                    {"imageStatus": "ARCHIVED"},
                ]
            },
            {
                "registryId": "123456789012",
                "repositoryName": PATH,
                "filter": {"imageStatus": "ARCHIVED", "tagStatus": "TAGGED"},
                "maxResults": 1000,
            },
        )

        assert ("v1", "v2") == await api.archived(PATH)


@pytest.mark.parametrize("denied", ["ecr:CreateRepository", "ecr:TagResource"])
async def test_what_may_not_be(api: EcrApi, ecr: Ecr, denied: str) -> None:
    """The statement that is missing is AWS's to name."""
    ecr.denied.add(denied)

    with pytest.raises(AccessDenied, match=f'"Action": "{denied}", "Resource": "{ecr.arn(PATH)}"'):
        await api.create(PATH, WANTED)


async def test_throttling_is_waited_for(api: EcrApi, ecr: Ecr) -> None:
    """By botocore, a few times; what is left of it may be tried again later."""
    ecr.refusals["DescribeRepositories"] = EcrError("ThrottlingException", "Rate exceeded")
    with pytest.raises(RegistryError, match="too many requests") as caught:
        await api.repository(PATH)

    assert caught.value.is_temporary
    assert 4 == len(ecr.calls)


async def test_the_loop_goes_on(api: EcrApi, ecr: Ecr) -> None:
    """AWS answers only once the event loop has done something else."""
    went_on, waited = threading.Event(), list[bool]()

    def wait(**_: Any) -> None:
        waited.append(went_on.wait(10))

    client = await asyncio.to_thread(lambda: api.aws.client("ecr"))
    client.meta.events.register("before-send.ecr", wait)
    asyncio.get_running_loop().call_later(0.01, went_on.set)
    await api.repository(PATH)

    assert [True] == waited
