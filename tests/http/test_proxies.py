"""Every connection goes through the proxy that the environment names, and nothing else does."""

from __future__ import annotations

import asyncio
import base64
import gc
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from mirror.errors import MirrorError, SettingsError, Unreachable
from mirror.http.proxies import Proxies, is_local
from mirror.oci.registry import Registry
from tests.content import blob, download, image, push
from tests.http.named import certificate_for
from tests.http.naps import Naps
from tests.http.test_transport import closed_port
from tests.servers.certificates import Certificates
from tests.servers.client import open_registry
from tests.servers.fake import FakeRegistry, fake_registry
from tests.servers.proxy import Proxy, http_proxy

# http.client of Python 3.11.2 leaves the answer of a proxy that refuses a tunnel open until it is collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

_HOST = "registry.example"
_DATA = b"a layer " * 100_000
_IMAGE = image(_DATA)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a refused tunnel leaves open is collected here, and not in the middle of another test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate for the registry whose name only the proxy knows."""
    return certificate_for(_HOST, tmp_path_factory.mktemp("named"))


@asynccontextmanager
async def _open(
    proxy: str, *, url: str = f"http://{_HOST}", ca_file: str = "", no: str = ""
) -> AsyncIterator[Registry]:
    proxies = Proxies({"http": proxy, "https": proxy, "no": no})
    async with open_registry(url, proxies=proxies, ca_file=ca_file) as registry:
        Naps().instead(registry.transport)
        yield registry


async def test_http_goes_through_the_proxy(proxy: Proxy, fake: FakeRegistry) -> None:
    """Small requests, blobs read and blobs written, each in absolute form; the registry sees paths and its own name."""
    proxy.routes[f"{_HOST}:80"] = fake.host
    async with _open(proxy.url) as registry:
        repository = registry.repository("linkerd/proxy")
        fake.manners.upload_location = "relative"
        await push(repository, _IMAGE, tag="v1")

        assert _IMAGE.manifest == await repository.manifest("v1")
        assert _DATA == await download(repository, _IMAGE.manifest.blobs[1])

    assert {"POST", "PUT", "GET"} == {seen.method for seen in proxy.requests}
    assert len(fake.requests) == len(proxy.requests)
    assert {True} == {seen.target.startswith(f"http://{_HOST}/v2/linkerd/proxy/") for seen in proxy.requests}
    assert {_HOST} == {seen.headers["host"] for seen in fake.requests}
    assert {True} == {seen.target.startswith("/v2/linkerd/proxy/") for seen in fake.requests}


async def test_https_goes_through_the_proxy(proxy: Proxy, named: Certificates) -> None:
    """By CONNECT, of which the proxy sees no more than the host."""
    with fake_registry(certificates=named) as fake:
        proxy.routes[f"{_HOST}:443"] = fake.host
        fake.manners.upload_location = "relative"
        async with _open(proxy.url, url=f"https://{_HOST}", ca_file=str(named.authority)) as registry:
            repository = registry.repository("linkerd/proxy")
            await push(repository, _IMAGE, tag="v1")

            assert _IMAGE.manifest == await repository.manifest("v1")
            assert _DATA == await download(repository, _IMAGE.manifest.blobs[1])

        assert {f"CONNECT {_HOST}:443"} == set(map(str, proxy.requests))
        assert {"POST", "PUT", "GET"} == {seen.method for seen in fake.requests}


async def test_a_redirect_goes_through_the_proxy(proxy: Proxy, fake: FakeRegistry) -> None:
    """The other host is asked for at the proxy too, for manifests and for blobs, without the credential."""
    with fake_registry() as other:
        other.add("linkerd/proxy", _IMAGE, "v1")
        proxy.routes |= {f"{_HOST}:80": fake.host, "blobs.example:80": other.host}
        fake.manners.blobs_at = fake.manners.manifests_at = "http://blobs.example"
        fake.manners.auth, fake.manners.username, fake.manners.password = "basic", "me", "secret"
        async with open_registry(
            f"http://{_HOST}", username="me", password="secret", proxies=Proxies({"http": proxy.url})
        ) as registry:
            repository = registry.repository("linkerd/proxy")

            assert _IMAGE.manifest == await repository.manifest("v1")
            assert _DATA == await download(repository, _IMAGE.manifest.blobs[1])

        assert 2 == len(other.requests)
        assert [] == [seen for seen in other.requests if "authorization" in seen.headers]
        assert len(fake.requests) + len(other.requests) == len(proxy.requests)


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
async def test_the_proxys_credential(is_secure: bool, named: Certificates) -> None:
    """Is sent to the proxy, for every kind of request, and to nobody else."""
    with (
        http_proxy(username="me", password="p@ss:word") as proxy,
        fake_registry(certificates=named if is_secure else None) as fake,
    ):
        proxy.routes[f"{_HOST}:{443 if is_secure else 80}"] = fake.host
        fake.manners.upload_location = "relative"
        given = proxy.url.replace("http://", "http://me:p%40ss%3Aword@")
        url = f"{'https' if is_secure else 'http'}://{_HOST}"
        async with _open(given, url=url, ca_file=str(named.authority)) as registry:
            repository = registry.repository("linkerd/proxy")
            await push(repository, _IMAGE, tag="v1")

            assert _DATA == await download(repository, _IMAGE.manifest.blobs[1])

        wanted = "Basic " + base64.b64encode(b"me:p@ss:word").decode()
        assert {wanted} == {seen.headers["proxy-authorization"] for seen in proxy.requests}
        assert [] == [seen for seen in fake.requests if "proxy-authorization" in seen.headers]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_us(scheme: str) -> None:
    """One clear sentence, at once, the same for small requests and blobs; the credential is not in it."""
    with http_proxy(username="me", password="right") as proxy:
        given = proxy.url.replace("http://", "http://me:wr0ng@")
        with capture_logs() as logs:
            async with _open(given, url=f"{scheme}://{_HOST}") as registry:
                repository = registry.repository("linkerd/proxy")
                body = await repository.open_blob(blob(_DATA))
                for work in (
                    repository.manifest("v1"),
                    repository.start_upload(blob(_DATA)),
                    asyncio.to_thread(body.readinto, memoryview(bytearray(10))),
                ):
                    with pytest.raises(Unreachable) as caught:
                        await work

                    expected = f"{_HOST} cannot be reached: the proxy answered 407: give it a user name and a password"
                    assert str(caught.value).startswith(expected)
                    assert "wr0ng" not in "".join(traceback.format_exception(caught.value))
                    assert not caught.value.is_temporary
                body.close()
        assert 3 == len(proxy.requests)
        assert "wr0ng" not in f"{logs} {registry!r}"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there(scheme: str) -> None:
    """The sentence names both."""
    with closed_port() as at:
        async with _open(f"http://me:secret@{at}", url=f"{scheme}://{_HOST}") as registry:
            repository = registry.repository("linkerd/proxy")
            body = await repository.open_blob(blob(_DATA))
            for work in (repository.manifest("v1"), asyncio.to_thread(body.readinto, memoryview(bytearray(10)))):
                with pytest.raises(Unreachable) as caught:
                    await work

                expected = f"{_HOST} cannot be reached through the proxy http://{at}: connection refused"
                assert expected == str(caught.value)
            body.close()


async def test_a_host_that_the_proxy_does_not_know(proxy: Proxy) -> None:
    """The proxy's answer is told."""
    async with _open(proxy.url, url="https://absent.invalid") as registry:
        with pytest.raises(Unreachable, match=r"absent\.invalid cannot be reached: the proxy answered 502"):
            await registry.repository("linkerd/proxy").manifest("v1")


async def test_loopback_never_uses_the_proxy(proxy: Proxy, fake: FakeRegistry) -> None:
    """A registry beside us is reached directly."""
    async with _open(proxy.url, url=fake.url) as registry:
        repository = registry.repository("linkerd/proxy")
        await push(repository, _IMAGE, tag="v1")

        assert _DATA == await download(repository, _IMAGE.manifest.blobs[1])

    assert [] == proxy.requests


async def test_no_proxy_is_honoured(proxy: Proxy) -> None:
    """The host is looked for directly, for small requests and for blobs."""
    async with _open(proxy.url, url="http://registry.invalid", no="example.com,.invalid") as registry:
        repository = registry.repository("linkerd/proxy")
        body = await repository.open_blob(blob(_DATA))
        for work in (repository.manifest("v1"), asyncio.to_thread(body.readinto, memoryview(bytearray(10)))):
            with pytest.raises(Unreachable, match="its name cannot be resolved"):
                await work
        body.close()

    assert [] == proxy.requests


@pytest.mark.parametrize(
    ("no", "url", "is_proxied"),
    [
        ("", "https://ghcr.io/v2/", True),
        ("ghcr.io", "https://ghcr.io/v2/", False),
        ("ghcr.io", "https://GHCR.io/v2/", False),
        ("ghcr.io", "https://notghcr.io/v2/", True),
        ("registry.example:5000", "https://registry.example:5000/v2/", False),
        ("registry.example:5000", "https://registry.example/v2/", True),
        ("example", "https://registry.example:5000/v2/", False),
        ("a, b.example ,c", "https://b.example/", False),
        ("*", "https://ghcr.io/v2/", False),
        ("", "https://127.0.0.1:5000/v2/", False),
        ("", "http://localhost:5000/v2/", False),
        ("", "https://[::1]:5000/v2/", False),
    ],
)
def test_which_hosts_are_reached_directly(no: str, url: str, is_proxied: bool) -> None:
    """NO_PROXY, as the standard library reads it, and loopback always."""
    proxies = Proxies({"https": "http://proxy.example:3128", "http": "http://proxy.example:3128", "no": no})

    assert is_proxied == (proxies.for_url(url) is not None)


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One proxy a scheme; ALL_PROXY is for those without; nothing said is none."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert Proxies.from_environment().for_url("https://ghcr.io") is None

    monkeypatch.setenv("HTTPS_PROXY", "secure.example:8080")
    monkeypatch.setenv("ALL_PROXY", "http://other.example")
    proxies = Proxies.from_environment()

    secure, other = proxies.for_url("https://ghcr.io"), proxies.for_url("http://ghcr.io")
    assert ("http://secure.example:8080", "http://other.example:80") == (secure and secure.url, other and other.url)


@pytest.mark.parametrize(
    "value",
    ["socks5://me:secret@proxy.example:1080", "https://me:secret@proxy.example", "http://me:secret@proxy:port",
     "http://me:secret@", "http://[me:secret@x"],
    ids=["socks", "https", "port", "no host", "bracket"],
)  # fmt: skip
def test_a_proxy_that_cannot_be_used(value: str) -> None:
    """Is the operator's to mend; the secret is not told."""
    with pytest.raises(SettingsError, match="is not the address of an HTTP proxy") as caught:
        Proxies({"https": value}).for_url("https://ghcr.io/v2/")

    assert isinstance(caught.value, MirrorError)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_secrets_are_not_shown() -> None:
    """Neither by the proxies nor by one of them."""
    proxies = Proxies({"https": "http://me:secret@proxy.example:3128"})

    assert "secret" not in repr(proxies)
    assert "secret" not in repr(proxies.for_url("https://ghcr.io"))


@pytest.mark.parametrize("host", ["", "ghcr.io", "10.0.0.1", "2001:db8::1", "localhost.example", "256.0.0.1", "128.1"])
def test_what_is_not_local(host: str) -> None:
    """Private networks are where registries are."""
    assert not is_local(host)
