"""Explain: what is known of one site, what was concluded from it, and by which rule."""

from collections.abc import Iterator

from collector.diagnosis.finding import Finding, local_time
from collector.diagnosis.incident import Incident
from collector.diagnosis.incidents import Incidents
from collector.state.fleet import Fleet
from collector.state.states import SeriesState


def explain(site: str, fleet: Fleet, incidents: Incidents, now: float) -> str:
    """Return facts, findings and open incidents of a site as lines. KeyError: no such site."""
    inventory = fleet.inventory
    known, state = inventory.sites[site], fleet.sites[site]
    when = f"{local_time(inventory, now)} ({inventory.time_zone.key})"
    lines = [f"{site} {known.name}: {state.state}, {state.contact} at {when}"]
    for agent in known.agents:
        lines += _agent(agent, fleet)
    findings = [one for one in incidents.diagnosis.findings(fleet, now) if site in one.sites]
    lines += ["", "found:" if findings else "found: nothing is wrong here"]
    lines += [line for one in findings for line in _finding(one)]
    opened = [one for one in incidents.open.values() if site in one.sites]
    lines += ["", "open incidents:" if opened else "open incidents: none"]
    lines += [line for one in opened for line in _incident(one, fleet)]
    return "\n".join(lines) + "\n"


def _agent(agent: str, fleet: Fleet) -> Iterator[str]:
    inventory, state = fleet.inventory, fleet.agents[agent]
    heard = "never" if state.heard_at is None else local_time(inventory, state.heard_at)
    words = [f"heard {heard}"]
    if state.via or state.carrier:
        words.append(f"over {state.via or 'its own choice'} {state.carrier}".rstrip())
    if state.power is not None and state.power.on_mains is not None:
        words.append("on mains" if state.power.on_mains else "on battery")
    if state.clock_offset is not None:
        words.append(f"clock {state.clock_offset:+.1f} s")
    yield f"  agent {agent}: {state.contact}, {', '.join(words)}"
    for series in inventory.series_of_agent[agent]:
        check, one = inventory.checks[series.check], fleet.series[series]
        line = f" ({series.line})" if series.line else ""
        since = local_time(inventory, one.since)
        yield f"    {check.layer:8} {series.check} {series.target}{line}: {_state(one)} since {since}"


def _state(state: SeriesState) -> str:
    first = state.first_failure
    if first is None:
        return state.state
    return f"{state.state} of {first.failure}" + (f" ({first.detail})" if first.detail else "")


def _finding(finding: Finding) -> Iterator[str]:
    yield f"  {finding.cause} {finding.key}"
    yield f"    rule: {finding.rule}"
    yield from (f"    {name}: {text}" for name, text in finding.facts.items())
    if finding.covers:
        checks = sorted({unit.check for unit in finding.covers if hasattr(unit, "check")})
        yield f"    explains: {', '.join(checks)}"


def _incident(incident: Incident, fleet: Fleet) -> Iterator[str]:
    since = local_time(fleet.inventory, incident.since)
    yield f"  {incident.id} {incident.cause} {incident.key}, since {since}"
    yield from (
        f"    {local_time(fleet.inventory, step.at)} {step.kind}: {step.cause}, {step.sites} sites"
        for step in incident.life
    )
