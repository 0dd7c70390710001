"""Viewpoints: what one agent's series say by themselves, from the bottom up.

A layer that is broken explains what fails above it. What fails above layers that are well is a
complaint, and complaints of all agents together tell whose fault it is (systems.py). Two things
make a complaint wait, both bounded by the runs that would settle it:

- it began after the layers below were last asked: they may be broken too;
- it was last asked before a layer below came back: it may be well again.
"""

from msgspec import Struct

from collector.diagnosis.finding import Unit
from collector.diagnosis.incident import Sign
from collector.diagnosis.layers import CLOCK_SECONDS, Broken, Layers, clock_is_wrong, good_since
from collector.diagnosis.places import Places, Post
from collector.inventory.model import Series
from collector.state.fleet import Fleet

WAIT_SECONDS = 12.0
"""A complaint waits no longer for the layers below it, counted from its first failing attempt."""
WAIT_BELOW_SECONDS = 5.0
"""Nor does a line or a resolver: their page has to be out within seconds."""


class View(Struct, frozen=True, kw_only=True):
    """What one agent says."""

    agent: str
    site: str
    broken: tuple[Broken, ...] = ()
    complaints: tuple[Series, ...] = ()
    waiting: bool = False
    """Whether something fails of which it is too early to say why."""

    @property
    def trouble(self) -> bool:
        """Whether there is anything to say."""
        return bool(self.broken or self.complaints or self.waiting)


def look(post: Post, fleet: Fleet, places: Places, now: float) -> View:
    """Return what an agent says now; a silent one says nothing."""
    agent = fleet.agents[post.agent]
    if agent.contact != "live":
        return View(agent=post.agent, site=post.site)
    failing = {series for series in post.series if fleet.series[series].state == "down"}
    if not failing and not clock_is_wrong(agent, CLOCK_SECONDS):
        return View(agent=post.agent, site=post.site)
    return _Look(post, fleet, places, failing, now).view()


class _Look:
    def __init__(
        self, post: Post, fleet: Fleet, places: Places, failing: set[Series], now: float
    ) -> None:
        self._post = post
        self._series = fleet.series
        self._returned_at = fleet.agents[post.agent].returned_at
        self._layers = Layers(post, fleet, places, failing)
        self._failing = failing
        self._now = now

    def view(self) -> View:
        broken: list[Broken] = []
        explained: set[Unit] = set()
        waiting = set()
        for one in self._layers.broken(explained, self._now):
            early = {unit for unit in one.units if self._early(unit, WAIT_BELOW_SECONDS)}
            explained |= one.units.keys() | one.covers
            if early:
                waiting |= early
            else:
                broken.append(one)
        complaints = []
        for series in self._post.series:
            if series in self._failing and series not in explained:
                if self._early(series, WAIT_SECONDS):
                    waiting.add(series)
                else:
                    complaints.append(series)
        return View(
            agent=self._post.agent,
            site=self._post.site,
            broken=tuple(broken),
            complaints=tuple(complaints),
            waiting=bool(waiting),
        )

    def _early(self, unit: Unit, patience: float) -> bool:
        """Whether a lower layer has to be asked first, or this one again."""
        if isinstance(unit, Sign):
            return False
        state, lower = self._series[unit], self._layers.below(unit)
        newest = max((vote.at for vote in state.votes if vote.failure), default=state.since)
        returned = max(
            (min(one.since for one in layer) for layer in lower if layer), default=float("-inf")
        )
        if newest <= max(returned, self._returned_at):
            return True  # until it was measured again, or is stale
        return any(
            layer
            and not any(good_since(one, state.since) for one in layer)
            and self._now < state.since + min(patience, min(one.interval for one in layer) + 3.0)
            for layer in lower
        )
