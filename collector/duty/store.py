"""ActStore: acts on disk, beside the incidents they belong to. Only ever added; nothing is changed.

In the incidents' file, so that one backup has both as of one moment.
"""

import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from collector.database import Database, open_database, open_reader
from collector.diagnosis.incident import Incident
from collector.duty.acts import Act

SCHEMA = """
CREATE TABLE IF NOT EXISTS acts (
    number INTEGER PRIMARY KEY,
    incident TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS acts_by_incident ON acts (incident);
CREATE TRIGGER IF NOT EXISTS acts_never_change BEFORE UPDATE ON acts
    BEGIN SELECT RAISE(ABORT, 'acts are only added'); END;
CREATE TRIGGER IF NOT EXISTS acts_never_go BEFORE DELETE ON acts
    BEGIN SELECT RAISE(ABORT, 'acts are only added'); END;
"""
_acts = msgspec.json.Decoder(Act)
_incidents = msgspec.json.Decoder(Incident)


class ActStore:
    """One SQLite file, from any thread. sqlite3.Error when the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._database = open_database(path, SCHEMA)
        self._one_at_a_time = threading.Lock()

    def add(self, acts: Iterable[Act]) -> None:
        """Write all of these or none; on disk when it returns."""
        rows = [(act.incident, msgspec.json.encode(act)) for act in acts]
        with self._one_at_a_time, self._database.transaction():
            self._database.executemany("INSERT INTO acts (incident, body) VALUES (?, ?)", rows)

    def of(self, incident: str) -> list[Act]:
        """Return an incident's acts, oldest first."""
        with self._one_at_a_time:
            return _read_acts(self._database, incident)

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def read_incident(path: Path, identity: str) -> tuple[Incident | None, list[Act]]:
    """Return an incident, open or closed, with its acts. sqlite3.Error if it cannot be read."""
    with closing(open_reader(path)) as database, database.snapshot():
        rows = database.execute("SELECT body FROM incidents WHERE id = ?", (identity,))
        incident = next((_incidents.decode(body) for (body,) in rows), None)
        return incident, _read_acts(database, identity) if incident else []


def read_recent(path: Path, limit: int) -> Sequence[tuple[Incident, list[Act]]]:
    """Return those closed last, the latest first, with their acts. sqlite3.Error as above."""
    with closing(open_reader(path)) as database, database.snapshot():
        rows = database.execute(
            "SELECT body FROM incidents WHERE closed_at IS NOT NULL"
            " ORDER BY closed_at DESC, number DESC LIMIT ?",
            (limit,),
        )
        incidents = [_incidents.decode(body) for (body,) in rows]
        return [(incident, _read_acts(database, incident.id)) for incident in incidents]


def _read_acts(database: Database, incident: str) -> list[Act]:
    rows = database.execute("SELECT body FROM acts WHERE incident = ? ORDER BY number", (incident,))
    return [_acts.decode(body) for (body,) in rows]
