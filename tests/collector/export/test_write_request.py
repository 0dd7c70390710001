import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from agent.probes import PROBES
from agent.wire import EVIDENCE, Failure, Sample
from collector.export.exposition import Exposition
from collector.export.write_request import (
    STALE,
    Row,
    compress,
    count,
    read_labels,
    write_labels,
    write_request,
)
from collector.inventory.model import Series
from collector.state.fleet import Fleet
from tests.collector.a_province import NOON, YPHU, a_province, a_sample
from tests.collector.export.write_requests import STALE_BITS, number, read

HTTP = Series(YPHU, "tthc", "https://tthc.example/", "")
TO_NOON = round(NOON * 1000)

words = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


@st.composite
def samples(draw):
    """Return a sample of any kind with any of its numbers, and some that no row knows."""
    kind = draw(st.sampled_from([*PROBES, "telepathy"]))
    probe = PROBES.get(kind)
    rows = probe.values if probe else ()
    values = [key for row in rows if not row.counter for key in row.keys()]  # noqa: SIM118  no dict
    counters = [
        "all_success_sum",
        "all_success_count",
        "all_duration_seconds_sum",
        "errors",
        *(row.name for row in rows if row.counter),
    ]
    some = {
        name: draw(st.dictionaries(st.sampled_from([*keys, "new"]), numbers, max_size=6))
        for name, keys in (
            ("phases", probe.phases if probe else ()),
            ("values", values),
            ("counters", counters),
        )
    }
    series = Series(YPHU, "tthc", "x" + draw(words), draw(words))
    failure = draw(st.sampled_from([None, Failure.TIMEOUT]))
    return series, a_sample(series, failure, kind=kind, duration=draw(numbers), **some)


@settings(max_examples=300, deadline=None)
@given(samples())
async def test_a_request_says_what_the_page_says(given_):
    """Series, labels and numbers of any sample are those of /metrics, plus the job's name."""
    series, sample = given_
    row = Row(series, YPHU)

    sent = {
        labels: [(at, number(bits)) for at, bits in points]
        for labels, points in read(request_of(row, sample))
    }

    assert sent == {
        labels: [(TO_NOON, value)] for labels, value in (await on_the_page(series, sample)).items()
    }


async def test_a_known_sample_byte_by_byte():
    """The message of one sample is the one that protobuf's rules give."""
    row = Row(Series("a", "c", "t", ""), "s")
    request = write_request(dict([*map(point, row.numbers(sample_of_one_number()))][:1]))

    labels = b"".join(
        b"\x0a" + bytes([len(pair)]) + pair
        for pair in (
            b"\x0a\x08__name__\x12\x0dprobe_success",
            b"\x0a\x05agent\x12\x01a",
            b"\x0a\x05check\x12\x01c",
            b"\x0a\x08instance\x12\x01t",
            b"\x0a\x03job\x12\x09thongsuot",
            b"\x0a\x04site\x12\x01s",
        )
    )
    timestamp = bytes([0x80 | TO_NOON >> shift & 0x7F for shift in range(0, 35, 7)])
    timestamp += bytes([TO_NOON >> 35])
    body = labels + b"\x12\x10\x09" + struct.pack("<d", 1) + b"\x10" + timestamp
    assert request == b"\x0a" + bytes([len(body)]) + body


def test_a_series_may_have_many_points():
    """All points of a series stand under its labels once, in the order given."""
    series = write_labels({"__name__": "a"})
    points = [(TO_NOON + step, float(step)) for step in range(2_000)]

    ((labels, sent),) = read(compress(write_request({series: points})))

    assert labels == (("__name__", "a"),)
    assert [(at, number(bits)) for at, bits in sent] == points
    assert count({series: points}) == 2_000


def test_the_stale_marker_keeps_its_bits():
    """A quieted NaN would be a value like any other and keep the series alive."""
    series = write_labels({"__name__": "a"})

    assert read(compress(write_request({series: [(1, STALE)]}))) == [
        ((("__name__", "a"),), [(1, STALE_BITS)])
    ]


@given(st.dictionaries(words, words, max_size=8))
def test_labels_are_sorted_and_can_be_read_back(labels):
    """A receiver may refuse unsorted labels; a dead letter names the series."""
    written = write_labels(labels)

    assert read_labels(written) == labels
    if labels:
        ((sent, _),) = read(compress(write_request({written: [(0, 0.0)]})))
        assert list(sent) == sorted(labels.items())


@pytest.mark.parametrize("changes", [{"error": "no permission"}, {"kind": EVIDENCE}])
def test_what_is_no_measurement_sends_nothing(changes):
    """Neither our own inability nor evidence is a number of the target's."""
    assert Row(HTTP, YPHU).numbers(a_sample(HTTP, **changes)) == []


def test_numbers_without_a_place_are_counted():
    """A later agent's numbers are left out, as on the page."""
    row = Row(HTTP, YPHU)

    row.numbers(a_sample(HTTP, values={"http_mood": 1.0}, phases={"teleport": 1.0}))

    assert row.dropped == 2


def sample_of_one_number() -> Sample:
    """Return an attempt of which only the success is looked at."""
    return a_sample(HTTP, kind="icmp")


def point(one: tuple[bytes, float]) -> tuple[bytes, list[tuple[int, float]]]:
    """Return a series with one point at noon."""
    return one[0], [(TO_NOON, one[1])]


def request_of(row: Row, sample: Sample) -> bytes:
    """Return the body that is sent of one sample."""
    return compress(write_request(dict(map(point, row.numbers(sample)))))


async def on_the_page(series: Series, sample: Sample) -> dict:
    """Return what /metrics shows of one sample, with the label the scrape adds."""
    inventory = replace(
        a_province([YPHU]),
        subjects={series: YPHU},
        series_of_agent={YPHU: (series,)},
        interval_of={series: 60.0},
    )
    fleet = Fleet(inventory, started_at=NOON)
    fleet.apply(YPHU, sample, NOON, trusted=True, now=NOON)
    page = await Exposition(fleet).full(NOON)
    found = {}
    for family in text_string_to_metric_families(page.decode()):
        for one in family.samples:
            if one.name.startswith("probe_"):
                labels = {"__name__": one.name, "job": "thongsuot", **one.labels}
                found[tuple(sorted(labels.items()))] = one.value
    return found
