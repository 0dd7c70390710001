from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from collector.wall import forms
from collector.wall.locale import TEXTS

VI, EN = TEXTS["vi"], TEXTS["en"]
ICT = ZoneInfo("Asia/Ho_Chi_Minh")
MINUTE, HOUR, DAY = 60, 3600, 86400
AGES = [
    # seconds, in full, in a tile, as a span, as a countdown
    (-3, "0 giây", "0″", "0 giây", "00:00:00"),
    (0.9, "0 giây", "0″", "0 giây", "00:00:00"),
    (1, "1 giây", "1″", "1 giây", "00:00:01"),
    (45.99, "45 giây", "45″", "45 giây", "00:00:45"),
    (60, "60 giây", "60″", "1 phút", "00:01:00"),
    (99.9, "99 giây", "99″", "1 phút", "00:01:39"),
    (100, "1 phút", "1′", "1 phút", "00:01:40"),
    (119.9, "1 phút", "1′", "1 phút", "00:01:59"),
    (120, "2 phút", "2′", "2 phút", "00:02:00"),
    (11 * MINUTE + 59, "11 phút", "11′", "11 phút", "00:11:59"),
    (99 * MINUTE + 59.9, "99 phút", "99′", "1 giờ 39 phút", "01:39:59"),
    (100 * MINUTE, "1 giờ 40 phút", "1h", "1 giờ 40 phút", "01:40:00"),
    (2 * HOUR, "2 giờ", "2h", "2 giờ 0 phút", "02:00:00"),
    (5 * HOUR + 12 * MINUTE + 8, "5 giờ 12 phút", "5h", "5 giờ 12 phút", "05:12:08"),
    (10 * HOUR - 1, "9 giờ 59 phút", "9h", "9 giờ 59 phút", "09:59:59"),
    (16 * HOUR + 20 * MINUTE, "16 giờ", "16h", "16 giờ 20 phút", "16:20:00"),
    (DAY - 1, "23 giờ", "23h", "23 giờ 59 phút", "23:59:59"),
    (2 * DAY - 1, "47 giờ", "47h", "1 ngày 23 giờ", "1 ngày 23 giờ"),
    (2 * DAY, "2 ngày", "2ng", "2 ngày 0 giờ", "2 ngày 0 giờ"),
    (2 * DAY + 14 * HOUR, "2 ngày", "2ng", "2 ngày 14 giờ", "2 ngày 14 giờ"),
    (400 * DAY, "400 ngày", "400ng", "400 ngày 0 giờ", "400 ngày 0 giờ"),
]


@pytest.mark.parametrize(("seconds", "age", "tile", "span", "countdown"), AGES)
def test_ages_are_cut_down_and_never_part(seconds, age, tile, span, countdown):
    """Every form is cut at its unit, and no line can end inside it."""
    assert forms.age(seconds, VI) == age.replace(" ", forms.NBSP)
    assert forms.tile_age(seconds, VI) == tile
    assert forms.span(seconds, VI) == span.replace(" ", forms.NBSP)
    assert forms.countdown(seconds, VI) == countdown.replace(" ", forms.NBSP)


@pytest.mark.parametrize(
    ("seconds", "age", "tile"),
    [
        (45, "45 s", "45″"),
        (660, "11 min", "11′"),
        (6000, "1 h 40 min", "1h"),
        (2 * DAY, "2 d", "2d"),
    ],
)
def test_english_ages_use_symbols(seconds, age, tile):
    """Symbols of units need no plural."""
    assert forms.age(seconds, EN) == age.replace(" ", forms.NBSP)
    assert forms.tile_age(seconds, EN) == tile


@pytest.mark.parametrize(
    ("value", "places", "vi", "en"),
    [
        (2217, 0, "2.217", "2,217"),
        (9.8, 1, "9,8", "9.8"),
        (0, 0, "0", "0"),
        (1234567.25, 2, "1.234.567,25", "1,234,567.25"),
        (-1000, 0, "-1.000", "-1,000"),
    ],
)
def test_numbers_wear_the_marks_of_their_language(value, places, vi, en):
    """Vietnamese has a decimal comma and a dot for thousands; English the other way round."""
    assert forms.number(value, VI, places=places) == vi
    assert forms.number(value, EN, places=places) == en


def test_per_cent_has_no_space():
    """The sign stands at the number."""
    assert forms.percent(0.9875, VI, places=2) == "98,75%"
    assert forms.percent(1, EN) == "100%"


@pytest.mark.parametrize(
    ("then", "written"),
    [
        ("2025-07-01T09:31:59", "09:31"),
        ("2025-06-30T16:20:00", "30/06\u00a016:20"),
        ("2025-07-02T00:00:00", "02/07\u00a000:00"),
        ("2024-12-31T23:59:59", "31/12/2024"),
    ],
)
def test_a_moment_is_as_short_as_it_can_be(then, written):
    """The day is added where it is another, and the year instead of the time."""
    now = datetime.fromisoformat("2025-07-01T09:42:18").replace(tzinfo=ICT).timestamp()
    at = datetime.fromisoformat(then).replace(tzinfo=ICT).timestamp()

    assert forms.moment(at, now, ICT) == written


def test_clock_and_date_are_local():
    """17:31 UTC is half past midnight of the next day in Việt Nam."""
    at = datetime.fromisoformat("2025-06-30T17:31:07+00:00").timestamp()

    assert forms.clock(at, ICT) == "00:31:07"
    assert forms.date(at, ICT, VI) == "Thứ Ba 01/07/2025"
    assert forms.date(at, ICT, EN) == "Tuesday 01/07/2025"


def test_plural_and_joined():
    """One form serves a language without plurals; names never part."""
    assert [forms.plural("place|places", n) for n in (0, 1, 2)] == ["places", "place", "places"]
    assert forms.plural("nơi", 2) == "nơi"
    assert forms.joined("Xã  Thượng Cốc") == "Xã\u00a0Thượng\u00a0Cốc"
