"""Record: what the journal does not hold of a day, so that it can be gone through again.

The journal has every measurement. Who was heard and who was not, and the last words of an agent,
are told by pushes that nobody keeps: here each change of them is a line of a few bytes. A site that
reports for a day without a change is one line.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.wire import WIRE_VERSION, LineState, PowerState, Push, Stamp
from collector.database import Database, open_database
from collector.state.fleet import Fleet
from collector.state.states import AgentState, Contact

RECORD = "record.sqlite"
CLOCK_STEP_SECONDS = 0.5
"""A PC's clock that moved by less is no other words."""
MOST_WAITING = 20_000
"""Lines kept in memory while the disk refuses; the oldest of more go."""
US = ""
"""In place of an agent: the collector itself, which could not listen and pardons everybody."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS heard (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    agent TEXT NOT NULL,
    contact TEXT NOT NULL,
    heard_at REAL NOT NULL,
    words BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS heard_by_time ON heard (at);
CREATE INDEX IF NOT EXISTS heard_by_agent ON heard (agent, at);
"""


class Words(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent last said of itself that a cause may be read from."""

    boot: str = ""
    program: str = ""
    via: str = ""
    address: str = ""
    upgrading: bool = False
    synchronised: bool = False
    clock_offset: float | None = None
    power: PowerState | None = None
    lines: dict[str, str] = {}
    """By line, why its last push failed; "" when it went through."""

    def push(self, agent: str, *, bye: bool) -> Push:
        """Return a push that says it again."""
        offset = self.clock_offset
        return Push(
            v=WIRE_VERSION,
            agent=agent,
            boot=self.boot,
            machine_boot="",
            sent=Stamp(wall_ms=round((offset or 0.0) * 1e3), mono_ns=0),
            anchor=None if offset is None else 0.0,
            synchronised=self.synchronised,
            program=self.program,
            via=self.via,
            lines={name: LineState(failing=why) for name, why in self.lines.items()},
            power=self.power,
            bye=("upgrade" if self.upgrading else "shutdown") if bye else "",
        )


class Heard(Struct, frozen=True, kw_only=True):
    """From here on an agent was in this contact, with these words."""

    at: float
    """Centre's UTC seconds when it was found."""
    agent: str
    contact: Contact
    heard_at: float
    """Of the last push; for US the same as `at`."""
    words: Words = Words()


class Record:
    """Writes to one SQLite file, looks from the loop, saves from any thread. sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        # Not fsynced: a power cut takes some seconds of what was heard, and no measurement.
        self._database = open_database(path, SCHEMA, durable=False)
        self._one_at_a_time = threading.Lock()
        self._last: dict[str, tuple[Contact, Words]] = {}
        self._pushes: dict[str, tuple[int, Contact]] = {}
        self._waiting: list[Heard] = []

    @property
    def waiting(self) -> bool:
        """Whether anything is to be saved."""
        return bool(self._waiting)

    def pardon(self, now: float) -> None:
        """Note that all patience is counted anew from now."""
        self._waiting.append(Heard(at=now, agent=US, contact="live", heard_at=now))

    def look(self, fleet: Fleet, now: float) -> None:
        """Note what is another than at the last look."""
        for agent, state in fleet.agents.items():
            seen = (state.pushes, state.contact)
            if state.heard_at is None or self._pushes.get(agent) == seen:
                continue
            self._pushes[agent] = seen
            before = self._last.get(agent)
            words = _words(state, before[1] if before else Words())
            if before == (state.contact, words):
                continue
            self._last[agent] = (state.contact, words)
            self._waiting.append(
                Heard(
                    at=now,
                    agent=agent,
                    contact=state.contact,
                    heard_at=state.heard_at,
                    words=words,
                )
            )

    def save(self) -> None:
        """Write what was noted; what cannot be written is kept for the next time."""
        waiting, self._waiting = self._waiting, []
        rows = [
            (one.at, one.agent, one.contact, one.heard_at, msgspec.json.encode(one.words))
            for one in waiting
        ]
        try:
            with self._one_at_a_time, self._database.transaction():
                self._database.executemany(
                    "INSERT INTO heard (at, agent, contact, heard_at, words) VALUES (?, ?, ?, ?, ?)",
                    rows,
                )
        except BaseException:
            self._waiting = (waiting + self._waiting)[-MOST_WAITING:]
            raise

    def remove(self, before: float) -> None:
        """Forget what is older, but for the last word of each agent: it may still hold."""
        with self._one_at_a_time, self._database.transaction():
            self._database.execute(
                "DELETE FROM heard WHERE at < ? AND number NOT IN"
                " (SELECT max(number) FROM heard WHERE at < ? GROUP BY agent)",
                (before, before),
            )

    def close(self) -> None:
        """Save what is left and close the file."""
        try:
            self.save()
        finally:
            self._database.close()


def _words(state: AgentState, before: Words) -> Words:
    offset = state.clock_offset
    if (
        offset is not None
        and before.clock_offset is not None
        and abs(offset - before.clock_offset) < CLOCK_STEP_SECONDS
    ):
        offset = before.clock_offset
    return Words(
        boot=state.boot,
        program=state.program,
        via=state.via,
        address=state.address,
        upgrading=state.upgrading,
        synchronised=state.synchronised,
        clock_offset=offset,
        power=state.power,
        lines={name: line.failing for name, line in state.lines.items()},
    )


def read_heard(database: Database, begin: float, end: float) -> Iterator[Heard]:
    """Yield what held at `begin`, as of then, and what was noted from then until `end`, in order."""
    held = database.execute(
        "SELECT at, agent, contact, heard_at, words FROM heard WHERE number IN"
        " (SELECT max(number) FROM heard WHERE at < ? GROUP BY agent) ORDER BY number",
        (begin,),
    ).fetchall()
    later = database.execute(
        "SELECT at, agent, contact, heard_at, words FROM heard WHERE at >= ? AND at < ?"
        " ORDER BY number",
        (begin, end),
    ).fetchall()
    for at, agent, contact, heard_at, words in held + later:
        yield Heard(
            at=at,
            agent=agent,
            contact=contact,
            heard_at=heard_at,
            words=msgspec.json.decode(words, type=Words),
        )
