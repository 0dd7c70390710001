"""The control door: commands of this machine's administrator speak to the running collector here.

A Unix socket in the state directory, for its owner alone; nothing of it is served over the network.
"""

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from agent.wire import Refusal
from collector.bridge.rehearsals import RehearsalError
from collector.centre import Centre
from collector.diagnosis.explain import explain

SOCKET = "control.sock"


@contextmanager
def door(state: Path) -> Iterator[str]:
    """Yield a path to the socket that is short enough, however deep the state directory lies."""
    descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


@asynccontextmanager
async def opened(centre: Centre, state: Path) -> AsyncIterator[None]:
    """Serve the control door. The state directory is ours alone, so a socket there is a dead one's."""
    runner = web.AppRunner(_make_app(centre), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    (state / SOCKET).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    os.fchmod(sock.fileno(), 0o600)  # the file that `bind` makes is never more open
    with door(state) as path:
        sock.bind(path)
    try:
        await web.SockSite(runner, sock).start()
        yield
    finally:
        await runner.cleanup()
        (state / SOCKET).unlink(missing_ok=True)


def _make_app(centre: Centre) -> web.Application:
    app = web.Application(middlewares=[_answer_errors])
    routes = _Routes(centre)
    app.router.add_get("/rehearsal/plan", routes.plan)
    app.router.add_post("/rehearsal", routes.start)
    app.router.add_get("/rehearsal", routes.show)
    app.router.add_delete("/rehearsal", routes.abort)
    app.router.add_get("/explain", routes.explain)
    return app


class _Routes:
    def __init__(self, centre: Centre) -> None:
        self._centre = centre

    async def plan(self, request: web.Request) -> web.Response:
        check, shares = _asked(request)
        centre = self._centre
        return _json(centre.rehearsals.plan(check, shares, centre.live(), centre.now()))

    async def start(self, request: web.Request) -> web.Response:
        check, shares = _asked(request)
        centre = self._centre
        return _json(centre.rehearsals.start(check, shares, centre.live(), centre.now()))

    async def show(self, _: web.Request) -> web.Response:
        return _json(self._centre.rehearsals.report)

    async def explain(self, request: web.Request) -> web.Response:
        centre, site = self._centre, request.query.get("site", "")
        if site not in centre.fleet.sites:
            known = Refusal(error=f"{site}: expected a site of this province", code="not_found")
            return _json(known, HTTPStatus.NOT_FOUND)
        return web.Response(text=explain(site, centre.fleet, centre.incidents, centre.now()))

    async def abort(self, _: web.Request) -> web.Response:
        return _json(self._centre.rehearsals.abort(self._centre.now()))


def _asked(request: web.Request) -> tuple[str, list[float]]:
    try:
        shares = [float(word) / 100 for word in request.query.get("stages", "").split(",")]
    except ValueError:
        shares = []
    return request.query.get("check", ""), shares


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RehearsalError as exc:
        return _json(Refusal(error=str(exc), code="malformed"), HTTPStatus.BAD_REQUEST)


def _json(body: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )
