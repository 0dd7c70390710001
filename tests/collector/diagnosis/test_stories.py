"""What befalls a province, and what is told of it: each cause once, nothing else."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.collector.diagnosis.world import DC, TEN, World, has_two, lines_of, site_id

WARM = 90.0
AT_1658 = TEN + 6 * 3600.0 + 3480.0
A, B, C = site_id(1), site_id(3), site_id(4)
"""A: VNPT alone. B: Viettel alone. C: both."""
TTHC, PORTAL, DVCQG = "https://tthc.example/", "https://www.example/", "https://dvcqg.example/"


@dataclass(frozen=True)
class Story:
    """A fault, how long to watch, and what has to be told: cause, key, number of sites."""

    name: str
    do: Callable[[World], object]
    told: list[tuple[str, str, int]]
    watch: float = 160.0
    start: float = TEN
    offices: int = 12


def of(world: World, carrier: str) -> list[str]:
    """Return the offices that have a line of a carrier."""
    return [site for site in world.offices if carrier in lines_of(site)]


def singles(world: World, carrier: str) -> list[str]:
    """Return the offices that have no other line."""
    return [site for site in of(world, carrier) if not has_two(site)]


def area(world: World, name: str) -> list[str]:
    """Return the offices of a former province."""
    return [site for site in world.offices if world.inventory.sites[site].former_province == name]


def everything_off(world: World, *, bye: bool) -> None:
    """Let everybody go home within ten minutes."""
    world.fault("off", "bye" if bye else "", world.offices, lasts=3000, over=600, back_over=600)


def power_cut(world: World, sites: list[str]) -> None:
    """Let the mains fail, then the batteries."""
    world.battery.update(sites)
    world.run(5)
    world.fault("power", "", sites, lasts=60, over=5, back_over=10)
    world.run(70)
    world.battery.clear()


def flaps(world: World, site: str, every: float) -> None:
    """Let the only line of a site come and go eight times."""
    for number in range(8):
        world.fault("line", "vnpt", [site], after=number * every, lasts=every / 2)


STORIES = [
    Story("one PC switched off hard", lambda w: w.fault("power", "", [A]), [("site_silent", A, 1)]),
    Story("one PC switched off in order", lambda w: w.fault("off", "bye", [A]), []),
    Story(
        "the only line of a site cut",
        lambda w: w.fault("line", "vnpt", [A]),
        [("site_silent", A, 1)],
    ),
    Story(
        "a carrier cut, staggered, back staggered",
        lambda w: w.fault("carrier", "vnpt", of(w, "vnpt"), over=5, back_over=20),
        [("carrier_outage", "vnpt", 9)],
    ),
    Story(
        "a carrier's whole network gone, its anchor and the centre's line with it",
        lambda w: w.fault("carrier", "vnpt"),
        [("carrier_outage", "vnpt", 10)],
    ),
    Story(
        "both carriers' sites of an area without power",
        lambda w: power_cut(w, area(w, "Hòa Bình") + area(w, "Vĩnh Phúc")),
        [("power_outage", "province", 8)],
    ),
    Story(
        "one of two lines cut",
        lambda w: w.fault("line", "vnpt", [C]),
        [("line_down", f"{C}/vnpt", 1)],
    ),
    Story(
        "TSLCD of one site cut",
        lambda w: w.fault("line", "tslcd", [A]),
        [("line_down", f"{A}/tslcd", 1)],
    ),
    Story(
        "TSLCD cut everywhere",
        lambda w: w.fault("carrier", "tslcd", (), lasts=120),
        [("tslcd_outage", "tslcd", 13)],
        watch=220,
    ),
    Story(
        "the resolver of a site dead",
        lambda w: w.fault("resolver", "", [A], lasts=120),
        [("dns_broken", A, 1)],
        watch=260,
    ),
    Story(
        "the resolver of a site lies",
        lambda w: w.fault("lies", "", [A], lasts=120),
        [("dns_hijack", A, 1)],
        watch=260,
    ),
    Story(
        "the province's resolver dead",
        lambda w: w.fault("target", "dns.example", lasts=120),
        [("dns_broken", "dns", 13)],
        watch=260,
    ),
    Story(
        "a captive portal",
        lambda w: w.fault("captive", "", [A], lasts=120),
        [("captive_portal", A, 1)],
        watch=300,
    ),
    Story(
        "large packets vanish",
        lambda w: w.fault("mtu", "", [A], lasts=180),
        [("mtu_blackhole", A, 1)],
        watch=360,
    ),
    Story(
        "a clock is wrong",
        lambda w: w.fault("clock", "", [A], detail="400"),
        [("clock_wrong", A, 1)],
    ),
    Story(
        "a system down",
        lambda w: w.fault("target", TTHC, lasts=120),
        [("system_down", "tthc", 13)],
        watch=260,
    ),
    Story(
        "a system unreachable from one site",
        lambda w: w.fault("target", TTHC, [A], lasts=120),
        [("system_unreachable_from_site", A, 1)],
        watch=260,
    ),
    Story(
        "a certificate expired",
        lambda w: w.fault("target", TTHC, detail="tls_expired", lasts=120),
        [("certificate", "tthc/tthc.example", 13)],
        watch=260,
    ),
    Story(
        "the national portal down",
        lambda w: w.fault("target", DVCQG, lasts=1500),
        [("external", "dvcqg", 13)],
        watch=2400,
    ),
    Story(
        "the portal and a carrier",
        lambda w: (
            w.fault("target", PORTAL, lasts=450),
            w.fault("carrier", "vnpt", of(w, "vnpt"), after=20, lasts=90),
        ),
        [("carrier_outage", "vnpt", 9), ("system_down", "portal", 13)],
        watch=600,
    ),
    Story(
        "a gateway dead, reported by phone",
        lambda w: (w.backup.add(A), w.fault("gateway", "", [A])),
        [("lan_down", A, 1)],
    ),
    Story(
        "a cable pulled, reported by phone",
        lambda w: (w.backup.add(A), w.fault("unplugged", "", [A])),
        [("lan_down", A, 1)],
    ),
    Story(
        "a gateway answers and forwards nothing",
        lambda w: (w.backup.add(A), w.fault("no-forwarding", "", [A])),
        [("line_down", f"{A}/", 1), ("line_down", f"{A}/tslcd", 1)],
    ),
    Story(
        "a gateway dead, nobody can tell",
        lambda w: w.fault("gateway", "", [A]),
        [("site_silent", A, 1)],
    ),
    Story(
        "a gateway that does not answer pings",
        lambda w: w.fault("device", "gateway", [A]),
        [("check_down", f"gateway@{A}", 1)],
    ),
    Story(
        "a printer off",
        lambda w: w.fault("device", "printer", [A]),
        [("check_down", f"printer@{A}", 1)],
        watch=200,
    ),
    Story(
        "the centre cut off",
        lambda w: (
            w.fault("centre"),
            w.fault("carrier", "vnpt", [DC]),
            w.fault("carrier", "viettel", [DC]),
        ),
        [("collector_blind", "centre", 13)],
    ),
    Story(
        "the centre's VNPT line cut",
        lambda w: (w.fault("line", "vnpt", [DC]), w.fault("centre-line", "vnpt", (), lasts=60)),
        [("collector_blind", "centre/vnpt", 7)],
    ),
    Story("17:00", lambda w: everything_off(w, bye=True), [], watch=800, start=AT_1658),
    Story("17:00, no byes", lambda w: everything_off(w, bye=False), [], watch=800, start=AT_1658),
    Story(
        "a dead anchor condemns no carrier",
        lambda w: w.fault("anchor", "vnpt", lasts=60),
        [("check_down", "internet", 12), ("line_down", "dc/vnpt", 1)],
    ),
    Story(
        "a database that must be closed answers",
        lambda w: w.fault("target", "cu.example:1433", lasts=120),
        [("check_down", "db-closed", 13)],
        watch=300,
    ),
    Story(
        "a site that comes and goes",
        lambda w: flaps(w, A, 24.0),
        [("site_silent", A, 1), ("site_silent", A, 1)],
        watch=420,
    ),
    Story(
        "a site that comes and goes quickly",
        lambda w: flaps(w, A, 11.0),
        [("site_silent", A, 1)],
        watch=300,
    ),
    Story(
        "two sites silent at once are two",
        lambda w: (w.fault("power", "", [A]), w.fault("power", "", [B], after=3)),
        [("site_silent", A, 1), ("site_silent", B, 1)],
    ),
    Story(
        "60 of 148 cut, staggered",
        lambda w: w.fault("carrier", "vnpt", singles(w, "vnpt")[:60], over=5, back_over=20),
        [("mass_silence", "vnpt", 60)],
        offices=148,
    ),
    Story(
        "a carrier cut at 148",
        lambda w: w.fault("carrier", "vnpt", of(w, "vnpt"), over=5, back_over=20),
        [("carrier_outage", "vnpt", 111)],
        offices=148,
    ),
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_each_cause_is_told_once(story):
    """One opening and one close for each cause, with the right key and sites, and nothing else."""
    world = World(story.offices, story.start)
    world.run(WARM)
    assert world.told == []

    story.do(world)
    world.run(story.watch)

    assert sorted(story.told) == world.pages()
    assert not world.incidents.open
    opened = [incident.id for _, incident in world.opened()]
    assert sorted(opened) == sorted(incident.id for incident in world.ended())
