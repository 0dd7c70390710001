"""LDAP: whether a directory answers. Asks for its root entry, which needs no account (RFC 4512, 5.1).

BER is written and read here as far as that one question goes (RFC 4511).
"""

from contextlib import closing, suppress
from typing import ClassVar, Literal, NamedTuple

from agent.probes.base import Env, Recorder, Target, Value
from agent.probes.channel import Channel
from agent.probes.handshake import TlsPolicy, open_channel
from agent.probes.net import refuse_host_port, split_host_port
from agent.wire import Failure

MAX_ANSWER_BYTES = 1 << 16
MESSAGE_ID = 1
SEQUENCE, INTEGER, OCTETS, ENUMERATED, BOOLEAN = 0x30, 0x02, 0x04, 0x0A, 0x01
SEARCH, ENTRY, DONE, REFERENCE, NOTICE, PRESENT = 0x63, 0x64, 0x65, 0x73, 0x78, 0x87
UNBIND = bytes((SEQUENCE, 5, INTEGER, 1, MESSAGE_ID + 1, 0x42, 0))


class LdapParams(TlsPolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check may say of an LDAP probe."""

    tls: bool = False
    """Whether TLS comes first, as on port 636."""
    ip_version: Literal[0, 4, 6] = 0
    """Which addresses of a name count; 0 takes the first one, as the system orders them."""


class Ldap:
    """Asks for the root entry once, without a bind, and takes leave."""

    kind: ClassVar[str] = "ldap"
    version: ClassVar[int] = 1
    Params: ClassVar[type] = LdapParams
    phases: ClassVar[tuple[str, ...]] = ("resolve", "connect", "tls", "search")
    values: ClassVar[tuple[Value, ...]] = (
        Value("ip_protocol", "IP version of the address that was used, 4 or 6."),
        Value("ldap_result_code", "The directory's result code, 0 for success (RFC 4511, A)."),
        Value("ldap_entries", "Entries in the answer; the root entry is one."),
        Value(
            "ssl_earliest_cert_expiry",
            "Unix time when the first of the certificates shown expires.",
        ),
    )

    def __init__(self, params: LdapParams, env: Env) -> None:
        self._params = params
        self._env = env

    @classmethod
    def refuse_target(cls, name: str, params: LdapParams) -> str:
        """Return what was expected of a target's text, or "" when it is fine."""
        return refuse_host_port(name, params.ip_version)

    async def run(self, target: Target, rec: Recorder) -> None:
        """Ask once. A directory that keeps its root entry to itself says so with a code."""
        host, port = split_host_port(target.name)
        params = self._params
        tls = params if params.tls else None
        channel = await open_channel(
            self._env, target, rec, host=host, port=port, ip_version=params.ip_version, tls=tls
        )
        if channel is None:
            return
        with closing(channel):
            try:
                await _search(channel, rec)
            except ValueError as exc:
                rec.fail(Failure.MALFORMED, str(exc))
                return
            with suppress(OSError):  # what was asked is answered
                await channel.send(UNBIND)


class Element(NamedTuple):
    """One BER element within some bytes."""

    tag: int
    begin: int
    """Where its content begins."""
    end: int


async def _search(channel: Channel, rec: Recorder) -> None:
    with rec.phase("search"):
        await channel.send(question())
        found, entries = b"", 0
        while True:
            while message := read_message(found):
                tag, content = read_operation(found[message.begin : message.end])
                found = found[message.end :]
                if tag == DONE:
                    _conclude(content, entries, rec)
                    return
                if tag == NOTICE:
                    rec.fail(Failure.CLOSED, "the directory says that it is leaving")
                    return
                entries += tag == ENTRY
            if len(found) > MAX_ANSWER_BYTES:
                rec.fail(Failure.TOO_LARGE, f"more than {MAX_ANSWER_BYTES} bytes")
                return
            data = await channel.receive()
            if not data:
                raise EOFError("the connection was closed before the answer")
            found += data


def _conclude(content: bytes, entries: int, rec: Recorder) -> None:
    code, told = read_result(content)
    rec.value("ldap_result_code", code)
    rec.value("ldap_entries", entries)
    if code:
        rec.fail(Failure.STATUS, f"found result code {code}, expected 0{told and f': {told}'}")
    elif not entries:
        rec.fail(Failure.NOT_OFFERED, "the answer holds no root entry")


def question() -> bytes:
    """Return a search for the root entry: base "", this entry only, one attribute."""
    what = b"".join(
        (
            _element(OCTETS, b""),
            _element(ENUMERATED, b"\0"),  # this entry only
            _element(ENUMERATED, b"\0"),  # aliases are not followed
            _element(INTEGER, b"\1"),
            _element(INTEGER, b"\5"),
            _element(BOOLEAN, b"\0"),
            _element(PRESENT, b"objectClass"),
            _element(SEQUENCE, _element(OCTETS, b"supportedLDAPVersion")),
        )
    )
    return _element(SEQUENCE, _element(INTEGER, bytes((MESSAGE_ID,))) + _element(SEARCH, what))


def read_message(data: bytes) -> Element | None:
    """Return the message that data begins with; None while it is not here whole.

    ValueError where it is none.
    """
    element = _read(data, 0)
    if element is None:
        return None
    if element.tag != SEQUENCE:
        raise ValueError(f"found tag 0x{element.tag:02x}, expected a message (0x30)")
    return element if element.end <= len(data) else None


def read_operation(message: bytes) -> tuple[int, bytes]:
    """Return a message's operation and its content. ValueError where it is no answer to ours."""
    number = _whole(message, 0)
    operation = _whole(message, number.end)
    said = int.from_bytes(message[number.begin : number.end])
    if number.tag != INTEGER or operation.tag not in {ENTRY, DONE, REFERENCE, NOTICE}:
        raise ValueError(f"found operation 0x{operation.tag:02x}, expected an answer to a search")
    if said != (0 if operation.tag == NOTICE else MESSAGE_ID):
        raise ValueError(f"found message {said}, expected {MESSAGE_ID}")
    return operation.tag, message[operation.begin : operation.end]


def read_result(content: bytes) -> tuple[int, str]:
    """Return a result's code and what is said with it. ValueError where it is none."""
    code = _whole(content, 0)
    matched = _whole(content, code.end)
    told = _whole(content, matched.end)
    if (code.tag, matched.tag, told.tag) != (ENUMERATED, OCTETS, OCTETS) or code.end == code.begin:
        raise ValueError("the result has no code")
    text = content[told.begin : told.end].decode("utf-8", "replace")
    return int.from_bytes(content[code.begin : code.end]), " ".join(text.split())


def _element(tag: int, content: bytes) -> bytes:
    """Return an element of less than 128 bytes: all of ours are."""
    return bytes((tag, len(content))) + content


def _whole(data: bytes, at: int) -> Element:
    element = _read(data, at)
    if element is None or element.end > len(data):
        raise ValueError("an element reaches beyond its message")
    return element


def _read(data: bytes, at: int) -> Element | None:
    """Return the element at a place, though its content may not be here; None: not even its head."""
    if len(data) < at + 2:
        return None
    tag, length, begin = data[at], data[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 4:
            raise ValueError(f"a length of {octets} octets, expected 1 to 4")
        if len(data) < begin + octets:
            return None
        length = int.from_bytes(data[begin : begin + octets])
        begin += octets
    return Element(tag, begin, begin + length)
