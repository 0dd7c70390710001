"""Questions are asked over a port of their own, and only their own answers count."""

import asyncio
import json
import socket
import struct
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from agent.probes import dns as module
from agent.probes import net
from agent.probes.base import Env, ProbeError, Source
from agent.probes.dns import Dns
from agent.wire import Failure
from tests.agent.probes.attempts import attempt, open_files
from tests.agent.probes.resolvers import answer, odd
from tests.agent.probes.resolvers import unbound as run_unbound
from tests.agent.probes.servers import serve
from tests.agent.probes.tries import Tried
from tests.programs import free_port

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))["dns"]
NAME = "portal.test"
READ = {"ok", "nodata", "refused", "badvers"}


@pytest.fixture(scope="module")
def unbound(tmp_path_factory):
    """Run one unbound for all tests."""
    with run_unbound(tmp_path_factory.mktemp("unbound")) as port:
        yield port


async def ask(env: Env, target: str, **params):
    """Ask once."""
    return await attempt(Dns, env, target, **{"query_name": NAME, **params})


@pytest.mark.real
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("127.0.0.1", ("A", "127.0.0.1", 60)),
        ("[::1]", ("AAAA", "2001:db8::9", 60)),
        ("127.0.0.1", ("MX", "10 mail.test.", 300)),
    ],
)
async def test_answered(env, unbound, transport, host, asked):
    """All that the probe declares is there, over UDP and TCP, IPv4 and IPv6."""
    kind, found, ttl = asked
    rec = await ask(env, f"{host}:{unbound}", query_type=kind, transport=transport)

    assert (rec.failure, rec.detail) == (None, "")
    assert list(rec.phases) == list(Dns.phases)
    assert rec.values == {
        "ip_protocol": 6 if host == "[::1]" else 4,
        "dns_query_succeeded": 1,
        "dns_rcode": 0,
        "dns_answer_rrs": 1,
        "dns_authority_rrs": 0,
        "dns_additional_rrs": 0,
        "dns_answer_ttl_seconds": ttl,
    }
    assert rec.values.keys() == {value.name for value in Dns.values}
    assert rec.facts == {"address": host.strip("[]"), "answer": found}


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("no.test", {}, (3, Failure.DNS_NXDOMAIN, "NXDOMAIN, expected NOERROR")),
        ("no.test", {"expect_rcodes": ["NXDOMAIN"]}, (3, None, "")),
        ("refused.test", {}, (5, Failure.DNS_REFUSED, "REFUSED, expected NOERROR")),
        (
            *(NAME, {"query_type": "SRV"}),
            (0, Failure.DNS_NO_ANSWER, "no SRV record of portal.test."),
        ),
        ("_sip._udp.test", {"query_type": "SRV"}, (0, None, "")),
        (NAME, {"expect_addresses": ["127.0.0.1", "192.0.2.1"]}, (0, None, "")),
        (
            *(NAME, {"expect_addresses": ["192.0.2.1"]}),
            (0, Failure.DNS_WRONG_ANSWER, "127.0.0.1, expected 192.0.2.1"),
        ),
        (
            *(NAME, {"expect_rcodes": ["NXDOMAIN"]}),
            (0, Failure.DNS_WRONG_ANSWER, "NOERROR (127.0.0.1), expected NXDOMAIN"),
        ),
    ],
)
async def test_judged(env, unbound, name, params, said):
    """What unbound says is held against what the check expects."""
    rec = await ask(env, f"127.0.0.1:{unbound}", query_name=name, **params)

    assert (rec.values["dns_rcode"], rec.failure, rec.detail) == said
    assert rec.values["dns_query_succeeded"] == 1


@pytest.mark.real
async def test_cut_short(env, unbound):
    """An answer that cut short, as its flag TC says is asked for again over TCP."""
    rec = await ask(env, f"127.0.0.1:{unbound}", query_name="many.test")

    assert rec.failure is None
    assert rec.values["dns_answer_rrs"] == 200
    assert rec.facts["truncated"] == "asked again over TCP"


@pytest.mark.real
async def test_silent(env, unbound):
    """A resolver that does not answer runs into the deadline, and leaves no socket behind."""
    before = open_files()
    rec = await ask(env, f"127.0.0.1:{unbound}", query_name="silent.test", seconds=0.1)

    assert rec.failure is Failure.TIMEOUT
    assert rec.current_phase == "request"
    assert rec.values == {"ip_protocol": 4, "dns_query_succeeded": 0}
    assert list(rec.phases) == ["resolve", "connect"]
    assert open_files() == before


@pytest.mark.real
async def test_over_its_line(env, unbound):
    """A line decides the address that the question comes from; unbound refuses this one."""
    for transport in ("udp", "tcp"):
        rec = await ask(
            env,
            f"127.0.0.1:{unbound}",
            source=Source(address="127.0.0.2"),
            transport=transport,
        )
        assert rec.failure is Failure.DNS_REFUSED


@pytest.mark.real
async def test_system(env, unbound, tmp_path, monkeypatch):
    """`system` is the first resolver that the PC itself would ask."""
    monkeypatch.setattr(module, "PORT", unbound)
    monkeypatch.setattr(net, "RESOLV_CONF", tmp_path / "resolv.conf")
    with pytest.raises(ProbeError, match=r"/resolv\.conf: cannot be read: No such file"):
        await ask(env, "system")
    (tmp_path / "resolv.conf").write_text("# nameserver 192.0.2.1\nnameserver here\nnameserver\n")
    with pytest.raises(ProbeError, match=r"/resolv\.conf: expected a line `nameserver ADDRESS`$"):
        await ask(env, "system")
    (tmp_path / "resolv.conf").write_text("nameserver ::1 # ours\nnameserver 192.0.2.1\n")
    rec = await ask(env, "system")

    assert rec.failure is None
    assert rec.facts["address"] == "::1"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_nobody_there(env, transport):
    """A port without a resolver is refused, which is no answer to the question."""
    rec = await ask(env, f"127.0.0.1:{free_port()}", transport=transport)

    assert (rec.failure, rec.detail) == (Failure.REFUSED, "Connection refused")
    assert rec.values["dns_query_succeeded"] == 0


@pytest.mark.parametrize("vector", VECTORS["valid"] + VECTORS["bad"], ids=lambda one: one["name"])
async def test_vectors(env, vector):
    """Each vector, sent by a real resolver, comes to what it should; none raises."""
    kind = "AAAA" if vector["name"] == "aaaa" else "A"
    wire = bytes.fromhex(vector["hex"])
    expected = {
        "ok": None,
        "nodata": Failure.DNS_NO_ANSWER,
        "refused": Failure.DNS_REFUSED,
        "badvers": Failure.DNS_RCODE,
        "malformed": Failure.MALFORMED,
        "malformed_or_warn": Failure.MALFORMED,
        "ignore": Failure.TIMEOUT,
    }[vector["expected"]]
    name = VECTORS["query"]["qname"]
    async with odd(lambda query: [query[:2] + wire[2:]]) as resolver:
        target = f"127.0.0.1:{resolver.port}"
        rec = await ask(env, target, query_name=name, query_type=kind, seconds=0.2)

    assert rec.failure is expected
    assert rec.values["dns_query_succeeded"] == (vector["expected"] in READ)


async def test_waits_for_the_right_answer(env):
    """Answers with another id or to another question are passed over, and the wait goes on."""

    def act(query: bytes) -> list[bytes]:
        other = dns.message.make_query("other.test", "A", id=int.from_bytes(query[:2], "big"))
        right = answer(query, "192.0.2.1")
        wrong_id = bytes([query[0] ^ 1]) + right[1:]
        return [wrong_id, answer(other.to_wire(), "192.0.2.66"), query, b"", right]

    async with odd(act) as resolver:
        rec = await ask(env, f"127.0.0.1:{resolver.port}")

    assert rec.failure is None
    assert rec.facts["answer"] == "192.0.2.1"


async def test_another_sender(env):
    """The right answer from another address or port is not heard."""

    def act(query: bytes) -> list[bytes]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
            liar.sendto(answer(query, "192.0.2.66"), resolver.asked[-1])
        return []

    async with odd(act) as resolver:
        rec = await ask(env, f"127.0.0.1:{resolver.port}", seconds=0.1)

    assert rec.failure is Failure.TIMEOUT


async def test_flood_ends(env):
    """A resolver that floods us with what is no answer cannot hold the agent for ever."""
    async with odd(lambda query: [b"\0" * 20] * 200) as resolver:
        rec = await ask(env, f"127.0.0.1:{resolver.port}", seconds=2)

    assert rec.failure is Failure.MALFORMED
    assert rec.detail == "64 messages came, none of them an answer"


async def test_a_port_and_an_id_for_each_query(env):
    """Two attempts share neither port nor id, and ask for no more than what fits the line."""
    async with odd(lambda query: [answer(query, "192.0.2.1")]) as resolver:
        for _ in range(3):
            await ask(env, f"127.0.0.1:{resolver.port}")

    assert len({port for _, port in resolver.asked}) == 3
    assert len({query[:2] for query in resolver.queries}) == 3
    asked = dns.message.from_wire(resolver.queries[0])
    assert (asked.payload, asked.flags) == (1232, 0x0100)  # RD alone


async def over_tcp(reader, writer, *parts) -> None:
    """Take a query and send parts; `...` stands for the query's id."""
    size = int.from_bytes(await reader.readexactly(2), "big")
    ident = (await reader.readexactly(size))[:2]
    for part in parts:
        writer.write(ident if part is ... else part)
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_in_pieces_over_tcp(env):
    """Over TCP an answer may come in pieces, after one that is not ours."""
    right = answer(dns.message.make_query(NAME, "A").to_wire(), "192.0.2.1")
    length = struct.pack("!H", len(right))
    parts = [b"\0", b"\x0c" + bytes(12), length, ..., right[2:9], right[9:]]

    async with serve(lambda reader, writer: over_tcp(reader, writer, *parts)) as port:
        rec = await ask(env, f"127.0.0.1:{port}", transport="tcp")

    assert (rec.failure, rec.facts["answer"]) == (None, "192.0.2.1")


@pytest.mark.parametrize("parts", [[], [b"\0"], [b"\0\x20", ...]])
async def test_closed_over_tcp(env, parts):
    """A connection that ends before the answer is whole: `closed`."""
    async with serve(lambda reader, writer: over_tcp(reader, writer, *parts)) as port:
        rec = await ask(env, f"127.0.0.1:{port}", transport="tcp")

    assert rec.failure in {Failure.CLOSED, Failure.RESET}  # as the server's kernel ends it
    assert rec.values["dns_query_succeeded"] == 0


async def test_cut_short_over_tcp_too(env):
    """An answer that claims not to fit TCP either is malformed, not asked for for ever."""
    cut = answer(dns.message.make_query(NAME, "A").to_wire(), flags=0x0200)
    parts = [struct.pack("!H", len(cut)), ..., cut[2:]]

    async with serve(lambda reader, writer: over_tcp(reader, writer, *parts)) as port:
        rec = await ask(env, f"127.0.0.1:{port}", transport="tcp")

    assert (rec.failure, rec.detail) == (Failure.MALFORMED, "cut short, as its flag TC says")


async def test_unknown_resolver():
    """A resolver whose own name has no address is a failure of resolving."""

    async def resolve(host, ip_version):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    rec = await ask(Env(resolve=resolve), "dns.test")

    assert (rec.failure, rec.detail) == (Failure.RESOLVE_FAILED, "Name or service not known")
    assert rec.values == {"dns_query_succeeded": 0}


async def test_line_that_is_not_here(env):
    """A line whose address this machine does not have is our error, not the resolver's failure."""
    with pytest.raises(ProbeError) as caught:
        await ask(env, "127.0.0.1", source=Source(address="192.0.2.1"))

    assert str(caught.value) == "cannot use line at 192.0.2.1: Cannot assign requested address"


class Resolver(asyncio.DatagramProtocol):
    """Knows one name."""

    def connection_made(self, transport: Any) -> None:
        """Keep what answers leave by."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer at once."""
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        name = query.question[0].name
        if name.to_text() == "portal.test.":
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.7"))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def tried(_):
    """Resolve a name that is there, and one that is not."""
    transport, _protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Resolver, local_addr=("127.0.0.1", 0)
    )
    target = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    try:
        yield (
            Tried(target, {"query_name": "portal.test"}),
            Tried(target, {"query_name": "nowhere.test"}),
        )
    finally:
        transport.close()
