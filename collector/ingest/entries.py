"""Entries: what the journal keeps of a batch, as values, as rows, and as links of the chain."""

import struct
import zlib
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from agent.wire import Batch
from collector.ingest.clock import Anchor

SCHEMA = """
CREATE TABLE IF NOT EXISTS boots (
    id INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    boot TEXT NOT NULL,
    ranges BLOB NOT NULL,
    UNIQUE (agent, boot)
) STRICT;
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    received_at REAL NOT NULL,
    boot INTEGER NOT NULL REFERENCES boots (id),
    seq INTEGER NOT NULL,
    times BLOB NOT NULL,
    trusted INTEGER NOT NULL,
    quarantined BLOB NOT NULL,
    body BLOB NOT NULL,
    hash BLOB NOT NULL,
    UNIQUE (boot, seq)
) STRICT;
CREATE TABLE IF NOT EXISTS removed (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    id INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, id INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS lost (
    name TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (name, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS restored (
    at REAL PRIMARY KEY,
    made_at REAL NOT NULL,
    id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS anchors (
    agent TEXT NOT NULL,
    machine_boot TEXT NOT NULL,
    at REAL NOT NULL,
    error REAL NOT NULL,
    learned_mono REAL NOT NULL,
    learned_at REAL NOT NULL,
    PRIMARY KEY (agent, machine_boot)
) STRICT, WITHOUT ROWID;
"""
GENESIS = bytes(32)
READ = (
    "SELECT entries.id, received_at, agent, boots.boot, seq, times, trusted, quarantined, body, hash"
    " FROM entries LEFT JOIN boots ON boots.id = entries.boot"
)
"""Rows that `facts_of` takes; the hash stands last. Without an agent, the disk lost its boot's row."""
READ_ANCHORS = (
    "SELECT agent, machine_boot, at, error, learned_mono FROM anchors ORDER BY learned_at"
)

_batches = msgspec.json.Decoder(Batch)
_FIXED = struct.Struct("<QdQ?IIIII")


class NewEntry(Struct, frozen=True, kw_only=True):
    """A batch with the times its samples were given."""

    agent: str
    boot: str
    seq: int
    batch: Batch
    body: bytes
    """The batch's JSON as it was sent."""
    times: list[float]
    """Centre's UTC seconds of each sample's start."""
    trusted: bool
    quarantined: list[int]
    received_at: float


class Entry(NewEntry, frozen=True, kw_only=True):
    """A batch of the journal. Ids ascend in the order of commits and are never used twice."""

    id: int


class Facts(NamedTuple):
    """Everything of an entry that its hash covers, packed as it is stored."""

    id: int
    received_at: float
    agent: str
    boot: str
    seq: int
    times: bytes
    """Little-endian doubles."""
    trusted: bool
    quarantined: bytes
    """Little-endian, two bytes each."""
    body: bytes
    """The JSON as sent: what is proven does not rest on how it is compressed."""

    def link(self, previous: bytes) -> bytes:
        """Return the hash: it holds everything before it, so nothing can be slipped in.

        Lengths stand before the texts: no two different entries give the same bytes.
        """
        agent, boot = self.agent.encode(), self.boot.encode()
        fixed = _FIXED.pack(
            self.id,
            self.received_at,
            self.seq,
            self.trusted,
            len(agent),
            len(boot),
            len(self.times),
            len(self.quarantined),
            len(self.body),
        )
        parts = (previous, fixed, agent, boot, self.times, self.quarantined, self.body)
        return sha256(b"".join(parts)).digest()


def pack(entry: NewEntry, number: int) -> Facts:
    """Return what is stored of an entry under its id."""
    return Facts(
        id=number,
        received_at=entry.received_at,
        agent=entry.agent,
        boot=entry.boot,
        seq=entry.seq,
        times=struct.pack(f"<{len(entry.times)}d", *entry.times),
        trusted=entry.trusted,
        quarantined=struct.pack(f"<{len(entry.quarantined)}H", *entry.quarantined),
        body=entry.body,
    )


def pack_body(body: bytes) -> bytes:
    """Return a batch's JSON as it is stored."""
    return zlib.compress(body, 1)


def unpack_body(stored: bytes) -> bytes:
    """Return a batch's JSON as it was sent; zlib.error when the disk lost it."""
    return zlib.decompress(stored)


def facts_of(row: tuple[Any, ...]) -> Facts:
    """Return what a row of READ says; zlib.error when its body is damaged."""
    number, received_at, agent, boot, seq, times, trusted, quarantined, stored, _ = row
    return Facts(
        number,
        received_at,
        agent,
        boot,
        seq,
        times,
        bool(trusted),
        quarantined,
        unpack_body(stored),
    )


def entry_of(facts: Facts) -> Entry:
    """Return an entry as it was appended; ValueError or struct.error when it is damaged."""
    return Entry(
        id=facts.id,
        agent=facts.agent,
        boot=facts.boot,
        seq=facts.seq,
        batch=_batches.decode(facts.body),
        body=facts.body,
        times=[time for (time,) in struct.iter_unpack("<d", facts.times)],
        trusted=facts.trusted,
        quarantined=[index for (index,) in struct.iter_unpack("<H", facts.quarantined)],
        received_at=facts.received_at,
    )


def anchor_from_row(row: tuple[Any, ...]) -> Anchor:
    """Return one row of READ_ANCHORS."""
    agent, machine_boot, at, error, learned_mono = row
    return Anchor(
        agent=agent, machine_boot=machine_boot, at=at, error=error, learned_mono=learned_mono
    )
