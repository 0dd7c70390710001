"""Numbers, times and ages as people read them. Pure; `static/wall.js` has the same ages.

Ages are cut down, never rounded up: a page never claims more time than has passed. A number and
its unit, and the words of a name, are joined by no-break spaces.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from collector.wall.locale.texts import Texts

NBSP = "\u00a0"
MINUTE, HOUR, DAY = 60, 3600, 86400


def joined(name: str) -> str:
    """Return a name that does not part at the end of a line."""
    return NBSP.join(name.split())


def plural(text: str, n: int) -> str:
    """Return the form of a text for a count: before `|` for one, behind it for any other."""
    one, _, many = text.partition("|")
    return one if n == 1 else many or one


def number(value: float, texts: Texts, *, places: int = 0) -> str:
    """Write a number with the language's marks: `2.217`, `9,8`."""
    plain = f"{value:,.{places}f}"
    marks = {",": texts.thousands_mark, ".": texts.decimal_mark}
    return "".join(marks.get(sign, sign) for sign in plain)


def percent(ratio: float, texts: Texts, *, places: int = 0) -> str:
    """Write a ratio in per cent, the sign without a space: `98,75%`."""
    return number(ratio * 100, texts, places=places) + "%"


def age_parts(seconds: float, texts: Texts) -> tuple[tuple[int, str], ...]:
    """Cut an age into numbers and units.

    Seconds up to 99, minutes up to 99, hours (below 10 with minutes) up to 47, then days.
    """
    whole = max(0, int(seconds))
    second, minute, hour, day = texts.units
    if whole < 100:
        return ((whole, second),)
    if whole < 100 * MINUTE:
        return ((whole // MINUTE, minute),)
    if whole >= 2 * DAY:
        return ((whole // DAY, day),)
    hours, minutes = whole // HOUR, whole % HOUR // MINUTE
    if hours < 10 and minutes:
        return ((hours, hour), (minutes, minute))
    return ((hours, hour),)


def age(seconds: float, texts: Texts) -> str:
    """Write an age: `45 giây`, `11 phút`, `1 giờ 40 phút`, `2 ngày`."""
    return _together(age_parts(seconds, texts))


def tile_age(seconds: float, texts: Texts) -> str:
    """Write an age as a tile does: `45″`, `11′`, `2h`, `3ng`."""
    count, unit = age_parts(seconds, texts)[0]
    return f"{count}{texts.short_units[texts.units.index(unit)]}"


def span(seconds: float, texts: Texts) -> str:
    """Write a long time by its two largest units: `42 phút`, `9 giờ 42 phút`, `2 ngày 14 giờ`."""
    whole = max(0, int(seconds))
    second, minute, hour, day = texts.units
    if whole < MINUTE:
        return _together(((whole, second),))
    if whole < HOUR:
        return _together(((whole // MINUTE, minute),))
    if whole < DAY:
        return _together(((whole // HOUR, hour), (whole % HOUR // MINUTE, minute)))
    return _together(((whole // DAY, day), (whole % DAY // HOUR, hour)))


def countdown(seconds: float, texts: Texts) -> str:
    """Write what is left: `2 ngày 14 giờ`, on the last day `05:12:08`."""
    whole = max(0, int(seconds))
    if whole >= DAY:
        return span(whole, texts)
    return f"{whole // HOUR:02}:{whole % HOUR // MINUTE:02}:{whole % MINUTE:02}"


def clock(at: float, zone: ZoneInfo) -> str:
    """Write the time of day to the second: `09:31:07`."""
    return f"{datetime.fromtimestamp(at, zone):%H:%M:%S}"


def moment(at: float, now: float, zone: ZoneInfo) -> str:
    """Write when something was: `09:31`, another day `30/06 16:20`, another year `30/06/2025`."""
    then, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    if then.year != today.year:
        return f"{then:%d/%m/%Y}"
    if then.date() != today.date():
        return f"{then:%d/%m}{NBSP}{then:%H:%M}"
    return f"{then:%H:%M}"


def date(now: float, zone: ZoneInfo, texts: Texts) -> str:
    """Write a day with its name: `Thứ Ba 01/07/2025`."""
    today = datetime.fromtimestamp(now, zone)
    return f"{texts.weekdays[today.weekday()]} {today:%d/%m/%Y}"


def _together(parts: tuple[tuple[int, str], ...]) -> str:
    return NBSP.join(f"{count}{NBSP}{unit}" for count, unit in parts)
