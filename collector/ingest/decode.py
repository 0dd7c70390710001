"""Decode: from the bytes of a push to what it says, or the one sentence why not.

The wire's types are narrowed here to what a collector takes: msgspec checks lengths and bounds
while it decodes and names the place of a mistake. A push is taken whole or refused whole.
"""

import re
import zlib
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct, field

from agent.wire import (
    MAX_BATCH_SAMPLES,
    MAX_PUSH_BYTES,
    MAX_PUSH_INFLATED_BYTES,
    Batch,
    Held,
    LineState,
    PowerState,
    Push,
    Sample,
    SpoolState,
    Stamp,
    Tally,
)
from collector.ingest.refused import Refused

_GZIP = 16 + zlib.MAX_WBITS
_YEAR_9999_MS = 253_402_300_799_999
_CENTURIES_NS = 1 << 62
_LARGEST_EXACT = 1 << 53
_MAX_BATCHES = 20_000
_MAX_HELD = 10_000
_MAX_SENTENCE = 300

_Word = Annotated[str, Meta(min_length=1, max_length=128)]
_OptionalWord = Annotated[str, Meta(max_length=128)]
_Text = Annotated[str, Meta(max_length=2_048)]
_BootId = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z_-]{1,64}\Z")]
_Count = Annotated[int, Meta(ge=0, le=_LARGEST_EXACT)]
_Number = Annotated[float, Meta(ge=-1e300, le=1e300)]
_Seconds = Annotated[float, Meta(ge=0, le=86_400)]
_WallMs = Annotated[int, Meta(ge=0, le=_YEAR_9999_MS)]
_Numbers = Annotated[dict[_Word, _Number], Meta(max_length=512)]


class _Stamp(Stamp, frozen=True, kw_only=True, gc=False):
    wall_ms: _WallMs
    mono_ns: Annotated[int, Meta(ge=0, le=_CENTURIES_NS)]


class _Sample(Sample, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    check: _Word
    target: Annotated[str, Meta(min_length=1, max_length=1_024)]
    line: _OptionalWord = ""
    kind: _Word
    version: _Count
    start: _Stamp
    duration: _Seconds
    phases: Annotated[dict[_Word, _Seconds], Meta(max_length=64)] = field(default_factory=dict)
    values: _Numbers = field(default_factory=dict)
    counters: _Numbers = field(default_factory=dict)
    facts: Annotated[dict[_Word, _Text], Meta(max_length=64)] = field(default_factory=dict)
    failure: _OptionalWord | None = None
    detail: _Text = ""
    error: _Text = ""
    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class _Tally(Tally, frozen=True, kw_only=True, omit_defaults=True):
    busy: _Count = 0
    stalled: _Count = 0
    lost: _Count = 0
    slept: Annotated[float, Meta(ge=0, le=1e12)] = 0.0


class _Batch(Batch, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    v: Annotated[int, Meta(ge=1)]
    agent: _Word
    boot: _BootId
    machine_boot: _BootId
    seq: Annotated[int, Meta(ge=1, le=_LARGEST_EXACT)]
    sealed: _Stamp
    config: _Count
    program: _OptionalWord
    samples: Annotated[list[_Sample], Meta(max_length=MAX_BATCH_SAMPLES)]  # type: ignore[assignment] # list is invariant, a frozen batch is not
    ntp_offset: _Number | None = None
    ntp_age: Annotated[float, Meta(ge=0, le=1e300)] | None = None
    tally: _Tally | None = None


_Span = tuple[Annotated[int, Meta(ge=1, le=_LARGEST_EXACT)], _Count]


class _Held(Held, frozen=True, kw_only=True, omit_defaults=True):
    boot: _BootId
    sealed: _Count = 0
    pending: Annotated[list[_Span], Meta(max_length=_MAX_HELD)] = field(default_factory=list)

    def __post_init__(self) -> None:
        for first, last in self.pending:
            if last < first:
                raise ValueError(f"pending {first}-{last} ends before it begins")


class _SpoolState(SpoolState, frozen=True, kw_only=True, omit_defaults=True):
    pending_batches: _Count = 0
    pending_bytes: _Count = 0
    oldest_pending_ms: _WallMs | None = None
    dropped_batches: _Count = 0
    damaged_records: _Count = 0
    set_aside_batches: _Count = 0
    failing: _Text = ""
    held: Annotated[list[_Held], Meta(max_length=_MAX_HELD)] = field(default_factory=list)  # type: ignore[assignment] # list is invariant, a frozen state is not


class _LineState(LineState, frozen=True, kw_only=True, omit_defaults=True):
    last_success_ms: _WallMs | None = None
    failing: _Text = ""


class _PowerState(PowerState, frozen=True, kw_only=True, omit_defaults=True):
    battery_ratio: Annotated[float, Meta(ge=0, le=1)] | None = None


class _Push(Push, frozen=True, kw_only=True, omit_defaults=True):
    v: Annotated[int, Meta(ge=1)]
    agent: _Word
    boot: _BootId
    machine_boot: _BootId
    sent: _Stamp
    anchor: Annotated[float, Meta(ge=-1e11, le=1e12)] | None = None
    anchor_error: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    config: _Count = 0
    config_error: Annotated[str, Meta(max_length=65_536)] = ""
    program: _OptionalWord = ""
    via: _OptionalWord = ""
    spool: _SpoolState = _SpoolState()
    lines: Annotated[dict[_Word, _LineState], Meta(max_length=64)] = field(default_factory=dict)  # type: ignore[assignment] # as above
    power: _PowerState | None = None
    batches: Annotated[list[Raw], Meta(max_length=_MAX_BATCHES)] = field(default_factory=list)


class Arrival(Struct, frozen=True, kw_only=True):
    """A push that was understood: what the agent says of itself, and its batches."""

    push: Push
    batches: list[tuple[Batch, bytes]]
    """Each with its JSON as it was sent, the bytes of the agent's spool."""


_pushes = msgspec.json.Decoder(_Push)
_batches = msgspec.json.Decoder(_Batch)
_PLACE = re.compile(r" - at (`key(?:\(s\))?` in )?`\$(.*)`$", re.DOTALL)


def inflate(body: bytes, encoding: str) -> bytes:
    """Undo the Content-Encoding; never makes more than MAX_PUSH_INFLATED_BYTES of it."""
    if encoding not in {"", "identity", "gzip"}:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "malformed",
            f"Content-Encoding is {encoding[:64]!r}, expected gzip",
        )
    check_size(len(body))
    if encoding != "gzip":
        return body
    stream = zlib.decompressobj(_GZIP)
    try:
        inflated = stream.decompress(body, MAX_PUSH_INFLATED_BYTES + 1)
    except zlib.error as exc:
        raise _malformed(f"the body is not gzip, as Content-Encoding says: {exc}") from exc
    if len(inflated) > MAX_PUSH_INFLATED_BYTES:
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too_large",
            f"the body inflates to more than {MAX_PUSH_INFLATED_BYTES} bytes",
        )
    if not stream.eof:
        raise _malformed("the gzip body ends before its end mark")
    if stream.unused_data:
        raise _malformed(f"{len(stream.unused_data)} bytes follow the end of the gzip body")
    return inflated


def check_size(compressed_bytes: int) -> None:
    """Refuse a body larger than MAX_PUSH_BYTES as sent, whether announced or read."""
    if compressed_bytes > MAX_PUSH_BYTES:
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too_large",
            f"the body is larger than {MAX_PUSH_BYTES} bytes",
        )


def decode_push(body: bytes, agent: str) -> Arrival:
    """Read the inflated body of a push by the agent whose token came with it."""
    try:
        push = _pushes.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _malformed(_sentence(exc, "$")) from exc
    _check_agent(push.agent, agent, "$.agent")
    batches: list[tuple[Batch, bytes]] = []
    for index, raw in enumerate(push.batches):
        place = f"$.batches[{index}]"
        try:
            batch = _batches.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise _malformed(_sentence(exc, place)) from exc
        _check_agent(batch.agent, agent, f"{place}.agent")
        batches.append((batch, bytes(raw)))
    return Arrival(push=push, batches=batches)


def _check_agent(said: str, agent: str, place: str) -> None:
    if said != agent:
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "wrong_agent",
            f"{place} is {said!r}, but the token is that of {agent!r}",
        )


def _malformed(sentence: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "malformed", sentence)


def _sentence(exc: Exception, place: str) -> str:
    """Put the place first: `$.batches[3].samples[0].duration: expected float, got str`."""
    if isinstance(exc, RecursionError):
        return f"{place}: nested too deeply"
    if isinstance(exc, UnicodeDecodeError):
        return f"{place}: text is not UTF-8: {exc.reason}"
    text = str(exc)
    found = _PLACE.search(text)
    if found is not None:
        text = text[: found.start()]
        place += found[2] + (" (a key)" if found[1] else "")
    text = text.replace("`", "")[:_MAX_SENTENCE]  # msgspec quotes a wrong word, however long
    return (
        f"{place}: {text}" if text.startswith("JSON") else f"{place}: {text[:1].lower()}{text[1:]}"
    )
