"""What the running agent seals into a batch beside its samples."""

import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from agent.config import AgentFile, CollectorAddress
from agent.service import Service
from agent.wire import Batch
from tests.agent.batches import make_sample


@pytest.fixture
async def service(tmp_path):
    """Return an agent that is not running yet."""
    centre = CollectorAddress(url="http://127.0.0.1:9", token_file=Path("none"))
    made = Service(AgentFile(agent="04792", collector=centre, state_directory=tmp_path))
    yield made
    await made._uplink.close()
    made._spool.close()
    made._env.close()


async def sealed(service: Service) -> Batch:
    """Seal one sample and return the batch as the spool holds it."""
    service._take(make_sample())
    assert await service._seal()
    (*_, pending) = service._spool._live.values()
    return msgspec.json.decode(pending.body, type=Batch)


async def test_no_clock_was_measured(service):
    """Before a time server has answered, nothing is said of the clock."""
    batch = await sealed(service)

    assert (batch.ntp_offset, batch.ntp_age) == (None, None)


async def test_the_newest_offset_and_its_age(service):
    """The offset that was measured last travels with every batch, and how old it is."""
    service._health.note_clock(5.0)
    service._health.note_clock(-0.0123456)
    service._health.clock_measured_at -= 40
    first = await sealed(service)
    again = await sealed(service)

    assert first.ntp_offset == again.ntp_offset == -0.0123456
    assert 40 <= first.ntp_age <= again.ntp_age < 45
    assert first.sealed.mono_ns / 1e9 <= time.clock_gettime(time.CLOCK_BOOTTIME)


async def test_what_cannot_be_measured_is_logged_once_a_streak(service, caplog):
    """The metric counts errors; the reason stands in the log, once until it is measured again."""
    wrong = replace(make_sample(), error="no such interface (eth9)")
    for sample in (wrong, wrong, make_sample(), wrong):
        service._take(sample)

    told = f"cannot measure check={wrong.check} target={wrong.target} line={wrong.line!r} why=no such interface (eth9)"
    assert [told, told] == [record.getMessage() for record in caplog.records]
