"""Routing: which way a page goes, decided once, when its incident opens. Pure.

What a page is routed by is part of the alert's identity: if it changed while the incident is open,
Alertmanager would close one page and open another. So it is kept with the incident as it was at
the opening (`Incident.routing`), over everything that is understood later and over restarts. Who
has to act according to what is known now is asked again with `routing`: where that is somebody
else, they are called beside the first (`thongsuot_incident_reassigned`), who keep their page.
"""

from datetime import UTC, datetime

from collector.diagnosis.incident import Incident
from collector.inventory.model import Inventory

OF_A_CARRIER = frozenset({"carrier_outage", "line_down", "line_degraded"})
"""Causes that a carrier has to mend."""
NOT_KNOWN_WHOSE = frozenset({"site_silent", "mass_silence", "system_unreachable_from_site"})
"""No carrier and no system is called before there is evidence against it: the province's room takes
these."""


def routing(incident: Incident, inventory: Inventory) -> dict[str, str]:
    """Return route (a key of on_call), carrier, area and phase by what is known; "" where none is."""
    named = incident.cause not in NOT_KNOWN_WHOSE
    carrier = inventory.carriers.get(incident.carrier) if named else None
    system = inventory.systems.get(incident.system) if named else None
    route = carrier.route if carrier and incident.cause in OF_A_CARRIER else ""
    return {
        "route": route or (system.route if system else ""),
        "carrier": incident.carrier if named else "",
        "area": incident.area or _area(incident, inventory),
        "phase": _phase(incident.opened_at, inventory),
    }


def _area(incident: Incident, inventory: Inventory) -> str:
    """Return the former province of all its places; "" where they lie in several."""
    areas = {
        inventory.sites[site].former_province for site in incident.sites if site in inventory.sites
    }
    return areas.pop() if len(areas) == 1 else ""


def _phase(moment: float, inventory: Inventory) -> str:
    at = datetime.fromtimestamp(moment, UTC)
    return next(
        (key for key, phase in inventory.phases.items() if phase.begins <= at < phase.ends), ""
    )
