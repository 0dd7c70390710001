"""Reflectors for the media probe to meet: the real one in a thread, and liars."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from agent.probes import media, media_sender
from agent.probes.base import Recorder, Target
from agent.probes.media import Media, MediaParams
from agent.wire import STREAMS, Slot
from collector.bridge.lease import grant
from collector.bridge.reflector import ListenAt, Reflector

SECRET = b"a secret of the province"
SESSION = 4711
Lie = Callable[[bytes], list[bytes]]


def a_slot(stream: str = "g711", *, seconds: float = 60.0, **changes) -> Slot:
    """Return the centre's leave for one session that begins now."""
    kind = STREAMS[stream]
    now = time.time()
    lease, key = grant(
        SECRET,
        session=SESSION,
        max_packets=int(kind.packets_per_second * seconds) + 1,
        max_packets_per_second=int(kind.packets_per_second * 1.3) + 1,
        max_packet_bytes=kind.udp_bytes,
        not_before=now,
        not_after=now + seconds + 10,
    )
    bounds = {
        "id": "a-slot",
        "check": "a-media",
        "target": "",
        "starts_in": 0.0,
        "max_seconds": seconds,
        "max_bytes": 1 << 30,
        "session": SESSION,
        "lease": lease,
        "key": key,
    }
    return Slot(**{**bounds, **changes})


async def hold(env, port, *, slot=None, host="127.0.0.1", deadline=15.0, **params):
    """Hold one session and return what was recorded; ProbeError and OSError fly."""
    params = {"seconds": 1.0, **params}
    slot = slot or a_slot(params.get("stream", "g711"))
    rec = Recorder()
    target = Target(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", slot=slot)
    async with asyncio.timeout(deadline):
        await Media(MediaParams(**params), env).run(target, rec)
    return rec


def pardon(patch: pytest.MonkeyPatch) -> None:
    """Wait for stragglers as long as a loopback needs, and pardon a busy machine its lateness."""
    patch.setattr(media_sender, "STRAGGLER_SECONDS", 0.4)
    patch.setattr(media_sender, "CLOSE_EVERY_SECONDS", 0.1)
    patch.setattr(media, "MAX_LATENESS_SECONDS", 1.0)


@contextmanager
def reflecting(host: str = "127.0.0.1") -> Iterator[Reflector]:
    """Run the real reflector in a thread; its socket belongs to the namespace we are in."""
    reflector = Reflector(SECRET, ListenAt(host=host, port=0))
    thread = threading.Thread(target=reflector.run)
    thread.start()
    try:
        yield reflector
    finally:
        reflector.close()
        thread.join(5)


@contextmanager
def lying(lie: Callable[[bytes, Reflector], list[bytes]]) -> Iterator[int]:
    """Stand between an agent and a real reflector, changing what comes back; yields the port.

    `lie` gets each reply and returns what is sent instead.
    """
    ends = threading.Event()
    with reflecting() as reflector, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as front:
        front.bind(("127.0.0.1", 0))
        front.settimeout(0.05)
        back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        back.connect(("127.0.0.1", reflector.address[1]))
        back.settimeout(0.2)

        def pass_on() -> None:
            while not ends.is_set():
                try:
                    data, sender = front.recvfrom(2048)
                    back.send(data)
                    for reply in lie(back.recv(2048), reflector):
                        front.sendto(reply, sender)
                except TimeoutError:
                    continue

        thread = threading.Thread(target=pass_on)
        thread.start()
        try:
            with back:
                yield front.getsockname()[1]
                ends.set()
                thread.join(5)
        finally:
            ends.set()
            thread.join(5)
