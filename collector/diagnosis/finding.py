"""Finding: what one look says is wrong now, with the rule and the facts that decided."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from collector.diagnosis.incident import Cause, Severity, Sign
from collector.inventory.model import CheckInfo, Inventory, Scope, Series
from collector.state.fleet import Fleet
from collector.state.states import BELOW_SERVICE, SeriesState

Unit = Series | Sign
"""The smallest thing that can be bad and good again: each belongs to one open incident at most."""

MASS_SITES = 5
MASS_SHARE = 0.15

GROUPS: frozenset[Cause] = frozenset(
    {"mass_silence", "carrier_outage", "power_outage", "tslcd_outage", "collector_blind"}
)
"""Causes that may take further sites in, and whose stragglers become incidents of their own."""
KNOWING: dict[Cause, int] = {
    "site_silent": 0,
    "check_down": 0,
    "mass_silence": 1,
    "system_unreachable_from_site": 1,
    "system_down": 3,
    "external": 3,
    "certificate": 3,
    "dns_hijack": 3,
    "captive_portal": 3,
    "clock_wrong": 3,
    "carrier_outage": 4,
    "power_outage": 4,
    "tslcd_outage": 4,
    "collector_blind": 5,
}
"""How much a cause knows (others: 2). An open incident is never understood worse than it was."""


class Evidence(Struct, frozen=True, kw_only=True):
    """How one unit is bad."""

    site: str
    since: float
    failure: str = ""
    detail: str = ""


class Finding(Struct, frozen=True, kw_only=True):
    """One cause. Pure value: two looks at the same state find equal ones."""

    cause: Cause
    key: str
    """Unique within its cause."""
    scope: Scope = "site"
    severity: Severity = "page"
    units: Mapping[Unit, Evidence]
    """What shows it. It is over when all of them are good."""
    covers: frozenset[Unit] = frozenset()
    """What fails because of it, and is no trouble of its own."""
    carrier: str = ""
    area: str = ""
    line: str = ""
    check: str = ""
    system: str = ""
    owner: str = ""
    rule: str
    """The rule that decided, in a few English words."""
    facts: Mapping[str, str] = {}
    """What it decided by, by short English names."""

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites it is about, each once, in order."""
        return tuple(sorted({evidence.site for evidence in self.units.values()}))

    @property
    def since(self) -> float:
        """When it began at the place itself."""
        return min(evidence.since for evidence in self.units.values())


class Quality(Protocol):
    """What finds that something is poor: slow or lossy, not broken. Its units are signs `poor`."""

    def findings(self, fleet: Fleet, now: float) -> Sequence[Finding]:
        """Return what is poor now."""

    def good_since(self, fleet: Fleet, name: str) -> float | None:
        """Return when a sign's subject became good; None while it is poor or nobody knows."""


def knowing(cause: Cause) -> int:
    """Return how much a cause knows."""
    return KNOWING.get(cause, 2)


def many(count: int, of: int) -> bool:
    """Whether so many of so many have one cause and not one each."""
    return count >= MASS_SITES and count >= MASS_SHARE * of


def evidence_of(state: SeriesState) -> Evidence:
    """Return how a series that is down is bad."""
    first = state.first_failure
    return Evidence(
        site=state.site,
        since=state.since,
        failure=(first and first.failure) or "unknown",
        detail=first.detail if first else "",
    )


def severity_of(check: CheckInfo, scope: Scope) -> Severity:
    """Return whether a failing check wakes somebody."""
    return "ticket" if scope == "external" and check.layer not in BELOW_SERVICE else "page"


def clusters(since: Mapping[str, float], gap: float) -> list[list[str]]:
    """Return names in groups, each within `gap` seconds of the one before it; the latest last."""
    found: list[list[str]] = []
    for name in sorted(since, key=lambda name: (since[name], name)):
        if found and since[name] - since[found[-1][-1]] <= gap:
            found[-1].append(name)
        else:
            found.append([name])
    return found


def local_time(inventory: Inventory, at: float) -> str:
    """Return the time of day in the province, for facts."""
    return f"{datetime.fromtimestamp(at, inventory.time_zone):%H:%M:%S}"


def shares(count: int, of: int, what: str) -> str:
    """Return `12 of 74 sites`."""
    return f"{count} of {of} {what}"


def named(names: Sequence[str], most: int = 6) -> str:
    """Return a few of the names, and how many more there are."""
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
