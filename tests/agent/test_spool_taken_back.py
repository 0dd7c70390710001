"""A centre that was set back to an older state: what it had and is still here is sent again."""

from tests.agent.batches import BOOT, OLD_BOOT
from tests.agent.centre import running_centre
from tests.agent.spools import SMALL, ack, appended, lanes, opened, seqs
from tests.agent.uplinks import everything, quicken, running_agent
from tests.waiting import until


def test_what_the_centre_lost_waits_again(tmp_path):
    """As far as it stands on the disk: what is deleted stays known as handed over."""
    with opened(tmp_path, SMALL) as spool:
        appended(spool, 14)  # three in each segment
        spool.acknowledge([ack(1, 14)])
        spool.take_back(spool.acknowledged(), [ack(1, 4)])

        assert seqs(lanes(spool)[1]) == [13, 14]
        assert spool.state.pending_batches == 2


def test_it_still_waits_after_a_restart(tmp_path):
    """What was taken back is not taken for acknowledged when the spool is opened again."""
    with opened(tmp_path) as spool:
        appended(spool, 3)
        spool.acknowledge([ack(1, 3)])
        spool.take_back(spool.acknowledged(), [ack(1, 1)])
    with opened(tmp_path, boot=OLD_BOOT) as spool:
        assert seqs(lanes(spool)[1]) == [2, 3]


def test_an_answer_that_comes_late_takes_nothing_back(tmp_path):
    """It knows less than one that overtook it; it lost nothing."""
    with opened(tmp_path) as spool:
        appended(spool, 4)
        had = spool.acknowledged()
        spool.acknowledge([ack(1, 4)])
        spool.take_back(had, [ack(1, 2)])
        assert spool.state.pending_batches == 0


def test_what_was_set_aside_is_not_sent_again(tmp_path):
    """The centre never had it, and will not have it."""
    with opened(tmp_path) as spool:
        appended(spool, 3)
        (first, *_) = spool.live(1 << 20)
        spool.set_aside(first)
        assert list(spool.acknowledged()) == []
        spool.acknowledge([ack(2, 3)])
        spool.take_back(spool.acknowledged(), [ack(2, 3)])
        assert spool.state.pending_batches == 0


def test_another_boots_answer_takes_nothing_back(tmp_path):
    """What it says of one run says nothing of another."""
    with opened(tmp_path) as spool:
        appended(spool, 2)
        spool.acknowledge([ack(1, 2)])
        spool.take_back(spool.acknowledged(), [ack(1, 1, OLD_BOOT)])
        assert list(spool.acknowledged()) == [(1, 2)]


async def test_a_centre_set_back_gets_again_what_it_lost(tmp_path, monkeypatch):
    """With the next batch: each is stored once more, with the same bytes."""
    quicken(monkeypatch)
    async with running_centre() as centre, running_agent(tmp_path, centre) as agent:
        agent.seal(20)
        await until(lambda: len(centre.stored) == 20)
        await until(lambda: agent.spool.state.pending_batches == 0)
        for seq in range(8, 17):
            del centre.stored[BOOT, seq]
        agent.seal()
        await until(lambda: len(centre.stored) == 21)
        assert centre.stored == everything(21)
        await until(lambda: agent.spool.state.pending_batches == 0)
        assert list(agent.spool.acknowledged()) == [(1, 21)]
