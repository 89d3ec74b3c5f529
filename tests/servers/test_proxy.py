"""The proxy passes what it is given, and records it."""

from __future__ import annotations

import base64
import http.client
import ssl
from contextlib import closing
from urllib.parse import urlsplit

from tests.content import image
from tests.servers.certificates import Certificates
from tests.servers.fake import FakeRegistry, fake_registry
from tests.servers.proxy import Proxy, http_proxy

_IMAGE = image(b"a layer" * 100_000)
_BLOB = f"/v2/linkerd/proxy/blobs/{_IMAGE.manifest.blobs[1].digest}"


def test_a_tunnel(proxy: Proxy, certificates: Certificates) -> None:
    """CONNECT: the proxy sees the host, and nothing more."""
    with fake_registry(certificates=certificates) as fake:
        fake.add("linkerd/proxy", _IMAGE)
        context = ssl.create_default_context(cafile=str(certificates.authority))
        connection = http.client.HTTPSConnection(proxy.authority, context=context, timeout=10)
        with closing(connection):
            connection.set_tunnel(*_split(fake.url))
            connection.request("GET", _BLOB)
            response = connection.getresponse()

            assert _IMAGE.blobs[_IMAGE.manifest.blobs[1].digest] == response.read()
    assert [f"CONNECT {fake.host}"] == list(map(str, proxy.requests))


def test_an_absolute_request(proxy: Proxy, fake: FakeRegistry) -> None:
    """Plain http: the registry sees the path, the proxy all."""
    fake.add("linkerd/proxy", _IMAGE)
    connection = http.client.HTTPConnection(proxy.authority, timeout=10)
    with closing(connection):
        connection.request("GET", f"{fake.url}{_BLOB}?x=1", headers={"Proxy-Authorization": "Basic x"})

        assert 700_000 == len(connection.getresponse().read())
    assert [f"GET {fake.url}{_BLOB}?x=1"] == list(map(str, proxy.requests))
    assert [f"GET {_BLOB}?x=1"] == list(map(str, fake.requests))
    assert "proxy-authorization" not in fake.requests[0].headers


def test_a_host_that_does_not_exist(proxy: Proxy, fake: FakeRegistry) -> None:
    """Is reached where `routes` says, so that a name that is not loopback can be asked for."""
    proxy.routes["registry.example:80"] = fake.host
    connection = http.client.HTTPConnection(proxy.authority, timeout=10)
    with closing(connection):
        connection.request("GET", "http://registry.example/v2/")

        assert 200 == connection.getresponse().status
    assert "registry.example" == fake.requests[0].headers["host"]


def test_a_proxy_that_wants_a_credential() -> None:
    """407 without it."""
    with http_proxy(username="me", password="secret") as proxy, fake_registry() as fake:
        right = base64.b64encode(b"me:secret").decode()
        answers = []
        for headers in ({}, {"Proxy-Authorization": "Basic x"}, {"Proxy-Authorization": f"Basic {right}"}):
            connection = http.client.HTTPConnection(proxy.authority, timeout=10)
            with closing(connection):
                connection.request("GET", f"{fake.url}/v2/", headers=headers)
                answers.append(connection.getresponse().status)

        assert [407, 407, 200] == answers


def _split(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port
