"""Replay: a stretch of the past through the fleet once more, with the clock of then. Pure.

What comes out rests on three things: the entries in the order they were stored, the record of who
was heard, and the inventory. Given the same, it is the same; whoever judges at each tick finds what
was found then.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from math import inf
from typing import NamedTuple

from collector.bridge.slots import REHEARSAL
from collector.ingest.entries import NewEntry
from collector.inventory.model import Inventory
from collector.past.record import US, Heard
from collector.state.fleet import Fleet

TICK_SECONDS = 0.25
"""As the collector's own beat."""
SPEAK_SECONDS = 1.0
"""Who is heard says so this often; an agent's patience is never less than some of these."""


def replay(
    inventory: Inventory,
    heard: Sequence[Heard],
    entries: Iterable[NewEntry],
    begin: float,
    end: float,
) -> Iterator[tuple[Fleet, float]]:
    """Yield the fleet, always the same one, as it was at each tick from `begin` to `end`.

    `heard` and `entries` in the order of time; what of them lies before `begin` is taken first.
    """
    fleet = Fleet(inventory, started_at=begin)
    voices = _Voices(fleet)
    stored: Iterator[tuple[float, _Voice | NewEntry]] = ((one.received_at, one) for one in entries)
    happened = merge(_voices_of(heard), stored, key=lambda item: item[0])
    upcoming = next(happened, None)
    for number in range(int((end - begin) / TICK_SECONDS) + 1):
        now = begin + number * TICK_SECONDS
        while upcoming is not None and upcoming[0] <= now:
            what = upcoming[1]
            if isinstance(what, _Voice):
                voices.take(what, begin)
            else:
                _apply(fleet, what)
            upcoming = next(happened, None)
        voices.speak(now)
        fleet.tick(now)
        yield fleet, now


class _Voice(NamedTuple):
    said: Heard
    until: float
    """Its last push before it said something else."""


def _voices_of(heard: Sequence[Heard]) -> list[tuple[float, _Voice | NewEntry]]:
    ends: dict[str, float] = {}
    voices: list[tuple[float, _Voice | NewEntry]] = []
    for one in reversed(heard):
        voices.append((one.at, _Voice(one, ends.get(one.agent, inf))))
        ends[one.agent] = one.heard_at
    return voices[::-1]


def _apply(fleet: Fleet, entry: NewEntry) -> None:
    for index, (sample, at) in enumerate(zip(entry.batch.samples, entry.times, strict=True)):
        if index in entry.quarantined or sample.facts.get("slot", "").startswith(REHEARSAL):
            continue
        fleet.apply(entry.agent, sample, at, trusted=entry.trusted, now=entry.received_at)


class _Voices:
    """Speaks for the agents: what each said, as long as it said so."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._speaking: dict[str, _Voice] = {}
        self._due = -inf

    def take(self, voice: _Voice, begin: float) -> None:
        one, fleet = voice.said, self._fleet
        if one.agent == US:
            if one.at >= begin:
                fleet.pardon(one.at)
            return
        last = self._speaking.pop(one.agent, None)
        if one.agent not in fleet.agents:
            return
        if last is not None:
            self._say(last, last.until)
        if one.at < begin:
            fleet.remember(one.agent, one.contact, one.heard_at)
        if one.contact == "live":
            self._speaking[one.agent] = voice
            self._say(voice, max(one.heard_at, begin))
        elif one.contact == "closed" and one.at >= begin:
            self._say(voice, one.heard_at)

    def speak(self, now: float) -> None:
        if now < self._due:
            return
        self._due = now + SPEAK_SECONDS
        for agent, voice in list(self._speaking.items()):
            self._say(voice, min(now, voice.until))
            if now >= voice.until:
                del self._speaking[agent]

    def _say(self, voice: _Voice, at: float) -> None:
        one = voice.said
        push = one.words.push(one.agent, bye=one.contact == "closed")
        self._fleet.heard(one.agent, push, at, one.words.address)
