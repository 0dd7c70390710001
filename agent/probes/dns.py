"""DNS: whether a resolver answers a question, how fast, and whether the answer is the right one."""

import asyncio
import ipaddress
import secrets
import socket
from typing import ClassVar, Literal, NamedTuple

import dns.message
import dns.name
from dns.exception import DNSException
from msgspec import Struct

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.dns_answer import Answer, MalformedError, Reader, TruncatedError
from agent.probes.net import (
    bound_socket,
    connect,
    is_address,
    refuse_host,
    resolve,
    split_host,
    system_resolvers,
)
from agent.wire import Failure

PORT = 53
EDNS_BYTES = 1232  # fits every usual line unfragmented (DNS flag day 2020)
BUFFER_BYTES = 4096
MOST_STRAYS = 64  # messages that are no answer to us; more is a flood, and must not hold the loop

RcodeName = Literal["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"]


class DnsParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of a DNS probe."""

    query_name: str
    query_type: Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"] = "A"
    expect_rcodes: tuple[RcodeName, ...] = ("NOERROR",)
    """NXDOMAIN alone, for a name that does not exist, finds resolvers that make answers up."""
    expect_addresses: tuple[str, ...] = ()
    """When given, the answer holds at least one of these and nothing else."""
    transport: Literal["udp", "tcp"] = "udp"
    """Over UDP a truncated answer is asked for again over TCP."""
    ip_version: Literal[0, 4, 6] = 0
    """How to reach a resolver that is given by name; 0 takes the first address."""

    def __post_init__(self) -> None:
        """Refuse what could never be asked or never be right."""
        try:
            dns.name.from_text(self.query_name)
        except (DNSException, UnicodeError) as exc:
            raise ValueError(
                f"query_name is {self.query_name!r}, expected a domain name: {exc}"
            ) from exc
        for address in self.expect_addresses:
            if not is_address(address):
                raise ValueError(f"expect_addresses: expected addresses, got {address!r}")
        wanted = {"A": 4, "AAAA": 6}.get(self.query_type)
        versions = {ipaddress.ip_address(address).version for address in self.expect_addresses}
        if versions and wanted not in versions:
            raise ValueError(
                f"expect_addresses: no answer of query_type {self.query_type} can be one of them"
            )


class Question(NamedTuple):
    """One query on its way: to whom, over which line, and what it is known by."""

    address: tuple[str, int]
    target: Target
    wire: bytes
    ident: bytes


class Dns:
    """Asks one question once, over a port of its own, and holds the answer against the check."""

    kind: ClassVar[str] = "dns"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = DnsParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect", "request")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("dns_query_succeeded", "1 if the resolver answered the question, with any rcode."),
        Value("dns_rcode", "Response code as a number (RFC 6895); 0 is NOERROR."),
        Value("dns_answer_rrs", "Records in the answer section."),
        Value("dns_authority_rrs", "Records in the authority section."),
        Value("dns_additional_rrs", "Records in the additional section, without EDNS."),
        Value("dns_answer_ttl_seconds", "How long the answer may be kept: its least TTL."),
    )

    def __init__(self, params: DnsParams, env: Env) -> None:
        self._params = params
        self._env = env
        query = dns.message.make_query(
            params.query_name, params.query_type, use_edns=0, payload=EDNS_BYTES
        )
        self._wire = query.to_wire()
        self._reader = Reader(query, params.expect_rcodes, params.expect_addresses)

    @classmethod
    def refuse_target(cls, name: str, params: DnsParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        if name == "system":
            return ""
        try:
            host, _ = split_host(name, PORT)
        except ValueError as exc:
            return f"{exc}; or an address or name alone, or system"
        return refuse_host(host, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Ask once. What is no answer to us is passed over, and the wait goes on."""
        rec.value("dns_query_succeeded", 0)
        name = system_resolvers()[0] if target.name == "system" else target.name
        host, port = split_host(name, PORT)
        address = await resolve(self._env, host, self._params.ip_version, rec)
        ident = secrets.token_bytes(2)
        question = Question((address, port), target, ident + self._wire[2:], ident)
        try:
            answer = await self._ask(question, rec)
        except MalformedError as exc:
            rec.fail(Failure.MALFORMED, str(exc))
            return
        verdict = answer.verdict
        rec.value("dns_query_succeeded", 1)
        rec.value("dns_rcode", verdict.rcode)
        rec.value("dns_answer_rrs", verdict.answer_rrs)
        rec.value("dns_authority_rrs", verdict.authority_rrs)
        rec.value("dns_additional_rrs", verdict.additional_rrs)
        if answer.ttl_seconds is not None:
            rec.value("dns_answer_ttl_seconds", answer.ttl_seconds)
            rec.fact("answer", verdict.found)
        if verdict.failure is not None:
            rec.fail(verdict.failure, verdict.detail)

    async def _ask(self, question: Question, rec: Recorder) -> Answer:
        if self._params.transport == "udp":
            try:
                return await self._ask_udp(question, rec)
            except TruncatedError:
                rec.fact("truncated", "asked again over TCP")
        return await self._ask_tcp(question, rec)

    async def _ask_udp(self, question: Question, rec: Recorder) -> Answer:
        loop = asyncio.get_running_loop()
        with rec.phase("connect"):
            family = socket.AF_INET6 if ":" in question.address[0] else socket.AF_INET
            sock = bound_socket(family, socket.SOCK_DGRAM, question.target.source)
        with sock, rec.phase("request"):
            sock.connect(question.address)  # the kernel now drops what comes from elsewhere
            sock.send(question.wire)
            for _ in range(MOST_STRAYS):
                wire = await loop.sock_recv(sock, BUFFER_BYTES)
                answer = self._reader.read(wire, question.ident)
                if answer is not None:
                    return answer
            raise MalformedError(f"{MOST_STRAYS} messages came, none of them an answer")

    async def _ask_tcp(self, question: Question, rec: Recorder) -> Answer:
        """Ask over a connection (RFC 7766)."""
        with rec.phase("connect"):
            sock = await connect(*question.address, question.target)
        with sock, rec.phase("request"):
            prefixed = len(question.wire).to_bytes(2, "big") + question.wire
            await asyncio.get_running_loop().sock_sendall(sock, prefixed)
            for _ in range(MOST_STRAYS):
                size = int.from_bytes(await _exactly(sock, 2), "big")
                answer = self._reader.read(await _exactly(sock, size), question.ident)
                if answer is not None:
                    return answer
            raise MalformedError(f"{MOST_STRAYS} messages came, none of them an answer")


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        more = await loop.sock_recv(sock, size - len(data))
        if not more:
            raise EOFError("the resolver closed the connection before it had answered")
        data += more
    return data
