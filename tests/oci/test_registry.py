"""One registry, by the distribution specification: what only a server that misbehaves can show."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mirror.errors import (
    AccessDenied,
    ContentError,
    ImmutableTag,
    ManifestError,
    MirrorError,
    NotFound,
    RegistryError,
    TagTaken,
    Unreachable,
)
from mirror.http.answer import Answer
from mirror.http.proxies import Proxies
from mirror.oci import registry as registries
from mirror.oci.content import Digest
from mirror.oci.dialect import Dialect
from mirror.oci.manifest import OCI_INDEX, OCI_MANIFEST, Manifest
from mirror.oci.registry import Allowance, Registry, RegistryRepository, next_link
from tests.content import artifact, blob, download, image, index, multi_platform, push, upload
from tests.http.naps import Naps
from tests.servers.certificates import Certificates
from tests.servers.client import open_registry
from tests.servers.distribution import Distribution
from tests.servers.fake import (
    ALWAYS,
    FakeRegistry,
    Fault,
    Harm,
    Manners,
    Stored,
    answer,
    becomes,
    bytes_are,
    corrupt,
    fake_registry,
    header,
    redirect,
    refusal,
)
from tests.servers.loopback import Response
from tests.servers.proxy import Proxy

_NAME = "linkerd/proxy"
_IMAGE = image(b"a layer")


@pytest.fixture
async def registry(fake: FakeRegistry) -> AsyncIterator[Registry]:
    async with open_registry(fake.url) as opened:
        Naps().instead(opened.transport)
        yield opened


@pytest.fixture
def repository(registry: Registry, fake: FakeRegistry) -> RegistryRepository:
    """Which has an image."""
    fake.add(_NAME, _IMAGE, "v1")
    return registry.repository(_NAME)


# Lists


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", None),
        ('</v2/a?last=b>; rel="next"', "/v2/a?last=b"),
        ("</v2/a>; rel=next", "/v2/a"),
        ("</v2/a>;rel=NEXT", "/v2/a"),
        ('<https://h/a?x=1,2>; title="b"; rel="prev next"', "https://h/a?x=1,2"),
        ('</first>; rel="first", </next>; rel="next"', "/next"),
        ('</next>; rel="nextish"', None),
        ("</next>", None),
        ("/next; rel=next", None),
    ],
)
def test_links(value: str, expected: str | None) -> None:
    """RFC 8288 §3."""
    assert expected == next_link(value)


@given(st.text())
@example("<" * 60_000)
@example("<a>" + ";a=b" * 15_000)
@example('<a>;rel="' + "n " * 30_000)
def test_any_link_is_one_or_none(value: str) -> None:
    """Whatever a server says; in linear time: some ms for the longest that http.client lets through."""
    begin = time.process_time()
    got = next_link(value)

    assert got is None or isinstance(got, str)
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("links", ["relative", "absolute"])
async def test_tags_by_pages(fake: FakeRegistry, repository: RegistryRepository, links: str) -> None:
    """Each page once, by the links as they come; also of one that is empty."""
    fake.manners.page_size, fake.manners.page_links = 2, links  # type: ignore[assignment]
    for number in range(5):
        fake.repositories[_NAME].tags[f"w{number}"] = _IMAGE.digest
    fake.faults.append(Fault(".*last=w0.*", becomes(bytes_are(b'{"tags": null}'))))

    assert ("v1", "w0", "w3", "w4") == await repository.tags()
    assert 3 == len(fake.requests)


async def test_what_is_listed_and_is_no_tag(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Is left out: nobody can ask for it, and in a URL it would be something else."""
    listed = json.dumps({"tags": ["v1", "caf\xe9", "\ud800", "", "../../other/manifests/v1", "a b", None, 3, ["v1"]]})
    fake.faults.append(Fault("GET .*/tags/list.*", answer(200, listed.encode())))

    assert ("v1",) == await repository.tags()


@pytest.mark.parametrize("what", ["tags", "referrers"])
async def test_pages_that_go_round(fake: FakeRegistry, repository: RegistryRepository, what: str) -> None:
    """Are given up where one comes again, in one sentence."""
    at = {"tags": "tags/list", "referrers": f"referrers/{_IMAGE.digest}"}[what]
    endless = becomes(header(Link=f'</v2/{_NAME}/{at}?n=1>; rel="next"'))
    fake.faults.append(Fault(f"GET .*/{at}.*", endless, times=ALWAYS))

    with pytest.raises(RegistryError, match=f"{fake.host}/{_NAME}.* .{what}.: the pages do not end: after 2 "):
        await (repository.tags() if what == "tags" else repository.referrers(_IMAGE.digest))

    assert 2 == len(fake.requests)


async def test_pages_without_end(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Are given up after many."""
    numbers = itertools.count()
    endless = becomes(lambda answered: answered.having(Link=f'<list?page={next(numbers)}>; rel="next"'))
    fake.faults.append(Fault("GET .*/tags/list.*", endless, times=ALWAYS))

    with pytest.raises(RegistryError, match=f"the pages do not end: after {registries._PAGES_MAX} "):
        await repository.tags()


@pytest.mark.parametrize("what", ["tags", "referrers"])
@pytest.mark.parametrize("there", ["http://other.example/v2/x", "//other.example/v2/x", "http://[bad/", "ftp://x/"])
async def test_a_next_page_elsewhere(fake: FakeRegistry, repository: RegistryRepository, what: str, there: str) -> None:
    """Is refused: it would get our credential."""
    fake.faults.append(Fault("GET .*", becomes(header(Link=f'<{there}>; rel="next"'))))

    with pytest.raises(MirrorError, match="next page"):
        await (repository.tags() if what == "tags" else repository.referrers(_IMAGE.digest))

    assert 1 == len(fake.requests)


async def test_a_next_page_that_forgets_tls(certificates: Certificates) -> None:
    """A registry behind TLS that calls itself http is taken at https, as with redirects."""
    with fake_registry(certificates=certificates) as fake:
        fake.add(_NAME, _IMAGE, "v1")
        fake.repositories[_NAME].tags["v2"] = _IMAGE.digest
        fake.manners.page_size = 1
        link = f'<http://{fake.host}/v2/{_NAME}/tags/list?n=1&last=v1>; rel="next"'
        fake.faults.append(Fault("GET .*", becomes(header(Link=link))))
        async with open_registry(fake.url, ca_file=str(certificates.authority)) as registry:
            assert ("v1", "v2") == await registry.repository(_NAME).tags()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"tags": 5}', b"[" * 100_000], ids=["html", "list", "5", "deep"])
async def test_a_list_that_is_none(fake: FakeRegistry, repository: RegistryRepository, body: bytes) -> None:
    """One sentence."""
    fake.faults.append(Fault("GET .*", answer(200, body)))

    with pytest.raises(RegistryError, match="the list of tags cannot be read"):
        await repository.tags()


# Referrers


@pytest.mark.parametrize("manners", ["api", "absent", "page"])
async def test_referrers(fake: FakeRegistry, repository: RegistryRepository, manners: str) -> None:
    """By the API's pages, or by the fallback tag; an API known to be absent is not asked again, for any image."""
    fake.manners.referrers, fake.manners.page_size = manners, 2  # type: ignore[assignment]
    found = [artifact("application/vnd.example.note", str(number).encode(), subject=_IMAGE) for number in range(5)]
    for one in found:
        fake.add(_NAME, one)
    fake.add(_NAME, index(*found), _IMAGE.digest.fallback_tag())

    for _ in range(2):
        listed = await repository.referrers(_IMAGE.digest)
        assert {one.digest for one in found} == {descriptor.digest for descriptor in listed}
    assert () == await repository.registry.repository("linkerd/other").referrers(_IMAGE.digest)

    asked = len(fake.asked("GET .*/referrers/.*"))
    assert (3 * 2 + 1 if manners == "api" else 1) == asked
    assert [] == fake.asked(".*/-/v2/packages/.*")


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_api_that_is_only_down(fake: FakeRegistry, repository: RegistryRepository, status: int) -> None:
    """Is not taken for one that is not there."""
    fake.faults.append(Fault("GET .*/referrers/.*", answer(status), times=5))

    with pytest.raises(RegistryError):
        await repository.referrers(_IMAGE.digest)
    assert () == await repository.referrers(_IMAGE.digest)
    assert 6 == len(fake.asked("GET .*/referrers/.*"))


async def test_a_fallback_tag_that_is_no_index(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Lists nothing."""
    fake.manners.referrers = "absent"
    fake.repositories[_NAME].tags[_IMAGE.digest.fallback_tag()] = _IMAGE.digest

    assert () == await repository.referrers(_IMAGE.digest)


# Manifests


async def test_schema_1(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Is refused by name."""
    raw = json.dumps({"schemaVersion": 1, "name": "x", "fsLayers": []}).encode()
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    fake.faults.append(Fault("GET .*", answer(200, raw, Content_Type=kind)))

    with pytest.raises(ManifestError, match=f"{fake.host}/{_NAME}:v1: this is a Docker schema 1 manifest"):
        await repository.manifest("v1")


async def test_a_manifest_that_is_too_large(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """One byte more than the specification expects a registry to take."""
    fake.faults.append(Fault("GET .*", becomes(bytes_are(b" " * (4 * 1024 * 1024 + 1))), times=ALWAYS))

    with pytest.raises(ContentError, match="larger than 4194304 bytes"):
        await repository.manifest("v1")


@pytest.mark.parametrize("by_digest", [True, False], ids=["by digest", "by tag"])
async def test_bytes_that_are_not_what_was_named(
    fake: FakeRegistry, repository: RegistryRepository, by_digest: bool
) -> None:
    """By us, or by the registry's own header."""
    fake.faults.append(Fault("GET .*", becomes(corrupt), times=ALWAYS))

    with pytest.raises(ContentError, match=f"{fake.host}/{_NAME}.*: the bytes of {_IMAGE.digest} have the digest"):
        await repository.manifest(_IMAGE.digest if by_digest else "v1")


async def test_a_head_without_a_digest(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Is followed by a GET."""
    fake.manners.names_digest = False

    assert _IMAGE.digest == await repository.head("v1")
    assert ["HEAD", "GET"] == [seen.method for seen in fake.requests]


async def test_a_head_that_is_refused_without_words(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """412 has a reason, which the answer to GET says; if GET is answered after all, so is the question."""
    fake.faults += [Fault("HEAD .*/manifests/v1", answer(412), times=2)]
    fake.faults += [Fault("GET .*/manifests/v1", refusal(412, "PROJECTPOLICYVIOLATION", "not signed"))]

    with pytest.raises(RegistryError, match="not signed") as caught:
        await repository.head("v1")
    assert ("PROJECTPOLICYVIOLATION",) == caught.value.codes
    assert _IMAGE.digest == await repository.head("v1")


@pytest.mark.parametrize("stated", ["sha256:1", "nonsense", "md5:" + "0" * 32])
async def test_a_digest_that_is_none(fake: FakeRegistry, repository: RegistryRepository, stated: str) -> None:
    """The registry's fault, not the operator's."""
    fake.faults.append(Fault(".*", becomes(header(Docker_Content_Digest=stated)), times=ALWAYS))

    for work in (repository.head("v1"), repository.manifest("v1")):
        with pytest.raises(RegistryError, match=f"{fake.host}/{_NAME}:v1: the registry names a digest that is none"):
            await work


async def test_manifests_are_redirected(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """As registry.k8s.io does, and the other host gets no credential."""
    with fake_registry() as front:
        front.manners.auth, front.manners.username, front.manners.password = "basic", "me", "secret"
        front.manners.manifests_at = fake.url
        async with open_registry(front.url, username="me", password="secret") as registry:
            there = registry.repository(_NAME)

            assert _IMAGE.manifest == await there.manifest("v1")
            assert _IMAGE.digest == await there.head("v1")

    assert [] == [seen for seen in fake.requests if "authorization" in seen.headers]


async def test_sha512(registry: Registry) -> None:
    """A manifest is put, read and held to it."""
    what = image(b"a layer", algorithm="sha512")
    await push(registry.repository(_NAME), what)

    assert what.manifest == await registry.repository(_NAME).manifest(what.digest)


async def test_a_registry_that_stores_other_bytes(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Says so by the digest that it names."""
    other = Digest.of(b"other")
    fake.faults.append(Fault("PUT .*", becomes(header(Docker_Content_Digest=str(other)))))

    with pytest.raises(ContentError, match=f"stored {_IMAGE.digest} as {other}: it changed the bytes"):
        await repository.put_manifest(_IMAGE.manifest, tag="v2")


# What may be done, and how often


async def test_a_repository_that_is_known(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """One that is empty is; one that cannot be asked about is an error."""
    fake.repositories["linkerd/empty"] = Stored()
    registry = repository.registry
    there = [await registry.repository(name).exists() for name in (_NAME, "linkerd/empty", "linkerd/none")]

    assert [True, True, False] == there
    fake.faults.append(Fault("GET .*/tags/list.*", refusal(403, "DENIED")))
    with pytest.raises(AccessDenied, match="DENIED"):
        await repository.exists()


@pytest.mark.parametrize("location", ["absolute", "relative", "query"])
async def test_an_upload_is_tried(fake: FakeRegistry, repository: RegistryRepository, location: str) -> None:
    """It is begun and given up: nothing is left of it."""
    fake.manners.upload_location = location  # type: ignore[assignment]
    await repository.try_upload()

    assert ["POST", "DELETE"] == [seen.method for seen in fake.requests]
    assert {} == fake.uploads


async def test_an_upload_that_cannot_be_given_up(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """It will expire: that is nobody's fault."""
    fake.faults.append(Fault("DELETE .*", refusal(405, "UNSUPPORTED")))
    await repository.try_upload()
    fake.faults.append(Fault("DELETE .*", refusal(403, "DENIED"), times=ALWAYS))
    await repository.try_upload()

    assert 2 == len(fake.asked("POST .*"))


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (refusal(403, "DENIED", "you may not push"), AccessDenied, "you may not push"),
        (refusal(404, "NAME_UNKNOWN"), NotFound, "NAME_UNKNOWN"),
        (answer(200), RegistryError, "answered POST with 200"),
        (becomes(header(Location="http://me@127.0.0.1/x")), Unreachable, "what is not an address"),
    ],
)
async def test_an_upload_that_may_not_be_begun(
    fake: FakeRegistry, repository: RegistryRepository, harm: Harm, error: type[MirrorError], words: str
) -> None:
    """The error says why."""
    fake.faults.append(Fault("POST .*", harm, times=ALWAYS))
    with pytest.raises(error, match=words):
        await repository.try_upload()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"ratelimit-limit": "100;w=21600"}, None),
        ({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}, Allowance(76, 100, 21600)),
        ({"ratelimit-remaining": " 0 "}, Allowance(0)),
        ({"ratelimit-limit": "200;w=60", "ratelimit-remaining": "1"}, Allowance(1, 200, 60)),
        ({"ratelimit-limit": "many", "ratelimit-remaining": "few"}, None),
    ],
)
def test_what_is_left_of_a_limit(headers: dict[str, str], expected: Allowance | None) -> None:
    """As Docker Hub says it."""
    assert expected == Allowance.parse(headers)


@given(st.text(), st.text())
def test_any_limit_is_one_or_none(limit: str, remaining: str) -> None:
    """Whatever the headers hold."""
    found = Allowance.parse({"ratelimit-limit": limit, "ratelimit-remaining": remaining})

    assert found is None or found.remaining >= 0


async def test_the_last_that_was_said_of_a_limit(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Is kept; an answer that says nothing does not take it away."""
    said = header(ratelimit_limit="100;w=21600", ratelimit_remaining="76;w=21600")
    fake.faults.append(Fault("HEAD .*", becomes(said)))
    await repository.head("v1")
    await repository.head("v1")

    assert Allowance(76, 100, 21600) == repository.registry.allowance


# Uploads


@pytest.mark.parametrize("location", ["absolute", "relative", "query"])
async def test_upload_locations(fake: FakeRegistry, registry: Registry, location: str) -> None:
    """Are opaque: what is in them comes back byte for byte."""
    fake.manners.upload_location = location  # type: ignore[assignment]
    promise = await upload(registry.repository(_NAME), b"content")

    (seen,) = fake.asked("PUT .*")
    (session,) = {part.rpartition("/")[2] for part in [seen.path]}
    query = f"_state=a%2Fb%3D%3D&part=1&digest={promise.digest}" if location == "query" else f"digest={promise.digest}"
    assert f"/v2/{_NAME}/blobs/uploads/{session}?{query}" == seen.target


async def test_an_upload_elsewhere(fake: FakeRegistry, proxy: Proxy) -> None:
    """Is sent there, without the credential; an address of this machine is refused."""
    fake.manners.auth, fake.manners.username, fake.manners.password = "basic", "me", "secret"
    proxies = Proxies({"http": proxy.url})
    with fake_registry() as storage:
        proxy.routes |= {"registry.example:80": fake.host, "storage.example:80": storage.host}
        storage.uploads["1"] = bytearray()
        there = f"/v2/{_NAME}/blobs/uploads/1"
        fake.faults.append(Fault("POST .*", becomes(header(Location=f"http://storage.example{there}")), skip=1))
        async with open_registry(
            "http://registry.example", username="me", password="secret", proxies=proxies
        ) as registry:
            await upload(registry.repository(_NAME), b"content")
            fake.faults.append(Fault("POST .*", becomes(header(Location="http://127.0.0.1/x"))))
            with pytest.raises(MirrorError, match="gave an upload location to 127"):
                await upload(registry.repository(_NAME), b"other")

        assert ["PUT"] == [seen.method for seen in storage.requests]
        assert "authorization" not in storage.requests[0].headers


async def test_chunks_that_go_elsewhere(fake: FakeRegistry, proxy: Proxy) -> None:
    """Are sent there without the credential, which goes with those that come back."""
    fake.manners = Manners(upload_location="relative", auth="basic", username="me", password="secret")
    with fake_registry() as storage:
        proxy.routes |= {"registry.example:80": fake.host, "storage.example:80": storage.host}
        storage.uploads["1"] = fake.uploads["2"] = bytearray(b"con")  # both have what either gets
        uploads = f"/v2/{_NAME}/blobs/uploads"
        fake.faults.append(Fault("PATCH .*", answer(202, Location=f"http://storage.example{uploads}/1")))
        storage.faults.append(Fault("PATCH .*", becomes(header(Location=f"http://registry.example{uploads}/2"))))
        async with open_registry(
            "http://registry.example",
            username="me",
            password="secret",
            proxies=Proxies({"http": proxy.url}),
            dialect=InThrees(),
        ) as registry:
            registry.chunk_size.refused(7)
            await upload(registry.repository(_NAME), b"content")

        assert ["3-5"] == [seen.headers["content-range"] for seen in storage.requests]
        assert ["0-2", "6-6"] == [seen.headers["content-range"] for seen in fake.asked("PATCH .*")]
        assert "authorization" not in storage.requests[0].headers
        assert {True} == {"authorization" in seen.headers for seen in fake.asked("(PATCH|PUT) .*")}
        assert b"content" == fake.repositories[_NAME].blobs[blob(b"content").digest]


@pytest.mark.parametrize("status", [400, 401, 403, 405], ids=str)
async def test_a_mount_that_is_refused_becomes_an_upload(
    fake: FakeRegistry, repository: RegistryRepository, status: int
) -> None:
    """A registry may refuse the other repository (google/go-containerregistry#1404): the blob comes all the same."""
    fake.faults.append(Fault("POST .*mount=.*", refusal(status, "DENIED"), times=ALWAYS))
    promise = await upload(repository, b"content")
    other = repository.registry.repository("linkerd/other")

    started = await other.start_upload(promise, mount_from=_NAME)

    assert started is not None
    await asyncio.to_thread(started.write, memoryview(b"content"))
    await asyncio.to_thread(started.finish)
    assert await other.has_blob(promise)


async def test_mounts(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """201 is mounted; 202 is an upload, which goes on where it was opened."""
    (promise, *_) = _IMAGE.manifest.blobs
    other = repository.registry.repository("linkerd/other")

    assert await other.start_upload(promise, mount_from=_NAME) is None
    fake.manners.mounts = False
    started = await other.start_upload(blob(b"content"), mount_from=_NAME)
    assert started

    def send() -> None:
        started.write(memoryview(b"content"))
        started.finish()

    await asyncio.to_thread(send)
    assert b"content" == await download(other, blob(b"content"))
    assert 2 == len(fake.asked("POST .*"))
    assert f"/v2/linkerd/other/blobs/uploads/?mount=sha256%3A{promise.digest.hex}&from=linkerd%2Fproxy" == (
        fake.asked("POST .*")[0].target
    )


async def test_an_upload_without_a_location(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Is the registry's failure."""
    fake.faults.append(Fault("POST .*", answer(202)))

    with pytest.raises(RegistryError, match="answered POST with 202"):
        await repository.start_upload(blob(b"content"))


# What registries say


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (refusal(403, "DENIED", "a plan\n  has ended"), AccessDenied, "refused GET (403: DENIED a plan has ended)"),
        (refusal(404, "NAME_UNKNOWN", "no such"), NotFound, "not found (404: NAME_UNKNOWN no such)"),
        (refusal(412, "PRECONDITION", "immutable"), RegistryError, "answered GET with 412: PRECONDITION immutable"),
        (answer(413, b"<html>", Server="nginx/1.24.0"), RegistryError, "nginx/1.24.0 refused GET as too large (413)"),
        (answer(413, Server="a\x1b[2Jb" + "c" * 99), RegistryError, "a[2Jb" + "c" * 55 + " refused GET as too large"),
        (answer(418, b"<html><h1>I am a teapot</h1>"), RegistryError, "answered GET with 418"),
        (answer(400, b'{"errors": "x"}'), RegistryError, "answered GET with 400"),
        (answer(400, b'{"errors": [null]}'), RegistryError, "answered GET with 400"),
        (answer(400, b'{"errors": [{"message": 5}]}'), RegistryError, "answered GET with 400: 5"),
        (answer(400, b"[" * 100_000), RegistryError, "answered GET with 400"),
        (refusal(400, "X\x1b[31m", "a\x1b[2Jb\x00c\u202ed"), RegistryError, "answered GET with 400: X[31m a[2Jbcd"),
        (refusal(400, "X", "long " * 10_000), RegistryError, "long long"),
        (refusal(400, "X", "Basic bWU6aHVudGVyMg== is old"), RegistryError, "400: X Basic ... is old"),
        (refusal(400, "X", "no bearer eyJhbGciOiJ9.e30.c2ln, please"), RegistryError, "X no bearer ..., please"),
        (refusal(400, "X", "Basic authentication is off"), RegistryError, "400: X Basic authentication is off"),
        (answer(400, b"a\x1b[2Jb\n c\n"), RegistryError, "answered GET with 400: a[2Jb c"),
        (answer(400, b"long " * 10_000), RegistryError, "answered GET with 400: " + "long " * 40),
        (answer(400, b"Bearer eyJhbGciOiJ9.e30.c2ln?"), RegistryError, "answered GET with 400: Bearer ..."),
        (answer(400, b"Bad: x", **{"Content-Type": "text/plain; charset=utf-8"}), RegistryError, "with 400: Bad: x"),
        (answer(400, b"a { color: red }", **{"Content-Type": "text/css"}), RegistryError, "answered GET with 400"),
    ],
    ids=["403", "404", "412", "413", "413 by whom", "html", "odd", "null", "number", "deep", "escapes", "long",
         "credential", "token", "none", "text", "long text", "token in text", "text by its type", "another type"],
)  # fmt: skip
async def test_refusals(
    fake: FakeRegistry, repository: RegistryRepository, harm: Harm, error: type[RegistryError], words: str
) -> None:
    """In the registry's own words, one line, bounded; what is none is left out."""
    fake.faults.append(Fault("GET .*", harm, times=ALWAYS))

    with pytest.raises(error) as caught:
        await repository.manifest("v1")

    text = str(caught.value)
    assert f"{fake.host}/{_NAME}:v1: " in text
    assert words in text
    assert "<" not in text
    assert text.isprintable()
    assert len(text) < 700


async def test_tls_asked_by_plain_http(tls_distribution: Distribution) -> None:
    """The registry's own words, and the key that puts it right."""
    host = tls_distribution.host
    async with open_registry(f"http://{host}") as registry:
        with pytest.raises(RegistryError) as caught:
            await registry.repository(_NAME).head("v1")

    assert (
        f"{host}/{_NAME}:v1: the registry speaks TLS, and was asked by plain http "
        "(400: Client sent an HTTP request to an HTTPS server.): "
        f'give registries."{host}".endpoint = "https://{host}"'
    ) == str(caught.value)


async def test_warnings_are_logged_once(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """And never acted on (distribution-spec v1.1 #warnings)."""
    fake.faults.append(Fault(".*", becomes(header(Warning='299 - "moving to b.example"')), times=ALWAYS))
    with capture_logs() as logs:
        for _ in range(3):
            await repository.head("v1")

    warnings = [log for log in logs if log["log_level"] == "warning"]
    assert [("registry.warned", '299 - "moving to b.example"')] == [(log["event"], log["warning"]) for log in warnings]


async def test_a_blob_of_another_length(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Is not there; without a length it is believed to be."""
    (promise, *_) = _IMAGE.manifest.blobs
    fake.faults.append(Fault("HEAD .*", becomes(bytes_are(b"x"))))

    assert not await repository.has_blob(promise)
    assert await repository.has_blob(promise)


async def test_redirects_of_blobs(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Lead to where they say, for HEAD and GET."""
    (promise, *_) = _IMAGE.manifest.blobs
    fake.faults.append(Fault("(HEAD|GET) /v2/.*", redirect(f"/v2/{_NAME}/blobs/{promise.digest}?there"), times=2))

    assert await repository.has_blob(promise)
    assert _IMAGE.blobs[promise.digest] == await download(repository, promise)


async def test_what_is_accepted(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """Every kind, lest the registry converts (distribution-spec v1.1 #pulling-manifests)."""
    fake.add(_NAME, multi_platform(docker=True), "docker")
    await repository.manifest("docker")
    await repository.head("docker")

    for seen in fake.requests:
        assert {OCI_INDEX, OCI_MANIFEST} < set(seen.headers["accept"].split(", "))


# Dialects


class InThrees(Dialect):
    """Tries chunks of three bytes."""

    chunk_sizes: ClassVar[tuple[int, ...]] = (3,)


class Odd(Dialect):
    """Asks before it stores; a 412 is a tag that may not be changed, a 418 one that is not there.

    Nothing is read without a credential.
    """

    asks_before_put = True
    reads_without_credential = False

    def meant(self, answer: Answer, *, sent: str) -> Answer:
        return replace(answer, status=404) if answer.status == 418 else answer

    def explained(self, refused: RegistryError, *, manifest: Manifest | None = None) -> RegistryError:
        return ImmutableTag(str(refused), status=412) if refused.status == 412 else refused


@pytest.fixture
async def odd(fake: FakeRegistry) -> AsyncIterator[RegistryRepository]:
    """A repository of a registry that departs from the specification."""
    fake.add(_NAME, _IMAGE, "v1")
    async with open_registry(fake.url, dialect=Odd()) as opened:
        Naps().instead(opened.transport)
        yield opened.repository(_NAME)


async def test_an_answer_is_what_the_registry_means(odd: RegistryRepository, fake: FakeRegistry) -> None:
    """Whatever it is called."""
    fake.faults.append(Fault("HEAD .*", answer(418), times=ALWAYS))

    assert await odd.head("v1") is None


async def test_a_credential_that_is_not_given_up(fake: FakeRegistry) -> None:
    """Where nobody reads without one, the registry's own words are what is told, and no request goes without it."""
    fake.manners.auth, fake.manners.username, fake.manners.password = "basic", "me", "right"
    fake.faults.append(Fault("GET .*", refusal(403, "DENIED", "not for you"), times=ALWAYS))
    fake.faults.append(Fault("HEAD .*", answer(401, WWW_Authenticate="Basic"), times=1))
    fake.faults.append(Fault("HEAD .*", answer(403), times=ALWAYS))
    async with open_registry(fake.url, username="me", password="right", dialect=Odd()) as opened:
        with pytest.raises(AccessDenied, match="DENIED not for you"):
            await opened.repository(_NAME).head("v1")

    assert [False, True, True] == ["authorization" in seen.headers for seen in fake.requests]


async def test_why_nothing_may_be_read(fake: FakeRegistry, repository: RegistryRepository) -> None:
    """An answer to HEAD has no body: it is GET that says so, or gives what HEAD would not."""
    fake.add(_NAME, _IMAGE, "v1")
    fake.faults.append(Fault("HEAD .*", answer(403), times=ALWAYS))
    assert _IMAGE.digest == await repository.head("v1")

    fake.faults.append(Fault("GET .*", refusal(403, "DENIED", "not for you"), times=ALWAYS))
    with pytest.raises(AccessDenied, match="DENIED not for you"):
        await repository.head("v1")


@pytest.mark.parametrize("tag", ["", "v1"])
async def test_what_is_there_is_not_stored_again(odd: RegistryRepository, fake: FakeRegistry, tag: str) -> None:
    """By tag or by digest: it would count against a limit, or be refused."""
    await odd.put_manifest(_IMAGE.manifest, tag=tag)

    assert [] == fake.asked("PUT .*")


async def test_a_tag_that_was_stored_and_whose_answer_was_lost(odd: RegistryRepository, fake: FakeRegistry) -> None:
    """Is refused when it is sent again, and is right."""
    new = image(b"new")
    fake.add(_NAME, new)
    fake.faults.append(Fault("PUT .*/manifests/v2", becomes(lambda _: Response(503))))
    fake.faults.append(Fault("PUT .*/manifests/v2", answer(412), skip=1))

    await odd.put_manifest(new.manifest, tag="v2")

    assert 2 == len(fake.asked("PUT .*/manifests/v2"))
    assert new.digest == await odd.head("v2")


async def test_a_tag_that_is_taken(odd: RegistryRepository, fake: FakeRegistry) -> None:
    """Is a refusal with both digests, and is tried once."""
    new = image(b"new")
    fake.add(_NAME, new)
    fake.faults.append(Fault("PUT .*/manifests/v1", answer(412), times=ALWAYS))

    with pytest.raises(TagTaken) as refused:
        await odd.put_manifest(new.manifest, tag="v1")

    assert str(_IMAGE.digest) in str(refused.value)
    assert str(new.digest) in str(refused.value)
    assert 1 == len(fake.asked("PUT .*/manifests/v1"))


@pytest.mark.parametrize("referrers", ["api", "absent"])
async def test_a_referrer_that_is_there(odd: RegistryRepository, fake: FakeRegistry, referrers: str) -> None:
    """Is linked if the registry lists it: else the fallback tag is ours to keep."""
    fake.manners.referrers = referrers  # type: ignore[assignment]
    there = artifact("application/x", subject=_IMAGE)
    fake.add(_NAME, there)

    assert (referrers == "api") == await odd.put_manifest(there.manifest)
    assert [] == fake.asked("PUT .*")
