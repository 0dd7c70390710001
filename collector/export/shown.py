"""Shown: which series a receiver takes for alive, so that each one that ends is told to have ended.

`/metrics` drops a line and Prometheus sees it go. Over remote write the last value would live for
five minutes more: a stale marker ends it. A series ends when a newer attempt lacks it (a failed one
has no status code), when its newest attempt is stale or could not be made, when its agent is
silent, and when the inventory knows it no more. Pure; reads the fleet, never changes it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from collector.inventory.model import Series
from collector.state.fleet import Fleet
from collector.state.states import SeriesState

Names = tuple[bytes, ...]


class Last(NamedTuple):
    """What an attempt showed."""

    at: float
    names: Names


class Ended(NamedTuple):
    """Series of one row that are to be marked."""

    series: Series
    at: float
    names: Names
    shown_at: float
    """Time of the attempt that had them."""


class Shown:
    """The newest attempt sent of each series of the inventory."""

    def __init__(self) -> None:
        self._last: dict[Series, Last] = {}
        self._of_agent: dict[str, set[Series]] = {}
        self._judged: dict[str, tuple[int, int]] = {}

    def show(self, series: Series, at: float, names: Names) -> Ended | None:
        """Take an attempt that is about to be sent; return what the one before it had besides."""
        last = self._last.get(series)
        if last is not None and at <= last.at:
            return None
        self._keep(series, Last(at, names))
        if last is None or last.names == names:
            return None
        ended = tuple(name for name in last.names if name not in names)
        return Ended(series, at, ended, last.at) if ended else None

    def gone(self, fleet: Fleet, now: float) -> Iterator[Ended]:
        """Yield what is on `/metrics` no longer, and forget it."""
        for agent, rows in list(self._of_agent.items()):
            state = fleet.agents.get(agent)
            version = (-1, -1) if state is None else (state.samples, state.changes)
            if self._judged.get(agent) == version and state is not None:
                continue
            self._judged[agent] = version
            for series in list(rows):
                last = self._last[series]
                known = fleet.series.get(series)
                if known is None or _ended(known, last.at):
                    self._forget(series)
                    yield Ended(series, max(now, last.at + 0.001), last.names, last.at)

    def restore(self, ended: Ended) -> None:
        """Take back what was yielded or returned, because it could not be told."""
        last = self._last.get(ended.series)
        if last is None:
            self._keep(ended.series, Last(ended.shown_at, ended.names))
        else:
            self._keep(ended.series, Last(last.at, tuple(dict.fromkeys(last.names + ended.names))))
        self._judged.pop(ended.series.agent, None)

    def _keep(self, series: Series, last: Last) -> None:
        self._last[series] = last
        self._of_agent.setdefault(series.agent, set()).add(series)

    def _forget(self, series: Series) -> None:
        del self._last[series]
        rows = self._of_agent[series.agent]
        rows.discard(series)
        if not rows:
            del self._of_agent[series.agent]
            self._judged.pop(series.agent, None)


def _ended(state: SeriesState, shown_at: float) -> bool:
    """Whether the fleet, which may be a moment behind, has heard of it and dropped it."""
    sample = state.measured
    return state.at >= shown_at and (sample is None or bool(sample.error))
