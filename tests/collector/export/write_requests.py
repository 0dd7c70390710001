"""Reading what remote write sends, from the specifications alone: none of our code is used.

Snappy's block format: github.com/google/snappy format_description.txt. Protobuf: protobuf.dev,
"Encoding".
"""

import struct
from collections.abc import Iterator

STALE_BITS = 0x7FF0000000000002
Labels = tuple[tuple[str, str], ...]
"""In the order they were sent."""


def read(body: bytes) -> list[tuple[Labels, list[tuple[int, int]]]]:
    """Return a compressed request's series: labels, and (milliseconds, the double's bits)."""
    series = []
    for number, kind, message in fields(unsnappy(body)):
        assert (number, kind) == (1, 2), "WriteRequest has timeseries only"
        labels, samples = [], []
        for inner, inner_kind, content in fields(message):
            assert inner_kind == 2
            if inner == 1:
                assert not samples, "labels stand first"
                (one, _, name), (two, _, value) = fields(content)
                assert (one, two) == (1, 2)
                labels.append((name.decode(), value.decode()))
            else:
                assert inner == 2
                found = {key: content for key, _, content in fields(content)}
                (bits,) = struct.unpack("<Q", found[1])
                samples.append((found[2], bits))
        series.append((tuple(labels), samples))
    return series


def number(bits: int) -> float:
    """Return the double of some bits."""
    (value,) = struct.unpack("<d", struct.pack("<Q", bits))
    return value


def fields(message: bytes) -> Iterator[tuple[int, int, bytes | int]]:
    """Yield each field of a protobuf message: number, wire type, content."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        kind = tag & 7
        if kind == 0:
            content, at = varint(message, at)
        else:
            assert kind in {1, 2}, f"wire type {kind}"
            length, at = (8, at) if kind == 1 else varint(message, at)
            content = message[at : at + length]
            assert len(content) == length, "cut short"
            at += length
        yield tag >> 3, kind, content


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def unsnappy(data: bytes) -> bytes:
    """Return what a snappy block holds."""
    length, at = varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            size = (tag >> 2) + 1
            if size > 60:
                more = size - 60
                size = int.from_bytes(data[at : at + more], "little") + 1
                at += more
            out += data[at : at + size]
            at += size
            continue
        if tag & 3 == 1:
            size, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at]
            at += 1
        else:
            wide = 2 if tag & 3 == 2 else 4
            size, offset = (tag >> 2) + 1, int.from_bytes(data[at : at + wide], "little")
            at += wide
        assert 0 < offset <= len(out)
        for _ in range(size):
            out.append(out[-offset])
    assert len(out) == length
    return bytes(out)
