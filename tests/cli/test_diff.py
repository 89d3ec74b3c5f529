"""`mirror diff`: two releases, or upstream and the mirror."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Desk
from tests.content import image, index
from tests.servers.upstream import BASE, NEXT, RELEASE, two_platforms

WEB = f"cr.l5d.io/linkerd/web:{RELEASE}"


@pytest.fixture
def both(desk: Desk) -> Desk:
    """Upstream has two releases: the second's web is for one platform, its viz has another value."""
    desk.upstream.put(f"cr.l5d.io/linkerd/web:{NEXT}", index(image(BASE, b"web"), platforms=("linux/amd64",)))
    desk.upstream.put(f"cr.l5d.io/linkerd/proxy:{NEXT}", desk.upstream.images[f"cr.l5d.io/linkerd/proxy:{RELEASE}"])
    desk.upstream.publish(NEXT, viz_values={"prometheus": {"image": {"registry": "prom", "name": "prometheus",
                                            "tag": "v2.55.1", "pullPolicy": "Always"}}})  # fmt: skip
    return desk


def states(document: dict[str, Any]) -> dict[str, str]:
    return {each["image"].rpartition("/")[2].partition(":")[0]: each["state"] for each in document["images"]}


class TestReleases:
    def test_json(self, both: Desk) -> None:
        """Images by repository, with layers that are shared, platforms, and the values that changed."""
        said = both.run("diff", RELEASE, NEXT, "-o", "json")

        assert (4, 1) == (said.code, said.document["schema"])
        expected = {"controller": "changed", "proxy": "same", "web": "changed", "prometheus": "same"}
        assert expected == states(said.document)
        [web] = [each for each in said.document["images"] if each["image"] == "cr.l5d.io/linkerd/web"]
        assert (["linux/amd64", "linux/arm64"], ["linux/amd64"]) == (
            web["first"]["platforms"],
            web["second"]["platforms"],
        )
        assert {"count": 1, "bytes": len(BASE)} == web["layers"]["shared"]
        policy = {
            "chart": "linkerd-viz",
            "path": "prometheus.image.pullPolicy",
            "first": None,
            "second": '"Always"',
        }
        assert policy in said.document["values"]
        assert {"linkerdVersion", "prometheus.image.pullPolicy"} == {each["path"] for each in said.document["values"]}

    def test_lines(self, both: Desk) -> None:
        """What differs, and the sum of it."""
        said = both.run("diff", RELEASE, NEXT)

        assert "no longer linux/arm64" in said.out
        assert f'linkerd-viz: linkerdVersion: "{RELEASE}" → "{NEXT}"' in said.out
        assert said.out.splitlines()[-1].startswith("2 of 4 images differ, 2 do not; ")

    def test_with_itself(self, both: Desk) -> None:
        """Nothing differs."""
        assert 0 == both.run("diff", RELEASE, RELEASE).code

    def test_as_the_mirror_has_them(self, both: Desk) -> None:
        """The same of images, with no upstream; of values it says that it knows none."""
        both.run("sync", RELEASE, NEXT, "--to", "oci:out")
        upstream = both.run("diff", RELEASE, NEXT, "-o", "json").document
        both.upstream.forget_requests()
        mirror = both.run("diff", RELEASE, NEXT, "--to", "oci:out", "-o", "json").document

        assert upstream["images"] == mirror["images"]
        assert ([], ["values are not compared: a mirror's record has none"]) == (mirror["values"], mirror["notes"])
        assert [] == both.upstream.registry.requests + both.upstream.charts.requests

    def test_what_cannot_be_read(self, both: Desk) -> None:
        """It is told, the rest is compared, and the exit code says that not all is known."""
        both.upstream.remove(WEB)
        said = both.run("diff", RELEASE, NEXT, "-o", "json")

        assert (1, "unknown") == (said.code, states(said.document)["web"])
        assert "linkerd/web" in said.document["notes"][0]


class TestMirror:
    @pytest.mark.parametrize("platforms", ["all", ["linux/amd64"]])
    def test_in_step(self, desk: Desk, platforms: Any) -> None:
        """Nothing differs, with a platform filter too."""
        desk.configure(platforms=platforms)
        desk.run("sync", RELEASE, "--to", "oci:out")
        said = desk.run("diff", RELEASE, "--to", "oci:out", "-o", "json")

        assert 0 == said.code
        assert {"same"} == set(states(said.document).values())

    def test_what_moved_upstream(self, desk: Desk) -> None:
        """A tag, and a chart."""
        desk.run("sync", RELEASE, "--to", "oci:out")
        desk.upstream.put(WEB, two_platforms("another web"))
        desk.upstream.publish(RELEASE, viz_values={"new": 1})
        said = desk.run("diff", RELEASE, "--to", "oci:out", "-o", "json")

        assert 4 == said.code
        assert ["web"] == [name for name, state in states(said.document).items() if state == "changed"]
        [moved] = said.document["charts"]
        assert "the chart linkerd-viz" in moved

    def test_what_was_never_brought(self, desk: Desk) -> None:
        """Upstream alone has it."""
        web = desk.upstream.images[WEB]
        desk.upstream.remove(WEB)
        desk.run("sync", RELEASE, "--to", "oci:out")
        desk.upstream.put(WEB, web)
        said = desk.run("diff", RELEASE, "--to", "oci:out", "-o", "json")

        assert (4, "only_first") == (said.code, states(said.document)["web"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("x", RELEASE), "'x' is not"),
        ((RELEASE, "edge-26.1.1"), "has no edge-26.1.1"),
        (("edge:2", RELEASE), "name one"),
        ((RELEASE, "--to", "oci:out"), "has no record of"),
        ((RELEASE, NEXT, "--to", "oci:out"), "has no record of"),
    ],
)
def test_wrong_input(both: Desk, arguments: tuple[str, ...], why: str) -> None:
    """One sentence."""
    said = both.run("diff", *arguments)

    assert (2, "") == (said.code, said.out)
    [sentence] = said.sentences
    assert why in sentence
