"""Incidents: which are open. Findings (diagnose.py) are compared with what is open.

`observe` is pure: the fleet and the clock come in, changes go out; what it was not called for is
not lost, and calling it twice does nothing. Whoever calls it writes the changes to the store before
anybody is told (`Store.save`).

- Every unit that fails belongs to one open incident at most, so nothing is told twice.
- A finding that has units of an open incident is that incident: wider, or better understood, never
  worse. It keeps its id, and with it its page. Others that it holds as well are merged into it.
- New findings are held for HOLD_SECONDS, so that many sites that fail within seconds, and layers
  that are asked one after the other, are one cause. Many at once are not held.
- It closes once everything of it has been good for QUIET_SECONDS, longer while it comes and goes.
  Unknown is not good: silence, a restart or a night close nothing. What left the inventory does.
- Where most of the sites came back and the rest do not, it is over, and each of the rest is an
  incident of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from collector.diagnosis.case import Case, opened
from collector.diagnosis.compare import Look
from collector.diagnosis.diagnose import Diagnosis
from collector.diagnosis.finding import GROUPS, Finding, Quality, Unit
from collector.diagnosis.identity import Names
from collector.diagnosis.incident import Change, Incident
from collector.state.fleet import Fleet

REOPENED_SECONDS = 60.0
"""What is bad again so soon after its close comes and goes."""
FORGET_SECONDS = 600.0
"""So long it is remembered that a unit was bad: if it is bad again, it comes and goes."""


class Incidents:
    """The open incidents. `known`: those that were open before; `last_id`: the last one given.

    `quality` finds what is slow and not broken; its findings join the others.
    """

    def __init__(
        self,
        known: Iterable[Incident] = (),
        *,
        last_id: str = "",
        restored_at: float | None = None,
        quality: Quality | None = None,
    ) -> None:
        self._cases = {incident.id: Case(incident) for incident in known}
        self._names = Names(last_id, restored_at)
        self._quality = quality
        self.diagnosis = Diagnosis()
        self._found_at: dict[Unit, float] = {}
        """What was found and is not told yet, and since when."""
        self._ended: dict[Unit, list[float]] = {}
        """When units were bad again, or good again and told so, lately."""
        self._released: set[Unit] = set()
        """What did not come back with the others: told next, without being held."""

    @property
    def open(self) -> Mapping[str, Incident]:
        """By id, oldest first."""
        return {identity: case.incident for identity, case in self._cases.items()}

    def observe(self, fleet: Fleet, now: float) -> list[Change]:
        """Change, close and open what the fleet's state calls for."""
        findings = [*self.diagnosis.findings(fleet, now)]
        if self._quality is not None:
            findings += self._quality.findings(fleet, now)
        if not findings and not self._cases:
            self._found_at.clear()
            return []
        before = self.open
        look = Look(self._cases, findings, fleet, now)
        look.refresh(self._quality)
        opened_now = self._open(look.place(), look, fleet, now)
        changes = self._close(look, fleet, now)
        for identity, case in self._cases.items():
            incident = case.told(now)
            if identity in before and incident is not before[identity]:
                changes.append(Change("changed", incident))
        return changes + opened_now

    def _close(self, look: Look, fleet: Fleet, now: float) -> list[Change]:
        self._released = set()
        changes = []
        for identity, case in list(self._cases.items()):
            ending: Literal["recovered", "removed", "merged"] | None = None
            if identity in look.merged:
                ending = "merged"
            elif not case.units:
                ending = "removed"
            elif case.over(now):
                ending = "recovered"
            elif identity not in look.found:
                rest = case.left_behind(fleet, now)
                if rest and rest <= look.units:
                    case.drop(rest)
                    self._released |= rest
                    ending = "recovered"
            if ending is None:
                continue
            if ending == "recovered":
                for unit in case.units:
                    self._ended[unit] = [*case.returns, now]
            changes.append(Change("closed", case.closed(now, ending)))
            del self._cases[identity]
        return changes

    def _open(self, fresh: Sequence[Finding], look: Look, fleet: Fleet, now: float) -> list[Change]:
        found_at = {
            unit: float("-inf") if unit in self._released else self._found_at.get(unit, now)
            for finding in fresh
            for unit in finding.units
        }
        changes = []
        for finding in sorted(fresh, key=lambda one: one.cause not in GROUPS):
            if look.joins(finding):
                continue  # an outage that was opened just now
            first = min(found_at[unit] for unit in finding.units)
            if now - first < look.hold(finding, fresh, found_at):
                continue
            look.strip(finding, None)
            case = opened(self._names.next(fleet.inventory, now), finding, now)
            self._remember_returns(case, now)
            self._cases[case.incident.id] = case
            changes.append(Change("opened", case.incident))
        self._found_at = {unit: at for unit, at in found_at.items() if at > float("-inf")}
        return changes

    def _remember_returns(self, case: Case, now: float) -> None:
        """Tell a case how often its units were told good lately: it may come and go."""
        for unit, ends in list(self._ended.items()):
            if now - ends[-1] >= FORGET_SECONDS:
                del self._ended[unit]
        ends = max((self._ended.get(unit, []) for unit in case.units), key=len)
        for end in ends:
            case.came_back(end, now)
        if ends and now - ends[-1] < REOPENED_SECONDS:
            case.flap()
