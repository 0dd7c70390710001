"""The reflector as a process and on real sockets: marks, stamps, caps, and the command."""

import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager

import pytest

from agent.strict import ConfigError
from agent.wire.stamp_packet import (
    TOTALS,
    closing,
    is_proven,
    media_tlvs,
    ntp,
    ntp_difference_ns,
    opening,
    read_reply,
    read_totals,
    request,
    value_of,
)
from collector.bridge.reflector import ListenAt, Reflector, read_reflector_file
from tests.collector.bridge.leases import SECRET, SESSION, a_lease_now
from tests.programs import free_port
from tests.waiting import until_sync


@contextmanager
def reflecting(host="127.0.0.1"):
    """Run a reflector in a thread."""
    reflector = Reflector(SECRET, ListenAt(host=host, port=0))
    thread = threading.Thread(target=reflector.run)
    thread.start()
    try:
        yield reflector
    finally:
        reflector.close()
        thread.join(5)
        assert not thread.is_alive()


@pytest.fixture(params=[("127.0.0.1",) * 2, ("::1",) * 2, ("::", "127.0.0.1")], ids=" ".join)
def pair(request):
    """Return a reflector and a socket connected to it, marked as sound."""
    listens, host = request.param
    with reflecting(listens) as reflector:
        six = ":" in host
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            if six:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 46 << 2)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 33)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 46 << 2)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 33)
            sock.settimeout(5)
            sock.connect((host, reflector.address[1]))
            yield reflector, sock


def test_a_session_over_real_sockets(pair):
    """Opened, answered with marks and stamps of the kernel, closed with totals."""
    reflector, sock = pair
    lease, key = a_lease_now()
    sock.send(opening(ntp(time.time_ns()), SESSION, lease, key))
    assert is_proven(sock.recv(2048), key)

    before = time.time_ns()
    sock.send(request(0, ntp(before), SESSION, media_tlvs(34, 172)))
    data, ancillary, _, _ = sock.recvmsg(2048, 64)
    reply = read_reply(data)

    assert len(data) == 172
    assert (reply.seq, reply.reflector_seq, reply.dscp, reply.ttl) == (0, 0, 46, 33)
    assert 0 <= ntp_difference_ns(reply.t2, ntp(before)) < 1e9
    assert 0 < ntp_difference_ns(reply.t3, reply.t2) < 1e9
    assert [value[0] for _, _, value in ancillary] == [34 << 2]  # as the packet asked
    sock.send(closing(1, 0, SESSION, key))
    totals = read_totals(value_of(sock.recv(2048), TOTALS))
    assert (totals.unique, totals.reflected, totals.drops) == (1, 1, 0)
    assert reflector.sessions.refused == {}


def test_own_losses_are_seen(pair):
    """Packets that the socket lost because nobody fetched them are counted and told."""
    reflector, sock = pair
    lease, key = a_lease_now(max_packets=20_000, max_packets_per_second=20_000)
    sock.send(opening(0, SESSION, lease, key))
    sock.recv(2048)
    reflector._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    packet = request(0, 0, SESSION, media_tlvs(46, 172))

    def lost():
        for _ in range(2_000):
            sock.send(packet)
        return reflector.drops > 0

    until_sync(lost, what="the socket overflows")


def test_nobody_without_a_lease_is_answered(pair):
    """A stranger's packets vanish."""
    reflector, sock = pair
    sock.settimeout(0.3)
    sock.send(request(0, 0, SESSION, media_tlvs(46, 172)))

    with pytest.raises(TimeoutError):
        sock.recv(2048)
    assert reflector.sessions.refused == {"unknown_session": 1}


def test_an_agent_that_left_disturbs_nobody(pair):
    """Its machine's `port unreachable` does not end the reflector."""
    reflector, sock = pair
    other = socket.socket(sock.family, socket.SOCK_DGRAM)
    with other:
        other.connect(sock.getpeername())
        lease, key = a_lease_now(session=99)
        other.send(opening(0, 99, lease, key))
    until_sync(lambda: len(reflector.sessions) == 1, what="the session is open")

    lease, key = a_lease_now()
    sock.send(opening(0, SESSION, lease, key))
    assert is_proven(sock.recv(2048), key)


def test_the_command(tmp_path):
    """Started from its file, it says where it listens, answers, is scraped, and ends on SIGTERM."""
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    port = free_port()
    (tmp_path / "reflector.yml").write_text(
        "secret_file: secret\nlisten: {host: 127.0.0.1, port: 0}\n"
        f"metrics: {{host: 127.0.0.1, port: {port}}}\n"
    )
    command = [sys.executable, "-m", "collector", "reflector", "-c", tmp_path / "reflector.yml"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        told = process.stderr.readline()
        match = re.search(r"reflecting host=127\.0\.0\.1 port=(\d+)", told)
        assert match, told
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect(("127.0.0.1", int(match[1])))
            lease, key = a_lease_now()
            sock.send(b"nothing")
            sock.send(opening(0, SESSION, lease, key))
            assert is_proven(sock.recv(2048), key)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert "stopped" in process.stderr.read()

    assert "thongsuot_reflector_sessions 1.0" in lines
    assert "thongsuot_reflector_reflected_packets_total 0.0" in lines
    assert "thongsuot_reflector_socket_drops_total 0.0" in lines
    assert 'thongsuot_reflector_refused_packets_total{reason="malformed"} 1.0' in lines


def test_mistakes_of_the_file_are_told_at_once(tmp_path):
    """Each with its place and what was expected."""
    (tmp_path / "secret").write_text("short\n")
    file = tmp_path / "reflector.yml"
    file.write_text("secret_file: secret\nlisten: {host: 127.0.0.1, port: 70000}\nmetrics: 9\n")

    with pytest.raises(ConfigError) as caught:
        read_reflector_file(file)
    assert str(caught.value).splitlines() == [
        "reflector.yml line 3, metrics: found the number 9, expected keys and values",
        f"reflector.yml line 1, secret_file: {tmp_path}/secret holds 5 bytes, expected 16 or more: make one with openssl rand -hex 32",
        "reflector.yml line 2, listen.port: found 70000, expected 0 to 65535",
    ]


def test_the_reply_timeout_of_the_socket_is_the_kernels():
    """A read returns within a second when nothing comes: sessions end without traffic too."""
    with reflecting() as reflector:
        value = reflector._sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
        assert struct.unpack("@qq", value) == (0, 500_000)
