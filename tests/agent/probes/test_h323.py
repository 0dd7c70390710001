"""An H.323 port takes a connection and keeps it; nothing is said that could ring a room."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import pytest

from agent.probes.base import Env, Source
from agent.probes.h323 import H323, H323Params
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.servers import break_off, serve, silent
from tests.agent.probes.tries import Tried
from tests.programs import free_port


async def hangs_up(reader, writer):
    """Take the connection and end it, as a bridge without a free port does."""
    writer.close()


async def resets(reader, writer):
    """Take the connection and break it after a while, as a filter does."""
    await asyncio.sleep(0.05)
    break_off(writer)


async def talks(reader, writer):
    """Talk without end, and never listen."""
    while True:
        writer.write(bytes(1 << 16))
        await writer.drain()


@pytest.mark.real
async def test_holds(env, nginx):
    """A real server keeps the connection for the whole second; both ends are timed."""
    before = open_files()
    rec = await attempt(H323, env, f"127.0.0.1:{nginx.http}")

    assert rec.failure is None
    assert list(rec.phases) == ["resolve", "connect", "hold"]
    assert 1.0 <= rec.phases["hold"] < 1.5
    assert rec.phases["connect"] < 0.5
    assert rec.values == {"ip_protocol": 4}
    assert open_files() == before


async def test_says_nothing_and_ends_in_order():
    """The target sees one connection, not one byte, and an orderly end after the hold."""
    seen = asyncio.get_running_loop().create_future()

    async def act(reader, writer):
        begun = time.monotonic()
        seen.set_result((await reader.read(), time.monotonic() - begun))

    async with serve(act) as port:
        await attempt(H323, Env(resolve=None), f"127.0.0.1:{port}", hold_seconds=0.2)
        said, seconds = await seen

    assert said == b""
    assert 0.15 < seconds < 1


@pytest.mark.parametrize(
    ("act", "failure", "detail"),
    [
        (
            hangs_up,
            Failure.CLOSED,
            "found the connection closed, expected it held for 1 s",
        ),
        (resets, Failure.RESET, "Connection reset by peer"),
    ],
)
async def test_not_held(env, act, failure, detail):
    """What breaks off the connection within the hold fails, at once, in phase hold."""
    before = open_files()
    begun = time.monotonic()
    async with serve(act) as port:
        rec = await attempt(H323, env, f"127.0.0.1:{port}")

    assert time.monotonic() - begun < 0.8
    assert (rec.failure, rec.detail) == (failure, detail)
    assert list(rec.phases) == ["resolve", "connect"]
    assert rec.current_phase == "hold"
    assert open_files() == before


@pytest.mark.parametrize("act", [silent, talks])
async def test_what_it_says_does_not_matter(env, act):
    """A target that keeps the connection is up, silent or not, and the hold ends in time."""
    begun = time.monotonic()
    async with serve(act) as port:
        rec = await attempt(H323, env, f"127.0.0.1:{port}", hold_seconds=0.2)

    assert rec.failure is None
    assert time.monotonic() - begun < 1


async def test_refused(env):
    """A port without a listener is refused, in phase connect."""
    rec = await attempt(H323, env, f"127.0.0.1:{free_port()}")

    assert (rec.failure, rec.detail) == (Failure.REFUSED, "Connection refused")
    assert rec.current_phase == "connect"


async def test_no_answer(env):
    """A host that does not take the connection runs into the check's deadline."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):  # its queue of one is full now
            name = f"127.0.0.1:{listener.getsockname()[1]}"
            before = open_files()
            rec = await attempt(H323, env, name, seconds=0.1)
            assert open_files() == before

    assert rec.failure is Failure.TIMEOUT
    assert rec.current_phase == "connect"


async def test_deadline_within_the_hold(env):
    """A deadline shorter than the hold is a time-out, not a success."""
    async with serve(silent) as port:
        rec = await attempt(H323, env, f"127.0.0.1:{port}", seconds=0.1)

    assert rec.failure is Failure.TIMEOUT
    assert rec.current_phase == "hold"
    assert "hold" not in rec.phases


async def test_over_its_line(env):
    """A target's line decides the address that the connection comes from."""
    seen = asyncio.get_running_loop().create_future()

    async def act(reader, writer):
        seen.set_result(writer.get_extra_info("peername")[0])
        await reader.read()

    async with serve(act) as port:
        source = Source(address="127.0.0.2")
        await attempt(H323, env, f"127.0.0.1:{port}", source=source, hold_seconds=0.1)
        assert await seen == "127.0.0.2"


def test_targets():
    """A target that is none is refused with what was expected of it."""
    assert not H323.refuse_target("mcu.phu-tho.example:1720", H323Params())
    expected = "expected host:port, or [address]:port for IPv6"
    assert H323.refuse_target("mcu.phu-tho.example", H323Params()) == expected


@asynccontextmanager
async def tried(_):
    """Offer a port that is held, and one that is given up at once."""
    async with serve(silent) as held, serve(hangs_up) as dropped:
        params = {"hold_seconds": 0.1}
        yield Tried(f"127.0.0.1:{held}", params), Tried(f"127.0.0.1:{dropped}", params)
