"""Places: what the inventory says about who looks at what, sorted for the rules. Made once."""

from collections import defaultdict
from collections.abc import Mapping

from msgspec import Struct

from collector.inventory.model import DATA_CENTRE, CheckInfo, Inventory, Series, SiteLine

PATH_LAYERS = frozenset({"line", "internet", "tslcd"})

Target = tuple[str, str, str]
"""System, probe kind and target: the same thing, whoever asks it by whatever check."""


class Post(Struct, frozen=True, kw_only=True):
    """One agent, and its series by what they can tell."""

    agent: str
    site: str
    series: tuple[Series, ...]
    nics: tuple[Series, ...]
    gateways: tuple[Series, ...]
    paths: Mapping[str, tuple[Series, ...]]
    """Anchors by line; under "" those that are asked by the route the office chooses."""
    dns: tuple[Series, ...]
    """Of the resolver this PC uses."""
    above: tuple[Series, ...]
    """All others, the path's own devices among them."""


class Places:
    """One inventory's."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.scope = {
            check.id: inventory.systems[check.system].scope for check in inventory.checks.values()
        }
        self.centres = frozenset(
            site.id for site in inventory.sites.values() if site.kind == DATA_CENTRE
        )
        self._tslcd_systems = {
            check.system for check in inventory.checks.values() if check.layer == "tslcd"
        }
        self._internet_systems = {
            check.system for check in inventory.checks.values() if check.layer == "internet"
        }
        self.lines: dict[tuple[str, str], SiteLine] = {
            (site, line.name): line for site, lines in inventory.lines.items() for line in lines
        }
        self.posts = {
            agent: self._post(agent, site) for agent, site in inventory.site_of_agent.items()
        }
        self.watchers: dict[Target, list[Series]] = defaultdict(list)
        self.watching: dict[str, set[str]] = defaultdict(set)
        """By check: the sites it speaks about."""
        for series, subject in inventory.subjects.items():
            self.watchers[self.target(series)].append(series)
            self.watching[series.check].add(subject)
        self.observed: dict[str, set[str]] = defaultdict(set)
        """By carrier: the sites some path of which is bound to a line of that carrier."""
        for post in self.posts.values():
            for line in post.paths:
                self.observed[self.carrier(post.site, line)].add(post.site)

    def check(self, series: Series) -> CheckInfo:
        """Return what is known of a series' check."""
        return self.inventory.checks[series.check]

    def target(self, series: Series) -> Target:
        """Return what a series asks."""
        check = self.check(series)
        return check.system, check.kind, series.target

    def agents(self, site: str) -> tuple[str, ...]:
        """Return the agents of a site."""
        return self.inventory.sites[site].agents

    def carrier(self, site: str, line: str) -> str:
        """Return whose a line is; of the office's own choice, where only one carrier can be."""
        if line:
            known = self.lines.get((site, line))
            return known.carrier if known else ""
        carriers = {
            one.carrier for one in self.inventory.lines.get(site, ()) if one.kind != "tslcd"
        }
        return carriers.pop() if len(carriers) == 1 else ""

    def is_tslcd(self, site: str, line: str) -> bool:
        """Whether a line is the dedicated network."""
        known = self.lines.get((site, line))
        return known is not None and known.kind == "tslcd"

    def path(self, series: Series, site: str) -> str:
        """Return the line a series goes by; "" where the office chooses."""
        if series.line:
            return series.line
        check = self.check(series)
        if check.layer == "tslcd" or check.system in self._tslcd_systems:
            names = [
                line.name for line in self.inventory.lines.get(site, ()) if line.kind == "tslcd"
            ]
            return names[0] if names else "tslcd"
        return ""

    def in_office(self, series: Series) -> bool:
        """Whether what a series asks stands in the office. A PC's resolver may stand anywhere."""
        check = self.check(series)
        return check.local and check.kind != "dns"

    def answers_from_afar(self, series: Series) -> bool:
        """Whether a success shows that something came through from outside the office."""
        check = self.check(series)
        own = check.local or check.kind in {"nic", "pc"}
        return not own and check.expect == "reachable"

    def tells_of_internet(self, series: Series) -> bool:
        """Whether a success over the office's own route shows that its Internet works."""
        check = self.check(series)
        return self.answers_from_afar(series) and (
            check.system in self._internet_systems or self.scope[check.id] == "external"
        )

    def _post(self, agent: str, site: str) -> Post:
        series = self.inventory.series_of_agent.get(agent, ())
        nics, gateways, dns, above = [], [], [], []
        paths: dict[str, list[Series]] = defaultdict(list)
        for one in series:
            check = self.check(one)
            if check.kind == "nic":
                nics.append(one)
            elif check.layer == "gateway":
                gateways.append(one)
            elif check.layer in PATH_LAYERS and not check.local:
                paths[self.path(one, site)].append(one)
            elif check.layer == "dns" and self.scope[check.id] == "site":
                dns.append(one)
            else:
                above.append(one)
        return Post(
            agent=agent,
            site=site,
            series=tuple(series),
            nics=tuple(nics),
            gateways=tuple(gateways),
            paths={line: tuple(anchors) for line, anchors in paths.items()},
            dns=tuple(dns),
            above=tuple(above),
        )
