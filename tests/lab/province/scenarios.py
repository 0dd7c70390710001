"""The table: what happens, and what people have to be told of it.

Each row puts in one fault alone, and then mostly another one beside it, so that each cause is seen
alone and with another going on.
"""

from tests.lab.province.pages import Page, Scenario, Step
from tests.lab.province.plan import SOUTH, TWELVE

ALL = frozenset(place.site for place in TWELVE)


def sites(*numbers: int) -> frozenset[str]:
    """Return the codes of some offices."""
    return frozenset(f"{number:05}" for number in numbers)


def at(*numbers: int) -> tuple[str, ...]:
    """Return them in this order, as places of a fault."""
    return tuple(f"{number:05}" for number in numbers)


VNPT = sites(1, 2, 3, 4, 5, 6, 7, 8, 9)
VIETTEL = sites(1, 2, 3, 4, 10, 11, 12)
TSLCD = sites(1, 2, 3, 4, 5)
AREA = at(6, 7, 8, 10, 11)

SCENARIOS = (
    Scenario(
        "a PC without power; then one line of two elsewhere",
        (
            Step("power off", at(6), pages=(Page("site_silent", sites=sites(6)),)),
            Step("line dead", ("00001/vnpt",), pages=(Page("line_down", "vnpt", sites(1)),)),
        ),
    ),
    Scenario(
        "a fibre broken; then the portal stops",
        (
            Step(
                "carrier cut",
                ("00002/viettel",),
                pages=(Page("line_down", "viettel", sites(2)),),
            ),
            Step("portal stopped", pages=(Page("system_down", "portal"),)),
        ),
    ),
    Scenario(
        "the portal stops; then a carrier is cut",
        (
            Step("portal stopped", pages=(Page("system_down", "portal"),)),
            Step("carrier cut", ("viettel",), pages=(Page("carrier_outage", "viettel", VIETTEL),)),
        ),
    ),
    Scenario(
        "a carrier is cut; then names lie at an office of the other one",
        (
            Step("carrier cut", ("vnpt",), pages=(Page("carrier_outage", "vnpt", VNPT),)),
            Step("names lie", at(10), pages=(Page("dns_hijack", sites=sites(10)),)),
        ),
    ),
    Scenario(
        "names lie; then a PC hangs elsewhere",
        (
            Step("names lie", at(6), pages=(Page("dns_hijack", sites=sites(6)),)),
            Step("PC hangs", at(11), pages=(Page("site_silent", sites=sites(11)),)),
        ),
    ),
    Scenario(
        "TSLCD is cut everywhere; then the national portal is down",
        (
            Step("carrier cut", ("tslcd",), pages=(Page("tslcd_outage", "tslcd", TSLCD),)),
            Step("national portal down", pages=(Page("external", "dvcqg", receiver="tickets"),)),
        ),
    ),
    Scenario(
        "the national portal is down; then the portal's certificate has expired",
        (
            Step("national portal down", pages=(Page("external", "dvcqg", receiver="tickets"),)),
            Step(
                "portal shows a certificate", ("expired",), pages=(Page("certificate", "portal"),)
            ),
        ),
    ),
    Scenario(
        "a certificate has expired; then an office has no names",
        (
            Step(
                "portal shows a certificate", ("expired",), pages=(Page("certificate", "portal"),)
            ),
            Step("no names", at(7), pages=(Page("dns_broken", sites=sites(7)),)),
        ),
    ),
    Scenario(
        "a carrier's resolver is dead; then an office of the other one must log in first",
        (
            Step("carrier's resolver dead", ("vnpt",), pages=(Page("dns_broken", "vnpt"),)),
            Step("captive portal", at(10), pages=(Page("captive_portal", sites=sites(10)),)),
        ),
    ),
    Scenario(
        "an office must log in first; then large packets vanish elsewhere",
        (
            Step("captive portal", at(6), pages=(Page("captive_portal", sites=sites(6)),)),
            Step(
                "large UDP vanishes",
                ("00007/vnpt",),
                pages=(Page("mtu_blackhole", sites=sites(7)),),
            ),
        ),
    ),
    Scenario(
        "large packets vanish on a line; then a LAN is down that has a 4G stick",
        (
            Step(
                "large packets vanish",
                ("00002/vnpt",),
                pages=(Page("mtu_blackhole", sites=sites(2)),),
            ),
            Step("LAN down", at(3), pages=(Page("lan_down", sites=sites(3)),)),
        ),
    ),
    Scenario(
        "a gateway is silent on its LAN; then a clock is wrong elsewhere",
        (
            Step("gateway silent", at(3), pages=(Page("lan_down", sites=sites(3)),)),
            Step(
                "clock wrong",
                at(9),
                pages=(Page("clock_wrong", sites=sites(9), receiver="tickets"),),
            ),
        ),
    ),
    Scenario(
        "a clock is wrong; then the procedure system fails",
        (
            Step(
                "clock wrong",
                at(9),
                pages=(Page("clock_wrong", sites=sites(9), receiver="tickets"),),
            ),
            Step("procedures fail", ("503",), pages=(Page("system_down", "tthc"),)),
        ),
    ),
    Scenario(
        "the procedure system is slow, not dead; then a PC is off",
        (
            Step("procedures slow", ("1.5",), pages=(Page("system_slow", "tthc"),)),
            Step("power off", at(12), pages=(Page("site_silent", sites=sites(12)),)),
        ),
    ),
    Scenario(
        "a PC is off; then the centre's own line is cut",
        (
            Step("power off", at(6), pages=(Page("site_silent", sites=sites(6)),)),
            Step("centre cut off", pages=(Page("collector_blind"),)),
        ),
    ),
    Scenario(
        "the centre's own line is cut, and nothing else",
        (Step("centre cut off", pages=(Page("collector_blind"),)),),
    ),
    Scenario(
        "an area falls silent one by one and comes back one by one",
        (
            Step(
                "power off",
                AREA,
                over=3.0,
                heals_over=5.0,
                pages=(Page("mass_silence", SOUTH, frozenset(AREA)),),
            ),
        ),
    ),
    Scenario(
        "the power goes in an area; then the bridge is dead",
        (
            Step(
                "power cut", AREA, over=2.0, pages=(Page("power_outage", SOUTH, frozenset(AREA)),)
            ),
            Step("bridge dead", pages=(Page("system_down", "vc"),)),
        ),
    ),
    Scenario(
        "a line is bad, not dead; then a PC is off",
        (
            Step("line bad", at(4), pages=(Page("line_degraded", "viettel", sites(4)),)),
            Step("power off", at(10), pages=(Page("site_silent", sites=sites(10)),)),
        ),
    ),
    Scenario(
        "sound to the bridge is bad at an office; then a PC is off",
        (
            Step("conference spoilt", at(10), pages=(Page("vc_degraded", "vc", sites(10)),)),
            Step("power off", at(6), pages=(Page("site_silent", sites=sites(6)),)),
        ),
    ),
    Scenario(
        "a line comes and goes",
        (Step("line flaps", ("00001/vnpt",), pages=(Page("line_down", "vnpt", sites(1)),)),),
        lasts=25.0,
    ),
    Scenario(
        "a gateway answers and forwards nothing, at an office with nothing else; then mail is dead",
        (
            Step("gateway forwards nothing", at(6), pages=(Page("site_silent", sites=sites(6)),)),
            Step("mail dead", pages=(Page("system_down", "mail"),)),
        ),
    ),
    Scenario(
        "a gateway answers and forwards nothing, at an office with a 4G stick",
        (
            Step(
                "gateway forwards nothing",
                at(3),
                pages=(Page("line_down", "vnpt", sites=sites(3)),),
            ),
        ),
    ),
    Scenario(
        "offices go home",
        (Step("switched off", at(10, 11, 12, 6, 7), over=2.0),),
        lasts=12.0,
    ),
    Scenario(
        "one office cannot reach the portal; then a carrier is cut from the core",
        (
            Step(
                "portal barred",
                at(10),
                pages=(Page("system_unreachable_from_site", "portal", sites(10)),),
            ),
            Step(
                "carrier cut from the core",
                ("vnpt",),
                pages=(Page("carrier_outage", "vnpt", VNPT),),
            ),
        ),
    ),
    Scenario(
        "the province's resolver is dead; then one office cannot reach the procedure system",
        (
            Step("resolver of the province dead", pages=(Page("dns_broken", "dns"),)),
            Step(
                "procedures barred",
                at(1),
                pages=(Page("system_unreachable_from_site", "tthc", sites(1)),),
            ),
        ),
    ),
    Scenario(
        "all lines of an office with two are dead",
        (Step("all lines dead", at(2), pages=(Page("site_silent", sites=sites(2)),)),),
    ),
    Scenario(
        "a centre that dies and comes back with a page open",
        (
            Step("power off", at(6), pages=(Page("site_silent", sites=sites(6)),)),
            Step("collector killed"),
        ),
        lasts=15.0,
    ),
)
