import asyncio
import contextlib
import gzip
import json
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from collector import wall
from collector.wall import live as live_module
from collector.wall.assets import Assets
from collector.wall.live import QUEUED_SECONDS, Live
from collector.wall.render import Renderer
from tests.collector.a_province import DC, NOON, TCOC, TCOC_TTPV, YPHU, a_province
from tests.collector.wall.looks import Centre, serving
from tests.waiting import until

RENDERER = Renderer(Assets())


@contextlib.asynccontextmanager
async def served(centre: Centre, **client) -> AsyncIterator[ClientSession]:
    """Serve the wall, and yield a client of it."""
    async with serving(centre) as url, ClientSession(url, **client) as pages:
        yield pages


async def next_message(response) -> dict:
    """Return the next event's data."""
    async with asyncio.timeout(5):
        while True:
            line = await response.content.readline()
            if line.startswith(b"data: "):
                return json.loads(line[6:])


async def message_with(key: str, response) -> dict:
    """Return the next event's data that has a key."""
    while key not in (message := await next_message(response)):
        pass
    return message


def a_centre() -> Centre:
    """Return a centre that heard everybody."""
    centre = Centre()
    centre.hear()
    return centre


async def test_the_page_comes_with_its_policy_and_is_never_kept():
    """Compressed where the browser takes that."""
    async with served(a_centre()) as pages, pages.get("/") as response:
        html = await response.text()

    assert response.status == 200
    assert response.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Encoding"] in {"gzip", "deflate"}
    assert "2/2 xã, phường thông suốt." in html


@pytest.mark.parametrize(
    ("query", "lang", "theme"),
    [
        ("", "vi", ""),
        ("?lang=en", "en", ""),
        ("?lang=xx&theme=pink", "vi", ""),
        ("?theme=light", "vi", ' data-theme="light"'),
    ],
)
async def test_language_and_theme_by_address(query, lang, theme):
    """What is none of ours is Vietnamese, in the theme the reader prefers."""
    async with served(a_centre()) as pages, pages.get(f"/{query}") as response:
        assert f'<html lang="{lang}"{theme}>' in await response.text()


@pytest.mark.parametrize("name", ["style.css", "noto-sans-latin.woff2"])
async def test_assets_are_kept_for_a_year(name):
    """Compressed where that helps and the browser takes it."""
    address = Assets().url(name)
    async with served(a_centre(), auto_decompress=False) as pages:
        async with pages.get(address, headers={"Accept-Encoding": "gzip"}) as response:
            body = await response.read()
            zipped = response.headers.get("Content-Encoding") == "gzip"
        async with pages.get(address, headers={"Accept-Encoding": "identity"}) as response:
            plain = await response.read()

    assert response.status == 200
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert zipped == name.endswith(".css")
    assert plain == (gzip.decompress(body) if zipped else body)


@pytest.mark.parametrize("address", ["/static/style.css", "/static/..%2f__init__.py", "/static/x"])
async def test_nothing_else_is_served_beside_the_assets(address):
    """Names without their hash, ways out of the folder, and inventions."""
    async with served(a_centre()) as pages, pages.get(address) as response:
        assert response.status == 404


async def test_a_stream_begins_with_the_whole_page_and_beats_each_second():
    """A beat without news is a few bytes: both clocks and the newest data's time."""
    async with served(a_centre()) as pages, pages.get("/live") as response:
        first, second, third = [await next_message(response) for _ in range(3)]

    assert response.content_type == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-store"
    assert {"build", "parts", "tiles", "title", "limits"} <= first.keys()
    assert first["tiles"][YPHU] == ["ok", "ổn\u00a0định", None]
    assert second.keys() == {"now", "tick", "heard"}
    assert second["heard"] == NOON
    assert third["tick"] - second["tick"] == pytest.approx(1, abs=0.5)


async def test_a_change_is_sent_with_the_next_beat():
    """Within two seconds, to each in the language they read."""
    centre = a_centre()
    async with (
        served(centre) as pages,
        pages.get("/live") as vi,
        pages.get("/live?lang=en") as en,
    ):
        await next_message(vi)
        await next_message(en)
        centre.hear(NOON + 5, (TCOC, TCOC_TTPV, DC))
        centre.look(NOON + 6)
        async with asyncio.timeout(2):
            said = [await message_with("tiles", response) for response in (vi, en)]

    assert [message["tiles"] for message in said] == [
        {YPHU: ["silent", "mất\u00a0liên\u00a0lạc", NOON]},
        {YPHU: ["silent", "not\u00a0reporting", NOON]},
    ]


async def test_another_province_folder_is_told_whole():
    """A page of the old one cannot be mended by changes: the build tells it to load anew."""
    centre = a_centre()
    async with served(centre) as pages, pages.get("/live") as response:
        before = await next_message(response)
        centre.fleet.reload(a_province((TCOC, DC)), NOON)
        after = await message_with("build", response)

    assert after["build"] != before["build"]
    assert YPHU not in after["tiles"]


async def test_streams_end_when_the_server_stops():
    """At once: a page that is not told would hold the stop up."""
    async with ClientSession() as session:
        async with serving(a_centre()) as url:
            response = await session.get(f"{url}live")
            await next_message(response)
            began = asyncio.get_running_loop().time()
        stopped = asyncio.get_running_loop().time()
        response.close()

    assert stopped - began < 2


def a_live(centre: Centre) -> Live:
    """Return the room's heart without a server."""
    return Live(centre, RENDERER, lambda: NOON)


async def test_a_viewer_who_takes_nothing_is_let_go():
    """Its queue is short; the others go on."""
    dropped: list[str] = []
    live = a_live(a_centre())
    slow = live.join("vi", lambda: dropped.append("slow"))
    quick = live.join("vi", lambda: dropped.append("quick"))
    assert slow
    assert quick
    for _ in range(QUEUED_SECONDS + 2):
        while not quick.messages.empty():
            quick.messages.get_nowait()
        live.beat()

    assert dropped == ["slow"]
    assert slow.messages.qsize() == QUEUED_SECONDS
    assert not quick.messages.empty()


async def test_a_browser_that_hangs_is_cut_off():
    """It takes the connection and never reads: buffers fill, then its task ends."""
    live = a_live(a_centre())

    async def stream(request: web.Request) -> web.StreamResponse:
        return await wall._stream(request, live)

    app = web.Application()
    app.router.add_get("/live", stream)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.socket() as hanging:
        hanging.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        hanging.connect(runner.addresses[0])
        hanging.sendall(b"GET /live HTTP/1.1\r\nHost: wall.example\r\n\r\n")
        await until(lambda: live._viewers, what="the viewer")
        (viewer,) = live._viewers
        for _ in range(500):
            live._tell(viewer, b"data: " + b"x" * 65_536 + b"\n\n")
            await asyncio.sleep(0.001)
            if not live._viewers:
                break
        began = asyncio.get_running_loop().time()
        await runner.cleanup()

    assert not live._viewers
    assert asyncio.get_running_loop().time() - began < 2


async def test_nobody_reading_costs_nothing(monkeypatch):
    """A language without viewers is not rendered."""
    rendered: list[str] = []
    live = a_live(a_centre())
    real = live.overview
    monkeypatch.setattr(live, "overview", lambda lang: rendered.append(lang) or real(lang))
    viewer = live.join("vi", lambda: None)
    assert viewer
    live.beat()
    live.leave(viewer)
    live.beat()

    assert rendered == ["vi", "vi"]


async def test_more_viewers_than_the_room_holds(monkeypatch):
    """Are refused in words, and those inside stay."""
    monkeypatch.setattr(live_module, "MAX_VIEWERS", 1)
    async with served(a_centre()) as pages, pages.get("/live") as first:
        await next_message(first)
        async with pages.get("/live") as second:
            assert second.status == 503
            assert await second.text() == "too many open pages\n"
        await next_message(first)


async def test_a_vanished_viewer_makes_room(monkeypatch):
    """Nobody is kept who is not there."""
    monkeypatch.setattr(live_module, "MAX_VIEWERS", 1)
    async with served(a_centre()) as pages:
        gone = await pages.get("/live")
        await next_message(gone)
        gone.close()
        async with asyncio.timeout(5):
            while True:
                async with pages.get("/live") as response:
                    if response.status == 200:
                        break


async def test_a_page_that_cannot_be_rendered_stops_no_later_beat(monkeypatch, caplog):
    """It is written down; without beats every page calls itself old."""
    centre = a_centre()
    live = a_live(centre)
    viewer = live.join("vi", lambda: None)
    assert viewer
    fleet, centre.fleet = centre.fleet, None
    task = asyncio.create_task(live.run())
    await until(lambda: "the wall could not be rendered" in caplog.text, seconds=3, what="the log")
    centre.fleet = fleet
    viewer.messages.get_nowait()
    await until(lambda: not viewer.messages.empty(), seconds=3, what="the next beat")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
