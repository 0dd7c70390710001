"""The table: what happens, and what people have to be told of it.

Each row puts in one fault alone, and then mostly another one beside it, so that each cause is seen
alone and with another going on.
"""

from collector.diagnosis.incident import Cause
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

PORTAL_DOWN = Step("portal stopped", pages=(Page("system_down", "portal"),))
NATIONAL_DOWN = Step("national portal down", pages=(Page("external", "dvcqg", receiver="tickets"),))
EXPIRED = Step("portal shows a certificate", ("expired",), pages=(Page("certificate", "portal"),))
SLOW = Step("procedures slow", ("1.2",), pages=(Page("system_slow", "tthc"),))
BAD_LINE = Step("line bad", at(4), pages=(Page("line_degraded", "viettel", sites(4)),))
BAD_SOUND = Step("conference spoilt", at(10), pages=(Page("vc_degraded", "vc", sites(10)),))
TSLCD_CUT = Step("carrier cut", ("tslcd",), pages=(Page("tslcd_outage", "tslcd", TSLCD),))
VNPT_CUT = Step("carrier cut", ("vnpt",), pages=(Page("carrier_outage", "vnpt", VNPT),))
CLOCK = Step("clock wrong", at(9), pages=(Page("clock_wrong", sites=sites(9), receiver="tickets"),))
CENTRE_CUT = Step("centre cut off", pages=(Page("collector_blind"),))
AREA_SILENT = Page("mass_silence", SOUTH, frozenset(AREA))
AREA_DARK = Page("power_outage", SOUTH, frozenset(AREA))


def one(fault: str, cause: Cause, *numbers: int, about: str = "") -> Step:
    """Return a fault at an office, and the page that names this office alone."""
    where = tuple(f"{site}/{about}" if about else site for site in at(*numbers))
    return Step(fault, where, pages=(Page(cause, about, sites(*numbers)),))


SCENARIOS = (
    Scenario(
        "a PC without power; then one line of two elsewhere",
        (one("power off", "site_silent", 6), one("line dead", "line_down", 1, about="vnpt")),
    ),
    Scenario(
        "a fibre broken; then the portal stops",
        (one("carrier cut", "line_down", 2, about="viettel"), PORTAL_DOWN),
    ),
    Scenario(
        "the portal stops; then a carrier is cut",
        (
            PORTAL_DOWN,
            Step("carrier cut", ("viettel",), pages=(Page("carrier_outage", "viettel", VIETTEL),)),
        ),
    ),
    Scenario(
        "a carrier is cut; then names lie at an office of the other one",
        (VNPT_CUT, one("names lie", "dns_hijack", 10)),
    ),
    Scenario(
        "names lie; then TSLCD is cut everywhere",
        (one("names lie", "dns_hijack", 6), TSLCD_CUT),
    ),
    Scenario(
        "TSLCD is cut everywhere; then the national portal is down",
        (TSLCD_CUT, NATIONAL_DOWN),
    ),
    Scenario(
        "the national portal is down; then the portal's certificate has expired",
        (NATIONAL_DOWN, EXPIRED),
    ),
    Scenario(
        "a certificate has expired; then an office has no names",
        (EXPIRED, one("no names", "dns_broken", 7)),
    ),
    Scenario(
        "a carrier's resolver is dead; then an office of the other one must log in first",
        (
            Step("carrier's resolver dead", ("vnpt",), pages=(Page("dns_broken"),)),
            one("captive portal", "captive_portal", 10),
        ),
    ),
    Scenario(
        "an office must log in first; then large packets vanish elsewhere",
        (
            one("captive portal", "captive_portal", 6),
            Step(
                "large UDP vanishes", ("00007/vnpt",), pages=(Page("mtu_blackhole", "", sites(7)),)
            ),
        ),
    ),
    Scenario(
        "large packets vanish on a line; then a LAN is down where there is a 4G stick",
        (
            Step(
                "large packets vanish",
                ("00002/vnpt",),
                pages=(Page("mtu_blackhole", "", sites(2)),),
            ),
            one("LAN down", "lan_down", 3),
        ),
    ),
    Scenario(
        "a gateway is silent on its LAN; then a clock is wrong elsewhere",
        (one("gateway silent", "lan_down", 3), CLOCK),
    ),
    Scenario(
        "a clock is wrong; then the procedure system fails",
        (CLOCK, Step("procedures fail", ("503",), pages=(Page("system_down", "tthc"),))),
    ),
    Scenario(
        "a page is slow, not dead; then a line is bad, not dead",
        (SLOW, BAD_LINE),
    ),
    Scenario(
        "a line is bad; then sound to the bridge is, at another office",
        (BAD_LINE, BAD_SOUND),
    ),
    Scenario(
        "sound to the bridge is bad; then a page is slow",
        (BAD_SOUND, SLOW),
    ),
    Scenario(
        "a PC hangs; then the centre's own line is cut",
        (one("PC hangs", "site_silent", 12), CENTRE_CUT),
    ),
    Scenario("the centre's own line is cut, and nothing else", (CENTRE_CUT,)),
    Scenario(
        "an area falls silent one by one and comes back one by one",
        (Step("power off", AREA, over=3.0, heals_over=5.0, pages=(AREA_SILENT,)),),
    ),
    Scenario(
        "an area falls silent beside a portal that is down; one of it does not come back",
        (
            PORTAL_DOWN,
            Step("power off", AREA, pages=(AREA_SILENT,)),
            Step(
                "power off",
                AREA[:-1],
                over=2.0,
                heals=True,
                ends=(AREA_SILENT,),
                pages=(Page("site_silent", sites=sites(11)),),
            ),
        ),
    ),
    Scenario(
        "the power goes in an area; then the bridge is dead",
        (
            Step("power cut", AREA, over=2.0, pages=(AREA_DARK,)),
            Step("bridge dead", pages=(Page("system_down", "vc"),)),
        ),
    ),
    Scenario(
        "mail is dead; then the power goes in an area",
        (
            Step("mail dead", pages=(Page("system_down", "mail"),)),
            Step("power cut", AREA, pages=(AREA_DARK,)),
        ),
    ),
    Scenario(
        "a line comes and goes",
        (one("line flaps", "line_down", 1, about="vnpt"),),
        lasts=25.0,
    ),
    Scenario(
        "a gateway answers and forwards nothing, at an office with nothing else",
        (one("gateway forwards nothing", "site_silent", 6),),
    ),
    Scenario(
        "a gateway answers and forwards nothing, at an office with a 4G stick",
        (Step("gateway forwards nothing", at(3), pages=(Page("line_down", "vnpt", sites(3)),)),),
    ),
    Scenario(
        "offices go home", (Step("switched off", at(10, 11, 12, 6, 7), over=2.0),), lasts=10.0
    ),
    Scenario(
        "a time server that lies: no office's clock is blamed",
        (Step("time server lies", ("300",)),),
        lasts=8.0,
    ),
    Scenario(
        "one office cannot reach the portal; then a carrier is cut",
        (
            Step(
                "portal barred",
                at(10),
                pages=(Page("system_unreachable_from_site", "portal", sites(10)),),
            ),
            VNPT_CUT,
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
        (one("all lines dead", "site_silent", 2),),
    ),
    Scenario(
        "a centre that dies and comes back with a page open",
        (one("power off", "site_silent", 6), Step("collector killed")),
        lasts=12.0,
    ),
)
