"""Tiles: the one word a site shows, kept up to date from single changes."""

from collections.abc import Iterator, Mapping

from collector.inventory.model import Inventory, Series
from collector.state.states import (
    BELOW_SERVICE,
    AgentState,
    Contact,
    SeriesState,
    SiteState,
    Tile,
    Transition,
)


class Tiles:
    """Writes `state` and `contact` of the sites it was given; reads agents and series."""

    def __init__(
        self,
        inventory: Inventory,
        agents: Mapping[str, AgentState],
        series: Mapping[Series, SeriesState],
        sites: Mapping[str, SiteState],
    ) -> None:
        self._sites = sites
        self._agents: dict[str, list[AgentState]] = {site: [] for site in sites}
        for agent in agents.values():
            self._agents[agent.site].append(agent)
        self._colouring = {
            check.id: check.layer in BELOW_SERVICE
            for check in inventory.checks.values()
            if inventory.systems[check.system].scope == "site"
        }
        self._counts: dict[tuple[str, str], dict[str, int]] = {}
        self._failing: dict[str, set[str]] = {site: set() for site in sites}
        self.silent: set[str] = set()
        for key, state in series.items():
            self._count(key, state.site, state.state, 1)

    def series_changed(
        self, series: Series, before: str, state: SeriesState, now: float
    ) -> Iterator[Transition]:
        """Take the change of one series; yield its site's if that changes too."""
        if series.check in self._colouring:
            self._count(series, state.site, before, -1)
            self._count(series, state.site, state.state, 1)
            yield from self.settle(state.site, state.since, now)

    def settle(self, site: str, since: float, now: float) -> Iterator[Transition]:
        """Work a site out anew; yield its change, if there is one."""
        state = self._sites[site]
        state.contact = self._contact(site)
        state.last_seen = max(
            (agent.heard_at for agent in self._agents[site] if agent.heard_at is not None),
            default=None,
        )
        if state.contact == "silent":
            self.silent.add(site)
        else:
            self.silent.discard(site)
        before, state.state = state.state, self._tile(site)
        if state.state != before:
            state.since = since
            yield Transition(now, "site", site, before, state.state, since)

    def _count(self, series: Series, site: str, state: str, change: int) -> None:
        if series.check not in self._colouring or state == "unknown":
            return
        counts = self._counts.setdefault((site, series.check), {"up": 0, "down": 0})
        counts[state] += change
        if counts["down"]:
            self._failing[site].add(series.check)
        else:
            self._failing[site].discard(series.check)

    def _contact(self, site: str) -> Contact:
        contacts = {agent.contact for agent in self._agents[site]}
        order: tuple[Contact, ...] = ("live", "silent", "closed")
        return next((contact for contact in order if contact in contacts), "never")

    def _tile(self, site: str) -> Tile:
        failing = self._failing[site]
        for check in failing:
            if self._colouring[check] and not self._counts[site, check]["up"]:
                return "down"
        contact = self._sites[site].contact
        if contact == "silent":
            return "silent"
        if failing or (
            contact == "live" and any(agent.contact == "silent" for agent in self._agents[site])
        ):
            return "degraded"
        return "ok" if contact == "live" else contact
