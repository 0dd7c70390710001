import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.export.doubt import Starts
from collector.export.progress import EVERYTHING, NOTHING, Progress
from collector.export.remote_store import ProgressFile


def spans(progress: Progress) -> list[tuple[int, int, float]]:
    """Return what is owed."""
    return [(span.first, span.last, span.before) for span in progress.owed]


def test_what_live_left_is_owed():
    """Entries of which nothing was left cost nothing; within one step of the bound spans are one."""
    progress = Progress(10)
    progress.see(20, NOTHING)
    assert (progress.seen, spans(progress), progress.done) == (20, [], 20)
    progress.see(25, 100.0)
    progress.see(30, NOTHING)
    progress.see(40, 100.0)
    progress.see(50, 110.0)
    assert spans(progress) == [(21, 40, 100.0), (41, 50, 110.0)]
    assert (progress.done, progress.pending) == (20, 30)


def test_only_neighbours_are_owed_whole():
    """Between two outages everything was sent, and is not sent again."""
    progress = Progress(0)
    progress.see(10, EVERYTHING)
    progress.see(20, EVERYTHING)
    progress.see(30, NOTHING)
    progress.see(40, EVERYTHING)
    assert spans(progress) == [(1, 20, EVERYTHING), (31, 40, EVERYTHING)]


def test_the_backlog_pays_from_the_front():
    """A span is paid in pieces; nothing is owed behind what was paid."""
    progress = Progress(0)
    progress.see(10, EVERYTHING)
    progress.see(20, 100.0)
    progress.pay(1, 4, EVERYTHING)
    assert (spans(progress), progress.done) == ([(5, 10, EVERYTHING), (11, 20, 100.0)], 4)
    progress.pay(5, 10, EVERYTHING)
    progress.pay(11, 15, 100.0)
    assert spans(progress) == [(16, 20, 100.0)]
    progress.pay(16, 20, 100.0)
    assert (spans(progress), progress.done) == ([], 20)


def test_a_journal_put_back_is_read_from_there(tmp_path):
    """What the backup does not have is new when it comes again, under the same ids."""
    file = ProgressFile(tmp_path / "a.sqlite")
    progress = Progress(0)
    for upto, before in ((10, EVERYTHING), (20, 100.0), (30, 110.0)):
        progress.see(upto, before)
    file.save(progress.unsaved(), Starts())
    progress.go_back(15)
    assert (progress.seen, spans(progress)) == (15, [(1, 10, EVERYTHING), (11, 15, 100.0)])
    file.save(progress.unsaved(), Starts())
    kept = file.read()
    file.close()
    assert (kept.seen, spans(kept)) == (15, spans(progress))


def test_what_was_taken_lately_is_owed_again():
    """Whole, whatever was owed there already; what was taken earlier, or was not sent, is not."""
    progress = Progress(0)
    progress.see(10, NOTHING)
    progress.take("live", 1, 10, 1.0)
    progress.see(20, EVERYTHING)
    progress.see(30, 100.0)
    progress.take("live", 21, 30, 50.0)
    progress.see(40, 110.0)
    progress.take("live", 31, 40, 60.0)
    assert progress.done == 0
    progress.forget_taken(10.0)
    assert progress.done == 10
    assert progress.owe_again("live", 60.0) == 10
    assert spans(progress) == [(11, 20, EVERYTHING), (21, 30, 100.0), (31, 40, EVERYTHING)]
    assert progress.owe_again("live", 0.0) == 10
    assert spans(progress) == [(11, 40, EVERYTHING)]
    assert progress.owe_again("live", 0.0) == 0


def test_what_becomes_owed_again_on_its_way_stays_owed():
    """The backlog lane sent some of it before the receiver died: only what it sent is paid."""
    progress = Progress(0)
    progress.see(30, 100.0)
    progress.take("live", 11, 20, 1.0)
    progress.owe_again("live", 0.0)
    progress.pay(1, 30, 100.0)
    assert spans(progress) == [(11, 20, EVERYTHING)]


SAFE = 6
OFTEN = ["live", "backlog", "save", "receiver dies", "kill"]
WHAT = [*OFTEN, "live", "backlog", "lost", "lost save", "wait"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(WHAT),
        st.integers(0, 5),
        st.sampled_from([NOTHING, EVERYTHING, 0.0, 1.0, 2.0, 3.0]),
    ),
    min_size=20,
    max_size=60,
)


class World:
    """A progress, its file, and a receiver that has on disk what it took SAFE steps ago.

    Each entry has samples of the times 0, 1, 2, 3. A load is on its way from one step of its lane
    to the next: half of it is taken when it begins, half when it ends.
    """

    def __init__(self, path):
        self.path = path
        self.file = ProgressFile(path)
        self.progress = Progress(0)
        self.file.save(self.progress.unsaved(), Starts())
        self.now, self.taken_at, self.bound = 0, -SAFE, NOTHING
        self.held: dict[tuple[int, float], int] = {}
        self.doubted: dict[str, float] = {}
        self.way: dict[str, tuple] = {}

    def step(self, what: str, size: int, before: float) -> None:
        """Do one thing."""
        self.now += 1
        if what in {"live", "lost", "backlog"}:
            lane = "backlog" if what == "backlog" else "live"
            if lane in self.way:
                self.end(lane, lost=what == "lost")
            else:
                self.begin(lane, size, before)
        elif what == "wait":
            self.now += size
        elif what == "save":
            saving = self.progress.unsaved()
            self.file.save(saving, Starts())
            assert all(entry > saving.done for entry, _ in self.needed())
        elif what == "lost save":
            self.progress.not_saved(self.progress.unsaved())
        elif what == "kill":
            self.file.close()
            self.file = ProgressFile(self.path)
            self.progress = self.file.read()
            self.way.clear()
            self.doubted = dict.fromkeys(("live", "backlog"), -math.inf)
        elif what == "receiver dies":
            since = self.taken_at - SAFE
            self.held = {one: at for one, at in self.held.items() if at < since}
            for lane in ("live", "backlog"):
                self.doubted[lane] = min(since, self.doubted.get(lane, math.inf))

    def begin(self, lane: str, size: int, before: float) -> None:
        """Choose a load, and let half of it be taken."""
        if lane in self.doubted:
            self.progress.owe_again(lane, self.doubted.pop(lane))
        if lane == "live" and size:
            if math.isfinite(before):  # the bound moves on only
                before = self.bound = max(self.bound, before)
            first, last = self.progress.seen + 1, self.progress.seen + size
            chosen = {one for one in samples(first, last) if one[1] >= before}
        elif lane == "backlog" and self.progress.owed:
            span = self.progress.owed[0]
            first, last, before = span.first, min(span.last, span.first + size), span.before
            chosen = {one for one in samples(first, last) if one[1] < before}
        else:
            return
        self.way[lane] = (first, last, before, chosen)
        self.take({one for one in chosen if one[1] < 2})

    def end(self, lane: str, *, lost: bool) -> None:
        """Let the other half be taken, and note it."""
        first, last, before, chosen = self.way.pop(lane)
        if lost:
            self.progress.see(last, EVERYTHING)
            return
        self.take(chosen)
        self.progress.forget_taken(min([self.taken_at - SAFE, *self.doubted.values()]))
        if lane == "live":
            self.progress.see(last, before)
        else:
            self.progress.pay(first, last, before)
        if chosen:
            self.progress.take(lane, first, last, self.now)

    def take(self, chosen: set[tuple[int, float]]) -> None:
        """Let the receiver acknowledge samples."""
        self.held |= dict.fromkeys(chosen, self.now)
        self.taken_at = self.now if chosen else self.taken_at

    def needed(self) -> set[tuple[int, float]]:
        """Return what a receiver has not, or not yet for good."""
        safe = {one for one, at in self.held.items() if at < self.taken_at - SAFE}
        return set(samples(1, self.progress.seen)) - safe


def samples(first: int, last: int) -> list[tuple[int, float]]:
    """Return the samples of these entries: entry and time."""
    return [(entry, time) for entry in range(first, last + 1) for time in range(4)]


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_nothing_is_forgotten_whenever_either_dies(tmp_path_factory, steps):
    """After any steps, kills and deaths the receiver has each sample, or it is owed, or ahead.

    Retention never hears that something is done which may have to be read again. Sending again is
    allowed, forgetting is not.
    """
    world = World(tmp_path_factory.mktemp("progress") / "a.sqlite")
    for step in steps:
        world.step(*step)
        ends = [(span.first, span.last) for span in world.progress.owed]
        assert ends == sorted(ends)
        assert all(one[1] < other[0] for one, other in pairwise(ends))
        assert all(first <= last <= world.progress.seen for first, last in ends)
    world.file.close()
    for lane, since in world.doubted.items():
        world.progress.owe_again(lane, since)
    owed = {
        one
        for span in world.progress.owed
        for one in samples(span.first, span.last)
        if one[1] < span.before
    }
    assert set(samples(1, world.progress.seen)) <= world.held.keys() | owed


def test_a_new_file_knows_nothing(tmp_path):
    """Then the receiver is new."""
    file = ProgressFile(tmp_path / "a.sqlite")
    assert file.read() is None
    file.close()


@pytest.mark.parametrize("upto", [0, 5, 10])
def test_what_was_seen_is_not_seen_again(upto):
    """Looking back moves nothing."""
    progress = Progress(10)
    progress.see(upto, EVERYTHING)
    assert (progress.seen, spans(progress)) == (10, [])
