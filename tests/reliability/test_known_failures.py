"""Known failures 1 to 6 and 8: what a store-and-forward queue loses, doubles or holds up.

The numbers are those of docs/reliability.md, where each failure stands with who had it. Agents and
collector are processes; each test ends with the account of all that was measured.
"""

import asyncio
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from agent.config import SpoolLimits
from tests.e2e.province import More, Program, province
from tests.lab.box import DATA_CENTRE, box
from tests.lab.namespaces import inside
from tests.lab.reporting import reporting
from tests.programs import free_port, program, root
from tests.reliability.accounts import account, journal
from tests.reliability.ledgers import hold_both, hold_ledger
from tests.reliability.past import leave_behind
from tests.reliability.road import Lost, road
from tests.reliability.trials import OTHER, SITE, THIRD, drained, rolled_up
from tests.waiting import until

SMALL = SpoolLimits(max_bytes=64_000)
"""Segments of 4 kB, some ten batches each."""


PORTAL = 7000
ASK_PORTAL = f"kind: tcp\nline: each\ntargets: ['{DATA_CENTRE}:{PORTAL}']"
LIVE_SECONDS = 2.0


@pytest.mark.real
@pytest.mark.slow
async def test_01_a_backlog_hides_nothing_fresh(tmp_path):
    """Over a line of 1 Mbit/s that a backlog fills, what is measured arrives within 2 s.

    It happened to vmagent's users: its queue was first in, first out, so that after an outage the
    alerts stayed blind for as long again or longer (VictoriaMetrics#8833).
    """

    def alter(_, samples):
        return [msgspec.structs.replace(sample, detail=os.urandom(30).hex()) for sample in samples]

    root()
    with box() as held:
        office = held.offices[0]
        lines = office.lines("pinned", ["vnpt"])
        async with reporting(held, office, tmp_path, lines, [ASK_PORTAL]) as made:
            with inside(held.dc):
                portal = await asyncio.start_server(
                    lambda _, writer: writer.close(), DATA_CENTRE, PORTAL
                )
            await made.steady("vnpt")
            await asyncio.to_thread(made.agent.stop)
            state = tmp_path / "agent" / "state"
            past = leave_behind(state, SITE, batches=160, samples=80, alter=alter)
            with office.cabled("vnpt") as cable:
                cable.set(both={"bits_per_second": 1e6, "delay_seconds": 0.02})
                begun = time.monotonic()
                made.agent.start()
                await until(lambda: made.states() == {"vnpt": {"up"}}, seconds=15, what="up")
                await until(lambda: time.monotonic() > begun + 3, seconds=10)
                portal.close()
                closed = time.monotonic()
                await until(lambda: made.states() == {"vnpt": {"down"}}, seconds=15, what="down")
                told = time.monotonic() - closed
                left = made.heard[-1].push.spool.pending_batches
                await until(
                    lambda: made.heard[-1].push.spool.pending_batches <= 2,
                    seconds=60,
                    what="drained",
                )
            assert await asyncio.to_thread(made.agent.stop) == 0
            entries = await made.centre.journal.read(0, 100_000)
            old = [entry.id for entry in entries if entry.boot == past]
            live = [
                entry for entry in entries if old[0] < entry.id < old[-1] and entry.boot != past
            ]
            ages = [entry.received_at - max(entry.times) for entry in live]
            drained_in = entries[old[-1] - 1].received_at - entries[old[0] - 1].received_at
            print(
                f"{len(old)} batches drained in {drained_in:.1f} s; {len(live)} live ones meanwhile,"
                f" {max(ages):.2f} s old at most; {left} batches to come when a fault was seen,"
                f" {told:.1f} s after it began"
            )
            assert left > 20
            assert len(live) >= 5
            assert max(ages) <= LIVE_SECONDS
        hold_ledger(tmp_path, account(tmp_path).hold())


def damage_tail(spool: Path) -> int:
    """Leave half a record at the end of the newest segment, as a power cut does."""
    newest = max(spool.glob("*.seg"))
    os.truncate(newest, newest.stat().st_size - 40)
    return 1


def damage_meta(spool: Path) -> int:
    """Make what was acknowledged, and all totals, unreadable: nothing that waits is touched."""
    (spool / "acked").write_bytes(os.urandom(777))
    return 0


def damage_middle(spool: Path) -> int:
    """Flip a bit in the middle of one segment; a second one is empty, as after a broken disk."""
    segment = sorted(spool.glob("*.seg"))[1]
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0x10
    segment.write_bytes(data)
    (spool / "0000099999.seg").write_bytes(b"")
    return 1


@pytest.mark.slow
async def test_02_damage_costs_what_it_hit_and_stops_nobody(tmp_path):
    """An agent starts on damage, sends all the rest, and counts what the damage hit.

    It happened to vmagent, which dropped its whole queue over a torn tail or an unreadable meta file
    (VictoriaMetrics#11192, #702, #4720), and to telegraf, which does not start on a corrupt WAL.
    """
    damages = {SITE: damage_tail, OTHER: damage_meta, THIRD: damage_middle}
    with province(tmp_path, agents=()) as made:
        boots, hit = {}, 0
        for site, damage in damages.items():
            agent = made.add_agent(site)
            state = tmp_path / site / "state"
            boots[leave_behind(state, site, batches=60, limits=SMALL)] = 60
            hit += damage(state / "spool")
            await made.ready()
            agent.start()
        await made.measured()
        await drained(tmp_path, agent)
        assert made.series("thongsuot_spool_damaged_records_total", "/metrics") == [1, 1, 1]
        for agent in made.agents.values():
            assert agent.stop() == 0
        hold_both(made, boots=boots, lost=hit, unheard=1)  # the torn tail's batch


PROXY = """\
pid nginx.pid; error_log nginx.err; events {{ worker_connections 64; }}
http {{
  log_format status $status;
  access_log passed.log status;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 8m;
    location / {{ {what} }}
  }}
}}
"""


@contextmanager
def proxy(folder: Path, port: int, what: str):
    """Run an nginx of which a location's directives are given."""
    folder.mkdir(exist_ok=True)
    (folder / "passed.log").touch()
    (folder / "nginx.conf").write_text(PROXY.format(port=port, what=what))
    nginx = [program("nginx"), "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"]
    run = Program(nginx, folder / "log")
    run.start()
    try:
        yield
    finally:
        run.end()


@pytest.mark.real
@pytest.mark.slow
async def test_03_a_proxys_refusal_is_not_the_collectors(tmp_path):
    """Whatever a real nginx answers in the collector's place costs no batch, and none is set aside.

    It happened to vmagent, VictoriaLogs and Alloy: a proxy's 400, 404 or 409 was taken for a verdict
    on the data, which was dropped (VictoriaMetrics#4701, VictoriaLogs#1499).
    """
    folder, port = tmp_path / "proxy", free_port()
    with province(tmp_path, agents=()) as made:
        agent = made.add_agent(SITE, url=f"http://127.0.0.1:{port}")
        boot = leave_behind(tmp_path / SITE / "state", SITE, batches=100)
        faults = [f"return {status};" for status in (400, 404, 409)]
        faults += ["client_max_body_size 100;", f"proxy_pass http://127.0.0.1:{free_port()};"]
        statuses = ["400", "404", "409", "413", "502"]
        faults[3] += f" proxy_pass {made.url};"
        await made.ready()
        agent.start()
        for fault, status in zip(faults, statuses, strict=True):
            with proxy(folder, port, fault):
                log = folder / "passed.log"
                await until(
                    lambda log=log, status=status: (
                        agent.running() and log.read_text().split().count(status) >= 1
                    ),
                    seconds=20,
                    what=f"a push answered {status}",
                )
            assert not any(entry.boot == boot for entry in journal(tmp_path)), status
        with proxy(folder, port, f"proxy_pass {made.url};"):
            await made.measured()
            await drained(tmp_path, agent)
            assert agent.stop() == 0

        assert "not by the collector" in agent.log.read_text()
        hold_both(made, boots={boot: 100})


async def test_04_a_poison_batch_blocks_nobody(tmp_path):
    """A batch that is refused for good is found by halves and kept aside on the PC; all others arrive.

    It happened to vmagent and telegraf: one such batch was retried for ever and everything behind
    it waited (VictoriaMetrics#1952, #1149, #11581; telegraf#9365).
    """
    poison = {1, 33, 34, 80}

    def alter(number, samples):
        longer = msgspec.structs.replace(samples[0], duration=-1.0)
        return [longer] if number in poison else samples

    with province(tmp_path, agents=()) as made:
        agent = made.add_agent(SITE)
        boot = leave_behind(tmp_path / SITE / "state", SITE, batches=80, alter=alter)
        await made.ready()
        agent.start()
        await made.measured()
        await drained(tmp_path, agent)
        await until(
            lambda: made.series("thongsuot_spool_set_aside_batches_total", "/metrics") == [4],
            what="four batches said to be set aside",
        )
        assert agent.stop() == 0

        stored = {entry.seq for entry in journal(tmp_path) if entry.boot == boot}
        assert stored == {*range(1, 81)} - poison
        assert "$.batches[0].samples[0].duration: expected float >= 0.0" in agent.log.read_text()
        hold_both(made, set_aside=4)


async def test_05_samples_of_one_series_stay_apart(tmp_path):
    """However many samples of one series a batch holds, journal and rollups have each of them.

    It happened to telegraf: its remote-write serialiser kept one sample of each series in a batch,
    so that what came after an outage was thinned (telegraf#11682).
    """
    with province(tmp_path, agents=()) as made:
        target = f"http://127.0.0.1:{made.portal_port}/"
        agent = made.add_agent(SITE)
        boot = leave_behind(
            tmp_path / SITE / "state", SITE, batches=20, samples=60, every=0.5, target=target
        )
        await made.ready()
        agent.start()
        await made.measured()
        await drained(tmp_path, agent)
        assert agent.stop() == 0
        await until(lambda: made.series("thongsuot_rollup_behind_entries", "/metrics") == [0])
        assert made.collector.stop() == 0  # it saves rollups each minute, and then

        entries = [entry for entry in journal(tmp_path) if entry.boot == boot]
        assert [len(set(entry.times)) for entry in entries] == [60] * 20
        held = hold_both(made)
        assert rolled_up(tmp_path) == held.attempts


@pytest.mark.slow
async def test_06_acknowledgements_count_batches_and_nothing_else(tmp_path):
    """Over two cuts and a kill each batch is taken once among the heartbeats; the spool ends empty.

    It happened to maintenant: its counter of acknowledgements counted other messages too, so the
    spool never emptied and every reconnect replayed all of it (maintenant#114).
    """

    def emptied(since):
        """Whether a batch came since then, after it word that nothing waits, and all is answered."""
        later = way.passed[since:]
        last = later[-1].push.spool.pending_batches if later else 1
        return last == 0 and all(one.status for one in later) and any(one.keys for one in later)

    with province(tmp_path, agents=(), more=More(interval_seconds=2)) as made:
        async with road(made.url) as way:
            agent = made.add_agent(SITE, url=way.url)
            await made.ready()
            agent.start()
            await until(lambda: emptied(0), seconds=30, what="nothing waits at first")
            for _ in range(2):
                way.cut = True
                cut = len(way.passed)
                await asyncio.sleep(2.5)  # a batch or two are made meanwhile
                assert len(way.passed) == cut
                way.cut = False
                await until(lambda cut=cut: emptied(cut), seconds=15, what="nothing waits")
            agent.kill()
            before = {key for one in way.passed for key in one.keys}
            killed = len(way.passed)
            agent.start()
            await until(lambda: emptied(killed), seconds=15, what="nothing waits again")
            assert await asyncio.to_thread(agent.stop) == 0

            taken = [key for one in way.passed if one.status == 200 for key in one.keys]
            assert len(taken) == len({*taken}), "each batch was taken once"
            assert not before & {key for one in way.passed[killed:] for key in one.keys}
            beats = sum(one.status == 200 and not one.keys for one in way.passed)
            print(f"{len(taken)} batches among {beats} heartbeats")
            assert min(beats, len(taken)) >= 5
            assert made.series("thongsuot_ingest_duplicates_total", "/metrics") == [0]
            hold_both(made)


@pytest.mark.slow
async def test_08_what_is_sent_again_is_known_again(tmp_path):
    """Six answers lost after storing, a PC set back to an old image of its disk: each batch is had once.

    It happened to maintenant: events had no identity of their own, so a replay doubled history
    (maintenant#114).
    """
    lose = 6

    async def rob(passage):
        nonlocal lose
        if passage.keys and lose:
            lose -= 1
            raise Lost

    with province(tmp_path, agents=()) as made:
        async with road(made.url) as way:
            way.after = rob
            agent = made.add_agent(SITE, url=way.url)
            state = tmp_path / SITE / "state"
            leave_behind(state, SITE, batches=200, samples=3)
            shutil.copytree(state, tmp_path / "image")
            await made.ready()
            agent.start()
            await until(lambda: not lose, seconds=30, what="answers lost")
            await made.measured()
            await drained(tmp_path, agent)
            agent.kill()
            again = made.series("thongsuot_ingest_duplicates_total", "/metrics")[0]
            newest = way.passed[-1].push.boot
            shutil.rmtree(state / "spool")
            shutil.copytree(tmp_path / "image" / "spool", state / "spool")
            agent.start()
            # One answer names everything that is had of a boot, so the rest is not even sent.
            await until(lambda: way.passed[-1].push.boot != newest, seconds=10)
            await until(lambda: way.pending(SITE) in {0, 1}, seconds=10, what="image drained")
            assert await asyncio.to_thread(agent.stop) == 0

            after = made.series("thongsuot_ingest_duplicates_total", "/metrics")[0]
            print(f"seen again: {again:g} after lost answers, {after - again:g} of the image's 200")
            assert again >= 6
            assert 0 < after - again <= 200
            hold_both(made)
