"""HLS playlists (RFC 8216), as far as one must know them to say whether a live stream goes on.

Pure. What is no playlist is a TargetError of `malformed` that says what was found.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urljoin

from agent.probes.base import TargetError
from agent.wire import Failure

BOM = "\ufeff"
# KEY=VALUE, where a value in quotes may hold commas (4.2)
ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)(?:,|$)')
INTEGER = re.compile(r"[0-9]{1,18}")
NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]*)?")
BYTE_RANGE = re.compile(r"([0-9]{1,18})(?:@([0-9]{1,18}))?")


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the renditions that a master playlist offers."""

    uri: str
    bandwidth: int
    """Bits per second, at the peak."""
    resolution: str
    """As `1280x720`, "" if it is not told."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of the stream."""

    uri: str
    seconds: float
    first_byte: int = 0
    size: int = 0
    """Of a segment that is part of a larger resource: how many bytes from `first_byte` it has;
    0 is the whole resource."""


@dataclass(frozen=True, slots=True)
class Master:
    """A playlist of playlists."""

    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class Media:
    """A playlist of segments."""

    target_seconds: float
    first: int
    """Media sequence number of the first segment."""
    segments: tuple[Segment, ...]
    ended: bool
    discontinuities: int
    edge: float | None
    """Wall time (UTC seconds) at which the last segment ends; None if the playlist tells no time."""

    @property
    def last(self) -> int:
        """Media sequence number of the last segment."""
        return self.first + len(self.segments) - 1


def starts_with_bom(body: bytes) -> bool:
    """Whether a playlist starts with a byte order mark: forbidden (4), and some players stop at it."""
    return body.startswith(BOM.encode())


def read_playlist(body: bytes, base: str) -> Master | Media:
    """Read a playlist that was fetched from the URL `base`; URIs in it come out absolute."""
    try:
        text = body.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as exc:
        raise _malformed(f"found no UTF-8 at byte {exc.start}, expected a playlist") from exc
    lines = [line.rstrip() for line in text.split("\n")]  # RFC 8216 4.1: LF or CRLF
    if lines[0] != "#EXTM3U":
        raise _malformed(f"found {_shown(lines[0])}, expected #EXTM3U")
    if any(line.startswith("#EXT-X-STREAM-INF:") for line in lines):
        return Master(tuple(_variants(lines, base)))
    return _media(lines, base)


def _variants(lines: list[str], base: str) -> Iterator[Variant]:
    attributes: dict[str, str] | None = None
    for line in lines:
        if line.startswith("#EXT-X-STREAM-INF:"):
            attributes = _attributes(line.partition(":")[2])
        elif line and not line.startswith("#") and attributes is not None:
            bandwidth = attributes.get("BANDWIDTH", "")
            if not INTEGER.fullmatch(bandwidth):
                raise _malformed(f"found {_shown(bandwidth)}, expected a BANDWIDTH of each variant")
            resolution = attributes.get("RESOLUTION", "")
            yield Variant(_absolute(line, base), int(bandwidth), resolution)
            attributes = None
    if attributes is not None:
        raise _malformed("the playlist ends where the URI of a variant was expected")


def _media(lines: list[str], base: str) -> Media:
    tags = {tag: value for tag, _, value in (line.partition(":") for line in lines)}
    target = _number("#EXT-X-TARGETDURATION", tags.get("#EXT-X-TARGETDURATION", ""))
    if not target:
        raise _malformed("found 0, expected more seconds as #EXT-X-TARGETDURATION")
    first = tags.get("#EXT-X-MEDIA-SEQUENCE", "0").strip()
    if not INTEGER.fullmatch(first):
        raise _malformed(f"found {_shown(first)}, expected a number as #EXT-X-MEDIA-SEQUENCE")
    segments = tuple(_segments(lines, base))
    return Media(
        target,
        int(first),
        segments,
        ended="#EXT-X-ENDLIST" in tags,
        discontinuities=lines.count("#EXT-X-DISCONTINUITY"),
        edge=_edge(lines, segments),
    )


def _segments(lines: list[str], base: str) -> Iterator[Segment]:
    """Yield the segments; each takes the tags before its URI (4.3.2)."""
    seconds: float | None = None
    size = next_byte = 0
    first_byte: int | None = None
    for line in lines:
        tag, _, value = line.partition(":")
        if tag == "#EXTINF":
            seconds = _number(tag, value.partition(",")[0])
        elif tag == "#EXT-X-BYTERANGE":
            size, first_byte = _byte_range(value)
        elif line and not line.startswith("#"):
            if seconds is None:
                raise _malformed(f"found {_shown(line)} without #EXTINF")
            begin = next_byte if first_byte is None else first_byte
            yield Segment(_absolute(line, base), seconds, begin if size else 0, size)
            next_byte = begin + size if size else 0
            seconds, size, first_byte = None, 0, None
    if seconds is not None:
        raise _malformed("the playlist ends where the URI of a segment was expected")


def _edge(lines: list[str], segments: tuple[Segment, ...]) -> float | None:
    edge: float | None = None
    following = iter(segments)
    for line in lines:
        if line.startswith("#EXT-X-PROGRAM-DATE-TIME:"):
            edge = _date(line.partition(":")[2])
        elif line == "#EXT-X-DISCONTINUITY":
            edge = None  # times beyond it do not follow from those before
        elif line and not line.startswith("#"):
            seconds = next(following).seconds
            edge = None if edge is None else edge + seconds
    return edge


def _attributes(text: str) -> dict[str, str]:
    found, at = {}, 0
    while at < len(text):
        read = ATTRIBUTE.match(text, at)
        if read is None:
            raise _malformed(f"found {_shown(text[at:])}, expected NAME=value")
        found[read[1]] = read[2].strip('"')
        at = read.end()
    return found


def _number(tag: str, text: str) -> float:
    if not NUMBER.fullmatch(text.strip()):
        raise _malformed(f"found {_shown(text)}, expected seconds as {tag}")
    return float(text)


def _byte_range(text: str) -> tuple[int, int | None]:
    read = BYTE_RANGE.fullmatch(text.strip())
    if read is None or not int(read[1]):
        raise _malformed(f"found {_shown(text)}, expected length@start as #EXT-X-BYTERANGE")
    return int(read[1]), None if read[2] is None else int(read[2])


def _date(text: str) -> float | None:
    """Return UTC seconds; None where the text names no moment, which is no reason to play nothing."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _absolute(uri: str, base: str) -> str:
    try:
        return urljoin(base, uri)
    except ValueError as exc:
        raise _malformed(f"found {_shown(uri)}, expected a URI: {exc}") from exc


def _malformed(detail: str) -> TargetError:
    return TargetError(Failure.MALFORMED, detail)


def _shown(text: str) -> str:
    return repr(text[:80]) if text else "nothing"
