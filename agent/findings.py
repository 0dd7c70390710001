"""Findings: what the PC can see of a failure beside the path: gateway, names, certificates, lines.

Each is short text with fixed words, a line per thing seen. Every look has its own end, within 6 s.
"""

import asyncio
import ipaddress
import secrets
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import dns.message
import dns.rcode

from agent.probes.base import Env, ProbeError, Source, Target
from agent.probes.certificates import read_certificate
from agent.probes.channel import Channel
from agent.probes.classify import classify
from agent.probes.dns_answer import Answer, MalformedError, Reader
from agent.probes.echo import Burst, EchoEngine
from agent.probes.handshake import TlsPolicy, tls_context
from agent.probes.net import bound_socket, connect
from agent.wire import LineState

NET = Path("/proc/thread-self/net")
ARP_COMPLETE = 0x2
DNS_TRIES = 2
DNS_SECONDS = 1.2
TLS_SECONDS = 6.0
CERTIFICATES = 5
BUFFER_BYTES = 4096


async def gateway(source: Source | None) -> str:
    """Say whether the line's IPv4 gateway answers a ping, and whether ARP knows it."""
    found = default_gateway((NET / "route").read_text("ascii"), source)
    if found is None:
        return "no default route"
    address, interface = found
    engine = EchoEngine(4, source)
    burst = Burst(address, 2, 0.2, 1.0, 56)
    try:
        engine.open()
        await engine.exchange(burst)
        said = "no answer"
        if burst.rtts:
            said = f"answered in {min(burst.rtts.values()) * 1e3:.1f} ms"
    except (OSError, ProbeError) as exc:
        said = f"no ping: {in_words(exc)}"
    finally:
        engine.close()
    return f"{address} {interface}: {said}; {arp_state((NET / 'arp').read_text('ascii'), address)}"


def default_gateway(routes: str, source: Source | None) -> tuple[str, str] | None:
    """Return address and interface of a line's default gateway, from /proc/net/route."""
    wanted = source.interface if source else ""
    best: tuple[int, str, str] | None = None
    rows = [line.split() for line in routes.splitlines()[1:]]
    if source and source.address and not wanted:
        own = ipaddress.ip_address(source.address)
        for interface, net, _, _, _, _, _, mask, *_ in rows:
            if mask != "00000000" and own in ipaddress.ip_network(f"{_ip(net)}/{_ip(mask)}"):
                wanted = interface
    for interface, net, via, _, _, _, metric, mask, *_ in rows:
        if (net, mask) != ("00000000", "00000000") or via == "00000000":
            continue
        if wanted not in {"", interface}:
            continue
        if best is None or int(metric) < best[0]:
            best = int(metric), _ip(via), interface
    return best[1:] if best else None


def arp_state(table: str, address: str) -> str:
    """Return what /proc/net/arp knows of an address."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if words[0] == address:
            complete = int(words[2], 16) & ARP_COMPLETE
            return f"arp {words[3]}" if complete else "arp incomplete"
    return "arp unknown"


def _ip(little_endian: str) -> str:
    return socket.inet_ntoa(struct.pack("=I", int(little_endian, 16)))


async def answers(
    name: str, kind: str, servers: Sequence[tuple[str, int]], source: Source | None
) -> str:
    """Say what each resolver answers to one question, a line each."""
    query = dns.message.make_query(name, kind, use_edns=0, payload=1232)
    found = await asyncio.gather(
        *(_answer(query, server, source) for server in servers), return_exceptions=True
    )
    lines = [
        f"{server[0]}: {text if isinstance(text, str) else in_words(text)}"
        for server, text in zip(servers, found, strict=True)
    ]
    return "\n".join([f"{name} {kind}", *lines])


async def _answer(
    query: dns.message.QueryMessage, server: tuple[str, int], source: Source | None
) -> str:
    local = ipaddress.ip_address(server[0]).is_loopback
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    reader = Reader(query, ("NOERROR",), ())
    ident = secrets.token_bytes(2)
    with bound_socket(family, socket.SOCK_DGRAM, None if local else source) as sock:
        sock.connect(server)
        for _ in range(DNS_TRIES):
            sock.send(ident + query.to_wire()[2:])
            try:
                async with asyncio.timeout(DNS_SECONDS):
                    return _in_words(await _read(sock, reader, ident))
            except TimeoutError:
                continue
            except MalformedError as exc:
                return f"malformed answer: {exc}"
    return "no answer"


async def _read(sock: socket.socket, reader: Reader, ident: bytes) -> Answer:
    loop = asyncio.get_running_loop()
    while True:
        answer = reader.read(await loop.sock_recv(sock, BUFFER_BYTES), ident)
        if answer is not None:
            return answer


def _in_words(answer: Answer) -> str:
    verdict = answer.verdict
    return verdict.found or (
        "no such record" if not verdict.rcode else dns.rcode.to_text(dns.rcode.Rcode(verdict.rcode))
    )


async def certificates(env: Env, address: str, port: int, name: str, source: Source | None) -> str:
    """Say which certificates are shown there: a line each, first and last day, subject, issuer."""
    async with asyncio.timeout(TLS_SECONDS):
        sock = await connect(address, port, Target(name, source=source))
        with closing(Channel(sock)) as channel:
            await channel.secure(tls_context(env, TlsPolicy(verify=False)), name)
            chain = channel.chain()
    return "\n".join(_certificate(der) for der in chain[:CERTIFICATES])


def _certificate(der: bytes) -> str:
    try:
        shown = read_certificate(der)
    except ValueError as exc:
        return f"unreadable: {exc}"
    days = (
        datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for at in (shown.not_before, shown.not_after)
    )
    return f"{' '.join(days)} {shown.subject} <- {shown.issuer}"


def lines(states: Mapping[str, LineState], now_ms: int) -> str:
    """Say how the pushes over each line fare; "" where no line can be chosen."""
    return "\n".join(f"{name}: {_line(state, now_ms)}" for name, state in states.items())


def _line(state: LineState, now_ms: int) -> str:
    at = state.last_success_ms
    last = "never" if at is None else f"{max(0, now_ms - at) // 1000} s ago"
    if state.failing:
        return f"failing, last push {last}: {state.failing}"
    return f"ok, last push {last}"


def in_words(exc: BaseException) -> str:
    """Return why something could not be seen."""
    if isinstance(exc, ProbeError):
        return str(exc)
    try:
        failure, detail = classify(exc)
    except ProbeError as ours:
        return str(ours)
    return f"{failure.value}: {detail}" if detail else failure.value
