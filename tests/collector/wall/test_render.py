import re
from dataclasses import replace
from html.parser import HTMLParser

from msgspec.structs import replace as changed

from collector.inventory.model import Text
from collector.wall.assets import Assets
from collector.wall.page import Overview
from collector.wall.render import Renderer
from tests.collector.a_province import DC, NOON, TCOC, TCOC_TTPV, YPHU, a_province
from tests.collector.wall.looks import Centre
from tests.collector.wall.test_view import silent_and_broken

ASSETS = Assets()
RENDERER = Renderer(ASSETS)
EVIL = "\"><script>alert(1)</script><b a='{{ 7*7 }}"


class Tags(HTMLParser):
    """Collects the elements of a page with their attributes, and checks that they close."""

    VOID = frozenset({"meta", "link", "input", "circle", "path", "rect", "use"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        """Note an element."""
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Hold an end against the last beginning."""
        if tag not in self.VOID:
            assert self.open.pop() == tag


def a_page(lang: str = "vi") -> Overview:
    """Return a page with trouble on it."""
    return silent_and_broken().look(NOON + 6, lang)


def test_the_page_is_whole_html_in_its_language():
    """Every element closes, every name is used once, and the language is declared."""
    for lang in ("vi", "en"):
        tags = Tags(RENDERER.page(a_page(lang))).found
        ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
        assert len(ids) == len(set(ids))
        assert ("html", {"lang": lang}) in tags


def test_a_theme_is_only_set_where_it_was_asked_for():
    """Else the reader's own preference holds, and the link to the other language keeps it."""
    dark, own = (RENDERER.page(a_page(), theme=theme) for theme in ("dark", ""))

    assert '<html lang="vi" data-theme="dark">' in dark
    assert 'href="?lang=en&amp;theme=dark"' in dark
    assert "data-theme" not in own
    assert 'href="?lang=en"' in own


def test_colour_is_never_alone():
    """Each tile, count and card of a state has a shape, and words beside it."""
    html = RENDERER.page(a_page())

    for piece in re.findall(
        r'<(?:li|span) class="(?:tile|state|incident) st-.*?</(?:li|span)>\n', html, re.DOTALL
    ):
        assert re.search(r'<use href="#s-\w+"/>', piece)
        assert re.search(r"[^\W\d_]{3,}", re.sub(r"<[^>]*>", "", piece))
    shapes = set(re.findall(r'<use href="#(s-\w+)"/>', html))
    assert shapes <= set(re.findall(r'<symbol id="(s-\w+)"', html))


def test_the_page_is_complete_without_script():
    """Ages are counted at the rendering, and the reader is told that nothing moves by itself."""
    html = RENDERER.page(a_page())

    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in html
    assert "<noscript>Trang không tự cập nhật: tải lại mỗi 5 giây.</noscript>" in html
    assert re.search(rf'id="t-{YPHU}".*?<i>mất\u00a0liên\u00a0lạc</i> <i[^>]*>6″</i>', html)
    assert re.search(r'id="age"[^>]*>1<small>&nbsp;giây</small>', html)


def test_names_from_the_inventory_are_text():
    """Whatever they contain: in the page, and in what is sent to it later."""
    here = a_province()
    sites = {
        code: changed(site, name=EVIL if code != TCOC else site.name)
        for code, site in here.sites.items()
    }
    systems = {
        key: changed(system, name=Text(vi=EVIL, en=EVIL), owner=EVIL)
        for key, system in here.systems.items()
    }
    checks = {
        key: changed(check, name=Text(vi=EVIL, en=EVIL)) for key, check in here.checks.items()
    }
    centre = Centre(
        changed(here, name=Text(vi=EVIL, en=EVIL), sites=sites, systems=systems, checks=checks)
    )
    centre.hear()
    page = centre.look(NOON + 10)
    html = RENDERER.page(page)
    message = RENDERER.whole(page)

    for text in (html, *message["parts"].values()):
        assert "<script>alert" not in text
        assert "49" not in re.sub(r"\d{3,}[\d.]*", "", text)
    assert {
        tag for tag, attrs in Tags(html).found if tag == "script" and "src" not in attrs
    } == set()
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5


def test_nothing_is_inline_and_nothing_is_outside():
    """The policy sent with the page allows neither."""
    tags = Tags(RENDERER.page(a_page())).found

    assert not [
        attrs
        for _, attrs in tags
        if "style" in attrs or any(name.startswith("on") for name in attrs)
    ]
    assert not [tag for tag, attrs in tags if tag in {"script", "style"} and "src" not in attrs]
    links = [
        attrs.get("href") or attrs.get("src") for tag, attrs in tags if tag in {"link", "script"}
    ]
    assert links
    assert all(link and link.startswith("/static/") for link in links)


def test_nothing_is_said_between_equal_pages():
    """Time alone changes no word."""
    centre = Centre()
    centre.hear()
    old = centre.look(NOON + 1)
    centre.hear(NOON + 2)

    assert RENDERER.changes(old, centre.look(NOON + 2)) == {}


def test_only_what_changed_is_said():
    """One place went silent: its tile, the counts and the words about it."""
    centre = Centre()
    centre.hear()
    old = centre.look(NOON + 1)
    centre.hear(NOON + 5, (TCOC, TCOC_TTPV, DC))
    new = centre.look(NOON + 6)

    message = RENDERER.changes(old, new)

    assert message["tiles"] == {YPHU: ("silent", "mất\u00a0liên\u00a0lạc", NOON)}
    assert set(message["parts"]) == {"say", "tally", "show-all", "group-0", "incidents", "systems"}
    assert message["worse"] == "Xã\u00a0Yên\u00a0Phú: mất\u00a0liên\u00a0lạc"
    assert message["title"] == "(1 chưa tiếp nhận) Phú Thọ: 1/2 thông suốt"
    assert "worse" not in RENDERER.changes(new, old)


def test_a_whole_message_says_all_that_a_page_shows():
    """Each part of the page by the same words, so that it brings any page up to date."""
    page = a_page()
    html = RENDERER.page(page)
    message = RENDERER.whole(page)

    assert set(message["parts"]) == set(re.findall(r'data-part="([\w-]+)"', html))
    for said in message["parts"].values():
        assert said in html
    assert set(message["tiles"]) == set(re.findall(r'id="t-([\w-]+)"', html))
    assert f'data-build="{message["build"]}"' in html


def test_many_at_once_are_not_read_out_one_by_one():
    """A screen reader hears three names and how many more."""
    here = a_province()
    sites = {f"0{n:04}": changed(here.sites[YPHU], id=f"0{n:04}", agents=()) for n in range(9)}
    centre = Centre(
        changed(
            here,
            sites=sites,
            subjects={},
            series_of_agent={},
            interval_of={},
            site_of_agent={},
            configs={},
        )
    )
    old = centre.look()
    group = old.groups[0]
    down = replace(
        group, tiles=tuple(replace(tile, state="down", word="hỏng LAN") for tile in group.tiles)
    )

    said = RENDERER.changes(old, replace(old, groups=(down,)))["worse"]

    assert said.count("hỏng LAN") == 3
    assert said.endswith("; và 6 nơi khác")


def test_another_build_is_what_messages_cannot_change():
    """Places, their names and order; not their states."""
    centre = Centre()
    calm = centre.look()
    centre.hear()
    group = calm.groups[0]
    renamed = replace(group, tiles=(replace(group.tiles[0], full="Xã Khác"), *group.tiles[1:]))

    assert RENDERER.build(centre.look(NOON + 9)) == RENDERER.build(calm)
    assert RENDERER.build(replace(calm, groups=(renamed, *calm.groups[1:]))) != RENDERER.build(calm)
    assert RENDERER.build(centre.look(NOON + 9, "en")) != RENDERER.build(calm)
