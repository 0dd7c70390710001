"""The wall: pages in words that a person reads from afar, and that keep themselves up to date."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from collector.wall.asked import HEADERS, lang_of, page_response, theme_of
from collector.wall.assets import Assets
from collector.wall.duty_routes import add_duty_routes
from collector.wall.evidence import evidence_page
from collector.wall.ledger import LedgerPage, province_page, site_page
from collector.wall.live import Centre, Live
from collector.wall.locale import TEXTS
from collector.wall.render import Renderer

STREAM_TIMEOUT_MS = 10_000
STREAM_BUFFER_BYTES = 128 * 1024


def add_routes(
    app: web.Application, centre: Centre, clock: Callable[[], float] = time.time
) -> None:
    """Add the pages. `clock` gives the centre's UTC seconds."""
    assets = Assets()
    renderer = Renderer(assets)
    live = Live(centre, renderer, clock)

    async def show_overview(request: web.Request) -> web.Response:
        return page_response(
            renderer.page(live.overview(lang_of(request)), theme=theme_of(request))
        )

    async def show_evidence(request: web.Request) -> web.Response:
        asked = request.match_info
        dossier = await centre.dossier(asked["agent"], asked["check"])
        chosen = request.query.get("id", "")
        page = evidence_page(dossier, centre.fleet.inventory, lang_of(request), chosen=chosen)
        if page is None:
            said = TEXTS[lang_of(request)].evidence_none
            raise web.HTTPNotFound(text=f"{said}\n", headers=HEADERS)
        return page_response(renderer.evidence(page, theme=theme_of(request)))

    async def show_ledger(request: web.Request) -> web.Response:
        page = await _ledger(centre, request.match_info.get("site", ""), lang_of(request))
        return page_response(renderer.ledger(page, theme=theme_of(request)))

    async def stream(request: web.Request) -> web.StreamResponse:
        return await _stream(request, live)

    async def serve_asset(request: web.Request) -> web.Response:
        asset = assets.by_name.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound(headers=HEADERS)
        headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
        body = asset.body
        if asset.gzipped is not None:
            headers["Vary"] = "Accept-Encoding"
            if "gzip" in request.headers.get("Accept-Encoding", ""):
                headers["Content-Encoding"] = "gzip"
                body = asset.gzipped
        return web.Response(body=body, content_type=asset.content_type, headers=headers)

    async def beating(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(live.run(), name="wall")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def end_streams(_: web.Application) -> None:
        live.end()

    app.cleanup_ctx.append(beating)
    app.on_shutdown.append(end_streams)
    app.router.add_get("/", show_overview)
    app.router.add_get("/evidence/{agent}/{check}", show_evidence)
    app.router.add_get("/ledger", show_ledger)
    app.router.add_get("/ledger/{site}", show_ledger)
    add_duty_routes(app, centre, renderer, clock)
    app.router.add_get("/live", stream, allow_head=False)
    app.router.add_get("/static/{name}", serve_asset)


async def _ledger(centre: Centre, site: str, lang: str) -> LedgerPage:
    inventory = centre.fleet.inventory
    if not site:
        sites = centre.ledgers.sites or await centre.ledgers.refresh()
        return province_page(sites, inventory, lang)
    one = await centre.ledgers.one(site)
    if one is None:
        raise web.HTTPNotFound(headers=HEADERS)
    return site_page(one, inventory, lang)


async def _stream(request: web.Request, live: Live) -> web.StreamResponse:
    """Send events until the viewer goes, is too slow, or the server stops."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError
    viewer = live.join(lang_of(request), transport.abort)
    if viewer is None:
        raise web.HTTPServiceUnavailable(text="too many open pages\n", headers=HEADERS)
    sock = transport.get_extra_info("socket")
    # A viewer who vanished, or sleeps: the kernel must not keep beats for it to show as new.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STREAM_TIMEOUT_MS)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)
    response = web.StreamResponse(
        headers={
            **HEADERS,
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # nginx would hold events back
        }
    )
    try:
        await response.prepare(request)
        await response.write(b"retry: 1000\n\n")
        while (message := await viewer.messages.get()) is not None:
            await response.write(message)
    except ConnectionResetError:
        pass  # the viewer is gone
    finally:
        live.leave(viewer)
    return response
