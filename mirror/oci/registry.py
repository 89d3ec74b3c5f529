"""A registry, by the distribution specification v1.1: one host's repositories as Source and Destination.

    Registry(host) ──repository(path)──► RegistryRepository (storage.py)
       │ Transport      small requests, tried again (http/transport.py)
       │ Connections    what they and blob bodies go over (http/connections.py, stream.py)
       ├ Authenticator  who we are (auth.py)
       └ Dialect        how it departs from the specification (dialect.py)

Every refusal becomes an exception that says where, what was asked, and the registry's own words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import structlog

from mirror.errors import (
    TOO_MUCH,
    AccessDenied,
    BadReference,
    ContentError,
    ImmutableTag,
    NotFound,
    RegistryError,
    TagTaken,
    WorldError,
)
from mirror.http.answer import Answer, checked_target, origin
from mirror.http.connections import Connections
from mirror.http.gate import Gate
from mirror.http.stream import HttpBody, HttpUpload
from mirror.http.transport import Transport
from mirror.oci import manifest as manifests
from mirror.oci.auth import Authenticator
from mirror.oci.blob import Upload
from mirror.oci.chunks import ChunkedUpload, ChunkSize
from mirror.oci.content import Descriptor, Digest, verified
from mirror.oci.dialect import Dialect
from mirror.oci.manifest import Manifest
from mirror.oci.reference import is_tag

_PAGES_MAX = 1000
_TAGS_PER_PAGE = 1000  # the most that ECR takes (google/go-containerregistry#1091)
_REFERRERS_MAX = 1000
_WARNINGS_MAX = 100
_HELD = re.compile(r"(?:bytes=)?0-(\d{1,18})")
_LINK = re.compile(r'<([^<>]*)>\s*((?:;\s*[^\s;,=]+\s*(?:=\s*(?:"[^"]*"|[^\s;,"]*))?\s*)*)')
_ALLOWANCE = re.compile(r"(\d{1,18})(?:\s*;\s*w=(\d{1,9}))?")
_REL = re.compile(r';\s*rel\s*=\s*"?([^";]*)', re.IGNORECASE)

# Go's net/http, nginx and Apache, asked by plain http where they speak TLS
_WANTS_TLS = re.compile(
    rb"HTTP request to an HTTPS server|HTTP request was sent to HTTPS port|plain HTTP to an SSL-enabled server port"
)
# as registries quote it; "Basic authentication" is none
_CREDENTIAL = re.compile(r"\b((?i:Basic|Bearer))\s+(?=[a-z]*[^a-z\s])[^\s,;\"']{8,}")

log = structlog.get_logger()


def next_link(header: str) -> str | None:
    """The target of the first rel="next" in a Link header (RFC 8288 §3)."""
    for target, parameters in _LINK.findall(header[:8192]):
        if (rel := _REL.search(parameters)) and "next" in rel[1].lower().split():
            return str(target)
    return None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a registry says is left of what we may pull: *remaining* of *limit* in *window_s* seconds."""

    remaining: int
    limit: int | None = None
    window_s: int | None = None

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> Allowance | None:
        """Docker Hub's `ratelimit-limit: 100;w=21600`, `ratelimit-remaining: 76;w=21600`; None where nothing is said.

        docs.docker.com/docker-hub/usage/pulls
        """
        remaining = _ALLOWANCE.match(headers.get("ratelimit-remaining", "").strip())
        if remaining is None:
            return None
        limit = _ALLOWANCE.match(headers.get("ratelimit-limit", "").strip())
        window = remaining[2] or (limit[2] if limit else None)
        return cls(int(remaining[1]), int(limit[1]) if limit else None, int(window) if window else None)


@dataclass(slots=True)
class Registry:
    """One registry, reached at *endpoint* (`https://ghcr.io`), called *host* in references, errors and credentials."""

    host: str
    endpoint: str
    transport: Transport
    connections: Connections
    auth: Authenticator
    dialect: Dialect = field(default_factory=Dialect)
    manifest_puts: Gate = field(default_factory=Gate)
    """What writing manifests is held to beside: ECR limits PutImage by itself."""
    lacks_referrers_api: bool = field(default=False, init=False)
    """Known, once seen: the API is not asked again (project-zot/zot#1801)."""
    allowance: Allowance | None = field(default=None, init=False)
    """The last that was said of it."""
    chunk_size: ChunkSize = field(init=False)
    """How much of a blob one request carries, as learned in this run: all of it, until that was too large."""
    _warnings: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.chunk_size = ChunkSize(self.dialect.chunk_sizes)

    def repository(self, path: str) -> RegistryRepository:
        """The repository at *path*; nothing is asked yet."""
        return RegistryRepository(self, path)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self.transport.aclose()

    async def login(self) -> None:
        """The registry takes our credential, or asks for none; raises AccessDenied. As `docker login` does it.

        A token service is asked for a token without a scope: what may be done with it is another question.
        """
        answer = await self.request("GET", f"{self.endpoint.rstrip('/')}/v2/", scope="", where=self.host)
        if answer.status != 200:
            raise self.refusal(answer, where=self.host, asked="GET")

    async def request(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        where: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        bound: int = manifests.SIZE_MAX,
        follow: bool = True,
    ) -> Answer:
        """The answer to a request with whatever authorization *scope* needs, whatever its status but 401 and 403."""
        tokens = set[str]()
        for _ in range(4):  # unknown, learned, renewed, without credential
            sent = await self.auth.authorization(scope)
            authorized = {**(headers or {}), **({"Authorization": sent} if sent else {})}
            answer = await self.transport.send(method, url, headers=authorized, body=body, bound=bound, follow=follow)
            answer = self.dialect.meant(answer, sent=sent)
            self._warn(answer.headers.get("warning", "")[:500])
            self.allowance = Allowance.parse(answer.headers) or self.allowance
            if answer.status not in (401, 403):
                return answer
            tokens |= {sent} if sent else set()
            has_renewed = len(tokens) > 1
            if not await self.auth.is_worth_retrying(
                answer,
                sent,
                scope,
                where=where,
                has_renewed=has_renewed,
                may_give_up=self.dialect.reads_without_credential,
            ):
                break
        raise self.refusal(answer, where=where, asked=method)

    def refusal(self, answer: Answer, *, where: str, asked: str, manifest: Manifest | None = None) -> RegistryError:
        """The exception for an answer that is not the one asked for, in this registry's sense."""
        refused = refusal(answer, where=where, asked=asked)
        if _WANTS_TLS.search(answer.body) and origin(answer.url) == origin(self.endpoint):
            said = f": {refused.words}" if refused.words else ""
            return refused.retold(
                f"{where}: the registry speaks TLS, and was asked by plain http ({answer.status}{said}): "
                f'give registries."{self.host}".endpoint = "https://{urlsplit(self.endpoint).netloc}"'
            )
        return self.dialect.explained(refused, manifest=manifest)

    def _warn(self, warning: str) -> None:  # distribution-spec v1.1 #warnings: logged once, never acted on
        if warning and warning not in self._warnings and len(self._warnings) < _WARNINGS_MAX:
            self._warnings.add(warning)
            log.warning("registry.warned", host=self.host, warning=warning)


def refusal(answer: Answer, *, where: str, asked: str) -> RegistryError:
    """The exception for an answer that is not the one asked for: distribution-spec v1.1 #error-codes."""
    codes, words = _said(answer)
    said = f": {words}" if words else ""
    facts: dict[str, Any] = {
        "status": answer.status, "codes": codes, "words": words, "where": where, "asked": asked
    }  # fmt: skip
    match answer.status:
        case 401 | 403:
            host = where.split("/", 1)[0]
            return AccessDenied(
                f"{where}: the registry refused {asked} ({answer.status}{said}): check the credential for {host}",
                **facts,
            )
        case 404:
            return NotFound(f"{where}: not found (404{said})", **facts)
        case 413:
            return RegistryError(f"{where}: {_server(answer)} refused {asked} as too large (413{said})", **facts)
        case 429:
            return RegistryError(
                f"{where}: too many requests (429{said}): try again later", wait_s=answer.wait_s(), **facts
            )
        case _:
            return RegistryError(
                f"{where}: the registry answered {asked} with {answer.status}{said}",
                wait_s=answer.wait_s(),
                **facts,
            )


def _closing(session: str, blob: Descriptor) -> str:
    """Where the PUT goes that makes *blob* of what *session* has, whose own query stays as it is."""
    return session + ("&" if urlsplit(session).query else "?") + "digest=" + quote(str(blob.digest), safe=":")


def _too_large(refused: RegistryError, size: int) -> RegistryError:
    """*refused*, a 413 to a request of *size* bytes, not in a registry's form: what to do about what is before it."""
    return refused.retold(
        f"{refused}: it takes no request of {size} bytes: have it take larger ones, "
        'as an nginx ingress does with the annotation nginx.ingress.kubernetes.io/proxy-body-size: "0"'
    )


def _read_on(url: str, read: set[str], *, where: str) -> None:
    """Notes that the page at *url* is read now; raises RegistryError for one that was read, or is one too many."""
    if url in read or len(read) >= _PAGES_MAX:
        raise RegistryError(f"{where}: the pages do not end: after {len(read)} the next one is {url}")
    read.add(url)


def _said(answer: Answer) -> tuple[tuple[str, ...], str]:
    """The codes of *answer*, and its words: distribution-spec v1.1 #error-codes, or the text of what is no registry."""
    codes, words, size = tuple[str, ...](), "", 500
    try:
        errors = json.loads(answer.body)["errors"]
        codes = tuple(str(error.get("code", "")) for error in errors)
        words = "; ".join(" ".join(filter(None, (str(e.get("code", "")), str(e.get("message", ""))))) for e in errors)
    except (json.JSONDecodeError, UnicodeDecodeError):
        words, size = _text(answer), 200
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return codes, _CREDENTIAL.sub(r"\1 ...", _printable(words))[:size]


def _text(answer: Answer) -> str:
    """The body of *answer* if it is plain text: so says its type, or, as where Go closes a connection, nothing does."""
    kind = answer.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    text = answer.body.decode(errors="replace")
    return "" if kind != "text/plain" or text.lstrip().startswith("<") else text


def _server(answer: Answer) -> str:
    """What *answer* says that it comes from: it need not be the registry."""
    return _printable(answer.headers.get("server", ""))[:60] or "what answers there"


def _printable(text: str) -> str:  # a terminal may show it: no line breaks, no escapes
    return "".join(filter(str.isprintable, " ".join(text.split())))


def _stated_digest(answer: Answer, *, where: str) -> Digest | None:
    stated = answer.headers.get("docker-content-digest")
    try:
        return Digest.parse(stated) if stated else None
    except BadReference as exc:
        raise RegistryError(f"{where}: the registry names a digest that is none: {exc}") from exc


@dataclass(frozen=True, slots=True)
class RegistryRepository:
    """One repository of a registry (storage.py, Source and Destination)."""

    registry: Registry
    path: str

    @property
    def name(self) -> str:
        """`HOST/PATH`."""
        return f"{self.registry.host}/{self.path}"

    @property
    def gate(self) -> Gate:
        """See Source; one for all repositories of the registry."""
        return self.registry.transport.gate

    async def head(self, version: str | Digest) -> Digest | None:
        """See Source; a registry that names no digest in its answer is asked for the manifest.

        It is also where it does not say why we may not, and where one answers 400 or 412: there are no words in an
        answer to HEAD (RFC 9110 §9.3.2), and only they can tell that it wants TLS, or which policy of Harbor's it is.
        """
        try:
            answer = await self._get("HEAD", f"manifests/{version}", where=self._at(version), accept=manifests.ACCEPT)
        except AccessDenied as exc:
            if exc.words or exc.asked != "HEAD":
                raise
            return (await self.manifest(version)).digest
        if answer.status == 404:
            return None
        if answer.status in (400, 412):
            return (await self.manifest(version)).digest
        if answer.status != 200:
            raise self.registry.refusal(answer, where=self._at(version), asked="HEAD")
        stated = _stated_digest(answer, where=self._at(version))
        return stated or (await self.manifest(version)).digest

    async def manifest(self, version: str | Digest) -> Manifest:
        """See Source."""
        where = self._at(version)
        answer = await self._get("GET", f"manifests/{version}", where=where, accept=manifests.ACCEPT)
        if answer.status != 200:
            raise self.registry.refusal(answer, where=where, asked="GET")
        algorithm = "sha256"
        if isinstance(version, Digest):
            verified(answer.body, version, where=where)
            algorithm = version.algorithm
        elif stated := _stated_digest(answer, where=where):
            verified(answer.body, stated, where=where)
            algorithm = stated.algorithm
        return Manifest.parse(answer.body, answer.headers.get("content-type", ""), where=where, algorithm=algorithm)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """See Source; the API is tried until this host is known to lack it, then the fallback tag is read.

        GHCR answers the API with a redirect to a page (project-zot/zot#4060), so nothing but an index counts.
        """
        if not self.registry.lacks_referrers_api:
            listed = await self._referrers_by_api(subject)
            if listed is not None:
                return listed
        tag = subject.fallback_tag()
        try:
            fallback = await self.manifest(tag)
        except NotFound:
            return ()
        return fallback.children[:_REFERRERS_MAX] if fallback.is_index else ()

    async def _referrers_by_api(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        where, found = f"{self._at(subject)} (referrers)", list[Descriptor]()
        url, read = self._url(f"referrers/{subject}"), set[str]()
        while True:
            _read_on(url, read, where=where)
            answer = await self._get("GET", url, where=where, accept=manifests.OCI_INDEX, follow=False)
            kind = answer.headers.get("content-type", "").partition(";")[0].strip()
            if answer.status in (429, 500, 502, 503, 504):
                raise self.registry.refusal(answer, where=where, asked="GET")
            if answer.status != 200 or kind != manifests.OCI_INDEX:
                # of a repository that does not exist nothing is learned
                self.registry.lacks_referrers_api = "NAME_UNKNOWN" not in _said(answer)[0]
                return None
            found += Manifest.parse(answer.body, kind, where=where).children
            link = next_link(answer.headers.get("link", ""))
            if link is None or len(found) >= _REFERRERS_MAX:
                return tuple(found[:_REFERRERS_MAX])
            url = self._next_page(answer.url, link, where)

    async def tags(self) -> tuple[str, ...]:
        """See Destination; what is listed and is no tag by the specification, nobody can ask for."""
        where, found = f"{self.name} (tags)", set[str]()
        url, read = self._url(f"tags/list?n={_TAGS_PER_PAGE}"), set[str]()
        while True:
            _read_on(url, read, where=where)
            answer = await self._get("GET", url, where=where, accept="application/json")
            if answer.status == 404:
                return ()
            if answer.status != 200:
                raise self.registry.refusal(answer, where=where, asked="GET")
            try:
                found.update(filter(is_tag, json.loads(answer.body).get("tags") or ()))
            except (ValueError, AttributeError, TypeError, RecursionError) as exc:
                raise RegistryError(f"{where}: the list of tags cannot be read") from exc
            link = next_link(answer.headers.get("link", ""))
            if link is None:
                return tuple(sorted(found))
            url = self._next_page(answer.url, link, where)

    async def exists(self) -> bool:
        """Whether the registry knows this repository, be it empty."""
        answer = await self._get("GET", "tags/list?n=1", where=self.name, accept="application/json")
        if answer.status not in (200, 404):
            raise self.registry.refusal(answer, where=self.name, asked="GET")
        return answer.status == 200

    @property
    def is_read_anonymously(self) -> bool:
        """Whether the credential was refused for this repository, and given up."""
        return self.registry.auth.is_refused(self._scope("pull"))

    async def has_blob(self, blob: Descriptor) -> bool:
        """See Source; a blob of another size than promised is not the blob."""
        where = self._at(blob.digest)
        answer = await self._get("HEAD", f"blobs/{blob.digest}", where=where)
        if answer.status == 404:
            return False
        if answer.status != 200:
            raise self.registry.refusal(answer, where=where, asked="HEAD")
        length = answer.headers.get("content-length")
        return length is None or length == str(blob.size)

    async def open_blob(self, blob: Descriptor, *, offset: int = 0) -> HttpBody:
        """See Source."""
        scope, where = self._scope("pull"), self._at(blob.digest)
        sent = await self.registry.auth.authorization(scope)
        return HttpBody(
            self.registry.connections,
            self._url(f"blobs/{blob.digest}"),
            headers={"Authorization": sent} if sent else {},
            refusal=lambda answer: self._refusal_of_blob(answer, sent, scope, where=where, asked="GET"),
            offset=offset,
        )

    async def start_upload(self, blob: Descriptor, *, mount_from: str = "") -> Upload | None:
        """See Destination; distribution-spec v1.1 #mounting-a-blob-from-another-repository, #post-then-put."""
        where = self._at(blob.digest)
        answer = await self._mount(blob, mount_from) if mount_from else None
        if answer is not None and answer.status == 201:
            return None
        if answer is None or answer.status != 202:
            url = self._url("blobs/uploads/")
            answer = await self.registry.request("POST", url, scope=self._scope("pull,push"), where=where)
        location = answer.headers.get("location")
        if answer.status not in (201, 202) or not location:
            raise self.registry.refusal(answer, where=where, asked="POST")
        self.registry.chunk_size.ask_for_least(answer.headers.get("oci-chunk-min-length", ""))
        return await self._upload(checked_target(answer.url, location, what="an upload location"), blob)

    async def try_upload(self) -> None:
        """An upload may be begun here: one was, and was given up. Raises what refuses it."""
        scope = self._scope("pull,push")
        answer = await self.registry.request("POST", self._url("blobs/uploads/"), scope=scope, where=self.name)
        location = answer.headers.get("location")
        if answer.status not in (201, 202) or not location:
            raise self.registry.refusal(answer, where=self.name, asked="POST")
        await self.give_up(checked_target(answer.url, location, what="an upload location"))

    async def give_up(self, session: str) -> None:
        """The upload at *session* is over, as far as the registry has a way to say so.

        Docker Registry HTTP API V2, "Canceled Upload"; the OCI specification has none. What is not ended, expires.
        """
        if origin(session) != origin(self.registry.endpoint):
            return
        scope = self._scope("delete")  # not push: distribution, registry/handlers/app.go, appendAccessRecords
        with suppress(WorldError):
            await self.registry.request("DELETE", session, scope=scope, where=self.name)

    async def resumed_upload(self, blob: Descriptor, broken: Upload) -> tuple[Upload, int] | None:
        """See Destination; docker-registry drops a session whose body broke off, others keep what came."""
        if not broken.session or origin(broken.session) != origin(self.registry.endpoint):
            return None
        where, scope = self._at(blob.digest), self._scope("pull,push")
        answer = await self.registry.request("GET", broken.session, scope=scope, where=where)
        held = _HELD.fullmatch(answer.headers.get("range", ""))
        offset = int(held[1]) + 1 if held else 0
        if answer.status != 204 or not 1 < offset <= blob.size:  # "0-0" is said of none, too
            return None
        session = checked_target(
            answer.url, answer.headers.get("location") or broken.session, what="an upload location"
        )
        return await self._upload(session, blob, offset=offset), offset

    async def _upload(self, session: str, blob: Descriptor, *, offset: int = 0) -> Upload:
        """What carries *blob* from *offset* on: one request, where it may be so large."""
        scope, chunk_size = self._scope("pull,push"), self.registry.chunk_size
        sent = await self.registry.auth.authorization(scope)

        def request(method: Literal["PUT", "PATCH"], session: str, *, first: int, size: int) -> HttpUpload:
            url = _closing(session, blob) if method == "PUT" else session
            headers = {"Authorization": sent} if sent and origin(url) == origin(self.registry.endpoint) else {}
            if size and (first or method == "PATCH"):
                headers["Content-Range"] = f"{first}-{first + size - 1}"
            return HttpUpload(
                self.registry.connections,
                url,
                size,
                headers=headers,
                refusal=lambda answer: self._refusal_of_upload(answer, sent, blob, asked=method, size=size),
                session=session,
                method=method,
            )

        left = blob.size - offset
        if (at_once := chunk_size.of(left)) == left:
            return request("PUT", session, first=offset, size=left)
        return ChunkedUpload(session, request, size=blob.size, offset=offset, chunk_size=at_once)

    def _refusal_of_upload(
        self, answer: Answer, sent: str, blob: Descriptor, *, asked: str, size: int
    ) -> RegistryError:
        """The exception for *answer* to a request that carried *size* bytes of *blob*, in a worker thread."""
        refused = self._refusal_of_blob(
            answer, sent, self._scope("pull,push"), where=self._at(blob.digest), asked=asked
        )
        # our bytes were held to the digest before the last of them were sent: what came is not what we sent
        if refused.status in (404, 416) or "DIGEST_INVALID" in refused.codes:
            refused.is_temporary = True
        if refused.status == 413:
            refused = refused if refused.codes else _too_large(refused, size)
            refused.is_temporary = self.registry.chunk_size.refused(size)
        return refused

    def _refusal_of_blob(self, answer: Answer, sent: str, scope: str, *, where: str, asked: str) -> RegistryError:
        """The exception for *answer*, in a worker thread; a token that is merely lost may be had anew."""
        answer = self.registry.dialect.meant(answer, sent=sent)
        refused = self.registry.refusal(answer, where=where, asked=asked)
        if answer.status in TOO_MUCH:
            self.registry.transport.gate.refused(refused.wait_s)
        if answer.status == 401 and self.registry.auth.has_aged(scope, sent):
            refused.is_temporary = True
        return refused

    async def _mount(self, blob: Descriptor, mount_from: str) -> Answer | None:
        """The answer to a request to mount; None where we may not read from there, as some registries see it."""
        query = urlencode({"mount": str(blob.digest), "from": mount_from})
        scope = self._scope("pull,push")
        if mount_from != self.path:
            scope += f" repository:{mount_from}:pull"
        try:
            url = self._url(f"blobs/uploads/?{query}")
            return await self.registry.request("POST", url, scope=scope, where=self._at(blob.digest))
        except AccessDenied:  # the other repository's scope spoils the token (google/go-containerregistry#1404)
            if mount_from == self.path:
                raise
            return None

    async def put_manifest(self, manifest: Manifest, *, tag: str = "") -> bool:
        """See Destination; a registry that names another digest than ours is a ContentError.

        What is there already is not stored again where the registry's dialect says so. Raises TagTaken for a tag that
        names something else and may not be changed.
        """
        version = tag or manifest.digest
        if self.registry.dialect.asks_before_put and await self.head(version) == manifest.digest:
            return await self._has_linked(manifest)
        where = self._at(version)
        async with self.registry.manifest_puts:
            try:
                answer = await self.registry.request(
                    "PUT",
                    self._url(f"manifests/{version}"),
                    scope=self._scope("pull,push"),
                    where=where,
                    headers={"Content-Type": manifest.media_type},
                    body=manifest.raw,
                )
                if answer.status not in (200, 201, 202, 204):
                    raise self.registry.refusal(answer, where=where, asked="PUT", manifest=manifest)
            except ImmutableTag as exc:
                await self._hold_tag(version, manifest, exc)
                return await self._has_linked(manifest)
        stated = answer.headers.get("docker-content-digest", "")
        if stated and stated != str(manifest.digest) and stated.startswith(manifest.digest.algorithm):
            raise ContentError(f"{where}: the registry stored {manifest.digest} as {stated}: it changed the bytes")
        return "oci-subject" in answer.headers

    async def delete(self, digest: Digest) -> None:
        """The manifest is gone, and every tag that named it: distribution-spec v1.1 #deleting-manifests."""
        scope, where = self._scope("delete"), self._at(digest)
        answer = await self.registry.request("DELETE", self._url(f"manifests/{digest}"), scope=scope, where=where)
        if answer.status not in (200, 202, 204):
            raise self.registry.refusal(answer, where=where, asked="DELETE")

    async def _hold_tag(self, version: str | Digest, manifest: Manifest, refused: RegistryError) -> None:
        """Afterwards *version*, which may not be changed, names *manifest*: only the answer to an earlier PUT was lost.

        Raises TagTaken where it names something else.
        """
        held = await self.head(version)
        if held != manifest.digest:
            raise TagTaken(
                f"{self._at(version)}: the tag names {held or 'something else'} and may not be changed there, so it "
                f"was not brought to {manifest.digest} ({refused})"
            ) from refused

    async def _has_linked(self, manifest: Manifest) -> bool:
        """Whether the registry itself lists *manifest*, which it holds, with its subject."""
        if manifest.subject is None or self.registry.lacks_referrers_api:
            return False
        listed = await self._referrers_by_api(manifest.subject)
        return any(one.digest == manifest.digest for one in listed or ())

    async def _get(self, method: str, at: str, *, where: str, accept: str = "*/*", follow: bool = True) -> Answer:
        url = at if "://" in at else self._url(at)
        return await self.registry.request(
            method, url, scope=self._scope("pull"), where=where, headers={"Accept": accept}, follow=follow
        )

    def _next_page(self, url: str, link: str, where: str) -> str:
        """Where the page after the one at *url* is."""
        following = checked_target(url, link, what="a next page")
        if origin(following) != origin(url):
            raise RegistryError(f"{where}: the next page is at another host ({urlsplit(following).netloc}): refused")
        return following

    def _url(self, rest: str) -> str:
        return f"{self.registry.endpoint.rstrip('/')}/v2/{self.path}/{rest}"

    def _scope(self, actions: str) -> str:
        return f"repository:{self.path}:{actions}"

    def _at(self, version: str | Digest) -> str:
        return f"{self.name}@{version}" if isinstance(version, Digest) else f"{self.name}:{version}"
