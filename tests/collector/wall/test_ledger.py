"""The ledger's pages: the whole province and one place, in words."""

from types import SimpleNamespace

import aiohttp
import pytest

from agent.wire import Ranges
from collector.state.accounts import Boot, account
from collector.state.gaps import CAUSES, Gap
from collector.state.ledger import AgentLedger, CheckLedger, SiteLedger, site_ledger
from collector.wall.assets import Assets
from collector.wall.ledger import address_of, province_page, site_page
from collector.wall.locale import TEXTS
from collector.wall.render import Renderer
from tests.collector.a_province import NOON, TCOC, YPHU, a_province
from tests.collector.wall.looks import Centre, serving

DAY = 86_400.0


def a_ledger(site: str = TCOC, **changes) -> SiteLedger:
    """Return a day's ledger of one agent."""
    boot = Boot(
        boot="0123456789abcdef" * 2,
        sealed=100,
        stored=Ranges([(1, 90)]),
        pending=Ranges([(91, 98)]),
        losses={"dropped": Ranges([(99, 100)])},
    )
    fields = {
        "agent": site,
        "begin": NOON - DAY,
        "end": NOON,
        "accounts": [account(boot)],
        "repeated": 0,
        "gaps": [
            Gap(begin=NOON - 9 * 3600, end=NOON - 3600, cause="pc_off", announced=True),
            Gap(begin=NOON - 3600, end=NOON, cause="pending", batches=8),
        ],
        "checks": [
            CheckLedger(
                check="gateway",
                expected=8_640,
                made=5_760,
                stored=5_400,
                runs=5_400,
                lost=360,
                missing={"pending": 360, "pc_off": 2_880},
            ),
            CheckLedger(check="vc", expected=None, made=3, stored=3, runs=3, missing={}),
        ],
    }
    agent = AgentLedger(**{**fields, **changes})
    return site_ledger(site, (agent.begin, agent.end), [agent])


def complete(site: str = YPHU) -> SiteLedger:
    """Return a ledger that lacks nothing."""
    boot = Boot(boot="ab" * 16, sealed=9, stored=Ranges([(1, 9)]), pending=Ranges(), losses={})
    done = CheckLedger(check="gateway", expected=9, made=9, stored=9, runs=9, missing={})
    return a_ledger(site, accounts=[account(boot)], gaps=[], checks=[done])


def rows(table) -> list[list[str]]:
    """Return a table's texts, with plain spaces."""
    return [[cell.text.replace("\u00a0", " ") for cell in row] for row in table.rows]


def test_one_place_in_vietnamese():
    """What is stored, what is missing and why, and where each batch is."""
    page = site_page(a_ledger(), a_province(), "vi")
    assert page.title == "Sổ đối chiếu số liệu đo"
    assert page.verdict == "Đã lưu 62,50% số lượt phải đo (5.400 trên 8.640)."
    assert page.proofs == (
        "Không có gì lưu hai lần.",
        "Không có gói số liệu nào thất lạc mà không rõ nguyên nhân.",
        "8 gói còn chờ ở máy trạm.",
    )
    assert page.state == "degraded"
    gaps, checks, batches = page.tables
    assert [row[2:] for row in rows(gaps)] == [
        ["1 giờ 0 phút", "còn chờ trên đĩa của máy trạm", "8"],
        ["8 giờ 0 phút", "máy tắt (có báo trước)", ""],
    ]
    assert rows(checks)[0][1:] == [
        "8.640",
        "5.400",
        "62,50%",
        "máy tắt: 2.880; còn chờ trên đĩa của máy trạm: 360",
        "5.760",
        "5.400",
        "360",
        "0",
    ]
    assert rows(checks)[1][:4] == ["vc", "theo lượt được cấp", "3", ""]
    assert rows(batches) == [[TCOC, "01234567", "100", "90", "8", "2", "0", "0", "0", "0"]]


def test_the_province_begins_with_what_is_worst():
    """A place whose batches nobody can account for stands above one that only lacks some."""
    lost = Boot(boot="c" * 32, sealed=5, stored=Ranges([(1, 4)]), pending=Ranges(), losses={})
    unknown = a_ledger("05305", accounts=[account(lost)])
    page = province_page([complete("dc"), a_ledger(), unknown], a_province(), "en")
    assert [row[-1] for row in rows(page.tables[0])] == ["1", "0", "0"]
    assert rows(page.tables[0])[2][3] == "100%"
    assert (page.state, page.proofs[1]) == ("down", "The fate of 1 batch is not known.")
    assert page.tables[0].rows[1][0].link == address_of(TCOC, "en")


def test_a_hundred_per_cent_is_said_of_everything_only():
    """Shares are cut: 99.999 % is not all."""
    almost = CheckLedger(check="gateway", expected=100_000, runs=99_999, missing={"busy": 1})
    page = site_page(a_ledger(checks=[almost]), a_province(), "en")
    assert page.verdict.startswith("99.99% ")
    whole = site_page(complete(), a_province(), "en")
    assert whole.verdict.startswith("100% ")
    assert (whole.state, whole.tables[0].empty) == ("ok", "There are no gaps.")


def test_nothing_to_account_for():
    """Before the first batch there is nothing to be proud of, and nothing to fear."""
    page = province_page([], a_province(), "vi")
    assert (page.verdict, page.state) == ("Chưa có lượt đo nào để đối chiếu.", "ok")


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_every_cause_has_its_words(lang):
    """A cause without words could not be told."""
    assert tuple(TEXTS[lang].ledger_causes) == CAUSES


def test_what_is_written_is_escaped():
    """Ids come from files and PCs."""
    one = CheckLedger(check="<script>", expected=None, missing={})
    text = Renderer(Assets()).ledger(site_page(a_ledger(checks=[one]), a_province(), "vi"))
    assert "&lt;script&gt;" in text
    assert "<script>" not in text


async def test_the_pages_are_served():
    """The province, one place, and none that does not exist; linked from the wall."""
    centre = Centre()
    asked: list[str] = []

    async def one(site: str) -> SiteLedger | None:
        asked.append(site)
        return a_ledger(site) if site == TCOC else None

    async def refresh() -> list[SiteLedger]:
        asked.append("all")
        return [a_ledger(), complete()]

    centre.ledgers = SimpleNamespace(sites=(), one=one, refresh=refresh)
    async with serving(centre) as url, aiohttp.ClientSession(url) as session:

        async def get(path: str) -> str:
            async with session.get(path, raise_for_status=True) as answer:
                assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
                return await answer.text()

        assert f'href="{address_of("", "vi")}"' in await get("/")
        assert f'href="{address_of(TCOC, "vi")}"' in await get("/ledger")
        assert "máy tắt" in await get(f"/ledger/{TCOC}")
        assert "the PC was off" in await get(f"/ledger/{TCOC}?lang=en")
        with pytest.raises(aiohttp.ClientResponseError, match="404"):
            await get("/ledger/99999")
    assert asked == ["all", TCOC, TCOC, "99999"]
