"""Where the trusted root comes from: a file, or TUF."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import TrustRootError
from mirror.http.connections import Connections
from mirror.http.general import GeneralClient
from mirror.http.proxies import Proxies
from mirror.http.transport import Transport
from mirror.lock import locked
from mirror.trust.root import PUBLIC, SIZE_MAX, PublicRoot, RootFile
from mirror.trust.trusted_root import parse
from tests.http.naps import Naps
from tests.servers.loopback import Handler, serving
from tests.servers.proxy import Proxy
from tests.servers.sigstore import Sigstore
from tests.servers.tuf import TufRepository, tuf_repository
from tests.trust.conftest import IDENTITY, IMAGE, Bench

_PROJECT = Path(__file__).parents[2]


@pytest.fixture
def tuf(sigstore: Sigstore) -> Iterator[TufRepository]:
    with tuf_repository() as running:
        running.publish(_file(sigstore))
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(GeneralClient(proxies=Proxies())) as opened:
        Naps().instead(opened)
        yield opened


def _file(sigstore: Sigstore) -> bytes:
    return json.dumps(sigstore.trusted_root()).encode()


def _root(tuf: TufRepository, transport: Transport, directory: Path, **more: Any) -> PublicRoot:
    return PublicRoot(transport, directory, tuf.url, tuf.root, **more)


# A file


async def test_a_file_that_was_given(bench: Bench, tmp_path: Path) -> None:
    """It is read once, and a signature holds by it, without a network."""
    path = tmp_path / "root.json"
    path.write_bytes(_file(bench.sigstore))
    bench.put_bundle(bench.sigstore.bundle(IMAGE.digest, IDENTITY))
    root = RootFile(path)

    assert "signed" == (await bench.verdict(root=root)).state
    path.unlink()
    assert "signed" == (await bench.verdict(root=root)).state


async def test_a_file_that_is_not_there(bench: Bench, tmp_path: Path) -> None:
    """It says which, and what to correct; it is no verdict on the image."""
    bench.put_simple(bench.sigstore.simple_signing(IMAGE.digest, IDENTITY))

    with pytest.raises(TrustRootError, match=r"nothing\.json cannot be read.*correct policy\.trusted_root"):
        await bench.verdict(root=RootFile(tmp_path / "nothing.json"))


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda document: document.pop(name)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda document: document.update(mediaType="application/json"), "its mediaType is 'application/json'"),
        (_without("mediaType"), "its mediaType is 'None'"),
        (_without("tlogs"), "has no tlogs that is a list"),
        (_without("ctlogs"), "has no ctlogs that is a list"),
        (lambda document: document.update(certificateAuthorities=[]), "it lacks authorities"),
        (lambda document: document.update(tlogs=[{}]), "a log of the trusted root has no publicKey"),
        (lambda document: document["tlogs"][0]["publicKey"].update(rawBytes="eA=="), "could not|Could not|parse|error"),
        (lambda document: document["tlogs"][0]["publicKey"].update(rawBytes="§"), "is not base64"),
        (
            lambda document: document["certificateAuthorities"][0]["certChain"].update(certificates=[]),
            "an authority has no certificate",
        ),
        (
            lambda document: document["certificateAuthorities"][0]["validFor"].update(end="tomorrow"),
            "is not a trusted root",
        ),
        (
            lambda document: document["tlogs"][0]["publicKey"]["validFor"].update(start="0001-01-01T00:00:00+14:00"),
            "out of range",
        ),
        (
            lambda document: document["certificateAuthorities"][0]["validFor"].update(end="2026-01-01T00:00:00"),
            "is not a time",
        ),
        (lambda document: document["certificateAuthorities"][0].update(validFor=[1]), "is not a trusted root"),
    ],
)
def test_what_is_no_trusted_root(sigstore: Sigstore, change: Callable[[dict[str, Any]], Any], reason: str) -> None:
    """It says why, where it came from, and what was expected."""
    document = sigstore.trusted_root()
    change(document)

    with pytest.raises(TrustRootError, match=reason) as raised:
        parse(json.dumps(document).encode(), where="here")
    assert str(raised.value).startswith("here is not a trusted root that can be used: ")
    assert "cosign trusted-root create" in str(raised.value)


@given(
    st.binary(max_size=100) | st.dictionaries(st.text(max_size=5), st.integers()).map(lambda x: json.dumps(x).encode())
)
def test_no_bytes_are_a_trusted_root(raw: bytes) -> None:
    """Whatever they are, it is one error."""
    with pytest.raises(TrustRootError):
        parse(raw, where="here")


@pytest.mark.parametrize("host", ["tuf-repo-cdn.sigstore.dev", "tuf-repo-cdn.sigstage.dev"])
def test_real_ones(host: str) -> None:
    """Those that `sigstore` carries are read: with windows, and with a key that is not ECDSA's."""
    raw = files("sigstore").joinpath("_store", f"https%3A%2F%2F{host}", "trusted_root.json").read_bytes()
    root = parse(raw, where=host)

    assert root.authorities
    assert root.certificate_logs
    assert {True, False} == {log.key is None for log in root.logs}
    if host.endswith("sigstore.dev"):
        assert [2022, None] == [one.window.end.year if one.window.end else None for one in root.authorities]


def test_one_that_is_too_large() -> None:
    """It is not even read."""
    with pytest.raises(TrustRootError, match="larger than 1048576 bytes"):
        parse(b" " * (SIZE_MAX + 1), where="here")


# TUF


async def test_by_tuf(bench: Bench, tuf: TufRepository, transport: Transport, tmp_path: Path) -> None:
    """A signature holds by what it serves; asked for once, and a day later for what is newer."""
    now = [0.0]
    root = _root(tuf, transport, tmp_path, clock=lambda: now[0])
    bench.put_simple(bench.sigstore.simple_signing(IMAGE.digest, IDENTITY))

    assert "signed" == (await bench.verdict(root=root)).state
    asked = len(tuf.requests)
    assert "signed" == (await bench.verdict(root=root)).state
    assert asked == len(tuf.requests)
    now[0] += 25 * 3600
    assert "signed" == (await bench.verdict(root=root)).state
    assert ["/2.root.json", "/timestamp.json"] == tuf.asked()[asked:]


async def test_what_is_kept_is_not_fetched_again(tuf: TufRepository, transport: Transport, tmp_path: Path) -> None:
    """Another run asks whether there is anything newer, and takes what TUF has verified from the disk."""
    first = await _root(tuf, transport, tmp_path).load()
    tuf.requests.clear()
    again = await _root(tuf, transport, tmp_path).load()

    assert first.raw == again.raw
    assert ["/2.root.json", "/timestamp.json"] == tuf.asked()


async def test_a_newer_root_is_taken(
    bench: Bench, foreign: Sigstore, tuf: TufRepository, transport: Transport, tmp_path: Path
) -> None:
    """What the old one vouched for does not hold any more."""
    bench.put_simple(bench.sigstore.simple_signing(IMAGE.digest, IDENTITY))
    assert "signed" == (await bench.verdict(root=_root(tuf, transport, tmp_path))).state
    tuf.publish(_file(foreign))

    assert "not verified" == (await bench.verdict(root=_root(tuf, transport, tmp_path))).state


async def test_many_ask_at_once_and_it_is_fetched_once(
    tuf: TufRepository, transport: Transport, tmp_path: Path
) -> None:
    """Ten images share one root."""
    root = _root(tuf, transport, tmp_path)
    await asyncio.gather(*(root.load() for _ in range(10)))

    assert 1 == tuf.asked().count("/timestamp.json")


async def test_several_runs_share_a_directory(tuf: TufRepository, transport: Transport, tmp_path: Path) -> None:
    """Side by side, each has the root, and none is in another's way."""
    roots = await asyncio.gather(*(_root(tuf, transport, tmp_path).load() for _ in range(8)))

    assert 1 == len({root.raw for root in roots})


async def test_a_root_that_was_tampered_with_on_disk(
    tuf: TufRepository, foreign: Sigstore, transport: Transport, tmp_path: Path
) -> None:
    """It is fetched again: what is on disk is held to what TUF says."""
    kept = await _root(tuf, transport, tmp_path).load()
    (path,) = tmp_path.glob("*/targets/trusted_root.json")
    path.write_bytes(_file(foreign))

    assert kept.raw == (await _root(tuf, transport, tmp_path).load()).raw


@pytest.mark.parametrize("is_kept", [False, True])
async def test_one_that_is_unreachable(tuf: TufRepository, transport: Transport, tmp_path: Path, is_kept: bool) -> None:
    """An error that names the host and says what to do, also where there is an old one."""
    if is_kept:
        await _root(tuf, transport, tmp_path).load()
    tuf.status = 503

    with pytest.raises(TrustRootError, match=r"cannot be fetched: .*127\.0\.0\.1.* answers 503: try again, or give"):
        await _root(tuf, transport, tmp_path).load()


async def test_nobody_is_there(tuf: TufRepository, transport: Transport, tmp_path: Path) -> None:
    """The reason is the transport's own sentence."""
    root = PublicRoot(transport, tmp_path, "http://127.0.0.1:9", tuf.root)

    with pytest.raises(TrustRootError, match=r"127\.0\.0\.1:9 cannot be reached: .*policy\.trusted_root"):
        await root.load()


async def test_a_failure_is_met_once_by_many(tuf: TufRepository, transport: Transport, tmp_path: Path) -> None:
    """Eleven images do not wait for eleven deadlines; half a minute later it is asked for anew."""
    now = 0.0
    root = PublicRoot(transport, tmp_path, "http://127.0.0.1:1", tuf.root, clock=lambda: now)
    failures = await asyncio.gather(*(root.load() for _ in range(11)), return_exceptions=True)
    root.url = tuf.url

    assert [TrustRootError] * 11 == [type(each) for each in failures]
    assert 1 == len({id(each) for each in failures})
    now = 30.0
    with pytest.raises(TrustRootError):
        await root.load()
    now = 30.1
    assert await root.load()


async def test_one_that_has_expired(sigstore: Sigstore, transport: Transport, tmp_path: Path) -> None:
    """Nobody has vouched for it lately: the clock is a reason as well."""
    with tuf_repository() as tuf:
        tuf.publish(_file(sigstore), lives=timedelta(days=-1))

        with pytest.raises(TrustRootError, match=r"has expired .*check this machine's clock"):
            await _root(tuf, transport, tmp_path).load()


async def test_one_of_somebody_elses(
    tuf: TufRepository, sigstore: Sigstore, transport: Transport, tmp_path: Path
) -> None:
    """Signed by other keys than those that we begin with."""
    with tuf_repository() as other:
        other.publish(_file(sigstore))
        tuf.files |= {path: data for path, data in other.files.items() if "root" not in path}

    with pytest.raises(TrustRootError, match="is not Sigstore's root of trust"):
        await _root(tuf, transport, tmp_path).load()


async def test_an_older_one_is_refused(
    tuf: TufRepository, sigstore: Sigstore, transport: Transport, tmp_path: Path
) -> None:
    """A version that was seen is not gone back behind."""
    before = dict(tuf.files)
    tuf.publish(_file(sigstore) + b" ")
    await _root(tuf, transport, tmp_path).load()
    tuf.files = before

    with pytest.raises(TrustRootError, match="is not Sigstore's root of trust"):
        await _root(tuf, transport, tmp_path).load()


async def test_a_target_that_is_no_root(tuf: TufRepository, transport: Transport, tmp_path: Path) -> None:
    """TUF vouches for bytes, and they make no sense."""
    tuf.publish(b"{}")

    with pytest.raises(TrustRootError, match=r"trusted_root\.json of http.* is not a trusted root"):
        await _root(tuf, transport, tmp_path).load()


async def test_no_target(tuf: TufRepository, transport: Transport, tmp_path: Path) -> None:
    """TUF vouches for something else."""
    tuf.publish(b"{}", name="signing_config.json")

    with pytest.raises(TrustRootError, match=r"there is no trusted_root\.json"):
        await _root(tuf, transport, tmp_path).load()


async def test_a_directory_that_cannot_be_written(tuf: TufRepository, transport: Transport, tmp_path: Path) -> None:
    """It says which, and what to do."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(TrustRootError, match=r"file.*cannot be written .*make it writable"):
        await _root(tuf, transport, tmp_path / "file").load()


async def test_a_directory_that_others_keep_locked(tuf: TufRepository, transport: Transport, tmp_path: Path) -> None:
    """It is not waited for for ever; it says which, and what to do."""
    await _root(tuf, transport, tmp_path).load()
    [lock] = tmp_path.glob("*/lock")
    with (
        locked(lock),
        pytest.raises(TrustRootError, match=r"cannot be locked .*for 0\.1 seconds\): try again, or give"),
    ):
        await _root(tuf, transport, tmp_path, lock_wait_s=0.1).load()

    assert await _root(tuf, transport, tmp_path).load()


async def test_through_a_proxy(tuf: TufRepository, proxy: Proxy, tmp_path: Path) -> None:
    """As every connection that we make."""
    proxy.routes["tuf.example.invalid:80"] = tuf.url.removeprefix("http://")
    async with Transport(GeneralClient(proxies=Proxies({"http": proxy.url}))) as transport:
        await PublicRoot(transport, tmp_path, "http://tuf.example.invalid", tuf.root).load()

    assert 5 == len([seen for seen in proxy.requests if "tuf.example.invalid" in str(seen)])


async def test_cancelled_it_ends_at_once(tuf: TufRepository, tmp_path: Path) -> None:
    """Also while a server keeps it waiting."""
    came = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Silent(Handler):
        def respond(self) -> None:
            loop.call_soon_threadsafe(came.set)
            self.connection.recv(1)

    with serving(Silent) as address:
        async with Transport(Connections("", Proxies())) as transport:
            loading = asyncio.create_task(PublicRoot(transport, tmp_path, f"http://{address}", tuf.root).load())
            await came.wait()
            loading.cancel()
            done, _ = await asyncio.wait([loading], timeout=5)

            assert {loading} == done
            assert loading.cancelled()


def test_what_the_public_instance_is_trusted_by() -> None:
    """`sigstore` carries it where we look; for another instance there is none."""
    from mirror.trust.root import _carried

    assert b'"root"' in _carried(PUBLIC)
    with pytest.raises(TrustRootError, match=r"give policy\.trusted_root a file"):
        _carried("https://tuf.example.com")


def test_what_is_not_loaded() -> None:
    """Neither `cryptography` nor `sigstore` for a verdict that needs no signature; a root may be named without."""
    code = (
        "import sys, mirror.trust.judge, mirror.trust.root, mirror.trust.verdict\n"
        "heavy = {'cryptography', 'sigstore', 'tuf', 'rfc8785', 'securesystemslib', 'requests', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=_PROJECT, capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout
