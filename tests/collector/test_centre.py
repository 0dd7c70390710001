import asyncio
import sqlite3
import time

import pytest
from msgspec.json import encode

from agent.wire import Failure
from collector.diagnosis.compare import HOLD_SECONDS
from collector.diagnosis.store import Store
from collector.inventory.problems import FolderError
from collector.state.rollup_read import RollupReader
from tests.collector.ingest.pushes import batch, sample, stamp
from tests.collector.served import AGENT, OTHER, Served, served
from tests.waiting import until

REHEARSAL = 1_751_151_600.0
"""2025-06-29 06:00 in Việt Nam: the sample province's rehearsal begins, at the fast profile."""


def mono() -> float:
    """Return what the agent's monotonic clock reads: a machine that has run for days."""
    return 1e6 + time.monotonic()


async def report(here: Served, seq: int, *failures: Failure | None) -> None:
    """Push attempts at the router, some milliseconds apart, the last just now: None succeeded."""
    now = mono()
    samples = [
        sample(
            check="gateway",
            target="192.0.2.1",
            kind="icmp",
            start=stamp(mono=now - (len(failures) - number) / 1e3),
            failure=failure,
        )
        for number, failure in enumerate(failures, 1)
    ]
    await here.push(batch(seq, samples=samples), sent=stamp(mono=now))


def gateway(here: Served):
    """Return the state of the router as the centre sees it."""
    return next(
        state
        for series, state in here.centre.fleet.series.items()
        if (series.agent, series.check) == (AGENT, "gateway")
    )


async def incident_lines(here: Served) -> list[str]:
    """Return the incidents on the page for Prometheus."""
    _, _, page = await here.get("/metrics/live")
    return [line for line in page.decode().splitlines() if line.startswith("thongsuot_incident{")]


async def test_what_was_up_is_up_after_a_restart(tmp_path):
    """The journal's last minutes bring back state, its age and the newest sample."""
    async with served(tmp_path) as here:
        await report(here, 1, None, None)
        before = gateway(here)
        assert before.state == "up"
    async with served(tmp_path) as here:
        after = gateway(here)
        assert (after.state, after.since, after.at) == (before.state, before.since, before.at)
        assert encode(after.sample) == encode(before.sample)
        assert here.centre.fleet.agents[AGENT].contact == "live"


async def test_what_is_long_past_at_the_start_is_unknown_since_then(tmp_path):
    """After minutes away nothing is known, and known since when: not since our own start."""
    ahead = 0.0
    async with served(tmp_path, wall=lambda: time.time() + ahead) as here:
        await report(here, 1, None, None)
        last = gateway(here).at
    ahead = 300.0
    async with served(tmp_path, wall=lambda: time.time() + ahead) as here:
        await until(lambda: gateway(here).state == "unknown", what="stale")
        await asyncio.sleep(0.3)
        assert gateway(here).since == last


async def test_what_was_reported_is_counted_by_minute(tmp_path):
    """The rollups follow the journal, and are on disk when the collector has stopped."""
    now = time.time()
    async with served(tmp_path) as here:
        await report(here, 1, None, Failure.TIMEOUT)
    async with served(tmp_path) as here:
        await report(here, 2, None)
        await until(lambda: here.centre.rollups.behind == 0, what="counted")
        assert "thongsuot_rollup_behind_entries 0.0" in (await here.get("/metrics"))[2].decode()
    reader = RollupReader(tmp_path / "state" / "rollup.sqlite")
    (track,) = reader.of_check("gateway", now - 60, now + 120)
    reader.close()
    assert (track.key.agent, track.key.target) == (AGENT, "192.0.2.1")
    assert sum(one.runs for one in track.minutes) == 3
    assert sum(one.successes for one in track.minutes) == 2


async def test_an_incident_outlives_restarts_under_its_name(tmp_path):
    """Opened once, on the page at once after each start, closed once."""
    async with served(tmp_path) as here:
        await report(here, 1, Failure.TIMEOUT, Failure.TIMEOUT)
        (opened,) = await until_lines(here, 1)
    async with served(tmp_path) as here:
        assert await incident_lines(here) == [opened]
        await asyncio.sleep(0.6)
        assert await incident_lines(here) == [opened]
        await report(here, 2, None, None)
        await until_lines(here, 0)
    async with served(tmp_path) as here:
        assert await incident_lines(here) == []


async def until_lines(here: Served, count: int) -> list[str]:
    """Return the incidents on the page once there are so many."""
    deadline = time.monotonic() + 15  # found, held, good for long enough
    while len(lines := await incident_lines(here)) != count:
        assert time.monotonic() < deadline, lines
        await asyncio.sleep(0.02)
    return lines


async def test_samples_that_come_while_the_past_is_read_count(tmp_path, monkeypatch):
    """Nothing falls between what is read again and what comes in meanwhile."""
    async with served(tmp_path) as here:
        await report(here, 1, None)
    read, release = type(here.centre.journal).read, asyncio.Event()

    async def slow(self, after, limit):
        entries = await read(self, after, limit)
        await release.wait()
        return entries

    monkeypatch.setattr("collector.ingest.journal.Journal.read", slow)
    async with served(tmp_path, loaded=False) as here:
        await report(here, 2, Failure.TIMEOUT, Failure.TIMEOUT)
        await here.push(agent=OTHER)
        assert not here.centre.loaded
        assert here.centre.fleet.agents[OTHER].contact == "never"
        release.set()
        await until(lambda: here.centre.loaded, what="loaded")
        assert gateway(here).state == "down"
        assert here.centre.fleet.agents[OTHER].contact == "live"


async def test_who_said_goodbye_is_not_missed_after_a_restart(tmp_path):
    """An office switched off at five is no outage, whatever the centre does overnight."""
    async with served(tmp_path) as here:
        await here.push(bye="shutdown")
        await until(lambda: here.centre.fleet.agents[AGENT].contact == "closed", what="closed")
    async with served(tmp_path) as here:
        assert here.centre.fleet.agents[AGENT].contact == "closed"


async def test_the_past_pages_nobody(tmp_path):
    """Late samples of an outage that is over are kept, and open nothing."""
    async with served(tmp_path) as here:
        await report(here, 2, None, None)
        now = mono()
        old = [
            sample(
                check="gateway", target="192.0.2.1", start=stamp(mono=400 + n), failure="timeout"
            )
            for n in range(50)
        ]
        await here.push(batch(1, samples=old), sent=stamp(mono=now))
        await asyncio.sleep(0.6)
        assert gateway(here).state == "up"
        assert await incident_lines(here) == []
        assert len(await here.kept()) == 2


async def test_a_step_of_the_centres_clock_silences_nobody(tmp_path, caplog):
    """When this machine's clock is set, every agent seems long unheard: patience begins anew."""
    ahead = 0.0
    async with served(tmp_path, wall=lambda: time.time() + ahead) as here:
        await here.push()
        ahead = 3_600.0
        await until(lambda: "clock was set seconds=3600" in caplog.text, what="noticed")
        await asyncio.sleep(0.6)
        assert here.centre.fleet.agents[AGENT].contact == "live"
        assert await incident_lines(here) == []


async def test_a_stall_of_this_process_silences_nobody(tmp_path, caplog):
    """Pushes wait in the sockets while we stand still: that is no silence of the agents."""
    async with served(tmp_path, wall=time.time) as here:
        await here.push()
        before = here.centre.fleet._started_at
        time.sleep(1.3)  # noqa: ASYNC251 - standing still is what is tested
        await until(lambda: "this process stood still" in caplog.text, what="noticed")
        assert here.centre.fleet._started_at > before + 1


async def test_a_phase_changes_what_agents_are_told(tmp_path):
    """When a phase begins, its profile's pace is told to every agent under a higher version."""
    now = REHEARSAL - 60
    async with served(tmp_path, wall=lambda: now) as here:
        calm = here.centre.told(AGENT)
        assert b'"batch_seconds":10.0' in calm.body
        assert b'"interval_seconds":15.0' in calm.body
        now = REHEARSAL
        await until(lambda: here.centre.told(AGENT) != calm, what="told")
        fast = here.centre.told(AGENT)
        assert fast.version > calm.version
        assert b'"batch_seconds":1.0' in fast.body
        assert b'"interval_seconds":5.0' in fast.body
        now = REHEARSAL + 7 * 3_600
        await until(lambda: here.centre.told(AGENT) != fast, what="told")
        assert here.centre.told(AGENT).version > fast.version


async def test_a_page_goes_out_although_it_cannot_be_written_down(tmp_path, monkeypatch, caplog):
    """A full disk must not keep a page back; it is written down when that is possible again."""
    save, broken = Store.save, True

    def failing(self, changes, agents):
        if broken:
            raise sqlite3.OperationalError("database or disk is full")
        save(self, changes, agents)

    monkeypatch.setattr(Store, "save", failing)
    async with served(tmp_path) as here:
        await report(here, 1, Failure.TIMEOUT, Failure.TIMEOUT)
        (line,) = await until_lines(here, 1)
        assert "incidents cannot be written error=database or disk is full" in caplog.text
        broken = False
        store = here.centre._store
        await until(store.open_incidents, what="written down")
        assert f'id="{store.open_incidents()[0].id}"' in line


async def test_a_tick_that_fails_is_not_the_last(tmp_path, monkeypatch, caplog):
    """A fault in one look at everything is logged; the next look happens."""
    async with served(tmp_path) as here:
        with monkeypatch.context() as patch:
            patch.setattr(here.centre.fleet, "tick", lambda _: 1 / 0)
            await until(lambda: "tick failed" in caplog.text, what="logged")
        await report(here, 1, Failure.TIMEOUT, Failure.TIMEOUT)
        await until_lines(here, 1)


async def test_a_large_push_does_not_hold_up_the_others(tmp_path):
    """While a backlog of megabytes is taken, a heartbeat is answered at once."""
    async with served(tmp_path) as here:
        big = [
            batch(seq, samples=[sample(start=stamp(mono=n)) for n in range(100)])
            for seq in range(1, 201)
        ]
        backlog = asyncio.create_task(here.push(*big))
        waits = []
        while not backlog.done():
            began = time.monotonic()
            await here.push(agent=OTHER)
            waits.append(time.monotonic() - began)
        assert (await backlog).acks[0].ranges == [(1, 200)]
        assert max(waits) < 1.0


async def test_a_bad_folder_keeps_the_old_one(tmp_path):
    """Whatever is wrong with the new files, the province goes on by the old ones."""
    async with served(tmp_path) as here:
        before = here.centre.fleet.inventory
        (here.folder / "checks.yml").write_text("checks: 5\n", "utf-8")
        with pytest.raises(FolderError):
            await here.centre.reload()
        assert here.centre.fleet.inventory is before
        assert here.metric("thongsuot_inventory_refused") == 1
        await here.push(batch(1))


async def test_a_past_that_cannot_be_read_stops_nobody(tmp_path, monkeypatch, caplog):
    """A disk that lost the journal's last pages: said once, then the present is watched."""

    async def broken(*_):
        raise sqlite3.DatabaseError("database disk image is malformed")

    async with served(tmp_path) as here:
        await here.push(batch(1))
    monkeypatch.setattr("collector.ingest.journal.Journal.read", broken)
    async with served(tmp_path) as here:
        assert "last minutes cannot be read error=database disk image is malformed" in caplog.text
        await report(here, 2, Failure.TIMEOUT, Failure.TIMEOUT)
        await until_lines(here, 1)


async def test_a_disk_that_takes_no_numbers_stops_no_page(tmp_path, monkeypatch, caplog):
    """Agents go on by what they were told, faults are paged, and the numbers come later."""
    now = REHEARSAL - 60
    async with served(tmp_path, wall=lambda: now) as here:
        calm = here.centre.told(AGENT)
        with monkeypatch.context() as patch:

            def full(*_):
                raise sqlite3.OperationalError("database or disk is full")

            patch.setattr("collector.agent_configs.AgentConfigs._number", full)
            now = REHEARSAL
            await until(lambda: "configurations cannot be numbered" in caplog.text, what="told")
            await report(here, 1, Failure.TIMEOUT, Failure.TIMEOUT)
            await asyncio.sleep(0.6)  # two looks
            now = REHEARSAL + HOLD_SECONDS
            await until_lines(here, 1)
            assert here.centre.told(AGENT) == calm
        await until(lambda: here.centre.told(AGENT) != calm, what="numbered")
        assert caplog.text.count("configurations cannot be numbered") == 1
