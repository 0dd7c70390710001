"""The collector's HTTP routes: who may ask what, and how it is answered.

Agents come with a token; everything else is guarded by the address it comes from. Every refusal of
ours is a `Refusal` in JSON, so that agents can tell it from a proxy's. An unexpected exception is
logged and answered 503 `busy`: agents keep what they have and ask again.
"""

import asyncio
import logging
from contextlib import nullcontext
from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from agent.wire import BACKLOG_PRIORITY
from collector import wall
from collector.centre import Centre
from collector.config import CollectorConfig
from collector.ingest.decode import check_size
from collector.ingest.refused import Refused
from collector.ingest.turns import Turns
from collector.visitors import VISITOR, Address, address_of, may_come

BODY_SECONDS = 60.0
"""A push that is not here by then is given up: its agent sends it again."""
HEADER_SECONDS = 30.0
"""A connection is closed when this long no whole request began: idle ones and slow ones."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
RETRY_SECONDS = "1"
log = logging.getLogger(__name__)


def make_app(centre: Centre, config: CollectorConfig) -> web.Application:
    """Return the application; the centre runs while it does."""
    app = web.Application(middlewares=[_answer_errors, _guard(config)])
    app.cleanup_ctx.append(centre.running)
    routes = _Routes(centre, config)
    app.router.add_post("/api/v1/batches", routes.take_push)
    app.router.add_get("/api/v1/config", routes.show_config, allow_head=False)
    app.router.add_get("/metrics", routes.show_metrics)
    app.router.add_get("/metrics/live", routes.show_live_metrics)
    app.router.add_get("/sd", routes.discover)
    app.router.add_get("/-/healthy", routes.healthy)
    app.router.add_get("/-/ready", routes.ready)
    wall.add_routes(app, centre)
    return app


def make_runner(app: web.Application) -> web.AppRunner:
    """Return what serves the application, with the limits a slow or silent sender meets."""
    return web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,  # `ingest.decode` inflates, with its own bounds
        keepalive_timeout=HEADER_SECONDS,
        lingering_time=5.0,
        shutdown_timeout=5.0,
    )


class _Routes:
    def __init__(self, centre: Centre, config: CollectorConfig) -> None:
        self._centre = centre
        self._config = config
        self._backlog = Turns()

    async def take_push(self, request: web.Request) -> web.Response:
        try:
            agent = self._centre.verify(request.headers.get("Authorization"))
            body = await _read(request)
            encoding = request.headers.get("Content-Encoding", "").lower()
            address = str(_address(request, self._config) or "")
            late = request.headers.get("Priority") == BACKLOG_PRIORITY
            async with self._backlog.take(len(body)) if late else nullcontext():
                answer = await self._centre.receive(agent, body, encoding, address)
        except Refused as refused:
            self._centre.own.refused.labels(refused.code).inc()
            raise
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def show_config(self, request: web.Request) -> web.Response:
        agent = self._centre.verify(request.headers.get("Authorization"))
        told = self._centre.told(agent)
        if told is None:
            raise Refused(HTTPStatus.NOT_FOUND, "not_found", f"the province has no agent {agent!r}")
        headers = {"ETag": told.etag, "Cache-Control": "no-cache"}
        known = request.headers.get("If-None-Match", "")
        if told.etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return web.Response(body=told.body, content_type="application/json", headers=headers)

    async def show_metrics(self, request: web.Request) -> web.Response:
        return await self._metrics(request, live=False)

    async def show_live_metrics(self, request: web.Request) -> web.Response:
        return await self._metrics(request, live=True)

    async def _metrics(self, request: web.Request, *, live: bool) -> web.Response:
        if not self._centre.loaded:
            raise _busy(self._centre.not_ready)
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {"Content-Type": METRICS_TYPE, "Vary": "Accept-Encoding"}
        if zipped:
            headers["Content-Encoding"] = "gzip"
        page = await self._centre.metrics(live=live, zipped=zipped)
        return web.Response(body=page, headers=headers)

    async def discover(self, request: web.Request) -> web.Response:
        here = request.headers.get("Host")
        if not here:
            raise Refused(HTTPStatus.BAD_REQUEST, "malformed", "Host: is missing, it is the target")
        groups = [{"targets": [here], "labels": {"province": self._centre.fleet.inventory.id}}]
        return web.Response(body=msgspec.json.encode(groups), content_type="application/json")

    async def healthy(self, _: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def ready(self, _: web.Request) -> web.Response:
        why = self._centre.not_ready
        if why:
            raise _busy(why)
        return web.Response(text="ready\n")


def _address(request: web.Request, config: CollectorConfig) -> Address | None:
    return address_of(request.remote, request.headers.getall("X-Forwarded-For", []), config)


async def _read(request: web.Request) -> bytes:
    check_size(request.content_length or 0)
    if request.content.is_eof():  # it came along with its headers, as nearly all do
        return request.content.read_nowait()
    chunks = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                check_size(size)
                chunks.append(chunk)
    except TimeoutError as exc:
        raise Refused(
            HTTPStatus.REQUEST_TIMEOUT,
            "busy",
            f"the body was not here after {BODY_SECONDS:g} s",
        ) from exc
    except web.RequestPayloadError as exc:
        raise Refused(
            HTTPStatus.BAD_REQUEST, "malformed", "the body is not what its headers announce"
        ) from exc
    return b"".join(chunks)


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return _refusal(refused)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as exc:
        return _refusal(
            Refused(
                HTTPStatus(exc.status), "not_found", f"no {request.method} {request.path} here"
            ),
            dict(exc.headers),
        )
    except (web.HTTPException, ConnectionError):
        raise
    except Exception:
        log.exception("request failed method=%s path=%s", request.method, request.path)
        return _refusal(_busy("something failed here; it was written down"))


def _guard(config: CollectorConfig) -> Middleware:
    scrape = ("/metrics", "/metrics/live", "/sd")
    either = ("/-/healthy", "/-/ready")

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path
        if path.startswith("/api/"):
            return await handler(request)
        visitor = _address(request, config)
        request[VISITOR] = str(visitor or "")  # who acts is written down with where from
        allowed = config.watch_from if path not in scrape else config.scrape_from
        if path in either:
            allowed = (*config.scrape_from, *config.watch_from)
        if not may_come(visitor, allowed):
            key = "scrape_from" if path in scrape else "watch_from"
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "unauthorised",
                f"{visitor or 'an unknown address'} is not in {key} of collector.yml",
            )
        return await handler(request)

    return guard


def _busy(sentence: str) -> Refused:
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", sentence)


def _refusal(refused: Refused, headers: dict[str, str] | None = None) -> web.Response:
    headers = {key: value for key, value in (headers or {}).items() if key == "Allow"}
    if refused.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.code in {"busy", "too_many"}:
        headers["Retry-After"] = RETRY_SECONDS
    return web.Response(
        status=refused.status,
        body=refused.body(),
        content_type="application/json",
        headers=headers,
    )
