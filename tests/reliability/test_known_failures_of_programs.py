"""Known failures 11 to 14: a program that is stopped, starved of disk, held up or switched off.

The numbers are those of docs/reliability.md. Agents and collector are processes; each test ends
with the account of all that was measured.
"""

import asyncio
import signal
import subprocess
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web

from agent.config import SpoolLimits
from tests.e2e.paging import quiet
from tests.e2e.province import More, province
from tests.programs import root
from tests.reliability.accounts import account, journal
from tests.reliability.clocks import machine
from tests.reliability.ledgers import hold_both
from tests.reliability.past import leave_behind
from tests.reliability.road import road
from tests.reliability.trials import SITE, drained
from tests.waiting import until

TARGETS = 6
MANY = """\
  - id: many
    name: {{vi: Nhiều, en: Many}}
    system: portal
    layer: service
    kind: http
    targets: [{targets}]
    interval_seconds: 1
    timeout_seconds: 2
"""


@asynccontextmanager
async def asked():
    """Run a web server that writes down when it was asked, and for what."""
    requests: list[tuple[float, str]] = []

    async def answer(request):
        requests.append((time.monotonic(), request.path))
        return web.Response(text="ready")

    app = web.Application()
    app.router.add_get("/{path}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", requests
    finally:
        await runner.cleanup()


@pytest.mark.slow
async def test_11_nothing_missed_is_made_up_for(tmp_path):
    """After a cut, and after a PC that stood still for 5 s, each check goes on at its own pace.

    It happened to Icinga 2: after a reconnect all checks that had been missed were executed at once
    (Icinga2#10425).
    """
    async with asked() as (url, requests):
        targets = ", ".join(f'"{url}/{number}"' for number in range(TARGETS))
        with province(tmp_path, agents=(), more=More(checks=MANY.format(targets=targets))) as made:
            async with road(made.url) as way:
                agent = made.add_agent(SITE, url=way.url)
                await made.ready()
                agent.start()
                await made.measured()
                way.cut = True
                await quiet(3)
                way.cut = False
                await drained(tmp_path, agent)
                before = Counter(path for at, path in requests)
                steady = [b - a for a, b in pairwise(at for at, path in requests if path == "/0")]
                assert agent.process
                agent.process.send_signal(signal.SIGSTOP)
                await quiet(5)
                woken = time.monotonic()
                agent.process.send_signal(signal.SIGCONT)
                await quiet(3)
                rush = Counter(path for at, path in requests if woken < at < woken + 0.9)
                after = Counter(path for at, path in requests if at > woken)
                assert await asyncio.to_thread(agent.stop) == 0

        print(f"in the second after waking: {rush.total()} requests to {TARGETS} targets")
        assert len(before) == TARGETS
        assert min(steady[1:]) > 0.5, "at its pace through the cut"
        assert max(rush.values()) <= 2, "one at once, and the next in its place"
        assert all(2 <= number <= 4 for number in after.values())
        tally = journal(tmp_path)[-1].batch.tally
        print(f"said to be missed: {tally}")
        assert tally.stalled >= 4 * TARGETS
        hold_both(made)


@contextmanager
def disk(path: Path, size: str):
    """Give a folder a disk of its own."""
    path.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", path], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.real
@pytest.mark.slow
async def test_12_what_cannot_be_kept_is_not_taken(tmp_path):
    """A collector whose disk is full says 503, acknowledges nothing it has not, and loses nothing.

    It happened to vmagent's users: with a full queue it answered that all was well and dropped the
    data (VictoriaMetrics#6952).
    """
    root()
    with disk(tmp_path / "state", "6m"), province(tmp_path, agents=()) as made:
        async with road(made.url) as way:
            agent = made.add_agent(SITE, url=way.url)
            await made.ready()
            agent.start()
            await made.measured()
            ballast = tmp_path / "state" / "ballast"
            fill(ballast)
            full = len(way.passed)
            past = leave_behind_while_stopped(tmp_path, agent)
            await until(
                lambda: sum(one.status == 503 for one in way.passed[full:]) >= 3,
                seconds=30,
                what="three pushes refused",
            )
            told = acknowledged(way.passed)
            stored = {(entry.boot, entry.seq) for entry in journal(tmp_path)}
            print(f"full: {len(told)} acknowledged, {len(stored)} stored")
            assert told <= stored
            made.collector.kill()
            assert told <= {(entry.boot, entry.seq) for entry in journal(tmp_path)}
            ballast.unlink()
            made.collector.start()
            await made.ready()
            await drained(tmp_path, agent)
            assert await asyncio.to_thread(agent.stop) == 0

            assert acknowledged(way.passed) >= {(past, seq) for seq in range(1, 301)}
            assert "HTTP 503, busy: the journal cannot be written" in agent.log.read_text()
            hold_both(made)


def fill(path: Path) -> None:
    """Write until the disk takes no more."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def leave_behind_while_stopped(folder, agent) -> str:
    """Put a backlog on the PC's disk and start its agent anew."""
    agent.kill()
    past = leave_behind(folder / SITE / "state", SITE, batches=300, samples=5)
    agent.start()
    return past


def acknowledged(passed) -> set[tuple[str, int]]:
    """Return every batch that some answer on the road named as stored."""
    return {
        (ack.boot, seq)
        for one in passed
        if one.answer is not None
        for ack in one.answer.acks
        for first, last in ack.ranges
        for seq in range(first, last + 1)
    }


@pytest.mark.slow
async def test_13_a_backlog_is_bounded_told_and_disturbs_nothing(tmp_path):
    """While the centre hangs measuring keeps its pace; what had to go is counted and shown.

    It happened to perfSONAR: an archiver that retried without end built a backlog which disturbed
    measuring, and nodes stopped archiving without a word (pscheduler#701, #1612).
    """
    held = asyncio.Event()

    async def hang(passage):
        if not held.is_set():
            await held.wait()

    with province(tmp_path, agents=()) as made:
        async with road(made.url) as way:
            agent = made.add_agent(SITE, url=way.url, more="spool: {max_bytes: 100000}\n")
            state = tmp_path / SITE / "state"
            await made.ready()
            agent.start()
            await made.measured()
            agent.kill()
            past = leave_behind(
                state, SITE, batches=400, samples=5, limits=SpoolLimits(max_bytes=160_000)
            )
            way.before, begun, since = hang, len(way.passed), time.time()
            agent.start()
            await until(
                lambda: "push failed line='' why=timeout" in agent.log.read_text(),
                seconds=20,
                what="the trouble in words",
            )
            await quiet(3)
            until_then, hung = time.time(), way.passed[begun:]
            size = sum(file.stat().st_size for file in (state / "spool").iterdir())
            held.set()
            await drained(tmp_path, agent)
            dropped = made.series("thongsuot_spool_dropped_batches_total", "/metrics")
            assert await asyncio.to_thread(agent.stop) == 0

            assert len(hung) <= 3
            assert not any(boot == past for one in hung for boot, _ in one.keys)
            assert size <= 100_000 + 10_000
            times = sorted(
                at
                for entry in journal(tmp_path)
                if entry.boot != past
                for at in entry.times
                if since < at < until_then
            )
            gaps = [b - a for a, b in pairwise(times)]
            print(f"{len(times)} attempts while it hung, at most {max(gaps):.2f} s apart")
            assert len(times) >= 8
            assert max(gaps) < 1.5
            assert dropped[0] > 50
            hold_both(made, boots={past: 400}, lost=int(dropped[0]))


@pytest.mark.real
@pytest.mark.slow
async def test_14_a_power_cut_during_an_outage_costs_nothing(tmp_path):
    """A PC loses power while cut off and starts anew: both lives are stored, each with its true times.

    It happened to Wazuh and to Grafana's synthetic monitoring agent: what was buffered in memory
    was gone with the reboot (wazuh#11217).
    """
    root()
    with province(tmp_path, agents=()) as made:
        async with road(made.url) as way:
            agent = made.add_agent(
                SITE, url=way.url, command=machine(tmp_path, 90_000, uptime=90_000)
            )
            await made.ready()
            agent.start()
            await made.measured()
            way.cut = True
            await until(lambda: account(tmp_path).waiting >= 4, seconds=20, what="an outage")
            agent.kill()
            waited = account(tmp_path).waiting
            again = machine(tmp_path, 30, uptime=30)
            agent.command[: len(again)] = again
            agent.start()
            await until(lambda: account(tmp_path).waiting >= waited + 3, seconds=20)
            way.cut = False
            await drained(tmp_path, agent)
            assert await asyncio.to_thread(agent.stop) == 0

            entries = journal(tmp_path)
            assert [*Counter(int(e.batch.machine_boot, 16) for e in entries)] == [90_000, 30]
            off = [
                abs(at - sample.start.wall_ms / 1e3)  # this machine's clock is the centre's
                for entry in entries
                for at, sample in zip(entry.times, entry.batch.samples, strict=True)
            ]
            print(f"{waited} batches waited for power; times off by {max(off):.3f} s at most")
            assert waited >= 4
            assert max(off) < 0.5
            assert all(entry.trusted for entry in entries)
            hold_both(made)
