"""The provinces that are shipped, alive: every agent reports and every check passes, unless told."""

import time
from pathlib import Path

from agent.wire import Sample
from collector.inventory.load import load
from collector.inventory.model import Series
from tests.collector.a_province import NOON, a_sample
from tests.collector.wall.looks import Centre

HISTORY_SECONDS = 3600.0
PROVINCES = Path(__file__).parents[3] / "configs" / "provinces"


class Whole(Centre):
    """A shipped province on the first day of the event, whose clock runs."""

    def __init__(self, name: str) -> None:
        super().__init__(load(PROVINCES / name))
        self._began = time.monotonic() - HISTORY_SECONDS
        self.mute: set[str] = set()
        """Places whose agents say nothing any more."""
        self.failing: set[tuple[str, str]] = set()
        """Places and checks."""

    def clock(self) -> float:
        """Return the centre's time."""
        return NOON + time.monotonic() - self._began

    def live(self, ago: float = 0.0) -> None:
        """Let every agent report, every check be measured, and every conclusion be drawn."""
        now = self.clock() - ago
        inventory = self.fleet.inventory
        speaking = [
            agent for agent, site in inventory.site_of_agent.items() if site not in self.mute
        ]
        self.hear(now, speaking)
        for agent in speaking:
            for series in inventory.series_of_agent[agent]:
                self.fleet.apply(agent, self._sample(series), now, trusted=True, now=now)
        self.look(now)

    def _sample(self, series: Series) -> Sample:
        place = self.fleet.inventory.subjects[series]
        return a_sample(series, "timeout" if (place, series.check) in self.failing else None)


def in_trouble(name: str) -> Whole:
    """Return a province with everything that a wall can show, and more of it than has room."""
    world = Whole(name)
    sites = list(world.fleet.inventory.sites)
    world.mute |= set(sites[3:150:7])  # they never report
    for ago in (3000, 2000, 1000, 2):
        if ago == 2000:
            world.failing |= {(site, "tthc") for site in sites[:60]}
        if ago == 1000:
            world.failing |= {(site, "gateway") for site in sites[1:40:3]}
            world.failing |= {(site, "counter-devices") for site in sites[2:40:3]}
            world.failing |= {
                (site, check) for site in sites[:9] for check in ("qlvb", "mail", "vc")
            }
        world.live(ago)
        world.live(ago - 1)
        if ago == 1000:
            world.mute |= set(sites[::4])
    return world
