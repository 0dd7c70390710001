"""What goes into the spool comes out, once, byte for byte, until the centre has it."""

import threading

import msgspec
import pytest

from agent import segments
from agent.config import SpoolLimits
from agent.spool import LIVE_BATCHES, Pending, Spool, SpoolInUseError
from agent.wire import MAX_BATCH_SAMPLES, Ack, Batch
from tests.agent.batches import BOOT, OLD_BOOT, WALL_MS, make_batch
from tests.agent.spools import (
    EVERYTHING,
    SMALL,
    ack,
    appended,
    body_of,
    opened,
    seqs,
)

# Identity


def test_numbers_batches_from_one_and_fixes_their_bytes(tmp_path):
    """The first batch of a boot is 1, the next 2; the bytes are the batch's JSON with its number."""
    with opened(tmp_path) as spool:
        first, second = appended(spool, 2)

        assert [first, second] == [1, 2]
        assert [pending.body for pending in spool.live(EVERYTHING)] == [
            body_of(make_batch(), 1),
            body_of(make_batch(), 2),
        ]


def test_gives_the_same_bytes_after_a_restart(tmp_path):
    """An old boot is resent as that boot, with the bytes that were committed then."""
    with opened(tmp_path, boot=OLD_BOOT) as spool:
        spool.append(make_batch(boot=OLD_BOOT))
    with opened(tmp_path) as spool:
        spool.append(make_batch())

        assert spool.backlog(EVERYTHING) == [
            Pending(OLD_BOOT, 1, WALL_MS, body_of(make_batch(boot=OLD_BOOT), 1), synchronised=True)
        ]
        assert [pending.key for pending in spool.live(EVERYTHING)] == [(BOOT, 1)]


def test_splits_a_batch_of_too_many_samples(tmp_path):
    """Each part is a batch of its own that the collector will take."""
    with opened(tmp_path) as spool:
        spool.append(make_batch(samples=MAX_BATCH_SAMPLES + 1))
        parts = [
            msgspec.json.decode(pending.body, type=Batch) for pending in spool.live(EVERYTHING)
        ]

    assert [(part.seq, len(part.samples)) for part in parts] == [(1, MAX_BATCH_SAMPLES), (2, 1)]


def test_a_batch_without_samples_is_none(tmp_path):
    """A heartbeat has no sequence number and leaves no trace."""
    with opened(tmp_path) as spool:
        spool.append(make_batch(samples=0))

        assert spool.live(EVERYTHING) == []
        assert appended(spool, 1) == [1]


def test_refuses_a_batch_of_another_boot(tmp_path):
    """That is a mistake of the program: its numbers would stand for two texts."""
    with opened(tmp_path) as spool, pytest.raises(ValueError) as caught:
        spool.append(make_batch(boot=OLD_BOOT))

    assert str(caught.value) == f"batch of boot {OLD_BOOT}, this spool is of boot {BOOT}"


# Lanes


def test_the_live_lane_is_the_newest_batches(tmp_path):
    """Live are the newest, in their order; what fell out of that lane is backlog, oldest first."""
    with opened(tmp_path) as spool:
        appended(spool, LIVE_BATCHES + 3)

        assert seqs(spool.live(EVERYTHING)) == list(range(4, LIVE_BATCHES + 4))
        assert seqs(spool.backlog(EVERYTHING)) == [1, 2, 3]


def test_nothing_is_under_way_twice(tmp_path):
    """What was taken is not given out again until it is released without acknowledgement."""
    with opened(tmp_path) as spool:
        appended(spool, LIVE_BATCHES + 2)
        live, backlog = spool.live(EVERYTHING), spool.backlog(EVERYTHING)

        assert (spool.live(EVERYTHING), spool.backlog(EVERYTHING)) == ([], [])
        spool.acknowledge([ack(1, 1), ack(4, 4)])
        spool.release([*live, *backlog])

        assert seqs(spool.backlog(EVERYTHING)) == [2]
        assert seqs(spool.live(EVERYTHING)) == [3, *range(5, LIVE_BATCHES + 3)]


def test_a_batch_that_leaves_the_live_lane_under_way_is_not_backlog_yet(tmp_path):
    """It becomes backlog when its sending has ended."""
    with opened(tmp_path) as spool:
        appended(spool, 1)
        taken = spool.live(EVERYTHING)
        appended(spool, LIVE_BATCHES)

        assert spool.backlog(EVERYTHING) == []
        spool.release(taken)
        assert seqs(spool.backlog(EVERYTHING)) == [1]


def test_lanes_keep_to_a_size_but_give_at_least_one(tmp_path):
    """Live prefers the newest where not all fit, backlog the oldest."""
    size = len(body_of(make_batch(), 1))
    with opened(tmp_path) as spool:
        appended(spool, LIVE_BATCHES + 4)

        assert seqs(spool.live(2 * size + 10)) == [LIVE_BATCHES + 3, LIVE_BATCHES + 4]
        assert seqs(spool.backlog(2 * size + 10)) == [1, 2]
        assert seqs(spool.backlog(1)) == [3]


def test_old_boots_go_first(tmp_path):
    """Backlog is in the order in which it was measured, over boots and segments."""
    with opened(tmp_path, SMALL, boot=OLD_BOOT) as spool:
        appended(spool, 12, boot=OLD_BOOT)
    with opened(tmp_path, SMALL) as spool:
        appended(spool, LIVE_BATCHES + 2)

        assert [pending.key for pending in spool.backlog(EVERYTHING)] == [
            *((OLD_BOOT, seq) for seq in range(1, 13)),
            (BOOT, 1),
            (BOOT, 2),
        ]


# Acknowledgements


def test_acknowledged_batches_are_not_sent_again_after_a_restart(tmp_path):
    """Acknowledgements outlive the program, holes and all."""
    with opened(tmp_path, boot=OLD_BOOT) as spool:
        appended(spool, 6, boot=OLD_BOOT)
        spool.acknowledge([Ack(boot=OLD_BOOT, ranges=[(1, 2), (5, 5)])])
    with opened(tmp_path) as spool:
        assert seqs(spool.backlog(EVERYTHING)) == [3, 4, 6]
        assert spool.state.pending_batches == 3


def test_segments_go_when_all_of_them_is_acknowledged(tmp_path):
    """The disk is used by what waits, and by the segment that grows."""
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 31)
        before = sorted(tmp_path.glob("*.seg"))
        spool.acknowledge([ack(2, 31)])
        held = sorted(tmp_path.glob("*.seg"))
        spool.acknowledge([ack(1, 1)])

        assert len(before) > 4
        assert held == [before[0], before[-1]]
        assert sorted(tmp_path.glob("*.seg")) == before[-1:]
    with opened(tmp_path, SMALL):
        assert list(tmp_path.glob("*.seg")) == []


def test_acknowledging_twice_or_too_much_changes_nothing(tmp_path):
    """Numbers that were not given yet, unknown boots and odd ranges are not believed."""
    with opened(tmp_path) as spool:
        appended(spool, 2)
        for _ in range(2):
            spool.acknowledge(
                [
                    Ack(boot=BOOT, ranges=[(1, 10**12), (0, 5), (7, 3), (-4, -1)]),
                    Ack(boot="ff" * 16, ranges=[(1, 5)]),
                    Ack(boot="not a boot", ranges=[(1, 5)]),
                ]
            )
        assert spool.state.pending_batches == 0
        appended(spool, 1)

        assert spool.state.pending_batches == 1
        assert seqs(spool.live(EVERYTHING)) == [3]


def test_a_lost_tail_of_acknowledgements_only_means_resending(tmp_path):
    """Cut at any byte, the file of acknowledgements costs repetition, never a batch."""
    with opened(tmp_path, boot=OLD_BOOT) as spool:
        appended(spool, 4, boot=OLD_BOOT)
        for seq in (1, 3):
            spool.acknowledge([Ack(boot=OLD_BOOT, ranges=[(seq, seq)])])
    whole = (tmp_path / "acked").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "acked").write_bytes(whole[:length])
        with opened(tmp_path) as spool:
            resent = seqs(spool.backlog(EVERYTHING))

        assert resent in ([1, 2, 3, 4], [2, 3, 4])


def test_many_acknowledgements_stay_small(tmp_path):
    """The file of acknowledgements is rewritten when it has grown."""
    with opened(tmp_path) as spool:
        appended(spool, 1)
        for _ in range(9_000):
            spool._store._acked.add(BOOT, 1, 1)

        assert (tmp_path / "acked").stat().st_size < 256 << 10


# Set aside


def test_a_refused_batch_is_kept_beside_and_counted(tmp_path):
    """It is never sent again and never destroyed; the count outlives a restart."""
    with opened(tmp_path) as spool:
        appended(spool, 3)
        bad = spool.live(EVERYTHING)[1]
        spool.set_aside(bad)

        assert spool.state.set_aside_batches == 1
        assert spool.state.pending_batches == 2
    with opened(tmp_path, boot=OLD_BOOT) as spool:
        assert seqs(spool.backlog(EVERYTHING)) == [1, 3]
        assert spool.state.set_aside_batches == 1
    kept = segments.read(tmp_path / "set-aside")
    assert [segments.unpack(kept.data, record) for record in kept.records] == [bad]


def test_a_refused_batch_that_cannot_be_kept_beside_stays_where_it_is(tmp_path):
    """It is not offered again in this run, but it is not lost either."""
    (tmp_path / "set-aside").mkdir(parents=True)
    with opened(tmp_path) as spool:
        appended(spool, 2)
        spool.set_aside(spool.live(EVERYTHING)[0])
        spool.release([])

        assert spool.state.failing == "Is a directory"
        assert spool.state.set_aside_batches == 0
        assert spool.state.pending_batches == 2
    with opened(tmp_path) as spool:
        assert seqs(spool.backlog(EVERYTHING)) == [1, 2]


# The machine


def test_is_private(tmp_path):
    """Targets and addresses of the office are nobody else's business."""
    directory = tmp_path / "state" / "spool"
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    with opened(directory) as spool:
        appended(spool, 1)
        spool.acknowledge([ack(1, 1)])

        assert directory.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_one_agent_a_directory(tmp_path):
    """A second agent is told so; after the first has gone it may have the directory."""
    with opened(tmp_path), pytest.raises(SpoolInUseError) as caught:
        Spool(tmp_path, SpoolLimits(), boot=OLD_BOOT)

    assert str(caught.value) == f"{tmp_path}: another agent uses this spool"
    with opened(tmp_path, boot=OLD_BOOT):
        pass


def test_threads_may_use_it_at_once(tmp_path):
    """Appending, sending and acknowledging side by side lose and double nothing."""
    seen: list[int] = []
    done = threading.Event()
    with opened(tmp_path, SpoolLimits(max_bytes=400_000)) as spool:

        def send():
            while True:
                ended = done.is_set()
                for lane in (spool.live, spool.backlog):
                    taken = lane(2_000)
                    seen.extend(seqs(taken))
                    spool.acknowledge([ack(seq, seq) for seq in seqs(taken)])
                    spool.release(taken)
                if ended and not spool.state.pending_batches:
                    return

        senders = [threading.Thread(target=send) for _ in range(2)]
        for thread in senders:
            thread.start()
        appended(spool, 150)
        done.set()
        for thread in senders:
            thread.join(20)

        assert sorted(seen) == list(range(1, 151))


def test_a_long_time_offline_costs_no_memory(tmp_path):
    """Of a segment that is full and was not read, memory holds ranges and no batch."""
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 400)
        store = spool._store

        assert len(store._segments) > 10
        assert sum(map(len, store._index.values())) <= store._open.count
