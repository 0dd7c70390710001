"""What each release has sent decodes for ever, to the same values.

A file in golden/ is never changed once it was released. A new release that adds fields adds files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw, Struct

from agent.wire import (
    Ack,
    Answer,
    Batch,
    Held,
    LineState,
    PowerState,
    Push,
    Refusal,
    Sample,
    Slot,
    SpoolState,
    Stamp,
    Tally,
)

GOLDEN = Path(__file__).parent / "golden"
BATCH = Batch(
    v=1,
    agent="08545-ttpv",
    boot="0123456789abcdef0123456789abcdef",
    machine_boot="00112233445566778899aabbccddeeff",
    seq=41,
    sealed=Stamp(wall_ms=1_751_328_000_250, mono_ns=86_400_250_000_000),
    synchronised=True,
    config=12,
    program="0.1.0",
    samples=[
        Sample(
            check="tthc",
            target="https://tthc.example/nộp-hồ-sơ",
            line="vnpt",
            kind="http",
            version=1,
            start=Stamp(wall_ms=1_751_327_999_500, mono_ns=86_399_500_000_000),
            duration=0.734211,
            phases={"resolve": 0.0021, "connect": 0.0154, "tls": 0.0312, "transfer": 0.68},
            values={"http_status_code": 503, "http_content_length": 1.5e-07},
            counters={"all_success_count": 90210, "all_duration_seconds_sum": 66230.25},
            facts={"address": "192.0.2.80"},
            failure="http_status",
            detail="503, expected 200",
            error="",
            attempt=2,
        ),
        Sample(
            check="gw",
            target="192.0.2.1",
            kind="icmp",
            version=3,
            start=Stamp(wall_ms=1_751_328_000_000, mono_ns=86_400_000_000_000),
            duration=0.0,
            error="cannot use line at 192.0.2.7: Cannot assign requested address",
        ),
    ],
    ntp_offset=-0.0123456,
    ntp_age=41.5,
    tally=Tally(busy=3, stalled=2, lost=1, slept=28_800.5),
)
PUSH = Push(
    v=1,
    agent="08545-ttpv",
    boot="0123456789abcdef0123456789abcdef",
    machine_boot="00112233445566778899aabbccddeeff",
    sent=Stamp(wall_ms=1_751_328_000_300, mono_ns=86_400_300_000_000),
    anchor=1_751_241_600.0125,
    anchor_error=0.004,
    synchronised=True,
    config=12,
    config_error="configuration 13: checks: 501 of them, at most 500 are allowed",
    program="0.1.0",
    via="viettel",
    spool=SpoolState(
        pending_batches=3,
        pending_bytes=2048,
        oldest_pending_ms=1_751_327_990_000,
        dropped_batches=4,
        damaged_records=1,
        set_aside_batches=2,
        failing="No space left on device",
        held=[
            Held(boot="0123456789abcdef0123456789abcdef", sealed=41, pending=[(39, 41)]),
            Held(boot="fedcba9876543210fedcba9876543210", pending=[(7, 7), (9, 12)]),
        ],
    ),
    lines={
        "vnpt": LineState(last_success_ms=1_751_327_990_000, failing="timeout"),
        "viettel": LineState(last_success_ms=1_751_327_999_300),
    },
    power=PowerState(on_mains=False, battery_ratio=0.4),
    bye="upgrade",
    batches=[Raw(b'{"v":1,"seq":41,"samples":[]}'), Raw(b'{"v":1,"seq":42,"samples":[]}')],
)
ANSWER = Answer(
    v=1,
    received_at=1_751_328_000.3301,
    answered_at=1_751_328_000.3425,
    acks=[
        Ack(boot="0123456789abcdef0123456789abcdef", ranges=[(1, 38), (41, 41)]),
        Ack(boot="fedcba9876543210fedcba9876543210", ranges=[(1, 90_000)]),
    ],
    config=13,
    slots=[
        Slot(
            id="04792-17",
            check="vc-sound",
            target="cau-trung-tam.example:20000",
            line="tslcd",
            starts_in=3.25,
            max_seconds=68.0,
            max_bytes=600_000,
            session=17,
            lease=bytes(range(40)),
            key=bytes(range(16)),
        )
    ],
)
REFUSAL = Refusal(
    error="batches[1]: samples[0].duration: expected a number, found text", code="malformed"
)
CASES = [("batch", BATCH), ("push", PUSH), ("answer", ANSWER), ("refusal", REFUSAL)]


@pytest.mark.parametrize(("name", "expected"), CASES, ids=[name for name, _ in CASES])
def test_decodes_to_the_same_values_for_ever(name, expected):
    """The bytes of version 1 mean today what they meant then."""
    body = (GOLDEN / f"v1-{name}.json").read_bytes()

    assert expected == msgspec.json.decode(body, type=type(expected))


@pytest.mark.parametrize(("name", "expected"), CASES, ids=[name for name, _ in CASES])
def test_unknown_fields_are_ignored(name, expected):
    """A later release may say more, at every level; this one takes what it knows."""
    body = msgspec.json.encode(with_unknown_fields(expected))

    assert b"from_the_future" in body
    assert expected == msgspec.json.decode(body, type=type(expected))


@pytest.mark.parametrize(("name", "expected"), CASES, ids=[name for name, _ in CASES])
def test_the_golden_file_uses_every_field(name, expected):
    """A field that is at its default everywhere in the file is not held by it."""
    body = msgspec.json.decode((GOLDEN / f"v1-{name}.json").read_bytes())
    used: dict[type, set[str]] = {}
    for struct, raw in zip(structs(expected), objects(body, expected), strict=True):
        used.setdefault(type(struct), set()).update(raw)

    for kind, names in used.items():
        assert {field.encode_name for field in msgspec.structs.fields(kind)} == names, kind


def test_batches_in_a_push_are_not_touched():
    """What was committed to the spool travels byte for byte, blanks and order and all."""
    committed = b'{ "seq":1,"v" : 1, "samples":[ ],"unknown":1.50 }'
    push = msgspec.structs.replace(PUSH, batches=[Raw(committed)])

    assert committed in msgspec.json.encode(push)
    assert [committed] == [
        bytes(raw) for raw in msgspec.json.decode(msgspec.json.encode(push), type=Push).batches
    ]


def with_unknown_fields(value: Any) -> Any:
    """Return the plain form of a record with an unknown field in every Struct of it."""
    if isinstance(value, Struct):
        fields = {f: with_unknown_fields(getattr(value, f)) for f in value.__struct_fields__}
        return {"from_the_future": {"a": [1, "x"]}, **fields}
    if isinstance(value, Raw):
        return value
    if isinstance(value, list | tuple):
        return [with_unknown_fields(item) for item in value]
    if isinstance(value, dict):
        return {key: with_unknown_fields(item) for key, item in value.items()}
    return value


def structs(value: Any) -> Iterator[Struct]:
    """Yield every Struct in a value, outermost first."""
    if isinstance(value, Struct):
        yield value
        for name in value.__struct_fields__:
            yield from structs(getattr(value, name))
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from structs(item)


def objects(raw: Any, value: Any) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a value's Structs, in the order of `structs`."""
    if isinstance(value, Struct):
        yield raw
        for name in value.__struct_fields__:
            if name in raw:
                yield from objects(raw[name], getattr(value, name))
            else:
                yield from ({} for _ in structs(getattr(value, name)))
    elif isinstance(value, list):
        for item_raw, item in zip(raw, value, strict=True):
            yield from objects(item_raw, item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from objects(raw[key], item)
