from itertools import pairwise

import pytest

from collector.inventory.model import Series
from collector.wall.systems import bars, system_counts
from tests.collector.a_province import DC, NOON, TCOC, TCOC_TTPV, YPHU, gateway
from tests.collector.wall.looks import Centre


def counts(centre: Centre) -> dict[str, tuple[int, int, bool]]:
    """Return good places, all places and whether it fails, by system."""
    fleet = centre.fleet
    return {
        count.name.replace("\u00a0", " "): (count.good, count.of, count.failing)
        for count in system_counts(fleet.inventory, fleet.series, fleet.agents, "vi")
    }


def test_unknown_is_not_good():
    """Before the first attempts nothing is counted as working, and nothing as failing."""
    centre = Centre()
    centre.hear()

    assert counts(centre) == {
        "Mạng LAN": (0, 2, False),
        "Internet": (0, 2, False),
        "Hệ thống TTHC": (0, 2, False),
        "Cổng DVC quốc gia": (0, 2, False),
    }


def test_a_place_counts_once_however_many_series_it_has():
    """Some up and some down is degraded: not good, and not down."""
    centre = Centre()
    centre.hear()
    for agent in (TCOC, TCOC_TTPV, YPHU):
        for target in ("192.168.1.1", "192.168.1.2"):
            centre.feed(gateway(agent, target), "uu")
    centre.feed(gateway(TCOC), "dd", NOON + 2)

    assert counts(centre)["Mạng LAN"] == (1, 2, True)


def test_who_fails_comes_first_else_the_order_of_the_files():
    """What is wrong must not wait behind what is fine."""
    centre = Centre()
    centre.hear()
    centre.feed(Series(YPHU, "dvcqg", "https://dvcqg.example/", ""), "dd")

    assert list(counts(centre)) == ["Cổng DVC quốc gia", "Mạng LAN", "Internet", "Hệ thống TTHC"]


def test_what_a_silent_agent_last_said_is_unknown():
    """Its series may be fresh for seconds more; the data centre's view of the place stays."""
    centre = Centre()
    centre.hear()
    centre.feed(gateway(YPHU), "uu")
    centre.feed(Series(DC, "web", "https://05305.example/", ""), "uu")
    assert counts(centre)["Mạng LAN"][0] == 1

    centre.hear(NOON + 5, [DC])
    centre.look(NOON + 6)

    assert counts(centre)["Mạng LAN"] == (0, 2, False)
    assert counts(centre)["Hệ thống TTHC"] == (1, 2, False)


@pytest.mark.parametrize(
    "counted",
    [
        {"ok": 148, "degraded": 0, "down": 0, "silent": 0},
        {"ok": 165, "degraded": 0, "down": 1, "silent": 0},
        {"ok": 1, "degraded": 1, "down": 1, "silent": 163},
        {"ok": 0, "degraded": 0, "down": 0, "silent": 1},
    ],
)
def test_no_part_of_a_meter_is_too_small_to_be_seen(counted):
    """The parts fill it, do not overlap, and one place of 166 still shows."""
    parts = bars(counted)

    assert [part.state for part in parts] == [state for state, n in counted.items() if n]
    assert all(part.width >= 1.2 for part in parts)
    assert all(one.x + one.width <= other.x for one, other in pairwise(parts))
    assert parts[0].x == 0
    assert parts[-1].x + parts[-1].width == pytest.approx(100)
