"""What a DNS answer says, held against what a check expects. Bytes in, values out."""

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

import dns.message
import dns.rcode
import dns.rdatatype
from dns.exception import DNSException
from dns.message import QueryMessage

from agent.wire import Failure

HEADER_BYTES = 12
REMEMBERED = 256
FAILURES = {
    dns.rcode.NXDOMAIN: Failure.DNS_NXDOMAIN,
    dns.rcode.SERVFAIL: Failure.DNS_SERVFAIL,
    dns.rcode.REFUSED: Failure.DNS_REFUSED,
    dns.rcode.NOERROR: Failure.DNS_WRONG_ANSWER,  # where an error was expected
}


class MalformedError(Exception):
    """What claims to be an answer does not follow the protocol."""


class TruncatedError(MalformedError):
    """An answer that was cut short to fit a datagram."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer holds, its TTLs apart, and what is wrong with it."""

    rcode: int
    answer_rrs: int
    authority_rrs: int
    additional_rrs: int
    """Without EDNS, which is no record of anything."""
    found: str
    """The records asked for, as text; "" where there are none."""
    failure: Failure | None
    detail: str


class Answer(NamedTuple):
    """One message that answers a query."""

    verdict: Verdict
    ttl_seconds: int | None
    """Least TTL of the answer section; None without a record that was asked for."""


class Reader:
    """Reads the answers to one query.

    A resolver mostly says the same again, but for the message id and the TTLs that count down.
    What was said before is known by its bytes and not parsed again: parsing is half of a probe.
    """

    def __init__(
        self, query: QueryMessage, rcodes: tuple[str, ...], addresses: tuple[str, ...]
    ) -> None:
        self._query = query
        self._rcodes = rcodes
        self._addresses = {ipaddress.ip_address(address) for address in addresses}
        self._seen: dict[bytes, Verdict] = {}

    def read(self, wire: bytes, ident: bytes) -> Answer | None:
        """Return what a message says; None if it is no answer to us.

        MalformedError: it claims to be one and cannot be read. TruncatedError: it is cut short.
        """
        if len(wire) < HEADER_BYTES or wire[:2] != ident:
            return None
        if wire[2] & 0xF8 != 0x80:  # QR says answer, the opcode that of a query
            return None
        lasting, ttl = without_ttls(wire)
        verdict = self._seen.get(lasting)
        if verdict is None:
            message = self._parse(wire)
            if message is None:
                return None
            verdict = self._judge(message)
            self._remember(lasting, verdict)
        return Answer(verdict, ttl if verdict.found else None)

    def _remember(self, lasting: bytes, verdict: Verdict) -> None:
        if len(self._seen) >= REMEMBERED:
            self._seen.clear()
        if lasting:
            self._seen[lasting] = verdict

    def _parse(self, wire: bytes) -> QueryMessage | None:
        cut = bool(wire[2] & 0x02)  # TC
        try:
            answer = dns.message.from_wire(wire)
        except DNSException as exc:
            raise (TruncatedError if cut else MalformedError)(_words(exc)) from exc
        answer.id = self._query.id  # compared before; each attempt has one of its own
        if not isinstance(answer, QueryMessage) or not self._query.is_response(answer):
            return None
        if cut:
            raise TruncatedError("cut short, as its flag TC says")
        return answer

    def _judge(self, answer: QueryMessage) -> Verdict:
        rcode = answer.rcode()
        found: list[str] = []
        end = ""
        if rcode == dns.rcode.NOERROR:
            try:
                chain = answer.resolve_chaining()
            except DNSException as exc:
                raise MalformedError(_words(exc)) from exc
            found = sorted(rdata.to_text() for rdata in chain.answer or ())
            end = f", which is {chain.canonical_name}" if chain.cnames else ""
        failure, detail = self._fault(rcode, found, end)
        return Verdict(
            rcode=int(rcode),
            answer_rrs=sum(map(len, answer.answer)),
            authority_rrs=sum(map(len, answer.authority)),
            additional_rrs=sum(map(len, answer.additional)),
            found=", ".join(found),
            failure=failure,
            detail=detail,
        )

    def _fault(
        self, rcode: dns.rcode.Rcode, found: list[str], end: str
    ) -> tuple[Failure | None, str]:
        """Return what is wrong; (None, "") where nothing is."""
        said, listed = dns.rcode.to_text(rcode), ", ".join(found)
        if said not in self._rcodes:
            said += f" ({listed})" if found else ""
            return (
                FAILURES.get(rcode, Failure.DNS_RCODE),
                f"{said}, expected {' or '.join(self._rcodes)}",
            )
        if rcode == dns.rcode.NOERROR and not found:
            question = self._query.question[0]
            kind = dns.rdatatype.to_text(question.rdtype)
            return Failure.DNS_NO_ANSWER, f"no {kind} record of {question.name}{end}"
        if (
            self._addresses
            and not {ipaddress.ip_address(text) for text in found} <= self._addresses
        ):
            expected = ", ".join(map(str, sorted(self._addresses, key=lambda ip: ip.packed)))
            return Failure.DNS_WRONG_ANSWER, f"{listed}, expected {expected}"
        return None, ""


def without_ttls(wire: bytes) -> tuple[bytes, int | None]:
    """Return what stays the same while TTLs count down, and the answer section's least TTL.

    Left out are the id and the TTLs of the answer and authority sections; not those of the
    additional section, where an OPT record keeps half of the rcode instead. What is left is as
    telling as the whole, but for names that point into a TTL, which no resolver writes. (b"", None)
    where records cannot be told apart: the parser will say why.
    """
    questions, answers, authorities = (int.from_bytes(wire[at : at + 2], "big") for at in (4, 6, 8))
    parts = []
    ttls = []
    begin, at = 2, HEADER_BYTES
    try:
        for _ in range(questions):
            at = _after_name(wire, at) + 4
        for _ in range(answers + authorities):
            at = _after_name(wire, at) + 4
            parts.append(wire[begin:at])
            ttls.append(int.from_bytes(wire[at : at + 4], "big"))
            begin = at + 4
            at = begin + 2 + (wire[begin] << 8 | wire[begin + 1])
    except IndexError:
        return b"", None
    parts.append(wire[begin:])
    # A TTL with its first bit set counts as 0 (RFC 2181 section 8).
    least = min((ttl if ttl < 1 << 31 else 0 for ttl in ttls[:answers]), default=None)
    return b"".join(parts), least


def _after_name(wire: bytes, at: int) -> int:
    """Return where a name ends (RFC 1035 4.1.4)."""
    while length := wire[at]:
        if length >= 0xC0:
            return at + 2
        at += 1 + length
    return at + 1


def _words(exc: DNSException) -> str:
    return f"{type(exc).__name__}: {exc}"
