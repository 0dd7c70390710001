"""Fleet: how every series, agent and site is now, by what was heard and by the clock.

Contact comes from pushes, state from samples; neither is read out of the other:

- A series is *confirmed* by 2 of its last 3 attempts; where nothing was known one success is enough
  and two failures are needed. A sample with `error` (we could not measure) is no vote.
- It is *unknown* once its newest vote is older than three intervals: not down. At least 10 s, and
  at least the patience with its agent, since a sample waits at the PC until its batch is sent.
- Replay is history. A sample that is older than the newest of its series, already stale on arrival,
  or whose time nobody vouches for, changes no state; it may only become the newest sample shown.
  Nor does a failure that was measured while its agent was silent: the silence, which was told,
  explains it, and what still fails afterwards is told by the next runs.
- An agent not heard for the profile's `silent_after_seconds` is *silent*; after `bye` it is
  *closed* until its next push. After `bye: upgrade` it has UPGRADE_SECONDS to come back.
- A site that never reported is `never`, not silent: it opens no incident and has no
  `thongsuot_site_up`. Once it was heard, silence is 0. A closed site has no `thongsuot_site_up`
  either: its silence is meant, and no rule over site_up may see 148 offices go home as an outage.
- A site is heard when any of its agents is. Its tile: `down` when every target (over every line) of
  a check below the services fails, `degraded` when some do, when another check of its own scope
  fails, or when one of its agents is silent beside another that lives. Systems of scope central or
  external never colour a tile.

After a restart nothing is concluded from the restart itself: patience counts from the later of the
last push and the start.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from agent.wire import EVIDENCE, Push, Sample
from collector.inventory.model import Inventory, Series
from collector.state.quality import Quality
from collector.state.seen import Networks
from collector.state.states import (
    AgentState,
    Confirmed,
    Contact,
    SeriesState,
    SiteState,
    Transition,
    Vote,
)
from collector.state.tiles import Tiles
from collector.state.told import copy_push, note_boot

STALE_INTERVALS = 3
STALE_SECONDS = 10.0
AHEAD_SECONDS = 10.0
"""A sample further ahead of the clock is applied to nothing: it would make all others history."""
PROFILE_SECONDS = 60.0
"""Agents learn of a new profile with their next answers: until then the slower one's patience."""
UPGRADE_SECONDS = 300.0
STALE_AGENTS_AT_ONCE = 200
"""Looked through in one tick; with more than that the rest has its turn in the next one."""


class Fleet:
    """The state of everything in an inventory. Times are the centre's UTC seconds."""

    def __init__(self, inventory: Inventory, *, started_at: float) -> None:
        self._started_at = started_at
        self._transitions: list[Transition] = []
        self._series: dict[Series, SeriesState] = {}
        self._down: dict[Series, SeriesState] = {}
        self._agents: dict[str, AgentState] = {}
        self._sites: dict[str, SiteState] = {}
        self._silent_after = self._factor = 0.0
        self.quality = Quality()
        self.unknown_series = 0
        """Samples of series the inventory does not know, since the start."""
        self.reload(inventory, started_at)

    def reload(self, inventory: Inventory, now: float) -> None:
        """Take another inventory. What still exists keeps its state; the rest is forgotten."""
        self.inventory = inventory
        self._networks = Networks(inventory.carriers)
        self._series = {
            series: self._kept_series(series, site, now)
            for series, site in inventory.subjects.items()
        }
        self.quality.reload(inventory, self._series)
        self._down = {
            series: state for series, state in self._series.items() if state.state == "down"
        }
        self._agents = {
            agent: self._kept_agent(agent, site, now)
            for agent, site in inventory.site_of_agent.items()
        }
        self._sites = {
            site: self._sites.get(site) or SiteState(since=now) for site in inventory.sites
        }
        self._tiles = Tiles(inventory, self._agents, self._series, self._sites)
        for site in self._sites:
            self._transitions += self._tiles.settle(site, now, now)
        self._read_profile(now)

    def _kept_series(self, series: Series, site: str, now: float) -> SeriesState:
        state = self._series.get(series) or SeriesState(site=site, interval=0.0, since=now)
        state.site, state.interval = site, self.inventory.interval_of[series]
        return state

    def _kept_agent(self, agent: str, site: str, now: float) -> AgentState:
        state = self._agents.get(agent) or AgentState(site=site, since=now)
        state.site, state.stale_due = site, 0.0  # intervals may have become shorter
        state.carrier = self._networks.carrier_of(state.address)
        return state

    @property
    def series(self) -> Mapping[Series, SeriesState]:
        """Every series of the inventory."""
        return self._series

    @property
    def agents(self) -> Mapping[str, AgentState]:
        """Every agent of the inventory."""
        return self._agents

    @property
    def sites(self) -> Mapping[str, SiteState]:
        """Every site of the inventory."""
        return self._sites

    @property
    def silent(self) -> AbstractSet[str]:
        """The sites that were heard once and are silent."""
        return self._tiles.silent

    @property
    def down(self) -> Mapping[Series, SeriesState]:
        """The series that are confirmed down."""
        return self._down

    def remember(self, agent: str, contact: Contact, heard_at: float) -> None:
        """Take what was known of an agent before a restart. Called before anything is heard."""
        state = self._agents.get(agent)
        if state is not None and state.heard_at is None:
            state.heard_at = heard_at
            self._set_contact(agent, state, contact, heard_at, self._started_at)

    def pardon(self, now: float) -> None:
        """Count patience anew from now: it was us who could not listen (a stall, a clock set).

        What a clock that was set back left in the future would make all that comes now history.
        """
        self._started_at = now
        for agent in self._agents.values():
            agent.heard_at = None if agent.heard_at is None else min(agent.heard_at, now)
            agent.returned_at = min(agent.returned_at, now)
            agent.stale_due = 0.0
        for series in self._series.values():
            series.at, series.voted_at = min(series.at, now), min(series.voted_at, now)

    def heard(self, agent: str, push: Push, now: float, address: str = "") -> None:
        """Take an authenticated push, and where it came from: the agent lives, and says how it is."""
        state = self._agents.get(agent)
        if state is None:
            return
        overtaken = note_boot(state, push.boot, now)
        copy_push(state, push)
        address = "" if push.via else address
        if address != state.address:
            state.address, state.carrier = address, self._networks.carrier_of(address)
        state.heard_at = now
        if push.bye and not overtaken:
            state.ended_boot = push.boot
            state.upgrading = push.bye == "upgrade"
        contact: Contact = "closed" if state.ended_boot == push.boot else "live"
        if state.contact == "silent":
            state.returned_at = now
        self._sites[state.site].last_seen = now
        if contact != state.contact:
            self._set_contact(agent, state, contact, now, now)

    def apply(self, agent: str, sample: Sample, at: float, *, trusted: bool, now: float) -> None:
        """Take a sample whose corrected time is `at`, in any order, however late.

        Evidence is no attempt: it says nothing that the failed attempts before it did not.
        """
        if sample.kind == EVIDENCE:
            return
        series = Series(agent, sample.check, sample.target, sample.line)
        state = self._series.get(series)
        if state is None:
            self.unknown_series += 1
            return
        if at <= state.at or at > now + AHEAD_SECONDS:
            return
        owner = self._agents[agent]
        state.at, state.sample = at, sample
        owner.samples += 1
        fresh_until = min(at, now) + self._patience(state)
        if sample.error or not trusted or fresh_until < now:
            return
        if sample.failure and at < owner.returned_at:
            return
        state.votes = (*state.votes[-2:], Vote(at, sample.failure, sample.detail))
        state.voted_at = min(at, now)
        owner.stale_due = min(owner.stale_due, fresh_until)
        verdict = confirm(state.state, state.votes)
        if verdict != state.state:
            self._set_series(series, state, verdict, now)
        meter = state.meter
        if meter is not None and verdict == "up" and meter.feed(sample, at):
            self.quality.note(series, meter)

    def tick(self, now: float) -> list[Transition]:
        """Find silence and staleness; return everything that changed since the last call."""
        self._read_profile(now)
        turns = STALE_AGENTS_AT_ONCE
        for agent, state in self._agents.items():
            if state.contact in {"live", "closed"} and now > self._silent_at(state):
                self._set_contact(agent, state, "silent", state.heard_at or self._started_at, now)
            if now > state.stale_due and turns:
                turns -= 1
                self._find_stale(agent, state, now)
        found, self._transitions = self._transitions, []
        return found

    def _silent_at(self, state: AgentState) -> float:
        heard = max(state.heard_at or 0.0, self._started_at)
        if state.contact == "live":
            return heard + self._silent_after
        return heard + UPGRADE_SECONDS if state.upgrading else float("inf")

    def _find_stale(self, agent: str, owner: AgentState, now: float) -> None:
        due = float("inf")
        for series in self.inventory.series_of_agent[agent]:
            state = self._series[series]
            if not state.votes:
                continue
            fresh_until = state.voted_at + self._patience(state)
            if fresh_until >= now:
                due = min(due, fresh_until)
                continue
            state.votes = ()
            owner.changes += 1
            if state.state != "unknown":
                self._set_series(series, state, "unknown", now)
        owner.stale_due = due

    def _set_series(
        self, series: Series, state: SeriesState, verdict: Confirmed, now: float
    ) -> None:
        before = state.state
        state.state = verdict
        if state.meter is not None:
            self.quality.rest(series, state.meter)
        state.first_failure = None
        self._down.pop(series, None)
        if verdict == "unknown":
            state.since = state.voted_at
        else:
            first = next(
                vote for vote in state.votes if (vote.failure is None) == (verdict == "up")
            )
            state.since = first.at
            if verdict == "down":
                state.first_failure = first
                self._down[series] = state
        self._agents[series.agent].changes += 1
        self._transitions.append(Transition(now, "series", series, before, verdict, state.since))
        self._transitions += self._tiles.series_changed(series, before, state, now)

    def _set_contact(
        self, agent: str, state: AgentState, contact: Contact, since: float, now: float
    ) -> None:
        before = state.contact
        state.contact, state.since = contact, since
        self._transitions.append(Transition(now, "agent", agent, before, contact, since))
        self._transitions += self._tiles.settle(state.site, since, now)

    def _patience(self, state: SeriesState) -> float:
        three = STALE_INTERVALS * state.interval * self._factor
        return max(three, STALE_SECONDS, self._silent_after)

    def _read_profile(self, now: float) -> None:
        """Take the slower of the profiles in force now and a moment ago."""
        profiles = [
            self.inventory.profile_at(datetime.fromtimestamp(at, UTC))
            for at in (now, now - PROFILE_SECONDS)
        ]
        self.quality.use(profiles[0].limits, self._series)
        default = self.inventory.profiles[self.inventory.default_profile]
        factor = max(profile.interval_factor for profile in profiles) / default.interval_factor
        silent_after = max(profile.silent_after_seconds for profile in profiles)
        if (factor, silent_after) != (self._factor, self._silent_after):
            self._factor, self._silent_after = factor, silent_after
            for state in self._agents.values():
                state.stale_due = 0.0


def confirm(before: Confirmed, votes: Sequence[Vote]) -> Confirmed:
    """Return what the last attempts (three at most, the newest last) make of a series."""
    failures = sum(vote.failure is not None for vote in votes)
    if before == "unknown" and votes[-1].failure is None:
        return "up"
    if failures >= 2:
        return "down"
    if len(votes) - failures >= 2:
        return "up"
    return before
