import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    progress.pay(4)
    assert (spans(progress), progress.done) == ([(5, 10, EVERYTHING), (11, 20, 100.0)], 4)
    progress.pay(15)
    assert spans(progress) == [(16, 20, 100.0)]
    progress.pay(20)
    assert (spans(progress), progress.done) == ([], 20)


def test_a_journal_put_back_is_read_from_there(tmp_path):
    """What the backup does not have is new when it comes again, under the same ids."""
    file = ProgressFile(tmp_path / "a.sqlite")
    progress = Progress(0)
    for upto, before in ((10, EVERYTHING), (20, 100.0), (30, 110.0)):
        progress.see(upto, before)
    file.save(progress.unsaved())
    progress.go_back(15)
    assert (progress.seen, spans(progress)) == (15, [(1, 10, EVERYTHING), (11, 15, 100.0)])
    file.save(progress.unsaved())
    kept = file.read()
    file.close()
    assert (kept.seen, spans(kept)) == (15, spans(progress))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["see", "pay", "save", "lost save", "kill"]),
        st.integers(0, 5),
        st.sampled_from([NOTHING, EVERYTHING, 0.0, 1.0, 2.0, 3.0]),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_nothing_is_forgotten_whenever_it_dies(tmp_path_factory, steps):
    """After any steps and kills each sample was sent by one of the lanes, or is still ahead.

    Each entry has samples of the times 0, 1, 2, 3. Sending again is allowed, forgetting is not.
    """
    path = tmp_path_factory.mktemp("progress") / "a.sqlite"
    file = ProgressFile(path)
    progress = Progress(0)
    file.save(progress.unsaved())
    sent: set[tuple[int, float]] = set()
    bound = NOTHING
    for what, size, before in steps:
        if what == "see" and size:
            first, last = progress.seen + 1, progress.seen + size
            if math.isfinite(before):  # the bound moves on only
                before = bound = max(bound, before)  # noqa: PLW2901
            taken = {(e, t) for e in range(first, last + 1) for t in range(4) if t >= before}
            sent |= taken
            progress.see(last, before)
        elif what == "pay" and progress.owed:
            span = progress.owed[0]
            last = min(span.last, span.first + size)
            sent |= {
                (e, t) for e in range(span.first, last + 1) for t in range(4) if t < span.before
            }
            progress.pay(last)
        elif what == "save":
            file.save(progress.unsaved())
        elif what == "lost save":
            progress.not_saved(progress.unsaved())
        elif what == "kill":
            file.close()
            file = ProgressFile(path)
            progress = file.read()
    owed = {
        (e, t)
        for span in progress.owed
        for e in range(span.first, span.last + 1)
        for t in range(4)
        if t < span.before
    }
    file.close()

    assert {(e, t) for e in range(1, progress.seen + 1) for t in range(4)} <= sent | owed
    ends = [(span.first, span.last) for span in progress.owed]
    assert ends == sorted(ends)
    assert all(one[1] < other[0] for one, other in pairwise(ends))


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
