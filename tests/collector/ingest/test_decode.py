import gzip
import resource
import time
import tracemalloc
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import MAX_BATCH_SAMPLES, MAX_PUSH_BYTES, MAX_PUSH_INFLATED_BYTES
from collector.ingest.decode import check_size, decode_push, inflate
from collector.ingest.refused import Refused
from tests.collector.ingest.pushes import AGENT, BOOT, batch, body, push, sample, zipped

BATCH = msgspec.to_builtins(batch())


def changed(**fields) -> bytes:
    """Return a push of one batch whose sample has other fields than a good one."""
    bad = {**BATCH, "samples": [{**BATCH["samples"][0], **fields}]}
    return msgspec.json.encode({**msgspec.to_builtins(push()), "batches": [bad]})


def in_batch(**fields) -> bytes:
    """Return a push whose second batch has other fields than a good one."""
    return msgspec.json.encode(
        {**msgspec.to_builtins(push()), "batches": [BATCH, {**BATCH, "seq": 2, **fields}]}
    )


def in_push(**fields) -> bytes:
    """Return a push with other fields than a good one."""
    return msgspec.json.encode({**msgspec.to_builtins(push()), **fields})


def raw(text: str) -> bytes:
    """Return a push whose sample has this written as its duration."""
    return body(batch()).replace(b'"duration":0.25', b'"duration":' + text.encode())


SAMPLE = "$.batches[0].samples[0]"
REFUSED = {
    "nothing": (b"", 400, "malformed", "$: input data was truncated"),
    "no JSON": (b"hello", 400, "malformed", "$: JSON is malformed: invalid character (byte 0)"),
    "cut off": (body(batch())[:-9], 400, "malformed", "$: input data was truncated"),
    "no text": (
        b'{"v":1,"agent":"\xff"}',
        400,
        "malformed",
        "$: text is not UTF-8: invalid start byte",
    ),
    "half a letter": (
        body(batch()).replace(b'"cong-tinh"', b'"\\ud800x"'),
        400,
        "malformed",
        "$: JSON is malformed: unexpected end of hex escape (byte 441)",
    ),
    "too deep": (
        body(batch())[:-1] + b',"new":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        400,
        "malformed",
        "$: nested too deeply",
    ),
    "a list": (b"[]", 400, "malformed", "$: expected object, got array"),
    "no fields": (b"{}", 400, "malformed", "$: object missing required field v"),
    "wire version 0": (in_push(v=0), 400, "malformed", "$.v: expected int >= 1"),
    "a boot that is none": (
        in_push(boot="../../etc"),
        400,
        "malformed",
        r"$.boot: expected str matching regex '\\A[0-9A-Za-z_-]{1,64}\\Z'",
    ),
    "an unknown bye": (in_push(bye="lunch"), 400, "malformed", "$.bye: invalid enum value 'lunch'"),
    "a clock before 1970": (
        in_push(sent={"wall_ms": -1, "mono_ns": 0}),
        400,
        "malformed",
        "$.sent.wall_ms: expected int >= 0",
    ),
    "a monotonic clock of centuries": (
        in_push(sent={"wall_ms": 0, "mono_ns": 1 << 63}),
        400,
        "malformed",
        "$.sent.mono_ns: expected int <= 4611686018427387904",
    ),
    "a range that ends before it begins": (
        in_push(spool={"held": [{"boot": "b", "pending": [[1, 3], [9, 7]]}]}),
        400,
        "malformed",
        "$.spool.held[0]: pending 9-7 ends before it begins",
    ),
    "batches that are none": (
        in_push(batches={}),
        400,
        "malformed",
        "$.batches: expected array, got object",
    ),
    "a batch that is none": (
        in_push(batches=[1]),
        400,
        "malformed",
        "$.batches[0]: expected object, got int",
    ),
    "seq 0": (in_batch(seq=0), 400, "malformed", "$.batches[1].seq: expected int >= 1"),
    "seq of text": (in_batch(seq="2"), 400, "malformed", "$.batches[1].seq: expected int, got str"),
    "seq beyond all": (
        in_batch(seq=1 << 60),
        400,
        "malformed",
        "$.batches[1].seq: expected int <= 9007199254740992",
    ),
    "too many samples": (
        in_batch(samples=[BATCH["samples"][0]] * (MAX_BATCH_SAMPLES + 1)),
        400,
        "malformed",
        "$.batches[1].samples: expected array of length <= 2000",
    ),
    "another agent's batch": (
        in_batch(agent="04793"),
        403,
        "wrong_agent",
        "$.batches[1].agent is '04793', but the token is that of '04792'",
    ),
    "another agent's push": (
        in_push(agent="04793"),
        403,
        "wrong_agent",
        "$.agent is '04793', but the token is that of '04792'",
    ),
    "no check": (
        changed(check=""),
        400,
        "malformed",
        f"{SAMPLE}.check: expected str of length >= 1",
    ),
    "a long check": (
        changed(check="x" * 129),
        400,
        "malformed",
        f"{SAMPLE}.check: expected str of length <= 128",
    ),
    "a check of null": (
        changed(check=None),
        400,
        "malformed",
        f"{SAMPLE}.check: expected str, got null",
    ),
    "a long target": (
        changed(target="x" * 1_025),
        400,
        "malformed",
        f"{SAMPLE}.target: expected str of length <= 1024",
    ),
    "text for a duration": (
        changed(duration="1"),
        400,
        "malformed",
        f"{SAMPLE}.duration: expected float, got str",
    ),
    "less than no time": (
        changed(duration=-0.1),
        400,
        "malformed",
        f"{SAMPLE}.duration: expected float >= 0.0",
    ),
    "a phase of a week": (
        changed(phases={"connect": 604_800.0}),
        400,
        "malformed",
        f"{SAMPLE}.phases[...]: expected float <= 86400.0",
    ),
    "a value of text": (
        changed(values={"x": "1"}),
        400,
        "malformed",
        f"{SAMPLE}.values[...]: expected float, got str",
    ),
    "a value without a name": (
        changed(values={"": 1}),
        400,
        "malformed",
        f"{SAMPLE}.values (a key): expected str of length >= 1",
    ),
    "too many values": (
        changed(values={str(n): n for n in range(513)}),
        400,
        "malformed",
        f"{SAMPLE}.values: expected object of length <= 512",
    ),
    "a long fact": (
        changed(facts={"x": "y" * 2_049}),
        400,
        "malformed",
        f"{SAMPLE}.facts[...]: expected str of length <= 2048",
    ),
    "an offset in words": (
        in_batch(ntp_offset="late"),
        400,
        "malformed",
        "$.batches[1].ntp_offset: expected float | null, got str",
    ),
    "a measurement yet to come": (
        in_batch(ntp_age=-1.0),
        400,
        "malformed",
        "$.batches[1].ntp_age: expected float >= 0.0",
    ),
    "attempt 0": (changed(attempt=0), 400, "malformed", f"{SAMPLE}.attempt: expected int >= 1"),
    "NaN": (raw("NaN"), 400, "malformed", "$: JSON is malformed: invalid character (byte 575)"),
    "Infinity": (
        raw("Infinity"),
        400,
        "malformed",
        "$: JSON is malformed: invalid character (byte 575)",
    ),
    "infinity in digits": (
        raw("1e999"),
        400,
        "malformed",
        f"{SAMPLE}.duration: number out of range",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_push_is_refused_with_its_place(name):
    """Each mistake has its status, its code, and one sentence that says what is wrong and where."""
    bad, status, code, sentence = REFUSED[name]
    with pytest.raises(Refused) as caught:
        decode_push(bad, AGENT)
    found = caught.value
    assert (found.status, found.code, found.sentence) == (status, code, sentence)


ZIPPED = zipped(batch())
BAD_BODIES = {
    "no gzip": (
        b"{}",
        "gzip",
        400,
        "the body is not gzip, as Content-Encoding says: Error -3 while decompressing data: incorrect header check",
    ),
    "nothing": (b"", "gzip", 400, "the gzip body ends before its end mark"),
    "cut off": (ZIPPED[:-5], "gzip", 400, "the gzip body ends before its end mark"),
    "a flipped checksum": (
        ZIPPED[:-8] + bytes(4) + ZIPPED[-4:],
        "gzip",
        400,
        "the body is not gzip, as Content-Encoding says: Error -3 while decompressing data: incorrect data check",
    ),
    "something behind": (ZIPPED + b"x", "gzip", 400, "1 bytes follow the end of the gzip body"),
    "two bodies": (ZIPPED * 2, "gzip", 400, f"{len(ZIPPED)} bytes follow the end of the gzip body"),
    "zlib": (
        zlib.compress(b"{}"),
        "gzip",
        400,
        "the body is not gzip, as Content-Encoding says: Error -3 while decompressing data: incorrect header check",
    ),
    "brotli": (b"x", "br", 415, "Content-Encoding is 'br', expected gzip"),
    "too large": (bytes(MAX_PUSH_BYTES + 1), "", 413, "the body is larger than 1048576 bytes"),
    "too large inside": (
        gzip.compress(bytes(MAX_PUSH_INFLATED_BYTES + 1)),
        "gzip",
        413,
        "the body inflates to more than 8388608 bytes",
    ),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_cannot_be_inflated_is_refused(name):
    """Each mistake of the encoding has its status and sentence."""
    bad, encoding, status, sentence = BAD_BODIES[name]
    with pytest.raises(Refused) as caught:
        inflate(bad, encoding)
    assert (caught.value.status, caught.value.sentence) == (status, sentence)


def test_an_announced_size_is_enough_to_refuse():
    """A body that says it is too large is not read."""
    check_size(MAX_PUSH_BYTES)
    with pytest.raises(Refused):
        check_size(MAX_PUSH_BYTES + 1)


def test_a_bomb_is_refused_quickly_and_in_little_memory():
    """A gigabyte of zeros in one megabyte never unfolds."""
    zeros = zlib.compressobj(9, zlib.DEFLATED, 31)
    chunk = bytes(1 << 20)
    bomb = b"".join([*(zeros.compress(chunk) for _ in range(1_024)), zeros.flush()])
    assert len(bomb) < MAX_PUSH_BYTES
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    tracemalloc.start()
    with pytest.raises(Refused) as caught:
        inflate(bomb, "gzip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "too_large"
    assert peak < 4 * MAX_PUSH_INFLATED_BYTES
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    assert time.process_time() - began < 1.0


def test_a_good_push_keeps_the_bytes_of_its_batches():
    """What is journalled are the very bytes of the agent's spool, odd spaces and all."""
    odd = b'{"new_field": [1, {"x": null}],' + msgspec.json.encode(batch(7))[1:]
    arrival = decode_push(body()[:-1] + b',"batches":[ ' + odd + b" ]}", AGENT)
    assert [(one.seq, one.boot, text) for one, text in arrival.batches] == [(7, BOOT, odd)]


def test_what_a_later_release_adds_is_no_mistake():
    """Unknown fields, a higher version and an unknown failure are taken."""
    assert decode_push(in_push(v=9, new={"a": [1]}), AGENT).push.v == 9
    arrival = decode_push(body(batch(samples=[sample(failure="eaten_by_a_fish")])), AGENT)
    assert arrival.batches[0][0].samples[0].failure == "eaten_by_a_fish"


def test_a_heartbeat_has_no_batches():
    """A push without batches is a whole push."""
    assert decode_push(body(), AGENT).batches == []


def test_a_mistake_quotes_no_more_than_a_little():
    """However long the wrong word is, the sentence stays one."""
    with pytest.raises(Refused) as caught:
        decode_push(in_push(bye="x" * 1_000_000), AGENT)
    assert len(caught.value.sentence) < 400


def refusal(work) -> Refused | None:
    """Return how work is refused, None where it is done; anything else flies."""
    try:
        work()
    except Refused as refused:
        return refused
    return None


def taken(bad: bytes) -> bool:
    """Return whether bytes are a push, and see that a refusal blames the sender."""
    refused = refusal(lambda: decode_push(bad, AGENT))
    assert refused is None or (400 <= refused.status < 500 and refused.sentence)
    return refused is None


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_and_nothing_else(bad):
    """No bytes make anything but a refusal."""
    assert not taken(bad)
    refused = refusal(lambda: inflate(bad, "gzip"))
    assert refused is not None
    assert refused.status == 400


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_mutated_pushes_are_taken_or_refused(place, patch):
    """A push with some bytes exchanged is a push or a refusal."""
    good = body(batch(), batch(2))
    place %= len(good)
    taken(good[:place] + patch + good[place + len(patch) :])


words = st.text(max_size=5) | st.integers() | st.floats(allow_nan=False) | st.none() | st.booleans()
anything = st.recursive(
    words, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner)
)


@given(st.sampled_from(sorted(BATCH["samples"][0])), anything)
def test_any_value_in_any_field_is_taken_or_refused(field, value):
    """Whatever stands in a sample's field, the answer is one of the two."""
    try:
        bad = changed(**{field: value})
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError):
        return
    taken(bad)
