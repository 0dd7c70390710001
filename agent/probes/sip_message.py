"""SIP's OPTIONS: the request written, its answers read and matched (RFC 3261).

An answer is ours by its branch, CSeq, Call-ID and From tag, all four.
"""

import ipaddress
import re
import secrets
from dataclasses import dataclass
from typing import NamedTuple

from agent import VERSION
from agent.probes.sip_framing import MalformedError, Message, printable

PRODUCT = f"thongsuot-agent/{VERSION}"
USER = "thongsuot-agent"
T1_SECONDS, T2_SECONDS, TIMER_F_SECONDS = 0.5, 4.0, 32.0

SINGLE = ("from", "to", "call-id", "cseq")
STATUS = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE)
CSEQ = re.compile(r"([0-9]{1,10})\s+(\S+)")
VIA = re.compile(r"SIP\s*/\s*2\.0\s*/\s*[^\s;,/]+\s+([^;]+)(;.*)?", re.IGNORECASE | re.DOTALL)
OPENING = {'"': '"', "<": ">"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One OPTIONS request, and what its answers are known by."""

    host: str
    """Of the URI that is asked about; a name, or an address without brackets."""
    transport: str
    """UDP, TCP or TLS."""
    address: str
    port: int
    """Ours. Both stand in Via, From and Contact, and must come back as they were."""
    branch: str
    cseq: int
    call_id: str
    tag: str

    @property
    def sent_by(self) -> str:
        """Return where the request says that it comes from."""
        return f"{_bracketed(self.address)}:{self.port}"

    @property
    def sender(self) -> str:
        """Return the URI of the From header."""
        return f"sip:{USER}@{_bracketed(self.address)}"

    def wire(self) -> bytes:
        """Write the request."""
        uri = f"sip:{_bracketed(self.host)}"
        return (
            f"OPTIONS {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/{self.transport} {self.sent_by};branch={self.branch};rport\r\n"
            "Max-Forwards: 70\r\n"
            f"From: <{self.sender}>;tag={self.tag}\r\n"
            f"To: <{uri}>\r\n"
            f"Call-ID: {self.call_id}\r\n"
            f"CSeq: {self.cseq} OPTIONS\r\n"
            f"Contact: <sip:{USER}@{self.sent_by}>\r\n"
            "Accept: application/sdp\r\n"
            f"User-Agent: {PRODUCT}\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode()


def ask(host: str, transport: str, address: str, port: int) -> Asked:
    """Make a new request, sent from an address and port of ours.

    The Call-ID holds no address: where one is rewritten on the way, the answer would not be known.
    """
    return Asked(
        host,
        transport,
        address,
        port,
        branch=f"z9hG4bK{secrets.token_hex(8)}",
        cseq=1 + secrets.randbelow(2**31 - 1),
        call_id=secrets.token_hex(12),
        tag=secrets.token_hex(6),
    )


def next_wait(wait: float, *, provisional: bool) -> float:
    """Return the seconds between the next two sendings over UDP (timer E, RFC 3261 17.1.2.2)."""
    return T2_SECONDS if provisional else min(2 * wait, T2_SECONDS)


class Answer(NamedTuple):
    """What a response to our request says."""

    code: int
    reason: str
    mapped: tuple[str, int | None]
    """Whence our request came, as the other side saw it: "" and None where it does not say."""
    altered: str
    """What was rewritten on the way, in words; "" where nothing was."""
    retry_after: int | None
    server: str


def read_answer(message: Message, asked: Asked) -> Answer | None:
    """Return what a message says if it answers the request; None if it is none of ours."""
    status = STATUS.fullmatch(message.start)
    if status is None:
        if message.start[:8].upper() == "SIP/2.0 ":
            raise MalformedError(
                f"found `{printable(message.start)}`, expected a status from 100 to 699"
            )
        return None  # a request, as bridges send them to whoever is there
    fields = message.fields
    for name in ("via", *SINGLE):
        if name not in fields:
            raise MalformedError(f"found no {name} in the answer")
    for name in SINGLE:
        if len(fields[name]) > 1:
            raise MalformedError(f"found {len(fields[name])} times {name} in the answer")
    cseq = CSEQ.fullmatch(fields["cseq"][0])
    if cseq is None:
        raise MalformedError(
            f"found CSeq `{printable(fields['cseq'][0])}`, expected a number and a method"
        )
    vias = [via for field in fields["via"] for via in _split(field, ",")]
    sent_by, params = _read_via(vias[0])
    sender, *sender_params = _split(fields["from"][0], ";")
    ours = (
        len(vias) == 1,  # more: it was meant for who stands behind us (RFC 3261 8.1.3.3)
        params.get("branch") == asked.branch,
        (int(cseq[1]), cseq[2]) == (asked.cseq, "OPTIONS"),
        fields["call-id"][0] == asked.call_id,
        _params(sender_params).get("tag") == asked.tag,
    )
    if not all(ours):
        return None
    retry_after = re.match(r"[0-9]{1,9}", fields.get("retry-after", [""])[0])
    return Answer(
        code=int(status[1]),
        reason=printable(status[2] or ""),
        mapped=_mapped(params),
        altered=_altered(asked, sent_by, sender),
        retry_after=int(retry_after[0]) if retry_after else None,
        server=printable(fields.get("server", fields.get("user-agent", [""]))[0]),
    )


def _read_via(text: str) -> tuple[str, dict[str, str]]:
    """Return who sent, as host:port, and the parameters of one Via."""
    found = VIA.fullmatch(text)
    if found is None:
        raise MalformedError(f"found Via `{printable(text)}`")
    return "".join(found[1].split()), _params(_split(found[2] or "", ";"))


def _params(texts: list[str]) -> dict[str, str]:
    pairs = (text.partition("=") for text in texts)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _mapped(params: dict[str, str]) -> tuple[str, int | None]:
    """Return Via's received and rport (RFC 3581)."""
    received, rport = params.get("received", "").strip("[]"), params.get("rport", "")
    try:
        address = str(ipaddress.ip_address(received))
    except ValueError:
        address = ""
    known = re.fullmatch(r"[0-9]{1,5}", rport) is not None and 0 < int(rport) < 65536
    return address, int(rport) if known else None


def _altered(asked: Asked, sent_by: str, sender: str) -> str:
    """Say what did not come back as it was sent, though it must (RFC 3261 8.2.6.2).

    Our own address in Via and From is the bait: a router's SIP helper (ALG) rewrites both.
    """
    bracketed = re.search(r"<([^<>]*)>", sender)
    uri = bracketed[1].strip() if bracketed else sender
    pairs = {"Via": (sent_by, asked.sent_by), "From": (uri, asked.sender)}
    return "; ".join(
        f"{name}: found {printable(found)}, expected {sent}"
        for name, (found, sent) in pairs.items()
        if found.lower() != sent.lower()
    )


def _split(text: str, separator: str) -> list[str]:
    """Split outside quotes and angle brackets; in one pass, whatever somebody sends."""
    parts, begin, closing, at = [], 0, "", 0
    while at < len(text):
        letter = text[at]
        if closing:
            at += letter == "\\" and closing == '"'  # the letter after it is quoted
            closing = "" if letter == closing else closing
        elif letter in OPENING:
            closing = OPENING[letter]
        elif letter == separator:
            parts.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    return [*parts, text[begin:].strip()]


def _bracketed(host: str) -> str:
    return f"[{host.partition('%')[0]}]" if ":" in host else host
