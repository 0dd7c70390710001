from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from collector.diagnosis.incident import Incident
from collector.diagnosis.routing import routing
from collector.inventory.model import Inventory, Phase, Text
from tests.collector.a_province import DC, NOON, TCOC, YPHU, a_province

ANY = Text(vi="x", en="x")


def on_duty() -> Inventory:
    """Return the province whose systems have people on duty, and a phase that begins at noon."""
    inventory = a_province()
    carriers = {
        **inventory.carriers,
        "vnpt": replace(inventory.carriers["vnpt"], route="vnpt"),
    }
    systems = {
        name: replace(system, route=f"{name}-desk") for name, system in inventory.systems.items()
    }
    noon = datetime.fromtimestamp(NOON, UTC)
    begins, ends = noon, noon.replace(hour=noon.hour + 1)
    return replace(
        inventory,
        carriers=carriers,
        systems=systems,
        phases={"cutover": Phase(name=ANY, begins=begins, ends=ends, profile="fast")},
    )


HERE = on_duty()


def an_incident(cause, *sites: str, **more) -> Incident:
    """Return an incident that opens at noon."""
    whole = {"scope": "site", "severity": "page", "since": NOON - 5, "opened_at": NOON, **more}
    return Incident(id="x-1", cause=cause, sites=sites or (YPHU,), **whole)


@pytest.mark.parametrize(
    ("incident", "route", "carrier"),
    [
        (an_incident("site_silent"), "", ""),
        (an_incident("mass_silence", carrier="vnpt"), "", ""),
        (an_incident("carrier_outage", carrier="vnpt"), "vnpt", "vnpt"),
        (an_incident("line_down", carrier="vnpt", system="internet"), "vnpt", "vnpt"),
        (
            an_incident("line_down", carrier="viettel", system="internet"),
            "internet-desk",
            "viettel",
        ),
        (an_incident("tslcd_outage", carrier="vnpt", system="tthc"), "tthc-desk", "vnpt"),
        (an_incident("lan_down", system="lan"), "lan-desk", ""),
        (an_incident("system_down", system="tthc"), "tthc-desk", ""),
        (an_incident("system_unreachable_from_site", system="tthc"), "", ""),
        (an_incident("system_down", system="gone"), "", ""),
    ],
)
def test_a_page_goes_to_whose_it_is(incident, route, carrier):
    """The carrier's people, the system's; nobody in particular before there is evidence."""
    assert routing(incident, HERE) == {
        "route": route,
        "carrier": carrier,
        "area": "Hòa Bình",
        "phase": "cutover",
    }


def test_an_area_is_that_of_all_places_and_the_phase_that_of_the_opening():
    """Several former provinces have no name in common; before the phase there is none."""
    inventory = replace(
        HERE,
        sites={**HERE.sites, DC: replace(HERE.sites[DC], former_province="Vĩnh Phúc")},
    )

    assert routing(an_incident("mass_silence", YPHU, TCOC), inventory)["area"] == "Hòa Bình"
    assert routing(an_incident("mass_silence", YPHU, DC), inventory)["area"] == ""
    assert routing(an_incident("site_silent", "99999"), inventory)["area"] == ""
    assert routing(an_incident("site_silent", opened_at=NOON - 1), inventory)["phase"] == ""
