"""Look: one comparison of what is found with what is open."""

from collections.abc import Mapping, Sequence

from collector.diagnosis.case import Case
from collector.diagnosis.finding import GROUPS, Finding, Quality, Unit, knowing
from collector.diagnosis.incident import Cause
from collector.state.fleet import Fleet

HOLD_SECONDS = 2.0
TICKET_SECONDS = 15.0
"""Nobody is woken by a ticket: it can wait for a page that explains it."""
CROWD_SECONDS = 4.0
"""So long a silence is held while others of its carrier or area are falling silent too."""
NEAR_SECONDS = 120.0
"""An incident that began this much earlier than what is found now is another one."""
LATE_SECONDS = 60.0
"""So long after it grew last a mass silence may still take one more site."""


GROWN = 1.5
"""A group that explains so many times more is the better name for the same outage."""
CROWDING: frozenset[Cause] = frozenset({"site_silent", "line_down"})
"""What many sites have at once when one carrier or one area fails."""


class Look:
    """One comparison of findings with cases."""

    def __init__(
        self, cases: dict[str, Case], findings: Sequence[Finding], fleet: Fleet, now: float
    ) -> None:
        self._cases = cases
        self._findings = sorted(
            findings, key=lambda one: (-knowing(one.cause), -len(one.units), one.cause, one.key)
        )
        self._fleet = fleet
        self._now = now
        self.found: set[str] = set()
        """Cases that are found by their own cause and key."""
        self.merged: set[str] = set()
        self.units: set[Unit] = {unit for finding in findings for unit in finding.units}

    def refresh(self, quality: Quality | None) -> None:
        """Take what is known of every unit that is open."""
        for case in self._cases.values():
            case.refresh(self._fleet, quality, self._now)

    def place(self) -> list[Finding]:
        """Give every finding to the case it belongs to; return those that have none."""
        self._owner = {
            unit: identity for identity, case in self._cases.items() for unit in case.units
        }
        fresh = []
        for finding in self._findings:
            identity = self._case_of(finding)
            if identity is None:
                fresh.append(finding)
            else:
                self._give(finding, identity)
                self.strip(finding, identity)
        return fresh

    def joins(self, finding: Finding) -> bool:
        """Give a finding to an open outage that explains it; whether there is one."""
        identity = self._joined(finding)
        if identity is not None:
            self._give(finding, identity)
        return identity is not None

    def hold(
        self, finding: Finding, fresh: Sequence[Finding], found_at: Mapping[Unit, float]
    ) -> float:
        """Return how long a finding waits before it is told."""
        if finding.cause in GROUPS:
            return 0.0
        if finding.severity == "ticket":
            return TICKET_SECONDS
        if finding.cause in CROWDING:
            latest = max(
                (
                    found_at[unit]
                    for other in fresh
                    if _alike(other, finding)
                    for unit in other.units
                ),
                default=float("-inf"),
            )
            if self._now - latest < HOLD_SECONDS:
                return CROWD_SECONDS
        return HOLD_SECONDS

    def _case_of(self, finding: Finding) -> str | None:
        for identity, case in self._cases.items():
            if identity in self.merged:
                continue
            if (case.incident.cause, case.incident.key) == (finding.cause, finding.key):
                return identity
        owners = {self._owner[unit] for unit in finding.units if unit in self._owner}
        owners = {
            owner for owner in owners if owner not in self.merged and self._may(owner, finding)
        }
        if owners:
            return min(owners, key=self._rank)
        covered = [
            identity
            for identity, case in self._cases.items()
            if identity not in self.merged
            and case.bad
            and case.bad.keys() <= finding.covers
            and abs(finding.since - case.incident.since) <= NEAR_SECONDS
        ]
        return min(covered, key=self._age, default=None) or self._joined(finding)

    def _may(self, identity: str, finding: Finding) -> bool:
        """Whether a case that has some of the finding's units may be what was found."""
        case = self._cases[identity]
        if finding.units.keys() <= case.units.keys():
            return True
        if case.is_group and finding.cause in GROUPS:
            return True
        engulfed = case.bad.keys() <= finding.units.keys() | finding.covers
        near = abs(finding.since - case.incident.since) <= NEAR_SECONDS
        return engulfed and near

    def _joined(self, finding: Finding) -> str | None:
        """Return the open outage that explains one more silent site or broken line."""
        if finding.cause not in {"site_silent", "line_down"}:
            return None
        for identity, case in self._cases.items():
            incident = case.incident
            if not case.is_group or identity in self.merged or 2 * len(case.bad) < len(case.units):
                continue
            silent = finding.cause == "site_silent"
            if incident.cause == "collector_blind":
                explained = silent
            elif incident.cause == "power_outage":
                explained = silent and incident.area in {"", finding.area}
            elif incident.cause == "mass_silence":
                explained = self._now - case.widened_at < LATE_SECONDS and (
                    incident.carrier in {"", finding.carrier}
                    and incident.area in {"", finding.area}
                    if silent
                    else incident.carrier == finding.carrier
                )
            elif incident.cause == "tslcd_outage":
                explained = not silent and incident.carrier == finding.carrier
            else:
                explained = incident.carrier == finding.carrier
            if explained:
                return identity
        return None

    def _give(self, finding: Finding, identity: str) -> None:
        case = self._cases[identity]
        same = (case.incident.cause, case.incident.key) == (finding.cause, finding.key)
        wider = not case.bad.keys() <= finding.units.keys() | finding.covers
        covered = bool(case.bad) and case.bad.keys() <= finding.covers
        known, before = knowing(finding.cause), knowing(case.incident.cause)
        larger = known == before and len(finding.units) >= GROWN * len(case.bad)
        better = known > before or (case.is_group and larger)
        if not same and not wider and (better or covered):
            case.become(finding, self._now)
            same = True
        else:
            case.take(finding, self._now, same=same)
        if same:
            self.found.add(identity)
        for unit in finding.units:
            self._owner[unit] = identity

    def strip(self, finding: Finding, identity: str | None) -> None:
        """Take a finding's units, and what they explain, from all cases but its own."""
        for other, case in self._cases.items():
            if other == identity or other in self.merged:
                continue
            bad = case.bad.keys()
            theirs = bad & finding.units.keys()
            near = abs(finding.since - case.incident.since) <= NEAR_SECONDS
            whole = bad <= theirs | finding.covers if near else bad <= theirs
            taken = set(bad) if bad and whole else theirs
            if taken:
                case.drop(taken)
                if whole:
                    self.merged.add(other)

    def _rank(self, identity: str) -> tuple[bool, int, float]:
        case = self._cases[identity]
        return not case.is_group, -knowing(case.incident.cause), self._age(identity)

    def _age(self, identity: str) -> float:
        return self._cases[identity].incident.opened_at


def _alike(one: Finding, other: Finding) -> bool:
    """Whether two findings may become one outage."""
    if one is other or one.cause not in CROWDING:
        return False
    same_area = one.cause == other.cause == "site_silent" and one.area == other.area
    return same_area or (one.carrier != "" and one.carrier == other.carrier)
