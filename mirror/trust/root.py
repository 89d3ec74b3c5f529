"""Where the trusted root comes from: a file that was given, or the public instance of Sigstore.

    RootFile     a trusted_root.json; nothing is asked of any network
    PublicRoot   by TUF (theupdateframework/specification v1.0): root ─► timestamp ─► snapshot ─► targets ─► the file

The public instance is trusted by the root metadata that `sigstore` carries: whoever serves the rest, the keys that
those name have signed it, and recently. It is fetched over a transport of ours, so proxies, `ca_file`, deadlines and
bounds are as everywhere; what TUF has verified is kept below *directory* and asked for again only where it is newer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

import structlog

from mirror.errors import MirrorError, TrustRootError
from mirror.http.transport import Transport

if TYPE_CHECKING:
    from mirror.trust.trusted_root import TrustedRoot

PUBLIC = "https://tuf-repo-cdn.sigstore.dev"
SIZE_MAX = 1024 * 1024  # bytes: the public instance's has some seven thousand
_FETCHED_MAX = 5_000_000  # bytes of any one file, as python-tuf's own for the largest (ngclient/config.py)
_REFRESH_S = 24 * 3600.0
_TARGET = "trusted_root.json"

log = structlog.get_logger()


class RootOfTrust(Protocol):
    """Where a trusted root comes from."""

    async def load(self) -> TrustedRoot:
        """The trusted root, again and again the same without effort, until it is old; raises TrustRootError."""
        ...


@dataclass(slots=True)
class RootFile:
    """A trusted root that was given."""

    path: Path
    _root: TrustedRoot | None = field(default=None, init=False)

    def __str__(self) -> str:
        return f"the trusted root {self.path}"

    async def load(self) -> TrustedRoot:
        """See RootOfTrust; never old."""
        if self._root is None:
            try:
                with self.path.open("rb") as file:
                    raw = file.read(SIZE_MAX + 1)
            except OSError as exc:
                raise TrustRootError(
                    f"the trusted root {self.path} cannot be read ({exc.strerror}): correct policy.trusted_root"
                ) from exc
            self._root = await _parsed(raw, where=str(self.path))
        return self._root


@dataclass(slots=True)
class PublicRoot:
    """The trusted root of the instance at *url*, by TUF over *transport*; kept below *directory*."""

    transport: Transport
    directory: Path
    url: str = PUBLIC
    bootstrap: bytes | None = None
    """TUF's root metadata that all else is trusted by; None: what `sigstore` carries for *url*."""
    clock: Callable[[], float] = time.monotonic
    _root: TrustedRoot | None = field(default=None, init=False)
    _loaded_at: float = field(default=0.0, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def __str__(self) -> str:
        return f"Sigstore's root of trust of {urlsplit(self.url).netloc}"

    async def load(self) -> TrustedRoot:
        """See RootOfTrust; old after a day."""
        async with self._lock:
            if self._root is None or self.clock() - self._loaded_at > _REFRESH_S:
                self._root = await self._refreshed()
                self._loaded_at = self.clock()
            return self._root

    async def _refreshed(self) -> TrustedRoot:
        loop = asyncio.get_running_loop()

        def fetch(url: str) -> tuple[int, bytes]:
            sent = self.transport.send("GET", url, headers={}, bound=_FETCHED_MAX)
            answer = asyncio.run_coroutine_threadsafe(sent, loop).result()
            return answer.status, answer.body

        bootstrap = self.bootstrap or _carried(self.url)
        raw = await asyncio.to_thread(_updated, self.url, self.directory, bootstrap, fetch)
        log.debug("trust.root_refreshed", host=urlsplit(self.url).netloc)
        return await _parsed(raw, where=f"{_TARGET} of {self.url}")


async def _parsed(raw: bytes, *, where: str) -> TrustedRoot:
    def parsed() -> TrustedRoot:
        from mirror.trust.trusted_root import parse

        return parse(raw, where=where)

    return await asyncio.to_thread(parsed)  # for the import, which takes a tenth of a second


def _carried(url: str) -> bytes:
    """The root metadata that comes with `sigstore` for *url*: it is a resource there, and no part of its API."""
    from importlib.resources import files

    try:
        return files("sigstore").joinpath("_store", quote(url, safe=""), "root.json").read_bytes()
    except OSError as exc:
        raise TrustRootError(f"there is no root metadata to trust {url} by: give policy.trusted_root a file") from exc


def _updated(url: str, directory: Path, bootstrap: bytes, fetch: Callable[[str], tuple[int, bytes]]) -> bytes:
    """The trusted root that TUF has verified; blocks."""
    from tuf.api.exceptions import DownloadError, DownloadHTTPError, ExpiredMetadataError, RepositoryError
    from tuf.ngclient.fetcher import FetcherInterface
    from tuf.ngclient.updater import Updater

    failures = list[MirrorError]()

    class Fetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            try:
                status, body = fetch(url)
            except MirrorError as exc:
                failures.append(exc)
                raise
            if status != 200:
                raise DownloadHTTPError(f"{url} answers {status}", status)
            return iter((body,))

    remedy = (
        "try again, or give policy.trusted_root a trusted_root.json, as `cosign trusted-root create` makes one, and "
        "nothing is fetched"
    )
    kept = directory / quote(url, safe="")
    metadata, targets = kept / "metadata", kept / "targets"
    try:
        metadata.mkdir(parents=True, exist_ok=True)
        targets.mkdir(parents=True, exist_ok=True)
        updater = Updater(
            metadata_dir=str(metadata),
            metadata_base_url=url,
            target_dir=str(targets),
            target_base_url=f"{url}/targets/",
            fetcher=Fetcher(),
            bootstrap=bootstrap,
        )
        updater.refresh()
        target = updater.get_targetinfo(_TARGET)
        if target is None:
            raise TrustRootError(f"{url} has no {_TARGET}: {remedy}")
        path = updater.find_cached_target(target) or updater.download_target(target)
        return Path(path).read_bytes()
    except ExpiredMetadataError as exc:
        raise TrustRootError(
            f"what {url} says of Sigstore's root of trust has expired ({exc}): check the clock of this machine, or "
            f"{remedy}"
        ) from exc
    except DownloadError as exc:
        raise TrustRootError(
            f"Sigstore's root of trust cannot be fetched: {failures[-1] if failures else exc}: {remedy}"
        ) from exc
    except RepositoryError as exc:
        raise TrustRootError(f"what {url} serves is not Sigstore's root of trust ({exc}): {remedy}") from exc
    except OSError as exc:
        raise TrustRootError(f"{kept}, where Sigstore's root of trust is kept, cannot be written: {exc}") from exc
