"""How much the spool keeps and for how long, and that what it gives up is counted."""

import pytest

from agent.wire import Ack
from tests.agent.batches import OLD_BOOT, WALL_MS
from tests.agent.spools import EVERYTHING, SMALL, ack, appended, opened, seqs

HOUR_MS = 3_600_000
WEEK_MS = 7 * 24 * HOUR_MS
YEAR_MS = 365 * 24 * HOUR_MS


def test_drops_the_oldest_when_there_is_too_much_and_counts_it(tmp_path):
    """What is dropped and what waits add up to what was given; the total outlives a restart."""
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 200)
        state = spool.state
        used = sum(path.stat().st_size for path in tmp_path.glob("*.seg"))

    assert used <= SMALL.max_bytes
    assert state.dropped_batches > 100
    assert state.dropped_batches + state.pending_batches == 200
    with opened(tmp_path, SMALL, boot=OLD_BOOT) as spool:
        assert spool.state.dropped_batches == state.dropped_batches
        assert [held.pending for held in spool.state.held[1:]] == [state.held[0].pending]
        waiting = seqs(spool.backlog(EVERYTHING))
    assert waiting == list(range(state.dropped_batches + 1, 201))


def test_a_dropped_segment_is_counted_once(tmp_path):
    """A power cut between counting and deleting does not count it again."""
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 8)
        first = min(tmp_path.glob("*.seg"))
        kept = first.read_bytes()
        appended(spool, 200)
        dropped = spool.state.dropped_batches
    first.write_bytes(kept)
    with opened(tmp_path, SMALL) as spool:
        assert spool.state.dropped_batches == dropped
        assert not first.exists()


def test_drops_what_is_too_old(tmp_path):
    """Age is judged by how long the agent has run."""
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 10)
        appended(spool, 1, wall_ms=WALL_MS + WEEK_MS + 1)

        assert spool.state.dropped_batches > 0
        assert spool.state.dropped_batches + spool.state.pending_batches == 11


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS, 8 * 24 * HOUR_MS, YEAR_MS, -YEAR_MS])
def test_a_clock_that_steps_while_running_makes_nothing_old(tmp_path, step_ms):
    """However far the wall clock leaps, and back again, what counts is how long the agent ran."""
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 10, wall_ms=WALL_MS)
        appended(spool, 10, wall_ms=WALL_MS + step_ms + 1_000, ran_ms=1_000)
        appended(spool, 10, wall_ms=WALL_MS + 2_000, ran_ms=2_000)

        assert spool.state.dropped_batches == 0
        appended(spool, 1, wall_ms=WALL_MS + WEEK_MS - 1, ran_ms=WEEK_MS - 1)
        assert spool.state.dropped_batches == 0
        appended(spool, 1, wall_ms=WALL_MS + WEEK_MS + 9_000, ran_ms=WEEK_MS + 9_000)
        assert spool.state.dropped_batches > 0


@pytest.mark.parametrize("ran_ms", [0, 30 * 24 * HOUR_MS])
def test_a_clock_that_is_wrong_at_the_start_makes_nothing_old(tmp_path, ran_ms):
    """A year ahead after a restart, or a year switched off: only the time the agent ran counts."""
    with opened(tmp_path, SMALL, boot=OLD_BOOT) as spool:
        appended(spool, 10, boot=OLD_BOOT)
    with opened(tmp_path, SMALL) as spool:
        later = {"wall_ms": WALL_MS + YEAR_MS, "ran_ms": ran_ms}
        appended(spool, 5, **later)
        assert spool.state.dropped_batches == 0
        appended(spool, 1, wall_ms=WALL_MS + YEAR_MS + WEEK_MS, ran_ms=ran_ms + WEEK_MS + 1)
        assert spool.state.dropped_batches >= 10


@pytest.mark.parametrize("then", [0, WALL_MS + YEAR_MS])
def test_stamps_of_a_clock_that_was_not_synchronised_are_not_believed(tmp_path, then):
    """A clock that was set after the fact costs no batch."""
    with opened(tmp_path, SMALL, boot=OLD_BOOT) as spool:
        appended(spool, 10, boot=OLD_BOOT, wall_ms=then, synchronised=False)
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 10)

        assert spool.state.dropped_batches == 0


def test_unsynchronised_batches_are_as_old_as_what_follows_them(tmp_path):
    """What was sealed before something too old is too old itself."""
    with opened(tmp_path, SMALL, boot=OLD_BOOT) as spool:
        appended(spool, 10, boot=OLD_BOOT, wall_ms=0, ran_ms=0, synchronised=False)
        appended(spool, 9, boot=OLD_BOOT, wall_ms=WALL_MS, ran_ms=9)
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 1)
        assert spool.state.dropped_batches == 0
        appended(spool, 1, wall_ms=WALL_MS + WEEK_MS + 1_000)

        assert spool.state.dropped_batches == 19


def test_says_what_waits(tmp_path):
    """How many, how much, since when: over restarts, and nothing when nothing waits."""
    with opened(tmp_path, SMALL, boot=OLD_BOOT) as spool:
        for number in range(10):
            appended(spool, 1, boot=OLD_BOOT, wall_ms=WALL_MS + number)
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 1, wall_ms=WALL_MS + 100)
        spool.acknowledge([Ack(boot=OLD_BOOT, ranges=[(1, 3), (5, 10)])])

        assert spool.state.pending_batches == 2
        assert 100 < spool.state.pending_bytes < 2_000
        assert spool.state.oldest_pending_ms == WALL_MS + 3
        spool.acknowledge([Ack(boot=OLD_BOOT, ranges=[(4, 4)])])
        assert spool.state.oldest_pending_ms == WALL_MS + 100
        spool.acknowledge([ack(1, 1)])
        assert (spool.state.pending_batches, spool.state.pending_bytes) == (0, 0)
        assert spool.state.oldest_pending_ms is None
