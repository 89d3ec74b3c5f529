"""How Harbor deletes, and what becomes of a mirror that is pruned there."""

from __future__ import annotations

from mirror.settings import Settings
from tests.content import artifact, image
from tests.destinations.harbor.conftest import Site
from tests.runs import prune, sync, verify
from tests.servers.harbor_state import DELETES, PUSHES, immutable
from tests.servers.upstream import NEXT, RELEASE


async def mirrored(site: Site) -> Settings:
    """Two releases are there, of which the newest is kept; the controller of each has a signature and a bill."""
    site.upstream.publish(NEXT)
    for release in (RELEASE, NEXT):
        controller = site.upstream.images[f"cr.l5d.io/linkerd/controller:{release}"]
        site.upstream.registry.add("linkerd/controller", artifact("application/spdx+json", subject=controller))
        site.upstream.registry.add(
            "linkerd/controller", image(release.encode()), controller.digest.fallback_tag(".sig")
        )
    site.robot.may["*"] = PUSHES | DELETES
    tables = site.document() | {"releases": [NEXT], "retention": {"keep": {"edge": 1}}}
    settings = site.upstream.settings(**tables)
    assert 0 == (await sync(settings, RELEASE, NEXT)).exit_code
    return settings


async def test_a_mirror_that_is_pruned(site: Site) -> None:
    """By Harbor's own API, accessories and all; what stays is whole, and what frees the bytes is told."""
    settings = await mirrored(site)
    old = site.upstream.images[f"cr.l5d.io/linkerd/controller:{RELEASE}"]
    report = await prune(settings, yes=True)

    assert 0 == report.exit_code
    assert {NEXT, "v2.55.1", NEXT.replace("edge-", "20")} == {tag.partition(":")[2] for tag in site.tags()}
    held = site.project.artifacts[f"{site.name}/l5d/controller"]
    assert not {str(part.digest) for part in old.graph()} & held.keys()
    assert 5 == len(held)
    assert "Garbage Collection" in report.destinations[0].notes[0]
    assert (0, [NEXT]) == ((found := await verify(settings, deep=True)).exit_code, [r.release for r in found.releases])
    assert [] == site.harbor.asked("DELETE /v2/.*/manifests/.*")


async def test_a_tag_alone(site: Site) -> None:
    """Harbor deletes it, and the manifest stays by the tag of somebody else."""
    settings = await mirrored(site)
    repository = f"{site.name}/l5d/web"
    site.project.tags[repository]["ours"] = site.project.tags[repository][RELEASE]
    report = await prune(settings, yes=True)

    assert 0 == report.exit_code
    assert {"ours", NEXT} == site.project.tags[repository].keys()
    assert 6 == len(site.project.artifacts[repository])


async def test_an_immutable_tag_rule(site: Site) -> None:
    """It holds what is to go, which is told with what to do; the next run goes on."""
    settings = await mirrored(site)
    site.project.rules.append(immutable("l5d/web"))
    first = await prune(settings, yes=True)
    held = site.tags()
    site.project.rules.clear()
    second = await prune(settings, yes=True)

    assert 1 == first.exit_code
    [problem] = first.destinations[0].problems
    assert f"an immutable tag rule of the project {site.name} holds it" in problem
    assert "Tag Immutability" in problem
    assert f"web:{RELEASE}" in held
    assert not [told for told in (*first.destinations[0].tags, *first.destinations[0].manifests) if "web" in told]
    assert (RELEASE,) == tuple(map(str, first.destinations[0].unfinished))
    assert (0, [RELEASE]) == (second.exit_code, list(map(str, second.destinations[0].left)))
    assert {NEXT, "v2.55.1", NEXT.replace("edge-", "20")} == {tag.partition(":")[2] for tag in site.tags()}


async def test_a_robot_that_may_not(site: Site) -> None:
    """The permissions that it needs are told, and nothing is deleted."""
    settings = await mirrored(site)
    site.robot.may["*"] = PUSHES
    report = await prune(settings, yes=True)

    assert 1 == report.exit_code
    assert "Delete on Artifact" in report.destinations[0].problems[0]
    assert 0 == (await verify(settings, RELEASE, NEXT)).exit_code
