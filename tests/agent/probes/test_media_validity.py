"""A media run in which it was not the network that was measured is an error, and no statement."""

import asyncio
import socket
import time

import pytest

from agent.probes import media as module
from agent.probes import media_sender
from agent.probes.base import ProbeError
from agent.probes.media_sender import NS
from tests.agent.probes.reflecting import hold, pardon, reflecting
from tests.waiting import until


@pytest.fixture(autouse=True)
def on_a_shared_machine(monkeypatch):
    """Judge what is sent, not this machine."""
    pardon(monkeypatch)


async def test_a_busy_pc_voids_the_run(env, monkeypatch):
    """Packets that left late measured the PC: an error, and no statement about the line."""
    monkeypatch.setattr(module, "MAX_LATENESS_SECONDS", -1.0)
    with (
        reflecting() as reflector,
        pytest.raises(ProbeError, match=r"^this PC is too busy: packets"),
    ):
        await hold(env, reflector.address[1])


async def test_a_pc_that_slept_does_not_catch_up(env, monkeypatch):
    """What it slept through is not sent at once, into somebody else's slot."""
    real, begun = media_sender.boot_ns, time.monotonic()
    monkeypatch.setattr(
        media_sender, "boot_ns", lambda: real() + (3 * NS if time.monotonic() > begun + 0.4 else 0)
    )
    with reflecting() as reflector:
        with pytest.raises(
            ProbeError, match=r"^this PC stood still or slept for more than a second meanwhile$"
        ):
            await hold(env, reflector.address[1], seconds=10.0)
        assert 0 < reflector.sessions.reflected < 40


async def test_packets_without_room_in_the_own_queue_void_the_run(env, monkeypatch):
    """What never left the PC was not lost by the line."""

    class Full(socket.socket):
        sent = 0

        def send(self, data):
            Full.sent += len(data) == 172
            if len(data) == 172 and Full.sent % 10 == 0:
                raise BlockingIOError
            return super().send(data)

    def full(*_):
        sock = Full(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        return sock

    monkeypatch.setattr(module, "bound_socket", full)
    with (
        reflecting() as reflector,
        pytest.raises(ProbeError, match=r"^this PC is too busy: it lost 5 packets itself$"),
    ):
        await hold(env, reflector.address[1])


async def test_drops_of_the_reflector_void_the_run(env):
    """What the reflector's socket lost is not the network's."""
    with reflecting() as reflector:
        task = asyncio.create_task(hold(env, reflector.address[1]))
        await until(lambda: reflector.sessions.reflected >= 5, what="media flows")
        answer = reflector.sessions.answer

        def with_drops(got):
            got.drops += 3
            return answer(got)

        reflector.sessions.answer = with_drops
        with pytest.raises(ProbeError) as caught:
            await task

    assert str(caught.value) == "the reflector's machine is too busy: it lost 3 packets itself"


async def test_a_clock_that_was_set_voids_the_run(env, monkeypatch):
    """Stamps before and after the setting cannot be compared."""
    begun = time.monotonic()
    real = time.time_ns
    monkeypatch.setattr(
        "agent.probes.media_sender.time.time_ns",
        lambda: real() + (7 * NS if time.monotonic() > begun + 0.7 else 0),
    )
    with reflecting() as reflector, pytest.raises(ProbeError, match=r"clock was set by \+7\.000 s"):
        await hold(env, reflector.address[1])


async def test_a_reflectors_clock_that_was_set_voids_the_run(env):
    """Its stamps jump: no path varies so, and both directions would seem to."""
    with reflecting() as reflector:
        task = asyncio.create_task(hold(env, reflector.address[1]))
        await until(lambda: reflector.sessions.reflected >= 20, what="media flows")
        answer = reflector.sessions.answer

        def later(got):
            got.arrived_ns += 7 * NS
            got.now_ns += 7 * NS
            return answer(got)

        reflector.sessions.answer = later
        with pytest.raises(
            ProbeError, match=r"^the reflector's clock was set by [67]\.\d+ s or more"
        ):
            await task
