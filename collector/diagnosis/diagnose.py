"""Diagnosis: from the fleet, the inventory and the clock to findings.

A pure function of the three, made cheap: what each agent says (viewpoints.py) is kept until
something of that agent changed, and only agents that say anything are put together (outages.py,
systems.py). Two looks at the same state at the same time give equal findings.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from collector.diagnosis.finding import GROUPS, Evidence, Finding, Unit, many, shares
from collector.diagnosis.incident import Cause, Severity
from collector.diagnosis.layers import CLOCK_SECONDS, Broken, clock_is_wrong
from collector.diagnosis.outages import outages
from collector.diagnosis.places import Places
from collector.diagnosis.systems import judge
from collector.diagnosis.viewpoints import View, look
from collector.inventory.model import Inventory
from collector.state.fleet import Fleet

AGAIN_SECONDS = 1.0
"""Findings rest on times too: they are made anew this often while there is any trouble."""
AT_ONCE = 200
"""So many troubled agents are looked at again in one look, for samples that changed no state."""

_Stamp = tuple[int, str, bool, bool]

_SEVERITY: dict[Cause, Severity] = {"clock_wrong": "ticket"}


class Diagnosis:
    """What was found out about one fleet, kept from look to look."""

    def __init__(self) -> None:
        self._places: Places | None = None
        self._stamps: dict[str, _Stamp] = {}
        self._samples: dict[str, tuple[int, str]] = {}
        self._views: dict[str, View] = {}
        """Of the agents that have anything to say."""
        self._silent: frozenset[str] = frozenset()
        self._findings: list[Finding] = []
        self._due = float("-inf")

    @property
    def views(self) -> dict[str, View]:
        """What each agent says that has anything to say."""
        return self._views

    def places(self, inventory: Inventory) -> Places:
        """Return the inventory's places; other ones once it is another inventory."""
        if self._places is None or self._places.inventory is not inventory:
            self._places = Places(inventory)
            self._stamps.clear()
            self._views.clear()
        return self._places

    def findings(self, fleet: Fleet, now: float) -> Sequence[Finding]:
        """Return everything that is wrong now."""
        places = self.places(fleet.inventory)
        changed = self._look_again(fleet, places, now)
        silent = frozenset(fleet.silent)
        if changed or silent != self._silent or now >= self._due or now < self._due - AGAIN_SECONDS:
            self._silent = silent
            self._findings = list(self._put_together(fleet, places, now))
            quiet = not (self._findings or self._views or silent)
            self._due = now + AGAIN_SECONDS * (10 if quiet else 1)
        return self._findings

    def _look_again(self, fleet: Fleet, places: Places, now: float) -> bool:
        changed, turns = False, AT_ONCE
        for name, post in places.posts.items():
            agent = fleet.agents[name]
            view = self._views.get(name)
            wrong = clock_is_wrong(agent, CLOCK_SECONDS)
            stamp = (agent.changes, agent.contact, agent.via == "", wrong)
            if stamp == self._stamps.get(name):
                samples = (agent.samples, agent.via)
                if view is None or (not view.waiting and samples == self._samples.get(name)):
                    continue
                if not turns:
                    continue
                turns -= 1
                self._samples[name] = samples
            self._stamps[name] = stamp
            seen = look(post, fleet, places, now)
            changed = changed or seen != (view or seen)
            if seen.trouble:
                changed = changed or view is None
                self._views[name] = seen
            elif view is not None:
                del self._views[name]
        return changed

    def _put_together(self, fleet: Fleet, places: Places, now: float) -> Iterable[Finding]:
        wide = list(outages(fleet, places, self._views, now))
        yield from wide
        yield from _layers(self._views.values(), places)
        carriers = {one.carrier for one in wide if one.cause in GROUPS and one.carrier}
        yield from judge(self._views.values(), fleet, places, now, carriers)


def _layers(views: Iterable[View], places: Places) -> Iterable[Finding]:
    """Yield what is broken at sites beside lines: one for each site, or one where many have it."""
    same: dict[Cause, dict[str, list[Broken]]] = defaultdict(lambda: defaultdict(list))
    for view in views:
        for broken in view.broken:
            if broken.cause != "line_down":
                same[broken.cause][broken.site].append(broken)
    sites = sum(bool(site.agents) for site in places.inventory.sites.values())
    for cause, by_site in same.items():
        if cause not in {"clock_wrong", "lan_down"} and many(len(by_site), sites):
            every = [one for broken in by_site.values() for one in broken]
            yield _layer(cause, "province", every, places, shares(len(by_site), sites, "sites"))
            continue
        for site, here in by_site.items():
            yield _layer(cause, site, here, places, "")


def _layer(cause: Cause, key: str, broken: Sequence[Broken], places: Places, at: str) -> Finding:
    units: dict[Unit, Evidence] = {}
    for one in broken:
        units |= one.units
    checks = {unit.check for unit in units if hasattr(unit, "check")}
    systems = {places.inventory.checks[check].system for check in checks}
    system = systems.pop() if len(systems) == 1 else ""
    areas = {places.inventory.sites[one.site].former_province for one in broken}
    facts = dict(broken[0].facts)
    if at:
        facts["at"] = at
    return Finding(
        cause=cause,
        key=key,
        scope="central" if at else "site",
        severity=_SEVERITY.get(cause, "page"),
        units=units,
        covers=frozenset[Unit]().union(*(one.covers for one in broken)),
        area=areas.pop() if len(areas) == 1 else "",
        line=broken[0].line if len(broken) == 1 else "",
        system=system,
        owner=places.inventory.systems[system].owner if system else "",
        rule=broken[0].rule,
        facts=facts,
    )
