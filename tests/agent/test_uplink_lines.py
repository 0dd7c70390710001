"""More than one way to the centre, and ways that are barred."""

import asyncio
import socket
from pathlib import Path

import pytest

from agent import lines as lines_module
from agent.config import CollectorAddress, Line
from agent.lines import _LastKnown
from agent.uplink import Uplink
from tests.agent.centre import refusal, running_centre
from tests.agent.spools import opened
from tests.agent.uplinks import quicken, running_agent
from tests.programs import root
from tests.waiting import until

VNPT = Line(name="vnpt", select="source", source="127.0.0.2")
VIETTEL = Line(name="viettel", select="source", source="127.0.0.3")
ANCHORED = Line(name="4g", select="anchor", anchor="192.0.2.9")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)


def by_line(centre) -> dict[str, set[str]]:
    """Return the addresses from which each line's pushes came."""
    found: dict[str, set[str]] = {}
    for seen in centre.seen:
        found.setdefault(seen.push.via, set()).add(seen.peer)
    return found


async def test_uses_each_line_by_its_address(tmp_path):
    """The first line carries the batches, the other stands by with heartbeats of its own."""
    async with (
        running_centre() as centre,
        running_agent(tmp_path, centre, lines=[VNPT, VIETTEL, ANCHORED]) as agent,
    ):
        agent.seal(3)
        await until(lambda: len(centre.stored) == 3 and len(by_line(centre)) == 2)
        await until(lambda: len(centre.seen) >= 8)

        assert by_line(centre) == {"vnpt": {"127.0.0.2"}, "viettel": {"127.0.0.3"}}
        assert {seen.push.via for seen in centre.seen if seen.keys} == {"vnpt"}
        assert len({(seen.push.via, seen.connection) for seen in centre.seen}) == 2, "warm"
        lines = centre.seen[-1].push.lines
        assert lines.keys() == {"vnpt", "viettel"}
        assert all(line.failing == "" and line.last_success_ms for line in lines.values())


async def test_a_late_answer_sends_the_same_batches_over_the_next_line(tmp_path):
    """0.7 s, and the bytes go out a second time; the slow line is used again when it answers."""
    async with running_centre() as centre:
        stuck = []

        async def behave(request, push):
            if stuck and push.via == "vnpt":
                await centre.hold.wait()

        centre.behave = behave
        async with running_agent(
            tmp_path, centre, lines=[VNPT, VIETTEL], batch_seconds=30
        ) as agent:
            await until(lambda: len(by_line(centre)) == 2)
            stuck.append(True)
            agent.seal()
            await until(lambda: centre.stored)
            first, second = (seen for seen in centre.seen if seen.keys)

            assert (first.push.via, second.push.via) == ("vnpt", "viettel")
            assert 0.6 < second.at - first.at < 1.0
            assert bytes(first.push.batches[0]) == bytes(second.push.batches[0])
            agent.seal()
            await until(lambda: len(centre.stored) == 2, seconds=0.6)
            last = [seen for seen in centre.seen if seen.keys][-1]
            assert last.push.via == "viettel", "the line that answers goes first now"
            stuck.clear()
            centre.hold.set()
            await until(lambda: not agent.uplink._lines._ways["vnpt"].late)
            agent.seal()
            await until(lambda: len(centre.stored) == 3)
            assert [seen.push.via for seen in centre.seen if seen.keys][-1] == "vnpt"


async def test_a_line_that_stands_by_is_warm_from_the_beginning(tmp_path, monkeypatch):
    """Also one that comes with a new configuration: a cut needs no new connection then."""
    quicken(monkeypatch, STANDBY_SECONDS=60.0)
    async with (
        running_centre() as centre,
        running_agent(tmp_path, centre, lines=[VNPT, VIETTEL]) as agent,
    ):
        await until(lambda: by_line(centre).keys() == {"vnpt", "viettel"})
        agent.uplink.set_lines([VNPT, Line(name="tslcd", select="source", source="127.0.0.4")])
        await until(lambda: "tslcd" in by_line(centre))


async def test_a_late_line_is_told_with_the_push_that_went_over_the_next(tmp_path):
    """Not only when it is given up after six seconds; and it is well again once it answers."""
    async with running_centre() as centre:

        async def behave(request, push):
            if push.via == "vnpt":
                await centre.hold.wait()

        centre.behave = behave
        async with running_agent(tmp_path, centre, lines=[VNPT, VIETTEL]) as agent:
            agent.seal()
            await until(lambda: centre.stored)
            told = next(seen for seen in centre.seen if seen.keys and seen.push.via == "viettel")
            assert told.push.lines["vnpt"].failing == "timeout: no answer within 0.7 s"
            centre.hold.set()
            await until(lambda: not agent.failing("vnpt"))


async def test_a_line_that_fails_is_left_at_once_and_told(tmp_path):
    """No waiting where the answer is no; the other line's pushes say what is wrong with this one."""
    async with running_centre() as centre:

        async def behave(request, push):
            if push.via == "vnpt":
                request.transport.abort()

        centre.behave = behave
        async with running_agent(tmp_path, centre, lines=[VNPT, VIETTEL]) as agent:
            agent.seal()
            await until(lambda: any(s.push.via == "viettel" and s.keys for s in centre.seen))
            times = {seen.push.via: seen.at for seen in centre.seen if seen.keys}
            assert times["viettel"] - times["vnpt"] < 0.5
            await until(lambda: centre.seen[-1].push.lines["vnpt"].failing != "")
            lines = centre.seen[-1].push.lines

            assert lines["vnpt"].failing == "closed: Server disconnected"
            assert lines["vnpt"].last_success_ms is None
            assert lines["viettel"].failing == ""
            centre.behave = None
            await until(lambda: centre.seen[-1].push.lines["vnpt"].failing == "")


async def test_all_lines_failing_loses_nothing(tmp_path):
    """With no way left everything waits in the spool, and goes when one is back."""
    async with running_centre() as centre:
        port = centre.port
        await centre.stop()
        async with running_agent(tmp_path, centre, lines=[VNPT, VIETTEL]) as agent:
            agent.seal(20)
            await until(lambda: agent.failing("vnpt") and agent.failing("viettel"))
            await centre.start(port)
            await until(lambda: agent.spool.state.pending_batches == 0)

            assert len(centre.stored) == 20


async def test_a_line_that_is_not_on_this_machine_is_told(tmp_path):
    """The address was mistyped, or the interface is gone: the other line carries on."""
    lines = [
        Line(name="typo", select="source", source="192.0.2.1"),
        Line(name="gone", select="interface", interface="nosuch0"),
        VNPT,
    ]
    async with running_centre() as centre, running_agent(tmp_path, centre, lines=lines) as agent:
        agent.seal()
        await until(lambda: centre.stored)
        await until(lambda: agent.failing("typo") and agent.failing("gone"))

        assert "cannot use line at 192.0.2.1" in agent.failing("typo")
        assert "cannot use line at nosuch0" in agent.failing("gone")


@pytest.mark.real
async def test_uses_a_line_by_its_interface(tmp_path):
    """SO_BINDTODEVICE on the uplink's own connection."""
    root()
    lines = [Line(name="lo", select="interface", interface="lo")]
    async with running_centre() as centre, running_agent(tmp_path, centre, lines=lines) as agent:
        agent.seal()
        await until(lambda: centre.stored)
        way = agent.uplink._lines._ways["lo"]
        connections = next(iter(way.session.connector._conns.values()))
        sock = connections[0][0].transport.get_extra_info("socket")

        assert sock.getsockopt(socket.SOL_SOCKET, 25, 16).rstrip(b"\0") == b"lo"


async def test_lines_may_change_while_running(tmp_path):
    """A new configuration brings other lines; the connection of one that stays is kept."""
    async with (
        running_centre() as centre,
        running_agent(tmp_path, centre, lines=[VNPT]) as agent,
    ):
        await until(lambda: len(centre.seen) >= 2)
        agent.uplink.set_lines([VIETTEL, VNPT])
        await until(lambda: centre.seen[-1].push.via == "viettel")
        await until(lambda: centre.seen[-1].push.via == "vnpt")
        assert len({s.connection for s in centre.seen if s.push.via == "vnpt"}) == 1
        agent.uplink.set_lines([])
        await until(lambda: centre.seen[-1].push.via == "")
        agent.seal()
        await until(lambda: centre.stored)

        assert centre.seen[-1].push.lines == {}


async def test_a_refusal_is_heard_over_any_line_and_believed(tmp_path):
    """The collector's no is an answer: the next line is not tried for another one."""

    async def behave(request, push):
        return refusal(401, "unauthorised")

    async with (
        running_centre(behave) as centre,
        running_agent(tmp_path, centre, lines=[VNPT, VIETTEL]) as agent,
    ):
        agent.seal()
        await until(lambda: agent.failing("vnpt"))

        assert agent.failing("vnpt") == "HTTP 401, unauthorised: it is unauthorised"
        assert [seen.push.via for seen in centre.seen if seen.keys] == ["vnpt"]


# Names


async def test_a_dead_resolver_does_not_cut_us_off():
    """The last known addresses serve until the system answers again, perhaps with others."""
    answers: list[list[str] | OSError] = [
        ["192.0.2.7", "2001:db8::7"],
        socket.gaierror(socket.EAI_AGAIN, "try again"),
        ["192.0.2.8"],
    ]

    async def resolve(host, ip_version):
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    resolver = _LastKnown(resolve)
    found = [await resolver.resolve("centre.test", 443, socket.AF_UNSPEC) for _ in range(3)]

    assert [[entry["host"] for entry in entries] for entries in found] == [
        ["192.0.2.7", "2001:db8::7"],
        ["192.0.2.7", "2001:db8::7"],
        ["192.0.2.8"],
    ]
    assert [entry["family"] for entry in found[0]] == [socket.AF_INET, socket.AF_INET6]
    answers.append(socket.gaierror(socket.EAI_NONAME, "not known"))
    with pytest.raises(socket.gaierror):
        await resolver.resolve("other.test", 443, socket.AF_UNSPEC)


async def test_a_resolver_that_hangs_holds_nobody_up_who_knows(monkeypatch):
    """The known address serves after a moment; the answer, once it comes, serves the next."""
    monkeypatch.setattr(lines_module, "KNOWN_SECONDS", 0.05)
    asked: list[str] = []
    answer = asyncio.Event()

    async def resolve(host, ip_version):
        asked.append(host)
        if len(asked) == 1:
            return ["192.0.2.7"]
        await answer.wait()
        return ["192.0.2.8"]

    resolver = _LastKnown(resolve)

    async def found() -> str:
        return (await resolver.resolve("centre.test", 443))[0]["host"]

    assert await found() == "192.0.2.7"
    assert await asyncio.wait_for(found(), 1) == "192.0.2.7"
    assert await asyncio.wait_for(found(), 1) == "192.0.2.7"
    assert len(asked) == 2, "one question for all who wait"
    answer.set()
    assert await found() == "192.0.2.8"
    answer.clear()
    await found()
    await resolver.close()
    assert not resolver._asking


async def test_a_name_that_is_not_known_is_told(tmp_path):
    """In the words of the probes; measuring goes on, and so does sending once it is known."""
    known: list[str] = []

    async def resolve(host, ip_version):
        if not known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known

    async with (
        running_centre() as centre,
        running_agent(tmp_path, f"http://centre.test:{centre.port}", run=False) as agent,
    ):
        agent.uplink._lines._resolver._resolve = resolve
        task = asyncio.create_task(agent.uplink.run())
        agent.seal()
        await until(lambda: agent.failing().startswith("resolve_failed: "))
        assert agent.spool.state.pending_batches == 1
        known.append("127.0.0.1")
        await until(lambda: centre.stored)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch):
    """It has a deadline of its own, well within that of a push."""
    monkeypatch.setattr(lines_module, "RESOLVE_SECONDS", 0.05)

    async def resolve(host, ip_version):
        await asyncio.Event().wait()

    resolver = _LastKnown(resolve)
    with pytest.raises(TimeoutError):
        await resolver.resolve("centre.test", 443)
    await resolver.close()


def open_files() -> int:
    """Return how many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_leaves_no_descriptor_behind(tmp_path):
    """Twenty uplinks, opened and closed, hold nothing."""
    (tmp_path / "token").write_text("secret")

    async def once(centre):
        with opened(tmp_path / "spool") as spool:
            address = CollectorAddress(url=centre.url, token_file=tmp_path / "token")
            uplink = Uplink(
                address,
                [VNPT, VIETTEL],
                spool,
                lambda: None,
                lambda version: None,
                on_slots=lambda slots: None,
            )
            await uplink.fetch_config("")
            await uplink.close()

    async with running_centre() as centre:
        await once(centre)
        await asyncio.sleep(0.05)
        before = open_files()
        for _ in range(20):
            await once(centre)
        await until(lambda: open_files() <= before)
