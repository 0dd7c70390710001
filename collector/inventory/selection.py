"""Who runs a check: its selector held against the sites, and what each agent sees of its office."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from collector.inventory.model import (
    AgentSelector,
    Carrier,
    Device,
    DeviceSelector,
    Profile,
    RawCheck,
    Site,
    SiteLine,
    System,
    Trunk,
)
from collector.inventory.problems import known


@dataclass(frozen=True, slots=True)
class Places:
    """All that checks are resolved against."""

    sites: Mapping[str, Site]
    lines: Mapping[str, Sequence[SiteLine]]
    devices: Mapping[str, Sequence[Device]]
    carriers: Mapping[str, Carrier]
    systems: Mapping[str, System]
    profiles: Mapping[str, Profile]
    default_profile: str
    named: Mapping[str, Mapping[str, None]]
    """Words a selector may use, by its key, in the order of the files. Also those of broken rows:
    using them is no second mistake. A key that is not here could not be read: any word may be."""
    trunks: Mapping[str, Trunk] | None = None
    """None: some could not be read, so nothing can be said about what lies behind them."""

    def agents(self) -> Iterator[tuple[str, Site]]:
        """Yield every agent and its site."""
        for site in self.sites.values():
            for agent in site.agents:
                yield agent, site

    def lines_of(self, agent: str, site: Site) -> list[SiteLine]:
        """Return the lines that an agent is behind."""
        return [line for line in self.lines.get(site.id, ()) if line.agent in {"", agent}]

    def devices_of(self, agent: str, site: Site) -> list[Device]:
        """Return the devices in an agent's building."""
        return [device for device in self.devices.get(site.id, ()) if device.agent in {"", agent}]


def choose(selector: AgentSelector, places: Places) -> list[tuple[str, Site]]:
    """Return the agents that a selector means, in the order of sites.csv."""
    chosen = []
    for agent, site in places.agents():
        lines = places.lines_of(agent, site)
        has = {
            "site": {site.id},
            "agent": {agent},
            "suffix": {site.suffix(agent)},
            "kind": {site.kind},
            "former_province": {site.former_province},
            "line": {line.name for line in lines},
            "carrier": {line.carrier for line in lines},
        }
        wanted = msgspec.structs.asdict(selector)
        if all(not words or has[key].intersection(words) for key, words in wanted.items()):
            chosen.append((agent, site))
    return chosen


def choose_devices(selector: DeviceSelector, devices: list[Device]) -> list[Device]:
    """Return those of an office's devices that a selector means."""
    return [
        device
        for device in devices
        if (not selector.kind or device.kind in selector.kind)
        and (not selector.device or device.id in selector.device)
    ]


def unknown_words(check: RawCheck, places: Places) -> Iterator[tuple[str, str]]:
    """Yield the key and the problem of every word in a check's selectors that nothing has."""
    selectors: tuple[tuple[str, AgentSelector | DeviceSelector | None], ...] = (
        ("agents", check.agents),
        ("devices", check.devices),
    )
    for section, selector in selectors:
        for name, wanted in msgspec.structs.asdict(selector).items() if selector else ():
            allowed = places.named.get(f"{section}.{name}")
            for word in wanted:
                if allowed is not None and word not in allowed:
                    yield (
                        f"{section}.{name}",
                        f"found {word!r}, which nothing in this folder has; {known(word, allowed)}",
                    )
