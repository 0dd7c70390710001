from datetime import datetime, time

import pytest
from msgspec.structs import replace

from collector.duty.maintenance import covering, in_force
from collector.inventory.model import Text, Window
from tests.collector.a_province import DC, NOON, TCOC, YPHU, a_province
from tests.collector.duty.incidents import an_incident, on_lines

HERE = a_province()
NAME = Text(vi="Sửa cáp", en="Cable work")


def at(text: str) -> float:
    """Return a moment of the province's time."""
    return datetime.fromisoformat(text).replace(tzinfo=HERE.time_zone).timestamp()


def a_window(**said) -> Window:
    """Return a window that is on all Tuesday, the day of NOON."""
    return Window(
        **{"id": "w", "name": NAME, "days": ("tue",), "span": (time(0), time(23, 59))} | said
    )


@pytest.mark.parametrize(
    ("moment", "on"),
    [
        ("2025-06-28 21:59:59", False),
        ("2025-06-28 22:00", True),  # a Saturday
        ("2025-06-29 01:59:59", True),
        ("2025-06-29 02:00", False),
        ("2025-06-29 22:00", False),
        ("2025-06-28 01:00", False),  # Friday's night is not meant
        ("2025-07-05 23:00", True),
    ],
)
def test_a_span_over_midnight_belongs_to_the_day_it_begins_on(moment, on):
    """To the second, week after week."""
    assert in_force(a_window(days=("sat",), span=(time(22), time(2))), HERE, at(moment)) is on


@pytest.mark.parametrize(
    ("moment", "on"),
    [
        ("2025-07-01 11:59:59", False),
        ("2025-07-01 12:00", True),
        ("2025-07-01 12:59:59", True),
        ("2025-07-01 13:00", False),
        ("2025-07-02 12:30", False),
    ],
)
def test_once_is_once(moment, on):
    """The end is not included."""
    zone = HERE.time_zone
    once = a_window(
        days=(),
        span=None,
        begins=datetime(2025, 7, 1, 12, tzinfo=zone),
        ends=datetime(2025, 7, 1, 13, tzinfo=zone),
    )

    assert in_force(once, HERE, at(moment)) is on


@pytest.mark.parametrize(
    ("window", "incident", "covered"),
    [
        ({"sites": (YPHU,)}, {}, True),
        ({"sites": (YPHU,)}, {"sites": (YPHU, TCOC)}, False),  # one place outside
        ({"sites": (YPHU, TCOC)}, {"sites": (YPHU, TCOC)}, True),
        ({"sites": (TCOC,)}, {}, False),
        ({"areas": ("Hòa Bình",)}, {"sites": (YPHU, TCOC)}, True),
        ({"areas": ("Vĩnh Phúc",)}, {}, False),
        ({"systems": ("lan",)}, {}, True),
        ({"systems": ("lan",)}, {"system": ""}, True),  # its check's
        ({"systems": ("tthc",)}, {}, False),
        ({"systems": ("lan",), "sites": (TCOC,)}, {}, False),  # both keys must be met
        ({"systems": ("lan",)}, {"cause": "site_silent", "system": "", "check": ""}, False),
        ({"carriers": ("vnpt",)}, {"carrier": "vnpt"}, True),
        ({"carriers": ("vnpt",)}, {"carrier": "viettel"}, False),
        ({"carriers": ("vnpt",)}, {}, False),
        ({"carriers": ("vnpt",)}, {"cause": "site_silent"}, True),  # its only line
        ({"carriers": ("vnpt",)}, {"cause": "site_silent", "sites": (TCOC,)}, False),  # one of two
        ({"carriers": ("vnpt", "viettel")}, {"cause": "site_silent", "sites": (TCOC,)}, True),
        ({"carriers": ("vnpt",)}, {"cause": "line_down", "line": "vnpt", "sites": (TCOC,)}, True),
        ({"lines": ("vnpt",)}, {"cause": "line_down", "line": "vnpt", "sites": (TCOC,)}, True),
        ({"lines": ("vnpt",)}, {"cause": "line_down", "line": "viettel", "sites": (TCOC,)}, False),
        ({"lines": ("vnpt",)}, {"sites": (TCOC,), "members": on_lines("vnpt")}, True),
        ({"lines": ("vnpt",)}, {"sites": (TCOC,), "members": on_lines("vnpt", "viettel")}, False),
        ({"lines": ("vnpt",)}, {"sites": (TCOC,), "members": on_lines("vnpt", "")}, False),
        ({"lines": ("vnpt",)}, {"cause": "site_silent", "sites": (DC,)}, True),
        ({"sites": ("gone",)}, {"sites": ("gone",)}, False),  # left the inventory
    ],
)
def test_a_window_covers_an_incident_whole_or_not(window, incident, covered):
    """Every key named, every place meant; a silence is about all lines of its place."""
    here = replace(HERE, maintenance=(a_window(**window),))

    found = covering(here, an_incident(**incident), NOON)

    assert (found is not None) is covered


def test_the_first_window_in_force_is_named():
    """Others do not count, nor do those that are over."""
    over, first, second = (
        a_window(id="over", days=("mon",), sites=(YPHU,)),
        a_window(id="first", sites=(YPHU,)),
        a_window(id="second", systems=("lan",)),
    )

    assert covering(replace(HERE, maintenance=(over, first, second)), an_incident(), NOON) == first
    assert covering(replace(HERE, maintenance=(over,)), an_incident(), NOON) is None
