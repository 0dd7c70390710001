"""A TCP connection is opened, timed and closed, over the line that was asked for."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from agent.probes.base import Env, ProbeError, Source
from agent.probes.tcp import Tcp, TcpParams
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.servers import serve, silent
from tests.agent.probes.tries import Tried
from tests.programs import free_port


@pytest.mark.parametrize(
    ("host", "shown", "version"), [("127.0.0.1", "127.0.0.1", 4), ("::1", "[::1]", 6)]
)
async def test_connects(env, host, shown, version):
    """What listens is up; both phases are timed, and the address used is told."""
    async with serve(silent, host=host) as port:
        rec = await attempt(Tcp, env, f"{shown}:{port}")

    assert rec.failure is None
    assert list(rec.phases) == ["resolve", "connect"]
    assert all(0 < seconds < 1 for seconds in rec.phases.values())
    assert rec.values == {"ip_protocol": version}
    assert rec.facts == {"address": host}


async def test_sends_nothing():
    """The target sees a connection that opens and ends, and not one byte."""
    seen = asyncio.get_running_loop().create_future()

    async def act(reader, writer):
        seen.set_result(await reader.read())

    async with serve(act) as port:
        await attempt(Tcp, Env(resolve=None), f"127.0.0.1:{port}")
        assert await seen == b""


async def test_name(env):
    """A name is looked up as the system would, and its address is used."""
    async with serve(silent) as port:
        rec = await attempt(Tcp, env, f"localhost:{port}", ip_version=4)

    assert rec.failure is None
    assert rec.facts == {"address": "127.0.0.1"}


async def test_unknown_name():
    """A name without an address is a failure of resolving, and no connection is timed."""

    async def resolve(host, ip_version):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    rec = await attempt(Tcp, Env(resolve=resolve), "nowhere.test:80")

    assert (rec.failure, rec.detail) == (Failure.RESOLVE_FAILED, "Name or service not known")
    assert rec.phases == {}
    assert rec.current_phase == "resolve"


async def test_impossible_name(env):
    """A name that no resolver can be asked for is one that does not exist."""
    with pytest.raises(socket.gaierror) as caught:
        await env.resolve("label.." + "x" * 64, 0)

    assert caught.value.errno == socket.EAI_NONAME


async def test_refused(env):
    """A port without a listener is refused, in phase connect."""
    rec = await attempt(Tcp, env, f"127.0.0.1:{free_port()}")

    assert (rec.failure, rec.detail) == (Failure.REFUSED, "Connection refused")
    assert list(rec.phases) == ["resolve"]
    assert rec.current_phase == "connect"


async def test_no_answer(env):
    """A host that does not answer runs into the deadline, and leaves no socket behind."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):  # its queue of one is full now
            before = open_files()
            rec = await attempt(Tcp, env, f"127.0.0.1:{listener.getsockname()[1]}", seconds=0.05)

    assert rec.failure is Failure.TIMEOUT
    assert rec.current_phase == "connect"
    assert open_files() < before  # the two of this test are gone, and none came


async def test_over_its_line(env):
    """A target's line decides the address that the connection comes from."""
    seen = asyncio.get_running_loop().create_future()

    async def act(reader, writer):
        seen.set_result(writer.get_extra_info("peername")[0])

    async with serve(act) as port:
        await attempt(Tcp, env, f"127.0.0.1:{port}", source=Source(address="127.0.0.2"))
        assert await seen == "127.0.0.2"


async def test_line_that_is_not_here(env):
    """A line whose address this machine does not have is our error, not the target's failure."""
    with pytest.raises(ProbeError) as caught:
        await attempt(Tcp, env, "127.0.0.1:9", source=Source(address="192.0.2.1"))

    assert str(caught.value) == "cannot use line at 192.0.2.1: Cannot assign requested address"


@pytest.mark.parametrize(
    ("name", "ip_version", "expected"),
    [
        ("portal.test:443", 0, ""),
        ("cổng.test:443", 6, ""),
        ("192.0.2.1:22", 4, ""),
        ("[2001:db8::1]:22", 0, ""),
        ("portal.test", 0, "expected host:port, or [address]:port for IPv6"),
        (":80", 0, "expected host:port, or [address]:port for IPv6"),
        ("2001:db8::1:22", 0, "expected host:port, or [address]:port for IPv6"),
        ("[192.0.2.1]:22", 0, "expected host:port, or [address]:port for IPv6"),
        ("portal.test:0", 0, "expected a port from 1 to 65535 after the host"),
        ("portal.test:65536", 0, "expected a port from 1 to 65535 after the host"),
        ("portal.test:https", 0, "expected a port from 1 to 65535 after the host"),
        ("portal.test:٤٤٣", 0, "expected a port from 1 to 65535 after the host"),
        ("192.0.2.1:22", 6, "expected a name or an IPv6 address, as ip_version says"),
        ("[2001:db8::1]:22", 4, "expected a name or an IPv4 address, as ip_version says"),
        ("192.0.2.256:22", 0, "expected an IPv4 address of four numbers from 0 to 255"),
        ("http://portal.test:80", 0, "expected host:port, or [address]:port for IPv6"),
        ("portal..test:80", 0, "expected a host name with labels of 1 to 63 characters"),
        ("por tal.test:80", 0, "expected a host name of letters, digits, '-' and '_'"),
    ],
)
def test_targets(name, ip_version, expected):
    """A target that is none is refused with what was expected of it."""
    assert Tcp.refuse_target(name, TcpParams(ip_version=ip_version)) == expected


@asynccontextmanager
async def tried(_):
    """Offer a port that is open, and one that is not."""
    async with serve(silent) as port:
        yield Tried(f"127.0.0.1:{port}", {}), Tried(f"127.0.0.1:{free_port()}", {})
