"""Provinces with a trunk, and a table of slots that lives through simulated hours."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from msgspec.structs import replace

from agent.config import AgentConfig
from agent.wire import STREAMS
from collector.bridge.slots import Given, Slots
from collector.inventory.model import (
    Inventory,
    Load,
    Phase,
    Profile,
    Series,
    Site,
    SiteLine,
    Text,
    Trunk,
)
from tests.collector.a_province import NOON, a_province

SECRET = b"a secret of the province"
TARGET = "cau.example:20000"
WORDS = Text(vi="x", en="x")


def a_load(stream: str = "720p", seconds: float = 30.0, trunk: str = "bridge") -> Load:
    """Return what a media run loads."""
    about = STREAMS[stream]
    return Load(
        trunk=trunk,
        bits_per_second=about.bits_per_second,
        seconds=seconds,
        max_bytes=int(about.packets_per_second * seconds + 1) * about.udp_bytes,
        sound=not about.frames_per_second,
        stream=stream,
    )


def with_sites(
    count: int,
    checks: dict[str, tuple[Load, float]],
    *,
    mbit_s: float = 100.0,
    share: float = 0.2,
    contract: float | None = 200.0,
    two_agents: Iterable[int] = (),
    phases: Iterable[tuple[float, float, str]] = (),
) -> Inventory:
    """Return a province: so many sites, each with the checks (load, interval); phases by profile.

    Profiles are `all`, `sound` and `none`, by what they allow.
    """
    agents = {
        f"{number:05}": (f"{number:05}", f"{number:05}-b")
        if number in set(two_agents)
        else (f"{number:05}",)
        for number in range(count)
    }
    loads = {
        Series(agent, check, TARGET, ""): (load, interval)
        for check, (load, interval) in checks.items()
        for of_site in agents.values()
        for agent in of_site
    }
    site_of_agent = {agent: site for site, of_site in agents.items() for agent in of_site}
    return replace(
        a_province(),
        sites={
            site: Site(
                id=site,
                name=site,
                kind="xã",
                former_province=("Hòa Bình", "Phú Thọ", "Vĩnh Phúc")[int(site) * 3 // count],
                lat=None,
                lon=None,
                agents=of_site,
            )
            for site, of_site in agents.items()
        },
        lines={
            site: (
                SiteLine(
                    site=site,
                    name="vnpt",
                    carrier="vnpt",
                    kind="ftth",
                    contracted_mbit_s=contract,
                    select="none",
                ),
            )
            for site in agents
        },
        site_of_agent=site_of_agent,
        configs={agent: AgentConfig(version=0, agent=agent) for agent in site_of_agent},
        subjects={series: site_of_agent[series.agent] for series in loads},
        series_of_agent={
            agent: tuple(series for series in loads if series.agent == agent)
            for agent in site_of_agent
        },
        interval_of={series: interval for series, (_, interval) in loads.items()},
        trunks={"bridge": Trunk(name=WORDS, mbit_s=mbit_s, share=share, hosts=["cau.example"])},
        loads={series: load for series, (load, _) in loads.items()},
        profiles={
            word: Profile(batch_seconds=1.0, silent_after_seconds=4.0, load_tests=word)
            for word in ("all", "sound", "none")
        },
        default_profile="all",
        phases={
            f"p{number}": Phase(
                name=WORDS,
                begins=datetime.fromtimestamp(begins, UTC),
                ends=datetime.fromtimestamp(ends, UTC),
                profile=profile,
            )
            for number, (begins, ends, profile) in enumerate(phases)
        },
    )


class Simulated:
    """A table, its clock, and agents that ask once a second while they are heard."""

    def __init__(self, inventory: Inventory, *, at: float = NOON) -> None:
        self.inventory = inventory
        self.now = at
        self.table = Slots(inventory, at, secret=SECRET)
        self.runs: dict[str, Given] = {}
        """Everything that an agent was told, by id."""

    def live(self) -> set[str]:
        """Return who is heard: everybody, unless a test says otherwise."""
        return set(self.inventory.site_of_agent)

    def pass_time(
        self, seconds: float, *, step: float = 0.5, each: Callable[[], None] = lambda: None
    ) -> None:
        """Tick and let the agents ask."""
        end = self.now + seconds
        while self.now < end:
            live = self.live()
            self.table.tick(self.now, live)
            for agent in live:
                if self.table.told_to(agent, self.now):
                    for one in self.table.given:
                        if one.series.agent == agent:
                            self.runs[one.id] = one
            each()
            self.now += step

    def past_the_start(self) -> "Simulated":
        """Let the pause after the start pass."""
        longest = max(load.seconds for load in self.inventory.loads.values())
        self.pass_time(longest + 5.0)
        return self
