"""What `thongsuot-collector explain` prints: why there is a page about a place, or none.

The last minutes before the moment asked for are gone through again, out of the state directory of a
collector that runs or has stopped; nothing is written there.
"""

import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing

from collector.backup import JOURNAL
from collector.config import CollectorConfig
from collector.database import Database, open_reader
from collector.diagnosis.diagnose import Diagnosis
from collector.diagnosis.store import open_at
from collector.evidence_export import ExportError, moment
from collector.ingest import entries
from collector.ingest.chain import rows_since
from collector.ingest.entries import Entry
from collector.inventory.model import Inventory
from collector.past.explain import explain, see
from collector.past.record import RECORD, read_heard
from collector.past.replay import replay

BEFORE_SECONDS = 900.0
"""As much as the collector itself goes through when it starts."""


def explained(
    config: CollectorConfig,
    inventory: Inventory,
    site: str,
    *,
    at: str = "",
    now: float,
    lang: str = "vi",
) -> str:
    """Return what was wrong at a place at a time, now without one. ExportError for people."""
    if site not in inventory.sites:
        raise ExportError(f"{site}: expected a site of {config.province}")
    end = moment(at, inventory) or now
    if end > now:
        raise ExportError(f"--at {at}: expected a time in the past")
    begin = end - BEFORE_SECONDS
    state = config.state_directory
    try:
        with closing(open_reader(state / RECORD)) as record:
            heard = list(read_heard(record, begin, end))
        if not heard:
            raise ExportError(f"{state / RECORD}: nobody was recorded by then")
        with closing(open_reader(state / JOURNAL)) as journal:
            *_, (fleet, _) = replay(
                inventory, heard, entries_between(journal, begin, end), begin, end
            )
        incidents = open_at(state / "state.sqlite", end)
    except sqlite3.Error as exc:
        raise ExportError(f"{state}: cannot be read: {exc}") from exc
    return explain(site, see(fleet, Diagnosis(), end), incidents, lang)


def entries_between(database: Database, begin: float, end: float) -> Iterator[Entry]:
    """Yield what arrived in a time; what the disk lost of it is left out."""
    for row in rows_since(database, begin):
        try:
            entry = None if row is None else entries.entry_of(entries.facts_of(row))
        except (ValueError, struct.error, zlib.error):
            continue
        if entry is not None and entry.received_at > end:
            return
        if entry is not None:
            yield entry
