"""What the tests of the fleet start from."""

from agent.wire import Sample
from collector.diagnosis.compare import TICKET_SECONDS
from collector.diagnosis.incident import Change
from collector.diagnosis.incidents import Incidents
from collector.inventory.model import Inventory, Series
from collector.state.fleet import Fleet
from tests.collector.a_province import NOON, a_province, a_sample

UP, DOWN, ERROR = "u", "d", "e"


def a_fleet(inventory: Inventory | None = None) -> Fleet:
    """Return a fleet that has heard nobody yet."""
    return Fleet(inventory or a_province(), started_at=NOON)


def an_attempt(series: Series, attempt: str) -> Sample:
    """Return the sample of one letter."""
    return a_sample(
        series,
        "timeout" if attempt == DOWN else None,
        error="no permission" if attempt == ERROR else "",
    )


def feed(fleet: Fleet, series: Series, attempts: str, at: float = NOON, step: float = 1.0) -> float:
    """Apply attempts one by one as they happen; return the time of the next one."""
    for attempt in attempts:
        fleet.apply(series.agent, an_attempt(series, attempt), at, trusted=True, now=at)
        at += step
    return at


def decided(incidents: Incidents, fleet: Fleet, now: float) -> list[Change]:
    """Let incidents look at a fleet whose state was the same for long enough to be told."""
    return [*incidents.observe(fleet, now - TICKET_SECONDS), *incidents.observe(fleet, now)]


def tiles(fleet: Fleet) -> dict[str, str]:
    """Return the word each site shows."""
    return {site: state.state for site, state in fleet.sites.items()}
