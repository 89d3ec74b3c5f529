"""What answers HTTP: probes, metrics, status, values, the page. Reads the ledger, changes nothing, asks nobody.

    /livez /readyz                           the loop is alive; what is told is known
    /metrics                                 for Prometheus (docs/metrics.md)
    /api/v1/status /api/v1/releases          JSON (docs/api.md)
    /api/v1/releases/DESTINATION/RELEASE
    /overrides/DESTINATION/RELEASE/CHART.yaml, /overrides/DESTINATION/RELEASE.tar
    / and /releases/DESTINATION/RELEASE      for people
    /static/NAME                             style, script, icons; a name has the hash of its content

RELEASE may be a channel, for its newest. What a path names is looked up in the ledger, never on the file system.
Probes and /metrics are answered at once; all else is made one at a time, WAITING_MAX wait for it, and more get a 503.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mirror.service.ledger import Ledger
from mirror.service.page import Pages
from mirror.service.releases import ReleaseStatus, release_status
from mirror.service.status import status

_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_READING = ("GET", "HEAD")
_AT_ONCE = ("/livez", "/readyz", "/metrics")
WAITING_MAX = 64
_FOREVER = "public, max-age=31536000, immutable"
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_NAMED_MAX = 10


def application(
    ledger: Ledger,
    *,
    exposition: Callable[[str], tuple[bytes, str]],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ASGIApp:
    """The application that shows *ledger*; *exposition* gives the metrics and their type, by what is accepted."""
    pages = Pages()

    async def livez(_: Request) -> Response:
        if stuck_s := ledger.stuck_s:
            return PlainTextResponse(f"stuck: nothing moved in this run for {stuck_s:.0f} s\n", 503)
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if not ledger.is_ready:
            return PlainTextResponse("the first run has not ended\n", 503)
        return PlainTextResponse("ok\n")

    async def metrics(request: Request) -> Response:
        body, content_type = exposition(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    async def front(_: Request) -> Response:
        return HTMLResponse(pages.status(status(ledger, now()), ledger.progress))

    async def release_page(request: Request) -> Response:
        found = _asked_for(ledger, request)
        return HTMLResponse(pages.release(found, now(), _base_url(request)))

    async def api_status(_: Request) -> Response:
        return JSONResponse(status(ledger, now()).document())

    async def api_releases(_: Request) -> Response:
        return JSONResponse(status(ledger, now()).releases_document())

    async def api_release(request: Request) -> Response:
        return JSONResponse(_asked_for(ledger, request).document())

    async def values(request: Request) -> Response:
        found, chart = _asked_for(ledger, request), request.path_params["chart"]
        if chart not in found.values:
            raise HTTPException(404, _no_values(found, chart))
        return _tagged(request, found.values[chart].encode(), "application/yaml; charset=utf-8")

    async def all_values(request: Request) -> Response:
        found = _asked_for(ledger, request)
        if not found.values:
            raise HTTPException(404, _no_values(found, ""))
        return _tagged(request, tar(found), "application/x-tar")

    async def static(request: Request) -> Response:
        asset = pages.assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404, "there is no such file: it may be of another version; load the page again")
        return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": _FOREVER})

    async def refused(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)  # noqa: S101 - that is what it is registered for
        sentence = exc.detail if exc.detail != "Not Found" else "there is nothing here; the page at / has what there is"
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        if path.startswith("/api/"):
            return JSONResponse({"error": sentence}, exc.status_code)
        if "text/html" in request.headers.get("accept", ""):
            root = "../" * max(0, path.count("/") - 1) or "./"
            return HTMLResponse(pages.missing(sentence, now(), root), exc.status_code)
        return PlainTextResponse(f"{sentence}\n", exc.status_code)

    app = Starlette(
        routes=[
            Route("/", front),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/api/v1/status", api_status),
            Route("/api/v1/releases", api_releases),
            Route("/api/v1/releases/{destination}/{release}", api_release),
            Route("/overrides/{destination}/{release}/{chart}.yaml", values),
            Route("/overrides/{destination}/{release}.tar", all_values),
            Route("/releases/{destination}/{release}", release_page),
            Route("/static/{name}", static),
        ],
        exception_handlers={404: refused},
    )
    app.router.redirect_slashes = False  # it would redirect to whatever host a request claims
    return ReadOnly(app)


class ReadOnly:
    """Lets GET and HEAD through, each in its turn, and gives every answer the headers that it lacks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The interface of ASGI 3."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._app
        if scope["method"] not in _READING:
            told = "nothing can be changed here: only GET and HEAD are answered\n"
            answer = PlainTextResponse(told, 405, headers={"Allow": ", ".join(_READING)})
        elif scope["path"] == scope.get("root_path"):
            answer = RedirectResponse(f"{scope['path']}/")  # links are relative to a folder
        elif scope["path"].removeprefix(scope.get("root_path", "")) not in _AT_ONCE and not await self._is_its_turn():
            told = "too many are asking: try again in a moment\n"
            answer = PlainTextResponse(told, 503, headers={"Retry-After": "1"})
        await answer(scope, receive, guarded)

    async def _is_its_turn(self) -> bool:
        """True once nobody came before who is not answered, False if too many did.

        An answer is made without a pause, so that the event loop sees to nothing else meanwhile: between two of them it
        turns once. Nobody holds the turn while an answer is sent, for that is as slow as the client.
        """
        if self._waiting >= WAITING_MAX:
            return False
        self._waiting += 1
        try:
            async with self._turn:
                await asyncio.sleep(0)
        finally:
            self._waiting -= 1
        return True


def tar(release: ReleaseStatus) -> bytes:
    """The values of *release*, each in RELEASE/CHART.yaml; the same values are the same bytes."""
    recorded = release.entry.recorded_at
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for chart, text in sorted(release.values.items()):
            member = tarfile.TarInfo(f"{release.release}/{chart}.yaml")
            member.size, member.mode = len(text.encode()), 0o644
            member.mtime = int(recorded.timestamp()) if recorded else 0
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _asked_for(ledger: Ledger, request: Request) -> ReleaseStatus:
    """The release that a path names; raises a 404 that says what there is in its place."""
    destination, release = request.path_params["destination"], request.path_params["release"]
    found = release_status(ledger, destination, release)
    if found is not None:
        return found
    if not ledger.is_ready:
        raise HTTPException(404, "the first run has not ended, so that no release is known yet")
    if destination not in ledger.destinations:
        places = _listed("destinations", ledger.destinations)
        raise HTTPException(404, f"there is no destination {_quoted(destination)} {places}")
    names = {name for place, name in ledger.entries if place == destination} | set(ledger.newest)
    asked = f"no release {_quoted(release)} is asked for at {destination}"
    raise HTTPException(404, f"{asked} {_listed('releases and channels', names)}")


def _no_values(release: ReleaseStatus, chart: str) -> str:
    """Why there are no values of *chart*, or of any."""
    about = f"no values of {_quoted(chart)}" if chart else "no values"
    report = release.entry.report
    told = [*filter(None, [report.problem]), *(note for note in report.notes if note.startswith("no values"))]
    why = f": {'; '.join(told)}" if told else ""
    return f"there are {about} for {release.release} at {release.destination}{why} " + _listed("charts", release.values)


def _listed(what: str, names: Iterable[str]) -> str:
    several = sorted(names)
    more = f", and {len(several) - _NAMED_MAX} more" if len(several) > _NAMED_MAX else ""
    return f"({what}: {', '.join(several[:_NAMED_MAX]) or 'none'}{more})"


def _quoted(text: str) -> str:
    return repr(text[:100])


def _tagged(request: Request, content: bytes, media_type: str) -> Response:
    """*content*, or 304 where the client has it already (RFC 9110, 13.1.2)."""
    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    wanted = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if wanted & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _base_url(request: Request) -> str:
    """Where the client has reached us, as it says itself: it is shown to nobody else."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        return "http://localhost/"
    is_secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    prefix = request.scope.get("root_path") or request.headers.get("x-forwarded-prefix", "").rstrip("/")
    return f"{'https' if is_secure else 'http'}://{host}{prefix if _PREFIX.fullmatch(prefix) else ''}/"
