import time

from tests.collector.ingest.pushes import batch
from tests.collector.served import AGENT, served
from tests.waiting import until


async def test_the_house_is_kept_while_the_collector_runs(tmp_path, monkeypatch, caplog):
    """What is older than it may be goes by itself, and the use of tokens is written down."""
    monkeypatch.setattr("collector.housekeeping.REMOVE_SECONDS", 0.1)
    monkeypatch.setattr("collector.housekeeping.SAVE_USED_SECONDS", 0.1)
    ahead = 0.0
    async with served(tmp_path, more="keep: {days: 8}\n", wall=lambda: time.time() + ahead) as here:
        await here.push(batch(1))
        ahead = 7 * 86_400.0
        await here.push(batch(2))
        assert await here.kept() == [(AGENT, 1), (AGENT, 2)]
        ahead = 9 * 86_400.0
        deadline = time.monotonic() + 5
        while await here.kept() != [(AGENT, 2)]:
            assert time.monotonic() < deadline
        await until(lambda: next(here.centre.access.tokens()).last_used_at, what="written down")
        assert (await here.push(batch(1))).acks[0].ranges == [(1, 2)]
    assert "raised an exception" not in caplog.text
