"""The ledger over a real spool, journal and rollups: after each fault it adds up and names it."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import SpoolLimits
from collector.state.ledger import AgentLedger
from collector.state.ledger_read import LedgerReader
from collector.state.ledger_store import LedgerStore
from tests.collector.ingest.pushes import AGENT, NOON
from tests.collector.state.a_pc import EVERYTHING, Centre, Pc

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
async def centre(tmp_path) -> AsyncIterator[Centre]:
    """Return a centre that nobody has reported to."""
    opened = Centre(tmp_path / "centre")
    yield opened
    await opened.close()


def missing(ledger: AgentLedger) -> dict[str, dict[str, int]]:
    """Return what is missing of each check, by cause."""
    return {one.check: one.missing for one in ledger.checks}


def causes(ledger: AgentLedger) -> list[tuple[str, int]]:
    """Return the gaps' causes, and their length in minutes."""
    return [(gap.cause, round(gap.seconds / 60)) for gap in ledger.gaps]


async def test_a_day_without_the_link_is_complete_once_the_backlog_is_in(centre, tmp_path):
    """While it waits it is called pending; when it has arrived nothing is left to say."""
    pc = Pc(tmp_path / "spool")
    pc.measure(HOUR)
    await centre.drain(pc)
    pc.measure(DAY)
    await centre.take(pc, pc.spool.live(EVERYTHING))
    await centre.hear(pc)
    cut = await centre.ledger(NOON, NOON + 25 * HOUR)
    assert causes(cut) == [("pending", 24 * 60 - 1)]
    assert [(one.pending, one.unaccounted) for one in cut.accounts] == [(8_632, 0)]
    assert missing(cut)["cong"] == {"pending": 8_632}
    await centre.drain(pc)
    whole = await centre.ledger(NOON, NOON + 25 * HOUR)
    assert (whole.gaps, missing(whole)) == ([], {"cong": {}, "tthc": {}})
    assert [(one.check, one.expected, one.made, one.stored, one.lost) for one in whole.checks] == [
        ("cong", 9_000, 9_000, 9_000, 0),
        ("tthc", 1_500, 1_500, 1_500, 0),
    ]
    assert (whole.unaccounted, whole.doubled) == (0, 0)
    pc.kill()


async def test_what_the_spool_gave_up_is_named(centre, tmp_path):
    """More history than the disk may hold: the oldest went, so many, in that time."""
    pc = Pc(tmp_path / "spool", limits=SpoolLimits(max_bytes=60_000))
    pc.measure(HOUR)
    await centre.drain(pc)
    pc.measure(6 * HOUR)
    await centre.drain(pc)
    ledger = await centre.ledger(NOON, NOON + 7 * HOUR)
    dropped = pc.spool.state.dropped_batches
    assert dropped > 1_000
    (account,) = ledger.accounts
    assert (account.dropped, account.unaccounted, account.pending) == (dropped, 0, 0)
    assert missing(ledger)["cong"] == {"dropped": dropped}
    assert {cause for cause, _ in causes(ledger)} == {"dropped"}
    assert sum(gap.batches for gap in ledger.gaps) == dropped
    assert sum(gap.seconds for gap in ledger.gaps) == pytest.approx(10 * dropped, rel=0.01)
    assert ledger.checks[0].lost == dropped
    pc.kill()


async def test_a_batch_that_was_set_aside_is_named(centre, tmp_path):
    """What the centre refuses for good stays on the PC, and the ledger says so."""
    pc = Pc(tmp_path / "spool")
    pc.measure(HOUR)
    poison = pc.spool.backlog(1)
    pc.spool.set_aside(poison[0])
    pc.spool.release(poison)
    await centre.drain(pc)
    ledger = await centre.ledger(NOON, NOON + HOUR)
    assert [(one.set_aside, one.unaccounted) for one in ledger.accounts] == [(1, 0)]
    assert missing(ledger)["cong"] == {"set_aside": 1}
    pc.kill()


async def test_the_last_batch_of_an_earlier_boot_is_not_forgotten(centre, tmp_path):
    """What was said to wait and was then set aside is named, though the boot never spoke itself."""
    pc = Pc(tmp_path / "spool")
    pc.measure(200)
    pc.kill()
    pc.start()
    await centre.hear(pc)
    waiting = pc.spool.backlog(EVERYTHING)
    pc.spool.set_aside(waiting[-1])
    await centre.take(pc, waiting[:-1])
    pc.measure(60)
    await centre.drain(pc)
    old, _ = (await centre.ledger(NOON, NOON + HOUR)).accounts
    assert (old.sealed, old.stored, old.set_aside, old.unaccounted) == (20, 19, 1, 0)
    pc.kill()


async def test_a_damaged_record_is_named(centre, tmp_path):
    """Bytes that the disk lost are one batch, or as many as stood there."""
    pc = Pc(tmp_path / "spool")
    pc.measure(HOUR)
    await centre.hear(pc)
    pc.kill()
    (segment,) = (tmp_path / "spool").glob("*.seg")
    body = bytearray(segment.read_bytes())
    body[len(body) // 2] ^= 0xFF
    segment.write_bytes(body)
    pc.start()
    pc.measure(60)
    await centre.drain(pc)
    ledger = await centre.ledger(NOON, NOON + HOUR + 60)
    assert [(one.sealed, one.damaged, one.unaccounted) for one in ledger.accounts] == [
        (360, 1, 0),
        (6, 0, 0),
    ]
    assert missing(ledger)["cong"] == {"damaged": 1}
    pc.kill()


async def test_an_answer_that_is_lost_doubles_nothing(centre, tmp_path):
    """The same batches again, and once more after a restart: stored once, counted once."""
    pc = Pc(tmp_path / "spool")
    pc.measure(HOUR)
    for _ in range(3):
        await centre.take(pc, pc.spool.backlog(EVERYTHING), acknowledged=False)
    pc.kill()
    pc.start()
    pc.measure(10)
    await centre.drain(pc)
    ledger = await centre.ledger(NOON, NOON + HOUR)
    assert (ledger.doubled, ledger.unaccounted) == (0, 0)
    assert ledger.checks[0].stored == ledger.checks[0].made == 360
    pc.kill()


async def test_a_pc_that_is_switched_off_at_night(centre, tmp_path):
    """It said goodbye: the night is meant, and each missing run stands under it."""
    pc = Pc(tmp_path / "spool")
    pc.measure(8 * HOUR)
    await centre.drain(pc)
    await centre.hear(pc, "shutdown")
    pc.switch_off(12 * HOUR)
    pc.measure(4 * HOUR)
    await centre.drain(pc)
    ledger = await centre.ledger(NOON, NOON + DAY)
    assert [(gap.cause, gap.announced, round(gap.seconds / HOUR)) for gap in ledger.gaps] == [
        ("pc_off", True, 12)
    ]
    assert missing(ledger) == {"cong": {"pc_off": 4_320}, "tthc": {"pc_off": 720}}
    assert ledger.unaccounted == 0
    pc.kill()


@pytest.mark.parametrize("before", [900, 20, 0], ids=["meanwhile", "soon", "at first"])
async def test_a_centre_whose_clock_was_set_ahead_for_a_while(centre, tmp_path, before):
    """What came meanwhile stands in hours of its own: it is stored, and what lies between never was."""
    pc = Pc(tmp_path / "spool", NOON + 10)  # the second check is due later
    for step, seconds in ((0.0, before), (3 * HOUR, 900), (-3 * HOUR, 900)):
        pc.now, pc.on_since = pc.now + step, pc.on_since + step  # the PC's own clock runs on
        pc.measure(seconds)
        await centre.drain(pc)
    ledger = await centre.ledger(NOON, pc.now)
    inside = {"cong": (before + 900) // 10, "tthc": (before + 900) // 60}
    assert {one.check: (one.made, one.stored, one.lost) for one in ledger.checks} == {
        check: (number, number, 0) for check, number in inside.items()
    }
    assert (ledger.unaccounted, ledger.doubled) == (0, 0)
    assert {gap.cause for gap in ledger.gaps} <= {"clock_set", "never"}
    assert "unknown" not in missing(ledger)["cong"]
    pc.kill()


async def test_a_journal_that_lost_what_it_acknowledged_is_not_covered_up(centre, tmp_path):
    """A journal put back from a backup: the numbers are gone, and said to be unaccounted for."""
    pc = Pc(tmp_path / "spool")
    pc.measure(HOUR)
    await centre.drain(pc)
    with sqlite3.connect(centre.folder / "journal.sqlite") as broken:
        broken.execute("UPDATE boots SET ranges = CAST('[[1,100],[151,360]]' AS BLOB)")
        broken.execute("DELETE FROM entries WHERE seq BETWEEN 101 AND 150")
    pc.kill()
    pc.start()
    pc.measure(10)
    await centre.hear(pc)
    ledger = await centre.ledger(NOON, NOON + HOUR)
    assert [one.unaccounted for one in ledger.accounts] == [50, 0]
    assert missing(ledger)["cong"] == {"unknown": 50}
    pc.kill()


async def test_a_ledger_whose_own_file_is_lost(centre, tmp_path):
    """What is stored is counted as before; what was told is told again with the next push."""
    pc = Pc(tmp_path / "spool", limits=SpoolLimits(max_bytes=60_000))
    pc.measure(6 * HOUR)
    await centre.drain(pc)
    before = await centre.ledger(NOON, NOON + 6 * HOUR)
    centre.store.close()
    for file in centre.folder.glob("ledger.sqlite*"):
        file.unlink()
    centre.store = LedgerStore(centre.folder / "ledger.sqlite", centre.folder / "journal.sqlite")
    await centre.hear(pc)
    after = await centre.ledger(NOON, NOON + 6 * HOUR)
    assert after.accounts == before.accounts
    assert (missing(after), after.gaps) == (missing(before), before.gaps)
    pc.kill()


async def test_old_pages_are_removed(centre, tmp_path):
    """Boots that were last heard long ago go; the configuration that still rules stays."""
    pc = Pc(tmp_path / "spool")
    pc.measure(HOUR)
    await centre.drain(pc)
    await centre.ledger(NOON, NOON + HOUR)
    centre.store.remove(NOON + DAY)
    with (
        LedgerReader(centre.folder, kept_seconds=DAY) as _,
        sqlite3.connect(centre.folder / "ledger.sqlite") as file,
    ):
        assert file.execute("SELECT count(*) FROM runs").fetchone() == (0,)
        assert file.execute("SELECT count(*) FROM plans").fetchone() == (1,)
    pc.kill()


STEPS = st.lists(
    st.sampled_from(
        ["measure", "live", "lost answer", "backlog", "heartbeat", "kill", "off", "aside", "slow"]
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=25)
@given(steps=STEPS, seed=st.integers(0, 99))
def test_whatever_happens_every_number_is_accounted_for(tmp_path_factory, steps, seed):
    """Kills, cuts, lost answers, full spools: doubled 0, unaccounted 0, each loss with its cause."""
    asyncio.run(_live_through(tmp_path_factory.mktemp("pc"), steps, random.Random(seed)))


async def _live_through(folder: Path, steps: list[str], chance: random.Random) -> None:
    centre = Centre(folder / "centre")
    pc = Pc(folder / "spool", limits=SpoolLimits(max_bytes=20_000))
    for step in steps:
        if step == "measure":
            pc.measure(chance.randrange(10, 3_000))
        elif step == "live":
            await centre.take(pc, pc.spool.live(EVERYTHING))
        elif step == "lost answer":
            await centre.take(pc, pc.spool.backlog(2_000), acknowledged=False)
        elif step == "backlog":
            await centre.take(pc, pc.spool.backlog(2_000))
        elif step == "heartbeat":
            await centre.hear(pc)
        elif step == "kill":
            pc.kill()
            pc.start()
        elif step == "off":
            pc.switch_off(chance.randrange(60, 7_200))
        elif step == "aside":
            for pending in pc.spool.backlog(1):
                pc.spool.set_aside(pending)
                pc.spool.release([pending])
        elif step == "slow":
            pc.now += 30.0
    pc.measure(600)
    await centre.drain(pc)
    ledger = await centre.ledger(NOON, pc.now)
    assert (ledger.doubled, ledger.unaccounted) == (0, 0)
    state = pc.spool.state
    assert sum(one.dropped for one in ledger.accounts) <= state.dropped_batches
    assert sum(one.set_aside for one in ledger.accounts) <= state.set_aside_batches
    assert sum(one.pending for one in ledger.accounts) == 0
    pc.kill()
    await centre.close()
    assert AGENT == ledger.agent
