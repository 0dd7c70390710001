"""A media session is held in its slot, both ways are measured apart, and nobody is believed blindly."""

import asyncio
import contextlib
import socket
import threading
import time
from contextlib import asynccontextmanager

import msgspec
import pytest

from agent.probes import media as module
from agent.probes.base import Env, ProbeError, Recorder, Target
from agent.probes.media import Media, MediaParams
from agent.wire import STREAMS, Failure
from agent.wire.stamp_packet import TOTALS, closing
from tests.agent.probes.attempts import open_files
from tests.agent.probes.reflecting import SESSION, a_slot, hold, lying, pardon, reflecting
from tests.agent.probes.tries import Tried
from tests.programs import free_port
from tests.waiting import until


@pytest.fixture(autouse=True)
def on_a_shared_machine(monkeypatch):
    """Judge what is sent, not this machine."""
    pardon(monkeypatch)


PHASES = ["resolve", "open", "media", "close"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_clean_path(env, host):
    """Nothing lost, the marks kept, everything measured that can be, in both directions."""
    with reflecting(host) as reflector:
        rec = await hold(env, reflector.address[1], host=host)

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == PHASES
    assert 0.97 < rec.phases["media"] < 2.0
    assert rec.phases["close"] < 1.0  # nothing was under way any more
    assert rec.counts == {
        "media_sent_packets_total": 50,
        "media_received_packets_total": 50,
        "media_duplicates_total": 0,
    }
    for way in ("forward", "backward", "roundtrip"):
        assert rec.values[f"media_loss_ratio.{way}"] == 0
        assert rec.values[f"media_loss_run_max.{way}"] == 0
        assert f"media_burst_ratio.{way}" not in rec.values
    for way in ("forward", "backward"):
        assert rec.values[f"media_reordered_ratio.{way}"] == 0
        assert rec.values[f"media_dscp_received.{way}"] == 46
        assert 0 <= rec.values[f"media_jitter_seconds.{way}"] < 0.02
        assert (
            rec.values[f"media_pdv_seconds.{way}.p50"] <= rec.values[f"media_pdv_seconds.{way}.max"]
        )
    assert 0 < rec.values["media_rtt_seconds.p50"] < 0.02
    assert rec.values["media_path_ttl"] == 64
    assert rec.values["media_dscp_sent"] == 46
    for end in ("agent", "reflector"):
        assert rec.values[f"media_socket_drops.{end}"] == 0
    assert rec.facts == {"slot": "a-slot", "address": host}


@pytest.mark.parametrize(
    ("stream", "shape", "sent"),
    [("opus", "constant", 50), ("720p", "constant", 39), ("720p", "frames", 34)],
)
async def test_every_stream(env, stream, shape, sent):
    """Pictures begin with a quarter of their load; each packet has its class of service."""
    with reflecting() as reflector:
        rec = await hold(env, reflector.address[1], stream=stream, shape=shape)

    assert rec.failure is None
    assert rec.counts["media_sent_packets_total"] == pytest.approx(sent, abs=1)
    assert rec.values["media_dscp_received.forward"] == STREAMS[stream].dscp


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"seconds": 0.5}, "seconds: found 0.5, expected 1 to 60"),
        ({"seconds": 61}, "seconds: found 61, expected 1 to 60"),
        ({"shape": "frames"}, "shape frames: g711 is sound, which has none"),
    ],
)
def test_params_that_cannot_be(params, told):
    """Said when configured, not at the first run."""
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert(params, MediaParams)


async def test_without_a_slot_nothing_is_sent(env):
    """Who was not told to load the bridge does not."""
    with pytest.raises(ProbeError, match=r"^runs only in a slot that the centre gives$"):
        await Media(MediaParams(), env).run(Target("127.0.0.1:9"), Recorder())


@pytest.mark.parametrize(
    "changes", [{"max_seconds": 0.4}, {"max_bytes": 20 * 172 + 100}], ids=["seconds", "bytes"]
)
async def test_a_slot_bounds_the_session(env, changes):
    """What the check says never goes beyond what the centre allows now."""
    with reflecting() as reflector:
        rec = await hold(env, reflector.address[1], slot=a_slot(**changes))

    assert rec.counts["media_sent_packets_total"] == 20


async def test_a_slow_resolver_costs_the_media_its_time():
    """Who waits for a name does not speak in the slot of who comes next."""

    async def slow(_host, _version):
        await asyncio.sleep(1.6)
        return ["127.0.0.1"]

    with reflecting() as reflector:
        port = reflector.address[1]
        rec = await hold(Env(resolve=slow), port, host="cau.example", slot=a_slot(max_seconds=1.0))
        with pytest.raises(ProbeError, match=r"^the slot was over when the name was resolved, aft"):
            await hold(Env(resolve=slow), port, host="cau.example", slot=a_slot(max_seconds=0.5))

    assert 10 <= rec.counts["media_sent_packets_total"] <= 20


async def test_a_slot_without_room_is_our_own_mistake(env):
    """No packet was allowed, so nothing was learned about the line."""
    with pytest.raises(ProbeError, match=r"^the slot allows 100 bytes: not one packet$"):
        await hold(env, 9, slot=a_slot(max_bytes=100))


# Dead, hung, refusing, lying


async def test_refused(env):
    """No reflector on that machine: its `port unreachable` flies as the word it is."""
    with pytest.raises(ConnectionRefusedError):
        await hold(env, free_port())


async def test_silent(env):
    """A reflector that does not know the session says nothing; no media is sent to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hung:
        hung.bind(("127.0.0.1", 0))
        begun = time.monotonic()
        rec = await hold(env, hung.getsockname()[1])
        took = time.monotonic() - begun
        hung.setblocking(False)
        sizes = []
        while True:
            try:
                sizes.append(len(hung.recv(2048)))
            except BlockingIOError:
                break

    assert (rec.failure, rec.detail) == (
        Failure.TIMEOUT,
        "in phase open: the reflector does not answer",
    )
    assert took < 2.0
    assert sizes == [121] * 4
    assert not any(name.startswith("media_") for name in rec.values)


async def test_a_wrong_lease_is_not_answered(env):
    """A slot of another province opens nothing here."""
    slot = a_slot()
    spoilt = msgspec.structs.replace(slot, lease=slot.lease[:-1] + b"\0")
    with reflecting() as reflector:
        rec = await hold(env, reflector.address[1], slot=spoilt)
        assert reflector.sessions.refused == {"lease": 4}

    assert rec.failure == Failure.TIMEOUT


async def test_it_stops_within_a_second_when_unanswered(env):
    """The centre's way to stop everyone: the reflector falls silent, and so do the agents."""
    received = []

    def silent_after_ten(data, reflector):
        received.append(time.monotonic())
        return [data] if len(received) <= 11 else []

    with lying(silent_after_ten) as port:
        rec = await hold(env, port, seconds=5.0)

    assert (rec.failure, rec.detail) == (
        Failure.TIMEOUT,
        f"in phase media: unanswered for 1 s after {rec.counts['media_sent_packets_total']:.0f} packets",
    )
    assert rec.counts["media_received_packets_total"] == 10
    assert rec.counts["media_sent_packets_total"] <= 65
    assert "media_loss_ratio.forward" not in rec.values  # only the range is known
    assert rec.facts["loss_forward"].startswith("0.0000 to 0.")


async def test_a_reflector_that_dies_leaves_what_was_seen(env):
    """The figures of the time before stand, and the failure says what happened."""
    with reflecting() as reflector:
        task = asyncio.create_task(hold(env, reflector.address[1]))
        await until(lambda: reflector.sessions.reflected >= 20, what="media flows")
    rec = await task

    assert rec.failure == Failure.REFUSED
    assert 20 <= rec.counts["media_received_packets_total"] < 50
    assert rec.values["media_rtt_seconds.p50"] > 0


def of_media(change):
    """Return a lie about media packets only: what opens and closes passes."""
    return lambda data, _: change(data) if len(data) == 172 else [data]


SPOILT = {
    "nothing": lambda data: [],
    "another session": lambda data: [data[:14] + b"\1\1" + data[16:]],
    "another T1": lambda data: [data[:28] + bytes(8) + data[36:]],
    "another number": lambda data: [data[:24] + b"\0\0\xff\xff" + data[28:]],
    "shorter": lambda data: [data[:-1]],
    "longer": lambda data: [data + b"\0\0\0\0"],
    "overrun": lambda data: [data[:46] + b"\xff\xff" + data[48:]],
    "garbage": lambda data: [b"", b"?", bytes(172)],
}


async def test_spoilt_replies_do_not_count(env):
    """A reply of another session, moment, number or length is none: it is as if lost on the way."""

    async def meet(lie):
        with lying(of_media(lie)) as port:
            return await hold(env, port)

    for name, rec in zip(SPOILT, await asyncio.gather(*map(meet, SPOILT.values())), strict=True):
        assert rec.failure == Failure.TIMEOUT, name
        assert rec.counts["media_received_packets_total"] == 0, name
        assert rec.values["media_loss_ratio.roundtrip"] == 1, name
        assert not {"media_rtt_seconds.p50", "media_jitter_seconds.forward"} & rec.values.keys()


async def test_totals_without_proof_are_ignored(env):
    """Nobody on the way can shift the blame from one direction to the other."""

    def lie(data, _):
        return [data[:-1] + bytes([data[-1] ^ 1])] if data[45] == 253 else [data]

    with lying(lie) as port:
        rec = await hold(env, port)

    assert rec.failure is None
    assert rec.values["media_loss_ratio.roundtrip"] == 0
    assert rec.counts["media_received_packets_total"] == 50


async def test_an_echo_is_no_reflector(env):
    """Our own proof comes back from whatever echoes: it opens nothing, and no media follows."""
    sizes = []
    ends = threading.Event()

    def echo(sock):
        while not ends.is_set():
            with contextlib.suppress(TimeoutError):
                data, sender = sock.recvfrom(2048)
                sizes.append(len(data))
                sock.sendto(data, sender)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.05)
        thread = threading.Thread(target=echo, args=(sock,))
        thread.start()
        rec = await hold(env, sock.getsockname()[1])
        ends.set()
        thread.join(5)

    assert rec.detail == "in phase open: the reflector does not answer"
    assert sizes == [121] * 4


async def test_a_question_thrown_back_is_no_count(env):
    """Our own question for the totals, zeros under our proof, would move all loss to one direction."""
    slot = a_slot()
    own = closing(50, 0, SESSION, slot.key)
    count = [0]

    def lie(data, _):
        count[0] += len(data) == 172
        if data[45] == TOTALS:
            return [own]
        return [] if len(data) == 172 and count[0] % 5 == 0 and count[0] < 50 else [data]

    with lying(lie) as port:
        rec = await hold(env, port, slot=slot)

    assert rec.values["media_loss_ratio.roundtrip"] == 9 / 50
    assert rec.values["media_loss_ratio.forward"] == 0
    assert rec.values["media_loss_ratio.backward"] == 9 / 50


async def test_doubled_replies_are_counted_once(env):
    """A copy is a copy: neither a packet nor a loss."""
    with lying(of_media(lambda data: [data, data])) as port:
        rec = await hold(env, port)

    assert rec.counts["media_received_packets_total"] == 50
    assert rec.counts["media_duplicates_total"] == 50
    assert rec.values["media_loss_ratio.backward"] == 0


async def test_pictures_stop_when_they_are_too_much(env):
    """More than a tenth lost over two seconds: the test has become the trouble, and ends."""
    count = [0]

    def every_fifth_lost(data, _):
        count[0] += 1
        return [] if len(data) > 1000 and count[0] % 5 == 0 else [data]

    with lying(every_fifth_lost) as port:
        begun = time.monotonic()
        rec = await hold(env, port, stream="720p", seconds=10.0, slot=a_slot("720p"))
        took = time.monotonic() - begun

    assert (rec.failure, rec.detail) == (
        Failure.LOSS,
        "stopped: of two seconds' packets more than a tenth were lost",
    )
    assert took < 8
    assert 0.15 < rec.values["media_loss_ratio.roundtrip"] < 0.25


async def test_the_deadline_names_the_phase_it_struck_in(env):
    """Cut off while media flows, it says so; cut off before the session is open, that."""
    with reflecting() as reflector:
        rec = Recorder()
        target = Target(f"127.0.0.1:{reflector.address[1]}", slot=a_slot())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await Media(MediaParams(), env).run(target, rec)
    assert rec.current_phase == "media"

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hung:
        hung.bind(("127.0.0.1", 0))
        rec = Recorder()
        target = Target(f"127.0.0.1:{hung.getsockname()[1]}", slot=a_slot())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await Media(MediaParams(), env).run(target, rec)
    assert rec.current_phase == "open"


async def test_cancelled_it_leaves_nothing(env):
    """The thread has ended and the socket is closed when the runner's deadline cuts it off."""
    files, threads = open_files(), threading.active_count()
    with reflecting() as reflector:
        task = asyncio.create_task(hold(env, reflector.address[1], seconds=10.0))
        await until(lambda: reflector.sessions.reflected >= 5, what="media flows")
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - begun < 0.5

    assert threading.active_count() == threads
    assert open_files() == files


async def test_cancelled_while_nobody_answers(env):
    """A session that does not open yet lets go at once, too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hung:
        hung.bind(("127.0.0.1", 0))
        task = asyncio.create_task(hold(env, hung.getsockname()[1]))
        await asyncio.sleep(0.05)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - begun < 0.3


@asynccontextmanager
async def tried(_):
    """Reflect one session, and know nothing of another."""
    with reflecting() as reflector, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_LATENESS_SECONDS", 1.0)  # a busy machine is no news here
        target = f"127.0.0.1:{reflector.address[1]}"
        slot = a_slot()
        stranger = msgspec.structs.replace(slot, key=b"k" * 16)
        yield (
            Tried(target, {"seconds": 1.0}, slot),
            Tried(target, {"seconds": 1.0}, stranger),
        )
