"""`mirror verify`: whether the mirror is still what was recorded."""

from __future__ import annotations

import json

from mirror.oci.content import Digest
from tests.cli.conftest import Desk
from tests.servers.upstream import BASE, NEXT, RELEASE, references

WEB = references()[2]


def test_in_step_without_upstream(desk: Desk) -> None:
    """One line a release, and what was looked at."""
    desk.run("sync", "--to", "oci:out")
    desk.configure(
        channels={"edge": {"chart_repository": "http://127.0.0.1:1/edge"}},
        registries={"ghcr.io": {"endpoint": "http://127.0.0.1:1"}},
    )
    shallow, deep = desk.run("verify", "--to", "oci:out"), desk.run("verify", "--to", "oci:out", "--deep")

    assert (0, 0) == (shallow.code, deep.code)
    assert f"{RELEASE} at oci-out: in step: 4 images and 3 charts, manifests read, blobs present\n" == shallow.out
    assert "every byte read" in deep.out


def test_a_flipped_byte(desk: Desk) -> None:
    """Found by --deep; exit code 4, each image that needs the blob."""
    desk.run("sync", "--to", "oci:out")
    blob = desk.directory / "out" / "blobs" / "sha256" / Digest.of(BASE).hex
    blob.chmod(0o644)
    blob.write_bytes(b"A" + BASE[1:])
    shallow, deep = desk.run("verify", "--to", "oci:out"), desk.run("verify", "--to", "oci:out", "--deep", "-o", "json")

    assert (0, 4) == (shallow.code, deep.code)
    [release] = deep.document["releases"]
    assert ["not_in_step"] * 4 == [image["outcome"] for image in release["images"]]
    assert all(Digest.of(BASE).hex in image["problems"][0] for image in release["images"])


def test_a_missing_tag(desk: Desk) -> None:
    """Exit code 4, and the tag is named."""
    desk.run("sync", "--to", "oci:out")
    path = desk.directory / "out" / "index.json"
    index = json.loads(path.read_text())
    name = f"web:{RELEASE}"
    index["manifests"] = [
        entry for entry in index["manifests"] if entry["annotations"]["org.opencontainers.image.ref.name"] != name
    ]
    path.write_text(json.dumps(index))
    said = desk.run("verify", RELEASE, "--to", "oci:out")

    assert 4 == said.code
    assert f"{WEB}: oci:out:web:{RELEASE} names nothing" in said.out
    assert f"{RELEASE} at oci-out: not in step" in said.out


def test_nothing_recorded(desk: Desk) -> None:
    """It is said, and is no success; no directory is made."""
    said = desk.run("verify", "--to", "oci:out")
    named = desk.run("verify", NEXT, "--to", "oci:out", "-o", "json")

    assert (1, 1) == (said.code, named.code)
    assert "nothing is recorded at oci:out" in said.out
    assert NEXT in named.document["releases"][0]["reason"]
    assert not (desk.directory / "out").exists()


def test_wrong_input(desk: Desk) -> None:
    """What was typed is named."""
    said = desk.run("verify", "edge-26", "--to", "oci:out")

    assert 2 == said.code
    assert said.sentences[0].startswith("'edge-26' is not a release")


def test_a_channel(desk: Desk) -> None:
    """Its newest that is recorded; upstream is not asked what is newer."""
    desk.upstream.publish(NEXT)
    desk.upstream.publish("edge-26.8.10")
    assert 0 == desk.run("sync", RELEASE, NEXT, "--to", "oci:out").code
    desk.upstream.forget_requests()
    newest, two = (desk.run("verify", asked, "--to", "oci:out", "-o", "json") for asked in ("edge", "edge:2"))
    none = desk.run("verify", "stable", "--to", "oci:out")

    assert (0, 0, 1) == (newest.code, two.code, none.code)
    assert [NEXT] == [release["release"] for release in newest.document["releases"]]
    assert [NEXT, RELEASE] == [release["release"] for release in two.document["releases"]]
    assert "nothing of stable is recorded at oci:out" in none.out
    assert [] == [*desk.upstream.registry.requests, *desk.upstream.charts.requests]


def test_out_of_reach(desk: Desk) -> None:
    """Exit code 1."""
    said = desk.run("verify", "--to", "127.0.0.1:1/l5d")

    assert 1 == said.code
    assert "127.0.0.1:1" in said.out
