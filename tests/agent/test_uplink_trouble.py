"""Trouble on the way and refusals: nothing is lost, nothing doubled, nobody blamed in error."""

import asyncio

import pytest
from aiohttp import web

from agent import uplink as uplink_module
from tests.agent.batches import BOOT, OLD_BOOT
from tests.agent.centre import refusal, running_centre
from tests.agent.spools import appended, opened
from tests.agent.uplinks import everything, html, quicken, running_agent
from tests.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)


def first(number: int, instead):
    """Misbehave for so many pushes that carry batches, then no more."""
    left = [number]

    async def behave(request, push):
        if push.batches and left[0]:
            left[0] -= 1
            return await instead(request, push)
        return None

    return behave


# Trouble that costs nothing


async def reset(request, push):
    """Break the connection."""
    request.transport.abort()
    return web.Response()


async def half(request, push):
    """Begin an answer and break the connection."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"v":1,')
    request.transport.abort()
    return response


async def elsewhere(request, push):
    """Send the agent somewhere else."""
    return web.Response(status=307, headers={"Location": "http://127.0.0.1:9/api/v1/batches"})


def proxy(status: int):
    """Return what a proxy or a captive portal does."""

    async def answer(request, push):
        return html(status)

    return answer


TROUBLE = {"reset": reset, "half an answer": half, "redirect": elsewhere} | {
    f"{status} in HTML": proxy(status)
    for status in (200, 400, 401, 403, 404, 409, 413, 429, 500, 502, 503)
}


@pytest.mark.parametrize("instead", TROUBLE.values(), ids=TROUBLE)
async def test_trouble_on_the_way_costs_nothing(tmp_path, instead):
    """Whatever comes back that is not the collector's word, the same bytes are sent again."""
    async with (
        running_centre(first(12, instead)) as centre,
        running_agent(tmp_path, centre) as agent,
    ):
        agent.seal(12)
        await until(lambda: agent.spool.state.pending_batches == 0)

        assert centre.stored == everything(12)
        assert agent.spool.state.set_aside_batches == 0
        assert agent.spool.state.dropped_batches == 0
        await until(lambda: agent.failing() == "")


async def test_an_answer_lost_after_storing_doubles_nothing(tmp_path):
    """The batch comes twice under one identity with the same bytes; the centre checks that."""

    async def store_and_reset(request, push):
        centre.accept(push)
        return await reset(request, push)

    async with (
        running_centre(first(3, store_and_reset)) as centre,
        running_agent(tmp_path, centre) as agent,
    ):
        agent.seal(3)
        await until(lambda: agent.spool.state.pending_batches == 0)

        assert centre.stored == everything(3)
        assert sum((BOOT, 1) in seen.keys for seen in centre.seen) >= 3


async def test_a_centre_that_hangs_is_asked_again(tmp_path, monkeypatch):
    """No answer is as good as none; measuring and spooling go on meanwhile."""
    monkeypatch.setattr(uplink_module, "LIVE_SECONDS", 0.2)

    async def hang(request, push):
        await centre.hold.wait()

    async with (
        running_centre(first(2, hang)) as centre,
        running_agent(tmp_path, centre) as agent,
    ):
        agent.seal(2)
        await until(lambda: agent.failing() == "timeout")
        agent.seal(10)
        await until(lambda: agent.spool.state.pending_batches == 0)

        assert centre.stored == everything(12)


async def test_a_centre_that_was_away_gets_everything(tmp_path):
    """It comes back at the same place: the freshest first, then the backlog, oldest first."""
    async with running_centre() as centre, running_agent(tmp_path, centre) as agent:
        agent.seal()
        await until(lambda: len(centre.stored) == 1)
        port = centre.port
        await centre.stop()
        await until(lambda: agent.failing().startswith("refused:"))
        agent.seal(40)
        before = len(centre.seen)
        await centre.start(port)
        await until(lambda: len(centre.stored) == 41)

        with_batches = [seen.keys for seen in centre.seen[before:] if seen.keys]
        assert with_batches[0] == [(BOOT, seq) for seq in range(34, 42)]
        backlog = [key for keys in with_batches[1:] for key in keys]
        assert backlog == [(BOOT, seq) for seq in range(2, 34)]


async def test_old_boots_are_resent_as_those_boots(tmp_path):
    """What an earlier run left behind goes to the centre with its own identity."""
    with opened(tmp_path / "spool", boot=OLD_BOOT) as spool:
        appended(spool, 30, boot=OLD_BOOT)
    async with running_centre() as centre, running_agent(tmp_path, centre) as agent:
        agent.seal(3)
        await until(lambda: agent.spool.state.pending_batches == 0)

        assert centre.stored == everything(30, OLD_BOOT) | everything(3)


async def test_a_redirect_leads_nowhere(tmp_path):
    """Not even on the same host: the token goes to the configured address only."""
    async with running_centre() as other, running_centre() as centre:

        async def there(request, push):
            return web.Response(status=307, headers={"Location": other.url + "/api/v1/batches"})

        centre.behave = there
        async with running_agent(tmp_path, centre) as agent:
            agent.seal()
            await until(lambda: len(centre.seen) >= 4)

            assert agent.failing().startswith("HTTP 307, but not by the collector")
            assert other.seen == []


async def test_an_answer_that_acknowledges_nothing_is_not_repeated_for_ever_at_once(tmp_path):
    """The batch is kept and sent again after a pause, like any other failure."""

    async def forgetful(request, push):
        return web.json_response({"v": 1, "received_at": 1.0, "answered_at": 1.0})

    async with (
        running_centre(first(5, forgetful)) as centre,
        running_agent(tmp_path, centre) as agent,
    ):
        agent.seal()
        await until(lambda: agent.failing() == "the collector acknowledged nothing")
        await until(lambda: agent.spool.state.pending_batches == 0)

        assert centre.stored == everything(1)


# Refusals


@pytest.mark.parametrize("code", ["malformed", "wrong_agent", "too_large"])
@pytest.mark.parametrize("bad", [{1}, {3, 4}, {2, 38}, {40}])
async def test_a_refused_batch_is_found_and_set_aside_alone(tmp_path, code, bad):
    """Live or backlog, all others arrive; the bad ones are kept on the PC's own disk."""
    async with running_centre() as centre:

        async def behave(request, push):
            return refusal(400, code) if {key[1] for key in centre.seen[-1].keys} & bad else None

        centre.behave = behave
        async with running_agent(tmp_path, centre) as agent:
            agent.seal(40)
            await until(lambda: agent.spool.state.pending_batches == 0)

            assert {key[1] for key in centre.stored} == set(range(1, 41)) - bad
            assert agent.spool.state.set_aside_batches == len(bad)
            assert (tmp_path / "spool" / "set-aside").exists()


@pytest.mark.parametrize("code", ["malformed", "wrong_agent", "unauthorised", "revoked"])
async def test_no_batch_is_blamed_when_everything_is_refused(tmp_path, code):
    """Also a push without batches is refused: seldom asked again, all kept, told in words."""
    async with running_centre() as centre:
        mend = []

        async def behave(request, push):
            return None if mend else refusal(403, code)

        centre.behave = behave
        async with running_agent(tmp_path, centre, batch_seconds=0.01) as agent:
            agent.seal(10)
            await until(lambda: agent.failing() or len(centre.seen) >= 6)
            await asyncio.sleep(0.2)
            asked = len(centre.seen)

            assert asked <= 6
            assert agent.spool.state.pending_batches == 10
            assert agent.spool.state.set_aside_batches == 0
            if code in {"unauthorised", "revoked"}:
                assert agent.failing() == f"HTTP 403, {code}: it is {code}"
            mend.append(True)
            await until(lambda: agent.spool.state.pending_batches == 0)
            assert centre.stored == everything(10)


async def test_a_new_token_is_taken_up(tmp_path):
    """After a refusal the file is read again: a person put the right one there."""
    (tmp_path / "token").write_text("old")

    async def behave(request, push):
        good = request.headers["Authorization"] == "Bearer secret"
        return None if good else refusal(401, "unauthorised")

    async with running_centre(behave) as centre, running_agent(tmp_path, centre) as agent:
        agent.seal()
        await until(lambda: agent.failing() == "HTTP 401, unauthorised: it is unauthorised")
        (tmp_path / "token").write_text("secret\n")
        await until(lambda: centre.stored)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds no token"),
        (b"two words", "holds no token"),
        (b"\xff\xfe", "holds no token"),
    ],
)
async def test_a_token_file_that_is_wrong_stops_nothing(tmp_path, content, why):
    """It is told where it is read, and looked at again."""
    token = tmp_path / "token"
    async with running_centre() as centre, running_agent(tmp_path, centre, run=False) as agent:
        token.unlink()
        if content is not None:
            token.write_bytes(content)
        task = asyncio.create_task(agent.uplink.run())
        agent.seal()
        await until(lambda: agent.failing() == f"token file {token} {why}")
        token.write_text("secret")
        await until(lambda: centre.stored)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("status", "code"), [(429, "too_many"), (503, "busy")])
async def test_waits_when_asked_to(tmp_path, status, code):
    """Retry-After is kept to, and then everything goes."""

    async def busy(request, push):
        return refusal(status, code, **{"Retry-After": "0.5"})

    async with (
        running_centre(first(1, busy)) as centre,
        running_agent(tmp_path, centre, batch_seconds=0.01) as agent,
    ):
        agent.seal(4)
        await until(lambda: len(centre.stored) == 4)
        refused_at = next(seen.at for seen in centre.seen if seen.keys)
        later = next(seen.at for seen in centre.seen if seen.at > refused_at)

        assert later - refused_at >= 0.5
