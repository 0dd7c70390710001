import pytest
from msgspec.structs import replace

from collector.export.shown import Ended, Shown
from collector.inventory.model import Series
from tests.collector.a_province import NOON, YPHU, a_province, a_push, gateway
from tests.collector.export.pages import measure
from tests.collector.state.fleets import a_fleet

GATEWAY = gateway(YPHU)
UP, RTT, CODE = b"success", b"rtt", b"code"


@pytest.fixture
def fleet():
    """Return a fleet that has just heard an attempt of the gateway's."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON)
    measure(fleet, GATEWAY)
    return fleet


def shown(names=(UP, RTT), at=NOON) -> Shown:
    """Return what has sent one attempt of the gateway's."""
    one = Shown()
    assert one.show(GATEWAY, at, names) is None
    return one


def test_a_number_that_an_attempt_lacks_has_ended():
    """A failed attempt has no status code: the one before it must not live on."""
    one = shown((UP, RTT, CODE))
    assert one.show(GATEWAY, NOON + 5, (UP,)) == Ended(GATEWAY, NOON + 5, (RTT, CODE), NOON)
    assert one.show(GATEWAY, NOON + 10, (UP,)) is None
    assert one.show(GATEWAY, NOON + 15, (UP, RTT)) is None


def test_an_attempt_that_could_not_be_made_ends_all():
    """The page drops them too."""
    assert shown().show(GATEWAY, NOON + 5, ()) == Ended(GATEWAY, NOON + 5, (UP, RTT), NOON)


def test_an_older_attempt_ends_nothing():
    """Over two lines batches overtake each other."""
    one = shown((UP, RTT))
    assert one.show(GATEWAY, NOON - 5, (UP, CODE)) is None
    assert one.show(GATEWAY, NOON + 5, (UP, RTT)) is None


def test_a_silent_agents_series_end_when_the_page_drops_them(fleet):
    """Once, and as of the moment it is found."""
    one = shown()
    assert list(one.gone(fleet, NOON + 1)) == []
    fleet.tick(NOON + 60)
    assert fleet.series[GATEWAY].measured is None
    assert list(one.gone(fleet, NOON + 60)) == [Ended(GATEWAY, NOON + 60, (UP, RTT), NOON)]
    assert list(one.gone(fleet, NOON + 61)) == []


def test_a_marker_comes_after_what_it_ends(fleet):
    """An agent's clock may be some seconds ahead; a marker before the last value ends nothing."""
    measure(fleet, GATEWAY, NOON + 8)
    one = shown(at=NOON + 8)
    fleet.tick(NOON + 60)
    assert [ended.at for ended in one.gone(fleet, NOON + 5)] == [NOON + 8.001]


def test_what_the_fleet_has_not_heard_yet_is_not_judged(fleet):
    """The journal may be read a moment before the fleet has the same sample."""
    fleet.tick(NOON + 60)
    one = shown(at=NOON + 59)
    assert list(one.gone(fleet, NOON + 60)) == []
    measure(fleet, GATEWAY, NOON + 59)
    assert list(one.gone(fleet, NOON + 60)) == []
    fleet.tick(NOON + 200)
    assert [ended.names for ended in one.gone(fleet, NOON + 200)] == [(UP, RTT)]


def test_an_attempt_that_only_the_fleet_has_ends_what_is_shown(fleet):
    """A sample whose time nobody vouches for is never sent, but it takes the page's line."""
    one = shown()
    assert list(one.gone(fleet, NOON + 1)) == []
    measure(fleet, GATEWAY, NOON + 2, error="no permission")
    assert [ended.names for ended in one.gone(fleet, NOON + 2)] == [(UP, RTT)]


def test_a_series_that_left_the_inventory_ends(fleet):
    """A check was taken out, or an agent."""
    one = shown()
    small = a_province([YPHU])
    fleet.reload(
        replace(
            small,
            subjects={s: site for s, site in small.subjects.items() if s != GATEWAY},
            series_of_agent={YPHU: tuple(s for s in small.series_of_agent[YPHU] if s != GATEWAY)},
        ),
        NOON + 1,
    )
    assert [ended.series for ended in one.gone(fleet, NOON + 1)] == [GATEWAY]

    stranger = Series("nobody", "gateway", "192.168.1.1", "")
    one.show(stranger, NOON, (UP,))
    assert [ended.series for ended in one.gone(fleet, NOON + 1)] == [stranger]


def test_what_could_not_be_told_is_told_again(fleet):
    """The receiver was away: as of the moment when it is told, and of all that was shown."""
    one = shown()
    fleet.tick(NOON + 60)
    (ended,) = one.gone(fleet, NOON + 60)
    one.restore(ended)
    assert list(one.gone(fleet, NOON + 90)) == [Ended(GATEWAY, NOON + 90, (UP, RTT), NOON)]

    one = shown((UP, RTT, CODE))
    one.restore(one.show(GATEWAY, NOON + 5, (UP,)))
    assert one.show(GATEWAY, NOON + 10, (UP,)) == Ended(GATEWAY, NOON + 10, (RTT, CODE), NOON + 5)
