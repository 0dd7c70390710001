import pytest
from msgspec.structs import asdict

from collector.inventory.model import Series
from tests.collector.a_province import (
    DC,
    NOON,
    TCOC,
    TCOC_TTPV,
    YPHU,
    a_province,
    a_push,
    gateway,
    with_systems,
)
from tests.collector.state.fleets import a_fleet, feed, tiles

GATEWAY = gateway(YPHU)


def test_a_site_is_heard_when_any_of_its_agents_is():
    """One building of two silent: the site is degraded, not silent; both: silent."""
    fleet = a_fleet()
    fleet.heard(TCOC, a_push(TCOC), NOON)
    fleet.heard(TCOC_TTPV, a_push(TCOC_TTPV), NOON)
    fleet.heard(TCOC, a_push(TCOC), NOON + 4)

    fleet.tick(NOON + 5)
    assert (fleet.sites[TCOC].state, fleet.sites[TCOC].contact) == ("degraded", "live")
    fleet.tick(NOON + 9)

    assert fleet.sites[TCOC].state == "silent"
    assert fleet.sites[TCOC].since == NOON + 4


@pytest.mark.parametrize(
    ("down", "tile"),
    [
        (["gateway"], "down"),
        (["internet"], "down"),
        (["dns"], "degraded"),
        (["tthc"], "ok"),
        (["dvcqg"], "ok"),
        (["tthc", "dvcqg", "dns", "gateway"], "down"),
    ],
)
def test_a_tile_is_coloured_by_the_sites_own_checks(down, tile):
    """A layer below the services is down, another is degraded, other people's systems are neither."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON + 1)
    for series in fleet.inventory.series_of_agent[YPHU]:
        feed(fleet, series, "dd" if series.check in down else "u")

    assert tile == fleet.sites[YPHU].state


def test_a_check_that_fails_in_part_degrades():
    """One line of two, or one target of two, is not the loss of the place."""
    fleet = a_fleet()
    fleet.heard(TCOC, a_push(TCOC), NOON)
    feed(fleet, Series(TCOC, "internet", "anchor.example", "vnpt"), "dd")
    assert fleet.sites[TCOC].state == "down"  # of the other line nothing is known yet

    feed(fleet, Series(TCOC, "internet", "anchor.example", "viettel"), "u")

    assert fleet.sites[TCOC].state == "degraded"


def test_a_system_of_wider_scope_never_colours():
    """Even a layer below the services, when its system is central."""
    fleet = a_fleet(with_systems(a_province(), lan="central"))
    fleet.heard(YPHU, a_push(YPHU), NOON)

    feed(fleet, GATEWAY, "dd")

    assert fleet.sites[YPHU].state == "ok"


def test_a_check_seen_from_elsewhere_speaks_about_its_subject():
    """The data centre's probe of a commune's web site belongs to the commune."""
    fleet = a_fleet(with_systems(a_province(), tthc="site"))
    fleet.heard(YPHU, a_push(YPHU), NOON)
    fleet.heard(DC, a_push(DC), NOON)

    feed(fleet, Series(DC, "web", f"https://{YPHU}.example/", ""), "dd")

    assert tiles(fleet) == {TCOC: "never", YPHU: "degraded", DC: "ok"}


def test_down_outranks_silent_and_silent_degraded():
    """The worst word stands, and the next one shows when it ends."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON + 1)
    feed(fleet, Series(YPHU, "dns", "192.168.1.1", ""), "dd")
    feed(fleet, GATEWAY, "dd")

    seen = []
    for at in (2, 6, 11.5, 17):
        fleet.tick(NOON + at)
        seen.append(fleet.sites[YPHU].state)

    assert seen == ["down", "down", "silent", "silent"]


def test_a_reload_keeps_what_still_exists():
    """States, votes and contacts go on; what left is forgotten."""
    fleet = a_fleet()
    fleet.heard(YPHU, a_push(YPHU), NOON)
    fleet.heard(TCOC, a_push(TCOC), NOON)
    feed(fleet, GATEWAY, "udd")
    feed(fleet, gateway(TCOC), "udd")
    kept = asdict(fleet.series[GATEWAY])

    fleet.reload(a_province([YPHU, DC]), NOON + 3)

    assert kept == asdict(fleet.series[GATEWAY])
    assert list(fleet.down) == [GATEWAY]
    assert tiles(fleet) == {YPHU: "down", DC: "never"}
    feed(fleet, GATEWAY, "uu", NOON + 3)
    assert fleet.sites[YPHU].state == "ok"
    fleet.reload(a_province(), NOON + 5)
    assert tiles(fleet) == {TCOC: "never", YPHU: "ok", DC: "never"}
