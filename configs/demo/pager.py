"""The demo's person on duty: a webhook that prints what Alertmanager sends."""

from datetime import datetime
from typing import Any, Self

from aiohttp import web


class Pager:
    """Takes the posts of every receiver; those of `deadman` only say that the way is open."""

    def __init__(self) -> None:
        app = web.Application()
        app.router.add_post("/{receiver}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        receiver = request.match_info["receiver"]
        if receiver != "deadman":
            for alert in (await request.json())["alerts"]:
                print(_text(receiver, alert), flush=True)
        return web.Response()


def _text(receiver: str, alert: dict[str, Any]) -> str:
    id_ = alert["labels"].get("id", alert["labels"]["alertname"])
    said = alert["annotations"]
    if alert["status"] == "firing":
        text = f"MỞ {id_} {said['description']}"
    else:
        text = f"XONG {id_} {said['summary']}, {said.get('where', '')}".rstrip(", ")
    return f"{datetime.now().astimezone():%H:%M:%S}  {receiver}: {text}"
