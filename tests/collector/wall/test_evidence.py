"""The page of evidence: what, where, when, which line, and the way to it from the wall."""

from types import SimpleNamespace

import aiohttp
import pytest
from msgspec.structs import replace

from collector.diagnosis.evidence import Dossier, Evidence
from collector.wall.assets import Assets
from collector.wall.evidence import address_of, evidence_page
from collector.wall.locale import TEXTS
from collector.wall.render import Renderer
from tests.collector.a_province import DC, NOON, TCOC, YPHU, a_province, gateway
from tests.collector.diagnosis.test_evidence import an_incident, seen
from tests.collector.state.fleets import DOWN
from tests.collector.wall.looks import Centre, serving

FACTS = {
    "path": "icmp 192.168.1.1\n1-20 *",
    "last_good_path": "icmp 192.168.1.1\n1 192.168.1.1 0.4 0.5 answered",
    "last_good_age_seconds": "3600",
    "gateway": "192.168.1.1 eth0: no answer; arp incomplete",
    "lines": "vnpt: failing, last push 35 s ago: timeout\nviettel: ok, last push 1 s ago",
    "dns": "portal.test A\n192.168.1.1: no answer\n203.0.113.53: NXDOMAIN",
    "tls_chain": "2025-01-01T00:00:00Z 2025-06-30T17:00:00Z CN=portal.test <- CN=Test CA",
}

NONE = {
    "vi": "Không có bằng chứng. Đích nằm trên chính máy đo thì không được dò đường.\n",
    "en": "No evidence. Targets on the measuring PC itself are not traced.\n",
}


def shown(**changes) -> Evidence:
    """Return evidence with everything."""
    return seen(0, **{"line": "vnpt", "facts": FACTS, "detail": "in phase connect", **changes})


def a_page(*evidence, lang="vi", alike=(), incidents=(), chosen=""):
    """Return the page of these."""
    dossier = Dossier(list(evidence), list(alike), list(incidents))
    page = evidence_page(dossier, a_province(), lang, chosen=chosen)
    assert page is not None
    return page


def rows(page) -> dict[str, tuple[str, ...]]:
    """Return what a page tells, by name, with plain spaces."""
    return {
        row.name: tuple(line.replace("\u00a0", " ") for line in row.lines)
        for row in (*page.facts, *page.surroundings)
    }


def test_in_vietnamese():
    """Everything an engineer of the carrier asks for, in words and local time."""
    ended = an_incident(members=(an_incident().members[0],), closed_at=NOON + 600, sites=(YPHU,))
    ended = replace(ended, members=(replace(ended.members[0], series=shown().series),))
    page = a_page(shown(), incidents=[ended])

    assert page.title == "Bằng chứng: Kiểm tra gateway"
    assert page.place.replace("\u00a0", " ") == "Xã Yên Phú (05305)"
    assert page.verdict == "Không chặng nào trả lời, kể cả bộ định tuyến tại chỗ."
    assert (page.path_title, page.good_title) == (
        "Lúc hỏng: ICMP 192.168.1.1",
        "Lần tốt gần nhất: 11:00:00 01/07/2025",
    )
    assert rows(page) == {
        "Thời điểm": ("12:00:00 01/07/2025",),
        "Sự cố": ("từ 12:00:00 01/07/2025 đến 12:10:00 01/07/2025 (phu-tho-250701-001)",),
        "Đường truyền": ("vnpt · VNPT · ftth",),
        "Lỗi": ("hết thời gian chờ (ở bước kết nối)",),
        "Đích": ("192.168.1.1",),
        "Nơi đo": ("Xã Yên Phú (05305) · 05305",),
        "Bộ định tuyến tại chỗ": ("192.168.1.1 eth0: không trả lời; ARP không có ai nhận",),
        "Các đường truyền": (
            "vnpt: hỏng, lần gửi được gần nhất 35 giây trước: hết thời gian chờ",
            "viettel: tốt, lần gửi gần nhất 1 giây trước",
        ),
        "Phân giải tên miền": (
            "portal.test A",
            "192.168.1.1: không trả lời",
            "203.0.113.53: NXDOMAIN",
        ),
        "Chứng thư máy chủ đưa ra": (
            "CN=portal.test; CN=Test CA cấp; từ 07:00:00 01/01/2025 đến 00:00:00 01/07/2025",
        ),
    }


def test_in_english():
    """The same in the other language; an open incident has no end."""
    page = a_page(shown(line="4g"), lang="en", incidents=[an_incident(cause="site_silent")])

    told = rows(page)
    assert page.verdict == "No hop answers, not even the router on the spot."
    assert told["Line"] == ("4g",)
    assert told["Incident"] == (
        "Not reporting",
        "from 12:00:00 01/07/2025, not over (phu-tho-250701-001)",
    )
    assert told["Router on the spot"] == ("192.168.1.1 eth0: no answer; nobody answers ARP",)


@pytest.mark.parametrize(
    ("lang", "failure", "remark", "headline"),
    [
        (
            "vi",
            "trả lời sai giao thức (ở bước gửi yêu cầu)",
            "máy đo ghi: “found timeout, expected 200”",
            "Bộ định tuyến tại chỗ trả lời; sau nó không chặng nào trả lời.",
        ),
        (
            "en",
            "the answer does not follow its protocol (in phase request)",
            "the agent's words: “found timeout, expected 200”",
            "The router on the spot answers; behind it no hop does.",
        ),
    ],
)
def test_the_agents_own_words_stand_apart(lang, failure, remark, headline):
    """In a line of their own, as they are; and the headline agrees with what was found around."""
    told = a_page(
        shown(
            failure="malformed",
            detail="in phase request: found timeout, expected 200",
            facts={
                "path": "tcp 203.0.113.9 443\n1-20 *",
                "gateway": "192.168.1.1 enp3s0: answered in 0.0 ms; arp 02:00:5e:00:53:01",
            },
        ),
        lang=lang,
    )

    assert rows(told)[TEXTS[lang].evidence_facts["failure"]] == (failure, remark)
    assert told.verdict == headline


def test_what_is_not_known_is_not_said():
    """Without line, incident, good path or trust in the clock the page says just that."""
    page = a_page(shown(line="", trusted=False, facts={"path": "not measured: not permitted here"}))

    told = rows(page)
    assert page.verdict == "Không dò được đường đi."
    assert (page.steps, page.good_title) == ((), "")
    assert told["Thời điểm"] == ("12:00:00 01/07/2025 (giờ của máy chưa được xác nhận)",)
    assert told["Đường truyền"] == ("máy tự chọn đường",)
    assert told["Đường đi tới đích"] == ("không đo được: máy không cho phép",)
    assert "Sự cố" not in told
    assert a_page(shown(facts={})).verdict.startswith("Không có địa chỉ để dò đường")


def test_a_later_agents_words_do_no_harm():
    """Unknown failures, checks, places and broken numbers are shown as far as they can be."""
    odd = shown(
        agent="99999",
        site="99999",
        subject="99999",
        check="new",
        failure="new",
        facts={**FACTS, "last_good_age_seconds": "soon", "tls_chain": "2025-13-45Z x CN=a <- CN=b"},
    )
    page = a_page(odd)

    assert (page.title, page.place) == ("Bằng chứng: new", "99999")
    assert page.good_title == "Lần tốt gần nhất"
    assert rows(page)["Lỗi"] == ("lỗi chưa phân loại (ở bước kết nối)",)


def test_others_are_a_click_away():
    """Earlier evidence of the check, and what was seen elsewhere; the one asked for is shown."""
    page = a_page(
        shown(),
        shown(seq=9, at=NOON - 60),
        alike=[shown(agent=TCOC, site=TCOC, subject=TCOC)],
        chosen=f"{'b' * 32}.9.0",
    )

    assert rows(page)["Thời điểm"] == ("11:59:00 01/07/2025",)
    [earlier], [alike] = page.earlier, page.alike
    assert (earlier.url, earlier.text) == (
        f"/evidence/05305/gateway?id={'b' * 32}.1.0&lang=vi",
        "12:00:00 01/07/2025",
    )
    assert alike.url.startswith("/evidence/05293/gateway?")
    assert alike.text.replace("\u00a0", " ") == "Xã Thượng Cốc (05293), 12:00:00 01/07/2025"


def test_seen_from_elsewhere():
    """What a data centre saw names the place it is about."""
    told = rows(a_page(shown(agent=DC, site=DC)))

    assert told["Nơi bị ảnh hưởng"] == ("Xã Yên Phú (05305)",)


def test_nothing_an_agent_writes_is_html():
    """Texts from outside are text, in the page and in its addresses."""
    evil = "<script>alert(1)</script>"
    page = a_page(shown(target=evil, detail=evil, facts={"gateway": evil, "path": evil}))
    html = Renderer(Assets()).evidence(page)

    assert evil not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 4
    assert address_of('a/"b', "c?d", "vi") == "/evidence/a%2F%22b/c%3Fd?lang=vi"


@pytest.mark.parametrize(("at", "linked"), [(NOON + 1, True), (NOON - 500, False)])
def test_a_card_links_to_its_evidence(at, linked):
    """Only where there is evidence from this incident, not from an earlier one."""
    centre = Centre()
    centre.hear()
    centre.feed(gateway(YPHU), DOWN * 2)
    centre.evidence = SimpleNamespace(newest={(YPHU, "gateway"): at, (TCOC, "gateway"): NOON})
    page = centre.look(NOON + 2)

    [card] = page.cards
    assert card.evidence == ("/evidence/05305/gateway?lang=vi" if linked else "")
    html = Renderer(Assets()).page(page)
    assert ('<a href="/evidence/05305/gateway?lang=vi">Bằng chứng</a>' in html) is linked


async def test_served():
    """In the language asked for, guarded like every page; what there is none of is not found."""
    centre = Centre()
    centre.found = Dossier([shown()], [], [])
    async with serving(centre) as url, aiohttp.ClientSession(url) as session:
        async with session.get("/evidence/05305/gateway?lang=en&theme=light") as answer:
            page = await answer.text()
            assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        centre.found = Dossier([], [], [])
        async with session.get("/evidence/05305/gateway") as answer:
            assert (answer.status, await answer.text()) == (404, NONE["vi"])
        async with session.get("/evidence/05305/gateway?lang=en") as answer:
            assert (answer.status, await answer.text()) == (404, NONE["en"])

    assert '<html lang="en" data-theme="light">' in page
    assert "No hop answers" in page
    assert "<script" not in page
