"""Entries as the journal gives them, and a journal in memory to read them from."""

from typing import Any

from agent.wire import Batch, Sample
from collector.ingest.entries import Entry
from tests.collector.ingest.pushes import AGENT, BOOT, MACHINE, NOON, stamp


def attempt(**changes: Any) -> Sample:
    """Return an echo attempt that was answered."""
    fields = {
        "check": "cong",
        "target": "192.0.2.1",
        "line": "ftth",
        "kind": "icmp",
        "version": 1,
        "start": stamp(),
        "duration": 0.012,
        "values": {"icmp_loss_ratio": 0.0, "icmp_duration_rtt_avg_seconds": 0.002},
    }
    return Sample(**{**fields, **changes})


def entry(number: int, samples: list[Sample], times: list[float], **changes: Any) -> Entry:
    """Return the entry of the journal with this id."""
    fields = {
        "id": number,
        "agent": AGENT,
        "boot": BOOT,
        "seq": number,
        "batch": Batch(
            v=1,
            agent=AGENT,
            boot=BOOT,
            machine_boot=MACHINE,
            seq=number,
            sealed=stamp(),
            synchronised=True,
            config=1,
            program="0.1.0",
            samples=samples,
        ),
        "body": b"",
        "times": times,
        "trusted": True,
        "quarantined": [],
        "received_at": NOON,
    }
    return Entry(**{**fields, **changes})


class FakeJournal:
    """What is read of a journal, from memory; an entry that is None was lost by the disk."""

    def __init__(self, entries: list[Entry | None]) -> None:
        self.entries = entries

    @property
    def newest_id(self) -> int:
        """Return the id of the newest entry."""
        return len(self.entries)

    async def read(self, after: int, limit: int) -> list[Entry]:
        """Return entries as Journal.read does."""
        return [one for one in self.entries[after : after + limit] if one is not None]
