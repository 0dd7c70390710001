"""The wall as a person sees it: Debian's Chromium looks at pages of a real server."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, async_playwright

from collector.diagnosis.evidence import Dossier
from collector.wall import forms
from collector.wall.locale import TEXTS
from tests.collector.a_province import DC, NOON, TCOC, YPHU, a_province
from tests.collector.wall.looks import Centre, serving
from tests.collector.wall.test_evidence import shown
from tests.collector.wall.test_forms import AGES
from tests.collector.wall.whole import Whole, in_trouble
from tests.programs import program
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CLIPPED = """() => [...document.querySelectorAll('body, .tiles, aside, .incidents, .systems, .say')]
  .filter(e => e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1)
  .map(e => e.className)"""
CUT_WORDS = """() => [...document.querySelectorAll('.tile b, .tile > span, .say p, .group h3')]
  .filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)"""
COUNTED = """async seconds => {
  const { forms, parts } = await import(document.querySelector('script[type=module]').src)
  return seconds.map(s => [parts(s), forms.tile(s), forms.span(s), forms.countdown(s)]) }"""
PLACES = """() => [...document.querySelectorAll('.tile')].map(e => {
  const at = e.getBoundingClientRect(); return [e.id, at.x, at.y, at.width, at.height].join(' ') })"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Start Chromium once."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program("chromium"), args=QUIET)
        yield started
        await started.close()


@contextlib.asynccontextmanager
async def page_of(
    browser: Browser, width: int = 1920, height: int = 1080, **kind
) -> AsyncIterator[Page]:
    """Open a page that may complain about nothing."""
    context = await browser.new_context(viewport={"width": width, "height": height}, **kind)
    page = await context.new_page()
    complaints: list[str] = []
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    await context.close()
    assert [
        said
        for said in complaints
        if "ERR_CONNECTION_REFUSED" not in said and "ERR_INCOMPLETE_CHUNKED" not in said
    ] == []


async def becomes(page: Page, expression: str, seconds: float = 5) -> None:
    """Wait for an expression to be true; the page's own policy forbids it to evaluate any."""
    async with asyncio.timeout(seconds):
        while not await page.evaluate(expression):
            await page.wait_for_timeout(20)


async def test_a_page_needs_nobody_else(browser):
    """No complaint, no request to another machine, and of the fonts only what is written in them."""
    world = Whole("phu-tho")
    world.live()
    asked: list[str] = []
    async with serving(world, world.clock) as url, page_of(browser) as page:
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(url)
        await becomes(page, "document.fonts.status === 'loaded'")
        fonts = await page.evaluate("[...document.fonts].filter(f => f.status === 'loaded').length")
        sentence = await page.inner_text(".say p")

    assert sentence == "148/148 xã, phường thông suốt."
    assert {address.startswith(url) for address in asked} == {True}
    assert fonts == 2
    assert not [address for address in asked if "latin-ext" in address]


async def test_a_change_arrives_by_itself(browser):
    """Within two seconds: the tile, the sentence, the counts, the incident and the title."""
    world = Whole("phu-tho")
    world.live(2)
    world.live()
    async with serving(world, world.clock) as url, page_of(browser) as page:
        await page.goto(url)
        await page.wait_for_selector("#t-05293.st-ok")
        world.failing |= {("05293", "gateway")}
        world.live()
        world.live()
        await page.wait_for_selector("#t-05293.st-down", timeout=2000)

        assert re.fullmatch(r"hỏng\sLAN\s+\d+″", await page.inner_text("#t-05293 > span"))
        assert await page.get_attribute("#t-05293 use", "href") == "#s-down"
        assert (
            (await page.inner_text(".say p"))
            .replace("\u00a0", " ")
            .startswith("Xã Thượng Cốc hỏng mạng LAN từ 13:00")
        )
        assert await page.inner_text(".tally .st-ok b") == "147"
        assert await page.inner_text(".incident .what") == "Xã\u00a0Thượng\u00a0Cốc hỏng mạng LAN"
        assert await page.title() == "(1 chưa tiếp nhận) Phú Thọ: 147/148 thông suốt"
        assert await page.inner_text("#worse") == "Xã\u00a0Thượng\u00a0Cốc: hỏng\u00a0LAN"


async def test_a_page_that_lost_the_server_says_so(browser):
    """After 10 s the band stands in the sentence's place; ages go on; the server's return ends it."""
    world = Whole("phu-tho")
    world.live()
    async with page_of(browser) as page:
        async with serving(world, world.clock) as url:
            await page.goto(url)
            await page.wait_for_selector(".tile")
            port = int(url.rsplit(":", 1)[1].rstrip("/"))
            places = await page.evaluate(PLACES)
        await page.wait_for_selector(".age.is-late .late", timeout=6000)
        assert not await page.is_visible(".lost")
        await page.wait_for_selector(".lost", state="visible", timeout=12_000)

        assert re.fullmatch(
            r"Mất kết nối với máy chủ từ 13:00:\d\d\. Số liệu dưới đây đã cũ\.",
            await page.inner_text(".lost p"),
        )
        assert not await page.is_visible(".say")
        assert await page.evaluate(PLACES) == places
        assert (await page.title()).startswith("CŨ · Phú Thọ: ")
        assert await page.get_attribute(".lost", "role") == "alert"
        before = int((await page.inner_text("#age")).split("\u00a0")[0])
        assert before >= 10
        await becomes(page, f"parseInt(document.querySelector('#age').textContent) > {before}")
        async with serving(world, world.clock, port):
            world.live()
            await page.wait_for_selector(".lost", state="hidden", timeout=8000)
            assert await page.is_visible(".say")
            assert not (await page.title()).startswith("CŨ")


async def test_a_page_that_slept_does_not_trust_what_it_has(browser):
    """The monotonic clock stood meanwhile: the page counts the sleep as age and connects anew."""
    world = Whole("phu-tho")
    world.live()
    streams: list[Request] = []
    async with serving(world, world.clock) as url, page_of(browser) as page:
        await page.add_init_script(
            "const real = Date.now; window.slept = 0; Date.now = () => real() + window.slept"
        )
        page.on(
            "request", lambda request: streams.append(request) if "/live" in request.url else None
        )
        await page.goto(url)
        await page.wait_for_timeout(1500)
        await page.evaluate("() => { window.slept = 3600e3 }")
        await until(lambda: len(streams) == 2, seconds=4, what="a second stream")
        await becomes(page, "!document.body.classList.contains('stale')")


async def test_another_province_folder_loads_the_page_anew(browser):
    """Places that messages cannot bring appear without a hand."""
    centre = Centre(a_province((TCOC, DC)))
    async with serving(centre) as url, page_of(browser) as page:
        await page.goto(url)
        await page.wait_for_selector(f"#t-{TCOC}")
        centre.fleet.reload(a_province(), NOON)
        await page.wait_for_selector(f"#t-{YPHU}", timeout=4000)


async def test_the_page_counts_ages_as_the_server_does(browser):
    """Every form of every age, in both languages."""
    centre = Centre()
    for lang in ("vi", "en"):
        texts = TEXTS[lang]
        async with serving(centre) as url, page_of(browser) as page:
            await page.goto(f"{url}?lang={lang}")
            counted = await page.evaluate(COUNTED, [row[0] for row in AGES])
        assert counted == [
            [
                [[n, texts.units.index(unit)] for n, unit in forms.age_parts(row[0], texts)],
                *(form(row[0], texts) for form in (forms.tile_age, forms.span, forms.countdown)),
            ]
            for row in AGES
        ]


@pytest.mark.parametrize("lang", ["vi", "en"])
@pytest.mark.parametrize("name", ["phu-tho", "thanh-hoa"])
async def test_a_province_fits_its_wall(browser, name, lang):
    """Nothing scrolls, nothing is cut off and no tile moves, whatever goes on."""
    calm = Whole(name)
    calm.live()
    places = []
    for world in (Whole(name), calm, in_trouble(name)):
        async with serving(world, world.clock) as url, page_of(browser) as page:
            await page.goto(f"{url}?lang={lang}")
            await becomes(page, "document.fonts.status === 'loaded'")
            assert await page.evaluate("document.documentElement.scrollHeight") == 1080
            assert await page.evaluate(CLIPPED) == []
            assert await page.evaluate(CUT_WORDS) == []
            places.append(await page.evaluate(PLACES))
    assert places[0] == places[1] == places[2]


@pytest.mark.parametrize("width", [320, 390, 640, 820, 1366, 1599])
async def test_nothing_leaves_a_narrow_screen(browser, width):
    """Pages scroll downward only."""
    world = in_trouble("phu-tho")
    async with serving(world, world.clock) as url, page_of(browser, width, 844) as page:
        await page.goto(url)
        await becomes(page, "document.fonts.status === 'loaded'")

        assert await page.evaluate("document.documentElement.scrollWidth") == width


async def test_a_phone_shows_what_is_not_fine(browser):
    """One tick shows all; it is big enough for a thumb and stays over updates."""
    world = in_trouble("phu-tho")
    async with serving(world, world.clock) as url, page_of(browser, 390, 844) as page:
        await page.goto(url)
        fine = page.locator(".tile.st-ok").first
        assert not await fine.is_visible()
        assert await page.locator(".tile.st-silent").first.is_visible()
        label = page.locator("label.only-phone")
        assert (await label.bounding_box())["height"] >= 44
        await label.click()
        assert await fine.is_visible()
        await page.wait_for_timeout(1500)
        assert await fine.is_visible()


async def test_the_keyboard_is_shown_where_it_is(browser):
    """A ring of 3 px on the link to the other language."""
    world = Whole("phu-tho")
    async with serving(world, world.clock) as url, page_of(browser) as page:
        await page.goto(url)
        await page.keyboard.press("Tab")
        focused = await page.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.textContent, s.outlineStyle, parseFloat(s.outlineWidth)] }"
        )
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/?lang=en")

    assert focused == ["English", "solid", 3]


@pytest.mark.parametrize(
    ("query", "prefers", "background"),
    [
        ("", "dark", "rgb(10, 14, 19)"),
        ("", "light", "rgb(233, 237, 241)"),
        ("?theme=light", "dark", "rgb(233, 237, 241)"),
        ("?theme=dark", "light", "rgb(10, 14, 19)"),
    ],
)
async def test_the_theme_is_the_readers(browser, query, prefers, background):
    """By the address, else by what the browser says its reader prefers."""
    centre = Centre()
    async with serving(centre) as url, page_of(browser, color_scheme=prefers) as page:
        await page.goto(url + query)

        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == background


async def test_without_script_the_page_is_complete(browser):
    """It says that it does not update itself, and loads itself anew."""
    world = in_trouble("phu-tho")
    async with (
        serving(world, world.clock) as url,
        page_of(browser, java_script_enabled=False) as page,
    ):
        await page.goto(url)
        body = await page.inner_text("body")
        loaded = page.expect_event("load", timeout=8000)
        async with loaded:
            pass

    assert "Trang không tự cập nhật: tải lại mỗi 5 giây." in body
    assert re.search(r"mất\sliên\slạc\s+16′", body)
    assert "sự cố đang mở" in body


async def test_evidence_is_a_click_away(browser):
    """From the card of an incident to the page and back, on a wall and a phone, nothing cut off."""
    world = in_trouble("phu-tho")
    checked = {
        (member.series.agent, member.series.check): world.clock()
        for incident in world.incidents.open.values()
        for member in incident.members
    }
    world.evidence = SimpleNamespace(newest=checked)
    world.found = Dossier([shown(), shown(seq=9)], [shown(agent=DC, site=DC)], [])
    async with serving(world, world.clock) as url:
        for width, height in ((1920, 1080), (390, 844)):
            async with page_of(browser, width, height) as page:
                await page.goto(url)
                if width == 1920:
                    assert await page.evaluate(CLIPPED) == []
                await page.click("text=Bằng chứng >> nth=0")
                await page.wait_for_selector(".verdict")
                assert (await page.inner_text("h1")).startswith("Bằng chứng: ")
                assert await page.evaluate("document.body.scrollWidth <= innerWidth")
                await page.click("text=Về bảng chung")
                await page.wait_for_selector(".tile")


@pytest.mark.parametrize("width", [320, 390, 820, 1366, 1920])
async def test_incidents_are_read_on_every_screen(browser, width):
    """List and page scroll downward only, in both languages and themes; buttons suit a thumb."""
    world = in_trouble("phu-tho")
    identity = next(iter(world.incidents.open))
    async with (
        serving(world, world.clock) as url,
        page_of(browser, width, 844, color_scheme="light" if width % 4 else "dark") as page,
    ):
        for path in ("incidents", f"incidents/{identity}"):
            for lang in ("vi", "en"):
                await page.goto(f"{url}{path}?lang={lang}")
                await becomes(page, "document.fonts.status === 'loaded'")
                assert await page.evaluate("document.documentElement.scrollWidth") == width
        heights = await page.evaluate(
            "[...document.querySelectorAll('button, .button, input:not([type=hidden])')]"
            ".filter(e => e.offsetParent).map(e => e.getBoundingClientRect().height)"
        )
    assert len(heights) >= 5
    assert min(heights) >= 44


async def test_a_person_acknowledges_without_script(browser):
    """From the wall to the page, name and one press; the wall then says who took it."""
    world = Whole("phu-tho")
    world.live(2)
    world.failing |= {("05293", "gateway")}
    world.live(1)
    world.live()
    async with (
        serving(world, world.clock) as url,
        page_of(browser, 390, 844, java_script_enabled=False) as page,
    ):
        await page.goto(url)
        await page.click(".incident .what a")
        await page.fill("[name=name]", "Nguyễn Văn Hùng")
        await page.click("button[value=acknowledge]")
        await page.fill("[name=text]", "đang gọi xã")
        await page.click("button[value=note]")
        timeline = await page.inner_text(".events")
        name = await page.input_value("[name=name]")
        await page.click("text=Về bảng chung")
        card = await page.inner_text(".incident .who")

    assert [act.kind for act in world.acts.acts] == ["acknowledged", "noted"]
    assert "Nguyễn Văn Hùng tiếp nhận" in timeline
    assert "Nguyễn Văn Hùng ghi: đang gọi xã" in timeline
    assert name == "Nguyễn Văn Hùng"
    assert re.search(r"Nguyễn Văn Hùng nhận 13:0\d", card)
