"""Case: one open incident while it lives: its units, which of them are good again, its story."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from collector.diagnosis.finding import GROUPS, Finding, Quality, Unit
from collector.diagnosis.incident import Incident, Mark, Member, Sign, Step
from collector.diagnosis.layers import CLOCK_GOOD_SECONDS, clock_is_wrong
from collector.diagnosis.silence import on_mains
from collector.inventory.model import Series
from collector.state.fleet import Fleet

QUIET_SECONDS = 8.0
"""All has to be good for so long before it is over."""
FLAPPING_QUIET_SECONDS = 90.0
FLAPPING_RETURNS = 2
FLAPPING_SECONDS = 600.0
"""It flaps once it came back to being bad so often within so long."""
STRAGGLERS_SECONDS = 30.0
"""So long after the last of the many came back the rest are troubles of their own."""
MOST_STEPS = 50
STEP_SECONDS = 10.0
"""Widening or narrowing that goes on is one step."""

Kind = Literal["opened", "widened", "narrowed", "understood", "closed"]


class Trouble(Struct):
    """One unit of a case."""

    site: str
    since: float
    failure: str = ""
    detail: str = ""
    up_at: float | None = None


class Case:
    """Mutable; `incident` is what was told last."""

    def __init__(self, incident: Incident) -> None:
        self.incident = incident
        self.units: dict[Unit, Trouble] = {}
        self.returns: list[float] = []
        """When it became bad again after all had been good."""
        self.widened_at = incident.opened_at
        self._changed = True
        for member in incident.members:
            self.units[member.series] = Trouble(
                "", member.since, member.failure, member.detail, member.up_at
            )
        for mark in incident.marks:
            self.units[mark.sign] = Trouble(mark.site, mark.since, up_at=mark.up_at)
        if incident.cause == "site_silent" and not incident.marks:  # kept by an earlier release
            for site in incident.sites:
                self.units[Sign("silent", site)] = Trouble(site, incident.since)

    @property
    def bad(self) -> dict[Unit, Trouble]:
        """What is not known to be good again."""
        return {unit: one for unit, one in self.units.items() if one.up_at is None}

    @property
    def good_since(self) -> float | None:
        """When the last unit became good; None while any is bad or unknown."""
        ends = [one.up_at for one in self.units.values() if one.up_at is not None]
        return max(ends) if ends and len(ends) == len(self.units) else None

    @property
    def is_group(self) -> bool:
        """Whether it is about many sites by its nature."""
        return self.incident.cause in GROUPS

    def refresh(self, fleet: Fleet, quality: Quality | None, now: float) -> None:
        """Take what is known of each unit now; what left the inventory is forgotten."""
        was_good = self.good_since is not None
        for unit, trouble in list(self.units.items()):
            before = trouble.up_at
            if isinstance(unit, Series):
                known = fleet.series.get(unit)
                if known is None or (trouble.site and known.site != trouble.site):
                    self.drop({unit})
                    continue
                trouble.site = known.site
                if known.state == "down":
                    trouble.up_at = None
                elif known.state == "up" and known.votes[-1].failure is None:
                    trouble.up_at = trouble.up_at or max(known.since, trouble.since)
            elif trouble.site not in fleet.sites:
                self.drop({unit})
            else:
                _refresh_sign(unit, trouble, fleet, quality, now)
            self._changed = self._changed or trouble.up_at != before
        if was_good and self.units and self.good_since is None:
            self.came_back(now, now)

    def came_back(self, at: float, now: float) -> None:
        """Count one more return to being bad."""
        self.returns = [one for one in (*self.returns, at) if now - one < FLAPPING_SECONDS]
        if len(self.returns) >= FLAPPING_RETURNS:
            self.flap()

    def flap(self) -> None:
        """Say that it comes and goes: it has to be good for longer from now on."""
        self.incident = replace(self.incident, flapping=True)

    def take(self, finding: Finding, now: float, *, same: bool = False) -> None:
        """Add a finding's units; `same`: it has this case's cause and key, and newer facts."""
        fresh = finding.units.keys() - self.units.keys()
        for unit in finding.units:
            if unit in fresh:
                one = finding.units[unit]
                self.units[unit] = Trouble(one.site, one.since, one.failure, one.detail)
        if fresh:
            self.widened_at = now
            self._changed = True
            if same:
                self.incident = described(self.incident, finding)

    def drop(self, units: AbstractSet[Unit]) -> None:
        """Give units up to another case."""
        for unit in units:
            del self.units[unit]
        self._changed = True

    def become(self, finding: Finding, now: float) -> None:
        """Be about this finding from now on; what it was before is only its story."""
        self.units = {
            unit: one
            for unit, one in self.units.items()
            if one.up_at is not None or unit in finding.units
        }
        self.take(finding, now)
        self._changed = True
        self.incident = described(self.incident, finding)
        self._note("understood", now, len(finding.sites))

    def over(self, now: float) -> bool:
        """Whether it has been good for long enough."""
        good = self.good_since
        quiet = FLAPPING_QUIET_SECONDS if self.incident.flapping else QUIET_SECONDS
        return good is not None and now - good >= quiet

    def left_behind(self, fleet: Fleet, now: float) -> set[Unit]:
        """Return the units that did not come back with most of the others, if there are any."""
        bad = self.bad
        returned = [one for one in self.units.values() if one.up_at is not None]
        last = max((one.up_at or 0.0 for one in returned), default=now)
        if len({one.site for one in self.units.values()}) < 2:
            return set()
        if not bad or len({one.site for one in returned}) < len({one.site for one in bad.values()}):
            return set()
        intervals = [fleet.series[unit].interval for unit in bad if isinstance(unit, Series)]
        patience = max([STRAGGLERS_SECONDS, *(1.5 * one + 10.0 for one in intervals)])
        return set(bad) if now - last >= patience else set()

    def told(self, now: float) -> Incident:
        """Return the incident as it is now; the same object where nothing changed."""
        if not self._changed:
            return self.incident
        self._changed = False
        bad = self.bad
        sites = tuple(sorted({one.site for one in bad.values()})) or self.incident.sites
        before = set(self.incident.sites)
        if set(sites) - before:
            self._note("widened", now, len(sites))
        elif before - set(sites):
            self._note("narrowed", now, len(sites))
        fresh = replace(
            self.incident,
            sites=sites,
            members=tuple(self._members()),
            marks=tuple(self._marks()),
        )
        if fresh != self.incident:
            self.incident = fresh
        return self.incident

    def closed(self, now: float, ending: Literal["recovered", "removed", "merged"]) -> Incident:
        """Return it as it ended."""
        good = self.good_since
        end = good if ending == "recovered" and good is not None else now
        every = {one.site for one in self.units.values()} | set(self.incident.sites)
        self.incident = replace(
            self.incident,
            sites=tuple(sorted(every)),
            members=tuple(self._members()),
            marks=tuple(self._marks()),
            closed_at=max(self.incident.since, end),
            ending=ending,
        )
        self._note("closed", now)
        return self.incident

    def _members(self) -> Iterable[Member]:
        for unit, one in self.units.items():
            if isinstance(unit, Series):
                yield Member(
                    series=unit,
                    since=one.since,
                    failure=one.failure,
                    detail=one.detail,
                    up_at=one.up_at,
                )

    def _marks(self) -> Iterable[Mark]:
        for unit, one in self.units.items():
            if isinstance(unit, Sign):
                yield Mark(sign=unit, site=one.site, since=one.since, up_at=one.up_at)

    def _note(self, kind: Kind, now: float, sites: int | None = None) -> None:
        self.incident = noted(self.incident, kind, now, sites)


def opened(identity: str, finding: Finding, now: float) -> Case:
    """Return a new case."""
    blank = Incident(
        id=identity,
        cause=finding.cause,
        scope=finding.scope,
        severity=finding.severity,
        sites=finding.sites,
        since=finding.since,
        opened_at=now,
    )
    case = Case(described(blank, finding))
    case.take(finding, now)
    case.incident = noted(case.incident, "opened", now)
    case.told(now)
    return case


def described(incident: Incident, finding: Finding) -> Incident:
    """Return an incident in the finding's words."""
    return replace(
        incident,
        cause=finding.cause,
        key=finding.key,
        scope=finding.scope,
        severity=finding.severity,
        carrier=finding.carrier,
        area=finding.area,
        line=finding.line,
        check=finding.check,
        system=finding.system,
        owner=finding.owner,
        since=min(incident.since, finding.since),
        facts={"rule": finding.rule, **finding.facts},
    )


def noted(incident: Incident, kind: Kind, now: float, sites: int | None = None) -> Incident:
    """Return it with one more step; steps of one kind that follow each other closely are one."""
    step = Step(
        at=now,
        kind=kind,
        cause=incident.cause,
        sites=len(incident.sites) if sites is None else sites,
    )
    life = incident.life
    if life and life[-1].kind == kind and now - life[-1].at < STEP_SECONDS:
        step = replace(step, at=life[-1].at)
        life = life[:-1]
    return replace(incident, life=(*life, step)[-MOST_STEPS:])


def _refresh_sign(
    sign: Sign, trouble: Trouble, fleet: Fleet, quality: Quality | None, now: float
) -> None:
    if sign.kind == "silent":
        site = fleet.sites[sign.subject]
        dark = site.contact == "closed" and on_mains(sign.subject, fleet) is False
        if site.contact in {"live", "closed"} and not dark:
            trouble.up_at = trouble.up_at or max(site.last_seen or now, trouble.since)
        elif site.contact == "silent":
            trouble.up_at = None
    elif sign.kind == "clock":
        agent = fleet.agents.get(sign.subject)
        if agent is None or agent.contact != "live" or agent.clock_offset is None:
            return
        wrong = clock_is_wrong(agent, CLOCK_GOOD_SECONDS)
        trouble.up_at = None if wrong else trouble.up_at or now
    elif quality is not None:
        good = quality.good_since(fleet, sign.subject)
        trouble.up_at = None if good is None else max(good, trouble.since)
