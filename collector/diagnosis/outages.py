"""Outages: silence and broken lines, alone or many at once, and what names their cause.

A silence says that nothing is heard: the PC, its power or all its lines. Many sites of one carrier
or one former province that fall silent together are one cause. Which one is told by what is still
heard: sites that report over their other line, the data centre's own lines, what the silent said
last of their power.
"""

from collections.abc import Iterable, Mapping, Sequence

from collector.diagnosis.finding import Evidence, Finding, Unit, clusters, shares
from collector.diagnosis.layers import path_state
from collector.diagnosis.lines import CENTRE_LINE_DOWN, TOGETHER_SECONDS, Lines
from collector.diagnosis.places import Places
from collector.diagnosis.silence import Group, Silence
from collector.diagnosis.viewpoints import View
from collector.state.fleet import Fleet


def outages(
    fleet: Fleet, places: Places, views: Mapping[str, View], now: float
) -> Iterable[Finding]:
    """Yield what silence and broken lines come to."""
    return _Outages(fleet, places, views, now).found()


class _Outages:
    def __init__(self, fleet: Fleet, places: Places, views: Mapping[str, View], now: float) -> None:
        self._fleet = fleet
        self._places = places
        self._inventory = places.inventory
        self._silence = Silence(fleet, places, now)
        self._lines = Lines(fleet, places, views, self._silence)

    def found(self) -> Iterable[Finding]:
        left = dict(self._silence.since)
        blind = self._blind(left)
        if blind is not None:
            yield blind
            left = {}
        for cluster in clusters(left, TOGETHER_SECONDS):
            for group in self._silence.groups(cluster, self._is_down):
                yield self._mass(group)
                for site in group.sites:
                    left.pop(site, None)
        yield from self._lines.outages(left)
        for site in sorted(left):
            if site in self._fleet.silent:
                yield self._silence.alone(site)
        yield from self._lines.rest()

    def _is_down(self, carrier: str, since: float) -> bool:
        return self._lines.carrier_is_down(carrier, since)[0]

    def _blind(self, silent: Mapping[str, float]) -> Finding | None:
        """Most are silent, and the data centre's agent beside us is cut off too."""
        heard = [site for site in self._silence.heard() if site not in self._places.centres]
        gone = [site for site in silent if site not in self._places.centres]
        if len(gone) < 5 or len(gone) * 2 <= len(heard):
            return None
        units: dict[Unit, Evidence] = {}
        covers: set[Unit] = set()
        words = "silent too"
        for centre in self._places.centres:
            state = self._fleet.sites[centre]
            if state.contact == "silent":
                units |= self._silence.units([centre])
                continue
            if state.contact != "live" or not self._cut_off(centre):
                return None
            covers |= self._lines.take_site(centre, units)
            for agent in self._places.agents(centre):
                covers |= self._fleet.down.keys() & {*self._places.posts[agent].series}
            words = "every line of its own fails"
        if not self._places.centres:
            if len(gone) < len(heard):
                return None
            words = "there is none"
        units |= self._silence.units(gone)
        return Finding(
            cause="collector_blind",
            key="centre",
            scope="central",
            units=units,
            covers=frozenset(covers),
            rule="most sites are silent and the data centre's own agent is cut off too",
            facts={
                "silent": shares(len(gone), len(heard), "sites"),
                "data centre's agent": words,
            },
        )

    def _cut_off(self, centre: str) -> bool:
        """Whether every line to the Internet that the centre's agents watch is down."""
        states = []
        for agent in self._inventory.sites[centre].agents:
            for line, anchors in self._places.posts[agent].paths.items():
                if not self._places.is_tslcd(centre, line):
                    states.append(path_state(anchors, self._fleet.series))
        return bool(states) and all(state == "down" for state in states)

    def _mass(self, group: Group) -> Finding:
        units = self._silence.units(group.sites)
        facts = {"silent": shares(len(group.sites), group.of, "sites")}
        first = self._silence.first(group.sites)
        battery, known = self._silence.on_battery(group.sites)
        if battery >= 2 and battery * 2 >= known:
            return Finding(
                cause="power_outage",
                key=group.area or group.carrier or "province",
                scope="central",
                units=units,
                area=self._area(group),
                rule="many sites fell silent together, and said last that they were on battery",
                facts={**facts, "on battery": shares(battery, known, "that told")},
            )
        carriers = [group.carrier] if group.carrier else self._carriers(group.sites)
        for carrier in carriers:
            down, words = self._lines.carrier_is_down(carrier, first)
            if not down and words["data centre"] == CENTRE_LINE_DOWN:
                covers = self._lines.take(carrier, units, first, only=self._places.centres)
                return Finding(
                    cause="collector_blind",
                    key=f"centre/{carrier}",
                    scope="central",
                    units=units,
                    covers=covers,
                    carrier=carrier,
                    rule="the data centre's own line fails, and the same carrier's lines work elsewhere",
                    facts={**facts, **words},
                )
            if not down:
                continue
            covers = self._lines.take(carrier, units, first)
            return Finding(
                cause="carrier_outage",
                key=carrier,
                scope="central",
                units=units,
                covers=covers,
                carrier=carrier,
                owner=self._inventory.carriers[carrier].name,
                rule="many sites fell silent together, and lines of that carrier fail elsewhere",
                facts={**facts, **words},
            )
        return Finding(
            cause="mass_silence",
            key=group.carrier or group.area or "province",
            scope="central",
            units=units,
            carrier=group.carrier,
            area=group.area,
            owner=self._inventory.carriers[group.carrier].name if group.carrier else "",
            rule="many sites of one carrier or area fell silent together",
            facts=facts,
        )

    def _carriers(self, sites: Sequence[str]) -> list[str]:
        """Return the carrier nearly all of the sites were heard over."""
        of = [self._silence.carrier[site] for site in sites]
        return [name for name in set(of) if name and of.count(name) >= 0.8 * len(of)]

    def _area(self, group: Group) -> str:
        areas = {self._inventory.sites[site].former_province for site in group.sites}
        return group.area or (areas.pop() if len(areas) == 1 else "")
