"""Known failures 7, 9, 10 and 15 to 17: what late data must not do to the present, nor lose itself.

The numbers are those of docs/reliability.md. Agents, collector, Prometheus and Alertmanager are
processes; each test ends with the account of all that was measured.
"""

import asyncio
import gzip
import time
from collections import Counter
from contextlib import AsyncExitStack
from itertools import pairwise

import aiohttp
import msgspec
import pytest

from agent.clock import machine_boot, read_stamp
from agent.wire import Stamp
from tests.collector.ingest import pushes
from tests.e2e.paging import all_closed, incidents, paging, quiet
from tests.e2e.province import AGENT, Province, province
from tests.reliability.accounts import journal
from tests.reliability.ledgers import hold_both
from tests.reliability.past import failed, leave_behind
from tests.reliability.road import road
from tests.reliability.trials import OTHER, SITE, THIRD, agent_of_clock, drained, rollups
from tests.waiting import until

HOUR, DAY = 3600.0, 86_400.0


def causes(made: Province) -> list[str]:
    """Return the causes of the incidents that are open."""
    page = made.page("/metrics/live") or ""
    return [
        line.split('cause="')[1].split('"')[0]
        for line in page.splitlines()
        if "{" in line and line.startswith("thongsuot_incident{")
    ]


@pytest.mark.slow
async def test_07_what_is_live_counts_while_history_arrives(tmp_path):
    """A portal that stops while a backlog drains opens its incident, although the PC's clock is wrong.

    It happened to maintenant: live events were flagged as replay, so nobody was alarmed as long as
    the agent was connected (maintenant#114).
    """

    async def slowly(passage):
        await asyncio.sleep(1.0 if {boot for boot, _ in passage.keys} == {past} else 0.0)

    with province(tmp_path, agents=()) as made:
        async with road(made.url) as way:
            agent = made.add_agent(SITE, url=way.url, command=agent_of_clock(-HOUR))
            target = f"http://127.0.0.1:{made.portal_port}/"
            past = leave_behind(
                tmp_path / SITE / "state",
                SITE,
                batches=200,
                samples=20,
                ago=4_100,
                target=target,
                alter=lambda _, samples: [failed(sample) for sample in samples],
            )
            way.before = slowly
            await made.ready()
            agent.start()
            await made.measured()
            assert causes(made) == []
            made.portal.stop()
            await until(lambda: made.check_up(SITE) == 0, what="the portal down")
            await until(lambda: causes(made) == ["check_down"], what="its incident")
            left = way.pending(SITE)
            print(f"{left} batches still to come when the incident was open")
            assert left > 20
            made.portal.start()
            await until(lambda: made.check_up(SITE) == 1, what="the portal up")
            await until(lambda: causes(made) == [], what="its incident closed")
            way.before = None
            await drained(tmp_path, agent)
            assert made.check_up(SITE) == 1
            assert await asyncio.to_thread(agent.stop) == 0
            hold_both(made)


@pytest.mark.real
@pytest.mark.slow
async def test_09_history_calls_nobody(tmp_path):
    """A fault that came and went behind a cut line is stored when the line is back, and pages nobody.

    It happened to Icinga 2: the replay after a reconnect sent notifications again (Icinga2#9265).
    """
    with province(tmp_path, agents=()) as made:
        async with road(made.url) as way, AsyncExitStack() as stack:
            agent = made.add_agent(SITE, url=way.url)
            agent.start()
            pager = await stack.enter_async_context(paging(tmp_path, made.url))
            await made.measured()
            way.cut = True
            await until(lambda: incidents(pager, "site_silent"), seconds=20, what="the page")
            made.portal.stop()
            await quiet(6)
            made.portal.start()
            await quiet(
                4
            )  # what is sent last then is of the fault: the newest eight batches go first
            way.cut = False
            await until(lambda: all_closed(pager), seconds=20, what="the page closed")
            await drained(tmp_path, agent)
            await quiet(3)
            assert await asyncio.to_thread(agent.stop) == 0

            samples = [sample for entry in journal(tmp_path) for sample in entry.batch.samples]
            assert sum(sample.failure is not None for sample in samples) >= 4, "the fault is known"
            calls = [(call.annotations["cause"], call.status) for call in incidents(pager)]
            assert calls == [("site_silent", "firing"), ("site_silent", "resolved")]
            hold_both(made)


async def test_10_history_is_written_where_it_belongs(tmp_path):
    """An hour that comes at once stands in the journal and in each of its minutes, with its own times.

    It happened to Icinga 2: the replay reached the server, but its metrics were not written
    (Icinga2#7704).
    """
    with province(tmp_path, agents=()) as made:
        target = f"http://127.0.0.1:{made.portal_port}/"
        agent = made.add_agent(SITE)
        begun = time.time()
        past = leave_behind(
            tmp_path / SITE / "state",
            SITE,
            batches=144,
            samples=5,
            every=5,
            ago=HOUR + 60,
            target=target,
        )
        await made.ready()
        agent.start()
        await made.measured()
        await drained(tmp_path, agent)
        assert agent.stop() == 0
        await until(lambda: made.series("thongsuot_rollup_behind_entries", "/metrics") == [0])
        assert made.collector.stop() == 0

        times = [at for entry in journal(tmp_path) if entry.boot == past for at in entry.times]
        wanted = [begun - HOUR - 60 + 5 * number for number in range(720)]
        off = max(abs(at - own) for at, own in zip(times, wanted, strict=True))
        print(f"times off by {off:.3f} s at most")
        assert off < 1.0
        (track,) = rollups(tmp_path)
        runs = {minute.at: minute.runs for minute in track.minutes if minute.at * 60 < begun - 60}
        assert len(runs) in {60, 61}
        assert {*list(runs.values())[1:-1]} == {12}, "twelve in each minute"
        hold_both(made)


@pytest.mark.slow
async def test_15_a_clock_ahead_poisons_nothing(tmp_path):
    """A PC three days ahead is stored by the centre's time; a sample ahead of that is set apart.

    It happened to Prometheus and promitor: a sender's clock ahead was rejected, or accepted and
    poisoned the series for all that came after it (prometheus PR #14304; promitor#290).
    """
    with province(tmp_path, agents=()) as made:
        ahead = made.add_agent(SITE, command=agent_of_clock(3 * DAY))
        right = made.add_agent(OTHER)
        await made.ready()
        ahead.start()
        right.start()
        await until(lambda: made.check_up(SITE) == made.check_up(OTHER) == 1, seconds=20)
        assert ahead.stop() == 0
        ahead.command[: len(agent_of_clock(0))] = AGENT
        ahead.start()
        await until(
            lambda: len({entry.boot for entry in journal(tmp_path) if entry.agent == SITE}) == 2,
            seconds=20,
            what="back with its clock mended",
        )
        assert made.check_up(SITE) == 1
        assert (ahead.stop(), right.stop()) == (0, 0)

        entries = journal(tmp_path)
        walls = {round(e.batch.sealed.wall_ms / 1e3 - e.received_at, -4) for e in entries}
        assert walls == {0, round(3 * DAY, -4)}
        late = [entry.received_at - at for entry in entries for at in entry.times]
        assert max(late) < 10
        assert min(late) >= 0
        assert not any(entry.quarantined for entry in entries)

        made.add_agent(THIRD)
        headers = {
            "Authorization": f"Bearer {(tmp_path / THIRD / 'token').read_text()}",
            "Content-Encoding": "gzip",
        }
        async with aiohttp.ClientSession(headers=headers) as session:
            for seq, (ahead_by, failure) in enumerate(
                [(0.0, None), (3 * DAY, "timeout"), (0.0, "timeout"), (0.0, "timeout")], start=1
            ):
                body = one_sample(made, seq, ahead_by, failure)
                async with session.post(f"{made.url}/api/v1/batches", data=body) as answer:
                    assert answer.status == 200, await answer.text()
                wanted = 1 if seq < 4 else 0
                await until(lambda wanted=wanted: made.check_up(THIRD) == wanted)
        made_up = [entry.quarantined for entry in journal(tmp_path) if entry.agent == THIRD]
        assert made_up == [[], [0], [], []]
        assert made.series("thongsuot_ingest_quarantined_samples_total", "/metrics") == [1]
        hold_both(made)


def one_sample(made: Province, seq: int, ahead_by: float, failure: str | None) -> bytes:
    """Return a push of one sample whose stamps lie ahead of the PC's own clocks by so much."""
    now = read_stamp()
    sample = pushes.sample(
        check="portal",
        target=f"http://127.0.0.1:{made.portal_port}/",
        start=Stamp(wall_ms=now.wall_ms, mono_ns=now.mono_ns + round(ahead_by * 1e9)),
        counters={"all_success_count": seq},
        failure=failure,
    )
    same = {"agent": THIRD, "machine_boot": machine_boot()}
    batch = pushes.batch(seq, sealed=now, samples=[sample], **same)
    return gzip.compress(msgspec.json.encode(pushes.push(batch, sent=now, **same)))


@pytest.mark.real
@pytest.mark.slow
async def test_16_data_that_is_late_makes_nothing_flap(tmp_path):
    """Each push 1.5 s late: what is up is shown up all the time, and a fault is one page and a close.

    It happened to Cortex and Prometheus: rules evaluated "now" over data that was still to come
    found gaps, and alerts flapped (cortex#1723; prometheus PR #14061).
    """

    async def late(passage):
        await asyncio.sleep(1.5)

    with province(tmp_path, agents=()) as made:
        async with road(made.url) as way, AsyncExitStack() as stack:
            way.before = late
            agent = made.add_agent(SITE, url=way.url)
            agent.start()
            pager = await stack.enter_async_context(paging(tmp_path, made.url))
            await made.measured()
            shown: list[tuple[float | None, float | None]] = []

            def look():
                shown.append((made.check_up(SITE), made.site_up(SITE)))
                return shown[-1]

            await quiet_while(4, look)
            assert Counter(shown).keys() == {(1, 1)}
            made.portal.stop()
            await until(lambda: look() == (0, 1), seconds=15, what="the portal down")
            await quiet_while(2, look)
            made.portal.start()
            await until(lambda: look() == (1, 1), seconds=15, what="the portal up again")
            await quiet_while(2, look)
            way.before = None
            await drained(tmp_path, agent)
            assert await asyncio.to_thread(agent.stop) == 0

            changes = [shown[0], *(b for a, b in pairwise(shown) if a != b)]
            print(f"{len(shown)} looks")
            assert changes == [(1, 1), (0, 1), (1, 1)]
            await until(lambda: all_closed(pager), seconds=10, what="the page closed")
            calls = [(call.annotations["cause"], call.status) for call in incidents(pager)]
            assert calls == [("check_down", "firing"), ("check_down", "resolved")]
            hold_both(made)


async def quiet_while(seconds, look):
    """Let time pass and look again and again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        look()
        await asyncio.sleep(0.1)


@pytest.mark.real
@pytest.mark.slow
async def test_17_every_page_gets_its_close(tmp_path):
    """A check that recovers while its site is silent is closed for the pager too, as is the silence.

    It happened to Alertmanager's users: an alert that ended while it was inhibited sent no
    "resolved", and its page stayed open for ever (alertmanager#2754, #1153).
    """
    with province(tmp_path, agents=()) as made:
        async with road(made.url) as way, AsyncExitStack() as stack:
            agent = made.add_agent(SITE, url=way.url)
            agent.start()
            pager = await stack.enter_async_context(paging(tmp_path, made.url))
            await made.measured()
            made.portal.stop()
            await until(lambda: incidents(pager, "check_down"), seconds=20, what="portal paged")
            way.cut = True
            await until(lambda: incidents(pager, "site_silent"), seconds=20, what="silence paged")
            made.portal.start()
            await quiet(2)
            way.cut = False
            await until(lambda: all_closed(pager), seconds=20, what="both closed")
            await drained(tmp_path, agent)
            await quiet(3)
            assert await asyncio.to_thread(agent.stop) == 0

            assert all_closed(pager)
            assert len(incidents(pager)) == 4, "two pages, two closes"
            hold_both(made)
