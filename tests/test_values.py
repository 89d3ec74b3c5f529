"""Values: written by rename, for whole charts, the same bytes each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mirror.errors import LayoutError
from mirror.values import write_file
from tests.linkerd import charts
from tests.runs import only, sync
from tests.servers.tools import require
from tests.servers.upstream import NEXT, RELEASE, Upstream, references, upstream_server


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with upstream_server() as running:
        running.publish()
        yield running


class TestWriteFile:
    def test_folders_are_made(self, tmp_path: Path) -> None:
        """And nothing else is left there."""
        path = write_file(tmp_path / "a" / "b.yaml", "x: 1\n")

        assert "x: 1\n" == path.read_text()
        assert [path] == list(path.parent.iterdir())
        assert 0o600 == path.stat().st_mode & 0o600

    def test_what_holds_it_already_is_left_alone(self, tmp_path: Path) -> None:
        """The same file, of the same time."""
        path = write_file(tmp_path / "b.yaml", "x: 1\n")
        before = path.stat()
        after = write_file(path, "x: 1\n").stat()

        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)

    def test_what_differs_is_replaced_by_rename(self, tmp_path: Path) -> None:
        """Who reads the old file reads on."""
        path = write_file(tmp_path / "b.yaml", "x: 1\n")
        with path.open() as reading:
            write_file(path, "x: 2\n")

            assert "x: 1\n" == reading.read()
        assert "x: 2\n" == path.read_text()

    @pytest.mark.parametrize("existing", ["directory", "not text"])
    def test_what_cannot_be_compared(self, tmp_path: Path, existing: str) -> None:
        """A directory is an error that names it; bytes that are no text give way."""
        path = tmp_path / "b.yaml"
        if existing == "directory":
            path.mkdir()
            with pytest.raises(LayoutError, match=r"b\.yaml cannot be written: Is a directory"):
                write_file(path, "x: 1\n")
        else:
            path.write_bytes(b"\xff\xfe")

            assert "x: 1\n" == write_file(path, "x: 1\n").read_text()

    @pytest.mark.parametrize("text", ["x: 1\n", "ä: 1\n"])
    def test_a_failure_leaves_nothing_behind(self, tmp_path: Path, text: str) -> None:
        """No half-written file beside it."""
        (tmp_path / "b.yaml").mkdir()
        with pytest.raises(LayoutError):
            write_file(tmp_path / "b.yaml", text)

        assert ["b.yaml"] == os.listdir(tmp_path)  # noqa: PTH208

    def test_below_a_file(self, tmp_path: Path) -> None:
        """One sentence."""
        (tmp_path / "a").write_text("")

        with pytest.raises(LayoutError, match=r"a/b\.yaml cannot be written: "):
            write_file(tmp_path / "a" / "b.yaml", "x: 1\n")


class TestSync:
    async def test_a_chart_that_no_value_can_point_at_the_mirror(self, upstream: Upstream, tmp_path: Path) -> None:
        """It is told by name; the images are in the mirror, and the other charts have their values."""
        template = charts.deployment("odd", ["image: cr.l5d.io/linkerd/{{.Values.web.image.name}}:" + RELEASE])
        upstream.publish(viz_templates={"templates/odd.yaml": template})
        destination = {"kind": "layout", "directory": str(tmp_path / "layout"), "pull_registry": "x.io/l5d"}
        settings = upstream.settings(
            destinations={"test": destination}, overrides={"directory": str(tmp_path / "overrides")}
        )
        for _ in range(2):
            report = await sync(settings)

            assert 1 == report.exit_code
            assert "linkerd-viz" in only(report).problem
            assert ["linkerd-control-plane.yaml", "linkerd-crds.yaml"] == [Path(f).name for f in only(report).overrides]

    async def test_digests_are_of_the_first_recording(self, upstream: Upstream, tmp_path: Path) -> None:
        """Another run at another time gives the same bytes; so does one after the mirror lost an image."""
        destination = {"kind": "layout", "directory": str(tmp_path / "layout"), "pull_registry": "x.io/l5d"}
        settings = upstream.settings(
            destinations={"test": destination}, overrides={"directory": str(tmp_path / "overrides")}
        )
        first = only(await sync(settings))
        texts = [Path(file).read_bytes() for file in first.overrides]
        from tests.runs import NOW

        for file in first.overrides:
            Path(file).unlink()
        (tmp_path / "layout" / "index.json").rename(tmp_path / "index.json")
        await sync(settings, now=NOW.replace(year=2027))
        (tmp_path / "index.json").rename(tmp_path / "layout" / "index.json")
        again = only(await sync(settings, now=NOW.replace(year=2028)))

        assert texts == [Path(file).read_bytes() for file in again.overrides]

    async def test_proven_by_helm(self, upstream: Upstream, tmp_path: Path) -> None:
        """Real Helm renders the charts with them; in step, the recorded proof is given, marked so."""
        helm = require("helm")
        destination = {"kind": "layout", "directory": str(tmp_path / "layout"), "pull_registry": "x.io/l5d"}
        settings = upstream.settings(
            destinations={"test": destination}, overrides={"directory": str(tmp_path / "overrides")}
        )
        first = only(await sync(settings, helm=helm))
        again = only(await sync(settings, helm=helm))

        assert ("proven", False, ()) == (first.proof, first.is_proof_recorded, first.proof_problems)
        assert ("proven", True) == (again.proof, again.is_proof_recorded)

    async def test_pinned_by_tag(self, upstream: Upstream, tmp_path: Path) -> None:
        """No digest in any value."""
        upstream.publish(NEXT)
        destination = {"kind": "layout", "directory": str(tmp_path / "layout"), "pull_registry": "x.io/l5d"}
        settings = upstream.settings(
            destinations={"test": destination}, overrides={"directory": str(tmp_path / "overrides"), "pin": "tag"}
        )
        report = only(await sync(settings, NEXT))

        viz = yaml.safe_load(Path(report.overrides[-1]).read_text())
        assert {"registry": "x.io/l5d", "name": "web", "tag": NEXT} == viz["web"]["image"]
        assert references(NEXT)[2].endswith(f"web:{NEXT}")
