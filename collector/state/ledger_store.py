"""LedgerStore: what agents said of themselves, and what they were told. Not in the journal.

Without this file the ledger still counts what is stored; what is not has then no cause but unknown,
until the agents have spoken again.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.config import AgentConfig
from agent.wire import Push, Ranges
from collector.agent_configs import Told
from collector.database import Database, open_database, open_reader
from collector.state.accounts import LOSSES, Boot, Totals, add_losses, place_losses
from collector.state.ledger import Planned

SCHEMA = """
CREATE TABLE IF NOT EXISTS agents (
    agent TEXT PRIMARY KEY,
    known_since REAL NOT NULL,
    heard_at REAL NOT NULL,
    boot TEXT NOT NULL,
    told BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    agent TEXT NOT NULL,
    boot TEXT NOT NULL,
    heard_at REAL NOT NULL,
    sealed INTEGER NOT NULL,
    held BLOB NOT NULL,
    goodbye TEXT NOT NULL,
    PRIMARY KEY (agent, boot)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS losses (
    agent TEXT NOT NULL,
    boot TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    cause TEXT NOT NULL,
    found_at REAL NOT NULL,
    PRIMARY KEY (agent, boot, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plans (
    agent TEXT NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (agent, version)
) STRICT, WITHOUT ROWID;
"""
STORED = "SELECT boot, ranges FROM boots WHERE agent = ? ORDER BY id"
"""Of the journal's file."""


class Spoke(Struct, frozen=True):
    """The last word of one boot."""

    at: float
    sealed: int
    held: list[tuple[int, int]]


class Heard(Struct, kw_only=True):
    """What the pushes of one agent said since it was last written down."""

    at: float
    boot: str
    sealed: int = 0
    pending: dict[str, list[tuple[int, int]]] = {}
    totals: Totals = Totals()
    tells: bool = False
    """Whether the agent tells at all what it holds."""
    ended: dict[str, str] = {}
    """Boots that said goodbye, and how."""
    runs: dict[str, Spoke] = {}
    """Boots heard meanwhile."""
    highest: dict[str, int] = {}
    """Of earlier boots, oldest first, the highest number that was said to wait."""


class Said(Struct, frozen=True):
    """The part of Heard that is the newest word."""

    sealed: int
    pending: dict[str, list[tuple[int, int]]]
    totals: Totals
    tells: bool


def hear(kept: Heard | None, push: Push, now: float) -> Heard:
    """Take over what a push says of itself; its batches are the journal's affair."""
    one = kept or Heard(at=now, boot=push.boot, pending={}, ended={}, runs={}, highest={})
    state = push.spool
    sealed, held = (state.held[0].sealed, state.held[0].pending) if state.held else (0, [])
    one.runs[push.boot] = Spoke(now, sealed, held)
    if push.bye:
        one.ended[push.boot] = push.bye
    one.at, one.boot, one.sealed, one.tells = now, push.boot, sealed, bool(state.held)
    one.pending = {held.boot: held.pending for held in state.held if held.pending}
    for name, numbers in one.pending.items():
        if name != push.boot:
            one.highest[name] = max(one.highest.get(name, 0), numbers[-1][1])
    one.totals = Totals(
        dropped=state.dropped_batches,
        set_aside=state.set_aside_batches,
        damaged=state.damaged_records,
    )
    return one


class LedgerStore:
    """The file, open for writing. One thread at a time; sqlite3.Error when the disk refuses."""

    def __init__(self, path: Path, journal: Path) -> None:
        self._database = open_database(path, SCHEMA)
        self._journal = open_reader(journal)
        self._plans: dict[str, int] = {}

    def save(self, heard: Mapping[str, Heard], plans: Mapping[str, Told]) -> None:
        """Write down what agents said and were told, and name the losses that follow from it."""
        with self._database.transaction():
            for agent, one in heard.items():
                self._save(agent, one)
            for agent, told in plans.items():
                if self._plans.get(agent) != told.version:
                    self._database.execute(
                        "INSERT OR IGNORE INTO plans VALUES (?, ?, ?)",
                        (agent, told.version, msgspec.msgpack.encode(planned(told.body))),
                    )
            for agent, one in heard.items():
                if one.tells:
                    self._name_losses(agent, one.at)
        self._plans.update((agent, told.version) for agent, told in plans.items())

    def _save(self, agent: str, one: Heard) -> None:
        said = msgspec.msgpack.encode(Said(one.sealed, one.pending, one.totals, one.tells))
        self._database.execute(
            "INSERT INTO agents VALUES (?, ?, ?, ?, ?) ON CONFLICT (agent) DO UPDATE SET"
            " heard_at = excluded.heard_at, boot = excluded.boot, told = excluded.told",
            (agent, one.at, one.at, one.boot, said),
        )
        for boot, word in one.runs.items():
            held = msgspec.msgpack.encode(word.held)
            self._database.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (agent, boot) DO UPDATE SET"
                " heard_at = excluded.heard_at, sealed = max(sealed, excluded.sealed),"
                " held = excluded.held, goodbye = max(goodbye, excluded.goodbye)",
                (agent, boot, word.at, word.sealed, held, one.ended.get(boot, "")),
            )

        # Before the boot that speaks, in their order: how far they came is not said by themselves.
        self._database.executemany(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, '') ON CONFLICT (agent, boot) DO UPDATE SET"
            " sealed = max(sealed, excluded.sealed)",
            [
                (agent, boot, one.at - 1.0 + place / 1e4, highest, msgspec.msgpack.encode([]))
                for place, (boot, highest) in enumerate(one.highest.items())
            ],
        )

    def _name_losses(self, agent: str, now: float) -> None:
        boots, totals = read_boots(self._database, self._journal, agent)
        for boot, cause, ranges in place_losses(list(boots.values()), totals):
            self._database.executemany(
                "INSERT OR IGNORE INTO losses VALUES (?, ?, ?, ?, ?, ?)",
                [(agent, boot, first, last, cause, now) for first, last in ranges],
            )

    def remove(self, before: float) -> None:
        """Forget boots that were last heard before a moment, and what they lost."""
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM losses WHERE (agent, boot) IN"
                " (SELECT agent, boot FROM runs WHERE heard_at < ?)",
                (before,),
            )
            self._database.execute("DELETE FROM runs WHERE heard_at < ?", (before,))
            self._database.execute(
                "DELETE FROM plans WHERE version < (SELECT max(version) FROM plans AS later"
                " WHERE later.agent = plans.agent AND later.version < ?)",
                (int(before),),
            )

    def close(self) -> None:
        """Close the files."""
        self._database.close()
        self._journal.close()


def planned(body: bytes) -> list[Planned]:
    """Return the runs that a configuration asks for."""
    config = msgspec.json.decode(body, type=AgentConfig)
    return [
        Planned(check.id, target, line, check.kind, check.interval_seconds)
        for check in config.checks
        for target in check.targets
        for line in check.lines
    ]


def read_boots(ledger: Database, journal: Database, agent: str) -> tuple[dict[str, Boot], Totals]:
    """Return an agent's boots, oldest first, and its spool's totals."""
    row = ledger.execute("SELECT boot, told FROM agents WHERE agent = ?", (agent,)).fetchone()
    newest = row[0] if row else ""
    said = _said.decode(row[1]) if row else Said(0, {}, Totals(), tells=False)
    runs = {
        boot: (sealed, Ranges(_spans.decode(held)))
        for boot, sealed, held in ledger.execute(
            "SELECT boot, sealed, held FROM runs WHERE agent = ? ORDER BY heard_at", (agent,)
        )
    }
    # What is stored is read last: a number that is held above may be stored below, never neither.
    stored = {
        boot: Ranges(msgspec.json.decode(ranges))
        for boot, ranges in journal.execute(STORED, (agent,))
    }
    boots: dict[str, Boot] = {}
    earlier = {name: None for name in (*stored, *said.pending) if name not in runs}
    for name in (*earlier, *runs):
        had = stored.get(name, Ranges())
        sealed, left = runs.get(name, (0, Ranges()))
        pending = Ranges(said.pending.get(name, ()))
        highest = [last for ranges in (had, pending) for _, last in ranges]
        boots[name] = Boot(
            boot=name,
            sealed=max([sealed, *highest]),
            stored=had,
            pending=pending,
            losses={},
            running=name == newest or not said.tells,
            left=left,
        )
    for boot, first, last, cause in ledger.execute(
        "SELECT boot, first, last, cause FROM losses WHERE agent = ?", (agent,)
    ):
        if boot in boots and cause in LOSSES:
            add_losses(boots[boot], [(cause, Ranges([(first, last)]))])
    return boots, said.totals


_spans = msgspec.msgpack.Decoder(list[tuple[int, int]])
_said = msgspec.msgpack.Decoder(Said)
