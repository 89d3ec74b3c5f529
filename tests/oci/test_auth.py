"""Who we are to a registry: challenges, tokens, the Docker configuration, and secrets kept."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mirror.errors import AccessDenied, MirrorError, RegistryError, SettingsError
from mirror.http.answer import Answer
from mirror.http.proxies import Proxies
from mirror.oci.auth import Authenticator, Challenge, Credential, DockerConfiguration, parse_challenges
from mirror.oci.registry import Registry
from tests.content import image, push
from tests.http.metering import Told
from tests.servers.certificates import Certificates
from tests.servers.client import open_registry
from tests.servers.distribution import PASSWORD, USERNAME, Distribution
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, answer, fake_registry, refusal
from tests.servers.proxy import Proxy
from tests.servers.tokens import TokenService

_IMAGE = image(b"a layer")
_NAME = "linkerd/proxy"


# Challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ()),
        ("Basic", (Challenge("basic", {}),)),
        ('Basic realm="harbor"', (Challenge("basic", {"realm": "harbor"}),)),
        (
            'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="a:b:pull"',
            (Challenge("bearer", {"realm": "https://ghcr.io/token", "service": "ghcr.io", "scope": "a:b:pull"}),),
        ),
        ("bearer Realm=a , service = b", (Challenge("bearer", {"realm": "a", "service": "b"}),)),
        (r'Bearer realm="a\"b,c", service="d"', (Challenge("bearer", {"realm": 'a"b,c', "service": "d"}),)),
        ('Bearer realm="a", Basic x="b"', (Challenge("bearer", {"realm": "a"}), Challenge("basic", {"x": "b"}))),
        ('Bearer realm="a", Basic', (Challenge("bearer", {"realm": "a"}), Challenge("basic", {}))),
        ('Bearer realm="https://a/token?x=y"', (Challenge("bearer", {"realm": "https://a/token?x=y"}),)),
        ('Bearer realm="a', (Challenge("bearer", {}),)),
    ],
)  # fmt: skip
def test_challenges(header: str, expected: tuple[Challenge, ...]) -> None:
    """As RFC 9110 §11.6.1 writes them."""
    assert expected == parse_challenges(header)


@given(st.text())
@example('Bearer realm="' + '\\"' * 30_000)
@example("," * 60_000)
@example("a " * 30_000)
@example('a b="' * 12_000)
def test_any_header_is_some_challenges(header: str) -> None:
    """Never anything but a tuple; in linear time: some ms for the longest that http.client lets through."""
    begin = time.process_time()

    assert isinstance(parse_challenges(header), tuple)
    assert time.process_time() - begin < 3


# Docker's token service and Basic, for real


async def test_basic(htpasswd_distribution: Distribution, path: str) -> None:
    """The credential itself, after a challenge."""
    async with open_registry(htpasswd_distribution.url, username=USERNAME, password=PASSWORD) as registry:
        await push(registry.repository(path), _IMAGE, tag="v1")

        assert _IMAGE.digest == await registry.repository(path).head("v1")


@pytest.mark.parametrize(("username", "password"), [("", ""), (USERNAME, "wr0ng")], ids=["none", "wrong"])
async def test_basic_refused(htpasswd_distribution: Distribution, path: str, username: str, password: str) -> None:
    """One sentence that names the host, in the registry's words, without the password."""
    async with open_registry(htpasswd_distribution.url, username=username, password=password) as registry:
        with pytest.raises(AccessDenied) as caught:
            await registry.repository(path).head("v1")

    text = "".join(traceback.format_exception(caught.value))
    assert f"check the credential for {htpasswd_distribution.host}" in str(caught.value)
    assert "wr0ng" not in text


async def test_bearer(token_distribution: Distribution, tokens: TokenService, path: str) -> None:
    """Pushing with a credential, pulling with none, each by a token for just that."""
    tokens.requests.clear()
    async with open_registry(token_distribution.url, username=tokens.username, password=tokens.password) as registry:
        await push(registry.repository(path), _IMAGE, tag="v1")
    async with open_registry(token_distribution.url) as registry:
        assert _IMAGE.manifest == await registry.repository(path).manifest("v1")

    assert [(f"repository:{path}:pull,push",), (f"repository:{path}:pull",)] == tokens.scopes


async def test_a_token_is_asked_for_once(token_distribution: Distribution, tokens: TokenService, path: str) -> None:
    """However many requests wait for it."""
    tokens.requests.clear()
    async with open_registry(token_distribution.url) as registry:
        repository = registry.repository(path)

        assert [None] * 20 == await asyncio.gather(*(repository.head(f"v{number}") for number in range(20)))

    assert 1 == len(tokens.requests)


async def test_pushing_needs_a_credential(token_distribution: Distribution, tokens: TokenService, path: str) -> None:
    """A token without the right to push does not become one by asking again and again."""
    tokens.requests.clear()
    async with open_registry(token_distribution.url) as registry:
        with pytest.raises(AccessDenied, match=f"check the credential for {token_distribution.host}"):
            await push(registry.repository(path), _IMAGE)

    assert len(tokens.requests) <= 2


# Who we are, whatever we may do


async def test_a_login(token_distribution: Distribution, tokens: TokenService) -> None:
    """As docker's: a token for nothing in particular."""
    tokens.requests.clear()
    async with open_registry(token_distribution.url, username=tokens.username, password=tokens.password) as registry:
        await registry.login()

    assert [()] == tokens.scopes
    assert "scope" not in tokens.requests[0].target


async def test_a_login_by_basic(htpasswd_distribution: Distribution) -> None:
    """The credential itself."""
    async with open_registry(htpasswd_distribution.url, username=USERNAME, password=PASSWORD) as registry:
        await registry.login()


@pytest.mark.parametrize("kind", ["htpasswd", "token"])
async def test_a_login_that_is_refused(
    htpasswd_distribution: Distribution, token_distribution: Distribution, kind: str
) -> None:
    """Also where whoever has no credential may read."""
    url = {"htpasswd": htpasswd_distribution, "token": token_distribution}[kind].url
    async with open_registry(url, username="pusher", password="wrong") as registry:
        with pytest.raises(AccessDenied, match="401"):
            await registry.login()


# What the fake can show


@pytest.fixture
def guarded(fake: FakeRegistry) -> FakeRegistry:
    """A registry that wants tokens, and has an image."""
    fake.add(_NAME, _IMAGE, "v1")
    fake.manners.auth, fake.manners.username, fake.manners.password = "bearer", "me", "right"
    return fake


async def test_a_token_that_is_refused_is_renewed(guarded: FakeRegistry) -> None:
    """It was revoked, or has expired early."""
    async with open_registry(guarded.url) as registry:
        repository = registry.repository(_NAME)
        await repository.head("v1")
        guarded.forget_tokens()

        assert _IMAGE.manifest == await repository.manifest("v1")
        assert 2 == len(guarded.asked("GET /token.*"))


async def test_a_token_that_expires_is_renewed(guarded: FakeRegistry) -> None:
    """Before it is refused."""
    guarded.faults.append(Fault("GET /token.*", answer(200, b'{"token": "x", "expires_in": -1}'), times=1))
    guarded.tokens["x"] = True
    async with open_registry(guarded.url) as registry:
        for _ in range(3):
            await registry.repository(_NAME).head("v1")

    assert 2 <= len(guarded.asked("GET /token.*"))
    assert 1 == len([seen for seen in guarded.asked("HEAD .*") if "authorization" not in seen.headers])


async def test_a_stale_login_reads_anonymously(guarded: FakeRegistry) -> None:
    """Once and loudly: GHCR refuses public images to a token that has expired (oras-project/oras#1161)."""
    with capture_logs() as logs:
        async with open_registry(guarded.url, username="me", password="st4le") as registry:
            for name in (_NAME, "linkerd/controller", _NAME):
                await registry.repository(name).head("v1")

        assert registry.repository(_NAME).is_read_anonymously
        assert not registry.repository("linkerd/other").is_read_anonymously

    warnings = [log for log in logs if log["event"] == "auth.credential_refused"]
    assert [("warning", guarded.host)] == [(log["log_level"], log["host"]) for log in warnings]
    assert "st4le" not in str(logs)
    assert [True, False] == ["authorization" in seen.headers for seen in guarded.asked("GET /token.*")][:2]


async def test_a_stale_login_does_not_push(guarded: FakeRegistry) -> None:
    """Nothing is tried without it; the sentence says who was refused."""
    async with open_registry(guarded.url, username="me", password="st4le") as registry:
        with pytest.raises(AccessDenied, match=f"{guarded.host} refused the credential of me for") as caught:
            await push(registry.repository("linkerd/push"), _IMAGE)

    assert "st4le" not in "".join(traceback.format_exception(caught.value))
    assert {True} == {"authorization" in seen.headers for seen in guarded.asked("GET /token.*")}


async def test_a_repository_whose_name_says_push(guarded: FakeRegistry) -> None:
    """Is read like any other."""
    guarded.add("push/push-proxy", _IMAGE, "v1")
    async with open_registry(guarded.url, username="me", password="st4le") as registry:
        assert _IMAGE.digest == await registry.repository("push/push-proxy").head("v1")


async def test_reading_anonymously_is_for_one_repository(guarded: FakeRegistry) -> None:
    """What may be read in one place only stays readable there, and what may be pushed can be pushed."""
    secret = "repository.*3Asecret.*"
    guarded.faults.append(Fault(f"GET /token.*{secret}", refusal(403, "DENIED"), times=ALWAYS))
    guarded.manners.anonymous_pulls = False
    async with open_registry(guarded.url, username="me", password="right") as registry:
        with pytest.raises(AccessDenied):
            await registry.repository("secret/image").head("v1")

        assert _IMAGE.digest == await registry.repository(_NAME).head("v1")
        await push(registry.repository(_NAME), image(b"other"), tag="v2")


async def test_a_token_without_the_right_falls_back(guarded: FakeRegistry) -> None:
    """The service gave a token, the registry did not take it: it is renewed once, and then given up for none."""
    refused = refusal(401, "UNAUTHORIZED", WWW_Authenticate=f'Bearer realm="{guarded.url}/token",service="fake"')
    guarded.faults.append(Fault("HEAD .*", refused, skip=1, times=2))
    with capture_logs() as logs:
        async with open_registry(guarded.url, username="me", password="right") as registry:
            assert _IMAGE.digest == await registry.repository(_NAME).head("v1")

    asked = ["authorization" in seen.headers for seen in guarded.asked("GET /token.*")]
    assert [True, True, False] == asked
    assert ["auth.credential_refused"] == [log["event"] for log in logs if log["log_level"] == "warning"]


@pytest.mark.parametrize("challenge", ["", 'Basic realm="harbor"', "Bearer", 'Bearer realm=""', "nonsense,,=,"])
async def test_harbors_refusal(guarded: FakeRegistry, challenge: str) -> None:
    """A missing project is a 401 whose challenge says nothing, also to who has sent a token: its words are told."""
    harm = refusal(401, "UNAUTHORIZED", "project linkerd not found", WWW_Authenticate=challenge)
    guarded.faults.append(Fault("POST .*", harm, times=ALWAYS))
    async with open_registry(guarded.url, username="me", password="right") as registry:
        await registry.repository(_NAME).head("v1")
        with pytest.raises(AccessDenied, match="UNAUTHORIZED project linkerd not found"):
            await push(registry.repository(_NAME), _IMAGE)

    assert [] == [
        seen for seen in guarded.asked("POST .*") if seen.headers.get("authorization", "").startswith("Basic")
    ]


class Aging:
    """Credentials that age: each is another password, good for *life_s*."""

    def __init__(self, life_s: float) -> None:
        self.life_s = life_s
        self.given = 0

    def credential(self, host: str) -> Credential:
        self.given += 1
        return Credential("me", f"password-{self.given}", renew_at=time.monotonic() + self.life_s)


@pytest.mark.parametrize(("life_s", "is_renewed"), [(3600, False), (-1, True)], ids=["young", "old"])
async def test_a_credential_that_ages_is_asked_for_again(fake: FakeRegistry, life_s: float, is_renewed: bool) -> None:
    """When it is time, and not before: a token of ECR is good for twelve hours."""
    aging = Aging(life_s)
    async with open_registry(fake.url, credentials=aging) as registry:
        await registry.auth.is_worth_retrying(
            Answer(401, {"www-authenticate": "Basic"}, b"", fake.url), "", "repository:a:pull", where="here"
        )
        first = await registry.auth.authorization("repository:a:pull")
        assert is_renewed == (first != await registry.auth.authorization("repository:a:pull"))


async def test_a_credential_that_is_refused_before_its_time(fake: FakeRegistry) -> None:
    """Is asked for once more, for reading and for writing, by however many requests."""
    fake.manners.auth, fake.manners.username, fake.manners.password = "basic", "me", "password-1"
    aging = Aging(3600)
    async with open_registry(fake.url, credentials=aging) as registry:
        await push(registry.repository(_NAME), _IMAGE, tag="v1")
        fake.manners.password = "password-2"
        await asyncio.gather(*(push(registry.repository(f"{_NAME}{n}"), image(b"more"), tag="v1") for n in range(8)))

    assert 2 == aging.given


async def test_a_credential_that_is_refused_twice(fake: FakeRegistry) -> None:
    """Is not asked for for ever."""
    fake.manners.auth, fake.manners.username, fake.manners.password = "basic", "me", "no other"
    aging = Aging(3600)
    async with open_registry(fake.url, credentials=aging) as registry:
        with pytest.raises(AccessDenied):
            await push(registry.repository(_NAME), _IMAGE, tag="v1")

    assert 2 == aging.given


async def test_basic_is_not_sent_where_nothing_is_known(fake: FakeRegistry) -> None:
    """A registry that does not ask gets no credential."""
    fake.add(_NAME, _IMAGE, "v1")
    async with open_registry(fake.url, username="me", password="secret") as registry:
        await registry.repository(_NAME).manifest("v1")

    assert [] == [seen for seen in fake.requests if "authorization" in seen.headers]


@pytest.mark.parametrize(
    ("realm", "words"),
    [
        ("http://tokens.example/token", r"sends us to http://tokens\.example for a token, which is not https"),
        ("ftp://tokens.example/token", "which is not https"),
        ("http://[bad/token", "for a token"),
        ("https://tokens.example:99999/token", "for a token"),
        ("https://tokens.example/to ken", "for a token"),
    ],
)
async def test_realms_that_are_refused(certificates: Certificates, realm: str, words: str) -> None:
    """The sentence is ours, and the credential is sent nowhere."""
    with fake_registry(certificates=certificates) as fake:
        fake.manners.auth, fake.manners.realm = "bearer", realm
        ca_file = str(certificates.authority)
        async with open_registry(fake.url, username="me", password="secret", ca_file=ca_file) as registry:
            with pytest.raises(MirrorError, match=words) as caught:
                await registry.repository(_NAME).head("v1")

        assert "secret" not in "".join(traceback.format_exception(caught.value))
        assert [] == [seen for seen in fake.requests if "authorization" in seen.headers]


@pytest.mark.parametrize("at", ["127.0.0.1", "169.254.169.254", "localhost", "127.1"])
async def test_a_realm_on_this_machine(guarded: FakeRegistry, proxy: Proxy, at: str) -> None:
    """Is refused to a registry that is not here."""
    guarded.manners.realm = f"http://{at}:1/token"
    proxy.routes["registry.example:80"] = guarded.host
    async with open_registry(
        "http://registry.example", username="me", password="secret", proxies=Proxies({"http": proxy.url})
    ) as registry:
        with pytest.raises(AccessDenied, match="an address of this machine: refused"):
            await registry.repository(_NAME).head("v1")

    assert 1 == len(proxy.requests)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"token": 5}', b'{"token": "a b"}', b'{"token": "a\\r\\nX: y"}', b"{}", b"\xff",
     b'{"token": "x", "expires_in": "soon"}', b'{"token": "x", "expires_in": 1' + b"0" * 400 + b"}", b"[" * 60_000],
    ids=["empty", "list", "null", "number", "blank", "lines", "none", "no text", "no time", "for ever", "deep"],
)  # fmt: skip
async def test_a_token_service_that_talks_nonsense(guarded: FakeRegistry, body: bytes) -> None:
    """Is one sentence."""
    guarded.faults.append(Fault("GET /token.*", answer(200, body)))
    async with open_registry(guarded.url) as registry:
        with pytest.raises(RegistryError, match=f"{guarded.host}: the token service"):
            await registry.repository(_NAME).head("v1")


async def test_no_token_for_anybody(guarded: FakeRegistry) -> None:
    """A private image, and no credential."""
    guarded.manners.anonymous_pulls = False
    async with open_registry(guarded.url) as registry:
        with pytest.raises(AccessDenied, match="gave no token without a credential for repository:linkerd/proxy:pull"):
            await registry.repository(_NAME).head("v1")


async def test_an_identity_token(guarded: FakeRegistry) -> None:
    """Is exchanged by OAuth2's refresh_token (distribution, docs/spec/auth/oauth.md), in the body, not in the URL."""
    guarded.tokens["x"] = False
    guarded.faults.append(Fault("POST /token", answer(200, b'{"access_token": "x"}')))
    async with open_registry(guarded.url) as registry:
        registry.auth.credentials = _Held(Credential(identity_token="refresh&me"))

        assert _IMAGE.digest == await registry.repository(_NAME).head("v1")

    (seen,) = guarded.asked("POST /token.*")
    assert "application/x-www-form-urlencoded" == seen.headers["content-type"]
    assert "refresh" not in seen.target


class _Held:
    """A credential for any host."""

    def __init__(self, credential: Credential) -> None:
        self.held = credential
        self.asked = 0

    def credential(self, host: str) -> Credential | None:
        self.asked += 1
        return self.held


async def test_credentials_are_looked_for_once(guarded: FakeRegistry) -> None:
    """A helper may be slow, or ask the operator."""
    held = _Held(Credential("me", "right"))
    async with open_registry(guarded.url) as registry:
        registry.auth.credentials = held
        await asyncio.gather(*(registry.repository(f"linkerd/{number}").head("v1") for number in range(10)))

        assert Credential("me", "right") == await registry.auth.credential()

    assert 1 == held.asked


async def test_secrets_are_not_shown(guarded: FakeRegistry) -> None:
    """Neither by a credential nor by what holds one, or a token."""
    async with open_registry(guarded.url, username="me", password="right") as registry:
        registry.auth.credentials = _Held(Credential("me", "right", "r3fresh"))
        await registry.repository(_NAME).head("v1")
        shown = f"{registry!r} {registry.auth!r} {Credential('me', 'right', 'r3fresh')!r}"

    (token,) = guarded.tokens
    assert [] == [secret for secret in ("'right'", "r3fresh", token) if secret in shown]


# The Docker configuration


def _configured(tmp_path: Path, config: object) -> DockerConfiguration:
    path = tmp_path / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return DockerConfiguration(path)


def _auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("auths", "host", "expected"),
    [
        ({"ghcr.io": _auth("me:secret")}, "ghcr.io", Credential("me", "secret")),
        ({"https://ghcr.io": _auth("me:secret")}, "ghcr.io", Credential("me", "secret")),
        ({"https://ghcr.io/v1/": _auth("me:secret")}, "ghcr.io", Credential("me", "secret")),
        ({"ghcr.io": _auth("me:with:colons")}, "ghcr.io", Credential("me", "with:colons")),
        ({"localhost:5000": _auth("me:secret")}, "localhost:5000", Credential("me", "secret")),
        ({"localhost:5000": _auth("me:secret")}, "localhost", None),
        ({"ghcr.io.evil.example": _auth("me:secret")}, "ghcr.io", None),
        ({"https://index.docker.io/v1/": _auth("me:secret")}, "docker.io", Credential("me", "secret")),
        ({"docker.io": _auth("me:secret")}, "docker.io", Credential("me", "secret")),
        ({"ghcr.io": {"username": "me", "password": "secret"}}, "ghcr.io", Credential("me", "secret")),
        ({"ghcr.io": {**_auth("me:"), "identitytoken": "refresh"}}, "ghcr.io", Credential(identity_token="refresh")),
        ({"ghcr.io": {}}, "ghcr.io", None),
        ({}, "ghcr.io", None),
        (None, "ghcr.io", None),
    ],
)
def test_auths(tmp_path: Path, auths: object, host: str, expected: Credential | None) -> None:
    """Keys with and without https, Docker Hub's own, identity tokens."""
    assert expected == _configured(tmp_path, {"auths": auths}).credential(host)


def test_no_file_is_no_credential(tmp_path: Path) -> None:
    """Nor is a folder in its way."""
    assert DockerConfiguration(tmp_path / "none" / "config.json").credential("ghcr.io") is None


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        "\x00",
        {"auths": ["x"]},
        {"auths": "x"},
        {"credHelpers": ["x"]},
        {"credHelpers": {"ghcr.io": "../evil"}},
        {"credsStore": "a b"},
        {"auths": {"ghcr.io": {"auth": "s3cret"}}},
        {"auths": {"ghcr.io": {"auth": "!!!"}}},
        {"auths": {"ghcr.io": _auth("s3cret without a colon")}},
    ],
    ids=str,
)
def test_a_file_that_cannot_be_read(tmp_path: Path, config: object) -> None:
    """Is the operator's to mend; the secret is not told."""
    with pytest.raises(SettingsError) as caught:
        _configured(tmp_path, config).credential("ghcr.io")

    assert "s3cret" not in str(caught.value)


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    """Likewise."""
    with pytest.raises(SettingsError, match="cannot be read"):
        DockerConfiguration(tmp_path).credential("ghcr.io")


def test_a_file_that_nests_too_deep(tmp_path: Path) -> None:
    """Likewise."""
    (tmp_path / "config.json").write_text("[" * 100_000)

    with pytest.raises(SettingsError, match="cannot be read"):
        DockerConfiguration(tmp_path / "config.json").credential("ghcr.io")


def test_where_the_file_is(tmp_path: Path) -> None:
    """$DOCKER_CONFIG, else the home directory."""
    assert tmp_path / "config.json" == DockerConfiguration.default({"DOCKER_CONFIG": str(tmp_path)}).path
    assert Path.home() / ".docker" / "config.json" == DockerConfiguration.default({}).path


Helper = Callable[[str], None]


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Helper:
    """Puts `docker-credential-test` on PATH, a shell script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(script: str) -> None:
        program = folder / "docker-credential-test"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return write


_GOOD = """read key || true
[ "$1" = get ] && echo "{\\"ServerURL\\": \\"$key\\", \\"Username\\": \\"$key\\", \\"Secret\\": \\"s3cret\\"}" """


@pytest.mark.parametrize(
    ("config", "host", "key"),
    [
        ({"credHelpers": {"ghcr.io": "test"}}, "ghcr.io", "ghcr.io"),
        ({"credHelpers": {"https://ghcr.io": "test"}}, "ghcr.io", "https://ghcr.io"),
        ({"credsStore": "test"}, "ghcr.io", "ghcr.io"),
        ({"credsStore": "test", "auths": {"ghcr.io": {}}}, "ghcr.io", "ghcr.io"),
        ({"credsStore": "test"}, "docker.io", "https://index.docker.io/v1/"),
        ({"credHelpers": {"ghcr.io": "test"}, "auths": {"ghcr.io": _auth("me:secret")}}, "ghcr.io", "ghcr.io"),
    ],
)
def test_helpers(tmp_path: Path, helper: Helper, config: object, host: str, key: str) -> None:
    """Are asked by the key that Docker uses; one for the host comes before what the file has."""
    helper(_GOOD)

    assert Credential(key, "s3cret") == _configured(tmp_path, config).credential(host)


def test_where_a_credential_is_kept(tmp_path: Path, helper: Helper) -> None:
    """It says so: the file, or the helper; that makes no difference between two."""
    helper(_GOOD)
    kept = {"auths": {"ghcr.io": _auth("me:secret")}, "credHelpers": {"quay.io": "test"}}
    found = [_configured(tmp_path, kept).credential(host) for host in ("ghcr.io", "quay.io")]

    assert [str(tmp_path / "config.json"), "docker-credential-test"] == [each.origin for each in found if each]
    assert Credential("me", "secret", origin="elsewhere") == found[0]


def test_a_helper_for_another_host(tmp_path: Path, helper: Helper) -> None:
    """Is not asked."""
    helper("exit 9")

    assert _configured(tmp_path, {"credHelpers": {"gcr.io": "test"}}).credential("ghcr.io") is None


def test_a_helper_gives_an_identity_token(tmp_path: Path, helper: Helper) -> None:
    """By Docker's placeholder for the name."""
    helper("""echo '{"Username": "<token>", "Secret": "refresh"}'""")

    assert Credential(identity_token="refresh") == _configured(tmp_path, {"credsStore": "test"}).credential("ghcr.io")


def test_a_helper_that_has_none(tmp_path: Path, helper: Helper) -> None:
    """Says so, which is an answer."""
    helper("echo credentials not found in native keychain; exit 1")

    assert _configured(tmp_path, {"credsStore": "test"}).credential("ghcr.io") is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo the keychain is locked; exit 1", "gave no credential for ghcr.io: the keychain is locked"),
        ("echo the keychain is locked >&2; exit 1", "gave no credential for ghcr.io: the keychain is locked"),
        ("exit 3", "gave no credential for ghcr.io: no reason"),
        ("""echo '{"Username": "me", "Secret": "s3cret"}'; exit 1""", "gave no credential for ghcr.io: no reason"),
        ("echo s3cret", "gave something other than a credential for ghcr.io"),
        ("echo '[]'", "gave something other than a credential for ghcr.io"),
        ("printf '\\377'", "gave something other than a credential for ghcr.io"),
        ("true", "gave something other than a credential for ghcr.io"),
        ("printf '[%.0s' $(seq 100000)", "gave something other than a credential for ghcr.io"),
    ],
)
def test_a_helper_that_fails(tmp_path: Path, helper: Helper, script: str, words: str) -> None:
    """In its own words, but never with what may be a secret."""
    helper(script)

    with pytest.raises(AccessDenied, match=f"docker-credential-test {words}") as caught:
        _configured(tmp_path, {"credsStore": "test"}).credential("ghcr.io")

    assert "s3cret" not in str(caught.value)


def test_a_helper_that_is_not_there(tmp_path: Path) -> None:
    """Is named, with who names it."""
    with pytest.raises(
        SettingsError, match=r"docker-credential-absent, which the Docker configuration names for ghcr\.io"
    ):
        _configured(tmp_path, {"credsStore": "absent"}).credential("ghcr.io")


def test_a_helper_that_is_no_program(tmp_path: Path, helper: Helper) -> None:
    """Likewise."""
    helper("")
    program = tmp_path / "bin" / "docker-credential-test"
    program.write_bytes(b"\x00\x01")

    with pytest.raises(SettingsError, match="docker-credential-test, which the Docker configuration names"):
        _configured(tmp_path, {"credsStore": "test"}).credential("ghcr.io")


def test_a_helper_that_is_slow(tmp_path: Path, helper: Helper) -> None:
    """Is not waited for, nor is what it has started."""
    helper("sleep 8; true")
    begin = time.monotonic()

    configuration = DockerConfiguration(_configured(tmp_path, {"credsStore": "test"}).path, helper_timeout_s=0.2)
    with pytest.raises(AccessDenied, match=r"docker-credential-test gave no credential for ghcr\.io in 0 s"):
        configuration.credential("ghcr.io")

    assert time.monotonic() - begin < 7  # of 8


async def test_the_configuration_is_used(htpasswd_distribution: Distribution, tmp_path: Path, path: str) -> None:
    """From the file to the registry."""
    host = htpasswd_distribution.host
    async with open_registry(htpasswd_distribution.url) as registry:
        configuration = _configured(tmp_path, {"auths": {host: _auth(f"{USERNAME}:{PASSWORD}")}})
        signed_in = Registry(
            host, registry.endpoint, registry.transport, registry.connections,
            Authenticator(host, registry.transport, configuration),
        )  # fmt: skip

        assert await signed_in.repository(path).head("v1") is None


# Until when


def _jwt(claims: object) -> str:
    """A JSON Web Token, as Artifactory's access tokens are; its signature is nobody's."""
    parts = (b'{"alg":"none"}', json.dumps(claims).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


_END = datetime(2027, 3, 1, 12, tzinfo=UTC)
_LATER, _NOW = _END.timestamp(), (_END - timedelta(days=90)).timestamp()


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (Credential("u", "a password"), None),
        (Credential("u", "a.dotted.password"), None),
        (Credential("u", "p", expires_at=_END), ("token", _END)),
        (Credential("u", _jwt({"iat": _NOW, "exp": _LATER})), ("password", _END)),
        (Credential("u", _jwt({"exp": _LATER})), ("password", _END)),
        (Credential(identity_token=_jwt({"iat": _NOW, "exp": _LATER})), ("password", _END)),
        (Credential("u", _jwt({"iat": _LATER - 10_800, "exp": _LATER})), ("token", _END)),
        (Credential("u", _jwt({"iat": _NOW})), None),
        (Credential("u", _jwt({"exp": "soon"})), None),
        (Credential("u", _jwt({"exp": 1e99})), None),
        (Credential("u", _jwt([])), None),
    ],
    ids=["plain", "dotted", "said", "jwt", "no beginning", "identity", "short", "endless", "words", "huge", "list"],
)
def test_until_when_a_credential_is_good(credential: Credential, expected: object) -> None:
    """Where it says so; what lives for less than a day is renewed by no human."""
    assert expected == credential.end


@given(st.text() | st.builds("{}.{}.{}".format, st.text(), st.binary().map(base64.urlsafe_b64encode), st.text()))
@example(_jwt({"exp": float("nan")}))
@example("a." + base64.urlsafe_b64encode(b"[" * 40_000).decode() + ".b")
def test_any_password_is_good_until_some_moment_or_does_not_say(password: str) -> None:
    """Nothing is raised."""
    end = Credential("u", password).end

    assert end is None or end[1].tzinfo is UTC


async def test_ends_are_told(guarded: FakeRegistry) -> None:
    """Of the credential, when it is looked up, and of the token, when it is given; nothing of what they are."""
    told, password = Told(), _jwt({"exp": _LATER})
    guarded.manners.username, guarded.manners.password = "me", password
    begin = datetime.now(UTC)
    async with open_registry(guarded.url, username="me", password=password, meter=told) as registry:
        await registry.repository(_NAME).head("v1")

    [(_, _, end), (at, kind, token_end)] = told.good_until
    assert _END == end
    assert (guarded.host, "token") == (at, kind)
    assert timedelta(seconds=200) < token_end - begin <= timedelta(seconds=300)


@pytest.mark.parametrize("life", ["1e300", "NaN", "Infinity", "-1"])
async def test_a_token_that_claims_any_life(guarded: FakeRegistry, life: str) -> None:
    """Is used all the same, and no end of it is told."""
    told = Told()
    guarded.tokens["x"] = True
    guarded.faults.append(Fault("GET /token.*", answer(200, f'{{"token": "x", "expires_in": {life}}}'.encode())))
    async with open_registry(guarded.url, meter=told) as registry:
        await registry.repository(_NAME).head("v1")

    assert [] == told.good_until
