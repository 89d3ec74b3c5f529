"""`mirror prune`: what is said, what is deleted, and when."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Desk
from tests.servers.distribution import Distribution
from tests.servers.gateway import Gateway
from tests.servers.loopback import Response, serving
from tests.servers.upstream import NEXT, RELEASE


@pytest.fixture
def both(desk: Desk) -> Desk:
    """./out holds two releases, and one is to be kept."""
    desk.upstream.publish(NEXT)
    tables = {"releases": [NEXT], "retention": {"keep": {"edge": 1}}}
    desk.configure(**tables)
    assert 0 == desk.run("sync", RELEASE, NEXT, "--to", "oci:out").code
    return desk


def test_a_plan(both: Desk) -> None:
    """What would go, what stays, and why; nothing is written."""
    said = both.run("prune", "--to", "oci:out")

    assert 0 == said.code
    for words in (f"{RELEASE}  would go  not the newest of edge", f"{NEXT}  stays     the configuration asks for it"):
        assert words in said.out
    assert "would be deleted: run it with --yes" in said.out.splitlines()[-1]
    assert 0 == both.run("verify", RELEASE, NEXT, "--to", "oci:out").code


def test_deleted(both: Desk) -> None:
    """With --yes; JSON has all of it."""
    planned = both.run("prune", "--to", "oci:out", "-o", "json").document
    said = both.run("prune", "--yes", "--to", "oci:out", "-o", "json")

    assert (0, 1, False, True) == (said.code, said.document["schema"], planned["done"], said.document["done"])
    [before], [after] = planned["destinations"], said.document["destinations"]
    assert before == after
    assert {NEXT: False, RELEASE: True} == {each["release"]: each["goes"] for each in after["releases"]}
    assert f"web:{RELEASE}" in after["tags"]
    assert 0 < after["bytes"]
    assert 1 == both.run("verify", RELEASE, "--to", "oci:out").code
    assert 0 == both.run("verify", "--deep", "--to", "oci:out").code
    assert both.run("prune", "--yes", "--to", "oci:out").out.splitlines()[-1].endswith("nothing to delete")


def test_deleted_in_part(both: Desk, open_distribution: Distribution, path: str) -> None:
    """What the registry refused to delete is not called deleted, nor is its release; the next run goes on."""

    class Refusing(Gateway):
        behind = open_distribution.host

        def respond(self) -> None:
            is_refused = self.command == "DELETE" and "/web/" in self.path
            self.send(Response(405) if is_refused else self.forward(self.read_body() or b""))

    at = f"{open_distribution.host}/{path}"
    assert 0 == both.run("sync", RELEASE, NEXT, "--to", at).code
    with serving(Refusing) as host:
        said = both.run("prune", "--yes", "--to", f"{host}/{path}")
    after = both.run("prune", "--yes", "--to", at, "-o", "json")
    [rest] = after.document["destinations"]

    assert 1 == said.code
    assert f"{RELEASE}  unfinished  not the newest of edge" in said.out
    assert f"{NEXT}  kept " in said.out
    assert (0, [RELEASE], [f"web:{RELEASE}"]) == (after.code, rest["left"], rest["tags"])


def test_what_a_cluster_uses(both: Desk) -> None:
    """It stays, and where it runs is told."""
    (both.directory / "used").write_text(f"cr.l5d.io/linkerd/proxy:{RELEASE}\n")
    said = both.run("prune", "--in-use", "used", "--to", "oci:out")

    assert f"{RELEASE}  stays  cr.l5d.io/linkerd/proxy:{RELEASE} runs" in said.out
    assert said.out.splitlines()[-1].endswith("nothing to delete")


def test_without_rules(both: Desk) -> None:
    """Nothing is deleted, and nobody is asked."""
    both.configure(releases=["edge"])
    both.upstream.forget_requests()
    said = both.run("prune", "--yes", "--to", "oci:out")

    assert (0, "oci-out: nothing is deleted: [retention] has neither keep nor keep_for\n") == (said.code, said.out)
    assert [] == both.upstream.charts.requests
    assert 0 == both.run("verify", RELEASE, NEXT, "--to", "oci:out").code


def test_wants_that_are_not_known(both: Desk) -> None:
    """What a channel asks for is not guessed: exit code 1, and nothing is deleted."""
    down = {"edge": {"chart_repository": "http://127.0.0.1:1/edge"}}
    both.configure(releases=["edge"], channels=down, retention={"keep": {"edge": 1}})
    said = both.run("prune", "--yes", "--to", "oci:out")

    assert (1, "") == (said.code, said.out)
    assert 0 == both.run("verify", RELEASE, NEXT, "--to", "oci:out").code


@pytest.mark.parametrize(("content", "why"), [(None, "cannot be read"), ("two words", "is not an image")])
def test_wrong_input(both: Desk, content: str | None, why: str) -> None:
    """Exit code 2, one sentence."""
    if content:
        (both.directory / "used").write_text(content)
    said = both.run("prune", "--in-use", "used", "--to", "oci:out")

    assert (2, "") == (said.code, said.out)
    [sentence] = said.sentences
    assert why in sentence
