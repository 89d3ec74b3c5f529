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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

import structlog

from mirror.errors import MirrorError, TrustRootError
from mirror.http.answer import Answer
from mirror.http.transport import Transport
from mirror.lock import WAIT_S, locked

if TYPE_CHECKING:
    from tuf.ngclient.fetcher import FetcherInterface

    from mirror.trust.trusted_root import TrustedRoot

PUBLIC = "https://tuf-repo-cdn.sigstore.dev"
SIZE_MAX = 1024 * 1024  # bytes: the public instance's has some seven thousand
_FETCHED_MAX = 5_000_000  # bytes of any one file, as python-tuf's own for the largest (ngclient/config.py)
_AGAIN_AFTER_S = 30.0
_REFRESH_S = 24 * 3600.0
_TARGET = "trusted_root.json"
_REMEDY = (
    "try again, or give policy.trusted_root a trusted_root.json, as `cosign trusted-root create` makes one, and "
    "nothing is fetched"
)

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
    lock_wait_s: float = WAIT_S
    """Seconds that others may keep what is kept to themselves."""
    _root: TrustedRoot | None = field(default=None, init=False)
    _loaded_at: float = field(default=0.0, init=False)
    _failed: tuple[float, TrustRootError] | None = field(default=None, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def __str__(self) -> str:
        return f"Sigstore's root of trust of {urlsplit(self.url).netloc}"

    async def load(self) -> TrustedRoot:
        """See RootOfTrust; old after a day.

        What failed is told to whoever asks within half a minute, without asking anew: many images wait for one root.
        """
        async with self._lock:
            if self._root is not None and self.clock() - self._loaded_at <= _REFRESH_S:
                return self._root
            if self._failed and self.clock() - self._failed[0] <= _AGAIN_AFTER_S:
                raise self._failed[1]
            try:
                self._root = await self._refreshed()
            except TrustRootError as exc:
                self._failed = (self.clock(), exc)
                raise
            self._loaded_at, self._failed = self.clock(), None
            return self._root

    async def _refreshed(self) -> TrustedRoot:
        kept = self.directory / quote(self.url, safe="")
        bootstrap = self.bootstrap or _carried(self.url)
        answers = dict[str, Answer]()
        while True:
            updated = await asyncio.to_thread(_updated, self.url, kept, bootstrap, answers, self.lock_wait_s)
            if isinstance(updated, bytes):
                break
            answers[updated.url] = await self._asked(updated.url)
        log.debug("trust.root_refreshed", host=urlsplit(self.url).netloc, files=len(answers))
        return await _parsed(updated, where=f"{_TARGET} of {self.url}")

    async def _asked(self, url: str) -> Answer:
        try:
            return await self.transport.send("GET", url, headers={}, bound=_FETCHED_MAX)
        except MirrorError as exc:
            raise TrustRootError(f"Sigstore's root of trust cannot be fetched: {exc}: {_REMEDY}") from exc


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What python-tuf asks for next."""

    url: str


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


def _updated(
    url: str, kept: Path, bootstrap: bytes, answers: Mapping[str, Answer], lock_wait_s: float
) -> bytes | _Wanted:
    """The trusted root that TUF has verified, by *answers* and what is *kept*; or what is to be asked for first.

    python-tuf's client calls for files in the midst of its work. It begins anew with each answer instead, which is
    cheap: nothing of the network blocks a thread, and what was verified is on disk.
    """
    from tuf.api.exceptions import DownloadError, DownloadHTTPError, ExpiredMetadataError, RepositoryError
    from tuf.ngclient.fetcher import FetcherInterface

    wanted = list[str]()

    class Fetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            if url not in answers:
                wanted.append(url)
                raise DownloadError(url)
            if answers[url].status != 200:
                raise DownloadHTTPError(f"{url} answers {answers[url].status}", answers[url].status)
            return iter((answers[url].body,))

    try:
        return _target(url, kept, bootstrap, Fetcher(), lock_wait_s)
    except ExpiredMetadataError as exc:
        raise TrustRootError(
            f"what {url} says of Sigstore's root of trust has expired ({exc}): check this machine's clock; {_REMEDY}"
        ) from exc
    except DownloadError as exc:
        if wanted:
            return _Wanted(wanted[0])
        raise TrustRootError(f"Sigstore's root of trust cannot be fetched: {exc}: {_REMEDY}") from exc
    except RepositoryError as exc:
        raise TrustRootError(f"what {url} serves is not Sigstore's root of trust ({exc}): {_REMEDY}") from exc
    except TimeoutError as exc:
        raise TrustRootError(
            f"{kept}, where Sigstore's root of trust is kept, cannot be locked ({exc}): {_REMEDY}"
        ) from exc
    except OSError as exc:
        raise TrustRootError(
            f"{kept}, where Sigstore's root of trust is kept, cannot be written ({exc.strerror or exc}): make it "
            "writable, or give policy.trusted_root a trusted_root.json"
        ) from exc


def _target(url: str, kept: Path, bootstrap: bytes, fetcher: FetcherInterface, lock_wait_s: float) -> bytes:
    """The file, by python-tuf and its exceptions."""
    from tuf.api.exceptions import RepositoryError
    from tuf.ngclient.updater import Updater

    metadata, targets = kept / "metadata", kept / "targets"
    metadata.mkdir(parents=True, exist_ok=True)
    targets.mkdir(parents=True, exist_ok=True)
    with locked(kept / "lock", wait_s=lock_wait_s):  # python-tuf removes its link to the newest root to make it anew
        updater = Updater(
            metadata_dir=str(metadata),
            metadata_base_url=url,
            target_dir=str(targets),
            target_base_url=f"{url}/targets/",
            fetcher=fetcher,
            bootstrap=bootstrap,
        )
        updater.refresh()
        target = updater.get_targetinfo(_TARGET)
        if target is None:
            raise RepositoryError(f"there is no {_TARGET}")
        return Path(updater.find_cached_target(target) or updater.download_target(target)).read_bytes()
