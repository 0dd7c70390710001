"""The uplink against a centre on a real socket: what it sends, when, and its goodbye."""

import asyncio
import time

import pytest

from agent import uplink as uplink_module
from agent.spool import LIVE_BATCHES
from agent.wire import BACKLOG_PRIORITY, PowerState, Slot
from tests.agent.batches import BOOT, MACHINE_BOOT, OLD_BOOT
from tests.agent.centre import refusal, running_centre
from tests.agent.spools import EVERYTHING, appended, opened
from tests.agent.uplinks import everything, html, quicken, running_agent
from tests.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)


# What a push is


async def test_hands_over_what_was_spooled_byte_for_byte(tmp_path):
    """Each batch is stored once, with the spool's very bytes, and then forgotten here."""
    async with running_centre() as centre, running_agent(tmp_path, centre) as agent:
        for _ in range(5):
            agent.seal()
        await until(lambda: len(centre.stored) == 5)
        await until(lambda: agent.spool.state.pending_batches == 0)

        assert centre.stored == everything(5)


async def test_says_how_the_agent_is(tmp_path):
    """The push is made afresh: clocks, anchor, configuration, spool, lines, power."""
    async with running_centre() as centre, running_agent(tmp_path, centre) as agent:
        agent.status = uplink_module.Status(
            agent="08545",
            boot=BOOT,
            machine_boot=MACHINE_BOOT,
            synchronised=True,
            config=7,
            config_error="no",
            power=PowerState(on_mains=False),
        )
        await until(lambda: len(centre.seen) >= 3)
        push, headers = centre.seen[2].push, centre.seen[2].headers

    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert (push.v, push.agent, push.boot, push.machine_boot) == (1, "08545", BOOT, MACHINE_BOOT)
    assert abs(push.sent.wall_ms / 1000 - time.time()) < 5
    assert abs(push.sent.mono_ns / 1e9 - now) < 5
    assert push.anchor == pytest.approx(time.time() - now, abs=0.5)
    assert 0 < push.anchor_error < 0.5
    assert (push.synchronised, push.config, push.config_error) == (True, 7, "no")
    assert push.power == PowerState(on_mains=False)
    assert push.spool.pending_batches == 0
    assert (push.lines, push.via, push.bye) == ({}, "", "")
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Content-Encoding"] == "gzip"


async def test_sends_a_heartbeat_when_there_is_nothing(tmp_path):
    """One each `batch_seconds`, over one warm connection, without batches."""
    async with (
        running_centre() as centre,
        running_agent(tmp_path, centre, batch_seconds=0.05),
    ):
        await until(lambda: len(centre.seen) >= 10)
        gaps = [b.at - a.at for a, b in zip(centre.seen[1:], centre.seen[2:], strict=False)]

        assert all(not seen.keys for seen in centre.seen)
        assert len({seen.connection for seen in centre.seen}) == 1
        assert 0.05 <= sorted(gaps)[len(gaps) // 2] < 0.2


async def test_goes_at_once_when_woken(tmp_path):
    """A check that changed its mind does not wait for its turn."""
    async with (
        running_centre() as centre,
        running_agent(tmp_path, centre, batch_seconds=30) as agent,
    ):
        await until(lambda: centre.seen)
        agent.seal()
        await until(lambda: centre.stored, seconds=1)


# Two lanes


async def test_live_is_never_old_while_a_backlog_drains(tmp_path, monkeypatch):
    """2,000 batches wait, the centre is slow, and yet what is measured now is there at once."""
    for name in ("LOOK_SECONDS", "RETRY_SECONDS", "SLACK_SECONDS"):
        monkeypatch.setattr(uplink_module, name, 0.2)
    with opened(tmp_path / "spool", boot=OLD_BOOT) as spool:
        appended(spool, 2_000, boot=OLD_BOOT)
    sealed: dict[int, float] = {}
    arrived: dict[int, float] = {}
    async with running_centre() as centre:

        async def slow(request, push):
            keys = centre.seen[-1].keys
            await asyncio.sleep(0.1)
            for boot, seq in keys:
                if boot == BOOT:
                    arrived.setdefault(seq, time.monotonic())

        centre.behave = slow
        async with running_agent(tmp_path, centre, batch_seconds=1.0) as agent:
            while agent.spool.state.pending_batches > LIVE_BATCHES:
                sealed[len(sealed) + 1] = time.monotonic()
                agent.seal()
                await asyncio.sleep(0.05)
            await until(lambda: len(arrived) == len(sealed))
            ages = [arrived[seq] - sealed[seq] for seq in sealed]
            first_batches = next(seen.keys for seen in centre.seen if seen.keys)
            await until(lambda: agent.spool.state.pending_batches == 0)

            assert centre.stored == everything(2_000, OLD_BOOT) | everything(len(sealed))
            assert first_batches == [(BOOT, 1)], "the freshest first"
            assert len(ages) >= 5
            assert max(ages) < 2.0
            drained = [len(seen.keys) for seen in centre.seen if (OLD_BOOT, 1) not in seen.keys]
            assert max(drained) > 200, "pushes grow while the centre keeps up"
            said = {
                (OLD_BOOT, 1) in seen.keys: seen.headers.get("Priority")
                for seen in centre.seen
                if (OLD_BOOT, 1) in seen.keys or (BOOT, 1) in seen.keys
            }
            assert said == {True: BACKLOG_PRIORITY, False: None}, "which of them can wait"


# The end


async def test_says_goodbye(tmp_path):
    """The last push says why, and carries what was sealed last."""
    async with running_centre() as centre, running_agent(tmp_path, centre, run=False) as agent:
        agent.seal(2)
        await agent.uplink.bye("shutdown")

        assert [(seen.push.bye, len(seen.keys)) for seen in centre.seen] == [("shutdown", 2)]
        assert centre.stored == everything(2)


async def test_a_goodbye_is_not_held_up_by_a_bad_batch(tmp_path):
    """It goes without it."""

    async def behave(request, push):
        return refusal(400, "malformed") if push.batches else None

    async with (
        running_centre(behave) as centre,
        running_agent(tmp_path, centre, run=False) as agent,
    ):
        agent.seal(2)
        await agent.uplink.bye("upgrade")

        assert [(seen.push.bye, len(seen.keys)) for seen in centre.seen] == [
            ("upgrade", 2),
            ("upgrade", 0),
        ]
        assert agent.spool.state.pending_batches == 2


async def test_a_goodbye_takes_two_seconds_at_most(tmp_path, caplog):
    """An office that is switched off does not wait for a centre that does not answer."""

    async def hang(request, push):
        await centre.hold.wait()

    async with (
        running_centre(hang) as centre,
        running_agent(tmp_path, centre, run=False) as agent,
    ):
        agent.seal()
        begun = time.monotonic()
        await agent.uplink.bye("shutdown")

        assert 1.9 < time.monotonic() - begun < 2.5
        assert agent.spool.state.pending_batches == 1
        assert agent.spool.live(EVERYTHING) != [], "it is no longer under way"
    assert "the collector did not hear our goodbye" in caplog.messages


# Configuration


async def test_tells_of_another_configuration(tmp_path):
    """Each answer that names another version than ours is passed on; ours and none are not."""
    async with running_centre() as centre, running_agent(tmp_path, centre) as agent:
        for version in (0, 7):
            centre.config = version
            seen = len(centre.seen)
            await until(lambda seen=seen: len(centre.seen) > seen + 1)
        assert agent.configs == []
        centre.config = 8
        await until(lambda: agent.configs)
        assert set(agent.configs) == {8}


async def test_hands_slots_on_with_each_answer_that_has_some(tmp_path):
    """What the centre lets the agent do is passed on as often as it is said."""
    slot = Slot(id="s1", check="c", target="t", starts_in=3.0, max_seconds=30.0, max_bytes=1_000)
    async with running_centre() as centre, running_agent(tmp_path, centre) as agent:
        await until(lambda: len(centre.seen) > 1)
        assert agent.slots == []
        centre.slots = [slot]
        await until(lambda: len(agent.slots) > 1)
        assert agent.slots[:2] == [slot, slot]


async def test_fetches_the_configuration(tmp_path, caplog):
    """New bytes with their tag; nothing when unchanged, and nothing of a portal's page."""
    async with running_centre() as centre, running_agent(tmp_path, centre, run=False) as agent:
        assert await agent.uplink.fetch_config("") == (b'{"version":7}', '"v7"')
        assert await agent.uplink.fetch_config('"v7"') is None
        assert not caplog.messages
        centre.config_answer = html(200)
        assert await agent.uplink.fetch_config("") is None
        centre.config_answer = refusal(403, "revoked")
        assert await agent.uplink.fetch_config("") is None
        await centre.stop()
        assert await agent.uplink.fetch_config("") is None
    assert caplog.messages == [
        "configuration cannot be fetched status=200 type=text/html; charset=utf-8",
        "configuration cannot be fetched status=403 type=application/json",
        "configuration cannot be fetched why=refused: Connection refused",
    ]
