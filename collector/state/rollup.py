"""Rollup: what came of each series by minute and by hour, and of each agent's batches. Pure.

Minutes go by the corrected time of attempts, late data included. Evidence is no attempt. Samples
without a time anybody vouches for, or ahead of the centre's clock, belong to no minute: they are
counted apart, in the minute in which they arrived.
"""

from msgspec import Struct

from agent.wire import EVIDENCE, Sample
from collector.ingest.entries import NewEntry
from collector.state.minutes import QUARANTINED, UNTRUSTED, Key, Open, count, new_minute
from collector.state.stretch import Stretch, extend, follows, stretch_of

_MOST = 1 << 53


class Count(Struct):
    """One series' attempts of one boot in one hour, re-probes included.

    The agent numbers a series' attempts itself, in the counters that every sample carries.
    """

    first: int = 0
    """Least number that came; 0 where none was numbered."""
    last: int = 0
    stored: int = 0
    runs: int = 0
    """Of these, attempts of the schedule that belong to a minute."""
    apart: int = 0
    """Of these, untrusted or quarantined: they belong to no minute."""

    def add(self, more: "Count") -> None:
        """Add what was counted elsewhere."""
        if more.first:
            self.first = min(self.first, more.first) if self.first else more.first
        self.last = max(self.last, more.last)
        self.stored += more.stored
        self.runs += more.runs
        self.apart += more.apart


class Line(Struct):
    """What was gathered of one series."""

    minutes: dict[int, Open]
    counts: dict[tuple[int, str], Count]
    """By hour and boot."""


class Gathered(Struct):
    """What was folded and is not kept yet."""

    series: dict[Key, Line]
    stretches: dict[tuple[str, str], list[Stretch]]
    """By agent and boot."""


class Rollup:
    """Folds entries of the journal."""

    def __init__(self) -> None:
        self.gathered = Gathered({}, {})
        self.samples = 0
        """Folded since the last `take`."""
        self._lines: dict[tuple[str, str, str, str, str, int], Line] = {}

    def fold(self, entry: NewEntry) -> None:
        """Count the samples of a journal's entry."""
        apart = QUARANTINED if entry.trusted else UNTRUSTED
        arrived = int(entry.received_at // 60)
        quarantined = set(entry.quarantined)
        stretch = stretch_of(entry)
        stretches = self.gathered.stretches.setdefault((entry.agent, entry.boot), [])
        if stretches and follows(stretches[-1], stretch):
            extend(stretches[-1], stretch)
        else:
            stretches.append(stretch)
        for index, (sample, at) in enumerate(zip(entry.batch.samples, entry.times, strict=True)):
            if sample.kind == EVIDENCE:
                continue
            line = self._line(entry.agent, sample)
            minute = int(at // 60)
            if not entry.trusted or index in quarantined:
                minute = arrived
                self._open(line.minutes, minute, sample.kind).cell[apart] += 1
                number(line.counts, (minute // 60, entry.boot), sample).apart += 1
            else:
                count(self._open(line.minutes, minute, sample.kind), sample)
                counted = number(line.counts, (minute // 60, entry.boot), sample)
                counted.runs += sample.attempt == 1
            self.samples += 1

    def take(self) -> Gathered:
        """Return what was gathered, and begin anew."""
        taken, self.gathered = self.gathered, Gathered({}, {})
        self._lines, self.samples = {}, 0
        return taken

    def _line(self, agent: str, sample: Sample) -> Line:
        words = (agent, sample.check, sample.target, sample.line, sample.kind, sample.version)
        line = self._lines.get(words)
        if line is None:
            line = self._lines[words] = self.gathered.series[Key(*words)] = Line({}, {})
        return line

    def _open(self, minutes: dict[int, Open], at: int, kind: str) -> Open:
        one = minutes.get(at)
        if one is None:
            one = minutes[at] = new_minute(kind)
        return one


def number(counts: dict[tuple[int, str], Count], place: tuple[int, str], sample: Sample) -> Count:
    """Count an attempt by the number its agent gave it; return what it was counted in."""
    counted = counts.get(place)
    if counted is None:
        counted = counts[place] = Count()
    counted.stored += 1
    at = int(sample.counters.get("all_success_count", 0) + sample.counters.get("errors", 0))
    if 0 < at <= _MOST:
        if at < counted.first or not counted.first:
            counted.first = at
        counted.last = max(counted.last, at)
    return counted
