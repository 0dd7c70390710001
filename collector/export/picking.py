"""Picking: which points of the journal's entries go to a receiver in one load. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from agent.wire import EVIDENCE
from collector.export.gate import Gate
from collector.export.shown import Ended, Shown
from collector.export.write_request import STALE, Points, Row
from collector.ingest.entries import Entry
from collector.inventory.model import Series


class Rows:
    """The labels of every series of one inventory, made when they are first needed."""

    def __init__(self, subjects: Mapping[Series, str]) -> None:
        self._subjects = subjects
        self._rows: dict[Series, Row] = {}

    def of(self, series: Series) -> Row | None:
        """Return a series' row; None where the inventory does not know it."""
        row = self._rows.get(series)
        if row is None:
            site = self._subjects.get(series)
            if site is None:
                return None
            row = self._rows[series] = Row(series, site)
        return row


Lane = Literal["live", "backlog"]


class Pick:
    """What one lane takes of some entries: live the samples from `bound` on, backlog those before."""

    def __init__(
        self,
        rows: Rows,
        gate: Gate,
        shown: Shown,
        *,
        lane: Lane,
        bound: float,
        now: float,
    ) -> None:
        self.series: dict[bytes, Points] = {}
        self.points = 0
        self.oldest = math.inf
        """Time of the oldest sample taken."""
        self.left = False
        """Whether any sample was the other lane's."""
        self.ended: list[Ended] = []
        """What was marked as ended."""
        self.withheld: Counter[str] = Counter()
        """Points that are never sent to this receiver, by the reason."""
        self.too_old: list[float] = []
        """The earliest and the latest time of those that are too old."""
        self._rows = rows
        self._gate = gate
        self._shown = shown
        self._live = lane == "live"
        self._bound = bound
        self._now = now

    def take(self, entry: Entry) -> None:
        """Look through an entry."""
        quarantined = set(entry.quarantined)
        for index, (sample, at) in enumerate(zip(entry.batch.samples, entry.times, strict=True)):
            if (at >= self._bound) != self._live:
                self.left = True
                continue
            if sample.kind == EVIDENCE:
                continue
            series = Series(entry.agent, sample.check, sample.target, sample.line)
            row = self._rows.of(series)
            numbers = row.numbers(sample) if row else []
            age = self._gate.age(at, self._now, live_from=self._bound, trusted=entry.trusted)
            if index in quarantined:
                age = "ahead"
            if row is None:
                self.withheld["unknown_series"] += 1
            elif age in {"live", "window"}:
                self._add(series, at, numbers)
            else:
                self.withheld[age] += len(numbers)
                if age == "too_old":
                    self.too_old = [min([at, *self.too_old]), max([at, *self.too_old])]

    def end(self, ended: Iterable[Ended]) -> None:
        """Mark series as ended."""
        for one in ended:
            self.ended.append(one)
            at = round(one.at * 1_000)
            for name in one.names:
                self.series.setdefault(name, []).append((at, STALE))
                self.points += 1

    def load(self) -> dict[bytes, Points]:
        """Return the points of each series in the order of their times, one for each time."""
        for points in self.series.values():
            if len(points) > 1:
                kept = dict(reversed(points))  # the first of equals
                points[:] = sorted(kept.items())
        return self.series

    def _add(self, series: Series, at: float, numbers: list[tuple[bytes, float]]) -> None:
        ended = self._shown.show(series, at, tuple(name for name, _ in numbers))
        milliseconds = round(at * 1_000)
        for name, number in numbers:
            points = self.series.get(name)
            if points is None:
                self.series[name] = [(milliseconds, number)]
            else:
                points.append((milliseconds, number))
        self.points += len(numbers)
        self.oldest = min(self.oldest, at)
        if ended:
            self.end((ended,))
