"""Slots: who may load what many share, and when. Pure: the clock and who is heard are passed in.

- A run is due once in its interval, at a place of its own in it, so that a restart keeps the place.
  Neighbours are far apart: they share cables that no inventory knows.
- At once a trunk bears `share` of its capacity at most, a site one run, a line half its contract.
- First come, first served on a trunk, by when a run was due: a thick run that has to wait is not
  overtaken by thin ones behind it, so each has its turn.
- A slot begins as far ahead as its agent needs to hear of it, and is told in every answer until
  then. One that was never told is nobody's: its place is free again when it would have begun.
- Where the profile forbids it no slot begins: phases are looked ahead for, to the end of a run.
- After a start there is a pause as long as the longest run: what ran before may still run.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from agent.wire import STREAMS, Slot
from collector.bridge.lease import grant
from collector.inventory.loads import GUARD_SECONDS, allows, line_limit
from collector.inventory.model import Inventory, Load, Series

Reason = Literal["start", "rehearsal", "phase", "secret", "line", "silent", "site", "trunk"]
"""Why a run that is due has to wait: just started · a rehearsal has the trunk · the phase forbids
it · no secret for leases · its line is too thin, ever · its agent is not heard · its site has
another run · the trunk's share is used."""
REASONS: tuple[Reason, ...] = (
    *("start", "rehearsal", "phase", "secret"),
    *("line", "silent", "site", "trunk"),
)
HEAR_SECONDS = 3.0
"""Beside its batches' pace, what an agent needs to hear of a slot."""
PROFILE_SECONDS = 60.0
"""Agents learn of a new profile with their next answers: until then the slower one's pace."""
MAX_SESSIONS = 65_535
PACE = 1.25
"""Of a stream's mean packet rate, what a lease allows: pictures are uneven."""
REHEARSAL = "rehearsal-"
"""How ids of slots begin whose load is meant to be too much: no statement about any day's state."""
_GOLDEN = (3 - math.sqrt(5)) / 2


class Given(Struct, kw_only=True, eq=False):
    """A slot that was given."""

    id: str
    series: Series
    site: str
    load: Load
    begins: float
    ends: float
    """With the guard after it: what it takes of trunk and site is free then."""
    session: int = 0
    lease: bytes = b""
    key: bytes = b""
    told: bool = False


class Slots:
    """The table of one province. Times are the centre's UTC seconds."""

    def __init__(self, inventory: Inventory, now: float, *, secret: bytes = b"") -> None:
        """Start with nothing given. Without the secret no media test can be leased out."""
        self.held = False
        """Whether a rehearsal has the trunks for itself."""
        self.waiting: Counter[Reason] = Counter()
        """Runs that are due and have to wait, by reason, as of the last tick."""
        self._secret = secret
        self._given: list[Given] = []
        self._by_agent: dict[str, list[Given]] = defaultdict(list)
        self._last: dict[Series, float] = {}
        self._queue: list[tuple[float, tuple[int, int], Series]] = []
        """A heap: when a run is due, its place in the order, the run."""
        self._due: dict[Series, None] = {}
        """Runs that are due, in the order in which they became so."""
        self._session = int(now) % MAX_SESSIONS
        self._factor = 1.0
        self._lead = 0.0
        self._take(inventory, now)
        longest = max(
            (load.seconds + GUARD_SECONDS for load in inventory.loads.values()), default=0
        )
        self._starts_at = now + longest

    @property
    def given(self) -> list[Given]:
        """Every slot that has not ended."""
        return self._given

    def is_clear(self, now: float) -> bool:
        """Whether nothing loads anything, and nothing of before the start may."""
        return not self._given and now >= self._starts_at

    @property
    def has_secret(self) -> bool:
        """Whether media tests can be leased out."""
        return bool(self._secret)

    @property
    def lead_seconds(self) -> float:
        """How far ahead a slot is given, so that its agent hears of it."""
        return self._lead

    def in_order(self, check: str) -> list[Series]:
        """Return a check's runs that their lines bear, neighbours far apart."""
        runs = [series for series in self._places if series.check == check]
        return sorted(runs, key=lambda series: self._places[series][0])

    def reload(self, inventory: Inventory, now: float) -> None:
        """Take another inventory. What was given goes on; what is due keeps its place."""
        due = {series: None for series in self._due if series in inventory.loads}
        self._take(inventory, now)
        self._due.update((series, None) for series in due if series in self._places)
        self._queue = [one for one in self._queue if one[2] not in self._due]
        heapq.heapify(self._queue)

    def shift(self, seconds: float) -> None:
        """Follow the machine's clock, which was set by so much: the world did not move."""
        for one in self._given:
            one.begins += seconds
            one.ends += seconds
        self._last = {series: at + seconds for series, at in self._last.items()}
        self._starts_at += seconds
        self._queue = [(due + seconds, place, series) for due, place, series in self._queue]

    def tick(self, now: float, live: Container[str]) -> None:
        """Give the slots that begin as far ahead as agents need to hear of them."""
        self._read_profile(now)
        self._end(now)
        begins = now + self._lead
        while self._queue and self._queue[0][0] <= begins:
            self._due[heapq.heappop(self._queue)[2]] = None
        self.waiting.clear()
        self.waiting["line"] = self._too_thick
        if self.held or now < self._starts_at:
            self.waiting["rehearsal" if self.held else "start"] = len(self._due)
            return
        room = {name: one.bits_per_second * one.share for name, one in self._trunks.items()}
        busy = set()
        for one in self._given:
            if one.ends > begins:
                busy.add(one.site)
                room[one.load.trunk] = room.get(one.load.trunk, 0.0) - one.load.bits_per_second
        allowed: dict[tuple[bool, float], bool] = {}
        for series in list(self._due):
            load, site = self._inventory.loads[series], self._site(series)
            way = (load.sound, load.seconds)
            if way not in allowed:
                allowed[way] = self.is_allowed(load, begins)
            if not allowed[way]:
                self.waiting["phase"] += 1
            elif load.stream and not self._secret:
                self.waiting["secret"] += 1
            elif series.agent not in live:
                self.waiting["silent"] += 1
            elif site in busy:
                self.waiting["site"] += 1
            elif load.bits_per_second > room[load.trunk] + 1e-6:
                self.waiting["trunk"] += 1
                room[load.trunk] = 0.0  # it is next: who comes after it waits too
            else:
                self.give(series, begins)
                busy.add(site)
                room[load.trunk] -= load.bits_per_second

    def give(self, series: Series, begins: float, *, kind: str = "") -> Given:
        """Give a slot, whatever others have; its run is due again an interval later."""
        load = self._inventory.loads[series]
        ends = begins + load.seconds + GUARD_SECONDS
        text = repr((series.agent, series.check, series.target, series.line, begins))
        given = Given(
            id=kind + sha256(text.encode()).hexdigest()[:12],
            series=series,
            site=self._site(series),
            load=load,
            begins=begins,
            ends=ends,
        )
        if load.stream:
            stream = STREAMS[load.stream]
            given.session = self._free_session()
            given.lease, given.key = grant(
                self._secret,
                session=given.session,
                max_packets=load.max_bytes // stream.udp_bytes,
                max_packets_per_second=math.ceil(PACE * stream.packets_per_second),
                max_packet_bytes=stream.udp_bytes,
                not_before=begins,
                not_after=ends,
            )
        self._given.append(given)
        self._by_agent[series.agent].append(given)
        self._last[series] = begins
        self._due.pop(series, None)
        self._queue = [one for one in self._queue if one[2] != series]
        heapq.heapify(self._queue)
        self._enqueue(series, begins)
        return given

    def withdraw(self, given: Iterable[Given]) -> None:
        """Take back what was not told yet; what was told begins."""
        for one in given:
            if not one.told and one in self._given:
                self._forget(one)

    def told_to(self, agent: str, now: float) -> list[Slot]:
        """Return what an agent's answer says: its slots that have not begun."""
        if agent not in self._by_agent:
            return []
        slots = []
        for one in self._by_agent[agent]:
            if one.begins > now and one.series in self._inventory.loads:
                one.told = True
                slots.append(
                    Slot(
                        id=one.id,
                        check=one.series.check,
                        target=one.series.target,
                        line=one.series.line,
                        starts_in=one.begins - now,
                        max_seconds=one.load.seconds,
                        max_bytes=one.load.max_bytes,
                        session=one.session,
                        lease=one.lease,
                        key=one.key,
                    )
                )
        return slots

    def active(self, now: float) -> dict[str, list[Given]]:
        """Return what has begun and not ended, by trunk; every trunk is there."""
        found: dict[str, list[Given]] = {name: [] for name in self._trunks}
        for one in self._given:
            if one.begins <= now < one.ends:
                found.setdefault(one.load.trunk, []).append(one)
        return found

    def is_allowed(self, load: Load, begins: float) -> bool:
        """Whether every profile in force from a slot's begin to its end allows it."""
        ends = begins + load.seconds
        edges = [
            edge.timestamp()
            for phase in self._inventory.phases.values()
            for edge in (phase.begins, phase.ends)
        ]
        return all(
            allows(
                self._inventory.profile_at(datetime.fromtimestamp(moment, UTC)).load_tests,
                sound=load.sound,
            )
            for moment in (begins, *(edge for edge in edges if begins < edge < ends))
        )

    # What stands behind a tick

    def _take(self, inventory: Inventory, now: float) -> None:
        self._inventory = inventory
        self._trunks = inventory.trunks
        bearable = [
            series
            for series, load in inventory.loads.items()
            if load.bits_per_second <= line_limit(inventory, series)
        ]
        self._too_thick = len(inventory.loads) - len(bearable)
        self._places = _places(inventory, bearable)
        self._last = {series: at for series, at in self._last.items() if series in self._places}
        self._factor = 0.0
        self._due = {}
        self._read_profile(now)

    def _read_profile(self, now: float) -> None:
        at = (now, now - PROFILE_SECONDS)
        profiles = [self._inventory.profile_at(datetime.fromtimestamp(one, UTC)) for one in at]
        default = self._inventory.profiles[self._inventory.default_profile]
        self._lead = max(profile.batch_seconds for profile in profiles) + HEAR_SECONDS
        factor = profiles[0].interval_factor / default.interval_factor
        if factor != self._factor:
            self._factor = factor
            self._queue = []
            for series in self._places:
                if series not in self._due:
                    self._enqueue(series, now)

    def _enqueue(self, series: Series, now: float) -> None:
        """Find when a run is due next: at its place in the interval, or half an interval on."""
        if series not in self._places:
            return
        interval = self._inventory.interval_of[series] * self._factor
        place, share = self._places[series]
        after = max(now, self._last.get(series, 0.0))
        due = after + interval - (after - share * interval) % interval
        due = max(due, self._last.get(series, 0.0) + interval / 2)
        heapq.heappush(self._queue, (due, place, series))

    def _end(self, now: float) -> None:
        for one in [
            one for one in self._given if one.ends <= now or (one.begins <= now and not one.told)
        ]:
            self._forget(one)

    def _forget(self, given: Given) -> None:
        self._given.remove(given)
        of_agent = self._by_agent[given.series.agent]
        of_agent.remove(given)
        if not of_agent:
            del self._by_agent[given.series.agent]

    def _site(self, series: Series) -> str:
        return self._inventory.site_of_agent[series.agent]

    def _free_session(self) -> int:
        used = {one.session for one in self._given}
        while True:
            self._session = self._session % MAX_SESSIONS + 1
            if self._session not in used:
                return self._session


def _places(
    inventory: Inventory, runs: Iterable[Series]
) -> dict[Series, tuple[tuple[int, int], float]]:
    """Return each run's place in the order, and in its interval (0 to 1).

    Agents lie side by side by former province and file; each next one is placed the golden
    section further on, so that neighbours, and theirs, end up far apart.
    """
    sites = list(inventory.sites)
    agents = sorted(
        inventory.site_of_agent,
        key=lambda agent: (
            inventory.sites[inventory.site_of_agent[agent]].former_province,
            sites.index(inventory.site_of_agent[agent]),
        ),
    )
    order = golden_order(len(agents))
    rank = {agent: order[number] for number, agent in enumerate(agents)}
    places = {}
    for number, series in enumerate(runs):
        text = repr((series.check, series.target, series.line))
        own = int.from_bytes(sha256(text.encode()).digest()[:8]) / 2**64
        share = (rank[series.agent] / len(agents) + own) % 1.0
        places[series] = ((rank[series.agent], number), share)
    return places


def golden_order(count: int) -> list[int]:
    """Return a rank for each of many neighbours in a row, near ones far apart."""
    step = max(1, round(count * _GOLDEN))
    while math.gcd(step, count) > 1:
        step += 1
    return [number * step % count for number in range(count)]
