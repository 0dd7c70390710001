"""Incidents: which are open, decided from the fleet's state alone.

`observe` compares what is with what is open, so a change it was not called for is not lost, and
calling it twice does nothing. It is pure: the fleet and the clock come in, changes go out. Whoever
calls it writes the changes to the store before anybody is told (`Store.save`).

- `site_silent`, one per site, is always a page: nobody knows what goes on there. It opens for a
  site that was heard once and is silent without a bye, and closes with the next push.
- `check_down`, one per check and site: several targets, lines or agents are one incident that
  lists them. It closes when each of them is up again. Unknown is not up: it stays open over
  silence, a restart and a night. A series that left the inventory no longer holds it open.
- While a site is silent, checks of its own scope open nothing there: the silence explains them.
  What is asked of central and external systems, as its web site seen from the data centre, is not
  explained by a PC that does not report. Closing is never suppressed.
- Severity: faults below the services (LAN, lines, Internet, TSLCD) are pages whoever owns the
  system; of the others a `ticket` only where the system is external: nobody here can mend it.
- Samples that are history change no state in the fleet, so they open nothing here; a restart
  leaves everything unknown, so it opens and closes nothing either.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from collector.diagnosis.incident import Change, Incident, Member, Severity
from collector.inventory.model import CheckInfo, Inventory, Scope, Series
from collector.state.fleet import Fleet
from collector.state.states import BELOW_SERVICE, SeriesState

Failing = dict[tuple[str, str], dict[Series, SeriesState]]
"""By site and check: the series that are confirmed down."""


class Incidents:
    """The open incidents. `known`: those that were open before; `last_id`: the last one given.

    `restored_at`: when this state was last put back from a backup. Ids that were given between the
    two are unknown here, so that day's have the time of day in them from then on.
    """

    def __init__(
        self,
        known: Iterable[Incident] = (),
        *,
        last_id: str = "",
        restored_at: float | None = None,
    ) -> None:
        self._open = {incident.id: incident for incident in known}
        self._last_id = last_id
        self._restored_at = restored_at

    @property
    def open(self) -> Mapping[str, Incident]:
        """By id, oldest first."""
        return self._open

    def observe(self, fleet: Fleet, now: float) -> list[Change]:
        """Change, close and open what the fleet's state calls for."""
        failing: Failing = {}
        for series, state in fleet.down.items():
            failing.setdefault((state.site, series.check), {})[series] = state
        changes = []
        for incident in list(self._open.values()):
            seen = _look_again(incident, failing, fleet, now)
            if seen.closed_at is not None:
                del self._open[seen.id]
                changes.append(Change("closed", seen))
            elif seen is not incident:
                self._open[seen.id] = seen
                changes.append(Change("changed", seen))
        told = {
            (incident.cause, incident.sites[0], incident.check) for incident in self._open.values()
        }
        new = [
            _site_silent(site, fleet, now)
            for site in sorted(fleet.silent)
            if ("site_silent", site, "") not in told
        ]
        new += [
            _check_down(site, fleet.inventory.checks[check], series, fleet.inventory, now)
            for (site, check), series in failing.items()
            if ("check_down", site, check) not in told and not _explained(site, check, fleet)
        ]
        for incident in new:
            named = replace(incident, id=self._next_id(fleet.inventory, now))
            self._open[named.id] = named
            changes.append(Change("opened", named))
        return changes

    def _next_id(self, inventory: Inventory, now: float) -> str:
        """Return province-yymmdd-number; a clock set back over midnight stays on the later day."""
        day, number = f"{datetime.fromtimestamp(now, inventory.time_zone):%y%m%d}", 1
        if self._restored_at is not None:
            restored = datetime.fromtimestamp(self._restored_at, inventory.time_zone)
            if day == f"{restored:%y%m%d}":
                day = f"{day}r{restored:%H%M}"
        province, last_day, last_number = [*self._last_id.rsplit("-", 2), "", ""][:3]
        if province == inventory.id and last_day >= day:
            day, number = last_day, int(last_number) + 1
        self._last_id = f"{inventory.id}-{day}-{number:03d}"
        return self._last_id


def severity_of(check: CheckInfo, scope: Scope) -> Severity:
    """Return whether a failing check wakes somebody."""
    return "ticket" if scope == "external" and check.layer not in BELOW_SERVICE else "page"


def _explained(site: str, check: str, fleet: Fleet) -> bool:
    return site in fleet.silent and _scope(fleet.inventory, check) == "site"


def _scope(inventory: Inventory, check: str) -> Scope:
    return inventory.systems[inventory.checks[check].system].scope


def _site_silent(site: str, fleet: Fleet, now: float) -> Incident:
    last_seen = fleet.sites[site].last_seen
    return Incident(
        id="",
        cause="site_silent",
        scope="site",
        severity="page",
        sites=(site,),
        since=now if last_seen is None else last_seen,
        opened_at=now,
        facts=_last_words(site, fleet),
    )


def _last_words(site: str, fleet: Fleet) -> dict[str, str]:
    """Return what the agents told in their last pushes that may explain a silence."""
    facts = {}
    for name in fleet.inventory.sites[site].agents:
        agent = fleet.agents[name]
        if agent.power is not None and agent.power.on_mains is not None:
            facts[f"{name} power"] = "mains" if agent.power.on_mains else "battery"
        if agent.via:
            facts[f"{name} line"] = agent.via
        if agent.address:
            facts[f"{name} address"] = agent.address
        if agent.carrier:
            facts[f"{name} carrier"] = agent.carrier
    return facts


def _check_down(
    site: str,
    check: CheckInfo,
    failing: Mapping[Series, SeriesState],
    inventory: Inventory,
    now: float,
) -> Incident:
    system = inventory.systems[check.system]
    members = tuple(_member(series, state) for series, state in failing.items())
    return Incident(
        id="",
        cause="check_down",
        scope=system.scope,
        severity=severity_of(check, system.scope),
        sites=(site,),
        check=check.id,
        system=check.system,
        owner=system.owner,
        since=min(member.since for member in members),
        opened_at=now,
        members=members,
    )


def _member(series: Series, state: SeriesState) -> Member:
    first = state.first_failure
    return Member(
        series=series,
        since=state.since,
        failure=(first and first.failure) or "unknown",
        detail=first.detail if first else "",
    )


def _look_again(incident: Incident, failing: Failing, fleet: Fleet, now: float) -> Incident:
    """Return the same object, or the incident as it is now; with `closed_at` when it is over."""
    if incident.sites[0] not in fleet.sites:
        return replace(incident, closed_at=now, ending="removed")
    if incident.cause == "site_silent":
        return _silence_again(incident, fleet)
    return _check_again(incident, failing.get((incident.sites[0], incident.check), {}), fleet, now)


def _silence_again(incident: Incident, fleet: Fleet) -> Incident:
    site = fleet.sites[incident.sites[0]]
    if site.contact not in {"live", "closed"}:
        return incident
    return replace(
        incident, closed_at=max(incident.since, site.last_seen or 0.0), ending="recovered"
    )


def _check_again(
    incident: Incident, failing: Mapping[Series, SeriesState], fleet: Fleet, now: float
) -> Incident:
    members = [
        _member_again(member, fleet.series[member.series])
        for member in incident.members
        if member.series in fleet.series and fleet.series[member.series].site == incident.sites[0]
    ]
    listed = {member.series for member in members}
    members += [_member(series, state) for series, state in failing.items() if series not in listed]
    if tuple(members) != incident.members:
        incident = replace(incident, members=tuple(members))
    if not members:
        return replace(incident, closed_at=now, ending="removed")
    return _closed_when_up(incident, members)


def _closed_when_up(incident: Incident, members: Sequence[Member]) -> Incident:
    ends = [member.up_at for member in members if member.up_at is not None]
    if len(ends) < len(members):
        return incident
    return replace(incident, closed_at=max(incident.since, *ends), ending="recovered")


def _member_again(member: Member, state: SeriesState) -> Member:
    if state.state == "up" and member.up_at is None:
        return replace(member, up_at=state.since)
    if state.state == "down" and member.up_at is not None:
        return replace(member, up_at=None)
    return member
