"""Any life of a journal, with power cuts between any two of its writes, against a plain model.

SQLite writes a commit's pages to its log, syncs it, and only then, now and then, copies them into
the file; the log is written over from its beginning afterwards. So what a power cut can leave of one
operation is the log written up to any byte, and, once the log is whole, any of the file's pages.
"""

import random
import tempfile
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from collector.database import open_reader
from collector.ingest import writer
from collector.ingest.chain import verify
from collector.ingest.writer import Append, Writer
from tests.collector.ingest.entries import entry
from tests.collector.ingest.pushes import NOON, sample

PAGE_BYTES = 4096
BOOTS = ["b0" * 16, "b1" * 16]
ENOUGH_BYTES = 1 << 30
CUTS = st.none() | st.floats(0.0, 1.0)
"""How much of what an operation writes comes to the disk; None: all of it, and the power stays."""


class Known(NamedTuple):
    """What a journal holds."""

    had: frozenset[tuple[str, int]] = frozenset()
    """Boot and number of every batch it ever took."""
    kept: tuple[tuple[int, str, int], ...] = ()
    """Id, boot and number of those that are there, in the order of their ids."""
    newest: int = 0
    cursors: tuple[tuple[str, int], ...] = ()


class Image(NamedTuple):
    """A journal's files, as the disk has them."""

    file: bytes
    log: bytes


class JournalLife(RuleBasedStateMachine):
    """A journal on a disk that loses power, and what must be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runs = 0
        self.known = Known()
        self.removed_at_once = writer._REMOVED_AT_ONCE
        writer._REMOVED_AT_ONCE = 3

    @initialize(seed=st.integers(0, 2**32), pages=st.sampled_from([1, 4, 1_000]))
    def begins(self, seed, pages):
        """Make the file; its log is copied into it after so many pages."""
        self.chance, self.pages = random.Random(seed), pages
        self.open(None)

    def teardown(self) -> None:
        """Leave nothing behind."""
        writer._REMOVED_AT_ONCE = self.removed_at_once
        self.writer.close()
        self.folder.cleanup()

    def open(self, image: Image | None) -> None:
        """Start the next run of the collector on what is left."""
        self.runs += 1
        self.path = Path(self.folder.name) / str(self.runs) / "journal.sqlite"
        self.path.parent.mkdir()
        if image is not None:
            self.path.write_bytes(image.file)
            self.log.write_bytes(image.log)
        self.writer = Writer(self.path)
        self.writer._database.execute(f"PRAGMA wal_autocheckpoint = {self.pages}")

    @property
    def log(self) -> Path:
        """Return the path of SQLite's log."""
        return self.path.with_name(self.path.name + "-wal")

    def image(self) -> Image:
        """Return what is in the files now."""
        return Image(self.path.read_bytes(), self.log.read_bytes() if self.log.exists() else b"")

    # What happens

    def does(self, cut: float | None, doing, then: Known) -> None:
        """Do something that makes the journal hold `then`; the power may go meanwhile."""
        before = self.image()
        doing()
        after = self.image()
        if cut is None:
            self.known = then
            return
        left, whole = self.left_of(before, after, cut)
        self.writer.close()
        self.open(left)
        found = self.found()
        assert found == then if whole else found in {self.known, then}
        self.known = found

    def left_of(self, before: Image, after: Image, cut: float) -> tuple[Image, bool]:
        """Return what a power cut leaves, and whether the log had come to the disk whole."""
        written = int(cut * (len(after.log) + 1))
        log = after.log[:written] + before.log[written:]
        if written < len(after.log):
            return Image(before.file, log), False
        pages = range(0, len(after.file), PAGE_BYTES)
        file = b"".join(
            (after if self.chance.random() < 0.5 else before).file[at : at + PAGE_BYTES]
            or after.file[at : at + PAGE_BYTES]
            for at in pages
        )
        return Image(file, after.log), True

    @rule(
        batches=st.lists(st.tuples(st.sampled_from(BOOTS), st.integers(1, 12)), max_size=5),
        size=st.integers(0, 6_000),
        cut=CUTS,
    )
    def takes(self, batches, size, cut):
        """Take batches, some of them again."""
        detail = "".join(self.chance.choices("abcdefghij", k=size))
        group = [
            Append([entry(seq, boot=boot, samples=[sample(detail=detail)])], [])
            for boot, seq in batches
        ]
        had, kept, newest = set(self.known.had), list(self.known.kept), self.known.newest
        for boot, seq in batches:
            if (boot, seq) not in had:
                newest += 1
                had.add((boot, seq))
                kept.append((newest, boot, seq))
        then = self.known._replace(had=frozenset(had), kept=tuple(kept), newest=newest)
        self.does(cut, lambda: self.writer.commit(group, NOON), then)

    @rule(name=st.sampled_from(["rollup", "slow"]), back=st.integers(0, 5), cut=CUTS)
    def is_read(self, name, back, cut):
        """Keep how far a reader has come."""
        at = max(0, self.known.newest - back)
        cursors = tuple(sorted({**dict(self.known.cursors), name: at}.items()))
        self.does(
            cut,
            lambda: self.writer.set_cursor(name, at),
            self.known._replace(cursors=cursors),
        )

    @rule(cut=CUTS)
    def grows_old(self, cut):
        """Remove the oldest entries; which numbers were had stays known."""
        self.does(
            cut,
            lambda: self.writer.remove(
                received_before=NOON + 1, max_bytes=ENOUGH_BYTES, readers={}, now=NOON
            ),
            self.known._replace(kept=self.known.kept[3:]),
        )

    @rule()
    def restarts(self):
        """End in order and start again."""
        self.writer.close()
        self.open(self.image())

    # What must be

    def found(self) -> Known:
        """Return what the file holds, read as others read it."""
        with closing(open_reader(self.path)) as database:
            kept = database.execute(
                "SELECT entries.id, boots.boot, seq FROM entries"
                " JOIN boots ON boots.id = entries.boot ORDER BY entries.id"
            ).fetchall()
            ranges = database.execute("SELECT boot, ranges FROM boots").fetchall()
            cursors = database.execute("SELECT name, id FROM cursors ORDER BY name").fetchall()
        had = {
            (boot, seq)
            for boot, text in ranges
            for first, last in msgspec.json.decode(text)
            for seq in range(first, last + 1)
        }
        return Known(frozenset(had), tuple(kept), self.writer.newest_id, tuple(cursors))

    @invariant()
    def is_what_it_was_told(self):
        """Hold that the file has exactly what was taken, and that its chain is whole."""
        assert self.found() == self.known
        assert verify(self.path).broken == 0


JournalLife.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_a_life_with_power_cuts = JournalLife.TestCase
