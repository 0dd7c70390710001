"""Escalation: who is called next when nobody acknowledges. Pure.

An incident begins with the route of its carrier, or of its system. Each route says after how many
seconds without an acknowledgement the next one is called: that is the next tier. The wait is
counted from the opening, the last raise, the last take-back or the end of a maintenance window,
whichever is latest, so a restart or an edited file never calls two tiers at once and never fewer
than were called.
"""

from collections.abc import Sequence

from msgspec import Struct

from collector.diagnosis.incident import Incident
from collector.duty.acts import Act, standing_of
from collector.inventory.model import Inventory


class Escalation(Struct, frozen=True):
    """How far an incident was raised."""

    tier: int
    """1, 2, …: how many routes have been called after the first."""
    route: str
    """The one called last: a key of on_call."""
    since: float


def first_route(incident: Incident, inventory: Inventory) -> str:
    """Return whom an incident goes to at first: a key of on_call; "" where the province names none.

    Where neither carrier nor system has a route, as of a place that fell silent: the first route of
    the file that goes on to another.
    """
    if incident.routing.get("route"):
        return incident.routing["route"]
    carrier = inventory.carriers.get(incident.carrier)
    if carrier and carrier.route:
        return carrier.route
    check = inventory.checks.get(incident.check)
    system = inventory.systems.get(incident.system or (check.system if check else ""))
    if system and system.route:
        return system.route
    return next((key for key, route in inventory.on_call.items() if route.escalate_to), "")


def escalation_of(acts: Sequence[Act]) -> Escalation | None:
    """Return how far an incident was raised; None where it never was."""
    raised = standing_of(acts).escalated
    return None if raised is None else Escalation(raised.tier, raised.to, raised.at)


def due(incident: Incident, acts: Sequence[Act], inventory: Inventory, now: float) -> Act | None:
    """Return the raise that is due; None where there is none."""
    standing = standing_of(acts)
    if incident.severity != "page" or standing.acknowledged or standing.maintenance:
        return None
    reached = escalation_of(acts) or Escalation(
        0, first_route(incident, inventory), incident.opened_at
    )
    route = inventory.on_call.get(reached.route)
    if route is None or route.escalate_after_seconds is None:
        return None
    waiting_since = max(incident.opened_at, standing.waiting_since or incident.opened_at)
    if now < waiting_since + route.escalate_after_seconds:
        return None
    return Act(
        incident=incident.id,
        at=now,
        kind="escalated",
        to=route.escalate_to,
        tier=reached.tier + 1,
    )
