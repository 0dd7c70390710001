"""What `thongsuot-collector export openmetrics` writes: measurements with their own times, as text.

For what is too old for a receiver's window: `promtool` makes blocks of it. The series are those of
remote write, by the same code. Read from the state directory of a collector that runs or has
stopped; nothing is written there.
"""

import sqlite3
import struct
import zlib
from collections import Counter
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from agent.wire import EVIDENCE
from collector.backup import JOURNAL
from collector.config import CollectorConfig
from collector.database import Database, open_reader
from collector.evidence_export import ExportError, moment
from collector.export.openmetrics import seat_of, text_of
from collector.export.picking import Rows
from collector.export.point_sort import PointSort
from collector.ingest import entries
from collector.ingest.chain import read_removed, rows_since
from collector.ingest.entries import Entry
from collector.inventory.model import Inventory, Series

BEFORE_SECONDS = 86_400.0
"""Arrivals are looked at from so long before the window: the centre's own clock may have been set."""
HEAD_SECONDS = 3 * 3_600.0
"""Prometheus is still writing the blocks of these last hours: promtool's must not overlap them."""

LEFT_OUT = {
    "untrusted": "attempts whose time is not known, because the PC's clock was not understood",
    "ahead": "attempts that were set apart, because their time lies ahead of the centre's",
    "unknown_series": "attempts of checks, targets or lines that the province has no more",
    "error": "attempts in which nothing could be measured",
    "evidence": "records of evidence, which hold no numbers",
    "unknown_number": "numbers that this collector does not know, because an agent is newer than it",
    "doubled": "numbers of the same millisecond as one before them in their series",
    "damaged": "damaged entries of the journal (see thongsuot-collector verify)",
}
_AGENT, _TIMES = 2, 5


class Exported(NamedTuple):
    """What was written, in words."""

    said: str
    notes: list[str]
    """What a person has to know beside it: what was left out, and why."""


def export_openmetrics(
    config: CollectorConfig,
    inventory: Inventory,
    out: Path,
    *,
    begin: str,
    end: str,
    site: str = "",
    now: float,
) -> Exported:
    """Write a new file, whole or not at all. ExportError for people."""
    if site and site not in inventory.sites:
        raise ExportError(f"{site}: expected a site of {config.province}")
    since, until = moment(begin, inventory), moment(end, inventory, through=True)
    if since is None or until is None:
        raise ExportError("--from and --to: expected 2025-07-01 or 2025-07-01T09:30")
    if since >= until:
        raise ExportError(f"--from {begin} --to {end}: expected an end behind the beginning")
    path = config.state_directory / JOURNAL
    try:
        with closing(open_reader(path)) as database:
            selection = _Selection(inventory, since, until, site)
            _write(selection, database, out)
            oldest = _oldest(database)
    except sqlite3.Error as exc:
        raise ExportError(f"{path}: cannot be read: {exc}") from exc

    def local(at: float) -> str:
        return datetime.fromtimestamp(at, inventory.time_zone).isoformat(timespec="seconds")

    notes = [f"left out: {LEFT_OUT[why]}: {count}" for why, count in selection.left_out.items()]
    if oldest is not None and oldest > since:
        notes.append(f"the journal holds nothing that arrived before {local(oldest)}")
    if not selection.attempts:
        what = ": ".join(filter(None, (f"{begin} to {end}", site)))
        raise ExportError("\n".join((f"{what}: nothing to export", *notes)))
    if until > now - HEAD_SECONDS:
        notes.append(
            f"--to {end} is less than 3 hours ago: import into Prometheus only what is older,"
            " it is still writing there; VictoriaMetrics takes it all"
        )
    first, last = selection.first, selection.last
    said = (
        f"{out}: {selection.points} numbers of {selection.attempts} attempts,"
        f" {local(first)} to {local(last)}"
    )
    return Exported(said, notes)


class _Selection:
    """What of the journal's entries is exported."""

    def __init__(self, inventory: Inventory, since: float, until: float, site: str) -> None:
        self.since = since
        self.until = until
        self.points = 0
        self.attempts = 0
        self.first, self.last = until, since
        self.left_out: Counter[str] = Counter()
        self._subjects = inventory.subjects
        self._site = site
        self._agents_here = set(inventory.sites[site].agents) if site else set()
        self._agents = self._agents_here | {
            series.agent for series, subject in inventory.subjects.items() if subject == site
        }
        self._rows = Rows(inventory.subjects)

    def wants(self, agent: str, times: bytes) -> bool:
        """Whether an entry may hold anything, told without opening its body."""
        if self._site and agent not in self._agents:
            return False
        return any(self.since <= at < self.until for (at,) in struct.iter_unpack("<d", times))

    def take(self, entry: Entry, sort: PointSort) -> None:
        """Look through an entry."""
        for index, (sample, at) in enumerate(zip(entry.batch.samples, entry.times, strict=True)):
            if not self.since <= at < self.until:
                continue
            series = Series(entry.agent, sample.check, sample.target, sample.line)
            if self._site and not self._is_here(series):
                continue
            row = self._rows.of(series)
            numbers = row.numbers(sample) if row else []
            why = ""
            if sample.kind == EVIDENCE:
                why = "evidence"
            elif row is None:
                why = "unknown_series"
            elif index in entry.quarantined:
                why = "ahead"
            elif not entry.trusted:
                why = "untrusted"
            elif sample.error:
                why = "error"
            if why or row is None:
                self.left_out[why] += 1
                continue
            self.left_out["unknown_number"] += row.dropped
            self.attempts += 1
            self.first, self.last = min(self.first, at), max(self.last, at)
            sort.add(round(at * 1_000), numbers)

    def _is_here(self, series: Series) -> bool:
        subject = self._subjects.get(series)
        return subject == self._site or (subject is None and series.agent in self._agents_here)


def _write(selection: _Selection, database: Database, out: Path) -> None:
    try:
        with out.open("xb") as file:
            try:
                with PointSort(out.parent, seat_of) as sort:
                    _gather(selection, database, sort)
                    for text in text_of(sort.sorted()):
                        file.write(text)
                    selection.points = sort.points
                    selection.left_out["doubled"] += sort.doubled
                selection.left_out = +selection.left_out
                if not selection.attempts:
                    out.unlink(missing_ok=True)
            except BaseException:
                out.unlink(missing_ok=True)
                raise
    except FileExistsError as exc:
        raise ExportError(f"{out}: exists already, expected a new file") from exc
    except OSError as exc:
        raise ExportError(f"{out}: cannot be written: {exc.strerror}") from exc


def _gather(selection: _Selection, database: Database, sort: PointSort) -> None:
    for row in rows_since(database, selection.since - BEFORE_SECONDS):
        if row is None:
            selection.left_out["damaged"] += 1
        elif selection.wants(row[_AGENT], row[_TIMES]):
            try:
                entry = entries.entry_of(entries.facts_of(row))
            except (ValueError, struct.error, zlib.error):
                selection.left_out["damaged"] += 1
            else:
                selection.take(entry, sort)


def _oldest(database: Database) -> float | None:
    row = database.execute(
        "SELECT received_at FROM entries WHERE id > ? ORDER BY id LIMIT 1",
        (read_removed(database).id,),
    ).fetchone()
    return row[0] if row else None
