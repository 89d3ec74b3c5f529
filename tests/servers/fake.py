"""A registry in this process: the distribution API 1.1, with the manners and the faults that a test chooses.

    request ──► record ──► challenge ──► Fault? ──► the registry proper ──► Fault? ──► bytes on the wire

*Manners* are how a sound registry may lawfully or notoriously behave; they hold for every request. *Faults* are rules,
matched against `METHOD /path?query` as a regular expression, that apply a number of times:

    fake.faults += [
        Fault("GET .*/blobs/.*", becomes(corrupt)),
        Fault("PUT .*/manifests/v1", answer(503), times=2),
        Fault("PUT .*/blobs/uploads/.*", hang_up(after=1000)),
    ]
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from mirror.oci.content import Descriptor, Digest
from mirror.oci.manifest import OCI_INDEX, Manifest
from tests.content import Image
from tests.servers.certificates import Certificates
from tests.servers.loopback import Handler, Response, Seen, serving

_NAME = r"(?P<name>[a-z0-9._/-]+)"
_REFERENCE = r"(?P<reference>[A-Za-z0-9._:-]+)"


@dataclass(slots=True)
class Fault:
    """What goes wrong with the requests that *pattern* matches whole: all but the first *skip*, *times* of them."""

    pattern: str
    harm: Harm
    times: int = 1
    skip: int = 0
    matched: int = field(default=0, init=False)


@dataclass(frozen=True, slots=True)
class Harm:
    """*instead* of the registry's answer, *becomes* made of it, or *hang_up_after* bytes of the request's body."""

    instead: Response | None = None
    becomes: Callable[[Response], Response] | None = None
    hang_up_after: int | None = None


ALWAYS = 1_000_000


def answer(status: int, body: bytes = b"", **headers: str) -> Harm:
    """The request is not processed; header names with underscores for dashes."""
    return Harm(instead=Response(status, body=body).having(**headers))


def refusal(status: int, code: str, message: str = "by the fake's plan", **headers: str) -> Harm:
    """The request is refused in the specification's form."""
    return Harm(instead=_error(status, code, message).having(**headers))


def ghcr_rate_limit(wait: str = "880.092µs") -> Harm:
    """GHCR's 429, whose wait is only in the body (falcosecurity/plugins#1069)."""
    return refusal(429, "TOOMANYREQUESTS", f"retry-after: {wait}, allowed: 44000/minute")


def redirect(location: str, status: int = 307) -> Harm:
    """The client is sent to *location*."""
    return answer(status, Location=location)


def becomes(change: Callable[[Response], Response]) -> Harm:
    """The request is processed, and the answer changed."""
    return Harm(becomes=change)


def hang_up(*, after: int = 0) -> Harm:
    """The connection is reset after so many bytes of the request's body; what came is kept, the rest is not read."""
    return Harm(hang_up_after=after)


def corrupt(response: Response) -> Response:
    """One bit differs."""
    return replace(response, body=bytes([response.body[0] ^ 1]) + response.body[1:])


def truncated(response: Response) -> Response:
    """The second half is missing, and the length says so."""
    return replace(response, body=response.body[: len(response.body) // 2]).having(Content_Length="")


def longer(response: Response) -> Response:
    """There is a byte too many, and the length says so."""
    return replace(response, body=response.body + b"!")


def claims_length(length: int) -> Callable[[Response], Response]:
    """Content-Length is *length*, the body is not."""
    return lambda response: replace(response, length=length)


def cut(*, after: int) -> Callable[[Response], Response]:
    """The connection is reset *after* so many bytes of the body."""
    return lambda response: replace(response, cut_after=after)


def stalled(*, after: int) -> Callable[[Response], Response]:
    """Nothing is sent *after* so many bytes of the body."""
    return lambda response: replace(response, stall_after=after)


def bytes_are(body: bytes) -> Callable[[Response], Response]:
    """The body is another one."""
    return lambda response: replace(response, body=body)


def header(**headers: str) -> Callable[[Response], Response]:
    """The answer has *headers*, an empty value takes one away."""
    return lambda response: response.having(**headers)


@dataclass(slots=True)
class Manners:
    """How this registry behaves; may be changed while it runs."""

    referrers: Literal["api", "absent", "page"] = "api"
    """The API is there, is a 404, or is GHCR's redirect to a page (project-zot/zot#4060)."""
    links_subject: bool = True
    """A pushed manifest with a subject is answered with OCI-Subject."""
    mounts: bool = True
    mounts_only_named: bool = False
    """A blob is mounted only from where a manifest names it, as from ECR (aws/containers-roadmap#2860)."""
    upload_location: Literal["absolute", "relative", "query"] = "absolute"
    chunk_min: int = 0
    """OCI-Chunk-Min-Length, if not 0."""
    moves_uploads: bool = False
    """Each chunk's answer names another location, and the one before is unknown from then on."""
    names_digest: bool = True
    """Docker-Content-Digest is sent with manifests."""
    checks_content: bool = True
    """A manifest that names what the repository lacks is refused."""
    strict_accept: bool = True
    """A manifest whose type is not accepted is not found."""
    ranges: bool = True
    page_size: int = 100
    page_links: Literal["absolute", "relative"] = "relative"
    page_size_max: int = 1000
    """More is an error, as in ECR."""
    blobs_at: str = ""
    """Blobs are redirected to this URL with the blob's path appended."""
    manifests_at: str = ""
    cookie: str = ""
    username: str = ""
    password: str = ""
    auth: Literal["open", "basic", "bearer"] = "open"
    anonymous_pulls: bool = True
    """With bearer: a token that pulls is given to anybody."""
    realm: str = ""
    """Another token service than our own."""


@dataclass(slots=True)
class Stored:
    """One repository's content."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[Digest, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)


@dataclass(slots=True)
class FakeRegistry:
    """The registry's state: what it holds, what it was asked, what goes wrong."""

    host: str = ""
    url: str = ""
    manners: Manners = field(default_factory=Manners)
    faults: list[Fault] = field(default_factory=list)
    repositories: dict[str, Stored] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    connections: int = field(default=0, init=False)
    """How many were made."""
    uploads: dict[str, bytearray] = field(default_factory=dict)
    tokens: dict[str, bool] = field(default_factory=dict)
    """Valid tokens; true for one that may push."""
    ending: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def add(self, name: str, image: Image, tag: str = "") -> None:
        """Stores *image* with everything below it, as *tag*."""
        stored = self.repositories.setdefault(name, Stored())
        for part in image.graph():
            stored.blobs.update(part.blobs)
            stored.manifests[part.manifest.digest] = (part.manifest.media_type, part.manifest.raw)
        if tag:
            stored.tags[tag] = image.manifest.digest

    def asked(self, pattern: str) -> list[Seen]:
        """The requests whose `METHOD /path?query` *pattern* matches whole."""
        return [seen for seen in list(self.requests) if re.fullmatch(pattern, str(seen))]

    def forget_tokens(self) -> None:
        """Every token given so far is refused from now on."""
        self.tokens.clear()

    def harm(self, seen: Seen) -> Harm | None:
        """What goes wrong with this request; each matching fault counts it."""
        chosen = None
        with self._lock:
            for fault in self.faults:
                if re.fullmatch(fault.pattern, str(seen)):
                    fault.matched += 1
                    if chosen is None and fault.skip < fault.matched <= fault.skip + fault.times:
                        chosen = fault.harm
        return chosen

    def respond(self, seen: Seen, body: bytes) -> Response:
        """The answer of the registry proper."""
        parts = urlsplit(seen.target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path == "/token":
            return self._give_token(seen, query)
        if challenge := self._challenge(seen):
            return challenge
        if parts.path == "/v2/":
            return Response(200, {"Content-Type": "application/json"}, b"{}")
        with self._lock:
            for method, pattern, action in _ROUTES:
                if method == seen.method and (match := re.fullmatch(pattern, parts.path)):
                    return action(self, Asked(seen, body, query, **match.groupdict()))
        return _error(404, "UNSUPPORTED", "no such endpoint")

    def _challenge(self, seen: Seen) -> Response | None:
        manners = self.manners
        pushes = seen.method not in ("GET", "HEAD")
        sent = seen.headers.get("authorization", "")
        if manners.auth == "open":
            return None
        if manners.auth == "basic":
            if _is_basic(sent, manners):
                return None
            return _error(401, "UNAUTHORIZED", "authentication required").having(WWW_Authenticate='Basic realm="fake"')
        may_push = self.tokens.get(sent.removeprefix("Bearer "))
        if may_push is not None and (may_push or not pushes):
            return None
        found = re.match(rf"/v2/{_NAME}/(?:blobs|manifests|tags|referrers)/", seen.path)
        scope = f',scope="repository:{found["name"]}:{"pull,push" if pushes else "pull"}"' if found else ""
        realm = manners.realm or f"{self.url}/token"
        return _error(401, "UNAUTHORIZED", "authentication required").having(
            WWW_Authenticate=f'Bearer realm="{realm}",service="fake"{scope}'
        )

    def _give_token(self, seen: Seen, query: dict[str, str]) -> Response:
        sent = seen.headers.get("authorization", "")
        if sent and not _is_basic(sent, self.manners):
            return _error(403, "DENIED", "the credential is expired")
        if not sent and not self.manners.anonymous_pulls:
            return _error(401, "UNAUTHORIZED", "authentication required")
        token = secrets.token_urlsafe(24)
        self.tokens[token] = bool(sent)
        return _json(200, {"token": token, "expires_in": 300})

    def get_manifest(self, asked: Asked) -> Response:
        if self.manners.manifests_at:
            return Response(307, {"Location": self.manners.manifests_at + asked.seen.target})
        stored = self.repositories.get(asked.name, Stored())
        digest = _digest(asked.reference) or stored.tags.get(asked.reference)
        found = stored.manifests.get(digest) if digest else None
        if digest is None or found is None:
            return _error(404, "MANIFEST_UNKNOWN", f"{asked.reference} is unknown")
        media_type, raw = found
        accepted = asked.seen.headers.get("accept", "*/*")
        if self.manners.strict_accept and media_type not in accepted and "*/*" not in accepted:
            return _error(404, "MANIFEST_UNKNOWN", f"{media_type} is not accepted")
        named = str(digest) if self.manners.names_digest else ""
        return Response(200, {"Content-Type": media_type}, raw).having(Docker_Content_Digest=named)

    def put_manifest(self, asked: Asked) -> Response:
        stored = self.repositories.setdefault(asked.name, Stored())
        named = _digest(asked.reference)
        digest = Digest.of(asked.body, named.algorithm if named else "sha256")
        if named and named != digest:
            return _error(400, "DIGEST_INVALID", f"the manifest has the digest {digest}")
        try:
            view = json.loads(asked.body)
        except ValueError:
            return _error(400, "MANIFEST_INVALID", "not JSON")
        for part in (*view.get("layers", ()), *filter(None, [view.get("config")]), *view.get("manifests", ())):
            known = _digest(part["digest"]) in (stored.manifests if "manifests" in view else stored.blobs)
            if self.manners.checks_content and not known and not part.get("urls"):
                return _error(404, "MANIFEST_BLOB_UNKNOWN", f"{part['digest']} is unknown")
        stored.manifests[digest] = (asked.seen.headers.get("content-type", ""), asked.body)
        if not named:
            stored.tags[asked.reference] = digest
        subject = view["subject"]["digest"] if view.get("subject") and self.manners.links_subject else ""
        created = Response(201, {"Location": f"{self.url}/v2/{asked.name}/manifests/{digest}"})
        return created.having(
            Docker_Content_Digest=str(digest) if self.manners.names_digest else "", OCI_Subject=subject
        )

    def get_blob(self, asked: Asked) -> Response:
        if self.manners.blobs_at:
            return Response(307, {"Location": self.manners.blobs_at + asked.seen.target})
        digest = _digest(asked.reference)
        data = self.repositories.get(asked.name, Stored()).blobs.get(digest) if digest else None
        if data is None:
            return _error(404, "BLOB_UNKNOWN", f"{asked.reference} is unknown")
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": asked.reference}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.seen.headers.get("range", ""))
        if wanted is None or not self.manners.ranges:
            return Response(200, headers, data)
        first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        if first > last:
            return Response(416, {"Content-Range": f"bytes */{len(data)}"})
        return Response(206, headers, data[first : last + 1]).having(Content_Range=f"bytes {first}-{last}/{len(data)}")

    def start_upload(self, asked: Asked) -> Response:
        stored = self.repositories.setdefault(asked.name, Stored())
        wanted = _digest(asked.query.get("mount", ""))
        there = self.repositories.get(asked.query.get("from", ""), Stored())
        data = there.blobs.get(wanted) if wanted else None
        is_named = any(str(wanted).encode() in raw for _, raw in there.manifests.values())
        if wanted and data is not None and self.manners.mounts and (is_named or not self.manners.mounts_only_named):
            stored.blobs[wanted] = data
            return self._created(asked, wanted)
        session = secrets.token_hex(8)
        if "digest" in asked.query:
            self.uploads[session] = bytearray()
            return self.finish_upload(replace(asked, session=session))
        self.uploads[session] = bytearray()
        started = Response(202, {"Location": self._location(asked.name, session), "Range": "0-0"})
        return started.having(OCI_Chunk_Min_Length=str(self.manners.chunk_min or ""))

    def get_upload(self, asked: Asked) -> Response:
        if (data := self.uploads.get(asked.session)) is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        return Response(204, {"Location": self._location(asked.name, asked.session), "Range": _range(data)})

    def patch_upload(self, asked: Asked) -> Response:
        if (data := self.uploads.get(asked.session)) is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        begin = re.fullmatch(r"(\d+)-\d+", asked.seen.headers.get("content-range", ""))
        if begin and int(begin[1]) != len(data):
            return Response(416, {"Location": self._location(asked.name, asked.session), "Range": _range(data)})
        data += asked.body
        session = asked.session
        if self.manners.moves_uploads:
            session = secrets.token_hex(8)
            self.uploads[session] = self.uploads.pop(asked.session)
        return Response(202, {"Location": self._location(asked.name, session), "Range": _range(data)})

    def finish_upload(self, asked: Asked) -> Response:
        data = self.uploads.pop(asked.session, None)
        if data is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        named, whole = _digest(asked.query.get("digest", "")), bytes(data) + asked.body
        if named is None or Digest.of(whole, named.algorithm) != named:
            return _error(400, "DIGEST_INVALID", "the bytes have another digest")
        self.repositories.setdefault(asked.name, Stored()).blobs[named] = whole
        return self._created(asked, named)

    def cancel_upload(self, asked: Asked) -> Response:
        known = self.uploads.pop(asked.session, None) is not None
        return Response(204) if known else _error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")

    def list_tags(self, asked: Asked) -> Response:
        stored = self.repositories.get(asked.name)
        if stored is None:
            return _error(404, "NAME_UNKNOWN", "no such repository")
        limit = int(asked.query.get("n", self.manners.page_size))
        if limit > self.manners.page_size_max:
            return _error(400, "UNSUPPORTED", f"n is at most {self.manners.page_size_max}")
        limit = min(limit, self.manners.page_size)
        following = [tag for tag in sorted(stored.tags) if tag > asked.query.get("last", "")]
        page = following[:limit]
        response = _json(200, {"name": asked.name, "tags": page})
        return self._linked(response, asked, last=page[-1], n=str(limit)) if len(following) > limit else response

    def list_referrers(self, asked: Asked) -> Response:
        if self.manners.referrers == "page":
            at = f"{self.url}/-/v2/packages/container/package/{quote(asked.name, safe='')}"
            return Response(303, {"Location": at})
        if self.manners.referrers == "absent":
            return _error(404, "UNSUPPORTED", "no referrers here")
        found = []
        for digest, (media_type, raw) in self.repositories.get(asked.name, Stored()).manifests.items():
            manifest = Manifest.parse(raw, media_type, where="fake", algorithm=digest.algorithm)
            if str(manifest.subject) == asked.reference:
                found.append(_entry(manifest.descriptor))
        wanted = asked.query.get("artifactType", "")
        found = [entry for entry in found if wanted in ("", entry["artifactType"])]
        begin = int(asked.query.get("after", "0"))
        page = found[begin : begin + self.manners.page_size]
        response = _json(200, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page}, OCI_INDEX)
        response = response.having(OCI_Filters_Applied="artifactType" if wanted else "")
        end = begin + len(page)
        return self._linked(response, asked, after=str(end)) if end < len(found) else response

    def _created(self, asked: Asked, digest: Digest) -> Response:
        return Response(
            201, {"Location": f"{self.url}/v2/{asked.name}/blobs/{digest}", "Docker-Content-Digest": str(digest)}
        )

    def _location(self, name: str, session: str) -> str:
        path = f"/v2/{name}/blobs/uploads/{session}"
        if self.manners.upload_location == "query":
            return f"{self.url}{path}?_state=a%2Fb%3D%3D&part=1"  # Harbor's: to be kept byte for byte
        return path if self.manners.upload_location == "relative" else self.url + path

    def _linked(self, response: Response, asked: Asked, **query: str) -> Response:
        target = f"{asked.seen.path}?{urlencode({**asked.query, **query})}"
        base = self.url if self.manners.page_links == "absolute" else ""
        return response.having(Link=f'<{base}{target}>; rel="next"')


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as its route reads it."""

    seen: Seen
    body: bytes
    query: dict[str, str]
    name: str
    reference: str = ""
    session: str = ""


_UPLOAD = rf"/v2/{_NAME}/blobs/uploads/(?P<session>[0-9a-f]+)"
_MANIFEST = rf"/v2/{_NAME}/manifests/{_REFERENCE}"
_BLOB = rf"/v2/{_NAME}/blobs/{_REFERENCE}"
_ROUTES: tuple[tuple[str, str, Callable[[FakeRegistry, Asked], Response]], ...] = (
    ("GET", _MANIFEST, FakeRegistry.get_manifest),
    ("HEAD", _MANIFEST, FakeRegistry.get_manifest),
    ("PUT", _MANIFEST, FakeRegistry.put_manifest),
    ("POST", rf"/v2/{_NAME}/blobs/uploads/", FakeRegistry.start_upload),
    ("GET", _UPLOAD, FakeRegistry.get_upload),
    ("PATCH", _UPLOAD, FakeRegistry.patch_upload),
    ("PUT", _UPLOAD, FakeRegistry.finish_upload),
    ("DELETE", _UPLOAD, FakeRegistry.cancel_upload),
    ("GET", _BLOB, FakeRegistry.get_blob),
    ("HEAD", _BLOB, FakeRegistry.get_blob),
    ("GET", rf"/v2/{_NAME}/tags/list", FakeRegistry.list_tags),
    ("GET", rf"/v2/{_NAME}/referrers/{_REFERENCE}", FakeRegistry.list_referrers),
)


@contextmanager
def fake_registry(
    *, certificates: Certificates | None = None, manners: Manners | None = None
) -> Iterator[FakeRegistry]:
    """Runs a fake registry; https with *certificates*."""
    fake = FakeRegistry(manners=manners or Manners())

    class FakeHandler(_FakeHandler):
        registry = fake

    context = None
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
    with serving(FakeHandler, context=context) as host:
        fake.host, fake.url = host, f"{'https' if certificates else 'http'}://{host}"
        try:
            yield fake
        finally:
            fake.ending.set()


class _FakeHandler(Handler):
    registry: FakeRegistry

    def setup(self) -> None:
        super().setup()
        self.registry.connections += 1

    def respond(self) -> None:
        seen = self.seen()
        self.registry.requests.append(seen)
        harm = self.registry.harm(seen)
        if harm and harm.hang_up_after is not None:
            self._hang_up(seen, harm.hang_up_after)
            return
        body = self.read_body()
        if body is None:  # the client left in the middle
            self.close_connection = True
            return
        response = harm.instead if harm and harm.instead else self.registry.respond(seen, body)
        if harm and harm.becomes:
            response = harm.becomes(response)
        if self.registry.manners.cookie:
            response = response.having(Set_Cookie=self.registry.manners.cookie)
        self.send(response)

    def wait(self) -> None:
        self.registry.ending.wait()

    def _hang_up(self, seen: Seen, after: int) -> None:
        kept = self.rfile.read(min(after, int(self.headers.get("Content-Length") or 0)))
        if match := re.fullmatch(_UPLOAD, seen.path):
            self.registry.uploads.get(match["session"], bytearray()).extend(kept)
        self.reset()


def _is_basic(sent: str, manners: Manners) -> bool:
    wanted = base64.b64encode(f"{manners.username}:{manners.password}".encode()).decode()
    return sent == f"Basic {wanted}"


def _digest(text: str) -> Digest | None:
    algorithm, colon, digits = text.partition(":")
    return Digest(algorithm, digits) if colon and len(digits) == 2 * hashlib.new(algorithm).digest_size else None


def _range(data: bytes | bytearray) -> str:
    return f"0-{max(len(data) - 1, 0)}"


def _entry(descriptor: Descriptor) -> dict[str, object]:
    return {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
        "artifactType": descriptor.artifact_type,
        "annotations": dict(descriptor.annotations),
    }


def _json(status: int, document: object, media_type: str = "application/json") -> Response:
    return Response(status, {"Content-Type": media_type}, json.dumps(document).encode())


def _error(status: int, code: str, message: str) -> Response:
    return _json(status, {"errors": [{"code": code, "message": message}]})
