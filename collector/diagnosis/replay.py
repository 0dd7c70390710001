"""Replay: the journal gone through again by its own times, into a fleet and its diagnosis.

What was known at a moment is what the centre had received by then. The same entries give the same
incidents, however often. The journal has batches, not the pushes they came in:

- Heartbeats are inferred: between two batches that follow each other and came at once, the agent
  was heard. LOOK_AHEAD_SECONDS of entries are read ahead for that.
- Over which line, from which address and on what power an agent spoke is not known. So a power
  outage is a mass silence here, and so may a carrier's be.
"""

from collections import defaultdict, deque
from collections.abc import Iterable

from agent.wire import Push
from collector.diagnosis.incident import Change
from collector.diagnosis.incidents import Incidents
from collector.ingest.entries import NewEntry
from collector.inventory.model import Inventory
from collector.state.fleet import Fleet

LOOK_AHEAD_SECONDS = 30.0
LATE_SECONDS = 15.0
"""A batch with a sample that is older had to wait: its agent was not heard meanwhile."""
STEP_SECONDS = 0.5


class Replay:
    """One run through a part of the journal, from a moment on."""

    def __init__(self, inventory: Inventory, begin: float) -> None:
        self.now = begin
        self.fleet = Fleet(inventory, started_at=begin)
        self.incidents = Incidents()
        self.told: list[Change] = []
        self._ahead: deque[NewEntry] = deque()
        self._newest: dict[str, NewEntry] = {}
        self._heard: dict[str, deque[tuple[float, NewEntry]]] = defaultdict(deque)
        """By agent: until when it was heard after a batch, and that batch."""

    def take(self, entries: Iterable[NewEntry]) -> None:
        """Go through entries, in the order of their arrival, but for the last seconds of them."""
        for entry in entries:
            before = self._newest.get(entry.agent)
            if before is not None and _follows(entry, before):
                self._heard[entry.agent].append((entry.received_at, before))
            self._newest[entry.agent] = entry
            self._ahead.append(entry)
            while self._ahead[0].received_at < entry.received_at - LOOK_AHEAD_SECONDS:
                self._apply(self._ahead.popleft())

    def until(self, moment: float) -> None:
        """Go through what was taken, and let time pass up to a moment."""
        while self._ahead and self._ahead[0].received_at <= moment:
            self._apply(self._ahead.popleft())
        self._pass(moment)

    def _apply(self, entry: NewEntry) -> None:
        self._pass(entry.received_at)
        self.fleet.heard(entry.agent, _push(entry), entry.received_at)
        for index, (sample, at) in enumerate(zip(entry.batch.samples, entry.times, strict=True)):
            if index not in entry.quarantined:
                self.fleet.apply(
                    entry.agent, sample, at, trusted=entry.trusted, now=entry.received_at
                )

    def _pass(self, moment: float) -> None:
        while self.now + STEP_SECONDS <= moment:
            self.now += STEP_SECONDS
            for agent, spans in self._heard.items():
                while spans and spans[0][0] <= self.now:
                    spans.popleft()
                if spans and spans[0][1].received_at <= self.now:
                    self.fleet.heard(agent, _push(spans[0][1]), self.now)
            self.fleet.tick(self.now)
            self.told += self.incidents.observe(self.fleet, self.now)


def _follows(entry: NewEntry, before: NewEntry) -> bool:
    """Whether a batch is the next one of the same boot, and came as soon as it was measured."""
    return (
        (entry.boot, entry.seq) == (before.boot, before.seq + 1)
        and entry.received_at - before.received_at < LOOK_AHEAD_SECONDS
        and entry.received_at - min(entry.times, default=entry.received_at) < LATE_SECONDS
    )


def _push(entry: NewEntry) -> Push:
    """Return the push that a batch must have come in, as far as the batch tells of it."""
    batch = entry.batch
    return Push(
        v=batch.v,
        agent=entry.agent,
        boot=entry.boot,
        machine_boot=batch.machine_boot,
        sent=batch.sealed,
        synchronised=batch.synchronised,
        config=batch.config,
        program=batch.program,
    )
