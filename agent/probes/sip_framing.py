"""SIP messages cut out of datagrams and streams, and their headers read (RFC 3261 7 and 18.3).

Bytes in, values out. Compact names, folded fields and lines that end with LF alone are taken.
"""

import re
from typing import NamedTuple

MOST_BYTES = 65535
"""Of one message: what a datagram can hold at most."""
MOST_STREAM_BYTES = 1 << 20
COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "l": "content-length"}
END_OF_LINE = re.compile(r"\r?\n")
END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
START = re.compile(r"SIP/2\.0 .*|[!%*+.`'~0-9A-Za-z_-]+ \S+ SIP/2\.0", re.IGNORECASE)
NAME = re.compile(r"[!%*+.`'~0-9A-Za-z_-]+")


class MalformedError(Exception):
    """What came does not follow the protocol."""


class Message(NamedTuple):
    """One SIP message: its first line, and its header fields by their long names in small."""

    start: str
    fields: dict[str, list[str]]


class Stream:
    """Cuts what comes over TCP or TLS into messages."""

    def __init__(self) -> None:
        self._buffer = b""
        self._fed = 0

    def feed(self, data: bytes) -> None:
        """Take what has come. MalformedError when it is too much for one answer."""
        self._buffer += data
        self._fed += len(data)
        if self._fed > MOST_STREAM_BYTES:
            raise MalformedError(f"{self._fed} bytes came, and no final answer among them")

    def next(self) -> Message | None:
        """Return the next whole message; None until it is there. MalformedError if it never is."""
        self._buffer = self._buffer.lstrip(b"\r\n")  # keepalives (RFC 5626)
        line, ended, _ = self._buffer.partition(b"\n")
        if ended or len(line) > MOST_BYTES:
            _refuse_start(_text(line))
        end = END_OF_HEAD.search(self._buffer)
        if end is None:
            if len(self._buffer) > MOST_BYTES:
                raise MalformedError(f"found {len(self._buffer)} bytes of header without an end")
            return None
        message = _read_head(self._buffer[: end.start()])
        length = _content_length(message)
        if length is None:
            raise MalformedError("found no Content-Length, which a stream needs")
        if length > MOST_BYTES:
            raise MalformedError(
                f"found a Content-Length of {length}, expected {MOST_BYTES} at most"
            )
        if len(self._buffer) < end.end() + length:
            return None
        self._buffer = self._buffer[end.end() + length :]
        return message


def read_datagram(data: bytes) -> Message | None:
    """Return the message of a datagram; None for an empty one that keeps a NAT's mapping alive."""
    data = data.lstrip(b"\r\n")
    if not data.strip(b"\0"):
        return None
    _refuse_start(_text(data.partition(b"\n")[0]))
    end = END_OF_HEAD.search(data)
    if end is None:
        raise MalformedError("found a header without an end")
    message = _read_head(data[: end.start()])
    length, found = _content_length(message), len(data) - end.end()
    if length is not None and length > found:
        raise MalformedError(f"found a body of {found} bytes, expected {length}")
    return message  # more than that is no part of it (RFC 3261 18.3)


def printable(text: str) -> str:
    """Return the beginning of a text as it can be shown to people."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:80])


def _refuse_start(line: str) -> None:
    """Raise MalformedError where a first line is none of SIP's."""
    line = line.rstrip("\r")
    if START.fullmatch(line) is None:
        raise MalformedError(f"found `{printable(line)}`, expected a SIP message")


def _read_head(head: bytes) -> Message:
    start, *lines = END_OF_LINE.split(_text(head))
    fields: dict[str, list[str]] = {}
    latest: list[str] = []
    for line in lines:
        if line[:1] in {" ", "\t"}:  # goes on with the field above (RFC 3261 7.3.1)
            if not latest:
                raise MalformedError("found a header that begins in the middle of a field")
            latest[-1] = f"{latest[-1]} {line.strip()}".strip()
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t").lower()
        if not colon or NAME.fullmatch(name) is None:
            raise MalformedError(f"found the header line `{printable(line)}`")
        latest = fields.setdefault(COMPACT.get(name, name), [])
        latest.append(value.strip())
    return Message(start, fields)


def _content_length(message: Message) -> int | None:
    """Return how long the body is said to be; None where nothing is said."""
    said = set(message.fields.get("content-length", []))
    if not said:
        return None
    text = said.pop()
    if said or re.fullmatch(r"[0-9]{1,10}", text) is None:
        raise MalformedError(f"found Content-Length `{printable(text)}`, expected one number")
    return int(text)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
