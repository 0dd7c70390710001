"""A small portal to measure, and to stop: `python configs/demo/portal.py 8480`."""

import sys

from aiohttp import web

PAGE = "<!doctype html><meta charset=utf-8><title>Thử</title><h1>Dịch vụ công (thử)</h1>"


async def page(_request: web.Request) -> web.Response:
    """Say what the check looks for."""
    return web.Response(text=PAGE, content_type="text/html")


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/", page)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
