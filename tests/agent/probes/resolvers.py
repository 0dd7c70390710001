"""Resolvers for the DNS probe to ask: a real unbound, and one that says what a test says."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import dns.message
import dns.rrset

from tests.programs import free_port, listening, program, running
from tests.waiting import until_sync

# Everything has an answer of its own, so that nothing is ever asked of the world.
ZONES = """
  local-zone: "." static
  local-zone: "refused.test." always_refuse
  local-zone: "silent.test." always_deny
  local-data: "portal.test. 60 IN A 127.0.0.1"
  local-data: "portal.test. 60 IN AAAA 2001:db8::9"
  local-data: "portal.test. 300 IN MX 10 mail.test."
  local-data: "_sip._udp.test. 5 IN SRV 10 0 5060 sip.test."
"""


@contextmanager
def unbound(folder: Path) -> Iterator[int]:
    """Run unbound on both loopback addresses, over UDP and TCP; yields its port."""
    port = free_port()
    many = "".join(f'  local-data: "many.test. 60 IN A 192.0.2.{n}"\n' for n in range(200))
    (folder / "unbound.conf").write_text(
        f"server:\n  interface: 127.0.0.1@{port}\n  interface: ::1@{port}\n"
        "  access-control: 127.0.0.2/32 refuse\n"
        '  do-daemonize: no\n  chroot: ""\n  username: ""\n  pidfile: ""\n  use-syslog: no\n'
        f"{ZONES}{many}",
        "utf-8",
    )
    command = [program("unbound"), "-d", "-c", str(folder / "unbound.conf")]
    with running(command, log=folder / "log"):
        until_sync(lambda: listening("::1", port), what="unbound listens")
        yield port


class Odd(asyncio.DatagramProtocol):
    """Answers each query with what `act` makes of it; keeps the addresses that asked."""

    def __init__(self, act: Callable[[bytes], list[bytes]]) -> None:
        self._act = act
        self.asked: list[tuple[str, int]] = []
        self.queries: list[bytes] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        """Remember where to answer over."""
        self.transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer."""
        self.asked.append(addr)
        self.queries.append(data)
        for answer in self._act(data):
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def odd(act: Callable[[bytes], list[bytes]]) -> AsyncIterator[Odd]:
    """Run a resolver of our own on UDP."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: Odd(act), ("127.0.0.1", 0), family=socket.AF_INET
    )
    try:
        yield protocol
    finally:
        transport.close()


def answer(query: bytes, *addresses: str, flags=0) -> bytes:
    """Return the right answer to a query."""
    asked = dns.message.from_wire(query)
    made = dns.message.make_response(asked)
    made.flags |= flags
    if addresses:
        name = asked.question[0].name
        made.answer.append(dns.rrset.from_text_list(name, 60, "IN", "A", addresses))
    return made.to_wire()
