"""Our client at ECR: each of its manners (registries.md, and the issues beside them in tests/servers/ecr) is met."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from mirror.destinations.ecr.dialect import EcrDialect
from mirror.destinations.ecr.host import PUT_IMAGE_PER_SECOND
from mirror.errors import AccessDenied, ManifestRefused, NotFound, RegistryError, TagTaken
from mirror.http.gate import Gate
from mirror.oci.copy import Copier, read_blob, read_graph
from mirror.oci.manifest import Manifest
from mirror.oci.referrers import Travelled, gathered, travel
from mirror.oci.registry import Registry, RegistryRepository
from tests.content import Image, artifact, blob, download, image, index, multi_platform, push, upload
from tests.http.naps import Naps
from tests.servers.client import open_registry
from tests.servers.ecr import Ecr, Tokens
from tests.servers.fake import FakeRegistry
from tests.servers.gateway import Gateway
from tests.servers.ingress import ingress
from tests.servers.loopback import serving

_NAME = "linkerd/proxy"
_OTHER = "linkerd/web"
_BASE = b"a layer that both have" * 1000
_IMAGE = image(_BASE, b"only here")
_MEGABYTE = 1024 * 1024
_IMMUTABLE = {
    "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "sha256-*"}],
}


class At:
    """The registry, as the program opens it, and what is brought to it."""

    def __init__(self, ecr: Ecr, tokens: Tokens, registry: Registry, source: Registry, upstream: FakeRegistry) -> None:
        self.ecr, self.tokens, self.registry, self.source, self.upstream = ecr, tokens, registry, source, upstream
        self.naps = Naps()
        self.naps.instead(registry.transport)
        self.naps.instead(source.transport)
        self.copier = Copier(sleep=self.naps)

    def __getitem__(self, name: str) -> RegistryRepository:
        return self.registry.repository(name)

    async def copy(self, what: Image, name: str = _NAME, tag: str = "v1", on_bytes: Any = lambda _count: None) -> None:
        """*what* is copied from upstream, as a sync does it."""
        self.upstream.add(name, what, tag)
        source, destination = self.source.repository(name), self[name]
        graph = await read_graph(source, await source.manifest(tag))
        await self.copier.copy(source, destination, graph, on_bytes=on_bytes)
        await self.copier.place(source, destination, graph.root, tag=tag)

    async def refer(self, *referrers: Image, subject: Image = _IMAGE) -> Travelled:
        """*referrers* are brought after *subject*, as a sync does it."""
        for referrer in referrers:
            self.upstream.add(_NAME, referrer)
        source = self.source.repository(_NAME)
        found = await gathered(source, subject.digest)
        return await travel(self.copier, source, self[_NAME], found)

    def puts(self, name: str = _NAME) -> list[str]:
        """The manifests that were sent to *name*: by what each was called."""
        return [seen.path.rpartition("/")[2] for seen in self.ecr.asked(f"PUT /v2/{name}/manifests/.*")]


@pytest.fixture
async def at(ecr: Ecr, fake: FakeRegistry) -> AsyncIterator[At]:
    """An ECR that has two repositories."""
    ecr.create(_NAME)
    ecr.create(_OTHER)
    tokens = Tokens(ecr)
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(
            open_registry(ecr.url, host=ecr.host, credentials=tokens, dialect=EcrDialect())
        )
        source = await stack.enter_async_context(open_registry(fake.url))
        opened = At(ecr, tokens, registry, source, fake)
        yield opened
        opened.copier.close()


class TestImmutableTags:
    """Every manifest is asked for before it is stored."""

    @pytest.fixture(autouse=True)
    def immutable(self, at: At) -> None:
        at.ecr.backend.repositories.clear()
        at.ecr.create(_NAME, **_IMMUTABLE)

    async def test_nothing_is_pushed_again(self, at: At) -> None:
        """A second copy of the same stores nothing: ECR refuses a tag that is there, be it the same."""
        what = multi_platform()
        await at.copy(what)
        await at.copy(what)

        assert 3 == len(at.puts())
        assert 5 == len(at.ecr.asked("PUT .*/blobs/uploads/.*"))

    async def test_children_go_by_digest(self, at: At) -> None:
        """Only the root has the tag (docker/buildx#663)."""
        what = multi_platform()
        await at.copy(what)

        *children, root = at.puts()
        assert {str(child.digest) for child in what.children} == set(children)
        assert ("v1", ("v1",)) == (root, await at[_NAME].tags())

    async def test_a_tag_that_is_taken(self, at: At) -> None:
        """Is a refusal with both digests, tried once; the image is there by its digest."""
        other = image(b"another")
        await at.copy(other)
        at.ecr.requests.clear()
        with pytest.raises(TagTaken, match="tags of this repository may not be changed") as refused:
            await at.copy(_IMAGE)

        assert all(str(what.digest) in str(refused.value) for what in (_IMAGE, other))
        assert ["v1"] == at.puts()
        assert other.digest == await at[_NAME].head("v1")

    async def test_an_answer_that_was_lost(self, at: At) -> None:
        """The tag is there when it is sent again, and refused, and right."""
        lost: list[str] = []

        class Losing(Gateway):
            behind = at.ecr.url.removeprefix("http://")

            def respond(self) -> None:
                body = self.read_body() or b""
                response = self.forward(body)
                if self.command == "PUT" and self.path.endswith("/manifests/v1") and not lost:
                    lost.append(self.path)
                    self.reset()
                else:
                    self.send(response)

        with serving(Losing) as host:
            at.registry.endpoint = f"http://{host}"
            await at.copy(_IMAGE)

            assert ["v1", "v1"] == at.puts()
            assert _IMAGE.digest == await at[_NAME].head("v1")

    async def test_the_fallback_tag_moves(self, at: At) -> None:
        """Where it is excluded from immutability, each referrer is listed there."""
        at.ecr.lists_referrers = False
        await at.copy(_IMAGE)
        first, second = (image(text, subject=_IMAGE) for text in (b"one", b"two"))

        travelled = [await at.refer(first), await at.refer(second)]

        listed = await at[_NAME].manifest(_IMAGE.digest.fallback_tag())
        assert [(), ()] == [one.problems for one in travelled]
        assert {first.digest, second.digest} == {child.digest for child in listed.children}

    async def test_the_fallback_tag_where_it_may_not(self, at: At) -> None:
        """It is told, and the image is good."""
        at.ecr.lists_referrers = False
        at.ecr.backend.repositories.clear()
        at.ecr.create(_NAME, imageTagMutability="IMMUTABLE")
        await at.copy(_IMAGE)
        await at.refer(image(b"one", subject=_IMAGE))

        (problem,) = (await at.refer(image(b"two", subject=_IMAGE))).problems

        assert problem.startswith(f"{_IMAGE.digest.fallback_tag()}: ")
        assert "tags of this repository may not be changed" in problem
        assert _IMAGE.digest == await at[_NAME].head("v1")


class TestManifests:
    """What ECR does not take is named."""

    @pytest.mark.parametrize("takes", [False, True])
    async def test_a_referrer_that_it_may_not_take(self, at: At, takes: bool) -> None:
        """The image is good without it, and it is told why; the others are there, and linked."""
        at.ecr.takes_artifact_types = takes
        await at.copy(_IMAGE)
        bill, signature = artifact("application/spdx+json", subject=_IMAGE), image(b"signature", subject=_IMAGE)

        travelled = await at.refer(bill, signature)

        brought = {signature.digest} | ({bill.digest} if takes else set())
        assert brought == set(travelled.digests) == {one.digest for one in await at[_NAME].referrers(_IMAGE.digest)}
        assert not travelled.is_worth_another_try
        assert ("v1",) == await at[_NAME].tags()
        if not takes:
            (problem,) = travelled.problems
            assert [bill.manifest] == [one.manifest for one in travelled.untaken]
            assert problem.startswith(f"{bill.digest}: {at.ecr.host}/{_NAME}@{bill.digest}: ECR refused PUT (405")
            assert "it has both subject and artifactType (aws/containers-roadmap#2783)" in problem

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda view: view.pop("mediaType"), "it has no mediaType of its own"),
            (lambda view: view["config"].update(annotations={"a": "b"}), "config has annotations"),
            (lambda view: view["layers"][1].update(data="eA=="), r"layers\[1\] has embedded data"),
        ],
    )
    async def test_an_image_that_it_does_not_take(self, at: At, change: Any, told: str) -> None:
        """Fails by name, at the first try, and has no tag."""
        view = json.loads(_IMAGE.manifest.raw)
        change(view)
        what = Image(Manifest.parse(json.dumps(view).encode(), where="a test"), _IMAGE.blobs)

        with pytest.raises(ManifestRefused, match=f"{told}.*: a manifest is copied byte for byte"):
            await at.copy(what)
        assert ["v1"] == at.puts()
        assert await at[_NAME].head("v1") is None

    async def test_an_index_that_it_does_not_take(self, at: At) -> None:
        """Its images are there, by their digests."""
        what = multi_platform()
        view = json.loads(what.manifest.raw)
        view["manifests"][1]["platform"]["features"] = ["sse4"]
        raw = json.dumps(view).encode()
        odd = Image(Manifest.parse(raw, where="a test"), children=what.children)

        with pytest.raises(ManifestRefused, match=r"manifests\[1\] has platform\.features"):
            await at.copy(odd)
        assert [child.manifest for child in what.children] == [
            await at[_NAME].manifest(c.digest) for c in what.children
        ]

    async def test_no_digest_with_a_manifest(self, at: At) -> None:
        """It is known by its bytes."""
        await at.copy(_IMAGE)

        assert _IMAGE.manifest == await at[_NAME].manifest("v1")

    async def test_a_child_that_is_missing(self, at: At) -> None:
        """No sparse indexes: it is refused, with the code that says what is to be brought."""
        with pytest.raises(RegistryError, match="Images with digests") as refused:
            await at[_NAME].put_manifest(index(_IMAGE).manifest, tag="v1")

        assert ("MANIFEST_BLOB_UNKNOWN",) == refused.value.codes

    async def test_layers_that_were_cleaned_up(self, at: At) -> None:
        """What no image names may be gone (LayerInaccessibleException): it is asked for, and brought, again."""
        await at.copy(_IMAGE, tag="before")
        for digest in _IMAGE.blobs:
            at.ecr.ask_behind("DELETE", f"/v2/{_NAME}/blobs/{digest}")
        at.ecr.backend.repositories[_NAME].images.clear()
        at.ecr.ask_behind("DELETE", f"/v2/{_NAME}/manifests/{_IMAGE.digest}")
        await at.copy(_IMAGE)

        graph = await read_graph(at[_NAME], await at[_NAME].manifest("v1"))
        await asyncio.gather(*(read_blob(at[_NAME], one, at.copier._threads) for one in graph.blobs))


class TestPutImage:
    """Ten a second are let in."""

    @pytest.fixture(autouse=True)
    def by_naps(self, at: At) -> None:
        at.ecr.now = at.naps.now

    async def tag(self, at: At, count: int) -> None:
        """So many manifests are stored, one after the other."""
        await push(at[_NAME], _IMAGE)
        for number in range(count):
            await at[_NAME].put_manifest(_IMAGE.manifest, tag=f"v{number}")

    async def test_what_is_too_much_is_waited_for(self, at: At) -> None:
        """ECR does not say how long."""
        at.ecr.put_image_rate = 4
        await self.tag(at, 12)

        assert 12 == len(await at[_NAME].tags())
        assert 13 < len(at.puts())
        assert at.naps.taken

    async def test_it_is_never_too_much(self, at: At) -> None:
        """The program stores eight a second, whatever else goes on."""
        at.registry.manifest_puts = Gate(per_second=PUT_IMAGE_PER_SECOND, sleep=at.naps, now=at.naps.now)
        await self.tag(at, 60)

        assert 61 == len(at.puts())
        assert [] == [nap for nap in at.naps.taken if nap > 1 / PUT_IMAGE_PER_SECOND]

    async def test_it_is_too_much_for_long(self, at: At) -> None:
        """Others use the account, too: it is told."""
        at.ecr.put_image_rate = 0

        with pytest.raises(RegistryError, match=r"Rate exceeded.*a quota of the account in this region") as refused:
            await self.tag(at, 1)
        assert (429, True) == (refused.value.status, refused.value.is_temporary)


class TestBlobs:
    """Blobs are mounted, uploaded whole, and read from elsewhere."""

    def _sent(self, at: At, name: str) -> tuple[int, int]:
        """The uploads that were begun at *name*, and the bodies that were sent there."""
        uploads = rf"/v2/{name}/blobs/uploads/"
        begun = [seen for seen in at.ecr.asked(f"POST {uploads}.*") if "authorization" in seen.headers]
        return len(begun), len(at.ecr.asked(f"P(ATCH|UT) {uploads}.+"))

    async def test_mounted_where_the_account_has_it(self, at: At) -> None:
        """What an image of this run names already is not sent again."""
        at.ecr.settings["BLOB_MOUNTING"] = "ENABLED"
        await at.copy(_IMAGE)
        other = image(_BASE, b"only there")
        await at.copy(other, _OTHER)

        assert (3, 2) == self._sent(at, _OTHER)
        assert [] == [blob for blob in other.manifest.blobs if not await at[_OTHER].has_blob(blob)]

    async def test_not_mounted_where_it_has_not(self, at: At) -> None:
        """The session that is answered with is used: nothing is begun twice."""
        await at.copy(_IMAGE)
        await at.copy(image(_BASE, b"only there"), _OTHER)

        assert (3, 3) == self._sent(at, _OTHER)
        assert 1 == len(at.ecr.asked(f"POST .*{_OTHER}/.*mount=.*"))

    async def test_what_no_manifest_names_is_not_waited_for(self, at: At) -> None:
        """Two images at once, which share a layer (aws/containers-roadmap#2860)."""
        at.ecr.settings["BLOB_MOUNTING"] = "ENABLED"
        other = image(_BASE, b"only there")
        await asyncio.gather(at.copy(_IMAGE), at.copy(other, _OTHER))

        for name, what in ((_NAME, _IMAGE), (_OTHER, other)):
            assert [] == [blob for blob in what.manifest.blobs if not await at[name].has_blob(blob)]

    async def test_one_body_for_a_blob(self, at: At) -> None:
        """However large: nothing is sent in parts of a size that ECR would have to like."""
        promise = await upload(at[_NAME], bytes(12 * _MEGABYTE))

        assert (1, 1) == self._sent(at, _NAME)
        assert promise.size == len(await download(at[_NAME], promise))

    async def test_in_chunks(self, at: At) -> None:
        """Where a proxy wants it: of five to ten mebibytes, whatever ECR says that it has (containers-roadmap#2831)."""
        what = image(b"".join(bytes([number]) * _MEGABYTE for number in range(22)))
        with ingress(at.ecr.url.removeprefix("http://"), body_max=6 * _MEGABYTE) as front:
            at.registry.endpoint = front.url
            await at.copy(what)
            promise = what.manifest.blobs[1]

            assert what.blobs[promise.digest] == await download(at[_NAME], promise)
        sizes = [int(seen.headers["content-length"]) for seen in at.ecr.asked("PATCH .*")]
        assert [5 * _MEGABYTE] * 4 + [2 * _MEGABYTE] == sizes

    async def test_read_from_a_bucket(self, at: At) -> None:
        """Which gets no Authorization of ours, and gives the rest where it broke off."""
        at.ecr.redirects_blobs = True
        promise = await upload(at[_NAME], b"a layer")

        assert b"a layer" == await download(at[_NAME], promise)
        body = await at[_NAME].open_blob(promise, offset=2)
        buffer = memoryview(bytearray(100))
        count = await asyncio.to_thread(body.readinto, buffer)
        body.close()
        assert b"layer" == bytes(buffer[:count])
        assert [None, None] == [seen.headers.get("authorization") for seen in at.ecr.bucket_requests]
        assert [None, "bytes=2-"] == [seen.headers.get("range") for seen in at.ecr.bucket_requests]

    async def test_every_tag(self, at: At) -> None:
        """A thousand a page: one more is an error."""
        await at.copy(_IMAGE)
        (stored,) = at.ecr.backend.repositories[_NAME].images
        stored.image_tags = [f"v{number}" for number in range(2300)]

        assert 2300 == len(await at[_NAME].tags())
        assert 3 == len(at.ecr.asked("GET .*/tags/list.*"))


class TestTokens:
    """A token lasts twelve hours, and is renewed once when it does not."""

    async def test_in_the_middle_of_a_run(self, at: At) -> None:
        """Whatever is asked next: a HEAD cannot be told why, a GET and a PUT can."""
        await at.copy(_IMAGE)
        for number, ask in enumerate(
            (
                lambda: at[_NAME].head("v1"),
                lambda: at[_NAME].manifest("v1"),
                lambda: at[_NAME].put_manifest(_IMAGE.manifest, tag="v2"),
                lambda: upload(at[_NAME], b"more"),
                at[_NAME].tags,
                lambda: at[_NAME].referrers(_IMAGE.digest),
                lambda: at[_NAME].has_blob(_IMAGE.manifest.blobs[0]),
            )
        ):
            at.ecr.expire_tokens()
            await ask()
            assert number + 2 == at.tokens.given

    async def test_for_many_at_once(self, at: At) -> None:
        """One new token does for all."""
        await at.copy(_IMAGE)
        at.ecr.expire_tokens()

        heads = await asyncio.gather(*(at[_NAME].head("v1") for _ in range(12)))

        assert {_IMAGE.digest} == set(heads)
        assert 2 == at.tokens.given

    async def test_while_a_blob_is_sent(self, at: At) -> None:
        """It is sent again, whole, with another one."""
        expired: list[int] = []

        def expire(count: int) -> None:
            if count > _MEGABYTE // 8 and not expired:
                expired.append(count)
                at.ecr.expire_tokens()

        await at.copy(image(bytes(3 * _MEGABYTE)), on_bytes=expire)

        assert expired
        assert 2 == at.tokens.given
        assert await at[_NAME].head("v1")

    async def test_before_a_blob_is_read(self, at: At) -> None:
        """From ECR, as from a mirror of another account."""
        await at.copy(_IMAGE)
        there = at.source.repository("linkerd/there")
        graph = await read_graph(at[_NAME], _IMAGE.manifest)
        at.ecr.expire_tokens()
        copier = Copier(sleep=at.naps)
        await copier.copy(at[_NAME], there, graph)
        copier.close()

        assert [] == [blob for blob in graph.blobs if not await there.has_blob(blob)]
        assert 2 == at.tokens.given

    async def test_for_ever(self, at: At) -> None:
        """It is asked for a few times, not without end, and the sentence is about tokens."""
        at.ecr.token_life_s = -1

        with pytest.raises(AccessDenied, match=r"authorization token has expired\. .*a token lasts twelve hours"):
            await at[_NAME].head("v1")
        assert 10 > at.tokens.given

    async def test_none_at_all(self, ecr: Ecr) -> None:
        """What is missing are AWS credentials."""
        async with open_registry(ecr.url, host=ecr.host, dialect=EcrDialect()) as registry:
            with pytest.raises(AccessDenied, match="check that there are AWS credentials"):
                await registry.repository(_NAME).head("v1")

    async def test_it_is_told_to_nobody(self, at: At) -> None:
        """Neither by an error nor by what is left of it."""
        await at.copy(_IMAGE)
        at.ecr.denied.add("ecr:BatchGetImage")
        with pytest.raises(AccessDenied) as refused:
            await at[_NAME].manifest("v1")

        told = f"{refused.value!r} {vars(refused.value)} {at.registry.auth._credential!r}"
        assert [] == [token for token in at.ecr.tokens if token in told]


class TestPermissions:
    """What the principal may not do is told in AWS's words, with where the right policy is."""

    @pytest.mark.parametrize(
        ("action", "ask"),
        [
            ("ecr:BatchGetImage", lambda at: at[_NAME].head("v1")),
            ("ecr:BatchGetImage", lambda at: at[_NAME].manifest("v1")),
            ("ecr:ListImages", lambda at: at[_NAME].tags()),
            ("ecr:InitiateLayerUpload", lambda at: upload(at[_NAME], b"more")),
            ("ecr:CompleteLayerUpload", lambda at: upload(at[_NAME], b"more")),
            ("ecr:PutImage", lambda at: at[_NAME].put_manifest(_IMAGE.manifest, tag="v2")),
            ("ecr:GetDownloadUrlForLayer", lambda at: download(at[_NAME], blob(_BASE))),
        ],
    )
    async def test_what_is_missing(self, at: At, action: str, ask: Any) -> None:
        """The action is named, also where a HEAD was refused; and the token is not given up for none."""
        await at.copy(_IMAGE)
        at.ecr.requests.clear()
        at.ecr.denied.add(action)
        arn = f"arn:aws:ecr:eu-west-1:123456789012:repository/{_NAME}"

        with pytest.raises(AccessDenied, match=re.escape(f'"Action": "{action}", "Resource": "{arn}"')):
            await ask(at)
        assert [] == [seen for seen in at.ecr.requests if "authorization" not in seen.headers]

    async def test_where_another_may(self, at: At) -> None:
        """A repository that may not be read does not spoil the others."""
        await at.copy(_IMAGE)
        at.ecr.denied.add("ecr:BatchGetImage")
        with pytest.raises(AccessDenied):
            await at[_NAME].head("v1")
        at.ecr.denied.clear()

        assert _IMAGE.digest == await at[_NAME].head("v1")


class TestRepositories:
    """One that does not exist is empty to who reads, and an error to who writes."""

    @pytest.fixture(autouse=True)
    def none(self, at: At) -> None:
        at.ecr.backend.repositories.clear()

    async def test_it_is_empty(self, at: At) -> None:
        """And nothing is learned from it about the registry."""
        assert await at[_NAME].head("v1") is None
        assert () == await at[_NAME].tags()
        assert () == await at[_NAME].referrers(_IMAGE.digest)
        assert not at.registry.lacks_referrers_api

    async def test_it_is_not_written_to(self, at: At) -> None:
        """What would help is told."""
        with pytest.raises(NotFound, match=r'does not exist.*repository_creation = "explicit".*CREATE_ON_PUSH'):
            await at.copy(_IMAGE)

    async def test_it_is_made_by_a_push(self, at: At) -> None:
        """Where the account has a template for it."""
        at.ecr.templates["linkerd"] = _IMMUTABLE
        await at.copy(_IMAGE)

        assert "IMMUTABLE_WITH_EXCLUSION" == at.ecr.repository(_NAME).image_tag_mutability

    async def test_it_is_full(self, at: At) -> None:
        """A 403 that no credential helps (aws/containers-roadmap#2159)."""
        at.ecr.create(_NAME)
        at.ecr.images_max = 0

        with pytest.raises(RegistryError, match="a quota and not a matter of credentials") as refused:
            await at.copy(_IMAGE)
        assert not isinstance(refused.value, AccessDenied)
