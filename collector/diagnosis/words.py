"""What an incident is called, for pages and for the wall. Made of inventory words only."""

from datetime import UTC, datetime

from collector.diagnosis.incident import Incident
from collector.inventory.model import COMMUNE_KINDS, Inventory, Series, Site, Text

MOST_NAMED = 3


def title(incident: Incident, inventory: Inventory) -> Text:
    """Return what is wrong, in a few words."""
    if incident.cause == "site_silent":
        return Text(vi="Mất liên lạc", en="Not reporting")
    check = inventory.checks.get(incident.check)
    name = check.name if check else Text(vi=incident.check, en=incident.check)
    return Text(vi=f"Sự cố: {name.vi}", en=f"Failing: {name.en}")


def where(incident: Incident, inventory: Inventory) -> Text:
    """Return the places, and of a failing check what still fails there and over which line."""
    places = ", ".join(
        site_name(inventory.sites[site]) if site in inventory.sites else site
        for site in incident.sites
    )
    failing = [_target(member.series) for member in incident.members if member.up_at is None]
    if not failing:
        return Text(vi=places, en=places)
    named, others = ", ".join(failing[:MOST_NAMED]), len(failing) - MOST_NAMED
    if others <= 0:
        return Text(vi=f"{places}: {named}", en=f"{places}: {named}")
    return Text(
        vi=f"{places}: {named} và {others} đích khác", en=f"{places}: {named} and {others} more"
    )


def site_name(site: Site) -> str:
    """Return a site's name as people write it: a commune's kind belongs to it, once."""
    kind = site.kind.capitalize()
    if site.kind not in COMMUNE_KINDS or site.name.startswith(f"{kind} "):
        return site.name
    return f"{kind} {site.name}"


def local_time(moment: float, inventory: Inventory) -> str:
    """Return a moment as people of the province read it: 09:31:07 01/07/2025."""
    return (
        f"{datetime.fromtimestamp(moment, UTC).astimezone(inventory.time_zone):%H:%M:%S %d/%m/%Y}"
    )


def _target(series: Series) -> str:
    return f"{series.target} ({series.line})" if series.line else series.target
