"""Backup of a collector that runs, restore, and what agents and journal make of it afterwards."""

import asyncio
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from agent.config import SpoolLimits
from agent.spool import Pending, Spool
from collector.backup import BackupError, backup, restore
from collector.ingest.chain import Verdict, verify
from collector.ingest.journal import Journal
from collector.lock import InUseError, alone
from tests.agent.batches import make_batch
from tests.collector.ingest.entries import entry
from tests.collector.ingest.pushes import BOOT, NOON, batch
from tests.collector.served import AGENT, Served, served

ROOT = Path(__file__).parents[2]


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the collector to its end."""
    return subprocess.run(
        [sys.executable, "-m", "collector", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.fixture
async def state(tmp_path):
    """Return the state directory of a collector that has taken three batches and has stopped."""
    async with served(tmp_path) as here:
        for seq in (1, 2, 3):
            await here.push(batch(seq))
    return tmp_path / "state"


async def test_a_collector_that_runs_is_backed_up_and_put_back(tmp_path):
    """While batches come in: the copy is whole, its state no newer than its journal."""
    out = tmp_path / "backup"
    async with served(tmp_path) as here:
        stopping = asyncio.Event()

        async def push_for_ever() -> int:
            seq = 0
            while not stopping.is_set():
                seq += 1
                await here.push(batch(seq))
            return seq

        pushing = asyncio.create_task(push_for_ever())
        while await here.centre.journal.cursor("rollup") < 20:
            await here.centre.journal.set_cursor("rollup", here.centre.journal.newest_id)
        with closing(sqlite3.connect(tmp_path / "state" / "rollup.sqlite")) as derived, derived:
            derived.execute("CREATE TABLE read (id INTEGER)")
            derived.execute("INSERT INTO read VALUES (?)", (here.centre.journal.newest_id,))
        made = await asyncio.to_thread(backup, tmp_path / "state", out, time.time())
        acknowledged_then = made.newest_entry
        stopping.set()
        pushed = await pushing
        token = here.token()
    assert 20 <= acknowledged_then <= pushed
    assert {file.name for file in made.files} >= {
        "access.sqlite",
        "journal.sqlite",
        "rollup.sqlite",
        "state.sqlite",
    }
    assert verify(out / "journal.sqlite") == Verdict(
        entries=acknowledged_then, first=1, last=acknowledged_then
    )
    with closing(sqlite3.connect(out / "rollup.sqlite")) as derived:
        assert derived.execute("SELECT id FROM read").fetchone()[0] <= acknowledged_then
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in out.glob("*.sqlite")} == {0o600}

    shutil.rmtree(tmp_path / "state")
    restore(out, tmp_path / "state", time.time())
    async with served(tmp_path) as here:
        here.tokens[AGENT] = token
        (ack,) = (await here.push(batch(pushed + 1))).acks
        assert ack.ranges == [(1, acknowledged_then), (pushed + 1, pushed + 1)]
        (restored,) = await here.centre.journal.restores()
        assert (restored.made_at, restored.id) == (made.made_at, acknowledged_then)
        assert len(await here.kept()) == acknowledged_then + 1
    assert verify(tmp_path / "state" / "journal.sqlite").broken == 0


async def test_after_a_restore_agents_go_on_without_refusal_or_doubles(tmp_path):
    """What an agent deleted upon our word is lost and shows as a hole; all else arrives, once."""
    spool = Spool(tmp_path / "spool", SpoolLimits(), boot=BOOT)

    async def hand_over(here: Served, pendings: list[Pending]) -> None:
        batches = [msgspec.json.decode(one.body, type=type(batch())) for one in pendings]
        answer = await here.push(*batches)
        spool.acknowledge(answer.acks)
        spool.release(pendings)

    def measured(number: int) -> list[Pending]:
        for _ in range(number):
            spool.append(make_batch(agent=AGENT, boot=BOOT))
        return spool.live(1 << 20)

    out = tmp_path / "backup"
    async with served(tmp_path) as here:
        await hand_over(here, measured(3))
        backup(tmp_path / "state", out, time.time())
        await hand_over(here, measured(2))  # 4 and 5: acknowledged, deleted, and then lost
        version = here.centre.configs.told[AGENT].version
        token = here.token()
    waiting = measured(2)
    spool.release(waiting)
    shutil.rmtree(tmp_path / "state")
    later = time.time() + 60
    restore(out, tmp_path / "state", later)
    async with served(tmp_path, wall=lambda: time.time() + 60) as here:
        here.tokens[AGENT] = token
        await hand_over(here, measured(1))
        await here.push(*[msgspec.json.decode(one.body, type=type(batch())) for one in waiting])
        assert await here.kept() == [(AGENT, seq) for seq in (1, 2, 3, 6, 7, 8)]
        assert list(await here.centre.journal.ranges(AGENT, BOOT)) == [(1, 3), (6, 8)]
        assert here.centre.journal.conflicts == 0
        assert here.centre.configs.told[AGENT].version > version, "agents refuse older ones"
        assert here.centre.incidents._names._restored_at == later, "its ids may be given already"
    assert spool.state.pending_batches == 0
    spool.close()


async def test_the_commands(tmp_path, state):
    """Verify, backup and restore say what they did; exit 0, and 1 when something is wrong."""
    config, out = str(tmp_path / "collector.yml"), tmp_path / "saved" / "backup"
    verified = command("verify", "-c", config)
    assert (verified.returncode, verified.stdout) == (
        0,
        f"{state}/journal.sqlite: 3 entries, 1 to 3\n",
    )
    saved = command("backup", "-c", config, str(out))
    assert saved.returncode == 0, saved.stderr
    assert saved.stdout.startswith(f"{out}: 0.")
    assert saved.stdout.endswith(" MB, journal up to entry 3\n")
    refused = command("restore", "-c", config, str(out))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"{state} is not empty (access.sqlite …), move it away first\n"
    shutil.rmtree(state)
    restored = command("restore", "-c", config, str(out))
    assert restored.returncode == 0, restored.stderr
    assert restored.stdout.splitlines()[0].endswith("journal up to entry 3")
    with closing(sqlite3.connect(state / "journal.sqlite")) as database, database:
        database.execute("UPDATE entries SET trusted = 0 WHERE id = 2")
    broken = command("verify", "-c", config)
    assert (broken.returncode, broken.stdout.splitlines()[1]) == (
        1,
        "not what was written, or missing: 1, the first is 2",
    )
    assert command("verify", "-c", config, str(out)).returncode == 0
    with alone(state):
        running = command("restore", "-c", config, str(out))
    assert running.stderr == f"{state}: another collector is running on this folder\n"


async def test_what_cannot_be_backed_up_or_put_back_is_told(tmp_path, state):
    """Nothing is overwritten, nothing half made stays, and no damaged copy is put in force."""
    out = tmp_path / "backup"
    with pytest.raises(BackupError, match=r"there is no journal\.sqlite"):
        backup(tmp_path / "mau", out, NOON)
    backup(state, out, NOON)
    with pytest.raises(BackupError, match="is there already, expected a new name"):
        backup(state, out, NOON)
    for name in ("access.sqlite", "state.sqlite"):
        damaged = bytearray((out / name).read_bytes())
        damaged[100] ^= 1
        (out / name).write_bytes(damaged)
    (out / "journal.sqlite").rename(out / "else")
    with pytest.raises(BackupError) as caught:
        restore(out, tmp_path / "new", NOON)
    assert str(caught.value).splitlines() == [
        f"{out}/access.sqlite: is not what was written",
        f"{out}/journal.sqlite: is missing",
        f"{out}/state.sqlite: is not what was written",
    ]
    (out / "backup.json").write_bytes(b"{}")
    with pytest.raises(BackupError, match="no backup of ours"):
        restore(out, tmp_path / "new", NOON)
    (state / "journal.sqlite").write_bytes(b"no database" * 1_000)
    with pytest.raises(sqlite3.DatabaseError):
        backup(state, tmp_path / "other", NOON)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backup", "collector.yml", "mau", "state"]


async def test_a_restore_that_was_interrupted_is_begun_again(tmp_path, state):
    """What it left is taken away; a collector in its place is waited for by nobody."""
    out = tmp_path / "backup"
    backup(state, out, NOON)
    new = tmp_path / "new"
    (new / ".restoring" / "rest").mkdir(parents=True)
    restore(out, new, NOON + 9)
    journal = Journal(new / "journal.sqlite", lambda: NOON)
    assert [one.at for one in await journal.restores()] == [NOON + 9]
    assert await journal.append([entry(3), entry(4)]) == [False, True]
    await journal.close()
    with alone(new), pytest.raises(InUseError):
        restore(out, new, NOON)
