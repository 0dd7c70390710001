"""Lines: which are broken, whose they are, and where many of one carrier are one outage."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from collector.diagnosis.finding import Evidence, Finding, Unit, clusters, many, shares
from collector.diagnosis.layers import Broken
from collector.diagnosis.places import Places
from collector.diagnosis.silence import Silence
from collector.diagnosis.viewpoints import View
from collector.state.fleet import Fleet

TOGETHER_SECONDS = 30.0
"""What fails within so much of another may have the same cause."""
CENTRE_LINE_DOWN = "line down"


class Lines:
    """The broken lines of one look."""

    def __init__(
        self, fleet: Fleet, places: Places, views: Mapping[str, View], silence: Silence
    ) -> None:
        self._fleet = fleet
        self._places = places
        self._inventory = places.inventory
        self._silence = silence
        self._lines: dict[tuple[str, str], list[Broken]] = defaultdict(list)
        for view in views.values():
            for broken in view.broken:
                if broken.cause == "line_down":
                    self._lines[broken.site, broken.line].append(broken)
        self._of_carrier: dict[str, dict[str, float]] = defaultdict(dict)
        """By carrier: sites of which a line is down, and since when."""
        for (site, line), same in self._lines.items():
            carrier = self._carrier(site, line)
            if carrier:
                since = min(one.since for one in same)
                here = self._of_carrier[carrier]
                here[site] = min(since, here.get(site, since))
        self._told: set[tuple[str, str]] = set()
        """Lines that a wider cause has."""

    def outages(self, silent: dict[str, float]) -> Iterable[Finding]:
        """Yield where the lines of one carrier fail at many sites; takes their silent ones."""
        for carrier in list(self._of_carrier):
            yield from self._of(carrier, silent)

    def rest(self) -> Iterable[Finding]:
        """Yield every line that no wider cause has."""
        for (site, line), broken in self._lines.items():
            if (site, line) not in self._told:
                yield self._line_down(site, line, broken)

    def take_site(self, site: str, units: dict[Unit, Evidence]) -> frozenset[Unit]:
        """Add every broken line of a site; return what fails because of them."""
        covers: set[Unit] = set()
        for key, same in self._lines.items():
            if key[0] == site:
                self._told.add(key)
                for one in same:
                    units |= one.units
                    covers |= one.covers
        return frozenset(covers)

    def _carrier(self, site: str, line: str) -> str:
        return self._places.carrier(site, line) or self._silence.heard_over(site)

    def carrier_is_down(self, carrier: str, since: float) -> tuple[bool, dict[str, str]]:
        """Whether lines of a carrier fail where something is still heard, and not more are well."""
        down = {
            site
            for site, begun in self._of_carrier.get(carrier, {}).items()
            if abs(begun - since) <= 2 * TOGETHER_SECONDS
        }
        well = self._lines_well(carrier, since) - down
        centres = down & self._places.centres
        sites = down - centres
        words = {
            "lines down": shares(len(sites), len(sites) + len(well), "that report otherwise"),
            "data centre": CENTRE_LINE_DOWN if centres else "line not down",
        }
        if len(sites) >= 2:
            return len(sites) > len(well), words
        return bool(centres or sites) and not well, words

    def _lines_well(self, carrier: str, since: float) -> set[str]:
        """Return the sites whose line of a carrier was found well since."""
        found = set()
        for site in self._places.observed.get(carrier, ()):
            for agent in self._inventory.sites[site].agents:
                if self._fleet.agents[agent].contact != "live":
                    continue
                for line, anchors in self._places.posts[agent].paths.items():
                    if self._places.carrier(site, line) == carrier and any(
                        self._fleet.series[one].state == "up"
                        and self._fleet.series[one].voted_at > since
                        and self._fleet.series[one].votes[-1].failure is None
                        for one in anchors
                    ):
                        found.add(site)
        return found

    def take(
        self,
        carrier: str,
        units: dict[Unit, Evidence],
        since: float,
        only: frozenset[str] = frozenset(),
    ) -> frozenset[Unit]:
        """Add the lines of a carrier that failed about then; return what fails because of them."""
        covers: set[Unit] = set()
        for (site, line), same in self._lines.items():
            theirs = self._carrier(site, line) == carrier
            if only and site not in only:
                continue
            if theirs and abs(min(one.since for one in same) - since) <= 2 * TOGETHER_SECONDS:
                self._told.add((site, line))
                for one in same:
                    units |= one.units
                    covers |= one.covers
        return frozenset(covers)

    def _of(self, carrier: str, silent: dict[str, float]) -> Iterable[Finding]:
        """Yield one outage where a carrier's lines fail at many sites; takes their silent ones."""
        untold = {
            site: since
            for site, since in self._of_carrier[carrier].items()
            if any(
                (site, line) not in self._told
                for at, line in self._lines
                if at == site and self._carrier(at, line) == carrier
            )
        }
        watched = len(self._places.observed.get(carrier, ()))
        for cluster in clusters(untold, TOGETHER_SECONDS):
            offices = [site for site in cluster if site not in self._places.centres]
            first = min(untold[site] for site in cluster)
            tslcd = any(
                line.kind == "tslcd" and line.carrier == carrier
                for line in self._inventory.lines.get(cluster[0], ())
            )
            gone = [
                site
                for site, since in ({} if tslcd else silent).items()
                if abs(since - first) <= 2 * TOGETHER_SECONDS
                and self._silence.carrier[site] == carrier
            ]
            if len(offices) < 2 or not many(len(offices) + len(gone), watched + len(gone)):
                continue
            units: dict[Unit, Evidence] = {}
            covers = self.take(carrier, units, first)
            units |= self._silence.units(gone)
            for site in gone:
                del silent[site]
            yield Finding(
                cause="tslcd_outage" if tslcd else "carrier_outage",
                key=carrier,
                scope="central",
                units=units,
                covers=covers,
                carrier=carrier,
                owner=self._inventory.carriers[carrier].name,
                rule="the lines of one carrier fail at many sites",
                facts={"lines down": shares(len(offices), watched, "sites")},
            )

    def _line_down(self, site: str, line: str, broken: Sequence[Broken]) -> Finding:
        carrier = self._places.carrier(site, line) or (
            "" if line else self._silence.heard_over(site)
        )
        known = self._inventory.carriers.get(carrier)
        units: dict[Unit, Evidence] = {}
        for one in broken:
            units |= one.units
        return Finding(
            cause="line_down",
            key=f"{site}/{line}",
            units=units,
            covers=frozenset[Unit]().union(*(one.covers for one in broken)),
            carrier=carrier,
            area=self._inventory.sites[site].former_province,
            line=line,
            owner=known.name if known else "",
            rule=broken[0].rule,
            facts=broken[0].facts,
        )
