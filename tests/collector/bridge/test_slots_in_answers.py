"""Slots on their way: from the running collector's table into the answers of agents."""

import asyncio
import time

import pytest

from collector.bridge.lease import read_lease
from tests.collector.inventory import loading
from tests.collector.inventory.folders import FILES, write
from tests.collector.inventory.test_loads import SPEED, folder
from tests.collector.served import AGENT, OTHER, served
from tests.waiting import until

SECRET = "bridge: {secret_file: bridge.secret}\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a folder with a province that measures a bridge each 8 s, and the secret."""
    loading.put_in(monkeypatch)
    short = ("720p, seconds: 30", "720p, seconds: 1")
    often = ("interval_seconds: 3600", "interval_seconds: 8")
    write(tmp_path, folder(short, often, ("batch_seconds: 10", "batch_seconds: 1"), (SPEED, "")))
    (tmp_path / "bridge.secret").write_text("a secret of the province\n")
    return tmp_path


def without_checks(home) -> None:
    """Write the folder without what needs slots."""
    (home / "mau" / "checks.yml").write_text(FILES["checks.yml"], "utf-8")


async def asked(here, seconds: float = 30.0):
    """Push as an agent does until an answer holds slots; return it."""
    deadline = time.monotonic() + seconds
    while not (answer := await here.push(agent=AGENT)).slots:
        assert time.monotonic() < deadline, "no slot"
        await asyncio.sleep(0.1)
    return answer


async def test_an_agents_answer_holds_its_slots_until_they_begin(home, monkeypatch):
    """Only that agent's, with a lease of the shared secret; the figures say what is going on."""
    monkeypatch.setattr("collector.bridge.slots.GUARD_SECONDS", 0.5)
    async with served(home, more=SECRET) as here:
        answer = await asked(here)
        (slot,) = answer.slots
        others = (await here.push(agent=OTHER)).slots
        again = (await here.push(agent=AGENT)).slots

        lease = read_lease(slot.lease, b"a secret of the province")
        assert ("video", "cau.mau.example:20000", 1.0) == (
            slot.check,
            slot.target,
            slot.max_seconds,
        )
        assert 0 < slot.starts_in <= 4.0
        assert lease.not_before == pytest.approx(answer.answered_at + slot.starts_in, abs=0.01)
        assert [slot.id] == [one.id for one in again]
        assert slot.id not in {one.id for one in others}
        await until(
            lambda: here.metric('thongsuot_bridge_load_bits_per_second{trunk="bridge"}') > 0,
            what="the load is told",
        )
        assert here.metric('thongsuot_bridge_active_slots{trunk="bridge"}') >= 1
        assert slot.id not in {one.id for one in (await here.push(agent=AGENT)).slots}


async def test_without_a_secret_it_is_said_once_and_counted(home, monkeypatch, caplog):
    """No media slot is given; the log names the checks, the figures the reason."""
    monkeypatch.setattr("collector.bridge.slots.GUARD_SECONDS", 0.0)
    async with served(home) as here:
        await here.push()
        await until(
            lambda: here.centre.slots.waiting["secret"] > 0,
            seconds=30,
            what="counted",
        )
        assert here.metric('thongsuot_bridge_waiting_runs{reason="secret"}') > 0
        assert [] == (await here.push()).slots
    told = [text for text in caplog.messages if "secret_file" in text]
    assert [
        "media tests get no slots, collector.yml has no bridge: secret_file checks=video"
    ] == told


async def test_a_reload_reaches_the_table(home):
    """Checks that are gone give no more slots; those that came do."""
    async with served(home, more=SECRET) as here:
        assert len(here.centre.slots._places) > 0
        without_checks(home)
        await here.centre.reload()
        assert {} == here.centre.slots._places


async def test_a_step_of_the_clock_moves_the_table(home, caplog):
    """What was given an hour ago by a clock that was wrong is still being run."""
    ahead = 0.0
    async with served(home, more=SECRET, wall=lambda: time.time() + ahead) as here:
        before = here.centre.slots._starts_at
        ahead = -3600.0
        await until(lambda: "clock was set" in caplog.text, what="noticed")
        assert here.centre.slots._starts_at == pytest.approx(before - 3600.0, abs=1.0)
