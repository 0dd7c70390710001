"""Journal entries, for tests."""

import msgspec

from collector.ingest.entries import NewEntry
from tests.collector.ingest.pushes import NOON, batch


def entry(seq: int = 1, *, received_at: float = NOON, **changes) -> NewEntry:
    """Return a batch of one sample, ready to be kept."""
    one = batch(seq, **changes)
    return NewEntry(
        agent=one.agent,
        boot=one.boot,
        seq=seq,
        batch=one,
        body=msgspec.json.encode(one),
        times=[NOON - 1 / 3],
        trusted=True,
        quarantined=[],
        received_at=received_at,
    )
