"""Repositories made, told of, examined and repaired."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from botocore.stub import Stubber

from mirror.destinations.ecr.api import EcrApi
from mirror.destinations.ecr.provider import EcrProvider
from mirror.destinations.ecr.repositories import Wanted
from mirror.errors import AccessDenied, MirrorError, NoCredential, Unreachable, WorldError
from mirror.findings import Finding
from mirror.http.proxies import Proxies
from tests.destinations.ecr.conftest import HOST
from tests.destinations.ecr.least import denied_to
from tests.destinations.ecr.test_api import LIFECYCLE, POLICY
from tests.servers.ecr import Ecr, EcrError

PATHS = ("linkerd/proxy", "linkerd/web", "linkerd/mirror-record")
WANTED = Wanted(lifecycle_policy=LIFECYCLE, policy=POLICY, tags={"team": "mesh"})
AS_WANTED = {
    "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "sha256-*"}],
}


@pytest.fixture
def provider(api: EcrApi) -> EcrProvider:
    """Of a destination that is called production."""
    return EcrProvider("production", api)


def mutabilities(ecr: Ecr) -> dict[str, str]:
    """By repository."""
    found = ecr.backend.repositories
    return {
        name: str(getattr(one.image_tag_mutability, "value", one.image_tag_mutability)) for name, one in found.items()
    }


async def made(provider: EcrProvider, paths: Sequence[str] = PATHS) -> None:
    """The repositories are there, as they are wanted."""
    for path in paths:
        await provider.prepare(path)


class TestPrepare:
    async def test_what_is_missing_is_made(self, ecr: Ecr, provider: EcrProvider) -> None:
        """Images may not move, records must."""
        await made(provider)

        assert {
            "linkerd/proxy": "IMMUTABLE_WITH_EXCLUSION",
            "linkerd/web": "IMMUTABLE_WITH_EXCLUSION",
            "linkerd/mirror-record": "MUTABLE",
        } == mutabilities(ecr)

    async def test_with_policies(self, ecr: Ecr, api: EcrApi) -> None:
        """They are put after it is made."""
        await made(EcrProvider("production", api, WANTED), PATHS[:1])

        assert ["DescribeRepositories", "CreateRepository", "PutLifecyclePolicy", "SetRepositoryPolicy"] == ecr.actions

    async def test_what_is_there_is_left_alone(self, ecr: Ecr, api: EcrApi) -> None:
        """Whatever it is like: `doctor --fix` changes it, a sync does not."""
        ecr.create(PATHS[0])
        await made(EcrProvider("production", api, WANTED), PATHS[:1])

        assert ["DescribeRepositories"] == ecr.actions

    async def test_once(self, ecr: Ecr, provider: EcrProvider) -> None:
        """However many images wait for it."""
        await asyncio.gather(*(provider.prepare(PATHS[0]) for _ in range(5)))
        await provider.prepare(PATHS[0])

        assert ["DescribeRepositories", "CreateRepository"] == ecr.actions

    async def test_again_after_a_failure(self, ecr: Ecr, provider: EcrProvider) -> None:
        """The next who asks tries anew."""
        ecr.refusals["CreateRepository"] = EcrError("KmsException", "the key is disabled")
        with pytest.raises(MirrorError, match="kms:CreateGrant"):
            await provider.prepare(PATHS[0])
        ecr.refusals.clear()
        await provider.prepare(PATHS[0])

        assert [PATHS[0]] == list(ecr.backend.repositories)

    async def test_another_run_is_quicker(self, ecr: Ecr, provider: EcrProvider, api: EcrApi) -> None:
        """It is there: that is all that was asked."""
        with Stubber(await asyncio.to_thread(lambda: api.aws.client("ecr"))) as stubbed:
            stubbed.add_response("describe_repositories", {"repositories": []})
            stubbed.add_client_error("create_repository", "RepositoryAlreadyExistsException", "there is one")
            await provider.prepare(PATHS[0])

    @pytest.mark.parametrize("creation", ["on-push", "never"])
    async def test_what_is_not_ours_to_make(self, ecr: Ecr, api: EcrApi, creation: Any) -> None:
        """Nothing is asked: the push will tell."""
        await made(EcrProvider("production", api, creation=creation))

        assert [] == ecr.actions

    async def test_we_may_not_look(self, ecr: Ecr, provider: EcrProvider) -> None:
        """What is missing is made all the same."""
        ecr.denied.add("ecr:DescribeRepositories")
        await provider.prepare(PATHS[0])

        assert [PATHS[0]] == list(ecr.backend.repositories)

    async def test_we_may_neither_look_nor_make(self, ecr: Ecr, provider: EcrProvider) -> None:
        """It may be there for all we know: the push will tell."""
        ecr.denied |= {"ecr:DescribeRepositories", "ecr:CreateRepository"}
        await provider.prepare(PATHS[0])

        assert ["DescribeRepositories", "CreateRepository"] == ecr.actions

    @pytest.mark.parametrize("denied", ["ecr:CreateRepository", "ecr:TagResource"])
    async def test_we_may_not_make(self, ecr: Ecr, api: EcrApi, denied: str) -> None:
        """What is missing is what AWS names."""
        ecr.denied.add(denied)
        with pytest.raises(AccessDenied, match=denied):
            await EcrProvider("production", api, WANTED).prepare(PATHS[0])

    async def test_a_policy_that_may_not_be_put(self, ecr: Ecr, api: EcrApi) -> None:
        """The repository is there, and the operator knows that pulls may fail."""
        ecr.denied.add("ecr:SetRepositoryPolicy")
        with pytest.raises(WorldError, match=r"was made, but without a policy.*ecr:SetRepositoryPolicy.*--fix"):
            await EcrProvider("production", api, WANTED).prepare(PATHS[0])

    async def test_no_credential(self, no_aws: object, provider: EcrProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """Told as what it is."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(NoCredential):
            await provider.prepare(PATHS[0])


class TestSurvey:
    async def test_nothing_to_tell(self, provider: EcrProvider) -> None:
        """All is there as it is wanted."""
        await made(provider)

        assert () == await provider.survey(PATHS, 1)

    @pytest.mark.parametrize(
        ("creation", "told"),
        [("explicit", "a sync makes"), ("on-push", "templates"), ("never", "nothing can be written")],
    )
    async def test_what_is_missing(self, ecr: Ecr, api: EcrApi, creation: Any, told: str) -> None:
        """Who makes it, and that nothing was made now."""
        [note] = await EcrProvider("production", api, creation=creation).survey(PATHS[:2], 1)

        assert f"{HOST} lacks the repositories linkerd/proxy, linkerd/web: " in note
        assert told in note
        assert [] == list(ecr.backend.repositories)

    async def test_what_differs(self, ecr: Ecr, provider: EcrProvider) -> None:
        """One note for what several have."""
        for path in PATHS:
            ecr.create(path)
        [note] = await provider.survey(PATHS, 1)

        assert note == (
            f"{HOST} has the repositories linkerd/proxy, linkerd/web not as configured: its tag mutability is MUTABLE, "
            "and IMMUTABLE_WITH_EXCLUSION (sha256-*) is wanted: mirror doctor --fix makes it so"
        )

    async def test_we_may_not_look(self, ecr: Ecr, provider: EcrProvider) -> None:
        """A plan is made all the same."""
        ecr.denied.add("ecr:DescribeRepositories")
        [note] = await provider.survey(PATHS, 1)

        assert "could not be seen" in note
        assert '"Action": "ecr:DescribeRepositories"' in note

    async def test_we_may_not_look_closely(self, ecr: Ecr, api: EcrApi) -> None:
        """Of policies and tags that may not be read nothing is claimed."""
        ecr.create(PATHS[0], **AS_WANTED)
        ecr.denied |= {"ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy", "ecr:ListTagsForResource"}

        assert () == await EcrProvider("production", api, WANTED).survey(PATHS[:1], 1)

    async def test_nothing_is_asked_that_nobody_wants(self, ecr: Ecr, provider: EcrProvider) -> None:
        """One question a repository."""
        await made(provider)
        ecr.calls.clear()
        await provider.survey(PATHS, 1)

        assert ["DescribeRepositories"] * 3 == ecr.actions


def found(findings: Sequence[Finding], check: str) -> list[tuple[str, str, str]]:
    """State, what is told and the remedy of the findings of *check*."""
    return [(one.state, one.told, one.remedy) for one in findings if one.check == check]


class TestExamine:
    async def test_all_is_well(self, ecr: Ecr, provider: EcrProvider) -> None:
        """Every line says so."""
        await made(provider)
        ecr.settings["BLOB_MOUNTING"] = "ENABLED"
        findings = await provider.examine(PATHS)

        assert {"ok"} == {one.state for one in findings}
        assert ["credential", "who am I", "blob mounting", "region", "create", "repositories"] == [
            one.check for one in findings
        ]
        assert {"destination production"} == {one.subject for one in findings}
        assert {""} == {one.remedy for one in findings}

    async def test_nothing_stays(self, ecr: Ecr, provider: EcrProvider) -> None:
        """What is missing is missing afterwards; what is there is as it was."""
        ecr.create(PATHS[0])
        await provider.examine(PATHS)

        assert {PATHS[0]: "MUTABLE"} == mutabilities(ecr)

    async def test_no_credential(self, ecr: Ecr, provider: EcrProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """One line, and nothing more to be asked."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        [finding] = await provider.examine(PATHS)

        assert ("credential", "failed") == (finding.check, finding.state)
        assert "no AWS credential was found" in finding.told

    async def test_an_expired_session(self, ecr: Ecr, provider: EcrProvider) -> None:
        """One line that says to sign in."""
        ecr.refusals["*"] = EcrError("ExpiredTokenException", "The security token included in the request is expired")
        [finding] = await provider.examine(PATHS)

        assert ("credential", "failed") == (finding.check, finding.state)
        assert "aws sso login" in finding.told

    async def test_a_clock(self, ecr: Ecr, provider: EcrProvider) -> None:
        """AWS says how wrong it is."""
        ecr.refusals["*"] = EcrError("InvalidSignatureException", "Signature expired: 1 is now earlier than 2")
        [finding] = await provider.examine(PATHS)

        assert "clock" in finding.told

    async def test_another_account(self, ecr: Ecr, provider: EcrProvider) -> None:
        """Who we are, and what lets us in."""
        ecr.principal = "arn:aws:iam::210987654321:user/me"
        [(state, told, remedy)] = found(await provider.examine(PATHS), "who am I")

        assert "warning" == state
        assert "arn:aws:iam::210987654321:user/me, of another account" in told
        assert "role_arn" in remedy

    async def test_sts_is_out_of_reach(self, ecr: Ecr, provider: EcrProvider) -> None:
        """No reason to fail, nor to keep the rest back."""
        ecr.denied.add("sts:GetCallerIdentity")
        findings = await provider.examine(PATHS)

        assert ["warning"] == [state for state, _, _ in found(findings, "who am I")]
        assert found(findings, "repositories")

    async def test_another_region(self, ecr: Ecr, keys: None, monkeypatch: pytest.MonkeyPatch, api: EcrApi) -> None:
        """Nothing is there, and AWS is configured for another one."""
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        findings = await EcrProvider("production", api).examine(PATHS)
        [(state, told, remedy)] = found(findings, "region")

        assert "warning" == state
        assert "none of 3 repositories is in eu-west-1; the AWS configuration says us-east-1" == told
        assert "wrong region" in remedy

    async def test_another_region_that_is_meant(
        self, ecr: Ecr, keys: None, monkeypatch: pytest.MonkeyPatch, api: EcrApi
    ) -> None:
        """Where repositories are is where it is."""
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        ecr.create(PATHS[0])
        findings = await EcrProvider("production", api).examine(PATHS)

        assert ["ok"] == [state for state, _, _ in found(findings, "region")]

    @pytest.mark.parametrize(
        ("creation", "state", "remedy"),
        [
            ("explicit", "ok", ""),
            ("on-push", "warning", "CREATE_ON_PUSH"),
            ("never", "failed", "wrong account or region"),
        ],
    )
    async def test_what_is_missing(self, ecr: Ecr, api: EcrApi, creation: Any, state: str, remedy: str) -> None:
        """It depends on who is to make it."""
        ecr.create(PATHS[0], **AS_WANTED)
        findings = await EcrProvider("production", api, creation=creation).examine(PATHS[:2])
        [line] = found(findings, "repositories")

        assert state == line[0]
        assert "the repository linkerd/web is not there" in line[1]
        assert remedy in line[2]

    @pytest.mark.parametrize("denied", ["ecr:CreateRepository", "ecr:TagResource"])
    @pytest.mark.parametrize(("paths", "state"), [(PATHS[:1], "warning"), (PATHS, "failed")])
    async def test_we_may_not_make(self, ecr: Ecr, api: EcrApi, denied: str, paths: Sequence[str], state: str) -> None:
        """It fails a sync only where something is to be made."""
        ecr.create(PATHS[0], **AS_WANTED)
        ecr.denied.add(denied)
        findings = await EcrProvider("production", api, replace(Wanted(), tags={"a": "b"})).examine(paths)
        [line] = found(findings, "create")

        assert state == line[0]
        assert line[1].startswith("ecr:CreateRepository is refused: User: ")
        assert f'"Action": "{denied}"' in line[2]

    async def test_whether_we_may_make_is_not_known(self, provider: EcrProvider) -> None:
        """There is no repository to ask about without making one."""
        [line] = found(await provider.examine(PATHS), "create")

        assert "warning" == line[0]
        assert "--iam sync-create" in line[2]

    async def test_what_differs(self, ecr: Ecr, provider: EcrProvider) -> None:
        """An image's repository is warned about; records that cannot be written anew fail."""
        ecr.create(PATHS[0])
        ecr.create(PATHS[1], **AS_WANTED)
        ecr.create(PATHS[2], imageTagMutability="IMMUTABLE")
        lines = found(await provider.examine(PATHS), "repositories")
        wanted = "IMMUTABLE_WITH_EXCLUSION (sha256-*)"

        assert [
            ("failed", "the repository linkerd/mirror-record: its tag mutability is IMMUTABLE, and MUTABLE is wanted"),
            ("warning", f"the repository linkerd/proxy: its tag mutability is MUTABLE, and {wanted} is wanted"),
        ] == [(state, told) for state, told, _ in lines]
        assert {"mirror doctor --fix makes it so"} == {remedy for _, _, remedy in lines}

    async def test_a_policy_that_expires_images(self, ecr: Ecr, provider: EcrProvider) -> None:
        """The rule is named."""
        await made(provider)
        rules = json.loads(LIFECYCLE)
        rules["rules"][0]["selection"]["tagStatus"] = "any"
        await provider.api.set_lifecycle_policy(PATHS[0], Wanted(lifecycle_policy=json.dumps(rules)))
        [(state, told, _)] = found(await provider.examine(PATHS), "lifecycle")

        assert "warning" == state
        assert "the repository linkerd/proxy may take away what the cluster runs: rule 1 expires all tags" in told

    async def test_what_is_archived(self, ecr: Ecr, provider: EcrProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody can pull it."""
        await made(provider, PATHS[:1])

        def archive(parsed: dict[str, Any], **_: Any) -> None:
            parsed["imageDetails"] = [{"imageTags": ["edge-26.8.1"], "imageStatus": "ARCHIVED"}]

        client = await asyncio.to_thread(lambda: provider.api.aws.client("ecr"))
        client.meta.events.register("after-call.ecr.DescribeImages", archive)
        [(state, told, remedy)] = found(await provider.examine(PATHS[:1]), "archive")

        assert "failed" == state
        assert "linkerd/proxy:edge-26.8.1" in told
        assert "update-image-storage-class" in remedy

    async def test_mounting_is_off(self, provider: EcrProvider) -> None:
        """The command that turns it on."""
        [(state, _, remedy)] = found(await provider.examine(PATHS), "blob mounting")

        assert "warning" == state
        assert "aws ecr put-account-setting --region eu-west-1 --name BLOB_MOUNTING --value ENABLED" in remedy

    @pytest.mark.parametrize(
        ("pull_registry", "is_told"),
        [
            ("", False),
            ("pull.example.com/linkerd", False),
            ("123456789012.dkr-ecr.eu-west-1.on.aws/linkerd", False),
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com/linkerd", True),
            ("210987654321.dkr-ecr.eu-west-1.on.aws/linkerd", True),
        ],
    )
    async def test_the_name_that_clusters_pull_by(self, api: EcrApi, pull_registry: str, is_told: bool) -> None:
        """Another account or region is another registry; the dual-stack name is the same one."""
        lines = found(await EcrProvider("p", api, pull_registry=pull_registry).examine(PATHS), "pull registry")

        assert is_told is bool(lines)
        assert all("123456789012.dkr-ecr.eu-west-1.on.aws" in remedy for _, _, remedy in lines)

    async def test_one_failing_check_hides_no_other(self, ecr: Ecr, provider: EcrProvider) -> None:
        """All but the password may be refused."""
        ecr.create(PATHS[0])
        ecr.denied |= {
            "ecr:DescribeRepositories", "ecr:GetAccountSetting", "ecr:DescribeImages", "sts:GetCallerIdentity"
        }  # fmt: skip
        findings = await provider.examine(PATHS)

        assert {"credential", "who am I", "blob mounting", "region", "create", "repositories"} == {
            one.check for one in findings
        }

    async def test_nobody_listens(self, keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """A region that is not there is told as such."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        api = EcrApi(HOST, proxies=Proxies())
        [finding] = await EcrProvider("production", api).examine(PATHS)
        with pytest.raises(Unreachable):
            await EcrProvider("production", api).survey(PATHS, 1)
        await api.aclose()

        assert "failed" == finding.state
        assert "region in the registry's host" in finding.told


class TestRepair:
    async def test_everything(self, ecr: Ecr, api: EcrApi) -> None:
        """Each change is told; afterwards there is nothing to tell."""
        ecr.create(PATHS[0])
        ecr.create(PATHS[2], imageTagMutability="IMMUTABLE")
        provider = EcrProvider("production", api, replace(WANTED, scan_on_push=True))
        findings = await provider.repair(PATHS)
        missing = [one.told for one in findings if "was missing" in one.told]

        assert {"ok"} == {one.state for one in findings}
        assert ["linkerd/web was missing, and was made"] == missing
        assert 5 + 5 + 1 == len(findings)
        assert () == await provider.survey(PATHS, 1)
        assert () == await provider.repair(PATHS)

    async def test_for_ever(self, ecr: Ecr, api: EcrApi) -> None:
        """Encryption stays, and the operator is told how to have another."""
        ecr.create(PATHS[0], **AS_WANTED)
        [finding] = await EcrProvider("production", api, Wanted(encryption="KMS")).repair(PATHS[:1])

        assert "warning" == finding.state
        assert "ECR cannot change it" in finding.told
        assert "sync again" in finding.remedy

    async def test_with_the_least_that_is_allowed(self, ecr: Ecr, api: EcrApi) -> None:
        """docs/iam/doctor-fix.json is enough to see and to repair everything."""
        ecr.create(PATHS[0])
        ecr.denied = denied_to("doctor-fix", ecr)
        provider = EcrProvider("production", api, replace(WANTED, scan_on_push=True))
        repaired = await provider.repair(PATHS)
        examined = await provider.examine(PATHS)

        assert {"ok"} == {one.state for one in repaired}
        assert ["blob mounting"] == [one.check for one in examined if one.state != "ok"]

    async def test_what_is_refused(self, ecr: Ecr, api: EcrApi) -> None:
        """One refusal keeps nothing else back."""
        ecr.create(PATHS[0])
        ecr.denied |= {"ecr:PutImageTagMutability", "ecr:CreateRepository"}
        findings = await EcrProvider("production", api, replace(Wanted(), scan_on_push=True)).repair(PATHS[:2])

        assert ["failed", "ok", "failed"] == [one.state for one in findings]
        assert '"Action": "ecr:PutImageTagMutability"' in findings[0].told
        assert "linkerd/web could not be made" in findings[2].told

    async def test_we_may_not_look(self, ecr: Ecr, provider: EcrProvider) -> None:
        """Nothing is changed that was not seen."""
        ecr.denied.add("ecr:DescribeRepositories")

        assert ["failed"] * 3 == [one.state for one in await provider.repair(PATHS)]
