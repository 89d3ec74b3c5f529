"""How ECR deletes, and what becomes of a mirror that is pruned there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mirror.destinations.ecr.api import EcrApi
from mirror.destinations.ecr.deleter import EcrDeleter
from mirror.errors import AccessDenied, RegistryError
from mirror.oci.content import Digest
from mirror.settings import Settings
from tests.content import Image, image, index
from tests.destinations.ecr.least import denied_to
from tests.runs import prune, sync, verify
from tests.servers.ecr import Ecr
from tests.servers.upstream import NEXT, RELEASE, Upstream, upstream_server

NAME = "linkerd/proxy"


def put(ecr: Ecr, what: Image, tag: str = "") -> None:
    """*what* is there, as somebody has pushed it."""
    for part in what.graph():
        for digest, data in part.blobs.items():
            begun = ecr.ask_behind("POST", f"/v2/{NAME}/blobs/uploads/")
            place = begun.headers["Location"].partition("/v2/")[2]
            ecr.ask_behind("PUT", f"/v2/{place}&digest={digest}", data)
        ecr.put_image(NAME, part.manifest.raw, part.manifest.media_type, tag=tag if part is what else "")


def tags(ecr: Ecr) -> set[str]:
    return {tag for one in ecr.repository(NAME).images for tag in one.image_tags}


@pytest.fixture
def there(ecr: Ecr) -> Image:
    """An index of two images, at two tags, in a repository of ECR."""
    ecr.create(NAME)
    found = index(image(b"a"), image(b"b"))
    put(ecr, found, "old")
    ecr.put_image(NAME, found.manifest.raw, found.manifest.media_type, tag="new")
    return found


class TestDeleter:
    async def test_a_tag_alone(self, ecr: Ecr, api: EcrApi, there: Image) -> None:
        """The image stays by its other tag."""
        await EcrDeleter(api).untag(NAME, ["old"])

        assert {"new"} == tags(ecr)
        assert 3 == len(ecr.repository(NAME).images)

    async def test_parents_before_what_they_list(self, ecr: Ecr, api: EcrApi, there: Image) -> None:
        """A call a wave: ECR refuses to delete what an index lists."""
        children = [child.digest for child in there.children]
        with pytest.raises(RegistryError, match=r"ecr:BatchDeleteImage \(ImageReferencedByManifestList: sha256:"):
            await EcrDeleter(api).delete(NAME, [children], ())
        await EcrDeleter(api).delete(NAME, [[there.digest], children], ())

        assert [] == ecr.repository(NAME).images

    async def test_what_is_gone(self, ecr: Ecr, api: EcrApi, there: Image) -> None:
        """It is no failure."""
        await EcrDeleter(api).delete(NAME, [[Digest.of(b"none"), there.digest]], ())

        assert set() == tags(ecr)

    async def test_many(self, ecr: Ecr, api: EcrApi, there: Image) -> None:
        """A hundred a call, as many as ECR takes."""
        await EcrDeleter(api).delete(NAME, [[Digest.of(bytes([number])) for number in range(201)]], ())

        asked = [len(call.asked["imageIds"]) for call in ecr.calls if call.action == "BatchDeleteImage"]
        assert [100, 100, 1] == asked

    async def test_who_may_not(self, ecr: Ecr, api: EcrApi, there: Image) -> None:
        """The statement that is missing is told."""
        ecr.denied.add("ecr:BatchDeleteImage")
        with pytest.raises(AccessDenied, match="ecr:BatchDeleteImage"):
            await EcrDeleter(api).delete(NAME, [[there.digest]], ())


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with upstream_server() as running:
        running.publish(RELEASE)
        running.publish(NEXT)
        yield running


@pytest.fixture
def settings(ecr: Ecr, upstream: Upstream, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Into *ecr*, of which the newest release is kept."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", ecr.url)
    ecr.put_image_rate = 1e6
    return upstream.settings(
        releases=[NEXT],
        registries={ecr.host: {"endpoint": ecr.url}},
        destinations={"test": {"kind": "ecr", "registry": ecr.host, "prefix": "linkerd"}},
        overrides={"directory": str(tmp_path / "overrides")},
        retention={"keep": {"edge": 1}},
    )


async def test_a_mirror_that_is_pruned(ecr: Ecr, settings: Settings) -> None:
    """With nothing but the documented permissions, tags immutable as they are by default; what stays is whole."""
    await sync(settings, RELEASE, NEXT)
    images: Callable[[], int] = lambda: sum(len(one.images) for one in ecr.backend.repositories.values())  # noqa: E731
    before = images()
    ecr.denied = denied_to("prune", ecr)
    planned = await prune(settings)
    unchanged = images()
    report = await prune(settings, yes=True)

    assert (0, before) == (planned.exit_code, unchanged)
    assert 0 == report.exit_code
    assert {NEXT} == tags(ecr)
    assert {f"{NEXT}"} == {tag for one in ecr.repository("linkerd/mirror-record").images for tag in one.image_tags}
    assert before - len(report.destinations[0].manifests) == images()
    assert (0, [NEXT]) == ((found := await verify(settings, deep=True)).exit_code, [r.release for r in found.releases])


async def test_who_may_not_delete(ecr: Ecr, settings: Settings) -> None:
    """The first refusal ends it: nothing is deleted, the record is there, and what is missing is told."""
    await sync(settings, RELEASE, NEXT)
    ecr.denied = denied_to("sync-create", ecr)
    report = await prune(settings, yes=True)

    assert 1 == report.exit_code
    assert "ecr:BatchDeleteImage" in report.destinations[0].problems[0]
    ecr.denied = set()
    assert 0 == (await verify(settings, RELEASE, NEXT)).exit_code
