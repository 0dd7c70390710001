"""Incidents and acts to start from."""

from msgspec.structs import replace

from collector.diagnosis.incident import Incident, Member
from collector.duty.acts import Act
from collector.inventory.model import Inventory, Route, Series, Text
from tests.collector.a_province import NOON, TCOC, YPHU, a_province

ID = "phu-tho-250701-001"


def an_incident(identity: str = ID, **said) -> Incident:
    """Return a router of Yên Phú that does not answer, opened at noon."""
    whole = {
        "id": identity,
        "cause": "check_down",
        "scope": "site",
        "severity": "page",
        "sites": (YPHU,),
        "check": "gateway",
        "system": "lan",
        "since": NOON - 2,
        "opened_at": NOON,
    }
    return Incident(**whole | said)


def on_lines(*lines: str, site: str = TCOC) -> tuple[Member, ...]:
    """Return failing members, one a line."""
    return tuple(
        Member(series=Series(site, "internet", "anchor.example", line), since=NOON, failure="loss")
        for line in lines
    )


def an_act(kind: str, after: float, who: str = "Hùng", **said) -> Act:
    """Return an act some seconds after noon."""
    return Act(**{"incident": ID, "at": NOON + after, "kind": kind, "who": who} | said)


def with_routes(inventory: Inventory | None = None) -> Inventory:
    """Return the province with three routes: the commune after 60 s to the Sở, after 120 s its head."""
    here = inventory or a_province()
    routes = {
        "head": Route(name=Text(vi="Lãnh đạo Sở", en="Head")),
        "commune": Route(
            name=Text(vi="Tổ xã", en="Commune"), escalate_to="duty", escalate_after_seconds=60.0
        ),
        "duty": Route(
            name=Text(vi="Trực Sở", en="Duty"), escalate_to="head", escalate_after_seconds=120.0
        ),
    }
    systems = {**here.systems, "lan": replace(here.systems["lan"], route="commune")}
    carriers = {**here.carriers, "vnpt": replace(here.carriers["vnpt"], route="duty")}
    return replace(here, on_call=routes, systems=systems, carriers=carriers)
