"""The fake does what its plan says, seen by a client that knows nothing of ours."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from mirror.oci.content import Digest
from tests.content import artifact, image, multi_platform
from tests.servers.certificates import Certificates
from tests.servers.fake import (
    ALWAYS,
    FakeRegistry,
    Fault,
    Harm,
    Manners,
    answer,
    becomes,
    bytes_are,
    claims_length,
    corrupt,
    cut,
    fake_registry,
    ghcr_rate_limit,
    hang_up,
    header,
    longer,
    redirect,
    refusal,
    stalled,
    truncated,
)

_LAYER = b"a layer, long enough to be cut"
_IMAGE = image(_LAYER)
_BLOB = f"/v2/linkerd/proxy/blobs/{_IMAGE.manifest.blobs[1].digest}"
_MANIFEST = "/v2/linkerd/proxy/manifests/v1"

Answered = tuple[int, dict[str, str], bytes]
Ask = Callable[..., Answered]


@pytest.fixture
def ask(fake: FakeRegistry) -> Iterator[Ask]:
    """Asks the fake, which holds linkerd/proxy:v1, on one connection."""
    fake.add("linkerd/proxy", _IMAGE, "v1")
    with _asking(fake) as asking:
        yield asking


@contextmanager
def _asking(fake: FakeRegistry, context: ssl.SSLContext | None = None) -> Iterator[Ask]:
    connection = (
        http.client.HTTPSConnection(fake.host, timeout=10, context=context)
        if context
        else http.client.HTTPConnection(fake.host, timeout=10)
    )

    def ask(method: str, target: str, body: bytes | None = None, **headers: str) -> Answered:
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()

    with closing(connection):
        yield ask


def test_requests_are_recorded(fake: FakeRegistry, ask: Ask) -> None:
    """Method, path, query and headers, in order."""
    ask("GET", "/v2/linkerd/proxy/tags/list?n=5", Authorization="Basic x")
    ask("HEAD", _BLOB)

    assert ["GET /v2/linkerd/proxy/tags/list?n=5", f"HEAD {_BLOB}"] == list(map(str, fake.requests))
    assert "Basic x" == fake.asked("GET .*/tags/list.*")[0].headers["authorization"]


def test_a_fault_counts(fake: FakeRegistry, ask: Ask) -> None:
    """It skips the first, strikes its times, and is spent."""
    fake.faults.append(Fault("GET .*/blobs/.*", answer(503), skip=1, times=2))

    assert [200, 503, 503, 200] == [ask("GET", _BLOB)[0] for _ in range(4)]
    assert 200 == ask("HEAD", _BLOB)[0]


@pytest.mark.parametrize(
    ("harm", "status", "body"),
    [
        (becomes(corrupt), 200, bytes([_LAYER[0] ^ 1]) + _LAYER[1:]),
        (becomes(truncated), 200, _LAYER[: len(_LAYER) // 2]),
        (becomes(longer), 200, _LAYER + b"!"),
        (becomes(bytes_are(b"other")), 200, b"other"),
        (becomes(claims_length(5)), 200, _LAYER[:5]),
        (answer(404), 404, b""),
    ],
    ids=["corrupt", "truncated", "longer", "other", "short length", "absent"],
)
def test_wrong_bytes(fake: FakeRegistry, ask: Ask, harm: Harm, status: int, body: bytes) -> None:
    """That look right on the wire."""
    fake.faults.append(Fault("GET .*/blobs/.*", harm, times=ALWAYS))
    got, _, content = ask("GET", _BLOB)

    assert (status, body) == (got, content)


def test_a_body_that_breaks_off(fake: FakeRegistry, ask: Ask) -> None:
    """After the bytes asked for; the next request is served."""
    fake.faults += [
        Fault("GET .*/blobs/.*", becomes(cut(after=4))),
        Fault("GET .*/blobs/.*", becomes(claims_length(1000)), skip=1),
    ]
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        ask("GET", _BLOB)
    with _asking(fake) as again, pytest.raises(http.client.IncompleteRead):
        again("GET", _BLOB)
    with _asking(fake) as again:
        assert 200 == again("GET", _BLOB)[0]


def test_a_body_that_stalls(fake: FakeRegistry) -> None:
    """Comes to its point, and no further; the fake ends all the same."""
    fake.add("linkerd/proxy", _IMAGE, "v1")
    fake.faults.append(Fault("GET .*/blobs/.*", becomes(stalled(after=4))))
    connection = http.client.HTTPConnection(fake.host, timeout=0.3)
    with closing(connection):
        connection.request("GET", _BLOB)
        with connection.getresponse() as response:
            assert _LAYER[:4] == response.read(4)
            with pytest.raises(TimeoutError):
                response.read(1)


def test_a_push_that_breaks_off(fake: FakeRegistry, ask: Ask) -> None:
    """Keeps what came; the session answers with its offset."""
    _, headers, _ = ask("POST", "/v2/linkerd/proxy/blobs/uploads/")
    fake.faults.append(Fault("PATCH .*", hang_up(after=10)))
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        ask("PATCH", headers["location"].removeprefix(fake.url), b"x" * 100)
    with _asking(fake) as again:
        status, got, _ = again("GET", headers["location"].removeprefix(fake.url))

    assert (204, "0-9") == (status, got["range"])


def test_rate_limits_and_refusals(fake: FakeRegistry, ask: Ask) -> None:
    """GHCR's wait is in the body; others' in a header."""
    fake.faults += [
        Fault("GET .*", ghcr_rate_limit()),
        Fault("GET .*", answer(429, Retry_After="3"), skip=1),
        Fault("GET .*", refusal(403, "DENIED"), skip=2),
        Fault("GET .*", redirect("http://elsewhere/"), skip=3),
    ]
    answers = [ask("GET", _MANIFEST) for _ in range(4)]

    assert [429, 429, 403, 307] == [status for status, _, _ in answers]
    assert "retry-after: 880.092µs, allowed: 44000/minute" in json.loads(answers[0][2])["errors"][0]["message"]
    assert "3" == answers[1][1]["retry-after"]
    assert "http://elsewhere/" == answers[3][1]["location"]


def test_a_manifest_that_is_not_the_one_that_head_promised(fake: FakeRegistry, ask: Ask) -> None:
    """The header still names the first."""
    fake.faults.append(Fault("GET .*/manifests/.*", becomes(bytes_are(image(b"other").manifest.raw))))
    _, promised, _ = ask("HEAD", _MANIFEST)
    _, named, raw = ask("GET", _MANIFEST)

    assert str(_IMAGE.digest) == promised["docker-content-digest"] == named["docker-content-digest"]
    assert _IMAGE.digest != Digest.of(raw)


def test_headers_may_be_missing_or_wrong(fake: FakeRegistry, ask: Ask) -> None:
    """For a request, or for all."""
    fake.faults.append(Fault("HEAD .*", becomes(header(Docker_Content_Digest="sha256:0", Content_Type=""))))
    _, wrong, _ = ask("HEAD", _MANIFEST)
    fake.manners.names_digest = False
    fake.manners.cookie = "sid=1"
    _, without, _ = ask("HEAD", _MANIFEST)

    assert "sha256:0" == wrong["docker-content-digest"]
    assert "content-type" not in wrong
    assert "docker-content-digest" not in without
    assert "sid=1" == without["set-cookie"]


def test_a_range_continues(fake: FakeRegistry, ask: Ask) -> None:
    """Unless this registry has none."""
    status, headers, body = ask("GET", _BLOB, Range="bytes=10-")
    fake.manners.ranges = False
    whole, _, _ = ask("GET", _BLOB, Range="bytes=10-")

    assert (206, _LAYER[10:]) == (status, body)
    assert f"bytes 10-{len(_LAYER) - 1}/{len(_LAYER)}" == headers["content-range"]
    assert 200 == whole


def test_blobs_may_live_elsewhere(fake: FakeRegistry, ask: Ask) -> None:
    """The other registry sees what the client sends there."""
    with fake_registry() as elsewhere:
        elsewhere.add("linkerd/proxy", _IMAGE)
        fake.manners.blobs_at = elsewhere.url
        status, headers, _ = ask("GET", _BLOB)
        with _asking(elsewhere) as there:
            _, _, body = there("GET", headers["location"].removeprefix(elsewhere.url), Authorization="Bearer leaked")

        assert 307 == status
        assert _LAYER == body
        assert "Bearer leaked" == elsewhere.requests[0].headers["authorization"]


def test_chunks_must_follow_each_other(fake: FakeRegistry, ask: Ask) -> None:
    """Each answer has the place of the next; a gap is 416 (distribution-spec v1.1 #pushing-a-blob-in-chunks)."""
    at = ask("POST", "/v2/linkerd/new/blobs/uploads/")[1]["location"].removeprefix(fake.url)
    first = ask("PATCH", at, b"12345", Content_Range="0-4")
    gap = ask("PATCH", at, b"9", Content_Range="8-8")
    second = ask("PATCH", at, b"678", Content_Range="5-7")
    wrong = ask("PUT", f"{at}?digest={Digest.of(b'other')}")

    assert [202, 416, 202, 400] == [status for status, _, _ in (first, gap, second, wrong)]
    assert "0-7" == second[1]["range"]
    assert {} == fake.repositories["linkerd/new"].blobs


def test_chunked_bodies_are_read(fake: FakeRegistry, ask: Ask) -> None:
    """As HTTP/1.1 has them."""
    at = ask("POST", "/v2/linkerd/new/blobs/uploads/")[1]["location"].removeprefix(fake.url)
    connection = http.client.HTTPConnection(fake.host, timeout=10)
    with closing(connection):
        target = f"{at}?digest={Digest.of(b'12345')}"
        connection.request("PUT", target, iter([b"12", b"345"]), encode_chunked=True)

        assert 201 == connection.getresponse().status


def test_upload_locations(fake: FakeRegistry, ask: Ask) -> None:
    """Absolute, relative, or with a query to keep."""
    locations = []
    for fake.manners.upload_location in ("absolute", "relative", "query"):
        _, headers, _ = ask("POST", "/v2/linkerd/proxy/blobs/uploads/")
        locations.append(headers["location"])

    assert locations[0].startswith(f"{fake.url}/v2/")
    assert locations[1].startswith("/v2/")
    assert locations[2].endswith("?_state=a%2Fb%3D%3D&part=1")


def test_mounts(fake: FakeRegistry, ask: Ask) -> None:
    """201 where they are taken, else 202 with an upload."""
    target = f"/v2/linkerd/new/blobs/uploads/?mount={_IMAGE.manifest.blobs[1].digest}&from=linkerd/proxy"
    taken, _, _ = ask("POST", target)
    fake.manners.mounts = False
    refused, headers, _ = ask("POST", target)

    assert (201, 202) == (taken, refused)
    assert "/blobs/uploads/" in headers["location"]


def test_referrers(fake: FakeRegistry, ask: Ask) -> None:
    """By the API, in pages; or none; or GHCR's page."""
    for number in range(3):
        fake.add("linkerd/proxy", artifact("a/b", str(number).encode(), subject=_IMAGE))
    fake.manners.page_size = 2
    target = f"/v2/linkerd/proxy/referrers/{_IMAGE.digest}"
    _, headers, first = ask("GET", target)
    _, _, second = ask("GET", headers["link"].partition(">")[0].removeprefix("<"))
    _, filtered, none = ask("GET", f"{target}?artifactType=x/y")
    fake.manners.referrers = "absent"
    absent = ask("GET", target)
    fake.manners.referrers = "page"
    page = ask("GET", target)

    assert [2, 1, 0] == [len(json.loads(body)["manifests"]) for body in (first, second, none)]
    assert "artifactType" == filtered["oci-filters-applied"]
    assert (404, 303) == (absent[0], page[0])
    assert "/-/v2/packages/" in page[1]["location"]


def test_a_subject_is_linked_or_not(fake: FakeRegistry, ask: Ask) -> None:
    """The answer says so by OCI-Subject."""
    referrer = artifact("a/b", b"data", subject=_IMAGE)
    fake.repositories["linkerd/proxy"].blobs.update(referrer.blobs)
    target = f"/v2/linkerd/proxy/manifests/{referrer.digest}"
    _, linked, _ = ask("PUT", target, referrer.manifest.raw)
    fake.manners.links_subject = False
    _, unlinked, _ = ask("PUT", target, referrer.manifest.raw)

    assert str(_IMAGE.digest) == linked["oci-subject"]
    assert "oci-subject" not in unlinked


def test_content_is_checked_or_not(fake: FakeRegistry, ask: Ask) -> None:
    """A manifest that names what is absent is refused by its code."""
    raw = image(b"never uploaded").manifest.raw
    refused, _, body = ask("PUT", "/v2/linkerd/proxy/manifests/v2", raw)
    fake.manners.checks_content = False
    taken, _, _ = ask("PUT", "/v2/linkerd/proxy/manifests/v2", raw)

    assert (404, 201) == (refused, taken)
    assert "MANIFEST_BLOB_UNKNOWN" == json.loads(body)["errors"][0]["code"]


def test_a_missing_child(fake: FakeRegistry, ask: Ask) -> None:
    """An index may dangle, as on GHCR."""
    what = multi_platform()
    fake.add("linkerd/web", what, "v1")
    del fake.repositories["linkerd/web"].manifests[what.children[1].digest]

    assert 200 == ask("GET", "/v2/linkerd/web/manifests/v1")[0]
    assert 404 == ask("GET", f"/v2/linkerd/web/manifests/{what.children[1].digest}")[0]


def test_what_is_not_accepted_is_not_found(fake: FakeRegistry, ask: Ask) -> None:
    """As registries do that would have to convert it."""
    assert 404 == ask("GET", _MANIFEST, Accept="text/plain")[0]
    assert 200 == ask("GET", _MANIFEST, Accept=f"text/plain, {_IMAGE.manifest.media_type}")[0]


def test_too_large_a_page_is_an_error(fake: FakeRegistry, ask: Ask) -> None:
    """As in ECR (google/go-containerregistry#1091)."""
    assert 400 == ask("GET", "/v2/linkerd/proxy/tags/list?n=1001")[0]


def test_bearer_tokens(fake: FakeRegistry, ask: Ask) -> None:
    """Anybody pulls, who has the credential pushes, and a forgotten token is refused."""
    fake.manners = Manners(auth="bearer", username="pusher", password="secret")
    challenged, headers, _ = ask("GET", _MANIFEST)
    anonymous = {"Authorization": f"Bearer {json.loads(ask('GET', '/token')[2])['token']}"}
    pulled, _, _ = ask("GET", _MANIFEST, **anonymous)
    pushed, asked, _ = ask("POST", "/v2/linkerd/proxy/blobs/uploads/", **anonymous)
    wrong, _, _ = ask("GET", "/token", Authorization="Basic x")
    fake.forget_tokens()
    forgotten, _, _ = ask("GET", _MANIFEST, **anonymous)

    assert [401, 200, 401, 403, 401] == [challenged, pulled, pushed, wrong, forgotten]
    assert (
        f'Bearer realm="{fake.url}/token",service="fake",scope="repository:linkerd/proxy:pull"'
        == headers["www-authenticate"]
    )
    assert "pull,push" in asked["www-authenticate"]


def test_it_speaks_tls(certificates: Certificates) -> None:
    """With the authority's certificate, and not without."""
    with fake_registry(certificates=certificates) as fake:
        fake.add("linkerd/proxy", _IMAGE, "v1")
        with _asking(fake, ssl.create_default_context(cafile=str(certificates.authority))) as ask:
            assert 200 == ask("GET", _MANIFEST)[0]
        with _asking(fake, ssl.create_default_context()) as ask, pytest.raises(ssl.SSLError):
            ask("GET", _MANIFEST)
