from datetime import datetime

import pytest
from msgspec.structs import replace

from collector.inventory.model import Profile, Series
from collector.wall.page import Group, Limits, Tile
from collector.wall.view import columns, limits
from tests.collector.a_province import DC, NOON, TCOC, TCOC_TTPV, YPHU, a_province, a_push, gateway
from tests.collector.wall.looks import AGENTS, Centre, tiles, with_phase, words

ROUTERS = [gateway(TCOC, f"192.168.1.{n}") for n in (1, 2)] + [
    gateway(TCOC_TTPV, f"192.168.1.{n}") for n in (1, 2)
]


def silent_and_broken() -> Centre:
    """Return a province where Yên Phú is silent and Thượng Cốc has lost its LAN."""
    centre = Centre()
    centre.hear()
    centre.hear(NOON + 5, (TCOC, TCOC_TTPV, DC))
    for series in ROUTERS:
        centre.feed(series, "dd", NOON + 4)
    for agent in (TCOC, TCOC_TTPV):  # some of it gets through: no rule knows why
        centre.feed(Series(agent, "tthc", "https://tthc.example/", ""), "u", NOON + 5)
    return centre


def test_nobody_has_reported():
    """Who never reported is a state of its own: neither fine nor broken."""
    page = Centre().look()

    assert words(page) == "Chưa có xã, phường nào báo cáo."
    assert tiles(page)[YPHU] == ("never", "chưa báo cáo")
    assert [(count.state, count.n) for count in page.tally] == [
        ("ok", 0),
        ("silent", 0),
        ("down", 0),
        ("degraded", 0),
        ("never", 2),
    ]
    assert page.heard is None
    assert page.groups[0].count == "0/2 ổn định"


def test_all_well():
    """The number of communes comes before anything else; other places are not counted with them."""
    centre = Centre()
    centre.hear()

    page = centre.look(NOON + 1)

    assert words(page) == "2/2 xã, phường thông suốt."
    assert page.proof == "Không có sự cố đang mở."
    assert page.title == "Phú Thọ: 2/2 thông suốt"
    assert page.heard == NOON
    assert set(tiles(page).values()) == {("ok", "ổn định")}
    assert (page.cards, page.more_on_wall) == ((), "")
    assert words(centre.look(NOON + 1, "en")) == "2/2 communes and wards run smoothly."


def test_one_that_never_reported_is_not_counted_as_fine():
    """1/2 is fine, and the other is named by its own word."""
    centre = Centre()
    centre.hear(agents=[YPHU])

    page = centre.look()

    assert words(page) == "1/2 xã, phường ổn định."
    assert page.proof == "1\u00a0chưa\u00a0báo\u00a0cáo."
    assert page.cards == ()


def test_silent_and_broken_places():
    """Each wears its state, its word and the moment its age counts from."""
    page = silent_and_broken().look(NOON + 6)

    assert tiles(page)[YPHU] == ("silent", "mất liên lạc")
    assert tiles(page)[TCOC] == ("down", "hỏng LAN")
    assert {tile.id: tile.since for group in page.groups for tile in group.tiles} == {
        TCOC: NOON + 4,
        YPHU: NOON,
        DC: None,
    }
    assert page.title == "(2 chưa tiếp nhận) Phú Thọ: 0/2 thông suốt"
    assert page.incidents_title == "2 sự cố đang mở"
    assert tiles(silent_and_broken().look(NOON + 6, "en"))[TCOC] == ("down", "LAN down")


def test_cards_say_what_where_why_and_who():
    """In both languages, the newest marked, none acknowledged yet."""
    vi, en = (silent_and_broken().look(NOON + 6, lang) for lang in ("vi", "en"))

    assert [
        (
            card.state,
            card.what.replace("\u00a0", " "),
            card.scope.replace("\u00a0", " "),
            card.owner,
        )
        for card in vi.cards
    ] == [
        ("silent", "Xã Yên Phú mất liên lạc", "Chưa rõ vì sao: điện, máy hay đường truyền", ""),
        (
            "down",
            "Xã Thượng Cốc hỏng mạng LAN",
            "Kiểm tra gateway: hết thời gian chờ",
            "UBND xã",
        ),
    ]
    assert [(card.since, card.at, card.last) for card in vi.cards] == [
        (NOON, "12:00", ""),
        (NOON + 4, "12:00", ""),
    ]
    assert [
        (card.what.replace("\u00a0", " "), card.scope.replace("\u00a0", " ")) for card in en.cards
    ] == [
        ("Yên Phú commune not reporting", "Cause not known: power, PC or line"),
        ("Thượng Cốc commune: LAN down", "Check gateway: timed out"),
    ]


def test_the_newest_card_is_the_one_opened_last():
    """However long ago its trouble began."""
    centre = silent_and_broken()
    centre.look(NOON + 6)
    centre.hear(NOON + 7)
    for series in ROUTERS:
        centre.feed(series, "dd", NOON + 6)
    centre.look(NOON + 8)
    centre.hear(NOON + 14, (YPHU, TCOC, TCOC_TTPV))

    page = centre.look(NOON + 16)

    assert [(card.what.replace("\u00a0", " "), card.newest) for card in page.cards] == [
        ("Xã Thượng Cốc hỏng mạng LAN", False),
        ("Trung tâm dữ liệu tỉnh mất liên lạc", True),
    ]


def test_closed_for_the_day():
    """An office that said good-bye shows when, without an age, and is no trouble."""
    centre = Centre()
    centre.hear()
    for agent in (TCOC, TCOC_TTPV):
        centre.fleet.heard(agent, a_push(agent, bye="shutdown"), NOON + 60)

    page = centre.look(NOON + 61)

    assert tiles(page)[TCOC] == ("closed", "hết giờ 12:01")


def test_after_hours_is_not_an_outage():
    """Where all who are not fine are closed, the sentence says so."""
    centre = Centre()
    centre.hear(agents=[DC])
    for agent in (TCOC, TCOC_TTPV, YPHU):
        centre.fleet.heard(agent, a_push(agent, bye="shutdown"), NOON)

    page = centre.look(NOON + 1)

    assert words(page) == "Ngoài giờ làm việc: 2 nơi đã tắt máy, 0 nơi còn mở đều ổn định."


def test_loading_is_said_instead_of_a_verdict():
    """Right after a start nothing is claimed."""
    page = Centre().look(loading=True)

    assert words(page).startswith("Máy chủ vừa khởi động")
    assert page.proof == ""


@pytest.mark.parametrize(
    ("now", "text", "ahead"),
    [
        ("2025-06-28T10:00", "bắt đầu 01/07\u00a000:00, còn ", True),
        ("2025-07-01T09:42", "từ 00:00, đã chạy ", False),
        ("2025-07-02T09:42", "từ 01/07\u00a000:00, đã chạy ", False),
    ],
)
def test_the_phase_that_is_on_or_comes_next(now, text, ahead):
    """With a moment to count from or to."""
    centre = Centre(with_phase("2025-07-01T00:00", "2025-07-03T00:00"))
    zone = centre.fleet.inventory.time_zone
    page = centre.look(datetime.fromisoformat(now).replace(tzinfo=zone).timestamp())

    assert page.phase is not None
    assert (page.phase.name, page.phase.before, page.phase.ahead) == (
        "Vận hành chính thức",
        text,
        ahead,
    )


def test_no_phase_is_left():
    """After the last one nothing is said."""
    assert Centre(with_phase("2025-01-01T00:00", "2025-01-03T00:00")).look().phase is None


@pytest.mark.parametrize(
    ("batch_seconds", "late", "lost"),
    [(1.0, 3, 10), (0.5, 3, 10), (5.0, 15, 50), (10.0, 30, 60), (60.0, 30, 60)],
)
def test_patience_follows_the_profile(batch_seconds, late, lost):
    """Fast: 3 s and 10 s; calm: 30 s and 60 s."""
    profile = Profile(batch_seconds=batch_seconds, silent_after_seconds=35.0)

    assert limits(profile) == Limits(late, lost)


def test_groups_stand_in_the_order_of_the_file():
    """By former province where there are several, all that are no communes last."""
    here = a_province()
    sites = dict(here.sites)
    sites[TCOC] = replace(sites[TCOC], former_province="Vĩnh Phúc")
    centre = Centre(replace(here, sites=sites))

    assert [(group.title, group.note, group.wide) for group in centre.look().groups] == [
        ("Vĩnh Phúc", "(cũ)", False),
        ("Hòa Bình", "(cũ)", False),
        ("Nơi khác", "", True),
    ]
    assert [group.title for group in Centre().look(lang="en").groups] == [
        "Communes",
        "Other places",
    ]


def test_tiles_have_short_names_and_full_ones():
    """Wards keep a letter for their kind; what is no commune is abbreviated."""
    here = a_province()
    sites = dict(here.sites)
    sites[TCOC] = replace(sites[TCOC], name="Phường Phong Châu", kind="phường")
    sites[YPHU] = replace(sites[YPHU], name="Xã Yên Phú")
    centre = Centre(replace(here, sites=sites))

    def names(lang: str) -> list[tuple[str, ...]]:
        return [
            tuple(name.replace("\u00a0", " ") for name in (tile.short, tile.roomy, tile.full))
            for group in centre.look(lang=lang).groups
            for tile in group.tiles
        ]

    assert names("vi") == [
        ("P. Phong Châu", "Phường Phong Châu", "Phường Phong Châu"),
        ("Yên Phú", "Xã Yên Phú", "Xã Yên Phú"),
        ("TT dữ liệu tỉnh", "TT dữ liệu tỉnh", "Trung tâm dữ liệu tỉnh"),
    ]
    assert names("en")[:2] == [
        ("Phong Châu W.", "Phong Châu ward", "Phong Châu ward"),
        ("Yên Phú", "Yên Phú commune", "Yên Phú commune"),
    ]


def _group(n: int, *, wide: bool = False) -> Group:
    tile = Tile(id="1", short="", roomy="", full="", state="ok", word="", since=None)
    return Group(title="", note="", count="", tiles=(tile,) * n, wide=wide)


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [((66, 36, 46), 10), ((166,), 10), ((166, 2), 11), ((180,), 11), ((240,), None)],
)
def test_columns_are_as_many_as_the_wall_needs(sizes, wanted):
    """Ten where 17 rows hold the tiles and their titles, else eleven, else the page scrolls."""
    *communes, last = [_group(n) for n in sizes]
    if sizes[-1] == 2:
        last = _group(2, wide=True)

    assert columns([*communes, last]) == wanted


def test_agents_of_the_small_province():
    """Every agent of the test's province is heard by `hear`."""
    assert set(AGENTS) == set(a_province().site_of_agent)
