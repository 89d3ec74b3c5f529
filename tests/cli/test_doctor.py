"""`mirror doctor`: what an operator sees, and what a script gets."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from mirror.destinations.ecr.iam import USES
from tests.cli.conftest import Desk
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, answer, refusal
from tests.servers.harbor_state import ADMIN, ADMIN_PASSWORD, Harbor
from tests.servers.upstream import NEXT

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.fixture
def desk(desk: Desk, fake: FakeRegistry) -> Desk:
    """With a destination `production` that is in step."""
    desk.configure(destinations={"production": {"kind": "registry", "registry": fake.host, "prefix": "l5d"}})
    assert 0 == desk.run("sync").code
    fake.requests.clear()
    return desk


def test_all_is_well(desk: Desk) -> None:
    """A line for each check, its subject said once; what is only worth knowing does not fail it."""
    said = desk.run("doctor")

    assert 0 == said.code
    rows = said.out.splitlines()
    assert ["SUBJECT", "CHECK", "STATE", "FOUND"] == rows[0].split()
    assert ["configuration", "file", "ok", "mirror.toml", "holds"] == rows[1].split()
    assert 1 == len([row for row in rows if row.startswith("destination production")])
    assert "2 warnings, 22 ok" == rows[-1]
    assert "\x1b" not in said.out


def test_something_failed(desk: Desk, fake: FakeRegistry) -> None:
    """Exit code 1; what to do is on the line below, under what was found."""
    fake.faults.append(Fault("POST .*", refusal(403, "DENIED", "read only"), times=ALWAYS))
    said = desk.run("doctor")

    assert 1 == said.code
    [row] = [number for number, line in enumerate(said.out.splitlines()) if " failed " in line]
    found, remedy = said.out.splitlines()[row : row + 2]
    assert "403: DENIED read only" in found
    assert remedy.strip().startswith("→ give ")
    assert found.index(f"{fake.host}/l5d") == remedy.index("→")
    assert "1 failed, 2 warnings, 20 ok" == said.out.splitlines()[-1]


def test_json(desk: Desk, fake: FakeRegistry) -> None:
    """The contract's keys, one document."""
    fake.faults.append(Fault("GET /v2/", answer(503)))
    said = desk.run("doctor", "-o", "json")

    assert 1 == said.code
    document = said.document
    assert {"schema", "findings", "repaired"} == document.keys()
    assert all({"subject", "check", "state", "told", "remedy"} == each.keys() for each in document["findings"])
    assert [["destination production", "reachable"]] == [
        [each["subject"], each["check"]] for each in document["findings"] if each["state"] == "failed"
    ]


def test_nothing_is_written(desk: Desk, fake: FakeRegistry) -> None:
    """Neither there nor here."""
    before = {path: path.read_bytes() for path in desk.directory.rglob("*") if path.is_file()}
    desk.run("doctor")

    assert [] == fake.asked("(PUT|PATCH) .*")
    assert {} == fake.uploads
    assert before == {path: path.read_bytes() for path in desk.directory.rglob("*") if path.is_file()}


def test_another_release_and_destination(desk: Desk) -> None:
    """As for the other commands."""
    desk.upstream.publish(NEXT)
    said = desk.run("doctor", NEXT, "--to", "oci:out", "-o", "json")

    subjects = {each["subject"] for each in said.document["findings"]}
    assert 0 == said.code
    assert "destination oci-out" in subjects
    assert "destination production" not in subjects
    assert any(f"controller:{NEXT} can be read" in each["told"] for each in said.document["findings"])


@pytest.mark.parametrize("arguments", [[NEXT], ["nightly"], ["--to", "nonsense"], ["--iam", "everything"]])
def test_wrong_input(desk: Desk, arguments: list[str]) -> None:
    """One sentence, exit code 2."""
    said = desk.run("doctor", *arguments)

    assert 2 == said.code
    assert 1 == len(said.sentences)
    assert "" == said.out


def test_what_is_ignored_of_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is a warning by its name."""
    monkeypatch.setenv("MIRROR_SNYC", "1")
    findings: list[dict[str, Any]] = desk.run("doctor", "-o", "json").document["findings"]

    [found] = [each for each in findings if each["check"] == "environment"]
    assert "MIRROR_SNYC" in found["told"]
    assert "warning" == found["state"]


class TestIam:
    @pytest.mark.parametrize("arguments", [[], ["--to", "aws"], ["--to", f"{ECR}/team"]])
    def test_a_policy(self, desk: Desk, arguments: list[str]) -> None:
        """It is for the repositories below the destination's prefix, and all that is printed; AWS is not asked."""
        desk.configure(destinations={"aws": {"kind": "ecr", "registry": ECR, "prefix": "linkerd"}})
        said = desk.run("doctor", *arguments, "--iam", "sync-create")

        prefix = "team" if "team" in "".join(arguments) else "linkerd"
        assert 0 == said.code
        repositories = said.document["Statement"][1]
        assert f"arn:aws:ecr:eu-west-1:123456789012:repository/{prefix}/*" == repositories["Resource"]
        assert "ecr:TagResource" in repositories["Action"]

    @pytest.mark.parametrize(
        ("destinations", "words"),
        [
            ({}, "no destination is"),
            ({"a": {"kind": "layout", "directory": "out"}}, "no destination is"),
            (
                {name: {"kind": "ecr", "registry": ECR, "prefix": name} for name in ("a", "b")},
                "several destinations are",
            ),
        ],
    )
    def test_which_registry(self, desk: Desk, destinations: dict[str, Any], words: str) -> None:
        """It must be one; the sentence says how to name it."""
        desk.configure(destinations=destinations)
        said = desk.run("doctor", "--iam", "sync")

        assert 2 == said.code
        assert [f"--iam is about one registry of ECR, and {words}: name one with --to"] == said.sentences

    def test_help(self, desk: Desk) -> None:
        """It names every use."""
        said = desk.run("doctor", "--help")

        assert f"{', '.join(USES[:-1])} or {USES[-1]}." in " ".join(said.out.split())

    def test_another_use(self, desk: Desk) -> None:
        """Those that there are."""
        said = desk.run("doctor", "--iam", "everything")

        uses = "pull, verify, sync, sync-create, doctor-fix, prune"
        assert [f"--iam everything: there is no such use, there is {uses}"] == said.sentences


class TestFix:
    def test_what_can_be_put_right(self, desk: Desk, harbor_server: Harbor) -> None:
        """It is told before what is found then; nothing is changed without being asked."""
        name = f"p{uuid.uuid4().hex}"
        destination = {"kind": "harbor", "registry": harbor_server.host, "prefix": name, "create_project": True}
        credential = {"username": ADMIN, "password_file": str(desk.directory / "password")}
        (desk.directory / "password").write_text(ADMIN_PASSWORD)
        registries = {harbor_server.host: {"endpoint": harbor_server.url} | credential}
        desk.configure(destinations={"production": destination}, registries=registries)
        found = desk.run("doctor")
        assert name not in harbor_server.projects
        fixed = desk.run("doctor", "--fix")
        again = desk.run("doctor", "--fix", "-o", "json").document

        assert f"Harbor has no project {name}, which create_project = true makes" in found.out
        assert "Put right" == fixed.out.splitlines()[0]
        assert f"the project {name} was made" in fixed.out.splitlines()[2]
        assert (0, 0) == (found.code, fixed.code)
        assert name in harbor_server.projects
        assert [] == again["repaired"]
