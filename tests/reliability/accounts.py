"""Accounts: what became of every batch and of every attempt, by the journal and by the PCs' disks.

Each number that an agent gave to a batch is stored at the centre exactly once, or still waits on the
PC's disk, or was set aside there, or was given up and counted. Each attempt says how many of its run
there were before it, so one that is missing or doubled shows, whatever batch it was in.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from agent import segments
from agent.acked import Acked
from agent.wire import EVIDENCE, Batch
from collector.ingest.entries import READ, Entry, entry_of, facts_of

Runs = dict[tuple[str, ...], Counter[int]]
"""By agent, boot, check, target and line: how often each number of an attempt was seen."""


@dataclass(slots=True)
class Account:
    """The first five count batches, the others attempts."""

    stored: int = 0
    waiting: int = 0
    """On a PC's disk and not at the centre."""
    set_aside: int = 0
    """Kept on a PC's disk because the collector refused them for good."""
    lost: int = 0
    """Nowhere any more, and counted by the agent as dropped or damaged."""
    unaccounted: int = 0
    """Nowhere any more, and nobody says so."""
    attempts: int = 0
    doubled: int = 0
    missing: int = 0
    """In no batch that is stored, waits or was set aside."""
    at_centre: int = 0
    """Of the attempts, those that are stored."""
    not_at_centre: int = 0
    """Attempts before the newest of their run that is stored, and not stored themselves."""

    def __str__(self) -> str:
        return (
            f"{self.attempts} attempts, {self.doubled} doubled, {self.missing} missing;"
            f" {self.stored} batches stored, {self.waiting} waiting, {self.set_aside} set aside,"
            f" {self.lost} lost, {self.unaccounted} unaccounted"
        )

    def hold(self, *, set_aside: int = 0, lost: int = 0) -> "Account":
        """Hold that nothing is doubled or unaccounted, and that there is this of the rest.

        What an agent cannot hand over in the two seconds of its goodbye waits for its next start.
        """
        print(f"account: {self}")
        assert self.attempts, "nothing was measured"
        assert (self.doubled, self.unaccounted) == (0, 0), self
        assert (self.set_aside, self.lost) == (set_aside, lost), self
        assert self.waiting <= 2, self
        assert lost or not self.missing, self
        return self


def account(folder: Path, *, made: Mapping[str, int] = {}) -> Account:
    """Draw up the account of a test's folder: the collector's journal, each agent's spool.

    `made` says of a boot how many batches it had, where that cannot be seen any more.
    """
    found, runs = Account(), Runs()
    held: dict[tuple[str, str], set[int]] = {}
    stored: set[tuple[str, str, int]] = set()
    for entry in _stored(folder):
        stored.add((entry.agent, entry.boot, entry.seq))
        held.setdefault((entry.agent, entry.boot), set()).add(entry.seq)
        _count(entry.batch, runs)
    found.stored = len(stored)
    for numbers in runs.values():
        found.at_centre += numbers.total()
        found.not_at_centre += max(numbers) - len(numbers)
    counted = Counter[str]()
    for spool in folder.glob("*/state/spool"):
        agent = yaml.safe_load((spool.parent.parent / "agent.yml").read_text("utf-8"))["agent"]
        set_aside = _batches([spool / "set-aside"])
        waiting = {
            key: batch
            for key, batch in _batches(sorted(spool.glob("*.seg"))).items()
            if (agent, *key) not in stored and key not in set_aside
        }
        found.waiting += len(waiting)
        found.set_aside += len(set_aside)
        for (boot, seq), batch in [*waiting.items(), *set_aside.items()]:
            held.setdefault((agent, boot), set()).add(seq)
            _count(batch, runs)
        acked = Acked(spool / "acked")
        acked.load()
        counted[agent] = acked.totals.dropped + acked.totals.damaged
    gone = Counter[str]()
    for (agent, boot), seqs in held.items():
        gone[agent] += max(*seqs, made.get(boot, 0), 0) - len(seqs)
    for agent, number in gone.items():
        found.lost += min(number, counted[agent])
        found.unaccounted += max(0, number - counted[agent])
    for numbers in runs.values():
        found.attempts += numbers.total()
        found.doubled += numbers.total() - len(numbers)
        found.missing += max(numbers) - len(numbers)
    return found


def journal(folder: Path) -> list[Entry]:
    """Return every batch that a province's collector has stored, in the order it did."""
    return list(_stored(folder))


def _stored(folder: Path) -> Iterator[Entry]:
    """Yield the same; there may be more than fits into memory."""
    path = folder / "state" / "journal.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        for row in database.execute(f"{READ} ORDER BY entries.id"):
            yield entry_of(facts_of(row))


def _batches(files: Iterable[Path]) -> dict[tuple[str, int], Batch]:
    found = {}
    for file in files:
        try:
            data = file.read_bytes()
        except FileNotFoundError:  # all of it was just acknowledged
            continue
        for record in segments.scan(data)[0]:
            pending = segments.unpack(data, record)
            found[pending.key] = msgspec.json.decode(pending.body, type=Batch)
    return found


def _count(batch: Batch, runs: Runs) -> None:
    for sample in batch.samples:
        if sample.kind != EVIDENCE:  # gathered beside the attempts, and none itself
            number = sample.counters.get("all_success_count", 0) + sample.counters.get("errors", 0)
            run = (batch.agent, batch.boot, sample.check, sample.target, sample.line)
            runs.setdefault(run, Counter())[int(number)] += 1
