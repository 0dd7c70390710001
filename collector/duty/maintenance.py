"""Maintenance: whether planned work covers an incident. Pure.

A window says where work goes on by any of: sites, areas, lines, systems, carriers. Every key it
names must cover every place the incident is about; one place outside, and people are called.
"""

from datetime import UTC, datetime, timedelta

from collector.diagnosis.incident import Incident
from collector.inventory.model import DAYS, Inventory, Window

SILENCES = ("site_silent", "mass_silence", "power_outage")
"""About all lines of their sites: work on one of two explains none of them."""


def covering(inventory: Inventory, incident: Incident, now: float) -> Window | None:
    """Return the first window in force that covers an incident whole; None where there is none."""
    for window in inventory.maintenance:
        if in_force(window, inventory, now) and _covers(window, inventory, incident):
            return window
    return None


def in_force(window: Window, inventory: Inventory, now: float) -> bool:
    """Whether work goes on at a moment. A span over midnight belongs to the day it begins on."""
    local = datetime.fromtimestamp(now, UTC).astimezone(inventory.time_zone)
    if window.begins and window.ends:
        return window.begins <= local < window.ends
    if window.span is None:
        return False
    begins, ends = window.span
    clock = local.time()
    if begins < ends:
        return DAYS[local.weekday()] in window.days and begins <= clock < ends
    yesterday = local - timedelta(days=1)
    return (DAYS[local.weekday()] in window.days and clock >= begins) or (
        DAYS[yesterday.weekday()] in window.days and clock < ends
    )


def _covers(window: Window, inventory: Inventory, incident: Incident) -> bool:
    sites = [inventory.sites.get(site) for site in incident.sites]
    if not sites or None in sites:
        return False
    lines = _lines(incident, inventory)
    check = inventory.checks.get(incident.check)
    system = incident.system or (check.system if check else "")
    asked: tuple[tuple[tuple[str, ...], set[str]], ...] = (
        (window.sites, {*incident.sites}),
        (window.areas, {site.former_province for site in sites if site}),
        (window.lines, {name for name, _ in lines}),
        (window.carriers, {incident.carrier} if incident.carrier else {c for _, c in lines}),
        (window.systems, {system} if system else set()),
    )
    return all(meant and meant <= {*words} for words, meant in asked if words)


def _lines(incident: Incident, inventory: Inventory) -> set[tuple[str, str]]:
    """Return the lines an incident is about, each by name and carrier; none where it is about none."""
    of_sites = {
        (line.name, line.carrier)
        for site in incident.sites
        for line in inventory.lines.get(site, ())
    }
    if incident.cause in SILENCES:
        return of_sites
    named = {member.series.line for member in incident.members}
    if incident.line:
        named = {incident.line}
    if "" in named:
        return set()
    return {line for line in of_sites if line[0] in named}
