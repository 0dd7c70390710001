"""Silence: who is not heard that should be, and who of them may have one cause.

Nothing is expected of an office outside office hours, but for a phase that ends on the day it
begins: then it is on duty. What falls silent just before they close is people going home.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from collector.diagnosis.finding import Evidence, Finding, Unit, many
from collector.diagnosis.incident import Sign
from collector.diagnosis.places import Places
from collector.inventory.model import Inventory
from collector.state.fleet import Fleet

DARK_SECONDS = 3600.0
"""So long a bye on battery may be part of a power outage that goes on."""
LEAVING_SECONDS = 300.0
"""So long before the offices close people switch off and go."""


IsDown = Callable[[str, float], bool]
"""Whether lines of a carrier are known to have failed at about a time."""


class Group(Struct, frozen=True, kw_only=True):
    """Silent sites that may have one cause."""

    sites: tuple[str, ...]
    carrier: str = ""
    area: str = ""
    of: int
    """How many sites there are of this carrier or area that should be heard."""


class Silence:
    """The silent sites of one look."""

    def __init__(self, fleet: Fleet, places: Places, now: float) -> None:
        self._fleet = fleet
        self._places = places
        self._inventory = places.inventory
        self._now = now
        self.since = self._silences()
        """Sites that are silent, or went on battery: these are told of only where many did."""
        self.carrier = {site: self.heard_over(site) for site in self.since}
        """Of the silent: whose network they were heard over last."""

    def _silences(self) -> dict[str, float]:
        found = {}
        for site in self._fleet.silent:
            last_seen = self._fleet.sites[site].last_seen
            since = self._now if last_seen is None else last_seen
            if site in self._places.centres or expected(self._inventory, since):
                found[site] = since
        for site, state in self._fleet.sites.items():
            if state.contact == "closed" and state.last_seen is not None:
                near = self._now - state.last_seen < DARK_SECONDS
                dark = near and on_mains(site, self._fleet) is False
                if dark and expected(self._inventory, state.last_seen):
                    found[site] = state.last_seen
        return found

    def heard_over(self, site: str) -> str:
        """Return the carrier a site was heard over last; "" where nothing tells."""
        for name in self._inventory.sites[site].agents:
            agent = self._fleet.agents[name]
            carrier = agent.carrier or (agent.via and self._places.carrier(site, agent.via))
            if carrier and not self._places.is_tslcd(site, agent.via):
                return carrier
        return self._places.carrier(site, "")

    def heard(self) -> Iterable[str]:
        """Yield the sites that are heard or should be."""
        for site, state in self._fleet.sites.items():
            if state.contact == "live" or site in self.since:
                yield site

    def groups(self, cluster: Sequence[str], is_down: IsDown) -> Iterable[Group]:
        """Yield the carriers and areas that lost many sites at once, the hardest hit first."""
        left = {site for site in cluster if site not in self._places.centres}
        while len(left) >= 5:
            of: dict[tuple[str, str], int] = defaultdict(int)
            hit: dict[tuple[str, str], list[str]] = defaultdict(list)
            for site in self.heard():
                if site in self._places.centres:
                    continue
                area = self._inventory.sites[site].former_province
                for name in {("", ""), (self._depends_on(site), ""), ("", area)}:
                    of[name] += 1
                    if site in left:
                        hit[name].append(site)
            able = [
                name
                for name, sites in hit.items()
                if many(len(sites), of[name])
                and _stands_out(len(sites), of[name], len(left), of["", ""])
            ]
            if not able:
                return
            name = max(able, key=lambda name: self._likely(name, of[name], hit[name], is_down))
            yield Group(sites=tuple(sorted(hit[name])), carrier=name[0], area=name[1], of=of[name])
            left -= set(hit[name])

    def _depends_on(self, site: str) -> str:
        """Return the carrier whose end a site cannot survive; "" where it has another line."""
        if site not in self.since:
            lines = [one for one in self._inventory.lines.get(site, ()) if one.kind != "tslcd"]
            if len({one.carrier for one in lines if one.select != "none"}) > 1:
                return ""
        return self.carrier.get(site) or self.heard_over(site)

    def _likely(
        self, name: tuple[str, str], of: int, sites: Sequence[str], is_down: IsDown
    ) -> tuple[bool, float, int]:
        """Return what to choose a group by: what others confirm, then the share, then the size."""
        carrier, area = name
        confirmed = bool(carrier) and is_down(carrier, self.first(sites))
        # The whole province is named only where hardly anybody is left.
        share = len(sites) / of - (0.0 if carrier or area else 0.2)
        return confirmed, share, len(sites)

    def first(self, sites: Iterable[str]) -> float:
        """Return when the first of some silent sites fell silent."""
        return min(self.since[site] for site in sites)

    def on_battery(self, sites: Iterable[str]) -> tuple[int, int]:
        """Return how many were on battery by their last word, of how many that told."""
        told = [word for site in sites if (word := on_mains(site, self._fleet)) is not None]
        return told.count(False), len(told)

    def alone(self, site: str) -> Finding:
        """Return that one site is silent, and nobody with it."""
        return Finding(
            cause="site_silent",
            key=site,
            units=self.units([site]),
            carrier=self.carrier[site],
            area=self._inventory.sites[site].former_province,
            rule="a site that was heard is not heard any more, without a bye",
            facts=last_words(site, self._fleet),
        )

    def units(self, sites: Iterable[str]) -> dict[Unit, Evidence]:
        """Return what shows that these are silent."""
        return {
            Sign("silent", site): Evidence(
                site=site, since=self.since.get(site, self._now), failure="silent"
            )
            for site in sites
        }


def expected(inventory: Inventory, at: float) -> bool:
    """Whether offices are at work, or on duty for a phase that ends on the day it begins."""
    moment = datetime.fromtimestamp(at, UTC)
    later = datetime.fromtimestamp(at + LEAVING_SECONDS, UTC)
    if inventory.is_open(moment) and inventory.is_open(later):
        return True
    zone = inventory.time_zone
    return any(
        phase.begins <= moment < phase.ends
        and phase.begins.astimezone(zone).date() == phase.ends.astimezone(zone).date()
        for phase in inventory.phases.values()
    )


def on_mains(site: str, fleet: Fleet) -> bool | None:
    """Return whether a site's PCs said last that they have mains; None where none told."""
    powers = (fleet.agents[name].power for name in fleet.inventory.sites[site].agents)
    words = [power.on_mains for power in powers if power and power.on_mains is not None]
    return all(words) if words else None


def last_words(site: str, fleet: Fleet) -> dict[str, str]:
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


def _stands_out(hit: int, of: int, silent: int, heard: int) -> bool:
    """Whether a part of the province lost at least twice the share that the rest lost."""
    rest = heard - of
    return rest == 0 or hit / of >= 2 * (silent - hit) / rest
