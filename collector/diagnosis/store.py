"""Store: incidents and the agents' last contact on disk, over restarts.

One transaction for each `save`, fsynced when it returns: save first, tell afterwards. It waits for
the disk, so an event loop calls it through a thread, one call at a time.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from collector.database import open_database, open_reader
from collector.diagnosis.incident import Change, Incident
from collector.state.states import AgentState, Contact

SCHEMA = """
CREATE TABLE IF NOT EXISTS incidents (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    closed_at REAL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS incidents_by_end ON incidents (closed_at);
CREATE TABLE IF NOT EXISTS contacts (
    agent TEXT PRIMARY KEY,
    contact TEXT NOT NULL,
    heard_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS restored (at REAL NOT NULL) STRICT;
"""
_UPSERT = (
    "INSERT INTO incidents (id, closed_at, body) VALUES (?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET closed_at = excluded.closed_at, body = excluded.body"
)
_decoder = msgspec.json.Decoder(Incident)


class LastContact(Struct, frozen=True):
    """What `Fleet.remember` is given."""

    agent: str
    contact: Contact
    heard_at: float


class Store:
    """One SQLite file. sqlite3.Error when the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._database = open_database(path, SCHEMA)

    def save(self, changes: Iterable[Change], agents: Mapping[str, AgentState]) -> None:
        """Write what an observation changed, and the last contact of all agents there are.

        Others are forgotten: an agent that comes back to the inventory begins as one never heard.
        """
        rows = [
            (change.incident.id, change.incident.closed_at, msgspec.json.encode(change.incident))
            for change in changes
        ]
        contacts = [
            (agent, state.contact, state.heard_at)
            for agent, state in agents.items()
            if state.heard_at is not None
        ]
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(_UPSERT, rows)
            self._database.execute("DELETE FROM contacts")
            self._database.executemany("INSERT INTO contacts VALUES (?, ?, ?)", contacts)
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def open_incidents(self) -> list[Incident]:
        """Return what was open, oldest first."""
        return self._read("WHERE closed_at IS NULL ORDER BY number")

    def last_id(self) -> str:
        """Return the newest id there is; "" before the first."""
        row = self._database.execute("SELECT id FROM incidents ORDER BY number DESC LIMIT 1")
        return next((str(identity) for (identity,) in row), "")

    def restored_at(self) -> float | None:
        """Return when this file was last put back from a backup; None where it never was."""
        (at,) = self._database.execute("SELECT max(at) FROM restored").fetchone()
        return None if at is None else float(at)

    def contacts(self) -> list[LastContact]:
        """Return when each agent was last heard, as far as it was saved."""
        rows = self._database.execute("SELECT agent, contact, heard_at FROM contacts")
        return [LastContact(*row) for row in rows]

    def closed_since(self, moment: float) -> list[Incident]:
        """Return what ended at or after a moment, the latest first."""
        return self._read("WHERE closed_at >= ? ORDER BY closed_at DESC, number DESC", moment)

    def incident(self, identity: str) -> Incident | None:
        """Return one incident, open or closed."""
        return next(iter(self._read("WHERE id = ?", identity)), None)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _read(self, where: str, *values: object) -> list[Incident]:
        rows = self._database.execute(f"SELECT body FROM incidents {where}", values)  # noqa: S608  ours
        return [_decoder.decode(body) for (body,) in rows]


def open_at(path: Path, moment: float) -> list[Incident]:
    """Return what was open at a moment, oldest first, as it stands now. sqlite3.Error."""
    with closing(open_reader(path)) as database:
        rows = database.execute(
            "SELECT body FROM incidents WHERE closed_at IS NULL OR closed_at > ? ORDER BY number",
            (moment,),
        ).fetchall()
    found = [_decoder.decode(body) for (body,) in rows]
    return [one for one in found if one.opened_at <= moment]


def note_restore(path: Path, now: float) -> None:
    """Say in a file that it was put back: what was given and told since its backup is unknown to it."""
    with closing(open_database(path, SCHEMA)) as database:
        database.execute("INSERT INTO restored VALUES (?)", (now,))
