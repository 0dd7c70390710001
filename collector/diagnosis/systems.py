"""Systems: what all viewpoints together say of a target: the server's fault, or one site's.

- A target is down when two sites or more find so and more than find it well, or when the data
  centre finds so and not more find it well. Who stands above a broken layer is not asked.
- Found well counts only if it was found after the failing ones began to: before, nobody knew.
- Where others find it well, it is those sites' trouble: one finding for each site, or one for the
  system where many sites have it.
- Where nobody else has looked since, the second look is waited for, SECOND_LOOK_SECONDS at most.
- A check of a site's own thing, and one that must not be answered, is told as what it is.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from collector.diagnosis.finding import (
    Evidence,
    Finding,
    Unit,
    evidence_of,
    many,
    named,
    severity_of,
    shares,
)
from collector.diagnosis.incident import Cause
from collector.diagnosis.layers import after_connecting
from collector.diagnosis.places import PATH_LAYERS, Places, Target
from collector.diagnosis.viewpoints import View
from collector.inventory.model import Series
from collector.state.fleet import Fleet
from collector.state.states import BELOW_SERVICE

SECOND_LOOK_SECONDS = 10.0

CERTIFICATE = frozenset({"tls_untrusted", "tls_expired", "tls_not_yet_valid", "tls_wrong_name"})
PORTAL = frozenset({"http_redirect", "http_body", "http_status"})
"""How a page fails that somebody else answers for."""


class Verdict(Struct, frozen=True, kw_only=True):
    """Of one target."""

    down: bool
    failing: tuple[Series, ...]
    well: int
    """Sites that found it well since."""
    centre: str
    """down, well or "" where the data centre has not looked."""


def judge(
    views: Iterable[View], fleet: Fleet, places: Places, now: float, carriers: Iterable[str] = ()
) -> list[Finding]:
    """Return what complaints come to. `carriers`: those that are known to fail, their anchors too."""
    known = places.inventory.carriers
    dead = {anchor for carrier in carriers for anchor in known[carrier].anchors}
    return _Judge(fleet, places, now, dead).judge(views)


class _Judge:
    def __init__(self, fleet: Fleet, places: Places, now: float, dead: set[str]) -> None:
        self._fleet = fleet
        self._places = places
        self._now = now
        self._dead = dead

    def judge(self, views: Iterable[View]) -> list[Finding]:
        own: dict[str, list[Series]] = defaultdict(list)
        targets: dict[Target, list[Series]] = defaultdict(list)
        for view in views:
            for series in view.complaints:
                if series.target in self._dead:
                    continue
                if self._is_own(series):
                    own[series.check].append(series)
                else:
                    targets[self._places.target(series)].append(series)
        found = [one for check, series in own.items() for one in self._checks(check, series)]
        down: dict[tuple[Cause, str], list[Verdict]] = defaultdict(list)
        alone: dict[str, list[Verdict]] = defaultdict(list)
        for target, failing in targets.items():
            verdict = self._verdict(target, failing)
            if verdict is None:
                continue
            if verdict.down:
                down[self._cause(verdict), self._key(target, verdict)].append(verdict)
            else:
                alone[target[0]].append(verdict)
        found += [self._down(cause, key, verdicts) for (cause, key), verdicts in self._shared(down)]
        found += self._from_sites(alone)
        return found

    def _shared(
        self, down: Mapping[tuple[Cause, str], list[Verdict]]
    ) -> Iterable[tuple[tuple[Cause, str], list[Verdict]]]:
        """Yield the same, but own pages of many sites that fail at once as one: what serves them."""
        pages: dict[tuple[Cause, str], list[list[Verdict]]] = defaultdict(list)
        for (cause, key), verdicts in down.items():
            system, _, subject = key.partition("@")
            if subject:
                pages[cause, system].append(verdicts)
            else:
                yield (cause, key), verdicts
        for (cause, system), of_sites in pages.items():
            watching = {
                site
                for check in self._places.inventory.checks.values()
                if check.system == system
                for site in self._places.watching[check.id]
            }
            if many(len(of_sites), len(watching)):
                yield (cause, system), [one for verdicts in of_sites for one in verdicts]
                continue
            for verdicts in of_sites:
                yield (cause, self._key_of_page(system, verdicts)), verdicts

    def _key_of_page(self, system: str, verdicts: list[Verdict]) -> str:
        return f"{system}@{self._fleet.series[verdicts[0].failing[0]].site}"

    def _is_own(self, series: Series) -> bool:
        check = self._places.check(series)
        return (
            check.local
            or check.expect == "unreachable"
            or check.layer in BELOW_SERVICE
            or self._places.scope[check.id] == "site"
        )

    def _checks(self, check: str, failing: list[Series]) -> Iterable[Finding]:
        """One for each site; one in all where many sites have it."""
        by_site: dict[str, list[Series]] = defaultdict(list)
        for series in failing:
            if not self._is_unheard(series):
                by_site[self._fleet.series[series].site].append(series)
        whole = self._places.inventory.checks[check].expect == "unreachable"
        watching = len(self._places.watching[check])
        if whole or many(len(by_site), watching):
            units = [series for of_site in by_site.values() for series in of_site]
            rule = f"many sites alike: {shares(len(by_site), watching, 'sites')}"
            if units:
                yield self._check_down(check, check, units, rule)
            return
        for site, here in by_site.items():
            yield self._check_down(check, f"{check}@{site}", here, "no other rule knows why")

    def _is_unheard(self, series: Series) -> bool:
        """Whether the place whose own thing it is was not heard when it was asked last."""
        state = self._fleet.series[series]
        if self._places.scope[series.check] != "site":
            return False
        agents = [self._fleet.agents[name] for name in self._places.agents(state.site)]
        returned = max((agent.returned_at for agent in agents), default=float("-inf"))
        asked = state.votes[-1].at if state.votes else state.since
        return state.site in self._fleet.silent or asked <= returned

    def _check_down(self, check: str, key: str, failing: list[Series], rule: str) -> Finding:
        info = self._places.inventory.checks[check]
        system = self._places.inventory.systems[info.system]
        return Finding(
            cause="check_down",
            key=key,
            scope=system.scope,
            # One of a path's anchors is dead, and the path is not: nobody suffers.
            severity="ticket"
            if info.layer in PATH_LAYERS and not info.local
            else severity_of(info, system.scope),
            units=self._units(failing),
            check=check,
            system=info.system,
            owner=system.owner,
            rule=rule,
        )

    def _verdict(self, target: Target, failing: list[Series]) -> Verdict | None:
        states, places = self._fleet.series, self._places
        sites = {places.inventory.site_of_agent[series.agent] for series in failing}
        onsets = sorted(states[series].since for series in failing)
        # Half of them failed by then: later successes are no leftovers of better times.
        onset = onsets[len(onsets) // 2]
        well, others = set(), 0
        for series in places.watchers[target]:
            site = places.inventory.site_of_agent[series.agent]
            if site in sites:
                continue
            state = states[series]
            if state.state == "up" and state.voted_at > onset and state.votes[-1].failure is None:
                well.add(site)
            elif state.state == "up":
                others += 1
        centre = "down" if sites & places.centres else "well" if well & places.centres else ""
        if len(sites) == 1 and not well and others:
            latest = max(states[series].interval for series in failing) + 3.0
            if self._now < onset + min(SECOND_LOOK_SECONDS, latest):
                return None
        down = (len(sites) >= 2 and len(sites) > len(well)) or (
            centre == "down" and len(sites) >= len(well)
        )
        return Verdict(down=down, failing=tuple(failing), well=len(well), centre=centre)

    def _cause(self, verdict: Verdict) -> Cause:
        failures = [self._failure(series) for series in verdict.failing]
        check = self._places.check(verdict.failing[0])
        if self._places.scope[check.id] == "external":
            return "external"
        if failures.count("dns_wrong_answer") * 2 > len(failures):
            return "dns_hijack"
        if check.layer == "dns":
            return "dns_broken"
        if sum(failure in CERTIFICATE for failure in failures) * 2 > len(failures):
            return "certificate"
        return "system_down"

    def _key(self, target: Target, verdict: Verdict) -> str:
        """Return the system; a certificate's host; of one site's own pages the site too."""
        system = target[0]
        if self._cause(verdict) == "certificate":
            return f"{system}/{_host(target[2])}"
        series = verdict.failing[0]
        subject = self._fleet.series[series].site
        subjects = {self._fleet.series[one].site for one in self._places.watchers[target]}
        away = any(
            self._places.inventory.site_of_agent[one.agent] != subject
            for one in self._places.watchers[target]
        )
        return f"{system}@{subject}" if away and len(subjects) == 1 else system

    def _down(self, cause: Cause, key: str, verdicts: list[Verdict]) -> Finding:
        failing = [series for verdict in verdicts for series in verdict.failing]
        info = self._places.check(failing[0])
        system = self._places.inventory.systems[info.system]
        centre = next((verdict.centre for verdict in verdicts if verdict.centre), "not asked")
        return Finding(
            cause=cause,
            key=key,
            scope=system.scope,
            severity=severity_of(info, system.scope),
            units=self._units(failing),
            check=info.id if len({series.check for series in failing}) == 1 else "",
            system=info.system,
            owner=system.owner,
            rule="more sites find it failing than well since, or the data centre does",
            facts={
                "failing": named(sorted({series.target for series in failing})),
                "well": str(max(verdict.well for verdict in verdicts)),
                "data centre": centre,
            },
        )

    def _from_sites(self, alone: Mapping[str, list[Verdict]]) -> Iterable[Finding]:
        """One for a system that many sites do not reach; the rest is told site by site."""
        by_site: dict[str, list[Series]] = defaultdict(list)
        well: dict[str, int] = defaultdict(int)
        for system, verdicts in alone.items():
            failing = [series for verdict in verdicts for series in verdict.failing]
            sites = {self._place(series) for series in failing}
            watching = {
                self._place(series)
                for verdict in verdicts
                for series in self._places.watchers[self._places.target(verdict.failing[0])]
            }
            if many(len(sites), len(watching)):
                facts = {"failing": shares(len(sites), len(watching), "sites")}
                yield self._unreachable(system, failing, facts)
                continue
            for series in failing:
                by_site[self._place(series)].append(series)
                well[self._place(series)] += sum(verdict.well for verdict in verdicts)
        for site, failing in by_site.items():
            yield self._from_site(site, failing, well[site])

    def _from_site(self, site: str, failing: list[Series], well: int) -> Finding:
        systems = {self._places.check(series).system for series in failing}
        facts = {"systems": named(sorted(systems)), "well at other sites": str(well)}
        if any(self._answered_for(series) for series in failing):
            return Finding(
                cause="captive_portal",
                key=site,
                units=self._units(failing),
                rule="a page is answered by somebody else here, and as it should be elsewhere",
                facts=facts,
            )
        hanging = [one for one in failing if after_connecting(self._fleet.series[one])]
        if len({self._places.check(one).system for one in hanging}) >= 2:
            return Finding(
                cause="mtu_blackhole",
                key=site,
                units=self._units(failing),
                rule="several systems connect and then hang here, and work elsewhere",
                facts=facts,
            )
        return self._unreachable(site, failing, facts)

    def _unreachable(self, key: str, failing: list[Series], facts: dict[str, str]) -> Finding:
        systems = {self._places.check(series).system for series in failing}
        checks = {series.check for series in failing}
        known = self._places.inventory.systems
        severities = {
            severity_of(self._places.check(series), self._places.scope[series.check])
            for series in failing
        }
        return Finding(
            cause="system_unreachable_from_site",
            key=key,
            severity="page" if "page" in severities else "ticket",
            units=self._units(failing),
            check=checks.pop() if len(checks) == 1 else "",
            system=(only := systems.pop() if len(systems) == 1 else ""),
            owner=known[only].owner if only else "",
            rule="the layers below are well here, and others reach it",
            facts=facts,
        )

    def _answered_for(self, series: Series) -> bool:
        failure = self._failure(series)
        return failure == "http_redirect" or (
            series.target.startswith("http://") and failure in PORTAL
        )

    def _units(self, failing: Iterable[Series]) -> dict[Unit, Evidence]:
        return {series: evidence_of(self._fleet.series[series]) for series in failing}

    def _failure(self, series: Series) -> str:
        first = self._fleet.series[series].first_failure
        return (first.failure if first else "") or ""

    def _place(self, series: Series) -> str:
        return self._places.inventory.site_of_agent[series.agent]


def _host(target: str) -> str:
    return (urlsplit(target).hostname if "//" in target else target.rpartition(":")[0]) or target
