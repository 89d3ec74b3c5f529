"""What answers HTTP: probes, metrics, status, values, the page. Reads the ledger, changes nothing, asks nobody."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mirror.service.ledger import Ledger
from mirror.service.metrics import Metrics


def application(ledger: Ledger, metrics: Metrics) -> Starlette:
    """The application that shows *ledger* and *metrics*."""

    async def livez(_: Request) -> Response:
        if stuck_s := ledger.stuck_s:
            return PlainTextResponse(f"stuck: nothing moved in this run for {stuck_s:.0f} s\n", 503)
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if not ledger.is_ready:
            return PlainTextResponse("the first run has not ended\n", 503)
        return PlainTextResponse("ok\n")

    async def metrics_(request: Request) -> Response:
        body, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics_)])
