"""RollupReader: what the rollups say, read beside whoever writes them."""

import logging
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from collector.database import open_reader
from collector.state.minutes import MINUTES, Key, Minute, Track, read_hour
from collector.state.rollup_store import KEY, Reached, decode_stretches, read_reached
from collector.state.stretch import Stretch

log = logging.getLogger(__name__)


class Counted(Struct, frozen=True):
    """One series' attempts of one boot over some hours; fields as in rollup.Count."""

    key: Key
    boot: bytes
    """The `boot_key`."""
    first: int
    last: int
    stored: int
    runs: int
    apart: int
    doubled: int
    """Attempts that came more often than their agent made them, in one hour or another."""
    series: int
    """Its row."""


class RollupReader:
    """sqlite3.Error where there is no file."""

    def __init__(self, path: Path) -> None:
        self._database = open_reader(path)

    def reached(self) -> Reached:
        """Return how far the journal is in the rows."""
        return read_reached(self._database)

    def of_check(self, check: str, begin: float, end: float) -> list[Track]:
        """Return one check, measured from everywhere, from `begin` to `end` (not included)."""
        return self._read("series.check_id = ?", (check,), begin, end)

    def of_agents(self, agents: Iterable[str], begin: float, end: float) -> list[Track]:
        """Return everything that some agents measured, from `begin` to `end` (not included)."""
        names = tuple(agents)
        marks = ", ".join("?" * len(names))
        return self._read(f"series.agent IN ({marks})", names, begin, end)

    def _read(self, where: str, words: Sequence[object], begin: float, end: float) -> list[Track]:
        first, last = -int(-begin // 60), -int(-end // 60)
        tracks: dict[int, Track] = {}
        rows = self._database.execute(
            f"SELECT series.id, {KEY}, hour, body FROM series JOIN hours ON hours.series = series.id"  # noqa: S608 - ours
            f" WHERE {where} AND hour >= ? AND hour <= ? ORDER BY series.id, hour",
            (*words, first // MINUTES, (last - 1) // MINUTES),
        )
        for series, *key, hour, body in rows:
            track = tracks.get(series)
            if track is None:
                track = tracks[series] = Track(Key(*key), [])
            try:
                minutes: Iterable[Minute] = read_hour(hour, body)
                if hour * MINUTES < first or (hour + 1) * MINUTES > last:
                    minutes = [one for one in minutes if first <= one.at < last]
                track.minutes.extend(minutes)
            except (ValueError, zlib.error) as exc:
                log.error("rollup damaged series=%d hour=%d error=%s", series, hour, exc)  # noqa: TRY400 - known
        return [track for track in tracks.values() if track.minutes]

    def counts(self, agents: Sequence[str], first_hour: int, last_hour: int) -> list[Counted]:
        """Return what some agents' attempts of these hours (both included) come to."""
        marks = ", ".join("?" * len(agents))
        rows = self._database.execute(
            f"SELECT {KEY}, boot, coalesce(min(nullif(first, 0)), 0), max(last), sum(stored),"  # noqa: S608 - ours
            " sum(runs), sum(apart), sum(CASE WHEN first > 0 THEN max(0, stored - (last - first + 1)) ELSE 0 END),"
            " series.id FROM series JOIN counts ON counts.series = series.id"
            f" WHERE agent IN ({marks}) AND hour BETWEEN ? AND ? GROUP BY series.id, boot",
            (*agents, first_hour, last_hour),
        )
        return [Counted(Key(*row[:6]), *row[6:]) for row in rows]

    def elsewhere(self, one: Counted, first: int, first_hour: int, last_hour: int) -> int:
        """Return how many of the attempts from `first` to its last belong to other hours."""
        found = self._database.execute(
            "SELECT coalesce(sum(stored), 0) FROM counts WHERE series = ? AND boot = ?"
            " AND hour NOT BETWEEN ? AND ? AND first >= ? AND last <= ?",
            (one.series, one.boot, first_hour, last_hour, first, one.last),
        ).fetchone()
        return int(found[0])

    def stretches(self, agent: str, first_hour: int, last_hour: int) -> list[Stretch]:
        """Return an agent's batches of these hours, and those of the nearest hours on both sides."""
        ask = self._database.execute
        before = ask(
            "SELECT max(hour) FROM stretches WHERE agent = ? AND hour < ?", (agent, first_hour)
        )
        after = ask(
            "SELECT min(hour) FROM stretches WHERE agent = ? AND hour > ?", (agent, last_hour)
        )
        begin, end = before.fetchone()[0], after.fetchone()[0]
        rows = ask(
            "SELECT body FROM stretches WHERE agent = ? AND hour BETWEEN ? AND ?",
            (agent, first_hour if begin is None else begin, last_hour if end is None else end),
        )
        return [one for (body,) in rows for one in decode_stretches(body)]

    def close(self) -> None:
        """Close the file."""
        self._database.close()
