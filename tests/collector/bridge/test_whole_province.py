"""A whole province speaks at once: 148 sessions of sound on one reflector, and none is cut short."""

import select
import socket
import sys
import time
from contextlib import ExitStack

import pytest

from agent.wire import STREAMS
from agent.wire.stamp_packet import (
    TOTALS,
    closing,
    is_proven,
    media_tlvs,
    ntp,
    opening,
    read_totals,
    request,
    value_of,
)
from tests.collector.bridge.leases import SECRET, a_lease_now
from tests.programs import free_port, running
from tests.waiting import until_sync

SITES = 148
SECONDS = 10
SOUND = STREAMS["g711"]


@pytest.mark.slow
def test_148_sessions_lose_nothing(tmp_path):
    """Each packet of 148 calls is answered, and the reflector's socket drops none."""
    port = free_port()
    (tmp_path / "secret").write_bytes(SECRET)
    config = tmp_path / "reflector.yml"
    config.write_text(f"secret_file: secret\nlisten: {{host: 127.0.0.1, port: {port}}}\n")
    command = [sys.executable, "-m", "collector", "reflector", "-c", str(config)]
    tlvs = media_tlvs(SOUND.dscp, SOUND.udp_bytes)
    packets = int(SOUND.packets_per_second * SECONDS)
    with ExitStack() as stack:
        stack.enter_context(running(command, log=tmp_path / "log"))
        until_sync(lambda: b"reflecting" in (tmp_path / "log").read_bytes(), what="it listens")
        calls = []
        for session in range(1, SITES + 1):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.connect(("127.0.0.1", port))
            sock.settimeout(5)
            lease, key = a_lease_now(session=session)
            sock.send(opening(ntp(time.time_ns()), session, lease, key))
            assert is_proven(sock.recv(2048), key)
            calls.append((sock, session, key))
        replies = speak(calls, packets, tlvs)
        totals = []
        for sock, session, key in calls:
            sock.settimeout(5)
            sock.send(closing(packets, 0, session, key))
            totals.append(read_totals(value_of(sock.recv(2048), TOTALS)))

    assert [one.drops for one in totals] == [0] * SITES
    assert [one.unique for one in totals] == [packets] * SITES
    assert replies == packets * SITES


def speak(calls, packets, tlvs) -> int:
    """Send every call's packets by an absolute schedule, spread; return how many came back."""
    came = {sock.fileno(): sock for sock, _, _ in calls}
    replies = 0
    with select.epoll() as poll:
        for number, sock in came.items():
            sock.setblocking(False)
            poll.register(number, select.EPOLLIN)
        begun = time.monotonic()
        for at in range(packets * len(calls)):
            due = begun + at / (SOUND.packets_per_second * len(calls))
            while (wait := due - time.monotonic()) > 0:
                for number, _ in poll.poll(wait):
                    came[number].recv(2048)
                    replies += 1
            sock, session, _ = calls[at % len(calls)]
            sock.send(request(at // len(calls), ntp(time.time_ns()), session, tlvs))
        while ready := poll.poll(0.5):
            for number, _ in ready:
                came[number].recv(2048)
                replies += 1
    return replies
