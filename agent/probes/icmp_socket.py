"""One ICMP socket: opened with the least rights that do, read with the kernel's receive stamps.

icmplib opens it and builds the echo requests. What icmplib has no way to do is done here: a random
identifier, kernel stamps, hop limits, a kernel filter, and errors told apart from silence.
"""

import ctypes
import os
import random
import socket
import struct
from collections.abc import Callable, Iterator
from errno import EADDRINUSE
from typing import Any, Self

from icmplib import (
    ICMPRequest,
    ICMPSocketError,
    ICMPv4Socket,
    ICMPv6Socket,
    SocketPermissionError,
)

from agent.probes.base import ProbeError, Source
from agent.probes.icmp_message import (
    HEADER_BYTES,
    SO_TIMESTAMPNS,
    V4,
    V6,
    Message,
    Version,
    read_message,
    read_queued_error,
)
from agent.probes.net import bind

SO_ATTACH_FILTER = 26
BUFFER_BYTES = 2048
ANCILLARY_BYTES = 256
MOST_AT_ONCE = 512  # then the rest of the agent has a turn

PMTUDISC_PROBE = 3  # never cut a packet, and never mind what routers said before; Linux 2.6.22

_Read = Callable[[Version, bytes, list[Any], str], Message | None]


class IcmpSocket:
    """Sends echo requests, and tells what came back."""

    def __init__(self, version: Version, opened: Any, identifier: int) -> None:
        self._version = version
        self._opened = opened
        self._sock: socket.socket = opened.sock
        self._id = identifier
        self.raw: bool = opened.is_privileged

    @classmethod
    def open(cls, ip_version: int, source: Source | None, *, whole: bool = False) -> Self:
        """Open a socket that leaves over a line, or over any; with `whole` packets are never cut.

        A datagram socket needs no right but a group in the sysctl's range; else a raw one is
        tried. ProbeError says what to allow, or what is wrong with the line.
        """
        version = V4 if ip_version == 4 else V6
        opened = _open(version)
        try:
            opened.sock.setblocking(False)
            identifier = _bind(opened.sock, source or Source())
            _set_options(opened, version, identifier)
            if whole:
                opened.sock.setsockopt(version.level, version.discover_mtu, PMTUDISC_PROBE)
        except BaseException:
            opened.close()
            raise
        return cls(version, opened, identifier)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._sock.fileno()

    def send(self, address: str, sequence: int, payload: bytes, hops: int = 64) -> float:
        """Send one echo request; return CLOCK_REALTIME as it left. OSError flies."""
        request = ICMPRequest(address, self._id, sequence, payload, ttl=hops)
        error: BaseException = OSError()
        for _ in range(3):  # a first error may be another echo's, that the kernel had kept for us
            try:
                self._opened.send(request)
            except ICMPSocketError as exc:
                error = exc.__context__ or exc  # icmplib keeps the OSError only there
            else:
                return float(request.time)
        if isinstance(error, BlockingIOError):
            raise ProbeError("the ICMP socket's send buffer is full") from error
        raise error

    def receive(self) -> Iterator[Message]:
        """Yield what has come in, without waiting."""
        if not self.raw:
            yield from self._read(read_queued_error, socket.MSG_ERRQUEUE)
        yield from self._read(read_message, 0)

    def close(self) -> None:
        """Close it."""
        self._opened.close()

    def _read(self, read: _Read, flags: int) -> Iterator[Message]:
        strip = self.raw and self._version is V4  # these alone hand over the IP header
        for _ in range(MOST_AT_ONCE):
            try:
                data, extras, _, sender = self._sock.recvmsg(BUFFER_BYTES, ANCILLARY_BYTES, flags)
            except BlockingIOError:
                return
            except OSError:  # an echo's error, told here once; the error queue says whose
                continue
            if strip:
                data = data[(data[0] & 15) * 4 :]
            message = read(self._version, data, extras, sender[0])
            if message is not None:
                yield message


def _open(version: Version) -> Any:
    """Open icmplib's socket: a datagram one if this program's group may, else a raw one."""
    make = ICMPv4Socket if version is V4 else ICMPv6Socket
    try:
        try:
            return make(privileged=False)
        except SocketPermissionError:
            return make(privileged=True)
    except SocketPermissionError as exc:
        raise ProbeError(
            f"not permitted to send ICMP: let sysctl net.ipv4.ping_group_range include group "
            f"{os.getegid()}, or give the agent CAP_NET_RAW"
        ) from exc
    except ICMPSocketError as exc:
        raise exc.__context__ or exc from None  # the OSError itself: the runner has words for it


def _bind(sock: socket.socket, source: Source) -> int:
    """Bind to the line, under an identifier no other program here has; return it.

    The kernel's own choice starts at 1 after each boot: the PCs of an office would share
    identifiers behind one address translation.
    """
    bind(sock, Source(interface=source.interface))
    for _ in range(10):
        identifier = random.randrange(1, 1 << 16)
        try:
            sock.bind((source.address, identifier))  # a raw socket takes the address only
        except OSError as exc:
            if exc.errno != EADDRINUSE:
                where = source.address or "any address"
                raise ProbeError(f"cannot use line at {where}: {exc.strerror}") from exc
        else:
            return identifier
    raise ProbeError("found no free ICMP identifier")


def _set_options(opened: Any, version: Version, identifier: int) -> None:
    sock: socket.socket = opened.sock
    if opened.is_privileged:
        _attach(sock, _filter(version, identifier))
    else:
        sock.setsockopt(version.level, version.receive_errors, 1)
    # The machine's first such socket gets its stamps some milliseconds later: until then a packet
    # bears the time at which it was read.
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(version.level, version.receive_hops, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # a second of a busy loop fits


def _filter(version: Version, identifier: int) -> list[tuple[int, int, int, int]]:
    """Return classic BPF: answers to us and errors about us, not all ICMP of the machine.

    X holds where ICMP begins: a raw IPv4 socket's filter sees the IP header, an IPv6 one's does
    not.
    """
    begin = (0xB1, 0, 0, 0) if version is V4 else (0x01, 0, 0, 0)  # ldxb 4*([0]&0xf), or ldx #0
    echo = HEADER_BYTES + version.ip_header_bytes
    return [
        begin,
        (0x50, 0, 0, 0),  # ldb [x]: type
        (0x15, 3, 0, version.reply),
        (0x15, 4, 0, version.unreachable),
        (0x15, 3, 0, version.too_big[0]),
        (0x15, 2, 7, version.exceeded),
        (0x48, 0, 0, 4),  # ldh [x + 4]: identifier of the reply
        (0x15, 4, 5, identifier),
        (0x50, 0, 0, HEADER_BYTES + version.protocol_at),
        (0x15, 0, 3, version.protocol),
        (0x48, 0, 0, echo + 4),  # identifier of the request that an error quotes
        (0x15, 0, 1, identifier),
        (0x06, 0, 0, 0xFFFF),  # take all of it
        (0x06, 0, 0, 0),  # drop it
    ]


def _attach(sock: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    held = ctypes.create_string_buffer(code)
    fprog = struct.pack("@HP", len(program), ctypes.addressof(held))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)
